//! The client's commands: end sessions, and show what became of it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use lightsout_api::{
    CreateTermination, PostGroupsTerminateSessionsRequest, PostUsersTerminateSessionsRequest,
};
use lightsout_client::{Auth, BOX, Client, SessionTerminationManager, Subject};
use serde_json::json;

use crate::exit::Usage;
use crate::follow::follow;
use crate::output::say;
use crate::report::{line, show, show_preview, show_reasons, verdict};

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
            _ => {
                let why = "say who you are: --token, or --client-id with --client-secret and --enterprise (or LIGHTSOUT_TOKEN and the like)";
                return Err(Usage(why.to_owned()).into());
            }
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
        if ids.is_empty() && logins.is_empty() {
            return Err(Usage("name at least one user: --id or --login".to_owned()).into());
        }
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
        if own {
            let why = "Box takes no reason, no skips and no dry run, and cannot be followed; these need a lightsout service";
            return Err(Usage(why.to_owned()).into());
        }
        self.server.client()
    }

    fn accepted_by_box(&self, message: lightsout_api::SessionTerminationMessage) -> ExitCode {
        let text = message.message.clone().unwrap_or_default();
        say!(
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
            say!("{}", if self.server.json { json!(preview).to_string() } else { show_preview(&preview) });
            return Ok(ExitCode::SUCCESS);
        }
        let accepted = client.terminate(&request, None).await?;
        if self.follow {
            if self.server.json {
                say!("{}", json!(accepted));
            }
            return follow(&client, &accepted, self.server.json).await;
        }
        say!("{}", if self.server.json { json!(accepted).to_string() } else { show(&accepted) });
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
                let client = server.client()?;
                let mut marker = None;
                loop {
                    let page = client.terminations(marker.as_deref()).await?;
                    for termination in page.entries {
                        say!(
                            "{}",
                            if server.json { json!(termination).to_string() } else { line(&termination) }
                        );
                    }
                    marker = page.next_marker;
                    if marker.is_none() {
                        break;
                    }
                }
                Ok(ExitCode::SUCCESS)
            }
            TerminationsCommand::Show { id, server } => {
                let client = server.client()?;
                let termination = client.termination(&id).await?;
                say!("{}", if server.json { json!(termination).to_string() } else { show(&termination) });
                if !server.json {
                    show_reasons(&client, &termination).await?;
                }
                Ok(verdict(&termination))
            }
            TerminationsCommand::Follow { id, server } => {
                let client = server.client()?;
                let termination = client.termination(&id).await?;
                follow(&client, &termination, server.json).await
            }
            TerminationsCommand::Retry { id, server } => {
                let termination = server.client()?.retry_termination(&id).await?;
                say!("{}", if server.json { json!(termination).to_string() } else { show(&termination) });
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
