//! Operations: one async function a use case. Access is checked in the first lines, then one
//! transaction reads, decides and writes. HTTP, the command line and tests meet the same checks.

pub mod account;
pub mod admin;
pub mod app_list;
pub mod apps;
pub mod authorize;
mod body;
pub mod chain;
pub mod clients;
pub mod credentials;
pub mod elsewhere;
pub mod events;
pub mod grants;
pub mod groups;
pub mod identities;
pub mod import;
pub mod log;
pub mod memberships;
mod passwords;
pub mod people;
pub mod radius;
pub mod second_factor;
pub mod sessions;
pub mod sign_in;
pub mod sign_in_links;
pub mod systems;
pub mod terminate;
pub mod terminations;
pub mod tokens;
pub mod users;
pub mod watch;

use lightsout_api::{Reference, Skip};

use crate::domain::access::{Denied, Person};
use crate::domain::fields::Wrong;
use crate::store::{DbError, UserRow};

/// Why an operation was refused or failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Something that the request names does not exist in the caller's enterprise.
    #[error("not found: {}", named(.0))]
    NotFound(Vec<Skip>),
    /// The request is wrong.
    #[error("{message}")]
    Invalid {
        /// A word for programs.
        code: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// One field or parameter of the request is wrong.
    #[error("{name} {message}")]
    Parameter {
        /// The field or parameter.
        name: &'static str,
        /// What is wrong with it, so that it reads well after the name.
        message: String,
    },
    /// The request collides with what is stored.
    #[error("{message}")]
    Conflict {
        /// A word for programs.
        code: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// The token endpoint refuses, in OAuth 2's words.
    #[error("{description}")]
    OAuth {
        /// The error code of RFC 6749.
        error: &'static str,
        /// What is wrong.
        description: &'static str,
    },
    /// The database failed.
    #[error("the database failed")]
    Db(#[source] DbError),
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<Wrong> for Error {
    fn from(wrong: Wrong) -> Self {
        Self::parameter(wrong.field, wrong.message)
    }
}

impl Error {
    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { code: "bad_request", message: message.into() }
    }

    /// One field or parameter is wrong.
    pub fn parameter(name: &'static str, message: impl Into<String>) -> Self {
        Self::Parameter { name, message: message.into() }
    }

    /// One thing does not exist.
    pub fn not_found(kind: &str, value: &str) -> Self {
        Self::NotFound(vec![Skip {
            kind: kind.to_owned(),
            value: value.to_owned(),
            reason: lightsout_api::SkipReason::Unknown,
        }])
    }

    fn is_conflict(&self) -> bool {
        matches!(self, Self::Db(DbError::Conflict))
    }
}

/// The first entries that were not found, in words.
fn named(missing: &[Skip]) -> String {
    let first: Vec<String> = missing.iter().take(10).map(|m| format!("{} {}", m.kind, m.value)).collect();
    let more = if missing.len() > first.len() { ", and more" } else { "" };
    format!("{}{more}", first.join(", "))
}

/// Runs a transaction again when another one was in the way, a few times.
///
/// A macro and not a function, because the transaction borrows what its caller owns.
macro_rules! retried {
    ($transaction:expr) => {{
        let mut tries = 0;
        loop {
            match $transaction.await {
                Err(error) if error.is_conflict() && tries < 5 => tries += 1,
                result => break result,
            }
        }
    }};
}
pub(crate) use retried;

/// The short form of a stored user.
pub(crate) fn user_reference(user: &UserRow) -> Reference {
    Reference {
        kind: "user".to_owned(),
        id: user.user_id.clone(),
        name: Some(user.name.clone()),
        login: user.login.clone(),
    }
}

/// The short form of a person.
pub(crate) fn person_reference(person: &Person) -> Reference {
    Reference {
        kind: "user".to_owned(),
        id: person.user_id.0.clone(),
        name: Some(person.name.clone()),
        login: person.login.clone(),
    }
}
