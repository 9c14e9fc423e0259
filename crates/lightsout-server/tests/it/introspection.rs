//! Introspection as resource servers call it: an app's own credentials, and how long an answer may be kept.

use lightsout_client::EventQuery;
use lightsout_client::api::{RegisterSession, RegisteredSession};
use lightsout_server::ops::admin::{self, NewApp};
use lightsout_server::random::sha256;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Harness, START_MS, both, words};

const START_S: i64 = START_MS / 1000;

/// A resource server: an app that may introspect and nothing else.
struct Resource {
    id: String,
    secret: String,
}

impl Resource {
    async fn new(h: &Harness, change: impl FnOnce(NewApp) -> NewApp) -> Self {
        let new = NewApp {
            enterprise_id: h.enterprise_id.clone(),
            name: "resource server".to_owned(),
            rights: words("introspect"),
            ..NewApp::default()
        };
        let (id, secret) = admin::create_app(&h.app, &change(new)).await.expect("an app");
        Self { id: id.0, secret }
    }

    async fn asks(&self, h: &Harness, session: &RegisteredSession) -> Value {
        let (status, body, _) = answer(ask(h, session).basic_auth(&self.id, Some(&self.secret))).await;
        assert_eq!(status, 200, "{body}");
        body
    }
}

fn id_of(session: &RegisteredSession) -> &str {
    session.session_id.as_deref().expect("the service minted it")
}

fn ask(h: &Harness, session: &RegisteredSession) -> RequestBuilder {
    with(h, session, &[])
}

/// A request with more fields in its form.
fn with(h: &Harness, session: &RegisteredSession, more: &[(&str, &str)]) -> RequestBuilder {
    let mut form = vec![("token", id_of(session)), ("token_type_hint", "access_token")];
    form.extend_from_slice(more);
    Client::new().post(h.url("/oauth2/introspect")).form(&form)
}

async fn answer(request: RequestBuilder) -> (u16, Value, Option<String>) {
    let response = request.send().await.expect("an answer");
    let challenge = response.headers().get("www-authenticate");
    let challenge = challenge.map(|value| value.to_str().expect("a readable header").to_owned());
    (response.status().as_u16(), response.json().await.expect("JSON"), challenge)
}

both! {
    async fn app_shows_who_it_is_by_basic_form_or_token(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        let Resource { id, secret } = &Resource::new(h, |new| new).await;
        let (registrar, registrars) = h.credentials.clone();
        let token = h.app_token().await;
        for request in [
            ask(h, &session).basic_auth(id, Some(secret)),
            with(h, &session, &[("client_id", id)]).basic_auth(id, Some(secret)),
            with(h, &session, &[("client_id", id), ("client_secret", secret)]),
            // A token beside the form's credentials is not looked at.
            with(h, &session, &[("client_id", id), ("client_secret", secret)]).bearer_auth("garbage"),
            ask(h, &session).bearer_auth(&token),
            with(h, &session, &[("client_id", id)]).bearer_auth(&token),
            ask(h, &session).basic_auth(&registrar, Some(&registrars)),
        ] {
            let (status, body, _) = answer(request).await;
            assert_eq!((status, &body["active"], &body["sub"]), (200, &json!(true), &json!(ann)), "{body}");
        }
        let termination = h.terminate(&ann).await;
        let (status, body, _) = answer(ask(h, &session).basic_auth(id, Some(secret))).await;
        assert_eq!((status, body), (200, json!({"active": false})));
        h.run_until_done(&termination).await;
    }
}

both! {
    async fn wrong_credentials_are_refused_in_the_words_of_oauth(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        let Resource { id, secret } = &Resource::new(h, |new| new).await;
        let other = Resource::new(h, |new| new).await;
        let public = NewApp {
            enterprise_id: h.enterprise_id.clone(),
            name: "public".to_owned(),
            redirect_uris: words("https://a.example/back"),
            ..NewApp::default()
        };
        let public = admin::create_public_app(&h.app, &public).await.expect("an app").0;
        for (request, status, error, scheme) in [
            (ask(h, &session), 401, "invalid_client", "Basic"),
            (with(h, &session, &[("client_id", id)]), 401, "invalid_client", "Basic"),
            (with(h, &session, &[("client_secret", secret)]), 401, "invalid_client", "Basic"),
            // Who is asking comes before what is asked.
            (Client::new().post(h.url("/oauth2/introspect")).form(&[("nothing", "")]), 401, "invalid_client", "Basic"),
            (ask(h, &session).basic_auth(id, Some("wrong")), 401, "invalid_client", "Basic"),
            (ask(h, &session).basic_auth(id, Some(&other.secret)), 401, "invalid_client", "Basic"),
            (ask(h, &session).basic_auth(id, Some("")), 401, "invalid_client", "Basic"),
            (ask(h, &session).basic_auth(&public, Some("")), 401, "invalid_client", "Basic"),
            (ask(h, &session).basic_auth("nobody", Some(secret)), 401, "invalid_client", "Basic"),
            (ask(h, &session).header("authorization", "Basic !"), 401, "invalid_client", "Basic"),
            (with(h, &session, &[("client_id", id), ("client_secret", "wrong")]), 401, "invalid_client", "Basic"),
            (ask(h, &session).bearer_auth("garbage"), 401, "invalid_token", "Bearer"),
        ] {
            let (answered, body, challenge) = answer(request).await;
            assert_eq!((answered, &body["error"]), (status, &json!(error)), "{body}");
            assert!(body["error_description"].is_string() && body.get("code").is_none(), "{body}");
            assert!(challenge.expect("a challenge").starts_with(scheme), "{body}");
        }
        let two_headers = ask(h, &session).basic_auth(id, Some(secret)).header("authorization", "Bearer x");
        let (status, body, _) = answer(two_headers).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
        let twice = with(h, &session, &[("client_secret", secret)]).basic_auth(id, Some(secret));
        let (status, body, _) = answer(twice).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
        let (status, body, _) = answer(Client::new().post(h.url("/oauth2/introspect")).basic_auth(id, Some(secret))).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
        let without = Resource::new(h, |new| NewApp { rights: words("feed"), ..new }).await;
        let (status, body, _) = answer(ask(h, &session).basic_auth(&without.id, Some(&without.secret))).await;
        assert_eq!((status, &body["error"]), (403, &json!("insufficient_scope")));
        assert_eq!(body["context_info"]["missing"], json!({"right": "introspect"}));
    }
}

both! {
    async fn rotated_secret_is_dead_at_once_on_every_node(h: &mut Harness) {
        let session = h.sign_in(&h.user("ann").await).await;
        let resource = Resource::new(h, |new| new).await;
        let (node, url) = h.other_node().await;
        let elsewhere = async |secret: &str| {
            let form = [("token", id_of(&session))];
            let request = Client::new().post(format!("{url}/oauth2/introspect")).form(&form);
            request.basic_auth(&resource.id, Some(secret)).send().await.expect("an answer").status().as_u16()
        };
        assert!(resource.asks(h, &session).await["active"] == json!(true));
        assert_eq!(elsewhere(&resource.secret).await, 200);
        let secret = admin::rotate_secret(&h.app, &resource.id).await.expect("another secret");
        assert_eq!(answer(ask(h, &session).basic_auth(&resource.id, Some(&resource.secret))).await.0, 401);
        assert_eq!(answer(ask(h, &session).basic_auth(&resource.id, Some(&secret))).await.0, 200);
        node.index.catch_up().await.expect("the log is read");
        assert_eq!((elsewhere(&resource.secret).await, elsewhere(&secret).await), (401, 200));
    }
}

both! {
    async fn ending_a_service_accounts_sessions_does_not_stop_its_checks(h: &mut Harness) {
        let session = h.sign_in(&h.user("ann").await).await;
        let resource = Resource::new(h, |new| new).await;
        assert_eq!(resource.asks(h, &session).await["active"], json!(true));
        let account = h.app.db.find_app(&resource.id).await.expect("read").expect("an app").service_user_id;
        let termination = h.terminate(&account).await;
        assert_eq!(resource.asks(h, &session).await["active"], json!(true));
        h.run_until_done(&termination).await;
    }
}

both! {
    async fn answer_may_be_kept_as_long_as_the_operator_says(h: &mut Harness) {
        let ann = h.user("ann").await;
        let expires_s = START_S + 3_600;
        let expires_at = jiff::Timestamp::from_second(expires_s).expect("a time");
        let new = RegisterSession {
            user_id: Some(ann.as_str().into()),
            expires_at: Some(expires_at),
            ..RegisterSession::default()
        };
        let session = h.registrar.register_sessions(vec![new]).await.expect("registered").remove(0);
        let times = |body: &Value| (body["exp"].as_i64(), body["session_expires_at"].as_i64());
        let resource = Resource::new(h, |new| new).await;
        assert_eq!(times(&resource.asks(h, &session).await), (Some(START_S + 2), Some(expires_s)));
        h.advance(1);
        assert_eq!(times(&resource.asks(h, &session).await), (Some(START_S + 3), Some(expires_s)), "rounded up");

        // What the operator changes holds from the next answer on.
        for (seconds, exp) in [(Some(60), START_S + 61), (Some(0), START_S + 1), (None, expires_s), (Some(86_400), expires_s)] {
            admin::set_introspection_cache(&h.app, &resource.id, seconds).await.expect("set");
            assert_eq!(times(&resource.asks(h, &session).await), (Some(exp), Some(expires_s)), "{seconds:?}");
        }
        let log = h.admin.event_page(&EventQuery::history()).await.expect("the log");
        assert_eq!(log.entries.iter().filter(|event| event.event_type == "APP_CHANGED").count(), 4);

        // Tokens alike.
        let token = h.token_of("ann@acme.example", "").await;
        admin::set_introspection_cache(&h.app, &resource.id, Some(2)).await.expect("set");
        let request = Client::new().post(h.url("/oauth2/introspect")).form(&[("token", &token)]);
        let (_, body, _) = answer(request.basic_auth(&resource.id, Some(&resource.secret))).await;
        assert_eq!(times(&body), (Some(START_S + 3), Some(START_S + 365 * 86_400)));
    }
}

both! {
    async fn app_of_before_may_keep_answers_until_the_session_expires(h: &mut Harness) {
        let session = h.sign_in(&h.user("ann").await).await;
        let resource = Resource::new(h, |new| NewApp { introspection_cache_s: None, ..new }).await;
        let body = resource.asks(h, &session).await;
        assert_eq!(body["exp"], body["session_expires_at"]);
        assert!(body["exp"].as_i64().is_some_and(|exp| exp > START_S + 86_400), "{body}");
        let row = h.app.db.find_app(&resource.id).await.expect("read").expect("an app");
        assert_eq!((row.introspection_cache_s, row.secret_hash), (None, sha256(&resource.secret)));
    }
}
