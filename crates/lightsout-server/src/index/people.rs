//! The people whom checks need: names, and the newest generation of each.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

/// Locks of the map; more than threads that meet.
const SHARDS: usize = 64;

/// A person in the index.
pub(super) struct Person {
    /// The id.
    pub(super) user_id: Box<str>,
    /// The tenant.
    pub(super) enterprise_id: Box<str>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    login: Option<Box<str>>,
    generation: i64,
    /// The newest change of this person that the index heard of.
    changed_at: i64,
    /// Up to which position of the log the login is known to be right.
    as_of: i64,
    /// When a change came last, by the clock that nobody sets back.
    touched_ms: i64,
}

impl Person {
    /// The login and the newest generation; none where the person has changed since they were read.
    pub(super) fn present(&self) -> Option<(Option<String>, i64)> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let login = || state.login.as_deref().map(ToOwned::to_owned);
        (state.as_of >= state.changed_at).then(|| (login(), state.generation))
    }

    /// The newest generation, and the newest change.
    pub(super) fn newest(&self) -> (i64, i64) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        (state.generation, state.changed_at)
    }

    /// Takes in what the database said after everything up to `as_of` had been heard.
    pub(super) fn learn(&self, login: Option<&str>, generation: i64, as_of: i64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.generation = state.generation.max(generation);
        if as_of >= state.as_of {
            state.as_of = as_of;
            state.login = login.map(Into::into);
        }
    }

    /// Raises the generation; an older one changes nothing.
    pub(super) fn raise(&self, generation: i64, now_ms: i64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.generation = state.generation.max(generation);
        state.touched_ms = now_ms;
    }

    /// Notes that something else of this person changed.
    pub(super) fn change(&self, position: i64, now_ms: i64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.changed_at = state.changed_at.max(position);
        state.touched_ms = now_ms;
    }
}

/// The people, by id.
pub(super) struct People {
    shards: Vec<RwLock<HashMap<Box<str>, Arc<Person>>>>,
    hasher: RandomState,
}

impl People {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), hasher: RandomState::new() }
    }

    /// Finds a person, or puts one in of whom nothing is known yet.
    pub(super) fn person(&self, user_id: &str, enterprise_id: &str) -> Arc<Person> {
        let place = usize::try_from(self.hasher.hash_one(user_id) % SHARDS as u64).expect("a small number");
        let shard = &self.shards[place];
        if let Some(person) = shard.read().unwrap_or_else(PoisonError::into_inner).get(user_id) {
            return Arc::clone(person);
        }
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let person = shard.entry(user_id.into()).or_insert_with(|| {
            Arc::new(Person {
                user_id: user_id.into(),
                enterprise_id: enterprise_id.into(),
                state: RwLock::default(),
            })
        });
        Arc::clone(person)
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            shard.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Forgets whoever has no session here and was not touched since `before_ms`. A read of the
    /// database that began before a change must find the person here, so a change is kept for a while.
    pub(super) fn forget_idle(&self, before_ms: i64) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, person| {
                let touched = person.state.read().unwrap_or_else(PoisonError::into_inner).touched_ms;
                Arc::strong_count(person) > 1 || touched >= before_ms
            });
        }
    }
}
