//! The middle of a pass: asks the system, and takes its replies into the outcomes. Nothing here writes.

use std::sync::Arc;

use lightsout_api::OutcomeState;

use super::{Batch, quiet_ms};
use crate::app::{App, NewSignIns, System};
use crate::connector::{Answer, ConnectorError, Reply, Target};
use crate::domain::outcome::{CUT_SHORT, Progress};
use crate::ops::terminate::merge;

/// Ends, and then looks again where the quiet time is over: a request in flight may have saved its
/// session under a new key until that very moment. Returns why the whole pass failed, if it did.
pub(super) async fn look(
    app: &App,
    name: &str,
    system: &System,
    batch: &mut Batch,
) -> Option<ConnectorError> {
    for open in batch.open.iter_mut().filter(|o| o.subject.is_none()) {
        open.progress.finish(OutcomeState::NoSubject, None);
        open.changed = true;
    }
    let replies = match ask(system, batch, |_| true, true).await {
        Ok((replies, notes)) => {
            note(name, &notes);
            replies
        }
        Err(error) => {
            // It may have ended some already: those are not counted, and the quiet time begins anew.
            for job in &mut batch.jobs {
                job.cut_short = 1;
            }
            begin_anew(batch);
            fail(batch, error.to_string());
            return Some(error);
        }
    };
    let (ended_at, quiet) = (app.clock.now_ms(), quiet_ms(system));
    for (n, reply) in replies {
        let open = &mut batch.open[n];
        let job = &mut batch.jobs[open.job];
        if open.progress.quiet_until.is_none() && job.failures == 0 {
            // Reached late, after the service itself was down: time to verify is left all the same.
            job.give_up_at = job.give_up_at.max(ended_at + app.settings.give_up_after_ms);
        }
        let before = open.progress.clone();
        if matches!(reply, Reply::Failed(_)) {
            // It may have ended some already: as where the whole pass fails.
            job.cut_short = 1;
            open.progress.quiet_until = None;
        }
        open.progress.after_end(reply, ended_at, quiet);
        open.changed |= before != open.progress;
    }
    let failure = verify(app, system, batch).await.err()?;
    fail(batch, failure.to_string());
    Some(failure)
}

/// Looks for the targets whose quiet time is over.
async fn verify(app: &App, system: &System, batch: &mut Batch) -> Result<(), ConnectorError> {
    let now = app.clock.now_ms();
    let (replies, notes) = ask(system, batch, |progress| progress.is_quiet(now), false).await?;
    let unread = (!notes.is_empty()).then(|| notes.join("; "));
    for (n, reply) in replies {
        let open = &mut batch.open[n];
        open.progress.after_find(reply, now);
        open.changed = true;
        if open.progress.verified_at.is_some() {
            let cut_short = (batch.jobs[open.job].cut_short != 0).then(|| CUT_SHORT.to_owned());
            open.progress.detail = match (cut_short, unread.clone()) {
                (Some(a), Some(b)) => Some(format!("{a}; {b}")),
                (a, b) => a.or(b),
            };
        }
    }
    Ok(())
}

/// Calls the connector once for the chosen open targets, each name once. Returns replies by target,
/// and what people should know of the pass.
async fn ask(
    system: &System,
    batch: &Batch,
    wants: impl Fn(&Progress) -> bool,
    delete: bool,
) -> Result<(Vec<(usize, Reply)>, Vec<String>), ConnectorError> {
    let skew = i64::try_from(system.clock_skew.as_millis()).unwrap_or(0);
    let wants = |progress: &Progress| !progress.state.is_final() && wants(progress);
    let mut chosen = Vec::new();
    let mut targets = Vec::new();
    for (n, open) in batch.open.iter().enumerate() {
        let Some(subject) = open.subject.clone().filter(|_| wants(&open.progress)) else {
            continue;
        };
        chosen.push(n);
        // Before the first pass every key is one to end.
        let was_reached = open.progress.quiet_until.is_some() || !open.progress.keys.is_empty();
        let spare = system.new_sign_ins == NewSignIns::Spare && was_reached;
        targets.push(Target {
            user_id: open.target.user_id.clone(),
            subject,
            cutoff: open.target.cutoff.saturating_add(skew),
            asked_at: open.target.cutoff,
            only: spare.then(|| Arc::new(open.progress.keys.iter().cloned().collect())),
        });
    }
    if targets.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (targets, places) = merge(targets);
    let call = if delete { system.connector.end(&targets) } else { system.connector.find(&targets) };
    let Answer { replies, notes } = tokio::time::timeout(system.timeout, call).await.map_err(|_| {
        ConnectorError::Unreachable(format!("no reply within {} s", system.timeout.as_secs()))
    })??;
    if replies.len() != targets.len() {
        return Err(ConnectorError::Unexpected("not one reply for each target".to_owned()));
    }
    let replies = chosen.into_iter().zip(places).map(|(n, place)| (n, replies[place].clone()));
    Ok((replies.collect(), notes))
}

/// Logs what a pass saw and could not read.
fn note(name: &str, notes: &[String]) {
    for note in notes {
        tracing::warn!(system = %name, "{note}");
    }
}

/// Notes with every open outcome of a pass why the system could not be asked.
pub(super) fn fail(batch: &mut Batch, why: String) {
    for open in batch.open.iter_mut().filter(|o| !o.progress.state.is_final()) {
        open.progress.fail(why.clone());
        open.changed = true;
    }
}

/// Forgets the quiet times: nobody looked while they ran.
pub(super) fn begin_anew(batch: &mut Batch) {
    for open in batch.open.iter_mut().filter(|o| !o.progress.state.is_final()) {
        open.progress.quiet_until = None;
    }
}
