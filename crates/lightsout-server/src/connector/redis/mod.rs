//! Sessions in a Redis store as connect-redis lays them out: one JSON value a session.
//!
//! The user is found inside the JSON by a configured path and compared whole. With a user index
//! (a set of session ids by user) only that user's keys are read; without one, a single SCAN pass
//! serves all due users. Nothing stored is ever executed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use redis::aio::ConnectionManager;
use redis::{AsyncCommands, RedisError};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::secret::Secret;

use super::{
    Answer, Answering, Capabilities, Connector, ConnectorError, Explanation, Reply, Session, Target,
    key_digest,
};

/// Keys asked for in one SCAN step and values read in one MGET.
const BATCH: usize = 1_000;

/// How sessions lie in the store.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://[user:password@]host:port/db`.
    pub url: Secret,
    /// What every session's key begins with.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Where the user stands in the JSON, names joined by dots: `user.id`, `passport.user`.
    pub user_path: String,
    /// Where the begin stands in the JSON, as milliseconds since 1970 or RFC 3339; a session that
    /// began after the cutoff is spared.
    #[serde(default)]
    pub began_at_path: Option<String>,
    /// The key of a user's set of session ids, with `{subject}` in it.
    #[serde(default)]
    pub user_index: Option<String>,
}

fn default_prefix() -> String {
    "sess:".to_owned()
}

/// A Redis store.
#[derive(Debug)]
pub struct Redis {
    config: RedisConfig,
    connection: OnceCell<ConnectionManager>,
    /// Whether a user was ever found at the configured path.
    path_is_right: AtomicBool,
}

/// What a pass saw, to tell an empty store from one that cannot be read.
#[derive(Default)]
struct Seen {
    found: Vec<Found>,
    /// Keys that stand in the store.
    keys: usize,
    /// Values that are JSON objects.
    readable: usize,
}

/// A session found in the store.
struct Found {
    target: usize,
    key: Vec<u8>,
    dated: bool,
}

impl Redis {
    /// Connects at the first pass, and again whenever the connection was lost.
    pub fn new(config: RedisConfig) -> Self {
        Self { config, connection: OnceCell::new(), path_is_right: AtomicBool::new(false) }
    }

    /// Says what of a configuration cannot work, without connecting.
    pub fn check(config: &RedisConfig) -> Result<(), String> {
        if config.user_index.as_ref().is_some_and(|index| !index.contains("{subject}")) {
            return Err("user_index holds {subject}".to_owned());
        }
        let url = config.url.0.expose_secret();
        if url.starts_with("rediss:") {
            return Err("url: rediss:// (TLS) is not supported yet".to_owned());
        }
        if redis::Client::open(url).is_err() {
            return Err("url: not a Redis address; write redis://[user:password@]host:port/db".to_owned());
        }
        if config.user_path.is_empty() || config.user_path.split('.').any(str::is_empty) {
            return Err("user_path: names joined by dots, such as user.login".to_owned());
        }
        Ok(())
    }

    async fn connection(&self) -> Result<ConnectionManager, RedisError> {
        let connect = async || {
            let client = redis::Client::open(self.config.url.0.expose_secret())?;
            let config = redis::aio::ConnectionManagerConfig::new()
                .set_number_of_retries(1)
                .set_connection_timeout(Some(Duration::from_secs(5)))
                .set_response_timeout(Some(Duration::from_secs(30)));
            client.get_connection_manager_with_config(config).await
        };
        self.connection.get_or_try_init(connect).await.cloned()
    }

    async fn pass(&self, targets: &[Target], delete: bool) -> Result<Answer, ConnectorError> {
        let mut seen = self.search(targets).await.map_err(connector_error)?;
        if seen.keys > 0 && seen.readable == 0 {
            let why = format!("none of {} values under the prefix is a JSON object", seen.keys);
            return Err(ConnectorError::Unexpected(why));
        }
        if seen.readable > 0 && !self.path_is_right.load(Ordering::Relaxed) {
            // Sessions of nobody, or a wrong path: nothing can be said of these people.
            let why = "no session there shows whose it is; is user_path right?";
            return Ok(vec![Reply::Unknown(why.to_owned()); targets.len()].into());
        }
        // SCAN may show a key twice, and several sets may hold it.
        seen.found.sort_by(|a, b| a.key.cmp(&b.key));
        seen.found.dedup_by(|a, b| a.key == b.key);
        if delete {
            seen.found.retain(|f| f.dated || targets[f.target].is_over(&key_digest(&f.key), None));
        }
        if delete {
            let mut connection = self.connection().await.map_err(connector_error)?;
            unlink(&mut connection, &seen.found).await.map_err(connector_error)?;
        }
        let mut replies = vec![Vec::new(); targets.len()];
        for Found { target, key, dated } in seen.found {
            replies[target].push(Session { key: key_digest(&key), dated });
        }
        Ok(replies.into_iter().map(Reply::Sessions).collect::<Vec<_>>().into())
    }

    async fn search(&self, targets: &[Target]) -> Result<Seen, RedisError> {
        let mut connection = self.connection().await?;
        match &self.config.user_index {
            Some(index) => self.look_up(&mut connection, index, targets).await,
            None => self.scan(&mut connection, targets).await,
        }
    }

    /// Reads the sessions in each target's set. An id without a session is one that has ended.
    async fn look_up(
        &self,
        connection: &mut ConnectionManager,
        index: &str,
        targets: &[Target],
    ) -> Result<Seen, RedisError> {
        if targets.is_empty() {
            return Ok(Seen::default());
        }
        let mut pipe = redis::pipe();
        for target in targets {
            pipe.smembers(index.replace("{subject}", &target.subject));
        }
        let sets: Vec<Vec<Vec<u8>>> = pipe.query_async(connection).await?;
        let keys: Vec<Vec<u8>> = sets.into_iter().flatten().map(|id| self.key(id)).collect();
        let (subjects, mut seen) = (by_subject(targets), Seen::default());
        for keys in keys.chunks(BATCH) {
            let values = self.read(connection, keys, targets, &subjects, &mut seen).await?;
            seen.keys += values;
        }
        Ok(seen)
    }

    /// Reads every session in the store once.
    async fn scan(&self, connection: &mut ConnectionManager, targets: &[Target]) -> Result<Seen, RedisError> {
        let pattern = format!("{}*", escape_glob(&self.config.prefix));
        let (subjects, mut seen) = (by_subject(targets), Seen::default());
        let mut cursor = 0_u64;
        loop {
            let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(BATCH)
                .query_async(connection)
                .await?;
            self.read(connection, &keys, targets, &subjects, &mut seen).await?;
            seen.keys += keys.len();
            cursor = next;
            if cursor == 0 {
                return Ok(seen);
            }
        }
    }

    /// Reads the values of some keys, and adds those that belong to a target and are over. Returns
    /// the number of values.
    async fn read(
        &self,
        connection: &mut ConnectionManager,
        keys: &[Vec<u8>],
        targets: &[Target],
        subjects: &HashMap<&str, usize>,
        seen: &mut Seen,
    ) -> Result<usize, RedisError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let values: Vec<Option<Vec<u8>>> = connection.mget(keys).await?;
        let count = values.iter().flatten().count();
        for (key, value) in keys.iter().zip(values) {
            let parsed = value.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
            let Some(session) = parsed.filter(serde_json::Value::is_object) else { continue };
            seen.readable += 1;
            let Some(subject) = at(&session, &self.config.user_path).and_then(text) else { continue };
            self.path_is_right.store(true, Ordering::Relaxed);
            let Some(&target) = subjects.get(subject.as_str()) else { continue };
            let began_at = self.began_at(&session);
            if began_at.is_none_or(|began| began <= targets[target].cutoff) {
                seen.found.push(Found { target, key: key.clone(), dated: began_at.is_some() });
            }
        }
        Ok(count)
    }

    /// A set may hold ids, or whole keys.
    fn key(&self, id: Vec<u8>) -> Vec<u8> {
        let prefix = self.config.prefix.as_bytes();
        if id.starts_with(prefix) { id } else { [prefix, &id].concat() }
    }

    fn began_at(&self, session: &serde_json::Value) -> Option<i64> {
        match at(session, self.config.began_at_path.as_deref()?)? {
            serde_json::Value::Number(ms) => ms.as_i64(),
            serde_json::Value::String(text) => {
                text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
            }
            _ => None,
        }
    }
}

/// Deletes sessions. The sets of a user index are the app's and stay as they are: a session that is
/// saved again is then found again by its id in the set.
async fn unlink(connection: &mut ConnectionManager, found: &[Found]) -> Result<(), RedisError> {
    for chunk in found.chunks(BATCH) {
        let keys: Vec<&[u8]> = chunk.iter().map(|found| found.key.as_slice()).collect();
        let () = connection.unlink(keys).await?;
    }
    Ok(())
}

fn by_subject(targets: &[Target]) -> HashMap<&str, usize> {
    targets.iter().enumerate().map(|(n, target)| (target.subject.as_str(), n)).collect()
}

/// Follows names joined by dots into a JSON value.
fn at<'v>(value: &'v serde_json::Value, path: &str) -> Option<&'v serde_json::Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

/// A user's name as text; a number is written in decimal.
fn text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Takes the special meaning from characters of a glob pattern.
fn escape_glob(text: &str) -> String {
    text.chars().flat_map(|c| if "*?[]\\^-".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

/// Says what failed without the address, which may hold a password.
fn connector_error(error: RedisError) -> ConnectorError {
    let kind = error.to_string().split(':').next().unwrap_or_default().to_owned();
    if error.is_io_error()
        || error.is_timeout()
        || error.is_connection_refusal()
        || error.is_connection_dropped()
    {
        ConnectorError::Unreachable("Redis did not answer".to_owned())
    } else {
        ConnectorError::Unexpected(format!("Redis: {kind}"))
    }
}

impl Connector for Redis {
    fn capabilities(&self) -> Capabilities {
        let indexed = self.config.user_index.is_some();
        // A pass without an index costs the same for all due users as for one.
        Capabilities {
            targets_per_job: if indexed { 500 } else { 2_000 },
            jobs_per_pass: if indexed { 4 } else { 1_000 },
            counts: true,
        }
    }

    fn explain(&self) -> Explanation {
        Explanation {
            matched: format!(
                "JSON values under {}* with the subject at {}",
                self.config.prefix, self.config.user_path
            ),
            ended: "UNLINK of the key".to_owned(),
            proven: "looked for again after the quiet time".to_owned(),
        }
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.pass(targets, true).await }.boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.pass(targets, false).await }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_path_as_text_or_number() {
        let session = serde_json::json!({"passport": {"user": 7}, "user": "ann"});
        assert_eq!(at(&session, "passport.user").and_then(text), Some("7".to_owned()));
        assert_eq!(at(&session, "user").and_then(text), Some("ann".to_owned()));
        assert_eq!(at(&session, "user.id").and_then(text), None);
    }

    #[test]
    fn prefix_is_matched_literally() {
        assert_eq!(escape_glob("s*ss[1]:"), "s\\*ss\\[1\\]:");
    }
}
