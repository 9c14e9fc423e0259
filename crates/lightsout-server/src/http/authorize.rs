//! `/api/oauth2/authorize`: the page on which a person allows an app, or does not.
//!
//! Nothing that the page sent is believed: the form leads to the same address, and everything is checked
//! again when it comes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::Web;
use super::failure::Failure;
use super::page::{SESSION, SignedForm, SignedIn, clear_cookie, csrf_field, plain_page, policy_sending_to};
use super::request::Query;
use crate::domain::access::{MANAGE_ENTERPRISE, MANAGE_GROUPS, MANAGE_USERS};
use crate::domain::redirect;
use crate::ops::authorize::{self, Addressed, DENIED, Refusal, Request, Wish};
use crate::ops::sign_in;

/// `GET /api/oauth2/authorize`.
///
/// A person signs in before anything is answered to the app, even an error (RFC 9700, section 4.11.2): the
/// service is no way to send people somewhere.
pub(super) async fn ask(
    State(web): State<Arc<Web>>,
    query: Query,
    signed_in: Result<SignedIn, Failure>,
) -> Result<Response, Failure> {
    let request = read(&query);
    let addressed = authorize::address(&web.app, &request).await?;
    let signed_in = signed_in?;
    Ok(match authorize::check(&addressed, &request) {
        _ if !addressed.client.is_for(&signed_in.caller) => {
            foreign_page(&web, &signed_in, &addressed, &request)
        }
        Ok(wish) => consent_page(&signed_in, &addressed, &request, &wish),
        Err(refusal) => lead_back(&web, &addressed, &request, refusal)?,
    })
}

/// `POST /api/oauth2/authorize`.
pub(super) async fn answer(
    State(web): State<Arc<Web>>,
    uri: Uri,
    query: Query,
    form: Result<SignedForm, Failure>,
) -> Result<Response, Failure> {
    // Whoever has to sign in first sees the question again, not the start page.
    let again = || Failure::sign_in(&Method::GET, &uri, true);
    let SignedForm(signed_in, fields) =
        form.map_err(|failure| if failure.status == StatusCode::SEE_OTHER { again() } else { failure })?;
    let request = read(&query);
    let addressed = authorize::address(&web.app, &request).await?;
    let (caller, session_hash) = (&signed_in.caller, &signed_in.session_hash);
    let decision = fields.text("decision");
    if decision == Some("switch") {
        sign_in::end(&web.app, caller, session_hash).await?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("return_to", &action(&addressed, &request, None));
        let first = Redirect::to(&format!("/sign-in?{}", query.finish()));
        return Ok(([clear_cookie(&web, SESSION)], first).into_response());
    }
    let wish = match authorize::check(&addressed, &request) {
        Ok(wish) => wish,
        Err(refusal) => return Ok(refuse(&web, &addressed, &request, refusal)),
    };
    match decision {
        Some("allow") => {
            let granted = authorize::grant(&web.app, caller, session_hash, &addressed, &wish).await?;
            let code = granted.ok_or_else(again)?;
            Ok(send_back(&web, &addressed, &request, &[("code", &code)]))
        }
        Some("deny") => {
            authorize::deny(&web.app, caller, &addressed, &wish).await?;
            Ok(refuse(&web, &addressed, &request, DENIED))
        }
        _ => Err(Failure::bad_request("choose whether to allow it")),
    }
}

fn read(query: &Query) -> Request {
    let text = |name| query.text(name).map(ToOwned::to_owned);
    Request {
        response_type: text("response_type"),
        client_id: text("client_id"),
        redirect_uri: text("redirect_uri"),
        scope: text("scope"),
        state: text("state"),
        code_challenge: text("code_challenge"),
        code_challenge_method: text("code_challenge_method"),
    }
}

fn refuse(web: &Web, addressed: &Addressed, request: &Request, refusal: Refusal) -> Response {
    let answer = [("error", refusal.error), ("error_description", refusal.description)];
    send_back(web, addressed, request, &answer)
}

/// Leads a browser back to the app from a page of its own: browsers hold a redirect that follows the form
/// of the sign-in page to that page's policy.
fn lead_back(
    web: &Web,
    addressed: &Addressed,
    request: &Request,
    refusal: Refusal,
) -> Result<Response, Failure> {
    let answer = [("error", refusal.error), ("error_description", refusal.description)];
    let url = back(web, addressed, request, &answer);
    let refresh = HeaderValue::try_from(format!("0; url={url}"))
        .map_err(|_| Failure::internal("the redirect URI fits in no header"))?;
    let page = plain_page(
        "Back to the app",
        html! {
            h1 { "The app asked for something that cannot be" }
            p.message.bad { (refusal.description) }
            p { a href=(url) { "Back to the app" } }
        },
    );
    Ok(([(header::REFRESH, refresh)], page).into_response())
}

/// Sends the browser back to the app, by 303: the form is not sent on (RFC 9700, section 4.12).
fn send_back(web: &Web, addressed: &Addressed, request: &Request, answer: &[(&str, &str)]) -> Response {
    Redirect::to(&back(web, addressed, request, answer)).into_response()
}

/// The app's address with the answer. `iss` says whose answer it is (RFC 9207).
fn back(web: &Web, addressed: &Addressed, request: &Request, answer: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(answer);
    if let Some(state) = &request.state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", &web.public_url);
    let uri = &addressed.redirect_uri;
    let joint = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some((_, query)) if query.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{uri}{joint}{}", query.finish())
}

/// Where the forms of the page lead: the request, with the scopes that the person sees.
fn action(addressed: &Addressed, request: &Request, wish: Option<&Wish>) -> String {
    let scope = wish.map(|wish| wish.scopes.join(" ")).or_else(|| request.scope.clone());
    let parameters = [
        ("response_type", request.response_type.as_deref()),
        ("client_id", Some(addressed.client.client_id())),
        ("redirect_uri", Some(addressed.redirect_uri.as_str())),
        ("scope", scope.as_deref()),
        ("state", request.state.as_deref()),
        ("code_challenge", request.code_challenge.as_deref()),
        ("code_challenge_method", request.code_challenge_method.as_deref()),
    ];
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        query.extend_pairs(value.map(|value| (name, value)));
    }
    format!("/api/oauth2/authorize?{}", query.finish())
}

fn consent_page(signed_in: &SignedIn, addressed: &Addressed, request: &Request, wish: &Wish) -> Response {
    let name = addressed.client.name();
    let action = action(addressed, request, Some(wish));
    let body = html! {
        h1 { "Allow " (name) "?" }
        div.panel {
            p { strong { (name) } " asks to act for you in lightsout. It could, as far as your own role allows:" }
            ul {
                @for power in powers(&wish.scopes) { li { (power) } }
            }
            p.faint { (place(addressed)) }
        }
        form method="post" action=(action) {
            (csrf_field(&signed_in.csrf))
            div.actions {
                button type="submit" name="decision" value="allow" { "Allow" }
                button.quiet type="submit" name="decision" value="deny" { "Do not allow" }
            }
        }
        (whoever(signed_in, &action))
        p.hint { "It may do this until you or an admin ends your sessions, or it signs you out." }
    };
    let policy = policy_sending_to(redirect::form_target(&addressed.redirect_uri));
    ([(header::CONTENT_SECURITY_POLICY, policy)], plain_page(&format!("Allow {name}"), body)).into_response()
}

/// What somebody of another enterprise sees.
fn foreign_page(web: &Web, signed_in: &SignedIn, addressed: &Addressed, request: &Request) -> Response {
    let action = action(addressed, request, None);
    let denied = [("error", DENIED.error), ("error_description", "The person belongs to another enterprise")];
    let body = html! {
        h1 { "This app is for another enterprise" }
        p { strong { (addressed.client.name()) } " can only be used by people of the enterprise that it belongs to, and your account belongs to another." }
        (whoever(signed_in, &action))
        p { a href=(back(web, addressed, request, &denied)) { "Back to " (addressed.client.name()) } }
    };
    (StatusCode::FORBIDDEN, plain_page("Another enterprise", body)).into_response()
}

/// Who is signed in, and how to be somebody else.
fn whoever(signed_in: &SignedIn, action: &str) -> Markup {
    let person = &signed_in.caller.person;
    html! {
        form.row method="post" action=(action) {
            (csrf_field(&signed_in.csrf))
            span {
                "Signed in as " strong { (person.name) }
                @if let Some(login) = &person.login { " (" (login) ")" }
            }
            button.quiet.small type="submit" name="decision" value="switch" { "Use another account" }
        }
    }
}

/// What scopes allow, in words.
fn powers(scopes: &[String]) -> Vec<&'static str> {
    let has = |scope: &str| scopes.iter().any(|one| one == scope);
    let powers = [
        (true, "know your name and login, and follow the terminations that you asked for"),
        (has(MANAGE_USERS), "end people's sessions, and see and change people"),
        (has(MANAGE_GROUPS), "end the sessions of groups, and see and change groups and who is in them"),
        (has(MANAGE_ENTERPRISE), "read the log, and every termination"),
    ];
    powers.into_iter().filter(|(given, _)| *given).map(|(_, words)| words).collect()
}

/// Where the browser goes next.
fn place(addressed: &Addressed) -> Markup {
    let uri = &addressed.redirect_uri;
    let (scheme, _) = uri.split_once(':').unwrap_or((uri, ""));
    let host = uri.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    html! {
        @match scheme {
            "https" => { "Either way you are sent back to " strong { (host) } "." }
            "http" => { "Either way you are sent back to a program on this computer (" strong { (host) } ")." }
            _ => { "Either way you are sent back to the program " strong { (scheme) } " on this device." }
        }
    }
}
