//! One person's sessions in the systems other than the registry.

use std::cmp::Reverse;

use futures_util::future::join_all;

use super::Error;
use super::people::{self, Reach};
use super::radius::{self, PAGE_TIMEOUT};
use crate::app::{App, System};
use crate::connector::{Registry, SURELY_OVER, Target, Told};
use crate::domain::access::Caller;

/// The most sessions of one system that are told one by one.
const NEWEST: usize = 20;

/// What one system says of a person.
#[derive(Debug)]
pub struct Elsewhere {
    /// The system.
    pub system: String,
    /// Its kind, in the words of the configuration.
    pub kind: String,
    /// The sessions there, or why it cannot say.
    pub sessions: Result<Sessions, String>,
}

/// A person's sessions in one system.
#[derive(Debug)]
pub struct Sessions {
    /// All of them.
    pub count: u64,
    /// The newest, newest first; none for a group admin, who is told only how many.
    pub newest: Vec<Told>,
}

/// Asks every system but the registry for a person's sessions, also those that do not count many people's.
/// All are asked at the same time, each for at most [`PAGE_TIMEOUT`].
pub async fn ask(app: &App, caller: &Caller, user_id: &str) -> Result<Vec<Elsewhere>, Error> {
    let (reach, _) = people::find(app, caller, user_id).await?;
    let others = app.systems_of(&caller.enterprise_id.0).filter(|(name, _)| *name != Registry::NAME);
    let asked = others.map(async |(name, system)| {
        let sessions = sessions_in(app, name, system, user_id).await?;
        let sessions = sessions.map(|all| Sessions {
            count: all.len() as u64,
            newest: if matches!(reach, Reach::Everyone) { newest(all) } else { Vec::new() },
        });
        Ok(Elsewhere { system: name.clone(), kind: system.kind.clone(), sessions })
    });
    join_all(asked).await.into_iter().collect()
}

async fn sessions_in(
    app: &App,
    name: &str,
    system: &System,
    user_id: &str,
) -> Result<Result<Vec<Told>, String>, Error> {
    let people = app.db.list_targets_now(&[user_id.to_owned()], name).await?;
    let Some(subject) = people.first().and_then(|person| system.subject.of(person)) else {
        return Ok(Err("no_subject: the directory has no name of this person for it".to_owned()));
    };
    let target = Target::every_session(user_id, subject);
    let found = radius::found_in(system, &[target], PAGE_TIMEOUT).await;
    Ok(found.map(|sessions| sessions.into_iter().map(|session| session.told).collect()))
}

/// The newest, as far as they show when they began or were last used.
fn newest(mut all: Vec<Told>) -> Vec<Told> {
    for told in &mut all {
        told.began_at = told.began_at.filter(|at| *at != SURELY_OVER);
    }
    all.sort_by_key(|told| Reverse(told.last_seen_at.max(told.began_at)));
    all.truncate(NEWEST);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_stand_by_when_they_were_last_heard_of() {
        let told = |began_at, last_seen_at| Told { began_at, last_seen_at, ..Told::default() };
        let all = vec![
            told(Some(5), None),
            told(None, None),
            told(Some(1), Some(9)),
            told(Some(SURELY_OVER), None),
        ];
        let times: Vec<_> = newest(all).into_iter().map(|told| (told.began_at, told.last_seen_at)).collect();
        assert_eq!(times, [(Some(1), Some(9)), (Some(5), None), (None, None), (None, None)]);
        assert_eq!(newest(vec![Told::default(); 30]).len(), NEWEST);
    }
}
