//! The provider's signing keys: a JWK Set of private keys (RFC 7517), or one key as PEM.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use crate::random::sha256;

/// The largest key file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How logout tokens are signed (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    RS256,
    /// ECDSA over P-256, SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// The name in a token's header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// A private key that signs.
pub(crate) struct SigningKey {
    pub(crate) kid: Option<String>,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// Shows which key it is, never the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Signs a message as a JWS does.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .expect("a key that was checked signs");
                signature
            }
            Pair::Ec(pair) => pair
                .sign(&SystemRandom::new(), message)
                .expect("a key that was checked signs")
                .as_ref()
                .to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// Reads the first key of a file that fits the algorithm, and `kid` where one is asked for.
///
/// A key without a `kid` is named by its thumbprint (RFC 7638), as `oidc-provider` names it.
pub(crate) fn read(text: &str, algorithm: Algorithm, kid: Option<&str>) -> Result<SigningKey, String> {
    if text.contains("-----BEGIN ") {
        return read_pem(text, algorithm, kid);
    }
    let set: JwkSet = serde_json::from_str(text).map_err(|_| "not a JWK Set and not PEM".to_owned())?;
    let mut broken = false;
    for jwk in &set.keys {
        if !jwk.fits(algorithm, kid) {
            continue;
        }
        if let Some(pair) = jwk.pair(algorithm) {
            return Ok(SigningKey { kid: jwk.kid.clone().or_else(|| jwk.thumbprint()), pair });
        }
        broken = true;
    }
    let which = kid.map_or(String::new(), |_| " and kid".to_owned());
    Err(if broken {
        format!("its key for {}{which} is not a valid private key", algorithm.name())
    } else {
        format!("no private key for {}{which} is in it", algorithm.name())
    })
}

fn read_pem(text: &str, algorithm: Algorithm, kid: Option<&str>) -> Result<SigningKey, String> {
    let der = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| "no unencrypted private key in PEM is in it".to_owned())?;
    let bytes = der.secret_der();
    let pair = match algorithm {
        Algorithm::RS256 => RsaKeyPair::from_pkcs8(bytes)
            .or_else(|_| RsaKeyPair::from_der(bytes))
            .map(|pair| Pair::Rsa(Box::new(pair))),
        Algorithm::ES256 => {
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes).map(Pair::Ec)
        }
        Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8(bytes).map(Pair::Ed),
    };
    let pair = pair.map_err(|_| format!("its private key is none for {}", algorithm.name()))?;
    Ok(SigningKey { kid: kid.map(ToOwned::to_owned), pair })
}

/// A set as `oidc-provider` takes it. Members of other kinds of keys are ignored.
#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    key_ops: Option<Vec<String>>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    d: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    p: Option<String>,
    #[serde(default)]
    q: Option<String>,
    #[serde(default)]
    dp: Option<String>,
    #[serde(default)]
    dq: Option<String>,
    #[serde(default)]
    qi: Option<String>,
}

impl Jwk {
    fn fits(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        let kind = match algorithm {
            Algorithm::RS256 => self.kty == "RSA",
            Algorithm::ES256 => self.kty == "EC" && self.crv.as_deref() == Some("P-256"),
            Algorithm::EdDSA => self.kty == "OKP" && self.crv.as_deref() == Some("Ed25519"),
        };
        let own = || self.kid.clone().or_else(|| self.thumbprint());
        kind && self.d.is_some()
            && self.alg.as_deref().is_none_or(|alg| alg == algorithm.name())
            && self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "sign"))
            && kid.is_none_or(|kid| own().as_deref() == Some(kid))
    }

    fn pair(&self, algorithm: Algorithm) -> Option<Pair> {
        match algorithm {
            Algorithm::RS256 => {
                let components = KeyPairComponents {
                    public_key: PublicKeyComponents {
                        n: bytes(self.n.as_ref())?,
                        e: bytes(self.e.as_ref())?,
                    },
                    d: bytes(self.d.as_ref())?,
                    p: bytes(self.p.as_ref())?,
                    q: bytes(self.q.as_ref())?,
                    dP: bytes(self.dp.as_ref())?,
                    dQ: bytes(self.dq.as_ref())?,
                    qInv: bytes(self.qi.as_ref())?,
                };
                RsaKeyPair::from_components(&components).ok().map(|pair| Pair::Rsa(Box::new(pair)))
            }
            Algorithm::ES256 => {
                let public =
                    [&[4], bytes(self.x.as_ref())?.as_slice(), bytes(self.y.as_ref())?.as_slice()].concat();
                let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
                EcdsaKeyPair::from_private_key_and_public_key(alg, &bytes(self.d.as_ref())?, &public)
                    .ok()
                    .map(Pair::Ec)
            }
            Algorithm::EdDSA => {
                Ed25519KeyPair::from_seed_and_public_key(&bytes(self.d.as_ref())?, &bytes(self.x.as_ref())?)
                    .ok()
                    .map(Pair::Ed)
            }
        }
    }

    /// RFC 7638: SHA-256 of the required members in the order of their names.
    fn thumbprint(&self) -> Option<String> {
        let members = match self.kty.as_str() {
            "RSA" => serde_json::json!({"e": self.e.as_ref()?, "kty": "RSA", "n": self.n.as_ref()?}),
            "EC" => serde_json::json!({
                "crv": self.crv.as_ref()?, "kty": "EC", "x": self.x.as_ref()?, "y": self.y.as_ref()?
            }),
            "OKP" => {
                serde_json::json!({"crv": self.crv.as_ref()?, "kty": "OKP", "x": self.x.as_ref()?})
            }
            _ => return None,
        };
        Some(sha256(members.to_string()))
    }
}

fn bytes(member: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(member?).ok()
}

/// The file of keys as it was last read well.
#[derive(Debug)]
pub(crate) struct KeyFile {
    path: std::path::PathBuf,
    algorithm: Algorithm,
    kid: Option<String>,
    held: std::sync::Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    digest: String,
    key: Arc<SigningKey>,
}

impl KeyFile {
    /// Reads the file for the first time.
    pub(crate) fn open(path: &Path, algorithm: Algorithm, kid: Option<String>) -> Result<Self, String> {
        let text = contents(path).map_err(|why| format!("signing_keys {}: {why}", path.display()))?;
        if text.contains("-----BEGIN ") && kid.is_none() {
            return Err("signing_keys in PEM need a kid: the name that the provider gives the key".to_owned());
        }
        let key = read(&text, algorithm, kid.as_deref())
            .map_err(|why| format!("signing_keys {}: {why}", path.display()))?;
        let held = Held { digest: sha256(&text), key: Arc::new(key) };
        Ok(Self { path: path.to_owned(), algorithm, kid, held: std::sync::Mutex::new(held) })
    }

    /// The key to sign with. The file is read again; where the new one cannot be used, the former key
    /// stays, and the text says why.
    pub(crate) fn current(&self) -> (Arc<SigningKey>, Option<String>) {
        let read = contents(&self.path).and_then(|text| {
            let digest = sha256(&text);
            let held = self.held();
            if held.digest == digest {
                return Ok(None);
            }
            let key = read(&text, self.algorithm, self.kid.as_deref())?;
            Ok(Some(Held { digest, key: Arc::new(key) }))
        });
        let mut held = self.held();
        match read {
            Ok(Some(new)) => {
                tracing::info!(
                    kid = new.key.kid.as_deref().unwrap_or(""),
                    "logout tokens have a new signing key"
                );
                *held = new;
                (Arc::clone(&held.key), None)
            }
            Ok(None) => (Arc::clone(&held.key), None),
            Err(why) => {
                let note = format!("signing_keys changed and cannot be used ({why}); the former key signs");
                (Arc::clone(&held.key), Some(note))
            }
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn contents(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let cannot = |e: std::io::Error| format!("cannot be read: {e}");
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7638, section 3.1, with the private members left out.
    const RFC_7638_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    #[test]
    fn thumbprint_is_that_of_rfc_7638() {
        let text = format!(r#"{{"keys": [{{"kty": "RSA", "e": "AQAB", "n": "{RFC_7638_N}"}}]}}"#);
        let set: JwkSet = serde_json::from_str(&text).expect("a set");
        assert_eq!(set.keys[0].thumbprint().as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
    }

    #[test]
    fn what_holds_no_fitting_key_says_so_and_shows_nothing_of_it() {
        let public = format!(r#"{{"keys": [{{"kty": "RSA", "e": "AQAB", "n": "{RFC_7638_N}"}}]}}"#);
        let broken = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "hunter2", "d": "hunter2"}]}"#;
        let error = |text: &str, algorithm| read(text, algorithm, None).expect_err("no key");
        assert_eq!(error(&public, Algorithm::RS256), "no private key for RS256 is in it");
        assert_eq!(error(&public, Algorithm::ES256), "no private key for ES256 is in it");
        assert_eq!(error(broken, Algorithm::EdDSA), "its key for EdDSA is not a valid private key");
        assert_eq!(error("hunter2", Algorithm::EdDSA), "not a JWK Set and not PEM");
        let pem = |what: &str| format!("-----BEGIN {what}-----\nhunter2=\n-----END {what}-----\n");
        let public = error(&pem("PUBLIC KEY"), Algorithm::EdDSA);
        assert_eq!(public, "no unencrypted private key in PEM is in it");
        assert_eq!(error(&pem("PRIVATE KEY"), Algorithm::EdDSA), "its private key is none for EdDSA");
    }
}
