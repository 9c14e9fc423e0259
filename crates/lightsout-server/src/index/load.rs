//! How an index fills itself: barriers first, then the sessions, while the node serves.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::sessions::Key;
use super::{Batch, ByEnterprise, Index};
use crate::store::DbError;

/// Rows read at once.
const ROWS: i64 = 5_000;

impl Index {
    /// Forgets everything, and starts from a position of the log: what is committed by then is read when
    /// it is asked for. Facts that were read before are of another log from then on.
    pub(super) fn begin_anew(&self, head: i64) {
        let mut epoch = self.epoch.write().unwrap_or_else(PoisonError::into_inner);
        *epoch += 1;
        self.is_loaded.store(false, Ordering::Release);
        self.is_filled.store(false, Ordering::Release);
        self.sessions.clear();
        self.tokens.clear();
        self.people.clear();
        self.feed.clear();
        self.ended().clear();
        self.began_at.store(head, Ordering::Release);
        self.position.send_replace(head);
    }

    /// Whether the feed has what was before the start.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Whether every session from before the start is in memory as well, as far as there is room.
    pub fn is_filled(&self) -> bool {
        self.is_filled.load(Ordering::Acquire)
    }

    /// Loads what was before the start: the feed's beginning, then every session. Checks of sessions
    /// that are not there yet ask the database. Call it again until the index is filled.
    pub async fn load(&self) -> Result<(), DbError> {
        self.catch_up().await?;
        let epoch = self.as_of().epoch;
        if !self.is_loaded() {
            let mut all = self.read_barriers(None, epoch).await?;
            self.read_single_ends(&mut all).await?;
            let beginning = || {
                let (position, forget_at) = (self.began_at.load(Ordering::Acquire), self.forget_at());
                // What came since the start has batches of its own, after this one.
                for (enterprise_id, barriers) in all {
                    self.feed.push_beginning(&enterprise_id, Batch::new(position, 0, barriers, forget_at));
                }
                self.is_loaded.store(true, Ordering::Release);
            };
            self.within(epoch, beginning).ok_or(DbError::Stale)?;
            // Whoever waits for the feed looks again.
            self.position.send_modify(|_| ());
        }
        self.load_sessions().await?;
        self.within(epoch, || self.is_filled.store(true, Ordering::Release)).ok_or(DbError::Stale)
    }

    /// Takes in every barrier that a living session may be older than, of one enterprise or of all.
    pub(super) async fn read_barriers(
        &self,
        enterprise_id: Option<&str>,
        epoch: u64,
    ) -> Result<ByEnterprise, DbError> {
        let life = self.settings.session_life_ms + self.settings.clock_skew_ms;
        let since = self.clock.now_ms() - life;
        let (mut all, mut after) = (ByEnterprise::new(), String::new());
        loop {
            let rows = self.db.list_barriers(enterprise_id, since, &after, ROWS).await?;
            let Some(last) = rows.last() else { return Ok(all) };
            after.clone_from(&last.user_id);
            let take_in = || {
                for row in &rows {
                    // A barrier without an enterprise is that of a user who was deleted before the
                    // column was there: nobody can be told.
                    let Some(of) = row.enterprise_id.as_deref() else { continue };
                    let barrier = self.raise(row, of);
                    all.entry(of.to_owned()).or_default().barriers.push(barrier);
                }
            };
            self.within(epoch, take_in).ok_or(DbError::Stale)?;
        }
    }

    async fn read_single_ends(&self, all: &mut ByEnterprise) -> Result<(), DbError> {
        let since = self.clock.now_ms() - self.settings.session_life_ms;
        let mut after = 0;
        loop {
            let rows = self.db.list_single_ends(since, after, ROWS).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.position;
            for row in &rows {
                let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
                let user_id = body["source"]["id"].as_str().unwrap_or_default();
                let end = self.single_end(row, user_id, &body["additional_details"]);
                let Some((ended, key)) = end else { continue };
                self.ended().insert(key, ended.expires_at.as_millisecond());
                all.entry(row.enterprise_id.clone()).or_default().ended_sessions.push(ended);
            }
        }
    }

    async fn load_sessions(&self) -> Result<(), DbError> {
        let (mut user_id, mut session_hash) = (String::new(), String::new());
        loop {
            let as_of = self.as_of();
            let rows = self.db.list_sessions_to_index((&user_id, &session_hash), ROWS).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            user_id.clone_from(&last.facts.user_id);
            session_hash.clone_from(&last.session_hash);
            let now = self.clock.now_ms();
            for row in rows.iter().filter(|row| row.facts.is_active(now)) {
                if self.sessions.is_full() {
                    tracing::warn!(
                        sessions = self.session_count(),
                        "the index is full; other sessions are read from the database"
                    );
                    return Ok(());
                }
                if let Some(key) = Key::of(&row.session_hash) {
                    self.keep(key, &row.facts, as_of);
                }
            }
        }
    }
}
