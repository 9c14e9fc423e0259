//! Exit codes: one for each kind of failure.

use std::process::ExitCode;

/// Shown below the help.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done, or accepted and still running
  1  something else failed
  2  wrong usage
  3  not allowed: the token, its scopes or the role
  4  not found: an id, login or group
  5  finished, but not every outcome is a verified end, or somebody was left out
  6  the server could not be reached
  7  the event log does not verify, or is empty
  130  interrupted; a termination that was accepted goes on";

const NOT_FOUND: u8 = 4;
pub(crate) const PARTLY_FAILED: u8 = 5;
pub(crate) const NOT_REACHED: u8 = 6;
pub(crate) const NOT_VERIFIED: u8 = 7;

/// Words that cannot be what was meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// What to try next, where that is known.
pub(crate) fn hint_of(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref::<lightsout_client::Error>() {
        Some(error) if error.status() == Some(401) => {
            "; the token may be expired or ended, `lightsout admin token` makes a new one"
        }
        Some(lightsout_client::Error::Transport { .. }) => {
            "; is it running there? --url or LIGHTSOUT_URL says where"
        }
        _ => "",
    }
}

/// The code of an error from anywhere below.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    if error.is::<Usage>() {
        return ExitCode::from(2);
    }
    if let Some(lightsout_server::ops::Error::NotFound(_)) = error.downcast_ref() {
        return ExitCode::from(NOT_FOUND);
    }
    if error.is::<crate::name::NotThere>() {
        return ExitCode::from(NOT_FOUND);
    }
    let Some(error) = error.downcast_ref::<lightsout_client::Error>() else { return ExitCode::FAILURE };
    ExitCode::from(match error {
        lightsout_client::Error::NotAuthenticated(_) | lightsout_client::Error::NotAllowed(_) => 3,
        lightsout_client::Error::NotFound(_) => NOT_FOUND,
        lightsout_client::Error::Transport { .. } => NOT_REACHED,
        _ => 1,
    })
}
