//! Who asks for tokens: apps, and the command line.

use super::Error;
use super::tokens::CREDENTIALS_INVALID;
use crate::app::App;
use crate::domain::access::{Caller, SCOPES};
use crate::random::sha256;
use crate::store::{AppRow, DbError};

/// The client id of `lightsout login`: a public client that every service knows.
pub const COMMAND_LINE: &str = "lightsout-cli";
/// Where it waits for the browser, at any port.
const COMMAND_LINE_REDIRECT_URIS: [&str; 2] = ["http://127.0.0.1/callback", "http://[::1]/callback"];
/// How exactly it is noted when an app was given a token last.
const USE_NOTED_MS: i64 = 60_000;

/// A client of OAuth 2.
#[derive(Clone, Debug)]
pub enum Client {
    /// An app that the operator made.
    App(Box<AppRow>),
    /// The command line: no app's row, every scope, people of every enterprise.
    CommandLine,
}

impl Client {
    /// The client id.
    pub fn client_id(&self) -> &str {
        match self {
            Self::App(row) => &row.client_id,
            Self::CommandLine => COMMAND_LINE,
        }
    }

    /// The name, for people to read.
    pub fn name(&self) -> &str {
        match self {
            Self::App(row) => &row.name,
            Self::CommandLine => "lightsout on the command line",
        }
    }

    /// The scopes that it may ask for.
    pub fn scopes(&self) -> Vec<&str> {
        match self {
            Self::App(row) => row.scopes.split_whitespace().collect(),
            Self::CommandLine => SCOPES.to_vec(),
        }
    }

    /// Where a browser may be sent back to.
    pub fn redirect_uris(&self) -> Vec<String> {
        match self {
            Self::App(row) => row.redirect_uris(),
            Self::CommandLine => COMMAND_LINE_REDIRECT_URIS.map(ToOwned::to_owned).to_vec(),
        }
    }

    /// Whether it keeps no secret.
    pub fn is_public(&self) -> bool {
        match self {
            Self::App(row) => row.public_at.is_some(),
            Self::CommandLine => true,
        }
    }

    /// Whether a person's enterprise is the client's.
    pub fn is_for(&self, caller: &Caller) -> bool {
        match self {
            Self::App(row) => row.enterprise_id == caller.enterprise_id.0,
            Self::CommandLine => true,
        }
    }
}

/// Finds a client.
pub async fn find(app: &App, client_id: &str) -> Result<Option<Client>, DbError> {
    if client_id == COMMAND_LINE {
        return Ok(app.settings.command_line.then_some(Client::CommandLine));
    }
    Ok(app.db.find_app(client_id).await?.map(|row| Client::App(Box::new(row))))
}

/// Checks who asks: a confidential client by its secret. A public one has none, and is believed its id; what
/// it brings (a code with its verifier, a refresh token) is what is checked.
pub async fn authenticate(app: &App, client_id: &str, secret: Option<&str>) -> Result<Client, Error> {
    let client = find(app, client_id).await?.ok_or(CREDENTIALS_INVALID)?;
    let holds = match (&client, secret) {
        (client, None) => client.is_public(),
        // Secrets are random and stored as SHA-256: comparing digests tells a guesser nothing.
        (Client::App(row), Some(secret)) => !client.is_public() && row.secret_hash == sha256(secret),
        (Client::CommandLine, Some(_)) => false,
    };
    if holds { Ok(client) } else { Err(CREDENTIALS_INVALID) }
}

/// Notes that an app was given a token, about once a minute. Nobody waits for it, and nothing depends on it.
pub(super) fn note_use(app: &App, row: &AppRow) {
    let now = app.clock.now_ms();
    let unless_after = now - USE_NOTED_MS;
    if row.last_used_at.is_some_and(|at| at > unless_after && at <= now) {
        return;
    }
    let (db, client_id) = (app.db.clone(), row.client_id.clone());
    tokio::spawn(async move {
        let noted = async {
            let mut tx = db.begin().await?;
            tx.note_app_use(&client_id, now, unless_after).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "an app's use was not noted");
        }
    });
}
