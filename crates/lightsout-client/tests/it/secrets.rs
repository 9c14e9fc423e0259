//! What is shown, in `Debug`, errors and events, holds no secret.

use std::cell::RefCell;
use std::error::Error as _;
use std::io::{self, Write};
use std::sync::Once;

use lightsout_client::{
    Auth, Client, ClientCredentials, Error, Jwt, MemoryStore, OAuth, Retry, StoredTokens, Subject,
};
use lightsout_testkit::{Answer, ENCRYPTED_KEY_DES3, PASSPHRASE, PLAIN_KEY, Script, Scripted};
use serde_json::json;
use tracing::Level;

use crate::kit::{jwt_config, now, quick};

/// Where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";
/// What a `Proxy-Authorization` makes of `user:HUSH-proxy`.
const PROXY_BASIC: &str = "dXNlcjpIVVNILXByb3h5";

thread_local! {
    /// What happened on this thread; a test's client works on the test's own.
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Every event of this thread, from all crates and at all levels.
struct Log;

impl Log {
    /// Begins anew. There is one subscriber for the whole program: those of single threads lose events
    /// while others come and go.
    fn begin() {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
            tracing::subscriber::set_global_default(subscriber.with_writer(|| Self).finish())
                .expect("it is the first");
        });
        LOG.set(Some(Vec::new()));
    }

    fn text() -> String {
        let bytes = LOG.with_borrow(|log| log.clone().expect("it was begun"));
        String::from_utf8(bytes).expect("text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.as_mut().map(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One of each kind. Every secret that can be chosen has HUSH in it.
fn every_auth() -> [Auth; 4] {
    let mut config = jwt_config(ENCRYPTED_KEY_DES3, Some(PASSPHRASE));
    config["boxAppSettings"]["clientSecret"] = json!("HUSH-client");
    let tokens = StoredTokens {
        access_token: "HUSH-old".into(),
        refresh_token: "HUSH-refresh".into(),
        expires_at: now(),
    };
    [
        Auth::developer_token("HUSH-developer"),
        ClientCredentials::new("app", "HUSH-client", Subject::enterprise("899")).into(),
        Jwt::from_json(&config.to_string()).expect("the kit's key").into(),
        OAuth::new("app", MemoryStore::holding(tokens)).client_secret("HUSH-client").into(),
    ]
}

fn assert_no_secret(shown: &str) {
    let key_lines = [PLAIN_KEY, ENCRYPTED_KEY_DES3].map(|key| key.lines().nth(1).expect("a line"));
    let others = ["HUSH", PASSPHRASE, PROXY_BASIC, "eyJ", "PRIVATE KEY"];
    for secret in others.into_iter().chain(key_lines) {
        let place = shown.find(secret);
        assert!(
            place.is_none(),
            "{secret} is shown: {}",
            &shown[place.unwrap_or_default().saturating_sub(200)..]
        );
    }
}

fn show(error: &Error) -> String {
    let mut shown = format!("{error} {error:#} {error:?} {error:#?}\n");
    let mut source = error.source();
    while let Some(error) = source {
        shown.push_str(&format!("{error} {error:?}\n"));
        source = error.source();
    }
    shown
}

fn answers() -> [(&'static str, Script); 4] {
    let pair = json!({"access_token": "HUSH-access", "expires_in": 60, "refresh_token": "HUSH-next"});
    let tokens = vec![Answer::json(200, pair)];
    let script = |call| Script { token: tokens.clone(), calls: vec![call] };
    [
        ("answered", script(Answer::json(200, json!({"id": "12", "type": "user"})))),
        ("failed", script(Answer::empty(401))),
        ("failed", script(Answer::text(503, "text/html", "<html>down</html>"))),
        ("failed", Script { token: vec![Answer::empty(400)], calls: vec![Answer::drop_after_reading()] }),
    ]
}

#[tokio::test]
async fn no_secret_is_shown_whatever_happens() {
    for (event, script) in answers() {
        for auth in every_auth() {
            let server = Scripted::start(script.clone()).await;
            Log::begin();
            let mut shown = format!("{auth:?} {auth:#?}\n");
            let builder = Client::builder(auth).base_url(&server.url).header("x-key", "HUSH-header");
            shown += &format!("{builder:?} {builder:#?}\n");
            let client = builder.retry(quick()).build().expect("a client");
            shown += &format!("{client:?} {client:#?} {:?}\n", client.as_user("12"));
            let result = client.me().await;
            assert_eq!(result.is_ok(), event == "answered");
            shown += &result.as_ref().map_or_else(show, |user| format!("{user:?}"));
            shown += &client.access_token().await.map_or_else(|e| show(&e), |t| format!("{t:?}"));
            assert!(Log::text().contains(event), "{}", Log::text());
            assert_no_secret(&(shown + &Log::text()));
        }
    }
}

#[tokio::test]
async fn no_secret_is_shown_when_the_server_or_the_proxy_is_away() {
    for auth in every_auth() {
        Log::begin();
        let client = |base_url| {
            Client::builder(auth.clone()).base_url(base_url).header("x-key", "HUSH-header").retry(quick())
        };
        let away = client(NOWHERE).build().expect("a client");
        let proxy = client("http://box.example").proxy("http://user:HUSH-proxy@127.0.0.1:1");
        let mut shown = format!("{proxy:?}");
        let proxy = proxy.build().expect("a client");
        shown += &format!("{proxy:?}");
        for client in [away, proxy] {
            let error = client.me().await.expect_err("nothing listens there");
            assert!(matches!(error, Error::Transport { may_have_arrived: false, .. }), "{error:?}");
            shown += &show(&error);
        }
        assert_no_secret(&(shown + &Log::text()));
    }
}

#[tokio::test]
async fn proxy_that_refuses_is_told_without_its_password() {
    let proxy = crate::kit::answering([Answer::empty(407)]).await;
    let address = proxy.url.replace("http://", "http://user:HUSH-proxy@");
    for base_url in ["http://box.example", "https://box.example"] {
        Log::begin();
        let client = Client::builder(Auth::developer_token("HUSH-developer"));
        let client = client.base_url(base_url).proxy(&address).retry(quick()).build().expect("a client");
        let error = client.me().await.expect_err("the proxy refuses");
        assert_no_secret(&(show(&error) + &Log::text()));
    }
    let sent = proxy.calls();
    let expected = format!("Basic {PROXY_BASIC}");
    assert!(sent.iter().all(|request| request.header("proxy-authorization") == Some(expected.as_str())));
}

#[tokio::test]
async fn token_that_no_header_may_hold_is_not_shown() {
    let error =
        crate::kit::client(NOWHERE, Auth::developer_token("HUSH\n")).me().await.expect_err("a newline");
    assert!(matches!(error, Error::Setup { .. }), "{error:?}");
    assert_no_secret(&show(&error));
}

#[test]
fn sign_in_shows_no_state() {
    let app = OAuth::new("app", MemoryStore::new());
    let sign_in = crate::kit::client(NOWHERE, app).authorization("https://app.example/", &[]);
    let sign_in = sign_in.expect("an address");
    let url = reqwest::Url::parse(&sign_in.url).expect("an address");
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").expect("a state");
    let shown = format!("{sign_in:?} {sign_in:#?}");
    assert!(shown.contains("app.example") && !shown.contains(&*state), "{shown}");
}

#[tokio::test]
async fn attempt_is_told_by_method_path_status_and_number() {
    let server = crate::kit::answering([Answer::empty(503), Answer::json(200, json!({"entries": []}))]).await;
    Log::begin();
    let client = crate::kit::client(&server.url, Auth::developer_token("HUSH-developer"));
    client.users("HUSH-term", None, 1).await.expect("a page");
    let text = Log::text();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("lightsout_client")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, words) in
        lines.iter().zip([["failed", "attempt=1", "status=503"], ["answered", "attempt=2", "status=200"]])
    {
        for word in words.into_iter().chain(["method=GET", "path=\"/2.0/users\"", "elapsed_ms="]) {
            assert!(line.contains(word), "{word} is not in {line}");
        }
    }
    assert_no_secret(&text);
}

#[tokio::test]
async fn opening_of_a_stream_is_told_like_an_attempt() {
    let server = crate::kit::answering([Answer::empty(404)]).await;
    Log::begin();
    let client = crate::kit::client(&server.url, Auth::developer_token("HUSH-developer"));
    client.follow_termination("t1").next().await.expect_err("there is none");
    let text = Log::text();
    let line = text.lines().find(|line| line.contains("lightsout_client")).expect("an event");
    for word in ["failed", "attempt=1", "status=404", "path=\"/v1/terminations/t1/events\""] {
        assert!(line.contains(word), "{word} is not in {line}");
    }
    assert_no_secret(&text);
}

#[tokio::test]
async fn refused_connection_is_tried_again_also_by_a_careful_client() {
    for repeat_lost_terminations in [true, false] {
        Log::begin();
        let retry = Retry { repeat_lost_terminations, ..quick() };
        let client = Client::builder(Auth::developer_token("HUSH-developer")).base_url(NOWHERE).retry(retry);
        let manager = lightsout_client::SessionTerminationManager::new(client.build().expect("a client"));
        manager.terminate_groups_sessions(vec!["7".to_owned()]).await.expect_err("nothing listens there");
        assert_eq!(Log::text().matches("failed").count(), 5, "{}", Log::text());
    }
}
