//! The end of a pass: decides what each job does next and writes jobs, outcomes and events back.

use std::collections::HashMap;
use std::ops::Range;

use lightsout_api::OutcomeState;
use serde_json::json;

use super::{Batch, Open};
use crate::app::App;
use crate::domain::outcome::{Next, Pass, after, verdict};
use crate::store::{DbError, JobRow, NewEvent, SettledJob, SettledOutcome, Tx};

/// Targets whose outcomes are written in one transaction, or one job's if those are more.
const TARGETS_SETTLED_AT_ONCE: usize = 2_000;

/// Writes a pass back: jobs by their fencing tokens, then the outcomes and events of those held.
pub(super) async fn settle(
    app: &App,
    name: &str,
    quiet_ms: i64,
    mut batch: Batch,
    failed: bool,
) -> Result<(), DbError> {
    let now = app.clock.now_ms();
    let mut jobs = Vec::with_capacity(batch.jobs.len());
    let mut open = batch.open.as_mut_slice();
    for (n, job) in batch.jobs.iter().enumerate() {
        // Targets were loaded job by job.
        let (mine, rest) = open.split_at_mut(open.iter().take_while(|o| o.job == n).count());
        jobs.push(next(app, quiet_ms, job, mine, failed, now));
        open = rest;
    }
    for portion in portions(&batch) {
        let mut tries = 0;
        loop {
            match settle_once(app, name, &batch, &jobs, portion.clone(), now).await {
                Err(DbError::Conflict) if tries < 5 => tries += 1,
                result => break result?,
            }
        }
    }
    Ok(())
}

/// Whole jobs, some thousand targets a transaction: whoever accepts never waits long for one.
fn portions(batch: &Batch) -> Vec<Range<usize>> {
    let mut targets = vec![0_usize; batch.jobs.len()];
    for open in &batch.open {
        targets[open.job] += 1;
    }
    let (mut portions, mut first, mut sum) = (Vec::new(), 0, 0);
    for (job, count) in targets.iter().enumerate() {
        sum += count;
        if sum >= TARGETS_SETTLED_AT_ONCE || job + 1 == targets.len() {
            portions.push(first..job + 1);
            (first, sum) = (job + 1, 0);
        }
    }
    portions
}

/// Decides what one job does next; what is given up becomes so.
fn next(app: &App, quiet_ms: i64, job: &JobRow, open: &mut [Open], failed: bool, now: i64) -> SettledJob {
    let failures = if failed || open.iter().any(|o| o.progress.state == OutcomeState::Unreachable) {
        job.failures + 1
    } else {
        0
    };
    let pass = Pass {
        all_final: open.iter().all(|o| o.progress.state.is_final()),
        failures,
        quiet_until: open.iter().filter_map(|o| o.progress.quiet_until).min().unwrap_or(now),
        quiet_ms,
        give_up_at: job.give_up_at,
    };
    let due_at = match after(pass, now, app.random.fraction()) {
        Next::Done => None,
        Next::RetryAt(at) => Some(at),
        Next::GiveUp => {
            for open in open.iter_mut().filter(|o| !o.progress.state.is_final()) {
                open.progress.finish(OutcomeState::GaveUp, None);
                open.changed = true;
            }
            None
        }
    };
    SettledJob {
        job_id: job.job_id.clone(),
        attempt: job.attempt,
        due_at,
        failures,
        cut_short: job.cut_short,
        give_up_at: job.give_up_at,
    }
}

async fn settle_once(
    app: &App,
    name: &str,
    batch: &Batch,
    jobs: &[SettledJob],
    portion: Range<usize>,
    now: i64,
) -> Result<(), DbError> {
    let mut tx = app.db.begin().await?;
    let held = tx.settle_jobs(&jobs[portion.clone()], now).await?;
    let is_mine =
        |o: &&Open| portion.contains(&o.job) && o.changed && held.contains(&batch.jobs[o.job].job_id);
    let changed: Vec<&Open> = batch.open.iter().filter(is_mine).collect();
    let outcomes: Vec<SettledOutcome> = changed
        .iter()
        .map(|o| SettledOutcome {
            termination_id: o.target.termination_id.clone(),
            ordinal: o.target.ordinal,
            progress: o.progress.clone(),
        })
        .collect();
    tx.settle_outcomes(name, &outcomes).await?;

    let mut finished: HashMap<&str, i64> = HashMap::new();
    for (row, job) in batch.jobs[portion.clone()].iter().zip(&jobs[portion]) {
        if job.due_at.is_none() && held.contains(&job.job_id) {
            *finished.entry(row.termination_id.as_str()).or_default() += 1;
        }
    }
    let mut done = Vec::new();
    let mut by_termination: Vec<_> = finished.into_iter().collect();
    by_termination.sort_unstable();
    for (id, count) in by_termination {
        if tx.close_jobs(id, count).await? == 0 {
            done.push((id, verdict(tx.count_failures(id).await?)));
        }
    }
    append(app, name, &mut tx, &changed, &done, now).await?;
    tx.commit().await?;
    for (id, state) in &done {
        if *state == lightsout_api::TerminationState::Done {
            tracing::info!(termination_id = %id, "termination done, every end verified");
        } else {
            tracing::warn!(termination_id = %id, "termination done, with failures");
        }
    }
    for outcome in outcomes.iter().filter(|o| o.progress.state.is_final()) {
        metrics::counter!("lightsout_outcomes_total", "system" => name.to_owned(), "outcome" => word(outcome.progress.state))
            .increment(1);
    }
    Ok(())
}

/// Appends one event for each outcome that became final, and one for each termination that is done;
/// the latter keeps the head of the chain.
async fn append(
    app: &App,
    name: &str,
    tx: &mut Tx,
    changed: &[&Open],
    done: &[(&str, lightsout_api::TerminationState)],
    now: i64,
) -> Result<(), DbError> {
    let mut by_termination: HashMap<&str, Vec<NewEvent>> = HashMap::new();
    for open in changed.iter().filter(|o| o.progress.state.is_final()) {
        by_termination
            .entry(open.target.termination_id.as_str())
            .or_default()
            .push(outcome_event(name, open));
    }
    for (id, state) in done {
        by_termination.entry(id).or_default().push(NewEvent {
            event_type: "SESSION_TERMINATION_DONE",
            termination_id: Some((*id).to_owned()),
            body: json!({
                "created_by": null,
                "source": {"type": "termination", "id": id},
                "additional_details": {"termination_id": id, "state": state},
            }),
        });
    }
    let mut ids: Vec<&str> = by_termination.keys().copied().collect();
    ids.sort_unstable();
    let mut enterprises = HashMap::new();
    for id in &ids {
        enterprises.insert(*id, tx.find_enterprise_of(id).await?);
    }
    for id in ids {
        let events = by_termination.remove(id).unwrap_or_default();
        let head = tx.append_events(&enterprises[id], now, &app.random, events).await?;
        if let Some((_, state)) = done.iter().find(|(done, _)| *done == id) {
            tx.finish_termination(id, &word(*state), now, &head).await?;
        }
    }
    Ok(())
}

fn outcome_event(system: &str, open: &Open) -> NewEvent {
    let (target, progress) = (&open.target, &open.progress);
    NewEvent {
        event_type: "SESSION_TERMINATION_OUTCOME",
        termination_id: Some(target.termination_id.clone()),
        body: json!({
            "created_by": null,
            "source": {"type": "user", "id": target.user_id, "login": target.login},
            "additional_details": {
                "termination_id": target.termination_id,
                "system": system,
                "outcome": progress.state,
                "sessions_ended": progress.sessions_ended,
                "resurrected": progress.resurrected,
                "ended_again": progress.ended_again,
                "ends_by": progress.ends_by.map(crate::clock::timestamp),
                "verified_at": progress.verified_at.map(crate::clock::timestamp),
            },
        }),
    }
}

/// The wire's word for a state.
fn word(state: impl serde::Serialize) -> String {
    json!(state).as_str().unwrap_or_default().to_owned()
}
