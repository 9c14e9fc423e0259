//! One's own account: what one signs in with, and where one is signed in.

use super::Error;
use super::credentials::may_sign_in;
use super::second_factor::{self, Factor};
use super::sign_in::{self, CONSOLE, Policy};
use crate::app::App;
use crate::domain::access::Caller;
use crate::store::{IdentityRow, SessionRow};

/// The most sessions that are shown.
const SESSIONS_MAX: i64 = 100;

/// What a person is told of their own account.
#[derive(Clone, Debug)]
pub struct Account {
    /// When the password was set; none: there is none.
    pub password_set_at: Option<i64>,
    /// The second factor.
    pub factor: Factor,
    /// Whether the enterprise asks for one.
    pub needs_factor: bool,
    /// What the person is called at outside providers.
    pub identities: Vec<IdentityRow>,
    /// Where they are signed in to this service's pages, the newest first.
    pub sessions: Vec<SessionRow>,
}

/// Reads one's own account.
pub async fn read(app: &App, caller: &Caller) -> Result<Account, Error> {
    let user_id = &caller.person.user_id.0;
    let row = app.db.find_sign_in_of(user_id).await?.filter(|row| may_sign_in(&row.user));
    let row = row.ok_or_else(|| Error::not_found("user_id", user_id))?;
    let now = app.clock.now_ms();
    Ok(Account {
        password_set_at: row.password_set_at,
        factor: second_factor::factor(app, caller).await?,
        needs_factor: Policy::read(row.policy.as_deref()).is_for(row.user.role()),
        identities: app.db.list_identities(user_id).await?,
        sessions: app.db.list_newest_sessions_of_app(user_id, CONSOLE, now, SESSIONS_MAX).await?,
    })
}

/// Ends one of one's own sign-in sessions.
pub async fn end_session(app: &App, caller: &Caller, session_hash: &str) -> Result<(), Error> {
    let session = app.db.find_session(session_hash).await?;
    let mine = session.is_some_and(|s| s.user_id == caller.person.user_id.0 && s.client_id == CONSOLE);
    if !mine {
        return Err(Error::not_found("session", session_hash));
    }
    sign_in::end(app, caller, session_hash).await
}
