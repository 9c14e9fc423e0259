//! Signing in to the service's own pages: a sign-in is a registry session like any other, so ending a
//! person's sessions ends it, too.

use std::sync::Arc;

use lightsout_api::{ClientId, EnterpriseId, Role, UserId, UserStatus};

use serde_json::json;

use super::credentials::{Actor, count_sign_in, may_sign_in};
use super::tokens::AuthError;
use super::{Error, retried};
use crate::app::App;
use crate::domain::access::{Caller, Person, SCOPES, Standing};
use crate::domain::totp;
use crate::random::sha256;
use crate::store::{DbError, NewEvent, NewSession, PendingRow, SignInRow, Tx, UserRow};

/// The app that registers the sessions of the service's own pages.
pub const CONSOLE: &str = "lightsout_console";

/// How long a sign-in may be under way.
pub(super) const PENDING_LIFE_MS: i64 = 600_000;

/// Finds the person behind the id of a sign-in session; none: it is unknown, expired or ended.
///
/// A person in the console has every scope; what they may do is what their role allows.
pub async fn authenticate(app: &App, session_id: &str) -> Result<Option<Arc<Caller>>, AuthError> {
    let now = app.clock.now_ms();
    let session = app.index.find_session(&sha256(session_id)).await?;
    let Some(session) = session.filter(|s| s.client_id == CONSOLE && s.is_active(now)) else {
        return Ok(None);
    };
    let user = app.db.find_user(&session.enterprise_id, &session.user_id).await?;
    Ok(user.filter(|user| user.status() != UserStatus::Inactive).map(|user| Arc::new(caller(user))))
}

fn caller(user: UserRow) -> Caller {
    let standing = match user.role() {
        Role::Admin => Standing::Admin,
        Role::Coadmin => Standing::Coadmin,
        Role::User => Standing::User,
    };
    Caller {
        person: Person { user_id: UserId(user.user_id), login: user.login, name: user.name },
        enterprise_id: EnterpriseId(user.enterprise_id),
        standing,
        scopes: SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
        rights: Vec::new(),
        client_id: Some(ClientId(CONSOLE.to_owned())),
        introspection_cache_s: None,
        sent_by: None,
    }
}

/// Where a sign-in came from, for people to read.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The browser, in its own words.
    pub device: Option<String>,
    /// The address.
    pub address: Option<String>,
}

/// How a person showed who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// By the password that was set then.
    Password {
        /// When it was set.
        set_at: i64,
    },
    /// An outside provider vouches for them.
    Provider {
        /// The provider's name in the configuration.
        name: String,
        /// What they are called there: issuer and `sub`.
        identity: (String, String),
        /// Whether it asks for a second factor itself.
        asks_second_factor: bool,
    },
}

/// Somebody who has shown a first factor, and what is known of them from before they did.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The person.
    pub user: UserRow,
    /// The person's generation then: one who was terminated since gets no session.
    pub generation: i64,
    /// What they showed.
    pub first: First,
    has_second: bool,
    needs_second: bool,
}

impl Proof {
    pub(super) fn of(row: SignInRow, first: impl FnOnce(&SignInRow) -> First) -> Self {
        Self {
            first: first(&row),
            has_second: row.confirmed_at.is_some(),
            needs_second: Policy::read(row.policy.as_deref()).is_for(row.user.role()),
            generation: row.generation,
            user: row.user,
        }
    }
}

/// Who needs a second factor in an enterprise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nobody must have one.
    Nobody,
    /// Admins and coadmins.
    Managers,
    /// Everybody who signs in.
    Everyone,
}

impl Policy {
    /// The word in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Managers => "managers",
            Self::Everyone => "everyone",
        }
    }

    pub(super) fn read(stored: Option<&str>) -> Self {
        match stored {
            None => Self::Nobody,
            Some("managers") => Self::Managers,
            Some(_) => Self::Everyone,
        }
    }

    pub(super) fn is_for(self, role: Role) -> bool {
        match self {
            Self::Nobody => false,
            Self::Managers => role != Role::User,
            Self::Everyone => true,
        }
    }
}

/// What follows when somebody has shown a first factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// They are signed in; the id of the session.
    SignedIn(String),
    /// A code of their second factor is asked for; the key of the sign-in under way.
    Code(String),
    /// They need a second factor and have none yet; the key of the sign-in under way.
    Enrolment(String),
}

/// Goes on after a first factor: signs in, or asks for a second one.
pub async fn go_on(app: &App, proof: &Proof, origin: &Origin, return_to: &str) -> Result<Step, Error> {
    let asked_already = matches!(&proof.first, First::Provider { asks_second_factor: true, .. });
    if asked_already || !proof.has_second && !proof.needs_second {
        let session_id = app.random.secret();
        retried!(begin_proven(app, proof, origin, &session_id))?;
        count_sign_in("signed_in");
        return Ok(Step::SignedIn(session_id));
    }
    let key = app.random.secret();
    retried!(insert_pending(app, proof, return_to, &key))?;
    Ok(if proof.has_second { Step::Code(key) } else { Step::Enrolment(key) })
}

async fn begin_proven(app: &App, proof: &Proof, origin: &Origin, session_id: &str) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    still_proven(&mut tx, proof).await?;
    let by = match &proof.first {
        First::Password { .. } => "password".to_owned(),
        First::Provider { name, .. } => name.clone(),
    };
    begin_in(app, &mut tx, &proof.user, proof.generation, origin, session_id, &by, Vec::new()).await?;
    Ok(app.commit(tx).await?)
}

async fn insert_pending(app: &App, proof: &Proof, return_to: &str, key: &str) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    still_proven(&mut tx, proof).await?;
    let provider = match &proof.first {
        First::Password { .. } => None,
        First::Provider { name, .. } => Some(name.clone()),
    };
    let row = PendingRow {
        user_id: Some(proof.user.user_id.clone()),
        generation: proof.generation,
        provider,
        nonce: None,
        // The secret to set up: it belongs to this sign-in alone until a code confirms it.
        verifier: (!proof.has_second).then(|| totp::encode(&app.random.otp_key())),
        return_to: return_to.to_owned(),
        attempts: 0,
        expires_at: app.clock.now_ms() + PENDING_LIFE_MS,
    };
    tx.insert_pending(&sha256(key), &row).await?;
    Ok(tx.commit().await?)
}

/// A password that was changed since it was shown proves nothing, nor does one of somebody who may no
/// longer sign in.
async fn still_proven(tx: &mut Tx, proof: &Proof) -> Result<(), Error> {
    let row = tx.hold_sign_in_of(&proof.user.user_id).await?.filter(|row| may_sign_in(&row.user));
    let first = match (&proof.first, &row) {
        (First::Password { set_at }, Some(row)) => row.password_set_at == Some(*set_at),
        (First::Provider { identity: (iss, sub), .. }, Some(_)) => {
            tx.hold_identity(iss, sub).await?.is_some_and(|bound| bound.user_id == proof.user.user_id)
        }
        (_, None) => false,
    };
    if first && row.is_some_and(|row| row.confirmed_at.is_some() == proof.has_second) {
        Ok(())
    } else {
        Err(Error::invalid("your account was changed while you signed in; sign in again"))
    }
}

/// Begins a sign-in session of a person who has shown who they are, and returns its id.
///
/// `generation` is the person's when they began to sign in: one who was terminated since gets none. `by`
/// says in the log what they showed.
pub async fn begin(
    app: &App,
    user_id: &str,
    generation: i64,
    origin: &Origin,
    by: &str,
) -> Result<String, Error> {
    let user = app.db.find_user_by_id(user_id).await?.ok_or_else(|| Error::not_found("user_id", user_id))?;
    let session_id = app.random.secret();
    retried!(begin_once(app, &user, generation, origin, &session_id, by))?;
    Ok(session_id)
}

async fn begin_once(
    app: &App,
    user: &UserRow,
    generation: i64,
    origin: &Origin,
    session_id: &str,
    by: &str,
) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    begin_in(app, &mut tx, user, generation, origin, session_id, by, Vec::new()).await?;
    Ok(app.commit(tx).await?)
}

/// Writes the session and its event, after those that led to it; the last of a transaction.
#[expect(clippy::too_many_arguments, reason = "each is a fact of the session that begins")]
pub(super) async fn begin_in(
    app: &App,
    tx: &mut Tx,
    user: &UserRow,
    generation: i64,
    origin: &Origin,
    session_id: &str,
    by: &str,
    mut events: Vec<NewEvent>,
) -> Result<(), Error> {
    let now = app.clock.now_ms();
    let short = |text: &Option<String>| text.as_ref().map(|text| text.chars().take(200).collect());
    let row = NewSession {
        session_hash: sha256(session_id),
        user_id: user.user_id.clone(),
        client_id: CONSOLE.to_owned(),
        began_at: now,
        clock_skew_ms: 0,
        expires_at: now + app.settings.sign_in_life_ms,
        device: short(&origin.device),
        address: short(&origin.address),
    };
    let session_hash = row.session_hash.clone();
    if tx.register_sessions(&[row], now).await?.is_empty() {
        return Err(Error::Db(DbError::Conflict));
    }
    // Asked after the row was written: it has the newest generation that was committed until then, and
    // what is committed later ends it.
    if tx.find_generation(&user.user_id).await? != generation {
        return Err(Error::invalid("your sessions were ended while you signed in; sign in again"));
    }
    let details = json!({"client_id": CONSOLE, "session": session_hash, "by": by});
    events.push(Actor::Holder.event("LOGIN", user, details));
    tx.append_events(&user.enterprise_id, now, &app.random, events).await?;
    Ok(())
}

/// Ends a person's own sign-in session. One that is over already is no error.
pub async fn end(app: &App, caller: &Caller, session_hash: &str) -> Result<(), Error> {
    match retried!(super::sessions::end_once(app, caller, session_hash)) {
        Err(Error::NotFound(_)) => Ok(()),
        ended => ended,
    }
}
