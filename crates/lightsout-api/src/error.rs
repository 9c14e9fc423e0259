//! Error bodies of the three interfaces.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Box's error body (`ClientError`), answered by every route under `/2.0`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientError {
    /// Always `error`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The HTTP status, repeated.
    #[serde(default)]
    pub status: u16,
    /// A word for programs, such as `not_found`.
    #[serde(default)]
    pub code: String,
    /// A sentence for people.
    #[serde(default)]
    pub message: String,
    /// What exactly was wrong, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_info: Option<Value>,
    /// A page that explains the code.
    #[serde(default)]
    pub help_url: String,
    /// Names this request in the service's log.
    #[serde(default)]
    pub request_id: String,
}

/// Error body of `/oauth2/*` (RFC 6749, section 5.2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OAuth2Error {
    /// A word for programs, such as `invalid_grant`.
    pub error: String,
    /// A sentence for people.
    #[serde(default)]
    pub error_description: String,
    /// What exactly was wrong, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub context_info: Option<Value>,
}

/// Error body of `/v1` (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Names the kind of problem: `urn:lightsout:problem:` and the `code`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status, repeated.
    pub status: u16,
    /// A sentence for people: what was wrong and what to do.
    pub detail: String,
    /// A word for programs, the same as on Box's wire.
    pub code: String,
    /// Names this request in the service's log.
    pub request_id: String,
    /// What exactly was wrong, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub context_info: Option<Value>,
}
