//! `lightsout admin`: set-up by the operator, on the server's own machine.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use lightsout_server::config::{Config, Purpose, REFERENCE};
use lightsout_server::ops::{admin, import};
use lightsout_server::server;
use serde_json::{Value, json};

use crate::apps::Apps;
use crate::output::say;
use crate::people::People;

/// Sets the service up. Secrets are printed once, and stored only as digests.
#[derive(Args)]
pub(crate) struct Admin {
    #[command(flatten)]
    file: crate::ConfigFile,
    /// Prints one JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes a configuration file if there is none, and makes the database.
    #[command(after_help = "Example:\n  lightsout admin init")]
    Init,
    /// Makes an enterprise and its primary admin.
    #[command(
        after_help = "Example:\n  lightsout admin enterprise --name Acme --admin-login ada@acme.example --admin-name 'Ada Admin'"
    )]
    Enterprise {
        /// The enterprise's name.
        #[arg(long)]
        name: String,
        /// The admin's login.
        #[arg(long, value_name = "LOGIN")]
        admin_login: String,
        /// The admin's name.
        #[arg(long, value_name = "NAME")]
        admin_name: String,
    },
    #[command(flatten)]
    Apps(Apps),
    /// Makes a developer token for a person.
    #[command(after_help = "Example:\n  lightsout admin token --login ada@acme.example --minutes 15")]
    Token {
        /// The person's login.
        #[arg(long)]
        login: String,
        /// Scopes; without any, all of them.
        #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
        scopes: Vec<String>,
        /// Minutes that it lives.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=525_600))]
        minutes: u32,
    },
    #[command(flatten)]
    People(People),
    /// Ends every registered session and every token of everybody: after a restore from a backup.
    ///
    /// What was ended after the backup was made would otherwise live again. Sessions in other
    /// systems are not touched.
    #[command(after_help = "Example:\n  lightsout admin raise-generations")]
    RaiseGenerations,
    /// Imports people, groups and memberships from CSV; repeating it changes nothing.
    ///
    /// The first line names the columns: login, and name, role (user, coadmin), groups (names,
    /// separated by ;), external_id, aliases (system=name;system=name) where wanted.
    #[command(after_help = "Example:\n  lightsout admin import --enterprise 12 people.csv")]
    Import {
        /// The enterprise's id.
        #[arg(long, value_name = "ID")]
        enterprise: String,
        /// The CSV file.
        file: PathBuf,
    },
}

impl Admin {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        if matches!(self.command, Command::Init) {
            self.init_file()?;
        }
        let config = Config::load(&self.file.config, Purpose::Command)?;
        let app = server::open_without_systems(&config).await?;
        let mut code = ExitCode::SUCCESS;
        let (facts, text) = match self.command {
            Command::Init => (
                json!({"config": self.file.config}),
                format!(
                    "{} and its database are ready; next: lightsout admin enterprise",
                    self.file.config.display()
                ),
            ),
            Command::Enterprise { name, admin_login, admin_name } => {
                let (enterprise, user) =
                    admin::create_enterprise(&app, &name, &admin_login, &admin_name).await?;
                (
                    json!({"enterprise_id": enterprise, "admin_id": user}),
                    format!("enterprise_id  {enterprise}\nadmin_id       {user}"),
                )
            }
            Command::Apps(command) => command.run(&app).await?,
            Command::Token { login, scopes, minutes } => {
                let token = admin::create_token(&app, &login, &scopes, i64::from(minutes) * 60_000).await?;
                (
                    json!({"access_token": token}),
                    format!(
                        "access_token  {token}\n\nIt is not shown again, and expires in {minutes} minutes."
                    ),
                )
            }
            Command::People(command) => command.run(&config, &app).await?,
            Command::RaiseGenerations => {
                let people = admin::raise_generations(&app).await?;
                (
                    json!({"people": people}),
                    format!("ended every registered session and token of {people} people"),
                )
            }
            Command::Import { enterprise, file } => {
                let csv = File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
                let report = import::import(&app, &config.system_names(), &enterprise, csv).await?;
                if !report.rejected.is_empty() {
                    code = ExitCode::from(crate::exit::PARTLY_FAILED);
                }
                imported(&report)
            }
        };
        app.db.close().await;
        say!("{}", if self.json { facts.to_string() } else { text });
        Ok(code)
    }

    fn init_file(&self) -> anyhow::Result<()> {
        let file = &self.file.config;
        if file.exists() {
            return Ok(());
        }
        let write = || {
            // Readable by the user that the service runs as. It holds no secret, and says so.
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o644).open(file)?.write_all(REFERENCE.as_bytes())
        };
        write().with_context(|| format!("cannot write {}", file.display()))
    }
}

fn imported(report: &import::Report) -> (Value, String) {
    let rejected: Vec<Value> =
        report.rejected.iter().map(|(line, why)| json!({"line": line, "why": why})).collect();
    let facts = json!({
        "users_created": report.users_created,
        "users_changed": report.users_changed,
        "users_unchanged": report.users_unchanged,
        "groups_created": report.groups_created,
        "memberships_created": report.memberships_created,
        "rejected": rejected,
    });
    let mut text = format!(
        "people       {} new, {} changed, {} unchanged\ngroups       {} new\nmemberships  {} new",
        report.users_created,
        report.users_changed,
        report.users_unchanged,
        report.groups_created,
        report.memberships_created
    );
    for (line, why) in &report.rejected {
        text.push_str(&format!("\nleft out     line {line}: {why}"));
    }
    (facts, text)
}
