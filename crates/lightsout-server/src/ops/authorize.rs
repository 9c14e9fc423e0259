//! An app asks a person for access (RFC 6749, section 4.1): what it asks is checked, and what the person
//! answers becomes a code.
//!
//! What is wrong with the app or with where the browser would be sent is told to the person and to nobody
//! else; everything else is told to the app.

use serde_json::json;

use super::clients::{self, Client};
use super::sign_in::CONSOLE;
use super::{Error, body, person_reference, retried};
use crate::app::App;
use crate::domain::access::{Caller, Denied};
use crate::domain::{grant, redirect};
use crate::random::sha256;
use crate::store::{NewEvent, NewGrant};

/// Life of a code (Box's).
const CODE_LIFE_MS: i64 = 30_000;

/// What an app sends with the browser, unchecked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `response_type`.
    pub response_type: Option<String>,
    /// `client_id`.
    pub client_id: Option<String>,
    /// `redirect_uri`.
    pub redirect_uri: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `state`.
    pub state: Option<String>,
    /// `code_challenge` (RFC 7636).
    pub code_challenge: Option<String>,
    /// `code_challenge_method`.
    pub code_challenge_method: Option<String>,
}

/// A client and one of its own redirect URIs: there, and only there, may be answered.
#[derive(Clone, Debug)]
pub struct Addressed {
    /// The client.
    pub client: Client,
    /// Where the browser is sent back to.
    pub redirect_uri: String,
}

/// What a client asks a person for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The scopes.
    pub scopes: Vec<String>,
    /// What the code will be bound to.
    pub challenge: Option<String>,
}

/// What a client is told instead of a code (RFC 6749, section 4.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error code.
    pub error: &'static str,
    /// What is wrong.
    pub description: &'static str,
}

/// The person did not allow it.
pub const DENIED: Refusal =
    Refusal { error: "access_denied", description: "The resource owner denied the request" };

/// Finds out who asks, and where to answer. An error is for the person at the browser: it is never
/// answered by a redirect.
pub async fn address(app: &App, request: &Request) -> Result<Addressed, Error> {
    let invalid = |code, message: &str| Error::Invalid { code, message: message.to_owned() };
    let client_id = request.client_id.as_deref().unwrap_or("");
    let client = clients::find(app, client_id).await?.ok_or_else(|| {
        let message = "the address that brought you here names no app of this service (client_id); \
                       nothing was sent anywhere";
        invalid("invalid_client", message)
    })?;
    let registered = client.redirect_uris();
    let redirect_uri = match (&request.redirect_uri, registered.as_slice()) {
        (_, []) => {
            let message = format!("{} is not set up for sign-in: it has no redirect URI", client.name());
            return Err(invalid("unauthorized_client", &message));
        }
        (Some(asked), all) => {
            if !all.iter().any(|one| redirect::names(one, asked)) {
                let message = "the app asked to be answered at an address that is not registered for it \
                               (redirect_uri_mismatch); nothing was sent anywhere";
                return Err(invalid("redirect_uri_mismatch", message));
            }
            asked.clone()
        }
        (None, [only]) => only.clone(),
        (None, _) => {
            let message = "the app has several addresses to be answered at, and did not say which \
                           (redirect_uri_missing)";
            return Err(invalid("redirect_uri_missing", message));
        }
    };
    Ok(Addressed { client, redirect_uri })
}

/// Checks what a client asks for.
pub fn check(addressed: &Addressed, request: &Request) -> Result<Wish, Refusal> {
    let refusal = |error, description| Err(Refusal { error, description });
    match request.response_type.as_deref() {
        Some("code") => {}
        None => return refusal("invalid_request", "Send response_type=code"),
        Some(_) => return refusal("unsupported_response_type", "The response_type is code"),
    }
    let challenge = request.code_challenge.as_deref();
    match (challenge, request.code_challenge_method.as_deref()) {
        (None, None) if addressed.client.is_public() => {
            return refusal("invalid_request", "A public client sends a code_challenge (PKCE)");
        }
        (None, None) => {}
        (None, Some(_)) => return refusal("invalid_request", "Send the code_challenge"),
        (Some(challenge), Some("S256")) if grant::is_challenge(challenge) => {}
        (Some(_), Some("S256")) => {
            return refusal("invalid_request", "The code_challenge is SHA-256 of the verifier in base64url");
        }
        // Without a method it is plain (RFC 7636, section 4.3), which shows the verifier to everybody.
        (Some(_), _) => return refusal("invalid_request", "The code_challenge_method is S256"),
    }
    let has = addressed.client.scopes();
    let scopes: Vec<String> = match request.scope.as_deref().map(str::split_whitespace) {
        None => has.iter().map(|scope| (*scope).to_owned()).collect(),
        Some(asked) => {
            let mut scopes: Vec<String> = Vec::new();
            for scope in asked {
                if !has.contains(&scope) {
                    return refusal("invalid_scope", "The app does not have every scope that it asks for");
                }
                if !scopes.iter().any(|other| other == scope) {
                    scopes.push(scope.to_owned());
                }
            }
            scopes
        }
    };
    Ok(Wish { scopes, challenge: challenge.map(ToOwned::to_owned) })
}

/// Stores what a person grants in their sign-in session, and returns the code for it. None: the session is
/// over at this moment.
///
/// An admin may grant their power to an app that could not take it by itself: it is theirs to give.
pub async fn grant(
    app: &App,
    caller: &Caller,
    session_hash: &str,
    addressed: &Addressed,
    wish: &Wish,
) -> Result<Option<String>, Error> {
    check_enterprise(caller, addressed)?;
    let code = app.random.secret();
    let scopes = wish.scopes.join(" ");
    let granted = retried!(grant_once(app, caller, session_hash, addressed, wish, &scopes, &code))?;
    Ok(granted.then_some(code))
}

async fn grant_once(
    app: &App,
    caller: &Caller,
    session_hash: &str,
    addressed: &Addressed,
    wish: &Wish,
    scopes: &str,
    code: &str,
) -> Result<bool, Error> {
    let now = app.clock.now_ms();
    let mut tx = app.db.begin().await?;
    let grant = NewGrant {
        grant_id: app.random.id("g_"),
        client_id: addressed.client.client_id().to_owned(),
        session_hash: session_hash.to_owned(),
        session_client_id: CONSOLE,
        scopes: scopes.to_owned(),
        code_hash: sha256(code),
        redirect_uri: addressed.redirect_uri.clone(),
        challenge: wish.challenge.clone(),
        expires_at: now + CODE_LIFE_MS,
    };
    if !tx.insert_grant(&grant, now).await? {
        return Ok(false);
    }
    let events = vec![event(caller, "OAUTH2_CONSENT_GRANTED", addressed, scopes)];
    tx.append_events(&caller.enterprise_id.0, now, &app.random, events).await?;
    app.commit(tx).await?;
    Ok(true)
}

/// Writes down that a person did not allow it.
pub async fn deny(app: &App, caller: &Caller, addressed: &Addressed, wish: &Wish) -> Result<(), Error> {
    check_enterprise(caller, addressed)?;
    retried!(deny_once(app, caller, addressed, &wish.scopes.join(" ")))
}

async fn deny_once(app: &App, caller: &Caller, addressed: &Addressed, scopes: &str) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let events = vec![event(caller, "OAUTH2_CONSENT_DENIED", addressed, scopes)];
    tx.append_events(&caller.enterprise_id.0, app.clock.now_ms(), &app.random, events).await?;
    app.commit(tx).await?;
    Ok(())
}

fn check_enterprise(caller: &Caller, addressed: &Addressed) -> Result<(), Denied> {
    if addressed.client.is_for(caller) {
        Ok(())
    } else {
        Err(Denied::Role("this app belongs to another enterprise"))
    }
}

fn event(caller: &Caller, event_type: &'static str, addressed: &Addressed, scopes: &str) -> NewEvent {
    let client = &addressed.client;
    let details = json!({
        "app": {"type": "app", "id": client.client_id(), "name": client.name()},
        "scopes": scopes,
    });
    body::caused(caller, event_type, json!(person_reference(&caller.person)), details)
}
