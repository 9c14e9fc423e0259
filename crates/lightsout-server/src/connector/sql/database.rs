//! One face over the three databases: statements go in with values, rows come out as values.
//!
//! Statements are prepared without a name, so nothing of them is left on a pooled connection.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions, MySqlSslMode};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode, PgTypeInfo};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions, Connection, Either, Executor, MySql, Postgres,
    SqlSafeStr, Sqlite, Statement, TypeInfo,
};

use super::value::{Columns, Value, uuid_bytes};
use crate::store::lent::{Lent, answers};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Postgres,
    MySql,
    Sqlite,
}

impl Kind {
    /// What a url names.
    pub(super) fn of(url: &str) -> Option<Self> {
        match url.split(':').next()? {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::MySql),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }

    /// The name that people know.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
            Self::Sqlite => "SQLite",
        }
    }

    /// The mark of the nth parameter.
    pub(super) fn mark(self, n: usize, number: bool) -> String {
        match (self, number) {
            (Self::Postgres, true) => format!("CAST(${n} AS BIGINT)"),
            (Self::Postgres, false) => format!("${n}"),
            _ => "?".to_owned(),
        }
    }

    /// A name of a table or column, with its schema if it has a dot. In `"` SQLite would take an unknown
    /// name for a text.
    pub(super) fn quote(self, name: &str) -> String {
        let mark = if self == Self::Postgres { '"' } else { '`' };
        let part = |part: &str| format!("{mark}{}{mark}", part.replace(mark, &format!("{mark}{mark}")));
        name.split('.').map(part).collect::<Vec<_>>().join(".")
    }
}

/// How a database is connected to.
#[derive(Clone, Debug)]
pub(super) struct Connect<'c> {
    pub(super) url: &'c str,
    pub(super) ca_file: Option<&'c Path>,
    pub(super) connections_max: u32,
    pub(super) statement_timeout_s: u32,
}

/// How long a connection, and a lock, are waited for.
const WAIT: Duration = Duration::from_secs(5);
/// How long a connection that nobody uses stays open.
const IDLE: Duration = Duration::from_mins(1);

/// One of the three.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pool: Pool,
    /// How long a statement may take, and the answer to it.
    answers_within: Duration,
}

#[derive(Clone, Debug)]
enum Pool {
    Postgres(PgPool),
    MySql(MySqlPool),
    Sqlite(SqlitePool),
}

/// A connection, for one statement after the other.
pub(super) enum Line {
    Postgres(Lent<Postgres>),
    MySql(Lent<MySql>),
    Sqlite(PoolConnection<Sqlite>),
}

/// What a database says of a statement before it runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Described {
    /// The columns: name in lower case, and type.
    pub(super) columns: Vec<(String, String)>,
    /// The types of the parameters, from PostgreSQL only.
    types: Vec<PgTypeInfo>,
}

impl Described {
    /// Whether the types of parameters are not told, as by SQLite and MySQL.
    pub(super) fn has_no_types(&self) -> bool {
        self.types.is_empty()
    }

    /// The value in the type that a parameter has, if it can have it at all.
    pub(super) fn fit(&self, param: usize, value: Value) -> Option<Bound> {
        match self.types.get(param) {
            None => Some(Bound { value, postgres: None }),
            Some(kind) => {
                let bytes = binary(kind.name(), &value)?;
                Some(Bound { value, postgres: Some((kind.clone(), bytes)) })
            }
        }
    }
}

/// A value on its way into a statement.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    value: Value,
    postgres: Option<(PgTypeInfo, Vec<u8>)>,
}

/// Writes a value in PostgreSQL's binary form of a type.
fn binary(kind: &str, value: &Value) -> Option<Vec<u8>> {
    let text = value.text();
    let int = || match value {
        Value::Int(n) => Some(*n),
        // Only as the database itself would write it: +7 and 07 are other names.
        _ => text.as_ref().and_then(|t| t.parse::<i64>().ok().filter(|n| n.to_string() == *t)),
    };
    match kind {
        "INT2" => i16::try_from(int()?).ok().map(|n| n.to_be_bytes().to_vec()),
        "INT4" => i32::try_from(int()?).ok().map(|n| n.to_be_bytes().to_vec()),
        "INT8" => int().map(|n| n.to_be_bytes().to_vec()),
        "UUID" => uuid_bytes(text.as_deref()?),
        "BYTEA" => value.key_bytes(),
        // Of these no value is read, so none is known that could be written.
        "NUMERIC" | "FLOAT4" | "FLOAT8" | "BOOL" | "DATE" | "TIME" | "TIMETZ" | "TIMESTAMP"
        | "TIMESTAMPTZ" | "INTERVAL" | "MONEY" => None,
        // A text holds no NUL.
        _ => text.filter(|t| !t.contains('\0')).map(String::into_bytes),
    }
}

impl Database {
    /// Makes a pool and its first connection.
    pub(super) async fn open(connect: &Connect<'_>) -> Result<Self, sqlx::Error> {
        let pool = match Kind::of(connect.url) {
            Some(Kind::Postgres) => Pool::Postgres(open_postgres(connect).await?),
            Some(Kind::MySql) => Pool::MySql(open_mysql(connect).await?),
            _ => Pool::Sqlite(open_sqlite(connect).await?),
        };
        let answers_within = Duration::from_secs(connect.statement_timeout_s.into()) + WAIT;
        Ok(Self { pool, answers_within })
    }

    pub(super) fn kind(&self) -> Kind {
        match &self.pool {
            Pool::Postgres(_) => Kind::Postgres,
            Pool::MySql(_) => Kind::MySql,
            Pool::Sqlite(_) => Kind::Sqlite,
        }
    }

    /// Lends a connection. Where a use of it is broken off, its place stays taken while the database may
    /// still work on the statement.
    pub(super) async fn line(&self) -> Result<Line, sqlx::Error> {
        Ok(match &self.pool {
            Pool::Postgres(pool) => Line::Postgres(Lent::of(pool, self.answers_within).await?),
            Pool::MySql(pool) => Line::MySql(Lent::of(pool, self.answers_within).await?),
            Pool::Sqlite(pool) => Line::Sqlite(pool.acquire().await?),
        })
    }
}

impl Line {
    /// Lets the database check a statement without running it.
    pub(super) async fn describe(&mut self, sql: String) -> Result<Described, sqlx::Error> {
        fn columns<C: Column>(columns: &[C]) -> Vec<(String, String)> {
            columns.iter().map(|c| (c.name().to_lowercase(), c.type_info().name().to_owned())).collect()
        }
        let sql = AssertSqlSafe(sql).into_sql_str();
        Ok(match self {
            Self::Postgres(lent) => {
                let statement = (&mut **lent).prepare(sql).await?;
                let types = match statement.parameters() {
                    Some(Either::Left(types)) => types.to_vec(),
                    _ => Vec::new(),
                };
                Described { columns: columns(statement.columns()), types }
            }
            Self::MySql(lent) => {
                Described { columns: columns((&mut **lent).prepare(sql).await?.columns()), types: Vec::new() }
            }
            Self::Sqlite(connection) => Described {
                columns: columns((&mut **connection).prepare(sql).await?.columns()),
                types: Vec::new(),
            },
        })
    }

    /// Reads rows one after the other, never all at once.
    pub(super) fn rows(
        &mut self,
        sql: String,
        values: Vec<Bound>,
    ) -> BoxStream<'_, Result<Vec<Value>, sqlx::Error>> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Postgres(lent) => Box::pin(
                sqlx::query_with(sql, postgres_args(values))
                    .persistent(false)
                    .fetch(&mut **lent)
                    .and_then(async |row| row.columns()),
            ),
            Self::MySql(lent) => Box::pin(
                sqlx::query_with(sql, mysql_args(values))
                    .persistent(false)
                    .fetch(&mut **lent)
                    .and_then(async |row| row.columns()),
            ),
            Self::Sqlite(connection) => Box::pin(
                sqlx::query_with(sql, sqlite_args(values))
                    .persistent(false)
                    .fetch(&mut **connection)
                    .and_then(async |row| row.columns()),
            ),
        }
    }

    /// Runs a statement in a transaction of its own, and counts the rows that it touched.
    pub(super) async fn execute(&mut self, sql: String, values: Vec<Bound>) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(sql);
        Ok(match self {
            Self::Postgres(lent) => {
                let query = sqlx::query_with(sql, postgres_args(values)).persistent(false);
                query.execute(&mut **lent).await?.rows_affected()
            }
            Self::MySql(lent) => {
                let query = sqlx::query_with(sql, mysql_args(values)).persistent(false);
                query.execute(&mut **lent).await?.rows_affected()
            }
            Self::Sqlite(connection) => {
                let query = sqlx::query_with(sql, sqlite_args(values)).persistent(false);
                query.execute(&mut **connection).await?.rows_affected()
            }
        })
    }

    /// Finds out whether a statement that changes would be allowed, and changes nothing: `EXPLAIN`
    /// checks rights on PostgreSQL and MySQL; on SQLite it is run and taken back.
    pub(super) async fn may_change(&mut self, sql: &str, values: Vec<Bound>) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(_) | Self::MySql(_) => {
                self.rows(format!("EXPLAIN {sql}"), values).try_for_each(async |_| Ok(())).await
            }
            Self::Sqlite(connection) => {
                let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
                let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), sqlite_args(values));
                query.persistent(false).execute(&mut *tx).await?;
                tx.rollback().await
            }
        }
    }
}

async fn open_postgres(connect: &Connect<'_>) -> Result<PgPool, sqlx::Error> {
    let mut options =
        PgConnectOptions::from_str(connect.url)?.application_name("lightsout").disable_statement_logging();
    if let Some(file) = connect.ca_file {
        options = options.ssl_root_cert(file);
        if !connect.url.contains("sslmode=") {
            options = options.ssl_mode(PgSslMode::VerifyFull);
        }
    }
    let limits = format!(
        "SET statement_timeout = '{}s'; SET lock_timeout = '{}s'",
        connect.statement_timeout_s,
        WAIT.as_secs()
    );
    PgPoolOptions::new()
        .max_connections(connect.connections_max)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(answers(connection)))
        .acquire_timeout(WAIT)
        .idle_timeout(IDLE)
        .after_connect(move |connection, _| {
            let limits = AssertSqlSafe(limits.clone());
            Box::pin(async move { connection.execute(limits).await.map(drop) })
        })
        .connect_with(options)
        .await
}

async fn open_mysql(connect: &Connect<'_>) -> Result<MySqlPool, sqlx::Error> {
    let mut options = MySqlConnectOptions::from_str(connect.url)?.disable_statement_logging();
    if let Some(file) = connect.ca_file {
        options = options.ssl_ca(file);
        if !connect.url.contains("ssl-mode=") && !connect.url.contains("sslmode=") {
            options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
        }
    }
    let seconds = connect.statement_timeout_s;
    let waits = format!("SET SESSION innodb_lock_wait_timeout = {}", WAIT.as_secs());
    // The first is MySQL's, for SELECT only; the second is MariaDB's.
    let mysql = format!("SET SESSION max_execution_time = {}", u64::from(seconds) * 1_000);
    let mariadb = format!("SET SESSION max_statement_time = {seconds}");
    MySqlPoolOptions::new()
        .max_connections(connect.connections_max)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(answers(connection)))
        .acquire_timeout(WAIT)
        .idle_timeout(IDLE)
        .after_connect(move |connection, _| {
            let [waits, mysql, mariadb] = [&waits, &mysql, &mariadb].map(|s| AssertSqlSafe(s.clone()));
            Box::pin(async move {
                connection.execute(waits).await?;
                if connection.execute(mysql).await.is_err() {
                    connection.execute(mariadb).await?;
                }
                Ok(())
            })
        })
        .connect_with(options)
        .await
}

async fn open_sqlite(connect: &Connect<'_>) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::from_str(connect.url)?
        .create_if_missing(false)
        .foreign_keys(false)
        .busy_timeout(WAIT)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(connect.connections_max)
        .acquire_timeout(WAIT * 2)
        .idle_timeout(IDLE)
        .connect_with(options)
        .await
}

fn sqlite_args(values: Vec<Bound>) -> sqlx::sqlite::SqliteArguments {
    let mut out = sqlx::sqlite::SqliteArguments::default();
    for bound in values {
        match bound.value {
            Value::Int(n) | Value::Time(n) | Value::TimeWithoutZone(n) => out.add(n),
            Value::Float(n) => out.add(n),
            Value::Text(text) => out.add(text),
            Value::Bytes(bytes) => out.add(bytes),
            Value::Null | Value::Other => out.add(None::<String>),
        }
        .expect("plain values always encode");
    }
    out
}

fn mysql_args(values: Vec<Bound>) -> sqlx::mysql::MySqlArguments {
    let mut out = sqlx::mysql::MySqlArguments::default();
    for bound in values {
        match bound.value {
            Value::Int(n) | Value::Time(n) | Value::TimeWithoutZone(n) => out.add(n),
            Value::Float(n) => out.add(n),
            Value::Text(text) => out.add(text),
            Value::Bytes(bytes) => out.add(bytes),
            Value::Null | Value::Other => out.add(None::<String>),
        }
        .expect("plain values always encode");
    }
    out
}

fn postgres_args(values: Vec<Bound>) -> sqlx::postgres::PgArguments {
    let mut out = sqlx::postgres::PgArguments::default();
    for bound in values {
        match bound.postgres {
            Some((kind, bytes)) => out.add(Typed { kind, bytes }),
            None => out.add(bound.value.text()),
        }
        .expect("bytes always encode");
    }
    out
}

/// Bytes in the binary form of a type.
struct Typed {
    kind: PgTypeInfo,
    bytes: Vec<u8>,
}

impl sqlx::Type<Postgres> for Typed {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("text")
    }
}

impl sqlx::Encode<'_, Postgres> for Typed {
    fn encode_by_ref(
        &self,
        buffer: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(sqlx::encode::IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.kind.clone())
    }
}
