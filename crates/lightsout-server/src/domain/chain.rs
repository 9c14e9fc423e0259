//! The chain over the event log: each event's hash covers its bytes and its predecessor's hash.

use crate::random::sha256_hex;

/// An event as it is hashed. Every column of the row is in it.
#[derive(Clone, Debug)]
pub struct Link<'a> {
    /// One more than the predecessor's.
    pub position: i64,
    /// Names the event.
    pub event_id: &'a str,
    /// What happened.
    pub event_type: &'a str,
    /// The tenant.
    pub enterprise_id: &'a str,
    /// The termination it belongs to, if any.
    pub termination_id: Option<&'a str>,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_at: i64,
    /// The JSON body, as stored.
    pub body: &'a str,
}

/// Hashes a link onto its predecessor's hash (empty for the first event).
///
/// Canonical bytes: each field as its length in bytes in decimal, a colon, and its text, in the
/// order predecessor, position, id, type, enterprise, termination (empty if none), time, body.
pub fn hash(predecessor: &str, link: &Link<'_>) -> String {
    let (position, recorded_at) = (link.position.to_string(), link.recorded_at.to_string());
    let fields = [
        predecessor,
        &position,
        link.event_id,
        link.event_type,
        link.enterprise_id,
        link.termination_id.unwrap_or(""),
        &recorded_at,
        link.body,
    ];
    let mut bytes = String::new();
    for field in fields {
        bytes.push_str(&field.len().to_string());
        bytes.push(':');
        bytes.push_str(field);
    }
    sha256_hex(bytes.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link<'a>(event_id: &'a str, body: &'a str) -> Link<'a> {
        Link {
            position: 1,
            event_id,
            event_type: "T",
            enterprise_id: "1",
            termination_id: None,
            recorded_at: 0,
            body,
        }
    }

    proptest! {
        #[test]
        fn text_moved_between_fields_changes_the_hash(a in "[0-9:a-z]{0,8}", b in "[0-9:a-z]{0,8}", c in "[0-9:a-z]{1,8}") {
            let moved = format!("{c}{b}");
            let kept = format!("{a}{c}");
            prop_assert_ne!(hash("", &link(&a, &moved)), hash("", &link(&kept, &b)));
        }
    }
}
