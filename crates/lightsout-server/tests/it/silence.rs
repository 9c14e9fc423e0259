//! The line to PostgreSQL falls silent: what went over it never hears anything again, as behind a firewall
//! that forgot it, and only new connections come through.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use lightsout_server::clock::Clock;
use lightsout_server::connector::{Connector, Sql, SqlConfig};
use lightsout_server::store::{Db, migrate};
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connectors::target;
use crate::harness::{Database, url};

/// More messages than one round of anybody's work here takes.
const MESSAGES: i64 = 30;
/// Lines at once: each holds a few of the server's connections.
const AT_ONCE: usize = 10;

/// A line to a server.
struct Line {
    /// Where the server is by this line.
    url: String,
    /// How many messages of the service still come through before it falls silent.
    left: Arc<AtomicI64>,
    _stop: DropGuard,
}

impl Line {
    async fn to(target: &Url) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut url = target.clone();
        url.set_port(Some(listener.local_addr().expect("it is bound").port())).expect("a url with a host");
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let stop = CancellationToken::new();
        let line = Self { url: url.into(), left: Arc::clone(&left), _stop: stop.clone().drop_guard() };
        let target = target.socket_addrs(|| None).expect("an address");
        let inner = stop.clone();
        let accept = async move {
            loop {
                let (near, _) = listener.accept().await.expect("a connection");
                let far = TcpStream::connect(&*target).await.expect("the server answers");
                let left = (left.load(Ordering::SeqCst) > 0).then(|| Arc::clone(&left));
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                tokio::spawn(inner.clone().run_until_cancelled_owned(copy(
                    from_near,
                    to_far,
                    left.clone(),
                    1,
                )));
                tokio::spawn(inner.clone().run_until_cancelled_owned(copy(from_far, to_near, left, 0)));
            }
        };
        tokio::spawn(stop.run_until_cancelled_owned(accept));
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

/// Lets the line of a user fall silent at every message of its work, and expects that it works again.
async fn recovers<U>(url: &str, user: impl AsyncFn(&str) -> U, is_usable: impl AsyncFn(&U) -> bool) {
    let target: Url = url.parse().expect("a url");
    let case = async |messages| {
        let line = Line::to(&target).await;
        let user = user(&line.url).await;
        assert!(is_usable(&user).await);
        line.left.store(messages, Ordering::SeqCst);
        while !line.is_silent() {
            is_usable(&user).await;
        }
        let again = async { while !is_usable(&user).await {} };
        timeout(Duration::from_secs(30), again)
            .await
            .unwrap_or_else(|_| panic!("lost at message {messages}"));
    };
    stream::iter(1..=MESSAGES).map(case).buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// A request, or a look at a system, waits for so long.
async fn in_time<T, E>(work: impl Future<Output = Result<T, E>>) -> bool {
    timeout(Duration::from_secs(2), work).await.is_ok_and(|done| done.is_ok())
}

#[tokio::test]
async fn a_node_leaves_a_silent_line_for_a_new_one_at_any_message() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = url(Database::Postgres, &folder).await;
    let db = Db::open(&url, 1).await.expect("the database opens");
    migrate(&db).await.expect("the schema is made");
    let open = async |url: &str| Db::open(url, 1).await.expect("the database opens");
    // It looks for what is new, reads, and writes.
    let work = async |db: &Db| {
        db.head_apart().await?;
        db.count_open_jobs().await?;
        let mut tx = db.begin().await?;
        tx.release_all_jobs(0).await?;
        tx.commit().await
    };
    recovers(&url, open, async |db| in_time(work(db)).await).await;
}

#[tokio::test]
async fn a_sql_system_is_looked_at_by_a_new_line_when_the_old_one_is_silent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = url(Database::Postgres, &folder).await;
    let connector = async |url: &str| {
        let config = SqlConfig {
            find_sql: Some(
                "SELECT 'ann' AS subject, 'k' AS session_key WHERE 'ann' IN (:subjects)".to_owned(),
            ),
            end_sql: Some("DELETE FROM pg_class WHERE relname IN (:keys)".to_owned()),
            connections_max: 1,
            statement_timeout_s: 1,
            ..SqlConfig::new(url)
        };
        Sql::new(config, Clock::system()).expect("a configuration")
    };
    recovers(&url, connector, async |sql| in_time(sql.find(&[target("ann", 0)])).await).await;
}

#[tokio::test]
async fn whoever_listens_again_is_woken_by_a_new_line_when_the_old_one_is_silent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = url(Database::Postgres, &folder).await;
    let open = async |url: &str| Db::open(url, 1).await.expect("the database opens");
    // The first thing that a listener does once it hears is to look.
    let hears = async |db: &Db| {
        let (woken, mut wakes) = tokio::sync::mpsc::unbounded_channel();
        tokio::select! {
            _ = db.listen(|| woken.send(()).expect("somebody waits")) => false,
            heard = in_time(async { wakes.recv().await.ok_or(()) }) => heard,
        }
    };
    recovers(&url, open, hears).await;
}
