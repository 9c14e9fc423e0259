//! Registry sessions: what apps register and ask about.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ClientId, SessionHandle, UserId};

/// A session that an app registers. One of `user_id` and `login` names the user.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterSession {
    /// The user's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The user's login, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The app's own session id, 16 to 512 characters; absent, the service mints one of 128 random bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// When the session began; absent, the service's present time. Not in the future.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// When it expires; absent, the configured session life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The device, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The address, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What the session is called at an OpenID Connect relying party, for logout tokens to name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSession>,
}

/// A session at an OpenID Connect relying party, in the words of its ID token.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OidcSession {
    /// The provider's issuer, an http or https URL of at most 512 bytes.
    pub iss: String,
    /// The relying party's client id at the provider, at most 256 bytes.
    pub client_id: String,
    /// The user's subject at the provider, at most 255 bytes.
    pub sub: String,
    /// The session id (`sid`), at most 512 bytes.
    pub sid: String,
}

/// Whose session it is stands in none of the service's logs.
impl fmt::Debug for OidcSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcSession").field("iss", &self.iss).finish_non_exhaustive()
    }
}

impl fmt::Debug for RegisterSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterSession").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

/// Body of `POST /v1/sessions`: 1 to 1,000 sessions. All are registered or none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterSessions {
    /// The sessions.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 1000))]
    pub sessions: Vec<RegisterSession>,
}

/// Whether a session may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SessionState {
    /// It may.
    Active,
    /// It began at or before the user's cutoff, or was ended by itself; sign the user in again.
    Ended,
}

/// What became of one registered session.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisteredSession {
    /// Names the session in lists and for `DELETE`; not a secret.
    pub id: SessionHandle,
    /// The session id to introspect with, if the service minted it. Shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The user.
    pub user_id: UserId,
    /// `ended` if the session was over before it was registered; it was not stored then.
    pub state: SessionState,
    /// When the session expires.
    pub expires_at: Timestamp,
}

impl fmt::Debug for RegisteredSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredSession")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Reply of `POST /v1/sessions`, in the order of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisteredSessions {
    /// One entry for each entry of the request.
    pub sessions: Vec<RegisteredSession>,
}

/// A registered session as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Names the session.
    pub id: SessionHandle,
    /// The user.
    pub user_id: UserId,
    /// The app that registered it.
    pub client_id: ClientId,
    /// When it began.
    pub began_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The device, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The address, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A page of a user's sessions. Ended and expired sessions are not listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionPage {
    /// The sessions.
    pub entries: Vec<Session>,
    /// Where the next page starts; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}
