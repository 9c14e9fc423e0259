//! The log: the admin events, newest first, and whether their chain holds.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use form_urlencoded::Serializer;
use maud::{Markup, html};
use serde_json::Value;

use super::event_words::{TYPES, details, title};
use super::termination::number;
use crate::app::{ChainLook, Stretch};
#[cfg(test)]
use crate::clock::timestamp;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Place, SignedIn, instant, page};
use crate::http::request::Query;
use crate::ops::log::{LogPage, LogQuery, list};
use crate::ops::{chain, log};
use crate::store::EventRow;

/// Events on one page.
const PER_PAGE: usize = 50;

/// The filters as they were sent, and what is wrong with them.
#[derive(Default)]
struct Asked {
    event_type: String,
    from: String,
    until: String,
    who: String,
    about: String,
    query: LogQuery,
    wrong: Vec<(&'static str, &'static str)>,
}

/// `GET /console/log`.
pub(in crate::http) async fn show(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    query: Query,
) -> Result<Html<String>, Failure> {
    // Access first: whoever may not read it learns nothing of the filters.
    let look = chain::last_look(&web.app, &signed_in.caller)?;
    let asked = asked(&query)?;
    let found = if asked.wrong.is_empty() {
        Some(list(&web.app, &signed_in.caller, &asked.query, PER_PAGE).await?)
    } else {
        None
    };
    let body = html! {
        h1 { "Log" }
        p { (short(&look)) " " a href="/console/log/chain" { "Check the chain" } }
        (filters(&asked))
        @if let Some(found) = &found { (events(&asked, found)) }
    };
    Ok(page(&signed_in, Place::Log, "Log", body))
}

fn asked(query: &Query) -> Result<Asked, Failure> {
    let text = |name| query.text(name).map(str::trim).unwrap_or_default().to_owned();
    let mut asked = Asked {
        event_type: text("type"),
        from: text("from"),
        until: text("until"),
        who: text("who"),
        about: text("about"),
        ..Asked::default()
    };
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let (from, until) = (time(&asked.from), time(&asked.until));
    for (name, time) in [("from", &from), ("until", &until)] {
        if time.is_err() {
            asked.wrong.push((name, "write a time such as 2026-01-02T03:04"));
        }
    }
    let before = query.number("before", i64::MAX, 1, i64::MAX)?;
    asked.query = log::LogQuery {
        before: Some(before).filter(|before| *before != i64::MAX),
        event_types: some(&asked.event_type).into_iter().collect(),
        recorded_from: from.unwrap_or_default(),
        recorded_before: until.unwrap_or_default(),
        who: some(&asked.who),
        about: some(&asked.about),
    };
    Ok(asked)
}

/// A time as the browser's field writes it, in UTC; also an instant with its zone.
fn time(text: &str) -> Result<Option<i64>, jiff::Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let whole = text.parse::<jiff::Timestamp>();
    let instant = whole.or_else(|_| format!("{text}Z").parse()).or_else(|_| format!("{text}:00Z").parse());
    instant.map(|at: jiff::Timestamp| Some(at.as_millisecond()))
}

fn filters(asked: &Asked) -> Markup {
    let wrong = |name| asked.wrong.iter().find(|(found, _)| *found == name).map(|(_, why)| *why);
    let field = |name: &str, label: &str, kind: &str, value: &str, why: Option<&str>| {
        html! {
            div {
                label for=(name) { (label) }
                input id=(name) name=(name) type=(kind) value=(value) maxlength="320"
                    aria-invalid=[why.map(|_| "true")] aria-describedby=[why.map(|_| format!("{name}-wrong"))];
                @if let Some(why) = why { p.hint id={ (name) "-wrong" } { (why) } }
            }
        }
    };
    let known = TYPES.iter().any(|(name, _)| *name == asked.event_type);
    html! {
        form.panel.filters method="get" action="/console/log" role="search" aria-label="Filter the log" {
            div {
                label for="type" { "What happened" }
                select id="type" name="type" {
                    option value="" selected[asked.event_type.is_empty()] { "Everything" }
                    @for (name, words) in TYPES {
                        option value=(name) selected[*name == asked.event_type] { (words) }
                    }
                    @if !known && !asked.event_type.is_empty() {
                        option value=(asked.event_type) selected { (asked.event_type) }
                    }
                }
            }
            (field("who", "By (login or id)", "text", &asked.who, None))
            (field("about", "About (login or id)", "text", &asked.about, None))
            (field("from", "From (UTC)", "datetime-local", &asked.from, wrong("from")))
            (field("until", "Until (UTC)", "datetime-local", &asked.until, wrong("until")))
            div.actions {
                button type="submit" { "Show" }
                @if is_filtered(asked) { a href="/console/log" { "Show everything" } }
            }
            @if let Some(why) = wrong("before") { p.hint { "before: " (why) } }
        }
    }
}

fn is_filtered(asked: &Asked) -> bool {
    let fields = [&asked.event_type, &asked.from, &asked.until, &asked.who, &asked.about];
    fields.iter().any(|field| !field.is_empty())
}

fn events(asked: &Asked, found: &LogPage) -> Markup {
    html! {
        @if found.rows.is_empty() {
            p.panel.empty {
                @if found.cut_short { "Nothing was found so far; the search is not at the end." }
                @else if is_filtered(asked) || asked.query.before.is_some() { "No event is like this." }
                @else { "Nothing has happened yet." }
            }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Events" {
                table.log.cards {
                    caption.aside { "Events, newest first" }
                    thead { tr {
                        th.number scope="col" { "Position" }
                        th scope="col" { "Recorded at" }
                        th scope="col" { "What" }
                        th scope="col" { "Who" }
                        th scope="col" { "About" }
                        th scope="col" { "Details" }
                    } }
                    tbody { @for row in &found.rows { (event(row)) } }
                }
            }
        }
        nav.actions aria-label="Pages" {
            @if asked.query.before.is_some() { a href=(page_of(asked, None)) { "Newest" } }
            @if let Some(older) = found.older {
                a href=(page_of(asked, Some(older))) rel="next" {
                    @if found.cut_short { "Search on, before position " (number(older.unsigned_abs())) } @else { "Older" }
                }
            }
        }
    }
}

/// The address of another page with the same filters.
fn page_of(asked: &Asked, before: Option<i64>) -> String {
    let mut query = Serializer::new(String::new());
    let fields = [
        ("type", &asked.event_type),
        ("who", &asked.who),
        ("about", &asked.about),
        ("from", &asked.from),
        ("until", &asked.until),
    ];
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    if let Some(before) = before {
        query.append_pair("before", &before.to_string());
    }
    format!("/console/log?{}", query.finish())
}

fn event(row: &EventRow) -> Markup {
    let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
    let operator = body["additional_details"]["by"].as_str() == Some("operator");
    let by = if operator { "the server's operator" } else { "the service" };
    let raw = serde_json::to_string_pretty(&body).unwrap_or_default();
    html! {
        tr {
            td.number data-name="Position" { (row.position) }
            td data-name="Recorded at" { (instant(row.recorded_at)) }
            td data-name="What" { (title(&row.event_type)) }
            td data-name="Who" { (party(&body["created_by"], by)) }
            td data-name="About" { (party(&body["source"], "nobody")) }
            td data-name="Details" { div {
                (details(&row.event_type, &body["additional_details"]))
                details {
                    summary { "Raw" span.aside { " event " (row.position) } }
                    p.faint { code { (row.event_type) } " " code { (row.event_id) } br; "hash " code { (row.chain_hash) } }
                    pre.raw tabindex="0" { (if body.is_null() { &row.body } else { &raw }) }
                }
            } }
        }
    }
}

/// Whoever or whatever an event names.
fn party(value: &Value, nobody: &str) -> Markup {
    let text = |key: &str| value[key].as_str().filter(|text| !text.is_empty());
    let Some(id) = text("id") else {
        return html! { span.faint { (text("name").or(text("login")).unwrap_or(nobody)) } };
    };
    let name = text("login").or(text("name")).unwrap_or(id);
    let place = match text("type") {
        Some("user") => Some("people"),
        Some("group") => Some("groups"),
        Some("termination") => Some("terminations"),
        _ => None,
    };
    match place {
        Some("terminations") => {
            html! { a href={ "/console/terminations/" (id) } title=(id) { "termination" } }
        }
        Some(place) => html! { a href={ "/console/" (place) "/" (id) } title=(id) { (name) } },
        None => html! { (name) @if name != id { " " code.faint { (id) } } },
    }
}

/// `GET /console/log/chain`.
pub(in crate::http) async fn chain(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    query: Query,
) -> Result<Html<String>, Failure> {
    let anew = query.text("from") == Some("begin");
    let look = chain::look(&web.app, &signed_in.caller, anew).await?;
    let body = html! {
        h1 { "Chain of the log" }
        p #chain class={ "message " (kind(&look)) } role="status" { (short(&look)) }
        @if let Some((broken, at)) = &look.broken {
            p { "Found at " (instant(*at)) ": " (broken) "." }
            p { "Keep the database as it is, and compare it with a copy. Whoever holds the position and hash of an earlier event, such as the one that a termination shows when it is done, can say since when: " code { "lightsout events verify --expect POSITION:HASH" } "." }
        }
        h2 { "What was checked" }
        (checked(&look))
        p.actions {
            @if look.unfinished { a.button href="/console/log/chain" { "Go on" } }
            @else { a.button.quiet href="/console/log/chain" { "Check what is new" } }
            a.button.quiet href="/console/log/chain?from=begin" { "Check everything again" }
        }
        p.faint {
            "The chain runs through the events of every enterprise of this service; each event's hash covers its own bytes and the hash before it. "
            "What stands here was read by this node since it started."
        }
    };
    Ok(page(&signed_in, Place::Log, "Chain of the log", body))
}

fn kind(look: &ChainLook) -> &'static str {
    match (&look.broken, look.unfinished) {
        (Some(_), _) => "bad",
        (None, true) => "warn",
        (None, false) => "good",
    }
}

/// What is known, in a sentence that claims no more than was checked.
fn short(look: &ChainLook) -> Markup {
    let checked_at = |stretch: &Stretch| instant(stretch.ended_at);
    let last = look.since.as_ref().or(look.whole.as_ref());
    let (Some(head), Some(last)) = (&look.verified, last) else {
        return html! {
            @if let Some((broken, _)) = &look.broken { "The chain is broken: " (broken) "." }
            @else { "The chain was not checked since this node started." }
        };
    };
    let position = number(head.position.unsigned_abs());
    match &look.broken {
        Some((broken, _)) => html! {
            "The chain is broken at position " strong { (number(broken.position().unsigned_abs())) } "."
        },
        None if head.position == 0 => html! { "The log is empty." },
        None if look.unfinished => html! {
            "Intact up to position " strong { (position) } " of " (number(look.head.unsigned_abs()))
            "; the rest is not checked yet."
        },
        None => html! {
            "Intact up to position " strong { (position) } ", hash " code { (head.chain_hash) }
            ", checked at " (checked_at(last)) "."
        },
    }
}

fn checked(look: &ChainLook) -> Markup {
    let stretches: Vec<&Stretch> = [&look.whole, &look.since].into_iter().flatten().collect();
    let stretches: Vec<&Stretch> = stretches.into_iter().filter(|s| s.last >= s.first).collect();
    html! {
        @if stretches.is_empty() {
            p.empty.panel { "Nothing." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="What was checked" {
                table {
                    caption { "Events that were read and fit their hashes" }
                    thead { tr { th.number scope="col" { "From" } th.number scope="col" { "To" } th scope="col" { "Read between" } } }
                    tbody { @for part in stretches {
                        tr {
                            td.number { (number(part.first.unsigned_abs())) }
                            td.number { (number(part.last.unsigned_abs())) }
                            td { (instant(part.begun_at)) " and " (instant(part.ended_at)) }
                        }
                    } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_browsers_write_them() {
        let at = 1_767_323_040_000;
        for text in
            ["2026-01-02T03:04", "2026-01-02T03:04:00", "2026-01-02T03:04:00Z", "2026-01-02T04:04:00+01:00"]
        {
            assert_eq!(time(text).expect(text), Some(at), "{text}");
        }
        assert_eq!(time("").expect("absent"), None);
        assert!(time("yesterday").is_err());
        assert_eq!(timestamp(at).to_string(), "2026-01-02T03:04:00Z");
    }
}
