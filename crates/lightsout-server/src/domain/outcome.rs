//! What a look at a system means for one user's outcome: pure decisions of the worker.

use std::collections::HashSet;

use lightsout_api::{OutcomeState, TerminationState};

/// The fewest and the most milliseconds between two tries at a system that fails.
pub const RETRY_DELAY_MS: (i64, i64) = (1_000, 300_000);

/// Sessions found again after their end, from which on the outcome says so before it is final.
const FOUND_AGAIN_OFTEN: i64 = 3;

/// What is said of an outcome where an attempt failed, or its worker died, before it was written back.
pub const CUT_SHORT: &str =
    "an earlier attempt failed or was cut short; what it may have ended is not counted";

/// A session that a connector found to be over, or not known to be new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// A digest of its key: the same in every pass, and no secret.
    pub key: String,
    /// What the system tells of it.
    pub told: Told,
}

impl Session {
    /// Whether the system shows that it is over. If not, it may be a sign-in after the cutoff.
    pub fn is_dated(&self) -> bool {
        self.told.began_at.is_some()
    }
}

/// The begin of a session that is known to be over, whenever it began.
pub const SURELY_OVER: i64 = i64::MIN;

/// What a system tells of a session. All but the begin is for people to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// When it began, in milliseconds since 1970, or [`SURELY_OVER`].
    pub began_at: Option<i64>,
    /// When it was last used, in milliseconds since 1970, as exactly as the system keeps it.
    pub last_seen_at: Option<i64>,
    /// Device or browser, in the system's words.
    pub device: Option<String>,
    /// The network address.
    pub address: Option<String>,
}

impl From<Option<i64>> for Told {
    fn from(began_at: Option<i64>) -> Self {
        Self { began_at, ..Self::default() }
    }
}

/// What a connector says of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The sessions that were found, and by `end` also deleted.
    Sessions(Vec<Session>),
    /// Stateless sessions: dead at this time, in milliseconds since 1970, at the latest.
    EndsBy(i64),
    /// The order was taken; nothing can be asked back.
    Delivered,
    /// The system cannot say which sessions are this user's, and why.
    Unknown(String),
    /// The system knows nobody of this name.
    NoSubject,
    /// This target failed; it is tried again.
    Failed(String),
}

impl Reply {
    /// Why there is no list of sessions, for people; none if there is one.
    pub fn why_no_list(self) -> Option<String> {
        match self {
            Self::Sessions(_) => None,
            Self::EndsBy(_) => Some("ends_by: sessions end with their life".to_owned()),
            Self::Delivered => {
                Some("delivered_not_verified: the system cannot be asked for sessions".to_owned())
            }
            Self::Unknown(why) => Some(format!("unknown_sessions: {why}")),
            Self::NoSubject => Some("no_subject: the system knows nobody of this name".to_owned()),
            Self::Failed(why) => Some(why),
        }
    }
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
    /// When the quiet time ends; none before a pass reached the system.
    pub quiet_until: Option<i64>,
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
            quiet_until: None,
            ends_by: None,
            verified_at: None,
            detail: None,
        }
    }
}

impl Progress {
    /// Whether the quiet time is over, so that a look may make the outcome final.
    pub fn is_quiet(&self, now: i64) -> bool {
        self.state == OutcomeState::Waiting && self.quiet_until.is_some_and(|until| now >= until)
    }

    /// Takes in what an end pass found and deleted.
    ///
    /// The first pass starts the quiet time; a session that came back under its key, or one that is
    /// surely over, starts it anew, for requests may have used it until now. A new key of an unknown
    /// begin does not: somebody who signs in again and again holds up nothing.
    pub fn after_end(&mut self, reply: Reply, now: i64, quiet_ms: i64) {
        self.detail = None;
        let first = self.quiet_until.is_none();
        match reply {
            Reply::Sessions(sessions) => {
                self.state = OutcomeState::Waiting;
                let known: HashSet<String> = self.keys.iter().cloned().collect();
                let mut anew = first;
                for session in sessions {
                    let came_back = known.contains(&session.key);
                    anew |= came_back || session.is_dated();
                    self.resurrected += i64::from(came_back);
                    if !came_back {
                        self.sessions_ended += 1;
                        self.ended_again += i64::from(!first && !session.is_dated());
                        self.keys.push(session.key);
                    }
                }
                if anew {
                    self.quiet_until = Some(now + quiet_ms);
                }
                if self.resurrected >= FOUND_AGAIN_OFTEN {
                    self.detail = Some(format!(
                        "found again {} times: the end does not reach it, or the app saves it again",
                        self.resurrected
                    ));
                }
            }
            other => self.after_no_list(other),
        }
    }

    /// Takes in what a look after the quiet time found. Nothing that came back and nothing that is
    /// surely over: the outcome is final. A new key of an unknown begin is a sign-in since, and is
    /// spared.
    pub fn after_find(&mut self, reply: Reply, now: i64) {
        match reply {
            Reply::Sessions(found) if found.iter().any(|s| s.is_dated() || self.keys.contains(&s.key)) => {
                // To be ended once more, and the quiet time begins anew with that.
                self.quiet_until = self.quiet_until.map(|until| until.max(now + 1));
            }
            Reply::Sessions(_) => {
                let state = if self.sessions_ended + self.resurrected > 0 {
                    OutcomeState::Ended
                } else {
                    OutcomeState::NothingFound
                };
                self.finish(state, None);
                self.verified_at = Some(now);
            }
            other => self.after_no_list(other),
        }
    }

    /// Takes in a reply other than sessions: it is final, or to be tried again.
    fn after_no_list(&mut self, reply: Reply) {
        match reply {
            Reply::EndsBy(at) => self.finish(OutcomeState::EndsBy, Some(at)),
            Reply::Delivered => self.finish(OutcomeState::DeliveredNotVerified, None),
            Reply::Unknown(why) => {
                self.finish(OutcomeState::UnknownSessions, None);
                self.detail = Some(why);
            }
            Reply::NoSubject => {
                self.finish(OutcomeState::NoSubject, None);
                self.detail = Some("the system knows nobody of this name".to_owned());
            }
            Reply::Failed(why) => self.fail(why),
            Reply::Sessions(_) => {}
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
    /// When the first of the open quiet times ends.
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
        Reply::Sessions(
            keys.iter().map(|k| Session { key: (*k).to_owned(), told: Told::default() }).collect(),
        )
    }

    #[test]
    fn same_key_again_is_resurrected_and_new_key_is_ended_again() {
        let mut progress = Progress::default();
        progress.after_end(keys(&["a", "b"]), 0, 30);
        progress.after_end(keys(&["b", "c"]), 10, 30);
        assert_eq!(progress.quiet_until, Some(40), "what came back starts the quiet time anew");
        assert_eq!((progress.sessions_ended, progress.resurrected, progress.ended_again), (3, 1, 1));
        assert_eq!(progress.state, OutcomeState::Waiting);
        progress.after_find(keys(&[]), 7);
        assert_eq!((progress.state, progress.verified_at), (OutcomeState::Ended, Some(7)));
    }

    #[test]
    fn what_is_found_again_and_again_is_said() {
        let mut progress = Progress::default();
        for pass in 0..=FOUND_AGAIN_OFTEN {
            assert_eq!(progress.detail, None, "pass {pass}");
            progress.after_end(keys(&["a"]), pass, 30);
        }
        assert!(progress.detail.is_some_and(|detail| detail.starts_with("found again 3 times")));
    }

    #[test]
    fn only_a_look_that_found_nothing_is_verified() {
        let mut progress = Progress::default();
        progress.after_end(keys(&["a"]), 0, 5);
        progress.after_find(keys(&["a"]), 7);
        assert_eq!((progress.state, progress.verified_at), (OutcomeState::Waiting, None));
        assert!(!progress.is_quiet(7), "to be ended once more");
        progress.after_end(Reply::Delivered, 8, 5);
        assert_eq!((progress.state, progress.verified_at), (OutcomeState::DeliveredNotVerified, None));
    }

    #[test]
    fn new_sign_ins_do_not_hold_up_the_verdict_and_are_spared_after_the_quiet_time() {
        let mut progress = Progress::default();
        progress.after_end(keys(&["a"]), 0, 30);
        progress.after_end(keys(&["b"]), 29, 30);
        assert_eq!(progress.quiet_until, Some(30));
        progress.after_find(keys(&["c"]), 30);
        assert_eq!((progress.state, progress.ended_again), (OutcomeState::Ended, 1));
    }

    #[test]
    fn what_is_surely_over_is_ended_whenever_it_is_found() {
        let over =
            || Reply::Sessions(vec![Session { key: "old".to_owned(), told: Some(SURELY_OVER).into() }]);
        let mut progress = Progress::default();
        progress.after_end(keys(&[]), 0, 30);
        progress.after_find(over(), 30);
        assert!(!progress.state.is_final() && !progress.is_quiet(30));
        progress.after_end(over(), 30, 30);
        assert_eq!((progress.sessions_ended, progress.ended_again, progress.quiet_until), (1, 0, Some(60)));
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
