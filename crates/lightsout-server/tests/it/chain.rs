//! The chain over the event log: what was changed, removed, cut off or rewritten is named.

use lightsout_server::args;
use lightsout_server::store::BrokenLink;

use crate::harness::{Harness, both};

async fn tamper(h: &Harness, statement: &'static str) {
    let mut tx = h.app.db.begin().await.expect("a transaction");
    tx.execute(statement, args![]).await.expect("tampered");
    tx.commit().await.expect("committed");
}

async fn broken(h: &Harness) -> BrokenLink {
    h.app.db.verify_events(None).await.expect("the database works").expect_err("the chain is broken")
}

both! {
    async fn each_kind_of_tampering_is_named_with_its_first_position(h: &mut Harness) {
        for name in ["ann", "bob", "cid", "dan", "eve"] {
            h.user(name).await;
        }
        let head = h.app.db.event_head().await.expect("the head");
        assert_eq!(head.position, 8);

        tamper(h, "UPDATE events SET body = body || ' ' WHERE position = 4").await;
        assert_eq!(broken(h).await, BrokenLink::Changed(4));
        tamper(h, "UPDATE events SET body = substr(body, 1, length(body) - 1) WHERE position = 4").await;
        h.app.db.verify_events(None).await.expect("it works").expect("it holds again");

        tamper(h, "UPDATE events SET recorded_at = recorded_at + 1 WHERE position = 5").await;
        assert_eq!(broken(h).await, BrokenLink::Changed(5));
        tamper(h, "UPDATE events SET recorded_at = recorded_at - 1 WHERE position = 5").await;

        tamper(h, "UPDATE events SET position = -3 WHERE position = 3").await;
        assert_eq!(broken(h).await, BrokenLink::Missing(3));
        tamper(h, "UPDATE events SET position = 3 WHERE position = -3").await;

        tamper(h, "UPDATE events SET position = -8 WHERE position = 8").await;
        assert_eq!(broken(h).await, BrokenLink::CutOff { found: 7, head: 8 });
        tamper(h, "UPDATE events SET position = 8 WHERE position = -8").await;
        h.app.db.verify_events(None).await.expect("it works").expect("it holds again");
    }
}

both! {
    async fn head_that_was_kept_elsewhere_proves_the_log(h: &mut Harness) {
        h.user("ann").await;
        let kept = h.app.db.event_head().await.expect("the head");
        h.user("bob").await;
        let verify = async |position, hash: &str| h.app.db.verify_events(Some((position, hash))).await.expect("it works");
        verify(kept.position, &kept.chain_hash).await.expect("the log goes on from it");
        assert_eq!(verify(kept.position, "00").await, Err(BrokenLink::Rewritten(kept.position)));
        assert_eq!(verify(99, &kept.chain_hash).await, Err(BrokenLink::Unknown(99)));
    }
}
