//! Profiles: where to go and as whom, kept in the user's configuration folder.
//!
//! A profile is a JSON file that only its owner may read, as it holds secrets. Nothing here speaks
//! to a server.

mod tokens;

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use lightsout_client::StoredTokens;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::exit::Usage;

pub(crate) use self::tokens::ProfileTokens;

/// The longest name of a profile, in bytes.
const NAME_MAX: usize = 64;

/// What group and others may do with a file.
const OTHERS: u32 = 0o077;

/// A server, and who to be there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) wire: Wire,
    #[serde(flatten)]
    pub(crate) credentials: Credentials,
}

/// What the server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wire {
    /// A lightsout service.
    #[default]
    Lightsout,
    /// Box itself, or what answers as Box does.
    Box,
}

/// How to get a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "auth", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "client credentials is OAuth's own term")]
pub(crate) enum Credentials {
    DeveloperToken {
        #[serde(serialize_with = "expose")]
        token: SecretString,
    },
    ClientCredentials {
        client_id: String,
        #[serde(serialize_with = "expose")]
        client_secret: SecretString,
        subject: Subject,
    },
    Jwt {
        /// Box's JSON configuration of the app; an absolute path.
        config_file: PathBuf,
        /// Without one, the enterprise that the file names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<Subject>,
    },
    /// A person who signed in with a browser.
    Oauth {
        /// Which sign-in it was: renewed tokens are kept only where they come from.
        #[serde(default)]
        sign_in: String,
        client_id: String,
        /// A public client has none.
        #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose_some")]
        client_secret: Option<SecretString>,
        /// The newest: each renewal replaces them.
        tokens: StoredTokens,
    },
}

/// Whom a token is for, by id: `{"enterprise": "12"}` or `{"user": "34"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    Enterprise(String),
    User(String),
}

/// Loads a profile; `None` if there is none of this name.
///
/// A file that others than its owner may read is refused.
pub(crate) fn load(name: &str) -> anyhow::Result<Option<Profile>> {
    load_in(&folder()?, name)
}

/// Refuses a name that no profile may have, before anything is asked or sent.
pub(crate) fn check_name(name: &str) -> Result<(), Usage> {
    path_in(Path::new(""), name).map(drop)
}

/// Saves a profile in place of a former one of this name, and gives the file's path.
///
/// Whoever reads at the same time, or after a crash, finds the former or the new one whole.
pub(crate) fn save(name: &str, profile: &Profile) -> anyhow::Result<PathBuf> {
    save_in(&folder()?, name, profile)
}

/// Removes a profile; `false` if there was none.
pub(crate) fn remove(name: &str) -> anyhow::Result<bool> {
    remove_in(&folder()?, name)
}

/// Lists the names of all profiles, sorted.
pub(crate) fn names() -> anyhow::Result<Vec<String>> {
    names_in(&folder()?)
}

/// Writes a secret out; only a profile's file is a place for it.
fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
fn expose_some<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => expose(secret, serializer),
        None => serializer.serialize_none(),
    }
}

fn folder() -> anyhow::Result<PathBuf> {
    let no_home = "there is no home folder; set HOME, or LIGHTSOUT_CONFIG_HOME to a folder for the profiles";
    folder_from(|name| std::env::var_os(name), std::env::home_dir()).context(no_home)
}

fn folder_from(var: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let set = |name| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG specification says to ignore relative paths.
    let xdg = || set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let config = || xdg().or_else(|| home.filter(|home| home.is_absolute()).map(|home| home.join(".config")));
    let ours = set("LIGHTSOUT_CONFIG_HOME").or_else(|| config().map(|config| config.join("lightsout")))?;
    Some(ours.join("profiles"))
}

fn path_in(folder: &Path, name: &str) -> Result<PathBuf, Usage> {
    if !is_name(name) {
        let why = format!(
            "{name:?} is no name for a profile; use 1 to {NAME_MAX} letters, digits, dots, underscores and hyphens, and no dot first"
        );
        return Err(Usage(why));
    }
    Ok(folder.join(format!("{name}.json")))
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn load_in(folder: &Path, name: &str) -> anyhow::Result<Option<Profile>> {
    let path = path_in(folder, name)?;
    let at = path.display();
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {at}")),
    };
    // Of the open file, so that it is the one that is read.
    let mode = file.metadata().with_context(|| format!("cannot read {at}"))?.permissions().mode();
    ensure!(mode & OTHERS == 0, "{at} holds secrets, and others than you may read it; run: chmod 600 {at}");
    let mut text = Vec::new();
    file.read_to_end(&mut text).with_context(|| format!("cannot read {at}"))?;
    // The error's own text is left out, as it may quote a secret.
    let Ok(profile) = serde_json::from_slice(&text) else {
        bail!("{at} is not a profile; make it anew: lightsout login --profile {name}");
    };
    Ok(Some(profile))
}

fn save_in(folder: &Path, name: &str, profile: &Profile) -> anyhow::Result<PathBuf> {
    let path = path_in(folder, name)?;
    if let Credentials::Jwt { config_file, .. } = &profile.credentials {
        ensure!(config_file.is_absolute(), "{} is not an absolute path", config_file.display());
    }
    let write = || -> std::io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // It may have been there before, and open to others.
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        let mode = Permissions::from_mode(0o600);
        let mut file = tempfile::Builder::new().prefix(".").permissions(mode).tempfile_in(folder)?;
        serde_json::to_writer_pretty(&mut file, profile)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        // The new name lasts only once the folder is on disk, too.
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn remove_in(folder: &Path, name: &str) -> anyhow::Result<bool> {
    let path = path_in(folder, name)?;
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

fn names_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    let list = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let file = entry?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".json"));
            names.extend(name.filter(|name| is_name(name)).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    };
    match list() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => result.with_context(|| format!("cannot list {}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn somewhere() -> (TempDir, PathBuf) {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().join("lightsout/profiles");
        (temporary, folder)
    }

    fn token(token: &str) -> Profile {
        let credentials = Credentials::DeveloperToken { token: token.into() };
        Profile { url: "http://127.0.0.1:8787".to_owned(), wire: Wire::Lightsout, credentials }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_read_what_is_saved() {
        let (_temporary, folder) = somewhere();
        let path = save_in(&folder, "mine", &token("t")).expect("saved");
        let parent = folder.parent().expect("it has one");
        assert_eq!((mode(&path), mode(&folder), mode(parent)), (0o600, 0o700, 0o700));
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("set");
        save_in(&folder, "mine", &token("t")).expect("saved");
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let (_temporary, folder) = somewhere();
        let path = save_in(&folder, "mine", &token("t")).expect("saved");
        for open in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, Permissions::from_mode(open)).expect("set");
            let error = load_in(&folder, "mine").expect_err("it is refused").to_string();
            assert!(error.ends_with(&format!("run: chmod 600 {}", path.display())), "{error}");
        }
    }

    #[test]
    fn every_kind_comes_back_as_it_was_saved() {
        let (_temporary, folder) = somewhere();
        let secret = || "s3cret".into();
        let all = [
            (Credentials::DeveloperToken { token: secret() }, r#""auth": "developer_token""#),
            (
                Credentials::ClientCredentials {
                    client_id: "app".to_owned(),
                    client_secret: secret(),
                    subject: Subject::Enterprise("12".to_owned()),
                },
                r#""auth": "client_credentials""#,
            ),
            (
                Credentials::Jwt {
                    config_file: "/etc/box.json".into(),
                    subject: Some(Subject::User("34".to_owned())),
                },
                r#""auth": "jwt""#,
            ),
            (Credentials::Jwt { config_file: "/etc/box.json".into(), subject: None }, r#""auth": "jwt""#),
        ];
        for (credentials, tag) in all {
            let saved = Profile { url: "https://api.box.com".to_owned(), wire: Wire::Box, credentials };
            let path = save_in(&folder, "box", &saved).expect("saved");
            let text = std::fs::read_to_string(path).expect("read");
            assert!(text.contains(tag) && text.contains(r#""wire": "box""#), "{text}");
            let loaded = load_in(&folder, "box").expect("loaded").expect("there");
            let value = |profile: &Profile| serde_json::to_value(profile).expect("a profile is JSON");
            assert_eq!(value(&loaded), value(&saved));
        }
    }

    #[test]
    fn a_profile_is_replaced_whole_and_leaves_nothing_behind() {
        let (_temporary, folder) = somewhere();
        let path = save_in(&folder, "mine", &token("former, and a good deal longer")).expect("saved");
        let mut former = File::open(&path).expect("open");
        save_in(&folder, "mine", &token("new")).expect("saved");
        let mut text = String::new();
        former.read_to_string(&mut text).expect("read");
        assert!(text.contains("former") && text.ends_with("}\n"), "it was written over: {text}");
        assert!(std::fs::read_to_string(&path).expect("read").contains("\"new\""));
        assert_eq!(std::fs::read_dir(&folder).expect("listed").count(), 1);
    }

    #[test]
    fn profiles_are_listed_and_removed() {
        let (_temporary, folder) = somewhere();
        assert_eq!(names_in(&folder).expect("listed"), Vec::<String>::new());
        assert!(load_in(&folder, "box").expect("loaded").is_none());
        for name in ["mine", "box", "box.eu"] {
            save_in(&folder, name, &token("t")).expect("saved");
        }
        std::fs::write(folder.join(".left-over.json"), "").expect("written");
        assert_eq!(names_in(&folder).expect("listed"), ["box", "box.eu", "mine"]);
        assert!(remove_in(&folder, "box").expect("removed"));
        assert!(!remove_in(&folder, "box").expect("nothing there"));
        assert_eq!(names_in(&folder).expect("listed"), ["box.eu", "mine"]);
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        let (_temporary, folder) = somewhere();
        let long = "x".repeat(65);
        for name in ["../x", "", ".", "..", ".x", "a/b", "a b", "ä", "a\0", "/etc/passwd", long.as_str()] {
            let error = save_in(&folder, name, &token("t")).expect_err("it is no name");
            assert!(error.is::<Usage>(), "{name:?}");
            assert!(load_in(&folder, name).is_err() && remove_in(&folder, name).is_err(), "{name:?}");
        }
        assert!(save_in(&folder, &"x".repeat(64), &token("t")).is_ok());
    }

    #[test]
    fn neither_debug_nor_errors_show_a_secret() {
        let (_temporary, folder) = somewhere();
        let path = save_in(&folder, "mine", &token("s3cret")).expect("saved");
        let credentials = Credentials::ClientCredentials {
            client_id: "app".to_owned(),
            client_secret: "s3cret".into(),
            subject: Subject::User("1".to_owned()),
        };
        let other = Profile { credentials, ..token("") };
        assert!(!format!("{:?} {other:#?}", token("s3cret")).contains("s3cret"));
        for text in [
            r#"{"url": "u", "auth": "s3cret"}"#,
            r#"{"url": "u", "auth": "client_credentials", "client_id": "app", "client_secret": "x", "subject": "s3cret"}"#,
        ] {
            std::fs::write(&path, text).expect("written");
            let error = load_in(&folder, "mine").expect_err("it is no profile");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
            assert!(error.to_string().ends_with("lightsout login --profile mine"), "{error}");
        }
    }

    #[test]
    fn a_relative_path_to_a_key_is_not_saved() {
        let (_temporary, folder) = somewhere();
        let credentials = Credentials::Jwt { config_file: "box.json".into(), subject: None };
        assert!(save_in(&folder, "box", &Profile { credentials, ..token("") }).is_err());
    }

    #[test]
    fn the_folder_is_ours_then_xdg_then_home() {
        let folder = |ours: &str, xdg: &str| {
            let var = |name: &str| match name {
                "LIGHTSOUT_CONFIG_HOME" => Some(ours.into()),
                "XDG_CONFIG_HOME" => Some(xdg.into()),
                _ => None,
            };
            folder_from(var, Some("/home/ann".into())).expect("there is a home")
        };
        assert_eq!(folder("/ours", "/xdg"), Path::new("/ours/profiles"));
        assert_eq!(folder("", "/xdg"), Path::new("/xdg/lightsout/profiles"));
        assert_eq!(folder("", "relative"), Path::new("/home/ann/.config/lightsout/profiles"));
        assert_eq!(folder_from(|_| None, None), None);
    }
}
