//! The apps of an enterprise, to look at.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use maud::{Markup, html};

use super::termination::number;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Place, SignedIn, instant, page};
use crate::http::request::Query;
use crate::ops::app_list::{AppView, Power, list};

/// Apps on one page.
const PER_PAGE: usize = 100;

/// `GET /console/apps`.
pub(in crate::http) async fn show(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    query: Query,
) -> Result<Html<String>, Failure> {
    let after = query.text("after");
    let (apps, next) = list(&web.app, &signed_in.caller, after, PER_PAGE).await?;
    let body = html! {
        h1 { "Apps" }
        p {
            "Whatever calls this service under its own name. The server's operator makes one: "
            code.command {
                span { "lightsout admin app" } " " span { "--enterprise " (signed_in.caller.enterprise_id) } " "
                span { "--name NAME" } " " span { "--scope SCOPE" } " " span { "--right RIGHT" }
            }
        }
        @if apps.is_empty() {
            p.panel.empty { @if after.is_none() { "There is no app yet." } @else { "There are no more apps." } }
        }
        @for app in &apps { (one(app)) }
        nav.actions aria-label="Pages" {
            @if after.is_some() { a href="/console/apps" { "First" } }
            @if let Some(next) = &next { a href={ "/console/apps?after=" (next) } rel="next" { "More" } }
        }
    };
    Ok(page(&signed_in, Place::Apps, "Apps", body))
}

fn one(app: &AppView) -> Markup {
    html! {
        section.panel {
            h2 { (app.name) @if app.public { " " span.tag { "public: keeps no secret" } } }
            dl.facts {
                dt { "Client id" } dd { code { (app.client_id) } }
                dt { "Scopes" } dd { (words(&app.scopes)) }
                dt { "Rights on the registry" } dd { (words(&app.rights)) }
                dt { "May" } dd { (may(app)) }
                @if !app.public {
                    dt { "Introspection answers" }
                    dd { @match app.introspection_cache_s {
                        Some(seconds) => { "may be cached for " (seconds) " s" }
                        None => "may be cached until the session expires",
                    } }
                }
                dt { "Redirect URIs" }
                dd { @if app.redirect_uris.is_empty() { span.faint { "none" } }
                    @for uri in &app.redirect_uris { code { (uri) } br; } }
                dt { "Made" } dd { (instant(app.created_at)) }
                dt { "Secret" }
                dd { @match (app.public, app.secret_rotated_at) {
                    (true, _) => "none",
                    (false, Some(at)) => { "made anew " (instant(at)) }
                    (false, None) => "the one that it was made with",
                } }
                dt { "Public keys" } dd { (number(app.keys)) }
                dt { "Last given a token" }
                dd { @match app.last_used_at { Some(at) => (instant(at)), None => span.faint { "never, as far as is known" } } }
            }
        }
    }
}

fn words(words: &[String]) -> Markup {
    html! {
        @if words.is_empty() { span.faint { "none" } }
        @for word in words { code { (word) } " " }
    }
}

/// What it may beyond its scopes and rights, in words.
fn may(app: &AppView) -> Markup {
    let mut may: Vec<&str> = Vec::new();
    for power in &app.may {
        may.push(match power {
            Power::EndAdmins => "end the sessions of admins and coadmins",
            Power::UserTokens if app.may.contains(&Power::EndAdmins) => {
                "ask for the tokens of users, admins and coadmins"
            }
            Power::UserTokens => "ask for the tokens of plain users",
            Power::BoxAudience => "send assertions that are addressed to Box",
        });
    }
    if app.keys > 0 && !app.public {
        may.push("sign in with an assertion");
    }
    html! {
        @if may.is_empty() { span.faint { "nothing beyond its scopes and rights" } }
        @else { (may.join("; ")) }
    }
}
