//! The service's pages, as a browser without scripts sees them.

mod end;
mod find;
mod frame;
mod log;
mod oauth;
mod sign_in;
mod watch;
