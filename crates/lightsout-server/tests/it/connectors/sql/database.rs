//! The tests' own way into the three databases: plain statements, never through the connector.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Postgres,
    MySql,
    Sqlite,
}

impl Base {
    /// A text as a literal.
    pub(super) fn text(self, text: &str) -> String {
        let text = text.replace('\'', "''");
        if self == Self::MySql { format!("'{}'", text.replace('\\', "\\\\")) } else { format!("'{text}'") }
    }

    /// Bytes as a literal.
    pub(super) fn bytes(self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        if self == Self::Postgres { format!("'\\x{hex}'") } else { format!("x'{hex}'") }
    }

    /// A name as the database wants it.
    pub(super) fn name(self, name: &str) -> String {
        let mark = if self == Self::MySql { '`' } else { '"' };
        name.split('.').map(|part| format!("{mark}{part}{mark}")).collect::<Vec<_>>().join(".")
    }
}

enum Pool {
    Postgres(PgPool),
    MySql(MySqlPool),
    Sqlite(SqlitePool),
}

/// A database; a SQLite one is a file of its own.
pub(super) struct Database {
    pub(super) base: Base,
    pub(super) url: String,
    pool: Pool,
    _folder: tempfile::TempDir,
}

impl Database {
    pub(super) async fn new(base: Base) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by ./test"));
        let (url, pool) = match base {
            Base::Postgres => {
                let url = variable("LIGHTSOUT_TEST_POSTGRES");
                let pool = PgPoolOptions::new().max_connections(2).after_connect(|connection, _| {
                    Box::pin(async move {
                        let quick = "SET synchronous_commit = off; SET client_min_messages = error";
                        sqlx::raw_sql(quick).execute(connection).await.map(drop)
                    })
                });
                (url.clone(), Pool::Postgres(pool.connect(&url).await.expect("PostgreSQL answers")))
            }
            Base::MySql => {
                let url = variable("LIGHTSOUT_TEST_MYSQL");
                let pool = MySqlPoolOptions::new().max_connections(2).connect(&url).await;
                (url, Pool::MySql(pool.expect("MariaDB answers")))
            }
            Base::Sqlite => {
                let url = format!("sqlite:{}", folder.path().join("app.db").display());
                let options = SqliteConnectOptions::from_str(&url).expect("a url").create_if_missing(true);
                let options = options.foreign_keys(false).pragma("synchronous", "OFF");
                let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
                (url, Pool::Sqlite(pool.expect("a file")))
            }
        };
        Self { base, url, pool, _folder: folder }
    }

    /// Runs statements, which all of one call are read as they are.
    pub(super) async fn run(&self, sql: &str) {
        self.try_run(sql).await.unwrap_or_else(|e| panic!("{e}: {sql}"));
    }

    pub(super) async fn try_run(&self, sql: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &self.pool {
            Pool::Postgres(pool) => query.execute(pool).await.map(drop),
            Pool::MySql(pool) => query.execute(pool).await.map(drop),
            Pool::Sqlite(pool) => query.execute(pool).await.map(drop),
        }
    }

    /// Reads rows whose columns are all texts.
    pub(super) async fn texts(&self, sql: &str) -> Vec<Vec<Vec<u8>>> {
        fn row<R: Row>(row: &R) -> Vec<Vec<u8>>
        where
            usize: sqlx::ColumnIndex<R>,
            for<'r> String: sqlx::Decode<'r, R::Database>,
        {
            let column = |n| row.try_get_unchecked::<String, _>(n).expect("a text").into_bytes();
            (0..row.len()).map(column).collect()
        }
        let query = AssertSqlSafe(sql.to_owned());
        match &self.pool {
            Pool::Postgres(pool) => {
                sqlx::query(query).fetch_all(pool).await.expect("rows").iter().map(row).collect()
            }
            Pool::MySql(pool) => {
                sqlx::query(query).fetch_all(pool).await.expect("rows").iter().map(row).collect()
            }
            Pool::Sqlite(pool) => {
                sqlx::query(query).fetch_all(pool).await.expect("rows").iter().map(row).collect()
            }
        }
    }

    /// A number that no other store of this or another process has.
    pub(super) fn number() -> String {
        static STORES: AtomicU64 = AtomicU64::new(0);
        format!("{}_{}", std::process::id(), STORES.fetch_add(1, Ordering::Relaxed))
    }
}
