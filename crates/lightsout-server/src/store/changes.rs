//! What a node's index follows: the events that change who may sign in, and the barriers behind them.
//!
//! The log's positions follow commits without gaps, so whoever has read up to a position has heard of
//! everything that was committed before.

use crate::args;
use crate::store::{Db, DbError, Head};

/// An event after which an index is out of date.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ChangeRow {
    /// Its place in the log.
    pub position: i64,
    /// What happened.
    pub event_type: String,
    /// The tenant.
    pub enterprise_id: String,
    /// The termination that it belongs to.
    pub termination_id: Option<String>,
    /// When it was recorded.
    pub recorded_at: i64,
    /// The log's hash there.
    pub chain_hash: String,
    /// The event's body, as JSON.
    pub body: String,
}

/// A person's barrier, with the names that apps know the person by.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct BarrierRow {
    /// The user.
    pub user_id: String,
    /// The tenant; none where user and barrier are older than the column.
    pub enterprise_id: Option<String>,
    /// The login at the time of the termination.
    pub login: Option<String>,
    /// The id in an outside system at that time.
    pub external_id: Option<String>,
    /// The newest generation.
    pub generation: i64,
    /// The newest cutoff.
    pub cutoff: i64,
}

/// A stored session with what a check needs, for an index that fills itself.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct IndexRow {
    /// SHA-256 of the session id.
    pub session_hash: String,
    /// What a check needs to know of it.
    #[sqlx(flatten)]
    pub facts: super::SessionFacts,
}

impl Db {
    /// The newest position of the log and its hash, on a connection that nothing else uses.
    pub async fn head_apart(&self) -> Result<Head, DbError> {
        let sql = "SELECT position, chain_hash FROM event_head WHERE head = 1";
        Ok(self.fetch_apart(sql, args![]).await?.pop().expect("the migration made the head row"))
    }

    /// The hash of the log at a position; none if nothing is there, or no longer.
    pub async fn hash_apart(&self, position: i64) -> Result<Option<String>, DbError> {
        let sql = "SELECT chain_hash FROM events WHERE position = $1";
        let row: Option<(String,)> = self.fetch_apart(sql, args![position]).await?.pop();
        Ok(row.map(|(hash,)| hash))
    }

    /// The changes after a position, up to another, in the order of the log.
    pub async fn list_changes(&self, after: i64, until: i64, limit: i64) -> Result<Vec<ChangeRow>, DbError> {
        self.fetch_apart(
            // It relies on the index events_changes.
            "SELECT position, event_type, enterprise_id, termination_id, recorded_at, chain_hash, body
             FROM events
             WHERE event_type IN ('SESSION_TERMINATION_REQUESTED', 'SESSION_ENDED', 'EDIT_USER', 'DELETE_USER', 'TOKEN_REVOKED', 'GENERATIONS_RAISED')
               AND position > $1 AND position <= $2
             ORDER BY position
             LIMIT $3",
            args![after, until, limit],
        )
        .await
    }

    /// The sessions that were ended one by one since a time, in the order of the log.
    pub async fn list_single_ends(
        &self,
        since: i64,
        after: i64,
        limit: i64,
    ) -> Result<Vec<ChangeRow>, DbError> {
        self.fetch(
            "SELECT position, event_type, enterprise_id, termination_id, recorded_at, chain_hash, body
             FROM events
             WHERE event_type IN ('SESSION_TERMINATION_REQUESTED', 'SESSION_ENDED', 'EDIT_USER', 'DELETE_USER', 'TOKEN_REVOKED', 'GENERATIONS_RAISED')
               AND event_type = 'SESSION_ENDED' AND recorded_at > $1 AND position > $2
             ORDER BY position
             LIMIT $3",
            args![since, after, limit],
        )
        .await
    }

    /// The present barriers of a termination's targets from one number to another.
    pub async fn list_barriers_of(
        &self,
        termination_id: &str,
        first: i64,
        last: i64,
    ) -> Result<Vec<BarrierRow>, DbError> {
        self.fetch_apart(
            "SELECT t.user_id, b.enterprise_id, t.login, t.external_id, b.generation, b.cutoff
             FROM termination_targets t JOIN barriers b ON b.user_id = t.user_id
             WHERE t.termination_id = $1 AND t.ordinal BETWEEN $2 AND $3",
            args![termination_id, first, last],
        )
        .await
    }

    /// The barriers raised after a time, of one tenant or of all, by user, after one of them.
    pub async fn list_barriers(
        &self,
        enterprise_id: Option<&str>,
        raised_after: i64,
        after: &str,
        limit: i64,
    ) -> Result<Vec<BarrierRow>, DbError> {
        self.fetch(
            "SELECT b.user_id, coalesce(b.enterprise_id, u.enterprise_id) AS enterprise_id,
                    coalesce(b.login, u.login) AS login, coalesce(b.external_id, u.external_id) AS external_id,
                    b.generation, b.cutoff
             FROM barriers b LEFT JOIN users u ON u.user_id = b.user_id
             WHERE b.cutoff > $1 AND b.user_id > $2
               AND (CAST($4 AS TEXT) IS NULL OR coalesce(b.enterprise_id, u.enterprise_id) = $4)
             ORDER BY b.user_id
             LIMIT $3",
            args![raised_after, after, limit, enterprise_id],
        )
        .await
    }

    /// Stored sessions after a (user, hash), in that order.
    pub async fn list_sessions_to_index(
        &self,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<IndexRow>, DbError> {
        self.fetch(
            "SELECT s.session_hash, s.user_id, u.enterprise_id, u.login, u.status, s.client_id, s.generation,
                    coalesce(b.generation, 0) AS generation_now, s.began_at, s.expires_at
             FROM sessions s
             JOIN users u ON u.user_id = s.user_id
             LEFT JOIN barriers b ON b.user_id = s.user_id
             WHERE (s.user_id, s.session_hash) > ($1, $2) AND s.ended_at IS NULL
             ORDER BY s.user_id, s.session_hash
             LIMIT $3",
            args![after.0, after.1, limit],
        )
        .await
    }
}
