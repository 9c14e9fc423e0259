//! How fast one receiver is spoken to: evenly spaced requests, and rest where it asks for some.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::time::Instant;

/// The rest that a receiver is given that says 429 or 503 without saying how long.
const REST_UNSAID: Duration = Duration::from_secs(2);
/// The longest rest that a receiver can ask for.
const REST_MAX: Duration = Duration::from_mins(10);

/// Spaces the requests to one receiver. Shared by everything that speaks to it.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: Instant,
    rest_until: Option<Instant>,
}

/// The request cannot be made before the deadline.
#[derive(Debug)]
pub(crate) struct TooLate;

impl Pace {
    /// At most `rate_per_s` requests a second; 0: as many as there are.
    pub(crate) fn new(rate_per_s: u32) -> Self {
        let every = if rate_per_s == 0 { Duration::ZERO } else { Duration::from_secs(1) / rate_per_s };
        Self { every, state: Mutex::new(State { next: Instant::now(), rest_until: None }) }
    }

    /// Waits for the turn of one request.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<(), TooLate> {
        let at = {
            let mut state = self.state();
            let now = Instant::now();
            let at = state.next.max(now).max(state.rest_until.unwrap_or(now));
            if at >= deadline {
                return Err(TooLate);
            }
            state.next = at + self.every;
            at
        };
        tokio::time::sleep_until(at).await;
        // The receiver may have asked for rest meanwhile.
        match self.state().rest_until {
            Some(until) if until > Instant::now() => Err(TooLate),
            _ => Ok(()),
        }
    }

    /// Leaves the receiver alone for as long as its answer asks: `Retry-After` in seconds or as a date.
    pub(crate) fn rest(&self, headers: &HeaderMap, now_ms: i64) {
        let asked = headers.get(reqwest::header::RETRY_AFTER).and_then(|v| v.to_str().ok());
        let rest = asked.and_then(|text| retry_after(text, now_ms)).unwrap_or(REST_UNSAID).min(REST_MAX);
        let until = Instant::now() + rest;
        let mut state = self.state();
        state.rest_until = Some(state.rest_until.map_or(until, |before| before.max(until)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp().as_millisecond();
    Some(Duration::from_millis(u64::try_from(at - now_ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("120", 0), Some(Duration::from_mins(2)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 30_000), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 90_000), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", 0), None);
    }
}
