//! `lightsout events`: proves the event log where it is, and follows it from anywhere.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use lightsout_api::{Event, UNKNOWN_USER_ID};
use lightsout_client::EventQuery;
use lightsout_server::config::{Config, Purpose};
use lightsout_server::server;
use serde_json::{Value, json};

use crate::connect::{self, Server};
use crate::exit::Usage;
use crate::follow::{AWAY, BACK};
use crate::interrupt;
use crate::output::say;
use crate::profile::Wire;
use crate::report::counted;

const FOLLOW_HELP: &str = "\
Examples:
  lightsout events follow
  lightsout events follow --from start --type SESSION_TERMINATION_DONE --json";

const VERIFY_HELP: &str = "\
Examples:
  lightsout events verify
  lightsout events verify --config /etc/lightsout.toml --expect $(cat kept-head.txt)";

/// How often a service is asked for new events; Box counts calls, and is asked less.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ASK_BOX_EVERY: Duration = Duration::from_secs(5);

/// Follows and proves the event log.
#[derive(Args)]
pub(crate) struct Events {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows admin events as they come, of a service or of Box.
    #[command(after_help = FOLLOW_HELP)]
    Follow(Box<Follow>),
    /// Walks the chain on the server's own machine, and names the first event that does not hold.
    #[command(after_help = VERIFY_HELP)]
    Verify {
        #[command(flatten)]
        file: crate::ConfigFile,
        /// A head that was kept elsewhere: proves that the log up to it was not rewritten.
        #[arg(long, value_name = "POSITION:HASH")]
        expect: Option<String>,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}

impl Events {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let (file, expect, json) = match self.command {
            Command::Follow(command) => return command.run().await,
            Command::Verify { file, expect, json } => (file, expect, json),
        };
        let expect = expect.as_deref().map(parse).transpose()?;
        let db = server::open_to_read(&Config::load(&file.config, Purpose::Command)?).await?;
        let kept = expect.as_ref().map(|(position, hash)| (*position, hash.as_str()));
        let verified = db.verify_events(kept).await?;
        db.close().await;
        Ok(match verified {
            Ok(head) if head.position == 0 => {
                let facts = json!({"intact": false, "position": 0, "why": "the log is empty"});
                say!(
                    "{}",
                    if json { facts.to_string() } else { "nothing to prove: the log is empty".to_owned() }
                );
                ExitCode::from(crate::exit::NOT_VERIFIED)
            }
            Ok(head) => {
                let events = counted(u64::try_from(head.position).unwrap_or_default(), "event", "events");
                let facts = json!({"intact": true, "position": head.position, "hash": head.chain_hash});
                let text = format!("intact: {events}, head {}:{}", head.position, head.chain_hash);
                say!("{}", if json { facts.to_string() } else { text });
                ExitCode::SUCCESS
            }
            Err(broken) => {
                let facts =
                    json!({"intact": false, "position": broken.position(), "why": broken.to_string()});
                say!("{}", if json { facts.to_string() } else { format!("BROKEN: {broken}") });
                ExitCode::from(crate::exit::NOT_VERIFIED)
            }
        })
    }
}

#[derive(Args)]
struct Follow {
    /// Only events of this type; may be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Where to begin: `now`, `start`, or a position.
    #[arg(long, default_value = "now", value_name = "POSITION")]
    from: String,
    #[command(flatten)]
    server: Server,
}

impl Follow {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let connection = self.server.connect()?;
        let position = match self.from.as_str() {
            "start" => "0".to_owned(),
            "now" => self.from,
            digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => self.from,
            other => {
                let why = format!("--from reads now, start or a position (digits), and not {other:?}");
                return Err(Usage(why).into());
            }
        };
        let types = self.types;
        let query =
            EventQuery { position: Some(position), event_types: types.clone(), ..EventQuery::streaming() };
        let every = if connection.wire == Wire::Box { ASK_BOX_EVERY } else { ASK_EVERY };
        let mut events = connection.client.follow_events(query, every);
        let mut look = tokio::time::interval(ASK_EVERY);
        let mut is_away = false;
        loop {
            interrupt::says(go_on(&events, &types));
            tokio::select! {
                next = events.next() => match next? {
                    Some(event) => self.server.print(&event, line),
                    None => return Ok(ExitCode::SUCCESS),
                },
                _ = look.tick() => if is_away == events.is_connected() {
                    is_away = !is_away;
                    eprintln!("{}", if is_away { AWAY } else { BACK });
                },
            }
        }
    }
}

/// How to go on where this follower is.
fn go_on(events: &lightsout_client::Events, types: &[String]) -> String {
    let types: String = types.iter().map(|event_type| format!(" --type {event_type}")).collect();
    let position = events.position().unwrap_or("now");
    format!("to go on: {}", connect::command(&format!("events follow --from {position}{types}")))
}

/// An event in one line: when, what, by whom, about whom.
pub(crate) fn line(event: &Event) -> String {
    let mut text = format!("{}  {}", event.created_at.strftime("%FT%TZ"), event.event_type);
    if let Some(by) = event.created_by.as_ref().filter(|by| by.id != UNKNOWN_USER_ID) {
        text.push_str(&format!("  by {}", by.login.as_deref().unwrap_or(&by.id)));
    }
    let field = |name: &str| event.source.as_ref()?.get(name).and_then(Value::as_str);
    if let Some(about) = field("login").or_else(|| field("name")).or_else(|| field("id")) {
        text.push_str(&format!("  about {about}"));
    }
    text
}

/// Reads `POSITION:HASH`; a hash that was cut short proves nothing.
fn parse(expect: &str) -> Result<(i64, String), Usage> {
    let wrong = |why: &str| Usage(format!("--expect reads POSITION:HASH, {why}"));
    let (position, hash) = expect.split_once(':').ok_or_else(|| wrong("with a colon between them"))?;
    let position = position.parse().ok().filter(|p| *p >= 1);
    let position = position.ok_or_else(|| wrong("and a position is a number from 1"))?;
    if hash.len() != 64 || !hash.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(wrong(&format!("and a hash has 64 hex digits; this one has {} characters", hash.len())));
    }
    Ok((position, hash.to_ascii_lowercase()))
}
