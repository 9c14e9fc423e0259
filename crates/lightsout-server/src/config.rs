//! The configuration: one TOML file, overridden by the environment, checked at start.
//!
//! `lightsout.toml` beside this file is the reference: every key with its default, compared by a test.

mod in_clear;
mod systems;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::app::{Settings, System};
use crate::clock::Clock;
use crate::http::LimitsConfig;
use crate::provider::{Provider, ProviderConfig};
use crate::secret::Secret;
use crate::store::Db;
use crate::unknown_key::{explain, without_value};

pub use self::in_clear::warning as secrets_in_clear;
pub use self::systems::SystemConfig;

/// The reference: every key with its default and what it is for.
pub const REFERENCE: &str = include_str!("lightsout.toml");

/// What is wrong with a configuration, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the service listens.
    pub server: ServerConfig,
    /// Where it stores.
    pub database: DatabaseConfig,
    /// How often callers may call.
    pub limits: LimitsConfig,
    /// How people sign in to the service's pages.
    pub sign_in: SignInConfig,
    /// How long things live and are kept.
    pub lives: LivesConfig,
    /// How it logs.
    pub log: LogConfig,
    /// Where sessions live, besides the registry.
    pub systems: Vec<SystemConfig>,
}

/// Where the service listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The address that callers know the service by; empty: `http://` and the address above.
    pub public_url: String,
    /// Whether a proxy in front speaks TLS and says who is calling (`X-Forwarded-For`).
    pub behind_proxy: bool,
    /// TLS; needed for an address other than loopback, unless a proxy is in front.
    pub tls: Option<TlsConfig>,
    /// Seconds that one request may take.
    pub request_timeout_s: u64,
    /// Requests in work at once; more are refused at once.
    pub requests_max: usize,
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// Seconds that a shutdown waits for requests under way.
    pub shutdown_timeout_s: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            public_url: String::new(),
            behind_proxy: false,
            tls: None,
            request_timeout_s: 60,
            requests_max: 1_000,
            body_bytes_max: 2 * 1024 * 1024,
            shutdown_timeout_s: 20,
        }
    }
}

/// A certificate and its key, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where the service stores.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// `sqlite:PATH` or `postgres://...`.
    pub url: Secret,
    /// The most connections, besides one that hears of other nodes and one that is woken by them.
    pub connections_max: u32,
    /// Seconds that a node which hears nothing from its database goes on to say "active".
    pub stale_after_s: u32,
    /// The most registered sessions kept in memory.
    pub index_sessions_max: usize,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: Secret("sqlite:lightsout.db".into()),
            connections_max: 10,
            stale_after_s: 2,
            index_sessions_max: 20_000_000,
        }
    }
}

/// How people sign in to the service's pages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignInConfig {
    /// Hours that a sign-in lasts.
    pub session_h: u32,
    /// Whether `lightsout login` may sign people in through the browser.
    pub command_line: bool,
    /// Outside OpenID providers that people sign in through.
    pub providers: Vec<ProviderConfig>,
}

impl Default for SignInConfig {
    fn default() -> Self {
        Self { session_h: 12, command_line: true, providers: Vec::new() }
    }
}

/// How long things live and are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LivesConfig {
    /// Minutes that an access token lives.
    pub token_min: u32,
    /// Days that a registered session lives if it says nothing else, and at most.
    pub session_days: u32,
    /// Seconds that an app's clock may be off.
    pub registry_clock_skew_s: u32,
    /// Hours that a failing system is tried.
    pub give_up_after_h: u32,
    /// Days that events are kept.
    pub keep_events_days: u32,
    /// Days that finished terminations and their outcomes are kept.
    pub keep_terminations_days: u32,
}

impl Default for LivesConfig {
    fn default() -> Self {
        Self {
            token_min: 60,
            session_days: 30,
            registry_clock_skew_s: 5,
            give_up_after_h: 24,
            keep_events_days: 365,
            keep_terminations_days: 365,
        }
    }
}

/// How the service logs, to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A filter such as `info` or `lightsout_server=debug`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info,sqlx=warn".to_owned() }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run the service: everything in it must be usable.
    Serve,
    /// For a command on the service's machine. It needs neither providers nor the certificate, and a system
    /// that cannot be used, for instance because its secret is not in the command's environment, fails when
    /// it is built.
    Command,
}

impl Config {
    /// Reads the file, then the environment (`LIGHTSOUT__SERVER__LISTEN` for `server.listen`).
    pub fn load(file: &Path, purpose: Purpose) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|e| {
            let hint = match e.kind() {
                std::io::ErrorKind::NotFound => {
                    format!("; create it with: lightsout admin init --config {}", file.display())
                }
                _ => String::new(),
            };
            ConfigError(format!("cannot read {}: {e}{hint}", file.display()))
        })?;
        Self::parse(&text, purpose).map_err(|e| ConfigError(format!("{}: {e}", file.display())))
    }

    /// Reads a text, then the environment, and checks what the purpose needs.
    pub fn parse(text: &str, purpose: Purpose) -> Result<Self, ConfigError> {
        let environment = config::Environment::with_prefix("LIGHTSOUT")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true);
        Self::read(Self::builder(text).add_source(environment), purpose)
    }

    /// Reads a text alone, to run the service: nothing in the environment changes it.
    pub fn parse_alone(text: &str) -> Result<Self, ConfigError> {
        Self::read(Self::builder(text), Purpose::Serve)
    }

    fn builder(text: &str) -> config::ConfigBuilder<config::builder::DefaultState> {
        config::Config::builder().add_source(config::File::from_str(text, config::FileFormat::Toml))
    }

    fn read(
        builder: config::ConfigBuilder<config::builder::DefaultState>,
        purpose: Purpose,
    ) -> Result<Self, ConfigError> {
        let builder = match purpose {
            Purpose::Serve => Ok(builder),
            Purpose::Command => builder.set_override("sign_in.providers", Vec::<String>::new()),
        };
        let built = builder.and_then(config::ConfigBuilder::<config::builder::DefaultState>::build);
        let config: Self = built
            .and_then(config::Config::try_deserialize)
            .map_err(|e| ConfigError(explain(&without_value(&e.to_string()))))?;
        config.check()?;
        if purpose == Purpose::Serve {
            config.check_to_serve()?;
        }
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let server = &self.server;
        if !server.listen.ip().is_loopback() && server.tls.is_none() && !server.behind_proxy {
            return Err(ConfigError(format!(
                "server.listen {} is not a loopback address: tokens would cross the network in clear; set [server.tls], or behind_proxy = true if a proxy in front speaks TLS",
                server.listen
            )));
        }
        let lives = &self.lives;
        let zeros = [
            ("server.request_timeout_s", server.request_timeout_s),
            ("server.shutdown_timeout_s", server.shutdown_timeout_s),
            ("server.body_bytes_max", server.body_bytes_max as u64),
            ("server.requests_max", server.requests_max as u64),
            ("database.connections_max", self.database.connections_max.into()),
            ("database.stale_after_s", self.database.stale_after_s.into()),
            ("sign_in.session_h", self.sign_in.session_h.into()),
            ("lives.token_min", lives.token_min.into()),
            ("lives.session_days", lives.session_days.into()),
            ("lives.give_up_after_h", lives.give_up_after_h.into()),
            ("lives.keep_events_days", lives.keep_events_days.into()),
            ("lives.keep_terminations_days", lives.keep_terminations_days.into()),
        ];
        if let Some((key, _)) = zeros.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError(format!("{key} is at least 1")));
        }
        let public = &server.public_url;
        if !public.is_empty() && !public.starts_with("http://") && !public.starts_with("https://") {
            return Err(ConfigError("server.public_url begins with http:// or https://".to_owned()));
        }
        let url = self.database.url.0.expose_secret();
        if !url.starts_with("sqlite:") && !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
            return Err(ConfigError("database.url begins with sqlite: or postgres:".to_owned()));
        }
        let mut names = HashSet::new();
        if let Some(twice) = self.systems.iter().find(|system| !names.insert(&system.name)) {
            return Err(ConfigError(format!("two systems are named {}", twice.name)));
        }
        Ok(())
    }

    fn check_to_serve(&self) -> Result<(), ConfigError> {
        for file in self.server.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]) {
            std::fs::File::open(file)
                .map_err(|e| ConfigError(format!("server.tls: cannot read {}: {e}", file.display())))?;
        }
        self.check_providers()?;
        self.systems.iter().try_for_each(SystemConfig::check)
    }

    fn check_providers(&self) -> Result<(), ConfigError> {
        let mut names = HashSet::new();
        for provider in &self.sign_in.providers {
            provider.check().map_err(ConfigError)?;
            if !names.insert(&provider.name) {
                return Err(ConfigError(format!("two providers are named {}", provider.name)));
            }
        }
        if !self.sign_in.providers.is_empty() && self.lacks_public_url() {
            let why = "a provider sends browsers back to server.public_url: set it to the https:// address that the proxy has";
            return Err(ConfigError(why.to_owned()));
        }
        Ok(())
    }

    /// Whether a proxy is in front, and the address that browsers know is not told.
    pub fn lacks_public_url(&self) -> bool {
        self.server.behind_proxy && !self.server.public_url.starts_with("https://")
    }

    /// The outside providers.
    pub fn build_providers(&self, clock: &Clock) -> Result<Vec<Provider>, ConfigError> {
        let build = |config: &ProviderConfig| Provider::new(config.clone(), clock.clone());
        self.sign_in.providers.iter().map(build).collect::<Result<_, _>>().map_err(ConfigError)
    }

    /// The address that callers know the service by, without a slash at the end, as far as the
    /// configuration says it: a port that the system picks is not known here.
    pub fn public_url(&self) -> String {
        self.public_url_at(self.server.listen)
    }

    /// The same for a service that listens at `address`.
    pub fn public_url_at(&self, address: SocketAddr) -> String {
        match self.server.public_url.trim_end_matches('/') {
            "" => format!("{}://{address}", if self.server.tls.is_some() { "https" } else { "http" }),
            url => url.to_owned(),
        }
    }

    /// The names of the systems, the registry left out.
    pub fn system_names(&self) -> Vec<&str> {
        self.systems.iter().map(|system| system.name.as_str()).collect()
    }

    /// Each system by its name, or why it cannot be built; the registry left out.
    pub fn build_each(
        &self,
        db: &Db,
        clock: &Clock,
    ) -> impl Iterator<Item = (String, Result<System, ConfigError>)> {
        self.systems.iter().map(|s| (s.name.clone(), s.build(db, clock)))
    }

    /// The systems by name, the registry left out.
    pub fn build_systems(&self, db: &Db, clock: &Clock) -> Result<BTreeMap<String, System>, ConfigError> {
        self.build_each(db, clock).map(|(name, system)| Ok((name, system?))).collect()
    }

    /// Lives and horizons in milliseconds.
    pub fn settings(&self) -> Settings {
        let day = |n: u32| i64::from(n) * 86_400_000;
        Settings {
            token_life_ms: i64::from(self.lives.token_min) * 60_000,
            session_life_ms: day(self.lives.session_days),
            command_line: self.sign_in.command_line,
            sign_in_life_ms: i64::from(self.sign_in.session_h) * 3_600_000,
            registry_clock_skew_ms: i64::from(self.lives.registry_clock_skew_s) * 1_000,
            give_up_after_ms: i64::from(self.lives.give_up_after_h) * 3_600_000,
            keep_events_ms: day(self.lives.keep_events_days),
            keep_terminations_ms: day(self.lives.keep_terminations_days),
            stale_after_ms: i64::from(self.database.stale_after_s) * 1_000,
            index_sessions_max: self.database.index_sessions_max,
            finish_within: Duration::from_secs(self.server.shutdown_timeout_s) / 2,
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests;
