//! `lightsout admin` for people's sign-ins: passwords, second factors, outside identities.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};
use clap::Subcommand;
use lightsout_server::app::App;
use lightsout_server::config::Config;
use lightsout_server::ops::credentials;
use serde_json::{Value, json};

use crate::ask::ask_terminal;

#[derive(Subcommand)]
pub(crate) enum People {
    /// Sets a person's password, and ends their sign-ins to the console.
    ///
    /// The password is asked for twice, or read from standard input. It has 12 to 256 characters.
    #[command(
        after_help = "Examples:\n  lightsout admin set-password --login ada@acme.example\n  lightsout admin set-password --login ada@acme.example --link"
    )]
    SetPassword {
        /// The person's login.
        #[arg(long)]
        login: String,
        /// Prints a link instead, by which the person sets it: once, within 24 hours.
        #[arg(long)]
        link: bool,
    },
}

impl People {
    pub(crate) async fn run(self, config: &Config, app: &App) -> anyhow::Result<(Value, String)> {
        match self {
            Self::SetPassword { login, link: true } => {
                let link = credentials::create_password_link(app, &login).await?;
                let url = format!("{}/set-password/{link}", config.public_url());
                let text = format!("{url}\n\nIt is shown this once, and works once, for 24 hours.");
                Ok((json!({"login": login, "link": url}), text))
            }
            Self::SetPassword { login, link: false } => {
                credentials::set_password(app, &login, &new_password().await?).await?;
                Ok((json!({"login": login}), format!("the password of {login} is set")))
            }
        }
    }
}

/// Asks twice without showing it; without a terminal it is the first line of standard input.
async fn new_password() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        tokio::task::block_in_place(|| std::io::stdin().lock().read_line(&mut line))
            .context("cannot read the password from standard input")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let password = ask_terminal("New password: ").await?;
    if ask_terminal("The same again: ").await? != password {
        bail!("the two passwords are not the same; nothing was changed");
    }
    Ok(password)
}
