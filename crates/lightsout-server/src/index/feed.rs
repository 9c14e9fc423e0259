//! The barrier feed: what changed, in the order of the log, for apps that keep their own sessions.
//!
//! It is kept once for everybody: a follower holds a position only, so a slow one costs nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use lightsout_api::Barriers;

/// The most entries of one message.
const MESSAGE_ENTRIES_MAX: usize = 1_000;
/// Past this many entries a log is compacted, if that halves it.
const COMPACT_PAST: usize = 10_000;

/// What one position brought to one enterprise.
#[derive(Debug)]
pub struct Batch {
    /// The position.
    pub position: i64,
    /// One or more messages; all but the last have a position from which everything is told again.
    pub messages: Vec<Message>,
    /// Where whoever has only a part of it goes on.
    before: i64,
    /// When it may be forgotten: sessions from before it have expired then.
    forget_at: i64,
}

/// A part of a batch, and its text once somebody has asked for it.
#[derive(Debug)]
pub struct Message {
    /// What it says.
    pub barriers: Barriers,
    text: OnceLock<Arc<str>>,
}

impl Message {
    /// The message as JSON, on one line.
    pub fn text(&self) -> Arc<str> {
        let json = || serde_json::to_string(&self.barriers).expect("plain data").into();
        Arc::clone(self.text.get_or_init(json))
    }
}

impl Batch {
    /// Cuts what a position brought into messages. Whoever has only some of them goes on at `before`: for
    /// what follows others the position before, and for a beginning 0, for nothing is known before it.
    pub(super) fn new(position: i64, before: i64, barriers: Barriers, forget_at: i64) -> Self {
        let (mut people, mut sessions) = (barriers.barriers.into_iter(), barriers.ended_sessions.into_iter());
        let mut messages = Vec::new();
        loop {
            let barriers: Vec<_> = people.by_ref().take(MESSAGE_ENTRIES_MAX).collect();
            let room = MESSAGE_ENTRIES_MAX - barriers.len();
            let ended_sessions = sessions.by_ref().take(room).collect();
            let is_last = people.len() == 0 && sessions.len() == 0;
            let position = if is_last { position } else { before };
            let barriers = Barriers { position, barriers, ended_sessions };
            messages.push(Message { barriers, text: OnceLock::new() });
            if is_last {
                return Self { position, messages, before, forget_at };
            }
        }
    }

    fn entries(&self) -> usize {
        self.messages.iter().map(|m| m.barriers.barriers.len() + m.barriers.ended_sessions.len()).sum()
    }

    /// The same without people of whom something newer is known.
    fn without(&self, newer: &mut HashSet<String>) -> Option<Self> {
        let mut kept = Barriers::default();
        for message in &self.messages {
            let barriers = message.barriers.barriers.iter();
            kept.barriers.extend(barriers.filter(|b| newer.insert(b.user_id.0.clone())).cloned());
            kept.ended_sessions.extend(message.barriers.ended_sessions.iter().cloned());
        }
        let is_empty = kept.barriers.is_empty() && kept.ended_sessions.is_empty();
        (!is_empty).then(|| Self::new(self.position, self.before, kept, self.forget_at))
    }
}

/// The batches of one enterprise, oldest first.
#[derive(Default)]
struct Log {
    batches: VecDeque<Arc<Batch>>,
    entries: usize,
    entries_compacted: usize,
}

/// The feed of every enterprise.
#[derive(Default)]
pub(super) struct Feed {
    logs: RwLock<HashMap<String, Log>>,
}

impl Feed {
    pub(super) fn push(&self, enterprise_id: &str, batch: Batch) {
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        let log = logs.entry(enterprise_id.to_owned()).or_default();
        log.entries += batch.entries();
        log.batches.push_back(Arc::new(batch));
    }

    pub(super) fn clear(&self) {
        self.logs.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The batches after a position.
    pub(super) fn after(&self, enterprise_id: &str, position: i64) -> Vec<Arc<Batch>> {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        let Some(log) = logs.get(enterprise_id) else { return Vec::new() };
        let first = log.batches.partition_point(|batch| batch.position <= position);
        log.batches.range(first..).cloned().collect()
    }

    /// Puts in what was before everything else.
    pub(super) fn push_beginning(&self, enterprise_id: &str, batch: Batch) {
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        let log = logs.entry(enterprise_id.to_owned()).or_default();
        log.entries += batch.entries();
        log.batches.push_front(Arc::new(batch));
    }

    /// Forgets what no living session can be older than, and what something newer says again.
    pub(super) fn tidy(&self, now: i64) {
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        for log in logs.values_mut() {
            while let Some(old) = log.batches.pop_front_if(|batch| batch.forget_at <= now) {
                log.entries -= old.entries();
            }
            if log.entries > COMPACT_PAST && log.entries > 2 * log.entries_compacted {
                log.compact();
            }
        }
        logs.retain(|_, log| !log.batches.is_empty());
    }
}

impl Log {
    fn compact(&mut self) {
        let mut newer = HashSet::new();
        let kept = self.batches.iter().rev().filter_map(|batch| batch.without(&mut newer));
        let mut kept: Vec<Arc<Batch>> = kept.map(Arc::new).collect();
        kept.reverse();
        self.batches = kept.into();
        self.entries = self.batches.iter().map(|batch| batch.entries()).sum();
        self.entries_compacted = self.entries;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lightsout_api::Barrier;

    fn barriers(users: std::ops::Range<usize>) -> Barriers {
        let barrier = |n: usize| Barrier {
            user_id: n.to_string().into(),
            login: None,
            external_id: None,
            cutoff: jiff::Timestamp::UNIX_EPOCH,
        };
        Barriers { barriers: users.map(barrier).collect(), ..Barriers::default() }
    }

    #[test]
    fn only_the_last_message_of_a_position_carries_it() {
        let batch = Batch::new(7, 6, barriers(0..2_500), 0);
        let positions: Vec<i64> = batch.messages.iter().map(|m| m.barriers.position).collect();
        assert_eq!(positions, [6, 6, 7]);
        let users = batch.messages.iter().flat_map(|m| &m.barriers.barriers);
        assert!(users.map(|b| b.user_id.0.clone()).eq((0..2_500).map(|n| n.to_string())));
        assert_eq!(Batch::new(7, 6, Barriers::default(), 0).messages.len(), 1);
    }

    #[test]
    fn compaction_keeps_the_newest_of_each_person_and_every_position_can_be_resumed() {
        let feed = Feed::default();
        for position in 1..=30 {
            feed.push("e", Batch::new(position, position - 1, barriers(0..1_000), 100));
        }
        feed.push("e", Batch::new(31, 30, barriers(500..501), 100));
        feed.tidy(0);
        let all = feed.after("e", 0);
        assert_eq!(all.iter().map(|b| b.entries()).sum::<usize>(), 1_000);
        assert_eq!(all.iter().map(|b| b.position).collect::<Vec<_>>(), [30, 31]);
        assert_eq!(feed.after("e", 30).len(), 1);
        assert!(feed.after("e", 31).is_empty());
        feed.tidy(100);
        assert!(feed.after("e", 0).is_empty(), "past the longest session life nothing is left");
    }
}
