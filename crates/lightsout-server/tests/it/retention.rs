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
        while h.app.db.prune(&retention(&h.app)).await.expect("pruned") {}

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
        while h.app.db.prune(&retention(&h.app)).await.expect("pruned") {}
        assert!(h.is_active(&session).await);
        assert_eq!(rows(h, "SELECT count(*) FROM events").await, events);
    }
}
