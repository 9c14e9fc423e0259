//! The console: pages for whoever ends sessions. Each page calls the operations that the API calls, with
//! the same checks.

mod account;
pub(super) mod apps;
mod choose;
mod end;
mod event_words;
mod find;
mod group;
pub(super) mod live;
pub(super) mod log;
pub(super) mod outcomes;
mod person;
mod radius;
mod start;
pub(super) mod systems;
mod systems_table;
pub(super) mod termination;
mod timeline;
mod verdict;

pub(super) use self::account::{
    account, change_password, confirm, end_session as end_own_session, enrol, remove,
};
pub(super) use self::choose::choose;
pub(super) use self::end::{end, end_systems, terminate};
pub(super) use self::find::find;
pub(super) use self::group::{group, group_systems};
pub(super) use self::person::{end_session, person, person_systems};
pub(super) use self::start::root;

use super::failure::Failure;
use super::page::SignedIn;
use crate::domain::access::Standing;
use crate::ops;

/// A refusal on a page. A plain user who administers no group has only the own account here.
fn refused(signed_in: &SignedIn, error: ops::Error) -> Failure {
    match error {
        ops::Error::Denied(_) if signed_in.caller.standing == Standing::User => {
            Failure::elsewhere("/console/account")
        }
        error => error.into(),
    }
}

/// Runs what opens a transaction in a task of its own: a page that nobody waits for any more is dropped.
async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, ops::Error>> + Send + 'static,
) -> Result<Result<T, ops::Error>, Failure> {
    tokio::spawn(work).await.map_err(|_| Failure::internal())
}
