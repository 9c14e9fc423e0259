//! `/oauth2`: tokens by each grant, revocation, introspection.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use lightsout_api::{AccessToken, Introspection, OAuth2Error};
use serde::{Deserialize, Serialize};

use super::Web;
use super::auth::peer;
use super::client_auth::{authenticate, introspector};
use super::failure::Failure;
use super::request::FormBody;
use crate::ops::clients::Client;
use crate::ops::grants::{self, Given, Proof};
use crate::ops::tokens::{self, Subject};
use crate::ops::{self, sessions};
use crate::store::AppRow;

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

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
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
    scope: Option<String>,
    subject_token: Option<String>,
    subject_token_type: Option<String>,
    actor_token: Option<String>,
    resource: Option<String>,
    audience: Option<String>,
    box_shared_link: Option<String>,
    requested_token_type: Option<String>,
}

/// A token reply with what only some grants say.
#[derive(Serialize)]
pub(super) struct TokenReply {
    #[serde(flatten)]
    token: AccessToken,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
}

impl TokenReply {
    fn of(given: Given) -> Self {
        Self { token: given.token, scope: Some(given.scopes), issued_token_type: None }
    }
}

/// `POST /oauth2/token`.
pub(super) async fn token(
    State(web): State<Arc<Web>>,
    _: Anonymous,
    headers: HeaderMap,
    FormBody(form): FormBody<TokenForm>,
) -> Result<Json<TokenReply>, Failure> {
    let form = form.without_empty()?;
    Ok(Json(match form.grant_type.as_deref() {
        Some("client_credentials") => {
            let row = confidential(&web, &headers, &form).await?;
            let subject = match (form.box_subject_type.as_deref(), form.box_subject_id) {
                (Some("enterprise"), Some(id)) => Subject::Enterprise(id),
                (Some("user"), Some(id)) => Subject::User(id),
                _ => {
                    return Err(invalid_request(
                        "Send box_subject_type (enterprise or user) and box_subject_id",
                    ));
                }
            };
            plain(tokens::client_credentials(&web.app, &row, subject).await?)
        }
        Some(JWT_BEARER) => {
            let row = confidential(&web, &headers, &form).await?;
            let assertion = form.assertion.ok_or_else(|| invalid_request("Send the assertion"))?;
            let audience = format!("{}/oauth2/token", web.public_url);
            plain(tokens::jwt_bearer(&web.app, &row, &assertion, &audience).await?)
        }
        Some("authorization_code") => {
            let client = authenticate(&web, &headers, form.client_id, form.client_secret).await?;
            let code = form.code.ok_or_else(|| invalid_request("Send the code"))?;
            let (redirect_uri, verifier) = (form.redirect_uri.as_deref(), form.code_verifier.as_deref());
            let proof = Proof { code: &code, redirect_uri, verifier };
            TokenReply::of(grants::exchange_code(&web.app, &client, proof).await?)
        }
        Some("refresh_token") => {
            let client = authenticate(&web, &headers, form.client_id, form.client_secret).await?;
            let token = form.refresh_token.ok_or_else(|| invalid_request("Send the refresh_token"))?;
            TokenReply::of(grants::refresh(&web.app, &client, &token, form.scope.as_deref()).await?)
        }
        Some(TOKEN_EXCHANGE) => exchange(&web, &form).await?,
        _ => {
            let message = "Invalid grant_type parameter or parameter missing";
            return Err(invalid_request(message));
        }
    }))
}

impl TokenForm {
    /// A parameter without a value counts as absent (RFC 6749, section 3.2).
    fn without_empty(mut self) -> Result<Self, Failure> {
        for field in [
            &mut self.grant_type,
            &mut self.box_subject_type,
            &mut self.box_subject_id,
            &mut self.assertion,
            &mut self.code,
            &mut self.redirect_uri,
            &mut self.code_verifier,
            &mut self.refresh_token,
            &mut self.scope,
            &mut self.subject_token,
            &mut self.subject_token_type,
            &mut self.actor_token,
            &mut self.resource,
            &mut self.audience,
            &mut self.box_shared_link,
            &mut self.requested_token_type,
        ] {
            *field = field.take().filter(|text| !text.is_empty());
        }
        let texts = [&self.client_id, &self.box_subject_id];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(invalid_request("A parameter holds a character that no id has"));
        }
        Ok(self)
    }
}

fn plain(token: AccessToken) -> TokenReply {
    TokenReply { token, scope: None, issued_token_type: None }
}

/// Gives a token that may do less (RFC 8693), for a token alone: Box's SDKs send no client.
async fn exchange(web: &Web, form: &TokenForm) -> Result<TokenReply, Failure> {
    if form.actor_token.is_some() {
        return Err(invalid_request("This service takes no actor_token"));
    }
    if form.resource.is_some() || form.audience.is_some() || form.box_shared_link.is_some() {
        let message =
            "This service has no files: ask for fewer scopes, without resource, audience and box_shared_link";
        return Err(Failure::new(StatusCode::BAD_REQUEST, "invalid_target", message));
    }
    let requested = form.requested_token_type.as_deref();
    if requested.is_some_and(|kind| kind != ACCESS_TOKEN) {
        return Err(invalid_request(
            "The requested_token_type is urn:ietf:params:oauth:token-type:access_token",
        ));
    }
    let (Some(subject), Some(ACCESS_TOKEN)) = (&form.subject_token, form.subject_token_type.as_deref())
    else {
        let message =
            "Send the subject_token, and as subject_token_type urn:ietf:params:oauth:token-type:access_token";
        return Err(invalid_request(message));
    };
    let given = grants::narrow(&web.app, subject, form.scope.as_deref()).await;
    let given = given.map_err(|error| match error {
        // Box's status for it.
        ops::Error::OAuth { error: error @ "invalid_scope", description } => {
            Failure::new(StatusCode::UNAUTHORIZED, error, description)
        }
        error => error.into(),
    })?;
    Ok(TokenReply { issued_token_type: Some(ACCESS_TOKEN), ..TokenReply::of(given) })
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
    headers: HeaderMap,
    FormBody(form): FormBody<RevokeForm>,
) -> Result<StatusCode, Failure> {
    let client = authenticate(&web, &headers, form.client_id, form.client_secret).await?;
    let token = form.token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| invalid_request("Send the token to revoke"))?;
    grants::revoke(&web.app, &client, &token).await?;
    Ok(StatusCode::OK)
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct IntrospectForm {
    /// A registered session id, or an access token of this service.
    #[schema(required = true, value_type = String)]
    token: Option<String>,
    /// Taken and ignored (RFC 7662).
    #[serde(rename = "token_type_hint")]
    _token_type_hint: Option<String>,
    /// The asking app, where it shows who it is in the form.
    client_id: Option<String>,
    /// Its secret.
    client_secret: Option<String>,
}

/// Says whether a session or token may be used at this moment (RFC 7662).
///
/// The caller's app needs the right `introspect`. It shows who it is by its client id and secret, by HTTP
/// Basic or in the form, or by a bearer token.
#[utoipa::path(post, path = "/oauth2/introspect", tag = "sessions",
    request_body(content = IntrospectForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What is known of it; an inactive one says no more", body = IntrospectionReply),
        (status = "default", description = "An error (RFC 6749, section 5.2)", body = OAuth2Error),
    ),
    security(("basic" = []), ("bearer" = [])))]
pub(super) async fn introspect(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    FormBody(form): FormBody<IntrospectForm>,
) -> Result<Json<Introspection>, Failure> {
    let caller = introspector(&web, &headers, form.client_id, form.client_secret).await?;
    let token = form.token.ok_or_else(|| invalid_request("Send the token to look at"))?;
    Ok(Json(sessions::introspect(&web.app, &caller, &token).await?))
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
    session_expires_at: Option<i64>,
    token_type: Option<String>,
}

/// An app that proved who it is: what a public client cannot.
async fn confidential(web: &Web, headers: &HeaderMap, form: &TokenForm) -> Result<Box<AppRow>, Failure> {
    match authenticate(web, headers, form.client_id.clone(), form.client_secret.clone()).await? {
        Client::App(row) if row.public_at.is_none() => Ok(row),
        Client::App(_) | Client::CommandLine => {
            let message = "The grant type is unauthorized for this client_id";
            Err(Failure::new(StatusCode::BAD_REQUEST, "unauthorized_client", message))
        }
    }
}

fn invalid_request(message: &str) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "invalid_request", message)
}
