//! Connectors: the places where sessions live. The one trait of the server.
//!
//! A connector ends and finds; it never decides what that means for an outcome, and never reads
//! the job tables. The in-memory one is the documentation of the contract, and one test suite runs
//! over all of them.

mod box_api;
mod http;
mod matching;
mod memory;
mod oidc_backchannel;
mod redis;
mod registry;
mod sql;
mod stateless;
mod value;
pub(crate) mod web;

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;

pub use self::box_api::{BoxApi, BoxConfig};
pub use self::http::{Http, HttpConfig};
pub use self::memory::Memory;
pub use self::oidc_backchannel::{Algorithm, OidcBackchannel, OidcBackchannelConfig, ReceiverKind};
pub use self::redis::{Preset, Redis, RedisConfig, SentinelConfig};
pub use self::registry::Registry;
pub use self::sql::{Preset as SqlPreset, Sql, SqlConfig, Unit as SqlUnit};
pub use self::stateless::{Stateless, StatelessConfig};
pub use self::value::{Format, Path};
pub use crate::domain::outcome::{Reply, SURELY_OVER, Session, Told};

const YEAR_MS: i64 = 366 * 86_400_000;

/// A person whose sessions in one system are to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The user.
    pub user_id: String,
    /// The name by which this system knows the user. Compared whole, never as a prefix. No two
    /// targets of a call have the same.
    pub subject: String,
    /// Sessions that began at or before this, in milliseconds since 1970, are over; the system's
    /// clock skew is in it already.
    pub cutoff: i64,
    /// When the newest termination of this user was asked for; no skew is in it.
    pub asked_at: i64,
    /// The keys ([`key_digest`]) that `end` may end although their begin is unknown; none: all.
    /// Set where new sign-ins are to be spared.
    pub only: Option<Arc<HashSet<String>>>,
}

impl Target {
    /// To look for every session of a user, whenever it began.
    pub fn every_session(user_id: &str, subject: String) -> Self {
        Self { user_id: user_id.to_owned(), subject, cutoff: i64::MAX, asked_at: i64::MAX, only: None }
    }

    /// A begin as it is stored, unless it cannot be true: more than a year after the request it was
    /// written in another unit, and would spare every session.
    pub fn plausible(&self, began_at: Option<i64>) -> Option<i64> {
        began_at.filter(|at| *at <= self.asked_at.saturating_add(YEAR_MS))
    }

    /// Whether a session of this user is to end: it is known to be over, or its begin is unknown and
    /// its key is not to be spared.
    pub fn is_over(&self, key: &str, began_at: Option<i64>) -> bool {
        match self.plausible(began_at) {
            Some(at) => at <= self.cutoff,
            None => self.only.as_ref().is_none_or(|only| only.contains(key)),
        }
    }
}

/// What a pass over a system found, or ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// One for each target, in order.
    pub replies: Vec<Reply>,
    /// Sentences for people: what stands there and could not be read, named by half of a key at
    /// most; for a call without targets, what was seen. No secret, person or address is in them.
    pub notes: Vec<String>,
}

impl From<Vec<Reply>> for Answer {
    fn from(replies: Vec<Reply>) -> Self {
        Self { replies, notes: Vec::new() }
    }
}

/// An answer to be awaited.
pub type Answering<'a> = BoxFuture<'a, Result<Answer, ConnectorError>>;

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

/// A connector in three sentences, for `lightsout systems check`. They show no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What counts as a session of a user: where the name stands, and what it is compared with.
    pub matched: String,
    /// What is done to end one.
    pub ended: String,
    /// What is asked back to prove it, or that nothing can be.
    pub proven: String,
}

/// A system that sessions live in.
pub trait Connector: Send + Sync {
    /// What the system is able to say.
    fn capabilities(&self) -> Capabilities;

    /// What is matched, ended and proven, as configured.
    fn explain(&self) -> Explanation;

    /// Deletes every session of the targets that is over, and replies for each target, in order,
    /// with the sessions deleted.
    ///
    /// Idempotent. A session whose begin is known to lie after the cutoff is left alone, and so is
    /// one of unknown begin that [`Target::only`] leaves out.
    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a>;

    /// Looks for what [`Connector::end`] would delete, whatever [`Target::only`] says, and changes
    /// nothing. With a cutoff in the far future it finds every session. Without targets it connects,
    /// checks what can be checked without a user, and says in notes what it saw.
    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a>;
}

/// A short digest of a session's key, to know it again without keeping it.
pub fn key_digest(key: &[u8]) -> String {
    let mut digest = crate::random::sha256(key);
    digest.truncate(16);
    digest
}

/// A session's key as people may see it: enough to find it in the store, too little to sign in with.
/// `prefix` is what every key begins with, and is shown whole.
pub(crate) fn shown_key(prefix: &str, key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    let own = text.strip_prefix(prefix).unwrap_or(&text);
    let shown: String = own.chars().take(8.min(own.chars().count() / 2)).collect();
    let prefix = if own.len() < text.len() { prefix } else { "" };
    format!("{prefix}{}{}", shown.escape_debug(), if shown.len() < own.len() { "..." } else { "" })
}
