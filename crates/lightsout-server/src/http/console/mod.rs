//! The console: pages for whoever ends sessions. Each page calls the operations that the API calls, with
//! the same checks.

mod account;
mod start;

pub(super) use self::account::{account, change_password, confirm, end_session, enrol, remove};
pub(super) use self::start::{console, root};
