//! The second step of a sign-in: a code, or the set-up of a second factor that the enterprise asks for.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::picture::set_up;
use super::steps::{PENDING, complaint, next, refusal, shown, waiting};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Cookies, Visitor, VisitorForm, clear_cookie, csrf_field, plain_page};
use crate::ops::second_factor::{self, Finished, Waiting};
use crate::ops::sign_in::Step;

/// `GET /sign-in/second-factor`.
pub(in crate::http) async fn code_form(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    visitor: Visitor,
) -> Result<Response, Failure> {
    Ok(match find(&web, &headers).await? {
        Some((_, waiting)) => shown(&web, &visitor, StatusCode::OK, code_page(&visitor, &waiting, None)),
        None => over(&web),
    })
}

/// `POST /sign-in/second-factor`.
pub(in crate::http) async fn enter_code(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    VisitorForm(visitor, fields): VisitorForm,
) -> Result<Response, Failure> {
    let Some((key, found)) = find(&web, &headers).await? else { return Ok(over(&web)) };
    let refuse =
        |status, words: &str| shown(&web, &visitor, status, code_page(&visitor, &found, Some(words)));
    let code = fields.text("code").unwrap_or_default();
    if code.is_empty() {
        return Ok(refuse(StatusCode::BAD_REQUEST, "Type the code that your app shows."));
    }
    let account = found.user.login.as_deref().unwrap_or(&found.user.user_id);
    let tries = web.limits.take_sign_in(visitor.address);
    if let Err(failure) = tries.and_then(|()| web.limits.take_sign_in_of(account, web.app.clock.elapsed_ms()))
    {
        let (words, retry_after) = waiting(&failure);
        return Ok((retry_after, refuse(StatusCode::TOO_MANY_REQUESTS, &words)).into_response());
    }
    match second_factor::finish(&web.app, &key, code, &visitor.origin).await {
        Ok(Finished::SignedIn { session_id, return_to, .. }) => {
            next(&web, &headers, Step::SignedIn(session_id), Some(account), &return_to).await
        }
        Ok(Finished::Wrong) => Ok(refuse(
            StatusCode::BAD_REQUEST,
            "This code is not right, or it was used already. Wait for the next one and type that.",
        )),
        Ok(Finished::Over) => Ok(over(&web)),
        Err(error) => Ok(refuse(StatusCode::CONFLICT, &refusal(error)?)),
    }
}

async fn find(web: &Web, headers: &HeaderMap) -> Result<Option<(String, Waiting)>, Failure> {
    let Some(key) = Cookies::of(web, headers).find(PENDING).map(ToOwned::to_owned) else { return Ok(None) };
    Ok(second_factor::find_waiting(&web.app, &key).await?.map(|waiting| (key, waiting)))
}

/// Back to the beginning.
fn over(web: &Web) -> Response {
    (AppendHeaders([clear_cookie(web, PENDING)]), Redirect::to("/sign-in?was=over")).into_response()
}

fn code_page(visitor: &Visitor, found: &Waiting, wrong: Option<&str>) -> Html<String> {
    let login = found.user.login.as_deref().unwrap_or(&found.user.name);
    let title = if found.enrols.is_some() { "Set up your second factor" } else { "Second factor" };
    plain_page(
        title,
        html! {
            h1 { (title) }
            @match &found.enrols {
                Some(secret) => {
                    p { "Your enterprise asks for a second factor. You are signed in when its first code is right." }
                    (complaint(wrong))
                    (set_up(secret, login))
                }
                None => {
                    p { "Type the code that your authenticator app shows for " strong { (login) } "." }
                    (complaint(wrong))
                }
            }
            form.panel method="post" action="/sign-in/second-factor" {
                (csrf_field(&visitor.csrf))
                (code_field(wrong.is_some(), true))
                p.actions {
                    button type="submit" { "Sign in" }
                    a href="/sign-in" { "Start again" }
                }
            }
            @if found.enrols.is_none() {
                p.faint { "Without your app? Ask whoever runs this service to reset your second factor." }
            }
        },
    )
}

/// The field for a code.
pub(in crate::http) fn code_field(is_wrong: bool, autofocus: bool) -> Markup {
    html! {
        label for="code" { "Code" }
        input #code name="code" type="text" inputmode="numeric" autocomplete="one-time-code" required
            maxlength="9" autofocus[autofocus] aria-invalid=[is_wrong.then_some("true")]
            aria-describedby=[is_wrong.then_some("complaint")];
    }
}
