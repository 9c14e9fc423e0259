//! Stored fields that could not be shown, so that the log names each once and not with every list.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The most fields that are named until the process starts again.
const NAMED_MAX: usize = 1_000;

/// The fields that the log has named.
#[derive(Debug, Default)]
pub struct Damaged(Mutex<BTreeSet<(&'static str, String, &'static str)>>);

impl Damaged {
    /// Logs that a stored field has a wrong type, once. The value is not logged: it may be personal.
    pub fn report(&self, table: &'static str, id: &str, field: &'static str) {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() < NAMED_MAX && named.insert((table, id.to_owned(), field)) {
            tracing::warn!(
                table,
                id,
                field,
                "a stored field has a wrong type and is shown as if it were unset"
            );
        }
    }
}
