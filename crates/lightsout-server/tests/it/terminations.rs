//! Stories of terminations, from the request to the last outcome.

use lightsout_client::api::{
    CreateTermination, OutcomeState, RegisterSession, SkipReason, TERMINATION_ACCEPTED, TerminationState,
    UpdateUser, UserStatus,
};
use lightsout_client::{PostGroupsTerminateSessionsRequest, SessionTerminationManager};

use crate::harness::{QUIET_MS, both};

fn users(ids: &[&str]) -> CreateTermination {
    CreateTermination {
        user_ids: ids.iter().map(|id| (*id).into()).collect(),
        ..CreateTermination::default()
    }
}

both! {
    async fn group_termination_ends_its_members_everywhere_and_spares_others(h: &mut Harness) {
        let (ann, bob, eve) = (h.user("ann").await, h.user("bob").await, h.user("eve").await);
        let sales = h.group("Sales", &[&ann, &bob]).await;
        let (of_ann, of_eve) = (h.sign_in(&ann).await, h.sign_in(&eve).await);
        h.shop.sign_in("ann@acme.example", "a1", None);
        h.shop.sign_in("ann@acme.example", "a2", None);
        h.shop.sign_in("eve@acme.example", "e1", None);

        let manager = SessionTerminationManager::new(h.admin.clone());
        let body = PostGroupsTerminateSessionsRequest { group_ids: vec![sales] };
        let message = manager.create_group_terminate_session(body).await.expect("accepted");
        assert_eq!(message.message.as_deref(), Some(TERMINATION_ACCEPTED));

        // From the commit on, before any job has run.
        assert!(!h.is_active(&of_ann).await);
        assert!(h.is_active(&of_eve).await);
        assert!(h.shop.is_signed_in("a1"));

        let id = h.admin.terminations(None).await.expect("a list").entries.remove(0).id.0;
        let done = h.run_until_done(&id).await;
        assert_eq!((done.state, done.people), (TerminationState::Done, 2));
        let shop = done.systems.iter().find(|s| s.system == "shop").expect("the shop");
        assert_eq!((shop.ended, shop.nothing_found, shop.sessions_ended), (1, 1, 2));
        let registry = done.systems.iter().find(|s| s.system == "registry").expect("the registry");
        assert_eq!((registry.ended, registry.nothing_found, registry.sessions_ended), (1, 1, 1));
        assert!(!h.shop.is_signed_in("a1") && !h.shop.is_signed_in("a2"));
        assert!(h.shop.is_signed_in("e1") && h.is_active(&of_eve).await);
        assert!(h.admin.outcomes(&id, None).await.expect("outcomes").entries.iter().all(|o| o.verified_at.is_some()));
    }
}

both! {
    async fn session_saved_again_is_ended_again_and_counted(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        let id = h.admin.terminate(&users(&[&ann]), None).await.expect("accepted").id.0;
        h.run_jobs().await;
        assert!(!h.shop.is_signed_in("a1"));
        assert_eq!(h.admin.termination(&id).await.expect("it").state, TerminationState::Running);

        // A request that was in flight saves the session under its key; another one under a new key.
        h.shop.sign_in("ann@acme.example", "a1", None);
        h.shop.sign_in("ann@acme.example", "a9", None);
        h.advance(QUIET_MS / 2);
        h.run_jobs().await;
        assert!(!h.shop.is_signed_in("a1") && !h.shop.is_signed_in("a9"));
        // The quiet time began anew when something was found.
        h.advance(QUIET_MS * 2 / 3);
        h.run_jobs().await;
        assert_eq!(h.admin.termination(&id).await.expect("it").state, TerminationState::Running);

        let done = h.run_until_done(&id).await;
        let shop = done.systems.iter().find(|s| s.system == "shop").expect("the shop");
        assert_eq!((shop.sessions_ended, shop.resurrected, shop.ended_again), (2, 1, 1));
        assert_eq!(done.state, TerminationState::Done);
    }
}

both! {
    async fn session_saved_under_a_new_key_at_the_end_of_the_quiet_time_is_ended(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        let id = h.admin.terminate(&users(&[&ann]), None).await.expect("accepted").id.0;
        h.run_jobs().await;
        h.advance(QUIET_MS - 1);
        h.run_jobs().await;
        // The last request in flight saves its session under a key that nobody has seen.
        h.shop.sign_in("ann@acme.example", "a9", None);
        h.advance(1);
        h.run_jobs().await;
        assert!(!h.shop.is_signed_in("a9"));
        let done = h.admin.termination(&id).await.expect("it");
        assert_eq!(done.state, TerminationState::Done, "a new key does not start the quiet time anew");
        // Who signs in after that is not ours to end.
        h.shop.sign_in("ann@acme.example", "later", None);
        h.run_until_done(&id).await;
        assert!(h.shop.is_signed_in("later"));
    }
}

both! {
    async fn sign_in_after_the_cutoff_is_spared_where_the_store_shows_its_begin(h: &mut Harness) {
        let ann = h.user("ann").await;
        let now = h.app.clock.now_ms();
        h.shop.sign_in("ann@acme.example", "old", Some(now - 1_000));
        h.advance(10_000);
        let id = h.admin.terminate(&users(&[&ann]), None).await.expect("accepted").id.0;
        h.shop.sign_in("ann@acme.example", "new", Some(h.app.clock.now_ms() + 6_000));
        let done = h.run_until_done(&id).await;
        assert_eq!(done.state, TerminationState::Done);
        assert!(!h.shop.is_signed_in("old"));
        assert!(h.shop.is_signed_in("new"));
    }
}

both! {
    async fn dead_system_is_retried_then_given_up_and_can_be_retried(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        h.shop.set_down(true);
        let id = h.admin.terminate(&users(&[&ann]), None).await.expect("accepted").id.0;
        h.run_jobs().await;
        // One dead system holds up no other.
        assert!(!h.is_active(&session).await);
        let now = h.admin.termination(&id).await.expect("it");
        assert_eq!(now.systems.iter().map(|s| s.unreachable).sum::<u64>(), 1);
        assert_eq!(now.systems.iter().map(|s| s.ended).sum::<u64>(), 1);

        h.advance(24 * 3_600_000);
        h.run_jobs().await;
        let done = h.admin.termination(&id).await.expect("it");
        assert_eq!(done.state, TerminationState::DoneWithFailures);
        assert_eq!(done.systems.iter().map(|s| s.gave_up).sum::<u64>(), 1);

        h.shop.set_down(false);
        assert_eq!(h.admin.retry_termination(&id).await.expect("open again").state, TerminationState::Running);
        let done = h.run_until_done(&id).await;
        assert_eq!(done.state, TerminationState::Done);
        assert!(!h.shop.is_signed_in("a1"));
        let again = h.admin.retry_termination(&id).await.expect_err("nothing was given up");
        assert_eq!(again.status(), Some(409));
    }
}

both! {
    async fn system_that_recovers_ends_what_waited(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        h.shop.set_down(true);
        let id = h.admin.terminate(&users(&[&ann]), None).await.expect("accepted").id.0;
        for _ in 0..5 {
            h.run_jobs().await;
            h.advance(60_000);
        }
        h.shop.set_down(false);
        let done = h.run_until_done(&id).await;
        assert_eq!(done.state, TerminationState::Done);
        assert!(!h.shop.is_signed_in("a1"));
    }
}

both! {
    async fn same_person_by_id_login_and_group_is_ended_once(h: &mut Harness) {
        let ann = h.user("ann").await;
        let sales = h.group("Sales", &[&ann]).await;
        let request = CreateTermination {
            logins: vec!["ANN@Acme.Example".to_owned()],
            group_ids: vec![sales.as_str().into()],
            ..users(&[&ann, &ann])
        };
        let accepted = h.admin.terminate(&request, None).await.expect("accepted");
        assert_eq!(accepted.people, 1);
        h.run_until_done(&accepted.id.0).await;
    }
}

both! {
    async fn group_without_members_is_done_at_once(h: &mut Harness) {
        let empty = h.group("Empty", &[]).await;
        let request = CreateTermination { group_ids: vec![empty.as_str().into()], ..CreateTermination::default() };
        let accepted = h.admin.terminate(&request, None).await.expect("accepted");
        assert_eq!((accepted.people, accepted.state), (0, TerminationState::Done));
        assert!(accepted.chain_head.is_some());
    }
}

both! {
    async fn unknown_ids_refuse_the_whole_request_and_are_named(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        let request = CreateTermination { logins: vec!["ghost@acme.example".to_owned()], ..users(&[&ann, "999"]) };
        let error = h.admin.terminate(&request, None).await.expect_err("unknown");
        let error = error.api().expect("the server answered");
        assert_eq!((error.status, error.code.as_str()), (404, "not_found"));
        assert!(error.message.contains("user_id 999") && error.message.contains("login ghost@acme.example"), "{error}");
        assert!(h.is_active(&session).await);

        let skipping = CreateTermination { skip_unknown: true, ..request };
        let accepted = h.admin.terminate(&skipping, None).await.expect("accepted");
        assert_eq!(accepted.people, 1);
        let skipped: Vec<(&str, SkipReason)> = accepted.skipped.iter().map(|s| (s.value.as_str(), s.reason)).collect();
        assert_eq!(skipped, [("999", SkipReason::Unknown), ("ghost@acme.example", SkipReason::Unknown)]);
        h.run_until_done(&accepted.id.0).await;
    }
}

both! {
    async fn same_idempotency_key_names_the_same_termination(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let first = h.admin.terminate(&users(&[&ann]), Some("key-1")).await.expect("accepted");
        let again = h.admin.terminate(&users(&[&ann]), Some("key-1")).await.expect("the same");
        assert_eq!(first.id, again.id);
        let other = h.admin.terminate(&users(&[&bob]), Some("key-1")).await.expect_err("another request");
        assert_eq!(other.status(), Some(409));
        h.run_until_done(&first.id.0).await;
    }
}

both! {
    async fn repeated_request_is_worked_in_one_pass_and_the_later_cutoff_wins(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        let first = h.admin.terminate(&users(&[&ann]), None).await.expect("accepted").id.0;
        h.advance(1_000);
        h.shop.sign_in("ann@acme.example", "between", Some(h.app.clock.now_ms() - 500));
        let second = h.admin.terminate(&users(&[&ann]), None).await.expect("accepted").id.0;
        let before = h.shop.passes();
        h.run_jobs().await;
        assert_eq!(h.shop.passes() - before, 1, "one pass for both");
        assert!(!h.shop.is_signed_in("a1") && !h.shop.is_signed_in("between"));
        for id in [first, second] {
            assert_eq!(h.run_until_done(&id).await.state, TerminationState::Done);
        }
    }
}

both! {
    async fn dry_run_counts_and_changes_nothing(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        h.shop.sign_in("ann@acme.example", "a1", Some(h.app.clock.now_ms()));
        let admin_id = h.admin_id.clone();
        let preview = h.admin.preview_termination(&users(&[&ann, &admin_id])).await.expect("a preview");
        assert_eq!((preview.people, preview.includes_caller, preview.includes_admin), (2, true, true));
        let counts: Vec<(&str, Option<u64>)> = preview.systems.iter().map(|s| (s.system.as_str(), s.sessions)).collect();
        assert_eq!(counts, [("registry", Some(1)), ("shop", Some(1))]);
        assert!(h.is_active(&session).await && h.shop.is_signed_in("a1"));
        assert!(h.admin.terminations(None).await.expect("a list").entries.is_empty());
    }
}

both! {
    async fn preview_of_a_system_that_is_down_says_unknown(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.set_down(true);
        let preview = h.admin.preview_termination(&users(&[&ann])).await.expect("a preview");
        assert_eq!(preview.systems.iter().find(|s| s.system == "shop").expect("the shop").sessions, None);
    }
}

both! {
    async fn deleting_a_user_ends_its_sessions(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        h.admin.delete_user(&ann).await.expect("deleted");
        assert!(!h.is_active(&session).await);
        let id = h.admin.terminations(None).await.expect("a list").entries.remove(0).id.0;
        let done = h.run_until_done(&id).await;
        assert_eq!(done.reason.as_deref(), Some("user was deleted"));
        assert_eq!(done.systems.iter().map(|s| s.sessions_ended).sum::<u64>(), 2);
        assert!(!h.shop.is_signed_in("a1"));
    }
}

both! {
    async fn deactivating_a_user_ends_its_sessions_once(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        let inactive = UpdateUser { status: Some(UserStatus::Inactive), ..UpdateUser::default() };
        h.admin.update_user(&ann, &inactive).await.expect("changed");
        h.admin.update_user(&ann, &inactive).await.expect("changed");
        assert!(!h.is_active(&session).await);
        let list = h.admin.terminations(None).await.expect("a list").entries;
        assert_eq!(list.len(), 1);
        h.run_until_done(&list[0].id.0).await;
    }
}

both! {
    async fn user_without_a_name_in_a_system_is_reported(h: &mut Harness) {
        // The service account of an app has a login, so an alias system is what lacks a name here.
        let ann = h.user("ann").await;
        let mut systems = std::collections::BTreeMap::new();
        let mut shop = h.app.systems["shop"].clone();
        shop.subject = lightsout_server::app::Subject::Alias;
        systems.insert("shop".to_owned(), shop);
        let app = &h.app;
        h.app = lightsout_server::app::App::new(
            app.db.clone(), app.clock.clone(), app.random.clone(), systems, app.settings,
        );
        let id = h.admin.terminate(&users(&[&ann]), None).await.expect("accepted").id.0;
        let done = h.run_until_done(&id).await;
        assert_eq!(done.state, TerminationState::DoneWithFailures);
        let outcomes = h.admin.outcomes(&id, None).await.expect("outcomes").entries;
        let states: Vec<(&str, OutcomeState)> = outcomes.iter().map(|o| (o.system.as_str(), o.outcome)).collect();
        assert_eq!(states, [("registry", OutcomeState::NothingFound), ("shop", OutcomeState::NoSubject)]);
    }
}

both! {
    async fn follower_gets_every_event_once_and_can_resume(h: &mut Harness) {
        let ann = h.user("ann").await;
        let id = h.admin.terminate(&users(&[&ann]), None).await.expect("accepted").id.0;
        h.run_until_done(&id).await;
        let mut types = Vec::new();
        let mut follow = h.admin.follow_termination(&id);
        while let Some(event) = follow.next().await.expect("the stream") {
            types.push(event.event_type);
        }
        assert_eq!(types, [
            "SESSION_TERMINATION_REQUESTED",
            "SESSION_TERMINATION_OUTCOME",
            "SESSION_TERMINATION_OUTCOME",
            "SESSION_TERMINATION_DONE",
        ]);
        // Positions are ids: resuming after the second gives the last two.
        let token = h.token_of("ada@acme.example", "").await;
        let events = h.app.db.list_termination_events(&id, 0, 10).await.expect("events");
        let text = reqwest::Client::new()
            .get(h.url(&format!("/v1/terminations/{id}/events")))
            .bearer_auth(token)
            .header("Last-Event-ID", events[1].position)
            .send().await.expect("sent")
            .text().await.expect("the whole stream");
        assert_eq!(text.matches("event: ").count(), 2, "{text}");
    }
}

both! {
    async fn client_that_hangs_up_does_not_cancel_the_termination(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        let token = h.token_of("ada@acme.example", "").await;
        // SQLite has one writer, PostgreSQL the head row: held, so that the request must wait.
        let mut held = h.app.db.begin().await.expect("the writer");
        held.append_events(&h.enterprise_id, 0, &h.app.random, vec![]).await.expect("the head row");
        let request = reqwest::Client::new()
            .post(h.url("/2.0/users/terminate_sessions"))
            .bearer_auth(token)
            .json(&serde_json::json!({"user_ids": [ann]}))
            .timeout(std::time::Duration::from_millis(300));
        assert!(request.send().await.expect_err("no answer in time").is_timeout());
        held.commit().await.expect("released");
        crate::harness::eventually(async || !h.is_active(&session).await).await;
        let id = h.admin.terminations(None).await.expect("a list").entries.remove(0).id.0;
        h.run_until_done(&id).await;
    }
}

both! {
    async fn late_registration_of_an_ended_session_never_revives_it(h: &mut Harness) {
        let ann = h.user("ann").await;
        let began = h.app.clock.now_ms();
        h.advance(60_000);
        let id = h.admin.terminate(&users(&[&ann]), None).await.expect("accepted").id.0;
        h.run_until_done(&id).await;
        let late = RegisterSession {
            user_id: Some(ann.as_str().into()),
            session_id: Some("a-session-of-the-app-1".to_owned()),
            began_at: Some(lightsout_server::clock::timestamp(began)),
            ..RegisterSession::default()
        };
        let answer = h.registrar.register_sessions(vec![late]).await.expect("answered").remove(0);
        assert_eq!(answer.state, lightsout_client::api::SessionState::Ended);
        assert!(!h.registrar.introspect("a-session-of-the-app-1").await.expect("an answer").active);
    }
}
