//! Memberships: who is in a group, and who administers it.

use lightsout_api::{CreateGroupMembership, MembershipRole, UpdateGroupMembership};
use serde_json::{Map, Value, json};

use super::{Error, body, groups, retried};
use crate::app::App;
use crate::domain::access::{self, Caller, MANAGE_GROUPS, MANAGE_USERS, Permissions};
use crate::domain::text;
use crate::store::{DbError, MembershipRow, Tx};

/// The most permissions of a group admin that are set one by one.
const PERMISSIONS_MAX: usize = 50;
/// The longest name of a permission, in characters.
const PERMISSION_MAX: usize = 100;

/// Reads a membership: one's own, or with the directory rights.
pub async fn find(app: &App, caller: &Caller, membership_id: &str) -> Result<MembershipRow, Error> {
    caller.needs_scope(MANAGE_GROUPS)?;
    let row = app.db.find_membership(&caller.enterprise_id.0, membership_id).await?;
    let mine = row.as_ref().is_some_and(|m| m.user_id == caller.person.user_id.0);
    if !mine {
        access::may_read_directory(caller, MANAGE_GROUPS)?;
    }
    row.ok_or_else(|| Error::not_found("group_membership_id", membership_id))
}

/// Lists the memberships of a group, by id, and counts them all.
pub async fn list_of_group(
    app: &App,
    caller: &Caller,
    group_id: &str,
    offset: i64,
    limit: i64,
) -> Result<(Vec<MembershipRow>, i64), Error> {
    groups::find(app, caller, group_id).await?;
    let rows = app.db.list_memberships(Some(group_id), None, offset, limit).await?;
    Ok((rows, app.db.count_memberships(Some(group_id), None).await?))
}

/// Lists the memberships of a user, by id, and counts them all.
pub async fn list_of_user(
    app: &App,
    caller: &Caller,
    user_id: &str,
    offset: i64,
    limit: i64,
) -> Result<(Vec<MembershipRow>, i64), Error> {
    if caller.person.user_id.0 != user_id {
        access::may_read_directory(caller, MANAGE_USERS)?;
        caller.needs_scope(MANAGE_GROUPS)?;
    }
    if app.db.find_user(&caller.enterprise_id.0, user_id).await?.is_none() {
        return Err(Error::not_found("user_id", user_id));
    }
    let rows = app.db.list_memberships(None, Some(user_id), offset, limit).await?;
    Ok((rows, app.db.count_memberships(None, Some(user_id)).await?))
}

/// Puts a user into a group.
pub async fn create(
    app: &App,
    caller: &Caller,
    request: CreateGroupMembership,
) -> Result<MembershipRow, Error> {
    retried!(create_once(app, caller, &request))
}

async fn create_once(
    app: &App,
    caller: &Caller,
    request: &CreateGroupMembership,
) -> Result<MembershipRow, Error> {
    let enterprise = caller.enterprise_id.0.as_str();
    let (user_id, group_id) = (request.user.id.as_str(), request.group.id.as_str());
    let mut tx = app.db.begin().await?;
    // Both are held, so that neither is deleted before the commit.
    let group = tx.hold_group(enterprise, group_id).await?;
    may_write(&mut tx, caller, group_id).await?;
    let is_admin = request.role == Some(MembershipRole::Admin);
    let permissions = permissions(request.configurable_permissions.clone())?;
    if is_admin {
        access::may_appoint_group_admin(caller, &permissions)?;
    }
    let user = tx.hold_user(enterprise, user_id).await?;
    let user = user.ok_or_else(|| Error::not_found("user_id", user_id))?;
    let group = group.ok_or_else(|| Error::not_found("group_id", group_id))?;
    let now = app.clock.now_ms();
    let row = MembershipRow {
        membership_id: app.random.numeric_id(),
        group_id: group.group_id,
        group_name: group.name,
        user_id: user.user_id,
        user_name: user.name,
        user_login: user.login,
        role: request.role.unwrap_or(MembershipRole::Member).as_str().to_owned(),
        permissions: stored(&if is_admin { permissions } else { may_wait(caller, permissions) }),
        created_at: now,
        modified_at: now,
    };
    tx.insert_membership(&row).await.map_err(member_already)?;
    append(app, caller, tx, "GROUP_ADD_USER", &row).await?;
    Ok(row)
}

/// Changes a member's role, or what a group admin may do.
pub async fn update(
    app: &App,
    caller: &Caller,
    membership_id: &str,
    request: UpdateGroupMembership,
) -> Result<MembershipRow, Error> {
    retried!(update_once(app, caller, membership_id, &request))
}

async fn update_once(
    app: &App,
    caller: &Caller,
    membership_id: &str,
    request: &UpdateGroupMembership,
) -> Result<MembershipRow, Error> {
    let mut tx = app.db.begin().await?;
    let mut row = hold_to_write(&mut tx, caller, membership_id).await?;
    let sent = request.configurable_permissions.clone().map(|sent| permissions(Some(sent))).transpose()?;
    let was_admin = row.role == "admin";
    if let Some(role) = request.role {
        role.as_str().clone_into(&mut row.role);
    }
    let is_admin = row.role == "admin";
    let permissions = match sent {
        Some(sent) if is_admin => sent,
        Some(sent) => may_wait(caller, sent),
        // A group admin who is dismissed starts again without.
        None if was_admin && !is_admin => Permissions::unsaid(),
        None => row.permissions(),
    };
    if was_admin || is_admin {
        let granted = if is_admin { &permissions } else { &Permissions::None };
        access::may_appoint_group_admin(caller, granted)?;
    } else if stored(&permissions) == row.permissions {
        return Ok(row);
    }
    let event_type = match (was_admin, is_admin) {
        (false, true) => "GROUP_ADMIN_CREATED",
        (true, false) => "GROUP_ADMIN_DELETED",
        _ => "GROUP_ADMIN_PERMISSIONS_UPDATED",
    };
    row.permissions = stored(&permissions);
    row.modified_at = app.clock.now_ms();
    if !tx.update_membership(&row).await? {
        return Err(Error::not_found("group_membership_id", membership_id));
    }
    append(app, caller, tx, event_type, &row).await?;
    Ok(row)
}

/// Takes a user out of a group.
pub async fn delete(app: &App, caller: &Caller, membership_id: &str) -> Result<(), Error> {
    retried!(delete_once(app, caller, membership_id))
}

async fn delete_once(app: &App, caller: &Caller, membership_id: &str) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let row = hold_to_write(&mut tx, caller, membership_id).await?;
    if row.role == "admin" {
        access::may_appoint_group_admin(caller, &Permissions::None)?;
    }
    if !tx.delete_membership(membership_id).await? {
        return Err(Error::not_found("group_membership_id", membership_id));
    }
    append(app, caller, tx, "GROUP_REMOVE_USER", &row).await
}

/// Refuses whoever may not change this group's members. The group is held, so the caller's own membership
/// stays as it is.
async fn may_write(tx: &mut Tx, caller: &Caller, group_id: &str) -> Result<(), Error> {
    let administered = tx.list_administered(&caller.person.user_id.0).await?;
    let granted = administered.iter().any(|(id, may)| id == group_id && may.can_edit_memberships());
    Ok(access::may_write_membership(caller, granted)?)
}

async fn hold_to_write(tx: &mut Tx, caller: &Caller, membership_id: &str) -> Result<MembershipRow, Error> {
    if let Some(row) = tx.hold_membership(&caller.enterprise_id.0, membership_id).await? {
        may_write(tx, caller, &row.group_id).await?;
        Ok(row)
    } else {
        access::may_write_membership(caller, false)?;
        Err(Error::not_found("group_membership_id", membership_id))
    }
}

#[expect(clippy::option_option, reason = "absent and null differ on this wire")]
fn permissions(sent: Option<Option<Map<String, Value>>>) -> Result<Permissions, Error> {
    let value = match sent {
        None => json!({}),
        Some(None) => Value::Null,
        Some(Some(map)) => Value::Object(map),
    };
    let wrong = |message: String| Error::parameter("configurable_permissions", message);
    let permissions = Permissions::parse(&value)
        .ok_or_else(|| wrong("must be null or an object of true and false".to_owned()))?;
    if let Permissions::Some(map) = &permissions {
        if map.len() > PERMISSIONS_MAX {
            return Err(wrong(format!("has {} entries; at most {PERMISSIONS_MAX}", map.len())));
        }
        if let Some(why) = map.keys().find_map(|key| text::too_long(key, PERMISSION_MAX)) {
            return Err(wrong(format!("has a name that {why}")));
        }
    }
    Ok(permissions)
}

/// What is kept of permissions that are sent for a plain member. They have no effect, as on Box, until
/// somebody makes the member an admin. Then they are a grant, so they are kept from those alone who could
/// grant them now.
fn may_wait(caller: &Caller, permissions: Permissions) -> Permissions {
    let could_grant = access::may_appoint_group_admin(caller, &permissions).is_ok();
    if could_grant { permissions } else { Permissions::unsaid() }
}

/// Permissions as they are stored.
fn stored(permissions: &Permissions) -> String {
    match permissions {
        Permissions::None => "null".to_owned(),
        Permissions::Some(map) => json!(map).to_string(),
    }
}

async fn append(
    app: &App,
    caller: &Caller,
    mut tx: Tx,
    event_type: &'static str,
    row: &MembershipRow,
) -> Result<(), Error> {
    let source = json!({"type": "user", "id": row.user_id, "login": row.user_login, "name": row.user_name});
    let details = json!({"group_id": row.group_id, "group_name": row.group_name, "role": row.role});
    let event = body::caused(caller, event_type, source, details);
    tx.append_events(&caller.enterprise_id.0, app.clock.now_ms(), &app.random, vec![event]).await?;
    app.commit(tx).await?;
    Ok(())
}

fn member_already(error: DbError) -> Error {
    match error {
        DbError::Duplicate => Error::Conflict {
            code: "conflict",
            message: "the user is a member of this group already".to_owned(),
        },
        error => error.into(),
    }
}
