//! When a call is tried again, and after how long.
//!
//! Pure but for [`Pace`], which waits.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::error::Error;
use crate::random;

/// How a client repeats what failed: up to `attempts_max` times within `deadline`, with full jitter.
///
/// The wait before the attempt n + 1 is drawn between nothing and `delay_first` x 2^(n - 1), at most
/// `delay_max`, and is never shorter than the server's `Retry-After`. A `Retry-After` beyond the
/// deadline is not waited for: the error says until when.
///
/// ```
/// use std::time::Duration;
/// use lightsout_client::{Auth, Client, Retry};
///
/// let retry = Retry { attempts_max: 3, deadline: Duration::from_secs(20), ..Retry::default() };
/// let client = Client::builder(Auth::developer_token("TOKEN")).retry(retry).build()?;
/// # Ok::<(), lightsout_client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The most attempts, the first one included: 5. One turns retries off.
    pub attempts_max: u32,
    /// The longest wait before the second attempt: 500 ms.
    pub delay_first: Duration,
    /// The longest wait before any: 30 s.
    pub delay_max: Duration,
    /// The longest time for a call with all its attempts and waits: 5 minutes. A request for a token
    /// that several calls wait for has as long for itself.
    pub deadline: Duration,
    /// Whether a termination is posted again when its answer was lost: yes.
    ///
    /// A connection that broke after the request was sent, and a 5xx, leave open whether the
    /// termination was accepted. Posting it again is safe for those whose sessions end; its cost is a
    /// later cutoff: who signed in again between the two is signed out once more. A client that does
    /// not repeat answers the error instead, and its caller decides. (`POST /v1/terminations` carries
    /// an `Idempotency-Key` and has no such cost; it is always repeated.)
    pub repeat_lost_terminations: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            delay_first: Duration::from_millis(500),
            delay_max: Duration::from_secs(30),
            deadline: Duration::from_mins(5),
            repeat_lost_terminations: true,
        }
    }
}

impl Retry {
    /// Sends everything once.
    ///
    /// ```
    /// use lightsout_client::{Auth, Client, Retry};
    ///
    /// let client = Client::builder(Auth::developer_token("TOKEN")).retry(Retry::never()).build()?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn never() -> Self {
        Self { attempts_max: 1, ..Self::default() }
    }

    /// How long to wait after `failed` attempts; `drawn` is between 0 and 1.
    fn delay(&self, failed: u32, retry_after: Option<Duration>, drawn: f64) -> Duration {
        let doubled = self.delay_first.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)));
        let jitter = doubled.min(self.delay_max).mul_f64(drawn);
        jitter.max(retry_after.unwrap_or_default())
    }
}

/// What a repeat of a request would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The same as one: reading, setting, deleting, and what carries a key of its own.
    Harmless,
    /// The same with a later cutoff: Box's two routes. The policy decides.
    Later,
    /// Something else: a second object, or a refusal where the first one was accepted.
    Harmful,
}

/// Whether a failure is worth another attempt.
fn may_repeat(error: &Error, repeat: Repeat, retry: &Retry) -> bool {
    let lost = match repeat {
        Repeat::Harmless => true,
        Repeat::Later => retry.repeat_lost_terminations,
        Repeat::Harmful => false,
    };
    match error {
        Error::RateLimited(_) => true,
        Error::Transport { may_have_arrived, .. } => lost || !may_have_arrived,
        Error::Unavailable(_) => lost,
        Error::NotAuthenticated(_)
        | Error::NotAllowed(_)
        | Error::NotFound(_)
        | Error::Invalid(_)
        | Error::Unreadable { .. }
        | Error::Setup { .. }
        | Error::NotSent => false,
    }
}

/// One call's attempts.
pub(crate) struct Pace<'a> {
    retry: &'a Retry,
    repeat: Repeat,
    began: Instant,
    failed: u32,
    may_have_happened: bool,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(retry: &'a Retry, repeat: Repeat) -> Self {
        Self { retry, repeat, began: Instant::now(), failed: 0, may_have_happened: false }
    }

    pub(crate) fn repeat(&self) -> Repeat {
        self.repeat
    }

    /// How long the next attempt may take.
    pub(crate) fn timeout(&self, longest: Duration) -> Duration {
        longest.min(self.left()).max(Duration::from_millis(1))
    }

    /// The number of the present attempt, from 1.
    #[cfg(feature = "tracing")]
    pub(crate) fn attempt(&self) -> u32 {
        self.failed + 1
    }

    /// Waits for the next attempt, or gives the error back if there is none.
    pub(crate) async fn after(&mut self, error: Error) -> Result<(), Error> {
        self.failed += 1;
        self.may_have_happened |=
            matches!(error, Error::Unavailable(_) | Error::Transport { may_have_arrived: true, .. });
        if self.failed >= self.retry.attempts_max || !may_repeat(&error, self.repeat, self.retry) {
            return Err(error);
        }
        let retry_after = error.api().and_then(|api| api.retry_after);
        let delay = self.retry.delay(self.failed, retry_after, random::fraction());
        if delay >= self.left() {
            return Err(error);
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// Whether an attempt before the present one may have done what was asked for.
    pub(crate) fn may_have_happened(&self) -> bool {
        self.may_have_happened
    }

    /// How much of the deadline is left.
    pub(crate) fn left(&self) -> Duration {
        self.retry.deadline.saturating_sub(self.began.elapsed())
    }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. A date that is past is no wait.
pub(crate) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = http_date(value)?.duration_since(now);
    Some(wait.try_into().unwrap_or_default())
}

/// Reads a date in any of the three forms of RFC 9110, section 5.6.7.
pub(crate) fn http_date(value: &str) -> Option<Timestamp> {
    httpdate::parse_http_date(value.trim()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().expect("a time")
    }

    #[test]
    fn waits_grow_up_to_the_cap_and_hear_the_server() {
        let retry = Retry::default();
        let longest = |failed| retry.delay(failed, None, 1.0);
        assert_eq!(longest(1), Duration::from_millis(500));
        assert_eq!(longest(3), Duration::from_secs(2));
        assert_eq!(longest(9), Duration::from_secs(30));
        assert_eq!(longest(u32::MAX), Duration::from_secs(30));
        assert_eq!(retry.delay(4, None, 0.0), Duration::ZERO);
        assert_eq!(retry.delay(1, Some(Duration::from_secs(100)), 0.5), Duration::from_secs(100));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = at("1994-11-06T08:49:30Z");
        let wait = |value| retry_after(value, now);
        assert_eq!(wait("120"), Some(Duration::from_mins(2)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sunday, 06-Nov-94 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun Nov  6 08:49:37 1994"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
    }

    #[test]
    fn what_may_have_happened_is_repeated_only_where_that_is_chosen() {
        let api = |status| Error::from(crate::ApiError { status, ..crate::ApiError::default() });
        let chosen = Retry::default();
        let careful = Retry { repeat_lost_terminations: false, ..Retry::default() };
        for (status, harmless, later, later_careful, harmful) in [
            (429, true, true, true, true),
            (503, true, true, false, false),
            (500, true, true, false, false),
            (400, false, false, false, false),
            (401, false, false, false, false),
        ] {
            let repeats = |repeat, retry| may_repeat(&api(status), repeat, retry);
            assert_eq!(repeats(Repeat::Harmless, &careful), harmless, "{status}");
            assert_eq!(repeats(Repeat::Later, &chosen), later, "{status}");
            assert_eq!(repeats(Repeat::Later, &careful), later_careful, "{status}");
            assert_eq!(repeats(Repeat::Harmful, &chosen), harmful, "{status}");
        }
    }
}
