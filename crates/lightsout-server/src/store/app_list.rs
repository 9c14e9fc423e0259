//! The apps of an enterprise, for those who manage it.

use crate::args;
use crate::store::{AppRow, Db, DbError};

impl Db {
    /// Lists apps of a tenant by their ids, after one.
    pub async fn list_apps(
        &self,
        enterprise_id: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<AppRow>, DbError> {
        self.fetch(
            "SELECT a.client_id, a.enterprise_id, a.name, a.secret_hash, a.scopes, a.rights, a.service_user_id,
                    a.may_end_admins_at, a.user_tokens_at, a.box_audience_at, a.created_at,
                    coalesce(s.redirect_uris, '[]') AS redirect_uris, s.public_at, s.secret_rotated_at,
                    s.last_used_at, s.introspection_cache_s
             FROM apps a LEFT JOIN app_sign_ins s ON s.client_id = a.client_id
             WHERE a.enterprise_id = $1 AND a.client_id > $2
             ORDER BY a.client_id
             LIMIT $3",
            args![enterprise_id, after, limit],
        )
        .await
    }

    /// Counts the public keys of each app of a tenant; an app without any is left out.
    pub async fn count_app_keys(&self, enterprise_id: &str) -> Result<Vec<(String, i64)>, DbError> {
        self.fetch(
            "SELECT k.client_id, count(*)
             FROM app_keys k JOIN apps a ON a.client_id = k.client_id
             WHERE a.enterprise_id = $1
             GROUP BY k.client_id",
            args![enterprise_id],
        )
        .await
    }
}
