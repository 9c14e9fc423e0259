//! What a look at a system means for one user's outcome: pure decisions of the worker.

use std::collections::HashSet;

use lightsout_api::{OutcomeState, TerminationState};

/// The fewest and the most milliseconds between two tries at a system that fails.
pub const RETRY_DELAY_MS: (i64, i64) = (1_000, 300_000);

/// What is said of an outcome where a worker died, or was stopped, between ending and writing back.
pub const CUT_SHORT: &str = "an earlier attempt was cut short; sessions that it ended are not counted";

/// What a connector says of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The keys of the sessions that were found, and by `end` also deleted.
    Sessions(Vec<String>),
    /// Stateless sessions: dead at this time, in milliseconds since 1970, at the latest.
    EndsBy(i64),
    /// The order was taken; nothing can be asked back.
    Delivered,
    /// The system has no list of this user's sessions.
    Unknown,
    /// This target failed; it is tried again.
    Failed(String),
}

/// One user's outcome in one system, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub state: OutcomeState,
    /// Sessions ended, each key counted once.
    pub sessions_ended: i64,
    /// Sessions that came back under a key that was ended before.
    pub resurrected: i64,
    /// Sessions that appeared under a new key after the first pass.
    pub ended_again: i64,
    /// The keys ended so far; forgotten when the outcome is final.
    pub keys: Vec<String>,
    /// The latest end of stateless sessions.
    pub ends_by: Option<i64>,
    /// When a look after the quiet time found none.
    pub verified_at: Option<i64>,
    /// What went wrong last.
    pub detail: Option<String>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            state: OutcomeState::Waiting,
            sessions_ended: 0,
            resurrected: 0,
            ended_again: 0,
            keys: Vec::new(),
            ends_by: None,
            verified_at: None,
            detail: None,
        }
    }
}

impl Progress {
    /// Takes in what an end pass found and deleted. `first`: no earlier pass of this job reached
    /// the system.
    pub fn after_end(&mut self, reply: Reply, first: bool) {
        self.detail = None;
        match reply {
            Reply::Sessions(keys) => {
                self.state = OutcomeState::Waiting;
                let known: HashSet<String> = self.keys.iter().cloned().collect();
                for key in keys {
                    if known.contains(&key) {
                        self.resurrected += 1;
                        continue;
                    }
                    self.sessions_ended += 1;
                    self.ended_again += i64::from(!first);
                    self.keys.push(key);
                }
            }
            Reply::EndsBy(at) => self.finish(OutcomeState::EndsBy, Some(at)),
            Reply::Delivered => self.finish(OutcomeState::DeliveredNotVerified, None),
            Reply::Unknown => self.finish(OutcomeState::UnknownSessions, None),
            Reply::Failed(why) => self.fail(why),
        }
    }

    /// Takes in what a look after the quiet time found. Nothing found makes the outcome final.
    pub fn after_find(&mut self, reply: Reply, now: i64) {
        match reply {
            Reply::Sessions(keys) if keys.is_empty() => {
                let state = if self.sessions_ended + self.resurrected > 0 {
                    OutcomeState::Ended
                } else {
                    OutcomeState::NothingFound
                };
                self.finish(state, None);
                self.verified_at = Some(now);
            }
            Reply::Sessions(_) => self.state = OutcomeState::Waiting,
            Reply::EndsBy(at) => self.finish(OutcomeState::EndsBy, Some(at)),
            Reply::Delivered => self.finish(OutcomeState::DeliveredNotVerified, None),
            Reply::Unknown => self.finish(OutcomeState::UnknownSessions, None),
            Reply::Failed(why) => self.fail(why),
        }
    }

    /// Notes that the system could not be reached.
    pub fn fail(&mut self, why: String) {
        self.state = OutcomeState::Unreachable;
        self.detail = Some(why);
    }

    /// Makes the outcome final.
    pub fn finish(&mut self, state: OutcomeState, ends_by: Option<i64>) {
        self.state = state;
        self.ends_by = ends_by;
        self.keys.clear();
    }
}

/// What a job does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Every outcome is final.
    Done,
    /// Some are not; look again at this time.
    RetryAt(i64),
    /// Some are not, and the time for trying is over: they become `gave_up`.
    GiveUp,
}

/// What a job knows when it has worked a pass.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Whether every outcome is final.
    pub all_final: bool,
    /// Consecutive passes that failed, this one included; 0 after one that did not.
    pub failures: i64,
    /// When the quiet time ends.
    pub quiet_until: i64,
    /// The length of the quiet time.
    pub quiet_ms: i64,
    /// When trying ends.
    pub give_up_at: i64,
}

/// Decides what a job does next. `fraction` is a random number from 0 to 1, for the jitter.
pub fn after(pass: Pass, now: i64, fraction: f64) -> Next {
    if pass.all_final {
        return Next::Done;
    }
    if now >= pass.give_up_at {
        return Next::GiveUp;
    }
    let at = if pass.failures > 0 {
        now + retry_delay_ms(pass.failures, fraction)
    } else {
        // Some looks during the quiet time, then one at its end; past it, one a second.
        let look = now + (pass.quiet_ms / 3).max(RETRY_DELAY_MS.0);
        if now < pass.quiet_until { look.min(pass.quiet_until) } else { now + RETRY_DELAY_MS.0 }
    };
    Next::RetryAt(at.min(pass.give_up_at).max(now + 1))
}

/// Exponential backoff from 1 s to 5 min; the random part is half of it.
fn retry_delay_ms(failures: i64, fraction: f64) -> i64 {
    let (min, max) = RETRY_DELAY_MS;
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(20);
    let full = min.saturating_mul(1 << doublings).min(max);
    let half = full / 2;
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "at most 150,000")]
    let jitter = (fraction * half as f64) as i64;
    half + jitter
}

/// The verdict over all outcomes of a termination that are not verified `ended` or `nothing_found`.
pub fn verdict(failures: i64) -> TerminationState {
    if failures == 0 { TerminationState::Done } else { TerminationState::DoneWithFailures }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(keys: &[&str]) -> Reply {
        Reply::Sessions(keys.iter().map(|k| (*k).to_owned()).collect())
    }

    #[test]
    fn same_key_again_is_resurrected_and_new_key_is_ended_again() {
        let mut progress = Progress::default();
        progress.after_end(keys(&["a", "b"]), true);
        progress.after_end(keys(&["b", "c"]), false);
        assert_eq!((progress.sessions_ended, progress.resurrected, progress.ended_again), (3, 1, 1));
        assert_eq!(progress.state, OutcomeState::Waiting);
        progress.after_find(keys(&[]), 7);
        assert_eq!((progress.state, progress.verified_at), (OutcomeState::Ended, Some(7)));
    }

    #[test]
    fn only_a_look_that_found_nothing_is_verified() {
        let mut progress = Progress::default();
        progress.after_end(keys(&["a"]), true);
        progress.after_find(keys(&["a"]), 7);
        assert_eq!((progress.state, progress.verified_at), (OutcomeState::Waiting, None));
        progress.after_end(Reply::Delivered, false);
        assert_eq!((progress.state, progress.verified_at), (OutcomeState::DeliveredNotVerified, None));
    }

    proptest! {
        #[test]
        fn a_job_is_looked_at_again_later_and_not_after_its_horizon(
            failures in 0..200_i64, now in 0..10_000_000_i64, quiet in 0..600_000_i64,
            until in 0..10_000_000_i64, horizon in 0..10_000_000_i64, fraction in 0.0..1.0_f64,
        ) {
            let pass = Pass { all_final: false, failures, quiet_until: until, quiet_ms: quiet, give_up_at: horizon };
            match after(pass, now, fraction) {
                Next::Done => prop_assert!(false, "not every outcome is final"),
                Next::GiveUp => prop_assert!(now >= horizon),
                Next::RetryAt(at) => {
                    prop_assert!(at > now && now < horizon);
                    prop_assert!(at - now <= RETRY_DELAY_MS.1.max(quiet / 3));
                }
            }
        }
    }
}
