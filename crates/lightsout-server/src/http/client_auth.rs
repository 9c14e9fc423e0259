//! Which client is asking: by the form, or by HTTP Basic (RFC 6749, section 2.3.1).

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Web;
use super::auth::{bearer, by_token};
use super::failure::Failure;
use super::limits::Quota;
use crate::domain::access::Caller;
use crate::ops::Error;
use crate::ops::clients::{self, Client};
use crate::ops::tokens::{self, AuthError};

/// What a client says of itself, in one of the two ways.
#[derive(Debug, PartialEq, Eq)]
struct Credentials {
    client_id: String,
    secret: Option<String>,
    basic: bool,
}

/// Checks the client's credentials, then its quota: a stranger who only knows the id uses none of it. A
/// public client has nothing to show, so it has no quota but those of addresses.
pub(super) async fn authenticate(
    web: &Web,
    headers: &HeaderMap,
    client_id: Option<String>,
    client_secret: Option<String>,
) -> Result<Client, Failure> {
    let credentials = read(headers, client_id, client_secret)?;
    let client = clients::authenticate(&web.app, &credentials.client_id, credentials.secret.as_deref()).await;
    let client = client.map_err(|error| match error {
        Error::OAuth { error: "invalid_client", description } if credentials.basic => {
            Failure::basic(description)
        }
        error => error.into(),
    })?;
    if !client.is_public() {
        web.limits.take_token_of_app(client.client_id())?;
    }
    Ok(client)
}

/// The caller of introspection: a confidential app by its id and secret (RFC 7662, section 2.1), or whoever
/// holds a bearer token. A token is not looked at where the form has a secret.
pub(super) async fn introspector(
    web: &Web,
    headers: &HeaderMap,
    client_id: Option<String>,
    client_secret: Option<String>,
) -> Result<Arc<Caller>, Failure> {
    let by_secret = is_basic(headers) || client_secret.as_ref().is_some_and(|secret| !secret.is_empty());
    let caller = if by_secret {
        let credentials = read(headers, client_id, client_secret).map_err(|failure| match failure.code {
            "invalid_client" => Failure::basic(failure.message),
            _ => failure,
        })?;
        let secret = credentials.secret.unwrap_or_default();
        tokens::authenticate_app(&web.app, &credentials.client_id, &secret).await.map_err(
            |error| match error {
                AuthError::Invalid => Failure::basic("The client credentials are not valid"),
                error => error.into(),
            },
        )?
    } else if bearer(headers).is_some() {
        by_token(web, headers).await?
    } else {
        let message = "Send the app's client id and secret by HTTP Basic or in the form, or a bearer token";
        return Err(Failure::basic(message));
    };
    web.limits.take(Quota::Introspections, &caller)?;
    Ok(caller)
}

/// Whether the `Authorization` header is HTTP Basic, well-formed or not.
fn is_basic(headers: &HeaderMap) -> bool {
    let scheme =
        headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().split(|b| *b == b' ').next());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"))
}

/// Another header than Basic is ignored where the form names a client: Box's SDKs send their own token along
/// when they revoke one.
fn read(headers: &HeaderMap, id: Option<String>, secret: Option<String>) -> Result<Credentials, Failure> {
    let sent = |text: &String| !text.is_empty();
    let (id, secret) = (id.filter(sent), secret.filter(sent));
    if headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        let message = "Send one Authorization header";
        return Err(Failure::new(StatusCode::BAD_REQUEST, "invalid_request", message));
    }
    let header = headers.get(header::AUTHORIZATION).filter(|_| is_basic(headers) || id.is_none());
    let Some(header) = header else {
        let client_id = id.ok_or_else(|| {
            let message = "Send client_id and client_secret, in the form or by HTTP Basic";
            Failure::new(StatusCode::BAD_REQUEST, "invalid_client", message)
        })?;
        return Ok(Credentials { client_id, secret, basic: false });
    };
    let unreadable =
        || Failure::basic("The Authorization header must be HTTP Basic with the client id and secret");
    let (basic_id, basic_secret) = header.to_str().ok().and_then(basic).ok_or_else(unreadable)?;
    if secret.is_some() || id.is_some_and(|id| id != basic_id) {
        let message = "Send the client's credentials once: in the form or by HTTP Basic";
        return Err(Failure::new(StatusCode::BAD_REQUEST, "invalid_request", message));
    }
    let secret = Some(basic_secret).filter(sent);
    Ok(Credentials { client_id: basic_id, secret, basic: true })
}

/// Id and secret of a header; each is form-encoded first.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    if text.contains(['&', '=']) {
        return None;
    }
    let decoded = form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some(decoded.unwrap_or_default()).filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
        }
        headers
    }

    fn encoded(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn credentials_come_one_way() {
        let some = |text: &str| Some(text.to_owned());
        let of = |id: &str, secret: Option<&str>, basic| Credentials {
            client_id: id.to_owned(),
            secret: secret.map(ToOwned::to_owned),
            basic,
        };
        for (header, id, secret, expected) in [
            (None, some("a"), some("s"), Ok(of("a", Some("s"), false))),
            (None, some("a"), some(""), Ok(of("a", None, false))),
            (None, some("a"), None, Ok(of("a", None, false))),
            (None, None, some("s"), Err("invalid_client")),
            (Some(encoded("a:s")), None, None, Ok(of("a", Some("s"), true))),
            (Some(encoded("a:s").replace("Basic", "bAsIC")), None, None, Ok(of("a", Some("s"), true))),
            (Some(encoded("a%3A+b:s%26%C3%A4:")), None, None, Ok(of("a: b", Some("s&ä:"), true))),
            (Some(encoded("a:")), None, None, Ok(of("a", None, true))),
            (Some(encoded("a:s")), some("a"), None, Ok(of("a", Some("s"), true))),
            (Some(encoded("a:s")), some("b"), None, Err("invalid_request")),
            (Some(encoded("a:s")), some("a"), some("s"), Err("invalid_request")),
            (Some(encoded("a")), None, None, Err("invalid_client")),
            (Some("Basic ä".to_owned()), None, None, Err("invalid_client")),
            (Some("Bearer x".to_owned()), some("a"), some("s"), Ok(of("a", Some("s"), false))),
            (Some("Bearer x".to_owned()), some("a"), None, Ok(of("a", None, false))),
            (Some("Bearer x".to_owned()), None, some("s"), Err("invalid_client")),
            (Some("Bearer x".to_owned()), None, None, Err("invalid_client")),
            (Some("Basic ä".to_owned()), some("a"), some("s"), Err("invalid_client")),
            (Some("Basic".to_owned()), some("a"), some("s"), Err("invalid_client")),
            (Some("Basically x".to_owned()), some("a"), some("s"), Ok(of("a", Some("s"), false))),
        ] {
            let read = read(&headers(header.as_deref()), id, secret).map_err(|failure| failure.code);
            assert_eq!(read, expected, "{header:?}");
        }
    }
}
