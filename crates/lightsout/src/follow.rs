//! Follows terminations to their end, for people and for programs.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use lightsout_api::{Event, Termination, TerminationId};
use lightsout_client::{Client, Error, Follow};
use serde_json::json;

use crate::exit::Hint;
use crate::output::{Progress, say};
use crate::report::{people, show, show_reasons, verdict};

/// How often a follower asks whether a system does not answer.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Follows all to the end: a bar of people, or one JSON line an event. Stopping to follow stops nothing.
pub(crate) async fn follow(
    client: &Client,
    accepted: &[Termination],
    json_lines: bool,
) -> anyhow::Result<ExitCode> {
    if !json_lines {
        for termination in accepted {
            eprintln!("  accepted     {}, {}", termination.id, people(termination.people));
        }
    }
    let mut shown = Shown::new(accepted.iter().map(|termination| termination.people).sum(), json_lines);
    let (mut finished, mut code) = (Vec::new(), ExitCode::SUCCESS);
    for termination in accepted {
        match one(client, termination, &mut shown).await? {
            Some(done) => finished.push(done),
            None => return Ok(ExitCode::from(130)),
        }
    }
    shown.finish();
    for done in &finished {
        say!("{}", if json_lines { json!(done).to_string() } else { show(done) });
        if !json_lines {
            show_reasons(client, done).await?;
        }
        code = worst(code, verdict(done));
    }
    Ok(code)
}

/// The code that says more: any other than success.
pub(crate) fn worst(one: ExitCode, other: ExitCode) -> ExitCode {
    if one == ExitCode::SUCCESS { other } else { one }
}

/// Follows one to its end; none when it was interrupted.
async fn one(
    client: &Client,
    accepted: &Termination,
    shown: &mut Shown,
) -> anyhow::Result<Option<Termination>> {
    let id = &accepted.id;
    shown.begin(accepted);
    let mut events = client.follow_termination(&id.0);
    let mut ask = tokio::time::interval(ASK_EVERY);
    // One for all turns, so that an interrupt while an event is shown is not lost.
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    loop {
        let next = tokio::select! {
            next = events.next() => next,
            _ = ask.tick() => {
                if !shown.connection(&events) {
                    continue;
                }
                // Only for what it may tell; the events decide.
                tokio::select! {
                    now = client.termination(&id.0) => now.iter().for_each(|now| shown.silent_systems(now)),
                    _ = &mut interrupt => return Ok(shown.interrupted(id)),
                }
                continue;
            }
            _ = &mut interrupt => return Ok(shown.interrupted(id)),
        };
        match next {
            Ok(Some(event)) => shown.event(&event),
            Ok(None) => break,
            Err(Error::NotAuthenticated(_)) => {
                shown.clear();
                bail!(
                    "{id} was accepted and goes on, but the token is over: it may be your own that it ended; with a new one: lightsout terminations follow {id}"
                );
            }
            Err(error) => {
                shown.clear();
                let to_go_on = Hint(format!("to go on: lightsout terminations follow {id}"));
                return Err(error).context("only following failed, which stops nothing").context(to_go_on);
            }
        }
    }
    Ok(Some(client.termination(&id.0).await?))
}

/// What a follower has shown so far.
struct Shown {
    progress: Option<Progress>,
    /// People of the terminations before this one.
    before: u64,
    people: u64,
    systems: u64,
    outcomes: u64,
    silent: Vec<String>,
    is_away: bool,
}

impl Shown {
    fn new(people: u64, json_lines: bool) -> Self {
        let progress = (!json_lines).then(|| Progress::new("final", people));
        Self { progress, before: 0, people: 0, systems: 1, outcomes: 0, silent: Vec::new(), is_away: false }
    }

    fn begin(&mut self, accepted: &Termination) {
        self.before += self.people;
        self.people = accepted.people;
        self.systems = accepted.systems.len().max(1) as u64;
        self.outcomes = 0;
    }

    fn event(&mut self, event: &Event) {
        self.outcomes += u64::from(event.event_type == "SESSION_TERMINATION_OUTCOME");
        let done = self.before + (self.outcomes / self.systems).min(self.people);
        match &mut self.progress {
            Some(progress) => progress.advance(done),
            None => say!("{}", json!(event)),
        }
    }

    /// Says when the server is away, and when it is back. Answers whether it is there.
    fn connection(&mut self, events: &Follow) -> bool {
        let is_away = !events.is_connected();
        if is_away != self.is_away {
            self.is_away = is_away;
            self.note(if is_away {
                "  waiting      the server does not answer; following goes on when it does"
            } else {
                "  waiting      the server is back"
            });
        }
        !is_away
    }

    /// Says once of each system that it does not answer.
    fn silent_systems(&mut self, now: &Termination) {
        for system in now.systems.iter().filter(|s| s.unreachable > 0) {
            if !self.silent.contains(&system.system) {
                self.note(&format!(
                    "  waiting      {} does not answer; it is tried again until it does",
                    system.system
                ));
                self.silent.push(system.system.clone());
            }
        }
    }

    fn note(&self, text: &str) {
        if let Some(progress) = &self.progress {
            progress.note(text);
        }
    }

    /// Says how to go on.
    fn interrupted(&self, id: &TerminationId) -> Option<Termination> {
        self.clear();
        eprintln!("\nthe termination goes on; follow it with: lightsout terminations follow {id}");
        None
    }

    /// Takes the bar away before something else is said.
    fn clear(&self) {
        if let Some(progress) = &self.progress {
            progress.clear();
        }
    }

    fn finish(self) {
        if let Some(progress) = self.progress {
            progress.finish();
        }
    }
}
