//! A person signs in (RFC 6749, section 4.1, with PKCE, RFC 7636), and what can be done with a token.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lightsout_api::AccessToken;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::{Auth, StoredTokens, TokenStore};
use crate::client::Client;
use crate::error::Error;
use crate::random;
use crate::retry::Repeat;
use crate::transport::Form;

/// An app at which people sign in, and where their tokens are kept.
///
/// ```
/// use lightsout_client::{Client, MemoryStore, OAuth};
///
/// let app = OAuth::new("CLIENT ID", MemoryStore::new()).client_secret("SECRET");
/// let client = Client::builder(app).build()?;
/// let sign_in = client.authorization("https://app.example/signed-in", &["manage_managed_users"])?;
/// println!("open {}", sign_in.url);
/// # Ok::<(), lightsout_client::Error>(())
/// ```
#[derive(Clone)]
pub struct OAuth {
    pub(super) client_id: String,
    pub(super) client_secret: Option<SecretString>,
    pub(super) store: Arc<dyn TokenStore>,
}

impl OAuth {
    /// An app by its id, with the store that keeps one person's tokens.
    ///
    /// ```
    /// use lightsout_client::{FileStore, OAuth};
    ///
    /// let app = OAuth::new("CLIENT ID", FileStore::new("tokens.json"));
    /// ```
    pub fn new(client_id: impl Into<String>, store: impl TokenStore + 'static) -> Self {
        Self { client_id: client_id.into(), client_secret: None, store: Arc::new(store) }
    }

    /// The app's secret. Box asks for it; a public client of a service has none.
    ///
    /// ```
    /// use lightsout_client::{BOX, Client, FileStore, OAuth};
    ///
    /// let app = OAuth::new("CLIENT ID", FileStore::new("tokens.json")).client_secret("SECRET");
    /// let client = Client::new(BOX, app)?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn client_secret(self, secret: impl Into<SecretString>) -> Self {
        Self { client_secret: Some(secret.into()), ..self }
    }

    pub(super) fn refresh_form(&self, stored: &StoredTokens) -> Form {
        let refresh_token = stored.refresh_token.expose_secret().to_owned();
        self.form("refresh_token", [("refresh_token", refresh_token)])
    }

    fn form<const N: usize>(&self, grant_type: &str, fields: [(&'static str, String); N]) -> Form {
        let mut form = vec![("grant_type", grant_type.to_owned()), ("client_id", self.client_id.clone())];
        form.extend(self.client_secret.as_ref().map(|s| ("client_secret", s.expose_secret().to_owned())));
        form.extend(fields);
        form
    }
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// One sign-in that was begun: where to send the person, and what its end is checked with.
///
/// Keep it on the server that began it, in the person's own session.
#[derive(Clone)]
pub struct Authorization {
    /// Where the person signs in and agrees.
    pub url: String,
    /// Comes back beside the code.
    state: SecretString,
    verifier: SecretString,
    redirect_uri: String,
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The state is in the address, too.
        f.debug_struct("Authorization").field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

impl Client {
    /// Begins a sign-in: the address to open, with a `state` and a PKCE challenge of its own.
    ///
    /// `redirect_uri` is one that the app has registered. Without scopes the person grants all that the
    /// app has. The client's credentials must be [`OAuth`].
    ///
    /// ```
    /// # use lightsout_client::{BOX, Client, MemoryStore, OAuth};
    /// # let client = Client::new(BOX, OAuth::new("CLIENT ID", MemoryStore::new()))?;
    /// let sign_in = client.authorization("https://app.example/signed-in", &["manage_groups"])?;
    /// assert!(sign_in.url.starts_with("https://account.box.com/api/oauth2/authorize?response_type=code"));
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn authorization(&self, redirect_uri: &str, scopes: &[&str]) -> Result<Authorization, Error> {
        let app = self.oauth()?;
        let (state, verifier) = (random::id(), URL_SAFE_NO_PAD.encode(random::bytes::<32>()));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        let mut url = Url::parse(&self.transport().addresses.authorize)
            .map_err(|error| Error::setup_because("the sign-in address cannot be read", error))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &app.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("state", &state)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(digest))
            .append_pair("code_challenge_method", "S256");
        if !scopes.is_empty() {
            url.query_pairs_mut().append_pair("scope", &scopes.join(" "));
        }
        Ok(Authorization {
            url: url.into(),
            state: state.into(),
            verifier: verifier.into(),
            redirect_uri: redirect_uri.to_owned(),
        })
    }

    /// Ends a sign-in: takes `code` and `state` from the address that the person came back to.
    ///
    /// A `state` other than the one given out is refused before anything is sent. The tokens are saved,
    /// and this client and its clones use them. A code is good once and for 30 seconds, so nothing is
    /// repeated when the answer is lost: begin anew.
    ///
    /// ```
    /// # lightsout_testkit::example_scripted(|server| async move {
    /// # use lightsout_client::{Client, MemoryStore, OAuth};
    /// # let app = OAuth::new("app", MemoryStore::new()).client_secret("SECRET");
    /// # let client = Client::builder(app).base_url(&server.url).build()?;
    /// let sign_in = client.authorization("https://app.example/signed-in", &[])?;
    /// // The person opens `sign_in.url`, agrees, and comes back with a code and the state.
    /// # let state = sign_in.url.split("state=").nth(1).unwrap().split('&').next().unwrap();
    /// # let code = "CODE";
    /// client.exchange_code(&sign_in, code, state).await?;
    /// # Ok(()) });
    /// ```
    pub async fn exchange_code(&self, sign_in: &Authorization, code: &str, state: &str) -> Result<(), Error> {
        let app = self.oauth()?.clone();
        if state != sign_in.state.expose_secret() {
            return Err(Error::setup(
                "the state is not the one of this sign-in, so the code may be another's",
            ));
        }
        let form = app.form(
            "authorization_code",
            [
                ("code", code.to_owned()),
                ("redirect_uri", sign_in.redirect_uri.clone()),
                ("code_verifier", sign_in.verifier.expose_secret().to_owned()),
            ],
        );
        let client = self.clone();
        // In a task of its own, as every use of what is good once.
        let exchanged = tokio::spawn(async move {
            let reply = client.post_token_form(Repeat::Harmful, form).await?;
            client.tokens().adopt(&app, reply).await
        });
        exchanged.await.unwrap_or_else(|error| Err(Error::setup_because("the sign-in was cut short", error)))
    }

    /// Gets a token that may do less (RFC 8693): only `scopes`, and only on `resource` if one is named.
    ///
    /// The present token lives on. A scope that it does not have is refused.
    ///
    /// ```
    /// # lightsout_testkit::example_scripted(|server| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&server.url, Auth::developer_token("TOKEN"))?;
    /// let weaker = client.downscope(&["manage_groups"], None).await?;
    /// let for_the_playbook = client.with_auth(Auth::developer_token(weaker.access_token));
    /// # Ok(()) });
    /// ```
    pub async fn downscope(&self, scopes: &[&str], resource: Option<&str>) -> Result<AccessToken, Error> {
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".to_owned()),
            ("subject_token", self.access_token().await?.expose_secret().to_owned()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token".to_owned()),
            ("scope", scopes.join(" ")),
        ];
        form.extend(resource.map(|resource| ("resource", resource.to_owned())));
        self.post_token_form(Repeat::Harmless, form).await
    }

    /// The present access token, fetched or renewed if need be.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Client, Jwt};
    /// # let client = Client::new(&service.url, Jwt::from_file(&service.jwt_config)?)?;
    /// use secrecy::ExposeSecret;
    ///
    /// let header = format!("Bearer {}", client.access_token().await?.expose_secret());
    /// # Ok(()) });
    /// ```
    pub async fn access_token(&self) -> Result<SecretString, Error> {
        self.tokens().token(None).await
    }

    /// Revokes the present token (RFC 7009), and the refresh token with it, and forgets both.
    ///
    /// An app that has no token yet sends nothing, and gets a new one at its next call; a person has to
    /// sign in again. A developer token can be
    /// revoked only where it was made.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Client, Jwt};
    /// # let client = Client::new(&service.url, Jwt::from_file(&service.jwt_config)?)?;
    /// client.me().await?;
    /// client.revoke().await?;
    /// # Ok(()) });
    /// ```
    pub async fn revoke(&self) -> Result<(), Error> {
        self.tokens().revoke().await
    }

    fn oauth(&self) -> Result<&OAuth, Error> {
        match self.tokens().auth() {
            Auth::OAuth(app) => Ok(app),
            Auth::DeveloperToken(_) | Auth::ClientCredentials(_) | Auth::Jwt(_) => {
                Err(Error::setup("people sign in at a client whose credentials are OAuth"))
            }
        }
    }

    async fn post_token_form(&self, repeat: Repeat, form: Form) -> Result<AccessToken, Error> {
        let url = &self.transport().addresses.token;
        self.transport().post_form(url, repeat, || Ok(form.clone())).await?.json()
    }
}
