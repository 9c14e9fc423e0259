//! Percentiles, and figures as people read them.

use std::time::{Duration, Instant};

/// Times of the same thing, done again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that so many of a hundred did not exceed; nearest rank.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }

    pub(crate) fn max(&self) -> Duration {
        self.percentile(100)
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

/// Does it, and says how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let started = Instant::now();
    let done = work()?;
    Ok((done, started.elapsed()))
}

/// Three significant digits, in the unit that fits.
pub(crate) fn time(time: Duration) -> String {
    let s = time.as_secs_f64();
    match s {
        0.0 => "0".to_owned(),
        _ if s >= 1.0 => format!("{} s", digits(s)),
        _ if s >= 1e-3 => format!("{} ms", digits(s * 1e3)),
        _ if s >= 1e-6 => format!("{} µs", digits(s * 1e6)),
        _ => format!("{} ns", digits(s * 1e9)),
    }
}

/// Three significant digits; nothing behind the point from 100 on, and thousands apart.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => whole(value),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.9995 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A whole number with its thousands apart.
pub(crate) fn whole(value: f64) -> String {
    let plain = format!("{:.0}", value.abs());
    let mut out = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (n, digit) in plain.chars().enumerate() {
        if n > 0 && (plain.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: f64) -> String {
    format!("{} MiB", digits(bytes / 1024.0 / 1024.0))
}

/// How many times as long.
pub(crate) fn ratio(ours: Duration, bare: Duration) -> f64 {
    ours.as_secs_f64() / bare.as_secs_f64()
}

/// A count as a number that can be divided.
#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let times: Times = (1..=200).rev().map(Duration::from_millis).collect();
        let at = |percent| times.percentile(percent).as_millis();
        assert_eq!((at(50), at(99), at(100)), (100, 198, 200));
        let one: Times = [Duration::from_millis(7)].into_iter().collect();
        assert_eq!((one.median(), one.max()), (Duration::from_millis(7), Duration::from_millis(7)));
    }

    #[test]
    fn figures_have_three_digits() {
        let shown = [0.0712, 1.0, 12.34, 99.96, 1234.5, 1_234_567.0].map(digits);
        assert_eq!(shown, ["0.071", "1.00", "12.3", "100", "1,234", "1,234,567"]);
        assert_eq!(time(Duration::from_micros(1_234)), "1.23 ms");
        assert_eq!(time(Duration::from_nanos(87)), "87.0 ns");
        assert_eq!(time(Duration::ZERO), "0");
    }
}
