//! One-time links that sign a person in to the console. The demo makes one; a service that runs for others
//! makes none.

use lightsout_api::UserId;

use super::Error;
use super::credentials::{count_sign_in, may_sign_in};
use super::sign_in::{self, Origin};
use crate::app::{App, Link};

/// How long a link may be used.
pub const LIFE_MS: i64 = 10 * 60_000;

/// How the log says that somebody signed in by a link. No provider has this name: it has a space.
const BY: &str = "one-time link";

/// Makes a link for a person, and returns its secret part. It works once, in this process.
pub async fn create(app: &App, user: &UserId) -> Result<String, Error> {
    let mut tx = app.db.begin().await?;
    let generation = tx.find_generation(&user.0).await?;
    drop(tx);
    let (secret, now) = (app.random.secret(), app.clock.now_ms());
    let link = Link { user_id: user.0.clone(), generation, expires_at: now + LIFE_MS };
    app.links.keep(&secret, link, now);
    Ok(secret)
}

/// Signs the person in whose link it is, and returns the id of the session. None: the link was used, has
/// expired or is unknown, or its person may no longer sign in, or was terminated since it was made.
pub async fn redeem(app: &App, secret: &str, origin: &Origin) -> Result<Option<String>, Error> {
    let Some(link) = app.links.take(secret, app.clock.now_ms()) else { return Ok(None) };
    if !app.db.find_user_by_id(&link.user_id).await?.is_some_and(|user| may_sign_in(&user)) {
        return Ok(None);
    }
    match sign_in::begin(app, &link.user_id, link.generation, origin, BY).await {
        Ok(session_id) => {
            count_sign_in("signed_in");
            Ok(Some(session_id))
        }
        Err(Error::Invalid { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
