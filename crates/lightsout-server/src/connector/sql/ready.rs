//! A plan that a database has agreed to: statements with the places of their columns and the types of
//! their parameters.

use secrecy::ExposeSecret;

use super::ConnectorError;
use super::config::SqlConfig;
use super::database::{Bound, Connect, Database, Described};
use super::failure::failure;
use super::plan::{Look, Plan};
use super::statement::{Param, Statement};
use super::value::Value;

/// Lists are filled up to one of these lengths, so that there are few different statements.
const LISTS: [usize; 4] = [1, 8, 64, CHUNK];
/// The most values of a list.
pub(super) const CHUNK: usize = 500;

/// A database and the statements that it knows.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) database: Database,
    pub(super) user: Option<Query>,
    pub(super) look: Query,
    pub(super) end: Query,
}

/// A statement that the database has described.
#[derive(Debug)]
pub(super) struct Query {
    statement: Statement,
    described: Described,
    /// What stands around a page, so that long values are not sent.
    around: Option<String>,
}

/// What is bound to the parameters of a statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'v> {
    pub(super) list: &'v [Value],
    pub(super) after: &'v Value,
    pub(super) limit: u32,
    pub(super) now_ms: i64,
}

impl Ready {
    /// Connects, and lets the database check every statement.
    pub(super) async fn new(config: &SqlConfig, plan: &Plan) -> Result<Self, ConnectorError> {
        let connect = Connect {
            url: config.url.0.expose_secret(),
            ca_file: config.ca_file.as_deref(),
            connections_max: config.connections_max,
            statement_timeout_s: config.statement_timeout_s,
        };
        let database =
            Database::open(&connect).await.map_err(|e| failure(plan.kind, "the connection", &e))?;
        let user = match &plan.user {
            Some(statement) => Some(Query::new(&database, statement, &["subject", "user_key"]).await?),
            None => None,
        };
        let look = match &plan.look {
            Look::Find(statement) => Query::new(&database, statement, &["subject", "session_key"]).await?,
            Look::Scan(scan) => {
                let query = Query::new(&database, &scan.statement, &["session_key", "value"]).await?;
                query.bounded(config.value_bytes_max)
            }
        };
        let end = Query::new(&database, &plan.end, &[]).await?;
        Ok(Self { database, user, look, end })
    }
}

impl Query {
    async fn new(
        database: &Database,
        statement: &Statement,
        columns: &[&str],
    ) -> Result<Self, ConnectorError> {
        let key = statement.purpose.key();
        let sql = statement.render(database.kind(), 1);
        let described = database.describe(sql).await.map_err(|e| failure(database.kind(), key, &e))?;
        let query = Self { statement: statement.clone(), described, around: None };
        match columns.iter().find(|name| query.column(name).is_none()) {
            Some(missing) => Err(ConnectorError::Unexpected(format!("{key}: it selects no {missing}"))),
            None => Ok(query),
        }
    }

    /// Leaves values out that are longer than this: only their length is sent.
    fn bounded(mut self, value_bytes_max: u32) -> Self {
        let kind = self.column("value").map(|n| self.described.columns[n].1.as_str());
        let json = matches!(kind, Some("JSON" | "JSONB")) && !self.described.has_no_types();
        let length = if json { "octet_length(value::text)" } else { "octet_length(value)" };
        self.around = Some(format!(
            "SELECT session_key, CASE WHEN {length} <= {value_bytes_max} THEN value END, {length} FROM ({{}}) page ORDER BY session_key"
        ));
        self
    }

    /// The place of a column.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.described.columns.iter().position(|(column, _)| column == name)
    }

    /// The key of the configuration, for messages.
    pub(super) fn key(&self) -> &'static str {
        self.statement.purpose.key()
    }

    /// The statement and what is bound to it; none if no value of the list can be in the database.
    pub(super) fn bind(&self, database: &Database, values: Values<'_>) -> Option<(String, Vec<Bound>)> {
        let params = self.statement.params();
        let one = |n: usize, param: Param, value: &Value| match param {
            Param::Subjects | Param::Keys => self.described.fit(n, value.clone()),
            Param::After => self.described.fit(n, values.after.clone()),
            Param::Limit => self.described.fit(n, Value::Int(values.limit.into())),
            Param::Now => self.described.fit(n, Value::Int(values.now_ms)),
        };
        let is_list = |param: &Param| matches!(param, Param::Subjects | Param::Keys);
        // Only what fits everywhere: ann is in no column of numbers.
        let fits = |value: &&Value| {
            params.iter().enumerate().all(|(n, p)| !is_list(p) || one(n, *p, value).is_some())
        };
        let mut list: Vec<&Value> = values.list.iter().filter(fits).collect();
        if let Some(last) = list.last().copied() {
            let length = LISTS.iter().find(|length| **length >= list.len()).copied().unwrap_or(list.len());
            list.resize(length, last);
        } else if params.iter().any(is_list) {
            return None;
        }
        let mut bound = Vec::new();
        for (n, param) in params.iter().enumerate() {
            if is_list(param) {
                bound.extend(list.iter().filter_map(|value| one(n, *param, value)));
            } else {
                bound.push(one(n, *param, &Value::Null)?);
            }
        }
        let sql = self.statement.render(database.kind(), list.len());
        let sql = self.around.as_ref().map_or_else(|| sql.clone(), |around| around.replacen("{}", &sql, 1));
        Some((sql, bound))
    }
}
