//! Enterprises, users and groups.

use lightsout_api::{Role, UserStatus};
use serde_json::Value;

use crate::args;
use crate::domain::fold::fold;
use crate::store::{Db, DbError, Tx};

/// A tenant.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EnterpriseRow {
    /// The id.
    pub enterprise_id: String,
    /// The name.
    pub name: String,
}

/// A stored user.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct UserRow {
    /// The id.
    pub user_id: String,
    /// The tenant.
    pub enterprise_id: String,
    /// The login, as it was given.
    pub login: Option<String>,
    /// The display name.
    pub name: String,
    /// The role, in the wire's words.
    pub role: String,
    /// The status, in the wire's words.
    pub status: String,
    /// The id in an outside system.
    pub external_id: Option<String>,
    /// The app whose service account this is.
    pub service_of: Option<String>,
    /// Every other field of Box's document, as JSON.
    pub profile: String,
    /// When the user was created.
    pub created_at: i64,
    /// When it was last changed.
    pub modified_at: i64,
}

impl UserRow {
    /// The role as a type.
    pub fn role(&self) -> Role {
        role(&self.role)
    }

    /// The status as a type.
    pub fn status(&self) -> UserStatus {
        match self.status.as_str() {
            "inactive" => UserStatus::Inactive,
            "cannot_delete_edit" => UserStatus::CannotDeleteEdit,
            "cannot_delete_edit_upload" => UserStatus::CannotDeleteEditUpload,
            _ => UserStatus::Active,
        }
    }
}

/// Reads a stored role.
pub(super) fn role(role: &str) -> Role {
    match role {
        "admin" => Role::Admin,
        "coadmin" => Role::Coadmin,
        _ => Role::User,
    }
}

/// Which users to list.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// The tenant.
    pub enterprise_id: String,
    /// Only users whose name or login starts with this, folded.
    pub term: Option<String>,
    /// Only the user with this id in an outside system.
    pub external_id: Option<String>,
    /// Only users after this id.
    pub after: String,
}

/// A group.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct GroupRow {
    /// The id.
    pub group_id: String,
    /// The tenant.
    pub enterprise_id: String,
    /// The name.
    pub name: String,
    /// Every other field of Box's document, as JSON.
    pub profile: String,
    /// When the group was created.
    pub created_at: i64,
    /// When it was last changed.
    pub modified_at: i64,
}

impl Db {
    /// Finds a tenant.
    pub async fn find_enterprise(&self, enterprise_id: &str) -> Result<Option<EnterpriseRow>, DbError> {
        self.find(
            "SELECT enterprise_id, name FROM enterprises WHERE enterprise_id = $1",
            args![enterprise_id],
        )
        .await
    }

    /// Lists the tenants.
    pub async fn list_enterprises(&self) -> Result<Vec<EnterpriseRow>, DbError> {
        self.fetch("SELECT enterprise_id, name FROM enterprises ORDER BY enterprise_id", args![]).await
    }

    /// Finds a user of a tenant.
    pub async fn find_user(&self, enterprise_id: &str, user_id: &str) -> Result<Option<UserRow>, DbError> {
        self.find(
            "SELECT * FROM users WHERE user_id = $1 AND enterprise_id = $2",
            args![user_id, enterprise_id],
        )
        .await
    }

    /// Finds a user of any tenant by id.
    pub async fn find_user_by_id(&self, user_id: &str) -> Result<Option<UserRow>, DbError> {
        self.find("SELECT * FROM users WHERE user_id = $1", args![user_id]).await
    }

    /// Finds a user by login, in any case.
    pub async fn find_user_by_login(&self, login: &str) -> Result<Option<UserRow>, DbError> {
        self.find("SELECT * FROM users WHERE login_folded = $1", args![fold(login)]).await
    }

    /// Lists users by id, service accounts left out, and counts all that match.
    pub async fn list_users(
        &self,
        filter: &UserFilter,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<UserRow>, DbError> {
        let (term, end) = prefix_range(filter.term.as_deref());
        self.fetch(
            "SELECT * FROM users
             WHERE enterprise_id = $1
               AND user_id > $2
               AND service_of IS NULL
               AND (name_folded >= $3 AND name_folded < $4 OR login_folded >= $3 AND login_folded < $4)
               AND (CAST($5 AS TEXT) IS NULL OR external_id = $5)
             ORDER BY user_id
             LIMIT $6 OFFSET $7",
            args![&filter.enterprise_id, &filter.after, term, end, filter.external_id.clone(), limit, offset],
        )
        .await
    }

    /// Counts the users that [`Db::list_users`] would list without limits.
    pub async fn count_users(&self, filter: &UserFilter) -> Result<i64, DbError> {
        let (term, end) = prefix_range(filter.term.as_deref());
        let count: Option<(i64,)> = self
            .find(
                "SELECT count(*) FROM users
                 WHERE enterprise_id = $1
                   AND service_of IS NULL
                   AND (name_folded >= $2 AND name_folded < $3 OR login_folded >= $2 AND login_folded < $3)
                   AND (CAST($4 AS TEXT) IS NULL OR external_id = $4)",
                args![&filter.enterprise_id, term, end, filter.external_id.clone()],
            )
            .await?;
        Ok(count.map_or(0, |(n,)| n))
    }

    /// The users of a tenant with these ids or folded logins: (id, folded login).
    pub async fn list_known_users(
        &self,
        enterprise_id: &str,
        ids: &[String],
        logins: &[String],
    ) -> Result<Vec<(String, Option<String>)>, DbError> {
        self.fetch(
            // By ids and logins: the index of the enterprise would read everybody.
            "SELECT user_id, login_folded FROM users
             WHERE user_id IN {texts $1} AND enterprise_id || '' = $3
             UNION
             SELECT user_id, login_folded FROM users
             WHERE login_folded IN {texts $2} AND enterprise_id || '' = $3",
            args![Value::from(ids), Value::from(logins), enterprise_id],
        )
        .await
    }

    /// Finds a group of a tenant.
    pub async fn find_group(&self, enterprise_id: &str, group_id: &str) -> Result<Option<GroupRow>, DbError> {
        self.find(
            "SELECT group_id, enterprise_id, name, profile, created_at, modified_at
             FROM groups WHERE group_id = $1 AND enterprise_id = $2",
            args![group_id, enterprise_id],
        )
        .await
    }

    /// Lists groups by id whose name starts with `term`, folded.
    pub async fn list_groups(
        &self,
        enterprise_id: &str,
        term: Option<&str>,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<GroupRow>, DbError> {
        let (term, end) = prefix_range(term);
        self.fetch(
            "SELECT group_id, enterprise_id, name, profile, created_at, modified_at
             FROM groups
             WHERE enterprise_id = $1 AND name_folded >= $2 AND name_folded < $3
             ORDER BY group_id
             LIMIT $4 OFFSET $5",
            args![enterprise_id, term, end, limit, offset],
        )
        .await
    }

    /// Counts the groups that [`Db::list_groups`] would list without limits.
    pub async fn count_groups(&self, enterprise_id: &str, term: Option<&str>) -> Result<i64, DbError> {
        let (term, end) = prefix_range(term);
        let count: Option<(i64,)> = self
            .find(
                "SELECT count(*) FROM groups WHERE enterprise_id = $1 AND name_folded >= $2 AND name_folded < $3",
                args![enterprise_id, term, end],
            )
            .await?;
        Ok(count.map_or(0, |(n,)| n))
    }
}

/// The half-open range of folded texts that start with `term`; all of them for none.
pub(super) fn prefix_range(term: Option<&str>) -> (String, String) {
    let term = fold(term.unwrap_or(""));
    let end = format!("{term}\u{10FFFF}");
    (term, end)
}

impl Tx {
    /// Inserts a tenant.
    pub async fn insert_enterprise(
        &mut self,
        enterprise_id: &str,
        name: &str,
        now: i64,
    ) -> Result<(), DbError> {
        self.execute("INSERT INTO enterprises VALUES ($1, $2, $3)", args![enterprise_id, name, now])
            .await
            .map(drop)
    }

    /// Finds a user of a tenant and holds the row until the commit.
    pub async fn hold_user(
        &mut self,
        enterprise_id: &str,
        user_id: &str,
    ) -> Result<Option<UserRow>, DbError> {
        self.find(
            "SELECT * FROM users WHERE user_id = $1 AND enterprise_id = $2 {for_update}",
            args![user_id, enterprise_id],
        )
        .await
    }

    /// Inserts a user. [`DbError::Duplicate`]: the login is taken.
    pub async fn insert_user(&mut self, user: &UserRow) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO users
                 (user_id, enterprise_id, login, login_folded, name, name_folded, role, status, external_id,
                  service_of, profile, created_at, modified_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            args![
                &user.user_id,
                &user.enterprise_id,
                user.login.clone(),
                user.login.as_deref().map(fold),
                &user.name,
                fold(&user.name),
                &user.role,
                &user.status,
                user.external_id.clone(),
                user.service_of.clone(),
                &user.profile,
                user.created_at,
                user.modified_at
            ],
        )
        .await
        .map(drop)
    }

    /// Writes a changed user back. [`DbError::Duplicate`]: the login is taken.
    pub async fn update_user(&mut self, user: &UserRow) -> Result<(), DbError> {
        let touched = self
            .execute(
                "UPDATE users
                 SET login = $2, login_folded = $3, name = $4, name_folded = $5, role = $6, status = $7,
                     external_id = $8, profile = $9, modified_at = $10
                 WHERE user_id = $1",
                args![
                    &user.user_id,
                    user.login.clone(),
                    user.login.as_deref().map(fold),
                    &user.name,
                    fold(&user.name),
                    &user.role,
                    &user.status,
                    user.external_id.clone(),
                    &user.profile,
                    user.modified_at
                ],
            )
            .await?;
        assert_eq!(touched, 1, "the row is held by this transaction");
        Ok(())
    }

    /// Deletes a user, its memberships and what it signs in with. Barrier and aliases stay: its sessions are being ended.
    pub async fn delete_user(&mut self, user_id: &str) -> Result<(), DbError> {
        self.execute("DELETE FROM memberships WHERE user_id = $1", args![user_id]).await?;
        self.delete_credentials(user_id).await?;
        self.execute("DELETE FROM users WHERE user_id = $1", args![user_id]).await.map(drop)
    }

    /// Finds a group of a tenant and holds the row until the commit. Whoever changes the group's members
    /// holds it, too.
    pub async fn hold_group(
        &mut self,
        enterprise_id: &str,
        group_id: &str,
    ) -> Result<Option<GroupRow>, DbError> {
        self.find(
            "SELECT group_id, enterprise_id, name, profile, created_at, modified_at
             FROM groups WHERE group_id = $1 AND enterprise_id = $2 {for_update}",
            args![group_id, enterprise_id],
        )
        .await
    }

    /// Inserts a group. [`DbError::Duplicate`]: the name is taken.
    pub async fn insert_group(&mut self, group: &GroupRow) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO groups (group_id, enterprise_id, name, name_folded, profile, created_at, modified_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            args![
                &group.group_id,
                &group.enterprise_id,
                &group.name,
                fold(&group.name),
                &group.profile,
                group.created_at,
                group.modified_at
            ],
        )
        .await
        .map(drop)
    }

    /// Writes a changed group back. [`DbError::Duplicate`]: the name is taken.
    pub async fn update_group(&mut self, group: &GroupRow) -> Result<(), DbError> {
        let touched = self
            .execute(
                "UPDATE groups SET name = $3, name_folded = $4, profile = $5, modified_at = $6
                 WHERE group_id = $1 AND enterprise_id = $2",
                args![
                    &group.group_id,
                    &group.enterprise_id,
                    &group.name,
                    fold(&group.name),
                    &group.profile,
                    group.modified_at
                ],
            )
            .await?;
        assert_eq!(touched, 1, "the row is held by this transaction");
        Ok(())
    }

    /// Deletes a group and its memberships.
    pub async fn delete_group(&mut self, group_id: &str) -> Result<(), DbError> {
        self.execute("DELETE FROM memberships WHERE group_id = $1", args![group_id]).await?;
        self.execute("DELETE FROM groups WHERE group_id = $1", args![group_id]).await.map(drop)
    }

    /// Finds a user by login, in any case, and holds the row until the commit.
    pub async fn hold_user_by_login(&mut self, login: &str) -> Result<Option<UserRow>, DbError> {
        self.find("SELECT * FROM users WHERE login_folded = $1 {for_update}", args![fold(login)]).await
    }

    /// The login of the user with this id in an outside system; empty for one without a login.
    pub async fn find_login_of_external_id(
        &mut self,
        enterprise_id: &str,
        external_id: &str,
    ) -> Result<Option<String>, DbError> {
        let row: Option<(String,)> = self
            .find(
                "SELECT coalesce(login, '') FROM users WHERE enterprise_id = $1 AND external_id = $2",
                args![enterprise_id, external_id],
            )
            .await?;
        Ok(row.map(|(login,)| login))
    }

    /// Finds the id of a group by name, in any case, and holds the row until the commit.
    pub async fn hold_group_by_name(
        &mut self,
        enterprise_id: &str,
        name: &str,
    ) -> Result<Option<String>, DbError> {
        let row: Option<(String,)> = self
            .find(
                "SELECT group_id FROM groups WHERE enterprise_id = $1 AND name_folded = $2 {for_update}",
                args![enterprise_id, fold(name)],
            )
            .await?;
        Ok(row.map(|(id,)| id))
    }

    /// Sets a user's name in one system.
    pub async fn upsert_alias(&mut self, user_id: &str, system: &str, subject: &str) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO aliases VALUES ($1, $2, $3)
             ON CONFLICT (user_id, system) DO UPDATE SET subject = excluded.subject",
            args![user_id, system, subject],
        )
        .await
        .map(drop)
    }
}
