//! One's own account: what one signs in with, and where one is signed in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{Markup, html};

use crate::domain::access::Standing;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Fields, Place, SignedForm, SignedIn, counted, csrf_field, instant, page};
use crate::http::request::{PathId, Query};
use crate::http::sign_in::{code_field, refusal, set_up, waiting};
use crate::ops::account::{self, Account};
use crate::ops::second_factor::{self, Factor};
use crate::ops::{self, credentials};
use crate::store::SessionRow;

/// What the page says besides what is: about which of its forms, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Password,
    SecondFactor,
}

/// `GET /console/account`.
pub(in crate::http) async fn show(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    query: Query,
) -> Result<Response, Failure> {
    let account = account::read(&web.app, &signed_in.caller).await?;
    let done = match query.text("done") {
        Some("password") => Some("The password is changed. Your other sign-ins are ended."),
        Some("in_use") => Some("The second factor is in use: your next sign-in asks for a code."),
        Some("removed") => Some("The second factor is removed."),
        Some("ended") => Some("That sign-in is ended."),
        _ => None,
    };
    Ok(account_page(&signed_in, &account, done, None).into_response())
}

/// `POST /console/account/password`.
pub(in crate::http) async fn change_password(
    State(web): State<Arc<Web>>,
    SignedForm(signed_in, fields): SignedForm,
) -> Result<Response, Failure> {
    let (old, new) = (fields.raw("old").unwrap_or_default(), fields.raw("password").unwrap_or_default());
    if fields.raw("again") != Some(new) {
        let words = "The two new passwords are not the same.";
        return refuse(&web, &signed_in, Form::Password, StatusCode::BAD_REQUEST, words).await;
    }
    if let Err(failure) = take_try(&web, &signed_in) {
        return wait(&web, &signed_in, Form::Password, &failure).await;
    }
    let changed =
        credentials::change_password(&web.app, &signed_in.caller, &signed_in.session_hash, old, new).await;
    settled(&web, &signed_in, Form::Password, changed, "password", "The old password is not right.").await
}

/// `POST /console/account/second-factor`: makes a secret, which a first code confirms.
pub(in crate::http) async fn enrol(
    State(web): State<Arc<Web>>,
    SignedForm(signed_in, _): SignedForm,
) -> Result<Response, Failure> {
    match second_factor::enrol(&web.app, &signed_in.caller).await {
        Ok(()) => Ok(Redirect::to("/console/account#second-factor").into_response()),
        Err(error) => {
            let words = refusal(error)?;
            refuse(&web, &signed_in, Form::SecondFactor, StatusCode::CONFLICT, &words).await
        }
    }
}

/// `POST /console/account/second-factor/confirm`.
pub(in crate::http) async fn confirm(
    State(web): State<Arc<Web>>,
    SignedForm(signed_in, fields): SignedForm,
) -> Result<Response, Failure> {
    if let Err(failure) = take_try(&web, &signed_in) {
        return wait(&web, &signed_in, Form::SecondFactor, &failure).await;
    }
    let confirmed = second_factor::confirm(&web.app, &signed_in.caller, code_in(&fields)).await;
    settled(&web, &signed_in, Form::SecondFactor, confirmed, "in_use", WRONG_CODE).await
}

/// `POST /console/account/second-factor/remove`.
pub(in crate::http) async fn remove(
    State(web): State<Arc<Web>>,
    SignedForm(signed_in, fields): SignedForm,
) -> Result<Response, Failure> {
    if let Err(failure) = take_try(&web, &signed_in) {
        return wait(&web, &signed_in, Form::SecondFactor, &failure).await;
    }
    let removed = second_factor::remove(&web.app, &signed_in.caller, code_in(&fields)).await;
    settled(&web, &signed_in, Form::SecondFactor, removed, "removed", WRONG_CODE).await
}

const WRONG_CODE: &str =
    "This code is not right, or it was used already. Wait for the next one and type that.";

/// `POST /console/account/sessions/{session}/end`.
pub(in crate::http) async fn end_session(
    State(web): State<Arc<Web>>,
    PathId(session): PathId,
    SignedForm(signed_in, _): SignedForm,
) -> Result<Response, Failure> {
    match account::end_session(&web.app, &signed_in.caller, &session).await {
        // Sent twice, or over already: it is what was asked for.
        Ok(()) | Err(ops::Error::NotFound(_)) => {
            Ok(Redirect::to("/console/account?done=ended").into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn code_in(fields: &Fields) -> &str {
    fields.text("code").unwrap_or_default()
}

fn take_try(web: &Web, signed_in: &SignedIn) -> Result<(), Failure> {
    let person = &signed_in.caller.person;
    let account = person.login.as_deref().unwrap_or(&person.user_id.0);
    web.limits.take_sign_in_of(account, web.app.clock.elapsed_ms())
}

/// Where a form leads, by what became of it.
async fn settled(
    web: &Web,
    signed_in: &SignedIn,
    form: Form,
    result: Result<bool, ops::Error>,
    done: &str,
    otherwise: &str,
) -> Result<Response, Failure> {
    match result {
        Ok(true) => Ok(Redirect::to(&format!("/console/account?done={done}")).into_response()),
        Ok(false) => refuse(web, signed_in, form, StatusCode::BAD_REQUEST, otherwise).await,
        Err(error) => refuse(web, signed_in, form, StatusCode::BAD_REQUEST, &refusal(error)?).await,
    }
}

async fn wait(web: &Web, signed_in: &SignedIn, form: Form, failure: &Failure) -> Result<Response, Failure> {
    let (words, retry_after) = waiting(failure);
    let page = refuse(web, signed_in, form, StatusCode::TOO_MANY_REQUESTS, &words).await?;
    Ok((retry_after, page).into_response())
}

async fn refuse(
    web: &Web,
    signed_in: &SignedIn,
    form: Form,
    status: StatusCode,
    words: &str,
) -> Result<Response, Failure> {
    let account = account::read(&web.app, &signed_in.caller).await?;
    Ok((status, account_page(signed_in, &account, None, Some((form, words)))).into_response())
}

fn account_page(
    signed_in: &SignedIn,
    account: &Account,
    done: Option<&str>,
    wrong: Option<(Form, &str)>,
) -> Html<String> {
    let person = &signed_in.caller.person;
    let wrong_of = |form| wrong.filter(|(of, _)| *of == form).map(|(_, words)| words);
    let body = html! {
        h1 { "Your account" }
        @if let Some(done) = done { p.message.good role="status" { (done) } }
        dl.facts.panel {
            dt { "Name" } dd { (person.name) }
            dt { "Login" } dd { (person.login.as_deref().unwrap_or("none")) }
            dt { "Role" } dd { (role(signed_in.caller.standing)) }
            @for identity in &account.identities {
                dt { "Known at" } dd { (identity.iss) " as " code { (identity.sub) } }
            }
        }
        @if signed_in.caller.standing == Standing::User {
            p { "You manage nobody here: to find people and end their sessions is for admins and coadmins. On this page you see and end your own sign-ins to this service, and change what you sign in with." }
        }
        h2 { "Where you are signed in" }
        (sessions(signed_in, &account.sessions))
        h2 { "Password" }
        (password(signed_in, account, wrong_of(Form::Password)))
        h2 #second-factor { "Second factor" }
        (second_factor_part(signed_in, account, wrong_of(Form::SecondFactor)))
    };
    page(signed_in, Place::Account, "Your account", body)
}

fn role(standing: Standing) -> &'static str {
    match standing {
        Standing::Admin => "admin",
        Standing::Coadmin => "coadmin",
        Standing::Service { .. } => "service account",
        Standing::User => "user",
    }
}

fn sessions(signed_in: &SignedIn, sessions: &[SessionRow]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Your sign-ins" {
            table.cards {
                caption { (counted(sessions.len() as u64, "sign-in", "sign-ins")) " to this service" }
                thead { tr {
                    th scope="col" { "Browser" } th scope="col" { "Address" } th scope="col" { "Began" }
                    th scope="col" { "Ends" } th scope="col" { span.aside { "What can be done" } }
                } }
                tbody {
                    @for session in sessions {
                        tr {
                            td { (session.device.as_deref().unwrap_or("unknown")) }
                            td data-name="Address" { (session.address.as_deref().unwrap_or("unknown")) }
                            td data-name="Began" { (instant(session.began_at)) }
                            td data-name="Ends" { (instant(session.expires_at)) }
                            td {
                                @if session.session_hash == signed_in.session_hash {
                                    span.tag.good { "this one" }
                                } @else {
                                    form method="post" action=(format!("/console/account/sessions/{}/end", session.session_hash)) {
                                        (csrf_field(&signed_in.csrf))
                                        button.danger.small type="submit" { "End" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn password(signed_in: &SignedIn, account: &Account, wrong: Option<&str>) -> Markup {
    let Some(set_at) = account.password_set_at else {
        return html! {
            p { "You have no password: you sign in through an outside provider. Whoever runs this service can give you a link to set one." }
        };
    };
    let invalid = wrong.map(|_| "true");
    html! {
        p.faint { "Set " (instant(set_at)) ". Changing it ends your other sign-ins, and what you have allowed to apps." }
        @if let Some(words) = wrong { p.message.bad #password-complaint role="alert" { (words) } }
        form.panel method="post" action="/console/account/password" {
            (csrf_field(&signed_in.csrf))
            label for="old" { "Old password" }
            input #old name="old" type="password" autocomplete="current-password" required aria-invalid=[invalid];
            label for="password" { "New password" }
            p.hint #rules { "12 to 256 characters, of any kind. A few words in a row are good." }
            input #password name="password" type="password" autocomplete="new-password" required
                minlength="12" maxlength="256" aria-describedby="rules" aria-invalid=[invalid];
            label for="again" { "The new one again" }
            input #again name="again" type="password" autocomplete="new-password" required aria-invalid=[invalid];
            p.actions { button type="submit" { "Change password" } }
        }
    }
}

fn second_factor_part(signed_in: &SignedIn, account: &Account, wrong: Option<&str>) -> Markup {
    let login = signed_in.caller.person.login.as_deref().unwrap_or(&signed_in.caller.person.name);
    let form = |action: &str, fields: Markup, button: &str, class: &str| {
        html! {
            form.panel method="post" action=(action) {
                (csrf_field(&signed_in.csrf))
                (fields)
                p.actions { button class=(class) type="submit" { (button) } }
            }
        }
    };
    let code = || code_field(wrong.is_some(), false);
    html! {
        @if let Some(words) = wrong { p.message.bad #complaint role="alert" { (words) } }
        @match &account.factor {
            Factor::None => {
                p { "You have none. An authenticator app on your telephone shows a code that a sign-in then asks for, besides the password." }
                (form("/console/account/second-factor", html! {}, "Set up a second factor", ""))
            }
            Factor::Unconfirmed(secret) => {
                p { "It is in use when its first code is right." }
                (set_up(secret, login))
                (form("/console/account/second-factor/confirm", code(), "Confirm", ""))
                (form("/console/account/second-factor", html! {}, "Make another secret", "quiet"))
            }
            Factor::InUse(since) => {
                p { "In use since " (instant(*since)) "." }
                @if account.needs_factor {
                    p { "Your enterprise asks for one: if you remove it, your next sign-in sets up a new one." }
                }
                (form("/console/account/second-factor/remove", code(), "Remove", "danger"))
            }
        }
    }
}
