//! `/2.0/groups`: Box's groups.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Web;
use super::auth::Authed;
use super::failure::Failure;
use super::request::{JsonValue, Paging, PathId, Query, fields_of, select};
use crate::clock::timestamp_seconds;
use crate::domain::fields::{Change, GROUP};
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
    let entries = rows.iter().map(|row| (row.group_id.clone(), show(&web, row, &fields))).collect();
    Ok(Json(paging.page(entries, total)))
}

pub(super) async fn create(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
    JsonValue(body): JsonValue,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let request = fields_of(&GROUP, Change::Create, body)?;
    let row = groups::create(&web.app, &caller, request).await?;
    Ok((StatusCode::CREATED, Json(show(&web, &row, &query.list("fields")))))
}

pub(super) async fn read(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let row = groups::find(&web.app, &caller, &id).await?;
    Ok(Json(show(&web, &row, &query.list("fields"))))
}

pub(super) async fn update(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
    JsonValue(body): JsonValue,
) -> Result<Json<Value>, Failure> {
    let request = fields_of(&GROUP, Change::Update, body)?;
    let row = groups::update(&web.app, &caller, &id, request).await?;
    Ok(Json(show(&web, &row, &query.list("fields"))))
}

pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
) -> Result<StatusCode, Failure> {
    groups::delete(&web.app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(web: &Web, row: &GroupRow, fields: &[String]) -> Value {
    let shown = GROUP.show(&row.profile);
    for field in shown.damaged {
        web.app.damaged.report("groups", &row.group_id, field);
    }
    let mut full = shown.fields;
    let decided = [
        ("type", json!("group")),
        ("id", json!(row.group_id)),
        ("name", json!(row.name)),
        ("group_type", json!("managed_group")),
        ("created_at", json!(timestamp_seconds(row.created_at))),
        ("modified_at", json!(timestamp_seconds(row.modified_at))),
    ];
    full.extend(decided.map(|(name, value)| (name.to_owned(), value)));
    select(full, &DEFAULT, &SHORT, fields)
}
