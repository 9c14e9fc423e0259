//! Credentials of apps: what is sent for each kind, and when a token is fetched.

use std::time::{Duration, Instant};

use lightsout_client::{Algorithm, Auth, Client, ClientCredentials, Error, Jwt, Subject};
use lightsout_testkit::{
    Answer, ENCRYPTED_KEY_AES, ENCRYPTED_KEY_DES3, ENCRYPTED_KEY_DES3_SHA1, PASSPHRASE, PKCS1_ENCRYPTED_KEY,
    PKCS1_KEY, PLAIN_KEY, Service,
};
use serde_json::{Value, json};

use crate::kit::{accepting, app, assertion, client, developer, jwt_config, manager, now, plain_jwt_config};

const ANN: Option<&str> = Some("ann@acme.example");

async fn login(client: &Client) -> Option<String> {
    client.me().await.expect("it is authenticated").login
}

#[tokio::test]
async fn service_knows_whom_each_kind_of_credentials_stands_for() {
    let service = Service::start().await;
    let url = service.url.as_str();
    let by_token = client(url, Auth::developer_token(service.token.as_str()));
    assert_eq!(login(&by_token).await.as_deref(), Some("ada@acme.example"));

    let enterprise = Subject::enterprise(&service.enterprise_id);
    let ann = Subject::user(&service.user_id);
    let app = ClientCredentials::new(&service.client_id, service.client_secret.as_str(), enterprise);
    let by_secret = client(url, app.clone());
    let account = login(&by_secret).await;
    assert!(account.is_some() && account.as_deref() != ANN, "{account:?}");
    assert_eq!(login(&client(url, app.with_subject(ann.clone()))).await.as_deref(), ANN);
    let switched = by_secret.with_auth(app.with_subject(ann.clone()));
    assert_eq!(login(&switched).await.as_deref(), ANN);
    assert_eq!(login(&by_secret).await, account, "the first client is as it was");

    let jwt = Jwt::from_file(&service.jwt_config).expect("the kit's own key");
    assert_eq!(login(&client(url, jwt.clone())).await, account);
    assert_eq!(login(&client(url, jwt.with_subject(ann))).await.as_deref(), ANN);
    let to_box = jwt.audience("https://api.box.com/oauth2/token");
    assert_eq!(login(&client(url, to_box)).await, account);
}

#[tokio::test]
async fn key_of_any_form_signs_with_any_algorithm() {
    let service = Service::start().await;
    let text = std::fs::read(&service.jwt_config).expect("the file is there");
    let mut config: Value = serde_json::from_slice(&text).expect("JSON");
    for key in [PLAIN_KEY, PKCS1_KEY, ENCRYPTED_KEY_AES, ENCRYPTED_KEY_DES3, ENCRYPTED_KEY_DES3_SHA1] {
        config["boxAppSettings"]["appAuth"]["privateKey"] = json!(key);
        let jwt = Jwt::from_json(&config.to_string()).expect("the key can be read");
        for algorithm in [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512] {
            let client = client(&service.url, jwt.clone().algorithm(algorithm));
            assert!(login(&client).await.is_some(), "{algorithm:?}");
        }
    }
}

#[tokio::test]
async fn assertion_holds_what_box_asks_for_and_no_more() {
    let server = accepting([Answer::token("TOKEN", 3600)]).await;
    let jwt = Jwt::from_json(&plain_jwt_config()).expect("a key").algorithm(Algorithm::Rs384);
    let sent_at = now().as_second();
    client(&server.url, jwt.clone()).access_token().await.expect("a token");
    client(&server.url, jwt.with_subject(Subject::user("12"))).access_token().await.expect("a token");

    let requests = server.token_requests();
    let form = requests[0].form();
    assert_eq!(form.keys().collect::<Vec<_>>(), ["assertion", "client_id", "client_secret", "grant_type"]);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("app", "CLIENT-SECRET"));
    assert_eq!(requests[0].header("authorization"), None);
    assert_eq!(assertion(&requests[0], 0), json!({"typ": "JWT", "alg": "RS384", "kid": "key1"}));

    let claims = assertion(&requests[0], 1);
    let jti = claims["jti"].as_str().expect("a text");
    let exp = claims["exp"].as_i64().expect("seconds");
    assert!((16..=128).contains(&jti.len()), "{jti}");
    assert!((sent_at + 30..=sent_at + 32).contains(&exp), "{exp} for {sent_at}");
    let audience = format!("{}/oauth2/token", server.url);
    assert_eq!(
        claims,
        json!({"iss": "app", "sub": "899", "box_sub_type": "enterprise", "aud": audience, "jti": jti, "exp": exp})
    );
    let other = assertion(&requests[1], 1);
    assert_eq!((&other["sub"], &other["box_sub_type"]), (&json!("12"), &json!("user")));
    assert_ne!(other["jti"], claims["jti"]);
}

#[tokio::test]
async fn client_credentials_are_sent_as_box_takes_them() {
    let server = accepting([Answer::token("TOKEN", 3600)]).await;
    client(&server.url, app().with_subject(Subject::user("12"))).access_token().await.expect("a token");
    let form: Vec<(String, String)> = server.token_requests()[0].form().into_iter().collect();
    let expected = [
        ("box_subject_id", "12"),
        ("box_subject_type", "user"),
        ("client_id", "app"),
        ("client_secret", "CLIENT-SECRET"),
        ("grant_type", "client_credentials"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn wrong_configuration_is_one_sentence_that_shows_nothing() {
    let config = |key: &str, passphrase| jwt_config(key, passphrase).to_string();
    let mut nobody = jwt_config(PLAIN_KEY, None);
    nobody["enterpriseID"] = json!("0");
    let cut = config(PLAIN_KEY, None)[..300].to_owned();
    let broken_key = ENCRYPTED_KEY_AES.replace("MII", "!!!");
    let not_rsa = "-----BEGIN PRIVATE KEY-----\nCLIENT-SECRET\n-----END PRIVATE KEY-----\n";
    for (text, says) in [
        (config(ENCRYPTED_KEY_AES, Some("wrong-phrase")), "cannot be decrypted: is the passphrase right"),
        (config(ENCRYPTED_KEY_DES3, None), "is encrypted, and there is no passphrase"),
        (config(PKCS1_ENCRYPTED_KEY, Some(PASSPHRASE)), "openssl pkcs8 -topk8"),
        (config(&broken_key, Some(PASSPHRASE)), "no PKCS#8 key in PEM that is encrypted by PBES2"),
        (config(not_rsa, None), "no RSA key in PEM"),
        (config("CLIENT-SECRET", None), "no RSA key in PEM"),
        (cut, "not Box's JWT configuration, from line 1 on"),
        ("CLIENT-SECRET".to_owned(), "not Box's JWT configuration"),
        (r#"{"boxAppSettings":"CLIENT-SECRET"}"#.to_owned(), "not Box's JWT configuration"),
        (nobody.to_string(), "neither enterpriseID nor userID"),
    ] {
        let error = Jwt::from_json(&text).expect_err(says);
        assert!(matches!(error, Error::Setup { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        let shown = format!("{error} {error:?} {error:#?}");
        let key_line = PLAIN_KEY.lines().nth(1).expect("a line of the key");
        for secret in ["CLIENT-SECRET", PASSPHRASE, "wrong-phrase", key_line, "PRIVATE KEY-----"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let error = Jwt::from_file("/nowhere/box.json").expect_err("it is not there");
    assert_eq!(error.to_string(), "cannot read /nowhere/box.json");
}

#[tokio::test]
async fn token_is_fetched_at_the_first_call_and_kept() {
    let server = accepting([Answer::token("TOKEN", 3600)]).await;
    let manager = manager(&server.url, app());
    assert!(server.requests().is_empty(), "nothing is sent before the first call");
    for _ in 0..3 {
        manager.terminate_groups_sessions(vec!["7".to_owned()]).await.expect("accepted");
    }
    assert_eq!((server.token_requests().len(), server.calls().len()), (1, 3));
    assert!(server.calls().iter().all(|call| call.header("authorization") == Some("Bearer TOKEN")));
}

#[tokio::test]
async fn token_without_a_life_or_with_an_endless_one_is_kept() {
    for reply in [json!({"access_token": "TOKEN"}), json!({"access_token": "TOKEN", "expires_in": u64::MAX})]
    {
        let server = accepting([Answer::json(200, reply)]).await;
        let client = client(&server.url, app());
        client.access_token().await.expect("a token");
        client.access_token().await.expect("the same");
        assert_eq!(server.token_requests().len(), 1);
    }
}

#[tokio::test]
async fn token_is_renewed_before_it_ends() {
    let server = accepting([Answer::token("FIRST", 1), Answer::token("SECOND", 3600)]).await;
    let client = client(&server.url, app());
    let fetched_before = Instant::now();
    client.access_token().await.expect("a token");
    let fetched_after = Instant::now();
    // Nothing but time makes it old, so this asks until it is.
    while server.token_requests().len() == 1 {
        assert!(fetched_after.elapsed() < Duration::from_secs(20), "it is used beyond its life");
        client.access_token().await.expect("a token");
    }
    let renewed = server.token_requests()[1].at;
    assert!(renewed - fetched_before >= Duration::from_millis(900), "not earlier than a tenth before");
    client.access_token().await.expect("a token");
    assert_eq!(server.token_requests().len(), 2);
}

#[tokio::test]
async fn developer_token_is_never_asked_for() {
    let server = accepting([Answer::token("OTHER", 3600)]).await;
    let client = client(&server.url, developer());
    client.access_token().await.expect("it is there");
    for error in [
        client.revoke().await.expect_err("it is not an app's"),
        client.authorization("https://app.example", &[]).expect_err("nobody signs in"),
    ] {
        assert!(matches!(error, Error::Setup { .. }), "{error:?}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn app_revokes_its_token_and_gets_another() {
    let server = accepting([Answer::token("FIRST", 3600), Answer::token("SECOND", 3600)]).await;
    let client = client(&server.url, app());
    client.access_token().await.expect("a token");
    client.revoke().await.expect("revoked");
    let revoked = server.calls().remove(0);
    assert_eq!((revoked.method.as_str(), revoked.path.as_str()), ("POST", "/oauth2/revoke"));
    assert_eq!(revoked.header("authorization"), None);
    let form: Vec<(String, String)> = revoked.form().into_iter().collect();
    let expected = [("client_id", "app"), ("client_secret", "CLIENT-SECRET"), ("token", "FIRST")];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    client.access_token().await.expect("another");
    assert_eq!(server.token_requests().len(), 2);
}

#[tokio::test]
async fn token_that_may_do_less_is_asked_for_as_box_takes_it() {
    let server = accepting([Answer::token("WEAKER", 3600)]).await;
    let client = client(&server.url, developer());
    let resource = "https://api.box.com/2.0/folders/1";
    let weaker = client.downscope(&["manage_groups", "ai.readwrite"], Some(resource)).await.expect("a token");
    assert_eq!(weaker.access_token, "WEAKER");
    let form: Vec<(String, String)> = server.token_requests()[0].form().into_iter().collect();
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("resource", resource),
        ("scope", "manage_groups ai.readwrite"),
        ("subject_token", "DEVELOPER-TOKEN"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}
