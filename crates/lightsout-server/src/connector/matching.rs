//! Whose is a session that a store showed, and is it over? The same answer for every store.

use std::collections::{HashMap, HashSet};

use super::{Reply, Session, Target, Told, key_digest};

/// The most characters of a text that people are shown.
const SHOWN_MAX: usize = 200;

/// Sorts a store's sessions by the targets that they belong to.
pub(crate) struct Matcher<'t> {
    targets: &'t [Target],
    by_subject: HashMap<&'t str, usize>,
    ending: bool,
    seen: HashSet<String>,
    found: Vec<Vec<Session>>,
}

impl<'t> Matcher<'t> {
    /// For a pass that deletes what is over.
    pub(crate) fn ending(targets: &'t [Target]) -> Self {
        Self::new(targets, true)
    }

    /// For a pass that only looks.
    pub(crate) fn finding(targets: &'t [Target]) -> Self {
        Self::new(targets, false)
    }

    fn new(targets: &'t [Target], ending: bool) -> Self {
        let by_subject = targets.iter().enumerate().map(|(n, t)| (t.subject.as_str(), n)).collect();
        Self { targets, by_subject, ending, seen: HashSet::new(), found: vec![Vec::new(); targets.len()] }
    }

    /// Takes in a session, and says whether it is one to be found: its subject is a target's, it is
    /// over, and it was not taken in before.
    pub(crate) fn take(&mut self, subject: &str, key: &[u8], told: impl Into<Told>) -> bool {
        self.by_subject.get(subject).copied().is_some_and(|n| self.take_for(n, key, told))
    }

    /// The same for a session that is known to belong to the target of this number.
    pub(crate) fn take_for(&mut self, n: usize, key: &[u8], told: impl Into<Told>) -> bool {
        let told = told.into();
        let target = &self.targets[n];
        let (key, began_at) = (key_digest(key), target.plausible(told.began_at));
        let over = target.is_over(&key, began_at) || (began_at.is_none() && !self.ending);
        if !over || !self.seen.insert(key.clone()) {
            return false;
        }
        self.found[n].push(Session { key, told: as_shown(told, began_at) });
        true
    }

    /// The sessions taken in, for each target in order; sorted, for a store shows them in any order.
    pub(crate) fn into_replies(self) -> Vec<Reply> {
        let sorted = |mut sessions: Vec<Session>| {
            sessions.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            Reply::Sessions(sessions)
        };
        self.found.into_iter().map(sorted).collect()
    }
}

/// What people are shown of a session.
fn as_shown(told: Told, began_at: Option<i64>) -> Told {
    let short = |text: Option<String>| {
        let text: String = text?.trim().chars().take(SHOWN_MAX).collect();
        (!text.is_empty()).then_some(text)
    };
    Told {
        began_at,
        last_seen_at: told.last_seen_at,
        device: short(told.device),
        address: short(told.address),
    }
}
