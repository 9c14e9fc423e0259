//! The service's pages, as a browser without scripts sees them.

mod apps;
mod end;
mod find;
mod frame;
mod log;
mod oauth;
mod outside;
mod routes;
mod second_factor;
mod sign_in;
mod sign_in_link;
mod systems;
mod watch;
