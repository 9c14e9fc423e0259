//! `/v1/terminations`: the operation itself, and everything that can be read of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lightsout_api::{
    CreateTermination, OutcomePage, OutcomeState, Preview, Problem, Termination, TerminationPage,
};
use serde_json::json;

use super::Web;
use super::auth::Authed;
use super::failure::Failure;
use super::request::{AHEAD, JsonBody, PathId, Query, last_event_id};
use super::sse;
use crate::ops::{radius, terminate, terminations};

/// The longest idempotency key, in bytes.
const KEY_MAX: usize = 255;

/// Ends every session of these people, in every system.
///
/// One request is all or nothing, unless it allows to skip. From the answer on the registered
/// sessions of these people are refused; the other systems follow, and the termination says how far
/// they are. With `dry_run` nothing is changed.
#[utoipa::path(post, path = "/v1/terminations", tag = "terminations",
    params(("Idempotency-Key" = Option<String>, Header, max_length = 255,
            description = "The same key with the same request names the same termination, for a day")),
    request_body = CreateTermination,
    responses(
        (status = 200, description = "A dry run: what would be ended", body = Preview),
        (status = 202, description = "Accepted and durable", body = Termination,
         headers(("location" = String, description = "The path of the termination"))),
        (status = "default", description = "Refused; nothing was changed", body = Problem,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn create(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    headers: HeaderMap,
    JsonBody(body): JsonBody<CreateTermination>,
) -> Result<Response, Failure> {
    if body.dry_run {
        return Ok(Json(radius::preview(&web.app, &caller, &body).await?).into_response());
    }
    let key = match headers.get("idempotency-key").map(|value| value.to_str()) {
        None => None,
        Some(Ok(key)) if (1..=KEY_MAX).contains(&key.len()) => Some(key),
        Some(_) => {
            return Err(Failure::bad_request(format!(
                "Idempotency-Key has 1 to {KEY_MAX} visible characters"
            )));
        }
    };
    let id = terminate::request(&web.app, &caller, &body, key).await?;
    let termination = terminations::find(&web.app, &caller, &id.0).await?;
    let location = [(header::LOCATION, format!("/v1/terminations/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(termination)).into_response())
}

/// Lists terminations, newest first.
///
/// Whoever may read the admin events sees all of the enterprise, others their own.
#[utoipa::path(get, path = "/v1/terminations", tag = "terminations",
    params(("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("marker" = Option<String>, Query)),
    responses(
        (status = 200, description = "A page", body = TerminationPage),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
) -> Result<Json<TerminationPage>, Failure> {
    let limit = query.number("limit", 100, 1, 100)?;
    Ok(Json(terminations::list(&web.app, &caller, query.text("marker"), limit).await?))
}

/// Reads a termination with its progress by system.
#[utoipa::path(get, path = "/v1/terminations/{termination_id}", tag = "terminations",
    params(("termination_id" = String, Path)),
    responses(
        (status = 200, description = "The termination", body = Termination),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn read(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
) -> Result<Json<Termination>, Failure> {
    Ok(Json(terminations::find(&web.app, &caller, &id).await?))
}

/// Lists what became of each person's sessions in each system.
#[utoipa::path(get, path = "/v1/terminations/{termination_id}/outcomes", tag = "terminations",
    params(("termination_id" = String, Path), ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000),
           ("marker" = Option<String>, Query), ("outcome" = Option<OutcomeState>, Query)),
    responses(
        (status = 200, description = "A page", body = OutcomePage),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn outcomes(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    query: Query,
) -> Result<Json<OutcomePage>, Failure> {
    let limit = query.number("limit", 100, 1, 1_000)?;
    let state =
        query.text("outcome").map(|word| serde_json::from_value::<OutcomeState>(json!(word))).transpose();
    let state = state.map_err(|_| {
        Failure::parameter("outcome", "must be one of the outcomes, such as ended or gave_up")
    })?;
    Ok(Json(terminations::outcomes(&web.app, &caller, &id, state, query.text("marker"), limit).await?))
}

/// Follows a termination as server-sent events, until it is done.
///
/// Each event's id is its position in the event log; `Last-Event-ID` resumes after one.
#[utoipa::path(get, path = "/v1/terminations/{termination_id}/events", tag = "terminations",
    params(("termination_id" = String, Path), ("Last-Event-ID" = Option<String>, Header)),
    responses(
        (status = 200, description = "Events as in GET /2.0/events", content_type = "text/event-stream", body = String),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn events(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let after = last_event_id(&headers)?.unwrap_or(0);
    let row = terminations::find_row(&web.app, &caller, &id).await?;
    if after > web.app.db.event_head().await?.position {
        return Err(Failure::parameter("Last-Event-ID", AHEAD));
    }
    Ok(sse::follow(&web, row, after))
}

/// Tries again what was given up.
#[utoipa::path(post, path = "/v1/terminations/{termination_id}/retry", tag = "terminations",
    params(("termination_id" = String, Path)),
    responses(
        (status = 202, description = "Open again", body = Termination),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn retry(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
) -> Result<(StatusCode, Json<Termination>), Failure> {
    Ok((StatusCode::ACCEPTED, Json(terminations::retry(&web.app, &caller, &id).await?)))
}
