//! `/oauth2`: tokens by client credentials and by signed assertion, revocation, introspection.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use lightsout_api::{AccessToken, Introspection, Problem};
use serde::Deserialize;

use super::Web;
use super::auth::{Authed, peer};
use super::failure::Failure;
use super::request::FormBody;
use crate::ops::sessions;
use crate::ops::tokens::{self, Subject};
use crate::store::AppRow;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A request without a caller, counted by address.
pub(super) struct Anonymous;

impl FromRequestParts<Arc<Web>> for Anonymous {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Failure> {
        web.limits.take_token_request(peer(web, parts)).map(|()| Self)
    }
}

#[derive(Deserialize)]
pub(super) struct TokenForm {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    box_subject_type: Option<String>,
    box_subject_id: Option<String>,
    assertion: Option<String>,
}

/// `POST /oauth2/token`.
pub(super) async fn token(
    State(web): State<Arc<Web>>,
    _: Anonymous,
    FormBody(form): FormBody<TokenForm>,
) -> Result<Json<AccessToken>, Failure> {
    let token = match form.grant_type.as_deref() {
        Some("client_credentials") => {
            let row = authenticate(&web, form.client_id, form.client_secret).await?;
            let subject = match (form.box_subject_type.as_deref(), form.box_subject_id) {
                (Some("enterprise"), Some(id)) => Subject::Enterprise(id),
                (Some("user"), Some(id)) => Subject::User(id),
                _ => {
                    return Err(invalid_request(
                        "Send box_subject_type (enterprise or user) and box_subject_id",
                    ));
                }
            };
            tokens::client_credentials(&web.app, &row, subject).await?
        }
        Some(JWT_BEARER) => {
            let row = authenticate(&web, form.client_id, form.client_secret).await?;
            let assertion = form.assertion.ok_or_else(|| invalid_request("Send the assertion"))?;
            let audience = format!("{}/oauth2/token", web.public_url);
            tokens::jwt_bearer(&web.app, &row, &assertion, &audience).await?
        }
        Some("authorization_code" | "refresh_token" | "urn:ietf:params:oauth:grant-type:token-exchange") => {
            let message = "The grant type is unauthorized for this client_id";
            return Err(Failure::new(StatusCode::BAD_REQUEST, "unauthorized_client", message));
        }
        _ => {
            let message = "Invalid grant_type parameter or parameter missing";
            return Err(invalid_request(message));
        }
    };
    Ok(Json(token))
}

#[derive(Deserialize)]
pub(super) struct RevokeForm {
    client_id: Option<String>,
    client_secret: Option<String>,
    token: Option<String>,
}

/// `POST /oauth2/revoke`. An unknown token is no error (RFC 7009).
pub(super) async fn revoke(
    State(web): State<Arc<Web>>,
    _: Anonymous,
    FormBody(form): FormBody<RevokeForm>,
) -> Result<StatusCode, Failure> {
    let row = authenticate(&web, form.client_id, form.client_secret).await?;
    let token = form.token.ok_or_else(|| invalid_request("Send the token to revoke"))?;
    tokens::revoke(&web.app, &row, &token).await?;
    Ok(StatusCode::OK)
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct IntrospectForm {
    /// A registered session id, or an access token of this service.
    token: String,
    /// Taken and ignored (RFC 7662).
    #[serde(rename = "token_type_hint")]
    _token_type_hint: Option<String>,
}

/// Says whether a session or token may be used at this moment (RFC 7662).
///
/// The caller's app needs the right `introspect`.
#[utoipa::path(post, path = "/oauth2/introspect", tag = "sessions",
    request_body(content = IntrospectForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What is known of it; an inactive one says no more", body = IntrospectionReply),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn introspect(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    FormBody(form): FormBody<IntrospectForm>,
) -> Result<Json<Introspection>, Failure> {
    Ok(Json(sessions::introspect(&web.app, &caller, &form.token).await?))
}

/// The shape of an introspection reply, for the OpenAPI document.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct IntrospectionReply {
    active: bool,
    sub: Option<String>,
    username: Option<String>,
    client_id: Option<String>,
    scope: Option<String>,
    iat: Option<i64>,
    exp: Option<i64>,
    token_type: Option<String>,
}

/// Checks the app's credentials, then its quota: a stranger who only knows the id uses none of it.
async fn authenticate(web: &Web, id: Option<String>, secret: Option<String>) -> Result<AppRow, Failure> {
    let (id, secret) = id.zip(secret).ok_or_else(|| {
        let message = "Send client_id and client_secret in the form";
        Failure::new(StatusCode::BAD_REQUEST, "invalid_client", message)
    })?;
    let row = tokens::authenticate_app(&web.app, &id, &secret).await?;
    web.limits.take_token_of_app(&row.client_id)?;
    Ok(row)
}

fn invalid_request(message: &str) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "invalid_request", message)
}
