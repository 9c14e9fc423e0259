//! Works the jobs: claim, commit, call the connector, settle in a second transaction.
//!
//! One loop a system, so that a dead one holds up no other. No connector is called inside a
//! transaction, and a settle that finds its lease lost writes nothing.

mod look;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::look::{begin_anew, fail, look};
use self::settle::settle;
use crate::app::{App, Subject, System};
use crate::connector::ConnectorError;
use crate::domain::circuit::{Change, Refusal};
use crate::domain::outcome::{Progress, RETRY_DELAY_MS};
use crate::store::{DbError, JobRow, JobTarget};

/// How long an idle worker waits before it asks the database again, wake or no wake.
const POLL: Duration = Duration::from_secs(1);
/// How long jobs are leased. A pass that takes longer renews; what a dead worker held is due again
/// after this time at the latest.
const LEASE_MS: i64 = 20_000;
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
    let mut batch = load(app, name, system.subject, quiet_ms(system), jobs).await?;
    let count = batch.jobs.len();
    if let Some(refusal) = system.with_circuit(|circuit| circuit.refuses(app.clock.now_ms())) {
        let Refusal { until, failures, last_failure } = refusal;
        let until = crate::clock::timestamp(until);
        begin_anew(&mut batch);
        fail(&mut batch, format!("{last_failure}; not asked until {until}, after {failures} failed passes"));
        settle(app, name, quiet_ms(system), batch, true).await?;
        app.wake();
        return Ok(count);
    }
    let out_of_time = async {
        stop.cancelled().await;
        tokio::time::sleep(app.settings.finish_within).await;
    };
    let held = batch.jobs.clone();
    let claimed = app.clock.elapsed_ms();
    let result = tokio::select! {
        result = look(app, name, system, &mut batch) => Some(result),
        () = renew(app, &held) => None,
        () = out_of_time => None,
    };
    let Some(failure) = result else {
        lease(app, &held, app.clock.now_ms()).await?;
        return Ok(0);
    };
    if app.clock.elapsed_ms() - claimed > LEASE_MS / 4 {
        // Writing back takes its time, too.
        lease(app, &held, app.clock.now_ms() + LEASE_MS).await?;
    }
    settle(app, name, quiet_ms(system), batch, failure.is_some()).await?;
    switch(app, name, system, failure).await?;
    app.wake();
    Ok(count)
}

/// Takes into the circuit how a pass went. When the system answers again, what waited is due now.
async fn switch(
    app: &App,
    name: &str,
    system: &System,
    failure: Option<ConnectorError>,
) -> Result<(), DbError> {
    if let Some(error) = &failure {
        metrics::counter!("lightsout_passes_failed_total", "system" => name.to_owned()).increment(1);
        tracing::warn!(system = %name, error = error as &dyn std::error::Error, "system failed");
    }
    let now = app.clock.now_ms();
    let change = system.with_circuit(|circuit| match failure {
        Some(error) => circuit.failed(error.to_string(), now),
        None => circuit.succeeded(now),
    });
    match change {
        Change::None => return Ok(()),
        Change::Opened(until) => {
            let until = crate::clock::timestamp(until);
            tracing::warn!(system = %name, %until, "circuit open: the system is not asked until then");
        }
        Change::Closed => {
            tracing::info!(system = %name, "circuit closed: the system answers again");
            let mut tx = app.db.begin().await?;
            tx.hasten_jobs(name, now).await?;
            tx.commit().await?;
        }
    }
    let open = if system.with_circuit(|circuit| circuit.is_open()) { 1.0 } else { 0.0 };
    metrics::gauge!("lightsout_circuit_open", "system" => name.to_owned()).set(open);
    Ok(())
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
        let mut batch = load(app, &name, Subject::Id, 0, jobs).await?;
        fail(&mut batch, "no system of this name is configured".to_owned());
        worked += batch.jobs.len();
        settle(app, &name, 0, batch, true).await?;
    }
    Ok(worked)
}

/// Makes jobs due that wait for a time further ahead than any wait lasts: a clock was set back since, or
/// was ahead when they were written. Returns how many there were.
pub async fn recall(app: &App) -> Result<u64, DbError> {
    let mut recalled = 0;
    for (name, system) in &app.systems {
        let now = app.clock.now_ms();
        let latest = now + quiet_ms(system).max(RETRY_DELAY_MS.1);
        if app.db.last_due_at(name).await?.is_none_or(|due| due <= latest) {
            continue;
        }
        let mut tx = app.db.begin().await?;
        let jobs = tx.recall_jobs(name, latest, now).await?;
        tx.commit().await?;
        tracing::warn!(system = %name, jobs, "jobs were due further ahead than any wait lasts: was the clock set back?");
        recalled += jobs;
    }
    if recalled > 0 {
        app.wake();
    }
    Ok(recalled)
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
    // A look first: every commit wakes every worker, and a write transaction holds up who accepts.
    if app.db.next_due_at(name).await?.is_none_or(|due| due > now) {
        return Ok(Vec::new());
    }
    let limit = system.connector.capabilities().jobs_per_pass;
    let mut tx = app.db.begin().await?;
    let mut jobs = tx.claim_jobs(name, now, now + LEASE_MS, limit).await?;
    tx.commit().await?;
    jobs.sort_by(|a, b| a.job_id.cmp(&b.job_id));
    Ok(jobs)
}

async fn load(
    app: &App,
    name: &str,
    subject_kind: Subject,
    quiet_ms: i64,
    jobs: Vec<JobRow>,
) -> Result<Batch, DbError> {
    let latest = app.clock.now_ms() + quiet_ms;
    let mut open = Vec::new();
    for (job, row) in jobs.iter().enumerate() {
        for (target, mut progress) in app.db.list_open_targets(row, name).await? {
            let subject = subject_kind.of(&target);
            let is_ahead = progress.quiet_until.is_some_and(|until| until > latest);
            if row.attempt - 1 > row.settled || is_ahead {
                // The attempt before may have ended sessions until a moment ago; or the clock was set
                // back, and the quiet time would end later than one that begins now.
                progress.quiet_until = None;
            }
            open.push(Open { job, target, subject, progress, changed: false });
        }
    }
    Ok(Batch { jobs, open })
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
