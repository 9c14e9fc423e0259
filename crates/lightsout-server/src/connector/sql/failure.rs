//! What a database's error means for people: plain words, and nothing of addresses, people or values.

use sqlx::error::DatabaseError;

use super::ConnectorError;
use super::database::Kind;

/// Says why a connection could not be made, or a statement not run. `what` names the statement.
pub(super) fn failure(kind: Kind, what: &str, error: &sqlx::Error) -> ConnectorError {
    let name = kind.name();
    let unreachable = |why: &str| ConnectorError::Unreachable(format!("{name}: {why}"));
    match error {
        sqlx::Error::Database(e) => database(kind, what, &**e),
        sqlx::Error::Tls(e) => unreachable(&tls(&e.to_string())),
        sqlx::Error::Io(e) if e.to_string().to_lowercase().contains("certificate") => {
            unreachable(&tls(&e.to_string()))
        }
        sqlx::Error::Io(_) => unreachable("no connection, or the connection broke"),
        sqlx::Error::PoolTimedOut => unreachable("no connection in time"),
        sqlx::Error::Configuration(_) => {
            ConnectorError::Unexpected(format!("{name}: the url, or ca_file, cannot be used"))
        }
        sqlx::Error::Protocol(text) if text.contains("rsa") || text.contains("RSA") => {
            let why = "its password plugin needs TLS: set ca_file, or ssl-mode in the url";
            ConnectorError::Unexpected(format!("{name}: {why}"))
        }
        _ => ConnectorError::Unexpected(format!("{name}: {what}: it answered something that is no result")),
    }
}

/// A certificate's complaint without the names in it.
fn tls(text: &str) -> String {
    let why = [
        ("UnknownIssuer", "signed by nobody who is trusted; is ca_file right?"),
        ("NotValidForName", "not for this host's name"),
        ("not valid for name", "not for this host's name"),
        ("Expired", "expired"),
        ("CaUsedAsEndEntity", "a certificate authority's own"),
        ("does not support TLS", "none: the server does not speak TLS"),
    ];
    let known = why.iter().find(|(word, _)| text.contains(word)).map_or("refused", |(_, why)| why);
    format!("its certificate is not trusted ({known})")
}

fn database(kind: Kind, what: &str, error: &dyn DatabaseError) -> ConnectorError {
    let code = error.code().unwrap_or_default().into_owned();
    let number = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|e| e.number().to_string());
    let code = number.unwrap_or(code);
    let name = kind.name();
    let unexpected = |why: String| ConnectorError::Unexpected(format!("{name}: {why}"));
    let unreachable = |why: &str| ConnectorError::Unreachable(format!("{name}: {why}"));
    match (kind, code.as_str()) {
        (Kind::Postgres, "28P01" | "28000") | (Kind::MySql, "1045" | "1698" | "4151") => {
            unexpected("it refuses this user or password".to_owned())
        }
        (Kind::Postgres, "3D000") | (Kind::MySql, "1049" | "1044") => {
            unexpected("there is no such database, or this user may not use it".to_owned())
        }
        (Kind::Postgres, "42501") | (Kind::MySql, "1142" | "1143" | "1227") => {
            unexpected(format!("{what}: permission denied; see the GRANTs in the documentation"))
        }
        (Kind::Postgres, "25006")
        | (Kind::MySql, "1290" | "1792" | "1836")
        | (Kind::Sqlite, "8" | "1032") => unexpected(format!("{what}: the database is read-only")),
        (Kind::Postgres, "57014") | (Kind::MySql, "3024" | "1969") => {
            unreachable(&format!("{what}: not done within statement_timeout_s"))
        }
        (Kind::Postgres, "55P03" | "40P01" | "40001")
        | (Kind::MySql, "1205" | "1213")
        | (Kind::Sqlite, "5" | "6" | "261" | "262" | "517") => {
            unreachable(&format!("{what}: somebody else holds a lock"))
        }
        (Kind::Postgres, "53300" | "57P01" | "57P02" | "57P03") | (Kind::MySql, "1040" | "1053" | "1203") => {
            unreachable("it takes no connections now")
        }
        (Kind::Sqlite, "14") => unexpected("there is no such file, or it cannot be opened".to_owned()),
        (Kind::Sqlite, "26" | "11") => unexpected("the file is no SQLite database, or is damaged".to_owned()),
        (Kind::Postgres, code) if code.starts_with("42") => {
            unexpected(format!("{what}: {}", error.message()))
        }
        (Kind::MySql, "1146" | "1054" | "1064" | "1052") | (Kind::Sqlite, "1") => {
            unexpected(format!("{what}: {}", error.message()))
        }
        (_, code) => unexpected(format!("{what}: refused with code {code}")),
    }
}
