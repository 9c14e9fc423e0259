//! Leases, fencing, timeouts and shutdown of the worker.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lightsout_client::api::{CreateTermination, OutcomeState, TerminationState};
use lightsout_server::app::{App, Settings};
use lightsout_server::connector::{Answering, Capabilities, Connector, Explanation, Memory, Target};
use lightsout_server::worker;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::harness::both;

/// A system that ends at once and replies only when it is let.
struct Slow {
    inner: Memory,
    entered: Arc<Semaphore>,
    let_go: Arc<Semaphore>,
}

impl Connector for Slow {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn explain(&self) -> Explanation {
        self.inner.explain()
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move {
            let replies = self.inner.end(targets).await;
            self.entered.add_permits(1);
            self.let_go.acquire().await.expect("never closed").forget();
            replies
        }
        .boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        self.inner.find(targets)
    }
}

/// The same service with a slow `shop`; the gate lets its replies go.
struct Slowed {
    app: Arc<App>,
    entered: Arc<Semaphore>,
    let_go: Arc<Semaphore>,
}

fn slowed(h: &crate::harness::Harness, timeout: Duration) -> Slowed {
    let (entered, let_go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let mut systems = h.app.systems.clone();
    let shop = systems.get_mut("shop").expect("the shop");
    shop.connector =
        Arc::new(Slow { inner: h.shop.clone(), entered: Arc::clone(&entered), let_go: Arc::clone(&let_go) });
    shop.timeout = timeout;
    let settings = Settings { finish_within: Duration::ZERO, ..h.app.settings };
    let app = App::new(h.app.db.clone(), h.app.clock.clone(), h.app.random.clone(), systems, settings);
    Slowed { app, entered, let_go }
}

async fn terminate(h: &crate::harness::Harness, user: &str) -> String {
    let request = CreateTermination { user_ids: vec![user.into()], ..CreateTermination::default() };
    h.admin.terminate(&request, None).await.expect("accepted").id.0
}

both! {
    async fn late_settle_of_lost_lease_writes_nothing(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        let id = terminate(h, &ann).await;
        let slow = slowed(h, Duration::from_mins(1));
        let late = tokio::spawn({
            let app = Arc::clone(&slow.app);
            async move { worker::pass(&app, "shop", &CancellationToken::new()).await }
        });
        slow.entered.acquire().await.expect("never closed").forget();

        // The lease runs out; another worker takes the job and finishes it.
        h.advance(3_600_000);
        let done = h.run_until_done(&id).await;
        let before = h.admin.outcomes(&id, None).await.expect("outcomes");
        let head = h.app.db.event_head().await.expect("the head");

        slow.let_go.add_permits(1);
        late.await.expect("no panic").expect("the database works");
        assert_eq!(h.admin.outcomes(&id, None).await.expect("outcomes"), before);
        assert_eq!(h.app.db.event_head().await.expect("the head"), head);
        assert_eq!(done.state, TerminationState::Done);
    }
}

both! {
    async fn shutdown_gives_leased_jobs_back_at_once(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        let id = terminate(h, &ann).await;
        let slow = slowed(h, Duration::from_mins(1));
        let stop = CancellationToken::new();
        let pass = tokio::spawn({
            let (app, stop) = (Arc::clone(&slow.app), stop.clone());
            async move { worker::pass(&app, "shop", &stop).await }
        });
        slow.entered.acquire().await.expect("never closed").forget();
        stop.cancel();
        pass.await.expect("no panic").expect("the database works");
        let due = h.app.db.next_due_at("shop").await.expect("the database works");
        assert_eq!(due, Some(h.app.clock.now_ms()));
        h.run_until_done(&id).await;
    }
}

both! {
    async fn system_that_does_not_reply_in_time_is_unreachable(h: &mut Harness) {
        let ann = h.user("ann").await;
        let id = terminate(h, &ann).await;
        let slow = slowed(h, Duration::from_millis(20));
        worker::pass(&slow.app, "shop", &CancellationToken::new()).await.expect("the database works");
        let now = h.admin.termination(&id).await.expect("it");
        assert_eq!(now.systems.iter().map(|s| s.unreachable).sum::<u64>(), 1);
        h.run_until_done(&id).await;
    }
}

both! {
    async fn claimed_jobs_are_not_claimed_twice_before_their_lease_ends(h: &mut Harness) {
        let ann = h.user("ann").await;
        let id = terminate(h, &ann).await;
        let now = h.app.clock.now_ms();
        let mut tx = h.app.db.begin().await.expect("a transaction");
        let first = tx.claim_jobs("shop", now, now + 60_000, 10).await.expect("claimed");
        tx.commit().await.expect("committed");
        let mut tx = h.app.db.begin().await.expect("a transaction");
        let second = tx.claim_jobs("shop", now, now + 60_000, 10).await.expect("claimed");
        tx.commit().await.expect("committed");
        assert_eq!((first.len(), second.len()), (1, 0));
        h.advance(60_000);
        h.run_until_done(&id).await;
    }
}

both! {
    async fn jobs_of_a_system_that_was_taken_out_are_given_up_in_time(h: &mut Harness) {
        let ann = h.user("ann").await;
        let id = terminate(h, &ann).await;
        let without = App::new(
            h.app.db.clone(), h.app.clock.clone(), h.app.random.clone(), std::collections::BTreeMap::new(), h.app.settings,
        );
        // Another node may know the system: nothing is touched before the horizon.
        assert_eq!(worker::pass_over_unconfigured(&without).await.expect("it works"), 0);
        h.advance(24 * 3_600_000);
        assert_eq!(worker::pass_over_unconfigured(&without).await.expect("it works"), 1);
        let outcomes = h.admin.outcomes(&id, None).await.expect("outcomes").entries;
        let shop = outcomes.iter().find(|o| o.system == "shop").expect("the shop");
        assert!(shop.detail.as_ref().is_some_and(|d| d.contains("no system of this name")), "{shop:?}");
        h.run_jobs().await;
        let done = h.admin.termination(&id).await.expect("it");
        assert_eq!(done.state, TerminationState::DoneWithFailures);
    }
}

both! {
    async fn what_a_dead_worker_ended_is_said_not_to_be_counted(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        let id = terminate(h, &ann).await;
        let now = h.app.clock.now_ms();
        let mut tx = h.app.db.begin().await.expect("a transaction");
        tx.claim_jobs("shop", now, now + 60_000, 10).await.expect("claimed");
        tx.commit().await.expect("committed");
        let target = Target { user_id: ann, subject: "ann@acme.example".to_owned(), cutoff: now, asked_at: now, only: None };
        h.shop.end(&[target]).await.expect("ended, and then the worker died");
        h.advance(60_000);
        h.run_until_done(&id).await;
        let outcomes = h.admin.outcomes(&id, None).await.expect("outcomes").entries;
        let shop = outcomes.iter().find(|o| o.system == "shop").expect("the shop");
        assert_eq!(shop.outcome, OutcomeState::NothingFound);
        assert!(shop.detail.as_ref().is_some_and(|d| d.contains("not counted")), "{shop:?}");
        let registry = outcomes.iter().find(|o| o.system == "registry").expect("the registry");
        assert_eq!(registry.detail, None);
    }
}

both! {
    async fn service_that_was_down_past_the_horizon_still_verifies(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        let id = terminate(h, &ann).await;
        h.advance(48 * 3_600_000);
        let done = h.run_until_done(&id).await;
        assert_eq!(done.state, TerminationState::Done);
    }
}

both! {
    async fn leases_of_a_dead_process_are_taken_over_where_there_is_but_one(h: &mut Harness) {
        let ann = h.user("ann").await;
        let id = terminate(h, &ann).await;
        let now = h.app.clock.now_ms();
        let mut tx = h.app.db.begin().await.expect("a transaction");
        tx.claim_jobs("shop", now, now + 60_000, 10).await.expect("claimed");
        tx.commit().await.expect("committed");
        h.app.db.take_over(now).await.expect("the database works");
        let due = h.app.db.next_due_at("shop").await.expect("the database works").expect("a job");
        assert!(due == now || due == now + 60_000, "SQLite takes over, PostgreSQL waits");
        h.advance(60_000);
        h.run_until_done(&id).await;
    }
}

both! {
    async fn a_clock_that_is_set_back_holds_up_no_job(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "key", Some(h.app.clock.now_ms()));
        let id = h.terminate(&ann).await;
        h.run_jobs().await;
        h.advance(-3_600_000);
        assert!(worker::recall(&h.app).await.expect("recalled") > 0, "the look after the quiet time");
        h.run_jobs().await;
        assert!(h.admin.termination(&id).await.expect("read").finished_at.is_none(), "nobody looked for a quiet time");
        let jobs = h.app.db.next_due_at("shop").await.expect("read").expect("one job");
        assert!(jobs <= h.app.clock.now_ms() + crate::harness::QUIET_MS);
        for _ in 0..4 {
            h.advance(crate::harness::QUIET_MS / 3);
            h.run_jobs().await;
        }
        let done = h.admin.termination(&id).await.expect("read");
        assert_eq!(done.state, TerminationState::Done);
        assert_eq!(worker::recall(&h.app).await.expect("nothing to recall"), 0);
    }
}
