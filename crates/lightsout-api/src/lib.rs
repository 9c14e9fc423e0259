//! Wire types of lightsout: ids, requests, replies and errors.
//!
//! Two wires share these types: Box's (`/2.0`, `/oauth2`), whose shapes follow Box's published
//! OpenAPI document, and our own (`/v1`). Nothing here does I/O.

mod barrier;
mod directory;
mod error;
mod event;
mod ids;
mod oauth;
mod session;
mod termination;

pub use barrier::{Barrier, Barriers, EndedSession};
pub use directory::{
    CreateGroup, CreateGroupMembership, CreateUser, Group, GroupMembership, MembershipRole, Page, Reference,
    Role, UpdateGroup, UpdateGroupMembership, UpdateUser, User, UserStatus,
};
pub use error::{ClientError, OAuth2Error, Problem};
pub use event::{Event, EventPage, UNKNOWN_USER_ID};
pub use ids::{ClientId, EnterpriseId, GroupId, KeyId, MembershipId, SessionHandle, TerminationId, UserId};
pub use oauth::{AccessToken, Introspection};
pub use session::{
    OidcSession, RegisterSession, RegisterSessions, RegisteredSession, RegisteredSessions, Session,
    SessionPage, SessionState,
};
pub use termination::{
    ChainHead, CreateTermination, Outcome, OutcomePage, OutcomeState, PostGroupsTerminateSessionsRequest,
    PostUsersTerminateSessionsRequest, Preview, SessionTerminationMessage, Skip, SkipReason, SystemPreview,
    SystemProgress, Termination, TerminationPage, TerminationState,
};

/// The text of Box's answer to an accepted termination, byte for byte.
pub const TERMINATION_ACCEPTED: &str =
    "Request is successful, please check the admin events for the status of the job";
