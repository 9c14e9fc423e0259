//! Terminations, events, lists and refusals: stories against the service, and against a server that
//! has what Box has and no more.

use std::collections::BTreeSet;
use std::time::Duration;

use lightsout_client::api::{CreateTermination, CreateUser, OutcomeState, TerminationState};
use lightsout_client::{
    Auth, Client, CreateUserTerminateSessionRequestBody, Error, EventQuery, Jwt, Missing, NotFound, Parts,
    Retry, SessionTerminationManager,
};
use lightsout_testkit::{Answer, Service};
use serde_json::{Value, json};

use crate::kit::{answering, client, developer, event, termination};

fn admin(service: &Service) -> Client {
    client(&service.url, Auth::developer_token(service.token.as_str()))
}

#[tokio::test]
async fn part_whose_answer_was_lost_is_sent_again_under_its_key() {
    let server = answering([Answer::drop_after_reading(), termination("done")]).await;
    let once = Client::builder(developer()).base_url(&server.url).retry(Retry::never());
    let client = once.build().expect("a client");
    let mut parts = client.terminate_in_parts(&of(&["a@x", "b@x"]), Parts { size: 1, at_once: 1 }).await;
    assert!(matches!(parts[1].result, Err(Error::NotSent)));
    let part = parts.remove(0);
    assert!(matches!(part.result, Err(Error::Transport { may_have_arrived: true, .. })));
    client.terminate(&part.request, part.idempotency_key.as_deref()).await.expect("accepted");
    let calls = server.calls();
    assert_eq!(calls[0].body, calls[1].body);
    assert_eq!(calls[0].header("idempotency-key"), calls[1].header("idempotency-key"));
    assert_ne!(part.idempotency_key, parts[0].idempotency_key);
}

fn of(logins: &[&str]) -> CreateTermination {
    CreateTermination {
        logins: logins.iter().map(|login| (*login).to_owned()).collect(),
        ..CreateTermination::default()
    }
}

#[tokio::test]
async fn large_list_is_split_and_each_part_says_what_became_of_it() {
    let service = Service::start().await;
    let client = admin(&service);
    let mut logins: Vec<String> = (0..25).map(|n| format!("person{n}@acme.example")).collect();
    for login in &logins {
        let user = CreateUser { name: login.clone(), login: Some(login.clone()), ..CreateUser::default() };
        client.create_user(&user).await.expect("a user");
    }
    let size = Parts { size: 10, at_once: 2 };
    let request = CreateTermination { logins: logins.clone(), ..CreateTermination::default() };
    assert_eq!(client.preview_in_parts(&request, size).await.expect("a preview").people, 25);
    assert!(client.all_terminations().collect().await.expect("a list").is_empty(), "a preview ends nothing");
    let parts = client.terminate_in_parts(&request, size).await;
    let people: Vec<u64> = parts.iter().map(|part| part.result.as_ref().expect("accepted").people).collect();
    assert_eq!(people, [10, 10, 5]);

    logins[12] = "nobody@acme.example".to_owned();
    let body = CreateUserTerminateSessionRequestBody { user_ids: None, user_logins: Some(logins) };
    let parts = SessionTerminationManager::new(client.clone()).terminate_users_in_parts(body, size).await;
    let sizes: Vec<usize> =
        parts.iter().map(|p| p.request.user_logins.as_ref().map_or(0, Vec::len)).collect();
    assert_eq!(sizes, [10, 10, 5]);
    let accepted: Vec<bool> = parts.iter().map(|part| part.result.is_ok()).collect();
    assert_eq!(accepted, [true, false, true]);
    let error = parts[1].result.as_ref().expect_err("one of them is unknown");
    let unknown = NotFound { kind: "login".to_owned(), value: "nobody@acme.example".to_owned() };
    assert_eq!(error.api().expect("an answer").not_found(), [unknown]);
    assert_eq!(client.all_terminations().collect().await.expect("a list").len(), 5);
}

#[tokio::test]
async fn termination_is_followed_to_its_end_and_read_afterwards() {
    let service = Service::start().await;
    let sessions = service.sign_in("ann@acme.example", 2).await;
    let app = client(&service.url, Jwt::from_file(&service.jwt_config).expect("the kit's own"));
    assert!(app.introspect(&sessions[0]).await.expect("an answer").active);
    let asked = CreateTermination { reason: Some("laptop stolen".to_owned()), ..of(&["ann@acme.example"]) };
    let accepted = app.terminate(&asked, Some("incident-7")).await.expect("accepted");
    let repeated = app.terminate(&asked, Some("incident-7")).await.expect("accepted");
    assert_eq!(repeated.id, accepted.id, "the same key names the same termination");
    let other = app.terminate(&asked, None).await.expect("accepted");
    assert_ne!(other.id, accepted.id);

    let mut events = app.follow_termination(&accepted.id.0);
    let mut types = Vec::new();
    while let Some(event) = events.next().await.expect("an event") {
        types.push(event.event_type);
    }
    let expected =
        ["SESSION_TERMINATION_REQUESTED", "SESSION_TERMINATION_OUTCOME", "SESSION_TERMINATION_DONE"];
    assert_eq!(types, expected);
    assert!(events.next().await.expect("it stays at the end").is_none());

    let done = app.wait_until_done(&accepted.id.0).await.expect("it is done");
    assert_eq!((done.state, done.reason.as_deref()), (TerminationState::Done, Some("laptop stolen")));
    let outcomes = app.all_outcomes(&accepted.id.0).collect().await.expect("outcomes");
    let ended: Vec<_> = outcomes.iter().map(|o| (o.outcome, o.sessions_ended)).collect();
    assert_eq!(ended, [(OutcomeState::Ended, 2)]);
    assert!(!app.introspect(&sessions[0]).await.expect("an answer").active);
    let error = app.retry_termination(&accepted.id.0).await.expect_err("nothing was given up");
    assert_eq!(error.api().expect("an answer").code, "nothing_to_retry");
}

#[tokio::test]
async fn events_come_in_pages_and_go_on() {
    let service = Service::start().await;
    let client = admin(&service);
    let all = client.event_page(&EventQuery::history()).await.expect("a page").entries;
    assert!(all.len() > 4, "the set-up left {} events", all.len());
    let mut few = client.events(EventQuery { limit: 2, ..EventQuery::history() });
    let mut ids = Vec::new();
    while let Some(event) = few.next().await.expect("an event") {
        ids.push(event.event_id);
    }
    assert_eq!(ids, all.iter().map(|event| event.event_id.clone()).collect::<Vec<_>>());

    let position = few.position().map(ToOwned::to_owned);
    let mut follow = client.follow_events(
        EventQuery { position: position.clone(), ..EventQuery::streaming() },
        Duration::from_millis(1),
    );
    let ends = async { client.terminate(&of(&["ann@acme.example"]), None).await.expect("accepted") };
    let (event, accepted) = tokio::join!(follow.next(), ends);
    let event = event.expect("no error").expect("it follows");
    assert_eq!(event.event_type, "SESSION_TERMINATION_REQUESTED");
    client.wait_until_done(&accepted.id.0).await.expect("done");
    let only = EventQuery {
        position,
        event_types: vec!["SESSION_TERMINATION_DONE".to_owned()],
        ..EventQuery::history()
    };
    let page = client.event_page(&only).await.expect("a page");
    assert_eq!(page.entries.len(), 1);
}

#[tokio::test]
async fn event_that_box_repeats_is_given_once() {
    let page = |position: u32, entries: &[u32]| {
        let entries: Vec<Value> = entries.iter().map(|n| event(*n, "LOGIN", "12")).collect();
        Answer::json(
            200,
            json!({"chunk_size": entries.len(), "next_stream_position": position, "entries": entries}),
        )
    };
    let server = answering([page(5, &[1, 2]), page(7, &[2, 1, 3]), page(7, &[3])]).await;
    let mut events = client(&server.url, developer()).events(EventQuery::streaming());
    let mut ids = Vec::new();
    while let Some(event) = events.next().await.expect("an event") {
        ids.push(event.event_id);
    }
    assert_eq!(ids, ["e1", "e2", "e3"]);
    let queries: Vec<String> = server.calls().into_iter().map(|call| call.query).collect();
    let asked = "stream_type=admin_logs_streaming&limit=500";
    let expected =
        [asked.to_owned(), format!("{asked}&stream_position=5"), format!("{asked}&stream_position=7")];
    assert_eq!(queries, expected);
}

#[tokio::test]
async fn lists_are_read_over_every_page() {
    let user = |id: u32| json!({"type": "user", "id": id.to_string()});
    let by_marker = [
        json!({"entries": [user(1), user(2)], "limit": 2, "next_marker": "m1"}),
        json!({"entries": [], "limit": 2, "next_marker": "m2"}),
        json!({"entries": [user(3)], "limit": 2, "next_marker": ""}),
    ];
    let server = answering(by_marker.map(|page| Answer::json(200, page))).await;
    let users = client(&server.url, developer()).all_users("a b").collect().await.expect("users");
    assert_eq!(users.iter().map(|user| user.id.0.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    let queries: Vec<String> = server.calls().into_iter().map(|call| call.query).collect();
    assert!(queries[0].contains("usemarker=true") && queries[0].contains("filter_term=a+b"), "{queries:?}");
    assert!(!queries[0].contains("&marker="), "{queries:?}");
    assert!(queries[1].ends_with("&marker=m1") && queries[2].ends_with("&marker=m2"), "{queries:?}");

    let group = |id: u32| json!({"type": "group", "id": id.to_string()});
    let by_offset = [
        json!({"entries": [group(1), group(2)], "limit": 2, "offset": 0, "total_count": 3}),
        json!({"entries": [group(3)], "limit": 2, "offset": 2, "total_count": 3}),
    ];
    let server = answering(by_offset.map(|page| Answer::json(200, page))).await;
    let groups = client(&server.url, developer()).all_groups("").collect().await.expect("groups");
    assert_eq!(groups.len(), 3);
    let queries: Vec<String> = server.calls().into_iter().map(|call| call.query).collect();
    assert_eq!(queries, ["limit=1000&offset=0", "limit=1000&offset=2"]);

    let service = Service::start().await;
    let client = admin(&service);
    let (mut marker, mut ids) = (None, BTreeSet::new());
    loop {
        let page = client.users("", marker.as_deref(), 2).await.expect("a page");
        assert!(page.entries.len() <= 2);
        ids.extend(page.entries.into_iter().map(|user| user.id.0));
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    let all = client.all_users("").collect().await.expect("users");
    assert_eq!(ids, all.into_iter().map(|user| user.id.0).collect());
    let second = client.groups("", 1, 1).await.expect("a page");
    assert_eq!((second.entries.len(), second.total_count), (1, Some(2)));
}

#[tokio::test]
async fn server_that_repeats_a_page_ends_the_list() {
    let user = json!({"type": "user", "id": "1"});
    let repeats = Answer::json(200, json!({"entries": [user], "next_marker": "m1"}));
    let server = answering([repeats]).await;
    let error = client(&server.url, developer()).all_users("").collect().await.expect_err("it has no end");
    assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
    assert_eq!(server.calls().len(), 2);

    let group = json!({"type": "group", "id": "1"});
    let stays = Answer::json(200, json!({"entries": [group], "offset": 0}));
    let server = answering([stays]).await;
    let error = client(&server.url, developer()).all_groups("").collect().await.expect_err("it has no end");
    assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn refusal_says_what_is_missing() {
    let service = Service::start().await;
    let missing = |error: Error| {
        assert!(matches!(error, Error::NotAllowed(_)), "{error:?}");
        error.api().and_then(lightsout_client::ApiError::missing).expect("it says so")
    };
    let users_only = service.token_of("ada@acme.example", &["manage_managed_users"]).await;
    let users_only = client(&service.url, Auth::developer_token(users_only));
    let manager = SessionTerminationManager::new(users_only.clone());
    let error = manager.terminate_groups_sessions(vec![service.group_id.clone()]).await;
    assert_eq!(missing(error.expect_err("no scope")), Missing::Scope("manage_groups".to_owned()));
    let error = users_only.event_page(&EventQuery::history()).await.expect_err("no scope");
    assert_eq!(missing(error), Missing::Scope("manage_enterprise_properties".to_owned()));

    let error = admin(&service).introspect("x").await.expect_err("a person has no rights");
    assert_eq!(missing(error), Missing::Right("introspect".to_owned()));

    let bob = service.token_of("bob@acme.example", &["manage_managed_users"]).await;
    let bob = client(&service.url, Auth::developer_token(bob));
    let error = bob.terminate(&of(&["ann@acme.example"]), None).await.expect_err("a plain user");
    assert!(matches!(missing(error), Missing::Role(_)));
    let gone = client(&service.url, Auth::developer_token("gone"));
    assert!(matches!(gone.me().await, Err(Error::NotAuthenticated(_))));
}
