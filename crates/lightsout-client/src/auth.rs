//! Where tokens come from.

use lightsout_api::AccessToken;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::client::{CALL_TIMEOUT, read};
use crate::error::Error;

/// How the client proves who it is.
#[derive(Clone, Debug)]
pub enum Auth {
    /// A token that was made by hand and cannot be refreshed.
    DeveloperToken(SecretString),
    /// An app's id and secret (RFC 6749, section 4.4); tokens are fetched and refreshed.
    ClientCredentials {
        /// The app's id.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
        /// On whose behalf.
        subject: Subject,
    },
}

/// On whose behalf an app asks for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The app's service account in this enterprise.
    Enterprise(String),
    /// This user.
    User(String),
}

impl Auth {
    /// Uses a token that was made by hand.
    pub fn developer_token(token: impl Into<SecretString>) -> Self {
        Self::DeveloperToken(token.into())
    }

    /// Uses an app's id and secret.
    pub fn client_credentials(
        client_id: impl Into<String>,
        client_secret: impl Into<SecretString>,
        subject: Subject,
    ) -> Self {
        Self::ClientCredentials { client_id: client_id.into(), client_secret: client_secret.into(), subject }
    }
}

/// The present token, fetched once however many calls wait for it.
#[derive(Debug)]
pub(crate) struct Tokens {
    auth: Auth,
    token_url: String,
    present: Mutex<Option<SecretString>>,
}

impl Tokens {
    pub(crate) fn new(auth: Auth, token_url: String) -> Self {
        Self { auth, token_url, present: Mutex::new(None) }
    }

    /// Whether a refused token can be replaced.
    pub(crate) fn can_refresh(&self) -> bool {
        matches!(self.auth, Auth::ClientCredentials { .. })
    }

    /// The present token; a new one if there is none, or if the present one is `refused`.
    pub(crate) async fn token(
        &self,
        http: &reqwest::Client,
        refused: Option<&SecretString>,
    ) -> Result<SecretString, Error> {
        let (client_id, client_secret, subject) = match &self.auth {
            Auth::DeveloperToken(token) => return Ok(token.clone()),
            Auth::ClientCredentials { client_id, client_secret, subject } => {
                (client_id, client_secret, subject)
            }
        };
        let mut present = self.present.lock().await;
        let is_refused = |t: &SecretString| refused.is_some_and(|r| r.expose_secret() == t.expose_secret());
        if let Some(token) = present.as_ref().filter(|t| !is_refused(t)) {
            return Ok(token.clone());
        }
        let (kind, id) = match subject {
            Subject::Enterprise(id) => ("enterprise", id),
            Subject::User(id) => ("user", id),
        };
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", client_secret.expose_secret()),
            ("box_subject_type", kind),
            ("box_subject_id", id),
        ];
        let reply: AccessToken =
            read(http.post(&self.token_url).form(&form).timeout(CALL_TIMEOUT).send().await?).await?;
        let token = SecretString::from(reply.access_token);
        *present = Some(token.clone());
        Ok(token)
    }
}
