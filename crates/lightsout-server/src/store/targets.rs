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

/// The people of a termination, each checked: some by id, and every plain user of some groups.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// By id.
    pub user_ids: Vec<String>,
    /// By group; who manages in the enterprise is chosen by id only.
    pub group_ids: Vec<String>,
}

impl Tx {
    /// Freezes the chosen people, numbered by their ids, with the names that systems know them by. Whoever
    /// was deleted since the look-up is none of them. Returns how many there are.
    pub(super) async fn insert_targets(
        &mut self,
        termination_id: &str,
        chosen: &Chosen,
    ) -> Result<i64, DbError> {
        let people = self
            .execute(
                "INSERT INTO termination_targets (termination_id, ordinal, user_id, login, external_id)
                 SELECT $3, row_number() OVER (ORDER BY u.user_id) - 1, u.user_id, u.login, u.external_id
                 FROM (SELECT value AS user_id FROM {texts $1} AS ids
                       UNION
                       SELECT m.user_id FROM memberships m WHERE m.group_id IN {texts $2}) chosen
                 JOIN users u ON u.user_id = chosen.user_id
                 WHERE u.role = 'user' OR u.user_id IN {texts $1}",
                args![Value::from(&*chosen.user_ids), Value::from(&*chosen.group_ids), termination_id],
            )
            .await?;
        Ok(i64::try_from(people).expect("fewer people than numbers"))
    }

    /// The members of these groups who are no plain users.
    pub async fn list_managers_by_group(
        &mut self,
        group_ids: &[String],
    ) -> Result<Vec<TargetFacts>, DbError> {
        if group_ids.is_empty() {
            return Ok(Vec::new());
        }
        self.fetch(
            // From the index of managers: a group may hold 100,000 people.
            "SELECT u.user_id, u.login, u.login_folded, u.role
             FROM users u CROSS JOIN memberships m
             WHERE u.role <> 'user' AND m.user_id = u.user_id AND m.group_id IN {texts $1}",
            args![Value::from(group_ids)],
        )
        .await
    }

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
            // By the ids: the index of the enterprise would read everybody.
            "SELECT user_id, login, login_folded, role FROM users
             WHERE user_id IN {texts $1} AND enterprise_id || '' = $2",
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
            // By the logins: the index of the enterprise would read everybody.
            "SELECT user_id, login, login_folded, role FROM users
             WHERE login_folded IN {texts $1} AND enterprise_id || '' = $2",
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
