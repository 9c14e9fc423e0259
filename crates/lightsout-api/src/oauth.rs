//! Replies of `/oauth2/*`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A token reply (RFC 6749, section 5.1, with Box's `restricted_to`).
#[derive(Clone, Serialize, Deserialize)]
pub struct AccessToken {
    /// The bearer token. Never shown by `Debug`.
    pub access_token: String,
    /// Life of the token in seconds; 0 where the server does not say it.
    #[serde(default)]
    pub expires_in: u64,
    /// Always `bearer`; Box sometimes leaves it out.
    #[serde(default)]
    pub token_type: String,
    /// Down-scoping limits; empty for a token that is not down-scoped.
    #[serde(default)]
    pub restricted_to: Vec<serde_json::Value>,
    /// Gets the next token, once; only after a person's sign-in. Never shown by `Debug`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// An introspection reply (RFC 7662, section 2.2). An inactive token says `active: false` and no more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Introspection {
    /// Whether the session or token may be used at this moment.
    pub active: bool,
    /// The user's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The user's login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The app that registered the session or was given the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Space-separated scopes; absent for sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// When the session or token began, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Until when this answer may be kept, in seconds since 1970: when the session or token expires, or
    /// sooner where the asking app has an `introspection_cache_s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When the session or token expires, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_expires_at: Option<i64>,
    /// `session` or `bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
}
