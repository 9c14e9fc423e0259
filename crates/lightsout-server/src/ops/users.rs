//! Users: create, read, list, change, delete.

use lightsout_api::{CreateUser, Role, UpdateUser, UserStatus};
use serde_json::{Value, json};

use super::{Error, body, retried, terminate, user_reference};
use crate::app::App;
use crate::domain::access::{self, Caller, MANAGE_USERS};
use crate::domain::{fields, text};
use crate::store::{DbError, NewEvent, UserFilter, UserRow};

/// The longest name, in characters (Box's limit).
const NAME_MAX: usize = 50;
/// The longest login, in characters.
const LOGIN_MAX: usize = 254;
/// The longest id in an outside system, in characters.
const EXTERNAL_ID_MAX: usize = 255;

/// Reads a user: oneself always, others with the directory rights.
pub async fn find(app: &App, caller: &Caller, user_id: &str) -> Result<UserRow, Error> {
    if caller.person.user_id.0 != user_id {
        access::may_read_directory(caller, MANAGE_USERS)?;
    }
    app.db
        .find_user(&caller.enterprise_id.0, user_id)
        .await?
        .ok_or_else(|| Error::not_found("user_id", user_id))
}

/// Lists users by id, and counts them all.
pub async fn list(
    app: &App,
    caller: &Caller,
    mut filter: UserFilter,
    offset: i64,
    limit: i64,
) -> Result<(Vec<UserRow>, i64), Error> {
    access::may_read_directory(caller, MANAGE_USERS)?;
    filter.enterprise_id = caller.enterprise_id.0.clone();
    let rows = app.db.list_users(&filter, offset, limit).await?;
    Ok((rows, app.db.count_users(&filter).await?))
}

/// The name of the caller's enterprise.
pub async fn enterprise_name(app: &App, caller: &Caller) -> Result<String, Error> {
    let enterprise_id = &caller.enterprise_id.0;
    let found = app.db.find_enterprise(enterprise_id).await?;
    Ok(found.ok_or_else(|| Error::not_found("enterprise_id", enterprise_id))?.name)
}

/// Creates a user.
pub async fn create(app: &App, caller: &Caller, request: CreateUser) -> Result<UserRow, Error> {
    let role = request.role.unwrap_or(Role::User);
    access::may_write_user(caller, None, role)?;
    let name = check_name(&request.name)?;
    let platform = request.other.get("is_platform_access_only") == Some(&Value::Bool(true));
    let login = match request.login.as_deref().map(check_login).transpose()? {
        Some(login) => Some(login),
        // As Box does: an app user is given a login of its own.
        None if platform => Some(format!("AppUser_{}@users.lightsout.invalid", app.random.numeric_id())),
        None => return Err(Error::parameter("login", "is required unless is_platform_access_only is true")),
    };
    let now = app.clock.now_ms();
    let user = UserRow {
        user_id: app.random.numeric_id(),
        enterprise_id: caller.enterprise_id.0.clone(),
        login,
        name,
        role: role.as_str().to_owned(),
        status: status_word(request.status.unwrap_or(UserStatus::Active)),
        external_id: external_id(request.external_app_user_id.unwrap_or_default())?,
        service_of: None,
        profile: fields::USER.merge("{}", &request.other),
        created_at: now,
        modified_at: now,
    };
    retried!(create_once(app, caller, &user))?;
    Ok(user)
}

async fn create_once(app: &App, caller: &Caller, user: &UserRow) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    tx.insert_user(user).await.map_err(login_taken)?;
    let event = body::caused(caller, "NEW_USER", json!(user_reference(user)), Value::Null);
    tx.append_events(&user.enterprise_id, app.clock.now_ms(), &app.random, vec![event]).await?;
    app.commit(tx).await?;
    Ok(())
}

/// Changes a user. Becoming `inactive` ends the user's sessions in the same transaction.
pub async fn update(
    app: &App,
    caller: &Caller,
    user_id: &str,
    request: UpdateUser,
) -> Result<UserRow, Error> {
    // Refuses before any look-up whoever may change nobody.
    access::may_write_user(caller, None, Role::User)?;
    let user = retried!(update_once(app, caller, user_id, &request))?;
    Ok(user)
}

async fn update_once(
    app: &App,
    caller: &Caller,
    user_id: &str,
    request: &UpdateUser,
) -> Result<UserRow, Error> {
    let mut tx = app.db.begin().await?;
    let found = tx.hold_user(&caller.enterprise_id.0, user_id).await?;
    let mut user = found.ok_or_else(|| Error::not_found("user_id", user_id))?;
    let was_inactive = user.status() == UserStatus::Inactive;
    // The admin's own name and login are the admin's to change; nobody else's rank reaches them.
    let keeps_power = caller.standing == access::Standing::Admin
        && request.role.is_none_or(|role| role == user.role())
        && request.status.is_none();
    if !(keeps_power && user.user_id == caller.person.user_id.0) {
        may_change(caller, &user, request.role.unwrap_or(user.role()))?;
    }
    if let Some(name) = &request.name {
        user.name = check_name(name)?;
    }
    if let Some(login) = &request.login {
        user.login = Some(check_login(login)?);
    }
    if let Some(role) = request.role {
        role.as_str().clone_into(&mut user.role);
    }
    if let Some(status) = request.status {
        user.status = status_word(status);
    }
    if let Some(external_id) = &request.external_app_user_id {
        user.external_id = self::external_id(external_id.clone())?;
    }
    user.profile = fields::USER.merge(&user.profile, &request.other);
    user.modified_at = app.clock.now_ms();
    tx.update_user(&user).await.map_err(login_taken)?;
    let mut events = vec![body::caused(caller, "EDIT_USER", json!(user_reference(&user)), Value::Null)];
    if user.status() == UserStatus::Inactive && !was_inactive {
        events.extend(terminate::end_user(app, &mut tx, caller, user_id, "user became inactive").await?);
    }
    tx.append_events(&user.enterprise_id, app.clock.now_ms(), &app.random, events).await?;
    app.commit(tx).await?;
    Ok(user)
}

/// Deletes a user and ends its sessions in the same transaction.
pub async fn delete(app: &App, caller: &Caller, user_id: &str) -> Result<(), Error> {
    access::may_write_user(caller, None, Role::User)?;
    retried!(delete_once(app, caller, user_id))?;
    Ok(())
}

async fn delete_once(app: &App, caller: &Caller, user_id: &str) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let found = tx.hold_user(&caller.enterprise_id.0, user_id).await?;
    let user = found.ok_or_else(|| Error::not_found("user_id", user_id))?;
    may_change(caller, &user, Role::User)?;
    // First the targets are frozen with their names, then the user goes.
    let mut events: Vec<NewEvent> =
        terminate::end_user(app, &mut tx, caller, user_id, "user was deleted").await?;
    tx.delete_user(user_id).await?;
    events.push(body::caused(caller, "DELETE_USER", json!(user_reference(&user)), Value::Null));
    tx.append_events(&user.enterprise_id, app.clock.now_ms(), &app.random, events).await?;
    app.commit(tx).await?;
    Ok(())
}

fn may_change(caller: &Caller, user: &UserRow, to: Role) -> Result<(), Error> {
    if user.service_of.is_some() {
        return Err(access::Denied::Role("a service account is changed through its app").into());
    }
    Ok(access::may_write_user(caller, Some(user.role()), to)?)
}

pub(super) fn check_name(name: &str) -> Result<String, Error> {
    text::name(name, NAME_MAX).map_err(|why| Error::parameter("name", why))
}

pub(super) fn check_login(login: &str) -> Result<String, Error> {
    text::word(login, LOGIN_MAX).map_err(|why| Error::parameter("login", why))
}

fn external_id(id: String) -> Result<Option<String>, Error> {
    check_external_id(id).map_err(|why| Error::parameter("external_app_user_id", why))
}

/// An empty id is none; the error reads well after the field's name.
pub(super) fn check_external_id(id: String) -> Result<Option<String>, String> {
    text::too_long(&id, EXTERNAL_ID_MAX).map_or(Ok(Some(id).filter(|id| !id.is_empty())), Err)
}

pub(super) fn status_word(status: UserStatus) -> String {
    json!(status).as_str().unwrap_or("active").to_owned()
}

fn login_taken(error: DbError) -> Error {
    match error {
        DbError::Duplicate => Error::Conflict {
            code: "user_login_already_used",
            message: "a user with this login, or with this external_app_user_id, exists already".to_owned(),
        },
        error => error.into(),
    }
}
