//! Who a termination is for: people by id, by login and by group.

use lightsout_api::Role;
use serde_json::Value;

use crate::args;
use crate::store::directory::role;
use crate::store::{DbError, Tx};

/// A person as a termination sees them.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct TargetFacts {
    /// The id.
    pub user_id: String,
    /// The login.
    pub login: Option<String>,
    /// The login as it is compared.
    pub login_folded: Option<String>,
    /// The role, in the wire's words.
    pub role: String,
}

impl TargetFacts {
    /// The role as a type.
    pub fn role(&self) -> Role {
        role(&self.role)
    }
}

impl Tx {
    /// The people of a tenant among these ids.
    pub async fn list_targets_by_id(
        &mut self,
        enterprise_id: &str,
        ids: &[String],
    ) -> Result<Vec<TargetFacts>, DbError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.fetch(
            "SELECT user_id, login, login_folded, role FROM users
             WHERE user_id IN {texts $1} AND enterprise_id = $2",
            args![Value::from(ids), enterprise_id],
        )
        .await
    }

    /// The people of a tenant among these logins, folded.
    pub async fn list_targets_by_login(
        &mut self,
        enterprise_id: &str,
        logins: &[String],
    ) -> Result<Vec<TargetFacts>, DbError> {
        if logins.is_empty() {
            return Ok(Vec::new());
        }
        self.fetch(
            "SELECT user_id, login, login_folded, role FROM users
             WHERE login_folded IN {texts $1} AND enterprise_id = $2",
            args![Value::from(logins), enterprise_id],
        )
        .await
    }

    /// The groups of a tenant among these ids.
    pub async fn list_group_ids(
        &mut self,
        enterprise_id: &str,
        ids: &[String],
    ) -> Result<Vec<(String,)>, DbError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.fetch(
            "SELECT group_id FROM groups WHERE group_id IN {texts $1} AND enterprise_id = $2",
            args![Value::from(ids), enterprise_id],
        )
        .await
    }

    /// The members of these groups, each once for every group that holds them.
    pub async fn list_targets_by_group(&mut self, group_ids: &[String]) -> Result<Vec<TargetFacts>, DbError> {
        if group_ids.is_empty() {
            return Ok(Vec::new());
        }
        self.fetch(
            "SELECT u.user_id, u.login, u.login_folded, u.role
             FROM memberships m JOIN users u ON u.user_id = m.user_id
             WHERE m.group_id IN {texts $1}",
            args![Value::from(group_ids)],
        )
        .await
    }
}
