//! What an outside provider says of a person: the ID token, checked as OpenID Connect Core 1.0, section
//! 3.1.3.7, asks.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

/// How far the provider's clock may be off.
const LEEWAY_S: i64 = 60;
/// How old a token may be: it comes straight from the provider.
const AGE_S_MAX: i64 = 600;
/// The longest `sub` (OpenID Connect Core 1.0, section 2).
const SUB_CHARS_MAX: usize = 255;

/// Signatures by a private key. Without one, or with the client's secret, nothing is proven here.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What a token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now_s: i64,
}

/// What a token says of the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) sub: String,
    pub(super) email: Option<String>,
    pub(super) email_verified: bool,
}

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// None of the keys has its `kid`: the provider may have new ones.
    UnknownKey,
    /// What is wrong with it.
    Wrong(&'static str),
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    email: Option<String>,
    #[serde(default)]
    email_verified: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Checks a token's signature and claims.
pub(super) fn verify(token: &str, keys: &[Jwk], expected: &Expected<'_>) -> Result<Said, Refused> {
    use Refused::Wrong;
    let header = decode_header(token).map_err(|_| Wrong("its ID token is not signed by a key of its own"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Wrong("its ID token is not signed by a key of its own"));
    }
    if header.crit.is_some() {
        return Err(Wrong("its ID token asks for something unknown (crit)"));
    }
    let fitting: Vec<DecodingKey> =
        keys.iter().filter_map(|jwk| fitting(jwk, header.kid.as_deref(), header.alg)).collect();
    if fitting.is_empty() {
        return Err(Refused::UnknownKey);
    }
    // The claims are checked below, by the service's own clock.
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let claims = fitting.iter().find_map(|key| decode::<Claims>(token, key, &validation).ok());
    let claims =
        claims.ok_or(Wrong("the signature of its ID token is not right, or a claim is missing"))?.claims;
    check(&claims, expected).map_err(Wrong)?;
    Ok(Said { email_verified: is_true(&claims.email_verified), sub: claims.sub, email: claims.email })
}

/// The key, if it may have made such a signature.
fn fitting(jwk: &Jwk, kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let named = kid.is_none() || jwk.common.key_id.as_deref() == kid;
    let signs = !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
    let secret = matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
    let of_algorithm = jwk.common.key_algorithm.is_none_or(|of| of == KeyAlgorithm::from(algorithm));
    if !named || !signs || secret || !of_algorithm {
        return None;
    }
    DecodingKey::from_jwk(jwk).ok().filter(|key| key.family().algorithms().contains(&algorithm))
}

fn check(claims: &Claims, expected: &Expected<'_>) -> Result<(), &'static str> {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in 53 bits")]
    let (now, leeway, age) = (expected.now_s as f64, LEEWAY_S as f64, AGE_S_MAX as f64);
    if claims.iss != expected.issuer {
        return Err("its ID token is of another issuer");
    }
    let (for_us, for_others) = match &claims.aud {
        Audience::One(one) => (one == expected.client_id, false),
        Audience::Many(many) => (
            many.iter().any(|aud| aud == expected.client_id),
            many.iter().any(|aud| aud != expected.client_id),
        ),
    };
    if !for_us {
        return Err("its ID token is for another client (aud)");
    }
    if claims.azp.as_deref().is_some_and(|azp| azp != expected.client_id)
        || for_others && claims.azp.is_none()
    {
        return Err("its ID token is for another client (azp)");
    }
    if claims.exp + leeway <= now {
        return Err("its ID token has expired");
    }
    if claims.iat - leeway > now || claims.nbf.is_some_and(|nbf| nbf - leeway > now) {
        return Err("its ID token lies in the future; is one of the clocks off?");
    }
    if claims.iat + age + leeway < now {
        return Err("its ID token is old; is one of the clocks off?");
    }
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return Err("its ID token is not for this sign-in (nonce)");
    }
    if claims.sub.is_empty() || claims.sub.chars().count() > SUB_CHARS_MAX || claims.sub.contains('\0') {
        return Err("its ID token names nobody (sub)");
    }
    Ok(())
}

/// Some providers write booleans as texts.
pub(super) fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true) || value.as_str() == Some("true")
}
