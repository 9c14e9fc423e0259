//! Outside OpenID providers: the authorization code flow with PKCE, as a relying party.
//!
//! Nothing here knows who a person is in this service; it says what a provider vouches for.

mod config;
mod id_token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use reqwest::header::ACCEPT;
use reqwest::{Client, StatusCode, Url};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

pub use self::config::ProviderConfig;
use self::config::is_safe;
use self::id_token::{Expected, Refused, Said, is_true};
use crate::clock::Clock;
use crate::connector::web::{self, Response};
use crate::random::sha256;

/// How long one request to a provider may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long its metadata and keys are taken to be what they were.
const KNOWN_MS: i64 = 600_000;

/// Why a sign-in through a provider did not succeed, as a sentence without its subject: the provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No answer, or none that can be read.
    #[error("cannot be asked at the moment ({0}); try again, or sign in another way")]
    Unreachable(String),
    /// It refused, in a word of OAuth 2.
    #[error("refused the sign-in ({0})")]
    Refused(String),
    /// Its answer proves nothing.
    #[error("gave an answer that cannot be trusted: {0}")]
    Untrusted(&'static str),
}

/// What a provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The issuer.
    pub issuer: String,
    /// The person's name there, which never changes.
    pub sub: String,
    /// The person's e-mail address, where the provider has verified it.
    pub verified_email: Option<String>,
}

/// A provider, with what is known of it.
pub struct Provider {
    config: ProviderConfig,
    http: Client,
    clock: Clock,
    metadata: Mutex<Option<(i64, Arc<Metadata>)>>,
    keys: Mutex<Option<(i64, Arc<Vec<Jwk>>)>>,
}

/// Shows its name only.
impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// What a provider says of itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Endpoint,
    token_endpoint: Endpoint,
    jwks_uri: Endpoint,
    userinfo_endpoint: Option<Endpoint>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// An address that it can be asked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Endpoint(Url);

impl TryFrom<String> for Endpoint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Url::parse(&text).map(Self).map_err(|_| "not an address")
    }
}

/// What binds an answer to the question.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Where the browser comes back to.
    pub redirect_uri: &'a str,
    /// What the ID token must hold.
    pub nonce: &'a str,
    /// The secret of PKCE (RFC 7636).
    pub verifier: &'a str,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    access_token: Option<String>,
}

impl Provider {
    /// Makes a provider; it is asked for the first time when somebody signs in through it.
    pub fn new(config: ProviderConfig, clock: Clock) -> Result<Self, String> {
        config.check()?;
        let http = web::client(TIMEOUT, config.ca_file.as_ref())
            .map_err(|why| format!("provider {}: {why}", config.name))?;
        Ok(Self { config, http, clock, metadata: Mutex::default(), keys: Mutex::default() })
    }

    /// How it is configured.
    pub fn config(&self) -> &ProviderConfig {
        &self.config
    }

    /// Where a browser is sent to sign in.
    pub async fn authorization_url(&self, asked: &Asked<'_>, state: &str) -> Result<String, ProviderError> {
        let mut url = self.metadata().await?.authorization_endpoint.0.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", asked.redirect_uri)
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", state)
            .append_pair("nonce", asked.nonce)
            .append_pair("code_challenge", &sha256(asked.verifier))
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Checks who has answered (RFC 9207): a provider that says it names itself must.
    pub async fn check_answerer(&self, iss: Option<&str>) -> Result<(), ProviderError> {
        let must = self.metadata().await?.authorization_response_iss_parameter_supported;
        match iss {
            Some(iss) if iss == self.config.issuer => Ok(()),
            None if !must => Ok(()),
            _ => Err(ProviderError::Untrusted("another provider may have answered (iss)")),
        }
    }

    /// Redeems a code, and says whom the provider vouches for.
    pub async fn redeem(&self, asked: &Asked<'_>, code: &str) -> Result<Vouched, ProviderError> {
        let metadata = self.metadata().await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", asked.redirect_uri),
            ("code_verifier", asked.verifier),
        ];
        let secret = self.config.client_secret.0.expose_secret();
        let request = self
            .http
            .post(metadata.token_endpoint.0.clone())
            .header(ACCEPT, "application/json")
            // Both are form-encoded first (RFC 6749, section 2.3.1).
            .basic_auth(form_encoded(&self.config.client_id), Some(form_encoded(secret)))
            .form(&form);
        let answer = web::send(request).await.map_err(unreachable)?;
        if answer.status != StatusCode::OK {
            return Err(ProviderError::Refused(refusal(&answer)));
        }
        let tokens: Tokens = read(&answer)?;
        let id_token = tokens.id_token.ok_or(ProviderError::Untrusted("it gave no ID token"))?;
        let mut said = self.verify(&id_token, asked.nonce).await?;
        if said.email.is_none()
            && let Some((url, token)) = metadata.userinfo_endpoint.clone().zip(tokens.access_token)
        {
            self.ask_for_email(url.0, &token, &mut said).await?;
        }
        Ok(Vouched {
            issuer: self.config.issuer.clone(),
            sub: said.sub,
            verified_email: said.email.filter(|_| said.email_verified),
        })
    }

    async fn verify(&self, id_token: &str, nonce: &str) -> Result<Said, ProviderError> {
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce,
            now_s: self.clock.now_ms().div_euclid(1_000),
        };
        let keys = self.keys(false).await?;
        let said = match id_token::verify(id_token, &keys, &expected) {
            // It may have new keys since.
            Err(Refused::UnknownKey) => id_token::verify(id_token, &self.keys(true).await?, &expected),
            said => said,
        };
        said.map_err(|refused| match refused {
            Refused::UnknownKey => {
                ProviderError::Untrusted("its ID token is signed by a key that it does not show")
            }
            Refused::Wrong(why) => ProviderError::Untrusted(why),
        })
    }

    /// Asks where claims of scopes are told that are not in the ID token. A provider that does not answer
    /// there says nothing of an address; whoever is bound already needs none.
    async fn ask_for_email(&self, url: Url, token: &str, said: &mut Said) -> Result<(), ProviderError> {
        #[derive(Deserialize)]
        struct UserInfo {
            sub: String,
            email: Option<String>,
            #[serde(default)]
            email_verified: Value,
        }
        let answer = web::send(self.http.get(url).bearer_auth(token)).await;
        let Ok(Some(info)) = answer.map(|answer| read::<UserInfo>(&answer).ok()) else {
            tracing::warn!(provider = self.config.name, "no answer at the userinfo endpoint");
            return Ok(());
        };
        if info.sub != said.sub {
            return Err(ProviderError::Untrusted("its userinfo endpoint speaks of another person (sub)"));
        }
        (said.email, said.email_verified) = (info.email, is_true(&info.email_verified));
        Ok(())
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        let now = self.clock.elapsed_ms();
        let mut known = self.metadata.lock().await;
        if let Some((_, metadata)) = known.as_ref().filter(|(since, _)| now - since < KNOWN_MS) {
            return Ok(Arc::clone(metadata));
        }
        let issuer = self.config.issuer.trim_end_matches('/');
        let address = format!("{issuer}/.well-known/openid-configuration");
        let answer = web::send(self.http.get(address)).await.map_err(unreachable)?;
        let metadata: Metadata = read(&answer)?;
        if metadata.issuer != self.config.issuer {
            return Err(ProviderError::Untrusted(
                "it calls itself by another issuer than the configured one",
            ));
        }
        let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        if endpoints.into_iter().chain(&metadata.userinfo_endpoint).any(|url| !self.is_safe(&url.0)) {
            return Err(ProviderError::Untrusted("one of its addresses is not https"));
        }
        let metadata = Arc::new(metadata);
        *known = Some((now, Arc::clone(&metadata)));
        Ok(metadata)
    }

    /// A provider elsewhere has no business on this machine.
    fn is_safe(&self, endpoint: &Url) -> bool {
        endpoint.scheme() == "https" || self.config.issuer.starts_with("http:") && is_safe(endpoint)
    }

    async fn keys(&self, anew: bool) -> Result<Arc<Vec<Jwk>>, ProviderError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let address = self.metadata().await?.jwks_uri.0.clone();
        let now = self.clock.elapsed_ms();
        let mut known = self.keys.lock().await;
        if let Some((_, keys)) = known.as_ref().filter(|(since, _)| !anew && now - since < KNOWN_MS) {
            return Ok(Arc::clone(keys));
        }
        let answer = web::send(self.http.get(address)).await.map_err(unreachable)?;
        let set: Set = read(&answer)?;
        // Keys of kinds that are not known here are none of ours.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        let keys = Arc::new(keys);
        *known = Some((now, Arc::clone(&keys)));
        Ok(keys)
    }
}

fn unreachable(error: crate::connector::ConnectorError) -> ProviderError {
    use crate::connector::ConnectorError;
    match error {
        ConnectorError::Unreachable(why) | ConnectorError::Unexpected(why) => ProviderError::Unreachable(why),
    }
}

fn read<T: DeserializeOwned>(answer: &Response) -> Result<T, ProviderError> {
    if answer.status != StatusCode::OK {
        return Err(ProviderError::Unreachable(format!("it answered {}", answer.status.as_u16())));
    }
    let unreadable = |_| ProviderError::Unreachable("its answer cannot be read".to_owned());
    serde_json::from_slice(&answer.body).map_err(unreadable)
}

/// The word of OAuth 2 in a refusal, or the status.
fn refusal(answer: &Response) -> String {
    let word = serde_json::from_slice::<Value>(&answer.body).ok();
    let word = word.and_then(|body| Some(error_word(body.get("error")?.as_str()?)));
    word.unwrap_or_else(|| format!("status {}", answer.status.as_u16()))
}

/// An error code as it may be shown: a word of RFC 6749, or what looks like one.
pub fn error_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if !word.is_empty() && word.len() <= 40 && word.chars().all(plain) {
        word.to_owned()
    } else {
        "an error without a name".to_owned()
    }
}

fn form_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
