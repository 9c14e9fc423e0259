//! The console: pages for whoever ends sessions. Each page calls the operations that the API calls, with
//! the same checks.

pub(super) mod apps;
mod event_words;
pub(super) mod live;
pub(super) mod log;
pub(super) mod outcomes;
mod start;
pub(super) mod systems;
pub(super) mod termination;
mod timeline;
mod verdict;

pub(super) use self::start::{console, root};
