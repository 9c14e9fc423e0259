//! How following outlives a server that is away for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long to wait before a server is asked anew; it doubles, up to the other.
const DELAY: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(8);
/// How long a server may be away before following fails.
const AWAY_MAX: Duration = Duration::from_mins(5);

/// Since when a server is away, and when it may be asked again.
#[derive(Debug)]
pub(crate) struct Away {
    since: Option<Instant>,
    tries: u32,
    delay_max: Duration,
    ask_at: Option<Instant>,
    is_connected: Arc<AtomicBool>,
}

impl Away {
    pub(crate) fn new() -> Self {
        Self::asking_within(DELAY_MAX)
    }

    /// Waits for no longer than this, but where the server wants it.
    pub(crate) fn asking_within(delay_max: Duration) -> Self {
        let is_connected = Arc::new(AtomicBool::new(true));
        Self { since: None, tries: 0, delay_max, ask_at: None, is_connected }
    }

    /// Says from elsewhere whether the server answers.
    pub(crate) fn is_connected(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_connected)
    }

    /// The server answered. Waits begin anew only with [`Away::reset`].
    pub(crate) fn back(&mut self) {
        self.since = None;
        self.is_connected.store(true, Ordering::Relaxed);
    }

    /// The server did what it was asked for.
    pub(crate) fn reset(&mut self) {
        self.back();
        self.tries = 0;
    }

    /// Notes a failure, or an end that came too early. The error comes back if it does not pass by itself,
    /// or if the server will have been away for too long; it may be asked again nevertheless, later.
    pub(crate) fn failed(&mut self, error: Option<Error>, delay_min: Duration) -> Result<(), Error> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.is_connected.store(false, Ordering::Relaxed);
        let retry_after = error.as_ref().and_then(|error| error.api()?.retry_after).unwrap_or_default();
        let doubled = DELAY.saturating_mul(2_u32.saturating_pow(self.tries)).min(self.delay_max);
        self.tries = self.tries.saturating_add(1);
        self.wait(doubled.max(retry_after).max(delay_min));
        match error {
            Some(error) if !error.is_passing() || since.elapsed().saturating_add(retry_after) > AWAY_MAX => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// The next request waits for so long.
    pub(crate) fn wait(&mut self, delay: Duration) {
        // What is too far away for a clock is never.
        let now = Instant::now();
        self.ask_at = now.checked_add(delay).or_else(|| now.checked_add(Duration::from_hours(24 * 365)));
    }

    /// Waits until the server may be asked. A call that is dropped begins no wait anew.
    pub(crate) async fn over(&mut self) {
        if let Some(at) = self.ask_at {
            tokio::time::sleep_until(at.into()).await;
            self.ask_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ApiError;

    fn unavailable(retry_after: Duration) -> Error {
        ApiError { status: 503, retry_after: Some(retry_after), ..ApiError::default() }.into()
    }

    #[test]
    fn endless_retry_after_ends_following_without_a_panic() {
        let mut away = Away::new();
        assert!(away.failed(Some(unavailable(Duration::MAX)), Duration::MAX).is_err());
        assert!(!away.is_connected().load(Ordering::Relaxed));
        assert!(away.ask_at.is_some_and(|at| at > Instant::now() + Duration::from_hours(24)));
    }

    #[test]
    fn what_passes_is_waited_for_and_the_rest_is_not() {
        let mut away = Away::new();
        assert!(away.failed(Some(unavailable(Duration::from_mins(1))), Duration::ZERO).is_ok());
        assert!(away.ask_at.is_some_and(|at| at > Instant::now() + Duration::from_secs(50)));
        away.back();
        assert!(away.is_connected().load(Ordering::Relaxed));
        let refused = Error::from(ApiError { status: 401, ..ApiError::default() });
        assert!(away.failed(Some(refused), Duration::ZERO).is_err());
    }
}
