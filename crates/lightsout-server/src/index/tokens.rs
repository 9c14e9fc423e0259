//! Callers by their tokens, as they were read last.

use std::sync::{Arc, PoisonError, RwLock};

use super::people::Person;
use super::sessions::{Key, KeyMap};
use crate::domain::access::Caller;
use crate::store::TokenFacts;

/// After so long a caller is read again: what an operator changes in the database is heard, too.
const READ_AGAIN_MS: i64 = 10_000;
/// More callers than this are read each time.
const TOKENS_MAX: usize = 100_000;

struct Entry {
    caller: Arc<Caller>,
    facts: TokenFacts,
    person: Arc<Person>,
    as_of: i64,
    read_ms: i64,
}

/// The callers.
#[derive(Default)]
pub(super) struct Tokens {
    entries: RwLock<KeyMap<Entry>>,
}

impl Tokens {
    /// The caller of a token that may be used; `Some(None)` where it may not, none where it must be read.
    pub(super) fn find(&self, key: Key, now: i64, elapsed_ms: i64) -> Option<Option<Arc<Caller>>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(&key)?;
        let (generation, changed_at) = entry.person.newest();
        if entry.as_of < changed_at || elapsed_ms - entry.read_ms > READ_AGAIN_MS {
            return None;
        }
        let is_active = entry.facts.generation >= generation && entry.facts.is_active(now);
        Some(is_active.then(|| Arc::clone(&entry.caller)))
    }

    pub(super) fn insert(
        &self,
        key: Key,
        caller: Arc<Caller>,
        facts: TokenFacts,
        person: Arc<Person>,
        (as_of, read_ms): (i64, i64),
    ) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() < TOKENS_MAX {
            entries.insert(key, Entry { caller, facts, person, as_of, read_ms });
        }
    }

    pub(super) fn clear(&self) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn forget_old(&self, elapsed_ms: i64) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| elapsed_ms - entry.read_ms <= READ_AGAIN_MS);
    }
}
