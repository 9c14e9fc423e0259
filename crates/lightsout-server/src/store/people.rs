//! Searches of the console: each bounded, each by an index.

use serde_json::Value;

use crate::args;
use crate::domain::fold::fold;
use crate::store::directory::prefix_range;
use crate::store::{Chosen, Db, DbError, GroupRow, MembershipRow, TerminationRow, Tx, UserRow};

impl Db {
    /// Lists people of a tenant whose name starts with `term`, by name, service accounts left out; with
    /// `among`, only members of these groups.
    pub async fn list_users_by_name(
        &self,
        enterprise_id: &str,
        term: &str,
        among: Option<&[String]>,
        limit: i64,
    ) -> Result<Vec<UserRow>, DbError> {
        let (term, end) = prefix_range(Some(term));
        let (groups, only) = of_groups(among);
        self.fetch(
            // From users_by_name, in its order.
            "SELECT * FROM users u
             WHERE enterprise_id = $2 AND name_folded >= $3 AND name_folded < $4 AND service_of IS NULL
               AND ($5 = 0 OR EXISTS (SELECT 1 FROM memberships m
                                      WHERE m.user_id = u.user_id AND m.group_id IN {texts $1}))
             ORDER BY name_folded, user_id
             LIMIT $6",
            args![groups, enterprise_id, term, end, only, limit],
        )
        .await
    }

    /// Lists people of a tenant in whose name a word after the first starts with `term`, by name, as
    /// [`Self::list_users_by_name`] does. It reads every name of the tenant.
    pub async fn list_users_by_word(
        &self,
        enterprise_id: &str,
        term: &str,
        among: Option<&[String]>,
        limit: i64,
    ) -> Result<Vec<UserRow>, DbError> {
        let (word, part) = later_word(term);
        let (groups, only) = of_groups(among);
        self.fetch(
            // All names from users_by_name, and only the rows that are found.
            "SELECT * FROM users u
             WHERE user_id IN (SELECT user_id FROM users
                               WHERE enterprise_id = $2
                                 AND (name_folded LIKE $3 ESCAPE '\\' OR name_folded LIKE $4 ESCAPE '\\'))
               AND service_of IS NULL
               AND ($5 = 0 OR EXISTS (SELECT 1 FROM memberships m
                                      WHERE m.user_id = u.user_id AND m.group_id IN {texts $1}))
             ORDER BY name_folded, user_id
             LIMIT $6",
            args![groups, enterprise_id, word, part, only, limit],
        )
        .await
    }

    /// Lists people of a tenant whose login starts with `term`, by login, service accounts left out; with
    /// `among`, only members of these groups.
    pub async fn list_users_by_login(
        &self,
        enterprise_id: &str,
        term: &str,
        among: Option<&[String]>,
        limit: i64,
    ) -> Result<Vec<UserRow>, DbError> {
        let (term, end) = prefix_range(Some(term));
        let (groups, only) = of_groups(among);
        self.fetch(
            // From users_by_login, in its order: the index of the enterprise would read everybody.
            "SELECT * FROM users u
             WHERE login_folded >= $3 AND login_folded < $4 AND enterprise_id || '' = $2 AND service_of IS NULL
               AND ($5 = 0 OR EXISTS (SELECT 1 FROM memberships m
                                      WHERE m.user_id = u.user_id AND m.group_id IN {texts $1}))
             ORDER BY login_folded
             LIMIT $6",
            args![groups, enterprise_id, term, end, only, limit],
        )
        .await
    }

    /// Finds people of a tenant by their whole id, here or in an outside system; with `among`, only
    /// members of these groups.
    pub async fn list_users_by_any_id(
        &self,
        enterprise_id: &str,
        id: &str,
        among: Option<&[String]>,
    ) -> Result<Vec<UserRow>, DbError> {
        let (groups, only) = of_groups(among);
        self.fetch(
            "SELECT u.* FROM (SELECT * FROM users WHERE user_id = $3 AND enterprise_id || '' = $2
                              UNION
                              SELECT * FROM users WHERE enterprise_id = $2 AND external_id = $3) u
             WHERE $4 = 0 OR EXISTS (SELECT 1 FROM memberships m
                                     WHERE m.user_id = u.user_id AND m.group_id IN {texts $1})",
            args![groups, enterprise_id, id, only],
        )
        .await
    }

    /// Lists groups of a tenant whose name starts with `term`, by name; with `among`, only these.
    pub async fn list_groups_by_name(
        &self,
        enterprise_id: &str,
        term: &str,
        among: Option<&[String]>,
        limit: i64,
    ) -> Result<Vec<GroupRow>, DbError> {
        let (start, end) = prefix_range(Some(term));
        let (groups, only) = of_groups(among);
        self.fetch(
            // From groups_by_name, in its order.
            "SELECT group_id, enterprise_id, name, profile, created_at, modified_at FROM groups
             WHERE enterprise_id = $2 AND name_folded >= $3 AND name_folded < $4
               AND ($5 = 0 OR group_id IN {texts $1})
             ORDER BY name_folded
             LIMIT $6",
            args![groups, enterprise_id, start, end, only, limit],
        )
        .await
    }

    /// Lists groups of a tenant in whose name a word after the first starts with `term`, by name; with
    /// `among`, only these.
    pub async fn list_groups_by_word(
        &self,
        enterprise_id: &str,
        term: &str,
        among: Option<&[String]>,
        limit: i64,
    ) -> Result<Vec<GroupRow>, DbError> {
        let (word, part) = later_word(term);
        let (groups, only) = of_groups(among);
        self.fetch(
            "SELECT group_id, enterprise_id, name, profile, created_at, modified_at FROM groups
             WHERE enterprise_id = $2 AND (name_folded LIKE $3 ESCAPE '\\' OR name_folded LIKE $4 ESCAPE '\\')
               AND ($5 = 0 OR group_id IN {texts $1})
             ORDER BY name_folded
             LIMIT $6",
            args![groups, enterprise_id, word, part, only, limit],
        )
        .await
    }

    /// The names of these people and groups of a tenant: (id, name).
    pub async fn list_names(
        &self,
        enterprise_id: &str,
        user_ids: &[String],
        group_ids: &[String],
    ) -> Result<Vec<(String, String, Option<String>)>, DbError> {
        self.fetch(
            "SELECT user_id, name, login FROM users
             WHERE user_id IN {texts $1} AND enterprise_id || '' = $3
             UNION ALL
             SELECT group_id, name, NULL FROM groups WHERE group_id IN {texts $2} AND enterprise_id || '' = $3",
            args![Value::from(user_ids), Value::from(group_ids), enterprise_id],
        )
        .await
    }

    /// The groups of a tenant with these folded names: (id, folded name).
    pub async fn list_groups_named(
        &self,
        enterprise_id: &str,
        names: &[String],
    ) -> Result<Vec<(String, String)>, DbError> {
        self.fetch(
            "SELECT group_id, name_folded FROM groups WHERE enterprise_id = $2 AND name_folded IN {texts $1}",
            args![Value::from(names), enterprise_id],
        )
        .await
    }

    /// The groups of a tenant among these ids.
    pub async fn list_known_groups(
        &self,
        enterprise_id: &str,
        ids: &[String],
    ) -> Result<Vec<(String,)>, DbError> {
        self.fetch(
            "SELECT group_id FROM groups WHERE group_id IN {texts $1} AND enterprise_id = $2",
            args![Value::from(ids), enterprise_id],
        )
        .await
    }

    /// Lists the members of a group by their ids, after one.
    pub async fn list_members(
        &self,
        group_id: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<UserRow>, DbError> {
        self.fetch(
            // From memberships_by_group, in its order: nothing is sorted.
            "SELECT u.* FROM memberships m JOIN users u ON u.user_id = m.user_id
             WHERE m.group_id = $1 AND m.user_id > $2
             ORDER BY m.user_id
             LIMIT $3",
            args![group_id, after, limit],
        )
        .await
    }

    /// Lists the memberships of a person by the groups' names; with `among`, only those in these groups.
    pub async fn list_groups_of(
        &self,
        user_id: &str,
        among: Option<&[String]>,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<MembershipRow>, DbError> {
        let (groups, only) = of_groups(among);
        self.fetch(
            "SELECT m.membership_id, m.group_id, g.name AS group_name, m.user_id, '' AS user_name,
                    CAST(NULL AS TEXT) AS user_login, m.role, m.permissions, m.created_at, m.modified_at
             FROM memberships m JOIN groups g ON g.group_id = m.group_id
             WHERE m.user_id = $2 AND ($3 = 0 OR m.group_id IN {texts $1})
             ORDER BY g.name_folded
             LIMIT $4 OFFSET $5",
            args![groups, user_id, only, limit, offset],
        )
        .await
    }

    /// Whether a person is a member of one of these groups.
    pub async fn is_member_of_any(&self, group_ids: &[String], user_id: &str) -> Result<bool, DbError> {
        let row: Option<(i64,)> = self
            .find(
                "SELECT count(*) FROM memberships WHERE user_id = $2 AND group_id IN {texts $1}",
                args![Value::from(group_ids), user_id],
            )
            .await?;
        Ok(row.is_some_and(|(n,)| n > 0))
    }

    /// Counts the members of a group.
    pub async fn count_members(&self, group_id: &str) -> Result<i64, DbError> {
        let sql = "SELECT count(*) FROM memberships WHERE group_id = $1";
        let row: Option<(i64,)> = self.find(sql, args![group_id]).await?;
        Ok(row.map_or(0, |(n,)| n))
    }

    /// The ids of the chosen people.
    pub async fn list_chosen(&self, chosen: &Chosen) -> Result<Vec<String>, DbError> {
        let ids: Vec<(String,)> = self
            .fetch(
                "SELECT u.user_id
                 FROM (SELECT value AS user_id FROM {texts $1} AS ids
                       UNION
                       SELECT m.user_id FROM memberships m WHERE m.group_id IN {texts $2}) chosen
                 JOIN users u ON u.user_id = chosen.user_id
                 WHERE u.role = 'user' OR u.user_id IN {texts $1}
                 ORDER BY u.user_id",
                args![Value::from(&*chosen.user_ids), Value::from(&*chosen.group_ids)],
            )
            .await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    /// Counts the live registry sessions of the chosen people.
    pub async fn count_sessions_of(&self, chosen: &Chosen, now: i64) -> Result<i64, DbError> {
        let row: Option<(i64,)> = self
            .find(
                "SELECT count(*)
                 FROM (SELECT value AS user_id FROM {texts $1} AS ids
                       UNION
                       SELECT m.user_id FROM memberships m WHERE m.group_id IN {texts $2}) chosen
                 JOIN users u ON u.user_id = chosen.user_id AND u.status <> 'inactive'
                 JOIN sessions s ON s.user_id = u.user_id AND s.expires_at > $3
                 LEFT JOIN barriers b ON b.user_id = u.user_id
                 WHERE (u.role = 'user' OR u.user_id IN {texts $1})
                   AND s.generation >= coalesce(b.generation, 0)",
                args![Value::from(&*chosen.user_ids), Value::from(&*chosen.group_ids), now],
            )
            .await?;
        Ok(row.map_or(0, |(n,)| n))
    }

    /// Lists the newest terminations of a tenant.
    pub async fn list_newest_terminations(
        &self,
        enterprise_id: &str,
        limit: i64,
    ) -> Result<Vec<TerminationRow>, DbError> {
        self.list_terminations(enterprise_id, None, (i64::MAX, ""), limit).await
    }

    /// Lists the terminations that ended a person's sessions, newest first, among the newest `newest` of
    /// the tenant.
    ///
    /// The targets of a termination are numbered in the order of their ids, so a person is found among
    /// 100,000 by halving seventeen times. An index by person would be written for each target while the
    /// request waits.
    pub async fn list_terminations_of(
        &self,
        enterprise_id: &str,
        user_id: &str,
        newest: i64,
        limit: i64,
    ) -> Result<Vec<TerminationRow>, DbError> {
        self.fetch(
            "WITH RECURSIVE newest AS (
                 SELECT * FROM terminations WHERE enterprise_id = $1
                 ORDER BY created_at DESC, termination_id DESC LIMIT $3
             ),
             halved (termination_id, low, high) AS (
                 SELECT termination_id, CAST(0 AS BIGINT), people - 1 FROM newest WHERE people > 0
                 UNION ALL
                 SELECT h.termination_id,
                        CASE WHEN t.user_id < $2 THEN t.ordinal + 1 ELSE h.low END,
                        CASE WHEN t.user_id < $2 THEN h.high ELSE t.ordinal END
                 FROM halved h
                 CROSS JOIN termination_targets t
                 WHERE t.termination_id = h.termination_id AND t.ordinal = (h.low + h.high) / 2
                   AND h.low < h.high
             )
             SELECT n.*
             FROM halved h
             CROSS JOIN termination_targets t
             JOIN newest n ON n.termination_id = h.termination_id
             WHERE h.low = h.high AND t.termination_id = h.termination_id AND t.ordinal = h.low
               AND t.user_id = $2
             ORDER BY n.created_at DESC, n.termination_id DESC
             LIMIT $4",
            args![enterprise_id, user_id, newest, limit],
        )
        .await
    }
}

impl Tx {
    /// Counts the chosen people, and whether one person is among them.
    pub async fn count_chosen(&mut self, chosen: &Chosen, user_id: &str) -> Result<(i64, bool), DbError> {
        let row: Option<(i64, i64)> = self
            .find(
                "SELECT count(*), CAST(coalesce(sum(CASE WHEN u.user_id = $3 THEN 1 ELSE 0 END), 0) AS BIGINT)
                 FROM (SELECT value AS user_id FROM {texts $1} AS ids
                       UNION
                       SELECT m.user_id FROM memberships m WHERE m.group_id IN {texts $2}) chosen
                 JOIN users u ON u.user_id = chosen.user_id
                 WHERE u.role = 'user' OR u.user_id IN {texts $1}",
                args![Value::from(&*chosen.user_ids), Value::from(&*chosen.group_ids), user_id],
            )
            .await?;
        Ok(row.map_or((0, false), |(people, mine)| (people, mine > 0)))
    }
}

/// Patterns of folded names in which a word, or a part of a double name, starts with `term`.
fn later_word(term: &str) -> (String, String) {
    let mut term = fold(term);
    for wild in ['\\', '%', '_'] {
        term = term.replace(wild, &format!("\\{wild}"));
    }
    (format!("% {term}%"), format!("%-{term}%"))
}

/// What statements compare a list of groups with: the list, and whether it counts at all.
fn of_groups(among: Option<&[String]>) -> (Value, i64) {
    (Value::from(among.unwrap_or_default()), i64::from(among.is_some()))
}
