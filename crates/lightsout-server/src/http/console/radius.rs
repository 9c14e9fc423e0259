//! The page that shows what would end before anything does.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lightsout_api::{Skip, SkipReason};
use maud::{Markup, html};

use super::end::{Selection, UNCONFIRMED_MAX, Wrong};
use super::systems_table::{asked_later, number, systems_table};
use super::{apart, refused};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Place, SignedIn, counted, csrf_field, page};
use crate::ops::people::{self, Named};
use crate::ops::radius::{self, PAGE_TIMEOUT, Radius};
use crate::ops::terminate::REASON_MAX;

/// So many people and groups are named.
const NAMED_MAX: usize = 10;

/// What stands in the form besides the selection.
#[derive(Default)]
pub(super) struct Filled {
    pub(super) reason: String,
    /// Why it is shown again.
    pub(super) wrong: Option<(StatusCode, Wrong)>,
    /// Asks the systems before the page is sent.
    pub(super) ask: bool,
}

/// Looks, and shows what was seen.
pub(super) async fn radius_page(
    web: &Arc<Web>,
    signed_in: &SignedIn,
    selection: &Selection,
    filled: Filled,
) -> Result<Response, Failure> {
    let mut request = selection.request(None);
    (request.skip_unknown, request.skip_not_permitted) = (true, true);
    let (of, caller, ask) = (Arc::clone(web), Arc::clone(&signed_in.caller), filled.ask);
    let looked = apart(async move {
        let radius = radius::look(&of.app, &caller, &request).await?;
        let systems =
            if ask { Some(radius::count(&of.app, &caller, &radius, PAGE_TIMEOUT).await?) } else { None };
        Ok((radius, systems))
    });
    let looked = looked.await?;
    let (radius, systems) = match &filled.wrong {
        None => looked.map_err(|error| refused(signed_in, error))?,
        Some(_) => looked?,
    };
    let names = names(web, signed_in, selection, &radius).await?;
    let systems = if let Some(systems) = systems {
        systems_table("Live sessions by system", &systems)
    } else {
        let query = selection.query();
        let (load, ask) =
            (format!("/console/end/systems?{query}"), format!("/console/end?{query}&ask=1#systems"));
        asked_later(&load, &ask, "Ask the systems for their sessions")
    };
    let blocked = !radius.skipped.is_empty() && !selection.skip;
    let nobody = radius.people == 0;
    let body = html! {
        h1 {
            @if nobody { "End sessions" } @else { "End all sessions of " (counted(radius.people, "person", "people")) "?" }
        }
        @if let Some((_, Wrong::Form(why))) = &filled.wrong { p.message.bad role="alert" { (why) } }
        (whom(selection, &radius, &names))
        (left_out(selection, &radius, &names, blocked))
        @if !nobody {
            h2 #systems { "Sessions that would end" }
            (systems)
        }
        @if !blocked && !nobody {
            (form(web, signed_in, selection, &radius, &filled))
        } @else if !blocked {
            p.message.warn { "There is nobody to end: the selection holds no people." }
            p { a href="/console/end" { "Choose others" } }
        }
    };
    let status = filled.wrong.as_ref().map_or(StatusCode::OK, |(status, _)| *status);
    Ok((status, page(signed_in, Place::End, "End sessions", body)).into_response())
}

/// The names of the first people and groups, and of the first who are left out.
async fn names(
    web: &Arc<Web>,
    signed_in: &SignedIn,
    selection: &Selection,
    radius: &Radius,
) -> Result<Vec<Named>, Failure> {
    let first = |ids: &[String]| ids.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>();
    let skipped = |kind: &'static str| {
        let of_kind = radius.skipped.iter().filter(move |skip| skip.kind == kind);
        of_kind.take(NAMED_MAX).map(|skip| skip.value.clone())
    };
    let included = |ids: &[String]| {
        let all = ids.iter().filter(|id| !radius.skipped.iter().any(|skip| skip.value == **id));
        first(&all.cloned().collect::<Vec<_>>())
    };
    let (mut users, mut groups) = (included(&selection.users), included(&selection.groups));
    users.extend(skipped("user_id"));
    groups.extend(skipped("group_id"));
    let names = people::names(&web.app, &signed_in.caller, &users, &groups).await;
    names.map_err(|error| refused(signed_in, error))
}

fn whom(selection: &Selection, radius: &Radius, names: &[Named]) -> Markup {
    let out = |id: &str| radius.skipped.iter().any(|skip| skip.value == id);
    let line = |ids: &[String], path: &str| {
        let included: Vec<&String> = ids.iter().filter(|id| !out(id)).collect();
        html! {
            @for (n, id) in included.iter().take(NAMED_MAX).enumerate() {
                @if n > 0 { ", " }
                a href={ "/console/" (path) "/" (id) } { (name_of(names, id)) }
            }
            @if included.len() > NAMED_MAX { ", and " (number((included.len() - NAMED_MAX) as u64)) " more" }
        }
    };
    let any = |ids: &[String]| ids.iter().any(|id| !out(id));
    html! {
        dl.facts.panel {
            @if any(&selection.users) { dt { "People" } dd { (line(&selection.users, "people")) } }
            @if any(&selection.groups) { dt { "Groups" } dd { (line(&selection.groups, "groups")) } }
            dt { "Altogether" } dd { strong { (counted(radius.people, "person", "people")) } }
        }
        @if radius.includes_caller {
            p.message.bad {
                strong { "You are among them." }
                " Your own console session ends, too: your next click leads to the sign-in page. The termination goes on, and is under Terminations when you are back."
            }
        }
        @if radius.includes_admin {
            p.message.warn { strong { "An admin or coadmin is among them." } " They cannot use this console until they sign in again." }
        }
    }
}

fn name_of(names: &[Named], id: &str) -> Markup {
    let named = names.iter().find(|named| named.id == id);
    html! {
        @if let Some(named) = named {
            (named.name)
            @if let Some(login) = &named.login { " " span.faint { "(" (login) ")" } }
        } @else {
            code { (id) }
        }
    }
}

/// Who would be left out, why, and how to go on without them.
fn left_out(selection: &Selection, radius: &Radius, names: &[Named], blocked: bool) -> Markup {
    if radius.skipped.is_empty() {
        return html! {};
    }
    let list = |reason: SkipReason| {
        let skips: Vec<&Skip> = radius.skipped.iter().filter(|skip| skip.reason == reason).collect();
        html! {
            @for (n, skip) in skips.iter().take(NAMED_MAX).enumerate() {
                @if n > 0 { ", " }
                (name_of(names, &skip.value))
            }
            @if skips.len() > NAMED_MAX { ", and " (number((skips.len() - NAMED_MAX) as u64)) " more" }
        }
    };
    let has = |reason: SkipReason| radius.skipped.iter().any(|skip| skip.reason == reason);
    let left = radius.skipped.len() as u64;
    let without = Selection { skip: true, ..selection.clone() };
    html! {
        div.message.bad[blocked].warn[!blocked] role=[blocked.then_some("alert")] {
            @if has(SkipReason::NotPermitted) {
                p {
                    strong { "You may not end: " } (list(SkipReason::NotPermitted)) ". "
                    @for (n, denied) in radius.refusals.iter().enumerate() {
                        @if n > 0 { "; " }
                        (sentence(&denied.to_string()))
                    }
                    "."
                }
            }
            @if has(SkipReason::Unknown) {
                p { strong { "Not in the directory (any more): " } (list(SkipReason::Unknown)) "." }
            }
            @if !blocked {
                p { (counted(left, "entry is", "entries are")) " left out." }
            } @else if radius.people > 0 {
                p {
                    a.button.quiet href={ "/console/end?" (without.query()) } {
                        "Leave out " (counted(left, "entry", "entries")) " and go on with " (counted(radius.people, "person", "people"))
                    }
                }
            } @else {
                p { a href="/console/end" { "Choose others" } }
            }
        }
    }
}

/// With a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn form(web: &Web, signed_in: &SignedIn, selection: &Selection, radius: &Radius, filled: &Filled) -> Markup {
    let reason_wrong = match &filled.wrong {
        Some((_, Wrong::Reason(why))) => Some(why.as_str()),
        _ => None,
    };
    let people_wrong = match &filled.wrong {
        Some((_, Wrong::People(why))) => Some(why.as_str()),
        _ => None,
    };
    html! {
        form.narrow method="post" action="/console/terminations" {
            (csrf_field(&signed_in.csrf))
            @for id in &selection.users { input type="hidden" name="user" value=(id); }
            @for id in &selection.groups { input type="hidden" name="group" value=(id); }
            @if selection.skip { input type="hidden" name="skip" value="1"; }
            input type="hidden" name="expected" value=(radius.people);
            input type="hidden" name="key" value=(web.app.random.secret());
            label for="reason" { "Reason " span.faint { "(for the log, may be empty)" } }
            @if let Some(why) = reason_wrong { p #reason-wrong .wrong role="alert" { (why) } }
            textarea #reason name="reason" rows="2" maxlength=(REASON_MAX) aria-invalid=[reason_wrong.map(|_| "true")]
                aria-describedby=[reason_wrong.map(|_| "reason-wrong")] { "\n" (filled.reason) }
            @if radius.people > UNCONFIRMED_MAX {
                label for="people" { "Type the number of people, " strong { (number(radius.people)) } ", to confirm" }
                @if let Some(why) = people_wrong { p #people-wrong .wrong role="alert" { (why) } }
                input #people .short type="text" name="people" inputmode="numeric" autocomplete="off" required
                    aria-invalid=[people_wrong.map(|_| "true")] aria-describedby=[people_wrong.map(|_| "people-wrong")];
            }
            div.actions {
                button.danger type="submit" { "End all sessions" }
                a.button.quiet href="/console" { "Cancel" }
            }
            p.hint { "Everyone named is signed out everywhere and can sign in again. It cannot be undone." }
        }
    }
}
