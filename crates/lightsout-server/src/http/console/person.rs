//! One person: who it is, where they are signed in, and what was ended before.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::{Html, Redirect};
use maud::{Markup, html};

use super::find::{tags, terminations_table};
use super::refused;
use super::sessions_elsewhere::sessions_elsewhere;
use super::systems_table::{asked_later, asking, number};
use super::told::{device, told};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Place, SignedForm, SignedIn, counted, csrf_field, instant, page};
use crate::http::request::{PathId, Query};
use crate::ops::people::{self, NEWEST, PAGE, Person};
use crate::ops::sign_in::CONSOLE;
use crate::ops::{self, elsewhere, sessions};
use crate::store::{SessionRow, TerminationRow};

/// `GET /console/people/{user_id}`.
pub(in crate::http) async fn show(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    PathId(user_id): PathId,
    uri: Uri,
    query: Query,
) -> Result<Html<String>, Failure> {
    let after = query.text("after");
    let offset = query.number("groups", 0, 0, 1_000_000)?;
    let person = people::person(&web.app, &signed_in.caller, &user_id, after, offset).await;
    let person = person.map_err(|error| refused(&signed_in, error))?;
    let systems = if query.text("ask").is_some() {
        sessions_elsewhere(&elsewhere::ask(&web.app, &signed_in.caller, &user_id).await?)
    } else {
        asked_later(&format!("/console/people/{user_id}/systems"), &asking(&uri), "Ask the systems")
    };
    let body = html! {
        h1 { (person.user.name) " " (tags(&person.user)) }
        (flash(query.text("done")))
        (end_all(&person))
        div.panel { (facts(&person)) }
        (registered(&signed_in, &person))
        h2 #systems { "Sessions in other systems" }
        (systems)
        (groups(&person, offset))
        @if let Some(past) = &person.past { (past_terminations(past)) }
    };
    Ok(page(&signed_in, Place::Find, &person.user.name, body))
}

/// `GET /console/people/{user_id}/systems`: the part of the page that takes a while.
pub(in crate::http) async fn systems(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    PathId(user_id): PathId,
) -> Result<Html<String>, Failure> {
    let systems = elsewhere::ask(&web.app, &signed_in.caller, &user_id).await;
    let systems = systems.map_err(|error| refused(&signed_in, error))?;
    Ok(Html(sessions_elsewhere(&systems).into_string()))
}

/// `POST /console/sessions/{session}/end`.
pub(in crate::http) async fn end_session(
    State(web): State<Arc<Web>>,
    PathId(session): PathId,
    SignedForm(signed_in, fields): SignedForm,
) -> Result<Redirect, Failure> {
    let done = match sessions::end_of_person(&web.app, &signed_in.caller, &session).await {
        Ok(()) => "session_ended",
        Err(ops::Error::NotFound(_)) => "session_gone",
        Err(error) => return Err(error.into()),
    };
    let user: String =
        form_urlencoded::byte_serialize(fields.text("user").unwrap_or_default().as_bytes()).collect();
    Ok(Redirect::to(&if user.is_empty() {
        "/console".to_owned()
    } else {
        format!("/console/people/{user}?done={done}")
    }))
}

fn flash(done: Option<&str>) -> Markup {
    match done {
        Some("session_ended") => {
            html! { p.message.good role="status" { "The session was ended. It is refused from now on." } }
        }
        Some("session_gone") => {
            html! { p.message role="status" { "That session is over already: it ended, expired, or was never registered." } }
        }
        _ => html! {},
    }
}

fn end_all(person: &Person) -> Markup {
    match person.may_end {
        Ok(()) => html! {
            div.actions.lead {
                a.button.danger href={ "/console/end?user=" (person.user.user_id) } { "End all sessions" }
                @if person.is_caller { span.hint { "This is you: your own console session ends, too." } }
            }
        },
        Err(denied) => html! { p.message.warn { "You may not end these sessions: " (denied) "." } },
    }
}

fn facts(person: &Person) -> Markup {
    let user = &person.user;
    html! {
        dl.facts {
            dt { "Login" } dd { (user.login.as_deref().unwrap_or("none")) }
            dt { "Id" } dd { code { (user.user_id) } }
            @if let Some(id) = &user.external_id { dt { "External id" } dd { code { (id) } } }
            dt { "Role" } dd { (user.role) @if user.service_of.is_some() { " (the service account of an app)" } }
            dt { "Status" } dd { (user.status.replace('_', " ")) }
            dt { "Created" } dd { (instant(user.created_at)) }
        }
    }
}

fn registered(signed_in: &SignedIn, person: &Person) -> Markup {
    let Some(sessions) = &person.sessions else {
        return html! {
            h2 { "Registered sessions" }
            p { (counted(person.sessions_count, "session", "sessions")) ". Which they are, admins and coadmins may see." }
        };
    };
    html! {
        h2 { "Registered sessions" }
        @if sessions.is_empty() {
            p.panel.empty { "No live session is registered here." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Registered sessions" {
                table.cards {
                    caption { (counted(person.sessions_count, "live session", "live sessions")) }
                    thead { tr {
                        th scope="col" { "App" } th scope="col" { "Began" } th scope="col" { "Last seen" } th scope="col" { "Device" }
                        th scope="col" { "Address" } th scope="col" { "Expires" } th scope="col" { span.aside { "End" } }
                    } }
                    tbody { @for session in sessions { (session_row(signed_in, person, session)) } }
                }
            }
        }
        @if let Some(after) = &person.more_sessions {
            p { a href={ "/console/people/" (person.user.user_id) "?after=" (after) } { "Next " (PAGE) " sessions" } }
        }
    }
}

fn session_row(signed_in: &SignedIn, person: &Person, session: &SessionRow) -> Markup {
    let app = match person.apps.get(&session.client_id) {
        _ if session.client_id == CONSOLE => "this console",
        Some(name) => name.as_str(),
        None => session.client_id.as_str(),
    };
    let mine = session.session_hash == signed_in.session_hash;
    html! {
        tr {
            th.name scope="row" { (app) @if mine { " " span.tag { "you, now" } } }
            td.when data-name="Began" { (instant(session.began_at)) }
            td data-name="Last seen" { (told(None)) }
            td.long data-name="Device" { (device(session.device.as_deref())) }
            td data-name="Address" { (told(session.address.as_deref())) }
            td.when data-name="Expires" { (instant(session.expires_at)) }
            td {
                @if person.may_end.is_ok() {
                    form method="post" action={ "/console/sessions/" (session.session_hash) "/end" } {
                        (csrf_field(&signed_in.csrf))
                        input type="hidden" name="user" value=(person.user.user_id);
                        button.small.quiet.ending type="submit" aria-label={ "End the session of " (app) } { "End" }
                    }
                }
            }
        }
    }
}

fn groups(person: &Person, offset: i64) -> Markup {
    let page = |offset: i64| format!("/console/people/{}?groups={offset}", person.user.user_id);
    html! {
        h2 #groups { "Groups" }
        @if person.groups.is_empty() {
            p.faint { "In no group." }
        } @else {
            ul.plain {
                @for membership in &person.groups {
                    li {
                        a href={ "/console/groups/" (membership.group_id) } { (membership.group_name) }
                        @if membership.role == "admin" { " " span.tag { "group admin" } }
                    }
                }
            }
        }
        @if offset > 0 || person.more_groups {
            p.row {
                @if offset > 0 { a href={ (page((offset - PAGE).max(0))) "#groups" } { "Groups before" } }
                @if person.more_groups { a href={ (page(offset + PAGE)) "#groups" } { "More groups" } }
            }
        }
    }
}

fn past_terminations(past: &[TerminationRow]) -> Markup {
    let newest = number(NEWEST.unsigned_abs());
    html! {
        h2 { "Past terminations" }
        @if past.is_empty() {
            p.faint { "None among the newest " (newest) " of the enterprise." }
        } @else {
            (terminations_table("Past terminations", past))
            p.faint { "The newest " (past.len()) ", looked for among the newest " (newest) " of the enterprise." }
        }
    }
}
