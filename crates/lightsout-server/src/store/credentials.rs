//! What people sign in with: passwords, one-time links, second factors, sign-ins under way.

use super::{SessionRow, UserRow};
use crate::args;
use crate::domain::fold::fold;
use crate::store::{Db, DbError, Tx};

/// A person with what a sign-in needs to know, read in one statement.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SignInRow {
    /// The person.
    #[sqlx(flatten)]
    pub user: UserRow,
    /// The password as a PHC string.
    pub password_hash: Option<String>,
    /// When it was set.
    pub password_set_at: Option<i64>,
    /// The generation at this moment.
    pub generation: i64,
    /// When the newest termination of the person was; 0: there was none.
    pub cutoff: i64,
    /// When the second factor was confirmed, if it was.
    pub confirmed_at: Option<i64>,
    /// Who needs a second factor in the enterprise; none: nobody.
    pub policy: Option<String>,
}

/// A second factor.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SecondFactorRow {
    /// The secret in base32.
    pub secret: String,
    /// When a first code confirmed it; none: it is not in use yet.
    pub confirmed_at: Option<i64>,
    /// The newest step whose code was taken.
    pub last_step: i64,
}

/// A sign-in under way.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PendingRow {
    /// Who has shown a first factor; none while an outside provider is asked.
    pub user_id: Option<String>,
    /// The person's generation when they began.
    pub generation: i64,
    /// The outside provider that is asked, or that vouched for the person.
    pub provider: Option<String>,
    /// What the provider's answer must hold.
    pub nonce: Option<String>,
    /// The secret of PKCE.
    pub verifier: Option<String>,
    /// Where to go afterwards.
    pub return_to: String,
    /// Codes that were tried.
    pub attempts: i64,
    /// When it is over.
    pub expires_at: i64,
}

/// A person at an outside provider.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct IdentityRow {
    /// The issuer.
    pub iss: String,
    /// The person's name there.
    pub sub: String,
    /// The person here.
    pub user_id: String,
}

/// The rows of a [`SignInRow`].
macro_rules! sign_in {
    ($condition:literal) => {
        concat!(
            "SELECT u.*, p.password_hash, p.set_at AS password_set_at,
                    coalesce(b.generation, 0) AS generation, coalesce(b.cutoff, 0) AS cutoff, f.confirmed_at, s.second_factor AS policy
             FROM users u
             LEFT JOIN passwords p ON p.user_id = u.user_id
             LEFT JOIN barriers b ON b.user_id = u.user_id
             LEFT JOIN second_factors f ON f.user_id = u.user_id
             LEFT JOIN sign_in_policies s ON s.enterprise_id = u.enterprise_id
             WHERE ",
            $condition
        )
    };
}

/// A statement that reads [`PendingRow`]s, by what stands before and after its columns.
macro_rules! pending {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " user_id, generation, provider, nonce, verifier, return_to, attempts, expires_at ",
            $after
        )
    };
}

impl Db {
    /// Finds who signs in with a login, in any case.
    pub async fn find_sign_in(&self, login: &str) -> Result<Option<SignInRow>, DbError> {
        self.find(sign_in!("u.login_folded = $1"), args![fold(login)]).await
    }

    /// Finds what a person signs in with.
    pub async fn find_sign_in_of(&self, user_id: &str) -> Result<Option<SignInRow>, DbError> {
        self.find(sign_in!("u.user_id = $1"), args![user_id]).await
    }

    /// Finds a person's second factor, confirmed or not.
    pub async fn find_second_factor(&self, user_id: &str) -> Result<Option<SecondFactorRow>, DbError> {
        let sql = "SELECT secret, confirmed_at, last_step FROM second_factors WHERE user_id = $1";
        self.find(sql, args![user_id]).await
    }

    /// Finds whose password a one-time link sets.
    pub async fn find_password_link(&self, link_hash: &str, now: i64) -> Result<Option<String>, DbError> {
        let sql = "SELECT user_id FROM password_links WHERE link_hash = $1 AND expires_at > $2";
        Ok(self.find(sql, args![link_hash, now]).await?.map(|(user_id,): (String,)| user_id))
    }

    /// Finds a sign-in under way.
    pub async fn find_pending(&self, pending_hash: &str, now: i64) -> Result<Option<PendingRow>, DbError> {
        self.find(
            pending!("SELECT", "FROM pending_sign_ins WHERE pending_hash = $1 AND expires_at > $2"),
            args![pending_hash, now],
        )
        .await
    }

    /// Finds the person behind an identity at an outside provider.
    pub async fn find_identity(&self, iss: &str, sub: &str) -> Result<Option<IdentityRow>, DbError> {
        let sql = "SELECT iss, sub, user_id FROM identities WHERE iss = $1 AND sub = $2";
        self.find(sql, args![iss, sub]).await
    }

    /// Lists a person's live sessions that an app registered, the newest first.
    pub async fn list_newest_sessions_of_app(
        &self,
        user_id: &str,
        client_id: &str,
        now: i64,
        limit: i64,
    ) -> Result<Vec<SessionRow>, DbError> {
        self.fetch(
            "SELECT s.session_hash, s.user_id, s.client_id, s.began_at, s.expires_at, s.device, s.address
             FROM sessions s
             LEFT JOIN barriers b ON b.user_id = s.user_id
             WHERE s.user_id = $1
               AND s.client_id = $2
               AND s.expires_at > $3
               AND s.generation >= coalesce(b.generation, 0)
             ORDER BY s.began_at DESC, s.session_hash
             LIMIT $4",
            args![user_id, client_id, now, limit],
        )
        .await
    }

    /// Lists a person's identities at outside providers.
    pub async fn list_identities(&self, user_id: &str) -> Result<Vec<IdentityRow>, DbError> {
        let sql = "SELECT iss, sub, user_id FROM identities WHERE user_id = $1 ORDER BY iss, sub";
        self.fetch(sql, args![user_id]).await
    }
}

impl Tx {
    /// Reads what a person signs in with, and holds the password's row until the commit: a password that
    /// is changed meanwhile waits.
    pub async fn hold_sign_in_of(&mut self, user_id: &str) -> Result<Option<SignInRow>, DbError> {
        let sql = "SELECT set_at FROM passwords WHERE user_id = $1 {for_update}";
        let _: Option<(i64,)> = self.find(sql, args![user_id]).await?;
        self.find(sign_in!("u.user_id = $1"), args![user_id]).await
    }

    /// Sets a password.
    pub async fn upsert_password(&mut self, user_id: &str, hash: &str, now: i64) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO passwords (user_id, password_hash, set_at) VALUES ($1, $2, $3)
             ON CONFLICT (user_id) DO UPDATE
             SET password_hash = excluded.password_hash,
                 set_at = CASE WHEN excluded.set_at > passwords.set_at
                               THEN excluded.set_at ELSE passwords.set_at + 1 END",
            args![user_id, hash, now],
        )
        .await
        .map(drop)
    }

    /// Stores the same password in a newer form, unless it was changed meanwhile.
    pub async fn update_password_hash(&mut self, user_id: &str, from: &str, to: &str) -> Result<(), DbError> {
        let sql = "UPDATE passwords SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2";
        self.execute(sql, args![user_id, from, to]).await.map(drop)
    }

    /// Stores a one-time link.
    pub async fn insert_password_link(
        &mut self,
        link_hash: &str,
        user_id: &str,
        expires_at: i64,
    ) -> Result<(), DbError> {
        let sql = "INSERT INTO password_links (link_hash, user_id, expires_at) VALUES ($1, $2, $3)";
        self.execute(sql, args![link_hash, user_id, expires_at]).await.map(drop)
    }

    /// Uses up a one-time link, and returns whose it was.
    pub async fn take_password_link(&mut self, link_hash: &str, now: i64) -> Result<Option<String>, DbError> {
        let sql = "DELETE FROM password_links WHERE link_hash = $1 AND expires_at > $2 RETURNING user_id";
        Ok(self.find(sql, args![link_hash, now]).await?.map(|(user_id,): (String,)| user_id))
    }

    /// Ends every one-time link and every sign-in under way of a person.
    pub async fn delete_sign_ins_under_way(&mut self, user_id: &str) -> Result<(), DbError> {
        self.execute("DELETE FROM password_links WHERE user_id = $1", args![user_id]).await?;
        self.execute("DELETE FROM pending_sign_ins WHERE user_id = $1", args![user_id]).await.map(drop)
    }

    /// The live sessions of a person that an app registered: (hash, expiry).
    pub async fn list_sessions_of_app(
        &mut self,
        user_id: &str,
        client_id: &str,
        now: i64,
    ) -> Result<Vec<(String, i64)>, DbError> {
        self.fetch(
            "SELECT s.session_hash, s.expires_at
             FROM sessions s
             LEFT JOIN barriers b ON b.user_id = s.user_id
             WHERE s.user_id = $1
               AND s.client_id = $2
               AND s.expires_at > $3
               AND s.generation >= coalesce(b.generation, 0)
             ORDER BY s.session_hash",
            args![user_id, client_id, now],
        )
        .await
    }

    /// Stores a second factor that waits for its first code. One that is in use stays, and it is false.
    pub async fn upsert_second_factor(&mut self, user_id: &str, secret: &str) -> Result<bool, DbError> {
        let stored = self
            .execute(
                "INSERT INTO second_factors (user_id, secret, confirmed_at, last_step) VALUES ($1, $2, NULL, 0)
                 ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret
                 WHERE second_factors.confirmed_at IS NULL",
                args![user_id, secret],
            )
            .await?;
        Ok(stored > 0)
    }

    /// Notes the step whose code was taken. False: a code of it, or of a later one, was taken before, or
    /// the secret is another by now.
    pub async fn use_step(&mut self, user_id: &str, secret: &str, step: i64) -> Result<bool, DbError> {
        let sql = "UPDATE second_factors SET last_step = $3
                   WHERE user_id = $1 AND secret = $2 AND last_step < $3";
        Ok(self.execute(sql, args![user_id, secret, step]).await? > 0)
    }

    /// Puts a second factor in use. False: it is in use already.
    pub async fn confirm_second_factor(&mut self, user_id: &str, now: i64) -> Result<bool, DbError> {
        let sql = "UPDATE second_factors SET confirmed_at = $2 WHERE user_id = $1 AND confirmed_at IS NULL";
        Ok(self.execute(sql, args![user_id, now]).await? > 0)
    }

    /// Takes a second factor away.
    pub async fn delete_second_factor(&mut self, user_id: &str) -> Result<bool, DbError> {
        Ok(self.execute("DELETE FROM second_factors WHERE user_id = $1", args![user_id]).await? > 0)
    }

    /// Stores a sign-in under way.
    pub async fn insert_pending(&mut self, pending_hash: &str, row: &PendingRow) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO pending_sign_ins
                 (pending_hash, user_id, generation, provider, nonce, verifier, return_to, attempts, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            args![
                pending_hash,
                row.user_id.clone(),
                row.generation,
                row.provider.clone(),
                row.nonce.clone(),
                row.verifier.clone(),
                &row.return_to,
                row.attempts,
                row.expires_at
            ],
        )
        .await
        .map(drop)
    }

    /// Counts one more code that is tried, before it is looked at. None: the sign-in is over, or as many
    /// as may be were tried.
    pub async fn count_attempt(
        &mut self,
        pending_hash: &str,
        now: i64,
        attempts_max: i64,
    ) -> Result<Option<PendingRow>, DbError> {
        self.find(
            pending!(
                "UPDATE pending_sign_ins SET attempts = attempts + 1
                 WHERE pending_hash = $1 AND expires_at > $2 AND attempts < $3 AND user_id IS NOT NULL
                 RETURNING",
                ""
            ),
            args![pending_hash, now, attempts_max],
        )
        .await
    }

    /// Ends a sign-in under way, and returns it.
    pub async fn take_pending(
        &mut self,
        pending_hash: &str,
        now: i64,
    ) -> Result<Option<PendingRow>, DbError> {
        self.find(
            pending!(
                "DELETE FROM pending_sign_ins WHERE pending_hash = $1 AND expires_at > $2 RETURNING",
                ""
            ),
            args![pending_hash, now],
        )
        .await
    }

    /// Finds the person behind an identity, and holds its row until the commit: whoever takes it away
    /// waits.
    pub async fn hold_identity(&mut self, iss: &str, sub: &str) -> Result<Option<IdentityRow>, DbError> {
        let sql = "SELECT iss, sub, user_id FROM identities WHERE iss = $1 AND sub = $2 {for_update}";
        self.find(sql, args![iss, sub]).await
    }

    /// Finds what a person is called at an issuer.
    pub async fn find_identity_at(
        &mut self,
        iss: &str,
        user_id: &str,
    ) -> Result<Option<IdentityRow>, DbError> {
        let sql = "SELECT iss, sub, user_id FROM identities WHERE user_id = $2 AND iss = $1";
        self.find(sql, args![iss, user_id]).await
    }

    /// Binds a person to an identity at an outside provider.
    pub async fn insert_identity(&mut self, row: &IdentityRow, now: i64) -> Result<(), DbError> {
        let sql = "INSERT INTO identities (iss, sub, user_id, bound_at) VALUES ($1, $2, $3, $4)";
        self.execute(sql, args![&row.iss, &row.sub, &row.user_id, now]).await.map(drop)
    }

    /// Unbinds a person from an issuer, and an identity there from whoever is gone. The number of
    /// identities that went.
    pub async fn delete_identities_at(
        &mut self,
        iss: &str,
        user_id: &str,
        sub: &str,
    ) -> Result<u64, DbError> {
        self.execute(
            "DELETE FROM identities
             WHERE iss = $1
               AND (user_id = $2
                    OR sub = $3 AND NOT EXISTS (SELECT 1 FROM users u WHERE u.user_id = identities.user_id))",
            args![iss, user_id, sub],
        )
        .await
    }

    /// Says who needs a second factor in an enterprise; none: nobody.
    pub async fn set_sign_in_policy(
        &mut self,
        enterprise_id: &str,
        second_factor: Option<&str>,
    ) -> Result<(), DbError> {
        let Some(second_factor) = second_factor else {
            let sql = "DELETE FROM sign_in_policies WHERE enterprise_id = $1";
            return self.execute(sql, args![enterprise_id]).await.map(drop);
        };
        self.execute(
            "INSERT INTO sign_in_policies (enterprise_id, second_factor) VALUES ($1, $2)
             ON CONFLICT (enterprise_id) DO UPDATE SET second_factor = excluded.second_factor",
            args![enterprise_id, second_factor],
        )
        .await
        .map(drop)
    }

    /// Forgets everything that a person signs in with.
    pub async fn delete_credentials(&mut self, user_id: &str) -> Result<(), DbError> {
        for sql in [
            "DELETE FROM passwords WHERE user_id = $1",
            "DELETE FROM second_factors WHERE user_id = $1",
            "DELETE FROM identities WHERE user_id = $1",
        ] {
            self.execute(sql, args![user_id]).await?;
        }
        self.delete_sign_ins_under_way(user_id).await
    }
}
