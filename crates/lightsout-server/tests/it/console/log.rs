//! The log's page: who may read it, what its filters find, and whether the chain holds.

use lightsout_client::api::CreateTermination;
use lightsout_server::args;
use lightsout_server::ops::admin;

use crate::browser::Browser;
use crate::harness::{Harness, START_MS, both};

async fn tamper(h: &Harness, statement: &'static str) {
    let mut tx = h.app.db.begin().await.expect("a transaction");
    tx.execute(statement, args![]).await.expect("tampered");
    tx.commit().await.expect("committed");
}

both! {
    async fn the_log_is_for_managers_of_its_enterprise(h: &mut Harness) {
        let uma = h.user("uma").await;
        let (_, zoe) = admin::create_enterprise(&h.app, "Other", "zoe@other.example", "Zoe").await.expect("made");
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        browser.get("/console/log").await.is(200).says("uma@acme.example").says("User added").says_not("zoe@");
        let mut browser = Browser::of(h, &zoe.0).await;
        browser.get("/console/log").await.is(200).says("zoe@other.example").says_not("uma@").says_not("ada@");
        browser.get("/console/log/chain").await.is(200).says("Intact up to position").says_not("uma@").says_not("ada@");
        let mut browser = Browser::of(h, &uma).await;
        for path in ["/console/log", "/console/log?from=nonsense", "/console/log/chain"] {
            browser.get(path).await.is(403).says("only admins and coadmins").says_not("zoe@");
        }
        let mut browser = Browser::new(h);
        browser.get("/console/log/chain").await.is(303).sends_to("/sign-in");
    }
}

both! {
    async fn filters_find_by_type_time_who_and_about(h: &mut Harness) {
        let (ann, _bob) = (h.user("ann").await, h.user("bob").await);
        h.advance(3_600_000);
        let cleo = h.client_of("ada@acme.example", "").await;
        let request = CreateTermination {
            user_ids: vec![ann.as_str().into()],
            reason: Some("lost phone".to_owned()),
            ..CreateTermination::default()
        };
        let id = cleo.terminate(&request, None).await.expect("accepted").id.0;
        h.run_until_done(&id).await;
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let rows = |body: &str| body.matches("<td class=\"number\" data-name=\"Position\">").count();
        let all = rows(&browser.get("/console/log").await.body);
        // Two apps' worth of set-up, two users, the request, two outcomes and the end.
        assert!(all >= 8, "{all}");
        let shown = browser.get("/console/log?type=NEW_USER").await;
        shown.is(200).says("bob@acme.example").says_not("lost phone");
        let shown = browser.get("/console/log?type=SESSION_TERMINATION_REQUESTED").await;
        shown.says("1 person: lost phone");
        assert_eq!(rows(&shown.body), 1);
        let shown = browser.get("/console/log?from=2026-01-02T04:00").await;
        shown.says("lost phone").says_not("bob@acme.example");
        let shown = browser.get("/console/log?until=2026-01-02T04:00").await;
        shown.says_not("lost phone").says("bob@acme.example");
        let shown = browser.get("/console/log?about=ANN%40acme.example").await;
        shown.says("ann@acme.example").says("shop: nothing found, verified").says_not("bob@acme.example");
        assert_eq!(rows(&shown.body), 3, "added, and an outcome in each of two systems");
        assert_eq!(rows(&browser.get(&format!("/console/log?about={ann}")).await.body), 3);
        assert_eq!(rows(&browser.get(&format!("/console/log?about={id}")).await.body), 2, "asked for, and done");
        let by_ada = browser.get("/console/log?who=ada%40acme.example&until=2026-01-02T04:00").await;
        by_ada.says("ann@acme.example").says("bob@acme.example");
        assert_eq!(rows(&by_ada.body), 2, "two users");
        assert_eq!(rows(&browser.get(&format!("/console/log?who={admin_id}&about={id}")).await.body), 1);
        browser.get("/console/log?who=nobody").await.is(200).says("No event is like this");
        browser.get("/console/log?from=nonsense&until=also").await.is(200).says("write a time such as");
    }
}

both! {
    async fn pages_lead_to_the_first_event(h: &mut Harness) {
        for n in 0..60 {
            h.user(&format!("u{n}")).await;
        }
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let shown = browser.get("/console/log?type=NEW_USER").await;
        shown.says("u59@acme.example").says_not("u9@acme.example");
        let next = shown.body.split("href=\"/console/log?type=NEW_USER&amp;before=").nth(1).expect("older ones");
        let next = next.split('"').next().expect("a position");
        let shown = browser.get(&format!("/console/log?type=NEW_USER&before={next}")).await;
        shown.says("u9@acme.example").says("ada@acme.example").says_not("u59@acme.example").says_not("rel=\"next\"");
    }
}

both! {
    async fn a_deleted_person_is_found_by_their_login(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.admin.delete_user(&ann).await.expect("deleted");
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        browser.get("/console/log?about=ann%40acme.example").await.is(200).says("User added").says("User deleted");
        let id = h.admin.terminations(None).await.expect("a list").entries.remove(0).id.0;
        h.run_until_done(&id).await;
    }
}

both! {
    async fn the_chain_is_checked_onward_and_what_breaks_is_named(h: &mut Harness) {
        for name in ["ann", "bob", "cid"] {
            h.user(name).await;
        }
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        browser.get("/console/log").await.is(200).says("was not checked since this node started");
        let head = h.app.db.event_head().await.expect("the head");
        let shown = browser.get("/console/log/chain").await;
        shown.says(&format!("Intact up to position <strong>{}</strong>", head.position)).says(&head.chain_hash);
        browser.get("/console/log").await.is(200).says(&head.chain_hash);

        // What is new is checked onward: a change before is not seen, and not claimed to be.
        h.advance(1_000);
        h.user("dan").await;
        tamper(h, "UPDATE events SET body = body || ' ' WHERE position = 3").await;
        let shown = browser.get("/console/log/chain").await;
        shown.says("Intact up to position").says("<td class=\"number\">8</td>");
        let shown = browser.get("/console/log/chain?from=begin").await;
        shown.says("broken at position <strong>3</strong>").says("event 3 does not match its hash");
        browser.get("/console/log").await.says("broken at position");
        tamper(h, "UPDATE events SET body = substr(body, 1, length(body) - 1) WHERE position = 3").await;
        browser.get("/console/log/chain").await.says("Intact up to position <strong>8</strong>");

        // A head that this node verified and that is another now.
        tamper(h, "UPDATE events SET chain_hash = 'x' || chain_hash WHERE position = 8").await;
        let shown = browser.get("/console/log/chain?from=begin").await;
        shown.says("event 8 is not the one that was kept");
        tamper(h, "UPDATE events SET chain_hash = substr(chain_hash, 2) WHERE position = 8").await;
        tamper(h, "UPDATE events SET position = -8 WHERE position = 8").await;
        browser.get("/console/log/chain").await.says("event 8 is missing");
        tamper(h, "UPDATE events SET position = 8 WHERE position = -8").await;
        browser.get("/console/log/chain").await.says("Intact up to position <strong>8</strong>");
    }
}

both! {
    async fn a_pruned_log_is_checked_from_where_it_begins(h: &mut Harness) {
        h.user("ann").await;
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        browser.get("/console/log/chain").await.says("Intact up to position");
        h.advance(1_000);
        h.user("bob").await;
        let now = h.app.clock.now_ms();
        assert!(now > START_MS);
        let mut retention = lightsout_server::server::retention(&h.app);
        retention.events_before = now;
        h.prune(&retention).await;
        let head = h.app.db.event_head().await.expect("the head").position;
        let shown = browser.get("/console/log/chain").await;
        shown.says(&format!("Intact up to position <strong>{head}</strong>"));
        shown.says(&format!("<td class=\"number\">{head}</td><td class=\"number\">{head}</td>"));
    }
}
