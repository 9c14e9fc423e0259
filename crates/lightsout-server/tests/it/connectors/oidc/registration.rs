//! Which sessions there are: registered at sign-in, kept with their first facts, pruned at their end.

use jiff::Timestamp;
use lightsout_client::api::SessionState;
use lightsout_server::store::Retention;

use super::*;
use crate::harness::START_MS;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).expect("in range")
}

/// An access token of the registrar, for bodies that the client cannot write.
async fn app_token(h: &Harness) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &h.credentials.0),
        ("client_secret", &h.credentials.1),
        ("box_subject_type", "enterprise"),
        ("box_subject_id", &h.enterprise_id),
    ];
    let reply = reqwest::Client::new().post(h.url("/oauth2/token")).form(&form).send().await;
    let reply: Value = reply.expect("an answer").json().await.expect("JSON");
    reply["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn a_user_of_whom_no_sid_is_known_is_unknown_and_never_nothing_found() {
    for more in [json!({}), json!({"probe": true})] {
        let wiki = Wiki::start(Database::Sqlite, more).await;
        let (ann, bob) = (wiki.h.user("ann").await, wiki.h.user("bob").await);
        wiki.sign_in(&bob, "b1").await;
        let elsewhere = OidcSession { client_id: "another".to_owned(), ..oidc(&ann, "a1") };
        let session = RegisterSession {
            user_id: Some(ann.as_str().into()),
            oidc: Some(elsewhere),
            ..RegisterSession::default()
        };
        wiki.h.registrar.register_sessions(vec![session]).await.expect("registered");
        let outcome = wiki.end(&ann).await;
        assert_eq!(outcome.outcome, OutcomeState::UnknownSessions);
        let detail = outcome.detail.expect("why");
        assert!(detail.contains("POST /v1/sessions"), "{detail}");
        assert!(wiki.party.calls().is_empty() && wiki.party.lives("b1"));
        wiki.finish().await;
    }
}

#[tokio::test]
async fn a_sign_in_after_the_request_is_spared() {
    let wiki = Wiki::start(Database::Sqlite, json!({"probe": true})).await;
    let ann = wiki.h.user("ann").await;
    wiki.sign_in(&ann, "a1").await;
    let id = wiki.terminate(&[&ann]).await;
    let new = wiki.sign_in(&ann, "a2").await;
    assert_eq!(new.state, SessionState::Active);
    wiki.h.run_until_done(&id).await;
    assert_eq!(wiki.party.sids(), ["a1"]);
    assert!(wiki.party.lives("a2"));
    wiki.finish().await;
}

#[tokio::test]
async fn a_late_registration_is_answered_ended_and_its_session_is_told_to_end() {
    for database in [Database::Sqlite, Database::Postgres] {
        let wiki = Wiki::start(database, json!({"probe": true})).await;
        let ann = wiki.h.user("ann").await;
        wiki.sign_in(&ann, "a1").await;
        let id = wiki.terminate(&[&ann]).await;
        wiki.h.run_jobs().await;
        wiki.party.seen().alive.insert("a2".to_owned());
        let late = RegisterSession { began_at: Some(at(START_MS)), ..RegisterSession::default() };
        assert_eq!(wiki.register(&ann, "a2", late).await.state, SessionState::Ended);
        wiki.h.run_until_done(&id).await;
        assert!(!wiki.party.lives("a2"));
        assert_eq!(wiki.party.sids(), ["a1", "a2"]);
        let outcome = wiki.outcome(&id, &ann).await;
        assert_eq!((outcome.outcome, outcome.sessions_ended), (OutcomeState::Ended, 2));
        wiki.finish().await;
    }
}

#[tokio::test]
async fn a_repeated_registration_keeps_the_first_facts() {
    for database in [Database::Sqlite, Database::Postgres] {
        let wiki = Wiki::start(database, json!({})).await;
        let (ann, bob) = (wiki.h.user("ann").await, wiki.h.user("bob").await);
        wiki.sign_in(&ann, "a1").await;
        let id = wiki.terminate(&[&ann]).await;
        // After the cutoff, under another subject: were these facts taken, no token would be sent.
        let other = OidcSession { sub: "somebody else".to_owned(), ..oidc(&ann, "a1") };
        let again = RegisterSession {
            user_id: Some(ann.as_str().into()),
            oidc: Some(other),
            ..RegisterSession::default()
        };
        wiki.h.registrar.register_sessions(vec![again]).await.expect("registered");
        // Nobody takes it over, either.
        wiki.register(&bob, "a1", RegisterSession::default()).await;
        wiki.h.run_until_done(&id).await;
        let calls = wiki.party.calls();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].claims["sub"], format!("sub of {ann}"));
        wiki.finish().await;
    }
}

#[tokio::test]
async fn a_sid_that_is_registered_again_lives_as_long_as_the_longest_registration() {
    for database in [Database::Sqlite, Database::Postgres] {
        let wiki = Wiki::start(database, json!({})).await;
        let ann = wiki.h.user("ann").await;
        let until = |ms: i64| RegisterSession { expires_at: Some(at(ms)), ..RegisterSession::default() };
        wiki.register(&ann, "a1", until(START_MS + 60_000)).await;
        wiki.h.advance(61_000);
        // The same sid twice in one request, and a shorter life after the longer one.
        let entry = |ms: i64| RegisterSession {
            user_id: Some(ann.as_str().into()),
            oidc: Some(oidc(&ann, "a1")),
            ..until(ms)
        };
        let both = vec![entry(START_MS + 62_000), entry(START_MS + 600_000)];
        wiki.h.registrar.register_sessions(both).await.expect("registered");
        wiki.register(&ann, "a1", until(START_MS + 63_000)).await;
        wiki.h.advance(10_000);
        let rows = wiki.h.app.db.list_oidc_sessions(ISSUER, CLIENT_ID, std::slice::from_ref(&ann)).await;
        let rows: Vec<(i64, i64)> =
            rows.expect("rows").into_iter().map(|row| (row.began_at, row.expires_at)).collect();
        assert_eq!(rows, [(START_MS, START_MS + 600_000)], "the first begin, the last expiry");
        assert_eq!(wiki.end(&ann).await.outcome, OutcomeState::DeliveredNotVerified);
        assert_eq!(wiki.party.sids(), ["a1"]);
        wiki.finish().await;
    }
}

#[tokio::test]
async fn sessions_past_their_expiry_get_no_token_and_are_pruned() {
    for database in [Database::Sqlite, Database::Postgres] {
        let wiki = Wiki::start(database, json!({})).await;
        let ann = wiki.h.user("ann").await;
        let short = RegisterSession { expires_at: Some(at(START_MS + 60_000)), ..RegisterSession::default() };
        wiki.register(&ann, "short", short).await;
        wiki.sign_in(&ann, "long").await;
        wiki.h.advance(61_000);
        assert_eq!(wiki.end(&ann).await.outcome, OutcomeState::DeliveredNotVerified);
        assert_eq!(wiki.party.sids(), ["long"]);

        let stored = async || {
            let rows = wiki.h.app.db.list_oidc_sessions(ISSUER, CLIENT_ID, std::slice::from_ref(&ann)).await;
            rows.expect("rows").into_iter().map(|row| row.sid).collect::<Vec<_>>()
        };
        let prune = async |now: i64| {
            let retention = Retention { now, ..lightsout_server::server::retention(&wiki.h.app) };
            wiki.h.prune(&retention).await;
        };
        prune(START_MS + 60_000 + 86_400_000).await;
        assert_eq!(stored().await, ["long", "short"], "kept while a termination may name it");
        prune(START_MS + 60_000 + 3 * 86_400_000).await;
        assert_eq!(stored().await, ["long"]);
        wiki.finish().await;
    }
}

#[tokio::test]
async fn what_is_no_session_of_a_relying_party_is_refused_and_nothing_is_stored() {
    let wiki = Wiki::start(Database::Sqlite, json!({})).await;
    let ann = wiki.h.user("ann").await;
    let good = oidc(&ann, "a1");
    let refused = [
        OidcSession { iss: "login.example.com".to_owned(), ..good.clone() },
        OidcSession { iss: "ftp://login.example.com".to_owned(), ..good.clone() },
        OidcSession { iss: "https://login.example.com/?tenant=1".to_owned(), ..good.clone() },
        OidcSession { iss: format!("https://login.example.com/{}", "x".repeat(512)), ..good.clone() },
        OidcSession { client_id: String::new(), ..good.clone() },
        OidcSession { client_id: "x".repeat(257), ..good.clone() },
        OidcSession { sub: String::new(), ..good.clone() },
        OidcSession { sub: "x".repeat(256), ..good.clone() },
        OidcSession { sid: String::new(), ..good.clone() },
        OidcSession { sid: "x".repeat(513), ..good.clone() },
    ];
    let entry = |oidc| RegisterSession {
        user_id: Some(ann.as_str().into()),
        oidc: Some(oidc),
        ..RegisterSession::default()
    };
    for wrong in refused {
        let shown = serde_json::to_string(&wrong).expect("JSON");
        let both = vec![entry(good.clone()), entry(wrong)];
        let error = wiki.h.registrar.register_sessions(both).await.expect_err(&shown).to_string();
        assert!(error.contains("sessions[1]: oidc."), "{shown}: {error}");
    }
    let token = app_token(&wiki.h).await;
    for unknown in [
        json!({"issuer": ISSUER}),
        json!({"iss": ISSUER, "client_id": "c", "sub": "s", "sid": "s", "sids": []}),
    ] {
        let body = json!({"sessions": [{"user_id": ann, "oidc": unknown}]});
        let reply =
            reqwest::Client::new().post(wiki.h.url("/v1/sessions")).bearer_auth(&token).json(&body).send();
        assert_eq!(reply.await.expect("an answer").status(), 400, "{body}");
    }
    let count = wiki.h.app.db.count_oidc_sessions(ISSUER, CLIENT_ID, START_MS).await.expect("a count");
    assert_eq!(count, 0);
    wiki.finish().await;
}
