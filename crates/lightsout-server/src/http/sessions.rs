//! `/v1/sessions`: the registry.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lightsout_api::{Problem, RegisterSessions, RegisteredSessions, SessionPage};

use super::Web;
use super::auth::Authed;
use super::failure::Failure;
use super::request::{JsonBody, PathId, Query};
use crate::ops::sessions;

/// Registers sessions: all of them, or none if an entry is wrong.
///
/// A session that is over already (its user was terminated after it began, or its id was ended) is
/// answered `ended` and not stored. The caller's app needs the right `sessions.write`.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", request_body = RegisterSessions,
    responses(
        (status = 201, description = "What became of each, in the order of the request", body = RegisteredSessions),
        (status = "default", description = "Refused; nothing was registered", body = Problem,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn register(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    JsonBody(body): JsonBody<RegisterSessions>,
) -> Result<(StatusCode, Json<RegisteredSessions>), Failure> {
    Ok((StatusCode::CREATED, Json(sessions::register(&web.app, &caller, body).await?)))
}

/// Lists a user's live sessions. The caller's app needs the right `sessions.read`.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions",
    params(("user_id" = String, Query), ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000),
           ("marker" = Option<String>, Query)),
    responses(
        (status = 200, description = "A page", body = SessionPage),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    query: Query,
) -> Result<Json<SessionPage>, Failure> {
    let user_id = query.text("user_id").ok_or_else(|| Failure::parameter("user_id", "is required"))?;
    let limit = query.number("limit", 100, 1, 1_000)?;
    Ok(Json(sessions::list(&web.app, &caller, user_id, query.text("marker"), limit).await?))
}

/// Ends one session at once; its id stays refused. The caller's app needs the right `sessions.write`.
#[utoipa::path(delete, path = "/v1/sessions/{session}", tag = "sessions",
    params(("session" = String, Path, description = "The id in lists, not the secret session id")),
    responses(
        (status = 204, description = "Ended"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn end(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    PathId(id): PathId,
) -> Result<StatusCode, Failure> {
    sessions::end(&web.app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
