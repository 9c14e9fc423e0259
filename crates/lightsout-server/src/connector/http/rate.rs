//! How often a system may be called. Never more than the configured number in any minute, and not at
//! all for as long as the system asked to wait.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The pace of some calls.
#[derive(Debug)]
pub(super) struct Pace {
    /// Calls a minute; none: as many as come.
    per_minute: Option<u32>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Calls that may be made at once.
    left: f64,
    at: Instant,
    held_until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(per_minute: Option<u32>) -> Self {
        let left = per_minute.map_or(1.0, at_once);
        Self { per_minute, state: Mutex::new(State { left, at: Instant::now(), held_until: None }) }
    }

    /// Calls a minute, if they are limited.
    pub(super) fn per_minute(&self) -> Option<u32> {
        self.per_minute
    }

    /// Waits for a turn; if it is further away than `longest`, says how far.
    pub(super) async fn turn(&self, longest: Duration) -> Result<(), Duration> {
        let end = Instant::now() + longest;
        loop {
            let now = Instant::now();
            match self.take(now) {
                None => return Ok(()),
                Some(wait) if now + wait > end => return Err(wait),
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Nothing is called for this long.
    pub(super) fn hold(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held_until = Some(state.held_until.map_or(until, |held| held.max(until)));
    }

    /// Takes a turn at this time, or says how long to wait for one.
    fn take(&self, now: Instant) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = state.held_until.filter(|until| *until > now) {
            return Some(until - now);
        }
        let per_minute = self.per_minute?;
        let a_second = ((f64::from(per_minute) - at_once(per_minute)) / 60.0).max(1.0 / 120.0);
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        state.left = (state.left + passed * a_second).min(at_once(per_minute));
        state.at = now;
        if state.left >= 1.0 {
            state.left -= 1.0;
            return None;
        }
        Some(Duration::from_secs_f64((1.0 - state.left) / a_second).max(Duration::from_millis(1)))
    }
}

/// A sixth of a minute's calls may come at once; the others are spread over the minute.
fn at_once(per_minute: u32) -> f64 {
    f64::from((per_minute / 6).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_calls_than_configured() {
        for per_minute in [2, 20, 50, 600] {
            let pace = Pace::new(Some(per_minute));
            let begin = Instant::now();
            let (mut at, mut made) = (begin, Vec::new());
            while at < begin + Duration::from_mins(5) {
                match pace.take(at) {
                    None => made.push(at),
                    Some(wait) => at += wait,
                }
            }
            let in_minute = |from: &Instant| {
                made.iter().filter(|at| *at >= from && **at - *from < Duration::from_mins(1)).count()
            };
            let most = made.iter().map(in_minute).max().expect("calls were made");
            assert!(most <= per_minute as usize, "{most} calls in a minute of {per_minute}");
            assert!(made.len() >= per_minute as usize * 5 / 2, "{} of {per_minute} a minute", made.len());
        }
    }

    #[test]
    fn who_is_asked_to_wait_waits() {
        let pace = Pace::new(None);
        assert_eq!(pace.take(Instant::now()), None);
        pace.hold(Duration::from_secs(30));
        let wait = pace.take(Instant::now()).expect("it was asked to wait");
        assert!(wait > Duration::from_secs(29), "{wait:?}");
        assert_eq!(pace.take(Instant::now() + Duration::from_secs(31)), None);
    }
}
