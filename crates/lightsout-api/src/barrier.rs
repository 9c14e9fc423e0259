//! The barrier feed: what apps that keep their own sessions must refuse.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{SessionHandle, UserId};

/// What changed up to a position. An answer of `GET /v1/barriers`, and a message of its stream.
///
/// Entries are facts that only grow: to take one twice, or one that is older than what is known
/// already, changes nothing. A message that is not the last one of its position has an earlier one (0
/// in a snapshot), so that whoever resumes there misses nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Barriers {
    /// Where to go on: `after` of the next request. It only grows.
    pub position: i64,
    /// People whose sessions that began at or before an instant are over.
    #[serde(default)]
    pub barriers: Vec<Barrier>,
    /// Registered sessions that were ended one by one.
    #[serde(default)]
    pub ended_sessions: Vec<EndedSession>,
}

/// One person's newest cutoff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Barrier {
    /// The user's id.
    pub user_id: UserId,
    /// The login at the time of the termination, as it stands in the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The id in an outside system at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Every session of this person that began at or before this instant is over. Add what the clock of
    /// whoever stamped the session may be off.
    pub cutoff: Timestamp,
}

/// A registered session that was ended alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndedSession {
    /// The session: the SHA-256 of its id, base64url.
    pub id: SessionHandle,
    /// Its user.
    pub user_id: UserId,
    /// When it would have expired; the entry may be forgotten then.
    pub expires_at: Timestamp,
}
