//! One group: its members, and where they are signed in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Html;
use maud::html;

use super::find::people_table;
use super::systems_table::{asked_later, asking, number, systems_table};
use super::{apart, refused};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Place, SignedIn, counted, page};
use crate::http::request::{PathId, Query};
use crate::ops::people::{self, PAGE};

const CAPTION: &str = "Sessions of the members";

/// `GET /console/groups/{group_id}`.
pub(in crate::http) async fn show(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    PathId(group_id): PathId,
    uri: Uri,
    query: Query,
) -> Result<Html<String>, Failure> {
    let after = query.text("after");
    let found = people::group(&web.app, &signed_in.caller, &group_id, after).await;
    let found = found.map_err(|error| refused(&signed_in, error))?;
    let systems = if query.text("ask").is_some() {
        counts(&web, &signed_in, group_id, true).await?
    } else {
        html! {
            (asked_later(&format!("/console/groups/{group_id}/systems"), &asking(&uri), "Count the sessions"))
            p { a href=(asking(&uri)) { "Ask the other systems, too" } }
        }
    };
    let group = &found.group;
    let body = html! {
        h1 { (group.name) " " span.tag { "group" } }
        div.actions.lead {
            @if found.members_count > 0 {
                a.button.danger href={ "/console/end?group=" (group.group_id) } { "End all sessions" }
            }
            span.hint { (counted(found.members_count, "member", "members")) ", id " code { (group.group_id) } }
        }
        h2 #systems { "Sessions by system" }
        (systems)
        h2 #members { "Members" }
        @if found.members.is_empty() {
            p.panel.empty { @if after.is_none() { "Nobody is in this group." } @else { "No more members." } }
        } @else {
            form method="get" action="/console/end" {
                (people_table(&found.members))
                div.actions { button.quiet.ending type="submit" { "End sessions of the chosen" } }
            }
        }
        @if after.is_some() || found.more_members.is_some() {
            p.row {
                @if after.is_some() { a href={ "/console/groups/" (group.group_id) "#members" } { "From the beginning" } }
                @if let Some(after) = &found.more_members {
                    a href={ "/console/groups/" (group.group_id) "?after=" (after) "#members" } { "Next " (PAGE) " of " (number(found.members_count)) }
                }
            }
        }
    };
    Ok(page(&signed_in, Place::Find, &group.name, body))
}

/// `GET /console/groups/{group_id}/systems`: the part of the page that takes a while.
pub(in crate::http) async fn systems(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    PathId(group_id): PathId,
) -> Result<Html<String>, Failure> {
    Ok(Html(counts(&web, &signed_in, group_id, false).await?.into_string()))
}

async fn counts(
    web: &Arc<Web>,
    signed_in: &SignedIn,
    group_id: String,
    all: bool,
) -> Result<maud::Markup, Failure> {
    let (web, caller) = (Arc::clone(web), Arc::clone(&signed_in.caller));
    let counted =
        apart(async move { people::ask_for_group(&web.app, &caller, &group_id, all).await }).await?;
    let counted = counted.map_err(|error| refused(signed_in, error))?;
    Ok(systems_table(CAPTION, &counted))
}
