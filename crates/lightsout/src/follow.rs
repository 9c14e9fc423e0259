//! Follows terminations to their end, for people and for programs.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use lightsout_api::{Event, OutcomeState, Termination, TerminationId};
use lightsout_client::{Client, Error, Follow};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::connect;
use crate::exit::{self, Hint};
use crate::interrupt;
use crate::output::{Progress, one_line, say};
use crate::report::{people, show, show_reasons, verdict};

/// How often a follower asks whether a system does not answer.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// What is said when the server goes away, and when it is back.
pub(crate) const AWAY: &str = "  waiting      the server does not answer; following goes on when it does";
pub(crate) const BACK: &str = "  waiting      the server is back";

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
    let mut finished = Vec::new();
    let followed = all(client, accepted, &mut shown, &mut finished).await;
    shown.finish(followed.is_ok());
    // It was accepted, whatever fails from here on.
    let code = report(client, &finished, json_lines).await.context(exit::NotFollowed)?;
    let Err(error) = followed else { return Ok(code) };
    let go_on = again(&accepted[finished.len()].id);
    let hint = match &error {
        Error::NotAuthenticated(_) => {
            format!("the token may be your own that it ended; with a new one: {go_on}")
        }
        _ => format!("follow it with: {go_on}"),
    };
    Err(anyhow::Error::from(error).context(exit::NotFollowed).context(Hint(hint)))
}

/// The command that goes on.
fn again(id: &TerminationId) -> String {
    connect::command(&format!("terminations follow {id}"))
}

/// Shows what is finished, and answers the worst verdict.
async fn report(client: &Client, finished: &[Termination], json_lines: bool) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for done in finished {
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

/// Follows one after another to its end.
async fn all(
    client: &Client,
    accepted: &[Termination],
    shown: &mut Shown,
    finished: &mut Vec<Termination>,
) -> Result<(), Error> {
    for termination in accepted {
        let id = &termination.id;
        interrupt::says(format!("the termination goes on; follow it with: {}", again(id)));
        shown.begin(termination);
        let mut events = client.follow_termination(&id.0);
        let mut ask = tokio::time::interval(ASK_EVERY);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                next = events.next() => match next? {
                    Some(event) => shown.event(&event),
                    None => break,
                },
                _ = ask.tick() => {
                    // Only for what it may tell; the events decide.
                    if shown.connection(&events)
                        && let Ok(now) = client.termination(&id.0).await
                    {
                        let why = reasons(client, &now).await;
                        shown.failing_systems(&now, &why);
                    }
                }
            }
        }
        finished.push(client.termination(&id.0).await?);
    }
    Ok(())
}

/// Why systems fail, by what the first people say who wait for them.
async fn reasons(client: &Client, now: &Termination) -> BTreeMap<String, String> {
    if now.systems.iter().all(|system| system.unreachable == 0) {
        return BTreeMap::new();
    }
    let first = client.outcomes(&now.id.0, None).await.map(|page| page.entries).unwrap_or_default();
    let unreachable = first.into_iter().filter(|outcome| outcome.outcome == OutcomeState::Unreachable);
    unreachable.filter_map(|outcome| Some((outcome.system, outcome.detail?))).collect()
}

/// What a follower has shown so far.
struct Shown {
    progress: Option<Progress>,
    /// People of the terminations before this one.
    before: u64,
    people: u64,
    systems: u64,
    /// In how many systems a person's outcome is final.
    outcomes: HashMap<String, u64>,
    done: u64,
    failing: Vec<String>,
    is_away: bool,
}

impl Shown {
    fn new(people: u64, json_lines: bool) -> Self {
        let progress = (!json_lines).then(|| Progress::new("final", people));
        Self {
            progress,
            before: 0,
            people: 0,
            systems: 1,
            outcomes: HashMap::new(),
            done: 0,
            failing: Vec::new(),
            is_away: false,
        }
    }

    fn begin(&mut self, accepted: &Termination) {
        self.before += self.people;
        self.people = accepted.people;
        self.systems = accepted.systems.len().max(1) as u64;
        self.outcomes.clear();
        self.done = 0;
    }

    fn event(&mut self, event: &Event) {
        let user_id = event.source.as_ref().and_then(|source| source.get("id")?.as_str());
        if let Some(user_id) = user_id.filter(|_| event.event_type == "SESSION_TERMINATION_OUTCOME") {
            let outcomes = self.outcomes.entry(user_id.to_owned()).or_default();
            *outcomes += 1;
            self.done += u64::from(*outcomes == self.systems);
        }
        match &mut self.progress {
            Some(progress) => progress.advance(self.before + self.done.min(self.people)),
            None => say!("{}", json!(event)),
        }
    }

    /// Says when the server is away, and when it is back. Answers whether it is there.
    fn connection(&mut self, events: &Follow) -> bool {
        let is_away = !events.is_connected();
        if is_away != self.is_away {
            self.is_away = is_away;
            self.note(if is_away { AWAY } else { BACK });
        }
        !is_away
    }

    /// Says once of each system that it fails, and why.
    fn failing_systems(&mut self, now: &Termination, why: &BTreeMap<String, String>) {
        for system in now.systems.iter().filter(|s| s.unreachable > 0) {
            if !self.failing.contains(&system.system) {
                let why = why.get(&system.system).map_or("it fails", String::as_str);
                self.note(&format!("  waiting      {}: {}; it is tried again", system.system, one_line(why)));
                self.failing.push(system.system.clone());
            }
        }
    }

    /// Says something on standard error, beside the bar if there is one.
    fn note(&self, text: &str) {
        match &self.progress {
            Some(progress) => progress.note(text),
            None => eprintln!("{text}"),
        }
    }

    /// Leaves the whole bar, or takes away what is not whole before something else is said.
    fn finish(self, is_whole: bool) {
        match self.progress {
            Some(progress) if is_whole => progress.finish(),
            Some(progress) => progress.clear(),
            None => {}
        }
    }
}
