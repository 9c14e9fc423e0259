//! `lightsout systems`: does each system answer, and what would be ended there?

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use lightsout_server::app::{App, NewSignIns, Subject};
use lightsout_server::clock::Clock;
use lightsout_server::config::{Config, Purpose};
use lightsout_server::ops::systems::{PersonCheck, SystemCheck, Whom, check};
use lightsout_server::random::Random;
use lightsout_server::server;

use crate::exit;
use crate::output::{one_line, say};
use crate::report::counted;

/// Looks at the systems where sessions live, on the service's own machine.
#[derive(Args)]
pub(crate) struct Systems {
    #[command(flatten)]
    file: crate::ConfigFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Connects to each system, says what it would match and end, and changes nothing.
    ///
    /// With a person, it counts their sessions in each. Run it after every change of the
    /// configuration: a wrong path or name shows here, before the day that counts.
    #[command(
        after_help = "Examples:\n  lightsout systems check\n  lightsout systems check shop --user ann@acme.example\n  lightsout systems check shop --subject ann"
    )]
    Check(Check),
}

#[derive(Args)]
struct Check {
    /// The systems; without any, all of them.
    #[arg(value_name = "SYSTEM")]
    systems: Vec<String>,
    /// Looks for this person's sessions: a login or an id of the directory.
    #[arg(long, value_name = "LOGIN or ID")]
    user: Option<String>,
    /// Looks for the sessions of whoever the systems know by this name.
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    subject: Option<String>,
    /// Prints one JSON object a system.
    #[arg(long)]
    json: bool,
}

impl Systems {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let Command::Check(asked) = self.command;
        let asked_for = asked.systems.len();
        let config = Config::load(&self.file.config, Purpose::Command)?;
        let db = server::open_to_read(&config).await?;
        let (mut systems, mut broken) = (BTreeMap::new(), Vec::new());
        for (name, system) in config.build_each(&db, &Clock::system()) {
            match system {
                Ok(system) => drop(systems.insert(name, system)),
                Err(error) => broken.push((name, error)),
            }
        }
        // Whoever asked for others is not told.
        broken.retain(|(name, _)| asked.systems.is_empty() || asked.systems.contains(name));
        let mut names = asked.systems;
        names.retain(|name| broken.iter().all(|(broken, _)| broken != name));
        for (name, error) in &broken {
            if asked.json {
                say!("{}", serde_json::json!({"system": name, "error": error.to_string()}));
            } else {
                say!("{name}\n  {:<8} {}\n", "FAILS", one_line(&error.to_string()));
            }
        }
        if names.is_empty() && !broken.is_empty() && broken.len() == asked_for {
            return Ok(exit::NOT_REACHED.into());
        }
        let app = App::new(db, Clock::system(), Random::from_os(), systems, config.settings());
        let whom = match (asked.user, asked.subject) {
            (Some(user), _) => Whom::User(user),
            (None, Some(subject)) => Whom::Subject(subject),
            (None, None) => Whom::Nobody,
        };
        let checks = check(&app, &names, &whom).await?;
        for (n, check) in checks.iter().enumerate() {
            if asked.json {
                say!("{}", serde_json::to_string(check)?);
                continue;
            }
            if n > 0 {
                say!("");
            }
            say!("{}", text(check));
        }
        let failed = checks.iter().filter(|check| check.error.is_some()).count();
        Ok(if failed + broken.len() == 0 { ExitCode::SUCCESS } else { exit::NOT_REACHED.into() })
    }
}

/// A system's check in a few lines.
fn text(check: &SystemCheck) -> String {
    let SystemCheck { system, explanation, notes, error, person, answered_ms, .. } = check;
    let mut lines = vec![
        ("subject", subject(check.subject).to_owned()),
        ("matches", explanation.matched.clone()),
        ("ends", explanation.ended.clone()),
        ("proves", explanation.proven.clone()),
    ];
    if let Some(quiet) = check.quiet_time_s.filter(|s| *s > 0) {
        let meanwhile = match check.new_sign_ins {
            NewSignIns::End => "ended",
            NewSignIns::Spare => "spared",
        };
        lines.push(("quiet", format!("{quiet} s; what appears meanwhile without a begin is {meanwhile}")));
    }
    lines.extend(notes.iter().map(|note| ("saw", note.clone())));
    lines.extend(person.iter().map(|person| ("finds", found(person))));
    match (error, answered_ms) {
        (Some(error), _) => lines.push(("FAILS", error.clone())),
        (None, Some(ms)) => lines.push(("answers", format!("in {} ms", (*ms).max(1)))),
        (None, None) => {}
    }
    let lines = lines.iter().map(|(name, value)| format!("\n  {name:<8} {}", one_line(value)));
    format!("{system}{}", lines.collect::<String>())
}

fn subject(subject: Subject) -> &'static str {
    match subject {
        Subject::Login => "the login, as it stands in the directory",
        Subject::Id => "the id",
        Subject::ExternalId => "the external id",
        Subject::Alias => "the alias that was set for the person and this system",
    }
}

fn found(person: &PersonCheck) -> String {
    let subject = person.subject.as_ref().map(|subject| format!("{subject:?}: ")).unwrap_or_default();
    match (person.sessions, &person.reason) {
        (Some(n), _) => {
            let begins = match (n, person.dated) {
                (0, _) => String::new(),
                (n, dated) if n == dated => ", each with its begin".to_owned(),
                (_, 0) => ", none shows its begin".to_owned(),
                (_, dated) => format!(", {dated} with their begin"),
            };
            format!("{subject}{}{begins}", counted(n, "session", "sessions"))
        }
        (None, reason) => format!("{subject}{}", reason.as_deref().unwrap_or("no number")),
    }
}
