//! The tables `[[systems]]`: what all kinds have, and each kind's own keys.

use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::ConfigError;
use crate::app::{NewSignIns, Subject, System};
use crate::clock::Clock;
use crate::connector::{
    BoxApi, BoxConfig, Connector, Http, HttpConfig, OidcBackchannel, OidcBackchannelConfig, Redis,
    RedisConfig, Registry, Sql, SqlConfig, Stateless, StatelessConfig,
};
use crate::store::Db;
use crate::unknown_key::{explain, without_value};

/// The kinds of systems, in the words of the configuration.
const KINDS: [&str; 6] = ["redis", "sql", "oidc_backchannel", "http", "box", "stateless"];

/// A system: what all kinds have, and the kind's own keys.
#[derive(Clone, Debug)]
pub struct SystemConfig {
    /// The name in outcomes and jobs: lower-case letters, digits, `-` and `_`.
    pub name: String,
    common: Common,
    /// The kind's own keys, or why they cannot be used: whoever does not need the system may go on.
    kind: Result<Kind, String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Common {
    name: String,
    kind: String,
    #[serde(default)]
    subject: Option<Subject>,
    #[serde(default)]
    enterprise: Option<String>,
    #[serde(default = "default_quiet_time")]
    quiet_time_s: u32,
    #[serde(default = "default_clock_skew")]
    clock_skew_s: u32,
    #[serde(default = "default_timeout")]
    timeout_s: u32,
    #[serde(default)]
    new_sign_ins: NewSignIns,
}

fn default_quiet_time() -> u32 {
    30
}

fn default_clock_skew() -> u32 {
    5
}

fn default_timeout() -> u32 {
    60
}

/// One variant a kind, with what its connector is configured by.
#[derive(Clone, Debug)]
enum Kind {
    Redis(Box<RedisConfig>),
    Sql(Box<SqlConfig>),
    OidcBackchannel(Box<OidcBackchannelConfig>),
    Http(Box<HttpConfig>),
    Box(Box<BoxConfig>),
    Stateless(StatelessConfig),
}

const COMMON: [&str; 8] =
    ["name", "kind", "subject", "enterprise", "quiet_time_s", "clock_skew_s", "timeout_s", "new_sign_ins"];

impl<'de> Deserialize<'de> for SystemConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (common, own): (Map<String, Value>, Map<String, Value>) =
            Map::<String, Value>::deserialize(deserializer)?
                .into_iter()
                .partition(|(k, _)| COMMON.contains(&k.as_str()));
        let common: Common = serde_json::from_value(Value::Object(common)).map_err(D::Error::custom)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if common.name.is_empty() || !common.name.chars().all(plain) || common.name == Registry::NAME {
            let why = "a system's name has lower-case letters, digits, - and _, and is not registry";
            return Err(D::Error::custom(why));
        }
        if common.timeout_s == 0 {
            return Err(D::Error::custom(format!("system {}: timeout_s is at least 1", common.name)));
        }
        let kind = Kind::read(&common.kind, own).map_err(|why| explain(&without_value(&why)));
        Ok(Self { name: common.name.clone(), common, kind })
    }
}

impl Kind {
    /// Reads a kind's own keys, and says what of them cannot work, without connecting.
    fn read(kind: &str, own: Map<String, Value>) -> Result<Self, String> {
        Ok(match kind {
            "redis" => Self::Redis(checked(own, Redis::check)?),
            "sql" => Self::Sql(checked(own, Sql::check)?),
            "oidc_backchannel" => Self::OidcBackchannel(checked(own, OidcBackchannel::check)?),
            "http" => Self::Http(checked(own, Http::check)?),
            "box" => Self::Box(checked(own, BoxApi::check)?),
            "stateless" => Self::Stateless(keys(own)?),
            other => {
                return Err(format!("unknown kind {other:?}; known are {}", KINDS.join(", ")));
            }
        })
    }

    /// The name by which users are known where the configuration does not say.
    fn subject(&self) -> Subject {
        match self {
            // Sessions at a relying party are registered by user.
            Self::OidcBackchannel(_) => Subject::Id,
            Self::Redis(_) | Self::Sql(_) | Self::Http(_) | Self::Box(_) | Self::Stateless(_) => {
                Subject::default()
            }
        }
    }

    fn connector(&self, db: &Db, clock: &Clock, timeout: Duration) -> Result<Arc<dyn Connector>, String> {
        let clock = clock.clone();
        Ok(match self {
            Self::Redis(config) => Arc::new(Redis::new((**config).clone())?),
            Self::Sql(config) => Arc::new(Sql::new((**config).clone(), clock)?),
            Self::OidcBackchannel(config) => {
                Arc::new(OidcBackchannel::new((**config).clone(), db.clone(), clock, timeout)?)
            }
            Self::Http(config) => Arc::new(Http::new(config, clock, timeout)?),
            Self::Box(config) => Arc::new(BoxApi::new(config, clock, timeout)?),
            Self::Stateless(config) => Arc::new(Stateless::new(*config)),
        })
    }
}

fn checked<T: DeserializeOwned>(
    own: Map<String, Value>,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<Box<T>, String> {
    let config = keys(own)?;
    check(&config)?;
    Ok(Box::new(config))
}

fn keys<T: DeserializeOwned>(own: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(own)).map_err(|e| {
        let words = e.to_string();
        // What every kind has may have been meant, too.
        let common = COMMON.map(|key| format!(", `{key}`")).concat();
        if words.starts_with("unknown field") { words + &common } else { words }
    })
}

impl SystemConfig {
    /// The kind, in the words of the configuration.
    pub fn kind(&self) -> &str {
        &self.common.kind
    }

    /// Says why the system cannot be used, without connecting.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.usable().map(drop)
    }

    fn usable(&self) -> Result<&Kind, ConfigError> {
        self.kind.as_ref().map_err(|why| self.error(why))
    }

    fn error(&self, why: &str) -> ConfigError {
        ConfigError(format!("system {}: {why}", self.name))
    }

    /// Builds the system. Connects at its first pass only; some kinds keep what they know in the
    /// service's own database.
    pub fn build(&self, db: &Db, clock: &Clock) -> Result<System, ConfigError> {
        let seconds = |s: u32| Duration::from_secs(s.into());
        let timeout = seconds(self.common.timeout_s);
        let kind = self.usable()?;
        let connector = kind.connector(db, clock, timeout).map_err(|why| self.error(&why))?;
        Ok(System {
            kind: self.common.kind.clone(),
            subject: self.common.subject.unwrap_or_else(|| kind.subject()),
            enterprise: self.common.enterprise.clone(),
            quiet_time: seconds(self.common.quiet_time_s),
            clock_skew: seconds(self.common.clock_skew_s),
            timeout,
            new_sign_ins: self.common.new_sign_ins,
            ..System::new(connector)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn what_stands_in_the_file_is_not_repeated() {
        let system = |keys: &str| format!("[[systems]]\nname = \"shop\"\n{keys}");
        for (keys, key) in [
            ("kind = \"redis\"\nuser_path = \"u\"\ncluster = \"redis://:hunter2@h\"", "sequence"),
            ("kind = \"http\"\nrecipe = \"slack\"\nsecrets = \"hunter2\"", "map"),
            ("kind = \"stateless\"\nlife_s = \"hunter2\"", "u32"),
        ] {
            let error = Config::parse_alone(&system(keys)).expect_err("a wrong type").to_string();
            assert!(error.contains("system shop") && error.contains(key), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_system_that_may_take_no_time_is_refused() {
        let text = "[[systems]]\nname = \"shop\"\nkind = \"stateless\"\nlife_s = 1\ntimeout_s = 0";
        let error = Config::parse_alone(text).expect_err("no time").to_string();
        assert!(error.contains("system shop: timeout_s is at least 1"), "{error}");
    }
}
