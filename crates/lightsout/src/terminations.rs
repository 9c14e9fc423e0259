//! `lightsout terminations`: what was ended, and what became of it.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::connect::Server;
use crate::follow::follow;
use crate::report::{is_verified, line, outcome_line, show, show_reasons, verdict};

/// Shows and follows terminations of a service.
#[derive(Args)]
pub(crate) struct Terminations {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists terminations, newest first.
    #[command(after_help = "Example:\n  lightsout terminations list --limit 5")]
    List {
        /// Only so many.
        #[arg(long)]
        limit: Option<usize>,
        #[command(flatten)]
        server: Server,
    },
    /// Shows one termination; exits with 5 if it is finished and not every end is verified.
    #[command(after_help = "Example:\n  lightsout terminations show t_1f")]
    Show {
        /// The termination's id.
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Lists what became of each person's sessions in each system.
    #[command(after_help = "Example:\n  lightsout terminations outcomes t_1f --open --json")]
    Outcomes {
        /// The termination's id.
        id: String,
        /// Only those that are no verified end.
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Follows one until it is finished.
    #[command(after_help = "Example:\n  lightsout terminations follow t_1f --json")]
    Follow {
        /// The termination's id.
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Tries again what was given up.
    #[command(after_help = "Example:\n  lightsout terminations retry t_1f")]
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
            Command::List { limit, server } => {
                let mut terminations = server.client_of_service()?.all_terminations();
                let mut left = limit.unwrap_or(usize::MAX);
                while left > 0
                    && let Some(termination) = terminations.next().await?
                {
                    server.print(&termination, line);
                    left -= 1;
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Show { id, server } => {
                let client = server.client_of_service()?;
                let termination = client.termination(&id).await?;
                server.print(&termination, show);
                if !server.json {
                    show_reasons(&client, &termination).await?;
                }
                Ok(verdict(&termination))
            }
            Command::Outcomes { id, open, server } => {
                let mut outcomes = server.client_of_service()?.all_outcomes(&id);
                while let Some(outcome) = outcomes.next().await? {
                    if !open || !is_verified(&outcome) {
                        server.print(&outcome, outcome_line);
                    }
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Follow { id, server } => {
                let client = server.client_of_service()?;
                let termination = client.termination(&id).await?;
                follow(&client, &[termination], server.json).await
            }
            Command::Retry { id, server } => {
                let termination = server.client_of_service()?.retry_termination(&id).await?;
                server.print(&termination, show);
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
