//! The keys of `kind = "sql"`, and what of them cannot work.

use std::path::PathBuf;

use secrecy::ExposeSecret;
use serde::Deserialize;

use super::database::Kind;
use super::plan::Plan;
use super::presets::Preset;
use super::{Format, Path};
use crate::secret::Secret;

/// A database that sessions live in, and how they lie there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConfig {
    /// `postgres://user:password@host/database`, `mysql://...` (MariaDB too), `sqlite:PATH`.
    pub url: Secret,
    /// Certificates (PEM) that sign the server's; its name is then checked as well.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whose tables these are. Each statement of it may be replaced below.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// The table of sessions where it is not the preset's own; `schema.table` is known.
    #[serde(default)]
    pub table: Option<String>,
    /// The table of users.
    #[serde(default)]
    pub user_table: Option<String>,
    /// The column that holds the subject; empty: the sessions themselves hold it.
    #[serde(default)]
    pub user_column: Option<String>,
    /// The column that the sessions name a user by.
    #[serde(default)]
    pub user_key_column: Option<String>,
    /// Selects `subject` and `user_key` for `:subjects`. Who has no row is `no_subject`.
    #[serde(default)]
    pub user_sql: Option<String>,
    /// Selects `subject`, `session_key` and, if known, `began_at` of live sessions for `:subjects`
    /// (with a user look-up: for the user keys that it gave). For people to read it may select
    /// `last_seen_at`, `device` and `address`, too.
    #[serde(default)]
    pub find_sql: Option<String>,
    /// Selects `session_key` and `value`, ordered by the key, those after `:after`, at most `:limit`.
    #[serde(default)]
    pub scan_sql: Option<String>,
    /// Ends the sessions of `:keys`.
    #[serde(default)]
    pub end_sql: Option<String>,
    /// How `value` is written.
    #[serde(default)]
    pub format: Option<Format>,
    /// Where the user stands in `value`.
    #[serde(default)]
    pub user_path: Option<Path>,
    /// Where the begin stands in `value`, if anywhere.
    #[serde(default)]
    pub began_at_path: Option<Path>,
    /// The unit of a begin that is a number.
    #[serde(default)]
    pub began_at_unit: Unit,
    /// Whether a begin without a time zone is UTC. If not, it counts as unknown.
    #[serde(default)]
    pub times_are_utc: bool,
    /// The largest `value` that is read, in bytes.
    #[serde(default = "default_value_bytes_max")]
    pub value_bytes_max: u32,
    /// Rows of one page of `scan_sql`.
    #[serde(default = "default_rows_per_page")]
    pub rows_per_page: u32,
    /// The most connections.
    #[serde(default = "default_connections_max")]
    pub connections_max: u32,
    /// Seconds that one statement may take.
    #[serde(default = "default_statement_timeout_s")]
    pub statement_timeout_s: u32,
}

/// The unit of a number that is a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Milliseconds since 1970.
    #[default]
    Ms,
    /// Seconds since 1970.
    S,
}

fn default_value_bytes_max() -> u32 {
    1024 * 1024
}

fn default_rows_per_page() -> u32 {
    1_000
}

fn default_connections_max() -> u32 {
    3
}

fn default_statement_timeout_s() -> u32 {
    30
}

impl SqlConfig {
    /// A database with nothing but its address.
    pub fn new(url: &str) -> Self {
        Self {
            url: Secret(url.to_owned().into()),
            ca_file: None,
            preset: None,
            table: None,
            user_table: None,
            user_column: None,
            user_key_column: None,
            user_sql: None,
            find_sql: None,
            scan_sql: None,
            end_sql: None,
            format: None,
            user_path: None,
            began_at_path: None,
            began_at_unit: Unit::Ms,
            times_are_utc: false,
            value_bytes_max: default_value_bytes_max(),
            rows_per_page: default_rows_per_page(),
            connections_max: default_connections_max(),
            statement_timeout_s: default_statement_timeout_s(),
        }
    }

    /// Which database the url names.
    pub(super) fn kind(&self) -> Result<Kind, String> {
        Kind::of(self.url.0.expose_secret()).ok_or_else(|| {
            "url: write postgres://user:password@host/database, mysql://... or sqlite:PATH".to_owned()
        })
    }

    /// Says what cannot work, without connecting.
    pub(super) fn check(&self) -> Result<Plan, String> {
        let kind = self.kind()?;
        let url = self.url.0.expose_secret();
        if self.ca_file.is_some() {
            if kind == Kind::Sqlite {
                return Err("ca_file: SQLite is a file, and speaks no TLS".to_owned());
            }
            let weak = ["disable", "allow", "prefer", "require", "disabled", "preferred", "required"];
            let mode = url
                .split(['?', '&'])
                .find_map(|part| part.strip_prefix("sslmode=").or_else(|| part.strip_prefix("ssl-mode=")));
            if mode.is_some_and(|mode| weak.contains(&mode.to_lowercase().as_str())) {
                return Err("ca_file: the url's ssl mode checks no certificate; leave it out".to_owned());
            }
        }
        let limits = [
            ("value_bytes_max", self.value_bytes_max, 64 * 1024 * 1024),
            ("rows_per_page", self.rows_per_page, 10_000),
            ("connections_max", self.connections_max, 16),
            ("statement_timeout_s", self.statement_timeout_s, 3_600),
        ];
        for (key, value, max) in limits {
            if value == 0 || value > max {
                return Err(format!("{key} is from 1 to {max}"));
            }
        }
        Plan::new(self, kind)
    }
}
