//! How tokens go out: what they say, to whom, how fast, and what follows when they are not taken.

use std::collections::HashSet;
use std::process::Command;
use std::time::Instant;

use tokio::sync::Barrier;

use super::party::Does;
use super::*;
use crate::harness::START_MS;

#[tokio::test]
async fn one_token_for_each_sid_says_who_and_what() {
    for database in [Database::Sqlite, Database::Postgres] {
        let wiki = Wiki::start(database, json!({})).await;
        let (ann, bob) = (wiki.h.user("ann").await, wiki.h.user("bob").await);
        for (user, sid) in [(&ann, "sid-a1"), (&ann, "sid-a2"), (&bob, "sid-b1")] {
            wiki.sign_in(user, sid).await;
        }
        let id = wiki.terminate(&[&ann]).await;
        wiki.h.run_until_done(&id).await;
        assert_eq!(wiki.outcome(&id, &ann).await.outcome, OutcomeState::DeliveredNotVerified);
        assert!(!wiki.party.lives("sid-a1") && !wiki.party.lives("sid-a2") && wiki.party.lives("sid-b1"));

        let calls = wiki.party.calls();
        assert_eq!(sorted(wiki.party.sids()), ["sid-a1", "sid-a2"]);
        let now = (START_MS + 1_001) / 1_000;
        for call in &calls {
            assert_eq!(call.header, json!({"typ": "logout+jwt", "alg": "ES256", "kid": "k1"}));
            let jti = call.claims["jti"].as_str().expect("a jti");
            assert!(jti.len() >= 32, "{jti}");
            let expected = json!({
                "iss": ISSUER, "aud": CLIENT_ID, "iat": now, "exp": now + 120, "jti": jti,
                "sub": format!("sub of {ann}"), "sid": call.sid(),
                "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            });
            assert_eq!(call.claims, expected, "and no nonce");
        }
        assert_ne!(calls[0].claims["jti"], calls[1].claims["jti"]);

        // A new request is a new order; what is done for one is not repeated.
        wiki.end(&ann).await;
        assert_eq!(sorted(wiki.party.sids()), ["sid-a1", "sid-a1", "sid-a2", "sid-a2"]);
        let events = wiki.h.app.db.list_termination_events(&id, 0, 1_000).await.expect("events");
        assert!(!events.is_empty() && events.iter().all(|event| !event.body.contains("sid-a")));
        wiki.finish().await;
    }
}

#[tokio::test]
async fn every_algorithm_verifies_with_the_public_key() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256] {
        let (jwk, public) = keys::jwk(algorithm, "mine");
        let (other, _) = keys::jwk(Algorithm::ES256, "other");
        // The first key that fits signs: keys of other kinds, public ones and those to encrypt with do not.
        let mut public_only = other.clone();
        public_only.as_object_mut().expect("a key").remove("d");
        let mut to_encrypt = jwk.clone();
        (to_encrypt["kid"], to_encrypt["use"]) = (json!("enc"), json!("enc"));
        let before = if algorithm == Algorithm::ES256 { public_only } else { other };
        let set = json!({"keys": [before, to_encrypt, jwk]}).to_string();
        let more = json!({"algorithm": format!("{algorithm:?}")});
        let wiki = Wiki::start_with(Database::Sqlite, more, &set, Party::down(public)).await;
        wiki.party.come_up().await;
        let ann = wiki.h.user("ann").await;
        wiki.sign_in(&ann, "a1").await;
        assert_eq!(wiki.end(&ann).await.outcome, OutcomeState::DeliveredNotVerified, "{algorithm:?}");
        let calls = wiki.party.calls();
        assert_eq!((calls.len(), &calls[0].header["kid"]), (1, &json!("mine")), "{algorithm:?}");
        wiki.finish().await;
    }
}

#[tokio::test]
async fn a_pem_file_signs_under_the_kid_that_is_configured() {
    let (pem, public) = keys::rsa_pem("pem-1");
    let more = json!({"algorithm": "RS256", "kid": "pem-1"});
    let wiki = Wiki::start_with(Database::Sqlite, more, &pem, Party::down(public)).await;
    wiki.party.come_up().await;
    let ann = wiki.h.user("ann").await;
    wiki.sign_in(&ann, "a1").await;
    wiki.end(&ann).await;
    assert!(!wiki.party.lives("a1"));
    wiki.finish().await;
}

#[tokio::test]
async fn a_new_key_signs_once_it_stands_in_the_file_and_a_broken_file_changes_nothing() {
    let wiki = Wiki::start(Database::Sqlite, json!({})).await;
    let ann = wiki.h.user("ann").await;
    wiki.sign_in(&ann, "a1").await;
    wiki.end(&ann).await;
    let (second, public) = keys::jwk(Algorithm::ES256, "k2");
    wiki.party.seen().public = public;
    std::fs::write(&wiki.keys, json!({"keys": [second]}).to_string()).expect("written");
    wiki.end(&ann).await;
    for broken in ["{\"keys\": [{\"kty\": \"EC\", ", "{\"keys\": []}"] {
        std::fs::write(&wiki.keys, broken).expect("written");
        wiki.end(&ann).await;
    }
    std::fs::remove_file(&wiki.keys).expect("removed");
    let connector = Arc::clone(&wiki.h.app.systems["wiki"].connector);
    let notes = connector.find(&[]).await.expect("it answers").notes.join("\n");
    assert!(notes.contains("signing_keys changed and cannot be used"), "{notes}");
    let kids: Vec<Value> = wiki.party.calls().iter().map(|call| call.header["kid"].clone()).collect();
    assert_eq!(kids, ["k1", "k2", "k2", "k2"]);
    wiki.finish().await;
}

#[tokio::test]
async fn a_party_that_was_down_hears_of_it_when_it_is_back() {
    let wiki = Wiki::start_down(Database::Sqlite, json!({})).await;
    let ann = wiki.h.user("ann").await;
    for sid in ["a1", "a2"] {
        wiki.sign_in(&ann, sid).await;
    }
    let id = wiki.terminate(&[&ann]).await;
    for _ in 0..5 {
        wiki.h.run_jobs().await;
        let outcome = wiki.outcome(&id, &ann).await;
        assert_eq!(outcome.outcome, OutcomeState::Unreachable);
        assert_eq!(outcome.detail.as_deref(), Some("the system did not answer: no connection"));
        wiki.h.advance(60_000);
    }
    wiki.party.come_up().await;
    wiki.h.run_until_done(&id).await;
    assert_eq!(wiki.outcome(&id, &ann).await.outcome, OutcomeState::DeliveredNotVerified);
    assert_eq!(sorted(wiki.party.sids()), ["a1", "a2"]);
    assert!(!wiki.party.lives("a1") && !wiki.party.lives("a2"));
    let iat = wiki.party.calls()[0].claims["iat"].as_i64().expect("iat");
    assert!(iat * 1_000 > START_MS + 290_000, "a token of this attempt, not of the first");
    wiki.finish().await;
}

#[tokio::test]
async fn after_a_partial_failure_only_the_rest_is_sent_each_time_with_a_new_jti() {
    let wiki = Wiki::start(Database::Sqlite, json!({})).await;
    let ann = wiki.h.user("ann").await;
    for sid in ["a1", "a2", "a3"] {
        wiki.sign_in(&ann, sid).await;
    }
    wiki.party.does(Does::EndsOthers("a2"));
    let id = wiki.terminate(&[&ann]).await;
    for _ in 0..3 {
        wiki.h.run_jobs().await;
        let outcome = wiki.outcome(&id, &ann).await;
        assert_eq!(outcome.outcome, OutcomeState::Unreachable);
        let detail = outcome.detail.expect("why");
        assert_eq!(
            detail,
            "1 of 3 logout tokens were not taken: HTTP 503: the receiver is not available for now"
        );
        wiki.h.advance(60_000);
    }
    wiki.party.does(Does::Ends);
    wiki.h.run_until_done(&id).await;
    assert_eq!(wiki.outcome(&id, &ann).await.outcome, OutcomeState::DeliveredNotVerified);
    let sids = wiki.party.sids();
    let times = |sid: &str| sids.iter().filter(|s| *s == sid).count();
    assert_eq!((times("a1"), times("a3")), (1, 1));
    assert!(times("a2") >= 4, "{sids:?}");
    let calls = wiki.party.calls();
    let jtis: HashSet<String> = calls.iter().map(|call| call.claims["jti"].to_string()).collect();
    assert_eq!(jtis.len(), calls.len());
    assert!(calls.iter().all(|call| call.answered != 400), "the party refuses a jti that it has seen");
    wiki.finish().await;
}

#[tokio::test]
async fn requests_are_spaced_by_the_rate() {
    let wiki = Wiki::start(Database::Sqlite, json!({"rate_per_s": 50, "parallel": 16})).await;
    let ann = wiki.h.user("ann").await;
    for n in 0..21 {
        wiki.sign_in(&ann, &format!("a{n:02}")).await;
    }
    wiki.end(&ann).await;
    let calls = wiki.party.calls();
    assert_eq!(calls.len(), 21);
    let took = calls[20].at - calls[0].at;
    // The first may arrive late by some milliseconds: its connection is new.
    assert!(took >= Duration::from_millis(350), "21 requests at 50 a second in {took:?}");
    wiki.finish().await;
}

#[tokio::test]
async fn no_more_requests_than_allowed_are_under_way_at_once() {
    let wiki = Wiki::start(Database::Sqlite, json!({"rate_per_s": 0, "parallel": 3})).await;
    let ann = wiki.h.user("ann").await;
    for n in 0..12 {
        wiki.sign_in(&ann, &format!("a{n:02}")).await;
    }
    wiki.party.does(Does::EndsTogether(Arc::new(Barrier::new(3))));
    wiki.end(&ann).await;
    assert_eq!((wiki.party.calls().len(), wiki.party.seen().at_once_max), (12, 3));
    wiki.finish().await;
}

#[tokio::test]
async fn a_party_that_never_answers_is_unreachable_and_told_again() {
    let wiki = Wiki::start(Database::Sqlite, json!({"timeout_ms": 2_000, "parallel": 2})).await;
    let ann = wiki.h.user("ann").await;
    for n in 0..20 {
        wiki.sign_in(&ann, &format!("a{n:02}")).await;
    }
    wiki.party.does(Does::Hangs);
    let id = wiki.terminate(&[&ann]).await;
    let started = Instant::now();
    wiki.h.run_jobs().await;
    assert!(started.elapsed() < Duration::from_secs(6), "it is not waited for 20 times");
    let outcome = wiki.outcome(&id, &ann).await;
    assert_eq!(outcome.detail.as_deref(), Some("the system did not answer: no answer in time"));
    wiki.party.does(Does::Ends);
    wiki.h.run_until_done(&id).await;
    assert_eq!(wiki.outcome(&id, &ann).await.outcome, OutcomeState::DeliveredNotVerified);
    assert!(wiki.party.seen().alive.is_empty());
    wiki.finish().await;
}

#[tokio::test]
async fn what_a_pass_has_no_time_for_goes_with_the_next() {
    let wiki = Wiki::start(Database::Sqlite, json!({"timeout_ms": 1_000, "rate_per_s": 20})).await;
    let ann = wiki.h.user("ann").await;
    let sids: Vec<String> = (0..30).map(|n| format!("a{n:02}")).collect();
    for sid in &sids {
        wiki.sign_in(&ann, sid).await;
    }
    let id = wiki.terminate(&[&ann]).await;
    wiki.h.run_jobs().await;
    let sent = wiki.party.calls().len();
    assert!((1..30).contains(&sent), "{sent}");
    let detail = wiki.outcome(&id, &ann).await.detail.expect("why");
    assert!(detail.starts_with(&format!("{} of 30 logout tokens were not sent yet", 30 - sent)), "{detail}");
    wiki.h.run_until_done(&id).await;
    assert_eq!(sorted(wiki.party.sids()), sids, "each once");
    wiki.finish().await;
}

#[tokio::test]
async fn a_party_that_asks_for_rest_has_it() {
    let wiki = Wiki::start(Database::Sqlite, json!({"parallel": 1, "timeout_ms": 10_000})).await;
    let ann = wiki.h.user("ann").await;
    for sid in ["a1", "a2"] {
        wiki.sign_in(&ann, sid).await;
    }
    wiki.party.does(Does::Answers(429, Some("1")));
    let id = wiki.terminate(&[&ann]).await;
    wiki.h.run_jobs().await;
    let calls = wiki.party.calls();
    assert_eq!(calls.len(), 2);
    let rest = calls[1].at - calls[0].at;
    assert!(rest >= Duration::from_millis(950), "{rest:?}");
    // Longer than a pass: nothing more is asked within it, nor in the passes after it.
    wiki.party.does(Does::Answers(503, Some("600")));
    wiki.h.advance(10_000);
    wiki.h.run_jobs().await;
    assert_eq!(wiki.party.calls().len(), 3);
    wiki.h.advance(60_000);
    wiki.h.run_jobs().await;
    assert_eq!(wiki.party.calls().len(), 3);
    let outcome = wiki.outcome(&id, &ann).await;
    assert_eq!(outcome.outcome, OutcomeState::Unreachable);
    wiki.h.advance(26 * 3_600_000);
    wiki.h.run_until_done(&id).await;
    assert_eq!(wiki.outcome(&id, &ann).await.outcome, OutcomeState::GaveUp);
    assert!(wiki.party.lives("a1") && wiki.party.lives("a2"));
    wiki.finish().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_wrong_certificate_is_told() {
    let wiki = Wiki::start(Database::Sqlite, json!({})).await;
    let ann = wiki.h.user("ann").await;
    wiki.sign_in(&ann, "a1").await;
    wiki.party.does(Does::Answers(302, None));
    let id = wiki.terminate(&[&ann]).await;
    wiki.h.run_jobs().await;
    let detail = wiki.outcome(&id, &ann).await.detail.expect("why");
    assert_eq!(detail, "1 of 1 logout tokens were not taken: HTTP 302, a redirect, which is not followed");
    wiki.party.does(Does::Ends);
    wiki.h.run_until_done(&id).await;
    wiki.finish().await;

    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=wiki", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
        .args([certificate.as_os_str(), "-keyout".as_ref(), key.as_os_str()])
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (more, trusted) in [(json!({}), false), (json!({"ca_file": certificate}), true)] {
        let mut more = more;
        more["scheme"] = json!("https");
        let wiki = Wiki::start_down(Database::Sqlite, more).await;
        // Whichever test is first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let tls =
            axum_server::tls_rustls::RustlsConfig::from_pem_file(&certificate, &key).await.expect("a pair");
        let server = axum_server::bind_rustls(wiki.party.address, tls);
        let server = tokio::spawn(server.serve(wiki.party.router().into_make_service()));
        let ann = wiki.h.user("ann").await;
        wiki.sign_in(&ann, "a1").await;
        let id = wiki.terminate(&[&ann]).await;
        wiki.h.run_jobs().await;
        let outcome = wiki.outcome(&id, &ann).await;
        assert_eq!(wiki.party.lives("a1"), !trusted, "{outcome:?}");
        if !trusted {
            let detail = outcome.detail.expect("why");
            assert!(detail.contains("its certificate is not trusted"), "{detail}");
            wiki.h.advance(26 * 3_600_000);
        }
        wiki.h.run_until_done(&id).await;
        server.abort();
        wiki.finish().await;
    }
}

#[tokio::test]
async fn what_cannot_work_is_said_before_anything_is_sent() {
    let wiki = Wiki::start(Database::Sqlite, json!({})).await;
    let refusal = |more: Value| {
        let (config, timeout) = config(&wiki.party, &wiki.keys, more);
        let app = &wiki.h.app;
        OidcBackchannel::new(config, app.db.clone(), app.clock.clone(), timeout).expect_err("it cannot work")
    };
    let not_keys = wiki.keys.with_file_name("not-keys");
    std::fs::write(&not_keys, "hunter2").expect("written");
    for (more, words) in [
        (json!({"issuer": "login"}), "issuer is an http or https URL"),
        (json!({"logout_uri": "ftp://wiki/logout"}), "logout_uri is an http or https URL"),
        (json!({"logout_uri": "https://ann:hunter2@wiki/logout"}), "logout_uri is an http or https URL"),
        (json!({"client_id": ""}), "client_id"),
        (json!({"parallel": 0}), "parallel is from 1 to 64"),
        (json!({"probe_url": "https://wiki/sessions"}), "holds {sid}"),
        (json!({"probe_token": "hunter2"}), "probe_token needs a probe_url"),
        (
            json!({"probe_url": "https://wiki/{sid}", "probe_gone": [200]}),
            "200 stands in probe_alive and in probe_gone",
        ),
        (json!({"probe": true, "probe_gone": [404, 401]}), "401 in probe_gone cannot go with probe_token"),
        (json!({"probe": true, "probe_gone": [403]}), "403 in probe_gone cannot go with probe_token"),
        (json!({"sids_sql": "SELECT 1"}), "sids_url and sids_sql go together"),
        (json!({"sids_url": "ftp://x", "sids_sql": "SELECT 1"}), "sids_url begins with"),
        (json!({"sids_url": "sqlite:x", "sids_sql": "SELECT 1"}), "it needs :subjects"),
        (json!({"sids_url": "sqlite:x", "sids_sql": "DELETE FROM a"}), "it begins with SELECT"),
        (json!({"algorithm": "RS256"}), "no private key for RS256 is in it"),
        (json!({"kid": "another"}), "no private key for ES256 and kid is in it"),
        (json!({"signing_keys": not_keys}), "not a JWK Set and not PEM"),
        (json!({"signing_keys": "/nowhere/keys.json"}), "cannot be read"),
    ] {
        let error = refusal(more.clone());
        assert!(error.contains(words) && !error.contains("hunter2"), "{more}: {error}");
    }
    wiki.finish().await;
}
