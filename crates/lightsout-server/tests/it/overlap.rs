//! Transactions that overlap: what one has not seen may undo nothing of the other.

use std::sync::Arc;

use lightsout_client::api::{CreateTermination, RegisterSession, SessionState, TerminationState};
use lightsout_server::args;
use lightsout_server::worker;
use tokio_util::sync::CancellationToken;

use crate::harness::{Database, Harness, both, eventually};

const SESSION: &str = "a-session-id-of-the-app";

fn session(user: &str) -> RegisterSession {
    RegisterSession {
        user_id: Some(user.into()),
        session_id: Some(SESSION.to_owned()),
        ..RegisterSession::default()
    }
}

fn termination(users: &[String]) -> CreateTermination {
    CreateTermination {
        user_ids: users.iter().map(|id| id.as_str().into()).collect(),
        ..CreateTermination::default()
    }
}

/// PostgreSQL alone lets two writers in. The registration starts before the end of that one session
/// commits, waits for it on the id's unique index, and must see the refusal that committed with it.
#[tokio::test]
async fn registration_that_waited_for_an_end_revives_nothing() {
    let h = Harness::start(Database::Postgres).await;
    let ann = h.user("ann").await;
    let registered = h.registrar.register_sessions(vec![session(&ann)]).await.expect("registered").remove(0);
    let mut end = h.app.db.begin().await.expect("a transaction");
    let ended = end.end_session(&h.enterprise_id, &registered.id.0).await.expect("ended");
    assert!(ended.is_some());
    let registration = tokio::spawn({
        let (registrar, again) = (h.registrar.clone(), session(&ann));
        async move { registrar.register_sessions(vec![again]).await }
    });
    eventually(async || {
        let waiting: Option<(i64,)> = h
            .app
            .db
            .find(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO sessions%'",
                args![],
            )
            .await
            .expect("PostgreSQL answers");
        waiting.is_some_and(|(n,)| n > 0)
    })
    .await;
    end.commit().await.expect("committed");
    let answer = registration.await.expect("no panic").expect("answered").remove(0);
    assert_eq!(answer.state, SessionState::Ended);
    assert!(!h.registrar.introspect(SESSION).await.expect("an answer").active);
    h.finish().await;
}

both! {
    async fn workers_that_settle_at_once_finish_a_termination_once(h: &mut Harness) {
        let mut users = Vec::new();
        for n in 0..8 {
            users.push(h.user(&format!("user{n}")).await);
        }
        let id = h.admin.terminate(&termination(&users), None).await.expect("accepted").id.0;
        for _ in 0..4 {
            let worker = |system: &'static str| {
                let app = Arc::clone(&h.app);
                tokio::spawn(async move { worker::pass(&app, system, &CancellationToken::new()).await })
            };
            for pass in [worker("shop"), worker("registry"), worker("shop"), worker("registry")] {
                pass.await.expect("no panic").expect("the database works");
            }
            h.advance(31_000);
        }
        let done = h.run_until_done(&id).await;
        assert_eq!(done.state, TerminationState::Done);
        let events = h.app.db.list_termination_events(&id, 0, 1_000).await.expect("events");
        let of_type = |word: &str| events.iter().filter(|e| e.event_type == word).count();
        assert_eq!(of_type("SESSION_TERMINATION_DONE"), 1);
        assert_eq!(of_type("SESSION_TERMINATION_OUTCOME"), 16);
    }
}

both! {
    async fn terminations_of_the_same_people_at_once_all_finish(h: &mut Harness) {
        let mut users = Vec::new();
        for n in 0..20 {
            users.push(h.user(&format!("user{n}")).await);
        }
        let requests: Vec<_> = (0..6)
            .map(|n| {
                // In different orders, as different callers name them.
                let mut mine = users.clone();
                mine.rotate_left(n * 3);
                let admin = h.admin.clone();
                tokio::spawn(async move { admin.terminate(&termination(&mine), None).await })
            })
            .collect();
        let mut ids = Vec::new();
        for request in requests {
            ids.push(request.await.expect("no panic").expect("accepted").id.0);
        }
        for id in ids {
            assert_eq!(h.run_until_done(&id).await.state, TerminationState::Done);
        }
    }
}
