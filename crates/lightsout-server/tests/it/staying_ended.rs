//! A circuit breaker per system, sessions that come back, sign-ins that are spared, and systems that
//! can say only part of the truth.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use lightsout_client::api::{CreateTermination, Outcome, OutcomeState, TerminationState};
use lightsout_server::app::{App, NewSignIns, System};
use lightsout_server::connector::{
    Answer, Answering, Capabilities, Connector, Explanation, Reply, Stateless, StatelessConfig, Target,
};

use crate::harness::{Harness, QUIET_MS, START_MS, both};

/// A system that answers as it is told, and after that the last answer again.
#[derive(Clone)]
struct Told(Arc<Mutex<VecDeque<Answer>>>);

impl Told {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self(Arc::new(Mutex::new(answers.into_iter().collect())))
    }

    fn answer(&self) -> Answering<'_> {
        let mut answers = self.0.lock().expect("no test panics with it");
        let next = answers.pop_front().expect("an answer");
        if answers.is_empty() {
            answers.push_back(next.clone());
        }
        async move { Ok(next) }.boxed()
    }
}

impl Connector for Told {
    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_per_job: 10, jobs_per_pass: 10, counts: true }
    }

    fn explain(&self) -> Explanation {
        Explanation { matched: String::new(), ended: String::new(), proven: String::new() }
    }

    fn end<'a>(&'a self, _: &'a [Target]) -> Answering<'a> {
        self.answer()
    }

    fn find<'a>(&'a self, _: &'a [Target]) -> Answering<'a> {
        self.answer()
    }
}

/// The same service with another `shop`.
fn with_shop(h: &mut Harness, shop: System) {
    let systems = BTreeMap::from([("shop".to_owned(), shop)]);
    let app = &h.app;
    h.app = App::new(app.db.clone(), app.clock.clone(), app.random.clone(), systems, app.settings);
}

fn user(id: &str) -> CreateTermination {
    CreateTermination { user_ids: vec![id.into()], ..CreateTermination::default() }
}

async fn outcome(h: &Harness, termination: &str, system: &str) -> Outcome {
    let entries = h.admin.outcomes(termination, None).await.expect("outcomes").entries;
    entries.into_iter().find(|o| o.system == system).expect("an outcome")
}

both! {
    async fn dead_system_is_asked_by_one_pass_at_a_time_and_says_so(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        h.shop.set_down(true);
        let first = h.admin.terminate(&user(&ann), None).await.expect("accepted").id.0;
        while !h.app.systems["shop"].with_circuit(|circuit| circuit.is_open()) {
            h.run_jobs().await;
            h.advance(1_000);
        }
        // A second termination while it is open: not asked, and said so at once.
        let second = h.admin.terminate(&user(&ann), None).await.expect("accepted").id.0;
        h.run_jobs().await;
        let waits = outcome(h, &second, "shop").await;
        assert_eq!(waits.outcome, OutcomeState::Unreachable);
        let detail = waits.detail.expect("a reason");
        assert!(detail.contains("it is switched off; not asked until 2026-"), "{detail}");
        assert!(detail.ends_with("after 5 failed passes"), "{detail}");
        assert_eq!(h.shop.passes(), 0);

        // It comes back: the trial succeeds, and what waited is due at once.
        h.shop.set_down(false);
        let mut trial = 0;
        while h.shop.passes() == 0 {
            trial += 1;
            assert!(trial < 400, "no trial within the longest backoff");
            h.advance(1_000);
            h.run_jobs().await;
        }
        assert!(!h.shop.is_signed_in("a1"));
        assert!(!h.app.systems["shop"].with_circuit(|circuit| circuit.is_open()));
        for id in [&first, &second] {
            let state = outcome(h, id, "shop").await.outcome;
            assert_eq!(state, OutcomeState::Waiting, "worked by the pass after the trial");
        }
        for id in [&first, &second] {
            assert_eq!(h.run_until_done(id).await.state, TerminationState::Done);
        }
    }
}

both! {
    async fn new_sign_ins_of_unknown_begin_are_ended_or_spared_as_configured(h: &mut Harness) {
        for (name, choice, lives) in [("ann", NewSignIns::End, false), ("bob", NewSignIns::Spare, true)] {
            let shop = System { new_sign_ins: choice, ..h.app.systems["shop"].clone() };
            with_shop(h, shop);
            let (id, login) = (h.user(name).await, format!("{name}@acme.example"));
            h.shop.sign_in(&login, &format!("{name} old"), None);
            let termination = h.admin.terminate(&user(&id), None).await.expect("accepted").id.0;
            h.run_jobs().await;
            h.shop.sign_in(&login, &format!("{name} old"), None);
            h.shop.sign_in(&login, &format!("{name} new"), None);
            h.advance(QUIET_MS / 3);
            h.run_jobs().await;
            assert!(!h.shop.is_signed_in(&format!("{name} old")), "what came back is ended either way");
            assert_eq!(h.shop.is_signed_in(&format!("{name} new")), lives, "{name}");
            assert_eq!(h.run_until_done(&termination).await.state, TerminationState::Done);
            let told = outcome(h, &termination, "shop").await;
            assert_eq!((told.resurrected, told.ended_again), (1, u64::from(!lives)), "{name}");
            assert_eq!(h.shop.is_signed_in(&format!("{name} new")), lives, "{name}, after the last pass");
        }
    }
}

both! {
    async fn sessions_without_a_store_are_reported_with_their_last_moment(h: &mut Harness) {
        let ann = h.user("ann").await;
        let stateless = Stateless::new(StatelessConfig { life_s: 900 });
        with_shop(h, System::new(Arc::new(stateless)));
        let id = h.admin.terminate(&user(&ann), None).await.expect("accepted").id.0;
        let done = h.run_until_done(&id).await;
        assert_eq!(done.state, TerminationState::DoneWithFailures, "nothing was ended");
        let told = outcome(h, &id, "shop").await;
        assert_eq!((told.outcome, told.verified_at), (OutcomeState::EndsBy, None));
        // 15 minutes after the cutoff, and the system's clock skew of 5 s.
        let ends_by = told.ends_by.expect("a time").as_millisecond();
        assert_eq!(ends_by, START_MS + 900_000 + 5_000);
    }
}

both! {
    async fn what_could_not_be_read_stands_in_the_outcome(h: &mut Harness) {
        let ann = h.user("ann").await;
        let note = "1 value could not be read, such as sess:abc...: not JSON".to_owned();
        let answer = Answer { replies: vec![Reply::Sessions(Vec::new())], notes: vec![note.clone()] };
        with_shop(h, System::new(Arc::new(Told::new([answer]))));
        let id = h.admin.terminate(&user(&ann), None).await.expect("accepted").id.0;
        assert_eq!(h.run_until_done(&id).await.state, TerminationState::Done);
        let told = outcome(h, &id, "shop").await;
        assert_eq!((told.outcome, told.detail), (OutcomeState::NothingFound, Some(note)));
    }
}

both! {
    async fn attempted_is_never_ended(h: &mut Harness) {
        let ann = h.user("ann").await;
        let cases = [
            (Reply::Delivered, OutcomeState::DeliveredNotVerified),
            (Reply::Unknown("no list".to_owned()), OutcomeState::UnknownSessions),
            (Reply::NoSubject, OutcomeState::NoSubject),
            (Reply::Failed("HTTP 500".to_owned()), OutcomeState::GaveUp),
        ];
        for (reply, state) in cases {
            let told = Told::new([Answer::from(vec![reply])]);
            with_shop(h, System::new(Arc::new(told)));
            let id = h.admin.terminate(&user(&ann), None).await.expect("accepted").id.0;
            h.run_jobs().await;
            h.advance(h.app.settings.give_up_after_ms);
            assert_eq!(h.run_until_done(&id).await.state, TerminationState::DoneWithFailures, "{state:?}");
            let told = outcome(h, &id, "shop").await;
            assert_eq!((told.outcome, told.verified_at, told.sessions_ended), (state, None, 0));
        }
    }
}

both! {
    async fn target_that_failed_is_quiet_from_then_on_and_says_that_it_was_cut_short(h: &mut Harness) {
        let ann = h.user("ann").await;
        // The first pass ends something and fails for her; then nothing is left to be seen.
        let failed = Answer::from(vec![Reply::Failed("the list could not be read".to_owned())]);
        let empty = Answer::from(vec![Reply::Sessions(Vec::new())]);
        with_shop(h, System::new(Arc::new(Told::new([empty.clone(), failed, empty]))));
        let id = h.admin.terminate(&user(&ann), None).await.expect("accepted").id.0;
        h.run_jobs().await;
        h.advance(QUIET_MS / 2);
        h.run_jobs().await;
        assert_eq!(outcome(h, &id, "shop").await.outcome, OutcomeState::Unreachable);
        h.advance(QUIET_MS / 2);
        h.run_jobs().await;
        assert_eq!(outcome(h, &id, "shop").await.outcome, OutcomeState::Waiting, "the quiet time began anew");
        h.run_until_done(&id).await;
        let told = outcome(h, &id, "shop").await;
        assert!(told.detail.is_some_and(|detail| detail.contains("cut short")));
    }
}

both! {
    async fn sign_ins_are_spared_also_after_an_outage(h: &mut Harness) {
        let shop = System { new_sign_ins: NewSignIns::Spare, ..h.app.systems["shop"].clone() };
        with_shop(h, shop);
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "old", None);
        let id = h.admin.terminate(&user(&ann), None).await.expect("accepted").id.0;
        h.run_jobs().await;
        h.shop.set_down(true);
        h.advance(QUIET_MS / 3);
        h.run_jobs().await;
        h.shop.sign_in("ann@acme.example", "new", None);
        h.shop.set_down(false);
        assert_eq!(h.run_until_done(&id).await.state, TerminationState::Done);
        assert!(h.shop.is_signed_in("new"));
        assert_eq!(outcome(h, &id, "shop").await.sessions_ended, 1);
    }
}

both! {
    async fn begin_in_another_unit_spares_nobody(h: &mut Harness) {
        let ann = h.user("ann").await;
        // Microseconds where milliseconds are expected: the year 57,000.
        h.shop.sign_in("ann@acme.example", "a1", Some(START_MS * 1_000));
        let id = h.admin.terminate(&user(&ann), None).await.expect("accepted").id.0;
        assert_eq!(h.run_until_done(&id).await.state, TerminationState::Done);
        assert!(!h.shop.is_signed_in("a1"));
    }
}
