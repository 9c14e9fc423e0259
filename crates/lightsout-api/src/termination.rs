//! Terminations: the requests of both wires, and what became of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{GroupId, Reference, TerminationId, UserId};

/// Body of `POST /2.0/users/terminate_sessions`. One of the two lists must hold an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostUsersTerminateSessionsRequest {
    /// Ids of users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_ids: Option<Vec<String>>,
    /// Logins of users, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_logins: Option<Vec<String>>,
}

/// Body of `POST /2.0/groups/terminate_sessions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostGroupsTerminateSessionsRequest {
    /// Ids of groups.
    pub group_ids: Vec<String>,
}

/// Box's answer to an accepted termination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTerminationMessage {
    /// A fixed sentence; see [`TERMINATION_ACCEPTED`](crate::TERMINATION_ACCEPTED).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Names the termination, as the header `Location` does, which SDKs hide. Box has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_id: Option<TerminationId>,
}

/// Body of `POST /v1/terminations`. At most 10,000 entries in the three lists together, at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateTermination {
    /// Ids of users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user_ids: Vec<UserId>,
    /// Logins of users, in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logins: Vec<String>,
    /// Ids of groups; their members at this moment are the targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_ids: Vec<GroupId>,
    /// Why, for the log; at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Answers what would be ended, and changes nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Leaves out unknown ids and logins, and lists them, instead of refusing.
    #[serde(default)]
    pub skip_unknown: bool,
    /// Leaves out people whom the caller may not end, and lists them, instead of refusing.
    #[serde(default)]
    pub skip_not_permitted: bool,
}

/// Where a termination stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TerminationState {
    /// Some outcome is not final.
    Running,
    /// Every outcome is a verified `ended` or `nothing_found`.
    Done,
    /// Every outcome is final, and at least one is something else.
    DoneWithFailures,
}

/// What became of one user's sessions in one system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OutcomeState {
    /// Not tried yet, or ended and not verified yet.
    Waiting,
    /// The system did not answer; tried again.
    Unreachable,
    /// Sessions were found and deleted, and a look after the quiet time found none of them.
    Ended,
    /// No session was found.
    NothingFound,
    /// Stateless sessions: dead at `ends_by` at the latest.
    EndsBy,
    /// The system took the order; nothing can be asked back.
    DeliveredNotVerified,
    /// The system has no list of this user's sessions.
    UnknownSessions,
    /// The user has no name in this system.
    NoSubject,
    /// Given up after the configured time; `retry` re-opens it.
    GaveUp,
}

impl OutcomeState {
    /// Whether nothing more will be done about it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Unreachable)
    }
}

/// The newest position and hash of the event chain at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChainHead {
    /// The position of the newest event.
    pub position: i64,
    /// Its chain hash, in hex. Keep both: `lightsout events verify --expect POSITION:HASH`.
    pub hash: String,
}

/// One system's share of a termination, counted in people and in sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SystemProgress {
    /// The system's name.
    pub system: String,
    /// People whose outcome here is `waiting`.
    pub waiting: u64,
    /// People whose outcome here is `unreachable`.
    pub unreachable: u64,
    /// People whose sessions here were ended and verified gone.
    pub ended: u64,
    /// People of whom no session was found here.
    pub nothing_found: u64,
    /// People whose sessions here end at a known time.
    pub ends_by: u64,
    /// People whose end was delivered and cannot be verified.
    pub delivered_not_verified: u64,
    /// People whose sessions this system cannot list.
    pub unknown_sessions: u64,
    /// People without a name in this system.
    pub no_subject: u64,
    /// People given up on.
    pub gave_up: u64,
    /// Sessions ended.
    pub sessions_ended: u64,
    /// Sessions that came back under the same key and were ended again.
    pub resurrected: u64,
    /// Sessions that appeared under a new key within the quiet time and were ended.
    pub ended_again: u64,
}

/// Why an entry of a request was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SkipReason {
    /// No such user or group in the enterprise.
    Unknown,
    /// The caller may not end this person's sessions.
    NotPermitted,
}

/// An entry of a request that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Skip {
    /// `user_id`, `login` or `group_id`.
    pub kind: String,
    /// The id or login as it was asked for.
    pub value: String,
    /// Why.
    pub reason: SkipReason,
}

/// A termination: who asked, why, whom, and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Termination {
    /// Names the termination.
    pub id: TerminationId,
    /// Where it stands.
    pub state: TerminationState,
    /// Who asked.
    pub asked_by: Reference,
    /// On whose behalf (`As-User`), if another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_user: Option<Reference>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Sessions that began at or before this instant are over.
    pub cutoff: Timestamp,
    /// When the request was accepted.
    pub created_at: Timestamp,
    /// When the last outcome became final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The number of people whose sessions end.
    pub people: u64,
    /// Progress by system.
    pub systems: Vec<SystemProgress>,
    /// Entries of the request that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skip>,
    /// The head of the event chain when it finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_head: Option<ChainHead>,
}

/// A page of terminations, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TerminationPage {
    /// The terminations.
    pub entries: Vec<Termination>,
    /// Where the next page starts; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// What became of one user's sessions in one system, in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Outcome {
    /// The user, with the login at the time of the request.
    pub user: Reference,
    /// The system's name.
    pub system: String,
    /// What became of it.
    pub outcome: OutcomeState,
    /// Sessions ended.
    pub sessions_ended: u64,
    /// Sessions that came back under the same key.
    pub resurrected: u64,
    /// Sessions that appeared under a new key within the quiet time.
    pub ended_again: u64,
    /// When the last stateless session is dead at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_by: Option<Timestamp>,
    /// When a look after the quiet time found nothing left of what was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// What went wrong last, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A page of outcomes, by person and then by system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutcomePage {
    /// The outcomes.
    pub entries: Vec<Outcome>,
    /// Where the next page starts; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// Reply of a dry run: what a termination would end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preview {
    /// The number of people.
    pub people: u64,
    /// Sessions by system.
    pub systems: Vec<SystemPreview>,
    /// Whether the caller is among the people.
    pub includes_caller: bool,
    /// Whether an admin or coadmin is among the people.
    pub includes_admin: bool,
    /// Entries of the request that would be left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skip>,
}

/// One system's share of a preview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SystemPreview {
    /// The system's name.
    pub system: String,
    /// Sessions found; `null` where the system cannot say or did not answer in time.
    pub sessions: Option<u64>,
    /// Why there is no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
