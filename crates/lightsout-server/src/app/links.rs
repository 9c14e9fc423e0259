//! One-time links that sign somebody in, kept in memory of this process: they end with it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::random::sha256;

/// Whom a link signs in, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The person.
    pub user_id: String,
    /// The person's generation when the link was made: a termination since then ends the link, too.
    pub generation: i64,
    /// When it expires, in milliseconds since 1970.
    pub expires_at: i64,
}

/// The links that nobody has used yet, by their digests.
#[derive(Default)]
pub struct Links(Mutex<HashMap<String, Link>>);

impl Links {
    /// Keeps a link, and forgets those that have expired.
    pub fn keep(&self, secret: &str, link: Link, now: i64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, link| link.expires_at > now);
        kept.insert(sha256(secret), link);
    }

    /// Uses a link up. Of two callers at the same time one gets it.
    pub fn take(&self, secret: &str, now: i64) -> Option<Link> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&sha256(secret));
        taken.filter(|link| link.expires_at > now)
    }
}
