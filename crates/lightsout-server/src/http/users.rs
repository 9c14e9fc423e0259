//! `/2.0/users`: Box's users.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lightsout_api::{CreateUser, UpdateUser};
use serde_json::{Value, json};

use super::Web;
use super::auth::Authed;
use super::failure::Failure;
use super::request::{JsonBody, Paging, PathId, Query, select};
use crate::clock::timestamp_seconds;
use crate::ops::users;
use crate::store::{UserFilter, UserRow};

/// Fields answered when none are asked for.
const DEFAULT: [&str; 15] = [
    "name",
    "login",
    "created_at",
    "modified_at",
    "language",
    "timezone",
    "space_amount",
    "space_used",
    "max_upload_size",
    "status",
    "job_title",
    "phone",
    "address",
    "avatar_url",
    "notification_email",
];
/// Fields of the short form.
const SHORT: [&str; 2] = ["name", "login"];

pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let paging = Paging::of(&query)?;
    let filter = UserFilter {
        enterprise_id: String::new(),
        term: query.text("filter_term").map(ToOwned::to_owned),
        external_id: query.text("external_app_user_id").map(ToOwned::to_owned),
        after: paging.marker.clone().unwrap_or_default(),
    };
    let (rows, total) = users::list(&web.app, &caller, filter, paging.offset, paging.rows()).await?;
    // Every user here is a managed one.
    let (rows, total) = match query.text("user_type") {
        None | Some("all" | "managed") => (rows, total),
        Some("external") => (Vec::new(), 0),
        Some(_) => return Err(Failure::parameter("user_type", "is all, managed or external")),
    };
    let fields = query.list("fields");
    let entries = rows.iter().map(|row| (row.user_id.clone(), show(row, &fields))).collect();
    Ok(Json(paging.page(entries, total)))
}

pub(super) async fn create(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
    JsonBody(body): JsonBody<CreateUser>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let row = users::create(&web.app, &caller, body).await?;
    Ok((StatusCode::CREATED, Json(show(&row, &query.list("fields")))))
}

pub(super) async fn me(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let row = users::find(&web.app, &caller, &caller.person.user_id.0).await?;
    Ok(Json(show(&row, &query.list("fields"))))
}

pub(super) async fn read(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let row = users::find(&web.app, &caller, &id).await?;
    Ok(Json(show(&row, &query.list("fields"))))
}

pub(super) async fn update(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
    JsonBody(body): JsonBody<UpdateUser>,
) -> Result<Json<Value>, Failure> {
    if body.other.get("enterprise").is_some_and(Value::is_null) {
        return Err(Failure::parameter(
            "enterprise",
            "rolling a user out of the enterprise is not offered; delete the user",
        ));
    }
    let row = users::update(&web.app, &caller, &id, body).await?;
    Ok(Json(show(&row, &query.list("fields"))))
}

/// `notify` and `force` are taken and have no meaning here: nothing is mailed, nothing is owned.
pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
) -> Result<StatusCode, Failure> {
    query.flag("notify")?;
    query.flag("force")?;
    users::delete(&web.app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(row: &UserRow, fields: &[String]) -> Value {
    let mut full = json!({
        "language": "en",
        "timezone": "UTC",
        "space_amount": 0,
        "space_used": 0,
        "max_upload_size": 0,
        "job_title": "",
        "phone": "",
        "address": "",
        "avatar_url": "",
        "notification_email": null,
        "is_platform_access_only": false,
    });
    if let Value::Object(map) = &mut full {
        // What the service decides comes last: a stored profile cannot overwrite it.
        map.extend(row.profile());
        let decided = json!({
            "type": "user",
            "id": row.user_id,
            "name": row.name,
            "login": row.login,
            "role": row.role,
            "status": row.status,
            "external_app_user_id": row.external_id,
            "enterprise": {"type": "enterprise", "id": row.enterprise_id},
            "created_at": timestamp_seconds(row.created_at),
            "modified_at": timestamp_seconds(row.modified_at),
        });
        if let Value::Object(decided) = decided {
            map.extend(decided);
        }
    }
    select(full, &DEFAULT, &SHORT, fields)
}
