//! What goes over the connection, and how the connection is made.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lightsout_client::{
    Auth, Client, CreateUserTerminateSessionRequestBody, Error, Retry, SessionTerminationApi,
    SessionTerminationManager,
};
use lightsout_testkit::{Answer, Scripted, Service};
use serde_json::json;

use crate::kit::{accepting, answering, app, client, developer, manager, quick};

const SHORT: Duration = Duration::from_millis(50);
/// Long enough for two attempts on a busy machine.
const DEADLINE: Duration = Duration::from_secs(1);
/// Far less than a client with the default limits would wait.
const SOON: Duration = Duration::from_secs(20);

fn user() -> Answer {
    Answer::json(200, json!({"id": "12", "type": "user"}))
}

#[tokio::test]
async fn request_is_what_box_documents() {
    let server = accepting([]).await;
    let manager = manager(&format!("{}/2.0/", server.url), developer());
    let body = |user_ids, user_logins| CreateUserTerminateSessionRequestBody { user_ids, user_logins };
    let ids = || Some(vec!["12".to_owned(), "13".to_owned()]);
    manager.create_user_terminate_session(body(ids(), None)).await.expect("accepted");
    manager.terminate_users_sessions(vec![], vec!["ann@x".to_owned()]).await.expect("accepted");
    manager.terminate_groups_sessions(vec!["7".to_owned()]).await.expect("accepted");
    let calls = server.calls();
    let sent: Vec<(String, String)> = calls
        .iter()
        .map(|call| {
            let body = String::from_utf8(call.body.clone()).expect("text");
            (format!("{} {}", call.method, call.path), body)
        })
        .collect();
    let users = "POST /2.0/users/terminate_sessions";
    let expected = [
        (users, r#"{"user_ids":["12","13"]}"#),
        (users, r#"{"user_ids":[],"user_logins":["ann@x"]}"#),
        ("POST /2.0/groups/terminate_sessions", r#"{"group_ids":["7"]}"#),
    ];
    assert_eq!(sent, expected.map(|(line, body)| (line.to_owned(), body.to_owned())));
    let header = |name| calls[0].header(name);
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("authorization"), Some("Bearer DEVELOPER-TOKEN"));
    assert_eq!(header("as-user"), None);
}

#[tokio::test]
async fn absent_body_is_sent_as_an_empty_object() {
    let server = accepting([]).await;
    let api = SessionTerminationApi::new(client(&server.url, developer()));
    api.post_users_terminate_sessions(None).await.expect("accepted");
    api.post_groups_terminate_sessions(None).await.expect("accepted");
    assert!(server.calls().iter().all(|call| call.body == b"{}"));

    let service = Service::start().await;
    let api = SessionTerminationApi::new(client(&service.url, Auth::developer_token(service.token.as_str())));
    for (error, says) in [
        (api.post_users_terminate_sessions(None).await, "Users can not be NULL or EMPTY"),
        (api.post_groups_terminate_sessions(None).await, "Groups can not be NULL or EMPTY"),
    ] {
        let error = error.expect_err("nobody is named");
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        assert_eq!(error.api().map(|answer| answer.message.as_str()), Some(says));
    }
}

#[tokio::test]
async fn chosen_headers_go_with_every_request() {
    let server = answering([user()]).await;
    let client = Client::builder(crate::kit::app())
        .base_url(&server.url)
        .user_agent("offboarding/1.2")
        .header("x-gateway-key", "KEY")
        .header("x-trace", "1")
        .build()
        .expect("a client");
    client.me().await.expect("a user");
    client.as_user("12").me().await.expect("a user");
    client.as_user("12").as_user("13").me().await.expect("a user");
    let requests = server.requests();
    let agent = format!("offboarding/1.2 lightsout-client/{}", env!("CARGO_PKG_VERSION"));
    for request in &requests {
        assert_eq!(request.header("user-agent"), Some(agent.as_str()));
        assert_eq!((request.header("x-gateway-key"), request.header("x-trace")), (Some("KEY"), Some("1")));
    }
    let as_user: Vec<_> = requests.iter().map(|request| request.header("as-user")).collect();
    assert_eq!(as_user, [None, None, Some("12"), Some("13")], "the token request comes first");
    let plain = crate::kit::client(&server.url, developer());
    plain.me().await.expect("a user");
    let last = server.requests().pop().expect("a request");
    assert_eq!(last.header("user-agent"), Some(concat!("lightsout-client/", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn proxy_gets_the_request_or_is_asked_for_a_tunnel() {
    let proxy = answering([user()]).await;
    let client = |base_url: &str| {
        let client = Client::builder(developer()).base_url(base_url).proxy(&proxy.url).retry(Retry::never());
        client.build().expect("a client")
    };
    client("http://box.example").me().await.expect("the proxy answers");
    // The proxy speaks no TLS, so the tunnel leads nowhere.
    let error = client("https://box.example").me().await.expect_err("no tunnel");
    assert!(matches!(error, Error::Transport { may_have_arrived: false, .. }), "{error:?}");
    let lines: Vec<String> = proxy.calls().iter().map(|r| format!("{} {}", r.method, r.path)).collect();
    assert_eq!(lines, ["GET http://box.example/2.0/users/me", "CONNECT box.example:443"]);
    assert_eq!(proxy.calls()[1].header("authorization"), None, "the token goes into the tunnel only");
}

#[tokio::test]
async fn certificate_of_a_private_authority_is_trusted_where_it_is_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    make_certificate(&certificate, &key);
    let service = Service::start_tls(&certificate, &key).await;
    let client = || {
        Client::builder(Auth::developer_token(service.token.as_str())).base_url(&service.url).retry(quick())
    };
    let error = client().build().expect("a client").me().await.expect_err("nobody knows the certificate");
    assert!(matches!(error, Error::Transport { may_have_arrived: false, .. }), "{error:?}");
    let pem = std::fs::read(&certificate).expect("it was made");
    let trusting = client().root_certificates(&pem).build().expect("a client");
    assert_eq!(trusting.me().await.expect("it is trusted").login.as_deref(), Some("ada@acme.example"));
    service.stop().await;
}

fn make_certificate(certificate: &Path, key: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn silent_server_is_left_after_the_timeout() {
    let too_long = user().header("content-length", "1000");
    let server =
        answering([too_long, user().gated(), Answer::accepted().header("content-length", "1000")]).await;
    let builder = Client::builder(developer()).base_url(&server.url).timeout(SHORT).retry(Retry::never());
    let client = builder.build().expect("a client");
    let began = Instant::now();
    for _ in ["in the middle of the answer", "before it"] {
        let error = client.me().await.expect_err("it is silent");
        assert!(matches!(error, Error::Transport { may_have_arrived: true, .. }), "{error:?}");
    }
    // The status line alone says that it is accepted.
    let manager = SessionTerminationManager::new(client);
    let accepted = manager.terminate_groups_sessions(vec!["7".to_owned()]).await.expect("accepted");
    assert_eq!(accepted.message, None);
    assert!(began.elapsed() < SOON);
}

#[tokio::test]
async fn call_ends_at_its_deadline() {
    let retry = |attempts_max, delay| Retry {
        attempts_max,
        delay_first: delay,
        delay_max: delay,
        deadline: DEADLINE,
        ..Retry::default()
    };
    let client = |server: &Scripted, retry| {
        let client = Client::builder(developer()).base_url(&server.url).retry(retry);
        client.build().expect("a client")
    };
    let began = Instant::now();
    let failing = answering([Answer::empty(503)]).await;
    let error = client(&failing, retry(u32::MAX, Duration::from_millis(5))).me().await.expect_err("503");
    // The last answer is the error, or that it did not come in what was left of the time.
    assert!(error.is_passing(), "{error:?}");
    assert!(failing.calls().len() > 1);

    let silent = answering([user().gated()]).await;
    let error = client(&silent, retry(2, Duration::ZERO)).me().await.expect_err("silence");
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    assert!(began.elapsed() < SOON, "the timeout of an attempt is no longer than what is left");
}

#[tokio::test]
async fn call_waits_for_a_token_no_longer_than_its_deadline() {
    let server = accepting([Answer::token("LATE", 3600).gated()]).await;
    let retry = Retry { deadline: DEADLINE, ..Retry::default() };
    let client = Client::builder(app()).base_url(&server.url).retry(retry).build().expect("a client");
    let error = client.me().await.expect_err("there is no token");
    let Error::Transport { may_have_arrived: false, .. } = error else { panic!("{error:?}") };
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn policy_of_one_attempt_sends_once() {
    let server = answering([Answer::empty(503), user()]).await;
    let client = Client::builder(developer()).base_url(&server.url).retry(Retry::never());
    let error = client.build().expect("a client").me().await.expect_err("it is sent once");
    assert_eq!((error.status(), server.calls().len()), (Some(503), 1));
}

#[tokio::test]
async fn what_would_make_a_second_object_is_sent_once() {
    let server = answering([Answer::drop_after_reading(), user()]).await;
    let client = client(&server.url, developer());
    let new = lightsout_client::api::CreateUser { name: "Dan".to_owned(), ..Default::default() };
    let error = client.create_user(&new).await.expect_err("the answer is lost");
    assert!(matches!(error, Error::Transport { may_have_arrived: true, .. }), "{error:?}");
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn id_of_any_text_stays_in_its_place() {
    let server = answering([user()]).await;
    client(&server.url, developer()).user("../groups/7?x=1").await.expect("a user");
    assert_eq!(server.calls()[0].path, "/2.0/users/..%2Fgroups%2F7%3Fx%3D1");
}

#[tokio::test]
async fn what_a_lost_attempt_deleted_is_deleted() {
    for lost in [Answer::drop_after_reading(), Answer::empty(503)] {
        let server = answering([lost, Answer::empty(404)]).await;
        client(&server.url, developer()).delete_user("12").await.expect("it is gone");
        assert_eq!(server.calls().len(), 2);
    }
    for refused in [vec![], vec![Answer::empty(429)]] {
        let server = answering([refused, vec![Answer::empty(404)]].concat()).await;
        let error = client(&server.url, developer()).delete_user("12").await.expect_err("it was never there");
        assert!(matches!(error, Error::NotFound(_)), "{error:?}");
    }
}
