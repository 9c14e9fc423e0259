//! What people granted to apps: grants, their codes, their refresh tokens, and the tokens made of them.
//!
//! Whoever changes what belongs to a grant holds its row ([`Tx::lock_grant`]), so that a code is
//! exchanged once, and nothing is added to a family that is being revoked.

use super::apps::FIND_TOKEN;
use crate::args;
use crate::store::{DbError, TokenFacts, Tx};

/// A grant to store, with its code.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// The id.
    pub grant_id: String,
    /// The app.
    pub client_id: String,
    /// SHA-256 of the id of the sign-in session in which it is granted.
    pub session_hash: String,
    /// The app whose sessions sign-in sessions are.
    pub session_client_id: &'static str,
    /// Scopes, separated by spaces.
    pub scopes: String,
    /// SHA-256 of the code.
    pub code_hash: String,
    /// Where the code is sent.
    pub redirect_uri: String,
    /// The S256 challenge, if one was sent.
    pub challenge: Option<String>,
    /// When the code expires.
    pub expires_at: i64,
}

/// A grant with what is known of its person now.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct GrantRow {
    /// The id.
    pub grant_id: String,
    /// The app.
    pub client_id: String,
    /// Who granted it.
    pub user_id: String,
    /// The person's tenant.
    pub enterprise_id: String,
    /// Scopes, separated by spaces.
    pub scopes: String,
    /// The person's generation when it was granted.
    pub generation: i64,
    /// The person's generation now.
    pub generation_now: i64,
    /// The person's status, in the wire's words.
    pub status: String,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

impl GrantRow {
    /// Whether the grant stands: not revoked, its person active and not terminated since.
    pub fn stands(&self) -> bool {
        self.revoked_at.is_none() && self.generation >= self.generation_now && self.status != "inactive"
    }
}

/// A code.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct CodeRow {
    /// Where it was sent.
    pub redirect_uri: String,
    /// The S256 challenge, if one was sent.
    pub challenge: Option<String>,
    /// When it expires.
    pub expires_at: i64,
    /// When it was exchanged.
    pub used_at: Option<i64>,
}

/// A refresh token, and what became of those beside and after it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct RefreshRow {
    /// When it expires.
    pub expires_at: i64,
    /// When it was used first.
    pub used_at: Option<i64>,
    /// How many of those that it was exchanged for were used, themselves or by their access token.
    pub successors_used: i64,
    /// How many others that came of the same predecessor were used, themselves or by their access token.
    pub siblings_used: i64,
}

/// A token that is made of something older: of a grant, or of another token. It has that one's generation,
/// so that a termination which commits meanwhile ends it, too.
#[derive(Clone, Debug)]
pub struct DerivedToken {
    /// SHA-256 of the token.
    pub token_hash: String,
    /// On whose behalf.
    pub user_id: String,
    /// The app.
    pub client_id: Option<String>,
    /// Scopes, separated by spaces.
    pub scopes: String,
    /// The generation of what it is made of.
    pub generation: i64,
    /// The grant that it belongs to.
    pub grant_id: Option<String>,
    /// SHA-256 of the token that it is made of.
    pub subject_hash: Option<String>,
    /// SHA-256 of the refresh token that it is given with.
    pub refresh_hash: Option<String>,
    /// When it is made.
    pub created_at: i64,
    /// When it expires.
    pub expires_at: i64,
}

impl Tx {
    /// Stores a grant and its code, if the sign-in session is active at this moment. False: it is not.
    ///
    /// The generation is the session's: a termination that commits before is seen, and one that commits
    /// later ends the grant.
    pub async fn insert_grant(&mut self, grant: &NewGrant, now: i64) -> Result<bool, DbError> {
        let granted = self
            .execute(
                "INSERT INTO grants
                     (grant_id, client_id, user_id, scopes, generation, created_at, expires_at)
                 SELECT $1, $2, s.user_id, $3, s.generation, $4, $5
                 FROM sessions s
                 JOIN users u ON u.user_id = s.user_id AND u.status <> 'inactive' AND u.service_of IS NULL
                 LEFT JOIN barriers b ON b.user_id = s.user_id
                 WHERE s.session_hash = $6
                   AND s.client_id = $7
                   AND s.ended_at IS NULL
                   AND s.expires_at > $4
                   AND s.generation >= coalesce(b.generation, 0)",
                args![
                    &grant.grant_id,
                    &grant.client_id,
                    &grant.scopes,
                    now,
                    grant.expires_at,
                    &grant.session_hash,
                    grant.session_client_id
                ],
            )
            .await?;
        if granted == 0 {
            return Ok(false);
        }
        self.execute(
            "INSERT INTO authorization_codes (code_hash, grant_id, redirect_uri, challenge, expires_at)
             VALUES ($1, $2, $3, $4, $5)",
            args![
                &grant.code_hash,
                &grant.grant_id,
                &grant.redirect_uri,
                grant.challenge.clone(),
                grant.expires_at
            ],
        )
        .await?;
        Ok(true)
    }

    /// The grant that a code belongs to.
    pub async fn find_grant_of_code(&mut self, code_hash: &str) -> Result<Option<String>, DbError> {
        let sql = "SELECT grant_id FROM authorization_codes WHERE code_hash = $1";
        Ok(self.find::<(String,)>(sql, args![code_hash]).await?.map(|(id,)| id))
    }

    /// The grant that a refresh token belongs to.
    pub async fn find_grant_of_refresh_token(&mut self, token_hash: &str) -> Result<Option<String>, DbError> {
        let sql = "SELECT grant_id FROM refresh_tokens WHERE token_hash = $1";
        Ok(self.find::<(String,)>(sql, args![token_hash]).await?.map(|(id,)| id))
    }

    /// The grant that an access token was given for; none for one that was made of another token.
    pub async fn find_grant_of_access_token(&mut self, token_hash: &str) -> Result<Option<String>, DbError> {
        let sql = "SELECT grant_id FROM tokens
                   WHERE token_hash = $1 AND grant_id IS NOT NULL AND subject_hash IS NULL";
        Ok(self.find::<(String,)>(sql, args![token_hash]).await?.map(|(id,)| id))
    }

    /// Locks a grant until the end of the transaction, and reads it. None: it or its person is gone.
    pub async fn lock_grant(&mut self, grant_id: &str) -> Result<Option<GrantRow>, DbError> {
        // A statement of its own: the next one then reads what was committed while this one waited.
        let sql = "SELECT grant_id FROM grants WHERE grant_id = $1 {for_update}";
        if self.find::<(String,)>(sql, args![grant_id]).await?.is_none() {
            return Ok(None);
        }
        self.find(
            "SELECT g.grant_id, g.client_id, g.user_id, u.enterprise_id, g.scopes, g.generation,
                    coalesce(b.generation, 0) AS generation_now, u.status, g.revoked_at
             FROM grants g
             JOIN users u ON u.user_id = g.user_id
             LEFT JOIN barriers b ON b.user_id = g.user_id
             WHERE g.grant_id = $1",
            args![grant_id],
        )
        .await
    }

    /// Reads a code. The caller holds its grant.
    pub async fn find_code(&mut self, code_hash: &str) -> Result<Option<CodeRow>, DbError> {
        self.find(
            "SELECT redirect_uri, challenge, expires_at, used_at
             FROM authorization_codes WHERE code_hash = $1",
            args![code_hash],
        )
        .await
    }

    /// Marks a code as exchanged.
    pub async fn use_code(&mut self, code_hash: &str, now: i64) -> Result<(), DbError> {
        self.execute(
            "UPDATE authorization_codes SET used_at = $2 WHERE code_hash = $1",
            args![code_hash, now],
        )
        .await
        .map(drop)
    }

    /// Reads a refresh token. The caller holds its grant.
    pub async fn find_refresh_token(&mut self, token_hash: &str) -> Result<Option<RefreshRow>, DbError> {
        self.find(
            "SELECT r.expires_at, r.used_at,
                    (SELECT count(*) FROM refresh_tokens s
                     WHERE s.parent_hash = r.token_hash
                       AND (s.used_at IS NOT NULL
                            OR EXISTS (SELECT 1 FROM tokens t
                                       WHERE t.refresh_hash = s.token_hash AND t.first_used_at IS NOT NULL))
                    ) AS successors_used,
                    (SELECT count(*) FROM refresh_tokens s
                     WHERE s.parent_hash = r.parent_hash AND s.token_hash <> r.token_hash
                       AND (s.used_at IS NOT NULL
                            OR EXISTS (SELECT 1 FROM tokens t
                                       WHERE t.refresh_hash = s.token_hash AND t.first_used_at IS NOT NULL))
                    ) AS siblings_used
             FROM refresh_tokens r
             WHERE r.token_hash = $1",
            args![token_hash],
        )
        .await
    }

    /// Stores a refresh token; the one that it replaces, if any, was used at this moment at the latest.
    /// The grant is kept as long.
    pub async fn insert_refresh_token(
        &mut self,
        grant_id: &str,
        token_hash: &str,
        replaces: Option<&str>,
        now: i64,
        expires_at: i64,
    ) -> Result<(), DbError> {
        if let Some(replaces) = replaces {
            self.execute(
                "UPDATE refresh_tokens SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL",
                args![replaces, now],
            )
            .await?;
        }
        self.execute(
            "INSERT INTO refresh_tokens (token_hash, grant_id, parent_hash, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5)",
            args![token_hash, grant_id, replaces.map(ToOwned::to_owned), now, expires_at],
        )
        .await?;
        self.execute(
            "UPDATE grants SET expires_at = $2 WHERE grant_id = $1 AND expires_at < $2",
            args![grant_id, expires_at],
        )
        .await
        .map(drop)
    }

    /// Locks a token until the end of the transaction, and reads it with the grant that it belongs to.
    /// The grant is locked first.
    pub async fn lock_token(
        &mut self,
        token_hash: &str,
    ) -> Result<Option<(TokenFacts, Option<String>)>, DbError> {
        let sql = "SELECT grant_id FROM tokens WHERE token_hash = $1";
        let Some((grant_id,)) = self.find::<(Option<String>,)>(sql, args![token_hash]).await? else {
            return Ok(None);
        };
        if let Some(grant_id) = &grant_id {
            self.lock_grant(grant_id).await?;
        }
        let sql = "SELECT token_hash FROM tokens WHERE token_hash = $1 {for_update}";
        self.find::<(String,)>(sql, args![token_hash]).await?;
        let facts = self.find(FIND_TOKEN, args![token_hash]).await?;
        Ok(facts.map(|facts| (facts, grant_id)))
    }

    /// Stores a token that is made of something older. The caller holds that.
    pub async fn insert_derived_token(&mut self, token: &DerivedToken) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO tokens
                 (token_hash, user_id, client_id, scopes, generation, created_at, expires_at, grant_id,
                  subject_hash, refresh_hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            args![
                &token.token_hash,
                &token.user_id,
                token.client_id.clone(),
                &token.scopes,
                token.generation,
                token.created_at,
                token.expires_at,
                token.grant_id.clone(),
                token.subject_hash.clone(),
                token.refresh_hash.clone()
            ],
        )
        .await
        .map(drop)
    }

    /// Revokes a grant and every token that came of it. The caller holds it.
    pub async fn revoke_grant(&mut self, grant_id: &str, now: i64) -> Result<(), DbError> {
        for sql in [
            "UPDATE grants SET revoked_at = $2 WHERE grant_id = $1 AND revoked_at IS NULL",
            "UPDATE tokens SET revoked_at = $2 WHERE grant_id = $1 AND revoked_at IS NULL",
        ] {
            self.execute(sql, args![grant_id, now]).await?;
        }
        Ok(())
    }

    /// Revokes whatever a person granted, and returns the apps that had it, each as often as it was
    /// granted.
    pub async fn revoke_grants_of(&mut self, user_id: &str, now: i64) -> Result<Vec<String>, DbError> {
        let sql = "SELECT grant_id, client_id FROM grants
                   WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
                   ORDER BY grant_id {for_update}";
        let grants: Vec<(String, String)> = self.fetch(sql, args![user_id, now]).await?;
        for (grant_id, _) in &grants {
            self.revoke_grant(grant_id, now).await?;
        }
        Ok(grants.into_iter().map(|(_, client_id)| client_id).collect())
    }

    /// Revokes a token of an app and every token that was made of it, and returns its user and tenant.
    /// None: it is unknown, revoked already, or another app's (RFC 7009).
    pub async fn revoke_token(
        &mut self,
        token_hash: &str,
        client_id: &str,
        now: i64,
    ) -> Result<Option<(String, String)>, DbError> {
        let revoked: Option<(String,)> = self
            .find(
                "UPDATE tokens SET revoked_at = $3
                 WHERE token_hash = $1 AND client_id = $2 AND revoked_at IS NULL
                 RETURNING user_id",
                args![token_hash, client_id, now],
            )
            .await?;
        let Some((user_id,)) = revoked else { return Ok(None) };
        // Until there are no more: one that was being made when this began has been committed meanwhile.
        while self
            .execute(
                "WITH RECURSIVE made (token_hash) AS (
                     SELECT token_hash FROM tokens WHERE subject_hash = $1
                     UNION
                     SELECT t.token_hash FROM tokens t JOIN made m ON t.subject_hash = m.token_hash
                 )
                 UPDATE tokens SET revoked_at = $2
                 WHERE revoked_at IS NULL AND token_hash IN (SELECT token_hash FROM made)",
                args![token_hash, now],
            )
            .await?
            > 0
        {}
        let sql = "SELECT user_id, enterprise_id FROM users WHERE user_id = $1";
        self.find(sql, args![&user_id]).await
    }
}
