//! What an OpenID Provider's own store says of sessions at a relying party: one statement that reads.

use std::sync::Arc;

use futures_util::TryStreamExt;
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use super::ConnectorError;
use super::database::{Connect, Database, Kind};
use super::failure::failure;
use super::ready::{CHUNK, Query, Values};
use super::statement::{Purpose, Statement};
use super::value::{Times, Value};
use crate::secret::Secret;

/// Connections that the store is given at most.
const CONNECTIONS_MAX: u32 = 2;
/// Seconds that one statement may take.
const STATEMENT_TIMEOUT_S: u32 = 30;

/// A session that the store knows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The name that was asked for.
    pub(crate) subject: String,
    pub(crate) sid: String,
    /// The user in the provider's words, if the statement selects it.
    pub(crate) sub: Option<String>,
    pub(crate) began_at: Option<i64>,
}

/// The provider's store.
#[derive(Debug)]
pub(crate) struct Sids {
    url: Secret,
    kind: Kind,
    statement: Statement,
    ready: Mutex<Option<Arc<(Database, Query)>>>,
}

impl Sids {
    /// Reads the statement, and connects when it is first asked.
    pub(crate) fn new(url: Secret, sql: &str) -> Result<Self, String> {
        let kind =
            Kind::of(url.0.expose_secret()).ok_or("sids_url begins with postgres:, mysql: or sqlite:")?;
        let statement = Statement::read(Purpose::Sids, sql, kind)?;
        Ok(Self { url, kind, statement, ready: Mutex::new(None) })
    }

    /// The sessions of these subjects at one relying party. What the database said of the statement is
    /// asked again after a try that cannot work.
    pub(crate) async fn find(
        &self,
        subjects: &[String],
        client_id: &str,
        now_ms: i64,
    ) -> Result<Vec<Shown>, ConnectorError> {
        let ready = self.ready().await?;
        let found = self.find_with(&ready, subjects, client_id, now_ms).await;
        if matches!(found, Err(ConnectorError::Unexpected(_))) {
            *self.ready.lock().await = None;
        }
        found
    }

    async fn ready(&self) -> Result<Arc<(Database, Query)>, ConnectorError> {
        let mut ready = self.ready.lock().await;
        if let Some(ready) = ready.as_ref() {
            return Ok(ready.clone());
        }
        let new = Arc::new(self.connect().await?);
        *ready = Some(new.clone());
        Ok(new)
    }

    async fn find_with(
        &self,
        (database, query): &(Database, Query),
        subjects: &[String],
        client_id: &str,
        now_ms: i64,
    ) -> Result<Vec<Shown>, ConnectorError> {
        let list: Vec<Value> = subjects.iter().cloned().map(Value::Text).collect();
        let mut found = Vec::new();
        for chunk in list.chunks(CHUNK) {
            let values = Values { list: chunk, after: &Value::Null, limit: 0, now_ms, client_id };
            let Some((sql, bound)) = query.bind(database, values) else { continue };
            let failed = |e| failure(self.kind, query.key(), &e);
            let mut line = database.line().await.map_err(failed)?;
            let mut rows = line.rows(sql, bound);
            while let Some(row) = rows.try_next().await.map_err(failed)? {
                let [subject, sid, sub] =
                    [query.text(&row, "subject")?, query.text(&row, "sid")?, query.text(&row, "sub")?];
                let (Some(subject), Some(sid)) = (subject, sid.filter(|sid| !sid.is_empty())) else {
                    continue;
                };
                // A time that could be read in two ways is unknown.
                let times = Times { unit_ms: 1, are_utc: false };
                let began_at = query.value(&row, "began_at").and_then(|value| value.time_ms(times));
                found.push(Shown { subject, sid, sub, began_at });
            }
        }
        Ok(found)
    }

    async fn connect(&self) -> Result<(Database, Query), ConnectorError> {
        let connect = Connect {
            url: self.url.0.expose_secret(),
            ca_file: None,
            connections_max: CONNECTIONS_MAX,
            statement_timeout_s: STATEMENT_TIMEOUT_S,
        };
        let database =
            Database::open(&connect).await.map_err(|e| failure(self.kind, "the connection", &e))?;
        let query = Query::new(&database, &self.statement, &["subject", "sid"]).await?;
        Ok((database, query))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{Connection, Executor};

    async fn run(url: &str, sql: &str) {
        let mut store = sqlx::SqliteConnection::connect(&format!("{url}?mode=rwc")).await.expect("it opens");
        store.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.expect("it runs");
        store.close().await.expect("it closes");
    }

    #[tokio::test]
    async fn a_sid_that_nobody_can_read_is_an_error_and_the_statement_is_then_looked_at_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("provider.db").display());
        run(&url, "CREATE TABLE s (u text, sid real); INSERT INTO s VALUES ('ann', 1.5), ('ann', NULL)")
            .await;
        let sql = "SELECT u AS subject, sid FROM s WHERE u IN (:subjects)";
        let sids = Sids::new(Secret(url.clone().into()), sql).expect("a statement");
        let subjects = ["ann".to_owned()];
        let error = match sids.find(&subjects, "client", 0).await {
            Ok(found) => panic!("{} sids", found.len()),
            Err(error) => error.to_string(),
        };
        assert!(error.contains("sids_sql: sid is REAL"), "{error}");
        let text = "DROP TABLE s; CREATE TABLE s (u text, sid text); INSERT INTO s VALUES ('ann', 's1'), ('ann', NULL)";
        run(&url, text).await;
        let found = sids.find(&subjects, "client", 0).await.expect("a session without a sid is not there");
        assert_eq!(found.iter().map(|shown| shown.sid.as_str()).collect::<Vec<_>>(), ["s1"]);
    }
}
