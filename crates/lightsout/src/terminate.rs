//! `lightsout users terminate-sessions` and `lightsout groups terminate-sessions`: whom, and how.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::{ArgGroup, Args, Subcommand};
use lightsout_api::{CreateTermination, Preview, Termination};
use lightsout_client::{Client, Error, Part, Parts};
use serde_json::json;

use crate::confirm::{ASK_ABOVE, confirm};
use crate::connect::{self, Server};
use crate::directory::{GroupsList, GroupsMembers, UsersList, UsersShow, find_group};
use crate::exit::{self, Hint, Unknown, Usage};
use crate::follow::{follow, worst};
use crate::interrupt;
use crate::name::NotThere;
use crate::on_box;
use crate::output::say;
use crate::profile::Wire;
use crate::report::{all_left_out, counted, line, people, show, show_preview, verdict};
use crate::targets::{self, Format, Target, Targets};

/// The most entries that a service takes in one request; longer lists are split.
const PART: Parts = Parts { size: 10_000, at_once: 2 };

/// What to do where only some parts were accepted.
pub(crate) const AGAIN: &str =
    "next         run the command again to end those, too: who is ended twice only signs in again";

/// The code of a refusal that is about somebody, and not about the caller's token.
const NOT_PERMITTED: &str = "access_denied_insufficient_permissions";

/// What an interrupt says before anything was sent.
const NOTHING_YET: &str = "nothing was ended";

const USERS_HELP: &str = "\
Examples:
  lightsout users terminate-sessions --login ann@acme.example --reason 'laptop stolen' --follow
  lightsout users terminate-sessions --from-file leavers.csv --column email --dry-run
  grep -o '[^ ]*@acme.example' alert.txt | lightsout users terminate-sessions --from-file - --yes";

const GROUPS_HELP: &str = "\
Examples:
  lightsout groups terminate-sessions --name Sales --dry-run
  lightsout groups terminate-sessions --name Sales --reason 'contract ended' --yes --follow";

/// Finds users, and ends their sessions.
#[derive(Args)]
pub(crate) struct Users {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Subcommand)]
enum UsersCommand {
    /// Lists users.
    List(UsersList),
    /// Shows a user, with groups and live sessions.
    Show(UsersShow),
    /// Ends every session of these users.
    TerminateSessions(UsersTerminate),
}

/// Finds groups, and ends their members' sessions.
#[derive(Args)]
pub(crate) struct Groups {
    #[command(subcommand)]
    command: GroupsCommand,
}

#[derive(Subcommand)]
enum GroupsCommand {
    /// Lists groups.
    List(GroupsList),
    /// Lists the members of a group.
    Members(GroupsMembers),
    /// Ends every session of the members of these groups.
    TerminateSessions(GroupsTerminate),
}

/// Ends every session of these users.
#[derive(Args)]
#[command(after_help = USERS_HELP)]
struct UsersTerminate {
    /// A user's id; may be repeated.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// A user's login; may be repeated.
    #[arg(long = "login", value_name = "LOGIN")]
    logins: Vec<String>,
    /// Reads ids or logins from a file, `-` for standard input; may be repeated.
    #[arg(long = "from-file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the files are written, where their names do not say it: lines (an id or login each), csv or jsonl.
    #[arg(long, requires = "files", hide_possible_values = true)]
    format: Option<Format>,
    /// The column of a CSV file, or the key of JSON lines, that holds the id or login.
    #[arg(long, requires = "files", value_name = "NAME")]
    column: Option<String>,
    #[command(flatten)]
    how: How,
}

/// Ends every session of the members of these groups.
#[derive(Args)]
#[command(
    after_help = GROUPS_HELP,
    group = ArgGroup::new("groups").args(["ids", "names"]).required(true).multiple(true)
)]
struct GroupsTerminate {
    /// A group's id; may be repeated.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// A group's exact name; may be repeated.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// How to end.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct How {
    /// Why, for the log.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Waits until every outcome is final; at Box, shows what its admin events say for a minute.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Says what would be ended, and changes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leaves unknown ids, logins and unreadable lines out, and lists them.
    #[arg(long)]
    pub(crate) skip_unknown: bool,
    /// Leaves people out whom you may not end, and lists them.
    #[arg(long)]
    pub(crate) skip_not_permitted: bool,
    /// Ends more than 10 people without asking.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

impl Users {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            UsersCommand::List(command) => command.run().await,
            UsersCommand::Show(command) => command.run().await,
            UsersCommand::TerminateSessions(command) => command.run().await,
        }
    }
}

impl Groups {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            GroupsCommand::List(command) => command.run().await,
            GroupsCommand::Members(command) => command.run().await,
            GroupsCommand::TerminateSessions(command) => command.run().await,
        }
    }
}

impl UsersTerminate {
    async fn run(self) -> anyhow::Result<ExitCode> {
        interrupt::says(NOTHING_YET);
        let targets = self.targets()?;
        let rejected = targets.rejected.len();
        let connection = self.how.server.connect()?;
        let code = if connection.wire == Wire::Box {
            on_box::end_users(&self.how, &connection.client, targets).await?
        } else {
            let request = CreateTermination {
                user_ids: targets.ids.into_iter().map(Into::into).collect(),
                logins: targets.logins,
                ..CreateTermination::default()
            };
            self.how.end(&connection.client, request).await?
        };
        // Whom a line meant, nobody knows: somebody was left out.
        Ok(if rejected > 0 { worst(code, exit::PARTLY_FAILED.into()) } else { code })
    }

    /// Everybody who is named, each once; lines that name nobody refuse the whole unless they are skipped.
    fn targets(&self) -> anyhow::Result<Targets> {
        let mut all = Targets::default();
        self.ids.iter().for_each(|id| all.take(Target::Id(id.clone())));
        self.logins.iter().for_each(|login| all.take(Target::Login(login.clone())));
        for file in &self.files {
            // Standard input may keep it waiting, and an interrupt is heard meanwhile.
            let read = || targets::read(file, self.format, self.column.as_deref());
            all.append(tokio::task::block_in_place(read)?);
        }
        let fate = if self.how.skip_unknown { "left out" } else { "unreadable" };
        for rejected in &all.rejected {
            eprintln!("{fate:<12} {}, line {}: {}", rejected.source, rejected.line, rejected.why);
        }
        let lines = counted(all.rejected.len() as u64, "line names", "lines name");
        ensure!(
            all.rejected.is_empty() || self.how.skip_unknown,
            Usage(format!("{lines} nobody, so nothing was ended; mend them, or add --skip-unknown"))
        );
        let is_empty = all.ids.is_empty() && all.logins.is_empty();
        ensure!(
            !is_empty || all.rejected.is_empty(),
            Usage(format!("{lines} nobody, and nobody is left, so nothing was ended; mend them"))
        );
        ensure!(!is_empty, Usage("name at least one user: --login, --id or --from-file".to_owned()));
        if all.repeated > 0 {
            eprintln!("repeated     {}, taken once", counted(all.repeated as u64, "name", "names"));
        }
        Ok(all)
    }
}

impl GroupsTerminate {
    async fn run(self) -> anyhow::Result<ExitCode> {
        interrupt::says(NOTHING_YET);
        let connection = self.how.server.connect()?;
        let client = &connection.client;
        let mut ids = self.ids;
        let mut left_out = false;
        // Box takes no such skip, and says so below.
        let may_skip = self.how.skip_unknown && connection.wire == Wire::Lightsout;
        for name in &self.names {
            match find_group(client, name).await {
                Err(error) if may_skip && error.is::<NotThere>() => {
                    eprintln!("{:<12} {error}", "left out");
                    left_out = true;
                }
                group => ids.push(group?.id.0),
            }
        }
        ensure!(!ids.is_empty(), Unknown("no group is left, so nothing was ended".to_owned()));
        if connection.wire == Wire::Box {
            return on_box::end_groups(&self.how, client, ids).await;
        }
        let group_ids = ids.into_iter().map(Into::into).collect();
        let code =
            self.how.end(client, CreateTermination { group_ids, ..CreateTermination::default() }).await?;
        Ok(if left_out { worst(code, exit::PARTLY_FAILED.into()) } else { code })
    }
}

impl How {
    /// Ends people on a service, after the questions that are due.
    async fn end(&self, client: &Client, request: CreateTermination) -> anyhow::Result<ExitCode> {
        let request = CreateTermination {
            reason: self.reason.clone(),
            skip_unknown: self.skip_unknown,
            skip_not_permitted: self.skip_not_permitted,
            ..request
        };
        if self.dry_run {
            let preview = self.preview(client, &request).await?;
            self.server.print(&preview, show_preview);
            return Ok(if preview.skipped.is_empty() {
                ExitCode::SUCCESS
            } else {
                exit::PARTLY_FAILED.into()
            });
        }
        let named = request.user_ids.len() + request.logins.len();
        let is_split = named > PART.size;
        let may_be_many = named as u64 > ASK_ABOVE || !request.group_ids.is_empty();
        // A list that is split is looked up as a whole first: half of it must not end on its own.
        if is_split || may_be_many && !self.yes {
            let preview = self.preview(client, &request).await?;
            confirm(preview.people, &warnings(&preview), self.yes)?;
        }
        self.send(client, &request).await
    }

    async fn preview(&self, client: &Client, request: &CreateTermination) -> anyhow::Result<Preview> {
        client.preview_in_parts(request, PART).await.map_err(|error| self.refused(error))
    }

    /// An error that refuses everybody, with what leaves out whom it names.
    fn refused(&self, error: Error) -> anyhow::Error {
        let hint = match &error {
            Error::NotFound(api) if !self.skip_unknown && !api.not_found().is_empty() => {
                "nothing was ended; --skip-unknown leaves out who is not known"
            }
            // A missing scope or role refuses whatever is skipped.
            Error::NotAllowed(api) if !self.skip_not_permitted && api.code == NOT_PERMITTED => {
                "nothing was ended; --skip-not-permitted leaves out whom you may not end"
            }
            _ => return error.into(),
        };
        anyhow::Error::from(error).context(Hint(hint.to_owned()))
    }

    async fn send(&self, client: &Client, request: &CreateTermination) -> anyhow::Result<ExitCode> {
        let look = connect::command("terminations list");
        interrupt::says(format!("some of it may have been accepted: look with: {look}"));
        let parts = client.terminate_in_parts(request, PART).await;
        let of = parts.len();
        let (mut accepted, mut failure) = (Vec::new(), None);
        for (number, Part { request, result, .. }) in (1..).zip(parts) {
            match result {
                Ok(termination) => accepted.push(termination),
                Err(error) if of == 1 => return Err(self.refused(error)),
                Err(error) => {
                    let entries = request.user_ids.len() + request.logins.len() + request.group_ids.len();
                    let error = error.into();
                    let why = exit::words_of(&error);
                    eprintln!("{} part {number} of {of}, {entries} entries: {why}", exit::fate_of(&error));
                    // The first one says why; those after it may only say that they were not sent.
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            Some(error) if accepted.is_empty() => return Err(error),
            Some(_) => eprintln!("{AGAIN}"),
            None => {}
        }
        let code = if accepted.len() < of { exit::PARTLY_FAILED.into() } else { ExitCode::SUCCESS };
        if self.follow {
            if self.server.json {
                for termination in &accepted {
                    say!("{}", json!(termination));
                }
            }
            return Ok(worst(code, follow(client, &accepted, self.server.json).await?));
        }
        for termination in &accepted {
            self.server.print(termination, if of == 1 { show } else { line_with_left_out });
        }
        Ok(accepted.iter().map(verdict).fold(code, worst))
    }
}

fn line_with_left_out(termination: &Termination) -> String {
    format!("{}{}", line(termination), all_left_out(termination))
}

/// What somebody should know before the answer.
fn warnings(preview: &Preview) -> Vec<String> {
    let mut warnings = Vec::new();
    if preview.includes_caller {
        warnings.push("you are among them, and your own token ends with theirs".to_owned());
    }
    if preview.includes_admin {
        warnings.push("an admin or coadmin is among them".to_owned());
    }
    if !preview.skipped.is_empty() {
        warnings.push(format!("{} left out", people(preview.skipped.len() as u64)));
    }
    warnings
}
