//! What an interrupt says: how far the command has come, and how to go on.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

use crate::exit;

static WORDS: Mutex<String> = Mutex::new(String::new());
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// From now on an interrupt says this.
pub(crate) fn says(words: impl Into<String>) {
    *WORDS.lock().unwrap_or_else(PoisonError::into_inner) = words.into();
}

/// From now on an interrupt takes this bar away first.
pub(crate) fn clears(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// What an interrupt would say now, after `before`; nothing if there is nothing to say.
pub(crate) fn words(before: &str) -> String {
    let words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if words.is_empty() { String::new() } else { format!("{before}{words}") }
}

/// Runs a command to its end or to an interrupt, whichever is first.
pub(crate) async fn or<F: Future<Output = anyhow::Result<ExitCode>>>(command: F) -> anyhow::Result<ExitCode> {
    tokio::select! {
        result = command => result,
        _ = tokio::signal::ctrl_c() => {
            if let Some(bar) = BAR.lock().unwrap_or_else(PoisonError::into_inner).take() {
                bar.finish_and_clear();
            }
            eprintln!("{}", words("\n"));
            // Not by returning: a question may still wait for its answer in a thread.
            std::process::exit(exit::INTERRUPTED.into());
        }
    }
}
