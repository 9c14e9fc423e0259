//! What an OpenID Provider's own store says of sessions at a relying party: one statement that reads.

use futures_util::TryStreamExt;
use secrecy::ExposeSecret;
use tokio::sync::OnceCell;

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
    ready: OnceCell<(Database, Query)>,
}

impl Sids {
    /// Reads the statement, and connects when it is first asked.
    pub(crate) fn new(url: Secret, sql: &str) -> Result<Self, String> {
        let kind =
            Kind::of(url.0.expose_secret()).ok_or("sids_url begins with postgres:, mysql: or sqlite:")?;
        let statement = Statement::read(Purpose::Sids, sql, kind)?;
        Ok(Self { url, kind, statement, ready: OnceCell::new() })
    }

    /// The sessions of these subjects at one relying party.
    pub(crate) async fn find(
        &self,
        subjects: &[String],
        client_id: &str,
        now_ms: i64,
    ) -> Result<Vec<Shown>, ConnectorError> {
        let (database, query) = self.ready.get_or_try_init(|| self.connect()).await?;
        let list: Vec<Value> = subjects.iter().cloned().map(Value::Text).collect();
        let [subject, sid, sub, began_at] =
            ["subject", "sid", "sub", "began_at"].map(|name| query.column(name));
        let mut found = Vec::new();
        for chunk in list.chunks(CHUNK) {
            let values = Values { list: chunk, after: &Value::Null, limit: 0, now_ms, client_id };
            let Some((sql, bound)) = query.bind(database, values) else { continue };
            let mut rows = database.rows(sql, bound);
            while let Some(row) = rows.try_next().await.map_err(|e| failure(self.kind, query.key(), &e))? {
                let text = |n: Option<usize>| n.and_then(|n| row.get(n)).and_then(Value::text);
                let (Some(subject), Some(sid)) = (text(subject), text(sid).filter(|sid| !sid.is_empty()))
                else {
                    continue;
                };
                // A time that could be read in two ways is unknown.
                let times = Times { unit_ms: 1, are_utc: false };
                let began_at = began_at.and_then(|n| row.get(n)).and_then(|value| value.began_at(times));
                found.push(Shown { subject, sid, sub: text(sub), began_at });
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
