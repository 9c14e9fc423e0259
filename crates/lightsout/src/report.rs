//! Terminations in words: what people read of them, and the verdict as an exit code.

use std::process::ExitCode;

use lightsout_api::{Outcome, OutcomeState, Termination, TerminationState};
use lightsout_client::Client;
use serde_json::json;

use crate::connect::command;
use crate::output::{count, one_line, say};

/// How many reasons are shown; `terminations outcomes --open` lists all.
const REASONS_MAX: usize = 5;

pub(crate) fn verdict(termination: &Termination) -> ExitCode {
    let has_failed = termination.state == TerminationState::DoneWithFailures;
    if has_failed || !termination.skipped.is_empty() {
        crate::exit::PARTLY_FAILED.into()
    } else {
        ExitCode::SUCCESS
    }
}

fn state(termination: &Termination) -> String {
    let left_out = match termination.skipped.len() {
        0 => String::new(),
        n => format!(", {} left out", count(n as u64)),
    };
    match termination.state {
        TerminationState::Running => format!("running{left_out}"),
        TerminationState::Done if termination.people == 0 => format!("done: nobody was ended{left_out}"),
        TerminationState::Done => format!("done: every end is verified{left_out}"),
        TerminationState::DoneWithFailures => format!("done, with failures{left_out}"),
    }
}

pub(crate) fn people(n: u64) -> String {
    counted(n, "person", "people")
}

pub(crate) fn sessions(n: u64) -> String {
    counted(n, "session", "sessions")
}

/// A number with the word that it takes.
pub(crate) fn counted(n: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { more })
}

/// The entries that were left out, a line each.
pub(crate) fn all_left_out(termination: &Termination) -> String {
    termination.skipped.iter().map(left_out).collect()
}

fn left_out(skip: &lightsout_api::Skip) -> String {
    let why = match skip.reason {
        lightsout_api::SkipReason::Unknown => "not known here",
        lightsout_api::SkipReason::NotPermitted => "you may not end their sessions",
    };
    format!("\nleft out     {} {}: {why}", skip.kind, one_line(&skip.value))
}

pub(crate) fn line(termination: &Termination) -> String {
    let who = termination.asked_by.login.as_deref().unwrap_or(&termination.asked_by.id);
    let reason =
        termination.reason.as_deref().map(|reason| format!("  {}", one_line(reason))).unwrap_or_default();
    format!(
        "{}  {}  {}  {}  by {who}{reason}",
        termination.created_at.strftime("%FT%TZ"),
        termination.id,
        people(termination.people),
        state(termination)
    )
}

pub(crate) fn show(termination: &Termination) -> String {
    let mut text = format!(
        "termination  {}
state        {}
people       {}
asked        {} by {}",
        termination.id,
        state(termination),
        count(termination.people),
        termination.created_at,
        termination.asked_by.login.as_deref().unwrap_or(&termination.asked_by.id)
    );
    if let Some(reason) = &termination.reason {
        text.push_str(&format!("\nreason       {}", one_line(reason)));
    }
    if let Some(finished_at) = termination.finished_at {
        text.push_str(&format!("\nfinished     {finished_at}"));
    }
    for system in &termination.systems {
        // Where an end is not verified, it was told and no more.
        let is_open = system.waiting + system.unreachable + system.gave_up > 0 && system.sessions_ended > 0;
        let fate = if is_open { "told to end, not all verified" } else { "ended" };
        text.push_str(&format!(
            "\nsystem       {}: {} {fate}",
            system.system,
            sessions(system.sessions_ended)
        ));
        let people = [
            ("ended", system.ended),
            ("with nothing to end", system.nothing_found),
            ("waiting", system.waiting),
            ("unreachable and tried again", system.unreachable),
            ("over by a known time", system.ends_by),
            ("delivered and not verified", system.delivered_not_verified),
            ("with unknown sessions", system.unknown_sessions),
            ("without a name there", system.no_subject),
            ("given up", system.gave_up),
        ];
        let people: Vec<String> =
            people.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{} {word}", count(*n))).collect();
        if !people.is_empty() {
            text.push_str(&format!("; people: {}", people.join(", ")));
        }
        if system.resurrected > 0 {
            text.push_str(&format!("; found again after their end: {}", count(system.resurrected)));
        }
        if system.ended_again > 0 {
            text.push_str(&format!("; new within the quiet time and ended: {}", count(system.ended_again)));
        }
    }
    text.push_str(&all_left_out(termination));
    if let Some(head) = &termination.chain_head {
        text.push_str(&format!("\nlog head     {}:{}", head.position, head.hash));
    }
    if termination.state == TerminationState::Running {
        text.push_str(&format!(
            "\nnext         {}",
            command(&format!("terminations follow {}", termination.id))
        ));
    }
    text
}

pub(crate) fn show_preview(preview: &lightsout_api::Preview) -> String {
    let mut text = format!("would end    {}; nothing was changed", people(preview.people));
    for system in &preview.systems {
        let found = match (system.sessions, &system.reason) {
            (Some(n), None) => sessions(n),
            (Some(n), Some(reason)) => format!("{}; {}", sessions(n), one_line(reason)),
            (None, Some(reason)) => format!("no number of sessions: {}", one_line(reason)),
            (None, None) => "it does not say how many sessions".to_owned(),
        };
        text.push_str(&format!("\nsystem       {}: {found}", system.system));
    }
    if preview.includes_caller {
        text.push_str("\nwarning      you are among them");
    }
    if preview.includes_admin {
        text.push_str("\nwarning      an admin or coadmin is among them");
    }
    for skip in &preview.skipped {
        text.push_str(&left_out(skip));
    }
    text
}

/// Whether a look after the quiet time found nothing left.
pub(crate) fn is_verified(outcome: &Outcome) -> bool {
    let done = matches!(outcome.outcome, OutcomeState::Ended | OutcomeState::NothingFound);
    done && outcome.verified_at.is_some()
}

/// The first outcomes that are not a verified end, with their reasons.
pub(crate) async fn show_reasons(client: &Client, termination: &Termination) -> anyhow::Result<()> {
    let fine = |s: &lightsout_api::SystemProgress| s.ended + s.nothing_found == termination.people;
    if termination.systems.iter().all(fine) {
        return Ok(());
    }
    let mut outcomes = client.all_outcomes(&termination.id.0);
    let mut left = REASONS_MAX;
    while left > 0
        && let Some(outcome) = outcomes.next().await?
    {
        if !is_verified(&outcome) {
            say!("{}", outcome_line(&outcome));
            left -= 1;
        }
    }
    let open = |s: &lightsout_api::SystemProgress| s.gave_up + s.unknown_sessions + s.no_subject > 0;
    if termination.state == TerminationState::DoneWithFailures && termination.systems.iter().any(open) {
        say!("next         {}", command(&format!("terminations retry {}", termination.id)));
    }
    Ok(())
}

pub(crate) fn outcome_line(outcome: &Outcome) -> String {
    let who = outcome.user.login.as_deref().unwrap_or(&outcome.user.id);
    let state = json!(outcome.outcome).as_str().unwrap_or_default().replace('_', " ");
    let ended = match outcome.sessions_ended {
        0 => String::new(),
        n => format!(", {}", sessions(n)),
    };
    let dead = outcome.ends_by.map(|at| format!(" {at}")).unwrap_or_default();
    let why = outcome.detail.as_deref().map(|why| format!(": {}", one_line(why))).unwrap_or_default();
    format!("{:<12} {who}: {state}{dead}{ended}{why}", outcome.system)
}
