//! The console: pages for whoever ends sessions. Each page calls the operations that the API calls, with
//! the same checks.

pub(super) mod account;
pub(super) mod apps;
pub(super) mod choose;
pub(super) mod end;
mod event_words;
pub(super) mod find;
pub(super) mod group;
pub(super) mod live;
pub(super) mod log;
pub(super) mod outcomes;
pub(super) mod person;
mod radius;
mod sessions_elsewhere;
pub(super) mod start;
pub(super) mod systems;
mod systems_table;
pub(super) mod termination;
mod timeline;
mod told;
mod verdict;

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
    tokio::spawn(work).await.map_err(|_| Failure::internal("the page's task ended without an answer"))
}
