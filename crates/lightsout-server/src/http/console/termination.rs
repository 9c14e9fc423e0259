//! Terminations: the list, and one of them as it goes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use lightsout_api::{Outcome, Reference, Skip, SkipReason, SystemProgress, Termination, TerminationState};
use maud::{Markup, html};

use super::timeline::timeline;
use super::verdict::{Facts, Piece, Verdict, all, proven, verdict};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Place, SignedForm, SignedIn, counted, csrf_field, instant, page};
use crate::http::request::{PathId, Query};
use crate::ops::terminations;
use crate::ops::watch::{NAMED_MAX, Named, Watched, watch};

/// Terminations on one page of the list.
const PER_PAGE: i64 = 50;

/// `GET /console/terminations`.
pub(in crate::http) async fn list(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    query: Query,
) -> Result<Html<String>, Failure> {
    let marker = query.text("after");
    let found = terminations::list(&web.app, &signed_in.caller, marker, PER_PAGE).await?;
    let body = html! {
        h1 { "Terminations" }
        @if found.entries.is_empty() {
            p.panel.empty {
                @if marker.is_some() { "There are no older ones." }
                @else { "There is no termination yet that you may read. " a href="/console/end" { "End sessions" } }
            }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Terminations" {
                table.cards {
                    caption.aside { "Terminations, newest first" }
                    thead { tr {
                        th scope="col" { "Asked at" }
                        th scope="col" { "State" }
                        th.number scope="col" { "People" }
                        th scope="col" { "By" }
                        th scope="col" { "Reason" }
                    } }
                    tbody { @for entry in &found.entries { (row(entry)) } }
                }
            }
        }
        nav.actions aria-label="Pages" {
            @if marker.is_some() { a href="/console/terminations" { "Newest" } }
            @if let Some(next) = &found.next_marker {
                a href={ "/console/terminations?after=" (next) } rel="next" { "Older" }
            }
        }
    };
    Ok(page(&signed_in, Place::Terminations, "Terminations", body))
}

fn row(entry: &Termination) -> Markup {
    html! {
        tr {
            td data-name="Asked at" { a href={ "/console/terminations/" (entry.id) } { (instant(entry.created_at.as_millisecond())) } }
            td data-name="State" { (state_tag(entry.state)) }
            td.number data-name="People" { (number(entry.people)) }
            td data-name="By" { div { (person(&entry.asked_by)) @if let Some(other) = &entry.as_user { " as " (person(other)) } } }
            td.reason data-name="Reason" { (entry.reason.as_deref().unwrap_or("none given")) }
        }
    }
}

/// A termination's state as people say it.
pub(super) fn state_tag(state: TerminationState) -> Markup {
    match state {
        TerminationState::Running => html! { span.tag { "Working" } },
        TerminationState::Done => html! { span.tag.good { "Done and proven" } },
        TerminationState::DoneWithFailures => html! { span.tag.bad { "Finished, not all proven" } },
    }
}

/// `GET /console/terminations/{termination_id}`.
pub(in crate::http) async fn show(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    PathId(id): PathId,
) -> Result<Html<String>, Failure> {
    let watched = watch(&web.app, &signed_in.caller, &id).await?;
    Ok(whole(&web, &signed_in, &watched, None))
}

/// `POST /console/terminations/{termination_id}/retry`.
pub(in crate::http) async fn retry(
    State(web): State<Arc<Web>>,
    PathId(id): PathId,
    SignedForm(signed_in, _): SignedForm,
) -> Result<Response, Failure> {
    match terminations::retry(&web.app, &signed_in.caller, &id).await {
        Ok(_) => Ok(Redirect::to(&format!("/console/terminations/{id}")).into_response()),
        Err(error) => {
            let failure = Failure::from(error);
            if !matches!(failure.status, StatusCode::CONFLICT | StatusCode::FORBIDDEN) {
                return Err(failure);
            }
            let watched = watch(&web.app, &signed_in.caller, &id).await?;
            let shown = whole(&web, &signed_in, &watched, Some(&failure.message));
            Ok((failure.status, shown).into_response())
        }
    }
}

fn whole(web: &Web, signed_in: &SignedIn, watched: &Watched, refused: Option<&str>) -> Html<String> {
    let termination = &watched.termination;
    let follows = termination.finished_at.is_none();
    let path = format!("/console/terminations/{}", termination.id);
    let body = html! {
        h1 { "Termination" }
        @if let Some(refused) = refused { p.message.bad role="alert" { "Not tried again: " (refused) } }
        p.message.warn #away role="status" hidden {
            "The connection to the service is lost. What stands here is from before; it goes on by itself when the service is back."
        }
        // Outside of what is replaced, or nothing would be read out.
        p.aside #said role="status" aria-live="polite" {}
        div data-follow=[follows.then(|| format!("{path}/live"))] {
            (live_part(watched, &signed_in.csrf, web.app.clock.now_ms()))
        }
        noscript { @if follows { p.hint { "Scripts are off, so this page stands still: load it again to see how it goes." } } }
        h2 { "Outcomes" }
        p { "What became of each person in each system, as files: "
            a href={ (path) "/outcomes.csv" } download { "CSV" } ", "
            a href={ (path) "/outcomes.json" } download { "JSON" } "." }
        (skipped(&termination.skipped))
    };
    page(signed_in, Place::Terminations, "Termination", body)
}

fn facts(termination: &Termination) -> Markup {
    html! {
        dl.facts.panel {
            dt { "Asked by" } dd { (person(&termination.asked_by)) }
            @if let Some(other) = &termination.as_user { dt { "As" } dd { (person(other)) } }
            dt { "Asked at" } dd { (instant(termination.created_at.as_millisecond())) }
            dt { "Reason" }
            dd { @match &termination.reason { Some(reason) => (reason), None => span.faint { "none given" } } }
            dt { "People" } dd { (number(termination.people)) }
            dt { "Ends what began by" } dd { (instant(termination.cutoff.as_millisecond())) }
            @if !termination.skipped.is_empty() {
                dt { "Left out" }
                dd { a href="#left-out" { (counted(termination.skipped.len() as u64, "entry", "entries")) } }
            }
            dt { "Id" } dd { code { (termination.id) } }
        }
    }
}

fn skipped(skips: &[Skip]) -> Markup {
    html! {
        @if !skips.is_empty() {
            h2 #left-out { "Left out" }
            div.scroll.low tabindex="0" role="region" aria-label="Entries that were left out" {
                table {
                    caption { "Nothing was ended for these entries of the request." }
                    thead { tr { th scope="col" { "Entry" } th scope="col" { "Kind" } th scope="col" { "Why" } } }
                    tbody {
                        @for skip in skips {
                            tr {
                                td { (skip.value) }
                                td { (skip.kind.replace('_', " ")) }
                                td { @match skip.reason {
                                    SkipReason::Unknown => "unknown in this enterprise",
                                    SkipReason::NotPermitted => "not permitted to whoever asked",
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The part that moves: the page's, and each message's of its stream.
pub(super) fn live_part(watched: &Watched, csrf: &str, now: i64) -> Markup {
    let termination = &watched.termination;
    let verdict = verdict(&Facts { termination, open: &watched.open, last_ends: &watched.last_ends, now });
    let reopens = termination.systems.iter().map(|s| s.gave_up + s.unknown_sessions + s.no_subject).sum();
    html! {
        section #live data-state=(verdict.state) aria-label="How it goes" {
            (said(&verdict))
            (facts(termination))
            @if let Some(head) = &termination.chain_head {
                p.faint {
                    "Event " (number(head.position.unsigned_abs())) " of the log closed it; its hash is "
                    code { (head.hash) } "."
                }
            }
            @if termination.finished_at.is_some() && reopens > 0 { (retry_form(termination, reopens, csrf)) }
            h2 { "Systems" }
            ul.bars { @for system in &termination.systems { (bar(system)) } }
            (timeline(watched, now))
            @for named in &watched.named { (people(named)) }
        }
    }
}

fn said(verdict: &Verdict) -> Markup {
    let class = match verdict.state {
        "done" => "verdict message good",
        "working" => "verdict message",
        _ => "verdict message bad",
    };
    html! {
        p #verdict class=(class) {
            @for piece in &verdict.sentence {
                @match piece { Piece::Text(text) => (text), Piece::At(at) => (instant(*at)) }
            }
        }
    }
}

fn retry_form(termination: &Termination, reopens: u64, csrf: &str) -> Markup {
    html! {
        form.actions method="post" action={ "/console/terminations/" (termination.id) "/retry" } {
            (csrf_field(csrf))
            button type="submit" #retry { "Try again what was not reached" }
            span.hint { (counted(reopens, "outcome", "outcomes")) " that gave up, had no name, or could not be listed" }
        }
    }
}

/// Each outcome: its class in the drawing, its name, and how many.
fn parts(s: &SystemProgress) -> [(&'static str, &'static str, u64); 9] {
    [
        ("ended", "ended and verified", s.ended),
        ("nothing", "nothing found, verified", s.nothing_found),
        ("waiting", "not verified yet", s.waiting),
        ("unreachable", "unreachable", s.unreachable),
        ("unproven", "die by themselves", s.ends_by),
        ("unproven", "delivered, not verified", s.delivered_not_verified),
        ("unproven", "cannot be listed", s.unknown_sessions),
        ("unproven", "no name there", s.no_subject),
        ("gave-up", "gave up", s.gave_up),
    ]
}

/// One system: a bar of its outcomes, and the same in words.
fn bar(system: &SystemProgress) -> Markup {
    let whole = all(system).max(1);
    let mut x = 0;
    let mut rects = Vec::new();
    for (class, _, n) in parts(system).into_iter().filter(|(_, _, n)| *n > 0) {
        // Nobody is too few to be seen.
        let width = (n * 1_000 / whole).max(4);
        rects.push((class, x, width));
        x += width;
    }
    html! {
        li {
            p.name {
                strong { (system.system) } " "
                span.faint { (number(proven(system))) " of " (number(all(system))) " proven" }
            }
            svg.bar viewBox={ "0 0 " (x.max(1)) " 12" } preserveAspectRatio="none" width="100%" height="12" aria-hidden="true" focusable="false" {
                @for (class, x, width) in &rects {
                    rect class=(class) x=(x) y="0" width=(width) height="12" {}
                }
            }
            p.counts {
                @for (class, name, n) in parts(system) {
                    @if n > 0 {
                        span {
                            svg.swatch viewBox="0 0 10 10" width="10" height="10" aria-hidden="true" focusable="false" {
                                rect class=(class) width="10" height="10" {}
                            }
                            " " strong { (number(n)) } " " (name)
                        } " "
                    }
                }
            }
            @if system.sessions_ended > 0 { p.faint {
                (counted(system.sessions_ended, "session", "sessions")) " taken away"
                @if system.resurrected > 0 { ", came back " (counted(system.resurrected, "time", "times")) }
                @if system.ended_again > 0 { ", " (number(system.ended_again)) " of them under new keys meanwhile" }
            } }
        }
    }
}

fn people(named: &Named) -> Markup {
    let (title, what) = match named.what {
        "resurrected" => {
            ("Came back", "Sessions that came back under their old keys, and were taken away again")
        }
        "unreachable" => ("Unreachable", "People whose system does not answer; it is tried again"),
        "gave_up" => {
            ("Gave up", "People who may still be signed in: their system did not answer for too long")
        }
        "unknown_sessions" => {
            ("Cannot be listed", "People whose sessions the system cannot tell from others'")
        }
        "no_subject" => ("No name there", "People without a name in the system"),
        "delivered_not_verified" => {
            ("Delivered, not verified", "The system took the order, and cannot be asked whether it worked")
        }
        _ => ("Die by themselves", "Stateless sessions that nothing can end early"),
    };
    let shown = named.first.len() as u64;
    let more = named.count.map_or(shown >= NAMED_MAX.unsigned_abs(), |count| count > shown);
    html! {
        h2 { (title) @if let Some(count) = named.count { " " span.faint { (number(count)) } } }
        div.scroll.low tabindex="0" role="region" aria-label=(title) id={ "named-" (named.what) } {
            table.cards {
                caption { (what) @if more { ". The first " (shown) " stand here, all in the files below." } }
                thead { tr {
                    th scope="col" { "Person" }
                    th scope="col" { "System" }
                    th scope="col" { "Outcome" }
                    th.number scope="col" { "Came back" }
                    th scope="col" { "Detail" }
                } }
                tbody { @for outcome in &named.first { (person_row(outcome)) } }
            }
        }
    }
}

fn person_row(outcome: &Outcome) -> Markup {
    html! {
        tr {
            td data-name="Person" { (person(&outcome.user)) }
            td data-name="System" { (outcome.system) }
            td data-name="Outcome" { (super::outcomes::word(outcome.outcome).replace('_', " ")) }
            td.number data-name="Came back" { (number(outcome.resurrected)) }
            td data-name="Detail" { div {
                @if let Some(at) = outcome.ends_by { "dead by " (instant(at.as_millisecond())) " " }
                (outcome.detail.as_deref().unwrap_or(""))
            } }
        }
    }
}

/// A person, with the way to their page.
pub(super) fn person(reference: &Reference) -> Markup {
    let name = reference.login.as_deref().or(reference.name.as_deref()).unwrap_or(&reference.id);
    html! { a href={ "/console/people/" (reference.id) } title=(reference.id) { (name) } }
}

/// A number as people read it.
pub(super) fn number(n: u64) -> String {
    counted(n, "", "").trim_end().to_owned()
}
