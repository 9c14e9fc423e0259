//! The real command as a process: what people and programs read, and the exit codes.
//!
//! A snapshot shows commands as they are typed, and all that they answer; what differs from run to
//! run stands there in capitals. Together the snapshots are a manual of what users see.

mod admin;
mod events;
mod exit_codes;
mod files;
mod fixtures;
mod follow;
mod generate;
mod groups;
mod help;
mod on_box;
mod profiles;
mod shell;
mod sign_in;
mod systems;
mod terminate;
mod terminations;
mod users;
