//! The systems that an enterprise's people sign in to: what each proves, and how it does.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, Redirect};
use maud::{Markup, html};

use crate::app::{NewSignIns, Subject, SystemCheck};
use crate::domain::circuit::OPENS_AFTER;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Place, SignedForm, SignedIn, counted, csrf_field, instant, page};
use crate::ops::systems::{self, SystemView};

/// `GET /console/systems`.
pub(in crate::http) async fn show(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
) -> Result<Html<String>, Failure> {
    let systems = systems::list(&web.app, &signed_in.caller).await?;
    let now = web.app.clock.now_ms();
    let checked_at = systems.iter().find_map(|system| system.checked.as_ref()).map(|(_, at)| *at);
    let body = html! {
        h1 { "Systems" }
        p { "Where sessions of your people live, and what it means when this service says that they ended. Passes, checks and circuits are those of the node that answered this page." }
        form.actions.check method="post" action="/console/systems/check" {
            (csrf_field(&signed_in.csrf))
            button type="submit" { "Check now" }
            span.hint {
                "Connects to each and changes nothing. "
                @match checked_at { Some(at) => { "Last checked " (instant(at)) "." } None => { "Not checked since this node started." } }
            }
        }
        @for system in &systems { (one(system, now)) }
    };
    Ok(page(&signed_in, Place::Systems, "Systems", body))
}

/// `POST /console/systems/check`.
pub(in crate::http) async fn check(
    State(web): State<Arc<Web>>,
    SignedForm(signed_in, _): SignedForm,
) -> Result<Redirect, Failure> {
    systems::check_now(&web.app, &signed_in.caller).await?;
    Ok(Redirect::to("/console/systems"))
}

fn one(system: &SystemView, now: i64) -> Markup {
    let circuit = &system.circuit;
    html! {
        section.panel aria-label=(system.name) {
            h2 { (system.name) " " (health(system)) }
            dl.facts {
                @if !system.kind.is_empty() { dt { "Kind" } dd { code { (system.kind) } } }
                dt { "Matches" } dd { (system.explanation.matched) }
                dt { "Ends" } dd { (system.explanation.ended) }
                dt { "Proves" } dd { (system.explanation.proven) }
                dt { "Knows people by" } dd { (subject(system.subject)) }
                dt { "Quiet time" }
                dd { @match system.quiet_time {
                    None => "none: it cannot be asked for sessions",
                    Some(time) if time.is_zero() => "none is needed",
                    Some(time) => (counted(time.as_secs(), "second", "seconds")),
                } }
                @if system.quiet_time.is_some_and(|time| !time.is_zero()) {
                    dt { "New sessions in that time" }
                    dd { @match system.new_sign_ins {
                        NewSignIns::End => "are ended, too, where their begin is unknown",
                        NewSignIns::Spare => "are spared where their begin is unknown",
                    } }
                }
                dt { "Circuit" }
                dd { @match circuit.open_until {
                    Some(until) => {
                        "open: after " (counted(circuit.failures.into(), "failed pass", "failed passes"))
                        " in a row it is not asked until " (instant(until))
                    }
                    None if circuit.failures >= OPENS_AFTER => {
                        "half open: after " (counted(circuit.failures.into(), "failed pass", "failed passes"))
                        " in a row the next one is the trial"
                    }
                    None if circuit.failures > 0 => {
                        "closed, after " (counted(circuit.failures.into(), "failed pass", "failed passes")) " in a row"
                    }
                    None => "closed",
                } }
                dt { "Last pass that worked" }
                dd { @match circuit.last_success_at { Some(at) => (instant(at)), None => span.faint { "none since this node started" } } }
                dt { "Last pass that failed" }
                dd { @match &circuit.last_failure {
                    Some((why, at)) => { (instant(*at)) ": " (why) }
                    None => span.faint { "none since this node started" }
                } }
                dt { "Open jobs" }
                dd { @match &system.jobs {
                    None => "none",
                    Some(jobs) => {
                        (counted(jobs.jobs.unsigned_abs(), "job", "jobs")) ", the oldest due "
                        @if jobs.due_at <= now { "since " } @else { "at " } (instant(jobs.due_at))
                    }
                } }
                @if let Some((check, at)) = &system.checked { dt { "Checked" } dd { (checked(check, *at)) } }
            }
        }
    }
}

/// What is known of a system, in a word or two.
fn health(system: &SystemView) -> Markup {
    let failed_at = system.circuit.last_failure.as_ref().map(|(_, at)| *at);
    let checked = system.checked.as_ref().map(|(check, at)| (*at, check.error.is_none()));
    let pass = match (system.circuit.last_success_at, failed_at) {
        (Some(ok), Some(bad)) => Some((ok.max(bad), system.circuit.failures == 0)),
        (Some(ok), None) => Some((ok, true)),
        (None, Some(bad)) => Some((bad, false)),
        (None, None) => None,
    };
    // The newer of what the workers and a check saw.
    let newest = [checked, pass].into_iter().flatten().max_by_key(|(at, _)| *at);
    match newest {
        _ if system.circuit.open_until.is_some() => html! { span.tag.bad { "not asked for now" } },
        Some((_, true)) => html! { span.tag.good { "answers" } },
        Some((_, false)) => html! { span.tag.bad { "does not answer" } },
        None => html! { span.tag { "not asked yet" } },
    }
}

fn checked(check: &SystemCheck, at: i64) -> Markup {
    html! {
        (instant(at)) ": "
        @match (&check.error, check.answered_ms) {
            (Some(error), _) => (error),
            (None, Some(ms)) => { "answered in " (ms) " ms" }
            (None, None) => "no answer",
        }
        @for note in &check.notes { br; (note) }
    }
}

fn subject(subject: Subject) -> &'static str {
    match subject {
        Subject::Login => "their login",
        Subject::Id => "their id here",
        Subject::ExternalId => "their id in an outside system (external_app_user_id)",
        Subject::Alias => "a name that was set for this system",
    }
}
