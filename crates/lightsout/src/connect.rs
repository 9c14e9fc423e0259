//! Where to go and as whom: flags, the environment, or a profile.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::ensure;
use clap::Args;
use lightsout_client::{Auth, BOX, BOX_AUDIENCE, Client, Jwt, OAuth, Subject};
use serde::Serialize;
use serde_json::json;

use crate::exit::Usage;
use crate::output::say;
use crate::profile::{self, Credentials, Profile, ProfileTokens, Wire};

const URL: &str = "http://127.0.0.1:8787";
/// The profile that is used where none is named.
pub(crate) const DEFAULT_PROFILE: &str = "default";

/// Whom to speak to, and as whom.
#[derive(Args, Clone)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Server {
    /// Goes where this profile says, as whom it says; `lightsout login` makes one.
    #[arg(long, env = "LIGHTSOUT_PROFILE", value_name = "NAME")]
    pub(crate) profile: Option<String>,
    // Not a doc comment: help shows the addresses as they are typed.
    #[arg(
        long,
        env = "LIGHTSOUT_URL",
        help = "The service's address, or https://api.box.com for Box itself [default: http://127.0.0.1:8787]"
    )]
    url: Option<String>,
    /// What the address speaks: lightsout or box [default: box at Box, else lightsout].
    // Named in the line above: a list of values makes every option of the help four lines long.
    #[arg(long, value_name = "WIRE", hide_possible_values = true)]
    wire: Option<Wire>,
    /// A developer token.
    #[arg(long, env = "LIGHTSOUT_TOKEN", hide_env_values = true, allow_hyphen_values = true)]
    token: Option<String>,
    /// An app's client id, with its secret and --enterprise or --user.
    #[arg(long, env = "LIGHTSOUT_CLIENT_ID", value_name = "ID")]
    client_id: Option<String>,
    /// The app's secret.
    #[arg(
        long,
        env = "LIGHTSOUT_CLIENT_SECRET",
        hide_env_values = true,
        value_name = "SECRET",
        allow_hyphen_values = true
    )]
    client_secret: Option<String>,
    /// Acts as the app's service account in the enterprise of this id.
    #[arg(long, env = "LIGHTSOUT_ENTERPRISE", value_name = "ID")]
    enterprise: Option<String>,
    /// Acts as the user of this id.
    #[arg(long, value_name = "ID", conflicts_with = "enterprise")]
    user: Option<String>,
    /// An app's key: the JSON configuration file that Box's console writes.
    #[arg(long, env = "LIGHTSOUT_JWT", value_name = "FILE")]
    jwt: Option<PathBuf>,
    /// Asks on behalf of the user of this id (As-User).
    #[arg(long, value_name = "ID")]
    as_user: Option<String>,
    /// Trusts the certificates in this file as well (PEM).
    #[arg(long, env = "LIGHTSOUT_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A client, and what it speaks to.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) wire: Wire,
    /// The profile that was used, if one was.
    pub(crate) profile: Option<String>,
}

impl Server {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(self.connect()?.client)
    }

    /// A client for what only a service has.
    pub(crate) fn client_of_service(&self) -> anyhow::Result<Client> {
        let connection = self.connect()?;
        let why =
            "Box keeps no terminations; it says what it does in its admin events: lightsout events follow";
        ensure!(connection.wire == Wire::Lightsout, Usage(why.to_owned()));
        Ok(connection.client)
    }

    /// Prints one value: a JSON line, or what people read.
    pub(crate) fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        if self.json {
            say!("{}", json!(value));
        } else {
            say!("{}", text(value));
        }
    }

    pub(crate) fn connect(&self) -> anyhow::Result<Connection> {
        self.without_empty().connect_as_said()
    }

    /// The same without what is empty: `LIGHTSOUT_TOKEN=` says nothing.
    pub(crate) fn without_empty(&self) -> Self {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Self {
            profile: said(&self.profile),
            url: said(&self.url),
            token: said(&self.token),
            client_id: said(&self.client_id),
            client_secret: said(&self.client_secret),
            enterprise: said(&self.enterprise),
            jwt: self.jwt.clone().filter(|file| !file.as_os_str().is_empty()),
            ca: self.ca.clone().filter(|file| !file.as_os_str().is_empty()),
            ..self.clone()
        }
    }

    fn connect_as_said(&self) -> anyhow::Result<Connection> {
        if let Some(given) = self.given()? {
            // Flags name no sign-in of a person, so no name of a profile is used.
            let client = self.client_of("", &given)?;
            return Ok(Connection { client, wire: given.wire, profile: None });
        }
        let name = self.profile.as_deref().unwrap_or(DEFAULT_PROFILE);
        let profile = self.named(name)?;
        let _ = PROFILE.set(name.to_owned());
        if matches!(profile.credentials, Credentials::Oauth { .. }) {
            let _ = OF_A_PERSON.set(());
        }
        Ok(Connection {
            client: self.client_of(name, &profile)?,
            wire: profile.wire,
            profile: Some(name.to_owned()),
        })
    }

    /// A client for a profile of this name, with the flags that no profile has.
    pub(crate) fn client_of(&self, name: &str, profile: &Profile) -> anyhow::Result<Client> {
        let client = client_of(name, profile, self.ca.as_deref())?;
        Ok(match &self.as_user {
            Some(user_id) => client.as_user(user_id),
            None => client,
        })
    }

    /// A client for an app at which a person is about to sign in.
    pub(crate) fn client_as(&self, app: OAuth, url: &str) -> anyhow::Result<Client> {
        build(app.into(), url, self.ca.as_deref())
    }

    /// The app at which a person would sign in, and its secret; none: other credentials are given.
    pub(crate) fn app(&self) -> Option<(Option<&str>, Option<&str>)> {
        let others = self.token.is_some() || self.jwt.is_some() || self.subject().is_some();
        (!others).then_some((self.client_id.as_deref(), self.client_secret.as_deref()))
    }

    /// What flags and the environment say, if they say anything.
    ///
    /// A profile beside them is refused: one of the two would send a secret where it does not belong.
    fn given(&self) -> Result<Option<Profile>, Usage> {
        let (url, wire) = (self.url(), self.wire_of(self.url()));
        let Some(credentials) = self.credentials()? else {
            let is_more = self.url.is_some() || self.wire.is_some() || self.subject().is_some();
            return match (&self.profile, is_more) {
                (None, true) => Err(Usage(format!(
                    "beside --url, --wire, --enterprise and --user (or LIGHTSOUT_URL and LIGHTSOUT_ENTERPRISE) no profile is used: {WHO}"
                ))),
                (Some(_), true) => Err(Usage(BOTH.to_owned())),
                (_, false) => Ok(None),
            };
        };
        if self.profile.is_some() {
            return Err(Usage(BOTH.to_owned()));
        }
        Ok(Some(Profile { url: url.to_owned(), wire, credentials }))
    }

    pub(crate) fn url(&self) -> &str {
        self.url.as_deref().unwrap_or(URL)
    }

    pub(crate) fn wire_of(&self, url: &str) -> Wire {
        let is_box = || url.trim_end_matches('/').trim_end_matches("/2.0") == BOX;
        self.wire.unwrap_or(if is_box() { Wire::Box } else { Wire::Lightsout })
    }

    /// The credentials that were given in full, if any were given.
    pub(crate) fn credentials(&self) -> Result<Option<Credentials>, Usage> {
        let subject = self.subject();
        let kinds = [self.token.is_some(), self.jwt.is_some(), self.client_id.is_some()];
        // None may win in silence: a token of one server would be sent to another.
        if kinds.iter().filter(|given| **given).count() > 1 {
            return Err(Usage(ONE.to_owned()));
        }
        if self.token.is_some() && subject.is_some() {
            return Err(Usage("a token acts for whom it was made: leave out --enterprise and --user, and LIGHTSOUT_ENTERPRISE".to_owned()));
        }
        if let Some(token) = &self.token {
            return Ok(Some(Credentials::DeveloperToken { token: token.clone().into() }));
        }
        if let Some(file) = &self.jwt {
            let config_file = std::path::absolute(file)
                .map_err(|error| Usage(format!("cannot read {}: {error}", file.display())))?;
            return Ok(Some(Credentials::Jwt { config_file, subject }));
        }
        match (&self.client_id, &self.client_secret, subject) {
            (None, None, _) => Ok(None),
            (Some(client_id), Some(client_secret), Some(subject)) => {
                Ok(Some(Credentials::ClientCredentials {
                    client_id: client_id.clone(),
                    client_secret: client_secret.clone().into(),
                    subject,
                }))
            }
            (Some(_), None, _) => Err(Usage(
                "the app's secret is missing: --client-secret or LIGHTSOUT_CLIENT_SECRET".to_owned(),
            )),
            (None, Some(_), _) => {
                Err(Usage("a secret without its app: --client-id or LIGHTSOUT_CLIENT_ID".to_owned()))
            }
            (Some(_), Some(_), None) => {
                Err(Usage("say whom the app acts for: --enterprise or --user".to_owned()))
            }
        }
    }

    /// The client id, where its secret is still to be asked for.
    pub(crate) fn client_id_alone(&self) -> Option<(&str, Option<profile::Subject>)> {
        let others = self.client_secret.is_some() || self.token.is_some() || self.jwt.is_some();
        (!others).then_some((self.client_id.as_deref()?, self.subject()))
    }

    fn subject(&self) -> Option<profile::Subject> {
        let user = self.user.clone().map(profile::Subject::User);
        user.or_else(|| self.enterprise.clone().map(profile::Subject::Enterprise))
    }

    fn named(&self, name: &str) -> anyhow::Result<Profile> {
        if let Some(profile) = profile::load(name)? {
            return Ok(profile);
        }
        if self.profile.is_none() {
            return Err(Usage(WHO.to_owned()).into());
        }
        Err(no_profile(name)?.into())
    }
}

/// A client for a profile of this name.
pub(crate) fn client_of(name: &str, profile: &Profile, ca: Option<&Path>) -> anyhow::Result<Client> {
    build(auth(name, profile)?, &profile.url, ca)
}

fn build(auth: Auth, url: &str, ca: Option<&Path>) -> anyhow::Result<Client> {
    let mut builder =
        Client::builder(auth).base_url(url).user_agent(concat!("lightsout/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = ca.filter(|file| !file.as_os_str().is_empty()) {
        let pem =
            std::fs::read(file).map_err(|error| Usage(format!("cannot read {}: {error}", file.display())))?;
        builder = builder.root_certificates(&pem);
    }
    Ok(builder.build()?)
}

/// Set where this run's profile is of a person who signed in.
static OF_A_PERSON: OnceLock<()> = OnceLock::new();

/// Whether this run goes on with a person's sign-in.
pub(crate) fn is_of_a_person() -> bool {
    OF_A_PERSON.get().is_some()
}

/// The profile of this run, for commands that are shown.
static PROFILE: OnceLock<String> = OnceLock::new();

/// A command to type next, which goes where this one went.
pub(crate) fn command(words: &str) -> String {
    match PROFILE.get().filter(|name| *name != DEFAULT_PROFILE) {
        Some(name) => format!("lightsout {words} --profile {name}"),
        None => format!("lightsout {words}"),
    }
}

/// Says which profiles there are instead.
pub(crate) fn no_profile(name: &str) -> anyhow::Result<Usage> {
    let others = profile::names()?;
    Ok(Usage(if others.is_empty() {
        format!("there is no profile {name}, and no other; `lightsout login --profile {name}` makes it")
    } else {
        format!("there is no profile {name}; those that are there: {}", others.join(", "))
    }))
}

const WHO: &str = "say who you are: `lightsout login`, or --token, or --client-id with --client-secret and --enterprise or --user, or --jwt (LIGHTSOUT_TOKEN and the like do as well)";
const ONE: &str = "more than one of token, client id and JWT configuration is given: leave one, and unset LIGHTSOUT_TOKEN, LIGHTSOUT_CLIENT_ID or LIGHTSOUT_JWT where it says another";
const BOTH: &str = "a profile says where to go and as whom: leave it out, or leave out --url, --wire, --token, --client-id, --jwt, --enterprise, --user and the variables LIGHTSOUT_URL, LIGHTSOUT_TOKEN and the like";

fn auth(name: &str, profile: &Profile) -> anyhow::Result<Auth> {
    Ok(match &profile.credentials {
        Credentials::DeveloperToken { token } => Auth::developer_token(token.clone()),
        Credentials::ClientCredentials { client_id, client_secret, subject } => {
            Auth::client_credentials(client_id, client_secret.clone(), subject.clone().into())
        }
        Credentials::Jwt { config_file, subject } => {
            let mut app = Jwt::from_file(config_file)?;
            if profile.wire == Wire::Box {
                // Box's own, also where the address is a gateway's.
                app = app.audience(BOX_AUDIENCE);
            }
            if let Some(subject) = subject {
                app = app.with_subject(subject.clone().into());
            }
            app.into()
        }
        Credentials::Oauth { sign_in, client_id, client_secret, .. } => {
            let app = OAuth::new(client_id, ProfileTokens::of(name, sign_in)?);
            match client_secret {
                Some(secret) => app.client_secret(secret.clone()),
                None => app,
            }
            .into()
        }
    })
}

impl From<profile::Subject> for Subject {
    fn from(subject: profile::Subject) -> Self {
        match subject {
            profile::Subject::Enterprise(id) => Self::Enterprise(id),
            profile::Subject::User(id) => Self::User(id),
        }
    }
}
