//! Names, and the newest instant known of each: read by every request, written by one follower.
//!
//! Nothing here waits for the follower, and nearly all reads touch no lock.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock, TryLockError};

/// Powers of two.
const SLOTS: u64 = 1 << 14;
const SHARDS: u64 = 1 << 6;

/// Instants are microseconds since 1970.
pub(super) struct Facts {
    hasher: RandomState,
    /// The newest instant of all names that fall into a slot. Who asks for a later one needs to look no
    /// further, and writes nothing that another processor has to fetch.
    slots: Box<[AtomicI64]>,
    shards: Box<[Shard]>,
}

/// The same names twice: one copy can be read while the other one is written.
#[derive(Default)]
#[repr(align(64))]
struct Shard {
    copies: [RwLock<Names>; 2],
}

/// By the hash of the name, which is made once for a slot, a shard and this.
type Names = HashMap<u64, Entry, BuildHasherDefault<Hashed>>;

struct Entry {
    name: Box<str>,
    newest: i64,
    /// Another name of the same hash, which is as good as never met.
    next: Option<Box<Entry>>,
}

/// Takes what is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a u64 is written as one");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Facts {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            slots: (0..SLOTS).map(|_| AtomicI64::new(i64::MIN)).collect(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }

    /// Whether an instant is known of this name that is no earlier than `from`.
    pub(super) fn holds(&self, name: &str, from: i64) -> bool {
        let hash = self.hasher.hash_one(name);
        self.slot(hash).load(Ordering::Acquire) >= from
            && self.shard(hash).newest(hash, name).is_some_and(|newest| newest >= from)
    }

    /// Notes an instant of a name; an earlier one than is known changes nothing.
    pub(super) fn note(&self, name: &str, at: i64) {
        let hash = self.hasher.hash_one(name);
        self.shard(hash).note(hash, name, at);
        // After the names, so that who once found one finds it again.
        self.slot(hash).fetch_max(at, Ordering::Release);
    }

    /// Forgets the names of which nothing is known from this instant on.
    pub(super) fn forget_before(&self, from: i64) {
        for copy in self.shards.iter().flat_map(|shard| &shard.copies) {
            let mut names = copy.write().unwrap_or_else(PoisonError::into_inner);
            names.retain(|_, entry| entry.newest >= from || entry.next.is_some());
            names.shrink_to_fit();
        }
    }

    fn slot(&self, hash: u64) -> &AtomicI64 {
        &self.slots[usize::try_from(hash % SLOTS).expect("there are few")]
    }

    fn shard(&self, hash: u64) -> &Shard {
        // By other bits than the slot.
        &self.shards[usize::try_from((hash >> 32) % SHARDS).expect("there are few")]
    }
}

impl Shard {
    fn newest(&self, hash: u64, name: &str) -> Option<i64> {
        let newest = |names: &Names| {
            let mut entry = names.get(&hash)?;
            while *entry.name != *name {
                entry = entry.next.as_deref()?;
            }
            Some(entry.newest)
        };
        loop {
            // The one writer holds at most one of the two.
            for copy in &self.copies {
                match copy.try_read() {
                    Ok(names) => return newest(&names),
                    Err(TryLockError::Poisoned(names)) => return newest(names.get_ref()),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
            std::hint::spin_loop();
        }
    }

    fn note(&self, hash: u64, name: &str, at: i64) {
        for copy in &self.copies {
            let mut names = copy.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Entry { name: name.into(), newest: at, next: None };
            let mut entry = names.entry(hash).or_insert_with(new);
            while *entry.name != *name {
                entry = entry.next.get_or_insert_with(|| Box::new(new()));
            }
            entry.newest = at.max(entry.newest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_only_grows() {
        let facts = Facts::new();
        assert!(!facts.holds("ann", i64::MIN + 1));
        for at in [20, 10, 20] {
            facts.note("ann", at);
            assert!(facts.holds("ann", 20) && !facts.holds("ann", 21), "after {at}");
        }
        assert!(!facts.holds("bob", i64::MIN + 1));
    }

    #[test]
    fn names_of_one_slot_are_told_apart() {
        let facts = Facts::new();
        let name = |n: u64| format!("person-{n}");
        for n in 0..2 * SLOTS {
            facts.note(&name(n), 10 + i64::from(n % 2 == 0));
        }
        assert!((0..2 * SLOTS).all(|n| facts.holds(&name(n), 10)));
        assert!((0..2 * SLOTS).all(|n| facts.holds(&name(n), 11) == (n % 2 == 0)));
        facts.forget_before(11);
        assert!((0..2 * SLOTS).all(|n| facts.holds(&name(n), 10) == (n % 2 == 0)));
    }

    #[test]
    fn a_copy_that_is_being_written_stops_nobody() {
        let facts = Facts::new();
        facts.note("ann", 5);
        for copy in [0, 1] {
            let shard = facts.shard(facts.hasher.hash_one("ann"));
            let _written = shard.copies[copy].write().expect("nobody panicked");
            assert!(facts.holds("ann", 5));
        }
    }

    #[test]
    fn names_of_one_hash_are_told_apart() {
        let shard = Shard::default();
        shard.note(7, "ann", 10);
        shard.note(7, "bob", 20);
        shard.note(7, "ann", 5);
        assert_eq!(["ann", "bob", "cyd"].map(|name| shard.newest(7, name)), [Some(10), Some(20), None]);
    }
}
