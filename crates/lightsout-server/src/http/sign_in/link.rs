//! The one-time link that signs somebody in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use maud::html;

use super::steps::{next, shown, waiting};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Visitor, plain_page};
use crate::http::request::PathId;
use crate::ops::sign_in::Step;
use crate::ops::sign_in_links::redeem;

/// What a browser sends with a request that no person made: the header of today, and two of the past.
const AHEAD: [HeaderName; 3] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-moz"),
];

/// `GET /sign-in/link/{link}`: signs in and goes on to the console.
///
/// A request that a browser makes ahead, and a HEAD, leave the link as it is.
pub(in crate::http) async fn follow_link(
    State(web): State<Arc<Web>>,
    PathId(link): PathId,
    method: Method,
    headers: HeaderMap,
    visitor: Visitor,
) -> Result<Response, Failure> {
    if method == Method::HEAD || is_ahead(&headers) {
        // No success, or the browser would show this answer when the person follows the link.
        let page = page(
            "Open the link",
            "Your browser loaded this page in advance. Open the link again to sign in.",
        );
        return Ok(shown(&web, &visitor, StatusCode::SERVICE_UNAVAILABLE, page));
    }
    if let Err(failure) = web.limits.take_sign_in(visitor.address) {
        let (words, retry_after) = waiting(&failure);
        let page = shown(&web, &visitor, StatusCode::TOO_MANY_REQUESTS, page("Too many tries", &words));
        return Ok((retry_after, page).into_response());
    }
    // It writes, and a request without a body may be dropped half-way.
    let answer = tokio::spawn(async move {
        match redeem(&web.app, &link, &visitor.origin).await? {
            Some(session) => next(&web, &headers, Step::SignedIn(session), None, "/console").await,
            None => Ok(shown(&web, &visitor, StatusCode::NOT_FOUND, expired())),
        }
    });
    answer.await.unwrap_or_else(|_| Err(Failure::internal("the sign-in ended without an answer")))
}

fn is_ahead(headers: &HeaderMap) -> bool {
    AHEAD.iter().filter_map(|name| headers.get(name)?.to_str().ok()).any(|value| value.contains("prefetch"))
}

fn expired() -> Html<String> {
    page(
        "This link has expired",
        "It was used already, it is older than 10 minutes, or the service was restarted. Start the demo again for a new one.",
    )
}

fn page(title: &str, words: &str) -> Html<String> {
    plain_page(
        title,
        html! {
            h1 { (title) }
            p { (words) }
            p { a href="/sign-in" { "Sign in" } }
        },
    )
}
