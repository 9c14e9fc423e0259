//! `GET /2.0/events`: the admin event streams.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use lightsout_api::UNKNOWN_USER_ID;
use serde_json::{Value, json};

use super::Web;
use super::auth::Authed;
use super::failure::Failure;
use super::request::{AHEAD, Query};
use crate::clock::timestamp_seconds;
use crate::ops::events;
use crate::store::{EventFilter, EventRow};

/// Both admin streams read the one log; only `admin_logs` takes times, as on Box.
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
) -> Result<Json<Value>, Failure> {
    // Access first: a caller without it learns nothing of the parameters.
    let head = events::head(&web.app, &caller).await?;
    let streaming = match query.text("stream_type") {
        Some("admin_logs") => false,
        Some("admin_logs_streaming") => true,
        _ => return Err(Failure::parameter("stream_type", "must be admin_logs or admin_logs_streaming")),
    };
    let limit = query.number("limit", 100, 1, 500)?;
    let after = match query.text("stream_position") {
        None | Some("null") => 0,
        Some("now") => return Ok(Json(page(&[], head))),
        Some(_) => query.position("stream_position")?,
    };
    if after > head {
        return Err(Failure::parameter("stream_position", AHEAD));
    }
    let (from, before) = (query.instant("created_after")?, query.instant("created_before")?);
    let filter = EventFilter {
        enterprise_id: String::new(),
        after,
        event_types: query.list("event_type"),
        recorded_from: from.filter(|_| !streaming),
        recorded_before: before.filter(|_| !streaming),
    };
    let rows = events::list(&web.app, &caller, filter, limit).await?;
    // A page that is not full was the end of the log as it stood before it was read.
    let full = i64::try_from(rows.len()).is_ok_and(|n| n == limit);
    let next = rows.last().map_or(0, |row| row.position).max(if full { 0 } else { head }).max(after);
    Ok(Json(page(&rows, next)))
}

fn page(rows: &[EventRow], next: i64) -> Value {
    json!({
        "chunk_size": rows.len(),
        "next_stream_position": next.to_string(),
        "entries": rows.iter().map(show).collect::<Vec<Value>>(),
    })
}

/// An event in Box's shape.
pub(super) fn show(row: &EventRow) -> Value {
    let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
    // Typed clients of Box take no null here.
    let nobody = json!({"type": "user", "id": UNKNOWN_USER_ID, "name": "", "login": ""});
    let created_by = if body["created_by"].is_null() { &nobody } else { &body["created_by"] };
    json!({
        "type": "event",
        "event_id": row.event_id,
        "event_type": row.event_type,
        "created_at": timestamp_seconds(row.recorded_at),
        "recorded_at": timestamp_seconds(row.recorded_at),
        "created_by": created_by,
        "source": body["source"],
        "session_id": null,
        "additional_details": body["additional_details"],
    })
}
