//! Admin events, in Box's shape.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Reference;

/// The id of the user whom Box names where nobody is known to have caused an event.
pub const UNKNOWN_USER_ID: &str = "2";

/// One entry of the admin event log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Always `event`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Names the event; the same in every stream.
    pub event_id: String,
    /// What happened, such as `SESSION_TERMINATION_DONE`.
    pub event_type: String,
    /// When it happened.
    pub created_at: Timestamp,
    /// When it was written to the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<Timestamp>,
    /// Who did it. The user [`UNKNOWN_USER_ID`]: the service itself, or its operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<Reference>,
    /// What it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Value>,
    /// Facts of this event type; see `docs/events.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_details: Option<Value>,
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// The number of entries.
    pub chunk_size: usize,
    /// Where the next page starts.
    pub next_stream_position: Value,
    /// The events, oldest first.
    pub entries: Vec<Event>,
}

impl EventPage {
    /// Where the next page starts, as text: Box answers a number or a string.
    pub fn position(&self) -> String {
        match &self.next_stream_position {
            Value::String(position) => position.clone(),
            other => other.to_string(),
        }
    }
}
