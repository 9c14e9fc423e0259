//! Deletes what is past its keeping time, in small steps: rows are found outside a transaction, and
//! deleted by key in one that holds up nobody for long.

use serde_json::Value;

use crate::args;
use crate::store::{Db, DbError};

/// Until when rows are old enough to go, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Now: what has expired goes.
    pub now: i64,
    /// Events recorded before this go.
    pub events_before: i64,
    /// Finished terminations, with outcomes and jobs, accepted before this go.
    pub terminations_before: i64,
    /// Idempotency keys noted before this go.
    pub idempotency_keys_before: i64,
    /// Names that a barrier tells apps go, where it was raised before this: no session is older.
    pub barrier_names_before: i64,
}

/// How far a walk through the tables without an index by time has come: a step looks at the next rows in
/// the order of their key, and begins again at the end.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    session: (String, String),
    ended_session: String,
}

/// Rows looked at, and deleted in one transaction, at most.
const STEP: i64 = 1_000;

/// How long after a termination a registration may still be committing.
const LEFT_OVER_MS: i64 = 600_000;
/// How far back left-over rows are looked for.
const LEFT_OVER_SPAN_MS: i64 = 86_400_000;
/// Users whose left-over rows are deleted in one transaction.
const LEFT_OVER_USERS: i64 = 100;

/// How long sessions at relying parties are kept past their expiry: while a termination that names them
/// is worked, they stay known.
const OIDC_SESSIONS_KEPT_MS: i64 = 2 * 86_400_000;

/// How long a code is kept past its expiry: one that is shown again revokes what it gave.
const CODES_KEPT_MS: i64 = 86_400_000;

impl Db {
    /// Deletes one step of everything that is past its time. True: there may be more.
    pub async fn prune(&self, retention: &Retention, walk: &mut Walk) -> Result<bool, DbError> {
        let mut more = self
            .prune_step(
                "SELECT token_hash FROM tokens WHERE expires_at <= $1 LIMIT $2",
                "DELETE FROM tokens WHERE token_hash IN {texts $1}",
                retention.now,
            )
            .await?;
        more |= self
            .prune_step(
                "SELECT jti_hash FROM assertions WHERE expires_at <= $1 LIMIT $2",
                "DELETE FROM assertions WHERE jti_hash IN {texts $1}",
                retention.now,
            )
            .await?;
        more |= self
            .prune_step(
                "SELECT pending_hash FROM pending_sign_ins WHERE expires_at <= $1 LIMIT $2",
                "DELETE FROM pending_sign_ins WHERE pending_hash IN {texts $1}",
                retention.now,
            )
            .await?;
        more |= self
            .prune_step(
                "SELECT link_hash FROM password_links WHERE expires_at <= $1 LIMIT $2",
                "DELETE FROM password_links WHERE link_hash IN {texts $1}",
                retention.now,
            )
            .await?;
        more |= self
            .prune_step(
                "SELECT key_hash FROM idempotency_keys WHERE created_at < $1 LIMIT $2",
                "DELETE FROM idempotency_keys WHERE key_hash IN {texts $1}",
                retention.idempotency_keys_before,
            )
            .await?;
        more |= self.prune_grants(retention.now).await?;
        more |= self.prune_sessions(retention.now, walk).await?;
        more |= self.prune_ended_sessions(retention.now, walk).await?;
        more |= self.prune_oidc_sessions(retention.now - OIDC_SESSIONS_KEPT_MS, STEP).await?;
        more |= self.prune_aliases().await?;
        more |= self.prune_terminations(retention.terminations_before).await?;
        more |= self.prune_events(retention.events_before).await?;
        Ok(more)
    }

    /// What is looked for once, however much there is of the rest: each look reads many rows that stay.
    pub async fn prune_once(&self, retention: &Retention) -> Result<(), DbError> {
        while self.empty_left_over_sessions(retention.now).await? {}
        self.forget_barrier_names(retention.barrier_names_before).await
    }

    async fn forget_barrier_names(&self, before: i64) -> Result<(), DbError> {
        let users: Vec<(String,)> = self
            .fetch(
                "SELECT user_id FROM barriers
                 WHERE cutoff < $1 AND (login IS NOT NULL OR external_id IS NOT NULL) LIMIT $2",
                args![before, STEP],
            )
            .await?;
        if users.is_empty() {
            return Ok(());
        }
        let users: Vec<String> = users.into_iter().map(|(id,)| id).collect();
        let mut tx = self.begin().await?;
        tx.execute(
            // One that was raised since keeps its names.
            "UPDATE barriers SET login = NULL, external_id = NULL
             WHERE user_id IN {texts $1} AND cutoff < $2",
            args![Value::from(users), before],
        )
        .await?;
        tx.commit().await
    }

    /// Deletes codes and refresh tokens, and a grant when nothing of it is left.
    async fn prune_grants(&self, now: i64) -> Result<bool, DbError> {
        let mut more = self
            .prune_step(
                "SELECT code_hash FROM authorization_codes WHERE expires_at <= $1 LIMIT $2",
                "DELETE FROM authorization_codes WHERE code_hash IN {texts $1}",
                now - CODES_KEPT_MS,
            )
            .await?;
        more |= self
            .prune_step(
                "SELECT token_hash FROM refresh_tokens WHERE expires_at <= $1 LIMIT $2",
                "DELETE FROM refresh_tokens WHERE token_hash IN {texts $1}",
                now,
            )
            .await?;
        more |= self
            .prune_step(
                "SELECT grant_id FROM grants
                 WHERE expires_at <= $1
                   AND NOT EXISTS (SELECT 1 FROM authorization_codes c WHERE c.grant_id = grants.grant_id)
                   AND NOT EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = grants.grant_id)
                   AND NOT EXISTS (SELECT 1 FROM tokens t WHERE t.grant_id = grants.grant_id)
                 LIMIT $2",
                "DELETE FROM grants WHERE grant_id IN {texts $1}",
                now,
            )
            .await?;
        Ok(more)
    }

    async fn prune_step(
        &self,
        find: &'static str,
        delete: &'static str,
        before: i64,
    ) -> Result<bool, DbError> {
        let keys: Vec<(String,)> = self.fetch(find, args![before, STEP]).await?;
        let more = is_step(keys.len());
        self.prune_keys(delete, keys.into_iter().map(|(key,)| key).collect()).await?;
        Ok(more)
    }

    async fn prune_keys(&self, delete: &'static str, keys: Vec<String>) -> Result<(), DbError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        tx.execute(delete, args![Value::from(keys)]).await?;
        tx.commit().await
    }

    async fn prune_sessions(&self, now: i64, walk: &mut Walk) -> Result<bool, DbError> {
        let rows: Vec<(String, String, i64)> = self
            .fetch(
                "SELECT user_id, session_hash, expires_at FROM sessions
                 WHERE (user_id, session_hash) > ($1, $2)
                 ORDER BY user_id, session_hash
                 LIMIT $3",
                args![&walk.session.0, &walk.session.1, STEP],
            )
            .await?;
        let more = is_step(rows.len());
        let last = rows.last().filter(|_| more).map(|(user, hash, _)| (user.clone(), hash.clone()));
        walk.session = last.unwrap_or_default();
        let expired = rows.into_iter().filter(|(_, _, expires_at)| *expires_at <= now);
        let expired = expired.map(|(_, hash, _)| hash).collect();
        self.prune_keys("DELETE FROM sessions WHERE session_hash IN {texts $1}", expired).await?;
        Ok(more)
    }

    async fn prune_ended_sessions(&self, now: i64, walk: &mut Walk) -> Result<bool, DbError> {
        let rows: Vec<(String, i64)> = self
            .fetch(
                "SELECT session_hash, expires_at FROM ended_sessions
                 WHERE session_hash > $1
                 ORDER BY session_hash
                 LIMIT $2",
                args![&walk.ended_session, STEP],
            )
            .await?;
        let more = is_step(rows.len());
        walk.ended_session = rows.last().filter(|_| more).map(|(hash, _)| hash.clone()).unwrap_or_default();
        let expired = rows.into_iter().filter(|(_, expires_at)| *expires_at <= now);
        let expired = expired.map(|(hash, _)| hash).collect();
        self.prune_keys("DELETE FROM ended_sessions WHERE session_hash IN {texts $1}", expired).await?;
        Ok(more)
    }

    /// Empties rows that a registration committed after the clean-up of its user's termination. They
    /// are refused already, and stay so. While a clean-up is open, the rows are its to count.
    async fn empty_left_over_sessions(&self, now: i64) -> Result<bool, DbError> {
        let ended_before = now - LEFT_OVER_MS;
        let users: Vec<(String,)> = self
            .fetch(
                "SELECT b.user_id FROM barriers b
                 WHERE b.cutoff <= $1
                   AND b.cutoff > $2
                   AND EXISTS (SELECT 1 FROM sessions s
                               WHERE s.user_id = b.user_id AND s.generation < b.generation AND s.ended_at IS NULL)
                   AND NOT EXISTS (SELECT 1 FROM jobs WHERE system = 'registry' AND finished_at IS NULL)
                 LIMIT $3",
                args![ended_before, ended_before - LEFT_OVER_SPAN_MS, LEFT_OVER_USERS],
            )
            .await?;
        if users.is_empty() {
            return Ok(false);
        }
        let users: Vec<String> = users.into_iter().map(|(id,)| id).collect();
        let ended = self.list_ended_sessions(&users).await?;
        let mut tx = self.begin().await?;
        tx.empty_ended_sessions(&ended, now).await?;
        tx.commit().await?;
        Ok(i64::try_from(users.len()).is_ok_and(|n| n == LEFT_OVER_USERS))
    }

    /// Deletes the names of deleted users, when no job needs them any more.
    async fn prune_aliases(&self) -> Result<bool, DbError> {
        let users: Vec<(String,)> = self
            .fetch(
                "SELECT DISTINCT a.user_id FROM aliases a
                 WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.user_id = a.user_id)
                   AND NOT EXISTS (SELECT 1 FROM jobs WHERE finished_at IS NULL)
                 LIMIT $1",
                args![STEP],
            )
            .await?;
        let more = is_step(users.len());
        let users = users.into_iter().map(|(id,)| id).collect();
        self.prune_keys(
            "DELETE FROM aliases
             WHERE user_id IN {texts $1} AND NOT EXISTS (SELECT 1 FROM jobs WHERE finished_at IS NULL)",
            users,
        )
        .await?;
        Ok(more)
    }

    /// Deletes a step of one old finished termination: what hangs on it first, at last the row itself.
    async fn prune_terminations(&self, before: i64) -> Result<bool, DbError> {
        let old: Option<(String,)> = self
            .find(
                "SELECT termination_id FROM terminations
                 WHERE finished_at IS NOT NULL AND created_at < $1 LIMIT 1",
                args![before],
            )
            .await?;
        let Some((id,)) = old else { return Ok(false) };
        let mut tx = self.begin().await?;
        for statement in [
            // A range of numbers, and no list of them: PostgreSQL may make the list again for each row.
            "DELETE FROM outcomes
             WHERE termination_id = $1
               AND ordinal < (SELECT min(o.ordinal) FROM outcomes o WHERE o.termination_id = $1) + $2",
            "DELETE FROM termination_targets
             WHERE termination_id = $1
               AND ordinal < (SELECT min(t.ordinal) FROM termination_targets t WHERE t.termination_id = $1) + $2",
        ] {
            if tx.execute(statement, args![&id, STEP]).await? > 0 {
                tx.commit().await?;
                return Ok(true);
            }
        }
        for statement in [
            "DELETE FROM jobs WHERE termination_id = $1",
            "DELETE FROM termination_skips WHERE termination_id = $1",
            "DELETE FROM terminations WHERE termination_id = $1",
        ] {
            tx.execute(statement, args![&id]).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Deletes a step from the beginning of the log. The hash of the last event that went is kept
    /// as the anchor, so the chain that is left still verifies.
    async fn prune_events(&self, before: i64) -> Result<bool, DbError> {
        let oldest: Vec<(i64, String, i64)> = self
            .fetch(
                "SELECT position, chain_hash, recorded_at FROM events ORDER BY position LIMIT $1",
                args![STEP],
            )
            .await?;
        let old = oldest.into_iter().take_while(|(_, _, recorded_at)| *recorded_at < before);
        let Some((position, hash, _)) = old.last() else { return Ok(false) };
        let mut tx = self.begin().await?;
        // Two nodes never move the anchor past each other.
        let moved = tx
            .execute(
                "UPDATE event_head SET pruned_position = $1, pruned_hash = $2
                 WHERE head = 1 AND pruned_position < $1",
                args![position, hash],
            )
            .await?;
        if moved > 0 {
            tx.execute("DELETE FROM events WHERE position <= $1", args![position]).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

fn is_step(rows: usize) -> bool {
    i64::try_from(rows).is_ok_and(|n| n == STEP)
}
