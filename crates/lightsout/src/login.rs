//! `lightsout login`, `logout` and `whoami`: profiles, made and tried.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use lightsout_api::User;
use lightsout_client::Error;
use serde_json::json;

use crate::ask::ask;
use crate::connect::{self, DEFAULT_PROFILE, Server, no_profile};
use crate::exit::{Hint, Usage};
use crate::output::say;
use crate::profile::{self, Credentials, Profile};
use crate::sign_in::{SignIn, SignedIn};

const LOGIN_HELP: &str = "\
At a terminal, a person signs in with a browser unless something else is given: at a service as the app
lightsout-cli, or with --client-id at an app that has registered http://127.0.0.1:PORT/callback. A secret
that is not given is asked for, or read from standard input.

Examples:
  lightsout login --url https://lightsout.example
  lightsout login --profile box --url https://api.box.com --client-id abc --redirect-port 53682
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
    sign_in: SignIn,
    #[command(flatten)]
    server: Server,
}

/// Forgets a profile, and ends its sign-in at the server if a person signed in.
#[derive(Args)]
#[command(after_help = "Example:\n  lightsout logout --profile box")]
pub(crate) struct Logout {
    /// The profile's name.
    #[arg(long, env = "LIGHTSOUT_PROFILE", value_name = "NAME", default_value = DEFAULT_PROFILE)]
    profile: String,
    /// Trusts the certificates in this file as well (PEM).
    #[arg(long, env = "LIGHTSOUT_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
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
        let signed_in = if self.sign_in.is_meant(&server)? {
            self.sign_in.run(&server).await?
        } else {
            tried(&server, name).await?
        };
        let SignedIn { client, me, profile } = signed_in;
        let path = profile::save(name, &profile)?;
        if server.json {
            say!("{}", json!({"profile": name, "path": path, "url": client.base_url(), "user": me}));
        } else {
            say!("{}\nprofile      {name}, in {}", show(&me, client.base_url()), path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Tries the credentials that are given or asked for.
async fn tried(server: &Server, name: &str) -> anyhow::Result<SignedIn> {
    let credentials = match server.client_id_alone() {
        Some((_, None)) => {
            return Err(Usage(
                "say whom the app acts for: --enterprise or --user, or --browser where a person signs in"
                    .to_owned(),
            )
            .into());
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
    let client = server.client_of(name, &profile)?;
    let me = client.me().await.map_err(not_kept)?;
    Ok(SignedIn { client, me, profile })
}

impl Logout {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let name = &self.profile;
        // One that cannot be read is forgotten all the same.
        let profile = profile::load(name).ok().flatten();
        let profile = profile.filter(|profile| matches!(profile.credentials, Credentials::Oauth { .. }));
        let revoked = match &profile {
            Some(profile) => Some(self.revoke(profile).await),
            None => None,
        };
        if !profile::remove(name)? && profile.is_none() {
            bail!(no_profile(name)?);
        }
        match revoked {
            Some(Ok(())) => say!("signed out, and forgot the profile {name}"),
            Some(Err(error)) => {
                return Err(error.context(format!(
                    "forgot the profile {name}, but its sign-in could not be ended at the server"
                )));
            }
            None => say!("forgot the profile {name}; its token was not revoked, and its secret still works"),
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn revoke(&self, profile: &Profile) -> anyhow::Result<()> {
        let client = connect::client_of(&self.profile, profile, self.ca.as_deref())?;
        Ok(client.revoke().await?)
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
