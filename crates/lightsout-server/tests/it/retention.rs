//! What is past its time goes, in steps, and the chain that is left still verifies.

use lightsout_client::api::CreateTermination;
use lightsout_server::args;
use lightsout_server::server::retention;

use crate::harness::{Harness, both};

const DAY_MS: i64 = 86_400_000;

async fn rows(h: &Harness, table: &'static str) -> i64 {
    let count: Option<(i64,)> = h.app.db.find(table, args![]).await.expect("the database works");
    count.expect("a count").0
}

both! {
    async fn expired_rows_and_old_events_go_and_the_chain_still_holds(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.sign_in(&ann).await;
        let request = CreateTermination { user_ids: vec![ann.as_str().into()], ..CreateTermination::default() };
        let id = h.admin.terminate(&request, Some("key")).await.expect("accepted").id.0;
        h.run_until_done(&id).await;
        let kept = h.app.db.event_head().await.expect("the head");
        h.sign_in(&ann).await;

        h.advance(200 * DAY_MS);
        h.user("bob").await;
        h.advance(200 * DAY_MS);
        h.prune(&retention(&h.app)).await;

        for table in [
            "SELECT count(*) FROM sessions",
            "SELECT count(*) FROM ended_sessions",
            "SELECT count(*) FROM tokens",
            "SELECT count(*) FROM terminations",
            "SELECT count(*) FROM termination_targets",
            "SELECT count(*) FROM outcomes",
            "SELECT count(*) FROM jobs",
            "SELECT count(*) FROM idempotency_keys",
        ] {
            assert_eq!(rows(h, table).await, 0, "{table}");
        }
        assert_eq!(rows(h, "SELECT count(*) FROM events").await, 1, "only what is young enough");
        let head = h.app.db.verify_events(None).await.expect("it works").expect("it holds");
        assert_eq!(head.position, kept.position + 1);
        // The anchor is the last event that went.
        let expect = Some((kept.position, kept.chain_hash.as_str()));
        h.app.db.verify_events(expect).await.expect("it works").expect("the anchor proves it");
    }
}

both! {
    async fn what_is_young_stays(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        let events = rows(h, "SELECT count(*) FROM events").await;
        h.advance(DAY_MS);
        h.prune(&retention(&h.app)).await;
        assert!(h.is_active(&session).await);
        assert_eq!(rows(h, "SELECT count(*) FROM events").await, events);
    }
}

both! {
    async fn rows_of_an_open_clean_up_are_its_to_count(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.sign_in(&ann).await;
        let request = CreateTermination { user_ids: vec![ann.as_str().into()], ..CreateTermination::default() };
        let id = h.admin.terminate(&request, None).await.expect("accepted").id.0;
        // The clean-up is late; the upkeep is not.
        h.advance(3_600_000);
        h.prune(&retention(&h.app)).await;
        assert_eq!(rows(h, "SELECT count(*) FROM sessions WHERE ended_at IS NULL").await, 1);
        let done = h.run_until_done(&id).await;
        assert_eq!(done.systems.iter().map(|s| s.sessions_ended).sum::<u64>(), 1);
        assert_eq!(rows(h, "SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL").await, 1);
    }
}

both! {
    async fn left_over_row_of_an_ended_session_is_emptied_and_its_id_stays_refused(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.sign_in(&ann).await;
        let request = CreateTermination { user_ids: vec![ann.as_str().into()], ..CreateTermination::default() };
        let id = h.admin.terminate(&request, None).await.expect("accepted").id.0;
        h.run_until_done(&id).await;
        // What a registration that read the generation before the termination commits after it.
        let mut tx = h.app.db.begin().await.expect("a transaction");
        tx.execute(
            "INSERT INTO sessions
                 (user_id, session_hash, client_id, generation, began_at, registered_at, expires_at, device, address)
             VALUES ($1, 'late', 'app', 0, 0, 0, 9999999999999, 'phone', '192.0.2.1')",
            args![&ann],
        )
        .await
        .expect("stored");
        tx.commit().await.expect("committed");
        h.advance(3_600_000);
        h.prune(&retention(&h.app)).await;
        let emptied = "SELECT count(*) FROM sessions
             WHERE session_hash = 'late' AND ended_at IS NOT NULL AND device IS NULL AND address IS NULL";
        assert_eq!(rows(h, emptied).await, 1);
    }
}

both! {
    async fn restored_database_brings_nothing_back_to_life_once_generations_are_raised(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        let token = h.token_of("ada@acme.example", "").await;
        h.advance(1);
        let people = lightsout_server::ops::admin::raise_generations(&h.app).await.expect("raised");
        assert!(people >= 2);
        // The app's own token died, too; its client fetches another.
        assert!(!h.is_active(&session).await);
        let me = reqwest::Client::new().get(h.url("/2.0/users/me")).bearer_auth(token).send().await.expect("sent");
        assert_eq!(me.status(), 401);
        h.advance(1);
        let again = h.sign_in(&ann).await;
        assert!(h.is_active(&again).await);
    }
}
