//! The sign-in page: a login and its password.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;

use super::steps::{complaint, local_path, next, refusal, shown, waiting};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Cookies, SESSION, Visitor, VisitorForm, csrf_field, plain_page};
use crate::http::request::Query;
use crate::ops::credentials;
use crate::ops::sign_in;

/// What the page shows besides its form.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// What happened to the session before.
    pub(super) note: Option<&'a str>,
    /// What is wrong.
    pub(super) complaint: Option<&'a str>,
    /// The login that was typed.
    pub(super) login: &'a str,
}

/// `GET /sign-in`. Who is signed in already goes on to where it leads.
pub(in crate::http) async fn form(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    visitor: Visitor,
    query: Query,
) -> Result<Response, Failure> {
    let return_to = local_path(query.text("return_to"));
    if let Some(id) = Cookies::of(&web, &headers).find(SESSION)
        && sign_in::authenticate(&web.app, id).await?.is_some()
    {
        return Ok(Redirect::to(return_to).into_response());
    }
    let note = match query.text("was") {
        Some("ended") => Some("Your session has ended. Sign in again to go on."),
        Some("signed_out") => Some("You are signed out."),
        Some("over") => Some(
            "The sign-in took too long, too many codes were tried, or your account was changed. Sign in again.",
        ),
        Some("password_set") => Some("The password is set. Sign in with it."),
        _ => None,
    };
    let page = sign_in_page(&web, &visitor, return_to, &Said { note, ..Said::default() });
    Ok(shown(&web, &visitor, StatusCode::OK, page))
}

/// `POST /sign-in`.
pub(in crate::http) async fn enter(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    VisitorForm(visitor, fields): VisitorForm,
) -> Result<Response, Failure> {
    let return_to = local_path(fields.text("return_to"));
    let login = fields.text("login").unwrap_or_default();
    let password = fields.raw("password").unwrap_or_default();
    let refuse = |status, words: &str| {
        let page =
            sign_in_page(&web, &visitor, return_to, &Said { complaint: Some(words), login, note: None });
        shown(&web, &visitor, status, page)
    };
    if login.is_empty() || password.is_empty() {
        return Ok(refuse(StatusCode::BAD_REQUEST, "Type your login and your password."));
    }
    let tries = web.limits.take_sign_in(visitor.address);
    if let Err(failure) = tries.and_then(|()| web.limits.take_sign_in_of(login, web.app.clock.elapsed_ms())) {
        let (words, retry_after) = waiting(&failure);
        return Ok((retry_after, refuse(StatusCode::TOO_MANY_REQUESTS, &words)).into_response());
    }
    let Some(proof) = credentials::check_password(&web.app, login, password).await? else {
        return Ok(refuse(StatusCode::BAD_REQUEST, "The login or the password is not right."));
    };
    match sign_in::go_on(&web.app, &proof, &visitor.origin, return_to).await {
        Ok(step) => next(&web, &headers, step, Some(login), return_to).await,
        Err(error) => Ok(refuse(StatusCode::CONFLICT, &refusal(error)?)),
    }
}

pub(super) fn sign_in_page(web: &Web, visitor: &Visitor, return_to: &str, said: &Said<'_>) -> Html<String> {
    let is_wrong = said.complaint.is_some();
    plain_page(
        "Sign in",
        html! {
            h1 { "Sign in" }
            @if let Some(note) = said.note { p.message role="status" { (note) } }
            (complaint(said.complaint))
            @if !web.providers.is_empty() {
                div.providers {
                    @for provider in &web.providers {
                        form method="post" action=(format!("/sign-in/provider/{}", provider.config().name)) {
                            (csrf_field(&visitor.csrf))
                            input type="hidden" name="return_to" value=(return_to);
                            button.quiet type="submit" { "Sign in with " (provider.config().title()) }
                        }
                    }
                }
            }
            form.panel method="post" action="/sign-in" {
                (csrf_field(&visitor.csrf))
                input type="hidden" name="return_to" value=(return_to);
                label for="login" { "Login" }
                input #login name="login" type="text" autocomplete="username" autocapitalize="none"
                    spellcheck="false" required autofocus[said.login.is_empty()] value=(said.login)
                    aria-invalid=[is_wrong.then_some("true")] aria-describedby=[is_wrong.then_some("complaint")];
                label for="password" { "Password" }
                input #password name="password" type="password" autocomplete="current-password" required
                    autofocus[!said.login.is_empty()]
                    aria-invalid=[is_wrong.then_some("true")] aria-describedby=[is_wrong.then_some("complaint")];
                p.actions { button type="submit" { "Sign in" } }
            }
            p.faint { "Without a password, or have you lost it? Ask whoever runs this service for a link to set one." }
        },
    )
}
