//! Signing in to the service's own pages: a sign-in is a registry session like any other, so ending a
//! person's sessions ends it, too.

use std::sync::Arc;

use lightsout_api::{ClientId, EnterpriseId, Role, UserId, UserStatus};

use super::tokens::AuthError;
use super::{Error, retried};
use crate::app::App;
use crate::domain::access::{Caller, Person, SCOPES, Standing};
use crate::random::sha256;
use crate::store::{DbError, NewSession, UserRow};

/// The app that registers the sessions of the service's own pages.
pub const CONSOLE: &str = "lightsout_console";

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

/// Begins a sign-in session of a person who has shown who they are, and returns its id.
///
/// `generation` is the person's when they began to sign in: one who was terminated since gets none.
pub async fn begin(app: &App, user_id: &str, generation: i64, origin: &Origin) -> Result<String, Error> {
    let session_id = app.random.secret();
    retried!(begin_once(app, user_id, generation, origin, &session_id))?;
    Ok(session_id)
}

async fn begin_once(
    app: &App,
    user_id: &str,
    generation: i64,
    origin: &Origin,
    session_id: &str,
) -> Result<(), Error> {
    let now = app.clock.now_ms();
    let short = |text: &Option<String>| text.as_ref().map(|text| text.chars().take(200).collect());
    let mut tx = app.db.begin().await?;
    if tx.find_generation(user_id).await? != generation {
        return Err(Error::invalid("your sessions were ended while you signed in; sign in again"));
    }
    let row = NewSession {
        session_hash: sha256(session_id),
        user_id: user_id.to_owned(),
        client_id: CONSOLE.to_owned(),
        began_at: now,
        clock_skew_ms: 0,
        expires_at: now + app.settings.sign_in_life_ms,
        device: short(&origin.device),
        address: short(&origin.address),
    };
    let live = tx.register_sessions(&[row], now).await?;
    if live.is_empty() {
        return Err(Error::Db(DbError::Conflict));
    }
    tx.commit().await?;
    Ok(())
}

/// Ends a person's own sign-in session. One that is over already is no error.
pub async fn end(app: &App, caller: &Caller, session_hash: &str) -> Result<(), Error> {
    match retried!(super::sessions::end_once(app, caller, session_hash)) {
        Err(Error::NotFound(_)) => Ok(()),
        ended => ended,
    }
}
