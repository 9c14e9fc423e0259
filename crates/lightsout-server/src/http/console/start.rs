//! Where everybody begins.

use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use crate::domain::access::Standing;
use crate::http::page::{Place, SignedIn, page};

/// `GET /`.
pub(in crate::http) async fn root() -> Redirect {
    Redirect::to("/console")
}

/// `GET /console`. Who manages nobody has only an account.
pub(in crate::http) async fn console(signed_in: SignedIn) -> Response {
    if signed_in.caller.standing == Standing::User {
        return Redirect::to("/console/account").into_response();
    }
    page(&signed_in, Place::Find, "Find", html! { h1 { "Find" } }).into_response()
}
