//! `/2.0/users`: Box's users.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Web;
use super::auth::Authed;
use super::failure::Failure;
use super::request::{JsonValue, Paging, PathId, Query, fields_of, select};
use crate::app::Damaged;
use crate::clock::timestamp_seconds;
use crate::domain::access::Caller;
use crate::domain::fields::{Change, USER};
use crate::domain::marker::List;
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
    let paging = Paging::of(&query, List("users", &caller.enterprise_id.0))?;
    let filter = UserFilter {
        enterprise_id: String::new(),
        term: query.text("filter_term").map(ToOwned::to_owned),
        external_id: query.text("external_app_user_id").map(ToOwned::to_owned),
        after: paging.after.clone(),
    };
    let (rows, total) = users::list(&web.app, &caller, filter, paging.offset, paging.rows()).await?;
    // Every user here is a managed one.
    let (rows, total) = match query.text("user_type") {
        None | Some("all" | "managed") => (rows, total),
        Some("external") => (Vec::new(), 0),
        Some(_) => return Err(Failure::parameter("user_type", "must be all, managed or external")),
    };
    let view = View::of(&web, &caller, &query).await?;
    let entries = rows.iter().map(|row| (row.user_id.clone(), view.show(row))).collect();
    Ok(Json(paging.page(entries, total)))
}

pub(super) async fn create(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
    JsonValue(body): JsonValue,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let request = fields_of(&USER, Change::Create, body)?;
    let row = users::create(&web.app, &caller, request).await?;
    let view = View::of(&web, &caller, &query).await?;
    Ok((StatusCode::CREATED, Json(view.show(&row))))
}

pub(super) async fn me(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let row = users::find(&web.app, &caller, &caller.person.user_id.0).await?;
    Ok(Json(View::of(&web, &caller, &query).await?.show(&row)))
}

pub(super) async fn read(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let row = users::find(&web.app, &caller, &id).await?;
    Ok(Json(View::of(&web, &caller, &query).await?.show(&row)))
}

pub(super) async fn update(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
    JsonValue(body): JsonValue,
) -> Result<Json<Value>, Failure> {
    if body.get("enterprise").is_some_and(Value::is_null) {
        let message = "cannot be null: a user cannot leave the enterprise; delete the user instead";
        return Err(Failure::parameter("enterprise", message));
    }
    let request = fields_of(&USER, Change::Update, body)?;
    let row = users::update(&web.app, &caller, &id, request).await?;
    Ok(Json(View::of(&web, &caller, &query).await?.show(&row)))
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

/// What an answer shows of a user.
struct View<'a> {
    fields: Vec<String>,
    /// The enterprise's name, where the enterprise was asked for.
    enterprise: Option<String>,
    damaged: &'a Damaged,
}

impl<'a> View<'a> {
    async fn of(web: &'a Web, caller: &Caller, query: &Query) -> Result<Self, Failure> {
        let fields = query.list("fields");
        let enterprise = if fields.iter().any(|field| field == "enterprise") {
            Some(users::enterprise_name(&web.app, caller).await?)
        } else {
            None
        };
        Ok(Self { fields, enterprise, damaged: &web.app.damaged })
    }

    fn show(&self, row: &UserRow) -> Value {
        let shown = USER.show(&row.profile);
        for field in shown.damaged {
            self.damaged.report("users", &row.user_id, field);
        }
        let mut full = shown.fields;
        let decided = [
            ("type", json!("user")),
            ("id", json!(row.user_id)),
            ("name", json!(row.name)),
            ("role", json!(row.role())),
            ("status", json!(row.status())),
            ("enterprise", json!({"type": "enterprise", "id": row.enterprise_id, "name": self.enterprise})),
            ("created_at", json!(timestamp_seconds(row.created_at))),
            ("modified_at", json!(timestamp_seconds(row.modified_at))),
        ];
        full.extend(decided.map(|(name, value)| (name.to_owned(), value)));
        // Box has no null for these two: without a value they are absent.
        let optional = [("login", &row.login), ("external_app_user_id", &row.external_id)];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        full.extend(optional.map(|(name, value)| (name.to_owned(), json!(value))));
        select(full, &DEFAULT, &SHORT, &self.fields)
    }
}
