//! A look at the systems for their operator: does each answer, what does it match, and which sessions
//! of a person does it show. Nothing is changed. There is no caller: it runs on the service's own
//! machine.

use std::time::Instant;

use futures_util::future::join_all;
use serde::Serialize;

use super::Error;
use crate::app::{App, NewSignIns, Subject, System};
use crate::connector::{Answer, ConnectorError, Explanation, Reply, Target};
use crate::store::UserRow;

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

/// What a look at one system showed.
#[derive(Clone, Debug, Serialize)]
pub struct SystemCheck {
    /// The system.
    pub system: String,
    /// By which name it knows a user.
    pub subject: Subject,
    /// How long it must have shown no session before an end counts as verified, in seconds; none
    /// where it cannot be asked for sessions.
    pub quiet_time_s: Option<u64>,
    /// What becomes of sessions of unknown begin that appear meanwhile.
    pub new_sign_ins: NewSignIns,
    /// What is matched, ended and proven.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// How long it took to answer, in milliseconds; none if it did not.
    pub answered_ms: Option<u64>,
    /// What was seen, and what could not be read.
    pub notes: Vec<String>,
    /// Why it did not answer.
    pub error: Option<String>,
    /// What was found of the person; none if nobody was asked for, or it did not answer.
    pub person: Option<PersonCheck>,
}

/// What one system shows of a person.
#[derive(Clone, Debug, Serialize)]
pub struct PersonCheck {
    /// The name by which the system knows them; none: it has none for them.
    pub subject: Option<String>,
    /// The sessions that a termination would end; none where the system cannot say.
    pub sessions: Option<u64>,
    /// How many of them show when they began.
    pub dated: u64,
    /// Why there is no number.
    pub reason: Option<String>,
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
            dated: sessions.iter().filter(|session| session.dated).count() as u64,
            reason: None,
        },
        other => {
            PersonCheck { subject, sessions: None, dated: 0, reason: other.and_then(Reply::why_no_list) }
        }
    }
}
