//! The OpenAPI 3.1 document of our own API, generated from the handlers and types.

use axum::Json;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::{barriers, oauth, sessions, terminations};

#[derive(OpenApi)]
#[openapi(
    info(title = "lightsout", description = "Ends every session of a user or a group, in every system they are signed in to, and proves it.", license(name = "MIT OR Apache-2.0")),
    paths(
        terminations::create, terminations::list, terminations::read, terminations::outcomes,
        terminations::events, terminations::retry, sessions::register, sessions::list, sessions::end,
        oauth::introspect, barriers::read,
    ),
    components(schemas(oauth::IntrospectionReply)),
    security(("bearer" = [])),
)]
struct Document;

/// The document as a value.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    let components = document.components.get_or_insert_default();
    for (name, scheme) in [("bearer", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)] {
        components.add_security_scheme(name, SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build()));
    }
    document
}

/// `GET /v1/openapi.json`.
pub(super) async fn read() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
