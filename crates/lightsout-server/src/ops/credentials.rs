//! Passwords of people: checked at a sign-in, set by their owner, by a one-time link, or by the operator.

use std::sync::Arc;

use lightsout_api::UserStatus;
use serde_json::{Value, json};

use super::sign_in::{CONSOLE, First, Proof};
use super::{Error, body, passwords, retried, user_reference};
use crate::app::App;
use crate::domain::access::Caller;
use crate::random::sha256;
use crate::store::{NewEvent, SignInRow, Tx, UserRow};

/// How long a one-time link may be used.
pub const LINK_LIFE_MS: i64 = 24 * 3_600_000;

/// Whether somebody may sign in to pages at all: people do, service accounts do not.
pub(super) fn may_sign_in(user: &UserRow) -> bool {
    user.service_of.is_none() && user.status() != UserStatus::Inactive
}

/// Checks a login and its password. None: one of them is not right.
///
/// An unknown login, a service account, an inactive person and one without a password take as long as a
/// wrong password, and are answered the same.
pub async fn check_password(app: &Arc<App>, login: &str, password: &str) -> Result<Option<Proof>, Error> {
    let row = app.db.find_sign_in(login).await?;
    let stored = row.as_ref().filter(|row| may_sign_in(&row.user)).and_then(|row| row.password_hash.as_ref());
    let right = passwords::matches(stored.map(String::as_str), password).await;
    match row {
        Some(row) if right => {
            if let Some(stored) = row.password_hash.as_deref().filter(|hash| passwords::is_outdated(hash)) {
                rehash(app, &row.user.user_id, stored, password).await?;
            }
            Ok(Some(Proof::of(row, |row| First::Password { set_at: row.password_set_at.unwrap_or(0) })))
        }
        Some(row) => {
            note_failure_aside(app, row.user, "password");
            Ok(None)
        }
        None => {
            count_sign_in("unknown_login");
            Ok(None)
        }
    }
}

async fn rehash(app: &App, user_id: &str, stored: &str, password: &str) -> Result<(), Error> {
    let newer = passwords::hashed(app, password).await;
    let mut tx = app.db.begin().await?;
    tx.update_password_hash(user_id, stored, &newer).await?;
    Ok(tx.commit().await?)
}

/// Writes the event of a failure in a task of its own: an answer that waited for it would tell that the
/// login exists.
fn note_failure_aside(app: &Arc<App>, user: UserRow, what: &'static str) {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        if let Err(error) = note_failure(&app, &user, what).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a failed sign-in was not recorded");
        }
    });
}

/// Appends the event of a sign-in that failed; `what` was wrong.
pub(super) async fn note_failure(app: &App, user: &UserRow, what: &'static str) -> Result<(), Error> {
    count_sign_in(what);
    retried!(append_failure(app, user, what))
}

async fn append_failure(app: &App, user: &UserRow, what: &'static str) -> Result<(), Error> {
    let event = NewEvent {
        event_type: "FAILED_LOGIN",
        termination_id: None,
        body: json!({
            "created_by": null,
            "source": user_reference(user),
            "additional_details": {"client_id": CONSOLE, "wrong": what},
        }),
    };
    let mut tx = app.db.begin().await?;
    tx.append_events(&user.enterprise_id, app.clock.now_ms(), &app.random, vec![event]).await?;
    Ok(app.commit(tx).await?)
}

/// Counts how sign-ins end.
pub(super) fn count_sign_in(result: &'static str) {
    metrics::counter!("lightsout_sign_ins_total", "result" => result).increment(1);
}

/// Who changes what a person signs in with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Actor<'a> {
    /// Its owner, signed in.
    Owner(&'a Caller),
    /// Whoever holds a one-time link or a sign-in under way: its owner, as far as the service can tell.
    Holder,
    /// The operator, on the server's own machine.
    Operator,
}

impl Actor<'_> {
    /// An event about a person that this actor caused.
    pub(super) fn event(self, event_type: &'static str, user: &UserRow, details: Value) -> NewEvent {
        let source = json!(user_reference(user));
        let (created_by, mut details) = match self {
            Actor::Owner(caller) => return body::caused(caller, event_type, source, details),
            Actor::Holder => (source.clone(), details),
            Actor::Operator => (Value::Null, details),
        };
        if let (Value::Object(map), Actor::Operator) = (&mut details, self) {
            map.insert("by".to_owned(), "operator".into());
        }
        NewEvent {
            event_type,
            termination_id: None,
            body: json!({"created_by": created_by, "source": source, "additional_details": details}),
        }
    }
}

/// A person who signs in to pages, by login.
pub(super) async fn person(app: &App, login: &str) -> Result<UserRow, Error> {
    let user = app.db.find_user_by_login(login).await?.ok_or_else(|| Error::not_found("login", login))?;
    if user.service_of.is_some() {
        return Err(Error::invalid("this is the service account of an app; only people sign in"));
    }
    Ok(user)
}

/// Sets a person's password as the operator. Ends the person's sign-in sessions.
pub async fn set_password(app: &App, login: &str, password: &str) -> Result<(), Error> {
    let user = person(app, login).await?;
    passwords::check_new(password, user.login.as_deref())?;
    let hash = passwords::hashed(app, password).await;
    retried!(set_once(app, &user, &hash))
}

/// Changes one's own password, which ends one's other sign-in sessions. False: the old one is not right.
pub async fn change_password(
    app: &App,
    caller: &Caller,
    session_hash: &str,
    old: &str,
    new: &str,
) -> Result<bool, Error> {
    let row = app.db.find_sign_in_of(&caller.person.user_id.0).await?;
    let Some(row) = row.filter(|row| may_sign_in(&row.user)) else { return Ok(false) };
    passwords::check_new(new, row.user.login.as_deref())?;
    if !passwords::matches(row.password_hash.as_deref(), old).await {
        note_failure(app, &row.user, "password").await?;
        return Ok(false);
    }
    if old == new {
        return Err(Error::invalid("the new password is the old one; choose another"));
    }
    let hash = passwords::hashed(app, new).await;
    retried!(change_once(app, caller, &row, &hash, session_hash))
}

/// False: the password that was checked is no longer the one.
async fn change_once(
    app: &App,
    caller: &Caller,
    checked: &SignInRow,
    hash: &str,
    session_hash: &str,
) -> Result<bool, Error> {
    let mut tx = app.db.begin().await?;
    let now = tx.hold_sign_in_of(&checked.user.user_id).await?;
    if now.is_none_or(|now| now.password_set_at != checked.password_set_at) {
        return Ok(false);
    }
    write_password(app, &mut tx, &checked.user, hash, Actor::Owner(caller), Some(session_hash)).await?;
    app.commit(tx).await?;
    Ok(true)
}

async fn set_once(app: &App, user: &UserRow, hash: &str) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    write_password(app, &mut tx, user, hash, Actor::Operator, None).await?;
    Ok(app.commit(tx).await?)
}

/// Writes a password, and ends whatever began with the one before: sign-ins under way, links, sign-in
/// sessions but the one to keep, and what was allowed to apps. In this order, so that a sign-in that
/// commits meanwhile is found.
async fn write_password(
    app: &App,
    tx: &mut Tx,
    user: &UserRow,
    hash: &str,
    actor: Actor<'_>,
    keep: Option<&str>,
) -> Result<(), Error> {
    let now = app.clock.now_ms();
    tx.upsert_password(&user.user_id, hash, now).await?;
    tx.delete_sign_ins_under_way(&user.user_id).await?;
    let mut events = vec![actor.event("PASSWORD_CHANGED", user, json!({}))];
    events.extend(end_sign_ins(tx, user, actor, keep, now).await?);
    for client_id in tx.revoke_grants_of(&user.user_id, now).await? {
        let details = json!({"client_id": client_id, "reason": "password_changed"});
        events.push(actor.event("OAUTH2_GRANT_REVOKED", user, details));
        // Whoever keeps what a token stands for in memory follows this one.
        events.push(actor.event("TOKEN_REVOKED", user, json!({"client_id": client_id})));
    }
    tx.append_events(&user.enterprise_id, now, &app.random, events).await?;
    Ok(())
}

/// Ends a person's sign-in sessions but one, and returns the events that say so.
pub(super) async fn end_sign_ins(
    tx: &mut Tx,
    user: &UserRow,
    actor: Actor<'_>,
    keep: Option<&str>,
    now: i64,
) -> Result<Vec<NewEvent>, Error> {
    let mut events = Vec::new();
    for (session_hash, expires_at) in tx.list_sessions_of_app(&user.user_id, CONSOLE, now).await? {
        if keep != Some(session_hash.as_str()) {
            tx.end_session(&user.enterprise_id, &session_hash).await?;
            let details = json!({"session": session_hash, "expires_at": expires_at});
            events.push(actor.event("SESSION_ENDED", user, details));
        }
    }
    Ok(events)
}

/// Makes a link by which its holder sets a person's password, once, for 24 hours. Returned this once.
pub async fn create_password_link(app: &App, login: &str) -> Result<String, Error> {
    let user = person(app, login).await?;
    let (now, link) = (app.clock.now_ms(), app.random.secret());
    let mut tx = app.db.begin().await?;
    tx.insert_password_link(&sha256(&link), &user.user_id, now + LINK_LIFE_MS).await?;
    let event = Actor::Operator.event("PASSWORD_LINK_CREATED", &user, json!({}));
    tx.append_events(&user.enterprise_id, now, &app.random, vec![event]).await?;
    app.commit(tx).await?;
    Ok(link)
}

/// Finds whose password a link sets, and leaves the link as it is.
pub async fn find_password_link(app: &App, link: &str) -> Result<Option<UserRow>, Error> {
    let Some(user_id) = app.db.find_password_link(&sha256(link), app.clock.now_ms()).await? else {
        return Ok(None);
    };
    Ok(app.db.find_user_by_id(&user_id).await?.filter(may_sign_in))
}

/// Sets a password by a link, which is then used up. False: there is no such link, or no longer.
pub async fn use_password_link(app: &App, link: &str, password: &str) -> Result<bool, Error> {
    let Some(user) = find_password_link(app, link).await? else { return Ok(false) };
    passwords::check_new(password, user.login.as_deref())?;
    let hash = passwords::hashed(app, password).await;
    retried!(use_once(app, &user, &sha256(link), &hash))
}

async fn use_once(app: &App, user: &UserRow, link_hash: &str, hash: &str) -> Result<bool, Error> {
    let mut tx = app.db.begin().await?;
    if tx.take_password_link(link_hash, app.clock.now_ms()).await?.as_deref() != Some(&user.user_id) {
        return Ok(false);
    }
    write_password(app, &mut tx, user, hash, Actor::Holder, None).await?;
    app.commit(tx).await?;
    Ok(true)
}
