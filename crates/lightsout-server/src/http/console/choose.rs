//! Whom to end: typed or pasted.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;

use super::end::Selection;
use super::systems_table::number;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Place, SignedForm, SignedIn, csrf_field, page};
use crate::ops::people::{self, Chosen};

/// More entries than this do not fit an address that every proxy takes.
const ENTRIES_MAX: usize = 300;
/// So many of the entries that were not found are named.
const NAMED_MAX: usize = 20;

/// `POST /console/end/choose`.
pub(in crate::http) async fn choose(
    State(web): State<Arc<Web>>,
    SignedForm(signed_in, fields): SignedForm,
) -> Result<Response, Failure> {
    let typed = fields.raw("who").unwrap_or_default();
    let chosen = people::choose(&web.app, &signed_in.caller, typed).await?;
    if let Some(wrong) = wrong(&chosen) {
        let page = choice(&signed_in, typed, &wrong);
        return Ok((StatusCode::BAD_REQUEST, page).into_response());
    }
    let selection = Selection {
        users: chosen.user_ids.into_iter().map(|id| id.0).collect(),
        groups: chosen.group_ids.into_iter().map(|id| id.0).collect(),
        skip: false,
    };
    Ok(Redirect::to(&format!("/console/end?{}", selection.query())).into_response())
}

/// What is wrong with a choice, a sentence each.
fn wrong(chosen: &Chosen) -> Option<Vec<String>> {
    let entries = chosen.user_ids.len() + chosen.group_ids.len();
    let mut wrong = Vec::new();
    if !chosen.unknown.is_empty() {
        wrong.push(format!("No login, id or group name is: {}.", named(&chosen.unknown)));
    }
    if !chosen.ambiguous.is_empty() {
        let named = named(&chosen.ambiguous);
        wrong.push(format!("These name a person and a group; write the id instead: {named}."));
    }
    if entries == 0 && wrong.is_empty() {
        wrong.push("Name at least one person or group.".to_owned());
    }
    if entries > ENTRIES_MAX {
        wrong.push(format!(
            "The list has {} entries; this page accepts at most {ENTRIES_MAX}. End a group instead, or run: lightsout users terminate-sessions --from-file FILE",
            number(entries as u64)
        ));
    }
    (!wrong.is_empty()).then_some(wrong)
}

fn named(words: &[String]) -> String {
    let first: Vec<&str> = words.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = words.len() - first.len();
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// The page that asks whom to end.
pub(super) fn choice(signed_in: &SignedIn, typed: &str, wrong: &[String]) -> Html<String> {
    let invalid = !wrong.is_empty();
    let body = html! {
        h1 { "End sessions" }
        form.narrow method="post" action="/console/end/choose" {
            (csrf_field(&signed_in.csrf))
            label for="who" { "Whose sessions?" }
            p #who-hint .hint { "Logins, ids or names of groups, one a line or separated by commas. " a href="/console" { "Search instead" } }
            @if invalid {
                div #who-wrong .message.bad role="alert" {
                    @for sentence in wrong { p { (sentence) } }
                    p { "Nothing was ended; correct the list and go on." }
                }
            }
            textarea #who name="who" rows="8" autofocus required spellcheck="false" autocomplete="off"
                aria-invalid=[invalid.then_some("true")] aria-describedby=(if invalid { "who-wrong who-hint" } else { "who-hint" }) {
                "\n" (typed)
            }
            div.actions {
                button type="submit" { "Show what would end" }
                span.hint { "Nothing ends yet." }
            }
        }
    };
    page(signed_in, Place::End, "End sessions", body)
}
