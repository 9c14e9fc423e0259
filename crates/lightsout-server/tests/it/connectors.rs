//! One suite over every connector: what a system owes its caller.

use std::time::Duration;

use futures_util::future::BoxFuture;
use lightsout_server::connector::{Connector, Memory, Redis, RedisConfig, Reply, Target};
use lightsout_server::secret::Secret;
use redis::AsyncCommands;

/// A store under test: signs in and looks by its own means, never through the connector.
trait Store: Send + Sync {
    fn connector(&self) -> &dyn Connector;
    fn sign_in<'a>(&'a self, subject: &'a str, key: &'a str, began_at: Option<i64>) -> BoxFuture<'a, ()>;
    /// What a request in flight does: saves the session under its key, and touches no index.
    fn save_again<'a>(&'a self, subject: &'a str, key: &'a str) -> BoxFuture<'a, ()> {
        self.sign_in(subject, key, None)
    }
    fn lives<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool>;
}

impl Store for Memory {
    fn connector(&self) -> &dyn Connector {
        self
    }

    fn sign_in<'a>(&'a self, subject: &'a str, key: &'a str, began_at: Option<i64>) -> BoxFuture<'a, ()> {
        Box::pin(async move { Memory::sign_in(self, subject, key, began_at) })
    }

    fn lives<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.is_signed_in(key) })
    }
}

/// A store in the Redis that `./test` started, under a prefix of its own.
struct RedisStore {
    connector: Redis,
    connection: redis::aio::MultiplexedConnection,
    prefix: String,
    indexed: bool,
}

impl RedisStore {
    async fn new(indexed: bool) -> Self {
        static STORES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let url = std::env::var("LIGHTSOUT_TEST_REDIS").expect("LIGHTSOUT_TEST_REDIS is set by ./test");
        let store = STORES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // The prefix holds characters that a glob would read as its own.
        let prefix = format!("s[{}]*{store}:", std::process::id());
        let config = RedisConfig {
            url: Secret(url.clone().into()),
            prefix: prefix.clone(),
            user_path: "passport.user".to_owned(),
            began_at_path: Some("began".to_owned()),
            user_index: indexed.then(|| format!("users-{prefix}{{subject}}")),
        };
        let client = redis::Client::open(url).expect("an address");
        let connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
        Self { connector: Redis::new(config), connection, prefix, indexed }
    }
}

impl Store for RedisStore {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn sign_in<'a>(&'a self, subject: &'a str, key: &'a str, began_at: Option<i64>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let value = serde_json::json!({"cookie": {"path": "/"}, "passport": {"user": subject}, "began": began_at});
            let mut connection = self.connection.clone();
            let () =
                connection.set(format!("{}{key}", self.prefix), value.to_string()).await.expect("stored");
            if self.indexed {
                let set = format!("users-{}{subject}", self.prefix);
                let () = connection.sadd(set, key).await.expect("indexed");
            }
        })
    }

    fn save_again<'a>(&'a self, subject: &'a str, key: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let value = serde_json::json!({"passport": {"user": subject}}).to_string();
            let () =
                self.connection.clone().set(format!("{}{key}", self.prefix), value).await.expect("stored");
        })
    }

    fn lives<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            self.connection.clone().exists(format!("{}{key}", self.prefix)).await.expect("an answer")
        })
    }
}

fn target(subject: &str, cutoff: i64) -> Target {
    Target { user_id: format!("id of {subject}"), subject: subject.to_owned(), cutoff }
}

fn counts(replies: &[Reply]) -> Vec<usize> {
    let count = |reply: &Reply| match reply {
        Reply::Sessions(keys) => keys.len(),
        other => panic!("not a count: {other:?}"),
    };
    replies.iter().map(count).collect()
}

async fn ends_only_what_is_over(store: &dyn Store) {
    store.sign_in("ann", "a1", Some(1_000)).await;
    store.sign_in("ann", "a2", None).await;
    store.sign_in("ann", "later", Some(2_001)).await;
    store.sign_in("anna", "whole-names-only", Some(1_000)).await;
    store.sign_in("bob", "b1", Some(1_000)).await;
    let targets = [target("ann", 2_000), target("eve", 2_000)];

    let found = store.connector().find(&targets).await.expect("found");
    assert_eq!(counts(&found), [2, 0]);
    assert!(store.lives("a1").await, "find changes nothing");
    let ended = store.connector().end(&targets).await.expect("ended");
    assert_eq!(ended, found, "the same sessions have the same keys");
    for (key, lives) in
        [("a1", false), ("a2", false), ("later", true), ("whole-names-only", true), ("b1", true)]
    {
        assert_eq!(store.lives(key).await, lives, "{key}");
    }
    assert_eq!(counts(&store.connector().end(&targets).await.expect("again")), [0, 0], "idempotent");
}

async fn knows_a_session_that_came_back(store: &dyn Store) {
    store.sign_in("ann", "a1", None).await;
    let targets = [target("ann", 2_000)];
    let first = store.connector().end(&targets).await.expect("ended");
    store.save_again("ann", "a1").await;
    let second = store.connector().end(&targets).await.expect("ended again");
    assert_eq!(first, second);
    assert!(!store.lives("a1").await);
}

async fn ends_many_in_one_pass(store: &dyn Store) {
    let names: Vec<String> = (0..1_500).map(|n| format!("user{n}")).collect();
    for name in &names {
        store.sign_in(name, &format!("key of {name}"), Some(1)).await;
    }
    let targets: Vec<Target> = names.iter().map(|name| target(name, 2_000)).collect();
    let replies = store.connector().end(&targets).await.expect("ended");
    assert_eq!(counts(&replies), vec![1; names.len()]);
    assert_eq!(counts(&store.connector().find(&targets).await.expect("none left")), vec![0; names.len()]);
}

macro_rules! suite {
    ($name:ident, $store:expr) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn ends_only_what_is_over() {
                super::ends_only_what_is_over(&$store).await;
            }

            #[tokio::test]
            async fn knows_a_session_that_came_back() {
                super::knows_a_session_that_came_back(&$store).await;
            }

            #[tokio::test]
            async fn ends_many_in_one_pass() {
                super::ends_many_in_one_pass(&$store).await;
            }
        }
    };
}

suite!(memory, Memory::default());
suite!(redis_scan, RedisStore::new(false).await);
suite!(redis_index, RedisStore::new(true).await);

#[tokio::test]
async fn redis_that_is_down_is_unreachable_and_its_password_is_not_shown() {
    let config = RedisConfig {
        url: Secret("redis://:hunter2@127.0.0.1:1/0".into()),
        prefix: "sess:".to_owned(),
        user_path: "user".to_owned(),
        began_at_path: None,
        user_index: None,
    };
    let redis = Redis::new(config);
    let targets = [target("ann", 1)];
    let end =
        tokio::time::timeout(Duration::from_secs(30), redis.end(&targets)).await.expect("an answer in time");
    let error = format!("{:?}", end.expect_err("nothing listens there"));
    assert!(error.contains("Unreachable") && !error.contains("hunter2"), "{error}");
    assert!(!format!("{redis:?}").contains("hunter2"));
}
