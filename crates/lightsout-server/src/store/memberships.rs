//! Memberships of users in groups.

use crate::args;
use crate::domain::access::Permissions;
use crate::store::{Db, DbError, Tx};

/// A membership, with the short forms of its user and group.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct MembershipRow {
    /// The id.
    pub membership_id: String,
    /// The group.
    pub group_id: String,
    /// The group's name.
    pub group_name: String,
    /// The member.
    pub user_id: String,
    /// The member's name.
    pub user_name: String,
    /// The member's login.
    pub user_login: Option<String>,
    /// `member` or `admin`.
    pub role: String,
    /// `null` or an object of booleans, as JSON.
    pub permissions: String,
    /// When it was created.
    pub created_at: i64,
    /// When it was last changed.
    pub modified_at: i64,
}

impl MembershipRow {
    /// The permissions as a type; unreadable ones are all off.
    pub fn permissions(&self) -> Permissions {
        serde_json::from_str(&self.permissions)
            .ok()
            .and_then(|value| Permissions::parse(&value))
            .unwrap_or(Permissions::None)
    }
}

const FIND_MEMBERSHIP: &str =
    "SELECT m.membership_id, m.group_id, g.name AS group_name, m.user_id, u.name AS user_name,
            u.login AS user_login, m.role, m.permissions, m.created_at, m.modified_at
     FROM memberships m
     JOIN groups g ON g.group_id = m.group_id
     JOIN users u ON u.user_id = m.user_id
     WHERE m.membership_id = $1 AND g.enterprise_id = $2";

const LIST_ADMINISTERED: &str =
    "SELECT group_id, permissions FROM memberships WHERE user_id = $1 AND role = 'admin'";

impl Db {
    /// Finds a membership in a group of a tenant.
    pub async fn find_membership(
        &self,
        enterprise_id: &str,
        membership_id: &str,
    ) -> Result<Option<MembershipRow>, DbError> {
        self.find(FIND_MEMBERSHIP, args![membership_id, enterprise_id]).await
    }

    /// Lists the memberships of a group or of a user (one of the two), by id.
    pub async fn list_memberships(
        &self,
        group_id: Option<&str>,
        user_id: Option<&str>,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<MembershipRow>, DbError> {
        self.fetch(
            "SELECT m.membership_id, m.group_id, g.name AS group_name, m.user_id, u.name AS user_name,
                    u.login AS user_login, m.role, m.permissions, m.created_at, m.modified_at
             FROM memberships m
             JOIN groups g ON g.group_id = m.group_id
             JOIN users u ON u.user_id = m.user_id
             WHERE m.group_id = $1 OR m.user_id = $2
             ORDER BY m.membership_id
             LIMIT $3 OFFSET $4",
            args![group_id, user_id, limit, offset],
        )
        .await
    }

    /// Counts the memberships that [`Db::list_memberships`] would list without limits.
    pub async fn count_memberships(
        &self,
        group_id: Option<&str>,
        user_id: Option<&str>,
    ) -> Result<i64, DbError> {
        let count: Option<(i64,)> = self
            .find(
                "SELECT count(*) FROM memberships WHERE group_id = $1 OR user_id = $2",
                args![group_id, user_id],
            )
            .await?;
        Ok(count.map_or(0, |(n,)| n))
    }

    /// The groups that a user administers, with what they may do there.
    pub async fn list_administered(&self, user_id: &str) -> Result<Vec<(String, Permissions)>, DbError> {
        Ok(read_permissions(self.fetch(LIST_ADMINISTERED, args![user_id]).await?))
    }

    /// Whether a user is a member of a group.
    pub async fn is_member(&self, group_id: &str, user_id: &str) -> Result<bool, DbError> {
        let row: Option<(i64,)> = self
            .find(
                "SELECT count(*) FROM memberships WHERE group_id = $1 AND user_id = $2",
                args![group_id, user_id],
            )
            .await?;
        Ok(row.is_some_and(|(n,)| n > 0))
    }
}

/// Groups with what may be done there; what is unreadable allows nothing.
fn read_permissions(rows: Vec<(String, String)>) -> Vec<(String, Permissions)> {
    rows.into_iter()
        .filter_map(|(group, json)| Some((group, Permissions::parse(&serde_json::from_str(&json).ok()?)?)))
        .collect()
}

impl Tx {
    /// Finds a membership in a group of a tenant, and holds the group until the commit: no other
    /// transaction changes its members meanwhile.
    pub async fn hold_membership(
        &mut self,
        enterprise_id: &str,
        membership_id: &str,
    ) -> Result<Option<MembershipRow>, DbError> {
        let _: Option<(String,)> = self
            .find(
                "SELECT group_id FROM groups
                 WHERE group_id = (SELECT m.group_id FROM memberships m WHERE m.membership_id = $1)
                   AND enterprise_id = $2
                 {for_update}",
                args![membership_id, enterprise_id],
            )
            .await?;
        // Read by a statement of its own: PostgreSQL's first one may have waited for another change.
        self.find(FIND_MEMBERSHIP, args![membership_id, enterprise_id]).await
    }

    /// The groups that a user administers, with what they may do there.
    pub async fn list_administered(&mut self, user_id: &str) -> Result<Vec<(String, Permissions)>, DbError> {
        Ok(read_permissions(self.fetch(LIST_ADMINISTERED, args![user_id]).await?))
    }

    /// Whether a user is a member of a group.
    pub async fn is_member(&mut self, group_id: &str, user_id: &str) -> Result<bool, DbError> {
        let row: Option<(i64,)> = self
            .find(
                "SELECT count(*) FROM memberships WHERE group_id = $1 AND user_id = $2",
                args![group_id, user_id],
            )
            .await?;
        Ok(row.is_some_and(|(n,)| n > 0))
    }

    /// Inserts a membership. [`DbError::Duplicate`]: the user is a member already.
    pub async fn insert_membership(&mut self, row: &MembershipRow) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO memberships VALUES ($1, $2, $3, $4, $5, $6, $7)",
            args![
                &row.membership_id,
                &row.group_id,
                &row.user_id,
                &row.role,
                &row.permissions,
                row.created_at,
                row.modified_at
            ],
        )
        .await
        .map(drop)
    }

    /// Writes a changed membership back. False: it is gone.
    pub async fn update_membership(&mut self, row: &MembershipRow) -> Result<bool, DbError> {
        let touched = self
            .execute(
                "UPDATE memberships SET role = $2, permissions = $3, modified_at = $4 WHERE membership_id = $1",
                args![&row.membership_id, &row.role, &row.permissions, row.modified_at],
            )
            .await?;
        Ok(touched == 1)
    }

    /// Deletes a membership. False: it is gone.
    pub async fn delete_membership(&mut self, membership_id: &str) -> Result<bool, DbError> {
        let touched =
            self.execute("DELETE FROM memberships WHERE membership_id = $1", args![membership_id]).await?;
        Ok(touched == 1)
    }
}
