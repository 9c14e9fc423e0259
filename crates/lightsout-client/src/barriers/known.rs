//! What a guard knows, and for how long it may rely on it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use lightsout_api::{Barrier, Barriers};
use tokio::sync::watch;

use super::facts::Facts;
use super::{BarrierOptions, KnownBy, Verdict};
use crate::error::Error;

/// The length of a SHA-256 in base64url.
const HANDLE_LEN: usize = 43;

/// What the feed said so far.
pub(super) struct Known {
    options: BarrierOptions,
    skew_us: i64,
    barriers: Facts,
    sessions: Facts,
    newest_cutoff_us: AtomicI64,
    position: AtomicI64,
    /// The monotonic clock's beginning, and when it was last sure that nothing is missing: nanoseconds
    /// since then, and one more. Zero: never.
    began: Instant,
    heard_ns: AtomicU64,
    progress: watch::Sender<Progress>,
}

/// How following goes.
#[derive(Default)]
struct Progress {
    caught_up: bool,
    /// The last failure, until it is mended.
    failure: Option<Error>,
}

impl Known {
    pub(super) fn new(options: BarrierOptions) -> Self {
        Self {
            skew_us: micros_of(options.clock_skew),
            options,
            barriers: Facts::new(),
            sessions: Facts::new(),
            newest_cutoff_us: AtomicI64::new(0),
            position: AtomicI64::new(0),
            began: Instant::now(),
            heard_ns: AtomicU64::new(0),
            progress: watch::Sender::default(),
        }
    }

    /// Takes in what the feed says. Twice is the same as once.
    pub(super) fn learn(&self, news: &Barriers) {
        for barrier in &news.barriers {
            let cutoff_us = barrier.cutoff.as_microsecond();
            self.newest_cutoff_us.fetch_max(cutoff_us, Ordering::Relaxed);
            if let Some(name) = self.name_in(barrier) {
                self.barriers.note(&self.as_known(name), cutoff_us.saturating_add(self.skew_us));
            }
        }
        for session in &news.ended_sessions {
            self.sessions.note(session.id.as_str(), session.expires_at.as_microsecond());
        }
        self.position.store(news.position, Ordering::Release);
    }

    /// Forgets what is so old that no session can be.
    pub(super) fn forget(&self, now: Timestamp) {
        let now_us = now.as_microsecond();
        // By the older of two clocks, so that one of them that jumps ahead makes nothing be forgotten.
        let newest_us = self.newest_cutoff_us.load(Ordering::Relaxed).min(now_us);
        let oldest_us = newest_us.saturating_sub(micros_of(self.options.longest_session));
        self.barriers.forget_before(oldest_us.saturating_add(self.skew_us));
        self.sessions.forget_before(now_us.saturating_sub(self.skew_us));
    }

    /// Notes that nothing is missing at this moment.
    pub(super) fn heard(&self, now: Instant) {
        let since = now.saturating_duration_since(self.began).as_nanos();
        self.heard_ns.store(u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1), Ordering::Release);
        self.progress.send_if_modified(|progress| {
            let is_new = !progress.caught_up || progress.failure.is_some();
            *progress = Progress { caught_up: true, failure: None };
            is_new
        });
    }

    pub(super) fn failed(&self, error: Error) {
        self.progress.send_modify(|progress| progress.failure = Some(error));
    }

    pub(super) fn failure(&self) -> Option<Error> {
        self.progress.borrow().failure.clone()
    }

    pub(super) fn position(&self) -> i64 {
        self.position.load(Ordering::Acquire)
    }

    /// Waits until everything was known once, or until it does not come by itself.
    pub(super) async fn caught_up(&self) -> Result<(), Error> {
        let mut progress = self.progress.subscribe();
        let is_decided = |progress: &Progress| {
            progress.caught_up || progress.failure.as_ref().is_some_and(|error| !error.is_passing())
        };
        let progress = progress.wait_for(is_decided).await.expect("the sender is in self");
        match &progress.failure {
            Some(error) if !progress.caught_up => Err(error.clone()),
            _ => Ok(()),
        }
    }

    pub(super) fn is_fresh_at(&self, now: Instant) -> bool {
        let heard_ns = self.heard_ns.load(Ordering::Acquire);
        let Some(since_ns) = heard_ns.checked_sub(1) else { return false };
        let since = now.saturating_duration_since(self.began);
        since.saturating_sub(Duration::from_nanos(since_ns)) < self.options.stale_after
    }

    pub(super) fn check_at(&self, user: &str, began_at: Timestamp, now: Instant) -> Verdict {
        let is_ended = self.barriers.holds(&self.as_known(user), began_at.as_microsecond());
        self.verdict(is_ended, now)
    }

    pub(super) fn check_session_at(&self, session_id: &str, now: Instant) -> Verdict {
        let mut handle = [0; HANDLE_LEN];
        let length = URL_SAFE_NO_PAD
            .encode_slice(digest(&SHA256, session_id.as_bytes()), &mut handle)
            .expect("it is as long as a handle");
        let handle = std::str::from_utf8(&handle[..length]).expect("base64 is ASCII");
        self.verdict(self.sessions.holds(handle, i64::MIN + 1), now)
    }

    fn verdict(&self, is_ended: bool, now: Instant) -> Verdict {
        if is_ended {
            Verdict::Ended
        } else if self.is_fresh_at(now) {
            Verdict::Live
        } else {
            Verdict::Stale
        }
    }

    fn name_in<'a>(&self, barrier: &'a Barrier) -> Option<&'a str> {
        match self.options.known_by {
            KnownBy::UserId => Some(barrier.user_id.as_str()),
            KnownBy::Login => barrier.login.as_deref(),
            KnownBy::ExternalId => barrier.external_id.as_deref(),
        }
    }

    /// A name as it is compared.
    fn as_known<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.options.known_by {
            KnownBy::Login => folded(name),
            KnownBy::UserId | KnownBy::ExternalId => Cow::Borrowed(name),
        }
    }
}

/// Folds a login as a service does: trimmed, in lower case.
fn folded(login: &str) -> Cow<'_, str> {
    let login = login.trim();
    if login.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(login);
    }
    Cow::Owned(login.to_lowercase())
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
