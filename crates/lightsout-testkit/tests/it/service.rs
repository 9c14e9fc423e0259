//! The service that tests and examples run against.

use std::collections::BTreeSet;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use lightsout_testkit::{PLAIN_KEY, Service, example, example_blocking};
use serde_json::{Value, json};

#[tokio::test]
async fn service_is_ready_and_knows_who_is_signed_in() {
    let service = Service::start().await;
    let ready = reqwest::get(format!("{}/readyz", service.url)).await.expect("an answer");
    assert_eq!(ready.status(), 200);

    let url = format!("{}/2.0/groups/{}/memberships", service.url, service.group_id);
    let members = reqwest::Client::new().get(url).bearer_auth(&service.token).send();
    let members: Value = members.await.expect("an answer").json().await.expect("JSON");
    let logins = members["entries"].as_array().expect("a list").iter().map(|m| m["user"]["login"].as_str());
    let expected = BTreeSet::from([Some("ann@acme.example"), Some("bob@acme.example")]);
    assert_eq!(logins.collect::<BTreeSet<_>>(), expected);

    let sessions = service.sign_in(&service.login, 2).await;
    let token = grant(&service, "client_credentials", "enterprise", &service.enterprise_id).await;
    for session in &sessions {
        let asked = reqwest::Client::new()
            .post(format!("{}/oauth2/introspect", service.url))
            .bearer_auth(&token)
            .form(&[("token", session)]);
        let answer: Value = asked.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(answer["username"], json!(service.login), "{answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn app_gets_tokens_of_itself_a_user_and_the_admin() {
    let service = Service::start().await;
    for kind in ["client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"] {
        grant(&service, kind, "enterprise", &service.enterprise_id).await;
        grant(&service, kind, "user", &service.user_id).await;
        grant(&service, kind, "user", &service.admin_id).await;
    }
}

/// Asks for a token by the app's secret, or by its JWT configuration and the plain key.
async fn grant(service: &Service, kind: &str, subject_type: &str, subject: &str) -> String {
    let text = std::fs::read(&service.jwt_config).expect("the file is there");
    let config: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(config["enterpriseID"], json!(service.enterprise_id));
    let app = &config["boxAppSettings"];
    let mut header = Header::new(Algorithm::RS512);
    header.kid = app["appAuth"]["publicKeyID"].as_str().map(ToOwned::to_owned);
    let claims = json!({
        "iss": app["clientID"],
        "sub": subject,
        "box_sub_type": subject_type,
        "aud": "https://api.box.com/oauth2/token",
        "jti": format!("a test's {subject_type} {subject}"),
        "exp": service.app().clock.now_ms() / 1000 + 30,
    });
    let key = EncodingKey::from_rsa_pem(PLAIN_KEY.as_bytes()).expect("a key");
    let form = [
        ("grant_type", kind),
        ("client_id", app["clientID"].as_str().expect("text")),
        ("client_secret", app["clientSecret"].as_str().expect("text")),
        ("box_subject_type", subject_type),
        ("box_subject_id", subject),
        ("assertion", &encode(&header, &claims, &key).expect("signed")),
    ];
    let url = format!("{}/oauth2/token", service.url);
    let answer = reqwest::Client::new().post(url).form(&form).send().await.expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{kind} {subject_type}: {answer}")).to_owned()
}

#[test]
fn example_reaches_its_service() {
    example(|service| async move {
        let answer = reqwest::get(format!("{}/readyz", service.url)).await?;
        assert_eq!(answer.status(), 200);
        Ok(())
    });
}

#[test]
#[should_panic(expected = "the example failed: no such luck")]
fn failure_of_an_example_is_not_lost() {
    example(|_| async { Err("no such luck".into()) });
}

#[test]
fn blocking_example_may_make_a_runtime() {
    example_blocking(|service| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(reqwest::get(format!("{}/readyz", service.url)))?;
        assert_eq!(answer.status(), 200);
        Ok(())
    });
}

#[test]
#[should_panic(expected = "the example failed: no such luck")]
fn failure_of_a_blocking_example_is_not_lost() {
    example_blocking(|_| Err("no such luck".into()));
}
