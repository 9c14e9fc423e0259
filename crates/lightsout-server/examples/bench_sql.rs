//! What ending Django's database sessions costs: 100,000 rows, one user and 1,000 users, each beside
//! the bare statements from the same run.
//!
//! `cargo run --release --example bench_sql -p lightsout-server`; PostgreSQL where
//! `LIGHTSOUT_TEST_POSTGRES` names a server, and SQLite in a temporary folder. The machine may be
//! shared, so read the ratios, not the figures.

use std::str::FromStr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lightsout_server::clock::Clock;
use lightsout_server::connector::{Connector, Reply, Sql, SqlConfig, SqlPreset, Target};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row};

const ROWS: usize = 100_000;
const USERS: usize = 10_000;
const PAGE: usize = 1_000;
const RUNS: usize = 7;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    println!("load average before: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    let options = SqliteConnectOptions::from_str(&url)?.create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    run("SQLite", &url, Pool::Sqlite(pool)).await?;
    match std::env::var("LIGHTSOUT_TEST_POSTGRES") {
        Ok(url) => {
            let pool = PgPoolOptions::new().max_connections(1).connect(&url).await?;
            run("PostgreSQL", &url, Pool::Postgres(pool)).await?;
        }
        Err(_) => println!("\nPostgreSQL: left out, LIGHTSOUT_TEST_POSTGRES is not set"),
    }
    println!("load average after: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    Ok(())
}

impl Pool {
    async fn script(&self, sql: &str) -> Result<(), Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Postgres(pool) => query.execute(pool).await.map(drop)?,
            Self::Sqlite(pool) => query.execute(pool).await.map(drop)?,
        }
        Ok(())
    }

    /// A page of keys and values after a key: the number of bytes, and the last key.
    async fn page(&self, sql: &str, after: &str) -> Result<(usize, Option<String>), Error> {
        fn sum<R: Row>(rows: &[R]) -> (usize, Option<String>)
        where
            usize: sqlx::ColumnIndex<R>,
            for<'r> &'r str: sqlx::Decode<'r, R::Database>,
        {
            let text = |row: &R, n| row.try_get_unchecked::<&str, _>(n).map_or(0, str::len);
            let last = rows.last().and_then(|r| r.try_get_unchecked::<&str, _>(0).ok().map(str::to_owned));
            (rows.iter().map(|r| text(r, 1)).sum(), last.filter(|_| rows.len() == PAGE))
        }
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(match self {
            Self::Postgres(pool) => sum(&sqlx::query(sql).bind(after).fetch_all(pool).await?),
            Self::Sqlite(pool) => sum(&sqlx::query(sql).bind(after).fetch_all(pool).await?),
        })
    }

    async fn delete(&self, keys: &[String]) -> Result<(), Error> {
        for chunk in keys.chunks(500) {
            let marks =
                |mark: fn(usize) -> String| (1..=chunk.len()).map(mark).collect::<Vec<_>>().join(", ");
            let sql = |marks: String| {
                AssertSqlSafe(format!("DELETE FROM bench_session WHERE session_key IN ({marks})"))
            };
            match self {
                Self::Postgres(pool) => {
                    let query = sqlx::query(sql(marks(|n| format!("${n}"))));
                    chunk.iter().fold(query, sqlx::query::Query::bind).execute(pool).await?;
                }
                Self::Sqlite(pool) => {
                    let query = sqlx::query(sql(marks(|_| "?".to_owned())));
                    chunk.iter().fold(query, sqlx::query::Query::bind).execute(pool).await?;
                }
            }
        }
        Ok(())
    }
}

/// A session as Django writes one: signed, with a little of the app's own in it.
fn session(user: usize) -> String {
    let json = serde_json::json!({
        "_auth_user_id": user.to_string(),
        "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
        "_auth_user_hash": "0".repeat(64),
    });
    format!("{}:1xVG4W:{}", URL_SAFE_NO_PAD.encode(json.to_string()), "s".repeat(43))
}

fn key(n: usize) -> String {
    format!("{:032x}", (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// The inserts for these rows.
fn inserts(rows: impl Iterator<Item = usize>) -> Vec<String> {
    let values: Vec<String> =
        rows.map(|n| format!("('{}', '{}', '2033-05-18 03:33:20')", key(n), session(n % USERS))).collect();
    let insert = |chunk: &[String]| format!("INSERT INTO bench_session VALUES {}", chunk.join(", "));
    values.chunks(1_000).map(insert).collect()
}

async fn prepare(pool: &Pool) -> Result<(), Error> {
    let time = if matches!(pool, Pool::Postgres(_)) { "timestamp with time zone" } else { "datetime" };
    pool.script(&format!(
        "DROP TABLE IF EXISTS bench_session; DROP TABLE IF EXISTS bench_user;
         CREATE TABLE bench_session (session_key varchar(40) PRIMARY KEY, session_data text NOT NULL, expire_date {time} NOT NULL);
         CREATE TABLE bench_user (id integer PRIMARY KEY, username varchar(150) NOT NULL UNIQUE)"
    ))
    .await?;
    let users: Vec<String> = (0..USERS).map(|n| format!("({n}, 'user{n}')")).collect();
    pool.script(&format!("INSERT INTO bench_user VALUES {}", users.join(", "))).await?;
    for insert in inserts(0..ROWS) {
        pool.script(&insert).await?;
    }
    pool.script("ANALYZE").await
}

async fn run(name: &str, url: &str, pool: Pool) -> Result<(), Error> {
    prepare(&pool).await?;
    let config = SqlConfig {
        preset: Some(SqlPreset::Django),
        table: Some("bench_session".to_owned()),
        user_table: Some("bench_user".to_owned()),
        ..SqlConfig::new(url)
    };
    let sql = Sql::new(config, Clock::system())?;
    println!("\n{name}: {ROWS} sessions of {USERS} users, medians of {RUNS} runs");
    for users in [1, 1_000] {
        let targets: Vec<Target> =
            (0..users).map(|n| Target::every_session(&n.to_string(), format!("user{n}"))).collect();
        let rows: Vec<usize> = (0..ROWS).filter(|n| n % USERS < users).collect();
        let keys: Vec<String> = rows.iter().map(|n| key(*n)).collect();
        let (mut find, mut bare_find, mut end, mut bare_end) = (vec![], vec![], vec![], vec![]);
        for _ in 0..RUNS {
            let start = Instant::now();
            let found = sql.find(&targets).await?;
            find.push(start.elapsed());
            assert_eq!(count(&found.replies), keys.len(), "it found them all");

            let start = Instant::now();
            scan(&pool).await?;
            bare_find.push(start.elapsed());

            let start = Instant::now();
            assert_eq!(count(&sql.end(&targets).await?.replies), keys.len(), "it ended them all");
            end.push(start.elapsed());
            put_back(&pool, &rows).await?;

            let start = Instant::now();
            scan(&pool).await?;
            pool.delete(&keys).await?;
            bare_end.push(start.elapsed());
            put_back(&pool, &rows).await?;
        }
        show(&format!("find, {users} users"), find, "SELECT of every key and value", bare_find);
        show(&format!("end, {users} users"), end, "the same and DELETE by key", bare_end);
    }
    pool.script("DROP TABLE bench_session; DROP TABLE bench_user").await
}

async fn put_back(pool: &Pool, rows: &[usize]) -> Result<(), Error> {
    for insert in inserts(rows.iter().copied()) {
        pool.script(&insert).await?;
    }
    Ok(())
}

/// Reads every key and value, in the same pages and with the same condition.
async fn scan(pool: &Pool) -> Result<(), Error> {
    let (mark, live) = match pool {
        Pool::Postgres(_) => ("$1", "now()"),
        Pool::Sqlite(_) => ("?", "datetime('now', '-1 day')"),
    };
    let sql = format!(
        "SELECT session_key, session_data FROM bench_session WHERE session_key > {mark} AND expire_date > {live} ORDER BY session_key LIMIT {PAGE}"
    );
    let (mut after, mut bytes) = (String::new(), 0);
    loop {
        let (read, next) = pool.page(&sql, &after).await?;
        bytes += read;
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert!(bytes > ROWS * 100, "every value was read");
    Ok(())
}

fn count(replies: &[Reply]) -> usize {
    replies.iter().map(|r| if let Reply::Sessions(sessions) = r { sessions.len() } else { 0 }).sum()
}

fn show(what: &str, mut ours: Vec<Duration>, bare: &str, mut theirs: Vec<Duration>) {
    ours.sort();
    theirs.sort();
    let (ours, theirs) = (ours[RUNS / 2], theirs[RUNS / 2]);
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("  {what}: {:.0} ms; bare ({bare}): {:.0} ms; ratio {ratio:.2}", ms(ours), ms(theirs));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
