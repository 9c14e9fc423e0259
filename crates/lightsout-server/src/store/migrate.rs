//! Applies the migrations, and refuses a database that only newer binaries understand.

use crate::args;
use crate::store::{Db, DbError};

/// One numbered step of the schema. Steps are only ever added.
struct Migration {
    script: &'static str,
    /// The number of migrations that a binary must know to run on the schema after this step.
    oldest_binary: i64,
}

const MIGRATIONS: &[Migration] = &[
    Migration { script: include_str!("migrations/0001_first.sql"), oldest_binary: 1 },
    Migration { script: include_str!("migrations/0002_relying_parties.sql"), oldest_binary: 1 },
    Migration { script: include_str!("migrations/0003_feed.sql"), oldest_binary: 1 },
    Migration { script: include_str!("migrations/0004_sign_in.sql"), oldest_binary: 1 },
    Migration { script: include_str!("migrations/0005_callers.sql"), oldest_binary: 1 },
];

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer binary changed the schema in a way that this one cannot read.
    #[error(
        "this binary is too old for the database: it knows {known} migrations, the database needs one that knows {needed}; install a newer lightsout"
    )]
    BinaryTooOld {
        /// What this binary knows.
        known: i64,
        /// What the database needs.
        needed: i64,
    },
    /// The database failed.
    #[error("the migration failed")]
    Db(#[from] DbError),
}

/// Brings the schema up to date, in one transaction a step. Safe to run from several nodes at once.
pub async fn migrate(db: &Db) -> Result<(), MigrateError> {
    let known = i64::try_from(MIGRATIONS.len()).expect("few migrations");
    let mut tx = db.begin().await?;
    tx.run_script(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
             number        BIGINT PRIMARY KEY,
             oldest_binary BIGINT NOT NULL
         )",
    )
    .await
    .or_else(|e| if matches!(e, DbError::Duplicate) { Ok(()) } else { Err(e) })?;
    tx.commit().await?;
    loop {
        let mut tx = db.begin().await?;
        // The table itself is the lock between nodes that start together.
        tx.execute("INSERT INTO schema_migrations VALUES (0, 0) ON CONFLICT DO NOTHING", args![]).await?;
        tx.execute("UPDATE schema_migrations SET oldest_binary = 0 WHERE number = 0", args![]).await?;
        let state: Option<(i64, i64)> =
            tx.find("SELECT max(number), max(oldest_binary) FROM schema_migrations", args![]).await?;
        let (applied, needed) = state.unwrap_or_default();
        if needed > known {
            return Err(MigrateError::BinaryTooOld { known, needed });
        }
        let Some(next) = usize::try_from(applied).ok().and_then(|n| MIGRATIONS.get(n)) else {
            return Ok(tx.commit().await?);
        };
        tx.run_script(next.script).await?;
        tx.execute("INSERT INTO schema_migrations VALUES ($1, $2)", args![applied + 1, next.oldest_binary])
            .await?;
        tx.commit().await?;
    }
}
