//! One call of a recipe: paced, authenticated, signed, bounded, and its failure in words that show no
//! address, secret or person.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::rate::Pace;
use super::recipe::{Call, Field, Token};
use super::sign;
use super::template::{Scope, Setup, Template, encode, json};
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::connector::web::{self, Response};
use crate::connector::{ConnectorError, key_digest};

/// The most attempts of one call.
const ATTEMPTS: u32 = 3;
/// The longest wait for a turn, or because the system asked for it. What takes longer is for a later pass.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// The longest that a system's word to wait is believed.
const HOLD_MAX: Duration = Duration::from_mins(15);

/// Why a call did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// The system as a whole: nothing else is tried in this pass.
    System(Why),
    /// Perhaps the system as a whole: so if everybody else fails alike.
    Denied(Why),
    /// The same, where nothing whole was answered; after some of these nothing else is tried.
    Broken(Why),
    /// This person.
    Person(String),
    /// This name cannot be asked for at all.
    Unfit(String),
    /// Not called: the pass has no time left.
    Late,
}

/// The same as [`ConnectorError`], for many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Unreachable(String),
    Unexpected(String),
}

impl From<Why> for ConnectorError {
    fn from(why: Why) -> Self {
        match why {
            Why::Unreachable(text) => Self::Unreachable(text),
            Why::Unexpected(text) => Self::Unexpected(text),
        }
    }
}

impl From<ConnectorError> for Problem {
    fn from(error: ConnectorError) -> Self {
        Self::Broken(match error {
            ConnectorError::Unreachable(text) => Why::Unreachable(text),
            ConnectorError::Unexpected(text) => Why::Unexpected(text),
        })
    }
}

impl Problem {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::System(Why::Unreachable(text) | Why::Unexpected(text))
            | Self::Denied(Why::Unreachable(text) | Why::Unexpected(text))
            | Self::Broken(Why::Unreachable(text) | Why::Unexpected(text))
            | Self::Person(text)
            | Self::Unfit(text) => text,
            Self::Late => "not called yet: the pass was out of time",
        }
    }
}

/// A call, and its pace.
#[derive(Debug)]
pub(super) struct Paced {
    pub(super) call: Call,
    pub(super) pace: Arc<Pace>,
}

/// An answer that came, whatever it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) json: Option<Value>,
}

impl Answer {
    /// The error's code, if the answer has one that is a code and nothing else.
    pub(super) fn code(&self, at: Option<&String>) -> Option<&str> {
        let code = self.json.as_ref()?.pointer(at?)?.as_str()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        (!code.is_empty() && code.len() <= 60 && code.chars().all(plain)).then_some(code)
    }
}

/// Calls one system.
pub(super) struct Caller {
    pub(super) http: reqwest::Client,
    pub(super) base: Url,
    pub(super) setup: Setup,
    pub(super) headers: BTreeMap<String, Template>,
    pub(super) holds: Option<Field>,
    pub(super) error: Option<String>,
    pub(super) denied: Vec<String>,
    pub(super) permissions: String,
    pub(super) retry_statuses: Vec<u16>,
    pub(super) sign: Option<hmac::Key>,
    /// Whether somebody who is ended once more gets a message of a new id: where it is verified, the
    /// repeat must have its effect.
    pub(super) repeats: bool,
    pub(super) tokens: Option<(Token, Tokens)>,
    pub(super) clock: Clock,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

impl Caller {
    /// Makes a call. Any answer but a redirect and a refusal of the credentials is given back.
    pub(super) async fn call(&self, paced: &Paced, scope: &Scope<'_>) -> Result<Answer, Problem> {
        let url = self.url(&paced.call, scope)?;
        self.call_at(paced, url, scope, None).await
    }

    /// The same at another address of the same system, or with one more parameter: for further pages.
    pub(super) async fn call_at(
        &self,
        paced: &Paced,
        url: Url,
        scope: &Scope<'_>,
        more: Option<(&str, &str)>,
    ) -> Result<Answer, Problem> {
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            turn(paced, scope, attempt == 1).await?;
            let token = match &self.tokens {
                Some((token, tokens)) => Some(tokens.token(self, token).await?),
                None => None,
            };
            // A new token may have taken long.
            left(scope)?;
            let request = self.request(&paced.call, url.clone(), scope, token.as_ref(), more)?;
            let response = web::send(request).await?;
            let status = response.status.as_u16();
            if status == 401
                && !renewed
                && let (Some((_, tokens)), Some(token)) = (&self.tokens, &token)
            {
                tokens.forget(token).await;
                renewed = true;
                continue;
            }
            let wait = self.wait_asked_for(&response.headers);
            if self.retry_statuses.contains(&status) {
                let wait = wait.unwrap_or(Duration::from_secs(1 << attempt));
                paced.pace.hold(wait);
                attempt += 1;
                if attempt > ATTEMPTS {
                    return Err(Problem::System(Why::Unreachable(format!(
                        "it answered {status} {ATTEMPTS} times; it is left alone for {} s",
                        wait.as_secs().max(1)
                    ))));
                }
                continue;
            }
            if remaining(&response.headers) == Some(0)
                && let Some(wait) = wait
            {
                paced.pace.hold(wait);
            }
            return self.judge(response);
        }
    }

    /// Whether it worked: by its status, and by what must hold in it.
    pub(super) fn worked(&self, call: &Call, answer: &Answer) -> Result<(), Problem> {
        let status = answer.status;
        let by_status = if call.success.is_empty() {
            (200..300).contains(&status)
        } else {
            call.success.contains(&status)
        };
        let holds = |field: &Field| answer.json.as_ref().is_some_and(|json| field.is_in(json));
        let by_field = self.holds.iter().chain(call.holds.as_ref()).all(holds);
        if by_status && by_field {
            return Ok(());
        }
        Err(self.refused(answer))
    }

    /// Why an answer is none of those that are wanted.
    pub(super) fn refused(&self, answer: &Answer) -> Problem {
        let code = answer.code(self.error.as_ref());
        let said = code.map_or(String::new(), |code| format!(" with {code}"));
        let status = answer.status;
        let denied = code.is_some_and(|code| self.denied.iter().any(|known| known == code));
        if status == 401 || denied {
            return Problem::System(Why::Unexpected(format!(
                "it refused the credentials ({status}{said}); needed: {}",
                self.permissions
            )));
        }
        if status == 403 {
            return Problem::Denied(Why::Unexpected(format!(
                "it does not allow this ({status}{said}); needed: {}",
                self.permissions
            )));
        }
        let why = format!("it answered {status}{said}");
        if status >= 500 { Problem::Denied(Why::Unreachable(why)) } else { Problem::Person(why) }
    }

    fn judge(&self, response: Response) -> Result<Answer, Problem> {
        let status = response.status.as_u16();
        if response.status.is_redirection() {
            return Err(Problem::System(Why::Unexpected(format!(
                "it answered a redirect ({status}), which is not followed; base_url is the final address"
            ))));
        }
        let json = serde_json::from_slice(&response.body).ok();
        let answer = Answer { status, headers: response.headers, json };
        if status == 401 { Err(self.refused(&answer)) } else { Ok(answer) }
    }

    fn request(
        &self,
        call: &Call,
        url: Url,
        scope: &Scope<'_>,
        token: Option<&SecretString>,
        more: Option<(&str, &str)>,
    ) -> Result<RequestBuilder, Problem> {
        let scope = &Scope { token: token.map_or("", |token| token.expose_secret()), ..*scope };
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers.iter().chain(&call.headers) {
            let unfit = |what: &str| Problem::Unfit(format!("the header {name} cannot be sent: {what}"));
            let value = HeaderValue::from_str(&value.text(scope, &self.setup))
                .map_err(|_| unfit("its value has characters that a header cannot have"))?;
            headers.insert(HeaderName::try_from(name).map_err(|_| unfit("its name is none"))?, value);
        }
        let mut body = Vec::new();
        if let Some(template) = &call.json {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            body = json(template, scope, &self.setup).to_string().into_bytes();
        } else if let Some(fields) = &call.form {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, kind);
            body = form(fields.iter().map(|(k, v)| (k.as_str(), v.text(scope, &self.setup))), more);
        }
        if let Some(key) = &self.sign {
            self.sign(key, scope, &body, &mut headers);
        }
        let request = self.http.request(call.method.clone(), url).headers(headers);
        let has_body = !body.is_empty() || call.method == reqwest::Method::POST;
        Ok(if has_body { request.body(body) } else { request })
    }

    /// The id of a message is the same for the same request to end somebody, so that a receiver can
    /// tell a repeat.
    fn sign(&self, key: &hmac::Key, scope: &Scope<'_>, body: &[u8], headers: &mut HeaderMap) {
        let seconds = self.clock.now_ms().div_euclid(1_000);
        let of = if self.repeats { scope.now } else { scope.asked_at };
        let id = format!("msg_{}", key_digest(format!("{of}\n{}", scope.subject).as_bytes()));
        let signature = sign::signature(key, &id, seconds, body);
        for (name, value) in
            [("webhook-id", id), ("webhook-timestamp", seconds.to_string()), ("webhook-signature", signature)]
        {
            headers.insert(name, HeaderValue::from_str(&value).expect("it is hex, digits or base64"));
        }
    }

    pub(super) fn url(&self, call: &Call, scope: &Scope<'_>) -> Result<Url, Problem> {
        let unfit = |why: &str| Problem::Unfit(format!("this name cannot be asked for: {why}"));
        let path = call.path.path(scope, &self.setup).map_err(|e| unfit(e.0))?;
        let pair = |(name, value): (&String, &Template)| {
            let name = name.replace('$', "\u{0}");
            format!("{}={}", encode(&name).replace("%00", "$"), value.query(scope, &self.setup))
        };
        let query: Vec<String> = call.query.iter().map(pair).collect();
        let separator = if query.is_empty() { "" } else { "?" };
        let text = format!("{}{path}{separator}{}", self.setup.base_url, query.join("&"));
        let url = Url::parse(&text).map_err(|_| unfit("it makes no address"))?;
        if !self.is_own(&url) {
            return Err(unfit("it would lead elsewhere"));
        }
        Ok(url)
    }

    /// Whether an address is one of this system.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin() && url.username().is_empty() && url.password().is_none()
    }

    /// How long the system asks to wait, by `Retry-After`, or the time at which a limit begins anew.
    fn wait_asked_for(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let now_s = self.clock.now_ms().div_euclid(1_000);
        let until = |at_s: i64| Duration::from_secs((at_s - now_s).max(1).unsigned_abs());
        let after = text("retry-after").and_then(|value| match value.trim().parse::<u64>() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => jiff::fmt::rfc2822::parse(value).ok().map(|at| until(at.timestamp().as_second())),
        });
        let reset = || text("x-rate-limit-reset").and_then(|at| at.trim().parse().ok()).map(until);
        Some(after.or_else(reset)?.min(HOLD_MAX))
    }
}

/// A form's body; `more` is put in, or put in the place of the field of its name.
fn form<'a>(fields: impl Iterator<Item = (&'a str, String)>, more: Option<(&'a str, &str)>) -> Vec<u8> {
    let own = fields.filter(|(name, _)| more.is_none_or(|(other, _)| *name != other));
    let all = own.chain(more.map(|(name, value)| (name, value.to_owned())));
    let pairs: Vec<String> =
        all.map(|(name, value)| format!("{}={}", encode(name), encode(&value))).collect();
    pairs.join("&").into_bytes()
}

fn remaining(headers: &HeaderMap) -> Option<u32> {
    headers.get("x-rate-limit-remaining")?.to_str().ok()?.trim().parse().ok()
}

/// Waits for a turn, no longer than the pass lasts.
async fn turn(paced: &Paced, scope: &Scope<'_>, first: bool) -> Result<(), Problem> {
    let longest = left(scope)?.min(WAIT_MAX);
    let is_late = |wait| longest < WAIT_MAX && wait <= WAIT_MAX;
    let why = |wait| if is_late(wait) { Problem::Late } else { asks_to_wait(wait, first) };
    paced.pace.turn(longest).await.map_err(why)
}

/// The time that is left for calls.
fn left(scope: &Scope<'_>) -> Result<Duration, Problem> {
    let Some(until) = scope.until else { return Ok(Duration::MAX) };
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Problem::Late) } else { Ok(left) }
}

fn asks_to_wait(wait: Duration, first: bool) -> Problem {
    let why = if first { "the rate limit leaves no call for" } else { "it asked to wait another" };
    Problem::System(Why::Unreachable(format!("{why} {} s", wait.as_secs().max(1))))
}
