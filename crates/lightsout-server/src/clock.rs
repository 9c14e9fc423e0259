//! The one place that reads the system clock. Tests hold the hands of their own.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use jiff::Timestamp;

/// A source of wall-clock time in milliseconds since 1970 UTC.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `now_ms` until it is advanced. Clones share their hands.
    pub fn manual(now_ms: i64) -> Self {
        Self(Some(Arc::new(AtomicI64::new(now_ms))))
    }

    /// Reads the clock.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Some(hands) => hands.load(Ordering::SeqCst),
            None => Timestamp::now().as_millisecond(),
        }
    }

    /// Milliseconds since some instant of the past, by a clock that nobody sets back: how long ago
    /// something was. A manual clock has one pair of hands for both.
    pub fn elapsed_ms(&self) -> i64 {
        static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.0 {
            Some(hands) => hands.load(Ordering::SeqCst),
            None => i64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// Moves a manual clock; negative values move it back. Nothing on the machine's clock.
    pub fn advance_ms(&self, by_ms: i64) {
        if let Some(hands) = &self.0 {
            hands.fetch_add(by_ms, Ordering::SeqCst);
        }
    }
}

/// Turns stored milliseconds into a timestamp; what lies outside jiff's range becomes its limit.
pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// The same with whole seconds, as Box's wire has it.
pub fn timestamp_seconds(ms: i64) -> Timestamp {
    timestamp(ms - ms.rem_euclid(1000))
}
