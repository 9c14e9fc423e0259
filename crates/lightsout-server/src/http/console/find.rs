//! The search for people and groups.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use lightsout_api::Role;
use maud::{Markup, html};

use super::refused;
use super::systems_table::number;
use super::termination::state_tag;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Place, SignedIn, instant, page};
use crate::http::request::Query;
use crate::ops::people::{self, Beginning, Found};
use crate::ops::terminations;
use crate::store::{GroupRow, TerminationRow, UserRow};

/// `GET /console?q=`.
pub(in crate::http) async fn show(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    query: Query,
) -> Result<Html<String>, Failure> {
    let term = query.text("q").map(str::trim).filter(|term| !term.is_empty());
    let below = if let Some(term) = term {
        let found = people::search(&web.app, &signed_in.caller, term).await;
        results(term, &found.map_err(|error| refused(&signed_in, error))?)
    } else {
        let beginning = people::begin(&web.app, &signed_in.caller).await;
        match beginning.map_err(|error| refused(&signed_in, error))? {
            Beginning::Terminations(rows) => newest(&rows),
            Beginning::Groups(groups) => own_groups(&groups),
        }
    };
    let title = term.map_or_else(|| "Find".to_owned(), |term| format!("Find {term}"));
    let body = html! {
        h1 { "Find" }
        form.search role="search" method="get" action="/console" {
            label for="q" { "Person or group" }
            div.row {
                input #q type="search" name="q" value=[term] autofocus autocomplete="off" spellcheck="false" aria-describedby="q-hint";
                button type="submit" { "Search" }
            }
            p #q-hint .hint {
                "The beginning of a login or a name, or a whole id. Press " kbd { "/" } " to come back here. "
                a href="/console/end" { "Paste a list" }
            }
        }
        (below)
    };
    Ok(page(&signed_in, Place::Find, &title, body))
}

fn results(term: &str, found: &Found) -> Markup {
    if found.people.is_empty() && found.groups.is_empty() {
        return html! {
            div.panel role="status" {
                p { "Nothing begins with " strong { (term) } "." }
                p.hint {
                    "A search goes over the beginnings of logins and of the words of names, and over whole ids. Try less of the name, or the login. Whoever was deleted is not found; their past terminations are in the log."
                }
            }
        };
    }
    let count = |n: usize, more: bool| {
        let plus = if more { "first " } else { "" };
        format!("{plus}{n}")
    };
    html! {
        p.aside role="status" {
            "Found: people " (count(found.people.len(), found.more_people))
            ", groups " (count(found.groups.len(), found.more_groups))
        }
        form method="get" action="/console/end" {
            @if !found.people.is_empty() {
                h2 { "People" }
                (people_table(&found.people))
                @if found.more_people { (too_many("people")) }
            }
            @if !found.groups.is_empty() {
                h2 { "Groups" }
                (groups_table(&found.groups))
                @if found.more_groups { (too_many("groups")) }
            }
            div.actions.sticky { button.danger type="submit" { "End sessions of the chosen" } span.hint { "You see what would end before anything does." } }
        }
    }
}

fn too_many(what: &str) -> Markup {
    html! { p.message.warn { "There are more " (what) ": these are the first " (people::FOUND_MAX) ". Type more of the login or name to narrow it down." } }
}

/// People, one a row, with boxes to choose them.
pub(super) fn people_table(people: &[UserRow]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="People" {
            table.cards {
                caption.aside { "People" }
                thead { tr {
                    th scope="col" { span.aside { "Choose" } } th scope="col" { "Name" } th scope="col" { "Login" }
                    th scope="col" { "Role and status" } th scope="col" { "Id" }
                } }
                tbody {
                    @for person in people {
                        tr {
                            td.choose { input type="checkbox" name="user" value=(person.user_id) aria-label={ "Choose " (person.name) }; }
                            th.name scope="row" { a href={ "/console/people/" (person.user_id) } { (person.name) } }
                            td data-name="Login" { span { (person.login.as_deref().unwrap_or("none")) } }
                            td data-name="Role" { span { @if person.role() == Role::User { span.faint { "user" } } (tags(person)) } }
                            td data-name="Id" { code { (person.user_id) } }
                        }
                    }
                }
            }
        }
    }
}

/// What stands out about a person: a role above user, a status that is not active.
pub(super) fn tags(person: &UserRow) -> Markup {
    html! {
        @match person.role() {
            Role::User => {}
            Role::Coadmin => { span.tag.warn { "coadmin" } }
            Role::Admin => { span.tag.warn { "admin" } }
        }
        @if person.status != "active" { " " span.tag { (person.status.replace('_', " ")) } }
    }
}

fn groups_table(groups: &[GroupRow]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Groups" {
            table.cards {
                caption.aside { "Groups" }
                thead { tr { th scope="col" { span.aside { "Choose" } } th scope="col" { "Name" } th scope="col" { "Id" } } }
                tbody {
                    @for group in groups {
                        tr {
                            td.choose { input type="checkbox" name="group" value=(group.group_id) aria-label={ "Choose the group " (group.name) }; }
                            th.name scope="row" { a href={ "/console/groups/" (group.group_id) } { (group.name) } }
                            td data-name="Id" { code { (group.group_id) } }
                        }
                    }
                }
            }
        }
    }
}

fn own_groups(groups: &[GroupRow]) -> Markup {
    html! {
        h2 { "Your groups" }
        form method="get" action="/console/end" {
            (groups_table(groups))
            div.actions { button.danger type="submit" { "End sessions of the chosen" } }
        }
    }
}

fn newest(rows: &[TerminationRow]) -> Markup {
    html! {
        h2 { "Newest terminations" }
        @if rows.is_empty() {
            p.panel.empty { "Nobody's sessions have been ended yet. Find a person or a group above to begin." }
        } @else {
            (terminations_table("Newest terminations", rows))
            p { a href="/console/terminations" { "All terminations" } }
        }
    }
}

/// Terminations, one a row.
pub(super) fn terminations_table(caption: &str, rows: &[TerminationRow]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.cards {
                caption.aside { (caption) }
                thead { tr {
                    th scope="col" { "Accepted" } th scope="col" { "State" } th.number scope="col" { "People" }
                    th scope="col" { "Asked by" } th scope="col" { "Reason" }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th.name scope="row" { a href={ "/console/terminations/" (row.termination_id) } { (instant(row.created_at)) } }
                            td data-name="State" { (state_tag(terminations::state(&row.state))) }
                            td.number data-name="People" { (number(row.people.unsigned_abs())) }
                            td data-name="Asked by" { span { (row.asked_by_login.as_deref().unwrap_or(&row.asked_by)) } }
                            td.long data-name="Reason" { span { @match &row.reason { Some(reason) => { (reason) } None => { span.faint { "none given" } } } } }
                        }
                    }
                }
            }
        }
    }
}
