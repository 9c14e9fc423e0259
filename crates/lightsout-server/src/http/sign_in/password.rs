//! The page behind a one-time link: its holder sets a password.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;

use super::steps::{complaint, refusal, shown, waiting};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Visitor, VisitorForm, csrf_field, plain_page};
use crate::http::request::PathId;
use crate::ops::credentials;

/// `GET /set-password/{link}`. The link stays as it is: a mail scanner that opens it uses nothing up.
pub(in crate::http) async fn password_form(
    State(web): State<Arc<Web>>,
    PathId(link): PathId,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let Some(user) = credentials::find_password_link(&web.app, &link).await? else {
        return Ok(over(&web, &visitor));
    };
    let page = form_page(&visitor, &link, user.login.as_deref(), None);
    Ok(shown(&web, &visitor, StatusCode::OK, page))
}

/// `POST /set-password/{link}`.
pub(in crate::http) async fn set_password(
    State(web): State<Arc<Web>>,
    PathId(link): PathId,
    VisitorForm(visitor, fields): VisitorForm,
) -> Result<Response, Failure> {
    let Some(user) = credentials::find_password_link(&web.app, &link).await? else {
        return Ok(over(&web, &visitor));
    };
    let refuse = |status, words: &str| {
        shown(&web, &visitor, status, form_page(&visitor, &link, user.login.as_deref(), Some(words)))
    };
    if let Err(failure) = web.limits.take_sign_in(visitor.address) {
        let (words, retry_after) = waiting(&failure);
        return Ok((retry_after, refuse(StatusCode::TOO_MANY_REQUESTS, &words)).into_response());
    }
    let password = fields.raw("password").unwrap_or_default();
    if fields.raw("again") != Some(password) {
        return Ok(refuse(StatusCode::BAD_REQUEST, "The two passwords are not the same."));
    }
    match credentials::use_password_link(&web.app, &link, password).await {
        Ok(true) => Ok(Redirect::to("/sign-in?was=password_set").into_response()),
        Ok(false) => Ok(over(&web, &visitor)),
        Err(error) => Ok(refuse(StatusCode::BAD_REQUEST, &refusal(error)?)),
    }
}

fn form_page(visitor: &Visitor, link: &str, login: Option<&str>, wrong: Option<&str>) -> Html<String> {
    let described = if wrong.is_some() { "rules complaint" } else { "rules" };
    plain_page(
        "Set your password",
        html! {
            h1 { "Set your password" }
            p {
                "For " strong { (login.unwrap_or("you")) }
                ". Setting it signs you out everywhere in this console, and ends what you have allowed to apps."
            }
            (complaint(wrong))
            form.panel method="post" action=(format!("/set-password/{link}")) {
                (csrf_field(&visitor.csrf))
                input type="hidden" autocomplete="username" value=(login.unwrap_or_default());
                label for="password" { "New password" }
                p.hint #rules { "12 to 256 characters, of any kind. A few words in a row are good." }
                input #password name="password" type="password" autocomplete="new-password" required
                    minlength="12" maxlength="256" autofocus aria-describedby=(described)
                    aria-invalid=[wrong.map(|_| "true")];
                label for="again" { "The same again" }
                input #again name="again" type="password" autocomplete="new-password" required
                    aria-invalid=[wrong.map(|_| "true")];
                p.actions { button type="submit" { "Set password" } }
            }
        },
    )
}

fn over(web: &Web, visitor: &Visitor) -> Response {
    let page = plain_page(
        "This link has expired",
        html! {
            h1 { "This link has expired" }
            p { "It was used already, it is older than 24 hours, or it was cut off on its way. Ask whoever runs this service for a new one." }
            p { a href="/sign-in" { "To the sign-in page" } }
        },
    );
    shown(web, visitor, StatusCode::NOT_FOUND, page)
}
