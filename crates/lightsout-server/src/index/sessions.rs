//! The sessions in memory: facts that never change, 40 bytes each. Whether one may be used is decided
//! at each check.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::people::Person;
use crate::store::SessionFacts;

/// Locks of the map. A shard of 10 million sessions holds 10,000, so that growing one stops nobody for
/// longer than a millisecond.
const SHARDS: usize = 1024;

/// The first half of a SHA-256: enough to tell sessions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 16]);

impl Key {
    /// Reads a digest as it is stored; none if it is no digest.
    pub(super) fn of(hash: &str) -> Option<Self> {
        use base64::Engine;
        let mut digest = [0; 33];
        let n = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode_slice(hash, &mut digest).ok()?;
        (n == 32).then(|| Self(digest[..16].try_into().expect("16 of 32 bytes")))
    }

    fn shard(self) -> usize {
        usize::from(u16::from_le_bytes([self.0[0], self.0[1]])) % SHARDS
    }
}

/// A digest is as good as any hash of it.
#[derive(Default)]
pub(super) struct Digest(u64);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        // The first bytes choose the shard.
        if let Some(word) = bytes.get(8..16) {
            self.0 = u64::from_le_bytes(word.try_into().expect("8 bytes"));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(super) type KeyMap<T> = HashMap<Key, T, BuildHasherDefault<Digest>>;

/// One session; packed, because there are millions.
struct Entry {
    person: Arc<Person>,
    generation: u32,
    began_s: u32,
    expires_ms: [u8; 6],
    app: u16,
}

/// The sessions.
pub(super) struct Sessions {
    shards: Vec<RwLock<KeyMap<Entry>>>,
    /// Client ids, by the number that entries have.
    apps: RwLock<Vec<Arc<str>>>,
    count: AtomicUsize,
    max: usize,
}

impl Sessions {
    pub(super) fn new(max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            apps: RwLock::default(),
            count: AtomicUsize::new(0),
            max,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        self.count() >= self.max
    }

    /// Finds a session; none also where its person has changed since it was read.
    pub(super) fn find(&self, key: Key) -> Option<SessionFacts> {
        let shard = self.shards[key.shard()].read().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.get(&key)?;
        let (login, generation_now) = entry.person.present()?;
        let client_id =
            self.apps.read().unwrap_or_else(PoisonError::into_inner)[usize::from(entry.app)].to_string();
        Some(SessionFacts {
            user_id: entry.person.user_id.to_string(),
            enterprise_id: entry.person.enterprise_id.to_string(),
            login,
            // Whoever becomes inactive is given a new generation, too.
            status: "active".to_owned(),
            client_id,
            generation: entry.generation.into(),
            generation_now,
            began_at: i64::from(entry.began_s) * 1000,
            expires_at: entry.expires_at(),
        })
    }

    /// Keeps a session, if there is room and its facts fit.
    pub(super) fn insert(&self, key: Key, facts: &SessionFacts, person: Arc<Person>) {
        if self.is_full() {
            return;
        }
        let Some(entry) = self.entry(facts, person) else { return };
        let mut shard = self.shards[key.shard()].write().unwrap_or_else(PoisonError::into_inner);
        if shard.insert(key, entry).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn entry(&self, facts: &SessionFacts, person: Arc<Person>) -> Option<Entry> {
        let expires_ms = u64::try_from(facts.expires_at).ok()?.to_le_bytes();
        if expires_ms[6..] != [0, 0] {
            return None;
        }
        Some(Entry {
            person,
            generation: u32::try_from(facts.generation).ok()?,
            began_s: u32::try_from(facts.began_at.div_euclid(1000)).ok()?,
            expires_ms: expires_ms[..6].try_into().expect("6 of 8 bytes"),
            app: self.app(&facts.client_id)?,
        })
    }

    fn app(&self, client_id: &str) -> Option<u16> {
        let number = |apps: &[Arc<str>]| apps.iter().position(|id| **id == *client_id);
        let known = number(&self.apps.read().unwrap_or_else(PoisonError::into_inner));
        let n = known.unwrap_or_else(|| {
            let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
            number(&apps).unwrap_or_else(|| {
                apps.push(client_id.into());
                apps.len() - 1
            })
        });
        u16::try_from(n).ok()
    }

    pub(super) fn remove(&self, key: Key) {
        let mut shard = self.shards[key.shard()].write().unwrap_or_else(PoisonError::into_inner);
        if shard.remove(&key).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            self.count.fetch_sub(shard.len(), Ordering::Relaxed);
            *shard = KeyMap::default();
        }
    }

    /// Forgets what is over anyway.
    pub(super) fn forget_ended(&self, now: i64) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let before = shard.len();
            shard.retain(|_, entry| {
                now < entry.expires_at() && i64::from(entry.generation) >= entry.person.newest().0
            });
            self.count.fetch_sub(before - shard.len(), Ordering::Relaxed);
            if shard.capacity() > 4 * shard.len() + 64 {
                shard.shrink_to_fit();
            }
        }
    }
}

impl Entry {
    fn expires_at(&self) -> i64 {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&self.expires_ms);
        i64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_takes_forty_bytes() {
        assert_eq!(size_of::<(Key, Entry)>(), 40);
    }

    #[test]
    fn key_is_read_from_a_digest_only() {
        assert!(Key::of(&crate::random::sha256("a session id")).is_some());
        for wrong in
            ["", "abc", &"A".repeat(42), &"A".repeat(44), "not base64 at all, but 43 characters long!!"]
        {
            assert_eq!(Key::of(wrong), None, "{wrong}");
        }
    }
}
