//! How far a command has come, and how to go on: what an interrupt says, or output that cannot be written.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;

use crate::exit;

/// How long a command may take to let go of what it holds.
const GOES_WITHIN: Duration = Duration::from_millis(100);

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

/// How far the command has come, after `before`; nothing if there is nothing to say.
pub(crate) fn words(before: &str) -> String {
    let words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if words.is_empty() { String::new() } else { format!("{before}{words}") }
}

/// Runs a command to its end or to an interrupt, whichever is first.
///
/// The command is a task of its own: it may wait for a terminal or a pipe, which no interrupt ends.
pub(crate) async fn or<F>(command: F) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<ExitCode>> + Send + 'static,
{
    let mut command = tokio::spawn(command);
    tokio::select! {
        ended = &mut command => return ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    command.abort();
    // So that what it holds is put back, such as the terminal's echo.
    let _ = tokio::time::timeout(GOES_WITHIN, command).await;
    if let Some(bar) = BAR.lock().unwrap_or_else(PoisonError::into_inner).take() {
        bar.finish_and_clear();
    }
    eprintln!("{}", words("\n"));
    std::process::exit(exit::INTERRUPTED.into());
}
