//! What checks need, in memory: facts are kept, verdicts never.
//!
//! A session's facts do not change, so they are kept once they were read. What does change (whose
//! generation was raised, which session was ended alone, who was edited) stands in the event log, and
//! the index follows it by position. Whoever has heard of everything up to a position may say "active"
//! of it; a node that has not heard from its database for too long says nothing at all.

mod feed;
mod load;
mod people;
mod sessions;
mod tokens;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use lightsout_api::{Barrier, Barriers, EndedSession};
use serde_json::Value;
use tokio::sync::watch;

use self::feed::Feed;
pub use self::feed::{Batch, Message};
use self::people::People;
use self::sessions::{Key, KeyMap, Sessions};
use self::tokens::{Known, Tokens};
use crate::clock::{Clock, timestamp};
use crate::domain::access::Caller;
use crate::store::{BarrierRow, ChangeRow, Db, DbError, Head, SessionFacts, TokenFacts};

/// Changes read at once.
const CHANGES_MAX: i64 = 500;
/// Targets of a termination read at once.
const TARGETS_MAX: i64 = 5_000;
/// How long one look at the database may take, before the node counts as cut off.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// After a look that failed, the next is left to the follower for so long.
const PAUSE_MS: i64 = 200;
/// How long a change is kept for reads that began before it.
const KEEP_CHANGES_MS: i64 = 600_000;

/// Limits and lives of the index.
#[derive(Clone, Copy, Debug)]
pub struct IndexSettings {
    /// A node that has not heard from its database for longer says "active" of nobody.
    pub stale_after_ms: i64,
    /// The longest life of a session: an older barrier says nothing any more.
    pub session_life_ms: i64,
    /// What apps may add to a cutoff.
    pub clock_skew_ms: i64,
    /// The most sessions kept in memory; more are read from the database at each check.
    pub sessions_max: usize,
}

/// The index of one node.
pub struct Index {
    db: Db,
    clock: Clock,
    settings: IndexSettings,
    people: People,
    sessions: Sessions,
    tokens: Tokens,
    /// Sessions that were ended alone, until they would have expired.
    ended: RwLock<KeyMap<i64>>,
    feed: Feed,
    /// The feed holds what was before the start, at this position; and the sessions are in, too.
    is_loaded: AtomicBool,
    is_filled: AtomicBool,
    began_at: AtomicI64,
    /// Counts the logs that were begun: what was read of one is nothing in another.
    epoch: RwLock<u64>,
    /// The log's hash at the position. Who holds the lock reads on; the others take over what it read.
    reading: tokio::sync::Mutex<String>,
    position: watch::Sender<i64>,
    /// When the database answered last, and when it last did not, by the clock that nobody sets back.
    heard_ms: AtomicI64,
    failed_ms: AtomicI64,
}

impl Index {
    /// An index that has heard of nothing yet.
    pub fn new(db: Db, clock: Clock, settings: IndexSettings) -> Self {
        Self {
            db,
            clock,
            settings,
            people: People::new(),
            sessions: Sessions::new(settings.sessions_max),
            tokens: Tokens::default(),
            ended: RwLock::default(),
            feed: Feed::default(),
            is_loaded: AtomicBool::new(false),
            is_filled: AtomicBool::new(false),
            began_at: AtomicI64::new(0),
            epoch: RwLock::new(0),
            reading: tokio::sync::Mutex::default(),
            position: watch::Sender::new(-1),
            heard_ms: AtomicI64::new(i64::MIN),
            failed_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// Up to which position of the log this node has heard.
    pub fn position(&self) -> i64 {
        *self.position.borrow()
    }

    /// Hears of new positions.
    pub fn positions(&self) -> watch::Receiver<i64> {
        self.position.subscribe()
    }

    /// The number of sessions in memory.
    pub fn session_count(&self) -> usize {
        self.sessions.count()
    }

    /// Whether this node has heard from its database within the limit.
    pub fn is_fresh(&self) -> bool {
        let heard = self.heard_ms.load(Ordering::Acquire);
        heard != i64::MIN && self.clock.elapsed_ms() - heard <= self.settings.stale_after_ms
    }

    /// Returns when this node is fresh, or says that it is not: [`DbError::Stale`].
    pub async fn fresh(&self) -> Result<(), DbError> {
        if self.is_fresh() {
            return Ok(());
        }
        let failed = self.failed_ms.load(Ordering::Acquire);
        if failed != i64::MIN && self.clock.elapsed_ms() - failed < PAUSE_MS {
            return Err(DbError::Stale);
        }
        self.catch_up().await.map_err(|_| DbError::Stale)
    }

    /// Reads what was committed until now. When this returns, every check on this node knows it.
    ///
    /// Where it fails, the node is stale from that moment on.
    pub async fn catch_up(&self) -> Result<(), DbError> {
        let asked = self.clock.elapsed_ms();
        let mut hash = self.reading.lock().await;
        // Whoever read meanwhile may have begun after this call did.
        if self.heard_ms.load(Ordering::Acquire) > asked {
            return Ok(());
        }
        // A look that failed meanwhile is this call's answer, too: else all who wait fail one by one.
        if self.failed_ms.load(Ordering::Acquire) > asked {
            return Err(DbError::Stale);
        }
        let result = self.read(&mut hash).await;
        if result.is_err() {
            self.failed_ms.store(self.clock.elapsed_ms(), Ordering::Release);
        }
        result
    }

    /// Says that this node does not know what was committed: until it has heard again, it is stale.
    pub fn doubt(&self) {
        self.heard_ms.store(i64::MIN, Ordering::Release);
    }

    async fn read(&self, hash: &mut String) -> Result<(), DbError> {
        let now_ms = self.clock.elapsed_ms();
        let head = in_time(self.db.head_apart()).await?;
        let at = self.position();
        if at < 0 || !self.goes_on(at, hash, &head).await? {
            // The beginning; or another log, as after a restore: nothing kept is worth keeping.
            self.begin_anew(head.position);
            hash.clone_from(&head.chain_hash);
        }
        while self.position() < head.position {
            let changes = self.db.list_changes(self.position(), head.position, CHANGES_MAX);
            let changes = in_time(changes).await?;
            let is_last = i64::try_from(changes.len()).is_ok_and(|n| n < CHANGES_MAX);
            for change in changes {
                self.apply(&change).await?;
                *hash = change.chain_hash;
                self.position.send_replace(change.position);
            }
            if is_last {
                hash.clone_from(&head.chain_hash);
                self.position.send_replace(head.position);
            }
        }
        self.heard_ms.store(now_ms, Ordering::Release);
        Ok(())
    }

    /// Whether the log is the one that was heard up to a position with this hash, and more.
    async fn goes_on(&self, at: i64, hash: &str, head: &Head) -> Result<bool, DbError> {
        if at == head.position {
            return Ok(*hash == head.chain_hash);
        }
        if at == 0 || at > head.position {
            return Ok(at == 0);
        }
        Ok(in_time(self.db.hash_apart(at)).await?.is_some_and(|there| there == hash))
    }

    /// Up to where the log was heard before something is read, and of which log.
    fn as_of(&self) -> AsOf {
        let epoch = self.epoch.read().unwrap_or_else(PoisonError::into_inner);
        AsOf { epoch: *epoch, position: self.position() }
    }

    /// Does something if the log is still the one of that epoch.
    fn within<T>(&self, epoch: u64, act: impl FnOnce() -> T) -> Option<T> {
        let now = self.epoch.read().unwrap_or_else(PoisonError::into_inner);
        (*now == epoch).then(act)
    }

    async fn apply(&self, change: &ChangeRow) -> Result<(), DbError> {
        let body: Value = serde_json::from_str(&change.body).unwrap_or_default();
        let user_id = body["source"]["id"].as_str().unwrap_or_default();
        let now_ms = self.clock.elapsed_ms();
        match (change.event_type.as_str(), change.termination_id.as_deref()) {
            ("SESSION_TERMINATION_REQUESTED", Some(id)) => {
                let people = body["additional_details"]["people"].as_i64().unwrap_or(0);
                self.apply_termination(change, id, people).await?;
            }
            ("SESSION_ENDED", _) => self.apply_end(change, user_id, &body["additional_details"]),
            ("GENERATIONS_RAISED", _) => {
                let epoch = self.as_of().epoch;
                let barriers = self.read_barriers(Some(&change.enterprise_id), epoch).await?;
                for (enterprise_id, barriers) in barriers {
                    self.publish(change.position, &enterprise_id, barriers);
                }
            }
            _ => self.people.person(user_id, &change.enterprise_id).change(change.position, now_ms),
        }
        Ok(())
    }

    async fn apply_termination(&self, change: &ChangeRow, id: &str, people: i64) -> Result<(), DbError> {
        let mut barriers = Barriers::default();
        let mut first = 0;
        while first < people {
            let rows = in_time(self.db.list_barriers_of(id, first, first + TARGETS_MAX - 1)).await?;
            barriers.barriers.extend(rows.iter().map(|row| self.raise(row, &change.enterprise_id)));
            first += TARGETS_MAX;
        }
        self.publish(change.position, &change.enterprise_id, barriers);
        Ok(())
    }

    /// Takes one barrier in.
    fn raise(&self, row: &BarrierRow, enterprise_id: &str) -> Barrier {
        self.people.person(&row.user_id, enterprise_id).raise(row.generation, self.clock.elapsed_ms());
        Barrier {
            user_id: row.user_id.as_str().into(),
            login: row.login.clone(),
            external_id: row.external_id.clone(),
            cutoff: timestamp(row.cutoff),
        }
    }

    fn apply_end(&self, change: &ChangeRow, user_id: &str, details: &Value) {
        let Some((ended, key)) = self.single_end(change, user_id, details) else { return };
        self.ended().insert(key, ended.expires_at.as_millisecond());
        self.sessions.remove(key);
        let barriers = Barriers { ended_sessions: vec![ended], ..Barriers::default() };
        self.publish(change.position, &change.enterprise_id, barriers);
    }

    fn single_end(&self, change: &ChangeRow, user_id: &str, details: &Value) -> Option<(EndedSession, Key)> {
        let hash = details["session"].as_str()?;
        let expires_at = details["expires_at"].as_i64();
        let ended = EndedSession {
            id: hash.into(),
            user_id: user_id.into(),
            expires_at: timestamp(expires_at.unwrap_or(change.recorded_at + self.settings.session_life_ms)),
        };
        Some((ended, Key::of(hash)?))
    }

    fn publish(&self, position: i64, enterprise_id: &str, barriers: Barriers) {
        if barriers.barriers.is_empty() && barriers.ended_sessions.is_empty() {
            return;
        }
        self.feed.push(enterprise_id, Batch::new(position, position - 1, barriers, self.forget_at()));
    }

    /// When no session that lives now can live any more.
    fn forget_at(&self) -> i64 {
        self.clock.now_ms() + self.settings.session_life_ms + self.settings.clock_skew_ms
    }

    /// What an enterprise's followers are told after a position; none until what was before the start is
    /// loaded.
    pub fn feed_after(&self, enterprise_id: &str, position: i64) -> Option<Vec<Arc<Batch>>> {
        self.is_loaded.load(Ordering::Acquire).then(|| self.feed.after(enterprise_id, position))
    }

    /// Finds what a session id stands for, from memory where it can be.
    pub async fn find_session(&self, session_hash: &str) -> Result<Option<SessionFacts>, DbError> {
        self.fresh().await?;
        let Some(key) = Key::of(session_hash) else { return Ok(None) };
        if self.ended.read().unwrap_or_else(PoisonError::into_inner).contains_key(&key) {
            return Ok(None);
        }
        if let Some(facts) = self.sessions.find(key) {
            return Ok(Some(facts));
        }
        let as_of = self.as_of();
        let found = self.db.find_session(session_hash).await?;
        match &found {
            Some(facts) => self.keep(key, facts, as_of),
            None => self.sessions.remove(key),
        }
        Ok(found)
    }

    fn keep(&self, key: Key, facts: &SessionFacts, as_of: AsOf) {
        self.within(as_of.epoch, || {
            let person = self.people.person(&facts.user_id, &facts.enterprise_id);
            person.learn(facts.login.as_deref(), facts.generation_now, as_of.position);
            self.sessions.insert(key, facts, person);
        });
    }

    /// Finds the caller behind a token, or behind an app's own credentials, from memory where it can be;
    /// none: it may not be used. `hash` is the SHA-256 of what was shown, and `read` reads what it stands
    /// for from the database.
    pub async fn find_caller(
        &self,
        hash: &str,
        read: impl Future<Output = Result<Option<TokenFacts>, DbError>>,
        caller: impl FnOnce(TokenFacts) -> Caller,
    ) -> Result<Option<Arc<Caller>>, DbError> {
        self.fresh().await?;
        let Some(key) = Key::of(hash) else { return Ok(None) };
        let (now, elapsed_ms) = (self.clock.now_ms(), self.clock.elapsed_ms());
        match self.tokens.find(key, now, elapsed_ms) {
            Known::Caller(caller) => return Ok(Some(caller)),
            Known::Refused => return Ok(None),
            Known::Nothing => {}
        }
        let as_of = self.as_of();
        let Some(facts) = read.await?.filter(|facts| facts.is_active(now)) else { return Ok(None) };
        let caller = Arc::new(caller(facts.clone()));
        self.within(as_of.epoch, || {
            let person = self.people.person(&facts.user_id, &facts.enterprise_id);
            person.learn(facts.login.as_deref(), facts.generation_now, as_of.position);
            self.tokens.insert(key, Arc::clone(&caller), facts, person, (as_of.position, elapsed_ms));
        });
        Ok(Some(caller))
    }

    fn ended(&self) -> RwLockWriteGuard<'_, KeyMap<i64>> {
        self.ended.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what is over. Call it now and then.
    pub fn tidy(&self) {
        let (now, elapsed_ms) = (self.clock.now_ms(), self.clock.elapsed_ms());
        self.sessions.forget_ended(now);
        self.tokens.forget_old(elapsed_ms);
        self.ended().retain(|_, expires_at| now < *expires_at);
        self.people.forget_idle(elapsed_ms - KEEP_CHANGES_MS);
        self.feed.tidy(now);
    }
}

/// What was known when a fact was read.
#[derive(Clone, Copy)]
struct AsOf {
    epoch: u64,
    position: i64,
}

/// A look at the database that takes too long counts as none: the node may be cut off.
async fn in_time<T>(look: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    tokio::time::timeout(ANSWER_WITHIN, look).await.unwrap_or(Err(DbError::Stale))
}

/// Barriers by enterprise.
type ByEnterprise = HashMap<String, Barriers>;
