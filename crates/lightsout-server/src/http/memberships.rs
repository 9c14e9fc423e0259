//! `/2.0/group_memberships` and the two lists of memberships.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lightsout_api::{CreateGroupMembership, MembershipRole, UpdateGroupMembership};
use serde_json::{Value, json};

use super::Web;
use super::auth::Authed;
use super::failure::Failure;
use super::request::{JsonBody, Paging, PathId, Query, select};
use crate::clock::timestamp_seconds;
use crate::domain::access::Permissions;
use crate::ops::memberships;
use crate::store::MembershipRow;

/// Fields answered when none are asked for.
const DEFAULT: [&str; 5] = ["user", "group", "role", "created_at", "modified_at"];

pub(super) async fn list_of_group(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let paging = Paging::by_offset(&query)?;
    let (rows, total) =
        memberships::list_of_group(&web.app, &caller, &id, paging.offset, paging.limit).await?;
    Ok(Json(page(&web, &paging, &rows, total)))
}

pub(super) async fn list_of_user(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let paging = Paging::by_offset(&query)?;
    let (rows, total) =
        memberships::list_of_user(&web.app, &caller, &id, paging.offset, paging.limit).await?;
    Ok(Json(page(&web, &paging, &rows, total)))
}

pub(super) async fn create(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
    JsonBody(body): JsonBody<CreateGroupMembership>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let row = memberships::create(&web.app, &caller, body).await?;
    Ok((StatusCode::CREATED, Json(show(&web, &row, &query.list("fields")))))
}

pub(super) async fn read(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let row = memberships::find(&web.app, &caller, &id).await?;
    Ok(Json(show(&web, &row, &query.list("fields"))))
}

pub(super) async fn update(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
    JsonBody(body): JsonBody<UpdateGroupMembership>,
) -> Result<Json<Value>, Failure> {
    let row = memberships::update(&web.app, &caller, &id, body).await?;
    Ok(Json(show(&web, &row, &query.list("fields"))))
}

pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
) -> Result<StatusCode, Failure> {
    memberships::delete(&web.app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn page(web: &Web, paging: &Paging, rows: &[MembershipRow], total: i64) -> Value {
    let entries = rows.iter().map(|row| (row.membership_id.clone(), show(web, row, &[])));
    paging.page(entries.collect(), total)
}

fn show(web: &Web, row: &MembershipRow, fields: &[String]) -> Value {
    let permissions = match row.permissions() {
        Permissions::None => Value::Null,
        Permissions::Some(map) => Value::Object(map),
    };
    if permissions.is_null() && row.permissions != "null" {
        web.app.damaged.report("memberships", &row.membership_id, "permissions");
    }
    let mut user = json!({"type": "user", "id": row.user_id, "name": row.user_name});
    if let Some(login) = &row.user_login {
        user["login"] = json!(login);
    }
    let role = if row.role == "admin" { MembershipRole::Admin } else { MembershipRole::Member };
    let full = [
        ("type", json!("group_membership")),
        ("id", json!(row.membership_id)),
        ("user", user),
        (
            "group",
            json!({"type": "group", "id": row.group_id, "name": row.group_name, "group_type": "managed_group"}),
        ),
        ("role", json!(role)),
        ("configurable_permissions", permissions),
        ("created_at", json!(timestamp_seconds(row.created_at))),
        ("modified_at", json!(timestamp_seconds(row.modified_at))),
    ];
    select(full.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(), &DEFAULT, &[], fields)
}
