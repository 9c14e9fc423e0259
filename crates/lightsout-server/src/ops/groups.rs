//! Groups: create, read, list, change, delete.

use lightsout_api::{CreateGroup, UpdateGroup};
use serde_json::{Value, json};

use super::{Error, body, retried};
use crate::app::App;
use crate::domain::access::{self, Caller, MANAGE_GROUPS};
use crate::domain::{fields, text};
use crate::store::{DbError, GroupRow, Tx};

/// The longest name, in characters.
const NAME_MAX: usize = 255;

/// Reads a group: its members may, and those with the directory rights.
pub async fn find(app: &App, caller: &Caller, group_id: &str) -> Result<GroupRow, Error> {
    let member = app.db.is_member(group_id, &caller.person.user_id.0).await?;
    if member {
        caller.needs_scope(MANAGE_GROUPS)?;
    } else {
        access::may_read_directory(caller, MANAGE_GROUPS)?;
    }
    app.db
        .find_group(&caller.enterprise_id.0, group_id)
        .await?
        .ok_or_else(|| Error::not_found("group_id", group_id))
}

/// Lists groups by id whose names start with `term`, and counts them all.
pub async fn list(
    app: &App,
    caller: &Caller,
    term: Option<&str>,
    offset: i64,
    limit: i64,
) -> Result<(Vec<GroupRow>, i64), Error> {
    access::may_read_directory(caller, MANAGE_GROUPS)?;
    let enterprise = caller.enterprise_id.0.as_str();
    let rows = app.db.list_groups(enterprise, term, offset, limit).await?;
    Ok((rows, app.db.count_groups(enterprise, term).await?))
}

/// Creates a group.
pub async fn create(app: &App, caller: &Caller, request: CreateGroup) -> Result<GroupRow, Error> {
    access::may_write_groups(caller)?;
    let now = app.clock.now_ms();
    let group = GroupRow {
        group_id: app.random.numeric_id(),
        enterprise_id: caller.enterprise_id.0.clone(),
        name: check_name(&request.name)?,
        profile: fields::GROUP.merge("{}", &request.other),
        created_at: now,
        modified_at: now,
    };
    retried!(create_once(app, caller, &group))?;
    Ok(group)
}

async fn create_once(app: &App, caller: &Caller, group: &GroupRow) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    tx.insert_group(group).await.map_err(name_taken)?;
    append(app, caller, tx, "GROUP_CREATION", group).await
}

/// Changes a group.
pub async fn update(
    app: &App,
    caller: &Caller,
    group_id: &str,
    request: UpdateGroup,
) -> Result<GroupRow, Error> {
    access::may_write_groups(caller)?;
    retried!(update_once(app, caller, group_id, &request))
}

async fn update_once(
    app: &App,
    caller: &Caller,
    group_id: &str,
    request: &UpdateGroup,
) -> Result<GroupRow, Error> {
    let mut tx = app.db.begin().await?;
    let mut group = hold(&mut tx, caller, group_id).await?;
    if let Some(name) = &request.name {
        group.name = check_name(name)?;
    }
    group.profile = fields::GROUP.merge(&group.profile, &request.other);
    group.modified_at = app.clock.now_ms();
    tx.update_group(&group).await.map_err(name_taken)?;
    append(app, caller, tx, "GROUP_EDITED", &group).await?;
    Ok(group)
}

/// Deletes a group and its memberships. Nobody's sessions end by that.
pub async fn delete(app: &App, caller: &Caller, group_id: &str) -> Result<(), Error> {
    access::may_write_groups(caller)?;
    retried!(delete_once(app, caller, group_id))
}

async fn delete_once(app: &App, caller: &Caller, group_id: &str) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let group = hold(&mut tx, caller, group_id).await?;
    tx.delete_group(&group.group_id).await?;
    append(app, caller, tx, "GROUP_DELETION", &group).await
}

/// A group of the caller's enterprise, held until the commit.
async fn hold(tx: &mut Tx, caller: &Caller, group_id: &str) -> Result<GroupRow, Error> {
    tx.hold_group(&caller.enterprise_id.0, group_id)
        .await?
        .ok_or_else(|| Error::not_found("group_id", group_id))
}

async fn append(
    app: &App,
    caller: &Caller,
    mut tx: Tx,
    event_type: &'static str,
    group: &GroupRow,
) -> Result<(), Error> {
    let source = json!({"type": "group", "id": group.group_id, "name": group.name});
    let event = body::caused(caller, event_type, source, Value::Null);
    tx.append_events(&group.enterprise_id, app.clock.now_ms(), &app.random, vec![event]).await?;
    app.commit(tx).await?;
    Ok(())
}

pub(super) fn check_name(name: &str) -> Result<String, Error> {
    text::name(name, NAME_MAX).map_err(|why| Error::parameter("name", why))
}

fn name_taken(error: DbError) -> Error {
    match error {
        DbError::Duplicate => Error::Conflict {
            code: "invalid_parameter",
            message: "a group with this name exists already".to_owned(),
        },
        error => error.into(),
    }
}
