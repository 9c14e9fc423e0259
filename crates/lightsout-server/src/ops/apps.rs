//! Signed assertions of apps (RFC 7523), as Box's SDKs send them.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::Error;
use super::tokens::Subject;
use crate::app::App;
use crate::store::{AppKeyRow, AppRow};

/// The audience that Box's official SDKs write, whatever their base URLs.
pub const BOX_AUDIENCE: &str = "https://api.box.com/oauth2/token";
/// How far ahead an assertion may expire.
const LIFE_MAX_S: i64 = 60;

/// An assertion whose signature and claims hold.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// On whose behalf.
    pub subject: Subject,
    /// Its id, to be used once.
    pub jti: String,
    /// Until when the id must be remembered, in milliseconds since 1970.
    pub expires_at: i64,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(default)]
    box_sub_type: String,
    aud: Audience,
    jti: String,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

fn refused(description: &'static str) -> Error {
    Error::OAuth { error: "invalid_grant", description }
}

/// Verifies an assertion of an app. `audience` is this service's token endpoint; Box's own is
/// taken, too, where the app's setting allows it.
///
/// The key is the one that `kid` names, or any of the app's: the Node SDK sends no `kid`.
pub async fn verify_assertion(
    app: &App,
    row: &AppRow,
    assertion: &str,
    audience: &str,
) -> Result<Assertion, Error> {
    let header = decode_header(assertion).map_err(|_| refused("The assertion is not a signed JWT"))?;
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512) {
        return Err(refused("The assertion is signed with RS256, RS384 or RS512"));
    }
    let keys = app.db.list_app_keys(&row.client_id).await?;
    let claims = keys
        .iter()
        .filter(|key| header.kid.as_ref().is_none_or(|kid| *kid == key.key_id))
        .find_map(|key| verify(assertion, header.alg, key))
        .ok_or_else(|| refused("The assertion matches no public key of this app"))?;
    if claims.iss != row.client_id {
        return Err(refused("Please check the 'iss' claim. It is the client_id."));
    }
    let for_box = row.box_audience_at.is_some() && claims.aud.names(BOX_AUDIENCE);
    if !for_box && !claims.aud.names(audience) {
        return Err(refused("Please check the 'aud' claim. The 'aud' specified is invalid."));
    }
    check_times(&claims, app.clock.now_ms() / 1000)?;
    if !(16..=128).contains(&claims.jti.len()) {
        return Err(refused("Please check the 'jti' claim. It has 16 to 128 characters."));
    }
    let subject = match claims.box_sub_type.as_str() {
        "enterprise" => Subject::Enterprise(claims.sub),
        "user" => Subject::User(claims.sub),
        _ => return Err(refused("Please check the 'box_sub_type' claim. It is 'enterprise' or 'user'.")),
    };
    Ok(Assertion { subject, jti: claims.jti, expires_at: (claims.exp + 1) * 1000 })
}

/// The claims, if this key signed them. Times and names are checked by the caller, by our clock.
fn verify(assertion: &str, alg: Algorithm, key: &AppKeyRow) -> Option<Claims> {
    let mut validation = Validation::new(alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_rsa_pem(key.public_pem.as_bytes()).ok()?;
    decode::<Claims>(assertion, &key, &validation).ok().map(|token| token.claims)
}

fn check_times(claims: &Claims, now: i64) -> Result<(), Error> {
    if claims.exp <= now {
        return Err(refused(
            "Current date/time MUST be before the expiration date/time listed in the 'exp' claim",
        ));
    }
    if claims.exp > now + LIFE_MAX_S {
        return Err(refused("Please check the 'exp' claim. It lies at most 60 seconds ahead."));
    }
    if claims.iat.max(claims.nbf).is_some_and(|from| from > now) {
        return Err(refused(
            "Current date/time MUST be after or equal to the not-before date/time listed in the 'nbf' or 'iat' claim",
        ));
    }
    Ok(())
}
