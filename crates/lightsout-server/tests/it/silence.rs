//! The line to PostgreSQL falls silent: what went over it never hears anything again, as behind a firewall
//! that forgot it, and only new connections come through.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use lightsout_server::store::{Db, migrate};
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::{Database, url};

/// A line to a server.
struct Line {
    port: u16,
    /// How many messages of the service still come through before it falls silent.
    left: Arc<AtomicI64>,
}

impl Line {
    async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let line = Self { port, left: Arc::clone(&left) };
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.expect("a connection");
                let far = TcpStream::connect(&target).await.expect("the server answers");
                let left = (left.load(Ordering::SeqCst) > 0).then(|| Arc::clone(&left));
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                tokio::spawn(copy(from_near, to_far, left.clone(), 1));
                tokio::spawn(copy(from_far, to_near, left, 0));
            }
        });
        line
    }

    fn is_silent(&self) -> bool {
        self.left.load(Ordering::SeqCst) <= 0
    }
}

/// Copies what comes, as long as something is left of what may come; for ever on a line that is new.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    left: Option<Arc<AtomicI64>>,
    cost: i64,
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if left.as_ref().is_some_and(|left| left.fetch_sub(cost, Ordering::SeqCst) <= 0) {
            std::future::pending::<()>().await;
        }
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}

/// What a node does with its database: it looks for what is new, reads, and writes.
async fn is_usable(db: &Db) -> bool {
    let work = async {
        db.head_apart().await?;
        db.count_open_jobs().await?;
        let mut tx = db.begin().await?;
        tx.release_all_jobs(0).await?;
        tx.commit().await
    };
    timeout(Duration::from_secs(2), work).await.is_ok_and(|done| done.is_ok())
}

async fn recovers(target: &Url, messages: i64) {
    let line = Line::to(target.socket_addrs(|| None).expect("an address")[0].to_string()).await;
    let mut near = target.clone();
    near.set_port(Some(line.port)).expect("a port");
    let db = Db::open(near.as_str(), 1).await.expect("the database opens");
    assert!(is_usable(&db).await);
    line.left.store(messages, Ordering::SeqCst);
    while !line.is_silent() {
        is_usable(&db).await;
    }
    let again = async { while !is_usable(&db).await {} };
    timeout(Duration::from_secs(30), again).await.unwrap_or_else(|_| panic!("lost at message {messages}"));
}

#[tokio::test]
async fn a_line_that_falls_silent_at_any_message_is_left_for_a_new_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = url(Database::Postgres, &folder).await;
    let db = Db::open(&url, 1).await.expect("the database opens");
    migrate(&db).await.expect("the schema is made");
    let target: Url = url.parse().expect("a url");
    join_all((1..=30).map(|messages| recovers(&target, messages))).await;
}
