//! Exit codes: one for each kind of failure.

use std::process::ExitCode;

/// Shown below the help.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  something else failed
  2  wrong usage
  3  not allowed: the token, its scopes or the role
  4  not found: an id, login or group
  5  finished, but not every outcome is a verified end
  6  the server could not be reached
  7  the event log does not verify";

const NOT_FOUND: u8 = 4;
pub(crate) const PARTLY_FAILED: u8 = 5;
pub(crate) const NOT_REACHED: u8 = 6;
pub(crate) const NOT_VERIFIED: u8 = 7;

/// The code of an error from anywhere below.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    if let Some(lightsout_server::ops::Error::NotFound(_)) = error.downcast_ref() {
        return ExitCode::from(NOT_FOUND);
    }
    let Some(error) = error.downcast_ref::<lightsout_client::Error>() else { return ExitCode::FAILURE };
    ExitCode::from(match error.status() {
        Some(401 | 403) => 3,
        Some(404) => NOT_FOUND,
        Some(_) => 1,
        None => match error {
            lightsout_client::Error::Transport(_) => NOT_REACHED,
            _ => 1,
        },
    })
}
