//! Ids and secrets. Seeded in tests, from the operating system otherwise.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Makes ids and secrets with a generator fit for cryptography (ChaCha12).
#[derive(Clone, Debug)]
pub struct Random(Arc<Mutex<StdRng>>);

impl Random {
    /// Seeds from the operating system.
    pub fn from_os() -> Self {
        Self(Arc::new(Mutex::new(rand::make_rng())))
    }

    /// Repeats itself for the same seed; for tests.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A directory id: fifteen digits, as Box's ids are digits.
    pub fn numeric_id(&self) -> String {
        self.with(|rng| rng.random_range(100_000_000_000_000_u64..1_000_000_000_000_000).to_string())
    }

    /// An id of 128 random bits behind a prefix, in hex.
    pub fn id(&self, prefix: &str) -> String {
        self.with(|rng| format!("{prefix}{:032x}", rng.random::<u128>()))
    }

    /// A secret of 256 random bits, base64url.
    pub fn secret(&self) -> String {
        self.with(|rng| URL_SAFE_NO_PAD.encode(rng.random::<[u8; 32]>()))
    }

    /// A session id of 128 random bits, base64url.
    pub fn session_id(&self) -> String {
        self.with(|rng| URL_SAFE_NO_PAD.encode(rng.random::<[u8; 16]>()))
    }

    /// A key of 160 bits, as RFC 4226 recommends for one-time passwords.
    pub fn otp_key(&self) -> [u8; 20] {
        self.with(rand::RngExt::random)
    }

    /// The salt of a password: 128 bits.
    pub fn salt(&self) -> [u8; 16] {
        self.with(rand::RngExt::random)
    }

    /// A number from 0 up to, not including, 1.
    pub fn fraction(&self) -> f64 {
        self.with(rand::RngExt::random::<f64>)
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// SHA-256 of a secret, base64url: the only form in which tokens and session ids are stored.
pub fn sha256(secret: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, secret.as_ref()))
}

/// HMAC-SHA-1, which RFC 6238 is made of. Nothing else here uses SHA-1.
pub fn hmac_sha1(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    hmac::sign(&key, message).as_ref().to_vec()
}

/// Whether two texts are the same, in a time that does not tell how much of them is.
pub fn is_same(one: &str, other: &str) -> bool {
    constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// SHA-256 in hex, for what people compare.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    digest::digest(&digest::SHA256, bytes).as_ref().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes every write");
        hex
    })
}
