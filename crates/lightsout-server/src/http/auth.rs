//! The extractor that yields the caller: bearer token, `As-User`, `box-version`, quota.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use super::Web;
use super::failure::Failure;
use super::limits::Quota;
use crate::domain::access::Caller;
use crate::ops::tokens;

/// The API version that Box's wire has here.
const BOX_VERSION: &str = "2024.0";

/// A caller who sent a valid token and is within the quota.
pub(super) struct Authed(pub(super) Arc<Caller>);

impl FromRequestParts<Arc<Web>> for Authed {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Failure> {
        let caller = by_token(web, &parts.headers).await?;
        web.limits.take(Quota::of(&parts.method, parts.uri.path()), &caller)?;
        if parts.uri.path().starts_with("/2.0") {
            check_box_version(&parts.headers)?;
        }
        Ok(Self(caller))
    }
}

/// The caller behind a bearer token, and behind `As-User` if it is sent.
pub(super) async fn by_token(web: &Web, headers: &HeaderMap) -> Result<Arc<Caller>, Failure> {
    let token = bearer(headers).ok_or_else(Failure::unauthorized)?;
    let as_user = match headers.get("as-user") {
        Some(value) => Some(value.to_str().map_err(|_| Failure::bad_request("As-User must be a user id"))?),
        None => None,
    };
    Ok(tokens::authenticate(&web.app, token, as_user).await?)
}

/// The token of `Authorization: Bearer`, the scheme in any case.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|t| !t.is_empty())
}

fn check_box_version(headers: &HeaderMap) -> Result<(), Failure> {
    let mut sent = headers.get_all("box-version").iter();
    let message = match (sent.next(), sent.next()) {
        (None, _) => return Ok(()),
        (Some(version), None) if version == BOX_VERSION => return Ok(()),
        (Some(version), None) if version.is_empty() => "The 'box-version' header is empty. ".to_owned(),
        (Some(version), None) if !version.as_bytes().contains(&b',') => {
            "Invalid API version specified in 'box-version' header. ".to_owned()
        }
        _ => "Send one version in the 'box-version' header, without commas. ".to_owned(),
    };
    let message = format!("{message}Supported API versions: [{BOX_VERSION}].");
    Err(Failure::new(StatusCode::BAD_REQUEST, "invalid_api_version", message))
}

/// The address of whoever calls: the peer's, or what the proxy in front says.
pub(super) fn peer(web: &Web, parts: &Parts) -> IpAddr {
    let socket = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let forwarded = parts
        .headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()
        .filter(|_| web.behind_proxy)
        .and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    forwarded.or(socket).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
