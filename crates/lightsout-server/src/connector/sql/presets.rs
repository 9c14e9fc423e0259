//! The tables of known packages, as statements. Nothing here is special: each could stand in a
//! configuration.
//!
//! A row that has expired is no session. Where a package stores a time without a zone that may be the
//! app's own, a day is allowed for: to end an expired row harms nobody, to miss a live one does.

use serde::Deserialize;

use super::database::Kind;
use super::{Format, Path};

/// A package whose tables are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Django's database sessions (`django.contrib.sessions.backends.db`).
    Django,
    /// better-auth.
    BetterAuth,
    /// Auth.js with the `pg` adapter.
    Authjs,
    /// express-session with connect-pg-simple.
    ConnectPgSimple,
    /// Laravel's `database` driver.
    Laravel,
    /// tower-sessions-sqlx-store.
    TowerSessions,
    /// Ory Kratos.
    Kratos,
}

/// How sessions are looked for.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Find(String),
    Scan(String),
}

/// The statements of a preset, before any key of the configuration replaces them.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    pub(super) form: Form,
    pub(super) end: String,
    /// Where the user is looked up: the whole statement, or table, column and key.
    pub(super) user_sql: Option<String>,
    pub(super) user: Option<[&'static str; 3]>,
    pub(super) format: Format,
    pub(super) user_path: Option<Path>,
}

impl Preset {
    /// The table of sessions.
    pub(super) fn table(self, kind: Kind) -> &'static str {
        match self {
            Self::Django => "django_session",
            Self::BetterAuth | Self::ConnectPgSimple => "session",
            Self::Authjs | Self::Laravel | Self::Kratos => "sessions",
            Self::TowerSessions if kind == Kind::Sqlite => "tower_sessions",
            Self::TowerSessions => "tower_sessions.session",
        }
    }

    /// Its statements for a database; none where the package does not use it.
    pub(super) fn texts(self, kind: Kind, table: &str) -> Option<Texts> {
        let pg_only = matches!(self, Self::Authjs | Self::ConnectPgSimple);
        if pg_only && kind != Kind::Postgres {
            return None;
        }
        let table = kind.quote(table);
        let table = table.as_str();
        Some(match self {
            Self::Django => django(kind, table),
            Self::BetterAuth => better_auth(kind, table),
            Self::Authjs => authjs(table),
            Self::ConnectPgSimple => connect_pg_simple(table),
            Self::Laravel => laravel(kind, table),
            Self::TowerSessions => tower_sessions(kind, table),
            Self::Kratos => kratos(kind, table),
        })
    }
}

/// A day ago, as text that compares with `YYYY-MM-DD HH:MM:SS` on SQLite.
fn yesterday(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "now()",
        Kind::MySql => "(UTC_TIMESTAMP() - INTERVAL 1 DAY)",
        Kind::Sqlite => "datetime('now', '-1 day')",
    }
}

fn scan(table: &str, key: &str, value: &str, live: &str) -> Form {
    Form::Scan(format!(
        "SELECT {key} AS session_key, {value} AS value FROM {table} WHERE {key} > :after AND {live} ORDER BY {key} LIMIT :limit"
    ))
}

fn delete(table: &str, key: &str) -> String {
    format!("DELETE FROM {table} WHERE {key} IN (:keys)")
}

/// `django/contrib/sessions/base_session.py` and `django/contrib/auth/models.py`, 5.2.
fn django(kind: Kind, table: &str) -> Texts {
    Texts {
        form: scan(table, "session_key", "session_data", &format!("expire_date > {}", yesterday(kind))),
        end: delete(table, "session_key"),
        user_sql: None,
        user: Some(["auth_user", "username", "id"]),
        format: Format::Django,
        user_path: Some(Path::new(["_auth_user_id"])),
    }
}

/// `getAuthTables` and `getMigrations` of better-auth 1.7. SQLite holds times as ISO text; other
/// adapters write numbers there. MySQL's are in the zone of whoever wrote them.
fn better_auth(kind: Kind, table: &str) -> Texts {
    let [id, user, begin, expires, agent, address] =
        ["id", "userId", "createdAt", "expiresAt", "userAgent", "ipAddress"].map(|name| kind.quote(name));
    let begin = if kind == Kind::MySql { format!("CAST({begin} AS DATETIME(3))") } else { begin };
    let live = match kind {
        Kind::Sqlite => {
            format!("(typeof({expires}) <> 'text' OR {expires} > strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))")
        }
        _ => format!("{expires} > {}", yesterday(kind)),
    };
    Texts {
        form: Form::Find(format!(
            "SELECT {user} AS subject, {id} AS session_key, {begin} AS began_at, {agent} AS device, {address} AS address FROM {table} WHERE {user} IN (:subjects) AND {live}"
        )),
        end: delete(table, &id),
        user_sql: None,
        user: Some(["user", "email", "id"]),
        format: Format::Json,
        user_path: None,
    }
}

/// The schema in the documentation of `@auth/pg-adapter` 1.11.
fn authjs(table: &str) -> Texts {
    Texts {
        form: Form::Find(format!(
            "SELECT \"userId\" AS subject, id AS session_key FROM {table} WHERE \"userId\" IN (:subjects) AND expires > now()"
        )),
        end: delete(table, "id"),
        user_sql: None,
        user: Some(["users", "email", "id"]),
        format: Format::Json,
        user_path: None,
    }
}

/// `table.sql` of connect-pg-simple 10; it compares `expire` in the same way.
fn connect_pg_simple(table: &str) -> Texts {
    Texts {
        form: scan(table, "sid", "sess", "expire >= now()"),
        end: delete(table, "sid"),
        user_sql: None,
        user: None,
        format: Format::Json,
        user_path: None,
    }
}

/// The migration of Laravel 11 and 12. How long a session lives is known to the app only, so every
/// row counts.
fn laravel(kind: Kind, table: &str) -> Texts {
    // It counts seconds, in a column too small for milliseconds.
    let whole = if kind == Kind::MySql { "SIGNED" } else { "BIGINT" };
    Texts {
        form: Form::Find(format!(
            "SELECT user_id AS subject, id AS session_key, CAST(last_activity AS {whole}) * 1000 AS last_seen_at, user_agent AS device, ip_address AS address FROM {table} WHERE user_id IN (:subjects)"
        )),
        end: delete(table, "id"),
        user_sql: None,
        user: Some(["users", "email", "id"]),
        format: Format::Json,
        user_path: None,
    }
}

/// `migrate` of tower-sessions-sqlx-store 0.15: a MessagePack list of id, data and expiry, and in the
/// data what axum-login 0.18 writes. SQLite holds times as text.
fn tower_sessions(kind: Kind, table: &str) -> Texts {
    let live = match kind {
        Kind::Postgres => "expiry_date > now()",
        Kind::MySql => "expiry_date > (UTC_TIMESTAMP() - INTERVAL 1 DAY)",
        Kind::Sqlite => "expiry_date > datetime('now', '-1 day')",
    };
    Texts {
        form: scan(table, "id", "data", live),
        end: delete(table, "id"),
        user_sql: None,
        user: None,
        format: Format::Msgpack,
        user_path: Some(Path::new(["1", "axum-login.data", "user_id"])),
    }
}

/// The migrations of Ory Kratos 1.x, which writes UTC. A session is ended as Kratos itself does it:
/// it becomes inactive.
fn kratos(kind: Kind, table: &str) -> Texts {
    let (begin, live) = match kind {
        Kind::Postgres => ("issued_at AT TIME ZONE 'UTC'", "expires_at > now() AT TIME ZONE 'UTC'"),
        Kind::MySql => ("CAST(issued_at AS DATETIME(6))", "expires_at > (UTC_TIMESTAMP() - INTERVAL 1 DAY)"),
        Kind::Sqlite => ("issued_at", "expires_at > datetime('now', '-1 day')"),
    };
    Texts {
        form: Form::Find(format!(
            "SELECT identity_id AS subject, id AS session_key, {begin} AS began_at FROM {table} WHERE identity_id IN (:subjects) AND active AND (expires_at IS NULL OR {live})"
        )),
        end: format!("UPDATE {table} SET active = FALSE WHERE id IN (:keys)"),
        // The index begins with the network.
        user_sql: Some(
            "SELECT i.identifier AS subject, c.identity_id AS user_key FROM identity_credential_identifiers i \
             JOIN identity_credentials c ON c.id = i.identity_credential_id \
             WHERE i.nid IN (SELECT id FROM networks) AND i.identifier IN (:subjects)"
                .to_owned(),
        ),
        user: None,
        format: Format::Json,
        user_path: None,
    }
}
