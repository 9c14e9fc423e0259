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

/// Types of whole numbers.
const WHOLE: [&str; 9] =
    ["INT2", "INT4", "INT8", "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "INTEGER", "BIGINT"];

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
    pub(super) client_id: &'v str,
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
    pub(super) async fn new(
        database: &Database,
        statement: &Statement,
        columns: &[&str],
    ) -> Result<Self, ConnectorError> {
        let key = statement.purpose.key();
        let sql = statement.render(database.kind(), 1);
        let described = async { database.line().await?.describe(sql).await };
        let described = described.await.map_err(|e| failure(database.kind(), key, &e))?;
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
            "SELECT session_key, CASE WHEN {length} <= {value_bytes_max} THEN value END, {length} FROM ({{}}) page"
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
            Param::ClientId => self.described.fit(n, Value::Text(values.client_id.to_owned())),
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
        Some((self.surround(sql, ""), bound))
    }

    fn surround(&self, sql: String, which: &str) -> String {
        match &self.around {
            Some(around) => format!("{}{which} ORDER BY session_key", around.replacen("{}", &sql, 1)),
            None => sql,
        }
    }

    /// The same for some rows of a page, by key; none if a key cannot be written as :after can.
    pub(super) fn bind_some(&self, database: &Database, values: Values<'_>) -> Option<(String, Vec<Bound>)> {
        let after = self.statement.params().iter().position(|param| *param == Param::After)?;
        let (_, mut bound) = self.bind(database, Values { list: &[], ..values })?;
        let mut marks = Vec::new();
        for key in values.list {
            bound.push(self.described.fit(after, key.clone())?);
            marks.push(database.kind().mark(bound.len(), false));
        }
        let which = format!(" WHERE session_key IN ({})", marks.join(", "));
        Some((self.surround(self.statement.render(database.kind(), 1), &which), bound))
    }

    /// Whether a value can be bound in the lists.
    pub(super) fn fits(&self, value: &Value) -> bool {
        let mut params = self.statement.params().into_iter().enumerate();
        params.all(|(n, param)| {
            !matches!(param, Param::Subjects | Param::Keys) || self.described.fit(n, value.clone()).is_some()
        })
    }

    /// Whether a subject can stand in its column. SQLite and MySQL compare it with anything, so that a
    /// name is in a column of numbers is told by the column's type.
    pub(super) fn may_hold(&self, value: &Value) -> bool {
        let whole = WHOLE.contains(&self.kind_of("subject").split(' ').next().unwrap_or_default());
        let number = value.text().is_some_and(|t| t.parse::<i128>().is_ok_and(|n| n.to_string() == t));
        self.fits(value) && (number || !whole)
    }

    /// Why nothing is known of a subject that cannot stand in its column.
    pub(super) fn does_not_fit(&self) -> String {
        let kind = self.kind_of("subject");
        format!("the subject does not fit the column of {} ({kind}); is user_sql missing?", self.key())
    }

    /// A column's value in a row.
    pub(super) fn value<'r>(&self, row: &'r [Value], name: &str) -> Option<&'r Value> {
        row.get(self.column(name)?)
    }

    /// A column's value as text, none if it is NULL; what is no text is an error, for its row would be
    /// taken for nobody's.
    pub(super) fn text(&self, row: &[Value], name: &str) -> Result<Option<String>, ConnectorError> {
        match self.value(row, name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.text().map(Some).ok_or_else(|| self.unreadable(name)),
        }
    }

    /// A column whose values nobody can read.
    pub(super) fn unreadable(&self, name: &str) -> ConnectorError {
        let (key, kind) = (self.key(), self.kind_of(name));
        ConnectorError::Unexpected(format!(
            "{key}: {name} is {kind} or NULL, which is no name; CAST it to text or to a whole number"
        ))
    }

    /// The type of a column, as the database names it.
    fn kind_of(&self, name: &str) -> &str {
        self.column(name).map_or("of no type", |n| self.described.columns[n].1.as_str())
    }
}
