//! How the databases are connected to: options, pools, deadlines.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use super::db::{DbError, Pools};
use super::lent::answers;

/// How long PostgreSQL works on one statement, and waits for one lock.
const STATEMENT_TIMEOUT: &str = "60s";
const LOCK_TIMEOUT: &str = "10s";
/// A node that is cut off in the middle of a transaction holds its locks for so long, and all others up.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "5s";
/// How long a request waits for a free connection.
const CONNECTION_WITHIN: Duration = Duration::from_secs(10);

/// Opens SQLite: one writer, and readers that see the last commit.
pub(super) async fn sqlite(url: &str, connections_max: u32) -> Result<Pools, DbError> {
    let options = SqliteConnectOptions::from_str(url).map_err(DbError::Other)?;
    make_file(options.get_filename()).map_err(|e| DbError::Unavailable(sqlx::Error::Io(e)))?;
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(10))
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", "-16384")
        // Rows that a statement may be ahead of its reader: fewer turns between two threads.
        .row_buffer_size(1_000)
        .disable_statement_logging();
    // When its disk is full, SQLite rolls back by itself. sqlx's own rollback fails then, and the
    // connection counts itself in a transaction for ever: it is given up.
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECTION_WITHIN)
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(options.clone())
        .await?;
    let apart = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let read = SqlitePoolOptions::new().max_connections(connections_max).connect_with(options).await?;
    Ok(Pools::Sqlite { read, write, apart })
}

/// Makes the file if there is none, for its owner only: it holds people's names, devices and addresses.
///
/// What root makes belongs to the owner of the folder, which is the user that the service runs as. SQLite
/// does the same for the files beside it.
fn make_file(file: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).mode(0o600);
    let made = match options.clone().create_new(true).open(file) {
        Ok(made) => made,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return options.open(file).map(drop),
        Err(error) => return Err(error),
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let owner = std::fs::metadata(folder)?;
    if made.metadata()?.uid() == 0 && owner.uid() != 0 {
        std::os::unix::fs::fchown(&made, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Opens PostgreSQL.
pub(super) async fn postgres(url: &str, connections_max: u32) -> Result<Pools, DbError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(DbError::Other)?
        .application_name("lightsout")
        .options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            ("synchronous_commit", "on"),
            // A plan from when a table was small reads all of it when it has grown.
            ("plan_cache_mode", "force_custom_plan"),
            ("jit", "off"),
        ])
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(CONNECTION_WITHIN)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(answers(connection)))
        .connect_with(options)
        .await?;
    Ok(Pools::Postgres { apart: one_more(&pool), pool })
}

/// A pool of one connection, to the same database. Whoever cannot connect says so when it must.
pub(super) fn one_more(pool: &PgPool) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(answers(connection)))
        .connect_lazy_with(PgConnectOptions::clone(&pool.connect_options()))
}
