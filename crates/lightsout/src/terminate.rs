//! The client's commands: end sessions, and show what became of it.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use lightsout_api::{
    CreateTermination, PostGroupsTerminateSessionsRequest, PostUsersTerminateSessionsRequest, Termination,
    TerminationState,
};
use lightsout_client::{Auth, BOX, Client, SessionTerminationManager, Subject};
use serde_json::json;

use crate::output::{Progress, count};

/// Whom to speak to, and as whom.
#[derive(Args)]
struct Server {
    // Not a doc comment: help shows the address as it is typed.
    #[arg(
        long,
        env = "LIGHTSOUT_URL",
        default_value = "http://127.0.0.1:8787",
        help = "The service's address, or https://api.box.com for Box itself"
    )]
    url: String,
    /// A developer token.
    #[arg(long, env = "LIGHTSOUT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// An app's client id, with --client-secret and --enterprise.
    #[arg(long, env = "LIGHTSOUT_CLIENT_ID")]
    client_id: Option<String>,
    /// The app's secret.
    #[arg(long, env = "LIGHTSOUT_CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<String>,
    /// The enterprise's id.
    #[arg(long, env = "LIGHTSOUT_ENTERPRISE")]
    enterprise: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Server {
    fn client(&self) -> anyhow::Result<Client> {
        let auth = match (&self.token, &self.client_id, &self.client_secret, &self.enterprise) {
            (Some(token), ..) => Auth::developer_token(token.clone()),
            (None, Some(id), Some(secret), Some(enterprise)) => {
                Auth::client_credentials(id, secret.clone(), Subject::Enterprise(enterprise.clone()))
            }
            _ => bail!(
                "say who you are: --token, or --client-id with --client-secret and --enterprise (or LIGHTSOUT_TOKEN and the like)"
            ),
        };
        Ok(Client::new(&self.url, auth)?)
    }

    fn is_box(&self) -> bool {
        self.url.trim_end_matches('/') == BOX
    }
}

/// How to end.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct How {
    #[command(flatten)]
    server: Server,
    /// Why, for the log.
    #[arg(long)]
    reason: Option<String>,
    /// Waits until every outcome is final.
    #[arg(long)]
    follow: bool,
    /// Says what would be ended, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Leaves unknown ids and logins out, and lists them.
    #[arg(long)]
    skip_unknown: bool,
    /// Leaves people out whom you may not end, and lists them.
    #[arg(long)]
    skip_not_permitted: bool,
}

/// Ends sessions of users.
#[derive(Args)]
pub(crate) struct Users {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Subcommand)]
enum UsersCommand {
    /// Ends every session of these users.
    TerminateSessions {
        /// A user's id; may be repeated.
        #[arg(long = "id")]
        ids: Vec<String>,
        /// A user's login; may be repeated.
        #[arg(long = "login")]
        logins: Vec<String>,
        #[command(flatten)]
        how: How,
    },
}

impl Users {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let UsersCommand::TerminateSessions { ids, logins, how } = self.command;
        ensure!(!ids.is_empty() || !logins.is_empty(), "name at least one user: --id or --login");
        if how.server.is_box() {
            let manager = SessionTerminationManager::new(how.box_client()?);
            let body = PostUsersTerminateSessionsRequest { user_ids: Some(ids), user_logins: Some(logins) };
            return Ok(how.accepted_by_box(manager.create_user_terminate_session(body).await?));
        }
        let user_ids = ids.into_iter().map(Into::into).collect();
        how.end(CreateTermination { user_ids, logins, ..CreateTermination::default() }).await
    }
}

/// Ends sessions of groups.
#[derive(Args)]
pub(crate) struct Groups {
    #[command(subcommand)]
    command: GroupsCommand,
}

#[derive(Subcommand)]
enum GroupsCommand {
    /// Ends every session of the members of these groups.
    TerminateSessions {
        /// A group's id; may be repeated.
        #[arg(long = "id", required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        how: How,
    },
}

impl Groups {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let GroupsCommand::TerminateSessions { ids, how } = self.command;
        if how.server.is_box() {
            let manager = SessionTerminationManager::new(how.box_client()?);
            let body = PostGroupsTerminateSessionsRequest { group_ids: ids };
            return Ok(how.accepted_by_box(manager.create_group_terminate_session(body).await?));
        }
        let group_ids = ids.into_iter().map(Into::into).collect();
        how.end(CreateTermination { group_ids, ..CreateTermination::default() }).await
    }
}

impl How {
    /// Box takes the request and says no more; what only our service can do is refused.
    fn box_client(&self) -> anyhow::Result<Client> {
        let own = self.reason.is_some()
            || self.follow
            || self.dry_run
            || self.skip_unknown
            || self.skip_not_permitted;
        ensure!(
            !own,
            "Box takes no reason, no skips and no dry run, and cannot be followed; these need a lightsout service"
        );
        self.server.client()
    }

    fn accepted_by_box(&self, message: lightsout_api::SessionTerminationMessage) -> ExitCode {
        let text = message.message.clone().unwrap_or_default();
        println!(
            "{}",
            if self.server.json { json!(message).to_string() } else { format!("Box accepted it: {text}") }
        );
        ExitCode::SUCCESS
    }

    async fn end(self, request: CreateTermination) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let request = CreateTermination {
            reason: self.reason,
            skip_unknown: self.skip_unknown,
            skip_not_permitted: self.skip_not_permitted,
            ..request
        };
        if self.dry_run {
            let preview = client.preview_termination(&request).await?;
            println!(
                "{}",
                if self.server.json { json!(preview).to_string() } else { show_preview(&preview) }
            );
            return Ok(ExitCode::SUCCESS);
        }
        let accepted = client.terminate(&request, None).await?;
        if self.follow {
            return follow(&client, &accepted, self.server.json).await;
        }
        println!("{}", if self.server.json { json!(accepted).to_string() } else { show(&accepted) });
        Ok(ExitCode::SUCCESS)
    }
}

/// Shows and follows terminations.
#[derive(Args)]
pub(crate) struct Terminations {
    #[command(subcommand)]
    command: TerminationsCommand,
}

#[derive(Subcommand)]
enum TerminationsCommand {
    /// Lists terminations, newest first.
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Shows one termination.
    Show {
        /// The termination's id.
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Follows one until it is done.
    Follow {
        /// The termination's id.
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Tries again what was given up.
    Retry {
        /// The termination's id.
        id: String,
        #[command(flatten)]
        server: Server,
    },
}

impl Terminations {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            TerminationsCommand::List { server } => {
                for termination in server.client()?.terminations(None).await?.entries {
                    println!(
                        "{}",
                        if server.json { json!(termination).to_string() } else { line(&termination) }
                    );
                }
                Ok(ExitCode::SUCCESS)
            }
            TerminationsCommand::Show { id, server } => {
                let termination = server.client()?.termination(&id).await?;
                println!("{}", if server.json { json!(termination).to_string() } else { show(&termination) });
                Ok(verdict(&termination))
            }
            TerminationsCommand::Follow { id, server } => {
                let client = server.client()?;
                let termination = client.termination(&id).await?;
                follow(&client, &termination, server.json).await
            }
            TerminationsCommand::Retry { id, server } => {
                let termination = server.client()?.retry_termination(&id).await?;
                println!("{}", if server.json { json!(termination).to_string() } else { show(&termination) });
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Follows to the end: a bar of people, or one JSON line an event.
async fn follow(client: &Client, accepted: &Termination, json_lines: bool) -> anyhow::Result<ExitCode> {
    let mut progress = (!json_lines).then(|| Progress::new("final", accepted.people));
    let mut events = client.follow_termination(&accepted.id.0);
    let mut outcomes = 0;
    while let Some(event) = events.next().await? {
        if json_lines {
            println!("{}", json!(event));
        }
        outcomes += u64::from(event.event_type == "SESSION_TERMINATION_OUTCOME");
        if let Some(progress) = &mut progress {
            progress.advance(outcomes / accepted.systems.len().max(1) as u64);
        }
    }
    if let Some(progress) = progress {
        progress.finish();
    }
    let done = client.termination(&accepted.id.0).await?;
    println!("{}", if json_lines { json!(done).to_string() } else { show(&done) });
    Ok(verdict(&done))
}

fn verdict(termination: &Termination) -> ExitCode {
    match termination.state {
        TerminationState::DoneWithFailures => ExitCode::from(crate::exit::PARTLY_FAILED),
        TerminationState::Done | TerminationState::Running => ExitCode::SUCCESS,
    }
}

fn state(termination: &Termination) -> &'static str {
    match termination.state {
        TerminationState::Running => "running",
        TerminationState::Done => "done: every end is verified",
        TerminationState::DoneWithFailures => "done, with failures",
    }
}

fn line(termination: &Termination) -> String {
    format!(
        "{}  {}  {} people  {}",
        termination.created_at,
        termination.id,
        count(termination.people),
        state(termination)
    )
}

fn show(termination: &Termination) -> String {
    let mut text = format!(
        "termination  {}\nstate        {}\npeople       {}",
        termination.id,
        state(termination),
        count(termination.people)
    );
    for system in &termination.systems {
        text.push_str(&format!(
            "\nsystem       {}: {} sessions ended",
            system.system,
            count(system.sessions_ended)
        ));
        let people = [
            ("ended", system.ended),
            ("nothing found", system.nothing_found),
            ("waiting", system.waiting),
            ("unreachable, retrying", system.unreachable),
            ("end by a known time", system.ends_by),
            ("delivered, not verified", system.delivered_not_verified),
            ("sessions unknown", system.unknown_sessions),
            ("no name there", system.no_subject),
            ("gave up", system.gave_up),
        ];
        let people: Vec<String> =
            people.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{word} {}", count(*n))).collect();
        if !people.is_empty() {
            text.push_str(&format!("; people: {}", people.join(", ")));
        }
        if system.resurrected + system.ended_again > 0 {
            text.push_str(&format!(
                "; came back and ended again {}",
                count(system.resurrected + system.ended_again)
            ));
        }
    }
    for skip in &termination.skipped {
        text.push_str(&format!("\nleft out     {} {} ({:?})", skip.kind, skip.value, skip.reason));
    }
    if let Some(head) = &termination.chain_head {
        text.push_str(&format!("\nlog head     {}:{}", head.position, head.hash));
    }
    text
}

fn show_preview(preview: &lightsout_api::Preview) -> String {
    let mut text = format!("would end    {} people; nothing was changed", count(preview.people));
    for system in &preview.systems {
        let sessions = system.sessions.map_or("unknown".to_owned(), count);
        text.push_str(&format!("\nsystem       {}: {sessions} sessions", system.system));
    }
    if preview.includes_caller {
        text.push_str("\nwarning      you are among them");
    }
    if preview.includes_admin {
        text.push_str("\nwarning      an admin or coadmin is among them");
    }
    for skip in &preview.skipped {
        text.push_str(&format!("\nleft out     {} {} ({:?})", skip.kind, skip.value, skip.reason));
    }
    text
}
