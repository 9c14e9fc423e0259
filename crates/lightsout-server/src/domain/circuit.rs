//! The circuit breaker of one system: whether it is asked at all. Pure decisions of the worker.

/// Failed passes in a row after which a system is no longer asked for a while.
pub const OPENS_AFTER: u32 = 5;
/// For how many milliseconds it is not asked: at first, and at most. Each failed trial doubles it.
pub const OPEN_MS: (i64, i64) = (5_000, 60_000);

/// How the last passes over a system went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circuit {
    /// Failed passes in a row.
    failures: u32,
    /// Until when the system is not asked; none: the circuit is closed. From then on one pass is
    /// the trial.
    open_until: Option<i64>,
    /// Why the last pass that failed did, and when it did.
    last_failure: Option<(String, i64)>,
    /// When a pass last did not fail.
    last_success_at: Option<i64>,
}

/// How a circuit stands, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Until when the system is not asked; none: it is asked.
    pub open_until: Option<i64>,
    /// Failed passes in a row.
    pub failures: u32,
    /// Why the last pass that failed did, and when; also where passes succeeded since.
    pub last_failure: Option<(String, i64)>,
    /// When a pass last did not fail.
    pub last_success_at: Option<i64>,
}

/// Why a system is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Until when.
    pub until: i64,
    /// How many passes failed in a row.
    pub failures: u32,
    /// Why the last one did.
    pub last_failure: String,
}

/// What a pass did to a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It opened: the system is not asked until this time.
    Opened(i64),
    /// It closed: the system answers again.
    Closed,
}

impl Circuit {
    /// Why the system is not to be asked now; none: ask it.
    pub fn refuses(&self, now: i64) -> Option<Refusal> {
        // Further ahead than it ever opens for: the clock was set back, and the time is over.
        let until = self.open_until.filter(|until| (1..=OPEN_MS.1).contains(&(until - now)))?;
        let last_failure = self.last_failure.as_ref().map(|(why, _)| why.clone()).unwrap_or_default();
        Some(Refusal { until, failures: self.failures, last_failure })
    }

    /// Whether it is open, a trial under way included.
    pub fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    /// Takes in that a pass failed.
    pub fn failed(&mut self, why: String, now: i64) -> Change {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some((why, now));
        if self.failures < OPENS_AFTER {
            return Change::None;
        }
        let doublings = (self.failures - OPENS_AFTER).min(20);
        let until = now + OPEN_MS.0.saturating_mul(1 << doublings).min(OPEN_MS.1);
        self.open_until = Some(until);
        Change::Opened(until)
    }

    /// Takes in that a pass did not fail.
    pub fn succeeded(&mut self, now: i64) -> Change {
        let change = if self.is_open() { Change::Closed } else { Change::None };
        (self.failures, self.open_until, self.last_success_at) = (0, None, Some(now));
        change
    }

    /// How it stands now.
    pub fn state(&self, now: i64) -> State {
        State {
            open_until: self.refuses(now).map(|refusal| refusal.until),
            failures: self.failures,
            last_failure: self.last_failure.clone(),
            last_success_at: self.last_success_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(times: u32) -> Circuit {
        let mut circuit = Circuit::default();
        for _ in 0..times {
            circuit.failed("down".to_owned(), 0);
        }
        circuit
    }

    #[test]
    fn a_system_that_fails_now_and_then_is_asked() {
        let mut circuit = failed(OPENS_AFTER - 1);
        assert_eq!(circuit.refuses(0), None);
        assert_eq!(circuit.succeeded(7), Change::None);
        assert_eq!(circuit.failed("again".to_owned(), 8), Change::None, "counted from the beginning");
    }

    #[test]
    fn a_system_that_fails_always_is_asked_once_each_time_and_ever_less() {
        let mut circuit = failed(OPENS_AFTER);
        let refusal = Refusal { until: 5_000, failures: 5, last_failure: "down".to_owned() };
        assert_eq!(circuit.refuses(4_999), Some(refusal));
        assert_eq!(circuit.refuses(5_000), None, "the trial");
        assert_eq!(circuit.failed("down".to_owned(), 5_000), Change::Opened(15_000));
        let mut circuit = failed(100);
        assert_eq!(circuit.failed("down".to_owned(), 0), Change::Opened(OPEN_MS.1));
    }

    #[test]
    fn a_trial_that_succeeds_closes_it() {
        let mut circuit = failed(OPENS_AFTER + 3);
        assert_eq!(circuit.succeeded(7), Change::Closed);
        assert_eq!((circuit.is_open(), circuit.refuses(0)), (false, None));
    }

    #[test]
    fn the_last_success_and_the_last_failure_are_both_kept() {
        let mut circuit = failed(OPENS_AFTER);
        let last_failure = Some(("down".to_owned(), 0));
        let open = State { open_until: Some(5_000), failures: 5, last_failure, last_success_at: None };
        assert_eq!(circuit.state(1), open);
        circuit.succeeded(6_000);
        let closed = State { open_until: None, failures: 0, last_success_at: Some(6_000), ..open };
        assert_eq!(circuit.state(6_001), closed);
    }
}
