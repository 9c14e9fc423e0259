//! A PostgreSQL connection that a pool has lent.
//!
//! sqlx asks a connection whether it lives when it goes back, and waits for the answer for ever: on a line
//! that a network forgot, its place in the pool would be lost. Here it is given up in time.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection, Executor, Postgres};
use tokio::time::timeout;

/// How long a connection may take to say that it lives.
const PING_WITHIN: Duration = Duration::from_secs(1);

/// A connection that goes back to its pool when it is dropped, without what was not committed.
pub(super) struct Lent {
    /// There until it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    in_transaction: bool,
}

impl Lent {
    pub(super) async fn of(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: Some(Box::pin(pool.acquire()).await?), in_transaction: false })
    }

    pub(super) async fn begin(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut lent = Self::of(pool).await?;
        lent.in_transaction = true;
        lent.execute("BEGIN").await?;
        Ok(lent)
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.execute("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }
}

/// Whether a connection lives, before it is lent.
pub(super) async fn answers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    Ok(timeout(PING_WITHIN, connection.ping()).await.is_ok_and(|pong| pong.is_ok()))
}

/// Takes a connection back, or gives it up, so that its place is free.
async fn take_back(mut connection: PoolConnection<Postgres>, in_transaction: bool) {
    if in_transaction && !matches!(timeout(PING_WITHIN, connection.execute("ROLLBACK")).await, Ok(Ok(_))) {
        return drop(connection.detach());
    }
    let _ = timeout(PING_WITHIN, connection.return_to_pool()).await;
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(take_back(connection, self.in_transaction));
        }
    }
}
