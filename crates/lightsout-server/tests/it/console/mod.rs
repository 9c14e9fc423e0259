//! The service's pages, as a browser without scripts sees them.

mod apps;
mod frame;
mod log;
mod systems;
mod watch;
