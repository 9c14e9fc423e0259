//! Box's two routes: thin faces of the one operation, with Box's texts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lightsout_api::{CreateTermination, SessionTerminationMessage, TERMINATION_ACCEPTED};
use serde_json::Value;

use super::Web;
use super::auth::Authed;
use super::failure::Failure;
use super::request::JsonValue;
use crate::ops::terminate;

/// `POST /2.0/users/terminate_sessions`. One of the two lists is enough, as on Box.
pub(super) async fn users(
    State(web): State<Arc<Web>>,
    authed: Authed,
    JsonValue(body): JsonValue,
) -> Result<Response, Failure> {
    let ids = list(&body, "user_ids", "User id format is string")?;
    let logins = list(&body, "user_logins", "User login format is string")?;
    if ids.is_empty() && logins.is_empty() {
        return Err(Failure::bad_request("Users can not be NULL or EMPTY"));
    }
    let user_ids = ids.into_iter().map(Into::into).collect();
    accept(&web, authed, CreateTermination { user_ids, logins, ..CreateTermination::default() }).await
}

/// `POST /2.0/groups/terminate_sessions`.
pub(super) async fn groups(
    State(web): State<Arc<Web>>,
    authed: Authed,
    JsonValue(body): JsonValue,
) -> Result<Response, Failure> {
    let ids = list(&body, "group_ids", "group id format is string")?;
    if ids.is_empty() {
        return Err(Failure::bad_request("Groups can not be NULL or EMPTY"));
    }
    let group_ids = ids.into_iter().map(Into::into).collect();
    accept(&web, authed, CreateTermination { group_ids, ..CreateTermination::default() }).await
}

async fn accept(web: &Web, Authed(caller): Authed, request: CreateTermination) -> Result<Response, Failure> {
    let id = terminate::request(&web.app, &caller, &request, None).await?;
    let location = [(header::LOCATION, format!("/v1/terminations/{id}"))];
    let message = SessionTerminationMessage {
        message: Some(TERMINATION_ACCEPTED.to_owned()),
        termination_id: Some(id),
    };
    Ok((StatusCode::ACCEPTED, location, Json(message)).into_response())
}

/// A list of strings that are not empty; absent and `null` are an empty list.
fn list(body: &Value, name: &str, otherwise: &'static str) -> Result<Vec<String>, Failure> {
    if !body.is_object() && !body.is_null() {
        return Err(Failure::bad_request(super::request::NOT_JSON));
    }
    let wrong = || Failure::bad_request(otherwise);
    match body.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(entries)) => entries
            .iter()
            .map(|entry| {
                entry.as_str().filter(|s| !s.trim().is_empty()).map(ToOwned::to_owned).ok_or_else(wrong)
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            let ids = prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
            prop_oneof![
                ids.clone(),
                prop::collection::btree_map("user_ids|x", prop_oneof![ids, inner], 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_list_that_is_read_holds_exactly_the_texts_that_were_sent(body in json()) {
            match list(&body, "user_ids", "format") {
                Err(failure) => prop_assert_eq!(failure.status, StatusCode::BAD_REQUEST),
                Ok(ids) => {
                    prop_assert!(ids.iter().all(|id| !id.trim().is_empty()));
                    let sent = body.get("user_ids").and_then(Value::as_array).cloned().unwrap_or_default();
                    prop_assert_eq!(ids.into_iter().map(Value::from).collect::<Vec<_>>(), sent);
                }
            }
        }
    }
}
