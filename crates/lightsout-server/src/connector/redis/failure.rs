//! What Redis says when it refuses or fails, in words that say what to do. No address, password or
//! user's name is in them.

use redis::{ErrorKind, RedisError};

use crate::connector::ConnectorError;

/// Says what failed and what to do about it.
pub(super) fn explain(error: &RedisError) -> ConnectorError {
    let text = error.to_string();
    let code = text.split([' ', ':']).map(|word| word.trim_matches('"')).find(|word| is_code(word));
    match code.or(error.code()).unwrap_or_default() {
        "WRONGPASS" => return unexpected("Redis refuses the user name or password (WRONGPASS)"),
        "NOAUTH" => return unexpected("Redis wants a password, and none is configured (NOAUTH)"),
        "NOPERM" => return refused(&text),
        "READONLY" => {
            return unexpected(
                "this server is a read-only replica (READONLY): give the address of the primary, or its sentinels",
            );
        }
        "LOADING" => {
            return ConnectorError::Unreachable("Redis still loads its data from disk (LOADING)".to_owned());
        }
        "MOVED" | "ASK" | "CROSSSLOT" | "TRYAGAIN" => {
            return unexpected(
                "keys are on another server of a cluster: its slots are being moved, or it is configured by url instead of cluster",
            );
        }
        "CLUSTERDOWN" => {
            return unexpected("the cluster is down: not every slot has a primary (CLUSTERDOWN)");
        }
        "MASTERDOWN" => return unexpected("the replica has lost its primary (MASTERDOWN)"),
        "MISCONF" => return unexpected("Redis takes no writes because it cannot save to disk (MISCONF)"),
        "OOM" => return unexpected("Redis is out of memory (OOM)"),
        "DENIED" => {
            return unexpected("Redis runs in protected mode, and lets nobody in from elsewhere (DENIED)");
        }
        _ => {}
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => unexpected("Redis refuses the user name or password"),
        ErrorKind::Io | ErrorKind::Parse => explain_io(error, &text),
        _ if text.contains("unknown command") => {
            unexpected(&format!("Redis does not know the command{}", quoted(&text)))
        }
        _ => unexpected(&format!("Redis: {}", error.category())),
    }
}

/// The same for a connection that was not made. A server without TLS waits for the end of what it
/// takes for a command, and says nothing.
pub(super) fn explain_connecting(error: &RedisError, tls: bool) -> ConnectorError {
    if tls && is_late(error) {
        let why = "no answer in time; if it does not speak TLS on this port, write redis://";
        return ConnectorError::Unreachable(why.to_owned());
    }
    explain(error)
}

fn is_late(error: &RedisError) -> bool {
    error.is_timeout() || error.to_string().contains("timed out")
}

fn unexpected(why: &str) -> ConnectorError {
    ConnectorError::Unexpected(why.to_owned())
}

/// Redis writes its codes in capitals.
fn is_code(word: &str) -> bool {
    word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase())
}

fn refused(text: &str) -> ConnectorError {
    let what = if text.contains("command") {
        format!("the command{}", quoted(text))
    } else if text.contains("key") {
        "the keys of the sessions".to_owned()
    } else {
        "what was asked for".to_owned()
    };
    ConnectorError::Unexpected(format!(
        "the user's ACL does not allow {what} (NOPERM); see docs/systems/redis.md for the rules needed"
    ))
}

/// The first text in quotes, if it is a command's name.
fn quoted(text: &str) -> String {
    let name = text.split('\'').nth(1).unwrap_or_default();
    let plain = !name.is_empty()
        && name.len() < 30
        && name.chars().all(|c| c.is_ascii_alphabetic() || "|_".contains(c));
    if plain { format!(" {}", name.to_ascii_uppercase()) } else { String::new() }
}

/// Connections that were not made, or broke.
fn explain_io(error: &RedisError, text: &str) -> ConnectorError {
    let why = if text.contains("certificate") && !text.contains("alert") {
        untrusted(text).to_owned()
    } else if text.contains("corrupt message") || text.contains("InvalidContentType") {
        "it does not speak TLS on this port: write redis:// instead of rediss://, or the TLS port".to_owned()
    } else if text.contains("alert") {
        "it broke the TLS handshake off; does it want a client_certificate?".to_owned()
    } else if error.is_connection_refusal() {
        "no connection: nothing listens there".to_owned()
    } else if is_late(error) {
        "no answer in time".to_owned()
    } else if text.contains("lookup") || text.contains("resolve") {
        "no connection: its name is not known".to_owned()
    } else {
        "the connection was closed; if the server speaks TLS, write rediss://".to_owned()
    };
    ConnectorError::Unreachable(why)
}

/// What is wrong with a certificate.
fn untrusted(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    if text.contains("unknownissuer") {
        "its certificate is not trusted: nobody known has signed it; ca_file names whom to trust"
    } else if text.contains("not valid for name") || text.contains("notvalidforname") {
        "its certificate is made out to another name than the one in the address"
    } else if text.contains("expired") {
        "its certificate has expired"
    } else {
        "its certificate is not valid"
    }
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    #[test]
    fn refusals_say_what_to_do_and_name_nobody() {
        for (code, detail, words) in [
            (
                "WRONGPASS",
                "invalid username-password pair or user is disabled.",
                "refuses the user name or password",
            ),
            ("NOAUTH", "Authentication required.", "wants a password"),
            (
                "NOPERM",
                "User ann has no permissions to run the 'scan' command",
                "does not allow the command SCAN",
            ),
            ("NOPERM", "User ann has no permissions to run the 'cluster|nodes' command", "CLUSTER|NODES"),
            ("NOPERM", "No permissions to access a key", "does not allow the keys"),
            ("READONLY", "You can't write against a read only replica.", "address of the primary"),
            ("LOADING", "Redis is loading the dataset in memory", "still loads"),
            ("MOVED", "3999 10.0.0.1:6381", "another server of a cluster"),
            ("CLUSTERDOWN", "The cluster is down", "not every slot"),
            ("MISCONF", "Redis is configured to save RDB snapshots", "takes no writes"),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", "out of memory"),
            ("ERR", "unknown command 'HELLO', with args beginning with: ", "does not know the command HELLO"),
        ] {
            let error = make_extension_error(code.to_owned(), Some(detail.to_owned()));
            let text = explain(&error).to_string();
            assert!(text.contains(words), "{code}: {text}");
            assert!(!text.contains("ann ") && !text.contains("10.0.0.1"), "{code}: {text}");
        }
    }
}
