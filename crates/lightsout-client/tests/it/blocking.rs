//! The face for programs without async: the same stories in short, and from several threads.

use std::thread;
use std::time::Duration;

use lightsout_client::api::{CreateTermination, TerminationState};
use lightsout_client::blocking::{Client, SessionTerminationApi, SessionTerminationManager};
use lightsout_client::{
    Auth, CreateGroupTerminateSessionRequestBody, CreateUserTerminateSessionRequestBody, Error, EventQuery,
    Finding, Jwt, Parts, Subject,
};
use lightsout_testkit::{Answer, Script, Scripted, Service, example_blocking};
use tokio::runtime::Runtime;

fn admin(service: &Service) -> Result<Client, Error> {
    Client::new(&service.url, Auth::developer_token(service.token.as_str()))
}

#[test]
fn termination_is_made_followed_and_read() {
    example_blocking(|service| {
        let client = admin(service)?;
        let request = CreateTermination {
            logins: vec!["ann@acme.example".to_owned(), "bob@acme.example".to_owned()],
            ..CreateTermination::default()
        };
        assert_eq!(client.preview_termination(&request)?.people, 2);
        let id = client.terminate(&request, None)?.id.0;
        let types = client.follow_termination(&id).map(|event| Ok(event?.event_type));
        let types: Vec<String> = types.collect::<Result<_, Error>>()?;
        assert_eq!(types.first().map(String::as_str), Some("SESSION_TERMINATION_REQUESTED"));
        assert_eq!(types.last().map(String::as_str), Some("SESSION_TERMINATION_DONE"));
        assert_eq!(client.wait_until_done(&id)?.state, TerminationState::Done);
        assert_eq!(client.all_outcomes(&id).count(), 2);
        let history = client.events(EventQuery::history()).collect::<Result<Vec<_>, _>>()?;
        let mut on_going = client.follow_events(EventQuery::streaming(), Duration::from_millis(1));
        assert_eq!(
            on_going.next().transpose()?.map(|event| event.event_id),
            Some(history[0].event_id.clone())
        );
        Ok(())
    });
}

#[test]
fn faces_of_box_work_without_async() {
    example_blocking(|service| {
        let client = admin(service)?;
        let group = || CreateGroupTerminateSessionRequestBody { group_ids: vec![service.group_id.clone()] };
        let logins = vec!["ann@acme.example".to_owned(), "bob@acme.example".to_owned()];
        let users =
            || CreateUserTerminateSessionRequestBody { user_ids: None, user_logins: Some(logins.clone()) };
        let api = SessionTerminationApi::new(client.clone());
        assert!(api.post_users_terminate_sessions(Some(users()))?.message.is_some());
        assert!(matches!(api.post_groups_terminate_sessions(None), Err(Error::Invalid(_))));
        let manager = SessionTerminationManager::new(client);
        manager.create_user_terminate_session(users())?;
        manager.create_group_terminate_session(group())?;
        let parts = manager.terminate_users_in_parts(users(), Parts { size: 1, at_once: 2 });
        assert!(parts.len() == 2 && parts.iter().all(|part| part.result.is_ok()));
        let found = manager.terminate_groups_and_wait(group(), Duration::from_mins(1))?;
        assert!(matches!(found, Finding::Finished(_)));
        Ok(())
    });
}

#[test]
fn one_client_serves_several_threads_and_subjects() {
    example_blocking(|service| {
        let app = Jwt::from_file(&service.jwt_config)?;
        let client = Client::new(&service.url, app.clone())?;
        let logins: Vec<Option<String>> = thread::scope(|scope| {
            let ask = |_| scope.spawn(|| client.me().map(|me| me.login));
            let threads: Vec<_> = (0..8).map(ask).collect();
            threads.into_iter().map(|t| t.join().expect("no panic").expect("a user")).collect()
        });
        assert!(logins.iter().all(|login| login == &logins[0] && login.is_some()), "{logins:?}");
        let ann = client.with_auth(app.with_subject(Subject::user(&service.user_id)));
        assert_eq!(ann.me()?.login.as_deref(), Some("ann@acme.example"));
        assert_eq!(client.as_user(&service.user_id).me()?.login.as_deref(), Some("ann@acme.example"));
        // An iterator outlives the client that made it.
        let users = client.all_users("");
        drop((client, ann));
        assert_eq!(users.collect::<Result<Vec<_>, _>>()?.len(), 4);
        Ok(())
    });
}

#[test]
fn iterator_ends_after_an_error() {
    let runtime = Runtime::new().expect("a runtime");
    let script = Script { token: Vec::new(), calls: vec![Answer::empty(403)] };
    let server = runtime.block_on(Scripted::start(script));
    let client = Client::new(&server.url, Auth::developer_token("TOKEN")).expect("a client");
    let mut users = client.all_users("");
    assert!(matches!(users.next(), Some(Err(Error::NotAllowed(_)))));
    assert!(users.next().is_none());
    assert_eq!(server.calls().len(), 1);
}
