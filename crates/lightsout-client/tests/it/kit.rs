//! What several of these tests begin with.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lightsout_client::{Auth, Client, ClientCredentials, Retry, SessionTerminationManager, Subject};
use lightsout_testkit::{Answer, PLAIN_KEY, Received, Script, Scripted};
use serde_json::{Value, json};

/// The default policy with waits that a test does not notice.
pub(crate) fn quick() -> Retry {
    Retry {
        delay_first: Duration::from_millis(1),
        delay_max: Duration::from_millis(5),
        deadline: Duration::from_secs(20),
        ..Retry::default()
    }
}

/// A client that hardly waits between attempts.
pub(crate) fn client(base_url: &str, auth: impl Into<Auth>) -> Client {
    Client::builder(auth).base_url(base_url).retry(quick()).build().expect("a client")
}

pub(crate) fn manager(base_url: &str, auth: impl Into<Auth>) -> SessionTerminationManager {
    SessionTerminationManager::new(client(base_url, auth))
}

pub(crate) fn developer() -> Auth {
    Auth::developer_token("DEVELOPER-TOKEN")
}

pub(crate) fn app() -> ClientCredentials {
    ClientCredentials::new("app", "CLIENT-SECRET", Subject::enterprise("899"))
}

/// A server that accepts everything, and gives these answers to token requests.
pub(crate) async fn accepting(token: impl Into<Vec<Answer>>) -> Scripted {
    Scripted::start(Script { token: token.into(), calls: vec![Answer::accepted()] }).await
}

/// A server that gives these answers to calls.
pub(crate) async fn answering(calls: impl Into<Vec<Answer>>) -> Scripted {
    Scripted::start(Script { token: vec![Answer::token("TOKEN", 3600)], calls: calls.into() }).await
}

/// Box's JWT configuration file with this key.
pub(crate) fn jwt_config(private_key: &str, passphrase: Option<&str>) -> Value {
    json!({
        "boxAppSettings": {
            "clientID": "app",
            "clientSecret": "CLIENT-SECRET",
            "appAuth": {"publicKeyID": "key1", "privateKey": private_key, "passphrase": passphrase}
        },
        "enterpriseID": "899"
    })
}

pub(crate) fn plain_jwt_config() -> String {
    jwt_config(PLAIN_KEY, None).to_string()
}

/// One part of the assertion that a token request carried: 0 is the header, 1 the claims.
pub(crate) fn assertion(request: &Received, part: usize) -> Value {
    let form = request.form();
    let encoded = form["assertion"].split('.').nth(part).expect("three parts").to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).expect("base64")).expect("JSON")
}

/// The machine's time, which the client signs assertions and dates tokens with.
#[expect(clippy::disallowed_methods, reason = "the client's own clock is the machine's")]
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// An admin event of a user.
pub(crate) fn event(n: u32, event_type: &str, user_id: &str) -> Value {
    json!({
        "type": "event",
        "event_id": format!("e{n}"),
        "event_type": event_type,
        "created_at": "2026-01-02T03:04:05-08:00",
        "source": {"type": "user", "id": user_id},
    })
}

/// One as a message of a stream.
pub(crate) fn sse(n: u32, event_type: &str) -> String {
    format!("id: {n}\nevent: {event_type}\ndata: {}\n\n", event(n, event_type, "12"))
}

pub(crate) fn stream(text: &str) -> Answer {
    Answer::text(200, "text/event-stream", text)
}

/// A termination as a service tells it.
pub(crate) fn termination(state: &str) -> Answer {
    Answer::json(
        200,
        json!({
            "id": "t1", "state": state, "asked_by": {"type": "user", "id": "1"}, "people": 1, "systems": [],
            "cutoff": "2026-01-02T03:04:05Z", "created_at": "2026-01-02T03:04:05Z",
        }),
    )
}
