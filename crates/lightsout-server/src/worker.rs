//! Works the jobs: claim, commit, call the connector, settle in a second transaction.
//!
//! One loop a system, so that a dead one holds up no other. No connector is called inside a
//! transaction, and a settle that finds its lease lost writes nothing.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use lightsout_api::OutcomeState;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, NewSignIns, Subject, System};
use crate::connector::{Answer, ConnectorError, Reply, Target};
use crate::domain::outcome::{CUT_SHORT, Next, Pass, Progress, after, verdict};
use crate::ops::terminate::merge;
use crate::store::{DbError, JobRow, JobTarget, NewEvent, SettledJob, SettledOutcome, Tx};

/// How long an idle worker waits before it asks the database again, wake or no wake.
const POLL: Duration = Duration::from_secs(1);
/// How long jobs are leased. A pass that takes longer renews; what a dead worker held is due again
/// after this time at the latest.
const LEASE_MS: i64 = 20_000;
/// Targets whose outcomes are written in one transaction, or one job's if those are more.
const TARGETS_SETTLED_AT_ONCE: usize = 2_000;
/// How often a pass renews its leases.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// Starts one loop for each system. They end when `stop` is cancelled; a pass under way is finished
/// or its jobs are given back.
pub fn start(app: &Arc<App>, tasks: &TaskTracker, stop: &CancellationToken) {
    for name in app.systems.keys() {
        tasks.spawn(work(Arc::clone(app), name.clone(), stop.clone()));
    }
}

async fn work(app: Arc<App>, name: String, stop: CancellationToken) {
    let mut wakes = app.wakes();
    while !stop.is_cancelled() {
        wakes.mark_unchanged();
        let wait = match pass(&app, &name, &stop).await {
            Ok(0) => Some(idle_for(&app, &name).await),
            Ok(_) => None,
            Err(error) => {
                tracing::error!(system = %name, error = &error as &dyn std::error::Error, "pass failed");
                Some(POLL)
            }
        };
        if let Some(wait) = wait {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
                _ = wakes.changed() => {}
            }
        }
    }
}

/// Until the next job is due, at most [`POLL`].
async fn idle_for(app: &App, name: &str) -> Duration {
    let due = app.db.next_due_at(name).await.ok().flatten();
    let wait = due.map_or(POLL, |at| Duration::from_millis((at - app.clock.now_ms()).max(1).unsigned_abs()));
    wait.min(POLL)
}

/// Works one batch of due jobs of a system. Returns how many there were.
pub async fn pass(app: &App, name: &str, stop: &CancellationToken) -> Result<usize, DbError> {
    let system = &app.systems[name];
    let jobs = claim(app, name, system).await?;
    if jobs.is_empty() {
        return Ok(0);
    }
    tracing::debug!(system = %name, jobs = jobs.len(), "claimed");
    let mut batch = load(app, name, system.subject, jobs).await?;
    let out_of_time = async {
        stop.cancelled().await;
        tokio::time::sleep(app.settings.finish_within).await;
    };
    let held = batch.jobs.clone();
    let result = tokio::select! {
        result = look(app, name, system, &mut batch) => Some(result),
        () = renew(app, &held) => None,
        () = out_of_time => None,
    };
    let Some(failure) = result else {
        lease(app, &held, app.clock.now_ms()).await?;
        return Ok(0);
    };
    if let Some(error) = &failure {
        metrics::counter!("lightsout_passes_failed_total", "system" => name.to_owned()).increment(1);
        tracing::warn!(system = %name, error = error as &dyn std::error::Error, "system failed");
    }
    let count = batch.jobs.len();
    settle(app, name, quiet_ms(system), batch, failure.is_some()).await?;
    app.wake();
    Ok(count)
}

/// Gives up the jobs of systems that are not configured here, when their time is over. Until then
/// they wait: another node may know the system. Returns how many there were.
pub async fn pass_over_unconfigured(app: &App) -> Result<usize, DbError> {
    let mut worked = 0;
    for (name, _) in app.db.count_open_jobs().await? {
        if app.systems.contains_key(&name) {
            continue;
        }
        tracing::warn!(system = %name, "jobs wait for a system that is not configured");
        let now = app.clock.now_ms();
        let mut tx = app.db.begin().await?;
        let jobs = tx.claim_expired_jobs(&name, now, now + LEASE_MS).await?;
        tx.commit().await?;
        let mut batch = load(app, &name, Subject::Id, jobs).await?;
        let missing = ConnectorError::Unreachable("no system of this name is configured".to_owned());
        fail(&mut batch, missing);
        worked += batch.jobs.len();
        settle(app, &name, 0, batch, true).await?;
    }
    Ok(worked)
}

/// The jobs of a pass and the targets of each whose outcomes are open.
struct Batch {
    jobs: Vec<JobRow>,
    open: Vec<Open>,
}

/// One target of one job.
struct Open {
    job: usize,
    target: JobTarget,
    subject: Option<String>,
    progress: Progress,
    changed: bool,
}

async fn claim(app: &App, name: &str, system: &System) -> Result<Vec<JobRow>, DbError> {
    let now = app.clock.now_ms();
    let limit = system.connector.capabilities().jobs_per_pass;
    let mut tx = app.db.begin().await?;
    let mut jobs = tx.claim_jobs(name, now, now + LEASE_MS, limit).await?;
    tx.commit().await?;
    jobs.sort_by(|a, b| a.job_id.cmp(&b.job_id));
    Ok(jobs)
}

async fn load(app: &App, name: &str, subject_kind: Subject, jobs: Vec<JobRow>) -> Result<Batch, DbError> {
    let mut open = Vec::new();
    for (job, row) in jobs.iter().enumerate() {
        for target in app.db.list_open_targets(row, name).await? {
            let (subject, mut progress) = (subject_kind.of(&target), target.progress());
            if row.attempt - 1 > row.settled {
                // The attempt before may have ended sessions until a moment ago.
                progress.quiet_until = None;
            }
            open.push(Open { job, target, subject, progress, changed: false });
        }
    }
    Ok(Batch { jobs, open })
}

/// Ends, and then looks again where the quiet time is over: a request in flight may have saved its
/// session under a new key until that very moment. Returns why the whole pass failed, if it did.
async fn look(app: &App, name: &str, system: &System, batch: &mut Batch) -> Option<ConnectorError> {
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
            for open in batch.open.iter_mut().filter(|o| !o.progress.state.is_final()) {
                open.progress.quiet_until = None;
            }
            return Some(fail(batch, error));
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
        open.progress.after_end(reply, ended_at, quiet);
        open.changed |= before != open.progress;
    }
    let verified = verify(app, system, batch).await;
    verified.err().map(|error| fail(batch, error))
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
        let spare = system.new_sign_ins == NewSignIns::Spare && open.progress.quiet_until.is_some();
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

fn fail(batch: &mut Batch, error: ConnectorError) -> ConnectorError {
    for open in batch.open.iter_mut().filter(|o| !o.progress.state.is_final()) {
        open.progress.fail(error.to_string());
        open.changed = true;
    }
    error
}

fn quiet_ms(system: &System) -> i64 {
    i64::try_from(system.quiet_time.as_millis()).unwrap_or(0)
}

/// Renews leases for as long as a pass takes. A lease that was lost stays lost: settling finds out.
async fn renew(app: &App, jobs: &[JobRow]) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        if let Err(error) = lease(app, jobs, app.clock.now_ms() + LEASE_MS).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "leases could not be renewed; trying again"
            );
        }
    }
}

/// Leases held jobs until a time; until now gives them back. In a task that nobody cancels.
async fn lease(app: &App, jobs: &[JobRow], until: i64) -> Result<(), DbError> {
    let (db, jobs) = (app.db.clone(), jobs.to_vec());
    let transaction = tokio::spawn(async move {
        let mut tx = db.begin().await?;
        tx.lease_jobs(&jobs, until).await?;
        tx.commit().await
    });
    transaction.await.expect("the transaction does not panic")
}

/// Writes a pass back: jobs by their fencing tokens, then the outcomes and events of those held.
async fn settle(app: &App, name: &str, quiet_ms: i64, mut batch: Batch, failed: bool) -> Result<(), DbError> {
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
