//! One failure type for all routes, rendered in the words of the interface that was called.

use std::sync::Arc;

use axum::Json;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use lightsout_api::{ClientError, OAuth2Error, Problem};
use serde_json::{Value, json};

use super::page::error_page;
use crate::domain::access::Denied;
use crate::domain::fields::Wrong;
use crate::ops;
use crate::ops::tokens::AuthError;
use crate::store::DbError;

/// An answer other than success. [`render`] gives it its body, when the interface and the request
/// id are known.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    /// A word for programs; on `/oauth2` the `error`.
    pub(super) code: &'static str,
    /// A sentence for people.
    pub(super) message: String,
    pub(super) context_info: Option<Box<Value>>,
    pub(super) retry_after_s: Option<u64>,
    /// What the answer asks for (`WWW-Authenticate`).
    challenge: Option<Challenge>,
    /// Where a browser is sent instead.
    location: Option<String>,
    /// What went wrong on our side, for the log alone: the error and its sources.
    pub(super) cause: Option<String>,
}

/// What a caller has to show.
#[derive(Clone, Copy, Debug)]
enum Challenge {
    /// A token.
    Bearer,
    /// A client's id and secret.
    Basic,
}

impl Challenge {
    fn text(self) -> &'static str {
        match self {
            Self::Bearer => {
                "Bearer realm=\"Service\", error=\"invalid_token\", error_description=\"The access token provided is invalid.\""
            }
            Self::Basic => "Basic realm=\"Service\", charset=\"UTF-8\"",
        }
    }
}

/// The interfaces, by the words of their errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    Box,
    OAuth,
    Own,
    /// For people: an error is a page.
    Pages,
}

impl Interface {
    pub(super) fn of(path: &str) -> Self {
        let pages = ["/console", "/sign-in", "/sign-out", "/set-password", "/api/oauth2/authorize"];
        if path == "/" || pages.iter().any(|page| path.starts_with(page)) {
            return Self::Pages;
        }
        if path.starts_with("/2.0") {
            Self::Box
        } else if path.starts_with("/oauth2/") {
            Self::OAuth
        } else {
            Self::Own
        }
    }
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            context_info: None,
            retry_after_s: None,
            challenge: None,
            location: None,
            cause: None,
        }
    }

    /// Sends a browser that is not signed in to the sign-in page, and from there back to a page that it
    /// asked for. `ended`: it had a session.
    pub(super) fn sign_in(method: &Method, uri: &Uri, ended: bool) -> Self {
        let back = uri.path_and_query().filter(|_| method == Method::GET).map(PathAndQuery::as_str);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("return_to", back.unwrap_or("/console"));
        if ended {
            query.append_pair("was", "ended");
        }
        let location = Some(format!("/sign-in?{}", query.finish()));
        Self { location, ..Self::new(StatusCode::SEE_OTHER, "sign_in", "sign in first") }
    }

    /// Sends a browser to another page.
    pub(super) fn elsewhere(location: &str) -> Self {
        let location = Some(location.to_owned());
        Self { location, ..Self::new(StatusCode::SEE_OTHER, "elsewhere", "go on there") }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// A parameter or field that is wrong; the message reads well after the name.
    pub(super) fn parameter(name: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let context = json!({"errors": [{"reason": "invalid_parameter", "name": name, "message": message}]});
        let code = match name {
            "limit" => "invalid_limit",
            "offset" => "invalid_offset",
            _ => "bad_request",
        };
        Self {
            context_info: Some(context.into()),
            ..Self::new(StatusCode::BAD_REQUEST, code, format!("{name} {message}"))
        }
    }

    pub(super) fn unauthorized() -> Self {
        Self {
            challenge: Some(Challenge::Bearer),
            ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "The access token provided is invalid.")
        }
    }

    /// A client that did not show by HTTP Basic who it is (RFC 6749, section 5.2).
    pub(super) fn basic(message: impl Into<String>) -> Self {
        Self {
            challenge: Some(Challenge::Basic),
            ..Self::new(StatusCode::UNAUTHORIZED, "invalid_client", message)
        }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { retry_after_s: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message) }
    }

    /// Something failed on our side. Only the log says what.
    pub(super) fn internal(cause: impl Into<String>) -> Self {
        let message = "something went wrong on our side; look for this request id in the log";
        let failure = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", message);
        Self { cause: Some(cause.into()), ..failure }
    }

    pub(super) fn rate_limited(retry_after_s: u64) -> Self {
        let message = "Request rate limit exceeded, please try again later";
        Self {
            retry_after_s: Some(retry_after_s),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message)
        }
    }

    /// Gives the answer its body and headers.
    pub(super) fn render(&self, interface: Interface, request_id: &str) -> Response {
        let mut response = match interface {
            // As Box has it. The older Box SDK for Node knows a dead token by the empty body alone.
            Interface::Box if self.status == StatusCode::UNAUTHORIZED => ().into_response(),
            Interface::Box => self.box_body(request_id),
            Interface::OAuth => Json(OAuth2Error {
                error: self.oauth_code().to_owned(),
                error_description: self.message.clone(),
                context_info: self.context_info.as_deref().cloned(),
            })
            .into_response(),
            Interface::Own => self.problem(request_id),
            Interface::Pages => error_page(self, request_id).into_response(),
        };
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge.text()));
        }
        if let Some(location) = self.location.as_ref().and_then(|to| HeaderValue::try_from(to).ok()) {
            headers.insert(header::LOCATION, location);
        }
        response
    }

    fn box_body(&self, request_id: &str) -> Response {
        Json(ClientError {
            kind: "error".to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            message: self.message.clone(),
            context_info: self.context_info.as_deref().cloned(),
            help_url: "https://developer.box.com/guides/api-calls/permissions-and-errors/common-errors/"
                .to_owned(),
            request_id: request_id.to_owned(),
        })
        .into_response()
    }

    fn problem(&self, request_id: &str) -> Response {
        let problem = Problem {
            kind: format!("urn:lightsout:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.message.clone(),
            code: self.code.to_owned(),
            request_id: request_id.to_owned(),
            context_info: self.context_info.as_deref().cloned(),
        };
        let mut response = Json(problem).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }

    /// OAuth 2 has few words (RFC 6749, section 5.2); the others are its nearest.
    fn oauth_code(&self) -> &'static str {
        match self.code {
            "bad_request" | "invalid_limit" | "invalid_offset" => "invalid_request",
            // A bearer token that is no good, at introspection.
            "unauthorized" => "invalid_token",
            "access_denied_insufficient_permissions" => "insufficient_scope",
            "internal_server_error" => "server_error",
            "unavailable" | "rate_limit_exceeded" => "temporarily_unavailable",
            "not_found" | "method_not_allowed" => "invalid_request",
            code => code,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        Self::parameter(wrong.field, wrong.message)
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        let (code, missing) = match denied {
            Denied::Scope(scope) => ("insufficient_scope", json!({ "scope": scope })),
            Denied::Right(right) => ("access_denied_insufficient_permissions", json!({ "right": right })),
            Denied::Role(role) => ("access_denied_insufficient_permissions", json!({ "role": role })),
        };
        let message = format!("Access denied - insufficient permission: {denied}");
        Self {
            context_info: Some(json!({ "missing": missing }).into()),
            ..Self::new(StatusCode::FORBIDDEN, code, message)
        }
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Invalid => Self::unauthorized(),
            AuthError::Denied(denied) => denied.into(),
            AuthError::Db(error) => error.into(),
        }
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        if matches!(error, DbError::BadText) {
            return Self::bad_request("a text holds the character U+0000, which cannot be stored");
        }
        let cause = chain(&error);
        let failure = match error {
            DbError::Unavailable(_) | DbError::Conflict => {
                Self::unavailable("the database is busy; try again")
            }
            DbError::Stale => Self::unavailable(
                "this node has not heard from its database for too long to say; try again, or another node",
            ),
            DbError::Duplicate | DbError::BadText | DbError::Other(_) => Self::internal(cause.clone()),
        };
        Self { cause: Some(cause), ..failure }
    }
}

/// An error and its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Some errors repeat their source in their own text.
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = error.source();
    }
    text.replace('\n', " ")
}

impl From<ops::Error> for Failure {
    fn from(error: ops::Error) -> Self {
        match error {
            ops::Error::Denied(denied) => denied.into(),
            ops::Error::NotFound(ref missing) => {
                let errors: Vec<Value> = missing
                    .iter()
                    .map(|m| json!({"reason": "not_found", "name": m.kind, "value": m.value, "message": "no such entry in this enterprise"}))
                    .collect();
                Self {
                    context_info: Some(json!({ "errors": errors }).into()),
                    ..Self::new(StatusCode::NOT_FOUND, "not_found", error.to_string())
                }
            }
            ops::Error::Invalid { code, message } => Self::new(StatusCode::BAD_REQUEST, code, message),
            ops::Error::Parameter { name, message } => Self::parameter(name, message),
            ops::Error::Conflict { code, message } => Self::new(StatusCode::CONFLICT, code, message),
            ops::Error::OAuth { error, description } => {
                Self::new(StatusCode::BAD_REQUEST, error, description)
            }
            ops::Error::Db(error) => error.into(),
        }
    }
}
