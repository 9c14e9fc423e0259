//! People at outside OpenID providers: a sign-in that a provider is asked for, and whom its answer names.

use serde_json::json;

use super::credentials::{Actor, end_sign_ins, may_sign_in, person};
use super::sign_in::{First, PENDING_LIFE_MS, Proof};
use super::{Error, retried};
use crate::app::App;
use crate::random::sha256;
use crate::store::{DbError, IdentityRow, NewEvent, PendingRow, SignInRow, Tx};

/// What a provider is asked with.
#[derive(Clone, Debug)]
pub struct Question {
    /// The key of the sign-in under way, which the browser holds.
    pub key: String,
    /// What the ID token must hold.
    pub nonce: String,
    /// The secret of PKCE.
    pub verifier: String,
}

impl Question {
    /// What the provider gives back with its answer: only the browser that asked can have it.
    pub fn state(&self) -> String {
        state_of(&self.key)
    }
}

/// The `state` of a sign-in under way.
pub fn state_of(key: &str) -> String {
    sha256(format!("state {key}"))
}

/// Notes that a provider is asked.
pub async fn ask(app: &App, provider: &str, return_to: &str) -> Result<Question, Error> {
    let question =
        Question { key: app.random.secret(), nonce: app.random.secret(), verifier: app.random.secret() };
    let row = PendingRow {
        user_id: None,
        generation: 0,
        provider: Some(provider.to_owned()),
        nonce: Some(question.nonce.clone()),
        verifier: Some(question.verifier.clone()),
        return_to: return_to.to_owned(),
        attempts: 0,
        expires_at: app.clock.now_ms() + PENDING_LIFE_MS,
    };
    let mut tx = app.db.begin().await?;
    tx.insert_pending(&sha256(&question.key), &row).await?;
    tx.commit().await?;
    Ok(question)
}

/// A question that is answered now.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What the ID token must hold.
    pub nonce: String,
    /// The secret of PKCE.
    pub verifier: String,
    /// Where to go afterwards.
    pub return_to: String,
    /// When the provider was asked.
    pub asked_at: i64,
}

/// Takes the question that a browser holds the key of, once. None: there is none, it was asked of another
/// provider, or it is too old.
pub async fn take(app: &App, key: &str, provider: &str) -> Result<Option<Answered>, Error> {
    let mut tx = app.db.begin().await?;
    let taken = tx.take_pending(&sha256(key), app.clock.now_ms()).await?;
    let Some(row) = taken.filter(|row| row.user_id.is_none() && row.provider.as_deref() == Some(provider))
    else {
        return Ok(None);
    };
    tx.commit().await?;
    Ok(row.nonce.zip(row.verifier).map(|(nonce, verifier)| Answered {
        nonce,
        verifier,
        return_to: row.return_to,
        asked_at: row.expires_at - PENDING_LIFE_MS,
    }))
}

/// Whom a provider vouches for, and what it may vouch for here.
#[derive(Clone, Copy, Debug)]
pub struct Vouching<'a> {
    /// The provider's name in the configuration.
    pub provider: &'a str,
    /// The issuer.
    pub issuer: &'a str,
    /// The person's name there.
    pub sub: &'a str,
    /// The person's e-mail address, where the provider has verified it.
    pub verified_email: Option<&'a str>,
    /// The enterprise whose people sign in through it.
    pub enterprise_id: &'a str,
    /// Domains of e-mail addresses that it speaks for.
    pub domains: &'a [String],
    /// Whether it asks for a second factor itself.
    pub asks_second_factor: bool,
    /// When it was asked.
    pub asked_at: i64,
}

/// Finds the person whom a provider vouches for; or why nobody is, as a sentence.
///
/// A person who is bound is found by issuer and `sub` alone. Who comes for the first time is found by
/// e-mail and bound: only where the domain is the provider's, and never an admin or coadmin.
pub async fn find_person(app: &App, vouching: &Vouching<'_>) -> Result<Result<Proof, &'static str>, Error> {
    let row = match app.db.find_identity(vouching.issuer, vouching.sub).await? {
        Some(bound) => app.db.find_sign_in_of(&bound.user_id).await?,
        None => match retried!(bind_by_email(app, vouching))? {
            Ok(row) => Some(row),
            Err(why) => return Ok(Err(why)),
        },
    };
    let row = row.filter(|row| may_sign_in(&row.user) && row.user.enterprise_id == vouching.enterprise_id);
    let Some(row) = row else {
        return Ok(Err(
            "Your account here is not active, or it is of another enterprise. Ask whoever runs this service.",
        ));
    };
    if row.cutoff >= vouching.asked_at {
        return Ok(Err("Your sessions were ended while you signed in. Sign in again."));
    }
    Ok(Ok(Proof::of(row, |_| First::Provider {
        name: vouching.provider.to_owned(),
        identity: (vouching.issuer.to_owned(), vouching.sub.to_owned()),
        asks_second_factor: vouching.asks_second_factor,
    })))
}

async fn bind_by_email(app: &App, vouching: &Vouching<'_>) -> Result<Result<SignInRow, &'static str>, Error> {
    let unknown = "Nobody here is known by your account there. Ask whoever runs this service to bind it.";
    let Some(email) = vouching.verified_email else {
        return Ok(Err(
            "Nobody here is known by your account there, and it came without a verified e-mail address. Ask whoever runs this service to bind it.",
        ));
    };
    let domain = email.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase());
    // Letters that only look alike, or fold to others, name nobody.
    if !email.is_ascii() || !domain.is_some_and(|domain| vouching.domains.contains(&domain)) {
        return Ok(Err(
            "Your e-mail address there is of a domain that it does not speak for here. Ask whoever runs this service to bind your account.",
        ));
    }
    let Some(found) = app.db.find_sign_in(email).await? else { return Ok(Err(unknown)) };
    let mut tx = app.db.begin().await?;
    // Read again while it is held: nobody becomes an admin meanwhile.
    tx.hold_user(&found.user.enterprise_id, &found.user.user_id).await?;
    let row = tx.hold_sign_in_of(&found.user.user_id).await?;
    let Some(row) = row.filter(|row| row.user.login == found.user.login) else { return Ok(Err(unknown)) };
    let user = &row.user;
    if user.enterprise_id != vouching.enterprise_id || !may_sign_in(user) {
        return Ok(Err(unknown));
    }
    if user.role != "user" {
        return Ok(Err(
            "Admins and coadmins are not found by their e-mail address. Ask whoever runs this service to bind your account.",
        ));
    }
    if tx.find_identity_at(vouching.issuer, &user.user_id).await?.is_some() {
        return Ok(Err(
            "You are known here by another account there. Ask whoever runs this service to bind this one.",
        ));
    }
    let identity = IdentityRow {
        iss: vouching.issuer.to_owned(),
        sub: vouching.sub.to_owned(),
        user_id: user.user_id.clone(),
    };
    let now = app.clock.now_ms();
    let bound = insert(&mut tx, &row, &identity, Actor::Holder, now).await?;
    tx.append_events(&row.user.enterprise_id, now, &app.random, vec![bound]).await?;
    app.commit(tx).await?;
    Ok(Ok(row))
}

/// Binds, and returns the event that says so.
async fn insert(
    tx: &mut Tx,
    row: &SignInRow,
    identity: &IdentityRow,
    actor: Actor<'_>,
    now: i64,
) -> Result<NewEvent, Error> {
    tx.insert_identity(identity, now).await.map_err(|error| match error {
        DbError::Duplicate => Error::Conflict {
            code: "identity_already_bound",
            message: "this account there is bound to somebody already".to_owned(),
        },
        error => error.into(),
    })?;
    Ok(actor.event("IDENTITY_BOUND", &row.user, json!({"issuer": identity.iss, "sub": identity.sub})))
}

/// Binds a person to an account at a provider as the operator, in place of an earlier one there.
pub async fn bind(app: &App, login: &str, issuer: &str, sub: &str) -> Result<(), Error> {
    if issuer.is_empty() || !(1..=255).contains(&sub.chars().count()) {
        return Err(Error::invalid("issuer is not empty, and sub has 1 to 255 characters"));
    }
    let user = person(app, login).await?;
    let row = app.db.find_sign_in_of(&user.user_id).await?;
    let row = row.ok_or_else(|| Error::not_found("login", login))?;
    let identity = IdentityRow { iss: issuer.to_owned(), sub: sub.to_owned(), user_id: user.user_id };
    retried!(bind_once(app, &row, &identity))
}

async fn bind_once(app: &App, row: &SignInRow, identity: &IdentityRow) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let (now, user) = (app.clock.now_ms(), &row.user);
    let unbound = tx.delete_identities_at(&identity.iss, &identity.user_id, &identity.sub).await? > 0;
    let mut events = Vec::new();
    if unbound {
        // Whoever has the earlier account may be the reason: what it signed in ends.
        tx.delete_sign_ins_under_way(&user.user_id).await?;
        events = end_sign_ins(&mut tx, user, Actor::Operator, None, now).await?;
    }
    events.push(insert(&mut tx, row, identity, Actor::Operator, now).await?);
    tx.append_events(&user.enterprise_id, now, &app.random, events).await?;
    Ok(app.commit(tx).await?)
}
