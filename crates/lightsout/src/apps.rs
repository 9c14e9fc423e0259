//! The parts of `lightsout admin` that are about apps.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::Subcommand;
use lightsout_server::app::App;
use lightsout_server::ops::admin;
use serde_json::{Value, json};

/// The longest time that an answer of introspection may be kept: a day.
const CACHE_TIME_MAX_S: u32 = 86_400;

/// Seconds that an answer of introspection may be kept; none (`off`): until the session expires.
#[derive(Clone, Copy)]
pub(crate) struct CacheTime(Option<u32>);

impl FromStr for CacheTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let seconds = text.parse().ok().filter(|seconds| *seconds <= CACHE_TIME_MAX_S);
        seconds
            .map(|seconds| Self(Some(seconds)))
            .ok_or_else(|| format!("a number of seconds from 0 to {CACHE_TIME_MAX_S}, or off"))
    }
}

impl fmt::Display for CacheTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(seconds) => seconds.fmt(f),
            None => f.write_str("off"),
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum Apps {
    /// Makes an app: a client id and a secret, with a service account.
    #[command(
        after_help = "Example:\n  lightsout admin app --enterprise 12 --name shop --right sessions.write,introspect"
    )]
    App {
        /// The enterprise's id.
        #[arg(long, value_name = "ID")]
        enterprise: String,
        /// The app's name.
        #[arg(long)]
        name: String,
        /// Scopes: manage_managed_users, manage_groups, manage_enterprise_properties.
        #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
        scopes: Vec<String>,
        /// Rights on the registry: sessions.write, sessions.read, introspect, feed.
        #[arg(long = "right", value_name = "RIGHT", value_delimiter = ',')]
        rights: Vec<String>,
        /// Lets it end the sessions of admins and coadmins, too.
        #[arg(long)]
        may_end_admins: bool,
        /// Lets it ask for users' tokens; those of admins and coadmins with --may-end-admins only.
        #[arg(long)]
        user_tokens: bool,
        /// Takes assertions that are addressed to Box, as Box's own SDKs write them.
        #[arg(long)]
        box_audience: bool,
        /// Redirect URI after a sign-in; repeat the option for more than one.
        #[arg(long = "redirect-uri", value_name = "URI")]
        redirect_uris: Vec<String>,
        /// How many seconds it may cache an active answer of introspection; `off`: until the session expires.
        #[arg(long, value_name = "SECONDS", default_value_t = CacheTime(Some(admin::INTROSPECTION_CACHE_S)))]
        introspection_cache_s: CacheTime,
        /// Makes it a public client, which has no secret: a program on people's devices.
        #[arg(long, requires = "redirect_uris", conflicts_with_all = ["rights", "may_end_admins", "user_tokens", "box_audience"])]
        public: bool,
    },
    /// Gives an app another secret; the old one is dead at once.
    #[command(after_help = "Example:\n  lightsout admin rotate-secret --client-id app_1")]
    RotateSecret {
        /// The app's client id.
        #[arg(long, value_name = "ID")]
        client_id: String,
    },
    /// Sets how long an app may cache an active answer of introspection.
    ///
    /// A resource server accepts a session until the `exp` of its cached answer, even if the session has ended.
    #[command(after_help = "Example:\n  lightsout admin introspection-cache --client-id app_1 --seconds 2")]
    IntrospectionCache {
        /// The app's client id.
        #[arg(long, value_name = "ID")]
        client_id: String,
        /// Seconds, or `off`: until the session expires.
        #[arg(long, value_name = "SECONDS")]
        seconds: CacheTime,
    },
    /// Adds a public key to an app, for signed assertions (JWT).
    #[command(after_help = "Example:\n  lightsout admin key --client-id app_1 --public-key app.pem")]
    Key {
        /// The app's client id.
        #[arg(long, value_name = "ID")]
        client_id: String,
        /// An RSA public key in PEM.
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
    },
}

impl Apps {
    /// Does it, and says it as facts and in words.
    pub(crate) async fn run(self, app: &App) -> anyhow::Result<(Value, String)> {
        match self {
            Self::App {
                enterprise,
                name,
                scopes,
                rights,
                may_end_admins,
                user_tokens,
                box_audience,
                redirect_uris,
                introspection_cache_s,
                public,
            } => {
                let new = admin::NewApp {
                    enterprise_id: enterprise,
                    name,
                    scopes,
                    rights,
                    may_end_admins,
                    user_tokens,
                    box_audience,
                    redirect_uris,
                    introspection_cache_s: introspection_cache_s.0,
                };
                if public { create_public(app, &new).await } else { create(app, &new).await }
            }
            Self::RotateSecret { client_id } => {
                let secret = admin::rotate_secret(app, &client_id).await?;
                let text = format!(
                    "client_secret  {secret}\n\nIt is not shown again. The old secret no longer works; tokens remain valid."
                );
                Ok((json!({"client_id": client_id, "client_secret": secret}), text))
            }
            Self::IntrospectionCache { client_id, seconds } => {
                admin::set_introspection_cache(app, &client_id, seconds.0).await?;
                let text = format!("introspection_cache_s  {seconds}");
                Ok((json!({"client_id": client_id, "introspection_cache_s": seconds.0}), text))
            }
            Self::Key { client_id, public_key } => {
                let pem = std::fs::read_to_string(&public_key)
                    .with_context(|| format!("cannot read {}", public_key.display()))?;
                let key = admin::add_key(app, &client_id, &pem).await?;
                Ok((json!({"key_id": key}), format!("key_id  {key}")))
            }
        }
    }
}

async fn create(app: &App, new: &admin::NewApp) -> anyhow::Result<(Value, String)> {
    let (id, secret) = admin::create_app(app, new).await?;
    let mut text = format!("client_id      {id}\nclient_secret  {secret}\n\nThe secret is not shown again.");
    if new.box_audience {
        text.push_str(
            "\nThis app takes assertions addressed to Box. Never register a key here that Box knows, too: \
             whoever sees one assertion could use it at the other.",
        );
    }
    Ok((json!({"client_id": id, "client_secret": secret}), text))
}

async fn create_public(app: &App, new: &admin::NewApp) -> anyhow::Result<(Value, String)> {
    let id = admin::create_public_app(app, new).await?;
    Ok((json!({"client_id": id}), format!("client_id  {id}\n\nIt is a public client: it has no secret.")))
}
