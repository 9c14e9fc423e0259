//! How a client proves who it is.

mod jwt;
mod oauth;
mod store;
mod tokens;

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::transport::Form;

pub use jwt::{Algorithm, BOX_AUDIENCE, Jwt};
pub use oauth::{Authorization, OAuth};
pub use store::{FileStore, MemoryStore, StoredTokens, TokenStore};
pub(crate) use tokens::Tokens;

/// How the client proves who it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Auth {
    /// A token that was made by hand, lives an hour and cannot be refreshed.
    DeveloperToken(SecretString),
    /// An app's id and secret.
    ClientCredentials(ClientCredentials),
    /// An app's key, from Box's configuration file.
    Jwt(Jwt),
    /// A person who signed in, by authorization code and refresh tokens.
    OAuth(OAuth),
}

impl Auth {
    /// Uses a token that was made by hand.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # let (url, token) = (service.url.as_str(), service.token.as_str());
    /// use lightsout_client::{Auth, Client};
    ///
    /// let client = Client::new(url, Auth::developer_token(token))?;
    /// println!("{:?}", client.me().await?.login);
    /// # Ok(()) });
    /// ```
    pub fn developer_token(token: impl Into<SecretString>) -> Self {
        Self::DeveloperToken(token.into())
    }

    /// Uses an app's id and secret; the same as [`ClientCredentials::new`].
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # let (url, enterprise_id) = (service.url.as_str(), service.enterprise_id.as_str());
    /// # let (client_id, secret) = (service.client_id.as_str(), service.client_secret.as_str());
    /// use lightsout_client::{Auth, Client, Subject};
    ///
    /// let auth = Auth::client_credentials(client_id, secret, Subject::enterprise(enterprise_id));
    /// Client::new(url, auth)?.me().await?;
    /// # Ok(()) });
    /// ```
    pub fn client_credentials(
        client_id: impl Into<String>,
        client_secret: impl Into<SecretString>,
        subject: Subject,
    ) -> Self {
        ClientCredentials::new(client_id, client_secret, subject).into()
    }

    /// Whether a refused token can be replaced.
    pub(crate) fn can_refresh(&self) -> bool {
        !matches!(self, Self::DeveloperToken(_))
    }

    /// The app's id and secret, where it has them.
    pub(crate) fn app(&self) -> Option<(&str, Option<&SecretString>)> {
        match self {
            Self::DeveloperToken(_) => None,
            Self::ClientCredentials(app) => Some((&app.client_id, Some(&app.client_secret))),
            Self::Jwt(jwt) => Some((&jwt.client_id, Some(&jwt.client_secret))),
            Self::OAuth(app) => Some((&app.client_id, app.client_secret.as_ref())),
        }
    }
}

impl From<ClientCredentials> for Auth {
    fn from(app: ClientCredentials) -> Self {
        Self::ClientCredentials(app)
    }
}

impl From<Jwt> for Auth {
    fn from(jwt: Jwt) -> Self {
        Self::Jwt(jwt)
    }
}

impl From<OAuth> for Auth {
    fn from(app: OAuth) -> Self {
        Self::OAuth(app)
    }
}

/// On whose behalf an app asks for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The app's service account in the enterprise of this id.
    Enterprise(String),
    /// The user of this id.
    User(String),
}

impl Subject {
    /// The app's service account in this enterprise.
    ///
    /// ```
    /// use lightsout_client::Subject;
    ///
    /// assert_eq!(Subject::enterprise("899"), Subject::Enterprise("899".to_owned()));
    /// ```
    pub fn enterprise(id: impl Into<String>) -> Self {
        Self::Enterprise(id.into())
    }

    /// This user.
    ///
    /// ```
    /// use lightsout_client::Subject;
    ///
    /// assert_eq!(Subject::user("12"), Subject::User("12".to_owned()));
    /// ```
    pub fn user(id: impl Into<String>) -> Self {
        Self::User(id.into())
    }

    /// Box's word for what it is, and the id.
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Enterprise(id) => ("enterprise", id),
            Self::User(id) => ("user", id),
        }
    }
}

/// An app's id and secret (RFC 6749, section 4.4), and on whose behalf it asks.
///
/// ```
/// # lightsout_testkit::example(|service| async move {
/// # let (url, enterprise_id) = (service.url.as_str(), service.enterprise_id.as_str());
/// # let (client_id, secret) = (service.client_id.as_str(), service.client_secret.as_str());
/// use lightsout_client::{Client, ClientCredentials, Subject};
///
/// let app = ClientCredentials::new(client_id, secret, Subject::enterprise(enterprise_id));
/// let client = Client::new(url, app)?;
/// println!("{:?}", client.me().await?.name);
/// # Ok(()) });
/// ```
#[derive(Clone)]
pub struct ClientCredentials {
    client_id: String,
    client_secret: SecretString,
    subject: Subject,
}

impl ClientCredentials {
    /// An app by its id and secret.
    ///
    /// ```
    /// use lightsout_client::{BOX, Client, ClientCredentials, Subject};
    ///
    /// let app = ClientCredentials::new("CLIENT ID", "SECRET", Subject::enterprise("899"));
    /// let client = Client::new(BOX, app)?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn new(
        client_id: impl Into<String>,
        client_secret: impl Into<SecretString>,
        subject: Subject,
    ) -> Self {
        Self { client_id: client_id.into(), client_secret: client_secret.into(), subject }
    }

    /// The same app on another's behalf; [`Client::with_auth`](crate::Client::with_auth) uses it.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Client, ClientCredentials};
    /// # let (client_id, secret) = (service.client_id.as_str(), service.client_secret.as_str());
    /// # let app = ClientCredentials::new(client_id, secret, lightsout_client::Subject::user("0"));
    /// # let (url, user_id) = (service.url.as_str(), service.user_id.as_str());
    /// use lightsout_client::Subject;
    ///
    /// let ann = Client::new(url, app.with_subject(Subject::user(user_id)))?;
    /// assert_eq!(ann.me().await?.login.as_deref(), Some("ann@acme.example"));
    /// # Ok(()) });
    /// ```
    pub fn with_subject(&self, subject: Subject) -> Self {
        Self { subject, ..self.clone() }
    }

    fn form(&self) -> Form {
        let (kind, id) = self.subject.parts();
        vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", self.client_id.clone()),
            ("client_secret", self.client_secret.expose_secret().to_owned()),
            ("box_subject_type", kind.to_owned()),
            ("box_subject_id", id.to_owned()),
        ]
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("client_id", &self.client_id)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}
