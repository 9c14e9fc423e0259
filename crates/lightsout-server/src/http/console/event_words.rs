//! Events in words: what each type means, and its details in a line.

use maud::{Markup, html};
use serde_json::Value;

use crate::http::page::counted;
use crate::ops::sign_in::CONSOLE;

/// The types of events, with what they say to people; see `docs/events.md`.
pub(super) const TYPES: &[(&str, &str)] = &[
    ("SESSION_TERMINATION_REQUESTED", "Termination asked for"),
    ("SESSION_TERMINATION_OUTCOME", "Outcome"),
    ("SESSION_TERMINATION_DONE", "Termination finished"),
    ("SESSION_TERMINATION_RETRIED", "Termination tried again"),
    ("SESSION_ENDED", "One session ended"),
    ("LOGIN", "Signed in"),
    ("FAILED_LOGIN", "Sign-in failed"),
    ("PASSWORD_CHANGED", "Password changed"),
    ("PASSWORD_LINK_CREATED", "Link to set a password made"),
    ("ENABLE_TWO_FACTOR_AUTH", "Second factor set up"),
    ("DISABLE_TWO_FACTOR_AUTH", "Second factor removed"),
    ("IDENTITY_BOUND", "Identity at a provider bound"),
    ("SIGN_IN_POLICY_CHANGED", "Sign-in policy changed"),
    ("OAUTH2_CONSENT_GRANTED", "App allowed"),
    ("OAUTH2_CONSENT_DENIED", "App not allowed"),
    ("OAUTH2_GRANT_REVOKED", "App's grant revoked"),
    ("TOKEN_REVOKED", "Token revoked"),
    ("NEW_USER", "User added"),
    ("EDIT_USER", "User changed"),
    ("DELETE_USER", "User deleted"),
    ("GROUP_CREATION", "Group added"),
    ("GROUP_EDITED", "Group changed"),
    ("GROUP_DELETION", "Group deleted"),
    ("GROUP_ADD_USER", "Member added"),
    ("GROUP_REMOVE_USER", "Member removed"),
    ("GROUP_ADMIN_CREATED", "Group admin appointed"),
    ("GROUP_ADMIN_DELETED", "Group admin dismissed"),
    ("GROUP_ADMIN_PERMISSIONS_UPDATED", "Group admin's permissions changed"),
    ("APP_CREATED", "App added"),
    ("APP_KEY_ADDED", "Key of an app added"),
    ("APP_SECRET_ROTATED", "Secret of an app made anew"),
    ("DEVELOPER_TOKEN_CREATED", "Developer token made"),
    ("GENERATIONS_RAISED", "Every session and token before ended"),
];

/// What a type says to people; one that is not known says its own name.
pub(super) fn title(event_type: &str) -> &str {
    TYPES.iter().find(|(name, _)| *name == event_type).map_or(event_type, |(_, words)| words)
}

/// The details of an event in a line.
pub(super) fn details(event_type: &str, details: &Value) -> Markup {
    let text = |key: &str| details[key].as_str();
    let count = |key: &str| details[key].as_u64().unwrap_or(0);
    match event_type {
        "SESSION_TERMINATION_REQUESTED" => html! {
            (counted(count("people"), "person", "people"))
            @if let Some(reason) = text("reason") { ": " (reason) }
            @if count("skipped") > 0 { ", " (counted(count("skipped"), "entry", "entries")) " left out" }
            @if let Some(login) = details["as_user"]["login"].as_str() { ", as " (login) }
        },
        "SESSION_TERMINATION_OUTCOME" => html! {
            (text("system").unwrap_or("")) ": " (text("outcome").unwrap_or("").replace('_', " "))
            @if count("sessions_ended") > 0 { ", " (counted(count("sessions_ended"), "session", "sessions")) " taken away" }
            @if count("resurrected") > 0 { ", came back " (counted(count("resurrected"), "time", "times")) }
            @if text("verified_at").is_some() { ", verified" } @else { ", not verified" }
        },
        "SESSION_TERMINATION_DONE" => html! {
            @if text("state") == Some("done") { "everything is proven" } @else { "not everything is proven" }
        },
        _ => html! { (plain(details)) },
    }
}

/// Any details: their names and values, in their order, without what only programs read.
fn plain(details: &Value) -> String {
    let Some(map) = details.as_object() else { return String::new() };
    let parts = map.iter().filter(|(key, value)| !is_for_programs(key, value)).map(|(key, value)| {
        let key = key.replace('_', " ");
        match value {
            Value::String(text) => format!("{key} {text}"),
            Value::Array(list) => format!("{key} {}", list.len()),
            Value::Object(object) => {
                let name = ["login", "name", "id"].iter().find_map(|name| object.get(*name)?.as_str());
                format!("{key} {}", name.unwrap_or("..."))
            }
            other => format!("{key} {other}"),
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// The raw event has it.
fn is_for_programs(key: &str, value: &Value) -> bool {
    match key {
        // The operator stands under "Who" already.
        "by" => value == "operator",
        "client_id" => value == CONSOLE,
        "session" | "expires_at" | "group_id" => true,
        _ => value.is_null(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_a_line_and_harmless() {
        let requested = json!({"people": 1200, "reason": "<script>", "skipped": 0});
        let line = details("SESSION_TERMINATION_REQUESTED", &requested).into_string();
        assert_eq!(line, "1,200 people: &lt;script&gt;");
        let other =
            json!({"group": {"id": "7", "name": "Sales"}, "roles": [1, 2], "none": null, "client_id": "c"});
        assert_eq!(details("X", &other).into_string(), "client id c, group Sales, roles 2");
        let login = json!({"client_id": CONSOLE, "session": "abc", "by": "password"});
        assert_eq!(details("LOGIN", &login).into_string(), "by password");
        assert_eq!((title("EDIT_USER"), title("NEWER")), ("User changed", "NEWER"));
    }
}
