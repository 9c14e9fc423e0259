//! Connectors: the places where sessions live. The one trait of the server.
//!
//! A connector ends and finds; it never decides what that means for an outcome, and never reads
//! the job tables. The in-memory one is the documentation of the contract, and one test suite runs
//! over all of them.

mod memory;
mod redis;
mod registry;

use futures_util::future::BoxFuture;

pub use self::memory::Memory;
pub use self::redis::{Redis, RedisConfig};
pub use self::registry::Registry;
pub use crate::domain::outcome::{Reply, Session};

/// A person whose sessions in one system are to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The user.
    pub user_id: String,
    /// The name by which this system knows the user. Compared whole, never as a prefix.
    pub subject: String,
    /// Sessions that began at or before this, in milliseconds since 1970, are over; the system's
    /// clock skew is in it already.
    pub cutoff: i64,
}

/// Why a whole pass failed. The text names no secret, person or address.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The system did not answer, or not in time.
    #[error("the system did not answer: {0}")]
    Unreachable(String),
    /// The system answered something that this connector does not understand.
    #[error("the system answered something unexpected: {0}")]
    Unexpected(String),
}

/// What a system is able to say, for previews and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The number of targets that one job holds.
    pub targets_per_job: usize,
    /// The number of due jobs worked in one pass; a store without an index takes all it can get.
    pub jobs_per_pass: i64,
    /// Whether looking is cheap enough for a preview.
    pub counts: bool,
}

/// A system that sessions live in.
pub trait Connector: Send + Sync {
    /// What the system is able to say.
    fn capabilities(&self) -> Capabilities;

    /// Deletes every session of the targets that is over, and replies for each target, in order,
    /// with the sessions deleted.
    ///
    /// Idempotent. A session whose begin is known to lie after the cutoff is left alone.
    fn end<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<Vec<Reply>, ConnectorError>>;

    /// Looks for what [`Connector::end`] would delete, and changes nothing. With a cutoff in the
    /// far future it finds every session.
    fn find<'a>(&'a self, targets: &'a [Target]) -> BoxFuture<'a, Result<Vec<Reply>, ConnectorError>>;
}

/// A short digest of a session's key, to know it again without keeping it.
pub(crate) fn key_digest(key: &str) -> String {
    crate::random::sha256(key)[..16].to_owned()
}
