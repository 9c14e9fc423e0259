//! `/2.0/groups`: Box's groups.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lightsout_api::{CreateGroup, UpdateGroup};
use serde_json::{Value, json};

use super::Web;
use super::auth::Authed;
use super::failure::Failure;
use super::request::{JsonBody, Paging, PathId, Query, select};
use crate::clock::timestamp_seconds;
use crate::ops::groups;
use crate::store::GroupRow;

/// Fields answered when none are asked for.
const DEFAULT: [&str; 4] = ["name", "group_type", "created_at", "modified_at"];
/// Fields of the short form.
const SHORT: [&str; 2] = ["name", "group_type"];

pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let paging = Paging::by_offset(&query)?;
    let term = query.text("filter_term");
    let (rows, total) = groups::list(&web.app, &caller, term, paging.offset, paging.rows()).await?;
    let fields = query.list("fields");
    let entries = rows.iter().map(|row| (row.group_id.clone(), show(row, &fields))).collect();
    Ok(Json(paging.page(entries, total)))
}

pub(super) async fn create(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
    JsonBody(body): JsonBody<CreateGroup>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let row = groups::create(&web.app, &caller, body).await?;
    Ok((StatusCode::CREATED, Json(show(&row, &query.list("fields")))))
}

pub(super) async fn read(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let row = groups::find(&web.app, &caller, &id).await?;
    Ok(Json(show(&row, &query.list("fields"))))
}

pub(super) async fn update(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
    JsonBody(body): JsonBody<UpdateGroup>,
) -> Result<Json<Value>, Failure> {
    let row = groups::update(&web.app, &caller, &id, body).await?;
    Ok(Json(show(&row, &query.list("fields"))))
}

pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
) -> Result<StatusCode, Failure> {
    groups::delete(&web.app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(row: &GroupRow, fields: &[String]) -> Value {
    let mut full = json!({
        "provenance": null,
        "external_sync_identifier": null,
        "description": "",
        "invitability_level": "admins_only",
        "member_viewability_level": "admins_only",
    });
    if let Value::Object(map) = &mut full {
        // What the service decides comes last: a stored profile cannot overwrite it.
        map.extend(row.profile());
        let decided = json!({
            "type": "group",
            "id": row.group_id,
            "name": row.name,
            "group_type": "managed_group",
            "created_at": timestamp_seconds(row.created_at),
            "modified_at": timestamp_seconds(row.modified_at),
        });
        if let Value::Object(decided) = decided {
            map.extend(decided);
        }
    }
    select(full, &DEFAULT, &SHORT, fields)
}
