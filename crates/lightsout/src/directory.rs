//! `lightsout users list|show`, `lightsout groups list|members`.

use std::process::ExitCode;

use clap::{ArgGroup, Args};
use lightsout_api::{Group, GroupMembership, User};
use lightsout_client::{Client, Error};
use lightsout_server::domain::fold::fold;
use serde_json::json;

use crate::connect::Server;
use crate::exit::Unknown;
use crate::name;
use crate::output::{one_line, say};
use crate::profile::Wire;
use crate::report::sessions;

/// Lists users.
#[derive(Args)]
#[command(after_help = "Example:\n  lightsout users list --filter ann")]
pub(crate) struct UsersList {
    /// Only those whose name or login starts with this.
    #[arg(long, default_value = "", hide_default_value = true)]
    filter: String,
    #[command(flatten)]
    server: Server,
}

/// Shows a user, with groups and live sessions.
#[derive(Args)]
#[command(after_help = "Example:\n  lightsout users show ann@acme.example")]
pub(crate) struct UsersShow {
    /// The user's id or login.
    #[arg(value_name = "USER")]
    who: String,
    #[command(flatten)]
    server: Server,
}

/// Lists groups.
#[derive(Args)]
#[command(after_help = "Example:\n  lightsout groups list --filter Sales")]
pub(crate) struct GroupsList {
    /// Only those whose name starts with this.
    #[arg(long, default_value = "", hide_default_value = true)]
    filter: String,
    #[command(flatten)]
    server: Server,
}

/// Lists the members of a group.
#[derive(Args)]
#[command(
    after_help = "Example:\n  lightsout groups members --name Sales",
    group = ArgGroup::new("group").args(["name", "id"]).required(true)
)]
pub(crate) struct GroupsMembers {
    /// The group's exact name.
    #[arg(long)]
    name: Option<String>,
    /// The group's id.
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    server: Server,
}

impl UsersList {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut users = self.server.client()?.all_users(&self.filter);
        while let Some(user) = users.next().await? {
            self.server.print(&user, line);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl UsersShow {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let connection = self.server.connect()?;
        let client = &connection.client;
        let user = find_user(client, &self.who).await?;
        let memberships = client.all_user_memberships(&user.id.0).collect().await?;
        // Who may see people may not see their sessions; the rest is worth showing.
        let (live, why) = match connection.wire {
            Wire::Box => (None, "Box does not list them"),
            Wire::Lightsout => match client.all_sessions(&user.id.0).collect().await {
                Ok(sessions) => (Some(sessions), ""),
                Err(Error::NotAllowed(_)) => (None, "only an app with the right sessions.read sees them"),
                Err(error) => return Err(error.into()),
            },
        };
        if self.server.json {
            say!("{}", json!({"user": user, "memberships": memberships, "sessions": live}));
            return Ok(ExitCode::SUCCESS);
        }
        say!("{}", line(&user));
        for membership in &memberships {
            let group = membership.group.as_ref().and_then(|group| group.name.as_deref()).unwrap_or("?");
            say!("group        {group}, as {}", membership.role.map_or("?", |role| role.as_str()));
        }
        match live {
            None => say!("sessions     unknown: {why}"),
            Some(live) => {
                say!("sessions     {}", sessions(live.len() as u64));
                for session in live {
                    let from = [session.device.as_deref(), session.address.as_deref()];
                    let from: Vec<&str> = from.into_iter().flatten().collect();
                    let text =
                        format!("  since {}  {}", session.began_at.strftime("%FT%TZ"), from.join(", "));
                    say!("{}", text.trim_end());
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl GroupsList {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut groups = self.server.client()?.all_groups(&self.filter);
        while let Some(group) = groups.next().await? {
            self.server.print(&group, |g| format!("{}  {}", g.id, g.name.as_deref().unwrap_or_default()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl GroupsMembers {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let group_id = match (self.id, &self.name) {
            (Some(id), _) => id,
            (None, Some(name)) => find_group(&client, name).await?.id.0,
            (None, None) => unreachable!("one of the two is required"),
        };
        let mut members = client.all_group_memberships(&group_id);
        while let Some(member) = members.next().await? {
            self.server.print(&member, member_line);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The user of this id or login.
async fn find_user(client: &Client, wanted: &str) -> anyhow::Result<User> {
    if wanted.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(client.user(wanted).await?);
    }
    find_login(client, wanted).await
}

/// The user of exactly this login, in any case.
pub(crate) async fn find_login(client: &Client, wanted: &str) -> anyhow::Result<User> {
    let folded = fold(wanted);
    let mut users = client.all_users(wanted);
    while let Some(user) = users.next().await? {
        if user.login.as_deref().is_some_and(|login| fold(login) == folded) {
            return Ok(user);
        }
    }
    Err(Unknown(format!("nobody has the login {wanted}")).into())
}

/// The group of exactly this name.
pub(crate) async fn find_group(client: &Client, wanted: &str) -> anyhow::Result<Group> {
    let starting = client.all_groups(wanted).collect().await?;
    if let Ok(group) = name::choose(wanted, &starting) {
        return Ok(group.clone());
    }
    // All of them, to say what is near.
    let groups = client.all_groups("").collect().await?;
    Ok(name::choose(wanted, &groups)?.clone())
}

fn line(user: &User) -> String {
    let role = user.role.map_or("", |role| role.as_str());
    let status = json!(user.status).as_str().unwrap_or_default().to_owned();
    let login = user.login.as_deref().unwrap_or_default();
    columns(&[user.id.as_str(), login, user.name.as_deref().unwrap_or_default(), role, &status])
}

/// What there is of these, two spaces apart.
fn columns(fields: &[&str]) -> String {
    let there: Vec<&str> = fields.iter().copied().filter(|field| !field.is_empty()).collect();
    one_line(&there.join("  "))
}

fn member_line(member: &GroupMembership) -> String {
    let user = member.user.as_ref();
    columns(&[
        user.map(|user| user.id.as_str()).unwrap_or_default(),
        user.and_then(|user| user.login.as_deref()).unwrap_or_default(),
        user.and_then(|user| user.name.as_deref()).unwrap_or_default(),
        member.role.map_or("", |role| role.as_str()),
    ])
}
