//! What can go wrong with a call, by what the caller can do about it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{self, HeaderMap};
use serde_json::Value;

use crate::retry;
use crate::transport::ERROR_BODY_MAX;

/// Why a call failed. No variant holds a token or a secret.
///
/// A clone is for callers that wait for the same thing, as for one token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The token was refused, or none was given for these credentials: sign in again, or mend them.
    ///
    /// Status 401, and the token endpoint's `invalid_client`, `invalid_grant` and `unauthorized_client`.
    #[error("not authenticated: {0}")]
    NotAuthenticated(Box<ApiError>),
    /// The caller lacks a scope, a right or a role ([`ApiError::missing`]): status 403.
    #[error("not allowed: {0}")]
    NotAllowed(Box<ApiError>),
    /// Something that the request names is not there ([`ApiError::not_found`]): status 404.
    #[error("not found: {0}")]
    NotFound(Box<ApiError>),
    /// The request itself is wrong, or its subject is in another state: any other status below 500.
    #[error("invalid: {0}")]
    Invalid(Box<ApiError>),
    /// Too many requests, and the retries were not enough: wait until [`ApiError::retry_at`]. Status 429.
    #[error("rate limited{until}: {0}", until = .0.until())]
    RateLimited(Box<ApiError>),
    /// The server fails or is overloaded, and the retries were not enough: try later. Status 5xx.
    ///
    /// What was asked for may have happened nevertheless.
    #[error("unavailable{until}: {0}", until = .0.until())]
    Unavailable(Box<ApiError>),
    /// The server could not be reached, or the connection broke, and the retries were not enough.
    #[error("{}{address}{}", reached(*.may_have_arrived).0, reached(*.may_have_arrived).1)]
    Transport {
        /// The server's address, without a path.
        address: String,
        /// Whether the request may have arrived, so that what was asked for may have happened.
        may_have_arrived: bool,
        /// Why.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The server took the request, and its answer has another shape than it should.
    #[error("the server's answer of status {status} could not be read")]
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// Why.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// Something on this side is wrong: an address, a key, a file, a token store.
    #[error("{what}")]
    Setup {
        /// What, and what to do.
        what: String,
        /// Why.
        #[source]
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// This part of a large list was not sent, because one before it could not be.
    #[error("not sent, because a part before it failed")]
    NotSent,
}

impl Error {
    /// The HTTP status, if the server answered.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// let unknown = client.user("0").await.expect_err("nobody has this id");
    /// assert_eq!(unknown.status(), Some(404));
    /// # Ok(()) });
    /// ```
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Unreadable { status, .. } => Some(*status),
            _ => self.api().map(|error| error.status),
        }
    }

    /// The server's error answer, if that is what it is.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// if let Err(error) = client.user("0").await {
    ///     let request_id = error.api().map(|answer| answer.request_id.as_str());
    ///     println!("{error}; the server logged it as {request_id:?}");
    /// }
    /// # Ok(()) });
    /// ```
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::NotAuthenticated(error)
            | Self::NotAllowed(error)
            | Self::NotFound(error)
            | Self::Invalid(error)
            | Self::RateLimited(error)
            | Self::Unavailable(error) => Some(error),
            Self::Transport { .. } | Self::Unreadable { .. } | Self::Setup { .. } | Self::NotSent => None,
        }
    }

    pub(crate) fn setup(what: impl Into<String>) -> Self {
        Self::Setup { what: what.into(), source: None }
    }

    pub(crate) fn setup_because(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Setup { what: what.into(), source: Some(source.into().into()) }
    }

    /// The token endpoint of this server did not answer within the time of the call.
    pub(crate) fn no_token_in_time(address: &str) -> Self {
        let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "no token within the call's deadline");
        Self::Transport { address: address.to_owned(), may_have_arrived: false, source: Arc::new(source) }
    }

    /// This server did not begin to answer within the time of an attempt.
    pub(crate) fn no_answer_in_time(address: &str) -> Self {
        let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer within the timeout");
        Self::Transport { address: address.to_owned(), may_have_arrived: true, source: Arc::new(source) }
    }

    pub(crate) fn unreadable(status: u16, source: serde_json::Error) -> Self {
        Self::Unreadable { status, source: Arc::new(source) }
    }

    /// Whether it may pass by itself, so that the same call may succeed later.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// let unknown = client.user("0").await.expect_err("nobody has this id");
    /// assert!(!unknown.is_passing());
    /// # Ok(()) });
    /// ```
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::RateLimited(_) | Self::Unavailable(_) | Self::Transport { .. })
    }
}

/// What is said before and after the address of a server that did not answer.
fn reached(may_have_arrived: bool) -> (&'static str, &'static str) {
    if may_have_arrived {
        ("no whole answer from ", "; the request may have arrived")
    } else {
        ("could not reach ", "")
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        let refused_credentials = ["invalid_client", "invalid_grant", "unauthorized_client"];
        let kind = match error.status {
            401 => Self::NotAuthenticated,
            400 if refused_credentials.contains(&error.code.as_str()) => Self::NotAuthenticated,
            403 => Self::NotAllowed,
            404 => Self::NotFound,
            429 => Self::RateLimited,
            500.. => Self::Unavailable,
            _ => Self::Invalid,
        };
        kind(Box::new(error))
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        let address = error.url().map_or("the server".to_owned(), |url| url.origin().ascii_serialization());
        if error.is_builder() {
            return Self::setup_because("the request cannot be made", error.without_url());
        }
        let may_have_arrived = !error.is_connect();
        Self::Transport { address, may_have_arrived, source: Arc::new(error.without_url()) }
    }
}

/// An error that the server answered, whichever of its interfaces was called.
///
/// Fields that the answer does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, thiserror::Error)]
#[error("{status} {code}: {message}{}", self.request_ids())]
#[non_exhaustive]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// A word for programs; not always one of Box's documented codes.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What exactly was wrong, where the server says so.
    pub context_info: Option<Value>,
    /// A page that explains the code.
    pub help_url: String,
    /// Names the request in the server's log: `request_id` of the body.
    pub request_id: String,
    /// Names the request on its way through Box: the header `box-request-id`.
    pub box_request_id: String,
    /// When the server allows the next try (`Retry-After`).
    pub retry_at: Option<Timestamp>,
    /// The scope that the challenge names (RFC 6750, section 3).
    pub(crate) scope: Option<String>,
    /// How long to wait, as the server said it.
    pub(crate) retry_after: Option<Duration>,
    /// The server's clock.
    pub(crate) date: Option<Timestamp>,
}

/// What a refused caller lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// A scope of the token; the app's owner can grant it.
    Scope(String),
    /// A right of the app; the operator of the service can give it.
    Right(String),
    /// A role, in words.
    Role(String),
}

/// Something that the request names and the server does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// What it is: `user_id`, `login`, `group_id` ...
    pub kind: String,
    /// As it was asked for.
    pub value: String,
}

impl ApiError {
    /// What the caller lacks, where a 403 says so.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use lightsout_client::{Error, Missing};
    ///
    /// match client.sessions("12", None).await {
    ///     Err(Error::NotAllowed(answer)) => match answer.missing() {
    ///         Some(Missing::Scope(scope)) => println!("give the app the scope {scope}"),
    ///         Some(Missing::Right(right)) => println!("ask the operator for the right {right}"),
    ///         _ => println!("{answer}"),
    ///     },
    ///     other => drop(other?),
    /// }
    /// # Ok(()) });
    /// ```
    pub fn missing(&self) -> Option<Missing> {
        if let Some(scope) = &self.scope {
            return Some(Missing::Scope(scope.clone()));
        }
        let lacks = |name: &str| {
            self.context_info.as_ref()?.get("missing")?.get(name)?.as_str().map(ToOwned::to_owned)
        };
        lacks("scope")
            .map(Missing::Scope)
            .or_else(|| lacks("right").map(Missing::Right))
            .or_else(|| lacks("role").map(Missing::Role))
    }

    /// The ids and logins that are not there, where a 404 lists them.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use lightsout_client::{Error, SessionTerminationManager};
    ///
    /// let manager = SessionTerminationManager::new(client);
    /// let people = vec!["ann@acme.example".to_owned(), "nobody@acme.example".to_owned()];
    /// if let Err(Error::NotFound(answer)) = manager.terminate_users_sessions(vec![], people).await {
    ///     for unknown in answer.not_found() {
    ///         println!("there is no {} {}", unknown.kind, unknown.value);
    ///     }
    ///     # assert_eq!(answer.not_found().len(), 1);
    /// }
    /// # Ok(()) });
    /// ```
    pub fn not_found(&self) -> Vec<NotFound> {
        let errors = self.context_info.as_ref().and_then(|context| context.get("errors")?.as_array());
        let text = |error: &Value, name: &str| error.get(name)?.as_str().map(ToOwned::to_owned);
        let entry = |error: &Value| {
            let reason = text(error, "reason")?;
            (reason == "not_found")
                .then_some(NotFound { kind: text(error, "name")?, value: text(error, "value")? })
        };
        errors.into_iter().flatten().filter_map(entry).collect()
    }

    /// Until when to wait, in whole seconds, where the server says so.
    fn until(&self) -> String {
        let whole = |at: Timestamp| at.as_second() + i64::from(at.subsec_nanosecond() > 0);
        let until = self.retry_at.and_then(|at| Timestamp::from_second(whole(at)).ok());
        until.map(|at| format!(" until {at}")).unwrap_or_default()
    }

    /// Both request ids, as Box's own SDKs write them.
    fn request_ids(&self) -> String {
        match (self.request_id.as_str(), self.box_request_id.as_str()) {
            ("", "") => String::new(),
            (one, "") | ("", one) => format!(" [request {one}]"),
            (body, header) if body == header => format!(" [request {body}]"),
            (body, header) => format!(" [request {body}.{header}]"),
        }
    }

    /// Reads an error of any interface; a body that is none of theirs is described instead.
    pub(crate) fn read(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Self {
        let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let challenge = text(header::WWW_AUTHENTICATE);
        let date = text(header::DATE).and_then(retry::http_date);
        let retry_after =
            text(header::RETRY_AFTER).and_then(|value| retry::retry_after(value, date.unwrap_or(now)));
        let mut error = Self {
            status,
            box_request_id: text(header::HeaderName::from_static("box-request-id"))
                .unwrap_or_default()
                .to_owned(),
            retry_at: retry_after.and_then(|wait| now.checked_add(wait).ok()),
            scope: challenge
                .filter(|text| text.contains("insufficient_scope"))
                .and_then(|text| challenged(text, "scope")),
            retry_after,
            date,
            ..Self::default()
        };
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => error.fill(&fields),
            // A 401 of Box's wire has nothing but its challenge.
            _ if body.is_empty() && challenge.is_some() => {
                let why = challenge.and_then(|text| challenged(text, "error_description"));
                error.message = why.unwrap_or_else(|| "an answer without a body".to_owned());
            }
            _ => error.describe(text(header::CONTENT_TYPE), body),
        }
        if error.code.is_empty() {
            error.code = by_status(status).to_owned();
        }
        if (300..400).contains(&status) {
            let to = text(header::LOCATION).unwrap_or("another address");
            error.message = format!("the server sends on to {to}; use the address where it ends");
        }
        error
    }

    /// Takes the fields of Box's error, of a problem (RFC 9457) or of OAuth 2, each by its own name.
    fn fill(&mut self, fields: &serde_json::Map<String, Value>) {
        let first = |names: &[&str]| {
            names.iter().find_map(|name| fields.get(*name)?.as_str()).unwrap_or_default().to_owned()
        };
        self.code = first(&["code", "error"]);
        self.message = first(&["detail", "message", "error_description"]);
        self.help_url = first(&["help_url"]);
        self.request_id = first(&["request_id"]);
        self.context_info = fields.get("context_info").filter(|context| !context.is_null()).cloned();
    }

    fn describe(&mut self, content_type: Option<&str>, body: &[u8]) {
        let content_type = content_type.unwrap_or("no content type");
        let text = String::from_utf8_lossy(body);
        self.message = match text.trim() {
            "" => "an answer without a body".to_owned(),
            page if page.starts_with('<') => {
                let least = if body.len() < ERROR_BODY_MAX { "" } else { "at least " };
                format!("a page instead of JSON ({content_type}, {least}{} bytes)", body.len())
            }
            text => text.chars().take(200).collect(),
        };
    }
}

/// Box's word for a status, for answers that do not say it themselves.
fn by_status(status: u16) -> &'static str {
    match status {
        300..400 => "redirect",
        400 => "bad_request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        409 => "conflict",
        412 => "precondition_failed",
        429 => "too_many_requests",
        500 => "internal_server_error",
        502 => "bad_gateway",
        503 => "unavailable",
        504 => "gateway_timeout",
        _ => "error",
    }
}

/// A parameter of a challenge such as `Bearer error="insufficient_scope", scope="manage_groups"`.
fn challenged(challenge: &str, name: &str) -> Option<String> {
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> ApiError {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header"));
        }
        ApiError::read(status, &map, body.as_bytes(), "2026-01-01T00:00:00Z".parse().expect("a time"))
    }

    #[test]
    fn every_status_keeps_its_kind_whatever_the_code() {
        let kind = |status, code: &str| {
            let error: Error = read(status, &[], &format!("{{\"code\":\"{code}\"}}")).into();
            assert_eq!(error.status(), Some(status));
            error.to_string().split(':').next().expect("a kind").to_owned()
        };
        assert_eq!(kind(503, "bad_request"), "unavailable");
        assert_eq!(kind(429, "rate_limit_exceeded"), "rate limited");
        assert_eq!(kind(403, "nobody_knows_this_one"), "not allowed");
        assert_eq!(kind(404, "trashed"), "not found");
        assert_eq!(kind(400, "not_found"), "invalid");
        assert_eq!(kind(400, "invalid_grant"), "not authenticated");
        assert_eq!(kind(401, "invalid_token"), "not authenticated");
        assert_eq!(kind(409, "user_login_already_used"), "invalid");
    }

    #[test]
    fn answers_without_json_are_described() {
        let page = read(503, &[("content-type", "text/html")], "<html>down</html>");
        assert_eq!(page.message, "a page instead of JSON (text/html, 17 bytes)");
        assert_eq!(page.code, "unavailable");
        let empty = read(401, &[("box-request-id", "abc")], "");
        assert_eq!(empty.to_string(), "401 unauthorized: an answer without a body [request abc]");
        assert_eq!(read(500, &[], "[1]").message, "[1]");
        let challenge =
            "Bearer realm=\"Service\", error=\"invalid_token\", error_description=\"The token is invalid.\"";
        assert_eq!(read(401, &[("www-authenticate", challenge)], "").message, "The token is invalid.");
        let bare = read(401, &[("www-authenticate", "Bearer realm=\"Service\"")], "");
        assert_eq!(bare.message, "an answer without a body");
    }

    #[test]
    fn a_refusal_says_what_is_missing() {
        let challenge = "Bearer realm=\"Service\", error=\"insufficient_scope\", scope=\"manage_groups\"";
        let by_challenge = read(403, &[("www-authenticate", challenge)], "");
        assert_eq!(by_challenge.missing(), Some(Missing::Scope("manage_groups".to_owned())));
        let by_context = read(403, &[], r#"{"context_info":{"missing":{"right":"introspect"}}}"#);
        assert_eq!(by_context.missing(), Some(Missing::Right("introspect".to_owned())));
        assert_eq!(read(403, &[], "{}").missing(), None);
    }

    #[test]
    fn unknown_ids_are_listed() {
        let body = r#"{"context_info":{"errors":[{"reason":"not_found","name":"user_id","value":"999"},
            {"reason":"invalid_parameter","name":"limit","value":"0"},{"name":3}]}}"#;
        let expected = NotFound { kind: "user_id".to_owned(), value: "999".to_owned() };
        assert_eq!(read(404, &[], body).not_found(), [expected]);
        assert!(read(404, &[], r#"{"context_info":{"errors":{}}}"#).not_found().is_empty());
    }

    #[test]
    fn retry_at_is_said_by_our_clock() {
        let seconds = read(429, &[("retry-after", "100")], "");
        assert_eq!(seconds.retry_at, Some("2026-01-01T00:01:40Z".parse().expect("a time")));
        assert!(Error::from(seconds).to_string().starts_with("rate limited until 2026-01-01T00:01:40Z: 429"));
        // Ten seconds by the server's clock, which is a year behind ours.
        let headers =
            [("date", "Wed, 01 Jan 2025 00:00:00 GMT"), ("retry-after", "Wed, 01 Jan 2025 00:00:10 GMT")];
        assert_eq!(read(503, &headers, "").retry_at, Some("2026-01-01T00:00:10Z".parse().expect("a time")));
    }

    #[test]
    fn a_redirect_names_the_address() {
        let error = read(307, &[("location", "https://eu.example/2.0/x")], "");
        assert!(error.message.contains("https://eu.example/2.0/x"), "{error}");
    }
}
