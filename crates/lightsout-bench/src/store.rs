//! The service's own tables, filled in bulk, and bare statements in the same database.

use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context;
use lightsout_server::clock::Clock;
use lightsout_server::random::sha256;
use serde_json::{Value, json};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::runtime::Runtime;

/// Sessions of each person, everywhere in the run.
pub(crate) const SESSIONS_EACH: usize = 10;
/// Rows of one insert into SQLite.
const BATCH: usize = 5_000;
/// What a session is stored with besides its keys.
const DETAILS: &str = "'Firefox on Linux', '192.0.2.17'";

/// One of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// One connection to the service's database, beside the service.
pub(crate) struct Store {
    pool: Pool,
    runtime: Runtime,
}

#[derive(Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// The session id of this number; the tables hold its digest only.
pub(crate) fn session_id(n: usize) -> String {
    format!("bench-session-{n:012}")
}

pub(crate) fn user_id(n: usize) -> String {
    (100_000_000_000_000 + n).to_string()
}

pub(crate) fn login(n: usize) -> String {
    format!("person{n}@bench.example")
}

pub(crate) fn group_id(n: usize) -> String {
    (900_000_000_000_000 + n).to_string()
}

impl Store {
    pub(crate) fn open(url: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let pool = runtime.block_on(async {
            if url.starts_with("postgres") {
                let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
                return anyhow::Ok(Pool::Postgres(pool));
            }
            let options = SqliteConnectOptions::from_str(url)?
                .create_if_missing(true)
                .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
                .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
                .busy_timeout(Duration::from_mins(1))
                .pragma("cache_size", "-16384")
                .disable_statement_logging();
            Ok(Pool::Sqlite(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?))
        })?;
        Ok(Self { pool, runtime })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.pool {
            Pool::Sqlite(_) => Kind::Sqlite,
            Pool::Postgres(_) => Kind::Postgres,
        }
    }

    /// Runs statements, each in a transaction of its own unless they say otherwise.
    pub(crate) fn script(&self, sql: &str) -> anyhow::Result<()> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => query.execute(pool).await.map(drop),
                Pool::Postgres(pool) => query.execute(pool).await.map(drop),
            }
        })?;
        Ok(())
    }

    /// Runs a statement with one text.
    fn execute(&self, sql: &str, argument: String) -> anyhow::Result<()> {
        let sql = AssertSqlSafe(sql.to_owned());
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => sqlx::query(sql).bind(argument).execute(pool).await.map(drop),
                Pool::Postgres(pool) => sqlx::query(sql).bind(argument).execute(pool).await.map(drop),
            }
        })?;
        Ok(())
    }

    /// The one number that a query finds, if it finds a row and it is not NULL.
    pub(crate) fn number(&self, sql: &str) -> anyhow::Result<Option<i64>> {
        let sql = AssertSqlSafe(sql.to_owned());
        let row: Option<(Option<i64>,)> = self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => sqlx::query_as(sql).fetch_optional(pool).await,
                Pool::Postgres(pool) => sqlx::query_as(sql).fetch_optional(pool).await,
            }
        })?;
        Ok(row.and_then(|(number,)| number))
    }

    /// The two texts of each row that a query with one text finds.
    pub(crate) fn page(&self, sql: &str, argument: &str) -> anyhow::Result<Vec<(String, String)>> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => sqlx::query_as(sql).bind(argument).fetch_all(pool).await,
                Pool::Postgres(pool) => sqlx::query_as(sql).bind(argument).fetch_all(pool).await,
            }
        })?)
    }

    /// Makes people of these numbers.
    pub(crate) fn fill_people(&self, enterprise: &str, people: std::ops::Range<usize>) -> anyhow::Result<()> {
        let now = Clock::system().now_ms();
        self.script(&format!(
            "INSERT INTO users (user_id, enterprise_id, login, login_folded, name, name_folded, role, status,
                                profile, created_at, modified_at)
             SELECT CAST(100000000000000 + n AS TEXT), '{enterprise}', 'person' || n || '@bench.example',
                    'person' || n || '@bench.example', 'Person ' || n, 'person ' || n, 'user', 'active',
                    '{{}}', {now}, {now}
             FROM {}",
            self.series(&people)
        ))
    }

    /// Makes a barrier of this moment for every other one of so many people.
    pub(crate) fn fill_barriers(&self, enterprise: &str, people: usize) -> anyhow::Result<()> {
        let now = Clock::system().now_ms();
        self.script(&format!(
            "INSERT INTO barriers (user_id, generation, cutoff, enterprise_id, login)
             SELECT CAST(100000000000000 + n AS TEXT), 1, {now}, '{enterprise}', 'person' || n || '@bench.example'
             FROM {} WHERE n % 2 = 0",
            self.series(&(0..people))
        ))
    }

    /// Makes a group of the people of these numbers.
    pub(crate) fn fill_group(
        &self,
        enterprise: &str,
        group: usize,
        people: std::ops::Range<usize>,
    ) -> anyhow::Result<()> {
        let (now, id) = (Clock::system().now_ms(), group_id(group));
        self.script(&format!(
            "INSERT INTO groups (group_id, enterprise_id, name, name_folded, profile, created_at, modified_at)
             VALUES ('{id}', '{enterprise}', 'Group {group}', 'group {group}', '{{}}', {now}, {now});
             INSERT INTO memberships (membership_id, group_id, user_id, role, permissions, created_at, modified_at)
             SELECT '{group}-' || n, '{id}', CAST(100000000000000 + n AS TEXT), 'member', '{{}}', {now}, {now}
             FROM {}",
            self.series(&people)
        ))
    }

    /// The whole numbers of a range, as a table with the column n.
    fn series(&self, range: &std::ops::Range<usize>) -> String {
        let (from, to) = (range.start, range.end.saturating_sub(1));
        match self.kind() {
            Kind::Postgres => format!("generate_series({from}, {to}) AS series(n)"),
            Kind::Sqlite => format!(
                "(WITH RECURSIVE series(n) AS (VALUES ({from}) UNION ALL SELECT n + 1 FROM series WHERE n < {to}) \
                  SELECT n FROM series) AS series"
            ),
        }
    }

    /// Makes ten sessions for each of these people, and takes the index away while it does.
    ///
    /// The session of number n is the (n modulo 10)th of person n / 10.
    pub(crate) fn fill_sessions(
        &self,
        client_id: &str,
        people: std::ops::Range<usize>,
    ) -> anyhow::Result<()> {
        let now = Clock::system().now_ms();
        let (began, expires) = (now - 3_600_000, now + 20 * 86_400_000);
        let times = format!("0, {began}, {began}, {expires}");
        let columns = "(user_id, session_hash, client_id, generation, began_at, registered_at, expires_at, device, address)";
        let sessions = people.start * SESSIONS_EACH..people.end * SESSIONS_EACH;
        self.script("DROP INDEX sessions_by_hash")?;
        match self.kind() {
            Kind::Postgres => self.script(&format!(
                "SET synchronous_commit = off;
                 INSERT INTO sessions {columns}
                 SELECT CAST(100000000000000 + n / {SESSIONS_EACH} AS TEXT),
                        rtrim(translate(encode(sha256(('bench-session-' || lpad(n::text, 12, '0'))::bytea), 'base64'),
                                        '+/', '-_'), '='),
                        '{client_id}', {times}, {DETAILS}
                 FROM {};
                 SET synchronous_commit = on",
                self.series(&sessions)
            ))?,
            Kind::Sqlite => {
                self.script("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -262144")?;
                let insert = format!(
                    "INSERT INTO sessions {columns}
                     SELECT value ->> 0, value ->> 1, '{client_id}', {times}, {DETAILS} FROM json_each($1)"
                );
                for start in sessions.clone().step_by(BATCH) {
                    let row = |n: usize| json!([user_id(n / SESSIONS_EACH), sha256(session_id(n))]);
                    let rows: Vec<Value> = (start..sessions.end.min(start + BATCH)).map(row).collect();
                    self.execute(&insert, Value::from(rows).to_string())?;
                }
            }
        }
        self.script("CREATE UNIQUE INDEX sessions_by_hash ON sessions (session_hash)")
    }

    /// Leaves the database as if it had been at work for long: known to the planner, and nothing due.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        match self.kind() {
            Kind::Postgres => {
                for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
                    self.script(statement)?;
                }
                Ok(())
            }
            Kind::Sqlite => self.script(
                "PRAGMA cache_size = -16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE)",
            ),
        }
    }

    /// Copies the sessions of these people into a table of the same kind that nobody else knows.
    pub(crate) fn copy_sessions(&self, people: &str) -> anyhow::Result<()> {
        self.script("DROP TABLE IF EXISTS bare_sessions")?;
        match self.kind() {
            Kind::Postgres => self.script("CREATE TABLE bare_sessions (LIKE sessions INCLUDING ALL)")?,
            Kind::Sqlite => {
                let table = self.text("SELECT sql FROM sqlite_master WHERE name = 'sessions'")?;
                let bare = table.replacen("sessions", "bare_sessions", 1);
                self.script(&format!(
                    "{bare}; CREATE UNIQUE INDEX bare_sessions_by_hash ON bare_sessions (session_hash)"
                ))?;
            }
        }
        self.script(&format!(
            "INSERT INTO bare_sessions SELECT * FROM sessions WHERE user_id IN ({people})"
        ))?;
        self.settle()
    }

    fn text(&self, sql: &str) -> anyhow::Result<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        let row: (String,) = self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => sqlx::query_as(sql).fetch_one(pool).await,
                Pool::Postgres(pool) => sqlx::query_as(sql).fetch_one(pool).await,
            }
        })?;
        Ok(row.0)
    }

    /// Deletes the copies of these people's sessions, so many people in a transaction. How long it took.
    pub(crate) fn bare_delete(
        &self,
        people: std::ops::Range<usize>,
        chunk: usize,
    ) -> anyhow::Result<Duration> {
        let texts = match self.kind() {
            Kind::Postgres => "(SELECT value FROM jsonb_array_elements_text($1::jsonb) AS texts(value))",
            Kind::Sqlite => "(SELECT value FROM json_each($1))",
        };
        let sql = format!("DELETE FROM bare_sessions WHERE user_id IN {texts}");
        let started = Instant::now();
        for start in people.clone().step_by(chunk) {
            let ids: Vec<String> = (start..people.end.min(start + chunk)).map(user_id).collect();
            self.execute(&sql, json!(ids).to_string())?;
        }
        let took = started.elapsed();
        let left = self.number("SELECT count(*) FROM bare_sessions")?;
        anyhow::ensure!(left == Some(0), "every copy was deleted, {left:?} are left");
        Ok(took)
    }

    /// Empties the copies instead, as the service does: marked, and nothing left that tells of a person.
    pub(crate) fn bare_empty(
        &self,
        people: std::ops::Range<usize>,
        chunk: usize,
    ) -> anyhow::Result<Duration> {
        let now = Clock::system().now_ms();
        let started = Instant::now();
        for start in people.clone().step_by(chunk) {
            let ids = (start..people.end.min(start + chunk)).map(|n| format!("'{}'", user_id(n)));
            let ids = ids.collect::<Vec<_>>().join(", ");
            self.script(&format!(
                "UPDATE bare_sessions SET ended_at = {now}, device = NULL, address = NULL WHERE user_id IN ({ids})"
            ))?;
        }
        let took = started.elapsed();
        let left = self.number("SELECT count(*) FROM bare_sessions WHERE ended_at IS NULL")?;
        anyhow::ensure!(left == Some(0), "every copy was emptied, {left:?} are left");
        Ok(took)
    }

    /// Whether the termination's last outcome is final.
    pub(crate) fn is_finished(&self, termination: &str) -> anyhow::Result<bool> {
        let sql = format!("SELECT finished_at FROM terminations WHERE termination_id = '{termination}'");
        Ok(self.number(&sql)?.is_some())
    }

    /// The bytes that the database takes on disk.
    pub(crate) fn bytes(&self, folder: &Path) -> anyhow::Result<f64> {
        let bytes = match self.kind() {
            Kind::Postgres => self.number("SELECT pg_database_size(current_database())")?,
            Kind::Sqlite => i64::try_from(std::fs::metadata(folder.join("bench.db"))?.len()).ok(),
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok(bytes.context("a size")? as f64)
    }
}
