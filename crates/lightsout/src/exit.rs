//! Exit codes: one for each kind of failure.

use std::process::ExitCode;

use lightsout_client::{ApiError, Error, Missing};
use lightsout_server::ops;

use crate::connect;

/// Shown below the help.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done, or accepted and still running
  1  something else failed
  2  wrong usage
  3  not allowed: the token, its scopes or the role
  4  not found: an id, login or group
  5  accepted, but not every end is verified or could be followed, or somebody was left out
  6  the server, or a system, could not be reached, or did not take the request in time
  7  the event log does not verify, or is empty
  130  interrupted; a termination that was accepted goes on";

const USAGE: u8 = 2;
const NOT_ALLOWED: u8 = 3;
const NOT_FOUND: u8 = 4;
pub(crate) const PARTLY_FAILED: u8 = 5;
pub(crate) const NOT_REACHED: u8 = 6;
pub(crate) const NOT_VERIFIED: u8 = 7;
pub(crate) const INTERRUPTED: u8 = 130;

/// Words that cannot be what was meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Somebody or something that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unknown(pub(crate) String);

/// A person who did not sign in, or may not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotSignedIn(pub(crate) String);

/// It was accepted, and what became of it could not be followed: whatever failed, it goes on.
#[derive(Debug, thiserror::Error)]
#[error("accepted, and it goes on; only following failed")]
pub(crate) struct NotFollowed;

/// What to do about an error, as the context of it: it is said last.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Hint(pub(crate) String);

/// An error and its causes in one line. What a server answered stands before the facts that its
/// operator needs.
pub(crate) fn words_of(error: &anyhow::Error) -> String {
    let hint = error.downcast_ref::<Hint>().map(ToString::to_string);
    let mut words = Vec::new();
    for link in error.chain() {
        let ours = link.downcast_ref::<Error>();
        words.push(match ours.and_then(|error| Some((error, error.api()?))) {
            Some((error, api)) => answered_words(error, api),
            None => link.to_string(),
        });
        if matches!(ours, Some(Error::Transport { .. })) {
            // Between it and the first cause stand the layers of the HTTP client.
            words.extend(error.chain().last().map(ToString::to_string));
            break;
        }
    }
    words.retain(|words| Some(words) != hint.as_ref());
    words.join(": ")
}

fn answered_words(error: &Error, api: &ApiError) -> String {
    let kind = match error {
        Error::NotAuthenticated(_) => "not authenticated",
        Error::NotAllowed(_) => "not allowed",
        Error::NotFound(_) => "not found",
        Error::RateLimited(_) => "rate limited",
        Error::Unavailable(_) => "unavailable",
        _ => "invalid",
    };
    let message = api.message.strip_prefix(kind).map_or(&*api.message, |rest| rest.trim_start_matches(": "));
    let mut ids = vec![api.request_id.as_str(), api.box_request_id.as_str()];
    // Box's own begins with the other.
    if ids[1].starts_with(ids[0]) {
        ids.remove(0);
    }
    ids.retain(|id| !id.is_empty());
    let request = if ids.is_empty() { String::new() } else { format!(", request {}", ids.join(".")) };
    let message = message.trim_end_matches('.');
    let colon = if message.is_empty() { "" } else { ": " };
    format!("{kind}{colon}{message} [{} {}{request}]", api.status, api.code)
}

/// What is known of a part of a long list whose answer was this error.
pub(crate) fn fate_of(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref::<Error>() {
        Some(
            Error::Unavailable(_)
            | Error::Unreadable { .. }
            | Error::Transport { may_have_arrived: true, .. },
        ) => "not known to be accepted:",
        _ => "not accepted:",
    }
}

/// What to try next, where that is known.
pub(crate) fn hint_of(error: &anyhow::Error) -> String {
    if let Some(hint) = error.downcast_ref::<Hint>() {
        return format!("; {hint}");
    }
    match error.downcast_ref::<Error>() {
        Some(Error::NotAuthenticated(api)) if api.status == 401 => {
            "; the token may be expired or ended: `lightsout login` keeps a new one".to_owned()
        }
        Some(Error::NotAuthenticated(_)) if connect::is_of_a_person() => {
            format!("; the sign-in is over: `{}` begins a new one", connect::command("login"))
        }
        Some(Error::NotAuthenticated(_)) => {
            "; check the app's id, its secret or key, and for whom it acts".to_owned()
        }
        Some(Error::NotAllowed(api)) => match api.missing() {
            Some(Missing::Scope(scope)) if !api.message.contains(&scope) => {
                format!("; the token lacks the scope {scope}")
            }
            _ => String::new(),
        },
        Some(Error::NotFound(api)) if api.not_found().is_empty() => {
            "; is each name right, and the address?".to_owned()
        }
        Some(Error::RateLimited(api) | Error::Unavailable(api)) => match api.retry_at {
            Some(at) => format!("; try again after {}", at.strftime("%FT%TZ")),
            None => String::new(),
        },
        Some(Error::Transport { .. }) => "; is it running there? --url or --profile says where".to_owned(),
        _ => String::new(),
    }
}

/// The code of an error from anywhere below.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    if error.is::<Usage>() {
        return USAGE.into();
    }
    if error.is::<NotSignedIn>() {
        return NOT_ALLOWED.into();
    }
    if error.is::<NotFollowed>() {
        return PARTLY_FAILED.into();
    }
    let on_this_machine = error.downcast_ref();
    if matches!(on_this_machine, Some(ops::Error::Invalid { .. })) {
        return USAGE.into();
    }
    let missing = matches!(on_this_machine, Some(ops::Error::NotFound(_)));
    if missing || error.is::<Unknown>() || error.is::<crate::name::NotThere>() {
        return NOT_FOUND.into();
    }
    let code = match error.downcast_ref::<Error>() {
        Some(Error::NotAuthenticated(_) | Error::NotAllowed(_)) => NOT_ALLOWED,
        Some(Error::NotFound(_)) => NOT_FOUND,
        Some(Error::Setup { .. }) => USAGE,
        Some(Error::Transport { .. } | Error::RateLimited(_) | Error::Unavailable(_)) => NOT_REACHED,
        _ => 1,
    };
    code.into()
}
