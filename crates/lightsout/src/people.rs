//! `lightsout admin` for people's sign-ins: passwords, second factors, outside identities.

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use lightsout_server::app::App;
use lightsout_server::config::Config;
use lightsout_server::ops::sign_in::Policy;
use lightsout_server::ops::{credentials, identities, second_factor};
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
    /// Says who needs a second factor in an enterprise: nobody, managers (admins and coadmins) or everyone.
    ///
    /// Who needs one and has none sets it up at the next sign-in. Whoever has one is always asked for it.
    #[command(after_help = "Example:\n  lightsout admin second-factor --enterprise 12 --require managers")]
    SecondFactor {
        /// The enterprise's id.
        #[arg(long, value_name = "ID")]
        enterprise: String,
        /// Who needs one.
        #[arg(long, value_name = "WHO")]
        require: Require,
    },
    /// Takes a person's second factor away: the telephone is lost.
    #[command(after_help = "Example:\n  lightsout admin reset-second-factor --login ada@acme.example")]
    ResetSecondFactor {
        /// The person's login.
        #[arg(long)]
        login: String,
    },
    /// Binds a person to an account at an outside OpenID provider, in place of an earlier one there.
    #[command(
        after_help = "Example:\n  lightsout admin bind-identity --login ada@acme.example --issuer https://id.acme.example --sub 248289761001"
    )]
    BindIdentity {
        /// The person's login.
        #[arg(long)]
        login: String,
        /// The provider's issuer, exactly as the configuration has it.
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// What the provider calls the person (`sub`).
        #[arg(long)]
        sub: String,
    },
}

/// Who needs a second factor.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Require {
    /// Nobody must have one.
    Nobody,
    /// Admins and coadmins.
    Managers,
    /// Everybody who signs in.
    Everyone,
}

impl From<Require> for Policy {
    fn from(require: Require) -> Self {
        match require {
            Require::Nobody => Self::Nobody,
            Require::Managers => Self::Managers,
            Require::Everyone => Self::Everyone,
        }
    }
}

impl People {
    pub(crate) async fn run(self, config: &Config, app: &App) -> anyhow::Result<(Value, String)> {
        match self {
            Self::SetPassword { login, link: true } => {
                let link = credentials::create_password_link(app, &login).await?;
                let url = format!("{}/set-password/{link}", config.public_url());
                let text = format!("{url}\n\nIt is not shown again, and works once, for 24 hours.");
                Ok((json!({"login": login, "link": url}), text))
            }
            Self::SetPassword { login, link: false } => {
                credentials::set_password(app, &login, &new_password().await?).await?;
                Ok((json!({"login": login}), format!("the password of {login} is set")))
            }
            Self::SecondFactor { enterprise, require } => {
                let policy = Policy::from(require);
                second_factor::set_policy(app, &enterprise, policy).await?;
                let facts = json!({"enterprise_id": enterprise, "second_factor": policy.as_str()});
                Ok((facts, format!("second factor needed by  {}", policy.as_str())))
            }
            Self::ResetSecondFactor { login } => {
                let reset = second_factor::reset(app, &login).await?;
                let text = if reset { "has no second factor any more" } else { "had no second factor" };
                Ok((json!({"login": login, "reset": reset}), format!("{login} {text}")))
            }
            Self::BindIdentity { login, issuer, sub } => {
                identities::bind(app, &login, &issuer, &sub).await?;
                let facts = json!({"login": login, "issuer": issuer, "sub": sub});
                Ok((facts, format!("{login} is {sub} at {issuer}")))
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
