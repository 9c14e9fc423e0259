//! What a client can find out about this authorization server (RFC 8414).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Web;
use super::oauth::{JWT_BEARER, TOKEN_EXCHANGE};
use crate::domain::access::SCOPES;

/// `GET /.well-known/oauth-authorization-server`. The issuer is the service's public address.
pub(super) async fn read(State(web): State<Arc<Web>>) -> Json<Value> {
    let issuer = &web.public_url;
    let methods = ["client_secret_post", "client_secret_basic", "none"];
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/api/oauth2/authorize"),
        "token_endpoint": format!("{issuer}/oauth2/token"),
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "Bearer"],
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "client_credentials", JWT_BEARER, TOKEN_EXCHANGE
        ],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    }))
}
