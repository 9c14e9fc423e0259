//! One set of SQL texts over SQLite and PostgreSQL.
//!
//! A statement is written once, with `$1` parameters. What truly differs is a word in braces:
//! `{rows $1}` and `{texts $1}` turn a JSON array argument into rows, `{sessions_of $1}` into the sessions `s`
//! of the users that it names, `{skip_locked}`, `{share}`,
//! `{bytewise}`, `{without_rowid}`, `{announce}` and `{body}` say what only one of the two knows. Nothing outside this
//! module knows which database it is. Every statement runs in the tests on both.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, FromRow, Postgres, Sqlite, Transaction};

use super::connect;
use super::lent::{Lent, PING_WITHIN, PgTx};

/// What went wrong in the database, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A unique key is taken.
    #[error("the key is taken")]
    Duplicate,
    /// Another transaction was in the way; the same transaction may succeed if it is run again.
    #[error("another transaction was in the way")]
    Conflict,
    /// A text holds a character that the database cannot store (U+0000 on PostgreSQL).
    #[error("a text holds a character that cannot be stored")]
    BadText,
    /// The database did not answer.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// This node has not heard from its database for too long to say that somebody is signed in.
    #[error("this node has not heard from its database for too long")]
    Stale,
    /// The statement or the stored data is wrong.
    #[error("the database refused the statement")]
    Other(#[source] sqlx::Error),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|e| e.code().map(Cow::into_owned));
        match (&error, code.as_deref()) {
            (sqlx::Error::Database(e), _) if e.is_unique_violation() => Self::Duplicate,
            // PostgreSQL: serialization failure, deadlock. SQLite: busy, busy snapshot.
            (_, Some("40001" | "40P01" | "5" | "517")) => Self::Conflict,
            // PostgreSQL: character not in repertoire, untranslatable character.
            (_, Some("22021" | "22P05")) => Self::BadText,
            // PostgreSQL: transaction, lock or statement timed out, too many connections, shutting down or starting.
            (_, Some("25P03" | "55P03" | "57014" | "53300" | "57P01" | "57P02" | "57P03")) => {
                Self::Unavailable(error)
            }
            (_, Some(code)) if is_disk_trouble(code) => Self::Unavailable(error),
            // What a server says while it goes down may be no protocol at all.
            (
                sqlx::Error::Io(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed,
                _,
            ) => Self::Unavailable(error),
            _ => Self::Other(error),
        }
    }
}

/// SQLite: I/O error, full. It says more in the higher bits; a code of PostgreSQL has five characters.
fn is_disk_trouble(code: &str) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 10 | 13))
}

/// A parameter of a statement.
#[derive(Clone, Debug)]
pub enum Value {
    /// `NULL` of a text or a number.
    Null,
    /// A BIGINT; times are milliseconds since 1970 UTC.
    Int(i64),
    /// A TEXT.
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

/// A list or an object travels as JSON text.
impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        Self::Text(value.to_string())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Collects the parameters of a statement.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Value::from($value)),*] };
}

/// A row type that both databases can fill.
pub trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// The database: SQLite in a file, or PostgreSQL.
#[derive(Clone, Debug)]
pub struct Db {
    pools: Pools,
}

/// The connection apart belongs to the node's index: however busy the others are, it hears.
#[derive(Clone, Debug)]
pub(super) enum Pools {
    /// SQLite has one writer; readers see the last commit (WAL).
    Sqlite {
        read: SqlitePool,
        write: SqlitePool,
        apart: SqlitePool,
    },
    Postgres {
        pool: PgPool,
        apart: PgPool,
    },
}

/// An open write transaction. Dropped without [`Tx::commit`], it is rolled back.
///
/// Open one only in a task that nobody cancels: nobody would know whether a `COMMIT` that was cancelled
/// half-way took effect.
pub struct Tx(Inner);

enum Inner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(PgTx),
}

/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(65);
/// How long nothing is heard from other nodes before the connection is made anew.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// Past this size of the write-ahead log the writer itself truncates it.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Db {
    /// Opens `url`: `sqlite:PATH` or `postgres://...`. A SQLite file is created if it is missing.
    pub async fn open(url: &str, connections_max: u32) -> Result<Self, DbError> {
        let pools = if url.starts_with("postgres") {
            connect::postgres(url, connections_max).await?
        } else {
            connect::sqlite(url, connections_max).await?
        };
        Ok(Self { pools })
    }

    /// Whether there is a database at `url`; for PostgreSQL, opening it tells.
    pub fn is_there(url: &str) -> bool {
        match SqliteConnectOptions::from_str(url) {
            Ok(options) if url.starts_with("sqlite") => options.get_filename().exists(),
            _ => true,
        }
    }

    /// Closes every connection, so that SQLite folds its log into the file.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { read, write, apart } => {
                apart.close().await;
                read.close().await;
                write.close().await;
            }
            Pools::Postgres { pool, apart } => {
                apart.close().await;
                pool.close().await;
            }
        }
    }

    /// Reads rows outside a transaction.
    pub async fn fetch<T: Row>(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<T>, DbError> {
        Ok(match &self.pools {
            Pools::Sqlite { read, .. } => {
                sqlx::query_as_with(render::<Lite>(sql), sqlite_args(args)).fetch_all(read).await?
            }
            Pools::Postgres { pool, .. } => {
                let query = sqlx::query_as_with(render::<Pg>(sql), postgres_args(args));
                answered(async { query.fetch_all(&mut *Lent::of(pool, PING_WITHIN).await?).await }).await?
            }
        })
    }

    /// Reads rows by keys alone, whatever PostgreSQL's statistics say: those of a table that has just grown
    /// may have a whole table read for a few people.
    pub(super) async fn fetch_by_key<T: Row>(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> Result<Vec<T>, DbError> {
        if matches!(self.pools, Pools::Sqlite { .. }) {
            return self.fetch(sql, args).await;
        }
        let mut tx = self.begin().await?;
        tx.execute("SET LOCAL enable_seqscan = off", vec![]).await?;
        let rows = tx.fetch(sql, args).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Reads rows on the connection apart.
    pub(super) async fn fetch_apart<T: Row>(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> Result<Vec<T>, DbError> {
        Ok(match &self.pools {
            Pools::Sqlite { apart, .. } => {
                sqlx::query_as_with(render::<Lite>(sql), sqlite_args(args)).fetch_all(apart).await?
            }
            Pools::Postgres { apart, .. } => {
                let query = sqlx::query_as_with(render::<Pg>(sql), postgres_args(args));
                query.fetch_all(&mut *Lent::of(apart, PING_WITHIN).await?).await?
            }
        })
    }

    /// Calls `wake` whenever another node may have committed something, for as long as it is polled.
    /// It is a hint only: connections break, so whoever must know polls as well. On SQLite it waits for
    /// ever.
    pub async fn listen(&self, wake: impl Fn()) -> Result<(), DbError> {
        let Pools::Postgres { pool, .. } = &self.pools else {
            return std::future::pending().await;
        };
        // A pool of its own each time: a listener whose line is dead never gives its connection back.
        let pool = connect::one_more(pool);
        let mut listener = answered(PgListener::connect_with(&pool)).await?;
        answered(listener.listen("lightsout")).await?;
        loop {
            wake();
            // A connection that a network forgot is as silent as nodes that have nothing to say.
            match tokio::time::timeout(SILENCE_MAX, listener.recv()).await {
                Ok(heard) => drop(heard?),
                Err(_) => return Ok(()),
            }
        }
    }

    /// Reads at most one row outside a transaction.
    pub async fn find<T: Row>(&self, sql: &'static str, args: Vec<Value>) -> Result<Option<T>, DbError> {
        Ok(self.fetch(sql, args).await?.pop())
    }

    /// Opens a write transaction. On SQLite it holds the one writer until it ends.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        Ok(Tx(match &self.pools {
            Pools::Sqlite { write, .. } => Inner::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            Pools::Postgres { pool, .. } => Inner::Postgres(answered(PgTx::begin(pool)).await?),
        }))
    }

    /// Takes jobs from dead workers at start. Only SQLite is worked by one process alone, so that
    /// every lease is a dead one's; on PostgreSQL leases run out by themselves.
    pub async fn take_over(&self, now: i64) -> Result<(), DbError> {
        if matches!(self.pools, Pools::Postgres { .. }) {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        tx.release_all_jobs(now).await?;
        tx.commit().await
    }

    /// Copies SQLite's write-ahead log into the file, off the commit path. Nothing on PostgreSQL.
    ///
    /// A passive checkpoint never waits and never blocks, but cannot shorten the log while readers
    /// are in it; past `WAL_BYTES_MAX` the writer truncates.
    pub async fn checkpoint(&self) -> Result<(), DbError> {
        let Pools::Sqlite { read, write, .. } = &self.pools else { return Ok(()) };
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(read).await?;
        let file = write.connect_options().get_filename().to_owned();
        let wal = format!("{}-wal", file.display());
        if tokio::fs::metadata(wal).await.is_ok_and(|m| m.len() > WAL_BYTES_MAX) {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(write).await?;
        }
        Ok(())
    }
}

impl Tx {
    /// Reads rows, or runs a statement with `RETURNING`.
    pub async fn fetch<T: Row>(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Vec<T>, DbError> {
        Ok(match &mut self.0 {
            Inner::Sqlite(tx) => {
                sqlx::query_as_with(render::<Lite>(sql), sqlite_args(args)).fetch_all(&mut **tx).await?
            }
            Inner::Postgres(tx) => {
                answered(sqlx::query_as_with(render::<Pg>(sql), postgres_args(args)).fetch_all(&mut ***tx))
                    .await?
            }
        })
    }

    /// Reads at most one row.
    pub async fn find<T: Row>(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Option<T>, DbError> {
        Ok(self.fetch(sql, args).await?.pop())
    }

    /// Runs a statement and counts the rows that it touched.
    pub async fn execute(&mut self, sql: &'static str, args: Vec<Value>) -> Result<u64, DbError> {
        Ok(match &mut self.0 {
            Inner::Sqlite(tx) => sqlx::query_with(render::<Lite>(sql), sqlite_args(args))
                .execute(&mut **tx)
                .await?
                .rows_affected(),
            Inner::Postgres(tx) => {
                answered(sqlx::query_with(render::<Pg>(sql), postgres_args(args)).execute(&mut ***tx))
                    .await?
                    .rows_affected()
            }
        })
    }

    /// Makes the transaction durable: on disk before this returns, on both databases.
    pub async fn commit(self) -> Result<(), DbError> {
        match self.0 {
            Inner::Sqlite(tx) => tx.commit().await?,
            Inner::Postgres(tx) => answered(tx.commit()).await?,
        }
        Ok(())
    }

    /// Runs a script of several statements; for migrations only.
    pub(super) async fn run_script(&mut self, script: &'static str) -> Result<(), DbError> {
        match &mut self.0 {
            Inner::Sqlite(tx) => sqlx::raw_sql(render::<Lite>(script)).execute(&mut **tx).await.map(drop)?,
            Inner::Postgres(tx) => {
                // An index over a long log takes as long as it takes.
                sqlx::raw_sql("SET LOCAL statement_timeout = 0").execute(&mut ***tx).await?;
                sqlx::raw_sql(render::<Pg>(script)).execute(&mut ***tx).await.map(drop)?;
            }
        }
        Ok(())
    }
}

/// PostgreSQL itself ends a statement after `STATEMENT_TIMEOUT`. Where not even that is heard, the
/// connection is dead, and nobody waits until the kernel has found out.
async fn answered<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, DbError> {
    let in_time = tokio::time::timeout(ANSWER_WITHIN, statement).await;
    Ok(in_time.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))?)
}

fn sqlite_args(args: Vec<Value>) -> sqlx::sqlite::SqliteArguments {
    use sqlx::Arguments;
    let mut out = sqlx::sqlite::SqliteArguments::default();
    for value in args {
        match value {
            Value::Null => out.add(None::<String>),
            Value::Int(n) => out.add(n),
            Value::Text(s) => out.add(s),
        }
        .expect("a number, a text or NULL always encodes");
    }
    out
}

fn postgres_args(args: Vec<Value>) -> sqlx::postgres::PgArguments {
    use sqlx::Arguments;
    let mut out = sqlx::postgres::PgArguments::default();
    for value in args {
        match value {
            Value::Null => out.add(NullOfAnyType),
            Value::Int(n) => out.add(n),
            Value::Text(s) => out.add(s),
        }
        .expect("a number, a text or NULL always encodes");
    }
    out
}

/// `NULL` that leaves its type for PostgreSQL to infer, so that it fits a TEXT and a BIGINT column.
struct NullOfAnyType;

impl sqlx::Type<Postgres> for NullOfAnyType {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        sqlx::postgres::PgTypeInfo::with_oid(sqlx::postgres::types::Oid(0))
    }
}

impl sqlx::Encode<'_, Postgres> for NullOfAnyType {
    fn encode_by_ref(
        &self,
        _: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
        Ok(sqlx::encode::IsNull::Yes)
    }
}

/// The words that one database puts for the braces of a statement.
trait Dialect {
    const WORDS: &'static [(&'static str, &'static str)];
}

struct Lite;
struct Pg;

impl Dialect for Lite {
    const WORDS: &'static [(&'static str, &'static str)] = &[
        ("{rows $1}", "json_each($1)"),
        ("{texts $1}", "(SELECT value FROM json_each($1))"),
        ("{texts $2}", "(SELECT value FROM json_each($2))"),
        ("{sessions_of $1}", "json_each($1) ids CROSS JOIN sessions s ON s.user_id = ids.value"),
        ("{skip_locked}", ""),
        ("{for_update}", ""),
        ("{bytewise}", ""),
        ("{announce}", ""),
        ("{body}", "body"),
        ("{without_rowid}", "WITHOUT ROWID"),
        ("{room_for_updates sessions}", ""),
    ];
}

impl Dialect for Pg {
    const WORDS: &'static [(&'static str, &'static str)] = &[
        ("{rows $1}", "jsonb_array_elements($1::jsonb) AS json_each(value)"),
        ("{texts $1}", "(SELECT value FROM jsonb_array_elements_text($1::jsonb) AS texts(value))"),
        ("{texts $2}", "(SELECT value FROM jsonb_array_elements_text($2::jsonb) AS texts(value))"),
        // Person by person: OFFSET 0 keeps the planner from making a join of it.
        (
            "{sessions_of $1}",
            "jsonb_array_elements_text($1::jsonb) AS ids(value)
             CROSS JOIN LATERAL (SELECT * FROM sessions WHERE user_id = ids.value OFFSET 0) s",
        ),
        ("{skip_locked}", "FOR UPDATE SKIP LOCKED"),
        ("{for_update}", "FOR UPDATE"),
        ("{bytewise}", "COLLATE \"C\""),
        ("{announce}", "RETURNING pg_notify('lightsout', '')"),
        ("{body}", "CAST(body AS jsonb)"),
        ("{without_rowid}", ""),
        // A changed row finds room on its own page, and no index is written.
        ("{room_for_updates sessions}", "ALTER TABLE sessions SET (fillfactor = 70);"),
    ];
}

/// Puts one database's words into a statement. Only constants of this crate are ever rendered.
fn render<D: Dialect>(sql: &'static str) -> AssertSqlSafe<Cow<'static, str>> {
    if !sql.contains('{') {
        return AssertSqlSafe(Cow::Borrowed(sql));
    }
    let text = D::WORDS.iter().fold(sql.to_owned(), |text, (word, with)| text.replace(word, with));
    debug_assert!(!text.contains('{'), "unknown word in {text}");
    AssertSqlSafe(Cow::Owned(text))
}
