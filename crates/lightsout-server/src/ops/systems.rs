//! A look at the systems for their operator: does each answer, what does it match, and which sessions
//! of a person does it show. Nothing is changed. [`check`] has no caller: it runs on the service's own
//! machine.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::Error;
use crate::app::{App, NewSignIns, Subject, System};
pub use crate::app::{PersonCheck, SystemCheck};
use crate::connector::{Answer, ConnectorError, Explanation, Reply, Target};
use crate::domain::access::{self, Caller};
use crate::domain::circuit::State;
use crate::store::{SystemJobs, UserRow};

/// How long a look from a page waits for one system.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// Whose sessions are looked for.
#[derive(Clone, Debug)]
pub enum Whom {
    /// Nobody's: only whether each system answers.
    Nobody,
    /// A person of the directory, by login or id.
    User(String),
    /// Whoever the systems know by this name.
    Subject(String),
}

/// A system as its enterprise's managers see it on this node.
#[derive(Clone, Debug)]
pub struct SystemView {
    /// The name in outcomes and events.
    pub name: String,
    /// The kind, in the words of the configuration.
    pub kind: String,
    /// What is matched, ended and proven.
    pub explanation: Explanation,
    /// By which name it knows a user.
    pub subject: Subject,
    /// How long it must have shown no session before an end counts as verified; none where it cannot be
    /// asked for sessions.
    pub quiet_time: Option<Duration>,
    /// What becomes of sessions of unknown begin that appear meanwhile.
    pub new_sign_ins: NewSignIns,
    /// Its circuit breaker on this node.
    pub circuit: State,
    /// The unfinished jobs of the enterprise; none if there are none.
    pub jobs: Option<SystemJobs>,
    /// The last look at it, and when that was.
    pub checked: Option<(SystemCheck, i64)>,
}

/// Lists the systems that the people of the caller's enterprise sign in to.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<SystemView>, Error> {
    access::may_read_systems(caller)?;
    let enterprise = &caller.enterprise_id.0;
    let now = app.clock.now_ms();
    let jobs = app.db.list_open_jobs_of(enterprise).await?;
    let checked = app.looks.last_check(enterprise);
    let systems = app.systems_of(enterprise).map(|(name, system)| SystemView {
        name: name.clone(),
        kind: system.kind.clone(),
        explanation: system.connector.explain(),
        subject: system.subject,
        quiet_time: system.connector.capabilities().counts.then_some(system.quiet_time),
        new_sign_ins: system.new_sign_ins,
        circuit: system.with_circuit(|circuit| circuit.state(now)),
        jobs: jobs.iter().find(|jobs| jobs.system == *name).cloned(),
        checked: checked.as_ref().and_then(|(at, checks)| {
            checks.iter().find(|check| check.system == *name).map(|check| (check.clone(), *at))
        }),
    });
    Ok(systems.collect())
}

/// Looks now at the systems that the people of the caller's enterprise sign in to, and keeps what was
/// seen for [`list`]. Each is waited for some seconds at most.
pub async fn check_now(app: &App, caller: &Caller) -> Result<(), Error> {
    access::may_read_systems(caller)?;
    let enterprise = &caller.enterprise_id.0;
    let systems: Vec<(&String, System)> = app
        .systems_of(enterprise)
        .map(|(name, system)| (name, System { timeout: system.timeout.min(LOOK_WITHIN), ..system.clone() }))
        .collect();
    let checks =
        join_all(systems.iter().map(|(name, system)| check_system(name, system, Asked::Nothing))).await;
    app.looks.keep_check(enterprise, app.clock.now_ms(), checks);
    Ok(())
}

/// Looks at the named systems, or at all.
pub async fn check(app: &App, names: &[String], whom: &Whom) -> Result<Vec<SystemCheck>, Error> {
    if let Some(unknown) = names.iter().find(|name| !app.systems.contains_key(*name)) {
        return Err(Error::not_found("system", unknown));
    }
    let user = match whom {
        Whom::User(name) => Some(find_user(app, name).await?),
        Whom::Nobody | Whom::Subject(_) => None,
    };
    let enterprises = app.db.list_enterprises().await?;
    let mut checks = Vec::new();
    for (name, system) in &app.systems {
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        let asked = match (&user, whom) {
            (Some(user), _) => target_of(app, name, system, user).await?,
            (None, Whom::Subject(subject)) => Asked::For(Target::every_session(subject, subject.clone())),
            (None, _) => Asked::Nothing,
        };
        let known = |id: &String| enterprises.iter().any(|enterprise| enterprise.enterprise_id == *id);
        let missing = system.enterprise.as_ref().filter(|id| !known(id));
        let elsewhere = user.as_ref().is_some_and(|user| !system.is_of(&user.enterprise_id));
        checks.push(async move {
            let mut check = check_system(name, system, if elsewhere { Asked::Nothing } else { asked }).await;
            if let Some(id) = missing {
                check.error = Some(format!("there is no enterprise {id}: nobody is looked for here"));
            } else if elsewhere {
                let reason = Some("not looked for: the system is another enterprise's".to_owned());
                check.person = Some(PersonCheck { subject: None, sessions: None, dated: 0, reason });
            }
            check
        });
    }
    Ok(join_all(checks).await)
}

async fn find_user(app: &App, name: &str) -> Result<UserRow, Error> {
    let by_login = app.db.find_user_by_login(name).await?;
    let found = match by_login {
        Some(user) => Some(user),
        None => app.db.find_user_by_id(name).await?,
    };
    found.ok_or_else(|| Error::not_found("user", name))
}

/// What one system is asked.
enum Asked {
    /// Only whether it answers.
    Nothing,
    /// For this person.
    For(Target),
    /// For a person for whom it has no name.
    ForNobody,
}

/// The person as the system knows them.
async fn target_of(app: &App, name: &str, system: &System, user: &UserRow) -> Result<Asked, Error> {
    let facts = app.db.list_targets_now(std::slice::from_ref(&user.user_id), name).await?;
    let subject = facts.first().and_then(|facts| system.subject.of(facts));
    Ok(match subject {
        Some(subject) => Asked::For(Target::every_session(&user.user_id, subject)),
        None => Asked::ForNobody,
    })
}

async fn check_system(name: &str, system: &System, asked: Asked) -> SystemCheck {
    let mut check = SystemCheck {
        system: name.to_owned(),
        subject: system.subject,
        quiet_time_s: system.connector.capabilities().counts.then_some(system.quiet_time.as_secs()),
        new_sign_ins: system.new_sign_ins,
        explanation: system.connector.explain(),
        answered_ms: None,
        notes: Vec::new(),
        error: None,
        person: None,
    };
    let begun = Instant::now();
    match find(system, &[]).await {
        Ok(answer) => check.notes = answer.notes,
        Err(error) => {
            check.error = Some(error.to_string());
            return check;
        }
    }
    check.answered_ms = Some(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    let target = match asked {
        Asked::Nothing => return check,
        Asked::For(target) => target,
        Asked::ForNobody => {
            let reason = Some("no_subject: the directory has no such name for this person".to_owned());
            check.person = Some(PersonCheck { subject: None, sessions: None, dated: 0, reason });
            return check;
        }
    };
    let seen = check.notes.clone();
    match find(system, std::slice::from_ref(&target)).await {
        Ok(mut answer) => {
            // What cannot be read was said of the look before.
            check.notes.extend(answer.notes.into_iter().filter(|note| !seen.contains(note)));
            if let Some(Reply::Failed(why)) = answer.replies.first() {
                check.error = Some(why.clone());
                return check;
            }
            check.person = Some(person(target.subject, answer.replies.pop()));
        }
        Err(error) => check.error = Some(error.to_string()),
    }
    check
}

async fn find(system: &System, targets: &[Target]) -> Result<Answer, ConnectorError> {
    match tokio::time::timeout(system.timeout, system.connector.find(targets)).await {
        Ok(answer) => answer,
        Err(_) => Err(ConnectorError::Unreachable(format!("no reply within {} s", system.timeout.as_secs()))),
    }
}

fn person(subject: String, reply: Option<Reply>) -> PersonCheck {
    let subject = Some(subject);
    match reply {
        Some(Reply::Sessions(sessions)) => PersonCheck {
            subject,
            sessions: Some(sessions.len() as u64),
            dated: sessions.iter().filter(|session| session.is_dated()).count() as u64,
            reason: None,
        },
        other => {
            PersonCheck { subject, sessions: None, dated: 0, reason: other.and_then(Reply::why_no_list) }
        }
    }
}
