//! A small OpenID provider with real signatures, which misbehaves as told.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use lightsout_server::clock::Clock;
use lightsout_server::provider::{Provider, ProviderConfig};
use lightsout_server::random::sha256;
use lightsout_server::secret::Secret;
use serde_json::{Value, json};

/// How ID tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    ByKey,
    /// By a key that was made since, and is shown.
    ByNewKey,
    /// By another key under the same `kid`.
    ByAnotherKey,
    /// Under a `kid` that is never shown.
    ByUnknownKid,
    None,
    Hs256WithPublicKey,
}

struct Key {
    kid: &'static str,
    signs: EncodingKey,
    public_der: Vec<u8>,
}

impl Key {
    fn new(kid: &'static str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("a private key");
        let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
            pair.public_key().as_der().expect("a public key");
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(pkcs8.as_ref())
        );
        let signs = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key");
        Self { kid, signs, public_der: public.as_ref().to_vec() }
    }

    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.signs, Algorithm::RS256).expect("a key");
        jwk.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(jwk).expect("JSON")
    }
}

/// What was asked with a code, and what it is worth.
struct Code {
    nonce: String,
    challenge: String,
    redirect_uri: String,
    claims: Value,
}

struct Script {
    issuer: String,
    calls_itself: Option<String>,
    names_itself: bool,
    redirects: bool,
    signed: Signed,
    userinfo: Option<Value>,
    codes: HashMap<String, Code>,
    clock: Clock,
}

/// Making one takes its time.
static KEY: LazyLock<Key> = LazyLock::new(|| Key::new("k1"));
static NEW_KEY: LazyLock<Key> = LazyLock::new(|| Key::new("k2"));
static OTHER_KEY: LazyLock<Key> = LazyLock::new(|| Key::new("k1"));

/// The provider, while it runs.
pub(super) struct Outside {
    issuer: String,
    script: Arc<Mutex<Script>>,
}

impl Outside {
    pub(super) async fn start(clock: Clock) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let issuer = format!("http://{}/realm", listener.local_addr().expect("it is bound"));
        let script = Arc::new(Mutex::new(Script {
            issuer: issuer.clone(),
            calls_itself: None,
            names_itself: false,
            redirects: false,
            signed: Signed::ByKey,
            userinfo: None,
            codes: HashMap::new(),
            clock,
        }));
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(metadata))
            .route("/realm/keys", get(keys))
            .route("/realm/token", post(token))
            .route("/realm/userinfo", get(userinfo))
            .with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, script }
    }

    pub(super) fn configured(&self, enterprise: &str, asks_second_factor: bool, clock: &Clock) -> Provider {
        let config = ProviderConfig {
            name: "corp".to_owned(),
            title: Some("Acme account".to_owned()),
            issuer: self.issuer.clone(),
            client_id: "lightsout".to_owned(),
            client_secret: Secret("s3cret: with/odd+letters".to_owned().into()),
            enterprise: enterprise.to_owned(),
            domains: vec!["acme.example".to_owned()],
            asks_second_factor,
            scopes: vec!["openid".to_owned(), "email".to_owned()],
            ca_file: None,
        };
        Provider::new(config, clock.clone()).expect("a provider")
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A code for what was asked, worth these claims besides the usual ones.
    pub(super) fn code(&self, asked: &[(String, String)], claims: Value) -> String {
        let of = |name: &str| asked.iter().find(|(n, _)| n == name).expect("it is sent").1.clone();
        let mut script = self.script.lock().expect("nobody panicked");
        let code = format!("code{}", script.codes.len());
        let asked = Code {
            nonce: of("nonce"),
            challenge: of("code_challenge"),
            redirect_uri: of("redirect_uri"),
            claims,
        };
        script.codes.insert(code.clone(), asked);
        code
    }

    pub(super) fn sign(&self, signed: Signed) {
        self.with(|script| script.signed = signed);
    }

    pub(super) fn names_itself(&self, names: bool) {
        self.with(|script| script.names_itself = names);
    }

    pub(super) fn calls_itself(&self, issuer: &str) {
        self.with(|script| {
            script.calls_itself = Some(issuer.to_owned());
            script.redirects = false;
        });
    }

    pub(super) fn redirects(&self) {
        self.with(|script| script.redirects = true);
    }

    pub(super) fn tells_at_userinfo(&self, claims: Value) {
        self.with(|script| script.userinfo = Some(claims));
    }

    fn with(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().expect("nobody panicked"));
    }
}

type World = State<Arc<Mutex<Script>>>;

async fn metadata(State(script): World) -> Response {
    let script = script.lock().expect("nobody panicked");
    if script.redirects {
        return (StatusCode::FOUND, [(header::LOCATION, format!("{}/elsewhere", script.issuer))])
            .into_response();
    }
    let at = |path: &str| format!("{}{path}", script.issuer);
    Json(json!({
        "issuer": script.calls_itself.as_ref().unwrap_or(&script.issuer),
        "authorization_endpoint": at("/authorize?tenant=1"),
        "token_endpoint": at("/token"),
        "jwks_uri": at("/keys"),
        "userinfo_endpoint": at("/userinfo"),
        "authorization_response_iss_parameter_supported": script.names_itself,
    }))
    .into_response()
}

async fn keys(State(script): World) -> Json<Value> {
    let script = script.lock().expect("nobody panicked");
    let mut keys = vec![json!({"kty": "new", "kid": "k0"}), KEY.jwk()];
    if script.signed == Signed::ByNewKey {
        keys.push(NEW_KEY.jwk());
    }
    // A secret in the set would let whoever reads it sign.
    keys.push(json!({"kty": "oct", "kid": "k1", "k": URL_SAFE_NO_PAD.encode("secret")}));
    Json(json!({ "keys": keys }))
}

async fn token(
    State(script): World,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let mut script = script.lock().expect("nobody panicked");
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    let secret: String = form_urlencoded::byte_serialize(b"s3cret: with/odd+letters").collect();
    let basic = format!("Basic {}", STANDARD.encode(format!("lightsout:{secret}")));
    if headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) != Some(basic.as_str()) {
        return refused("invalid_client");
    }
    let Some(code) = form.get("code").and_then(|code| script.codes.remove(code)) else {
        return refused("invalid_grant");
    };
    let verified = form.get("code_verifier").is_some_and(|verifier| sha256(verifier) == code.challenge);
    if !verified || form.get("redirect_uri") != Some(&code.redirect_uri) {
        return refused("invalid_grant");
    }
    let now = script.clock.now_ms() / 1_000;
    let mut claims = json!({
        "iss": script.issuer, "aud": "lightsout", "exp": now + 300, "iat": now, "nonce": code.nonce,
    });
    for (name, value) in code.claims.as_object().expect("an object") {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    Json(json!({"access_token": "at", "token_type": "Bearer", "id_token": script.signed(&claims)}))
        .into_response()
}

async fn userinfo(State(script): World, headers: HeaderMap) -> Response {
    let script = script.lock().expect("nobody panicked");
    let authorized = headers.get(header::AUTHORIZATION).is_some_and(|value| value == "Bearer at");
    match script.userinfo.clone().filter(|_| authorized) {
        Some(claims) => Json(claims).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

impl Script {
    fn signed(&self, claims: &Value) -> String {
        let rs256 = |key: &Key, kid: &str| {
            let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::RS256) };
            encode(&header, claims, &key.signs).expect("signed")
        };
        match self.signed {
            Signed::ByKey => rs256(&KEY, "k1"),
            Signed::ByNewKey => rs256(&NEW_KEY, "k2"),
            Signed::ByAnotherKey => rs256(&OTHER_KEY, "k1"),
            Signed::ByUnknownKid => rs256(&OTHER_KEY, "k9"),
            Signed::None => {
                let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
                format!("{}.{}.", part(&json!({"alg": "none", "kid": "k1"})), part(claims))
            }
            Signed::Hs256WithPublicKey => {
                let pem = format!(
                    "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
                    STANDARD.encode(&KEY.public_der)
                );
                let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) };
                encode(&header, claims, &EncodingKey::from_secret(pem.as_bytes())).expect("signed")
            }
        }
    }
}
