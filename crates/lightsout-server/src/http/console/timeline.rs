//! Sessions not yet proven gone, over time: a drawing, and the same as a table.

use lightsout_api::SystemProgress;
use maud::{Markup, html};

use crate::http::page::{counted, instant};
use crate::ops::watch::Watched;

/// The drawing's units; it is stretched to the width of the page.
const WIDTH: i64 = 600;
const HEIGHT: i64 = 120;
/// Rows of the table at most.
const ROWS_MAX: usize = 61;

/// How many sessions were left at which time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Left {
    at: i64,
    sessions: i64,
}

/// The steps down from all sessions found so far. A span's sessions count as gone at its end.
fn steps(watched: &Watched, until: i64) -> Vec<Left> {
    let found: u64 = watched.termination.systems.iter().map(|s| s.sessions_ended).sum();
    let (from, span_ms) = watched.spans;
    let mut sessions = i64::try_from(found).unwrap_or(i64::MAX);
    let mut steps = vec![Left { at: from, sessions }];
    for proven in watched.proven.iter().filter(|proven| proven.sessions > 0) {
        sessions -= proven.sessions;
        let at = (from + (proven.span + 1) * span_ms).min(until);
        steps.push(Left { at, sessions: sessions.max(0) });
    }
    steps
}

/// People whose sessions a system did not show: it did not answer, or cannot list them.
fn unseen(system: &SystemProgress) -> u64 {
    system.unreachable
        + system.gave_up
        + system.unknown_sessions
        + system.no_subject
        + system.ends_by
        + system.delivered_not_verified
}

/// The part of the page. `now` is where the drawing ends while the termination is worked.
pub(super) fn timeline(watched: &Watched, now: i64) -> Markup {
    let from = watched.spans.0;
    let finished = watched.termination.finished_at.map(jiff::Timestamp::as_millisecond);
    let until = finished.unwrap_or(now).max(from + 1);
    let steps = steps(watched, until);
    let (first, last) = (&steps[0], &steps[steps.len() - 1]);
    let unseen: u64 = watched.termination.systems.iter().map(unseen).sum();
    html! {
        h2 { "Sessions not yet proven gone" }
        @if first.sessions == 0 {
            p.faint { "No session was found so far in a system that can list them." }
        } @else {
            p {
                strong { (counted(last.sessions.unsigned_abs(), "session", "sessions")) }
                " of " (counted(first.sessions.unsigned_abs(), "session", "sessions")) " found so far. "
                @if unseen > 0 {
                    strong { "What " (counted(unseen, "check", "checks")) " did not see is not in this number." }
                } @else {
                    span.faint { "Sessions in systems that cannot list them are not in this." }
                }
            }
            div.timeline aria-hidden="true" {
                (drawing(&steps, from, until))
                div.ends { (instant(from)) (instant(until)) }
            }
            details #timeline-table {
                summary { "The same as a table" }
                div.scroll tabindex="0" role="region" aria-label="Sessions left over time" #timeline-rows {
                    table {
                        caption { "Sessions not yet proven gone, of those found so far" }
                        thead { tr { th scope="col" { "By" } th.number scope="col" { "Sessions left" } } }
                        tbody {
                            @for step in steps.iter().take(ROWS_MAX) {
                                tr { td { (instant(step.at)) } td.number { (step.sessions) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn drawing(steps: &[Left], from: i64, until: i64) -> Markup {
    let most = steps[0].sessions.max(1);
    let x = |at: i64| (at - from).clamp(0, until - from) * WIDTH / (until - from);
    let y = |sessions: i64| HEIGHT - sessions.clamp(0, most) * HEIGHT / most;
    let mut line = format!("M0 {}", y(steps[0].sessions));
    for step in &steps[1..] {
        line.push_str(&format!("H{}V{}", x(step.at), y(step.sessions)));
    }
    line.push_str(&format!("H{WIDTH}"));
    let area = format!("{line}V{HEIGHT}H0Z");
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" width="100%" height=(HEIGHT) focusable="false" {
            path.area d=(area) {}
            path.line d=(line) fill="none" stroke-width="2" vector-effect="non-scaling-stroke" {}
        }
    }
}
