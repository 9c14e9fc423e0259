//! Where refresh tokens are kept between two runs of a program.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::random;

/// Keeps the tokens of one person who signed in.
///
/// A refresh token is good for one use, so what [`TokenStore::save`] was given last is the only thing
/// that still works. It is called before the new token is used, on a thread that may block. A store may
/// be shared by several programs: each loads before it refreshes, and takes over what another saved.
///
/// ```
/// use std::io;
/// use std::sync::Mutex;
///
/// use lightsout_client::{OAuth, StoredTokens, TokenStore};
///
/// /// One row of a database that holds JSON.
/// #[derive(Debug, Default)]
/// struct Row(Mutex<Option<String>>);
///
/// impl TokenStore for Row {
///     fn load(&self) -> io::Result<Option<StoredTokens>> {
///         let row = self.0.lock().unwrap();
///         row.as_ref().map(|json| Ok(serde_json::from_str(json)?)).transpose()
///     }
///
///     fn save(&self, tokens: &StoredTokens) -> io::Result<()> {
///         *self.0.lock().unwrap() = Some(serde_json::to_string(tokens)?);
///         Ok(())
///     }
///
///     fn clear(&self) -> io::Result<()> {
///         *self.0.lock().unwrap() = None;
///         Ok(())
///     }
/// }
///
/// let app = OAuth::new("CLIENT ID", Row::default()).client_secret("SECRET");
/// ```
pub trait TokenStore: fmt::Debug + Send + Sync {
    /// What was saved last, if anything is there.
    fn load(&self) -> io::Result<Option<StoredTokens>>;
    /// Keeps these instead of what was there; afterwards they survive a crash, if anything here does.
    fn save(&self, tokens: &StoredTokens) -> io::Result<()>;
    /// Forgets them.
    fn clear(&self) -> io::Result<()>;
    /// Keeps other programs that share the store from renewing, until what this gives is dropped.
    ///
    /// Without it, as by default, two programs may use the same refresh token at the same time, and then
    /// one of them takes over what the other saved. A lock that fails is not waited for.
    fn lock(&self) -> io::Result<Box<dyn Send>> {
        Ok(Box::new(()))
    }
}

/// An access token with the refresh token for the next one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredTokens {
    /// The present access token.
    #[serde(serialize_with = "expose")]
    pub access_token: SecretString,
    /// Gets the next one, once.
    #[serde(serialize_with = "expose")]
    pub refresh_token: SecretString,
    /// When the access token ends.
    pub expires_at: Timestamp,
}

fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// Keeps tokens in memory: they are gone with the program.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Option<StoredTokens>>);

impl MemoryStore {
    /// An empty store.
    ///
    /// ```
    /// use lightsout_client::{MemoryStore, OAuth};
    ///
    /// let app = OAuth::new("CLIENT ID", MemoryStore::new()).client_secret("SECRET");
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that begins with tokens from elsewhere.
    ///
    /// ```
    /// # use lightsout_client::api::AccessToken;
    /// # let reply = AccessToken { access_token: "A".into(), expires_in: 3600, token_type: String::new(),
    /// #     restricted_to: Vec::new(), refresh_token: Some("R".into()) };
    /// # let now = jiff::Timestamp::UNIX_EPOCH;
    /// use lightsout_client::{MemoryStore, OAuth, StoredTokens};
    ///
    /// let tokens = StoredTokens {
    ///     access_token: reply.access_token.into(),
    ///     refresh_token: reply.refresh_token.unwrap_or_default().into(),
    ///     expires_at: now + jiff::SignedDuration::from_secs(3600),
    /// };
    /// let app = OAuth::new("CLIENT ID", MemoryStore::holding(tokens));
    /// ```
    pub fn holding(tokens: StoredTokens) -> Self {
        Self(Mutex::new(Some(tokens)))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<StoredTokens>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl TokenStore for MemoryStore {
    fn load(&self) -> io::Result<Option<StoredTokens>> {
        Ok(self.held().clone())
    }

    fn save(&self, tokens: &StoredTokens) -> io::Result<()> {
        *self.held() = Some(tokens.clone());
        Ok(())
    }

    fn clear(&self) -> io::Result<()> {
        *self.held() = None;
        Ok(())
    }
}

/// Keeps tokens in a JSON file that only its owner may read (mode 0600).
///
/// A save replaces the file as a whole, so that a crash leaves the old tokens or the new ones, and
/// perhaps a file beside it, of the same mode, whose name ends in `.new`.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    /// Keeps them in this file; its folder must be there.
    ///
    /// ```
    /// # let folder = std::env::temp_dir();
    /// use lightsout_client::{FileStore, TokenStore};
    ///
    /// let store = FileStore::new(folder.join("box-tokens-of-nobody.json"));
    /// assert!(store.load()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl TokenStore for FileStore {
    fn load(&self) -> io::Result<Option<StoredTokens>> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        // The parser's own error could show a token.
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it holds no tokens of this library"))
    }

    fn save(&self, tokens: &StoredTokens) -> io::Result<()> {
        // Programs that share the file save at the same time; their process ids may be the same.
        let next = self.path.with_added_extension(format!("{}.new", random::id()));
        let written = write(&next, tokens).and_then(|()| fs::rename(&next, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&next);
        }
        written?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        sync_folder(folder.unwrap_or(Path::new(".")))
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

fn write(path: &Path, tokens: &StoredTokens) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    serde_json::to_writer(&mut file, tokens)?;
    file.flush()?;
    file.sync_all()
}

/// Makes the new name survive a loss of power.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn tokens(n: u32) -> StoredTokens {
        StoredTokens {
            access_token: format!("access-{n}").into(),
            refresh_token: format!("refresh-{n}").into(),
            expires_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn file_holds_the_last_tokens_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let store = FileStore::new(&path);
        assert!(store.load().expect("nothing yet").is_none());
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        store.save(&tokens(1)).expect("saved");
        store.save(&tokens(2)).expect("saved again");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let held = store.load().expect("readable").expect("there");
        assert_eq!(held.refresh_token.expose_secret(), "refresh-2");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        store.clear().expect("cleared");
        store.clear().expect("cleared twice");
        assert!(store.load().expect("nothing").is_none());
    }

    #[test]
    fn programs_that_save_at_once_leave_one_whole_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    (0..10).for_each(|_| FileStore::new(path).save(&tokens(n)).expect("saved"));
                });
            }
        });
        FileStore::new(&path).load().expect("whole").expect("there");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn no_error_and_no_debug_shows_a_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        fs::write(&path, r#"{"access_token":"hush"}"#).expect("written");
        let error = FileStore::new(&path).load().expect_err("it is cut short");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        let memory = MemoryStore::holding(tokens(7));
        assert!(!format!("{memory:?}").contains("-7"), "{memory:?}");
    }
}
