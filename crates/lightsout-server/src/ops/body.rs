//! Bodies of events, in Box's shape.

use serde_json::{Map, Value, json};

use super::person_reference;
use crate::domain::access::Caller;
use crate::store::NewEvent;

/// An event that a caller caused. With `As-User` it names both.
pub(super) fn caused(caller: &Caller, event_type: &'static str, source: Value, details: Value) -> NewEvent {
    let mut details = match details {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    if caller.sent_by.is_some() {
        details.insert("as_user".to_owned(), json!(person_reference(&caller.person)));
    }
    if let Some(client_id) = &caller.client_id {
        details.insert("client_id".to_owned(), json!(client_id));
    }
    NewEvent {
        event_type,
        termination_id: None,
        body: json!({
            "created_by": person_reference(caller.asked_by()),
            "source": source,
            "additional_details": details,
        }),
    }
}

/// An event that the service itself caused.
pub(super) fn own(event_type: &'static str, termination_id: &str, source: Value, details: Value) -> NewEvent {
    NewEvent {
        event_type,
        termination_id: Some(termination_id.to_owned()),
        body: json!({ "created_by": null, "source": source, "additional_details": details }),
    }
}
