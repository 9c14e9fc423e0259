//! The service's pages, as a browser without scripts sees them.

mod frame;
mod log;
mod watch;
