//! The blast radius: what a termination would end. Nothing is changed.

use std::time::Duration;

use futures_util::future::join_all;
use lightsout_api::{CreateTermination, Preview, Skip, SystemPreview};

use super::Error;
use super::terminate::{Resolved, check, merge, resolve};
use crate::app::{App, System};
use crate::connector::{Registry, Reply, Session, Target};
use crate::domain::access::{Caller, Denied};
use crate::store::Chosen;

/// How long a preview waits for one system.
const PREVIEW_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a page waits for one system.
pub const PAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// More people than this are not counted system by system; only in the registry.
pub const PEOPLE_MAX: usize = 10_000;

/// Whom a termination would reach, as far as the directory knows it.
#[derive(Clone, Debug)]
pub struct Radius {
    /// The number of people.
    pub people: u64,
    /// Whether the caller is among them.
    pub includes_caller: bool,
    /// Whether an admin or coadmin is among them.
    pub includes_admin: bool,
    /// The entries that would be left out.
    pub skipped: Vec<Skip>,
    /// Why entries are left out that are not permitted, each reason once.
    pub refusals: Vec<Denied>,
    chosen: Chosen,
}

/// Says what a termination would end, and changes nothing.
pub async fn preview(app: &App, caller: &Caller, request: &CreateTermination) -> Result<Preview, Error> {
    let radius = look(app, caller, request).await?;
    let systems = count(app, caller, &radius, PREVIEW_TIMEOUT).await?;
    Ok(Preview {
        people: radius.people,
        systems,
        includes_caller: radius.includes_caller,
        includes_admin: radius.includes_admin,
        skipped: radius.skipped,
    })
}

/// Says whom a termination would reach. No system is asked. Run it in a task that nobody cancels.
pub async fn look(app: &App, caller: &Caller, request: &CreateTermination) -> Result<Radius, Error> {
    let administered = check(app, caller, request).await?;
    let mut tx = app.db.begin().await?;
    let Resolved { chosen, includes_manager, skips, refusals } =
        resolve(&mut tx, caller, request, &administered).await?;
    let (people, includes_caller) = tx.count_chosen(&chosen, &caller.asked_by().user_id.0).await?;
    drop(tx);
    Ok(Radius {
        people: people.unsigned_abs(),
        includes_caller,
        includes_admin: includes_manager,
        skipped: skips,
        refusals,
        chosen,
    })
}

/// Counts the registered sessions of these people, however many people they are.
pub async fn count_registered(app: &App, radius: &Radius) -> Result<u64, Error> {
    Ok(app.db.count_sessions_of(&radius.chosen, app.clock.now_ms()).await?.unsigned_abs())
}

/// Asks every system at the same time for the sessions of these people, each for at most `patience`.
pub async fn count(
    app: &App,
    caller: &Caller,
    radius: &Radius,
    patience: Duration,
) -> Result<Vec<SystemPreview>, Error> {
    let registered = count_registered(app, radius).await?;
    let too_many = radius.people > PEOPLE_MAX as u64;
    let ids = if too_many { Vec::new() } else { app.db.list_chosen(&radius.chosen).await? };
    let mut asked = Vec::new();
    for (name, system) in app.systems_of(&caller.enterprise_id.0) {
        let ids = &ids;
        asked.push(async move {
            let preview = |sessions, reason| SystemPreview { system: name.clone(), sessions, reason };
            if name == Registry::NAME {
                return Ok(preview(Some(registered), None));
            }
            if too_many {
                let why = format!("more than {PEOPLE_MAX} people are not counted");
                return Ok(preview(None, Some(why)));
            }
            let (sessions, reason) = ask(app, name, system, ids, patience).await?;
            Ok(preview(sessions, reason))
        });
    }
    join_all(asked).await.into_iter().collect()
}

/// The number of sessions that a system shows of these people, and why there is none, or not of all.
async fn ask(
    app: &App,
    name: &str,
    system: &System,
    ids: &[String],
    patience: Duration,
) -> Result<(Option<u64>, Option<String>), Error> {
    let people = app.db.list_targets_now(ids, name).await?;
    let targets: Vec<Target> = people
        .iter()
        .filter_map(|t| Some(Target::every_session(&t.user_id, system.subject.of(t)?)))
        .collect();
    let nameless = people.len() - targets.len();
    let (targets, _) = merge(targets);
    Ok(match count_in(system, &targets, patience).await {
        Ok(sessions) => (Some(sessions), (nameless > 0).then(|| no_names(nameless))),
        Err(why) => (None, Some(why)),
    })
}

fn no_names(people: usize) -> String {
    format!("no_subject: {people} of them have no name there")
}

async fn count_in(system: &System, targets: &[Target], patience: Duration) -> Result<u64, String> {
    if targets.is_empty() {
        return Ok(0);
    }
    if !system.connector.capabilities().counts {
        return Err("the system does not count".to_owned());
    }
    found_in(system, targets, patience).await.map(|sessions| sessions.len() as u64)
}

/// The sessions that a system shows of some people, or why it cannot say.
pub(super) async fn found_in(
    system: &System,
    targets: &[Target],
    patience: Duration,
) -> Result<Vec<Session>, String> {
    let found = tokio::time::timeout(patience, system.connector.find(targets)).await;
    let answer = found
        .map_err(|_| format!("no answer within {} s", patience.as_secs()))?
        .map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    for reply in answer.replies {
        match reply {
            Reply::Sessions(sessions) => all.extend(sessions),
            other => return Err(other.why_no_list().unwrap_or_default()),
        }
    }
    Ok(all)
}
