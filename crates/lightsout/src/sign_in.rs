//! `lightsout login` with a browser: authorization code with PKCE, and a loopback redirect (RFC 8252).

mod loopback;

use std::io::{self, IsTerminal};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use lightsout_api::User;
use lightsout_client::{Authorization, Client, MemoryStore, OAuth, StoredTokens, TokenStore};
use lightsout_server::random::Random;
use secrecy::{ExposeSecret, SecretString};

use self::loopback::{Answer, Loopback, Page};
use crate::ask::{ask, ask_or_none};
use crate::connect::Server;
use crate::exit::{Hint, NotSignedIn, Usage};
use crate::interrupt;
use crate::profile::{Credentials, Profile, Wire};

/// The command line itself, as an app at every service.
const COMMAND_LINE: &str = "lightsout-cli";
/// How long somebody may take to sign in.
const SIGNED_IN_WITHIN: Duration = Duration::from_mins(5);

/// How to sign in with a browser.
#[derive(Args, Clone)]
pub(crate) struct SignIn {
    /// Signs in with a browser, also where standard input is no terminal.
    #[arg(long)]
    browser: bool,
    /// Signs in with a browser that you open yourself: the address is printed only.
    #[arg(long, conflicts_with = "browser")]
    no_browser: bool,
    /// The port that the browser comes back to, where the app has one registered [default: any].
    #[arg(long, value_name = "PORT")]
    redirect_port: Option<u16>,
    /// Asks for this scope alone; may be repeated [default: all that the app has].
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
}

/// A person who has signed in.
pub(crate) struct SignedIn {
    pub(crate) client: Client,
    pub(crate) me: User,
    pub(crate) profile: Profile,
}

impl SignIn {
    /// Whether a browser is meant: where it is asked for, and at a terminal where nothing else is given.
    pub(crate) fn is_meant(&self, server: &Server) -> Result<bool, Usage> {
        let is_asked =
            self.browser || self.no_browser || self.redirect_port.is_some() || !self.scopes.is_empty();
        let Some((client_id, _)) = server.app() else {
            let why = "with a browser a person signs in: leave out --token, --jwt, --enterprise and --user, and unset LIGHTSOUT_TOKEN, LIGHTSOUT_JWT and LIGHTSOUT_ENTERPRISE";
            return if is_asked { Err(Usage(why.to_owned())) } else { Ok(false) };
        };
        let has_app = client_id.is_some() || server.wire_of(server.url()) == Wire::Lightsout;
        if is_asked && !has_app {
            let why = "Box knows no app of that name: say which app of yours people sign in to, with --client-id and the --redirect-port that it has registered";
            return Err(Usage(why.to_owned()));
        }
        Ok(is_asked || has_app && io::stdin().is_terminal())
    }

    /// Signs a person in, and asks the server who it is.
    pub(crate) async fn run(&self, server: &Server) -> anyhow::Result<SignedIn> {
        let url = server.url().to_owned();
        let wire = server.wire_of(&url);
        let (client_id, client_secret) = app(server, wire).await?;
        let tokens = NewTokens::default();
        let mut app = OAuth::new(&client_id, tokens.clone());
        if let Some(secret) = &client_secret {
            app = app.client_secret(secret.clone());
        }
        let client = server.client_as(app, &url)?;
        let loopback = Loopback::listen(self.redirect_port).await?;
        let scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        let sign_in = client.authorization(&loopback.redirect_uri(), &scopes)?;
        interrupt::says("nobody was signed in, and nothing was kept");
        self.show(&sign_in.url);
        let me = finish(&client, wire, &sign_in, loopback).await?;
        interrupt::says("");
        let tokens = tokens.load()?.context("the server gave no tokens")?;
        let sign_in = Random::from_os().id("");
        let credentials = Credentials::Oauth { sign_in, client_id, client_secret, tokens };
        Ok(SignedIn { client, me, profile: Profile { url, wire, credentials } })
    }

    fn show(&self, url: &str) {
        let what = if self.no_browser { "open" } else { "your browser opens; if it does not, open" };
        eprintln!("to sign in, {what} this address on this machine:\n\n{url}\n");
        if !self.no_browser {
            open(url);
        }
    }
}

/// Which app a person signs in to, and its secret if it has one.
async fn app(server: &Server, wire: Wire) -> anyhow::Result<(String, Option<SecretString>)> {
    let (id, secret) = server.app().expect("it was looked at when a browser was meant");
    let Some(id) = id else { return Ok((COMMAND_LINE.to_owned(), None)) };
    let secret = match (secret, wire) {
        (Some(secret), _) => Some(secret.into()),
        (None, Wire::Box) => Some(ask("Client secret: ").await?),
        (None, Wire::Lightsout) => ask_or_none("Client secret (empty if the app is public): ").await?,
    };
    Ok((id.to_owned(), secret))
}

/// Waits for the browser, takes the code that it brings, and tells it how that went.
async fn finish(
    client: &Client,
    wire: Wire,
    sign_in: &Authorization,
    loopback: Loopback,
) -> anyhow::Result<User> {
    let state = state_of(&sign_in.url).context("the sign-in has no state")?;
    let mut waiting = loopback.serve(state);
    let Ok(arrived) = tokio::time::timeout(SIGNED_IN_WITHIN, waiting.arrived()).await else {
        return Err(NotSignedIn("nobody signed in within 5 minutes".to_owned()).into());
    };
    let arrived = arrived.context("the browser cannot be waited for")?;
    let me = exchange(client, wire, sign_in, arrived.answer).await;
    let page = if me.is_ok() { Page::SignedIn } else { Page::Failed };
    waiting.close(arrived.shown, page).await;
    me
}

async fn exchange(
    client: &Client,
    wire: Wire,
    sign_in: &Authorization,
    answer: Answer,
) -> anyhow::Result<User> {
    check_issuer(client.base_url(), wire, answer.iss.as_deref())?;
    if let Some(error) = answer.error {
        let why = answer.error_description.map(|why| format!(": {why}")).unwrap_or_default();
        return Err(NotSignedIn(format!("the server refused the sign-in: {error}{why}")).into());
    }
    let code = answer.code.context("the browser came back with neither a code nor an error")?;
    client.exchange_code(sign_in, code.expose_secret(), &answer.state).await.context("not signed in")?;
    client.me().await.context("the profile was not kept")
}

/// Refuses the answer of another server than the one that was asked (RFC 9207). Box does not name itself.
fn check_issuer(url: &str, wire: Wire, iss: Option<&str>) -> anyhow::Result<()> {
    if wire == Wire::Box {
        return Ok(());
    }
    match iss {
        Some(iss) if iss == url => Ok(()),
        Some(iss) => {
            let error = NotSignedIn(format!("the answer is from {iss}, and {url} was asked"));
            let hint =
                "if the service is known by several addresses, give --url the one that it names itself";
            Err(anyhow::Error::from(error).context(Hint(hint.to_owned())))
        }
        None => Err(NotSignedIn("the answer does not say which server it is from".to_owned()).into()),
    }
}

fn state_of(url: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "state").map(|(_, state)| state.into_owned())
}

/// Opens the person's browser. There may be none here; the address stands in the terminal anyway.
fn open(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = tokio::process::Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // In a group of its own: an interrupt here must not close the browser.
    drop(command.process_group(0).spawn());
}

/// The tokens of a sign-in whose profile is not kept yet.
#[derive(Clone, Debug, Default)]
struct NewTokens(Arc<MemoryStore>);

impl TokenStore for NewTokens {
    fn load(&self) -> io::Result<Option<StoredTokens>> {
        self.0.load()
    }

    fn save(&self, tokens: &StoredTokens) -> io::Result<()> {
        self.0.save(tokens)
    }

    fn clear(&self) -> io::Result<()> {
        self.0.clear()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_another_server_is_refused() {
        let url = "https://out.example";
        assert!(check_issuer(url, Wire::Lightsout, Some(url)).is_ok());
        for iss in [None, Some("https://out.example/"), Some("https://evil.example"), Some("")] {
            assert!(check_issuer(url, Wire::Lightsout, iss).is_err(), "{iss:?}");
        }
        assert!(check_issuer("https://api.box.com", Wire::Box, None).is_ok());
    }

    #[test]
    fn the_state_is_the_one_of_the_address() {
        let state = state_of("https://out.example/a?response_type=code&state=a%20b&code_challenge=x");
        assert_eq!(state.as_deref(), Some("a b"));
        assert_eq!(state_of("https://out.example/a?x=state"), None);
    }
}
