//! Follows a termination to its end, for people and for programs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use lightsout_api::Termination;
use lightsout_client::Client;
use serde_json::json;

use crate::output::{Progress, say};
use crate::report::{people, show, show_reasons, verdict};

/// How often a follower asks whether a system does not answer.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Follows to the end: a bar of people, or one JSON line an event. Stopping to follow stops nothing.
pub(crate) async fn follow(
    client: &Client,
    accepted: &Termination,
    json_lines: bool,
) -> anyhow::Result<ExitCode> {
    let id = &accepted.id;
    if !json_lines {
        eprintln!("  accepted     {id}, {}", people(accepted.people));
    }
    let mut shown = Shown::new(accepted, json_lines);
    let mut events = client.follow_termination(&id.0);
    let mut ask = tokio::time::interval(ASK_EVERY);
    loop {
        let next = tokio::select! {
            next = events.next() => next,
            _ = ask.tick() => {
                // Only for what it may tell; the events decide.
                if let Ok(now) = client.termination(&id.0).await {
                    shown.silent_systems(&now);
                }
                continue;
            }
            _ = tokio::signal::ctrl_c() => {
                eprintln!("\nthe termination goes on; follow it with: lightsout terminations follow {id}");
                return Ok(ExitCode::from(130));
            }
        };
        match next {
            Ok(Some(event)) => shown.event(&event),
            Ok(None) => break,
            Err(error) if error.status() == Some(401) => {
                anyhow::bail!(
                    "{id} was accepted and goes on, but the token is over: it may be your own that it ended. With a new one: lightsout terminations follow {id}"
                );
            }
            Err(error) => {
                return Err(error).context(format!(
                    "only following failed, which stops nothing; to go on: lightsout terminations follow {id}"
                ));
            }
        }
    }
    shown.finish();
    let done = client.termination(&id.0).await?;
    say!("{}", if json_lines { json!(done).to_string() } else { show(&done) });
    if !json_lines {
        show_reasons(client, &done).await?;
    }
    Ok(verdict(&done))
}

/// What a follower has shown so far.
struct Shown {
    progress: Option<Progress>,
    systems: u64,
    outcomes: u64,
    silent: Vec<String>,
}

impl Shown {
    fn new(accepted: &Termination, json_lines: bool) -> Self {
        let progress = (!json_lines).then(|| Progress::new("final", accepted.people));
        Self { progress, systems: accepted.systems.len().max(1) as u64, outcomes: 0, silent: Vec::new() }
    }

    fn event(&mut self, event: &lightsout_api::Event) {
        self.outcomes += u64::from(event.event_type == "SESSION_TERMINATION_OUTCOME");
        match &mut self.progress {
            Some(progress) => progress.advance(self.outcomes / self.systems),
            None => say!("{}", json!(event)),
        }
    }

    /// Says once of each system that it does not answer.
    fn silent_systems(&mut self, now: &Termination) {
        for system in now.systems.iter().filter(|s| s.unreachable > 0) {
            if self.progress.is_some() && !self.silent.contains(&system.system) {
                eprintln!(
                    "  waiting      {} does not answer; it is tried again until it does",
                    system.system
                );
                self.silent.push(system.system.clone());
            }
        }
    }

    fn finish(self) {
        if let Some(progress) = self.progress {
            progress.finish();
        }
    }
}
