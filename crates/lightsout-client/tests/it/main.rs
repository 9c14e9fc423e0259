//! The client against the real service, and against a server that misbehaves as scripted.
//!
//! `cargo test -p lightsout-client --all-features` runs all of it.

mod auth;
#[cfg(feature = "tower")]
mod barrier_layer;
mod barriers;
#[cfg(feature = "blocking")]
mod blocking;
mod following;
mod kit;
mod misbehaviour;
mod oauth;
#[cfg(feature = "tracing")]
mod secrets;
mod service;
mod transport;
mod waiting;
