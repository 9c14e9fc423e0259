//! What people looked at last, kept in memory of this node: how far the event chain was checked.

use tokio::sync::Mutex;

use crate::store::{BrokenLink, Head};

/// What was looked at last.
#[derive(Default)]
pub struct Looks {
    /// How far the event chain was checked. Held while it is checked on.
    pub chain: Mutex<ChainLook>,
}

/// How far the event chain was checked by this node since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainLook {
    /// The last event that was checked and holds; none: nothing was checked yet.
    pub verified: Option<Head>,
    /// What was read in one go, beginning at the oldest event that is left.
    pub whole: Option<Stretch>,
    /// What was read on from there since.
    pub since: Option<Stretch>,
    /// Whether `whole` is still being read.
    pub unfinished: bool,
    /// Where the chain does not hold, and when that was found.
    pub broken: Option<(BrokenLink, i64)>,
    /// The head of the log when it was looked at last.
    pub head: i64,
}

/// Events that were checked: positions, and between which times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first.
    pub first: i64,
    /// The last.
    pub last: i64,
    /// When the first was read, in milliseconds since 1970.
    pub begun_at: i64,
    /// When the last was read.
    pub ended_at: i64,
}
