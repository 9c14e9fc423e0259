//! Redis under the suite, in each of the layouts, and what is its own.

mod kit;
mod servers;
mod store;

use futures_util::future::BoxFuture;
use lightsout_server::connector::{Connector, Redis};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{Contents, Store, suite};

/// Writes a value: the subject, and the begin where the layout has one.
type Write = fn(&str, Option<i64>) -> Vec<u8>;

/// A store under a prefix of its own.
struct RedisStore {
    connector: Redis,
    /// Each server that holds sessions.
    connections: Vec<MultiplexedConnection>,
    prefix: String,
    index: Option<String>,
    write: Write,
    knows_begins: bool,
}

/// An address of the Redis that `./test` started.
fn shared() -> String {
    std::env::var("LIGHTSOUT_TEST_REDIS").expect("LIGHTSOUT_TEST_REDIS is set by ./test")
}

/// A prefix that holds characters which a glob would read as its own.
fn fresh_prefix() -> String {
    static STORES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let store = STORES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("s[{}]*{store}:", std::process::id())
}

/// A connector of these keys.
fn connector(keys: Value) -> Redis {
    Redis::new(serde_json::from_value(keys).expect("keys of the kind"))
        .expect("a configuration that can work")
}

impl RedisStore {
    /// In the shared Redis.
    async fn new(mut keys: Value, write: Write) -> Self {
        keys["url"] = shared().into();
        Self::at(&[shared()], keys, write).await
    }

    async fn at(urls: &[String], mut keys: Value, write: Write) -> Self {
        let prefix = fresh_prefix();
        keys["prefix"] = prefix.clone().into();
        let index = keys["user_index"].as_str().map(|index| index.replace("{prefix}", &prefix));
        if let Some(index) = &index {
            keys["user_index"] = index.clone().into();
        }
        let knows_begins = keys.get("began_at_path").is_some();
        let mut connections = Vec::new();
        for url in urls {
            connections.push(kit::connect(url).await);
        }
        Self { connector: connector(keys), connections, prefix, index, write, knows_begins }
    }

    /// In a cluster that all tests share.
    async fn in_cluster(mut keys: Value, write: Write) -> Self {
        static CLUSTER: OnceCell<Vec<kit::Server>> = OnceCell::const_new();
        let servers = CLUSTER.get_or_init(kit::cluster).await;
        let urls: Vec<String> = servers.iter().map(kit::Server::url).collect();
        keys["cluster"] = json!([urls[1]]);
        Self::at(&urls, keys, write).await
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Runs a command on the server that holds its key.
    async fn run<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        let mut refused = None;
        for connection in &self.connections {
            match command.query_async(&mut connection.clone()).await {
                Ok(answer) => return answer,
                Err(error) => refused = Some(error),
            }
        }
        panic!("{refused:?}");
    }

    async fn set(&self, key: &str, value: &[u8]) {
        let () = self.run(redis::cmd("SET").arg(self.key(key)).arg(value)).await;
    }
}

impl Store for RedisStore {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn sign_in<'a>(&'a self, subject: &'a str, key: &'a str, began_at: Option<i64>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.set(key, &(self.write)(subject, began_at)).await;
            if let Some(index) = &self.index {
                let set = index.replace("{subject}", subject);
                let _: i64 = self.run(redis::cmd("SADD").arg(set).arg(key)).await;
            }
        })
    }

    fn save_again<'a>(&'a self, subject: &'a str, key: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.set(key, &(self.write)(subject, None)).await })
    }

    fn contents(&self) -> BoxFuture<'_, Contents> {
        Box::pin(async move {
            let mut contents = Contents::new();
            for connection in &self.connections {
                let mut connection = connection.clone();
                let keys: Vec<Vec<u8>> = connection.keys("*").await.expect("keys");
                for key in keys.into_iter().filter(|key| key.starts_with(self.prefix.as_bytes())) {
                    let value: Vec<u8> = connection.get(&key).await.expect("a value");
                    contents.insert(key, value);
                }
            }
            contents
        })
    }

    fn lives<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.run(redis::cmd("EXISTS").arg(self.key(key))).await })
    }

    fn knows_begins(&self) -> bool {
        self.knows_begins
    }
}

/// As express-session with Passport stores it.
fn connect_redis(subject: &str, began_at: Option<i64>) -> Vec<u8> {
    let cookie = json!({"originalMaxAge": null, "expires": null, "httpOnly": true, "path": "/"});
    json!({"cookie": cookie, "passport": {"user": subject}, "began": began_at}).to_string().into_bytes()
}

/// As Flask-Session 0.8 stores what Flask-Login put in.
fn flask(subject: &str, _: Option<i64>) -> Vec<u8> {
    let entries = [("_permanent", true.into()), ("_user_id", subject.into()), ("_fresh", true.into())];
    msgpack(&rmpv::Value::Map(entries.map(|(name, value)| (name.into(), value)).into()))
}

/// As `pickle.dumps` writes Django's session with protocol 5.
fn django(subject: &str, _: Option<i64>) -> Vec<u8> {
    let mut pickle = b"\x80\x05}\x94(".to_vec();
    for text in ["_auth_user_id", subject, "_auth_user_hash", "ab12"] {
        pickle.extend(b"X");
        pickle.extend(u32::try_from(text.len()).expect("short").to_le_bytes());
        pickle.extend(text.as_bytes());
        pickle.extend(b"\x94");
    }
    pickle.extend(b"u.");
    pickle
}

/// As actix-session stores what actix-identity put in.
fn actix(subject: &str, _: Option<i64>) -> Vec<u8> {
    json!({"actix_identity.user_id": json!(subject).to_string()}).to_string().into_bytes()
}

/// As tower-sessions-redis-store stores what axum-login put in.
fn tower(subject: &str, _: Option<i64>) -> Vec<u8> {
    let login: rmpv::Value = rmpv::Value::Map(vec![("user_id".into(), subject.into())]);
    let data = rmpv::Value::Map(vec![("axum-login.data".into(), login)]);
    let id = rmpv::Value::Binary(vec![7; 16]);
    msgpack(&rmpv::Value::Array(vec![id, data, rmpv::Value::Array(vec![2026.into(), 2.into()])]))
}

fn msgpack(value: &rmpv::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).expect("memory takes it");
    bytes
}

fn with_begins() -> Value {
    json!({"preset": "connect_redis", "began_at_path": "began"})
}

fn with_index() -> Value {
    json!({"preset": "connect_redis", "began_at_path": "began", "user_index": "users-{prefix}{subject}"})
}

fn preset(name: &str) -> Value {
    json!({"preset": name})
}

suite!(redis_scan, RedisStore::new(with_begins(), connect_redis).await);
suite!(redis_index, RedisStore::new(with_index(), connect_redis).await);
suite!(redis_flask_session, RedisStore::new(preset("flask_session"), flask).await);
suite!(redis_django_cache, RedisStore::new(preset("django_cache"), django).await);
suite!(redis_actix_session, RedisStore::new(preset("actix_session"), actix).await);
suite!(redis_tower_sessions, RedisStore::new(preset("tower_sessions"), tower).await);
suite!(redis_cluster, RedisStore::in_cluster(with_begins(), connect_redis).await);
suite!(redis_cluster_index, RedisStore::in_cluster(with_index(), connect_redis).await);
