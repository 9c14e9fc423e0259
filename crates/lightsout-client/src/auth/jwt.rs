//! Tokens for an app's key (RFC 7523), configured by the JSON file that Box's console writes.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::Document;
use pkcs8::der::pem::PemLabel;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::Subject;
use crate::client::BOX;
use crate::error::Error;
use crate::random;
use crate::transport::{Addresses, Form};

/// What Box accepts as the audience of an assertion, wherever it is sent: [`Jwt::audience`].
pub const BOX_AUDIENCE: &str = "https://api.box.com/oauth2/token";
/// How long an assertion lives, in seconds: Box takes up to 60, and its clock may differ by half of that.
const LIFE_S: i64 = 30;

/// An app with a key, which signs for its tokens instead of sending a password.
///
/// ```
/// # lightsout_testkit::example(|service| async move {
/// # let (url, path) = (service.url.as_str(), service.jwt_config.as_path());
/// use lightsout_client::{Client, Jwt};
///
/// let client = Client::new(url, Jwt::from_file(path)?)?;
/// println!("{:?}", client.me().await?.name);
/// # Ok(()) });
/// ```
#[derive(Clone)]
pub struct Jwt {
    pub(super) client_id: String,
    pub(super) client_secret: SecretString,
    key_id: String,
    key: EncodingKey,
    subject: Subject,
    algorithm: Algorithm,
    audience: Option<String>,
}

/// How an assertion is signed; Box takes each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with SHA-256.
    #[default]
    Rs256,
    /// RSA with SHA-384.
    Rs384,
    /// RSA with SHA-512.
    Rs512,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    box_app_settings: Settings,
    #[serde(rename = "enterpriseID")]
    enterprise_id: Option<String>,
    #[serde(rename = "userID")]
    user_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    #[serde(rename = "clientID")]
    client_id: String,
    client_secret: SecretString,
    app_auth: AppAuth,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppAuth {
    #[serde(rename = "publicKeyID")]
    public_key_id: String,
    private_key: SecretString,
    passphrase: Option<SecretString>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    box_sub_type: &'a str,
    aud: &'a str,
    jti: String,
    exp: i64,
}

impl Jwt {
    /// Reads Box's JSON configuration file.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # let (url, path) = (service.url.as_str(), service.jwt_config.as_path());
    /// use lightsout_client::{Client, Jwt};
    ///
    /// let client = Client::new(url, Jwt::from_file(path)?)?;
    /// println!("{:?}", client.me().await?.login);
    /// # Ok(()) });
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::setup_because(format!("cannot read {}", path.display()), error))?;
        Self::from_json(&text)
    }

    /// Reads the text of Box's JSON configuration file: `boxAppSettings`, and `enterpriseID` or `userID`.
    ///
    /// The subject is the enterprise, or else the user. The key is PKCS#8 in PEM, encrypted (PBES2) or
    /// not, or PKCS#1 in PEM.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # let text = std::fs::read_to_string(&service.jwt_config)?;
    /// # let (url, user_id) = (service.url.as_str(), service.user_id.as_str());
    /// use lightsout_client::{Algorithm, Client, Jwt, Subject};
    ///
    /// let app = Jwt::from_json(&text)?.algorithm(Algorithm::Rs512);
    /// let ann = Client::new(url, app.with_subject(Subject::user(user_id)))?;
    /// println!("{:?}", ann.me().await?.name);
    /// # Ok(()) });
    /// ```
    pub fn from_json(text: &str) -> Result<Self, Error> {
        // What serde says of a file shows its words, which may be secret: only the place is kept.
        let file: File = serde_json::from_str(text).map_err(|error| {
            Error::setup(format!(
                "not Box's JWT configuration, from line {} on: it has boxAppSettings with clientID, clientSecret and appAuth (publicKeyID, privateKey, passphrase), and enterpriseID",
                error.line()
            ))
        })?;
        let subject = match (file.enterprise_id.filter(|id| id != "0"), file.user_id) {
            (Some(id), _) => Subject::Enterprise(id),
            (None, Some(id)) => Subject::User(id),
            (None, None) => {
                return Err(Error::setup("the JWT configuration has neither enterpriseID nor userID"));
            }
        };
        let settings = file.box_app_settings;
        let auth = settings.app_auth;
        Ok(Self {
            client_id: settings.client_id,
            client_secret: settings.client_secret,
            key_id: auth.public_key_id,
            key: read_key(auth.private_key.expose_secret(), auth.passphrase.as_ref())?,
            subject,
            algorithm: Algorithm::default(),
            audience: None,
        })
    }

    /// The same app on another's behalf.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Client, Jwt};
    /// # let app = Jwt::from_file(&service.jwt_config)?;
    /// # let (url, user_id) = (service.url.as_str(), service.user_id.as_str());
    /// use lightsout_client::Subject;
    ///
    /// let ann = Client::new(url, app.with_subject(Subject::user(user_id)))?;
    /// assert_eq!(ann.me().await?.login.as_deref(), Some("ann@acme.example"));
    /// # Ok(()) });
    /// ```
    pub fn with_subject(&self, subject: Subject) -> Self {
        Self { subject, ..self.clone() }
    }

    /// Signs with this algorithm instead of RS256.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # let (url, path) = (service.url.as_str(), service.jwt_config.as_path());
    /// use lightsout_client::{Algorithm, Client, Jwt};
    ///
    /// let app = Jwt::from_file(path)?.algorithm(Algorithm::Rs384);
    /// Client::new(url, app)?.me().await?;
    /// # Ok(()) });
    /// ```
    pub fn algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// Signs for this audience.
    ///
    /// Without it, it is `https://api.box.com/oauth2/token` for a client of Box, and the service's own
    /// token address for a client of a service. Say Box's where an address leads to Box by a gateway.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # let (gateway, path) = (service.url.as_str(), service.jwt_config.as_path());
    /// use lightsout_client::{Client, Jwt};
    ///
    /// let app = Jwt::from_file(path)?.audience("https://api.box.com/oauth2/token");
    /// Client::new(gateway, app)?.me().await?;
    /// # Ok(()) });
    /// ```
    pub fn audience(self, audience: impl Into<String>) -> Self {
        Self { audience: Some(audience.into()), ..self }
    }

    /// The form of the token endpoint, with an assertion of its own: each is accepted once.
    pub(super) fn form(&self, addresses: &Addresses, now: Timestamp) -> Result<Form, Error> {
        let audience = match &self.audience {
            Some(audience) => audience,
            None if addresses.base == BOX => BOX_AUDIENCE,
            None => &addresses.token,
        };
        Ok(vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()),
            ("client_id", self.client_id.clone()),
            ("client_secret", self.client_secret.expose_secret().to_owned()),
            ("assertion", self.assertion(audience, now)?),
        ])
    }

    fn assertion(&self, audience: &str, now: Timestamp) -> Result<String, Error> {
        let (kind, id) = self.subject.parts();
        let claims = Claims {
            iss: &self.client_id,
            sub: id,
            box_sub_type: kind,
            aud: audience,
            jti: random::id(),
            // No `iat` and no `nbf`: Box allows them no clock that is a second ahead.
            exp: now.as_second() + LIFE_S,
        };
        let algorithm = match self.algorithm {
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
            Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
        };
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|error| {
            Error::setup_because("the private key cannot sign; it is an RSA key of 2048 bits or more", error)
        })
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("client_id", &self.client_id)
            .field("key_id", &self.key_id)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// Reads a private key in PEM; no error shows a part of it.
fn read_key(pem: &str, passphrase: Option<&SecretString>) -> Result<EncodingKey, Error> {
    let pem = pem.trim();
    if !pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        if pem.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(Error::setup(
                "the private key is encrypted in an old form; turn it into PKCS#8 with: openssl pkcs8 -topk8 -in old.pem -out new.pem",
            ));
        }
        return EncodingKey::from_rsa_pem(pem.as_bytes())
            .map_err(|_| Error::setup("the private key is no RSA key in PEM"));
    }
    let passphrase =
        passphrase.ok_or_else(|| Error::setup("the private key is encrypted, and there is no passphrase"))?;
    let unreadable = |_| {
        Error::setup(
            "the private key cannot be read: it is no PKCS#8 key in PEM that is encrypted by PBES2; turn it into one with: openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.pem -out new.pem",
        )
    };
    let (label, document) = Document::from_pem(pem).map_err(unreadable)?;
    EncryptedPrivateKeyInfoRef::validate_pem_label(label).map_err(|e| unreadable(e.into()))?;
    let key = document.decode_msg::<EncryptedPrivateKeyInfoRef<'_>>().map_err(unreadable)?;
    let key = key.decrypt(passphrase.expose_secret()).map_err(|_| {
        Error::setup("the private key cannot be decrypted: is the passphrase right, and is it PBES2?")
    })?;
    let pem = key
        .to_pem("PRIVATE KEY", pkcs8::LineEnding::LF)
        .map_err(|_| Error::setup("the private key cannot be read: it is no PKCS#8 key"))?;
    EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| Error::setup("the private key is no RSA key"))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn box_is_the_audience_at_box_alone() {
        let config = json!({
            "boxAppSettings": {
                "clientID": "app",
                "clientSecret": "secret",
                "appAuth": {"publicKeyID": "key1", "privateKey": lightsout_testkit::PLAIN_KEY}
            },
            "enterpriseID": "0",
            "userID": "12"
        });
        let jwt = Jwt::from_json(&config.to_string()).expect("a key");
        let claims = |jwt: &Jwt, base: &str| -> Value {
            let addresses = Addresses::below(base).expect("an address");
            let form = jwt.form(&addresses, Timestamp::UNIX_EPOCH).expect("signed");
            let (_, assertion) = form.last().expect("the assertion is the last field");
            let claims = assertion.split('.').nth(1).expect("three parts");
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64")).expect("JSON")
        };
        let at_box = claims(&jwt, "https://api.box.com/2.0/");
        assert_eq!(at_box["aud"], "https://api.box.com/oauth2/token");
        assert_eq!((&at_box["sub"], &at_box["box_sub_type"]), (&json!("12"), &json!("user")));
        assert_eq!(at_box["exp"], 30);
        assert_eq!(claims(&jwt, "https://out.example")["aud"], "https://out.example/oauth2/token");
        let told = jwt.audience("https://api.box.com/oauth2/token");
        assert_eq!(claims(&told, "https://gateway.example")["aud"], "https://api.box.com/oauth2/token");
    }
}
