//! Tokens for what a person granted: by a code, by a refresh token, and tokens that may do less; and how
//! they are revoked.

use lightsout_api::AccessToken;
use serde_json::json;

use super::clients::{Client, note_use};
use super::{Error, retried};
use crate::app::App;
use crate::domain::grant::{self, Exchange, Mismatch, Shown, Verdict};
use crate::random::sha256;
use crate::store::{DerivedToken, GrantRow, NewEvent, Tx};

/// A reply of the token endpoint.
#[derive(Clone, Debug)]
pub struct Given {
    /// The token, and the refresh token where there is one.
    pub token: AccessToken,
    /// What it may do: scopes, separated by spaces.
    pub scopes: String,
}

const fn refused(description: &'static str) -> Error {
    Error::OAuth { error: "invalid_grant", description }
}

const NOT_GOOD: Error = refused("Grant credentials are invalid");
const CODE_NOT_GOOD: Error = refused("The authorization code is not valid");
const REFRESH_NOT_GOOD: Error = refused("Invalid refresh token");
const TOO_WIDE: Error =
    Error::OAuth { error: "invalid_scope", description: "The scope is wider than what is exchanged" };

/// What a client shows with a code.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The code.
    pub code: &'a str,
    /// `redirect_uri`, if it is sent.
    pub redirect_uri: Option<&'a str>,
    /// `code_verifier`, if it is sent.
    pub verifier: Option<&'a str>,
}

/// Exchanges a code for tokens (RFC 6749, section 4.1.3; RFC 7636, section 4.6). A code that was exchanged
/// before revokes everything that it gave.
pub async fn exchange_code(app: &App, client: &Client, proof: Proof<'_>) -> Result<Given, Error> {
    let given = retried!(exchange_code_once(app, client, proof))?;
    note(app, client);
    Ok(given)
}

async fn exchange_code_once(app: &App, client: &Client, proof: Proof<'_>) -> Result<Given, Error> {
    let (now, code_hash) = (app.clock.now_ms(), sha256(proof.code));
    let mut tx = app.db.begin().await?;
    let grant_id = tx.find_grant_of_code(&code_hash).await?.ok_or(CODE_NOT_GOOD)?;
    let grant = tx.lock_grant(&grant_id).await?.ok_or(CODE_NOT_GOOD)?;
    let code = tx.find_code(&code_hash).await?.ok_or(CODE_NOT_GOOD)?;
    if grant.client_id != client.client_id() {
        return Err(CODE_NOT_GOOD);
    }
    if code.used_at.is_some() {
        revoke_family(app, tx, &grant, "code_reused").await?;
        return Err(CODE_NOT_GOOD);
    }
    if now >= code.expires_at {
        return Err(refused("The authorization code has expired"));
    }
    let exchange = Exchange {
        redirect_uri: &code.redirect_uri,
        challenge: code.challenge.as_deref(),
        only_one: client.redirect_uris().len() == 1,
        sent_redirect_uri: proof.redirect_uri,
        sent_verifier: proof.verifier,
    };
    exchange.check().map_err(|mismatch| {
        refused(match mismatch {
            Mismatch::RedirectUri => "The redirect_uri is not the one that the code was sent to",
            Mismatch::Verifier => "The code_verifier does not belong to the code_challenge",
            Mismatch::VerifierMissing => "Send the code_verifier",
            Mismatch::ChallengeMissing => "A code_verifier was sent for a code without code_challenge",
        })
    })?;
    if !grant.stands() {
        return Err(NOT_GOOD);
    }
    tx.use_code(&code_hash, now).await?;
    give(app, tx, &grant, None, grant.scopes.clone()).await
}

/// Exchanges a refresh token for a new pair (RFC 6749, section 6). `scope` may ask for less; the new
/// refresh token keeps all.
pub async fn refresh(app: &App, client: &Client, token: &str, scope: Option<&str>) -> Result<Given, Error> {
    let given = retried!(refresh_once(app, client, token, scope))?;
    note(app, client);
    Ok(given)
}

async fn refresh_once(app: &App, client: &Client, token: &str, scope: Option<&str>) -> Result<Given, Error> {
    let (now, token_hash) = (app.clock.now_ms(), sha256(token));
    let mut tx = app.db.begin().await?;
    let grant_id = tx.find_grant_of_refresh_token(&token_hash).await?.ok_or(REFRESH_NOT_GOOD)?;
    let grant = tx.lock_grant(&grant_id).await?.ok_or(REFRESH_NOT_GOOD)?;
    let row = tx.find_refresh_token(&token_hash).await?.ok_or(REFRESH_NOT_GOOD)?;
    if grant.client_id != client.client_id() || !grant.stands() {
        return Err(REFRESH_NOT_GOOD);
    }
    let shown = Shown {
        used_at: row.used_at,
        expires_at: row.expires_at,
        successor_used: row.successors_used > 0,
        sibling_used: row.siblings_used > 0,
    };
    match grant::refresh(shown, now) {
        Verdict::Rotate | Verdict::RotateAgain => {
            let scopes = narrowed(&grant.scopes, scope)?;
            give(app, tx, &grant, Some(&token_hash), scopes).await
        }
        Verdict::RevokeFamily => {
            revoke_family(app, tx, &grant, "refresh_token_reused").await?;
            Err(REFRESH_NOT_GOOD)
        }
        Verdict::Refuse => Err(refused("Refresh token has expired")),
    }
}

/// Stores a new pair of tokens of a grant, and commits.
async fn give(
    app: &App,
    mut tx: Tx,
    grant: &GrantRow,
    replaces: Option<&str>,
    scopes: String,
) -> Result<Given, Error> {
    let now = app.clock.now_ms();
    let (access_token, refresh_token) = (app.random.secret(), app.random.secret());
    let (refresh_hash, expires_at) = (sha256(&refresh_token), now + app.settings.refresh_life_ms);
    tx.insert_refresh_token(&grant.grant_id, &refresh_hash, replaces, now, expires_at).await?;
    tx.insert_derived_token(&DerivedToken {
        token_hash: sha256(&access_token),
        user_id: grant.user_id.clone(),
        client_id: Some(grant.client_id.clone()),
        scopes: scopes.clone(),
        generation: grant.generation,
        grant_id: Some(grant.grant_id.clone()),
        subject_hash: None,
        refresh_hash: Some(refresh_hash),
        created_at: now,
        expires_at: now + app.settings.token_life_ms,
    })
    .await?;
    tx.commit().await?;
    Ok(Given { token: reply(access_token, app.settings.token_life_ms, Some(refresh_token)), scopes })
}

fn reply(access_token: String, life_ms: i64, refresh_token: Option<String>) -> AccessToken {
    AccessToken {
        access_token,
        expires_in: (life_ms / 1000).unsigned_abs(),
        token_type: "bearer".to_owned(),
        restricted_to: Vec::new(),
        refresh_token,
    }
}

/// The scopes that are asked for, if they are among those that there are; without any, all.
fn narrowed(has: &str, asked: Option<&str>) -> Result<String, Error> {
    let Some(asked) = asked else { return Ok(has.to_owned()) };
    let asked: Vec<&str> = asked.split_whitespace().collect();
    let has: Vec<&str> = has.split_whitespace().collect();
    if asked.iter().all(|scope| has.contains(scope)) { Ok(asked.join(" ")) } else { Err(TOO_WIDE) }
}

/// Exchanges an access token for one that may do less (RFC 8693, as Box's SDKs send it). It lives no longer
/// than the one that it is made of, is revoked and ended with it, and has no rights of the app.
pub async fn narrow(app: &App, subject_token: &str, scope: Option<&str>) -> Result<Given, Error> {
    retried!(narrow_once(app, subject_token, scope))
}

async fn narrow_once(app: &App, subject_token: &str, scope: Option<&str>) -> Result<Given, Error> {
    let (now, subject_hash) = (app.clock.now_ms(), sha256(subject_token));
    let mut tx = app.db.begin().await?;
    let subject = tx.lock_token(&subject_hash).await?.filter(|(facts, _)| facts.is_active(now));
    let (facts, grant_id) = subject.ok_or(Error::OAuth {
        error: "invalid_request",
        description: "The subject_token is not a valid access token",
    })?;
    let scopes = narrowed(&facts.scopes, scope)?;
    if facts.is_unused() {
        tx.note_first_use(&subject_hash, now).await?;
    }
    let expires_at = facts.expires_at.min(now + app.settings.token_life_ms);
    let token = app.random.secret();
    tx.insert_derived_token(&DerivedToken {
        token_hash: sha256(&token),
        user_id: facts.user_id,
        client_id: facts.client_id,
        scopes: scopes.clone(),
        generation: facts.generation,
        grant_id,
        subject_hash: Some(subject_hash),
        refresh_hash: None,
        created_at: now,
        expires_at,
    })
    .await?;
    tx.commit().await?;
    Ok(Given { token: reply(token, expires_at - now, None), scopes })
}

/// Revokes a token of the client (RFC 7009): an access token with what was made of it, or with a refresh
/// token everything of its grant. An unknown one is no error.
pub async fn revoke(app: &App, client: &Client, token: &str) -> Result<(), Error> {
    retried!(revoke_once(app, client, &sha256(token)))
}

async fn revoke_once(app: &App, client: &Client, hash: &str) -> Result<(), Error> {
    let now = app.clock.now_ms();
    let mut tx = app.db.begin().await?;
    // An access token speaks for the whole sign-in: Box's SDKs sign a person out by it (RFC 7009, section
    // 2.1). One that was made of it with fewer scopes speaks for itself.
    let grant_id = match tx.find_grant_of_refresh_token(hash).await? {
        Some(grant_id) => Some(grant_id),
        None => tx.find_grant_of_access_token(hash).await?,
    };
    if let Some(grant_id) = grant_id {
        let grant = tx.lock_grant(&grant_id).await?;
        if let Some(grant) = grant.filter(|g| g.client_id == client.client_id() && g.revoked_at.is_none()) {
            return revoke_family(app, tx, &grant, "revoked").await;
        }
    } else if let Some((user_id, enterprise_id)) = tx.revoke_token(hash, client.client_id(), now).await? {
        let revoked = event("TOKEN_REVOKED", &user_id, json!({"client_id": client.client_id()}));
        tx.append_events(&enterprise_id, now, &app.random, vec![revoked]).await?;
        app.commit(tx).await?;
        return Ok(());
    }
    drop(tx);
    // Another node may have revoked it already.
    app.hear().await;
    Ok(())
}

/// Revokes a grant and all its tokens, and commits. Whoever keeps what a token stands for in memory follows
/// the event `TOKEN_REVOKED`.
async fn revoke_family(app: &App, mut tx: Tx, grant: &GrantRow, reason: &str) -> Result<(), Error> {
    if grant.revoked_at.is_some() {
        return Ok(());
    }
    let now = app.clock.now_ms();
    tx.revoke_grant(&grant.grant_id, now).await?;
    let events = vec![
        event("TOKEN_REVOKED", &grant.user_id, json!({"client_id": grant.client_id})),
        event(
            "OAUTH2_GRANT_REVOKED",
            &grant.user_id,
            json!({"client_id": grant.client_id, "reason": reason}),
        ),
    ];
    tx.append_events(&grant.enterprise_id, now, &app.random, events).await?;
    app.commit(tx).await?;
    Ok(())
}

fn event(event_type: &'static str, user_id: &str, details: serde_json::Value) -> NewEvent {
    let body = json!({
        "created_by": null,
        "source": {"type": "user", "id": user_id},
        "additional_details": details,
    });
    NewEvent { event_type, termination_id: None, body }
}

fn note(app: &App, client: &Client) {
    if let Client::App(row) = client {
        note_use(app, row);
    }
}
