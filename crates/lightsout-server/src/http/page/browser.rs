//! Who sits at the browser.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::cookies::{Cookies, SESSION};
use crate::domain::access::Caller;
use crate::http::Web;
use crate::http::auth::peer;
use crate::http::failure::Failure;
use crate::http::limits::Quota;
use crate::ops::sign_in::{self, Origin};
use crate::random::sha256;

/// The cookie of somebody who has not signed in yet: what forms before the sign-in are bound to.
const VISIT: &str = "lightsout_visit";

/// A person who has signed in. Who has not is sent to the sign-in page, and comes back from there.
pub(in crate::http) struct SignedIn {
    pub(in crate::http) caller: Arc<Caller>,
    /// The digest of the session, as the registry knows it.
    pub(in crate::http) session_hash: String,
    /// What a form of this session carries.
    pub(in crate::http) csrf: String,
}

impl FromRequestParts<Arc<Web>> for SignedIn {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Failure> {
        let cookie = Cookies::of(web, &parts.headers).find(SESSION);
        let caller = match cookie {
            Some(id) => sign_in::authenticate(&web.app, id).await?,
            None => None,
        };
        let Some((caller, id)) = caller.zip(cookie) else {
            return Err(Failure::sign_in(&parts.method, &parts.uri, cookie.is_some()));
        };
        web.limits.take(Quota::Calls, &caller)?;
        Ok(Self { caller, session_hash: sha256(id), csrf: csrf(id) })
    }
}

/// Somebody at a browser, signed in or not.
pub(in crate::http) struct Visitor {
    /// What a form of this visit carries.
    pub(in crate::http) csrf: String,
    /// The visit's own cookie; new where the browser had none, and then to be set.
    pub(in crate::http) visit: String,
    pub(in crate::http) is_new: bool,
    pub(in crate::http) origin: Origin,
    pub(in crate::http) address: IpAddr,
}

impl FromRequestParts<Arc<Web>> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Failure> {
        let visit = Cookies::of(web, &parts.headers).find(VISIT).map(ToOwned::to_owned);
        let is_new = visit.is_none();
        let visit = visit.unwrap_or_else(|| web.app.random.secret());
        let device = parts.headers.get(axum::http::header::USER_AGENT);
        let device = device.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        let address = peer(web, parts);
        let origin = Origin { device, address: Some(address.to_string()) };
        Ok(Self { csrf: csrf(&visit), visit, is_new, origin, address })
    }
}

impl Visitor {
    /// `Set-Cookie` of the visit.
    pub(in crate::http) fn cookie(&self, web: &Web) -> (axum::http::HeaderName, axum::http::HeaderValue) {
        super::cookies::set_cookie(web, VISIT, &self.visit)
    }
}

/// What a form carries, derived from a cookie that another site can neither read nor set.
pub(in crate::http) fn csrf(cookie: &str) -> String {
    sha256(format!("csrf {cookie}"))
}
