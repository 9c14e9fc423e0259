//! Passwords as Argon2id keeps them: hashed and checked off the async threads, as many at once as there
//! are cores.

use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use super::Error;
use crate::app::App;
use crate::domain::fold::fold;

/// The fewest characters of a password (NIST SP 800-63B asks for 8, and for 15 where it stands alone).
const CHARS_MIN: usize = 12;
/// The most characters of a password.
const CHARS_MAX: usize = 256;
/// What OWASP recommends for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// How a hash with the present parameters begins.
const PRESENT: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// Each hash takes a core and 19 MiB for as long as it runs.
static AT_ONCE: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)));

/// What is checked where there is no password, so that it takes as long as where there is one.
static NOBODYS: LazyLock<String> = LazyLock::new(|| hash("nobody's password", b"nobody's salt 16"));

/// Says what is wrong with a new password. Any characters will do (NIST SP 800-63B): length is what counts.
pub(super) fn check_new(password: &str, login: Option<&str>) -> Result<(), Error> {
    let chars = password.chars().count();
    if !(CHARS_MIN..=CHARS_MAX).contains(&chars) {
        return Err(Error::invalid(format!("a password has {CHARS_MIN} to {CHARS_MAX} characters")));
    }
    if login.is_some_and(|login| fold(login) == fold(password)) {
        return Err(Error::invalid("the password is the login; choose another"));
    }
    Ok(())
}

/// Hashes a password for storage.
pub(super) async fn hashed(app: &App, password: &str) -> String {
    let (password, salt) = (password.to_owned(), app.random.salt());
    off_thread(move || hash(&password, &salt)).await
}

/// Whether a password is the one that is stored. Takes as long when nothing is stored, and says no.
pub(super) async fn matches(stored: Option<&str>, password: &str) -> bool {
    let (stored, password) = (stored.map(ToOwned::to_owned), password.to_owned());
    off_thread(move || {
        // Nobody has a longer one, and a hash of megabytes would take its time.
        let password = if password.chars().count() > CHARS_MAX { "" } else { password.as_str() };
        let phc = stored.as_deref().unwrap_or(&NOBODYS);
        let parsed = PasswordHash::new(phc);
        let right = parsed.is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok());
        right && stored.is_some()
    })
    .await
}

/// Whether a stored hash was made with other parameters than new ones are.
pub(super) fn is_outdated(stored: &str) -> bool {
    !stored.starts_with(PRESENT)
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("they are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str, salt: &[u8]) -> String {
    let hash = argon2().hash_password_with_salt(password.as_bytes(), salt);
    hash.expect("salt and password have lengths that it takes").to_string()
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let permit = AT_ONCE.acquire().await.expect("it is never closed");
    let result = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    result.await.expect("hashing does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form_says_its_parameters() {
        let stored = hash("correct horse battery", b"0123456789abcdef");
        assert!(stored.starts_with(PRESENT), "{stored}");
        assert!(!is_outdated(&stored));
        assert!(is_outdated("$argon2id$v=19$m=4096,t=3,p=1$c2FsdA$aGFzaA"));
    }

    #[test]
    fn length_counts_characters_and_nothing_else_is_asked() {
        let long = "ö".repeat(256);
        for good in ["aaaaaaaaaaaa", "            ", "öäüöäüöäüöäü", long.as_str()] {
            check_new(good, Some("ann@acme.example")).expect("good");
        }
        let longer = "ö".repeat(257);
        for bad in ["", "short", "elevenchars", longer.as_str(), "Ann@Acme.example"] {
            check_new(bad, Some("ann@acme.example")).expect_err("bad");
        }
    }

    #[tokio::test]
    async fn nothing_matches_where_nothing_is_stored() {
        assert!(!matches(None, "nobody's password").await);
        let stored = hash("correct horse battery", b"0123456789abcdef");
        assert!(matches(Some(&stored), "correct horse battery").await);
        assert!(!matches(Some(&stored), "correct horse batterz").await);
    }
}
