//! `lightsout login`, `logout` and `whoami`: profiles, made and tried.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use lightsout_api::User;
use lightsout_client::Error;
use rustix::termios;
use secrecy::SecretString;
use serde_json::json;

use crate::connect::{DEFAULT_PROFILE, Server, no_profile};
use crate::exit::{Hint, Usage};
use crate::output::say;
use crate::profile::{self, Credentials, Profile};

const LOGIN_HELP: &str = "\
A secret that is not given is asked for, or read from standard input.

Examples:
  lightsout login --profile mine --url https://lightsout.example --client-id app_1 --enterprise 12
  lightsout login --profile box --url https://api.box.com --jwt box-config.json
  pass show box/token | lightsout login --profile box --url https://api.box.com";

/// What `--profile` is at other commands, is not there yet.
const KEPT_AS: &str = "The name to keep it under: in place of a profile that has it [default: default]";

/// Makes a profile: where to go and as whom. It is tried before it is kept.
#[derive(Args)]
#[command(after_help = LOGIN_HELP, mut_arg("profile", |arg| arg.help(KEPT_AS)))]
pub(crate) struct Login {
    #[command(flatten)]
    server: Server,
}

/// Forgets a profile.
#[derive(Args)]
#[command(after_help = "Example:\n  lightsout logout --profile box")]
pub(crate) struct Logout {
    /// The profile's name.
    #[arg(long, env = "LIGHTSOUT_PROFILE", value_name = "NAME", default_value = DEFAULT_PROFILE)]
    profile: String,
}

/// Says who you are at the server.
#[derive(Args)]
#[command(after_help = "Example:\n  lightsout whoami --profile box")]
pub(crate) struct Whoami {
    #[command(flatten)]
    server: Server,
}

impl Login {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let server = self.server.without_empty();
        let name = server.profile.as_deref().unwrap_or(DEFAULT_PROFILE);
        profile::check_name(name)?;
        let credentials = match server.client_id_alone() {
            Some((_, None)) => {
                return Err(Usage("say whom the app acts for: --enterprise or --user".to_owned()).into());
            }
            Some((client_id, Some(subject))) => Credentials::ClientCredentials {
                client_id: client_id.to_owned(),
                client_secret: ask("Client secret: ").await?,
                subject,
            },
            None => match server.credentials()? {
                Some(credentials) => credentials,
                None => Credentials::DeveloperToken { token: ask("Developer token: ").await? },
            },
        };
        let url = server.url().to_owned();
        let profile = Profile { wire: server.wire_of(&url), url, credentials };
        let client = server.client_of(&profile)?;
        let me = client.me().await.map_err(not_kept)?;
        let path = profile::save(name, &profile)?;
        if server.json {
            say!("{}", json!({"profile": name, "path": path, "url": client.base_url(), "user": me}));
        } else {
            say!("{}\nprofile      {name}, in {}", show(&me, client.base_url()), path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Logout {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if !profile::remove(&self.profile)? {
            bail!(no_profile(&self.profile)?);
        }
        say!("forgot the profile {}; its token was not revoked, and its secret still works", self.profile);
        Ok(ExitCode::SUCCESS)
    }
}

impl Whoami {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let connection = self.server.connect()?;
        let me = connection.client.me().await?;
        let url = connection.client.base_url();
        if self.server.json {
            say!("{}", json!({"profile": connection.profile, "url": url, "user": me}));
        } else {
            let profile = connection.profile.map(|name| format!("\nprofile      {name}"));
            say!("{}{}", show(&me, url), profile.unwrap_or_default());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn not_kept(error: Error) -> anyhow::Error {
    let is_refused = matches!(error, Error::NotAuthenticated(_));
    let error = anyhow::Error::from(error).context("the profile was not kept");
    if is_refused {
        error.context(Hint("check the token or secret, and the address".to_owned()))
    } else {
        error
    }
}

fn show(me: &User, url: &str) -> String {
    let enterprise = me.other.get("enterprise");
    let enterprise_field = |name: &str| enterprise?.get(name)?.as_str().filter(|text| !text.is_empty());
    let mut text = format!(
        "user         {}, {} (id {})",
        me.login.as_deref().unwrap_or("without a login"),
        me.name.as_deref().unwrap_or("without a name"),
        me.id
    );
    if let Some(role) = me.role {
        text.push_str(&format!("\nrole         {}", role.as_str()));
    }
    if let Some(id) = enterprise_field("id") {
        text.push_str(&match enterprise_field("name") {
            Some(name) => format!("\nenterprise   {name} (id {id})"),
            None => format!("\nenterprise   id {id}"),
        });
    }
    text.push_str(&format!("\nserver       {url}"));
    text
}

/// Asks for a secret without showing it; without a terminal it is the first line of standard input.
async fn ask(question: &'static str) -> anyhow::Result<SecretString> {
    let secret = if std::io::stdin().is_terminal() {
        ask_terminal(question).await?
    } else {
        let mut line = String::new();
        tokio::task::block_in_place(|| std::io::stdin().lock().read_line(&mut line))
            .context("cannot read it from standard input")?;
        line
    };
    match secret.trim() {
        "" => {
            Err(Usage("no secret was given; type it when asked, or pipe it to standard input".to_owned())
                .into())
        }
        secret => Ok(secret.to_owned().into()),
    }
}

/// Asks for a secret on the terminal without showing it.
pub(crate) async fn ask_terminal(question: &'static str) -> anyhow::Result<String> {
    let _echo = Echo(termios::tcgetattr(std::io::stdin()).context("cannot ask for it")?);
    tokio::task::spawn_blocking(move || rpassword::prompt_password(question))
        .await?
        .context("cannot ask for it")
}

/// Leaves the terminal as it was, with echo, also when an interrupt ends the question.
struct Echo(termios::Termios);

impl Drop for Echo {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = termios::tcsetattr(std::io::stdin(), termios::OptionalActions::Now, &self.0);
    }
}
