//! The frame around every page: head, navigation, and whoever is signed in.

use axum::http::StatusCode;
use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, SCRIPT, STYLE};
use super::browser::SignedIn;
use super::form::csrf_field;
use crate::domain::access::Standing;
use crate::http::failure::Failure;

/// Which entry of the navigation a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Place {
    Find,
    End,
    Terminations,
    Log,
    Systems,
    Apps,
    Account,
}

const PLACES: [(Place, &str, &str); 6] = [
    (Place::Find, "/console", "Find"),
    (Place::End, "/console/end", "End sessions"),
    (Place::Terminations, "/console/terminations", "Terminations"),
    (Place::Log, "/console/log", "Log"),
    (Place::Systems, "/console/systems", "Systems"),
    (Place::Apps, "/console/apps", "Apps"),
];

/// A page of somebody who has signed in.
pub(in crate::http) fn page(signed_in: &SignedIn, place: Place, title: &str, body: Markup) -> Html<String> {
    let person = &signed_in.caller.person;
    // A plain user who finds and ends is a group admin; anybody else has an account and no more.
    let places = match (signed_in.caller.standing, place) {
        (Standing::User, Place::Account) => &[],
        (Standing::User, _) => &PLACES[..3],
        _ => &PLACES[..],
    };
    let header = html! {
        header.top {
            a.brand href="/console" { "lightsout" }
            @if !places.is_empty() {
                nav aria-label="Console" {
                    @for (at, href, name) in places {
                        a href=(href) aria-current=[(*at == place).then_some("page")] { (name) }
                    }
                }
            }
            div.me {
                a href="/console/account" title="Your account" aria-current=[(place == Place::Account).then_some("page")] {
                    (person.login.as_deref().unwrap_or(&person.name))
                }
                form method="post" action="/sign-out" {
                    (csrf_field(&signed_in.csrf))
                    button.quiet type="submit" { "Sign out" }
                }
            }
        }
    };
    frame(title, "signed-in", header, body)
}

/// A page of somebody who has not signed in.
pub(in crate::http) fn plain_page(title: &str, body: Markup) -> Html<String> {
    let header = html! { header.top { span.brand { "lightsout" } } };
    frame(title, "plain", header, body)
}

/// What a failure looks like to people: what happened, and what to do.
pub(in crate::http) fn error_page(failure: &Failure, request_id: &str) -> Html<String> {
    let title = match failure.status.as_u16() {
        403 => "Not allowed",
        404 => "Not found",
        409 => "It collides with what is stored",
        429 => "Too many requests",
        400..500 => "That cannot be done",
        503 => "Not available at the moment",
        _ => "Something went wrong",
    };
    let header = html! { header.top { a.brand href="/console" { "lightsout" } } };
    let body = html! {
        h1 { (title) }
        p.message role="alert" {
            @if failure.status == StatusCode::NOT_FOUND {
                "There is nothing at this address, or no more, or it is not yours to see."
            } @else { (failure.message) }
        }
        p { a href="/console" { "Back to the console" } }
        p.faint { "Request " code { (request_id) } }
    };
    frame(title, "plain", header, body)
}

fn frame(title: &str, kind: &str, header: Markup, body: Markup) -> Html<String> {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " - lightsout" }
                link rel="icon" href=(ICON.path()) type="image/svg+xml";
                link rel="stylesheet" href=(STYLE.path());
                script src=(SCRIPT.path()) defer {}
            }
            body class=(kind) {
                a.skip href="#main" { "To the content" }
                (header)
                main #main tabindex="-1" { (body) }
            }
        }
    };
    Html(markup.into_string())
}
