//! `lightsout events verify`: walks the chain over the event log.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use lightsout_server::config::Config;
use lightsout_server::server;
use serde_json::json;

use crate::exit::Usage;
use crate::output::say;

/// Proves the event log, on the server's own machine.
#[derive(Args)]
pub(crate) struct Events {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Walks the chain, and names the first event that does not hold.
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
        let Command::Verify { file, expect, json } = self.command;
        let expect = expect.as_deref().map(parse).transpose()?;
        let db = server::open_to_read(&Config::load(&file.config)?).await?;
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
                let facts = json!({"intact": true, "position": head.position, "hash": head.chain_hash});
                let text =
                    format!("intact: {} event(s), head {}:{}", head.position, head.position, head.chain_hash);
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
