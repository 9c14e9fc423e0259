//! People who sign in: authorization, code exchange, refresh tokens and where they are kept.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use lightsout_client::{
    Auth, Authorization, BOX, Client, Error, FileStore, MemoryStore, OAuth, Retry, StoredTokens, TokenStore,
};
use lightsout_testkit::{Answer, Script, Scripted};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::mpsc;

use crate::kit::{accepting, client, now};

const REDIRECT: &str = "https://app.example/signed-in?x=1";

/// A store that a test can look into and break.
#[derive(Clone, Debug, Default)]
struct Shelf(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What each load finds; the last one, and what is saved, stay.
    held: Mutex<Vec<StoredTokens>>,
    is_full: bool,
    saved: Option<mpsc::UnboundedSender<String>>,
}

impl Shelf {
    fn with(held: impl Into<Vec<StoredTokens>>) -> Self {
        Self(Arc::new(Inner { held: Mutex::new(held.into()), ..Inner::default() }))
    }

    fn full(held: impl Into<Vec<StoredTokens>>) -> Self {
        Self(Arc::new(Inner { held: Mutex::new(held.into()), is_full: true, saved: None }))
    }

    /// The refresh token that is kept.
    fn refresh_token(&self) -> Option<String> {
        let held = self.0.held.lock().expect("no panic");
        held.last().map(|tokens| tokens.refresh_token.expose_secret().to_owned())
    }
}

impl TokenStore for Shelf {
    fn load(&self) -> io::Result<Option<StoredTokens>> {
        let mut held = self.0.held.lock().expect("no panic");
        Ok(if held.len() > 1 { Some(held.remove(0)) } else { held.first().cloned() })
    }

    fn save(&self, tokens: &StoredTokens) -> io::Result<()> {
        if self.0.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *self.0.held.lock().expect("no panic") = vec![tokens.clone()];
        if let Some(saved) = &self.0.saved {
            saved.send(tokens.refresh_token.expose_secret().to_owned()).expect("the test listens");
        }
        Ok(())
    }

    fn clear(&self) -> io::Result<()> {
        self.0.held.lock().expect("no panic").clear();
        Ok(())
    }
}

/// Tokens `ACCESS-n` and `REFRESH-n` that have this long to live.
fn stored(n: u32, seconds: i64) -> StoredTokens {
    StoredTokens {
        access_token: format!("ACCESS-{n}").into(),
        refresh_token: format!("REFRESH-{n}").into(),
        expires_at: now() + SignedDuration::from_secs(seconds),
    }
}

/// The same as the token endpoint gives them.
fn pair(n: u32) -> Answer {
    let (access, refresh) = (format!("ACCESS-{n}"), format!("REFRESH-{n}"));
    Answer::json(200, json!({"access_token": access, "expires_in": 3600, "refresh_token": refresh}))
}

fn refused() -> Answer {
    Answer::json(400, json!({"error": "invalid_grant", "error_description": "Invalid refresh token"}))
}

fn oauth(store: impl TokenStore + 'static) -> OAuth {
    OAuth::new("app", store).client_secret("CLIENT-SECRET")
}

fn query(sign_in: &Authorization) -> BTreeMap<String, String> {
    reqwest::Url::parse(&sign_in.url).expect("an address").query_pairs().into_owned().collect()
}

fn forms(server: &Scripted) -> Vec<BTreeMap<String, String>> {
    server.token_requests().iter().map(lightsout_testkit::Received::form).collect()
}

async fn access_token(client: &Client) -> String {
    client.access_token().await.expect("a token").expose_secret().to_owned()
}

#[tokio::test]
async fn sign_in_is_begun_and_ended_with_its_own_proof() {
    let server = accepting([pair(1)]).await;
    let shelf = Shelf::default();
    let client = client(&server.url, oauth(shelf.clone()));
    let sign_in = client.authorization(REDIRECT, &["manage_groups", "ai.readwrite"]).expect("an address");
    assert!(sign_in.url.starts_with(&format!("{}/api/oauth2/authorize?", server.url)), "{}", sign_in.url);
    let asked = query(&sign_in);
    let fixed = ["response_type", "client_id", "redirect_uri", "scope", "code_challenge_method"];
    let expected = ["code", "app", REDIRECT, "manage_groups ai.readwrite", "S256"];
    assert_eq!(fixed.map(|name| asked[name].as_str()), expected);
    assert_eq!(asked.len(), 7, "{asked:?}");

    client.exchange_code(&sign_in, "CODE", &asked["state"]).await.expect("signed in");
    let sent = forms(&server).remove(0);
    let verifier = &sent["code_verifier"];
    assert!((43..=128).contains(&verifier.len()), "RFC 7636, section 4.1");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    assert_eq!(asked["code_challenge"], URL_SAFE_NO_PAD.encode(digest));
    let expected = json!({"grant_type": "authorization_code", "client_id": "app", "client_secret": "CLIENT-SECRET",
        "code": "CODE", "redirect_uri": REDIRECT, "code_verifier": verifier});
    assert_eq!(json!(sent), expected);
    assert_eq!(shelf.refresh_token().as_deref(), Some("REFRESH-1"));
    assert_eq!(access_token(&client.clone()).await, "ACCESS-1", "clones use the tokens at once");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn every_sign_in_is_another_and_box_has_its_own_page() {
    let client = client(BOX, OAuth::new("app", MemoryStore::new()));
    let (one, other) = (client.authorization(REDIRECT, &[]), client.authorization(REDIRECT, &[]));
    let (one, other) = (query(&one.expect("an address")), query(&other.expect("an address")));
    assert_ne!(one["state"], other["state"]);
    assert_ne!(one["code_challenge"], other["code_challenge"]);
    assert!(!one.contains_key("scope"));
    let url = client.authorization(REDIRECT, &[]).expect("an address").url;
    assert!(url.starts_with("https://account.box.com/api/oauth2/authorize?"), "{url}");
}

#[tokio::test]
async fn code_with_another_state_is_refused_before_anything_is_sent() {
    let server = accepting([pair(1)]).await;
    let client = client(&server.url, oauth(MemoryStore::new()));
    let sign_in = client.authorization(REDIRECT, &[]).expect("an address");
    for state in ["", "another"] {
        let error = client.exchange_code(&sign_in, "CODE", state).await.expect_err("it is another's");
        assert!(error.to_string().starts_with("the state is not the one of this sign-in"), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn code_is_sent_once_also_when_the_answer_is_lost() {
    for lost in [Answer::drop_after_reading(), Answer::empty(503)] {
        let server = accepting([lost, pair(1)]).await;
        let client = client(&server.url, oauth(MemoryStore::new()));
        let sign_in = client.authorization(REDIRECT, &[]).expect("an address");
        let state = query(&sign_in)["state"].clone();
        client.exchange_code(&sign_in, "CODE", &state).await.expect_err("the answer is lost");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn refresh_token_is_used_once_and_the_next_one_kept() {
    let unauthorized = Answer::empty(401);
    let calls = vec![Answer::accepted(), unauthorized, Answer::accepted()];
    let server = Scripted::start(Script { token: vec![pair(2), pair(3)], calls }).await;
    let shelf = Shelf::with([stored(1, -1)]);
    let manager = crate::kit::manager(&server.url, oauth(shelf.clone()));
    manager.terminate_groups_sessions(vec!["7".to_owned()]).await.expect("with the second token");
    manager.terminate_groups_sessions(vec!["7".to_owned()]).await.expect("with the third");
    let expected = json!({"grant_type": "refresh_token", "client_id": "app",
        "client_secret": "CLIENT-SECRET", "refresh_token": "REFRESH-1"});
    assert_eq!(json!(forms(&server)[0]), expected);
    assert_eq!(forms(&server)[1]["refresh_token"], "REFRESH-2");
    let calls = server.calls();
    let tokens: Vec<_> = calls.iter().filter_map(|call| call.header("authorization")).collect();
    assert_eq!(tokens, ["Bearer ACCESS-2", "Bearer ACCESS-2", "Bearer ACCESS-3"]);
    assert_eq!(shelf.refresh_token().as_deref(), Some("REFRESH-3"));
}

#[tokio::test]
async fn public_app_sends_no_secret() {
    let server = accepting([pair(2)]).await;
    let app = OAuth::new("app", MemoryStore::holding(stored(1, 0)));
    assert_eq!(access_token(&client(&server.url, app)).await, "ACCESS-2");
    let names: Vec<String> = forms(&server).remove(0).into_keys().collect();
    assert_eq!(names, ["client_id", "grant_type", "refresh_token"]);
}

#[tokio::test]
async fn living_token_of_the_store_needs_no_request() {
    let server = accepting([pair(2)]).await;
    assert_eq!(access_token(&client(&server.url, oauth(Shelf::with([stored(1, 3600)])))).await, "ACCESS-1");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn token_that_ends_soon_is_used_however_its_renewal_goes() {
    for failure in [Answer::empty(503), refused(), Answer::empty(200), pair(2).gated()] {
        let server = accepting([failure, pair(2)]).await;
        let client = Client::builder(oauth(Shelf::with([stored(1, 30)]))).base_url(&server.url);
        let client = client.retry(Retry::never()).build().expect("a client");
        assert_eq!(access_token(&client).await, "ACCESS-1");
        assert_eq!(access_token(&client).await, "ACCESS-1", "this one begins the renewal");
        server.arrived(1).await;
        for _ in 0..20 {
            assert_eq!(access_token(&client).await, "ACCESS-1");
        }
        assert_eq!(server.requests().len(), 1, "it is not asked for again at once");
    }
}

#[tokio::test]
async fn renewed_token_is_saved_before_it_is_used() {
    let server = accepting([pair(2)]).await;
    let (saved, mut kept) = mpsc::unbounded_channel();
    let inner = Inner { held: Mutex::new(vec![stored(1, 30)]), is_full: false, saved: Some(saved) };
    let client = client(&server.url, oauth(Shelf(Arc::new(inner))));
    while access_token(&client).await == "ACCESS-1" {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept.try_recv().as_deref(), Ok("REFRESH-2"));
}

#[tokio::test]
async fn caller_that_goes_away_leaves_no_revocation_half_done() {
    let calls = vec![Answer::empty(200).gated()];
    let server = Scripted::start(Script { token: vec![pair(2)], calls }).await;
    let shelf = Shelf::with([stored(1, 3600)]);
    let people = client(&server.url, oauth(shelf.clone()));
    tokio::select! {
        _ = people.revoke() => panic!("the answer is held back"),
        () = server.arrived(1) => {}
    }
    // Who asks for a token waits until it is gone.
    let again = people.revoke();
    server.release();
    let error = again.await.expect_err("nobody is signed in");
    assert!(error.to_string().starts_with("nobody has signed in yet"), "{error}");
    assert_eq!(shelf.refresh_token(), None);
}

#[tokio::test]
async fn tokens_that_another_program_got_meanwhile_are_taken_over() {
    // What the other program saved is still good.
    let server = accepting([refused()]).await;
    let shelf = Shelf::with([stored(1, -1), stored(2, 3600)]);
    assert_eq!(access_token(&client(&server.url, oauth(shelf))).await, "ACCESS-2");
    assert_eq!(server.token_requests().len(), 1);
    // It is still being saved.
    let server = accepting([refused()]).await;
    let shelf = Shelf::with([stored(1, -1), stored(1, -1), stored(1, -1), stored(2, 3600)]);
    assert_eq!(access_token(&client(&server.url, oauth(shelf))).await, "ACCESS-2");
    assert_eq!(server.token_requests().len(), 1);
    // It has ended, too.
    let server = accepting([refused(), pair(3)]).await;
    let shelf = Shelf::with([stored(1, -1), stored(2, -1)]);
    assert_eq!(access_token(&client(&server.url, oauth(shelf))).await, "ACCESS-3");
    assert_eq!(forms(&server)[1]["refresh_token"], "REFRESH-2");
    // Nobody else has used it: it is refused.
    let server = accepting([refused()]).await;
    let client = client(&server.url, oauth(Shelf::with([stored(1, -1)])));
    let error = client.access_token().await.expect_err("refused");
    assert!(matches!(error, Error::NotAuthenticated(_)), "{error:?}");
    assert_eq!(server.token_requests().len(), 1);
}

#[tokio::test]
async fn full_disk_signs_nobody_out() {
    let server = accepting([pair(2), pair(3)]).await;
    let shelf = Shelf::full([stored(1, -1)]);
    let people = client(&server.url, oauth(shelf.clone()));
    assert_eq!(access_token(&people).await, "ACCESS-2");
    people.revoke().await.expect("revoked");
    assert_eq!(server.calls()[0].form()["token"], "REFRESH-2", "the newest, though it was not saved");
    let error = people.access_token().await.expect_err("nobody is signed in");
    assert!(error.to_string().starts_with("nobody has signed in yet"), "{error}");

    let people = client(&server.url, oauth(Shelf::full([])));
    let sign_in = people.authorization(REDIRECT, &[]).expect("an address");
    let state = query(&sign_in)["state"].clone();
    let error = people.exchange_code(&sign_in, "CODE", &state).await.expect_err("it is not saved");
    assert!(error.to_string().starts_with("the tokens cannot be saved"), "{error}");
    assert_eq!(access_token(&people).await, "ACCESS-3", "it works until the program ends");
}

#[tokio::test]
async fn unsaved_refresh_token_gets_the_next_one() {
    let calls = vec![Answer::empty(401), Answer::accepted()];
    let server = Scripted::start(Script { token: vec![pair(2), pair(3)], calls }).await;
    let manager = crate::kit::manager(&server.url, oauth(Shelf::full([stored(1, -1)])));
    manager.terminate_groups_sessions(vec!["7".to_owned()]).await.expect("with the third token");
    assert_eq!(forms(&server)[1]["refresh_token"], "REFRESH-2");
}

#[tokio::test]
async fn caller_that_goes_away_loses_no_refresh_token() {
    let server = accepting([pair(2).gated()]).await;
    let (saved, mut kept) = mpsc::unbounded_channel();
    let inner = Inner { held: Mutex::new(vec![stored(1, -1)]), is_full: false, saved: Some(saved) };
    let client = client(&server.url, oauth(Shelf(Arc::new(inner))));
    tokio::select! {
        _ = client.me() => panic!("the token is held back"),
        () = server.arrived(1) => {}
    }
    server.release();
    assert_eq!(kept.recv().await.as_deref(), Some("REFRESH-2"));
    assert_eq!(access_token(&client).await, "ACCESS-2");
    assert_eq!((server.token_requests().len(), server.calls().len()), (1, 0));
}

#[tokio::test]
async fn file_carries_a_sign_in_from_one_program_to_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokens.json");
    let server = accepting([pair(1), pair(2)]).await;
    let first = client(&server.url, oauth(FileStore::new(&file)));
    let sign_in = first.authorization(REDIRECT, &[]).expect("an address");
    let state = query(&sign_in)["state"].clone();
    first.exchange_code(&sign_in, "CODE", &state).await.expect("signed in");

    let second = client(&server.url, oauth(FileStore::new(&file)));
    assert_eq!(access_token(&second).await, "ACCESS-1");
    assert_eq!(server.requests().len(), 1);
    second.revoke().await.expect("revoked");
    let revoked: Vec<(String, String)> = server.calls()[0].form().into_iter().collect();
    let expected = [("client_id", "app"), ("client_secret", "CLIENT-SECRET"), ("token", "REFRESH-1")];
    assert_eq!(revoked, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(!file.exists());
    let third = client(&server.url, oauth(FileStore::new(&file)));
    let error = third.access_token().await.expect_err("nobody is signed in");
    assert!(error.to_string().starts_with("nobody has signed in yet"), "{error}");
}

#[tokio::test]
async fn reply_without_a_refresh_token_and_a_file_of_others_say_so() {
    let server = accepting([Answer::token("ACCESS", 3600)]).await;
    let people = client(&server.url, oauth(Shelf::with([stored(1, -1)])));
    let error = people.access_token().await.expect_err("it has no refresh token");
    assert!(error.to_string().starts_with("the server gave no refresh token"), "{error}");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokens.json");
    std::fs::write(&file, "REFRESH-OF-ANOTHER-PROGRAM").expect("written");
    let people: Auth = oauth(FileStore::new(&file)).into();
    let error = client(&server.url, people).access_token().await.expect_err("no tokens");
    assert_eq!(error.to_string(), "the saved tokens cannot be read");
    assert!(!format!("{error:?}").contains("REFRESH-OF"), "{error:?}");
}
