//! What people looked at last, kept in memory of this node: how far the event chain was checked, and
//! what each system said.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::{NewSignIns, Subject};
use crate::connector::Explanation;
use crate::store::{BrokenLink, Head};

/// What was looked at last.
#[derive(Default)]
pub struct Looks {
    /// Held while the event chain is checked on.
    pub checking_chain: tokio::sync::Mutex<()>,
    /// How far it was checked.
    chain: Mutex<ChainLook>,
    /// By enterprise, what its systems said, and when.
    checks: Mutex<BTreeMap<String, (i64, Vec<SystemCheck>)>>,
}

impl Looks {
    /// How far the event chain was checked.
    pub fn last_chain(&self) -> ChainLook {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps how far the event chain was checked.
    pub fn keep_chain(&self, look: ChainLook) {
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }

    /// What the systems of an enterprise said last, and when.
    pub fn last_check(&self, enterprise_id: &str) -> Option<(i64, Vec<SystemCheck>)> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).get(enterprise_id).cloned()
    }

    /// Keeps what the systems of an enterprise said.
    pub fn keep_check(&self, enterprise_id: &str, at: i64, checks: Vec<SystemCheck>) {
        let mut kept = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(enterprise_id.to_owned(), (at, checks));
    }
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

/// What a look at one system showed.
#[derive(Clone, Debug, Serialize)]
pub struct SystemCheck {
    /// The system.
    pub system: String,
    /// By which name it knows a user.
    pub subject: Subject,
    /// How long it must have shown no session before an end counts as verified, in seconds; none
    /// where it cannot be asked for sessions.
    pub quiet_time_s: Option<u64>,
    /// What becomes of sessions of unknown begin that appear meanwhile.
    pub new_sign_ins: NewSignIns,
    /// What is matched, ended and proven.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// How long it took to answer, in milliseconds; none if it did not.
    pub answered_ms: Option<u64>,
    /// What was seen, and what could not be read.
    pub notes: Vec<String>,
    /// Why it did not answer.
    pub error: Option<String>,
    /// What was found of the person; none if nobody was asked for, or it did not answer.
    pub person: Option<PersonCheck>,
}

/// What one system shows of a person.
#[derive(Clone, Debug, Serialize)]
pub struct PersonCheck {
    /// The name by which the system knows them; none: it has none for them.
    pub subject: Option<String>,
    /// The sessions that a termination would end; none where the system cannot say.
    pub sessions: Option<u64>,
    /// How many of them show when they began.
    pub dated: u64,
    /// Why there is no number.
    pub reason: Option<String>,
}
