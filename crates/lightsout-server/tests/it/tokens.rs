//! Tokens: who is given one, for whom, how it dies, and that nobody can read it from the database.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use lightsout_client::api::{CreateTermination, CreateUser, Role, TerminationState, UpdateUser, UserStatus};
use lightsout_client::{Auth, Client};
use lightsout_server::ops::admin::{self, NewApp};
use lightsout_server::random::sha256;
use serde_json::{Value, json};

use crate::harness::{Harness, START_MS, both, words};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const BOX_AUDIENCE: &str = "https://api.box.com/oauth2/token";
const BAD_SUB: &str = "Please check the 'sub' claim. The 'sub' specified is invalid.";

/// An RSA key that an app signs with.
struct Key {
    public_pem: String,
    signs: EncodingKey,
}

impl Key {
    fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let private: Pkcs8V1Der<'_> = pair.as_der().expect("it is encoded");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("it is encoded");
        let signs = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes());
        Self { public_pem: pem("PUBLIC KEY", public.as_ref()), signs: signs.expect("an RSA key") }
    }

    fn of_the_app() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(Self::generate)
    }

    fn of_another() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(Self::generate)
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|l| str::from_utf8(l).expect("ASCII")).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

/// An app with a key, and what its assertions say.
struct Signer {
    client_id: String,
    secret: String,
    kid: String,
    claims: Value,
}

impl Signer {
    async fn register(h: &Harness, key: &Key, box_audience: bool) -> Self {
        let new = NewApp { box_audience, ..app(h, "manage_managed_users", true) };
        let (id, secret) = admin::create_app(&h.app, &new).await.expect("an app");
        let kid = admin::add_key(&h.app, &id.0, &key.public_pem).await.expect("a key").0;
        let claims = json!({
            "iss": id.0, "sub": h.enterprise_id, "box_sub_type": "enterprise", "aud": h.url("/oauth2/token"),
            "jti": "0123456789abcdef", "exp": START_MS / 1000 + 30,
        });
        Self { client_id: id.0, secret, kid, claims }
    }

    /// The claims with some of them changed.
    fn with(&self, changes: &Value) -> Value {
        let mut claims = self.claims.clone();
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    }

    async fn ask(&self, h: &Harness, assertion: &str) -> (u16, Value) {
        let form = [
            ("grant_type", JWT_BEARER),
            ("client_id", &self.client_id),
            ("client_secret", &self.secret),
            ("assertion", assertion),
        ];
        ask(h, &form).await
    }

    /// Asks with these claims signed as the Node SDK signs: RS256, no `kid`.
    async fn ask_with(&self, h: &Harness, changes: &Value) -> (u16, Value) {
        self.ask(h, &sign(Algorithm::RS256, None, &self.with(changes), &Key::of_the_app().signs)).await
    }
}

fn app(h: &Harness, scopes: &str, user_tokens: bool) -> NewApp {
    NewApp {
        enterprise_id: h.enterprise_id.clone(),
        name: format!("app {scopes}"),
        scopes: words(scopes),
        user_tokens,
        ..NewApp::default()
    }
}

fn sign(alg: Algorithm, kid: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    let header = Header { kid: kid.map(ToOwned::to_owned), typ: None, ..Header::new(alg) };
    encode(&header, claims, key).expect("signed")
}

/// Asks the token endpoint.
async fn ask(h: &Harness, form: &[(&str, &str)]) -> (u16, Value) {
    let request = reqwest::Client::new().post(h.url("/oauth2/token")).form(form);
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    (status, response.json().await.expect("JSON"))
}

fn error(answer: &(u16, Value)) -> (u16, &str, &str) {
    let word = |name: &str| answer.1[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", answer.1));
    (answer.0, word("error"), word("error_description"))
}

fn token(answer: &(u16, Value)) -> String {
    assert_eq!(answer.0, 200, "{}", answer.1);
    answer.1["access_token"].as_str().expect("a token").to_owned()
}

async fn client_credentials(h: &Harness, app: &(String, String), kind: &str, id: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &app.0),
        ("client_secret", &app.1),
        ("box_subject_type", kind),
        ("box_subject_id", id),
    ];
    ask(h, &form).await
}

fn client(h: &Harness, token: &str) -> Client {
    Client::new(&h.url(""), Auth::developer_token(token.to_owned())).expect("a client")
}

async fn is_valid(h: &Harness, token: &str) -> bool {
    match client(h, token).me().await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.status(), Some(401), "{error}");
            false
        }
    }
}

/// Works every job to its end, for stories after which the admin's token may be dead.
async fn work_off(h: &Harness) {
    while !h.app.db.count_open_jobs().await.expect("the database works").is_empty() {
        h.run_jobs().await;
        h.advance(10_000);
    }
}

fn users(ids: &[&str]) -> CreateTermination {
    CreateTermination {
        user_ids: ids.iter().map(|id| (*id).into()).collect(),
        ..CreateTermination::default()
    }
}

both! {
    async fn client_credentials_give_a_token_of_the_service_account_or_of_a_user(h: &mut Harness) {
        let ann = h.user("ann").await;
        let credentials = h.credentials.clone();
        let answer = client_credentials(h, &credentials, "enterprise", &h.enterprise_id).await;
        let body = &answer.1;
        assert_eq!((&body["expires_in"], &body["token_type"]), (&json!(3600), &json!("bearer")));
        assert_eq!((&body["restricted_to"], body.get("refresh_token")), (&json!([]), None));
        let me = client(h, &token(&answer)).me().await.expect("the account");
        assert!(me.login.expect("a login").starts_with("AutomationUser_"));

        let answer = client_credentials(h, &credentials, "user", &ann).await;
        assert_eq!(client(h, &token(&answer)).me().await.expect("ann").id.0, ann);

        // Users' tokens are a right of their own.
        let (id, secret) = admin::create_app(&h.app, &app(h, "manage_managed_users", false)).await.expect("an app");
        let answer = client_credentials(h, &(id.0, secret), "user", &ann).await;
        let words = "The \"box_subject_type\" value is unauthorized for this client_id";
        assert_eq!(error(&answer), (400, "unauthorized_client", words));
    }
}

both! {
    async fn wrong_credentials_and_subjects_are_refused_in_boxs_words(h: &mut Harness) {
        let (id, secret) = h.credentials.clone();
        let (other, _) = admin::create_enterprise(&h.app, "Other", "eve@other.example", "Eve").await.expect("one");
        let eve = h.app.db.find_user_by_login("eve@other.example").await.expect("found").expect("eve").user_id;
        for (app, kind, subject, expected) in [
            ((id.clone(), "wrong".to_owned()), "enterprise", h.enterprise_id.as_str(), "invalid_client"),
            (("nobody".to_owned(), secret.clone()), "enterprise", h.enterprise_id.as_str(), "invalid_client"),
            ((id.clone(), secret.clone()), "enterprise", other.as_str(), "invalid_grant"),
            ((id.clone(), secret.clone()), "user", eve.as_str(), "invalid_grant"),
            ((id.clone(), secret.clone()), "user", "999", "invalid_grant"),
        ] {
            let answer = client_credentials(h, &app, kind, subject).await;
            let words = match expected {
                "invalid_client" => "The client credentials are not valid",
                _ => "Grant credentials are invalid",
            };
            assert_eq!(error(&answer), (400, expected, words), "{kind} {subject}");
        }
    }
}

both! {
    async fn incomplete_token_requests_are_refused(h: &mut Harness) {
        let (id, secret) = h.credentials.clone();
        let app = [("client_id", id.as_str()), ("client_secret", secret.as_str())];
        let with = |more: &[(&'static str, &'static str)]| [&app, more].concat();
        for form in [with(&[]), with(&[("grant_type", "")]), with(&[("grant_type", "password")])] {
            let answer = ask(h, &form).await;
            let words = "Invalid grant_type parameter or parameter missing";
            assert_eq!(error(&answer), (400, "invalid_request", words), "{form:?}");
        }
        for form in [
            with(&[("grant_type", "client_credentials")]),
            with(&[("grant_type", "client_credentials"), ("box_subject_type", "user")]),
            with(&[("grant_type", "client_credentials"), ("box_subject_type", "group"), ("box_subject_id", "1")]),
            with(&[("grant_type", JWT_BEARER)]),
        ] {
            assert_eq!(error(&ask(h, &form).await).1, "invalid_request", "{form:?}");
        }
        for (grant_type, field) in [("authorization_code", "code"), ("refresh_token", "refresh_token")] {
            let (grant_type, words) = (("grant_type", grant_type), format!("Send the {field}"));
            assert_eq!(error(&ask(h, &with(&[grant_type, (field, "")])).await), (400, "invalid_request", words.as_str()));
            assert_eq!(error(&ask(h, &with(&[grant_type, (field, "x")])).await).1, "invalid_grant");
        }
        let answer = ask(h, &[("grant_type", "client_credentials"), ("client_id", &id)]).await;
        assert_eq!(error(&answer).1, "invalid_client");
    }
}

both! {
    async fn assertion_is_taken_in_every_rsa_strength_with_and_without_kid(h: &mut Harness) {
        let signer = Signer::register(h, Key::of_the_app(), false).await;
        let ann = h.user("ann").await;
        let mut n = 0;
        for alg in [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512] {
            for kid in [None, Some(signer.kid.as_str())] {
                n += 1;
                let claims = signer.with(&json!({"jti": format!("assertion number {n}"), "iat": START_MS / 1000}));
                let answer = signer.ask(h, &sign(alg, kid, &claims, &Key::of_the_app().signs)).await;
                let me = client(h, &token(&answer)).me().await.expect("the account");
                assert!(me.login.expect("a login").contains(&signer.client_id));
            }
        }
        let of_ann = json!({"sub": ann, "box_sub_type": "user", "exp": START_MS / 1000 + 60});
        let answer = signer.ask_with(h, &of_ann).await;
        assert_eq!(client(h, &token(&answer)).me().await.expect("ann").id.0, ann);
    }
}

both! {
    async fn boxs_audience_is_taken_only_where_the_app_may(h: &mut Harness) {
        let strict = Signer::register(h, Key::of_the_app(), false).await;
        let lenient = Signer::register(h, Key::of_the_app(), true).await;
        let boxs = json!({"aud": BOX_AUDIENCE});
        token(&lenient.ask_with(h, &boxs).await);
        token(&lenient.ask_with(h, &json!({"jti": "another assertion"})).await);
        assert_eq!(error(&strict.ask_with(h, &boxs).await).1, "invalid_grant");
        for signer in [strict, lenient] {
            let elsewhere = json!({"aud": "https://elsewhere.example/oauth2/token", "jti": "yet another one"});
            assert_eq!(error(&signer.ask_with(h, &elsewhere).await).1, "invalid_grant");
        }
    }
}

both! {
    async fn assertion_lives_at_most_a_minute_and_never_begins_in_the_future(h: &mut Harness) {
        let signer = Signer::register(h, Key::of_the_app(), false).await;
        let now = START_MS / 1000;
        let expired = "Current date/time MUST be before the expiration date/time listed in the 'exp' claim";
        let early = "Current date/time MUST be after or equal to the not-before date/time listed in the 'nbf' or 'iat' claim";
        for (changes, words) in [
            (json!({"exp": now}), Some(expired)),
            (json!({"exp": now - 3600}), Some(expired)),
            (json!({"exp": now + 61}), None),
            (json!({"exp": i64::MAX}), None),
            (json!({"iat": now + 1}), Some(early)),
            (json!({"nbf": now + 1}), Some(early)),
            (json!({"iss": "somebody else"}), None),
            (json!({"jti": "short"}), None),
            (json!({"jti": "x".repeat(129)}), None),
            (json!({"box_sub_type": "external"}), None),
        ] {
            let answer = signer.ask_with(h, &changes).await;
            let (status, code, description) = error(&answer);
            assert_eq!((status, code), (400, "invalid_grant"), "{changes}");
            assert!(words.is_none_or(|words| words == description), "{changes} {description}");
        }
        // None of these burned the id.
        token(&signer.ask_with(h, &json!({})).await);
    }
}

both! {
    async fn only_the_apps_own_rsa_keys_sign_for_it(h: &mut Harness) {
        let (own, other) = (Key::of_the_app(), Key::of_another());
        let signer = Signer::register(h, own, false).await;
        let neighbour = Signer::register(h, other, false).await;
        let claims = signer.claims.clone();
        let hmac = EncodingKey::from_secret(own.public_pem.as_bytes());
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = format!("{}.{}.", encoded(&json!({"alg": "none"})), encoded(&claims));
        let good = sign(Algorithm::RS256, None, &claims, &own.signs);
        let (signed, signature) = good.rsplit_once('.').expect("three parts");
        let (header, _) = signed.split_once('.').expect("three parts");
        let swapped = format!("{header}.{}.{signature}", encoded(&signer.with(&json!({"sub": "999"}))));
        for assertion in [
            sign(Algorithm::RS256, Some("no-such-key"), &claims, &own.signs),
            sign(Algorithm::RS256, Some(&neighbour.kid), &claims, &own.signs),
            sign(Algorithm::RS256, None, &claims, &other.signs),
            sign(Algorithm::RS256, Some(&signer.kid), &claims, &other.signs),
            sign(Algorithm::RS256, Some(&neighbour.kid), &claims, &other.signs),
            sign(Algorithm::HS256, None, &claims, &hmac),
            sign(Algorithm::PS256, None, &claims, &own.signs),
            format!("{signed}."),
            unsigned, swapped, "not.a.jwt".to_owned(), String::new(),
        ] {
            let answer = signer.ask(h, &assertion).await;
            assert!(["invalid_grant", "invalid_request"].contains(&error(&answer).1), "{assertion}");
        }
        // The secret is needed beside the signature.
        let stolen = Signer { secret: "wrong".to_owned(), claims: claims.clone(), client_id: signer.client_id.clone(), kid: String::new() };
        assert_eq!(error(&stolen.ask(h, &good).await).1, "invalid_client");
        token(&signer.ask(h, &good).await);
    }
}

both! {
    async fn assertion_is_burned_by_success_only_and_then_for_good(h: &mut Harness) {
        let signer = Signer::register(h, Key::of_the_app(), false).await;
        // The SDKs send the same assertion again after a failure.
        assert_eq!(error(&signer.ask_with(h, &json!({"sub": "999"})).await), (400, "invalid_grant", BAD_SUB));
        let of_nobody = json!({"sub": "999", "box_sub_type": "user"});
        assert_eq!(error(&signer.ask_with(h, &of_nobody).await), (400, "invalid_grant", BAD_SUB));
        token(&signer.ask_with(h, &json!({})).await);
        assert_eq!(error(&signer.ask_with(h, &json!({})).await).1, "invalid_grant");
        // Nor does a new signature make it another one.
        assert_eq!(error(&signer.ask_with(h, &json!({"exp": START_MS / 1000 + 50})).await).1, "invalid_grant");
        h.advance(29_999);
        assert_eq!(error(&signer.ask_with(h, &json!({})).await).1, "invalid_grant");
        // Ids are an app's own.
        let neighbour = Signer::register(h, Key::of_the_app(), false).await;
        token(&neighbour.ask_with(h, &json!({})).await);
    }
}

both! {
    async fn app_revokes_its_own_tokens_only(h: &mut Harness) {
        let own = h.credentials.clone();
        let (id, secret) = admin::create_app(&h.app, &app(h, "manage_groups", false)).await.expect("an app");
        let other = (id.0, secret);
        let of_own = token(&client_credentials(h, &own, "enterprise", &h.enterprise_id).await);
        let of_other = token(&client_credentials(h, &other, "enterprise", &h.enterprise_id).await);
        let revoke = async |app: &(String, String), token: &str| {
            let form = [("client_id", app.0.as_str()), ("client_secret", &app.1), ("token", token)];
            let request = reqwest::Client::new().post(h.url("/oauth2/revoke")).form(&form);
            request.send().await.expect("an answer").status().as_u16()
        };
        assert_eq!(revoke(&own, &of_other).await, 200);
        assert_eq!(revoke(&own, "never given to anybody").await, 200);
        assert_eq!(revoke(&(own.0.clone(), "wrong".to_owned()), &of_own).await, 400);
        assert!(is_valid(h, &of_own).await && is_valid(h, &of_other).await);
        for _ in 0..2 {
            assert_eq!(revoke(&own, &of_own).await, 200);
            assert!(!is_valid(h, &of_own).await && is_valid(h, &of_other).await);
        }
    }
}

both! {
    async fn terminated_users_tokens_die_and_later_ones_live(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let credentials = h.credentials.clone();
        let developer = h.token_of("ann@acme.example", "").await;
        let of_ann = token(&client_credentials(h, &credentials, "user", &ann).await);
        let of_bob = token(&client_credentials(h, &credentials, "user", &bob).await);
        let of_app = token(&client_credentials(h, &credentials, "enterprise", &h.enterprise_id).await);
        h.admin.terminate(&users(&[&ann]), None).await.expect("accepted");
        assert!(!is_valid(h, &developer).await && !is_valid(h, &of_ann).await);
        assert!(is_valid(h, &of_bob).await && is_valid(h, &of_app).await);
        // In the same millisecond, and yet after it.
        let later = token(&client_credentials(h, &credentials, "user", &ann).await);
        assert!(is_valid(h, &later).await);
        work_off(h).await;
        assert!(is_valid(h, &later).await && !is_valid(h, &of_ann).await);
    }
}

both! {
    async fn caller_who_ends_themselves_is_signed_out_too(h: &mut Harness) {
        let admin_id = h.admin_id.clone();
        let before = h.token_of("ada@acme.example", "").await;
        let accepted = h.admin.terminate(&users(&[&admin_id]), None).await.expect("accepted");
        assert!(!is_valid(h, &before).await);
        assert_eq!(h.admin.me().await.expect_err("ended").status(), Some(401));
        work_off(h).await;
        let again = h.client_of("ada@acme.example", "").await;
        let done = again.termination(&accepted.id.0).await.expect("it");
        assert_eq!((done.state, done.people), (TerminationState::Done, 1));
    }
}

both! {
    async fn inactive_or_deleted_user_has_no_token(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let credentials = h.credentials.clone();
        let of_ann = token(&client_credentials(h, &credentials, "user", &ann).await);
        let of_bob = h.token_of("bob@acme.example", "").await;
        let inactive = UpdateUser { status: Some(UserStatus::Inactive), ..UpdateUser::default() };
        h.admin.update_user(&ann, &inactive).await.expect("changed");
        h.admin.delete_user(&bob).await.expect("deleted");
        assert!(!is_valid(h, &of_ann).await && !is_valid(h, &of_bob).await);
        for id in [&ann, &bob] {
            assert_eq!(error(&client_credentials(h, &credentials, "user", id).await).1, "invalid_grant");
        }
        // A token that the operator makes for an inactive user is worth nothing, either.
        let by_operator = admin::create_token(&h.app, "ann@acme.example", &[], 60_000).await;
        assert!(by_operator.is_err() || !is_valid(h, &by_operator.expect("a token")).await);
        let active = UpdateUser { status: Some(UserStatus::Active), ..UpdateUser::default() };
        h.admin.update_user(&ann, &active).await.expect("changed");
        assert!(!is_valid(h, &of_ann).await, "what was ended stays ended");
        work_off(h).await;
    }
}

both! {
    async fn as_user_reaches_only_whom_the_caller_outranks_and_events_name_both(h: &mut Harness) {
        let ann = h.user("ann").await;
        let coadmin = |name: &str| CreateUser {
            name: name.to_owned(), login: Some(format!("{name}@acme.example")), role: Some(Role::Coadmin), ..CreateUser::default()
        };
        let cleo = h.admin.create_user(&coadmin("cleo")).await.expect("a coadmin").id.0;
        let dora = h.admin.create_user(&coadmin("dora")).await.expect("a coadmin").id.0;
        let service = h.registrar.me().await.expect("the account").id.0;
        let (of_cleo, of_ann) = (h.client_of("cleo@acme.example", "").await, h.client_of("ann@acme.example", "").await);
        let status = async |client: &Client, target: &str| client.as_user(target).me().await.err().and_then(|e| e.status());
        for (client, target, expected) in [
            (&h.admin, &ann, None), (&h.admin, &cleo, None), (&of_cleo, &ann, None), (&h.registrar, &ann, None),
            (&of_cleo, &cleo, None),
            (&of_cleo, &dora, Some(403)), (&of_cleo, &h.admin_id, Some(403)), (&h.registrar, &cleo, Some(403)),
            (&of_ann, &cleo, Some(403)), (&of_ann, &h.admin_id, Some(403)), (&of_ann, &"999".to_owned(), Some(403)),
            (&h.admin, &service, Some(403)), (&h.admin, &"999".to_owned(), Some(403)), (&h.admin, &String::new(), Some(403)),
        ] {
            assert_eq!(status(client, target).await, expected, "{target}");
        }
        assert_eq!(h.admin.as_user(&ann).me().await.expect("ann").id.0, ann);
        // Ann may end nobody, so neither may the admin as Ann.
        assert_eq!(h.admin.as_user(&ann).terminate(&users(&[&ann]), None).await.expect_err("a user").status(), Some(403));

        let accepted = h.admin.as_user(&cleo).terminate(&users(&[&ann]), None).await.expect("accepted");
        assert_eq!((accepted.asked_by.id, accepted.as_user.map(|u| u.id)), (h.admin_id.clone(), Some(cleo.clone())));
        let events = h.admin.event_page(&only("SESSION_TERMINATION_REQUESTED")).await.expect("events").entries;
        assert_eq!(events[0].created_by.as_ref().expect("somebody").id, h.admin_id);
        assert_eq!(events[0].additional_details.as_ref().expect("details")["as_user"]["id"], json!(cleo));
        work_off(h).await;
    }
}

type TokenColumns = (String, String, Option<String>, String, i64, i64, i64, Option<i64>);

both! {
    async fn tokens_and_secrets_are_stored_only_as_sha256(h: &mut Harness) {
        let credentials = h.credentials.clone();
        let given = token(&client_credentials(h, &credentials, "enterprise", &h.enterprise_id).await);
        let developer = h.token_of("ada@acme.example", "").await;
        let sql = "SELECT token_hash, user_id, client_id, scopes, generation, created_at, expires_at, revoked_at FROM tokens";
        let rows: Vec<TokenColumns> = h.app.db.fetch(sql, vec![]).await.expect("rows");
        let apps: Vec<(String, String, String, String)> = h.app.db
            .fetch("SELECT client_id, name, secret_hash, rights FROM apps", vec![]).await.expect("rows");
        let stored = format!("{rows:?} {apps:?}");
        for secret in [&given, &developer, &credentials.1] {
            assert!(!stored.contains(secret.as_str()));
            assert!(stored.contains(&sha256(secret)));
        }
    }
}

fn only(event_type: &str) -> lightsout_client::EventQuery {
    lightsout_client::EventQuery {
        event_types: vec![event_type.to_owned()],
        ..lightsout_client::EventQuery::history()
    }
}
