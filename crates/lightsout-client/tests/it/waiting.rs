//! What became of an accepted request.

use std::time::Duration;

use lightsout_client::api::TerminationState;
use lightsout_client::{
    Auth, CreateGroupTerminateSessionRequestBody, CreateUserTerminateSessionRequestBody, Error, Finding,
    SessionTerminationManager,
};
use lightsout_testkit::{Answer, Service};
use serde_json::{Value, json};

use crate::kit::{answering, client, developer, event, manager, sse, stream, termination};

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_mins(1);

fn events(position: u32, entries: Value) -> Answer {
    Answer::json(200, json!({"chunk_size": 0, "next_stream_position": position, "entries": entries}))
}

/// What a service answers: the events before, then the acceptance.
fn by_a_service() -> [Answer; 2] {
    let accepted = Answer::accepted().header("location", "https://out.example/v1/terminations/t1");
    [events(1, json!([])), accepted]
}

fn users(ids: &[&str]) -> CreateUserTerminateSessionRequestBody {
    let user_ids = Some(ids.iter().map(|id| (*id).to_owned()).collect());
    CreateUserTerminateSessionRequestBody { user_ids, user_logins: None }
}

#[tokio::test]
async fn service_finishes_what_it_accepted() {
    let service = Service::start().await;
    let manager =
        SessionTerminationManager::new(client(&service.url, Auth::developer_token(service.token.as_str())));
    let found = manager.terminate_users_and_wait(users(&[&service.user_id]), LONG).await;
    let Finding::Finished(done) = found.expect("accepted") else { panic!("a service says so") };
    assert_eq!((done.state, done.people), (TerminationState::Done, 1));
    let body = CreateGroupTerminateSessionRequestBody { group_ids: vec![service.group_id.clone()] };
    let found = manager.terminate_groups_and_wait(body, LONG).await;
    let Finding::Finished(done) = found.expect("accepted") else { panic!("a service says so") };
    assert_eq!((done.state, done.people), (TerminationState::Done, 2));
}

#[tokio::test]
async fn box_accepts_and_its_events_are_all_that_is_known() {
    let page = |entries: Value| {
        Answer::json(200, json!({"chunk_size": 0, "next_stream_position": "9", "entries": entries}))
    };
    let since =
        json!([event(1, "LOGIN", "12"), event(2, "LOGIN", "13"), event(3, "USER_SESSION_ENDED", "14")]);
    let server = answering([page(json!([])), Answer::accepted(), page(since)]).await;
    let found =
        manager(&server.url, developer()).terminate_users_and_wait(users(&["12"]), Duration::ZERO).await;
    let Finding::Unknown { message, events, events_error } = found.expect("accepted") else {
        panic!("nobody can know")
    };
    assert!(message.message.is_some() && events_error.is_none());
    let ids: Vec<&str> = events.iter().map(|event| event.event_id.as_str()).collect();
    assert_eq!(ids, ["e1", "e3"], "of the target, or of sessions");
    let calls: Vec<String> = server.calls().iter().map(|c| format!("{} {}", c.method, c.query)).collect();
    let events = "GET stream_type=admin_logs_streaming&limit=500&stream_position";
    assert_eq!(calls, [format!("{events}=now"), "POST ".to_owned(), format!("{events}=9")]);
}

#[tokio::test]
async fn acceptance_counts_where_events_may_not_be_read() {
    let server = answering([Answer::empty(403), Answer::accepted()]).await;
    let found =
        manager(&server.url, developer()).terminate_users_and_wait(users(&["12"]), Duration::ZERO).await;
    let Finding::Unknown { events, events_error, .. } = found.expect("accepted") else {
        panic!("nobody can know")
    };
    assert!(events.is_empty());
    assert!(matches!(events_error, Some(Error::NotAllowed(_))), "{events_error:?}");
    assert_eq!(server.calls().len(), 2);

    // An event log that fails delays nothing: it is asked once.
    let server = answering([Answer::empty(503), Answer::accepted()]).await;
    let found =
        manager(&server.url, developer()).terminate_users_and_wait(users(&["12"]), Duration::ZERO).await;
    let Finding::Unknown { events_error, .. } = found.expect("accepted") else { panic!("nobody can know") };
    assert!(matches!(events_error, Some(Error::Unavailable(_))), "{events_error:?}");
    assert_eq!(server.calls().len(), 2);

    let server = answering([Answer::empty(403)]).await;
    let found =
        manager(&server.url, developer()).terminate_users_and_wait(users(&["12"]), Duration::ZERO).await;
    assert!(matches!(found, Err(Error::NotAllowed(_))), "the termination itself is refused");
}

#[tokio::test]
async fn acceptance_that_cannot_be_followed_is_told_with_its_id() {
    for status in [401, 403, 404] {
        let server = answering([by_a_service().to_vec(), vec![Answer::empty(status)]].concat()).await;
        let found = manager(&server.url, developer()).terminate_users_and_wait(users(&["12"]), LONG).await;
        let Finding::Accepted { message, termination_id, error } = found.expect("it was accepted") else {
            panic!("nobody knows more")
        };
        assert!(message.message.is_some());
        assert_eq!(termination_id.0, "t1");
        assert_eq!(error.and_then(|error| error.status()), Some(status));
    }
}

#[tokio::test]
async fn person_who_ends_the_own_session_is_told_that_it_was_accepted() {
    let service = Service::start().await;
    let token = service.token_of("ada@acme.example", &["manage_managed_users"]).await;
    let manager = manager(&service.url, Auth::developer_token(token));
    let found = manager.terminate_users_and_wait(users(&[&service.admin_id]), LONG).await;
    let Finding::Accepted { error, .. } = found.expect("it was accepted") else {
        panic!("the token is over")
    };
    assert!(matches!(error, Some(Error::NotAuthenticated(_))), "{error:?}");
}

#[tokio::test]
async fn patience_ends_the_wait_for_a_service() {
    // It answers nothing more.
    let server = answering([by_a_service().to_vec(), vec![Answer::empty(200).gated()]].concat()).await;
    let found =
        manager(&server.url, developer()).terminate_users_and_wait(users(&["12"]), Duration::ZERO).await;
    let found = found.expect("it was accepted");
    assert!(matches!(found, Finding::Accepted { error: None, .. }), "{found:?}");
}

#[tokio::test]
async fn endless_patience_is_no_panic() {
    let closing = stream(&sse(1, "SESSION_TERMINATION_DONE"));
    let script = [by_a_service().to_vec(), vec![closing, termination("done")]].concat();
    let server = answering(script).await;
    let found =
        manager(&server.url, developer()).terminate_users_and_wait(users(&["12"]), Duration::MAX).await;
    assert!(matches!(found, Ok(Finding::Finished(_))), "{found:?}");

    let server = answering([events(1, json!([])), Answer::accepted(), Answer::empty(403)]).await;
    let found =
        manager(&server.url, developer()).terminate_users_and_wait(users(&["12"]), Duration::MAX).await;
    assert!(matches!(found, Ok(Finding::Unknown { events_error: Some(_), .. })), "{found:?}");
}

#[tokio::test]
async fn full_pages_of_events_are_read_without_a_pause() {
    let page = |n: u32| events(n, json!([event(n, "LOGIN", "12")]));
    let script = [events(1, json!([])), Answer::accepted(), page(2), page(3), page(4), Answer::empty(403)];
    let server = answering(script).await;
    let found = manager(&server.url, developer()).terminate_users_and_wait(users(&["12"]), LONG).await;
    let Finding::Unknown { events, .. } = found.expect("accepted") else { panic!("nobody can know") };
    assert_eq!(events.len(), 3);
    let calls = server.calls();
    assert!(calls[5].at - calls[2].at < Duration::from_secs(2), "less than one pause");
}
