//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.4).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::keys::{Algorithm, SigningKey};

/// Seconds that a token is good for; the specification recommends at most two minutes.
const LIFE_S: i64 = 120;

/// What one token says.
#[derive(Clone, Copy)]
pub(crate) struct Claims<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) sid: &'a str,
    /// Fresh for every attempt: receivers may refuse one that they have seen.
    pub(crate) jti: &'a str,
    /// When the attempt is made, in milliseconds since 1970.
    pub(crate) now_ms: i64,
}

/// Signs one token. There is no `nonce` in it: that would make it pass for an ID token.
pub(crate) fn sign(key: &SigningKey, algorithm: Algorithm, claims: Claims<'_>) -> String {
    let mut header = json!({"typ": "logout+jwt", "alg": algorithm.name()});
    if let Some(kid) = &key.kid {
        header["kid"] = json!(kid);
    }
    let iat = claims.now_ms.div_euclid(1000);
    let body = json!({
        "iss": claims.issuer,
        "aud": claims.client_id,
        "iat": iat,
        "exp": iat + LIFE_S,
        "jti": claims.jti,
        "sub": claims.sub,
        "sid": claims.sid,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(body));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}
