//! A termination as people watch it: its progress, when each system is tried next, how much was proven by
//! when, and whom it does not work for.

use lightsout_api::{Outcome, Termination};

use super::{Error, terminations};
use crate::app::App;
use crate::domain::access::Caller;
use crate::store::{OpenJobs, Proven};

/// People named in each list.
pub const NAMED_MAX: i64 = 50;
/// Spans of time that the past of a termination is cut into.
const SPANS: i64 = 60;

/// A termination and what is seen of it at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// The termination.
    pub termination: Termination,
    /// The unfinished jobs by system.
    pub open: Vec<OpenJobs>,
    /// By system, when its last stateless session is dead, in milliseconds since 1970.
    pub last_ends: Vec<(String, i64)>,
    /// When the first span of [`Watched::proven`] begins, and how long each is.
    pub spans: (i64, i64),
    /// What was proven in each span.
    pub proven: Vec<Proven>,
    /// The first people by what became of them, and how many there are.
    pub named: Vec<Named>,
}

/// The first people with one outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The outcome, or `resurrected`.
    pub what: &'static str,
    /// How many outcomes there are; none: nobody counted.
    pub count: Option<u64>,
    /// The first of them.
    pub first: Vec<Outcome>,
}

/// Reads a termination that the caller may read, with everything that its page shows.
pub async fn watch(app: &App, caller: &Caller, id: &str) -> Result<Watched, Error> {
    let row = terminations::find_row(app, caller, id).await?;
    let (id, from) = (row.termination_id.clone(), row.created_at);
    let until = row.finished_at.unwrap_or_else(|| app.clock.now_ms()).max(from);
    let span_ms = span_ms(until - from);
    let termination = terminations::show(app, row).await?;
    let open = app.db.list_open_jobs(&id).await?;
    let proven = app.db.count_proven(&id, from, span_ms).await?;
    let count = |f: fn(&lightsout_api::SystemProgress) -> u64| termination.systems.iter().map(f).sum();
    let states: [(&'static str, u64); 7] = [
        ("resurrected", count(|s| s.resurrected)),
        ("unreachable", count(|s| s.unreachable)),
        ("gave_up", count(|s| s.gave_up)),
        ("unknown_sessions", count(|s| s.unknown_sessions)),
        ("no_subject", count(|s| s.no_subject)),
        ("delivered_not_verified", count(|s| s.delivered_not_verified)),
        ("ends_by", count(|s| s.ends_by)),
    ];
    let last_ends = if states[6].1 > 0 { app.db.list_last_ends(&id).await? } else { Vec::new() };
    let mut named = Vec::new();
    for (what, count) in states.into_iter().filter(|(_, count)| *count > 0) {
        let rows = app.db.list_people_in(&id, what, NAMED_MAX).await?;
        let first: Vec<Outcome> = rows.into_iter().map(terminations::outcome).collect();
        // Sessions that came back are counted, not the people whose they are.
        let count = (what != "resurrected").then_some(count);
        named.push(Named { what, count, first });
    }
    Ok(Watched { termination, open, last_ends, spans: (from, span_ms), proven, named })
}

/// The length of a span: round, so that it seldom changes while time goes on.
fn span_ms(whole: i64) -> i64 {
    let mut span = 1_000;
    while span * SPANS < whole {
        span *= 2;
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_few_however_long_it_takes() {
        for whole in [0, 1, 59_999, 60_000, 60_001, 86_400_000, 40 * 86_400_000] {
            let span = span_ms(whole);
            assert!(whole / span <= SPANS, "{whole} in spans of {span}");
            assert!(span == 1_000 || whole / span > SPANS / 2 - 1, "{whole} in spans of {span}");
        }
    }
}
