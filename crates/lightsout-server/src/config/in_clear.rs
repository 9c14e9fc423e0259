//! Secrets that a configuration file holds in clear where everybody can read them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reqwest::Url;
use toml::{Table, Value};

/// Keys whose text is a secret. An address is one if it has a password.
const SECRETS: [&str; 4] = ["client_secret", "password", "probe_token", "token"];
/// The table that holds nothing but secrets, under names of a recipe's choice.
const TABLE: &str = "secrets";

/// What to do about secrets that `file` holds in clear, if every user of the machine can read it.
pub fn warning(file: &Path) -> Option<String> {
    let everybody_reads = file.metadata().ok()?.permissions().mode() & 0o004 != 0;
    let keys = keys_in_clear(&std::fs::read_to_string(file).ok()?);
    (everybody_reads && !keys.is_empty()).then(|| {
        format!(
            "every user of this machine can read {}, and it holds secrets in clear: {}; write {{ env = \"NAME\" }} or {{ file = \"PATH\" }} instead, or remove read permission for other users (chmod o-r)",
            file.display(),
            keys.join(", ")
        )
    })
}

fn keys_in_clear(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(table) = text.parse::<Table>() {
        walk(&table, "", false, &mut found);
    }
    found
}

fn walk(table: &Table, path: &str, are_secrets: bool, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let is_secret = are_secrets || SECRETS.contains(&key.as_str());
        look(value, &path, is_secret, key == TABLE, found);
    }
}

fn look(value: &Value, path: &str, is_secret: bool, are_secrets: bool, found: &mut Vec<String>) {
    match value {
        Value::String(text) if is_secret || has_password(text) => found.push(path.to_owned()),
        Value::Table(table) => walk(table, path, are_secrets, found),
        Value::Array(values) => {
            for value in values {
                // Systems and providers are known by their names.
                let name = value.get("name").and_then(Value::as_str);
                let path = name.map_or_else(|| path.to_owned(), |name| format!("{path}.{name}"));
                look(value, &path, is_secret, are_secrets, found);
            }
        }
        _ => {}
    }
}

fn has_password(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.password().is_some()
            || url.query_pairs().any(|(key, value)| key == "password" && !value.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::REFERENCE;

    /// Keys that hold an address, which may have a password.
    const ADDRESSES: [&str; 4] = ["url", "urls", "cluster", "sids_url"];

    #[test]
    fn texts_that_are_secrets_are_named_and_references_are_not() {
        let text = r#"
            [database]
            url = "postgres://lightsout:hunter2@db/lightsout"
            [[sign_in.providers]]
            name = "corp"
            client_secret = "hunter2"
            [[systems]]
            name = "shop"
            sentinel = { urls = ["redis://:hunter2@one", "redis://two"], master = "m" }
            password = { file = "redis-password" }
            [[systems]]
            name = "sso"
            base_url = "https://sso.acme.example"
            secrets = { client_secret = "hunter2", key = { env = "SSO_KEY" }, other = "hunter2" }
            [[systems]]
            name = "wiki"
            sids_url = "postgres:///provider?password=hunter2"
            probe_token = { env = "WIKI_PROBE_TOKEN" }
        "#;
        let keys = [
            "database.url",
            "sign_in.providers.corp.client_secret",
            "systems.shop.sentinel.urls",
            "systems.sso.secrets.client_secret",
            "systems.sso.secrets.other",
            "systems.wiki.sids_url",
        ];
        assert_eq!(keys_in_clear(text), keys);
    }

    #[test]
    fn the_reference_holds_no_secret() {
        assert_eq!(keys_in_clear(REFERENCE), Vec::<String>::new());
    }

    #[test]
    fn every_key_of_the_type_secret_is_looked_at() {
        let mut keys = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |text| {
            for line in text.lines() {
                let Some((key, kind)) = line.trim().trim_end_matches(',').split_once(": ") else { continue };
                let kinds = ["Secret", "Option<Secret>", "Vec<Secret>", "BTreeMap<String, Secret>"];
                if kinds.contains(&kind) {
                    keys.push(key.rsplit(' ').next().unwrap_or(key).to_owned());
                }
            }
        });
        assert!(keys.len() > 8, "{keys:?}");
        for key in keys {
            let known = [TABLE].iter().chain(&SECRETS).chain(&ADDRESSES).any(|known| *known == key);
            assert!(known, "{key} holds a secret, and is not looked at");
        }
    }

    fn sources(folder: &Path, each: &mut impl FnMut(&str)) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, each);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                each(&std::fs::read_to_string(&path).expect("a text"));
            }
        }
    }

    #[test]
    fn only_a_file_that_everybody_can_read_is_warned_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("lightsout.toml");
        std::fs::write(&file, "[database]\nurl = \"postgres://u:hunter2@h/d\"").expect("written");
        for (mode, warns) in [(0o644, true), (0o640, false), (0o600, false)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
            let warning = warning(&file);
            assert_eq!(warning.is_some(), warns, "{mode:o}");
            let words = warning.unwrap_or_default();
            assert!(!words.contains("hunter2") && (!warns || words.contains("database.url")), "{words}");
        }
    }
}
