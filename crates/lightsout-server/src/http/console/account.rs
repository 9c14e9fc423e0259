//! One's own account: what one signs in with, and where one is signed in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;

use crate::domain::access::Standing;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Place, SignedForm, SignedIn, csrf_field, page};
use crate::http::sign_in::{refusal, waiting};
use crate::ops::credentials;

/// `GET /console/account`.
pub(in crate::http) async fn account(signed_in: SignedIn) -> Html<String> {
    account_page(&signed_in, None)
}

/// `POST /console/account/password`.
pub(in crate::http) async fn change_password(
    State(web): State<Arc<Web>>,
    SignedForm(signed_in, fields): SignedForm,
) -> Result<Response, Failure> {
    let refuse = |status, words: &str| (status, account_page(&signed_in, Some(words))).into_response();
    let login = signed_in.caller.person.login.as_deref().unwrap_or_default();
    if let Err(failure) = web.limits.take_sign_in_of(login, web.app.clock.elapsed_ms()) {
        let (words, retry_after) = waiting(&failure);
        return Ok((retry_after, refuse(StatusCode::TOO_MANY_REQUESTS, &words)).into_response());
    }
    let (old, new) = (fields.raw("old").unwrap_or_default(), fields.raw("password").unwrap_or_default());
    if fields.raw("again") != Some(new) {
        return Ok(refuse(StatusCode::BAD_REQUEST, "The two new passwords are not the same."));
    }
    let changed =
        credentials::change_password(&web.app, &signed_in.caller, &signed_in.session_hash, old, new).await;
    match changed {
        Ok(true) => Ok(Redirect::to("/console/account").into_response()),
        Ok(false) => Ok(refuse(StatusCode::FORBIDDEN, "The old password is not right.")),
        Err(error) => Ok(refuse(StatusCode::BAD_REQUEST, &refusal(error)?)),
    }
}

fn account_page(signed_in: &SignedIn, wrong: Option<&str>) -> Html<String> {
    let person = &signed_in.caller.person;
    page(
        signed_in,
        Place::Account,
        "Your account",
        html! {
            h1 { "Your account" }
            dl.facts {
                dt { "Name" } dd { (person.name) }
                dt { "Login" } dd { (person.login.as_deref().unwrap_or("none")) }
                dt { "Role" } dd { (role(signed_in.caller.standing)) }
            }
            h2 { "Password" }
            @if let Some(wrong) = wrong { p.message.bad role="alert" { (wrong) } }
            form.panel method="post" action="/console/account/password" {
                (csrf_field(&signed_in.csrf))
                label for="old" { "Old password" }
                input #old name="old" type="password" autocomplete="current-password" required;
                label for="password" { "New password" }
                input #password name="password" type="password" autocomplete="new-password" required;
                label for="again" { "The new one again" }
                input #again name="again" type="password" autocomplete="new-password" required;
                p.actions { button type="submit" { "Change password" } }
            }
        },
    )
}

fn role(standing: Standing) -> &'static str {
    match standing {
        Standing::Admin => "admin",
        Standing::Coadmin => "coadmin",
        Standing::Service { .. } => "service account",
        Standing::User => "user",
    }
}
