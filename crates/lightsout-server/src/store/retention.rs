//! Deletes what is past its keeping time, in small steps.

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
}

/// Rows deleted in one transaction at most.
const STEP: i64 = 2_000;

/// How long after a termination a registration may still be committing.
const LEFT_OVER_MS: i64 = 600_000;
/// How far back left-over rows are looked for.
const LEFT_OVER_SPAN_MS: i64 = 86_400_000;

/// How long sessions at relying parties are kept past their expiry: while a termination that names them
/// is worked, they stay known.
const OIDC_SESSIONS_KEPT_MS: i64 = 2 * 86_400_000;

/// What expires: how to find a step of it (`$1` a time, `$2` the step), and how to delete it by key.
const EXPIRED: [(&str, &str); 4] = [
    (
        "SELECT token_hash FROM tokens WHERE expires_at <= $1 LIMIT $2",
        "DELETE FROM tokens WHERE token_hash IN {texts $1}",
    ),
    (
        "SELECT jti_hash FROM assertions WHERE expires_at <= $1 LIMIT $2",
        "DELETE FROM assertions WHERE jti_hash IN {texts $1}",
    ),
    (
        "SELECT session_hash FROM ended_sessions WHERE expires_at <= $1 LIMIT $2",
        "DELETE FROM ended_sessions WHERE session_hash IN {texts $1}",
    ),
    (
        "SELECT session_hash FROM sessions WHERE expires_at <= $1 LIMIT $2",
        "DELETE FROM sessions WHERE session_hash IN {texts $1}",
    ),
];

impl Db {
    /// Deletes one step of everything that is past its time. True: there may be more.
    pub async fn prune(&self, retention: &Retention) -> Result<bool, DbError> {
        let mut more = false;
        for (find, delete) in EXPIRED {
            more |= self.prune_step(find, delete, retention.now).await?;
        }
        more |= self
            .prune_step(
                "SELECT key_hash FROM idempotency_keys WHERE created_at < $1 LIMIT $2",
                "DELETE FROM idempotency_keys WHERE key_hash IN {texts $1}",
                retention.idempotency_keys_before,
            )
            .await?;
        more |= self.prune_oidc_sessions(retention.now - OIDC_SESSIONS_KEPT_MS, STEP).await?;
        more |= self.prune_left_over_sessions(retention.now - LEFT_OVER_MS).await?;
        more |= self.prune_aliases().await?;
        more |= self.prune_terminations(retention.terminations_before).await?;
        more |= self.prune_events(retention.events_before).await?;
        Ok(more)
    }

    /// Finds outside the transaction, which may take a scan, and deletes by key in a short one.
    async fn prune_step(
        &self,
        find: &'static str,
        delete: &'static str,
        before: i64,
    ) -> Result<bool, DbError> {
        let keys: Vec<(String,)> = self.fetch(find, args![before, STEP]).await?;
        if keys.is_empty() {
            return Ok(false);
        }
        let keys: Vec<String> = keys.into_iter().map(|(key,)| key).collect();
        let more = i64::try_from(keys.len()).is_ok_and(|n| n == STEP);
        let mut tx = self.begin().await?;
        tx.execute(delete, args![serde_json::Value::from(keys)]).await?;
        tx.commit().await?;
        Ok(more)
    }

    /// Deletes rows that a registration committed after the clean-up of its user's termination. They
    /// are refused already; their ids stay so. While a clean-up is open, the rows are its to count.
    async fn prune_left_over_sessions(&self, ended_before: i64) -> Result<bool, DbError> {
        let mut tx = self.begin().await?;
        let users: Vec<(String,)> = tx
            .fetch(
                "SELECT b.user_id FROM barriers b
                 WHERE b.cutoff <= $1
                   AND b.cutoff > $2
                   AND EXISTS (SELECT 1 FROM sessions s WHERE s.user_id = b.user_id AND s.generation < b.generation)
                   AND NOT EXISTS (SELECT 1 FROM jobs WHERE system = 'registry' AND finished_at IS NULL)
                 LIMIT 500",
                args![ended_before, ended_before - LEFT_OVER_SPAN_MS],
            )
            .await?;
        let users: Vec<String> = users.into_iter().map(|(id,)| id).collect();
        tx.delete_ended_sessions(&users).await?;
        tx.commit().await?;
        Ok(users.len() == 500)
    }

    /// Deletes the names of deleted users, when no job needs them any more.
    async fn prune_aliases(&self) -> Result<bool, DbError> {
        let mut tx = self.begin().await?;
        tx.execute(
            "DELETE FROM aliases
             WHERE user_id NOT IN (SELECT user_id FROM users)
               AND NOT EXISTS (SELECT 1 FROM jobs WHERE finished_at IS NULL)",
            args![],
        )
        .await?;
        tx.commit().await?;
        Ok(false)
    }

    /// Deletes one old finished termination with all that hangs on it.
    async fn prune_terminations(&self, before: i64) -> Result<bool, DbError> {
        let mut tx = self.begin().await?;
        let old: Option<(String,)> = tx
            .find(
                "SELECT termination_id FROM terminations
                 WHERE finished_at IS NOT NULL AND created_at < $1 LIMIT 1 {for_update}",
                args![before],
            )
            .await?;
        let Some((id,)) = old else { return Ok(false) };
        for statement in [
            "DELETE FROM outcomes WHERE termination_id = $1",
            "DELETE FROM jobs WHERE termination_id = $1",
            "DELETE FROM termination_targets WHERE termination_id = $1",
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
        let mut tx = self.begin().await?;
        // Held to the end: two nodes never move the anchor past each other.
        let _: Option<(i64,)> =
            tx.find("SELECT position FROM event_head WHERE head = 1 {for_update}", args![]).await?;
        let last: Option<(i64, String)> = tx
            .find(
                "SELECT position, chain_hash FROM events
                 WHERE position <= (SELECT pruned_position + $2 FROM event_head WHERE head = 1)
                   AND position < (SELECT coalesce(min(position), 9223372036854775807) FROM events
                                   WHERE recorded_at >= $1)
                 ORDER BY position DESC
                 LIMIT 1",
                args![before, STEP],
            )
            .await?;
        let Some((position, hash)) = last else { return Ok(false) };
        tx.execute(
            "UPDATE event_head SET pruned_position = $1, pruned_hash = $2 WHERE head = 1",
            args![position, hash],
        )
        .await?;
        tx.execute("DELETE FROM events WHERE position <= $1", args![position]).await?;
        tx.commit().await?;
        Ok(true)
    }
}
