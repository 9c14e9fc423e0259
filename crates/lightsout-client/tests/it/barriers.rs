//! A guard knows what the feed says, however it is cut, delayed or refused.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use lightsout_client::api::CreateTermination;
use lightsout_client::{
    BarrierGuard, BarrierOptions, Client, ClientCredentials, Error, KnownBy, Retry, Subject, Verdict,
};
use lightsout_testkit::{Answer, Script, Scripted, Service};
use serde_json::{Value, json};

use crate::kit::{answering, app, client, developer, stream};

const WITHIN: Duration = Duration::from_secs(30);

/// When Ann's and Bob's sessions were ended.
fn cutoff() -> Timestamp {
    "2026-05-04T10:00:00Z".parse().expect("a time")
}

/// The ends of these people's sessions, as a service tells them.
pub(crate) fn news(position: i64, user_ids: &[&str]) -> Value {
    let barrier =
        |id: &&str| json!({"user_id": id, "login": format!("{id}@Acme.example"), "cutoff": cutoff()});
    json!({"position": position, "barriers": user_ids.iter().map(barrier).collect::<Vec<_>>()})
}

pub(crate) fn message(id: i64, event: &str, data: &Value) -> String {
    format!("event: {event}\nid: {id}\ndata: {data}\n\n")
}

fn barriers(position: i64, user_ids: &[&str]) -> String {
    message(position, "barriers", &news(position, user_ids))
}

pub(crate) fn heartbeat(position: i64) -> String {
    message(position, "heartbeat", &json!({"position": position}))
}

/// A stream that stays open and says nothing more.
pub(crate) fn silent_after(text: &str) -> Answer {
    stream(text).header("content-length", "1000000")
}

fn by_id() -> BarrierOptions {
    BarrierOptions { stale_after: WITHIN, ..BarrierOptions::new(KnownBy::UserId) }
}

fn follow(server: &Scripted, options: BarrierOptions) -> BarrierGuard {
    client(&server.url, developer()).follow_barriers(options)
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + WITHIN;
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    while !condition() {
        assert!(Instant::now() < deadline, "{what} within {WITHIN:?}");
        ticks.tick().await;
    }
}

#[tokio::test]
async fn stream_that_is_cut_anywhere_is_taken_up_where_it_was_whole() {
    let text = [barriers(3, &["1"]), heartbeat(3), barriers(5, &["2"]), heartbeat(5)].concat();
    let cut_at = |end: usize| {
        let text = &text;
        async move {
            let (before, all) = (&text[..end], text.as_str());
            let server = answering([stream(before), silent_after(all)]).await;
            let guard = follow(&server, by_id());
            until("everything is known", || guard.position() == 5 && guard.is_fresh()).await;
            for (user, verdict) in [("1", Verdict::Ended), ("2", Verdict::Ended), ("3", Verdict::Live)] {
                assert_eq!(guard.check(user, cutoff()), verdict, "{user} after a cut at {end}");
            }
            // The cut is at the end of a message, or in one that is not taken.
            server.arrived(2).await;
            let whole = before.rmatch_indices("\n\n").next().map_or("", |(at, _)| &before[..at]);
            let last_id = whole.rsplit_once("\nid: ").map(|(_, rest)| &rest[..1]);
            let calls = server.calls();
            assert_eq!(calls[0].header("last-event-id"), None);
            assert_eq!(calls[1].header("last-event-id"), last_id, "after a cut at {end}");
            assert!(calls.iter().all(|call| call.header("accept") == Some("text/event-stream")));
        }
    };
    join_all((0..=text.len()).step_by(9).map(cut_at)).await;
}

#[tokio::test]
async fn broken_connection_is_opened_again() {
    let text = [barriers(3, &["1"]), heartbeat(3)].concat();
    let server = answering([stream(&text).cut(), Answer::drop_after_reading(), silent_after(&text)]).await;
    let guard = follow(&server, by_id());
    guard.caught_up().await.expect("it goes on by itself");
    assert_eq!(guard.check("1", cutoff()), Verdict::Ended);
    until("the failure is mended", || guard.failure().is_none()).await;
}

#[tokio::test]
async fn entries_that_come_again_or_late_change_nothing() {
    let hour = jiff::SignedDuration::from_hours(1);
    let older = json!({"position": 4, "barriers": [{"user_id": "1", "cutoff": cutoff() - hour}]});
    let again = [barriers(3, &["1"]), barriers(3, &["1"]), message(4, "barriers", &older), heartbeat(4)];
    let server = answering([silent_after(&again.concat())]).await;
    let guard = follow(&server, BarrierOptions { clock_skew: Duration::ZERO, ..by_id() });
    guard.caught_up().await.expect("it is told");
    assert_eq!(guard.check("1", cutoff()), Verdict::Ended);
    assert_eq!(guard.check("1", cutoff() + hour), Verdict::Live);
}

#[tokio::test]
async fn guard_is_not_fresh_before_it_is_told_that_nothing_is_missing() {
    let part = [barriers(0, &["1"]), message(9, "weather", &json!("fine")), barriers(5, &["2"])].concat();
    let server = answering([silent_after(&part)]).await;
    let guard = follow(&server, by_id());
    until("the barriers came", || guard.position() == 5).await;
    assert!(!guard.is_fresh());
    assert_eq!(guard.check("1", cutoff()), Verdict::Ended);
    assert_eq!(guard.check("3", cutoff()), Verdict::Stale);
}

#[tokio::test]
async fn silent_service_makes_it_stale_and_is_asked_again() {
    let stale_after = Duration::from_millis(50);
    let text = [barriers(3, &["1"]), heartbeat(3)].concat();
    let stale_node = Answer::empty(503).header("retry-after", "1");
    let server = answering([silent_after(&text), stale_node, stream(&heartbeat(3)).endless()]).await;
    let guard = follow(&server, BarrierOptions { stale_after, ..by_id() });
    guard.caught_up().await.expect("it is told");
    until("silence makes it stale", || guard.check("2", cutoff()) == Verdict::Stale).await;
    assert_eq!(guard.check("1", cutoff()), Verdict::Ended, "that is known");

    server.arrived(2).await;
    until("it is fresh again", || guard.check("2", cutoff()) == Verdict::Live).await;
    assert!(guard.failure().is_none());
    let calls = server.calls();
    assert!(calls[2].at - calls[1].at >= Duration::from_secs(1), "it waits as it was told");
    assert_eq!(calls[2].header("last-event-id"), Some("3"));
}

#[tokio::test]
async fn refused_token_is_renewed() {
    let script = Script {
        token: vec![Answer::token("OLD", 3600), Answer::token("NEW", 3600)],
        calls: vec![Answer::empty(401), silent_after(&heartbeat(0))],
    };
    let server = Scripted::start(script).await;
    let guard = client(&server.url, app()).follow_barriers(by_id());
    guard.caught_up().await.expect("the new token is good");
    let tokens: Vec<_> =
        server.calls().iter().map(|call| call.header("authorization").expect("a token").to_owned()).collect();
    assert_eq!(tokens, ["Bearer OLD", "Bearer NEW"]);
}

#[tokio::test]
async fn refused_guard_says_so_and_tries_on() {
    let server = answering([Answer::empty(403), silent_after(&heartbeat(0))]).await;
    let guard = follow(&server, by_id());
    let error = guard.caught_up().await.expect_err("it may not");
    assert!(matches!(error, Error::NotAllowed(_)), "{error:?}");
    assert!(matches!(guard.failure(), Some(Error::NotAllowed(_))));
    until("it may now", || guard.is_fresh()).await;
    guard.caught_up().await.expect("it was mended");
    assert!(guard.failure().is_none());
}

#[tokio::test]
async fn message_that_cannot_be_read_is_not_passed_over() {
    let wrong = message(4, "barriers", &json!({"position": "four"}));
    let server = answering([silent_after(&[barriers(3, &["1"]), wrong, heartbeat(4)].concat())]).await;
    let guard = follow(&server, by_id());
    let error = guard.caught_up().await.expect_err("something is missing");
    assert!(matches!(error, Error::Unreadable { status: 200, .. }), "{error:?}");
    assert_eq!((guard.position(), guard.is_fresh()), (3, false));
    assert_eq!(guard.check("1", cutoff()), Verdict::Ended);
    server.arrived(2).await;
    assert_eq!(server.calls()[1].header("last-event-id"), Some("3"));
}

#[tokio::test]
async fn feed_that_begins_anew_is_read_anew() {
    let restored = [barriers(2, &["2"]), heartbeat(2)].concat();
    let server = answering([stream(&[barriers(9, &["1"]), heartbeat(9)].concat()), silent_after(&restored)]);
    let server = server.await;
    let guard = follow(&server, by_id());
    until("the restored log was read", || guard.position() == 2).await;
    for user in ["1", "2"] {
        assert_eq!(guard.check(user, cutoff()), Verdict::Ended, "{user}");
    }
}

#[tokio::test]
async fn long_poll_asks_for_what_came_since() {
    let server = answering([Answer::json(200, news(7, &["1"]))]).await;
    let answer =
        client(&server.url, developer()).barriers(5, Duration::from_secs(90)).await.expect("an answer");
    assert_eq!((answer.position, answer.barriers[0].user_id.as_str()), (7, "1"));
    let hasty = Client::builder(developer()).base_url(&server.url).retry(Retry::never());
    let hasty = hasty.timeout(Duration::from_secs(20)).build().expect("a client");
    hasty.barriers(7, Duration::from_secs(30)).await.expect("an answer");
    let asked: Vec<_> = server.calls().into_iter().map(|call| (call.path, call.query)).collect();
    let path = "/v1/barriers".to_owned();
    // The service must answer before the client gives up.
    assert_eq!(asked[0], (path.clone(), "after=5&wait_s=50".to_owned()));
    assert_eq!(asked[1], (path, "after=7&wait_s=10".to_owned()));
}

#[tokio::test]
async fn service_is_followed_until_it_stops_and_what_it_ended_stays_ended() {
    let service = Service::start().await;
    let subject = Subject::enterprise(&service.enterprise_id);
    let app = ClientCredentials::new(&service.client_id, service.client_secret.clone(), subject);
    let client = client(&service.url, app);
    let alone = service.sign_in("bob@acme.example", 1).await.remove(0);
    let stale_after = Duration::from_secs(3);
    let (user_id, admin_id) = (service.user_id.clone(), service.admin_id.clone());
    let guards = [
        (KnownBy::Login, ["ANN@acme.example", "bob@acme.example"]),
        (KnownBy::UserId, [&*user_id, &*admin_id]),
    ];
    let guards = guards.map(|(known_by, names)| {
        let options = BarrierOptions { stale_after, ..BarrierOptions::new(known_by) };
        (client.follow_barriers(options), names)
    });
    let long_ago = Timestamp::UNIX_EPOCH;
    for (guard, names) in &guards {
        guard.caught_up().await.expect("the app may");
        assert_eq!(names.map(|name| guard.check(name, long_ago)), [Verdict::Live; 2]);
    }

    let request = CreateTermination { user_ids: vec![service.user_id.as_str().into()], ..Default::default() };
    let accepted = client.terminate(&request, None).await.expect("accepted");
    let ended = client.termination(&accepted.id.0).await.expect("it is there");
    let bob = client.all_users("bob@").collect().await.expect("a directory").remove(0);
    let sessions = client.sessions(&bob.id.0, None).await.expect("a page").entries;
    client.end_session(sessions[0].id.as_str()).await.expect("ended");
    for (guard, names) in &guards {
        until("it is refused", || guard.check_session(&alone) == Verdict::Ended).await;
        assert_eq!(guard.check(names[0], ended.cutoff), Verdict::Ended);
        assert_eq!(guard.check(names[0], Timestamp::MAX), Verdict::Live, "a later sign-in");
        assert_eq!(guard.check(names[1], long_ago), Verdict::Live);
    }

    service.stop().await;
    for (guard, names) in &guards {
        until("it is stale", || guard.check(names[1], long_ago) == Verdict::Stale).await;
        assert_eq!(guard.check(names[0], ended.cutoff), Verdict::Ended);
        assert_eq!(guard.check_session(&alone), Verdict::Ended);
        assert!(guard.failure().is_some_and(|error| error.is_passing()), "{:?}", guard.failure());
    }
}
