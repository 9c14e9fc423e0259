//! What a scripted server answers: texts as a service and as Box write them.

use lightsout_testkit::{Answer, Script, Scripted};
use serde_json::{Value, json};

/// A server that answers calls in this order, the last one for ever.
pub(crate) async fn server(calls: impl Into<Vec<Answer>>) -> Scripted {
    Scripted::start(Script { token: Vec::new(), calls: calls.into() }).await
}

/// A termination of three people in three systems.
pub(crate) fn termination(state: &str) -> Value {
    let system = |name: &str, counts: Value| {
        let mut system = json!({
            "system": name, "waiting": 0, "unreachable": 0, "ended": 0, "nothing_found": 0, "ends_by": 0,
            "delivered_not_verified": 0, "unknown_sessions": 0, "no_subject": 0, "gave_up": 0,
            "sessions_ended": 0, "resurrected": 0, "ended_again": 0,
        });
        let counts = counts.as_object().expect("an object").clone();
        system.as_object_mut().expect("an object").extend(counts);
        system
    };
    let open = if state == "running" { "unreachable" } else { "gave_up" };
    json!({
        "id": "t_1f",
        "state": state,
        "asked_by": {"type": "user", "id": "11", "login": "ada@acme.example"},
        "cutoff": "2026-01-02T03:04:05Z",
        "created_at": "2026-01-02T03:04:05Z",
        "people": 3,
        "systems": [
            system("registry", json!({"ended": 2, "nothing_found": 1, "sessions_ended": 1200})),
            system("shop", json!({"ended": 1, open: 2, "sessions_ended": 1, "resurrected": 1})),
            system("mail", json!({"ends_by": 1, "delivered_not_verified": 1, "no_subject": 1, "ended_again": 2})),
        ],
    })
}

/// The outcomes of that termination in the shop.
pub(crate) fn outcomes() -> Value {
    let outcome = |login: &str, outcome: &str, sessions: u64, detail: Value| {
        json!({
            "user": {"type": "user", "id": "12", "login": login}, "system": "shop", "outcome": outcome,
            "sessions_ended": sessions, "resurrected": 0, "ended_again": 0, "detail": detail,
            "verified_at": (outcome == "ended").then_some("2026-01-02T03:04:09Z"),
        })
    };
    json!({"entries": [
        outcome("ann@acme.example", "ended", 1, Value::Null),
        outcome("bob@acme.example", "gave_up", 0, json!("the system answered 500 for 24 hours")),
        outcome("cyd@acme.example", "gave_up", 2, Value::Null),
    ]})
}

/// Box's error.
pub(crate) fn box_error(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({
        "type": "error", "status": status, "code": code, "message": message,
        "help_url": "https://developer.box.com/", "request_id": "abc123",
    });
    Answer::json(status, body).header("box-request-id", "0def")
}

/// A user as Box shows one.
pub(crate) fn user() -> Value {
    json!({"type": "user", "id": "12", "name": "Ann Lee", "login": "ann@acme.example", "status": "active"})
}

/// A page by offset with these entries.
pub(crate) fn page(entries: impl Into<Vec<Value>>) -> Answer {
    let entries = entries.into();
    Answer::json(200, json!({"total_count": entries.len(), "entries": entries, "offset": 0, "limit": 100}))
}
