//! What every operation works with: the database, the clock, the systems, the settings.

mod damaged;
mod links;
mod looks;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use self::damaged::Damaged;
pub use self::links::{Link, Links};
pub use self::looks::{ChainLook, Looks, PersonCheck, Stretch, SystemCheck};
use crate::clock::Clock;
use crate::connector::{Connector, Registry};
use crate::domain::circuit::Circuit;
use crate::index::{Index, IndexSettings};
use crate::random::Random;
use crate::store::{Db, DbError, JobTarget, Tx};

/// The service, without its sockets.
pub struct App {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Ids and secrets.
    pub random: Random,
    /// Where sessions live, by name.
    pub systems: BTreeMap<String, System>,
    /// Lives and horizons.
    pub settings: Settings,
    /// What checks need, in memory.
    pub index: Index,
    /// What people looked at last.
    pub looks: Looks,
    /// Which stored fields the log has named as damaged.
    pub damaged: Damaged,
    /// One-time links that sign somebody in.
    pub links: Links,
    wake: watch::Sender<()>,
}

/// One system as the worker sees it.
#[derive(Clone)]
pub struct System {
    /// Its kind, in the words of the configuration; empty for one that no configuration names.
    pub kind: String,
    /// Ends and finds.
    pub connector: Arc<dyn Connector>,
    /// By which name the system knows a user.
    pub subject: Subject,
    /// The one enterprise whose people sign in there; none: every enterprise's.
    pub enterprise: Option<String>,
    /// How long an app may hold a request in flight that saves its session again.
    pub quiet_time: Duration,
    /// What is added to a cutoff, because the system's clock may be off.
    pub clock_skew: Duration,
    /// How long one pass may take.
    pub timeout: Duration,
    /// What becomes of sessions of unknown begin that appear after the first pass.
    pub new_sign_ins: NewSignIns,
    /// How the last passes went. Each node has its own.
    pub circuit: Arc<Mutex<Circuit>>,
}

impl System {
    /// A system with the default times, whose users are known by their logins.
    pub fn new(connector: Arc<dyn Connector>) -> Self {
        Self {
            kind: String::new(),
            connector,
            subject: Subject::Login,
            enterprise: None,
            quiet_time: Duration::from_secs(30),
            clock_skew: Duration::from_secs(5),
            timeout: Duration::from_mins(1),
            new_sign_ins: NewSignIns::End,
            circuit: Arc::default(),
        }
    }

    /// Whether people of an enterprise sign in there.
    pub fn is_of(&self, enterprise_id: &str) -> bool {
        self.enterprise.as_deref().is_none_or(|id| id == enterprise_id)
    }

    /// The circuit breaker, for a moment.
    pub fn with_circuit<T>(&self, f: impl FnOnce(&mut Circuit) -> T) -> T {
        f(&mut self.circuit.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What becomes of sessions under new keys, whose begin the store does not show, while the quiet time
/// runs: requests in flight saved them, or the person signed in again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NewSignIns {
    /// They are ended: some software saves an ended session under a new key, and a sign-in more is
    /// the smaller harm.
    #[default]
    End,
    /// They are spared; only keys that were ended before are ended again.
    Spare,
}

/// The name by which a system knows a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The login, as it stands in the directory.
    #[default]
    Login,
    /// The id.
    Id,
    /// The id in an outside system (`external_app_user_id`).
    ExternalId,
    /// The name that was set for this user and system.
    Alias,
}

impl Subject {
    /// Picks the name from what a job knows of a target. An empty name is none: it would match what
    /// names nobody.
    pub fn of(self, target: &JobTarget) -> Option<String> {
        let name = match self {
            Self::Login => target.login.clone(),
            Self::Id => Some(target.user_id.clone()),
            Self::ExternalId => target.external_id.clone(),
            Self::Alias => target.alias.clone(),
        };
        name.filter(|name| !name.is_empty())
    }
}

/// Lives and horizons, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Life of an access token.
    pub token_life_ms: i64,
    /// Life of a registered session that brings none of its own, and the most that it may bring.
    pub session_life_ms: i64,
    /// Life of a sign-in to the service's own pages.
    pub sign_in_life_ms: i64,
    /// Whether people may sign in to the command line (`lightsout login`) with the browser.
    pub command_line: bool,
    /// Life of a refresh token; each use gives a new one.
    pub refresh_life_ms: i64,
    /// What is added to a cutoff for a begin that an app reports.
    pub registry_clock_skew_ms: i64,
    /// How long a system that fails is tried.
    pub give_up_after_ms: i64,
    /// How long events are kept.
    pub keep_events_ms: i64,
    /// How long finished terminations and their outcomes are kept.
    pub keep_terminations_ms: i64,
    /// How long an idempotency key is remembered.
    pub keep_idempotency_keys_ms: i64,
    /// How long a pass under way may go on when the service stops, before its jobs are given back.
    pub finish_within: Duration,
    /// How long a node that does not hear from its database goes on to say that sessions are active.
    pub stale_after_ms: i64,
    /// The most sessions kept in memory.
    pub index_sessions_max: usize,
}

const DAY_MS: i64 = 86_400_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            token_life_ms: 3_600_000,
            session_life_ms: 30 * DAY_MS,
            sign_in_life_ms: 12 * 3_600_000,
            command_line: true,
            refresh_life_ms: 60 * DAY_MS,
            registry_clock_skew_ms: 5_000,
            give_up_after_ms: DAY_MS,
            keep_events_ms: 365 * DAY_MS,
            keep_terminations_ms: 365 * DAY_MS,
            keep_idempotency_keys_ms: DAY_MS,
            finish_within: Duration::from_secs(10),
            stale_after_ms: 2_000,
            index_sessions_max: 20_000_000,
        }
    }
}

impl App {
    /// Puts the service together. The registry is always among the systems.
    pub fn new(
        db: Db,
        clock: Clock,
        random: Random,
        mut systems: BTreeMap<String, System>,
        settings: Settings,
    ) -> Arc<Self> {
        let registry = System {
            kind: Registry::NAME.to_owned(),
            subject: Subject::Id,
            quiet_time: Duration::ZERO,
            clock_skew: Duration::ZERO,
            timeout: Duration::from_secs(30),
            ..System::new(Arc::new(Registry::new(db.clone(), clock.clone())))
        };
        systems.insert(Registry::NAME.to_owned(), registry);
        let index = IndexSettings {
            stale_after_ms: settings.stale_after_ms,
            session_life_ms: settings.session_life_ms,
            clock_skew_ms: settings.registry_clock_skew_ms,
            sessions_max: settings.index_sessions_max,
        };
        let index = Index::new(db.clone(), clock.clone(), index);
        let wake = watch::Sender::new(());
        Arc::new(Self {
            db,
            clock,
            random,
            systems,
            settings,
            index,
            looks: Looks::default(),
            damaged: Damaged::default(),
            links: Links::default(),
            wake,
        })
    }

    /// Commits a transaction that appended events. When this returns, every check on this node knows of
    /// it; where the index could not read it, no check says "active" until it has.
    pub async fn commit(&self, tx: Tx) -> Result<(), DbError> {
        tx.commit().await?;
        self.hear().await;
        self.wake();
        Ok(())
    }

    /// Lets every check on this node know what was committed until now, by any node. Where the index
    /// cannot read it, no check says "active" until it has.
    pub async fn hear(&self) {
        if let Err(error) = self.index.catch_up().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the index could not read a commit");
            self.index.doubt();
        }
    }

    /// The systems that people of an enterprise sign in to.
    pub fn systems_of(&self, enterprise_id: &str) -> impl Iterator<Item = (&String, &System)> {
        self.systems.iter().filter(move |(_, system)| system.is_of(enterprise_id))
    }

    /// Tells workers and streams that a commit may concern them. They read the database to see.
    pub fn wake(&self) {
        self.wake.send_replace(());
    }

    /// Hears of wakes. Subscribe before reading the database, so that none is missed.
    pub fn wakes(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }
}
