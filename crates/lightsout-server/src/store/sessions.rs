//! Registry sessions, barriers, and the ids that stay refused.

use serde_json::{Value, json};

use crate::args;
use crate::store::{Db, DbError, Tx};

/// A session to register, its user and times checked.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// SHA-256 of the session id.
    pub session_hash: String,
    /// The user.
    pub user_id: String,
    /// The app.
    pub client_id: String,
    /// When it began.
    pub began_at: i64,
    /// What to add to a cutoff when it is compared with `began_at`: the app's clock may be off.
    pub clock_skew_ms: i64,
    /// When it expires.
    pub expires_at: i64,
    /// The device, for people to read.
    pub device: Option<String>,
    /// The address, for people to read.
    pub address: Option<String>,
}

/// A stored session that is not ended.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SessionRow {
    /// SHA-256 of the session id.
    pub session_hash: String,
    /// The user.
    pub user_id: String,
    /// The app that registered it.
    pub client_id: String,
    /// When it began.
    pub began_at: i64,
    /// When it expires.
    pub expires_at: i64,
    /// The device.
    pub device: Option<String>,
    /// The address.
    pub address: Option<String>,
}

/// Everything that a check needs to know of a session.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SessionFacts {
    /// The user.
    pub user_id: String,
    /// The tenant.
    pub enterprise_id: String,
    /// The login.
    pub login: Option<String>,
    /// The user's status, in the wire's words.
    pub status: String,
    /// The app that registered it.
    pub client_id: String,
    /// The user's generation when it was registered.
    pub generation: i64,
    /// The user's generation now.
    pub generation_now: i64,
    /// When it began.
    pub began_at: i64,
    /// When it expires.
    pub expires_at: i64,
}

impl SessionFacts {
    /// Whether the session may be used.
    pub fn is_active(&self, now: i64) -> bool {
        self.generation >= self.generation_now && now < self.expires_at && self.status != "inactive"
    }
}

impl Db {
    /// Finds what a session id stands for. Read in one statement, so that facts and barrier agree.
    pub async fn find_session(&self, session_hash: &str) -> Result<Option<SessionFacts>, DbError> {
        self.find(
            "SELECT s.user_id, u.enterprise_id, u.login, u.status, s.client_id, s.generation,
                    coalesce(b.generation, 0) AS generation_now, s.began_at, s.expires_at
             FROM sessions s
             JOIN users u ON u.user_id = s.user_id
             LEFT JOIN barriers b ON b.user_id = s.user_id
             WHERE s.session_hash = $1",
            args![session_hash],
        )
        .await
    }

    /// Lists a user's live sessions after a hash, at most `limit`.
    pub async fn list_sessions(
        &self,
        user_id: &str,
        after: &str,
        now: i64,
        limit: i64,
    ) -> Result<Vec<SessionRow>, DbError> {
        self.fetch(
            "SELECT s.session_hash, s.user_id, s.client_id, s.began_at, s.expires_at, s.device, s.address
             FROM sessions s
             JOIN users u ON u.user_id = s.user_id AND u.status <> 'inactive'
             LEFT JOIN barriers b ON b.user_id = s.user_id
             WHERE s.user_id = $1
               AND s.session_hash > $2
               AND s.expires_at > $3
               AND s.generation >= coalesce(b.generation, 0)
             ORDER BY s.session_hash
             LIMIT $4",
            args![user_id, after, now, limit],
        )
        .await
    }

    /// Counts the live sessions of these users.
    pub async fn count_sessions(&self, user_ids: &[String], now: i64) -> Result<Vec<(String, i64)>, DbError> {
        self.fetch_by_key(
            "SELECT s.user_id, count(*)
             FROM {sessions_of $1}
             WHERE s.expires_at > $2
               AND s.generation >= coalesce((SELECT b.generation FROM barriers b WHERE b.user_id = s.user_id), 0)
               AND (SELECT u.status FROM users u WHERE u.user_id = s.user_id) <> 'inactive'
             GROUP BY s.user_id",
            args![Value::from(user_ids), now],
        )
        .await
    }

    /// The sessions of these users that a barrier ended and that are not emptied yet: (user, hash).
    pub async fn list_ended_sessions(&self, user_ids: &[String]) -> Result<Vec<(String, String)>, DbError> {
        self.fetch_by_key(
            "SELECT s.user_id, s.session_hash
             FROM {sessions_of $1}
             WHERE s.ended_at IS NULL
               AND s.generation < (SELECT b.generation FROM barriers b WHERE b.user_id = s.user_id)",
            args![Value::from(user_ids)],
        )
        .await
    }
}

impl Tx {
    /// Registers sessions, and returns those that may be used: hash, user, expiry.
    ///
    /// One that began at or before its user's cutoff, whose id was ended, or whose user is inactive,
    /// is not stored, and its id stays refused from then on. The
    /// generation is read by the inserting statement itself, so a termination that commits first
    /// is seen, and one that commits later ends the session. An id that is registered already
    /// keeps its first facts, and its user.
    pub async fn register_sessions(
        &mut self,
        sessions: &[NewSession],
        now: i64,
    ) -> Result<Vec<(String, String, i64)>, DbError> {
        let rows: Vec<Value> = sessions
            .iter()
            .map(|s| {
                json!([
                    s.session_hash,
                    s.user_id,
                    s.client_id,
                    s.began_at,
                    s.expires_at,
                    s.device,
                    s.address,
                    s.clock_skew_ms
                ])
            })
            .collect();
        let rows = Value::from(rows);
        self.execute(
            "INSERT INTO sessions
                 (user_id, session_hash, client_id, generation, began_at, registered_at, expires_at, device, address)
             SELECT value ->> 1, value ->> 0, value ->> 2, coalesce(b.generation, 0),
                    CAST(value ->> 3 AS BIGINT), $2, CAST(value ->> 4 AS BIGINT), value ->> 5, value ->> 6
             FROM {rows $1}
             JOIN users u ON u.user_id = value ->> 1 AND u.status <> 'inactive'
             LEFT JOIN barriers b ON b.user_id = value ->> 1
             LEFT JOIN ended_sessions e ON e.session_hash = value ->> 0
             WHERE e.session_hash IS NULL
               AND (b.cutoff IS NULL OR CAST(value ->> 3 AS BIGINT) > b.cutoff + CAST(value ->> 7 AS BIGINT))
             ON CONFLICT DO NOTHING",
            args![rows.clone(), now],
        )
        .await?;
        // On PostgreSQL the insert may have waited for the end of the same session, and not have seen
        // the refusal that committed with it. A statement of its own sees it.
        let hashes: Vec<&str> = sessions.iter().map(|s| s.session_hash.as_str()).collect();
        self.execute(
            "DELETE FROM sessions
             WHERE session_hash IN {texts $1}
               AND EXISTS (SELECT 1 FROM ended_sessions e WHERE e.session_hash = sessions.session_hash)",
            args![Value::from(hashes)],
        )
        .await?;
        self.execute(
            "INSERT INTO ended_sessions (session_hash, expires_at)
             SELECT value ->> 0, CAST(value ->> 4 AS BIGINT)
             FROM {rows $1}
             LEFT JOIN sessions s ON s.session_hash = value ->> 0
             WHERE s.session_hash IS NULL
             ON CONFLICT DO NOTHING",
            args![rows.clone()],
        )
        .await?;
        self.fetch(
            "SELECT s.session_hash, s.user_id, s.expires_at
             FROM {rows $1}
             JOIN sessions s ON s.session_hash = value ->> 0
             JOIN users u ON u.user_id = s.user_id AND u.status <> 'inactive'
             LEFT JOIN barriers b ON b.user_id = s.user_id
             WHERE s.generation >= coalesce(b.generation, 0) AND s.expires_at > $2",
            args![rows, now],
        )
        .await
    }

    /// The generation of a user at this moment.
    pub async fn find_generation(&mut self, user_id: &str) -> Result<i64, DbError> {
        let sql = "SELECT coalesce(max(generation), 0) FROM barriers WHERE user_id = $1";
        let row: Option<(i64,)> = self.find(sql, args![user_id]).await?;
        Ok(row.map_or(0, |(generation,)| generation))
    }

    /// Ends one session: deletes it and keeps its id refused. Returns its user and its expiry, if it was
    /// stored.
    pub async fn end_session(
        &mut self,
        enterprise_id: &str,
        session_hash: &str,
    ) -> Result<Option<(String, i64)>, DbError> {
        let ended: Option<(String, i64)> = self
            .find(
                "DELETE FROM sessions
                 WHERE session_hash = $1
                   AND EXISTS (SELECT 1 FROM users u
                               WHERE u.user_id = sessions.user_id AND u.enterprise_id = $2)
                 RETURNING user_id, expires_at",
                args![session_hash, enterprise_id],
            )
            .await?;
        let Some((user_id, expires_at)) = ended else { return Ok(None) };
        self.refuse_sessions(&[json!([session_hash, expires_at])]).await?;
        Ok(Some((user_id, expires_at)))
    }

    /// Empties sessions, by user and hash, that a barrier ended: the row stays until it would have expired, so
    /// that its id stays refused, without what tells of the person. Returns those that this call emptied.
    pub async fn empty_ended_sessions(
        &mut self,
        sessions: &[(String, String)],
        now: i64,
    ) -> Result<Vec<(String, String)>, DbError> {
        let rows: Vec<Value> = sessions.iter().map(|(user_id, hash)| json!([user_id, hash])).collect();
        self.fetch(
            "UPDATE sessions SET ended_at = $2, device = NULL, address = NULL
             FROM {rows $1}
             WHERE sessions.user_id = value ->> 0
               AND sessions.session_hash = value ->> 1
               AND sessions.ended_at IS NULL
               AND sessions.generation < (SELECT b.generation FROM barriers b WHERE b.user_id = sessions.user_id)
             RETURNING sessions.user_id, sessions.session_hash",
            args![Value::from(rows), now],
        )
        .await
    }

    async fn refuse_sessions(&mut self, rows: &[Value]) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO ended_sessions (session_hash, expires_at)
             SELECT value ->> 0, CAST(value ->> 1 AS BIGINT) FROM {rows $1} WHERE 1 = 1
             ON CONFLICT DO NOTHING",
            args![Value::from(rows)],
        )
        .await
        .map(drop)
    }

    /// Raises the generation of everybody, and returns how many people that were.
    pub async fn raise_all_barriers(&mut self, cutoff: i64) -> Result<u64, DbError> {
        self.execute(
            "INSERT INTO barriers (user_id, generation, cutoff, enterprise_id, login, external_id)
             SELECT user_id, 1, $1, enterprise_id, login, external_id FROM users WHERE 1 = 1 ORDER BY user_id
             ON CONFLICT (user_id) DO UPDATE
             SET generation = barriers.generation + 1,
                 cutoff = CASE WHEN excluded.cutoff > barriers.cutoff THEN excluded.cutoff ELSE barriers.cutoff END,
                 enterprise_id = excluded.enterprise_id, login = excluded.login,
                 external_id = excluded.external_id",
            args![cutoff],
        )
        .await
    }

    /// Raises the generation of every target of a termination, and its cutoff to at least `cutoff`.
    pub async fn raise_barriers(
        &mut self,
        enterprise_id: &str,
        termination_id: &str,
        cutoff: i64,
    ) -> Result<(), DbError> {
        self.execute(
            // In the order of the ids, so that two terminations of the same people never deadlock.
            "INSERT INTO barriers (user_id, generation, cutoff, enterprise_id, login, external_id)
             SELECT user_id, 1, $2, $3, login, external_id
             FROM termination_targets WHERE termination_id = $1 ORDER BY user_id
             ON CONFLICT (user_id) DO UPDATE
             SET generation = barriers.generation + 1,
                 cutoff = CASE WHEN excluded.cutoff > barriers.cutoff THEN excluded.cutoff ELSE barriers.cutoff END,
                 enterprise_id = excluded.enterprise_id, login = excluded.login,
                 external_id = excluded.external_id",
            args![termination_id, cutoff, enterprise_id],
        )
        .await
        .map(drop)
    }
}
