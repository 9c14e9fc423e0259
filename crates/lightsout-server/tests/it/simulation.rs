//! A seeded loop of requests, worker steps, crashes, lost leases, dead systems and clock jumps,
//! compared with a small model: no job lost, none settled twice, events gap-free, the chain intact.

use std::collections::{BTreeMap, HashMap};

use lightsout_client::api::{CreateTermination, RegisteredSession, SessionState, TerminationState};
use lightsout_server::connector::{Connector, Target};
use lightsout_server::server::retention;
use lightsout_server::store::EventFilter;
use lightsout_server::worker;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::harness::{Database, Harness};

const USERS: usize = 6;
const STEPS: usize = 60;
/// What the harness's shop adds to a cutoff.
const SKEW_MS: i64 = 5_000;

/// What must be true, without any of the machinery.
#[derive(Default)]
struct Model {
    /// Sessions in the shop: whose, and when each began.
    sessions: BTreeMap<String, (usize, i64)>,
    /// Sessions in the registry, and whether each may be used.
    registered: Vec<(RegisteredSession, usize, bool)>,
    /// Each user's newest cutoff.
    cutoffs: HashMap<usize, i64>,
    /// Accepted terminations and their numbers of people.
    accepted: Vec<(String, u64)>,
}

impl Model {
    fn lives(&self, key: &str) -> bool {
        let (user, began) = self.sessions[key];
        self.cutoffs.get(&user).is_none_or(|cutoff| began > cutoff + SKEW_MS)
    }
}

struct Simulation {
    h: Harness,
    rng: StdRng,
    users: Vec<String>,
    model: Model,
}

impl Simulation {
    async fn new(database: Database, seed: u64) -> Self {
        let h = Harness::start(database).await;
        let mut users = Vec::new();
        for n in 0..USERS {
            users.push(h.user(&format!("user{n}")).await);
        }
        Self { h, rng: StdRng::seed_from_u64(seed), users, model: Model::default() }
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..10) {
            0 => self.sign_in(),
            1 => self.register().await,
            2 => self.request().await,
            3 | 4 => self.work("shop").await,
            5 => {
                self.work("registry").await;
                self.h.prune(&retention(&self.h.app)).await;
            }
            6 => self.crash_after_claim().await,
            7 => self.crash_after_end().await,
            8 => {
                let down = self.rng.random_bool(0.4);
                self.h.shop.set_down(down);
            }
            _ => {
                let ms = self.rng.random_range(-2_000..400_000);
                self.h.advance(ms);
            }
        }
    }

    fn sign_in(&mut self) {
        let user = self.rng.random_range(0..USERS);
        let key = format!("key{}", self.model.sessions.len());
        let began = self.h.app.clock.now_ms();
        self.h.shop.sign_in(&format!("user{user}@acme.example"), &key, Some(began));
        self.model.sessions.insert(key, (user, began));
    }

    async fn register(&mut self) {
        let user = self.rng.random_range(0..USERS);
        let now = self.h.app.clock.now_ms();
        let session = self.h.sign_in(&self.users[user]).await;
        let lives = self.model.cutoffs.get(&user).is_none_or(|cutoff| now > *cutoff);
        assert_eq!(session.state == SessionState::Active, lives, "registered at {now}");
        if lives {
            self.model.registered.push((session, user, true));
        }
    }

    async fn request(&mut self) {
        let chosen: Vec<usize> = (0..USERS).filter(|_| self.rng.random_bool(0.4)).collect();
        if chosen.is_empty() {
            return;
        }
        let user_ids = chosen.iter().map(|n| self.users[*n].as_str().into()).collect();
        let request = CreateTermination { user_ids, ..CreateTermination::default() };
        // Sent twice now and then, as SDKs do when an answer is lost.
        for _ in 0..=usize::from(self.rng.random_bool(0.3)) {
            let accepted = self.h.admin.terminate(&request, None).await.expect("accepted");
            self.model.accepted.push((accepted.id.0, accepted.people));
        }
        for (_, user, lives) in &mut self.model.registered {
            *lives &= !chosen.contains(user);
        }
        for user in chosen {
            let cutoff = self.model.cutoffs.entry(user).or_insert(i64::MIN);
            *cutoff = (*cutoff).max(self.h.app.clock.now_ms());
        }
    }

    async fn work(&self, system: &str) {
        worker::pass(&self.h.app, system, &CancellationToken::new()).await.expect("the database works");
    }

    /// A worker that dies with its lease: nothing but the claim is left of it.
    async fn crash_after_claim(&self) {
        self.claim().await;
    }

    /// A worker that dies after it ended sessions and before it could say so.
    async fn crash_after_end(&self) {
        for job in self.claim().await {
            let open = self.h.app.db.list_open_targets(&job, "shop").await.expect("targets");
            let target = |t: lightsout_server::store::JobTarget| Target {
                user_id: t.user_id,
                subject: t.login.unwrap_or_default(),
                cutoff: t.cutoff + SKEW_MS,
                asked_at: t.cutoff,
                only: None,
            };
            let targets: Vec<Target> = open.into_iter().map(|(t, _)| target(t)).collect();
            // A system that is down answers nothing; then only the claim is left.
            let _ = self.h.shop.end(&targets).await;
        }
    }

    async fn claim(&self) -> Vec<lightsout_server::store::JobRow> {
        let now = self.h.app.clock.now_ms();
        let mut tx = self.h.app.db.begin().await.expect("a transaction");
        let jobs = tx.claim_jobs("shop", now, now + 180_000, 1).await.expect("claimed");
        tx.commit().await.expect("committed");
        jobs
    }

    /// After every step: positions without gaps, the chain intact, no ended session accepted.
    async fn check_step(&self) {
        for (session, _, lives) in &self.model.registered {
            assert_eq!(self.h.is_active(session).await, *lives, "{session:?}");
        }
        self.h.app.db.verify_events(None).await.expect("the database works").expect("the chain holds");
    }

    /// At the end: everything finishes, and the world is as the model says.
    async fn check_end(mut self) {
        self.h.shop.set_down(false);
        for (id, people) in std::mem::take(&mut self.model.accepted) {
            let done = self.h.run_until_done(&id).await;
            assert_eq!((done.state, done.people), (TerminationState::Done, people), "{id}");
            self.check_events(&id, people).await;
        }
        for key in self.model.sessions.keys() {
            assert_eq!(self.h.shop.is_signed_in(key), self.model.lives(key), "{key}");
        }
        self.h.finish().await;
    }

    /// One outcome for each person and system, one done, none doubled.
    async fn check_events(&self, id: &str, people: u64) {
        let filter = EventFilter { enterprise_id: self.h.enterprise_id.clone(), ..EventFilter::default() };
        let events = self.h.app.db.list_events(&filter, i64::MAX).await.expect("events");
        let of_type = |word: &str| {
            let mine =
                events.iter().filter(|e| e.termination_id.as_deref() == Some(id) && e.event_type == word);
            mine.count() as u64
        };
        assert_eq!(of_type("SESSION_TERMINATION_REQUESTED"), 1, "{id}");
        assert_eq!(of_type("SESSION_TERMINATION_OUTCOME"), people * 2, "{id}");
        assert_eq!(of_type("SESSION_TERMINATION_DONE"), 1, "{id}");
    }
}

async fn run(database: Database, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        eprintln!("seed {seed}");
        let mut simulation = Simulation::new(database, seed).await;
        for _ in 0..STEPS {
            simulation.step().await;
            simulation.check_step().await;
        }
        simulation.check_end().await;
    }
}

#[tokio::test]
async fn sqlite_agrees_with_the_model() {
    run(Database::Sqlite, 0..20).await;
}

#[tokio::test]
async fn postgres_agrees_with_the_model() {
    run(Database::Postgres, 100..106).await;
}
