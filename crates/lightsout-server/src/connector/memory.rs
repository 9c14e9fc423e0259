//! A system in memory: what a connector owes its caller, in a page. Tests drive it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;

use super::matching::Matcher;
use super::{Answer, Answering, Capabilities, Connector, ConnectorError, Explanation, Target, Told};

/// A stored session: whose it is, and what the system tells of it.
type Stored = (String, Told);

/// An in-memory system. Clones share their sessions.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<String, Stored>,
    down: bool,
    passes: u64,
}

impl Memory {
    /// Signs a subject in under a key.
    pub fn sign_in(&self, subject: &str, key: &str, told: impl Into<Told>) {
        self.with(|state| state.sessions.insert(key.to_owned(), (subject.to_owned(), told.into())));
    }

    /// Whether a key's session lives.
    pub fn is_signed_in(&self, key: &str) -> bool {
        self.with(|state| state.sessions.contains_key(key))
    }

    /// Every session by its key: whose it is, and when it began if the system knows.
    pub fn sessions(&self) -> BTreeMap<String, (String, Option<i64>)> {
        let begin =
            |(key, (subject, told)): (&String, &Stored)| (key.clone(), (subject.clone(), told.began_at));
        self.with(|state| state.sessions.iter().map(begin).collect())
    }

    /// Makes the system stop or start answering.
    pub fn set_down(&self, down: bool) {
        self.with(|state| state.down = down);
    }

    /// The number of passes that reached the system.
    pub fn passes(&self) -> u64 {
        self.with(|state| state.passes)
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn pass(&self, mut matcher: Matcher<'_>, delete: bool) -> Result<Answer, ConnectorError> {
        self.with(|state| {
            if state.down {
                return Err(ConnectorError::Unreachable("it is switched off".to_owned()));
            }
            state.passes += 1;
            state.sessions.retain(|key, (subject, told)| {
                let found = matcher.take(subject, key.as_bytes(), told.clone());
                !(found && delete)
            });
            Ok(matcher.into_replies().into())
        })
    }
}

impl Connector for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_per_job: 500, jobs_per_pass: 100, counts: true }
    }

    fn explain(&self) -> Explanation {
        Explanation {
            matched: "sessions signed in under the subject".to_owned(),
            ended: "the entry is removed".to_owned(),
            proven: "looked for again after the quiet time".to_owned(),
        }
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.pass(Matcher::ending(targets), true) }.boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.pass(Matcher::finding(targets), false) }.boxed()
    }
}
