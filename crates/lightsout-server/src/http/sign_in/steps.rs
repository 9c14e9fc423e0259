//! What the pages of a sign-in share: where it leads, what it refuses, and the session at its end.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use maud::{Markup, html};

use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Cookies, SESSION, Visitor, clear_cookie, set_cookie};
use crate::ops::Error;
use crate::ops::sign_in::{self, Step};

/// The cookie that holds the key of a sign-in under way.
pub(super) const PENDING: &str = "lightsout_pending";

/// The longest path that is returned to.
const PATH_CHARS_MAX: usize = 4_000;

/// Where a sign-in leads: a path of this service. Anything else becomes the console, or a link could send
/// people from the sign-in page to a page that looks like it.
pub(super) fn local_path(path: Option<&str>) -> &str {
    let local = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= PATH_CHARS_MAX
            && !path.contains(|c: char| c == '\\' || c.is_control() || !c.is_ascii())
            && !path.starts_with("/sign-")
    };
    path.filter(local).unwrap_or("/console")
}

/// A page of somebody who has not signed in, with the cookie that its form is bound to.
pub(super) fn shown(web: &Web, visitor: &Visitor, status: StatusCode, page: Html<String>) -> Response {
    let cookie = visitor.is_new.then(|| visitor.cookie(web));
    (status, AppendHeaders(cookie), page).into_response()
}

/// Goes on to the next step of a sign-in, or to where it led.
pub(super) async fn next(
    web: &Web,
    headers: &HeaderMap,
    step: Step,
    login: Option<&str>,
    return_to: &str,
) -> Result<Response, Failure> {
    let session_id = match step {
        Step::SignedIn(session_id) => session_id,
        Step::Code(key) | Step::Enrolment(key) => {
            let cookies = AppendHeaders([set_cookie(web, PENDING, &key)]);
            return Ok((cookies, Redirect::to("/sign-in/second-factor")).into_response());
        }
    };
    if let Some(login) = login {
        web.limits.forget_sign_ins_of(login);
    }
    end_former(web, headers).await?;
    let cookies = AppendHeaders([set_cookie(web, SESSION, &session_id), clear_cookie(web, PENDING)]);
    Ok((cookies, Redirect::to(return_to)).into_response())
}

/// Ends the session that this browser had.
async fn end_former(web: &Web, headers: &HeaderMap) -> Result<(), Failure> {
    let cookies = Cookies::of(web, headers);
    let Some(former) = cookies.find(SESSION) else { return Ok(()) };
    if let Some(caller) = sign_in::authenticate(&web.app, former).await? {
        sign_in::end(&web.app, &caller, &crate::random::sha256(former)).await?;
    }
    Ok(())
}

/// A refusal for people to read, with what it is about beside the form; what is no refusal stays a failure.
pub(in crate::http) fn refusal(error: Error) -> Result<String, Failure> {
    match error {
        Error::Invalid { message, .. } | Error::Conflict { message, .. } => Ok(sentence(&message)),
        error => Err(error.into()),
    }
}

/// What a throttle says: when to try again.
pub(in crate::http) fn waiting(failure: &Failure) -> (String, [(HeaderName, HeaderValue); 1]) {
    let seconds = failure.retry_after_s.unwrap_or(1);
    let when = match seconds {
        ..=1 => "in a second".to_owned(),
        2..=90 => format!("in {seconds} seconds"),
        _ => format!("in {} minutes", seconds.div_ceil(60)),
    };
    let words = format!("Too many tries. Try again {when}.");
    (words, [(header::RETRY_AFTER, HeaderValue::from(seconds))])
}

/// A message as a sentence.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// What is wrong with a form, above it.
pub(super) fn complaint(words: Option<&str>) -> Markup {
    html! { @if let Some(words) = words { p.message.bad #complaint role="alert" { (words) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_service_are_returned_to() {
        for good in ["/", "/console?q=ada", "/api/oauth2/authorize?redirect_uri=https%3A%2F%2Fa.example%2F"] {
            assert_eq!(local_path(Some(good)), good);
        }
        for bad in [
            "",
            "console",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/console\r\nSet-Cookie: a=b",
            "\\/evil.example",
            "/a\\b",
            "/\u{2028}",
            "/sign-in?return_to=/sign-in",
            "/sign-out",
            "javascript:alert(1)",
        ] {
            assert_eq!(local_path(Some(bad)), "/console", "{bad:?}");
        }
        assert_eq!(local_path(Some(&format!("/{}", "a".repeat(5_000)))), "/console");
        assert_eq!(local_path(None), "/console");
    }
}
