//! Redis under the suite, and what is its own.

use std::time::Duration;

use futures_util::future::BoxFuture;
use lightsout_server::connector::{Connector, Redis, RedisConfig};
use lightsout_server::secret::Secret;
use redis::AsyncCommands;

use super::{Contents, Store, suite, target};

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

    fn contents(&self) -> BoxFuture<'_, Contents> {
        Box::pin(async move {
            let mut connection = self.connection.clone();
            let keys: Vec<Vec<u8>> = connection.keys("*").await.expect("keys");
            let mut contents = Contents::new();
            for key in keys.into_iter().filter(|key| key.starts_with(self.prefix.as_bytes())) {
                let value: Vec<u8> = connection.get(&key).await.expect("a value");
                contents.insert(key, value);
            }
            contents
        })
    }

    fn lives<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            self.connection.clone().exists(format!("{}{key}", self.prefix)).await.expect("an answer")
        })
    }
}

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
