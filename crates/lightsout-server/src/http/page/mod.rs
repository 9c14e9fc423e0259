//! What every page of the service is made of: the frame, the browser's session, forms that no other site
//! can send, assets, and errors for people to read.

mod assets;
mod browser;
mod cookies;
mod form;
mod frame;
mod words;

use axum::http::{HeaderMap, HeaderValue, header};

pub(super) use self::assets::asset;
pub(super) use self::browser::{SignedIn, Visitor, csrf as csrf_of};
pub(super) use self::cookies::{Cookies, SESSION, clear_cookie, set_cookie};
pub(super) use self::form::{Fields, QueryFields, SignedForm, VisitorForm, csrf_field};
pub(super) use self::frame::{Place, error_page, page, plain_page};
pub(super) use self::words::{counted, instant};

/// No script, style or picture but the service's own, no frame around it, no form that goes elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The policy of a page whose form leads to another site in the end: browsers hold redirects after a form
/// to `form-action`, too. `place` is an origin or a scheme of a registered redirect URI.
pub(super) fn policy_sending_to(place: &str) -> HeaderValue {
    let policy = POLICY.replace("form-action 'self'", &format!("form-action 'self' {place}"));
    HeaderValue::try_from(policy).expect("a redirect URI is printable ASCII")
}

/// The headers of a page. A page that set a policy of its own keeps it.
pub(super) fn protect(headers: &mut HeaderMap) {
    let protections = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Nothing of an address goes to another site. With no-referrer, forms would be sent without origin.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in protections {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    let isolated = HeaderValue::from_static("same-origin");
    headers.entry("cross-origin-opener-policy").or_insert(isolated);
}
