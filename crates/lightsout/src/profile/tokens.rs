//! The tokens of a person who signed in with a browser, in the profile's own file.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lightsout_client::{StoredTokens, TokenStore};

use super::{Credentials, Profile, folder, load_in, path_in, remove_in, save_in};

/// Keeps renewed tokens in a profile, which other commands may use at the same time.
///
/// Whoever renews holds a lock on the file, so that a refresh token is used once.
#[derive(Debug)]
pub(crate) struct ProfileTokens {
    folder: PathBuf,
    name: String,
    /// Another sign-in under this name, by another person or at another server, has tokens of its own.
    sign_in: String,
}

impl ProfileTokens {
    /// Those of one sign-in, in the profile of this name.
    pub(crate) fn of(name: &str, sign_in: &str) -> anyhow::Result<Self> {
        Ok(Self { folder: folder()?, name: name.to_owned(), sign_in: sign_in.to_owned() })
    }

    /// The profile; none: it is gone, or of another sign-in.
    fn profile(&self) -> io::Result<Option<(Profile, StoredTokens)>> {
        let profile = load_in(&self.folder, &self.name).map_err(io::Error::other)?;
        Ok(profile.and_then(|profile| match &profile.credentials {
            Credentials::Oauth { sign_in, tokens, .. } if *sign_in == self.sign_in => {
                let tokens = tokens.clone();
                Some((profile, tokens))
            }
            Credentials::Oauth { .. }
            | Credentials::DeveloperToken { .. }
            | Credentials::ClientCredentials { .. }
            | Credentials::Jwt { .. } => None,
        }))
    }
}

impl TokenStore for ProfileTokens {
    fn load(&self) -> io::Result<Option<StoredTokens>> {
        Ok(self.profile()?.map(|(_, tokens)| tokens))
    }

    fn save(&self, new: &StoredTokens) -> io::Result<()> {
        // Who has logged out meanwhile stays logged out.
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the profile is gone");
        let (mut profile, _) = self.profile()?.ok_or_else(gone)?;
        if let Credentials::Oauth { tokens, .. } = &mut profile.credentials {
            *tokens = new.clone();
        }
        save_in(&self.folder, &self.name, &profile).map(drop).map_err(io::Error::other)
    }

    fn clear(&self) -> io::Result<()> {
        if self.profile()?.is_none() {
            return Ok(());
        }
        remove_in(&self.folder, &self.name).map(drop).map_err(io::Error::other)
    }

    fn lock(&self) -> io::Result<Box<dyn Send>> {
        let path = path_in(&self.folder, &self.name).map_err(io::Error::other)?;
        Ok(Box::new(lock(&path)?))
    }
}

/// Locks the file that has this name once it is locked: who held it before has replaced it.
fn lock(path: &Path) -> io::Result<File> {
    loop {
        let file = File::open(path)?;
        file.lock()?;
        let (locked, named) = (file.metadata()?, std::fs::metadata(path)?);
        if (locked.dev(), locked.ino()) == (named.dev(), named.ino()) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use secrecy::ExposeSecret;
    use serde_json::json;
    use tempfile::TempDir;

    use super::super::Wire;
    use super::*;

    fn tokens(n: usize) -> StoredTokens {
        let value = json!({"access_token": format!("access-{n}"), "refresh_token": n.to_string(),
            "expires_at": "2026-01-02T03:04:05Z"});
        serde_json::from_value(value).expect("tokens")
    }

    fn signed_in(n: usize) -> Profile {
        let credentials = Credentials::Oauth {
            sign_in: "first".to_owned(),
            client_id: "app".to_owned(),
            client_secret: Some("hush".into()),
            tokens: tokens(n),
        };
        Profile { url: "http://127.0.0.1:8787".to_owned(), wire: Wire::Lightsout, credentials }
    }

    fn kept(n: usize) -> (TempDir, ProfileTokens) {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().to_owned();
        save_in(&folder, "mine", &signed_in(n)).expect("saved");
        (temporary, ProfileTokens { folder, name: "mine".to_owned(), sign_in: "first".to_owned() })
    }

    fn refresh_token(store: &ProfileTokens) -> usize {
        let tokens = store.load().expect("readable").expect("there");
        tokens.refresh_token.expose_secret().parse().expect("a number")
    }

    #[test]
    fn renewed_tokens_replace_the_former_and_nothing_else() {
        let (temporary, store) = kept(1);
        store.save(&tokens(2)).expect("saved");
        let path = temporary.path().join("mine.json");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!((refresh_token(&store), mode & 0o777), (2, 0o600));
        let (profile, _) = store.profile().expect("readable").expect("there");
        let Credentials::Oauth { client_id, client_secret, .. } = profile.credentials else {
            panic!("of another kind")
        };
        assert_eq!((&*client_id, client_secret.expect("kept").expose_secret()), ("app", "hush"));
        assert_eq!(std::fs::read_dir(temporary.path()).expect("listed").count(), 1);
    }

    #[test]
    fn renewed_tokens_do_not_bring_a_profile_back_that_was_forgotten_or_replaced() {
        let (temporary, store) = kept(1);
        store.clear().expect("cleared");
        store.clear().expect("cleared twice");
        assert!(store.save(&tokens(2)).is_err() && store.lock().is_err());
        assert_eq!(std::fs::read_dir(temporary.path()).expect("listed").count(), 0);
        let credentials = Credentials::DeveloperToken { token: "t".into() };
        save_in(temporary.path(), "mine", &Profile { credentials, ..signed_in(1) }).expect("saved");
        assert!(store.save(&tokens(2)).is_err() && store.load().expect("readable").is_none());
        store.clear().expect("nothing of its own");
        assert_eq!(std::fs::read_dir(temporary.path()).expect("listed").count(), 1);
    }

    #[test]
    fn another_sign_in_under_the_same_name_keeps_its_own_tokens() {
        let (temporary, store) = kept(1);
        let mut other = signed_in(7);
        if let Credentials::Oauth { sign_in, .. } = &mut other.credentials {
            *sign_in = "second".to_owned();
        }
        other.url = "http://127.0.0.1:9999".to_owned();
        save_in(temporary.path(), "mine", &other).expect("saved");
        assert!(store.load().expect("readable").is_none(), "no token of another server is shown to this one");
        assert!(store.save(&tokens(2)).is_err());
        store.clear().expect("cleared");
        let second = ProfileTokens { sign_in: "second".to_owned(), ..store };
        assert_eq!(refresh_token(&second), 7);
    }

    #[test]
    fn a_refresh_token_is_used_once_by_many_who_renew_at_once() {
        let (_temporary, store) = kept(0);
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let _lock = store.lock().expect("locked");
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two renew at once");
                        let used = refresh_token(&store);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        store.save(&tokens(used + 1)).expect("saved");
                    }
                });
            }
        });
        assert_eq!(refresh_token(&store), 80);
    }
}
