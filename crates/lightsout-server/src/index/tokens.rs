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

/// What is known of a token without asking the database.
pub(super) enum Known {
    /// It may be used, by this caller.
    Caller(Arc<Caller>),
    /// It may not be used.
    Refused,
    /// It must be read.
    Nothing,
}

/// The callers.
#[derive(Default)]
pub(super) struct Tokens {
    entries: RwLock<KeyMap<Entry>>,
}

impl Tokens {
    /// What is known of a token.
    pub(super) fn find(&self, key: Key, now: i64, elapsed_ms: i64) -> Known {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.get(&key) else { return Known::Nothing };
        let (generation, changed_at) = entry.person.newest();
        if entry.as_of < changed_at || elapsed_ms - entry.read_ms > READ_AGAIN_MS {
            return Known::Nothing;
        }
        if entry.facts.generation >= generation && entry.facts.is_active(now) {
            Known::Caller(Arc::clone(&entry.caller))
        } else {
            Known::Refused
        }
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
