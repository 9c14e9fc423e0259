//! Cookies: read, set and cleared in one form.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::http::Web;

/// The sign-in session.
pub(in crate::http) const SESSION: &str = "lightsout_session";

/// The cookies of a request.
pub(in crate::http) struct Cookies<'a>(&'a HeaderMap, bool);

impl<'a> Cookies<'a> {
    pub(in crate::http) fn of(web: &Web, headers: &'a HeaderMap) -> Self {
        Self(headers, is_secure(web))
    }

    /// The value of a cookie, by the name without its prefix.
    pub(in crate::http) fn find(&self, name: &str) -> Option<&'a str> {
        let name = full_name(name, self.1);
        let pairs = self.0.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value).filter(|value| !value.is_empty())
    }
}

/// `Set-Cookie` of a value that only this host's pages, and no script, may see. It ends with the browser.
pub(in crate::http) fn set_cookie(web: &Web, name: &str, value: &str) -> (header::HeaderName, HeaderValue) {
    write(web, name, value, "")
}

/// `Set-Cookie` that takes a cookie away.
pub(in crate::http) fn clear_cookie(web: &Web, name: &str) -> (header::HeaderName, HeaderValue) {
    write(web, name, "", "; Max-Age=0")
}

fn write(web: &Web, name: &str, value: &str, life: &str) -> (header::HeaderName, HeaderValue) {
    let secure = is_secure(web);
    let name = full_name(name, secure);
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{life}");
    (header::SET_COOKIE, HeaderValue::try_from(cookie).expect("ids are base64url"))
}

/// Browsers take a `__Host-` cookie only with `Secure`, from the host itself, for all paths.
fn full_name(name: &str, secure: bool) -> String {
    if secure { format!("__Host-{name}") } else { name.to_owned() }
}

/// Only on plain-http loopback does a cookie go without `Secure`: no other address is listened on in clear.
fn is_secure(web: &Web) -> bool {
    web.behind_proxy || web.public_url.starts_with("https://")
}
