//! What a guard says of whom and when, without a service.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use lightsout_api::{Barrier, Barriers, EndedSession};

use super::known::Known;
use super::{BarrierOptions, KnownBy, Verdict};
use crate::{Auth, Client, Retry};

const MS: SignedDuration = SignedDuration::from_millis(1);
/// Where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

fn cutoff() -> Timestamp {
    at("2026-05-04T10:00:00.123Z")
}

fn barrier(n: u32, cutoff: Timestamp) -> Barrier {
    Barrier {
        user_id: n.to_string().into(),
        login: Some(format!("Person{n}@Acme.example")),
        external_id: Some(format!("E-{n}")),
        cutoff,
    }
}

fn news(barriers: Vec<Barrier>) -> Barriers {
    Barriers { position: 7, barriers, ended_sessions: Vec::new() }
}

/// Knows these barriers, and that nothing is missing now.
fn knowing(options: BarrierOptions, barriers: Vec<Barrier>) -> (Known, Instant) {
    let known = Known::new(options);
    known.learn(&news(barriers));
    let now = Instant::now();
    known.heard(now);
    (known, now)
}

#[test]
fn session_is_refused_up_to_the_cutoff_and_the_skew() {
    let (known, now) = knowing(BarrierOptions::new(KnownBy::UserId), vec![barrier(1, cutoff())]);
    let last = cutoff() + SignedDuration::from_secs(5);
    for (began_at, verdict) in [
        (cutoff() - 1_000_000 * MS, Verdict::Ended),
        (cutoff(), Verdict::Ended),
        (last, Verdict::Ended),
        (last + MS, Verdict::Live),
        (Timestamp::MAX, Verdict::Live),
    ] {
        assert_eq!(known.check_at("1", began_at, now), verdict, "began at {began_at}");
        assert_eq!(known.check_at("2", began_at, now), Verdict::Live, "somebody else's");
    }
}

#[test]
fn older_cutoff_that_comes_late_changes_nothing() {
    let (known, now) = knowing(
        BarrierOptions { clock_skew: Duration::ZERO, ..BarrierOptions::new(KnownBy::UserId) },
        vec![barrier(1, cutoff()), barrier(1, cutoff() - 1_000 * MS), barrier(1, cutoff())],
    );
    assert_eq!(known.check_at("1", cutoff(), now), Verdict::Ended);
    assert_eq!(known.check_at("1", cutoff() + MS, now), Verdict::Live);
}

#[test]
fn people_are_known_by_the_name_that_was_chosen_alone() {
    let names = ["1", " PERSON1@acme.EXAMPLE", "E-1"];
    for (chosen, known_by) in [KnownBy::UserId, KnownBy::Login, KnownBy::ExternalId].into_iter().enumerate() {
        let (known, now) = knowing(BarrierOptions::new(known_by), vec![barrier(1, cutoff())]);
        for (n, name) in names.into_iter().enumerate() {
            let verdict = if n == chosen { Verdict::Ended } else { Verdict::Live };
            assert_eq!(known.check_at(name, cutoff(), now), verdict, "{name} by {known_by:?}");
        }
    }
    let nameless = Barrier { login: None, external_id: None, ..barrier(1, cutoff()) };
    let (known, now) = knowing(BarrierOptions::new(KnownBy::Login), vec![nameless]);
    assert_eq!(known.check_at("", cutoff(), now), Verdict::Live);
}

#[test]
fn login_is_folded_as_the_service_folds_it() {
    let zoe = Barrier { login: Some("ZOË@Acme.example ".to_owned()), ..barrier(1, cutoff()) };
    let (known, now) = knowing(BarrierOptions::new(KnownBy::Login), vec![zoe]);
    for login in ["zoë@acme.example", "Zoë@ACME.example", "\tzoË@acme.example "] {
        assert_eq!(known.check_at(login, cutoff(), now), Verdict::Ended, "{login}");
    }
    assert_eq!(known.check_at("zoe@acme.example", cutoff(), now), Verdict::Live);
}

#[test]
fn silence_makes_it_stale_and_what_was_ended_stays_ended() {
    let known = Known::new(BarrierOptions::new(KnownBy::UserId));
    let now = Instant::now();
    known.learn(&news(vec![barrier(1, cutoff())]));
    assert_eq!(known.check_at("1", cutoff(), now), Verdict::Ended, "it never caught up");
    assert_eq!(known.check_at("2", cutoff(), now), Verdict::Stale, "it never caught up");

    known.heard(now);
    for (later, verdict) in [
        (Duration::ZERO, Verdict::Live),
        (Duration::from_nanos(4_999_999_999), Verdict::Live),
        (Duration::from_secs(5), Verdict::Stale),
        (Duration::from_hours(1), Verdict::Stale),
    ] {
        assert_eq!(known.check_at("2", cutoff(), now + later), verdict, "{later:?} later");
        assert_eq!(known.check_session_at("any", now + later), verdict, "{later:?} later");
        assert_eq!(known.check_at("1", cutoff(), now + later), Verdict::Ended, "{later:?} later");
    }
    known.heard(now + Duration::from_hours(1));
    assert_eq!(known.check_at("2", cutoff(), now + Duration::from_hours(1)), Verdict::Live);
}

#[test]
fn session_ended_alone_is_known_by_the_digest_of_its_id_until_it_expires() {
    let known = Known::new(BarrierOptions::new(KnownBy::UserId));
    // SHA-256 of "abc" (FIPS 180-2, appendix B.1), base64url.
    let ended = EndedSession {
        id: "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0".into(),
        user_id: "1".into(),
        expires_at: cutoff(),
    };
    known.learn(&Barriers { ended_sessions: vec![ended], ..Barriers::default() });
    let now = Instant::now();
    known.heard(now);
    known.forget(cutoff());
    assert_eq!(known.check_session_at("abc", now), Verdict::Ended);
    assert_eq!(known.check_session_at("abd", now), Verdict::Live);
    known.forget(cutoff() + SignedDuration::from_mins(1));
    assert_eq!(known.check_session_at("abc", now), Verdict::Live);
}

#[test]
fn barriers_older_than_any_session_are_forgotten() {
    let month = SignedDuration::from_hours(30 * 24);
    let old = vec![barrier(1, cutoff() - month - MS), barrier(2, cutoff() - month), barrier(3, cutoff())];
    let (known, now) = knowing(BarrierOptions::new(KnownBy::UserId), old);
    let verdicts = || ["1", "2", "3"].map(|user| known.check_at(user, at("2026-01-01T00:00:00Z"), now));
    // A clock that is far behind or ahead makes nothing be forgotten.
    known.forget(at("1970-01-01T00:00:00Z"));
    assert_eq!(verdicts(), [Verdict::Ended; 3]);
    known.forget(at("9000-01-01T00:00:00Z"));
    assert_eq!(verdicts(), [Verdict::Live, Verdict::Ended, Verdict::Ended]);
}

#[tokio::test]
async fn task_ends_with_the_last_guard() {
    let builder = Client::builder(Auth::developer_token("T")).base_url(NOWHERE).retry(Retry::never());
    let guard = builder.build().expect("a client").follow_barriers(BarrierOptions::new(KnownBy::Login));
    let known = std::sync::Arc::downgrade(&guard.known);
    let clone = guard.clone();
    drop(guard);
    tokio::task::yield_now().await;
    assert_eq!(clone.check("ann", cutoff()), Verdict::Stale);
    drop(clone);
    let deadline = Instant::now() + Duration::from_secs(20);
    while known.upgrade().is_some() {
        assert!(Instant::now() < deadline, "the task goes on");
        tokio::task::yield_now().await;
    }
}
