//! Sessions at OpenID Connect relying parties: what logout tokens name, and when one was taken.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::args;
use crate::store::{Db, DbError, Tx};

/// A session at a relying party, as it is registered at sign-in.
#[derive(Clone, Debug)]
pub struct NewOidcSession {
    /// The user.
    pub user_id: String,
    /// The provider.
    pub iss: String,
    /// The relying party, as the provider names it.
    pub client_id: String,
    /// The session, as the provider's ID token names it.
    pub sid: String,
    /// The user, as the provider's ID token names them.
    pub sub: String,
    /// When it began.
    pub began_at: i64,
    /// When it expires.
    pub expires_at: i64,
}

/// A stored session at a relying party.
#[derive(Clone, sqlx::FromRow)]
pub struct OidcSessionRow {
    /// The user.
    pub user_id: String,
    /// The session.
    pub sid: String,
    /// The user, in the provider's words.
    pub sub: String,
    /// When it began.
    pub began_at: i64,
    /// When it expires.
    pub expires_at: i64,
    /// When the newest logout token that was taken was sent.
    pub delivered_at: Option<i64>,
}

impl From<NewOidcSession> for OidcSessionRow {
    fn from(new: NewOidcSession) -> Self {
        let NewOidcSession { user_id, sid, sub, began_at, expires_at, .. } = new;
        Self { user_id, sid, sub, began_at, expires_at, delivered_at: None }
    }
}

impl Db {
    /// Lists the sessions of these users at one relying party, by user and sid; expired ones are among
    /// them until they are pruned.
    pub async fn list_oidc_sessions(
        &self,
        iss: &str,
        client_id: &str,
        user_ids: &[String],
    ) -> Result<Vec<OidcSessionRow>, DbError> {
        self.fetch(
            "SELECT user_id, sid, sub, began_at, expires_at, delivered_at
             FROM oidc_sessions
             WHERE user_id IN {texts $1} AND iss = $2 AND client_id = $3
             ORDER BY user_id, sid",
            args![Value::from(user_ids), iss, client_id],
        )
        .await
    }

    /// Counts the sessions at one relying party that have not expired.
    pub async fn count_oidc_sessions(&self, iss: &str, client_id: &str, now: i64) -> Result<i64, DbError> {
        let count: Option<(i64,)> = self
            .find(
                "SELECT count(*) FROM oidc_sessions WHERE iss = $1 AND client_id = $2 AND expires_at > $3",
                args![iss, client_id, now],
            )
            .await?;
        Ok(count.map_or(0, |(n,)| n))
    }

    /// Deletes one step of what expired before a time. True: there may be more.
    pub(super) async fn prune_oidc_sessions(&self, before: i64, step: i64) -> Result<bool, DbError> {
        let mut tx = self.begin().await?;
        let deleted = tx
            .execute(
                "DELETE FROM oidc_sessions
                 WHERE (user_id, iss, client_id, sid) IN (
                     SELECT user_id, iss, client_id, sid FROM oidc_sessions WHERE expires_at <= $1 LIMIT $2)",
                args![before, step],
            )
            .await?;
        tx.commit().await?;
        Ok(i64::try_from(deleted).is_ok_and(|n| n == step))
    }
}

impl Tx {
    /// Notes sessions at relying parties. One that is noted for this user already keeps its first facts,
    /// but for the expiry: the later one counts, for providers use a sid again.
    pub async fn insert_oidc_sessions(&mut self, sessions: &[NewOidcSession]) -> Result<(), DbError> {
        if sessions.is_empty() {
            return Ok(());
        }
        // In the order of the key, so that two requests never deadlock; and each key once, for
        // PostgreSQL refuses to update a row twice in one statement.
        let mut by_key: BTreeMap<_, NewOidcSession> = BTreeMap::new();
        for s in sessions {
            by_key
                .entry((&s.user_id, &s.iss, &s.client_id, &s.sid))
                .and_modify(|first| first.expires_at = first.expires_at.max(s.expires_at))
                .or_insert_with(|| s.clone());
        }
        let rows: Vec<Value> = by_key
            .values()
            .map(|s| json!([s.user_id, s.iss, s.client_id, s.sid, s.sub, s.began_at, s.expires_at]))
            .collect();
        self.execute(
            "INSERT INTO oidc_sessions (user_id, iss, client_id, sid, sub, began_at, expires_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
                    CAST(value ->> 5 AS BIGINT), CAST(value ->> 6 AS BIGINT)
             FROM {rows $1}
             WHERE 1 = 1
             ON CONFLICT (user_id, iss, client_id, sid) DO UPDATE
             SET expires_at = excluded.expires_at
             WHERE excluded.expires_at > oidc_sessions.expires_at",
            args![Value::from(rows)],
        )
        .await
        .map(drop)
    }

    /// Notes that logout tokens sent at these times were taken: (user, sid, time) at one relying party.
    pub async fn settle_deliveries(
        &mut self,
        iss: &str,
        client_id: &str,
        taken: &[(String, String, i64)],
    ) -> Result<(), DbError> {
        let rows: Vec<Value> = taken.iter().map(|(user, sid, at)| json!([user, sid, at])).collect();
        self.execute(
            "UPDATE oidc_sessions
             SET delivered_at = (SELECT max(CAST(value ->> 2 AS BIGINT)) FROM {rows $1}
                                 WHERE value ->> 0 = oidc_sessions.user_id AND value ->> 1 = oidc_sessions.sid)
             WHERE (user_id, sid) IN (SELECT value ->> 0, value ->> 1 FROM {rows $1})
               AND iss = $2
               AND client_id = $3",
            args![Value::from(rows), iss, client_id],
        )
        .await
        .map(drop)
    }
}
