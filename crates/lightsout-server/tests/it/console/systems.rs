//! The systems' page: what each proves, how it does, and a look at them from the page.

use std::sync::Arc;

use lightsout_server::app::System;
use lightsout_server::connector::Memory;
use lightsout_server::http::LimitsConfig;
use lightsout_server::ops::admin;

use crate::browser::Browser;
use crate::harness::{Database, Harness, both};

/// The part of the page that is about one system.
#[track_caller]
fn part<'a>(body: &'a str, name: &str) -> &'a str {
    let begin = body.find(&format!("aria-label=\"{name}\"")).expect("the system is on the page");
    let end = body[begin..].find("</section>").expect("its part ends");
    &body[begin..begin + end]
}

both! {
    async fn a_system_that_fails_shows_its_circuit_and_what_waits(h: &mut Harness) {
        let ann = h.user("ann").await;
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let shown = browser.get("/console/systems").await;
        let shop = part(&shown.body, "shop");
        for words in ["not asked yet", "looked for again after the quiet time", "30 seconds", "their login"] {
            assert!(shop.contains(words), "{words}: {shop}");
        }
        assert!(part(&shown.body, "registry").contains("<code>registry</code>"));

        h.shop.set_down(true);
        let id = h.terminate(&ann).await;
        for _ in 0..5 {
            h.run_jobs().await;
            h.advance(60_000);
        }
        h.advance(-59_000);
        let shown = browser.get("/console/systems").await;
        let shop = part(&shown.body, "shop");
        for words in [
            "not asked for now",
            "open: after 5 failed passes in a row it is not asked until",
            "it is switched off",
            "1 job, the oldest due ",
            "none since this node started",
        ] {
            assert!(shop.contains(words), "{words}: {shop}");
        }
        assert!(part(&shown.body, "registry").contains("answers"));

        h.shop.set_down(false);
        h.run_until_done(&id).await;
        let shown = browser.get("/console/systems").await;
        let shop = part(&shown.body, "shop");
        assert!(shop.contains("answers") && shop.contains("<dd>closed</dd>"), "{shop}");
        assert!(shop.contains("it is switched off"), "the last failure stays: {shop}");
        assert!(shop.contains("<dt>Open jobs</dt><dd>none</dd>"), "{shop}");
    }
}

both! {
    async fn check_now_looks_at_the_systems_and_shows_what_it_saw(h: &mut Harness) {
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        browser.get("/console/systems").await.says("Not checked since this node started");
        let passes = h.shop.passes();
        browser.post("/console/systems/check", &[]).await.is(303).sends_to("/console/systems");
        assert_eq!(h.shop.passes(), passes + 1);
        let shown = browser.get("/console/systems").await;
        assert!(part(&shown.body, "shop").contains("answered in "), "{}", shown.body);
        shown.says("Last checked");
        h.advance(1);
        h.shop.set_down(true);
        browser.post("/console/systems/check", &[]).await.is(303);
        let shown = browser.get("/console/systems").await;
        let shop = part(&shown.body, "shop");
        assert!(shop.contains("does not answer") && shop.contains("it is switched off"), "{shop}");
    }
}

both! {
    async fn systems_are_for_managers_and_a_check_needs_the_form(h: &mut Harness) {
        let uma = h.user("uma").await;
        let mut plain = Browser::of(h, &uma).await;
        plain.get("/console/systems").await.is(403).says("only admins and coadmins may see the systems");
        plain.get("/console/account").await;
        let admin_id = h.admin_id.clone();
        let mut admin = Browser::of(h, &admin_id).await;
        let passes = h.shop.passes();
        admin.post("/console/systems/check", &[]).await.is(403).says("another site");
        assert_eq!(h.shop.passes(), passes);
        let mut nobody = Browser::new(h);
        nobody.get("/console/systems").await.is(303).sends_to("/sign-in");
        nobody.post("/console/systems/check", &[]).await.is(303).sends_to("/sign-in");
    }
}

/// Each enterprise sees, and checks, its own systems and those of everybody.
#[tokio::test]
async fn another_enterprises_system_is_neither_shown_nor_asked() {
    let theirs = Memory::default();
    let system = System {
        enterprise: Some("nobody's".to_owned()),
        kind: "redis".to_owned(),
        ..System::new(Arc::new(theirs.clone()))
    };
    let h = Harness::start_adding(Database::Sqlite, LimitsConfig::default(), |_, _| {
        vec![("theirs".to_owned(), system)]
    })
    .await;
    let (_, zoe) = admin::create_enterprise(&h.app, "Other", "zoe@other.example", "Zoe").await.expect("made");
    let mut browser = Browser::of(&h, &h.admin_id).await;
    browser.get("/console/systems").await.is(200).says("shop").says_not("theirs");
    browser.post("/console/systems/check", &[]).await.is(303);
    assert_eq!(theirs.passes(), 0);
    let mut other = Browser::of(&h, &zoe.0).await;
    other
        .get("/console/systems")
        .await
        .is(200)
        .says("Not checked since this node started")
        .says_not("answered in");
    h.finish().await;
}
