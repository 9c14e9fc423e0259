//! The second factor: asked for at a sign-in, set up and taken away by its owner, reset by the operator.

use std::sync::Arc;

use serde_json::json;

use super::credentials::{Actor, count_sign_in, may_sign_in, note_failure, person};
use super::sign_in::{Origin, Policy, begin_in};
use super::{Error, retried};
use crate::app::App;
use crate::domain::access::Caller;
use crate::domain::totp;
use crate::random::sha256;
use crate::store::{PendingRow, SecondFactorRow, SignInRow, UserRow};

/// Codes that may be tried before the first factor is asked for again.
const ATTEMPTS_MAX: i64 = 5;

/// A sign-in that waits for a code.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Who signs in.
    pub user: UserRow,
    /// The secret to set up, where there is no second factor yet.
    pub enrols: Option<String>,
}

/// How a try to finish a sign-in ended.
#[derive(Clone, Debug)]
pub enum Finished {
    /// Signed in.
    SignedIn {
        /// The id of the session.
        session_id: String,
        /// The login, if there is one.
        login: Option<String>,
        /// Where to go.
        return_to: String,
    },
    /// The code is not right; another may be tried.
    Wrong,
    /// The sign-in is over: too late, too many codes, or what it began with was changed.
    Over,
}

/// Finds a sign-in that waits for a code.
pub async fn find_waiting(app: &App, key: &str) -> Result<Option<Waiting>, Error> {
    let Some(pending) = app.db.find_pending(&sha256(key), app.clock.now_ms()).await? else { return Ok(None) };
    let Some(row) = signing_in(app, &pending).await? else { return Ok(None) };
    Ok(Some(Waiting { user: row.user, enrols: pending.verifier }))
}

/// Who signs in, unless they were terminated since they began.
async fn signing_in(app: &App, pending: &PendingRow) -> Result<Option<SignInRow>, Error> {
    let Some(user_id) = &pending.user_id else { return Ok(None) };
    let row = app.db.find_sign_in_of(user_id).await?;
    Ok(row.filter(|row| may_sign_in(&row.user) && row.generation == pending.generation))
}

/// Finishes a sign-in with a code. Each try is counted before the code is looked at.
pub async fn finish(app: &Arc<App>, key: &str, code: &str, origin: &Origin) -> Result<Finished, Error> {
    let hash = sha256(key);
    let Some(pending) = retried!(count_attempt(app, &hash))? else { return Ok(Finished::Over) };
    let Some(row) = signing_in(app, &pending).await? else { return Ok(Finished::Over) };
    let factor = match &pending.verifier {
        // It is nobody's until it is confirmed.
        Some(secret) => SecondFactorRow { secret: secret.clone(), confirmed_at: None, last_step: 0 },
        None => match app.db.find_second_factor(&row.user.user_id).await? {
            Some(factor) if factor.confirmed_at.is_some() => factor,
            _ => return Ok(Finished::Over),
        },
    };
    let now = app.clock.now_ms();
    let finished = match totp::matching_step(&factor.secret, code, now, factor.last_step) {
        Some(step) => retried!(finish_once(app, &hash, &row.user, &factor, step, origin))?,
        None => Finished::Wrong,
    };
    match finished {
        Finished::SignedIn { .. } => count_sign_in("signed_in"),
        Finished::Wrong => {
            note_failure(app, &row.user, "code").await?;
            if pending.attempts >= ATTEMPTS_MAX {
                return Ok(Finished::Over);
            }
        }
        Finished::Over => {}
    }
    Ok(finished)
}

async fn count_attempt(app: &App, hash: &str) -> Result<Option<PendingRow>, Error> {
    let mut tx = app.db.begin().await?;
    let pending = tx.count_attempt(hash, app.clock.now_ms(), ATTEMPTS_MAX).await?;
    tx.commit().await?;
    Ok(pending)
}

async fn finish_once(
    app: &App,
    hash: &str,
    user: &UserRow,
    factor: &SecondFactorRow,
    step: i64,
    origin: &Origin,
) -> Result<Finished, Error> {
    let now = app.clock.now_ms();
    let mut tx = app.db.begin().await?;
    // First: whoever changes a password ends what is under way, and waits for this row.
    let Some(pending) = tx.take_pending(hash, now).await? else { return Ok(Finished::Over) };
    let mut by = pending.provider.clone().unwrap_or_else(|| "password".to_owned());
    let mut before = Vec::new();
    if factor.confirmed_at.is_none() {
        if !tx.upsert_second_factor(&user.user_id, &factor.secret).await? {
            return Ok(Finished::Over);
        }
        tx.confirm_second_factor(&user.user_id, now).await?;
        before.push(Actor::Holder.event("ENABLE_TWO_FACTOR_AUTH", user, json!({})));
    }
    if !tx.use_step(&user.user_id, &factor.secret, step).await? {
        return Ok(Finished::Wrong);
    }
    by.push_str("+code");
    let session_id = app.random.secret();
    begin_in(app, &mut tx, user, pending.generation, origin, &session_id, &by, before).await?;
    app.commit(tx).await?;
    Ok(Finished::SignedIn { session_id, login: user.login.clone(), return_to: pending.return_to })
}

/// A person's second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Factor {
    /// There is none.
    None,
    /// A secret waits for its first code.
    Unconfirmed(String),
    /// It is asked for, since then.
    InUse(i64),
}

/// What a person's second factor is.
pub async fn factor(app: &App, caller: &Caller) -> Result<Factor, Error> {
    Ok(match app.db.find_second_factor(&caller.person.user_id.0).await? {
        None => Factor::None,
        Some(SecondFactorRow { confirmed_at: Some(since), .. }) => Factor::InUse(since),
        Some(row) => Factor::Unconfirmed(row.secret),
    })
}

/// Makes a secret for one's own second factor. It is asked for only when a first code has confirmed it.
pub async fn enrol(app: &App, caller: &Caller) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let secret = totp::encode(&app.random.otp_key());
    if !tx.upsert_second_factor(&caller.person.user_id.0, &secret).await? {
        return Err(Error::Conflict {
            code: "second_factor_in_use",
            message: "you have a second factor already; remove it first".to_owned(),
        });
    }
    Ok(tx.commit().await?)
}

/// Puts one's own second factor in use by its first code. False: the code is not right.
pub async fn confirm(app: &App, caller: &Caller, code: &str) -> Result<bool, Error> {
    retried!(with_code(app, caller, code, Change::Confirm))
}

/// Takes one's own second factor away by a code of it. False: the code is not right.
pub async fn remove(app: &App, caller: &Caller, code: &str) -> Result<bool, Error> {
    retried!(with_code(app, caller, code, Change::Remove))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Confirm,
    Remove,
}

async fn with_code(app: &App, caller: &Caller, code: &str, change: Change) -> Result<bool, Error> {
    let user_id = &caller.person.user_id.0;
    let (now, gone) = (app.clock.now_ms(), "there is no second factor to change; open this page again");
    let found = app.db.find_second_factor(user_id).await?;
    let factor = found.filter(|factor| factor.confirmed_at.is_some() == (change == Change::Remove));
    let factor = factor.ok_or_else(|| Error::invalid(gone))?;
    let user = app.db.find_user(&caller.enterprise_id.0, user_id).await?;
    let user = user.ok_or_else(|| Error::not_found("user_id", user_id))?;
    let step = totp::matching_step(&factor.secret, code, now, factor.last_step);
    let mut tx = app.db.begin().await?;
    let used = match step {
        Some(step) => tx.use_step(user_id, &factor.secret, step).await?,
        None => false,
    };
    if !used {
        drop(tx);
        note_failure(app, &user, "code").await?;
        return Ok(false);
    }
    let event_type = match change {
        Change::Confirm => {
            tx.confirm_second_factor(user_id, now).await?;
            "ENABLE_TWO_FACTOR_AUTH"
        }
        Change::Remove => {
            tx.delete_second_factor(user_id).await?;
            "DISABLE_TWO_FACTOR_AUTH"
        }
    };
    let event = Actor::Owner(caller).event(event_type, &user, json!({}));
    tx.append_events(&user.enterprise_id, now, &app.random, vec![event]).await?;
    app.commit(tx).await?;
    Ok(true)
}

/// Takes a person's second factor away as the operator. False: there was none.
pub async fn reset(app: &App, login: &str) -> Result<bool, Error> {
    let user = person(app, login).await?;
    let mut tx = app.db.begin().await?;
    if !tx.delete_second_factor(&user.user_id).await? {
        return Ok(false);
    }
    tx.delete_sign_ins_under_way(&user.user_id).await?;
    let event = Actor::Operator.event("DISABLE_TWO_FACTOR_AUTH", &user, json!({}));
    tx.append_events(&user.enterprise_id, app.clock.now_ms(), &app.random, vec![event]).await?;
    app.commit(tx).await?;
    Ok(true)
}

/// Says as the operator who needs a second factor in an enterprise. It holds from the next sign-in on.
pub async fn set_policy(app: &App, enterprise_id: &str, policy: Policy) -> Result<(), Error> {
    let enterprise = app.db.find_enterprise(enterprise_id).await?;
    let enterprise = enterprise.ok_or_else(|| Error::not_found("enterprise", enterprise_id))?;
    let mut tx = app.db.begin().await?;
    tx.set_sign_in_policy(enterprise_id, (policy != Policy::Nobody).then_some(policy.as_str())).await?;
    let source = json!({"type": "enterprise", "id": enterprise.enterprise_id, "name": enterprise.name});
    let mut event = super::admin::by_operator("SIGN_IN_POLICY_CHANGED", source);
    event.body["additional_details"]["second_factor"] = policy.as_str().into();
    tx.append_events(enterprise_id, app.clock.now_ms(), &app.random, vec![event]).await?;
    Ok(app.commit(tx).await?)
}
