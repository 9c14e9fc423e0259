//! The lightsout service as a library: operations, workers, connectors, and the HTTP faces.
//!
//! `docs/ARCHITECTURE.md` says which module may import which, and walks through one termination.

pub mod app;
pub mod clock;
pub mod config;
pub mod connector;
pub mod domain;
pub mod http;
pub mod index;
pub mod ops;
pub mod provider;
pub mod random;
pub mod secret;
pub mod server;
pub mod store;
mod unknown_key;
pub mod worker;
