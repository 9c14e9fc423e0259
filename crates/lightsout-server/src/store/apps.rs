//! Apps, their public keys, and the tokens given to them.

use crate::args;
use crate::store::{Db, DbError, Tx};

/// An app: a client of OAuth 2.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AppRow {
    /// The id.
    pub client_id: String,
    /// The tenant.
    pub enterprise_id: String,
    /// The name.
    pub name: String,
    /// SHA-256 of the secret.
    pub secret_hash: String,
    /// Scopes, separated by spaces.
    pub scopes: String,
    /// Rights, separated by spaces.
    pub rights: String,
    /// Its service account.
    pub service_user_id: String,
    /// Set where it may end admins.
    pub may_end_admins_at: Option<i64>,
    /// Set where it may ask for users' tokens.
    pub user_tokens_at: Option<i64>,
    /// Set where it may send assertions addressed to Box.
    pub box_audience_at: Option<i64>,
    /// When it was created.
    pub created_at: i64,
    /// Where a browser may be sent back to after a sign-in, as a JSON list.
    pub redirect_uris: String,
    /// Set for a public client: one that can keep no secret.
    pub public_at: Option<i64>,
    /// When its secret was made anew.
    pub secret_rotated_at: Option<i64>,
    /// When it was given a token last, to about a minute.
    pub last_used_at: Option<i64>,
    /// How many seconds it may keep an active answer of introspection; none: until the session expires.
    pub introspection_cache_s: Option<i64>,
}

impl AppRow {
    /// Where a browser may be sent back to after a sign-in.
    pub fn redirect_uris(&self) -> Vec<String> {
        serde_json::from_str(&self.redirect_uris).expect("only lists of texts are stored")
    }
}

/// A public key of an app.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AppKeyRow {
    /// The id (`kid`).
    pub key_id: String,
    /// The app.
    pub client_id: String,
    /// The RSA public key, PEM.
    pub public_pem: String,
    /// When it was added.
    pub created_at: i64,
}

/// A token to store.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// SHA-256 of the token.
    pub token_hash: String,
    /// On whose behalf.
    pub user_id: String,
    /// The app that it was given to; none for a developer token.
    pub client_id: Option<String>,
    /// Scopes, separated by spaces.
    pub scopes: String,
    /// When it was made.
    pub created_at: i64,
    /// When it expires.
    pub expires_at: i64,
}

/// Everything that authentication needs to know of a token.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct TokenFacts {
    /// On whose behalf.
    pub user_id: String,
    /// The tenant.
    pub enterprise_id: String,
    /// The login.
    pub login: Option<String>,
    /// The display name.
    pub name: String,
    /// The role, in the wire's words.
    pub role: String,
    /// The status, in the wire's words.
    pub status: String,
    /// The app whose service account the user is.
    pub service_of: Option<String>,
    /// The app that the token was given to.
    pub client_id: Option<String>,
    /// The token's scopes, separated by spaces.
    pub scopes: String,
    /// The app's rights, separated by spaces.
    pub rights: Option<String>,
    /// Set where the app may end admins.
    pub may_end_admins_at: Option<i64>,
    /// The user's generation when the token was made.
    pub generation: i64,
    /// The user's generation now.
    pub generation_now: i64,
    /// When the token was made.
    pub created_at: i64,
    /// When the token expires.
    pub expires_at: i64,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// The refresh token that it was given with.
    pub refresh_hash: Option<String>,
    /// When it was used first, where that is noted.
    pub first_used_at: Option<i64>,
    /// How many seconds its app may keep an active answer of introspection.
    pub introspection_cache_s: Option<i64>,
}

impl TokenFacts {
    /// Whether its first use has to be noted: its refresh token's predecessor is not taken again after it.
    pub fn is_unused(&self) -> bool {
        self.refresh_hash.is_some() && self.first_used_at.is_none()
    }

    /// Whether the token may be used: not expired, not revoked, its user active and not terminated
    /// since.
    pub fn is_active(&self, now: i64) -> bool {
        self.revoked_at.is_none()
            && now < self.expires_at
            && self.generation >= self.generation_now
            && self.status != "inactive"
    }

    /// The role as a type.
    pub fn role(&self) -> lightsout_api::Role {
        super::directory::role(&self.role)
    }
}

impl Db {
    /// Finds an app.
    pub async fn find_app(&self, client_id: &str) -> Result<Option<AppRow>, DbError> {
        self.find(
            "SELECT a.client_id, a.enterprise_id, a.name, a.secret_hash, a.scopes, a.rights, a.service_user_id,
                    a.may_end_admins_at, a.user_tokens_at, a.box_audience_at, a.created_at,
                    coalesce(s.redirect_uris, '[]') AS redirect_uris, s.public_at, s.secret_rotated_at,
                    s.last_used_at, s.introspection_cache_s
             FROM apps a LEFT JOIN app_sign_ins s ON s.client_id = a.client_id
             WHERE a.client_id = $1",
            args![client_id],
        )
        .await
    }

    /// Lists an app's public keys, newest first.
    pub async fn list_app_keys(&self, client_id: &str) -> Result<Vec<AppKeyRow>, DbError> {
        self.fetch(
            "SELECT * FROM app_keys WHERE client_id = $1 ORDER BY created_at DESC, key_id",
            args![client_id],
        )
        .await
    }

    /// Finds what a token stands for.
    pub async fn find_token(&self, token_hash: &str) -> Result<Option<TokenFacts>, DbError> {
        self.find(FIND_TOKEN, args![token_hash]).await
    }

    /// Finds what a confidential app's own id and secret stand for: its service account, as with a token
    /// that never expires and that no termination ends.
    pub async fn find_app_credentials(
        &self,
        client_id: &str,
        secret_hash: &str,
    ) -> Result<Option<TokenFacts>, DbError> {
        self.find(
            "SELECT u.user_id, u.enterprise_id, u.login, u.name, u.role, u.status, u.service_of, a.client_id,
                    a.scopes, a.rights, a.may_end_admins_at, $3 AS generation,
                    coalesce(b.generation, 0) AS generation_now, a.created_at, $3 AS expires_at,
                    CAST(NULL AS BIGINT) AS revoked_at, CAST(NULL AS TEXT) AS refresh_hash,
                    CAST(NULL AS BIGINT) AS first_used_at, s.introspection_cache_s
             FROM apps a
             JOIN users u ON u.user_id = a.service_user_id
             LEFT JOIN app_sign_ins s ON s.client_id = a.client_id
             LEFT JOIN barriers b ON b.user_id = a.service_user_id
             WHERE a.client_id = $1 AND a.secret_hash = $2 AND s.public_at IS NULL",
            args![client_id, secret_hash, i64::MAX],
        )
        .await
    }
}

/// The rights of an app are its own: a token that a person granted, or one with fewer scopes, has none. Nor
/// does one with fewer scopes end admins.
pub(super) const FIND_TOKEN: &str =
    "SELECT t.user_id, u.enterprise_id, u.login, u.name, u.role, u.status, u.service_of, t.client_id,
            t.scopes, CASE WHEN t.grant_id IS NULL AND t.subject_hash IS NULL THEN a.rights END AS rights,
            CASE WHEN t.subject_hash IS NULL THEN a.may_end_admins_at END AS may_end_admins_at, t.generation,
            coalesce(b.generation, 0) AS generation_now, t.created_at, t.expires_at, t.revoked_at,
            t.refresh_hash, t.first_used_at, s.introspection_cache_s
     FROM tokens t
     JOIN users u ON u.user_id = t.user_id
     LEFT JOIN apps a ON a.client_id = t.client_id
     LEFT JOIN app_sign_ins s ON s.client_id = t.client_id
     LEFT JOIN barriers b ON b.user_id = t.user_id
     WHERE t.token_hash = $1";

impl Tx {
    /// Inserts an app.
    pub async fn insert_app(&mut self, app: &AppRow) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO apps
                 (client_id, enterprise_id, name, secret_hash, scopes, rights, service_user_id,
                  may_end_admins_at, user_tokens_at, box_audience_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            args![
                &app.client_id,
                &app.enterprise_id,
                &app.name,
                &app.secret_hash,
                &app.scopes,
                &app.rights,
                &app.service_user_id,
                app.may_end_admins_at,
                app.user_tokens_at,
                app.box_audience_at,
                app.created_at
            ],
        )
        .await?;
        self.execute(
            "INSERT INTO app_sign_ins (client_id, redirect_uris, public_at, introspection_cache_s)
             VALUES ($1, $2, $3, $4)",
            args![&app.client_id, &app.redirect_uris, app.public_at, app.introspection_cache_s],
        )
        .await
        .map(drop)
    }

    /// Sets how many seconds an app may keep an active answer of introspection; none: until the session
    /// expires.
    pub async fn set_introspection_cache(
        &mut self,
        client_id: &str,
        seconds: Option<i64>,
    ) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO app_sign_ins (client_id, redirect_uris, introspection_cache_s) VALUES ($1, '[]', $2)
             ON CONFLICT (client_id) DO UPDATE SET introspection_cache_s = excluded.introspection_cache_s",
            args![client_id, seconds],
        )
        .await
        .map(drop)
    }

    /// Inserts a public key of an app.
    pub async fn insert_app_key(&mut self, key: &AppKeyRow) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO app_keys VALUES ($1, $2, $3, $4)",
            args![&key.key_id, &key.client_id, &key.public_pem, key.created_at],
        )
        .await
        .map(drop)
    }

    /// Inserts a token with its user's generation as it is in this transaction.
    pub async fn insert_token(&mut self, token: &TokenRow) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO tokens
                 (token_hash, user_id, client_id, scopes, generation, created_at, expires_at)
             VALUES ($1, $2, $3, $4,
                     coalesce((SELECT generation FROM barriers WHERE user_id = $2), 0), $5, $6)",
            args![
                &token.token_hash,
                &token.user_id,
                token.client_id.clone(),
                &token.scopes,
                token.created_at,
                token.expires_at
            ],
        )
        .await
        .map(drop)
    }

    /// Notes that a token was used, unless that was noted before.
    pub async fn note_first_use(&mut self, token_hash: &str, now: i64) -> Result<(), DbError> {
        self.execute(
            "UPDATE tokens SET first_used_at = $2 WHERE token_hash = $1 AND first_used_at IS NULL",
            args![token_hash, now],
        )
        .await
        .map(drop)
    }

    /// Gives an app another secret. False: there is no such app, or it is a public one.
    pub async fn rotate_secret(
        &mut self,
        client_id: &str,
        secret_hash: &str,
        now: i64,
    ) -> Result<bool, DbError> {
        let changed = self
            .execute(
                "UPDATE apps SET secret_hash = $2
                 WHERE client_id = $1
                   AND NOT EXISTS (SELECT 1 FROM app_sign_ins s
                                   WHERE s.client_id = apps.client_id AND s.public_at IS NOT NULL)",
                args![client_id, secret_hash],
            )
            .await?;
        if changed == 0 {
            return Ok(false);
        }
        self.execute(
            "INSERT INTO app_sign_ins (client_id, redirect_uris, secret_rotated_at) VALUES ($1, '[]', $2)
             ON CONFLICT (client_id) DO UPDATE SET secret_rotated_at = excluded.secret_rotated_at",
            args![client_id, now],
        )
        .await?;
        Ok(true)
    }

    /// Notes that an app was given a token, unless that was noted after `unless_after`.
    pub async fn note_app_use(
        &mut self,
        client_id: &str,
        now: i64,
        unless_after: i64,
    ) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO app_sign_ins (client_id, redirect_uris, last_used_at) VALUES ($1, '[]', $2)
             ON CONFLICT (client_id) DO UPDATE SET last_used_at = excluded.last_used_at
             WHERE app_sign_ins.last_used_at IS NULL OR app_sign_ins.last_used_at <= $3",
            args![client_id, now, unless_after],
        )
        .await
        .map(drop)
    }

    /// Burns the id of an assertion. [`DbError::Duplicate`]: it was used before.
    pub async fn insert_assertion(&mut self, jti_hash: &str, expires_at: i64) -> Result<(), DbError> {
        self.execute("INSERT INTO assertions VALUES ($1, $2)", args![jti_hash, expires_at]).await.map(drop)
    }
}
