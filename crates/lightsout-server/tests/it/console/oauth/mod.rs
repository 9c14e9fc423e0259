//! People sign in to apps: what apps ask, what people answer, and every way to cheat that RFC 9700 knows.

mod attacks;
mod clients;
mod consent;
mod exchange;
mod refresh;

use lightsout_server::ops::admin::{self, NewApp};
use lightsout_server::random::sha256;
use serde_json::Value;

use crate::browser::{Browser, Shown};
use crate::harness::{Harness, words};

const CALLBACK: &str = "https://app.example/callback";
const OTHER_CALLBACK: &str = "https://app.example/other";
/// What a public client proves its code with.
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// An app at which people sign in.
struct TestApp {
    id: String,
    /// None for a public client.
    secret: Option<String>,
}

impl TestApp {
    async fn of(h: &Harness, new: NewApp) -> Self {
        let (id, secret) = admin::create_app(&h.app, &new).await.expect("an app");
        Self { id: id.0, secret: Some(secret) }
    }

    /// One that keeps a secret, with every scope and one redirect URI.
    async fn confidential(h: &Harness) -> Self {
        Self::of(h, new_app(h, &[CALLBACK])).await
    }

    async fn public(h: &Harness, redirect_uris: &[&str]) -> Self {
        let id = admin::create_public_app(&h.app, &new_app(h, redirect_uris)).await.expect("an app");
        Self { id: id.0, secret: None }
    }

    fn command_line() -> Self {
        Self { id: "lightsout-cli".to_owned(), secret: None }
    }

    /// The address of the consent page.
    fn asks(&self, more: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if more.iter().all(|(name, _)| *name != "response_type") {
            query.append_pair("response_type", "code");
        }
        query
            .append_pair("client_id", &self.id)
            .extend_pairs(more.iter().filter(|(_, value)| !value.is_empty()));
        format!("/api/oauth2/authorize?{}", query.finish())
    }

    /// Signs a person in to the app, as far as the code.
    async fn code(&self, browser: &mut Browser, more: &[(&str, &str)]) -> String {
        let path = self.asks(more);
        let shown = browser.get(&path).await;
        shown.is(200);
        let answer = browser.post(&shown.action(), &[("decision", "allow")]).await;
        answer.is(303);
        answer.answered("code").unwrap_or_else(|| panic!("no code: {:?}", answer.location))
    }

    /// Asks for tokens as this client.
    async fn token(&self, h: &Harness, fields: &[(&str, &str)]) -> Reply {
        let mut form = vec![("client_id", self.id.as_str())];
        form.extend(self.secret.as_deref().map(|secret| ("client_secret", secret)));
        form.extend_from_slice(fields);
        ask(&h.url(""), &form).await
    }

    async fn exchange(&self, h: &Harness, code: &str, more: &[(&str, &str)]) -> Reply {
        let mut form = vec![("grant_type", "authorization_code"), ("code", code)];
        form.extend_from_slice(more);
        self.token(h, &form).await
    }

    async fn refresh(&self, h: &Harness, token: &str) -> Reply {
        self.token(h, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Signs a person in with every scope, and returns the first pair of tokens.
    async fn signed_in(&self, h: &Harness, user_id: &str) -> (String, String) {
        let code = self.code(&mut Browser::of(h, user_id).await, &[]).await;
        self.exchange(h, &code, &[]).await.pair()
    }
}

fn new_app(h: &Harness, redirect_uris: &[&str]) -> NewApp {
    NewApp {
        enterprise_id: h.enterprise_id.clone(),
        name: "Shop & Son".to_owned(),
        scopes: words("manage_managed_users manage_groups"),
        redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
        ..NewApp::default()
    }
}

/// An answer of the token endpoint.
#[derive(Debug)]
struct Reply {
    status: u16,
    body: Value,
}

impl Reply {
    #[track_caller]
    fn pair(&self) -> (String, String) {
        assert_eq!(self.status, 200, "{}", self.body);
        let word = |name: &str| self.body[name].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
        (word("access_token"), word("refresh_token"))
    }

    #[track_caller]
    fn access(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["access_token"].as_str().expect("a token").to_owned()
    }

    #[track_caller]
    fn fails(&self, status: u16, error: &str) -> &str {
        assert_eq!((self.status, self.body["error"].as_str()), (status, Some(error)), "{}", self.body);
        assert!(self.body["access_token"].is_null());
        self.body["error_description"].as_str().expect("a description")
    }
}

/// Asks the token endpoint of a node.
async fn ask(node: &str, form: &[(&str, &str)]) -> Reply {
    let request = reqwest::Client::new().post(format!("{node}/oauth2/token")).form(form);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.headers()["cache-control"], "no-cache, no-store");
    Reply { status: response.status().as_u16(), body: response.json().await.expect("JSON") }
}

async fn narrow(h: &Harness, token: &str, more: &[(&str, &str)]) -> Reply {
    let mut form =
        vec![("grant_type", TOKEN_EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
    form.extend_from_slice(more);
    ask(&h.url(""), &form).await
}

/// Whether an access token may be used, at a node.
async fn is_good(node: &str, token: &str) -> bool {
    let request = reqwest::Client::new().get(format!("{node}/2.0/users/me")).bearer_auth(token);
    match request.send().await.expect("an answer").status().as_u16() {
        200 => true,
        401 => false,
        status => panic!("{status}"),
    }
}

fn challenge(verifier: &str) -> String {
    sha256(verifier)
}

impl Shown {
    /// Where the form of the page leads.
    #[track_caller]
    fn action(&self) -> String {
        let action = self.body.split("action=\"/api").nth(1).and_then(|rest| rest.split('"').next());
        format!("/api{}", action.expect("a form").replace("&amp;", "&"))
    }

    /// A parameter of the address that the browser is sent to.
    fn answered(&self, name: &str) -> Option<String> {
        let (_, query) = self.location.as_deref()?.split_once('?')?;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }
}

/// Everything that was written down of grants: event type and reason, oldest first.
async fn logged(h: &Harness) -> Vec<(String, String)> {
    let rows: Vec<(String, String)> = h
        .app
        .db
        .fetch(
            "SELECT event_type, body FROM events
             WHERE event_type LIKE 'OAUTH2_%' OR event_type = 'TOKEN_REVOKED' ORDER BY position",
            lightsout_server::args![],
        )
        .await
        .expect("read");
    let reason = |body: &str| {
        let body: Value = serde_json::from_str(body).expect("JSON");
        body["additional_details"]["reason"].as_str().unwrap_or_default().to_owned()
    };
    rows.into_iter().map(|(kind, body)| (kind, reason(&body))).collect()
}
