//! Terminations are followed to their end, whatever happens on the way.

use std::time::Duration;

use lightsout_client::api::TerminationState;
use lightsout_client::{Client, Error, EventQuery, Follow, Retry};
use lightsout_testkit::Answer;

use serde_json::json;

use crate::kit::{answering, client, developer, event, sse, stream, termination};

const SECOND: Duration = Duration::from_secs(1);

async fn event_ids(mut events: Follow) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(event) = events.next().await.expect("it goes on by itself") {
        ids.push(event.event_id);
    }
    ids
}

fn closing() -> Answer {
    stream(&sse(2, "SESSION_TERMINATION_DONE"))
}

#[tokio::test]
async fn broken_stream_is_taken_up_where_it_broke() {
    // Half of it is the first event, and a comment that breaks off.
    let first = sse(1, "SESSION_TERMINATION_REQUESTED");
    let broken = format!("{first}{}", ":".repeat(first.len() + 20));
    let server = answering([
        stream(&broken).cut(),
        Answer::empty(503),
        stream(&sse(2, "SESSION_TERMINATION_DONE")),
        termination("done"),
    ])
    .await;
    let mut events = client(&server.url, developer()).follow_termination("t1");
    let mut ids = Vec::new();
    while let Some(event) = events.next().await.expect("it goes on by itself") {
        ids.push(event.event_id);
    }
    assert_eq!(ids, ["e1", "e2"]);
    let calls = server.calls();
    let resumed: Vec<_> = calls.iter().map(|call| call.header("last-event-id")).collect();
    assert_eq!(resumed, [None, Some("1"), Some("1"), None], "the last request reads the termination");

    let server = answering([Answer::empty(404)]).await;
    let mut events = client(&server.url, developer()).follow_termination("t1");
    let error = events.next().await.expect_err("there is none");
    assert!(matches!(error, Error::NotFound(_)), "{error:?}");
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn failure_at_the_very_end_is_outlived() {
    let failing = || Answer::empty(503);
    // The end is asked for, then the termination is read: each fails once before it succeeds.
    let server = answering([
        closing(),
        failing(),
        stream(&sse(2, "SESSION_TERMINATION_DONE")),
        termination("done"),
        failing(),
        termination("done"),
    ])
    .await;
    let builder = Client::builder(developer()).base_url(&server.url).retry(Retry::never());
    let done = builder.build().expect("a client").wait_until_done("t1").await.expect("it goes on by itself");
    assert_eq!(done.state, TerminationState::Done);
    assert_eq!(server.calls().len(), 6);
}

#[tokio::test]
async fn dropped_call_loses_no_connection_that_was_being_opened() {
    let server = answering([closing().gated(), termination("done")]).await;
    let mut events = client(&server.url, developer()).follow_termination("t1");
    tokio::select! {
        _ = events.next() => panic!("the answer is held back"),
        () = server.arrived(1) => {}
    }
    server.release();
    assert_eq!(event_ids(events).await, ["e2"]);
    assert_eq!(server.calls().len(), 2, "the stream was opened once");
}

#[tokio::test]
async fn dropped_calls_shorten_no_wait() {
    let failing = Answer::empty(503).header("retry-after", "1");
    let server = answering([failing, closing(), termination("done")]).await;
    let mut events = client(&server.url, developer()).follow_termination("t1");
    let event = loop {
        if let Ok(next) = tokio::time::timeout(Duration::from_millis(20), events.next()).await {
            break next.expect("it goes on by itself");
        }
    };
    assert!(event.is_some() && events.is_connected());
    let calls = server.calls();
    assert!(calls[1].at - calls[0].at >= SECOND, "it waits as it was told");
}

#[tokio::test]
async fn stream_of_another_kind_of_line_ends_is_read() {
    let text = format!("{}{}", sse(1, "SESSION_TERMINATION_REQUESTED"), sse(2, "SESSION_TERMINATION_DONE"));
    let server = answering([stream(&text.replace('\n', "\r\n")), termination("done")]).await;
    assert_eq!(event_ids(client(&server.url, developer()).follow_termination("t1")).await, ["e1", "e2"]);
}

#[tokio::test]
async fn stream_that_is_slow_to_open_is_opened_again() {
    let slow_error = Answer::empty(503).header("content-length", "1000");
    let server = answering([closing().gated(), slow_error, closing(), termination("done")]).await;
    let builder = Client::builder(developer()).base_url(&server.url).timeout(SECOND / 4);
    let events = builder.build().expect("a client").follow_termination("t1");
    assert_eq!(event_ids(events).await, ["e2"]);
    assert_eq!(server.calls().len(), 4);
}

#[tokio::test]
async fn event_without_an_end_ends_following() {
    let server = answering([stream(&"data: and so on\n".repeat(1_000)).endless()]).await;
    let error = client(&server.url, developer()).follow_termination("t1").next().await;
    let error = error.expect_err("nobody keeps it all");
    assert!(matches!(error, Error::Unreadable { status: 200, .. }), "{error:?}");
}

fn page(n: u32) -> Answer {
    Answer::json(
        200,
        json!({"chunk_size": 1, "next_stream_position": n, "entries": [event(n, "LOGIN", "12")]}),
    )
}

fn once(base_url: &str) -> Client {
    Client::builder(developer()).base_url(base_url).retry(Retry::never()).build().expect("a client")
}

#[tokio::test]
async fn outage_is_outlived_and_the_server_asked_no_faster() {
    let away = Answer::empty(503).header("retry-after", "1");
    let server = answering([page(1), away, Answer::empty(500), page(2)]).await;
    let mut events = once(&server.url).follow_events(EventQuery::streaming(), SECOND / 2);
    assert_eq!(events.next().await.expect("a page").expect("an event").event_id, "e1");
    assert!(events.is_connected());
    let mut was_away = false;
    let event = loop {
        // Dropped again and again, it still waits as it should.
        match tokio::time::timeout(Duration::from_millis(20), events.next()).await {
            Ok(next) => break next.expect("it goes on by itself").expect("an event"),
            Err(_) => was_away |= !events.is_connected(),
        }
    };
    assert_eq!(event.event_id, "e2");
    assert!(was_away && events.is_connected());
    let at: Vec<_> = server.calls().iter().map(|call| call.at).collect();
    assert_eq!(at.len(), 4);
    assert!(at[2] - at[1] >= SECOND, "as the server said");
    assert!(at[3] - at[2] >= SECOND / 2, "as the caller said");
}

#[tokio::test]
async fn dropped_call_loses_no_page_that_was_asked_for() {
    let server = answering([page(1).gated()]).await;
    let mut events = once(&server.url).follow_events(EventQuery::streaming(), SECOND);
    tokio::select! {
        _ = events.next() => panic!("the answer is held back"),
        () = server.arrived(1) => {}
    }
    server.release();
    assert!(events.next().await.expect("a page").is_some());
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn refusal_ends_following_and_is_not_hammered() {
    let server = answering([Answer::empty(403)]).await;
    let mut events = once(&server.url).follow_events(EventQuery::streaming(), SECOND / 2);
    for _ in 0..2 {
        assert!(matches!(events.next().await, Err(Error::NotAllowed(_))));
    }
    let calls = server.calls();
    assert!(calls[1].at - calls[0].at >= SECOND / 2);
}
