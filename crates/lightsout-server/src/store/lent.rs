//! Connections that a pool has lent.
//!
//! sqlx asks a connection whether it lives when it goes back, and waits for the answer for ever: on a line
//! that a network forgot, its place in the pool would be lost. Here it is given up in time.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::{Connection, Database, Executor, Pool, Postgres};
use tokio::time::timeout;

/// How long a connection may take to say that it lives, when no statement is left running on it.
pub(crate) const PING_WITHIN: Duration = Duration::from_secs(1);

const THERE: &str = "it is there until it is dropped";

/// A connection that goes back to its pool when it is dropped.
pub(crate) struct Lent<DB: Database> {
    /// There until it is dropped.
    connection: Option<PoolConnection<DB>>,
    back_within: Duration,
}

impl<DB: Database> Lent<DB> {
    /// Lends a connection. One that does not answer within a time when it goes back is given up: what
    /// runs on it must have ended by then, or the server works on more than the pool holds.
    pub(crate) async fn of(pool: &Pool<DB>, back_within: Duration) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: Some(Box::pin(pool.acquire()).await?), back_within })
    }

    /// Closes it. Its place in the pool is free.
    fn give_up(mut self) {
        drop(self.connection.take().map(PoolConnection::detach));
    }
}

/// Whether a connection lives, before it is lent.
pub(crate) async fn answers(connection: &mut impl Connection) -> Result<bool, sqlx::Error> {
    Ok(timeout(PING_WITHIN, connection.ping()).await.is_ok_and(|pong| pong.is_ok()))
}

impl<DB: Database> Deref for Lent<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &Self::Target {
        self.connection.as_ref().expect(THERE)
    }
}

impl<DB: Database> DerefMut for Lent<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection.as_mut().expect(THERE)
    }
}

impl<DB: Database> Drop for Lent<DB> {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            // The future of this function, which sqlx documents nowhere, holds the connection from the
            // beginning: dropped, it closes it and frees its place.
            tokio::spawn(timeout(self.back_within, connection.return_to_pool()));
        }
    }
}

/// An open transaction on PostgreSQL. Dropped without a commit, it is rolled back, also where its `BEGIN`
/// or its `COMMIT` was cancelled half-way.
pub(super) struct PgTx {
    /// There until it is committed or dropped.
    lent: Option<Lent<Postgres>>,
}

impl PgTx {
    pub(super) async fn begin(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut tx = Self { lent: Some(Lent::of(pool, PING_WITHIN).await?) };
        tx.execute("BEGIN").await?;
        Ok(tx)
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.execute("COMMIT").await?;
        self.lent = None;
        Ok(())
    }
}

impl Deref for PgTx {
    type Target = Lent<Postgres>;

    fn deref(&self) -> &Self::Target {
        self.lent.as_ref().expect(THERE)
    }
}

impl DerefMut for PgTx {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.lent.as_mut().expect(THERE)
    }
}

impl Drop for PgTx {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            tokio::spawn(roll_back(lent));
        }
    }
}

async fn roll_back(mut lent: Lent<Postgres>) {
    if !matches!(timeout(PING_WITHIN, lent.execute("ROLLBACK")).await, Ok(Ok(_))) {
        lent.give_up();
    }
}
