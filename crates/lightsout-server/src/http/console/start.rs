//! Where everybody begins.

use axum::response::{Html, Redirect};
use maud::html;

use crate::http::page::{Place, SignedIn, page};

/// `GET /`.
pub(in crate::http) async fn root() -> Redirect {
    Redirect::to("/console")
}

/// `GET /console`.
pub(in crate::http) async fn console(signed_in: SignedIn) -> Html<String> {
    page(&signed_in, Place::Find, "Find", html! { h1 { "Find" } })
}
