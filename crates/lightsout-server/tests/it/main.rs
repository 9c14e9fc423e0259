//! The service's tests: the real router on a real port, real databases, a clock in the test's hands.
//!
//! Every story runs on SQLite and on PostgreSQL (`LIGHTSOUT_TEST_POSTGRES`); `./test` starts what
//! they need, and a missing one is a failure.

mod access;
mod browser;
mod callers;
mod chain;
mod concurrency;
mod connectors;
mod console;
mod directory;
mod feed;
mod fields;
mod harness;
mod introspection;
mod nodes;
mod openapi;
mod overlap;
mod positions;
mod registry;
mod retention;
mod routes;
mod scale;
mod silence;
mod simulation;
mod staying_ended;
mod terminations;
mod tidy;
mod tokens;
mod wire;
mod worker;
