//! How a Redis store is reached, and how sessions lie in it.

use std::path::PathBuf;

use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::connector::{Format, Path};
use crate::secret::Secret;

/// A Redis store. One of `url`, `cluster` and `sentinel` says where it is; a `preset` says how an
/// application lays its sessions out, and each key besides it wins over the preset.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://[user:password@]host:port/db`, or `rediss://` for TLS.
    #[serde(default)]
    pub url: Option<Secret>,
    /// Addresses of a cluster's servers, in the same form; the rest of them are found. All are spoken
    /// to with the user, the password and the TLS of the first that answers.
    #[serde(default)]
    pub cluster: Vec<Secret>,
    /// Sentinels that know the primary.
    #[serde(default)]
    pub sentinel: Option<SentinelConfig>,
    /// The user of the Redis servers; wins over the address.
    #[serde(default)]
    pub username: Option<String>,
    /// The password of the Redis servers; wins over the address.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Certificates (PEM) to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A certificate (PEM) to show to the servers, with its `client_key`.
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// The private key (PEM) of `client_certificate`.
    #[serde(default)]
    pub client_key: Option<PathBuf>,
    /// The application's way to lay its sessions out.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// What every session's key begins with.
    #[serde(default)]
    pub prefix: Option<String>,
    /// How values are written.
    #[serde(default)]
    pub format: Option<Format>,
    /// Where the user stands in a value.
    #[serde(default)]
    pub user_path: Option<Path>,
    /// Where the begin stands in a value, as milliseconds since 1970 or RFC 3339; a session that
    /// began after the cutoff is spared.
    #[serde(default)]
    pub began_at_path: Option<Path>,
    /// The key of a user's set of session ids, with `{subject}` in it.
    #[serde(default)]
    pub user_index: Option<String>,
    /// The largest value that is read, in bytes.
    #[serde(default = "default_value_bytes_max")]
    pub value_bytes_max: usize,
}

/// Sentinels, and what they do not know of the servers they watch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentinelConfig {
    /// Addresses of the sentinels, with their own users and passwords if they have any.
    pub urls: Vec<Secret>,
    /// The name of the primary.
    pub master: String,
    /// Whether the Redis servers speak TLS; the sentinels' addresses say it of themselves.
    #[serde(default)]
    pub tls: bool,
    /// The number of the database.
    #[serde(default)]
    pub db: i64,
}

fn default_value_bytes_max() -> usize {
    1024 * 1024
}

/// An application's way to lay its sessions out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// connect-redis for express-session: `sess:`, JSON; the user where Passport puts it.
    ConnectRedis,
    /// Flask-Session: `session:`, MessagePack (0.8) or pickle (older); the user of Flask-Login.
    FlaskSession,
    /// Django's `contrib.sessions.backends.cache` over Django's `RedisCache` or django-redis.
    DjangoCache,
    /// actix-session: no prefix, JSON whose values are JSON; the user of actix-identity.
    ActixSession,
    /// tower-sessions-redis-store: no prefix, MessagePack; the user of axum-login.
    TowerSessions,
    /// Spring Session's `RedisIndexedSessionRepository`.
    SpringSession,
}

/// How sessions lie in the store.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) prefix: String,
    /// The ways a value may be written, tried in order.
    pub(super) formats: Vec<Format>,
    pub(super) user_path: Path,
    pub(super) began_at_path: Option<Path>,
    pub(super) user_index: Option<String>,
    pub(super) value_bytes_max: usize,
}

impl RedisConfig {
    /// Whether sessions are hashes that Spring Session indexes by their principal.
    pub(super) fn is_spring(&self) -> bool {
        self.preset == Some(Preset::SpringSession)
    }

    /// The layout: the preset's, and what is said besides it.
    pub(super) fn layout(&self) -> Result<Layout, String> {
        use Format::{Json, JsonTexts, Msgpack, Pickle};
        let path = |names: &[&str]| Some(Path::new(names.iter().copied()));
        let (prefix, formats, user_path) = match self.preset {
            None => ("sess:", vec![Json], None),
            Some(Preset::ConnectRedis) => ("sess:", vec![Json], path(&["passport", "user"])),
            // 0.8 writes MessagePack or JSON, and reads what older versions pickled.
            Some(Preset::FlaskSession) => ("session:", vec![Msgpack, Pickle, Json], path(&["_user_id"])),
            Some(Preset::DjangoCache) => {
                (":1:django.contrib.sessions.cache", vec![Pickle], path(&["_auth_user_id"]))
            }
            Some(Preset::ActixSession) => ("", vec![JsonTexts], path(&["actix_identity.user_id"])),
            Some(Preset::TowerSessions) => ("", vec![Msgpack], path(&["1", "axum-login.data", "user_id"])),
            // The index says whose a session is; no value is read.
            Some(Preset::SpringSession) => ("spring:session:", Vec::new(), path(&["creationTime"])),
        };
        let missing =
            "user_path: say where the user stands in a session, such as user.login; or name a preset";
        Ok(Layout {
            prefix: self.prefix.clone().unwrap_or_else(|| prefix.to_owned()),
            formats: self.format.map_or(formats, |format| vec![format]),
            user_path: self.user_path.clone().or(user_path).ok_or(missing)?,
            began_at_path: self.began_at_path.clone(),
            user_index: self.user_index.clone(),
            value_bytes_max: self.value_bytes_max,
        })
    }

    /// Says what cannot work, without connecting.
    pub(super) fn check(&self) -> Result<(), String> {
        let places = [self.url.is_some(), !self.cluster.is_empty(), self.sentinel.is_some()];
        if places.iter().filter(|place| **place).count() != 1 {
            return Err("one of url, cluster and sentinel says where Redis is".to_owned());
        }
        let sentinels = self.sentinel.iter().flat_map(|sentinel| &sentinel.urls);
        for url in self.url.iter().chain(&self.cluster).chain(sentinels) {
            let text = url.0.expose_secret();
            if !text.starts_with("redis://") && !text.starts_with("rediss://")
                || redis::Client::open(text).is_err()
            {
                return Err("url: not a Redis address; write redis://[user:password@]host:port/db, or rediss:// for TLS".to_owned());
            }
        }
        if self
            .sentinel
            .as_ref()
            .is_some_and(|sentinel| sentinel.urls.is_empty() || sentinel.master.is_empty())
        {
            return Err("sentinel: urls has an address, and master the name of the primary".to_owned());
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            return Err("client_certificate and client_key go together".to_owned());
        }
        self.layout()?;
        if self.user_index.as_ref().is_some_and(|index| !index.contains("{subject}")) {
            return Err("user_index holds {subject}".to_owned());
        }
        let value_keys = self.format.is_some()
            || self.user_path.is_some()
            || self.began_at_path.is_some()
            || self.user_index.is_some();
        if self.is_spring() && value_keys {
            return Err(
                "preset spring_session goes by Spring's own index: of the layout, only prefix may be set"
                    .to_owned(),
            );
        }
        if self.value_bytes_max == 0 {
            return Err("value_bytes_max is at least 1".to_owned());
        }
        super::servers::certificates(self).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<RedisConfig, String> {
        let config: RedisConfig = serde_json::from_str(text).map_err(|e| e.to_string())?;
        config.check().map(|()| config)
    }

    #[test]
    fn presets_give_the_layout_and_keys_win_over_them() {
        let flask = config(r#"{"url": "redis://h", "preset": "flask_session"}"#).expect("enough");
        let layout = flask.layout().expect("complete");
        assert_eq!((layout.prefix.as_str(), layout.formats.len()), ("session:", 3));
        let own = r#"{"url": "redis://h", "preset": "flask_session", "prefix": "s:", "format": "json", "user_path": "u"}"#;
        let layout = config(own).expect("enough").layout().expect("complete");
        assert_eq!((layout.prefix.as_str(), layout.formats), ("s:", vec![Format::Json]));
        assert_eq!(layout.user_path, Path::new(["u"]));
    }

    #[test]
    fn what_cannot_work_is_said_without_the_password() {
        for (text, why) in [
            (r#"{"user_path": "u"}"#, "one of url"),
            (r#"{"url": "redis://h", "cluster": ["redis://h"], "user_path": "u"}"#, "one of url"),
            (r#"{"url": "http://:hunter2@h", "user_path": "u"}"#, "not a Redis address"),
            (r#"{"cluster": ["redis://h:hunter2"], "user_path": "u"}"#, "not a Redis address"),
            (r#"{"url": "redis://h"}"#, "user_path"),
            (r#"{"url": "redis://h", "user_path": "u", "user_index": "users"}"#, "{subject}"),
            (r#"{"url": "redis://h", "user_path": "u", "value_bytes_max": 0}"#, "at least 1"),
            (
                r#"{"url": "rediss://h", "user_path": "u", "ca_file": "/nowhere.pem"}"#,
                "cannot read /nowhere.pem",
            ),
            (r#"{"url": "rediss://h", "user_path": "u", "client_key": "k"}"#, "go together"),
            (r#"{"url": "redis://h", "preset": "spring_session", "format": "json"}"#, "only prefix"),
            (r#"{"sentinel": {"urls": [], "master": "m"}, "user_path": "u"}"#, "sentinel: urls"),
        ] {
            let error = config(text).expect_err(text);
            assert!(error.contains(why) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
