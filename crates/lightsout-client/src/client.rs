//! The client: tokens over a transport, and how it is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Method, Proxy, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::auth::{Auth, Tokens};
use crate::error::Error;
use crate::retry::{Pace, Repeat, Retry};
use crate::transport::{Addresses, Answer, Transport, check_address};

/// Box's own address.
pub const BOX: &str = "https://api.box.com";

/// How long one attempt may take: longer than a service takes for a request.
const TIMEOUT: Duration = Duration::from_secs(100);
/// How long an open stream may be silent: longer than a service's heartbeat.
const SILENCE_MAX: Duration = Duration::from_secs(75);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HASTY_TIMEOUT: Duration = Duration::from_secs(5);
const USER_AGENT: &str = concat!("lightsout-client/", env!("CARGO_PKG_VERSION"));

/// A connection to Box or to a lightsout service. Clones share it, and the token.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
    tokens: Arc<Tokens>,
    as_user: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.transport.addresses.base)
            .field("auth", self.tokens.auth())
            .field("as_user", &self.as_user)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Speaks to `base_url`: [`BOX`], or the address of a service such as `http://127.0.0.1:8787`.
    ///
    /// Nothing is sent before the first call. For proxies, certificates, timeouts and the like there is
    /// [`Client::builder`].
    ///
    /// ```
    /// use lightsout_client::{Auth, BOX, Client};
    ///
    /// let client = Client::new(BOX, Auth::developer_token("TOKEN"))?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn new(base_url: &str, auth: impl Into<Auth>) -> Result<Self, Error> {
        Self::builder(auth).base_url(base_url).build()
    }

    /// Begins a client that speaks to [`BOX`] unless told otherwise.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lightsout_client::{Auth, Client};
    ///
    /// let client = Client::builder(Auth::developer_token("TOKEN"))
    ///     .base_url("https://lightsout.example")
    ///     .timeout(Duration::from_secs(20))
    ///     .build()?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn builder(auth: impl Into<Auth>) -> ClientBuilder {
        ClientBuilder {
            auth: auth.into(),
            base_url: BOX.to_owned(),
            authorize_url: None,
            user_agent: USER_AGENT.to_owned(),
            headers: HeaderMap::new(),
            proxy: None,
            root_certificates: Vec::new(),
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            retry: Retry::default(),
            wrong: None,
        }
    }

    /// The same connection on behalf of a user, whose id goes along as `As-User`.
    ///
    /// Box and the service allow it to admins, coadmins and service accounts whose app has the right.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Client, ClientCredentials, Subject};
    /// # let subject = Subject::enterprise(&service.enterprise_id);
    /// # let (client_id, secret) = (service.client_id.as_str(), service.client_secret.as_str());
    /// # let client = Client::new(&service.url, ClientCredentials::new(client_id, secret, subject))?;
    /// # let user_id = service.user_id.as_str();
    /// let ann = client.as_user(user_id).me().await?;
    /// assert_eq!(ann.login.as_deref(), Some("ann@acme.example"));
    /// # Ok(()) });
    /// ```
    pub fn as_user(&self, user_id: impl Into<String>) -> Self {
        Self { as_user: Some(user_id.into()), ..self.clone() }
    }

    /// The same connection with other credentials, such as another subject of the same app.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # let (url, enterprise_id) = (service.url.as_str(), service.enterprise_id.as_str());
    /// # let (client_id, secret) = (service.client_id.as_str(), service.client_secret.as_str());
    /// # let user_id = service.user_id.as_str();
    /// use lightsout_client::{Client, ClientCredentials, Subject};
    ///
    /// let app = ClientCredentials::new(client_id, secret, Subject::enterprise(enterprise_id));
    /// let service_account = Client::new(url, app.clone())?;
    /// let ann = service_account.with_auth(app.with_subject(Subject::user(user_id)));
    /// assert_eq!(ann.me().await?.login.as_deref(), Some("ann@acme.example"));
    /// # Ok(()) });
    /// ```
    pub fn with_auth(&self, auth: impl Into<Auth>) -> Self {
        let tokens = Arc::new(Tokens::new(auth.into(), Arc::clone(&self.transport)));
        Self { transport: Arc::clone(&self.transport), tokens, as_user: None }
    }

    /// The address that it speaks to, without `/2.0`.
    ///
    /// ```
    /// use lightsout_client::{Auth, Client};
    ///
    /// let client = Client::new("https://api.box.com/2.0", Auth::developer_token("TOKEN"))?;
    /// assert_eq!(client.base_url(), "https://api.box.com");
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn base_url(&self) -> &str {
        &self.transport.addresses.base
    }

    /// The same connection for what is not worth waiting for: one attempt, of seconds.
    pub(crate) fn hasty(&self) -> Self {
        let timeout = self.transport.timeout.min(HASTY_TIMEOUT);
        let transport = Transport { timeout, retry: Retry::never(), ..Transport::clone(&self.transport) };
        Self { transport: Arc::new(transport), ..self.clone() }
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(crate) fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Error> {
        self.send(Method::GET, path, Repeat::Harmless, |request| request.query(query)).await?.json()
    }

    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        repeat: Repeat,
        body: &(impl Serialize + Sync),
    ) -> Result<T, Error> {
        self.send(method, path, repeat, |request| request.json(body)).await?.json()
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<(), Error> {
        let mut pace = Pace::new(&self.transport.retry, Repeat::Harmless);
        match self.attempts(Method::DELETE, path, &mut pace, |request| request).await {
            // The attempt whose answer was lost has deleted it.
            Err(Error::NotFound(_)) if pace.may_have_happened() => Ok(()),
            result => result.map(drop),
        }
    }

    /// Sends a request with a token; a refused token is replaced once. Answers only with success.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        repeat: Repeat,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, Error> {
        self.attempts(method, path, &mut Pace::new(&self.transport.retry, repeat), fill).await
    }

    async fn attempts(
        &self,
        method: Method,
        path: &str,
        pace: &mut Pace<'_>,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, Error> {
        let mut refused = None;
        loop {
            // The token is fetched for all who wait for it, so it has a deadline of its own.
            let token = tokio::time::timeout(pace.left(), self.tokens.token(refused.as_ref()))
                .await
                .unwrap_or_else(|_| Err(Error::no_token_in_time(self.base_url())))?;
            let request = fill(self.request(method.clone(), path, &token));
            match self.transport.once(request, pace).await {
                Ok(answer) => return Ok(answer),
                Err(Error::NotAuthenticated(_)) if self.may_refresh(refused.as_ref()) => {
                    refused = Some(token);
                }
                Err(error) => pace.after(error).await?,
            }
        }
    }

    /// Opens a stream, once; how to go on after a break is the reader's business.
    pub(crate) async fn open(
        &self,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Error> {
        let mut refused = None;
        loop {
            let token = self.tokens.token(refused.as_ref()).await?;
            match self.transport.open(fill(self.request(Method::GET, path, &token))).await {
                Err(Error::NotAuthenticated(_)) if self.may_refresh(refused.as_ref()) => {
                    refused = Some(token);
                }
                result => return result,
            }
        }
    }

    fn may_refresh(&self, refused: Option<&SecretString>) -> bool {
        refused.is_none() && self.tokens.auth().can_refresh()
    }

    fn request(&self, method: Method, path: &str, token: &SecretString) -> RequestBuilder {
        let url = format!("{}{path}", self.transport.addresses.base);
        let request = self.transport.http.request(method, url).bearer_auth(token.expose_secret());
        match &self.as_user {
            Some(user_id) => request.header("As-User", user_id),
            None => request,
        }
    }
}

/// Makes a [`Client`]. What is wrong is said by [`ClientBuilder::build`].
#[must_use]
pub struct ClientBuilder {
    auth: Auth,
    base_url: String,
    authorize_url: Option<String>,
    user_agent: String,
    headers: HeaderMap,
    proxy: Option<Proxy>,
    root_certificates: Vec<Certificate>,
    timeout: Duration,
    connect_timeout: Duration,
    retry: Retry,
    wrong: Option<Error>,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The other fields may hold secrets.
        f.debug_struct("ClientBuilder").field("auth", &self.auth).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Speaks to this server instead of [`BOX`]; a `/2.0` at the end is left out.
    ///
    /// Tokens are asked for at `/oauth2/token` below it, and revoked at `/oauth2/revoke`.
    ///
    /// ```
    /// # use lightsout_client::{Auth, Client};
    /// let client = Client::builder(Auth::developer_token("TOKEN"))
    ///     .base_url("https://lightsout.example")
    ///     .build()?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn base_url(mut self, base_url: &str) -> Self {
        base_url.clone_into(&mut self.base_url);
        self
    }

    /// Sends people here to sign in, instead of Box's page or `/api/oauth2/authorize` below the base URL.
    ///
    /// ```
    /// # use lightsout_client::{Auth, Client};
    /// let client = Client::builder(Auth::developer_token("TOKEN"))
    ///     .base_url("https://box-gateway.example")
    ///     .authorize_url("https://account.box.com/api/oauth2/authorize")
    ///     .build()?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn authorize_url(mut self, authorize_url: &str) -> Self {
        self.authorize_url = Some(authorize_url.to_owned());
        self
    }

    /// Names the program before this library in `User-Agent`, such as `offboarding/1.2`.
    ///
    /// ```
    /// # use lightsout_client::{Auth, Client};
    /// let client =
    ///     Client::builder(Auth::developer_token("TOKEN")).user_agent("offboarding/1.2").build()?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn user_agent(mut self, program: &str) -> Self {
        self.user_agent = format!("{program} {USER_AGENT}");
        self
    }

    /// Sends one more header with every request. Its value is never shown.
    ///
    /// ```
    /// # use lightsout_client::{Auth, Client};
    /// let client = Client::builder(Auth::developer_token("TOKEN"))
    ///     .header("x-gateway-key", "SECRET")
    ///     .build()?;
    /// assert!(!format!("{client:?}").contains("SECRET"));
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.append(name, value);
            }
            _ => {
                self.wrong = Some(Error::setup(format!(
                    "the header {name:?} or its value has characters that no header may have"
                )));
            }
        }
        self
    }

    /// Goes through this proxy, such as `http://proxy.example:3128`.
    ///
    /// Without it, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` of the environment are heard.
    ///
    /// ```
    /// # use lightsout_client::{Auth, Client};
    /// let client = Client::builder(Auth::developer_token("TOKEN"))
    ///     .proxy("http://proxy.example:3128")
    ///     .build()?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn proxy(mut self, proxy_url: &str) -> Self {
        match Proxy::all(proxy_url) {
            Ok(proxy) => self.proxy = Some(proxy),
            Err(error) => {
                self.wrong = Some(Error::setup_because(
                    "the proxy's address cannot be used; it is like http://proxy.example:3128",
                    error.without_url(),
                ));
            }
        }
        self
    }

    /// Trusts these certificates (PEM, one or more) besides those of the operating system.
    ///
    /// ```
    /// use lightsout_client::{Auth, Client};
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::builder(Auth::developer_token("TOKEN"))
    ///     .base_url("https://lightsout.internal")
    ///     .root_certificates(&std::fs::read("company-ca.pem")?)
    ///     .build()?;
    /// # Ok(()) }
    /// # assert!(example().is_err());
    /// ```
    pub fn root_certificates(mut self, pem: &[u8]) -> Self {
        match Certificate::from_pem_bundle(pem) {
            Ok(certificates) if !certificates.is_empty() => self.root_certificates.extend(certificates),
            Ok(_) => self.wrong = Some(Error::setup("the root certificates hold no PEM certificate")),
            Err(error) => {
                self.wrong =
                    Some(Error::setup_because("the root certificates are no PEM certificates", error));
            }
        }
        self
    }

    /// How long one attempt may take: 100 s.
    ///
    /// ```
    /// # use lightsout_client::{Auth, Client};
    /// let client = Client::builder(Auth::developer_token("TOKEN"))
    ///     .timeout(std::time::Duration::from_secs(20))
    ///     .build()?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a connection may take to open: 10 s.
    ///
    /// ```
    /// # use lightsout_client::{Auth, Client};
    /// let client = Client::builder(Auth::developer_token("TOKEN"))
    ///     .connect_timeout(std::time::Duration::from_secs(3))
    ///     .build()?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Repeats failed attempts in this way.
    ///
    /// ```
    /// # use lightsout_client::{Auth, Client};
    /// use lightsout_client::Retry;
    ///
    /// let careful = Retry { repeat_lost_terminations: false, ..Retry::default() };
    /// let client = Client::builder(Auth::developer_token("TOKEN")).retry(careful).build()?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Makes the client. Nothing is sent.
    ///
    /// ```
    /// use lightsout_client::{Auth, Client, Error};
    ///
    /// let error = Client::builder(Auth::developer_token("TOKEN")).base_url("nowhere").build();
    /// assert!(matches!(error, Err(Error::Setup { .. })));
    /// ```
    pub fn build(self) -> Result<Client, Error> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let mut addresses = Addresses::below(&self.base_url)?;
        if let Some(authorize_url) = self.authorize_url {
            check_address(&authorize_url)?;
            addresses.authorize = authorize_url;
        }
        let mut http = reqwest::Client::builder()
            .user_agent(self.user_agent)
            .default_headers(self.headers)
            .connect_timeout(self.connect_timeout)
            .read_timeout(SILENCE_MAX.max(self.timeout))
            // A POST that is sent on becomes a GET, and a token is nothing for another host.
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_merge(self.root_certificates);
        if let Some(proxy) = self.proxy {
            http = http.proxy(proxy);
        }
        let http =
            http.build().map_err(|error| Error::setup_because("the connection cannot be set up", error))?;
        let (timeout, retry) = (self.timeout, self.retry);
        let transport = Arc::new(Transport { http, addresses, timeout, retry });
        let tokens = Arc::new(Tokens::new(self.auth, Arc::clone(&transport)));
        Ok(Client { transport, tokens, as_user: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_said_when_it_is_built() {
        let builder = || Client::builder(Auth::developer_token("hush"));
        for wrong in [
            builder().header("x y", "1"),
            builder().header("x", "a\nb"),
            builder().proxy("http://[hush"),
            builder().root_certificates(b"hush"),
            builder().base_url("nowhere"),
            builder().authorize_url("ftp://hush"),
        ] {
            let error = wrong.build().expect_err("it is wrong");
            assert!(matches!(error, Error::Setup { .. }), "{error:?}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }
}
