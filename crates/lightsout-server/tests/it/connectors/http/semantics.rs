//! What a recipe's calls owe their caller, whatever the vendor.

use std::time::Duration;

use lightsout_server::clock::Clock;
use lightsout_server::connector::{Connector, ConnectorError, Http, Reply};
use serde_json::json;

use super::super::{counts, target};
use super::vendor::{Answer, Request, Vendor, answer, recipe};
use super::{Accounts, FULL, TOKEN, play};

/// One ending call for a person, whose sessions are listed.
pub(super) fn by_person(text: &str) -> String {
    text.replace("DELETE /users/{id}/sessions/{session}", "DELETE /users/{id}/sessions")
}

/// The same vendor with that call.
pub(super) fn play_by_person(accounts: &mut Accounts, request: &Request) -> Answer {
    if request.method == "DELETE" {
        let name = request.parts()[1].strip_prefix("/id?#of ").expect("an id of ours").to_owned();
        accounts.sessions.retain(|_, (owner, _)| *owner != name);
        return answer(200, json!({"ok": true}));
    }
    play(accounts, request)
}

pub(super) fn sign_in(vendor: &Vendor<Accounts>, name: &str, key: &str, began_at: Option<i64>) {
    vendor.with(|accounts| accounts.sessions.insert(key.to_owned(), (name.to_owned(), began_at)));
}

/// Answers every request alike.
async fn always(answer: Answer) -> Vendor<()> {
    Vendor::start((), move |(), _| answer.clone()).await
}

fn without_holds(text: &str) -> String {
    text.replace("holds = { at = \"/ok\", is = true }", "")
}

#[tokio::test]
async fn a_call_that_ends_everything_is_not_made_where_only_new_sessions_are_listed() {
    let (_folder, file) = recipe(&by_person(FULL));
    let vendor = Vendor::start(Accounts::default(), play_by_person).await;
    let connector = vendor.connector(json!({"recipe": file, "secrets": {"token": TOKEN}}));
    sign_in(&vendor, "ann", "new", Some(3_000));
    sign_in(&vendor, "bob", "old", Some(1_000));
    let targets = [target("ann", 2_000), target("bob", 2_000), target("cyd", 2_000)];
    assert_eq!(counts(&connector.end(&targets).await.expect("ended").replies), [0, 1, 0]);
    assert_eq!(vendor.with(|accounts| accounts.sessions.keys().cloned().collect::<Vec<_>>()), ["new"]);
    let mut deleted: Vec<String> =
        vendor.take().iter().filter(|r| r.method == "DELETE").map(|r| r.parts()[1].clone()).collect();
    deleted.sort_unstable();
    // Nobody is listed for cyd: that is no proof, and the call is made.
    assert_eq!(deleted, ["/id?#of bob", "/id?#of cyd"]);
}

#[tokio::test]
async fn hostile_names_stay_where_they_are_put() {
    let text = r#"
about = "x"
source = "x"
permissions = "x"
[end]
request = "POST /users/{subject}/sessions/end"
query = { who = "{subject}" }
headers = { X-User = "{subject}" }
json = { who = "{subject}", list = ["{subject}"], text = "<{subject}>" }
"#;
    let (_folder, file) = recipe(text);
    let vendor = always(Answer::empty(204)).await;
    let connector = vendor.connector(json!({"recipe": file}));
    let names =
        ["a/../b", "x?y=z&a=b#c", "../../admin", "a%2Fb", "a\\..\\b", "\",\"admin\":\"x", "a;b c+d", "{id}"];
    for name in names {
        let replies = connector.end(&[target(name, 1)]).await.expect("answered").replies;
        assert_eq!(replies, [Reply::Delivered], "{name}");
        let request = vendor.take().remove(0);
        assert_eq!(request.parts(), ["users", name, "sessions", "end"]);
        assert_eq!(request.query("who").as_deref(), Some(name));
        assert_eq!(request.header("x-user"), name);
        let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
        assert_eq!(body, json!({"who": name, "list": [name], "text": format!("<{name}>")}));
    }
    for name in ["..", ".", "a\r\nX-Admin: 1", "a\u{0}b"] {
        let replies = connector.end(&[target(name, 1)]).await.expect("answered").replies;
        assert!(matches!(&replies[0], Reply::Unknown(_)), "{name:?}: {replies:?}");
        assert!(vendor.take().is_empty(), "{name:?} was sent");
    }
}

#[tokio::test]
async fn the_rate_is_kept() {
    let (_folder, file) = recipe(FULL);
    let vendor = Vendor::start(Accounts::default(), play).await;
    let connector =
        vendor.connector(json!({"recipe": file, "secrets": {"token": TOKEN}, "calls_per_minute": 120}));
    let targets: Vec<_> = (0..12).map(|n| target(&format!("user{n}"), 1)).collect();
    connector.find(&targets).await.expect("found");
    let requests = vendor.take();
    assert_eq!(requests.len(), 24);
    // 20 at once, then 100 a minute.
    let took = requests.last().expect("some").at - requests[0].at;
    assert!(took > Duration::from_millis(2_200), "{took:?}");
}

#[tokio::test]
async fn retry_after_is_honoured_and_a_long_one_leaves_the_system_alone() {
    let (_folder, file) = recipe(FULL);
    let config = json!({"recipe": file, "secrets": {"token": TOKEN}});
    let vendor = Vendor::start(1, |left: &mut u32, request: &Request| {
        if *left > 0 {
            *left -= 1;
            return answer(429, json!({"ok": false})).header("retry-after", "1");
        }
        play(&mut Accounts::default(), request)
    })
    .await;
    let connector = vendor.connector(config.clone());
    connector.find(&[target("ann", 1)]).await.expect("the second time it answers");
    let requests = vendor.take();
    assert!(requests[1].at - requests[0].at > Duration::from_millis(900));

    let busy = always(answer(429, json!({})).header("x-rate-limit-reset", "99999999999")).await;
    let connector = busy.connector(config);
    for _ in 0..2 {
        let error = connector.end(&[target("ann", 1), target("bob", 1)]).await.expect_err("it waits");
        assert!(
            matches!(&error, ConnectorError::Unreachable(why) if why.contains("900 s") || why.contains("899 s")),
            "{error}"
        );
    }
    let sent = busy.take().len();
    assert!(sent <= 2, "{sent} requests: those under way, and none after");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (_folder, file) = recipe(FULL);
    let elsewhere = always(answer(200, json!({"ok": true}))).await;
    let vendor = always(Answer::empty(302).header("location", &elsewhere.url)).await;
    let connector = vendor.connector(json!({"recipe": file, "secrets": {"token": TOKEN}}));
    let error = connector.end(&[target("ann", 1)]).await.expect_err("a redirect");
    assert!(error.to_string().contains("redirect (302), which is not followed"), "{error}");
    assert!(elsewhere.take().is_empty());
}

#[tokio::test]
async fn huge_deep_and_foreign_answers_are_refused() {
    let (_folder, file) = recipe(&without_holds(FULL));
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    for (body, words) in [
        ("x".repeat(5_000_000), "an answer over 4194304 bytes"),
        (deep, "is no JSON"),
        ("<html>sign in</html>".to_owned(), "is no JSON"),
        (json!({"users": {}}).to_string(), "no list stands at \"/users\""),
        (json!({"users": [{"name": "ann"}]}).to_string(), "no id stands at \"/id\""),
    ] {
        let vendor = always(Answer::text(200, body)).await;
        let connector = vendor.connector(json!({"recipe": file, "secrets": {"token": TOKEN}}));
        let said = match connector.end(&[target("ann", 1)]).await {
            Ok(answer) => format!("{:?}", answer.replies),
            Err(error) => error.to_string(),
        };
        assert!(said.replace("\\\"", "\"").contains(words), "{words}: {said}");
    }
}

#[tokio::test]
async fn a_next_page_elsewhere_is_not_followed() {
    let text = FULL.replace(
        "next = { cursor = { at = \"/next\", parameter = \"after\" } }",
        "next = { url = \"/next\" }",
    );
    let (_folder, file) = recipe(&text);
    let elsewhere = always(answer(200, json!({"ok": true, "sessions": []}))).await;
    let url = elsewhere.url.clone();
    let vendor = Vendor::start((), move |(), request: &Request| match request.path.as_str() {
        "/users" => answer(200, json!({"ok": true, "users": [{"name": "ann", "id": "1"}]})),
        _ => answer(200, json!({"ok": true, "sessions": [], "next": url})),
    })
    .await;
    let connector = vendor.connector(json!({"recipe": file, "secrets": {"token": TOKEN}}));
    let replies = connector.find(&[target("ann", 1)]).await.expect("answered").replies;
    assert!(matches!(&replies[0], Reply::Failed(why) if why.contains("is not followed")), "{replies:?}");
    assert!(elsewhere.take().is_empty());
}

#[tokio::test]
async fn one_persons_failure_is_not_anothers() {
    let (_folder, file) = recipe(&by_person(FULL));
    let vendor = Vendor::start(Accounts::default(), |accounts: &mut Accounts, request: &Request| {
        if request.method == "DELETE" && request.path.contains("bob") {
            return answer(500, json!({"ok": false, "error": "internal"}));
        }
        play_by_person(accounts, request)
    })
    .await;
    let connector = vendor.connector(json!({"recipe": file, "secrets": {"token": TOKEN}}));
    for (name, key) in [("ann", "a"), ("bob", "b"), ("cyd", "c")] {
        sign_in(&vendor, name, key, None);
    }
    let targets = [target("ann", 1), target("bob", 1), target("cyd", 1)];
    let replies = connector.end(&targets).await.expect("answered").replies;
    assert_eq!(replies[1], Reply::Failed("it answered 500 with internal".to_owned()));
    assert_eq!(counts(&[replies[0].clone(), replies[2].clone()]), [1, 1]);
    assert_eq!(vendor.with(|accounts| accounts.sessions.keys().cloned().collect::<Vec<_>>()), ["b"]);
}

#[tokio::test]
async fn a_person_whose_calls_always_break_off_holds_up_nobody() {
    let (_folder, file) = recipe(&by_person(FULL));
    let vendor = Vendor::start(Accounts::default(), |accounts: &mut Accounts, request: &Request| {
        if request.query.contains("user0") && request.path == "/users" {
            return Answer::text(200, "x".repeat(5_000_000));
        }
        play_by_person(accounts, request)
    })
    .await;
    let connector = vendor.connector(json!({"recipe": file, "secrets": {"token": TOKEN}, "parallel": 2}));
    let targets: Vec<_> = (0..30).map(|n| target(&format!("user{n}"), 1)).collect();
    let replies = connector.end(&targets).await.expect("answered").replies;
    assert!(matches!(&replies[0], Reply::Failed(why) if why.contains("an answer over")), "{:?}", replies[0]);
    assert_eq!(counts(&replies[1..]), vec![0; 29]);
}

#[tokio::test]
async fn a_bulk_answer_that_lists_failures_fails_those_alone() {
    let text = r#"
about = "x"
source = "x"
permissions = "x"
[end]
request = "POST /sessions/end"
json = { users = "{ids}" }
batch = 2
failures = { list = "/failed", id = "/user" }
"#;
    let (_folder, file) = recipe(text);
    let vendor = Vendor::start((), |(), request: &Request| {
        let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
        if body["users"] == json!(["eve"]) {
            return answer(500, json!({}));
        }
        answer(200, json!({"failed": [{"user": "bob"}]}))
    })
    .await;
    let connector = vendor.connector(json!({"recipe": file}));
    let targets = ["ann", "bob", "cyd", "dan", "eve"].map(|name| target(name, 1));
    let replies = connector.end(&targets).await.expect("answered").replies;
    let failed: Vec<usize> = (0..5).filter(|n| matches!(&replies[*n], Reply::Failed(_))).collect();
    assert_eq!(failed, [1, 4], "{replies:?}");
    assert_eq!(replies[0], Reply::Delivered);
    let mut sent: Vec<String> = vendor.take().into_iter().map(|request| request.body).collect();
    sent.sort_unstable();
    assert_eq!(sent, [r#"{"users":["ann","bob"]}"#, r#"{"users":["cyd","dan"]}"#, r#"{"users":["eve"]}"#]);
}

#[tokio::test]
async fn what_everybody_fails_for_fails_the_pass_and_shows_no_secret() {
    let (_folder, file) = recipe(FULL);
    let vendor = Vendor::start(Accounts::default(), play).await;
    let connector = vendor.connector(json!({"recipe": file, "secrets": {"token": "wrong-and-hush"}}));
    let targets: Vec<_> = (0..50).map(|n| target(&format!("user{n}"), 1)).collect();
    let error = connector.end(&targets).await.expect_err("the token is wrong");
    let said = format!("{error} {error:?} {connector:?} {:?}", connector.explain());
    assert!(said.contains("refused the credentials (401 with invalid_token); needed: everything"), "{said}");
    assert!(!said.contains("hush") && !said.contains(&vendor.url) && !said.contains("user1"), "{said}");
    assert!(vendor.take().len() <= 16, "the others are not tried");

    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let nobody = vendor.connector(
        json!({"recipe": file, "secrets": {"token": TOKEN}, "base_url": format!("http://{free}")}),
    );
    let error = nobody.end(&targets).await.expect_err("nobody listens");
    assert_eq!(error.to_string(), "the system did not answer: no connection");
}

#[tokio::test]
async fn a_look_without_targets_checks_the_credentials() {
    let (_folder, file) = recipe(FULL);
    let vendor = Vendor::start(Accounts::default(), play).await;
    let connector = vendor.connector(json!({"recipe": file, "secrets": {"token": TOKEN}}));
    let notes = connector.find(&[]).await.expect("accepted").notes;
    assert!(notes[0].ends_with("the credentials are accepted; GET /me answered 200"), "{notes:?}");
    let wrong = vendor.connector(json!({"recipe": file, "secrets": {"token": "wrong"}}));
    let error = wrong.find(&[]).await.expect_err("refused");
    assert!(error.to_string().contains("refused the credentials"), "{error}");
}

#[tokio::test]
async fn a_wrong_certificate_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=signed by itself",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{made:?}");
    let service = lightsout_testkit::Service::start_tls(&certificate, &key).await;
    let connector = |ca: Option<&std::path::Path>| {
        let config = json!({"recipe": "kratos", "base_url": service.url, "ca_file": ca});
        let config = serde_json::from_value(config).expect("known keys");
        Http::new(&config, Clock::system(), Duration::from_mins(1)).expect("right")
    };
    let error = connector(None).find(&[]).await.expect_err("nobody trusts it").to_string();
    assert!(
        error.ends_with("is not trusted (signed by nobody who is trusted; is ca_file right?)"),
        "{error}"
    );
    let elsewhere = service.url.replace("127.0.0.1", "localhost");
    let config = json!({"recipe": "kratos", "base_url": elsewhere, "ca_file": &certificate});
    let config = serde_json::from_value(config).expect("known keys");
    let other_name = Http::new(&config, Clock::system(), Duration::from_mins(1)).expect("right");
    let error = other_name.find(&[]).await.expect_err("it is made out to 127.0.0.1").to_string();
    assert!(error.ends_with("its certificate is not trusted (not for this host's name)"), "{error}");
    let error = connector(Some(&certificate)).find(&[]).await.expect_err("it is no Kratos");
    assert!(error.to_string().contains("it answered 404"), "{error}");
    service.stop().await;
}
