//! A system in memory: what a connector owes its caller, in a page. Tests drive it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Capabilities, Connector, ConnectorError, Reply, Session, Target, key_digest};

/// A stored session: whose it is, and when it began if the system knows.
type Stored = (String, Option<i64>);

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
    pub fn sign_in(&self, subject: &str, key: &str, began_at: Option<i64>) {
        self.with(|state| state.sessions.insert(key.to_owned(), (subject.to_owned(), began_at)));
    }

    /// Whether a key's session lives.
    pub fn is_signed_in(&self, key: &str) -> bool {
        self.with(|state| state.sessions.contains_key(key))
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

    fn pass(&self, targets: &[Target], delete: bool) -> Result<Vec<Reply>, ConnectorError> {
        self.with(|state| {
            if state.down {
                return Err(ConnectorError::Unreachable("it is switched off".to_owned()));
            }
            state.passes += 1;
            let mut replies = vec![Vec::new(); targets.len()];
            state.sessions.retain(|key, (subject, began_at)| {
                let over = |t: &Target| t.subject == *subject && began_at.is_none_or(|at| at <= t.cutoff);
                let Some(n) = targets.iter().position(over) else { return true };
                replies[n].push(Session { key: key_digest(key), dated: began_at.is_some() });
                !delete
            });
            Ok(replies.into_iter().map(Reply::Sessions).collect())
        })
    }
}

impl Connector for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_per_job: 500, jobs_per_pass: 100, counts: true }
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<Vec<Reply>, ConnectorError>> {
        async move { self.pass(targets, true) }.boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<Vec<Reply>, ConnectorError>> {
        async move { self.pass(targets, false) }.boxed()
    }
}
