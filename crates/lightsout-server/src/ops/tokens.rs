//! Who is calling: bearer tokens, `As-User`, and the grants that give tokens.

use std::sync::Arc;

use lightsout_api::{AccessToken, ClientId, EnterpriseId, Role, UserId, UserStatus};

use super::apps::{self, Assertion};
use super::clients::note_use;
use super::{Error, retried};
use crate::app::App;
use crate::domain::access::{self, Caller, Denied, Person, Standing};
use crate::random::sha256;
use crate::store::{AppRow, DbError, TokenFacts, TokenRow, UserRow};

/// Why a request has no caller.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No token, or one that is unknown, expired, revoked, or whose user was terminated since.
    #[error("the access token provided is invalid")]
    Invalid,
    /// `As-User` is not allowed here.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The database failed.
    #[error("the database failed")]
    Db(#[from] DbError),
}

/// Finds the caller behind a bearer token, and behind `As-User` if it is sent.
pub async fn authenticate(app: &App, token: &str, as_user: Option<&str>) -> Result<Arc<Caller>, AuthError> {
    let hash = sha256(token);
    let caller = app.index.find_caller(&hash, find_token(app, &hash), caller).await?;
    let caller = caller.ok_or(AuthError::Invalid)?;
    let Some(user_id) = as_user.filter(|id| *id != caller.person.user_id.0) else { return Ok(caller) };
    act_as(app, &caller, user_id).await.map(Arc::new)
}

/// Finds the caller behind a confidential app's own credentials: its service account. The secret is no
/// session, so no termination ends it; one that was rotated is dead.
pub async fn authenticate_app(app: &App, client_id: &str, secret: &str) -> Result<Arc<Caller>, AuthError> {
    let secret_hash = sha256(secret);
    let read = app.db.find_app_credentials(client_id, &secret_hash);
    // No token has a space in it.
    let hash = sha256(format!("{client_id} {secret_hash}"));
    app.index.find_caller(&hash, read, caller).await?.ok_or(AuthError::Invalid)
}

/// Reads what a token stands for, and notes its first use where a refresh token depends on that.
pub(super) async fn find_token(app: &App, hash: &str) -> Result<Option<TokenFacts>, DbError> {
    let (found, now) = (app.db.find_token(hash).await?, app.clock.now_ms());
    if found.as_ref().is_some_and(|facts| facts.is_unused() && facts.is_active(now)) {
        let (db, hash) = (app.db.clone(), hash.to_owned());
        let noted = tokio::spawn(async move {
            let mut tx = db.begin().await?;
            tx.note_first_use(&hash, now).await?;
            tx.commit().await
        });
        noted.await.expect("the transaction does not panic")?;
    }
    Ok(found)
}

fn caller(token: TokenFacts) -> Caller {
    let standing = match token.role() {
        Role::Admin => Standing::Admin,
        Role::Coadmin if token.service_of.is_some() => {
            Standing::Service { may_end_admins: token.may_end_admins_at.is_some() }
        }
        Role::Coadmin => Standing::Coadmin,
        Role::User => Standing::User,
    };
    Caller {
        person: Person { user_id: UserId(token.user_id), login: token.login, name: token.name },
        enterprise_id: EnterpriseId(token.enterprise_id),
        standing,
        scopes: words(&token.scopes),
        rights: words(token.rights.as_deref().unwrap_or("")),
        client_id: token.client_id.map(ClientId),
        introspection_cache_s: token.introspection_cache_s,
        sent_by: None,
    }
}

/// Makes the caller somebody whom they outrank. Rights of the app stay; scopes stay.
async fn act_as(app: &App, caller: &Caller, user_id: &str) -> Result<Caller, AuthError> {
    // Who may act for nobody is refused before the look-up.
    access::may_act_as(caller.standing, Role::User, false)?;
    let user = app.db.find_user(&caller.enterprise_id.0, user_id).await?;
    let user = user.ok_or(Denied::Role("the As-User header does not name a user of this enterprise"))?;
    access::may_act_as(caller.standing, user.role(), user.service_of.is_some())?;
    if user.status() == UserStatus::Inactive {
        return Err(Denied::Role("As-User names an inactive user").into());
    }
    let standing = match user.role() {
        Role::Admin => Standing::Admin,
        Role::Coadmin => Standing::Coadmin,
        Role::User => Standing::User,
    };
    let person = Person { user_id: UserId(user.user_id), login: user.login, name: user.name };
    Ok(Caller { standing, sent_by: Some(caller.person.clone()), person, ..caller.clone() })
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(ToOwned::to_owned).collect()
}

/// On whose behalf an app asks for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Its own service account; the id is the enterprise's.
    Enterprise(String),
    /// A user.
    User(String),
}

pub(super) const CREDENTIALS_INVALID: Error =
    Error::OAuth { error: "invalid_client", description: "The client credentials are not valid" };

/// Gives a token to an app that proved who it is (RFC 6749, section 4.4).
pub async fn client_credentials(app: &App, row: &AppRow, subject: Subject) -> Result<AccessToken, Error> {
    let user_id = subject_user(app, row, subject).await?;
    retried!(give(app, row, &user_id, None))
}

/// Gives a token for a signed assertion (RFC 7523). The assertion is burned only if a token is given.
pub async fn jwt_bearer(
    app: &App,
    row: &AppRow,
    assertion: &str,
    audience: &str,
) -> Result<AccessToken, Error> {
    let assertion = apps::verify_assertion(app, row, assertion, audience).await?;
    let user_id = subject_user(app, row, assertion.subject.clone()).await.map_err(|error| match error {
        Error::OAuth { .. } => Error::OAuth {
            error: "invalid_grant",
            description: "Please check the 'sub' claim. The 'sub' specified is invalid.",
        },
        error => error,
    })?;
    let given = retried!(give(app, row, &user_id, Some(&assertion)));
    given.map_err(|error| match error {
        Error::Db(DbError::Duplicate) => Error::OAuth {
            error: "invalid_grant",
            description: "The 'jti' claim was used before; sign a new assertion",
        },
        error => error,
    })
}

async fn give(
    app: &App,
    row: &AppRow,
    user_id: &str,
    assertion: Option<&Assertion>,
) -> Result<AccessToken, Error> {
    let now = app.clock.now_ms();
    let token = app.random.secret();
    let mut tx = app.db.begin().await?;
    if let Some(assertion) = assertion {
        tx.insert_assertion(&sha256(format!("{} {}", row.client_id, assertion.jti)), assertion.expires_at)
            .await?;
    }
    tx.insert_token(&TokenRow {
        token_hash: sha256(&token),
        user_id: user_id.to_owned(),
        client_id: Some(row.client_id.clone()),
        scopes: row.scopes.clone(),
        created_at: now,
        expires_at: now + app.settings.token_life_ms,
    })
    .await?;
    tx.commit().await?;
    note_use(app, row);
    Ok(AccessToken {
        access_token: token,
        expires_in: (app.settings.token_life_ms / 1000).unsigned_abs(),
        token_type: "bearer".to_owned(),
        restricted_to: Vec::new(),
        refresh_token: None,
    })
}

async fn subject_user(app: &App, row: &AppRow, subject: Subject) -> Result<String, Error> {
    let denied = Error::OAuth { error: "invalid_grant", description: "Grant credentials are invalid" };
    match subject {
        Subject::Enterprise(id) if id == row.enterprise_id => Ok(row.service_user_id.clone()),
        Subject::Enterprise(_) => Err(denied),
        Subject::User(_) if row.user_tokens_at.is_none() => Err(Error::OAuth {
            error: "unauthorized_client",
            description: "The \"box_subject_type\" value is unauthorized for this client_id",
        }),
        Subject::User(id) => {
            let user: Option<UserRow> = app.db.find_user(&row.enterprise_id, &id).await?;
            let user = user.filter(|u| u.status() != UserStatus::Inactive && u.service_of.is_none());
            let user = user.ok_or(denied)?;
            // An admin's token would reach whom the app itself may not.
            if user.role() != Role::User && row.may_end_admins_at.is_none() {
                return Err(Error::OAuth {
                    error: "unauthorized_client",
                    description: "This app may not ask for tokens of admins and coadmins",
                });
            }
            Ok(user.user_id)
        }
    }
}
