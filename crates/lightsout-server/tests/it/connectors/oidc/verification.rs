//! What is proven: a probe decides; without one nothing is called ended.

use super::party::Does;
use super::*;

#[tokio::test]
async fn a_session_that_the_probe_shows_gone_is_ended_and_verified() {
    for database in [Database::Sqlite, Database::Postgres] {
        let wiki = Wiki::start(database, json!({"probe": true})).await;
        let (ann, bob) = (wiki.h.user("ann").await, wiki.h.user("bob").await);
        for (user, sid) in [(&ann, "a1"), (&ann, "a2"), (&bob, "b1")] {
            wiki.sign_in(user, sid).await;
        }
        let outcome = wiki.end(&ann).await;
        assert_eq!((outcome.outcome, outcome.sessions_ended), (OutcomeState::Ended, 2));
        assert!(outcome.verified_at.is_some() && outcome.resurrected == 0);
        assert!(!wiki.party.lives("a1") && !wiki.party.lives("a2") && wiki.party.lives("b1"));
        assert_eq!(
            sorted(wiki.party.sids()),
            ["a1", "a2"],
            "one token each, and no more while they are gone"
        );
        wiki.finish().await;
    }
}

#[tokio::test]
async fn a_receiver_that_answers_200_and_does_nothing_is_never_called_ended() {
    let wiki = Wiki::start(Database::Sqlite, json!({"probe": true})).await;
    let ann = wiki.h.user("ann").await;
    wiki.sign_in(&ann, "a1").await;
    wiki.party.does(Does::Nothing);
    let id = wiki.terminate(&[&ann]).await;
    for _ in 0..12 {
        wiki.h.run_jobs().await;
        let outcome = wiki.outcome(&id, &ann).await;
        assert!(!outcome.outcome.is_final() && outcome.verified_at.is_none(), "{outcome:?}");
        wiki.h.advance(10_000);
    }
    assert!(wiki.party.lives("a1"));
    assert!(wiki.party.calls().len() > 3, "it is told again and again: {}", wiki.party.calls().len());
    // The horizon is past, and it is still there.
    wiki.h.advance(25 * 3_600_000);
    wiki.h.run_until_done(&id).await;
    assert_eq!(wiki.outcome(&id, &ann).await.outcome, OutcomeState::GaveUp);
    assert!(wiki.party.calls().iter().all(|call| call.answered == 200), "no jti came twice");
    wiki.finish().await;
}

#[tokio::test]
async fn without_a_probe_a_taken_token_is_delivered_and_not_verified() {
    let wiki = Wiki::start(Database::Sqlite, json!({})).await;
    let ann = wiki.h.user("ann").await;
    wiki.sign_in(&ann, "a1").await;
    wiki.party.does(Does::Nothing);
    let outcome = wiki.end(&ann).await;
    assert_eq!(outcome.outcome, OutcomeState::DeliveredNotVerified);
    assert_eq!((outcome.verified_at, outcome.sessions_ended), (None, 0));
    assert!(wiki.party.lives("a1"));
    assert_eq!(wiki.party.sids(), ["a1"]);
    wiki.finish().await;
}

#[tokio::test]
async fn a_probe_that_cannot_tell_holds_up_the_verdict_until_it_can() {
    let wiki = Wiki::start(Database::Sqlite, json!({"probe": true})).await;
    let ann = wiki.h.user("ann").await;
    wiki.sign_in(&ann, "a1").await;
    wiki.party.seen().probe_answers = Some(500);
    let id = wiki.terminate(&[&ann]).await;
    for _ in 0..8 {
        wiki.h.run_jobs().await;
        wiki.h.advance(10_000);
    }
    let outcome = wiki.outcome(&id, &ann).await;
    assert_eq!(outcome.outcome, OutcomeState::Unreachable);
    assert_eq!(outcome.detail.as_deref(), Some("the probe could not tell whether 1 of 1 sessions live"));
    assert_eq!(wiki.party.sids(), ["a1"], "the token was taken; it is not sent again for the probe's sake");
    wiki.party.seen().probe_answers = None;
    wiki.h.run_until_done(&id).await;
    let outcome = wiki.outcome(&id, &ann).await;
    assert_eq!((outcome.outcome, outcome.sessions_ended), (OutcomeState::Ended, 1));
    assert!(outcome.verified_at.is_some());
    wiki.finish().await;
}

#[tokio::test]
async fn a_probe_token_that_has_expired_proves_nothing() {
    for status in [401, 403] {
        let wiki = Wiki::start(Database::Sqlite, json!({"probe": true})).await;
        let ann = wiki.h.user("ann").await;
        wiki.sign_in(&ann, "a1").await;
        wiki.party.does(Does::Nothing);
        wiki.party.seen().probe_answers = Some(status);
        let id = wiki.terminate(&[&ann]).await;
        for _ in 0..8 {
            wiki.h.run_jobs().await;
            wiki.h.advance(10_000);
        }
        let outcome = wiki.outcome(&id, &ann).await;
        assert_eq!((outcome.outcome, outcome.verified_at), (OutcomeState::Unreachable, None), "{status}");
        wiki.party.seen().probe_answers = None;
        wiki.party.does(Does::Ends);
        wiki.h.run_until_done(&id).await;
        assert_eq!(wiki.outcome(&id, &ann).await.outcome, OutcomeState::Ended);
        wiki.finish().await;
    }
}

#[tokio::test]
async fn a_probe_at_a_wrong_address_proves_nothing() {
    let (jwk, public) = keys::jwk(Algorithm::ES256, "k1");
    let party = Party::down(public);
    let wrong = format!("http://{}/nowhere/{{sid}}", party.address);
    let more = json!({"probe": true, "probe_url": wrong});
    let wiki = Wiki::start_with(Database::Sqlite, more, &json!({"keys": [jwk]}).to_string(), party).await;
    wiki.party.come_up().await;
    let (ann, bob) = (wiki.h.user("ann").await, wiki.h.user("bob").await);
    for (user, sid) in [(&ann, "a1"), (&ann, "a2"), (&bob, "b1")] {
        wiki.sign_in(user, sid).await;
    }
    wiki.party.does(Does::EndsOthers("a2"));
    let id = wiki.terminate(&[&ann, &bob]).await;
    wiki.h.run_jobs().await;
    // What failed first and was taken later is no more proven than what was taken at once.
    wiki.party.does(Does::Nothing);
    wiki.h.run_until_done(&id).await;
    for retried in [false, true] {
        if retried {
            wiki.h.admin.retry_termination(&id).await.expect("open again");
            wiki.h.run_until_done(&id).await;
        }
        for user in [&ann, &bob] {
            let outcome = wiki.outcome(&id, user).await;
            assert_eq!((outcome.outcome, outcome.verified_at), (OutcomeState::UnknownSessions, None));
            let detail = outcome.detail.expect("why");
            assert!(detail.contains("is probe_url right?"), "{retried}: {detail}");
        }
    }
    assert!(wiki.party.lives("a2"));
    assert_eq!(sorted(wiki.party.sids())[0], "a1", "the tokens were sent all the same");
    wiki.finish().await;
}

#[tokio::test]
async fn what_is_gone_already_is_believed_of_a_probe_that_showed_somebody_alive() {
    let wiki = Wiki::start(Database::Sqlite, json!({"probe": true})).await;
    let (ann, bob) = (wiki.h.user("ann").await, wiki.h.user("bob").await);
    wiki.register(&ann, "a1", RegisterSession::default()).await;
    assert_eq!(wiki.end(&ann).await.outcome, OutcomeState::UnknownSessions, "it showed nobody yet");
    wiki.sign_in(&bob, "b1").await;
    assert_eq!(wiki.end(&bob).await.outcome, OutcomeState::Ended);
    let outcome = wiki.end(&ann).await;
    assert_eq!((outcome.outcome, outcome.sessions_ended), (OutcomeState::NothingFound, 0));
    assert!(outcome.verified_at.is_some());
    wiki.finish().await;
}

#[tokio::test]
async fn an_unfriendly_status_counts_as_done_only_where_the_probe_shows_it() {
    for (probe, state) in [(true, OutcomeState::Waiting), (false, OutcomeState::Unreachable)] {
        let more = if probe { json!({"probe": true}) } else { json!({}) };
        let wiki = Wiki::start(Database::Sqlite, more).await;
        let ann = wiki.h.user("ann").await;
        wiki.sign_in(&ann, "a1").await;
        wiki.party.does(Does::EndsAndAnswers(400));
        let id = wiki.terminate(&[&ann]).await;
        wiki.h.run_jobs().await;
        let outcome = wiki.outcome(&id, &ann).await;
        assert_eq!(outcome.outcome, state, "probe: {probe}");
        assert_eq!(outcome.sessions_ended, u64::from(probe));
        wiki.party.does(Does::Ends);
        wiki.h.run_until_done(&id).await;
        let expected = if probe { OutcomeState::Ended } else { OutcomeState::DeliveredNotVerified };
        assert_eq!(wiki.outcome(&id, &ann).await.outcome, expected);
        wiki.finish().await;
    }
}

#[tokio::test]
async fn what_was_ended_while_others_failed_is_counted_in_the_end() {
    let wiki = Wiki::start(Database::Sqlite, json!({"probe": true})).await;
    let ann = wiki.h.user("ann").await;
    for sid in ["a1", "a2", "a3"] {
        wiki.sign_in(&ann, sid).await;
    }
    wiki.party.does(Does::EndsOthers("a2"));
    let id = wiki.terminate(&[&ann]).await;
    wiki.h.run_jobs().await;
    assert_eq!(wiki.outcome(&id, &ann).await.sessions_ended, 0, "the target failed");
    assert!(!wiki.party.lives("a1") && wiki.party.lives("a2"));
    wiki.party.does(Does::Ends);
    wiki.h.run_until_done(&id).await;
    let outcome = wiki.outcome(&id, &ann).await;
    assert_eq!((outcome.outcome, outcome.sessions_ended, outcome.resurrected), (OutcomeState::Ended, 3, 0));
    assert_eq!(sorted(wiki.party.sids()), ["a1", "a2", "a2", "a3"]);
    wiki.finish().await;
}

#[tokio::test]
async fn a_session_that_the_party_brings_back_under_its_sid_is_resurrected_and_ended_again() {
    let wiki = Wiki::start(Database::Sqlite, json!({"probe": true})).await;
    let ann = wiki.h.user("ann").await;
    wiki.sign_in(&ann, "a1").await;
    let id = wiki.terminate(&[&ann]).await;
    wiki.h.run_jobs().await;
    assert!(!wiki.party.lives("a1"));
    // The provider's own session lives, and signs the party's user in again: same sid.
    wiki.sign_in(&ann, "a1").await;
    wiki.h.run_until_done(&id).await;
    let outcome = wiki.outcome(&id, &ann).await;
    assert!(!wiki.party.lives("a1"));
    assert_eq!((outcome.outcome, outcome.sessions_ended, outcome.resurrected), (OutcomeState::Ended, 1, 1));
    wiki.finish().await;
}

#[tokio::test]
async fn a_look_without_anybody_says_what_it_saw_and_changes_nothing() {
    let wiki = Wiki::start(Database::Sqlite, json!({"probe": true})).await;
    let ann = wiki.h.user("ann").await;
    wiki.sign_in(&ann, "a1").await;
    let connector = Arc::clone(&wiki.h.app.systems["wiki"].connector);
    let notes = connector.find(&[]).await.expect("it answers").notes;
    assert_eq!(
        notes,
        [
            "tokens are signed with ES256, key k1",
            "1 sessions at this relying party are registered",
            "the receiver answers 400 to a request without a token, as it should",
            "the probe answers 404 to a session that never was: that is in probe_gone and shows only that \
             something answers: a wrong probe_url may say the same",
        ]
    );
    assert!(wiki.party.lives("a1") && wiki.party.calls().is_empty());
    for (status, means) in [
        (200, "the probe answers 200 to a session that never was: that is in probe_alive: it proves nothing"),
        (401, "the probe answers 401 to a session that never was: that is neither in probe_alive nor"),
    ] {
        wiki.party.seen().probe_answers = Some(status);
        let notes = connector.find(&[]).await.expect("it answers").notes.join("\n");
        assert!(notes.contains(means), "{notes}");
    }
    wiki.finish().await;
}
