//! Tokens by OAuth 2 client credentials (RFC 6749, section 4.4): kept until shortly before they expire.

use std::time::{Duration, Instant};

use reqwest::{Url, header};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::caller::{Caller, Problem, Why};
use super::recipe::Token;
use super::template::{Scope, encode};
use crate::connector::web;

/// How long before its end a token is renewed.
const MARGIN: Duration = Duration::from_mins(1);
/// The life of a token that says none.
const LIFE: Duration = Duration::from_mins(5);

/// The token in use.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    token: SecretString,
    until: Instant,
}

impl Tokens {
    /// The token in use, or a new one. Whoever comes while one is fetched waits for it.
    pub(super) async fn token(&self, caller: &Caller, from: &Token) -> Result<SecretString, Problem> {
        let mut kept = self.0.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > Instant::now()) {
            return Ok(kept.token.clone());
        }
        let new = fetch(caller, from).await?;
        let token = new.token.clone();
        *kept = Some(new);
        Ok(token)
    }

    /// Forgets a token that was refused.
    pub(super) async fn forget(&self, token: &SecretString) {
        let mut kept = self.0.lock().await;
        kept.take_if(|kept| kept.token.expose_secret() == token.expose_secret());
    }
}

async fn fetch(caller: &Caller, from: &Token) -> Result<Kept, Problem> {
    let unexpected = |why: String| Problem::System(Why::Unexpected(why));
    let url = Url::parse(&from.url.address(&caller.setup))
        .map_err(|_| unexpected("the address of its token endpoint is none".to_owned()))?;
    let scope = Scope::default();
    let pair = |(name, value): (&String, &super::template::Template)| {
        format!("{}={}", encode(name), encode(&value.text(&scope, &caller.setup)))
    };
    let body = from.form.iter().map(pair).collect::<Vec<_>>().join("&");
    let request = caller
        .http
        .post(url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(body);
    let response = web::send(request).await?;
    let status = response.status.as_u16();
    let json: Option<serde_json::Value> = serde_json::from_slice(&response.body).ok();
    let field = |name: &str| json.as_ref().and_then(|json| json.get(name));
    let token = field("access_token").and_then(|token| token.as_str()).filter(|token| !token.is_empty());
    let Some(token) = token.filter(|_| status == 200) else {
        let code = field("error").and_then(|code| code.as_str());
        let known =
            ["invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client", "invalid_request"];
        let said =
            code.filter(|code| known.contains(code)).map_or(String::new(), |code| format!(" with {code}"));
        if status >= 500 || status == 429 {
            return Err(Problem::System(Why::Unreachable(format!("its token endpoint answered {status}"))));
        }
        return Err(unexpected(format!(
            "its token endpoint gave no token ({status}{said}); are the client's id and secret right?"
        )));
    };
    let life = field("expires_in").and_then(|life| life.as_u64().or_else(|| life.as_str()?.parse().ok()));
    let life = life.map_or(LIFE, |seconds| Duration::from_secs(seconds.min(86_400)));
    let until = Instant::now() + life.saturating_sub(MARGIN.min(life / 2));
    Ok(Kept { token: token.to_owned().into(), until })
}
