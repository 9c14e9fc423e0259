//! Box, played by the real service of this repository, and by a scripted server for its errors.

use std::time::Duration;

use lightsout_client::{Auth, Client, Subject};
use lightsout_server::clock::Clock;
use lightsout_server::connector::{BoxApi, BoxConfig, Connector, Reply, Target};
use lightsout_testkit::{Answer, Script, Scripted, Service};
use serde_json::{Value, json};

use super::target;

fn connector(keys: Value) -> BoxApi {
    let config: BoxConfig = serde_json::from_value(keys).expect("known keys");
    BoxApi::new(&config, Clock::system(), Duration::from_mins(1)).expect("it is right")
}

fn targets(names: &[&str]) -> Vec<Target> {
    names.iter().map(|name| target(name, 1)).collect()
}

async fn scripted(calls: Vec<Answer>) -> (Scripted, BoxApi) {
    let server = Scripted::start(Script { token: Vec::new(), calls }).await;
    let connector = connector(json!({"token": "hush", "base_url": server.url}));
    (server, connector)
}

fn unknown(names: &[&str]) -> Answer {
    let entry =
        |name: &&str| json!({"reason": "not_found", "name": "user_login", "value": name, "message": "x"});
    let errors: Vec<Value> = names.iter().map(entry).collect();
    let context = json!({"errors": errors});
    Answer::json(
        404,
        json!({"type": "error", "status": 404, "code": "not_found", "message": "Not Found", "context_info": context}),
    )
}

#[tokio::test]
async fn sessions_end_by_login_and_by_id_with_every_kind_of_credentials() {
    let service = Service::start().await;
    let sessions = service.sign_in(&service.login, 3).await;
    let credentials = [
        json!({"token": service.token}),
        json!({"client_id": service.client_id, "client_secret": service.client_secret, "enterprise_id": service.enterprise_id}),
        json!({"jwt_config": service.jwt_config}),
    ];
    for mut keys in credentials {
        keys["base_url"] = json!(service.url);
        let by_login = connector(keys.clone());
        by_login.find(&[]).await.expect("the credentials are accepted");
        let people = targets(&["ann@acme.example", "nobody@acme.example", "Bob@ACME.example"]);
        let replies = by_login.end(&people).await.expect("accepted").replies;
        assert_eq!(replies, [Reply::Delivered, Reply::NoSubject, Reply::Delivered]);
        keys["by"] = json!("id");
        let replies =
            connector(keys).end(&targets(&["0", &service.user_id])).await.expect("accepted").replies;
        assert_eq!(replies, [Reply::NoSubject, Reply::Delivered]);
    }
    let registry = Client::new(
        &service.url,
        Auth::client_credentials(
            &service.client_id,
            service.client_secret.clone(),
            Subject::enterprise(&service.enterprise_id),
        ),
    )
    .expect("a client");
    for session in sessions {
        assert!(!registry.introspect(&session).await.expect("introspected").active, "it was really ended");
    }
    service.stop().await;
}

#[tokio::test]
async fn whom_box_does_not_know_is_left_out_and_the_others_are_sent_again() {
    let (server, connector) = scripted(vec![unknown(&["B@x.example"]), Answer::accepted()]).await;
    let replies =
        connector.end(&targets(&["a@x.example", "b@x.example", "c@x.example"])).await.expect("sent").replies;
    assert_eq!(replies, [Reply::Delivered, Reply::NoSubject, Reply::Delivered]);
    let sent: Vec<Value> =
        server.calls().iter().map(|r| serde_json::from_slice(&r.body).expect("JSON")).collect();
    assert_eq!(sent[1], json!({"user_logins": ["a@x.example", "c@x.example"]}));
    assert_eq!(sent.len(), 2);

    let (server, connector) = scripted(vec![unknown(&["somebody@else.example"])]).await;
    connector.end(&targets(&["a@x.example"])).await.expect_err("it is nobody of these");
    assert_eq!(server.calls().len(), 1, "it does not ask for ever");
}

#[tokio::test]
async fn failures_are_clear_and_show_no_person_address_or_secret() {
    let error = |status: u16, code: &str| {
        let body = json!({"type": "error", "status": status, "code": code, "message": "for a@x.example", "request_id": "r"});
        Answer::json(status, body)
    };
    for (answer, words) in [
        (error(401, "unauthorized"), "Box refused the credentials (401)"),
        (error(403, "access_denied_insufficient_permissions"), "needs the scope manage_managed_users"),
        (error(404, "not_found"), "see base_url"),
        (error(400, "bad_request"), "Box refused the request (400)"),
        (error(503, "unavailable").header("retry-after", "600"), "Box fails (503)"),
        (Answer::drop_after_reading(), "the connection to Box broke"),
    ] {
        let (server, connector) = scripted(vec![answer]).await;
        let error = connector.end(&targets(&["a@x.example"])).await.expect_err(words);
        assert!(!format!("{connector:?}").contains("hush"));
        let said = format!("{error} {error:?}");
        assert!(said.contains(words), "{said}");
        for secret in ["hush", "a@x.example", &server.url] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

#[tokio::test]
async fn box_is_left_alone_for_as_long_as_it_asks() {
    let busy = Answer::json(429, json!({"status": 429, "code": "rate_limit_exceeded", "message": "x"}));
    let (server, connector) = scripted(vec![busy.header("retry-after", "600")]).await;
    connector.end(&targets(&["a@x.example"])).await.expect_err("busy");
    let sent = server.calls().len();
    let error = connector.end(&targets(&["a@x.example"])).await.expect_err("still busy");
    assert!(error.to_string().contains("Box asked to wait another"), "{error}");
    assert_eq!(server.calls().len(), sent);
}

#[tokio::test]
async fn a_failed_part_leaves_the_others_delivered() {
    let busy = || Answer::json(400, json!({"status": 400, "code": "bad_request", "message": "x"}));
    let (_server, connector) = scripted(vec![Answer::accepted(), busy()]).await;
    let names: Vec<String> = (0..150).map(|n| format!("u{n}@x.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let replies = connector.end(&targets(&names)).await.expect("a part").replies;
    assert!(replies[..100].iter().all(|reply| *reply == Reply::Delivered));
    assert!(replies[100..].iter().all(|reply| matches!(reply, Reply::Failed(_))));
}

#[tokio::test]
async fn whom_a_pass_has_no_time_for_is_named() {
    let server = Scripted::start(Script { token: Vec::new(), calls: vec![Answer::accepted(); 5] }).await;
    let config = json!({"token": "hush", "base_url": server.url});
    let config: BoxConfig = serde_json::from_value(config).expect("known keys");
    let connector = BoxApi::new(&config, Clock::system(), Duration::ZERO).expect("it is right");
    let replies = connector.end(&targets(&["a@x.example"])).await.expect("nobody was reached").replies;
    assert_eq!(replies, [Reply::Failed("not called yet: the pass was out of time".to_owned())]);
    assert!(server.calls().is_empty());
}

#[test]
fn credentials_are_of_one_kind_and_whole() {
    for keys in [
        json!({}),
        json!({"token": "hush", "client_id": "x"}),
        json!({"client_id": "x", "client_secret": "hush"}),
        json!({"token": "hush", "jwt_config": "/x"}),
        json!({"jwt_config": "/nowhere/config.json"}),
        json!({"token": "hush", "base_url": "nowhere"}),
    ] {
        let config: BoxConfig = serde_json::from_value(keys.clone()).expect("known keys");
        let why = BoxApi::check(&config).expect_err("wrong");
        assert!(!why.contains("hush") && !why.is_empty(), "{keys}: {why}");
    }
}
