//! The parts of a run, in the order of the report.

mod check;
mod group;
mod growth;
mod nodes;
mod oidc;
mod one_user;
mod peers;
mod redis;
mod rest;
mod sql;
mod targets;
mod thousand;

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::Bench;
use crate::load::CONNECTIONS;
use crate::report::Part;
use crate::start::{Redis, eventually, run, text};
use crate::store::Store;
use crate::wire::Connection;

/// A part: its name on the command line, its heading, and what it does.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) run: fn(&Bench, &mut Part) -> anyhow::Result<()>,
}

/// Every part.
pub(crate) const ALL: &[Entry] = &[
    Entry { name: "one-user", title: "Ending one user", run: one_user::run },
    Entry { name: "thousand", title: "Ending 1,000 users", run: thousand::run },
    Entry { name: "group", title: "Ending a large group", run: group::run },
    Entry { name: "growth", title: "With ever more sessions stored", run: growth::run },
    Entry { name: "targets", title: "With ever more targets", run: targets::run },
    Entry { name: "nodes", title: "Three nodes and fifty followers", run: nodes::run },
    Entry { name: "check", title: "A check inside an app", run: check::run },
    Entry { name: "redis", title: "A Redis store without an index", run: redis::run },
    Entry { name: "sql", title: "Sessions in a database table", run: sql::run },
    Entry { name: "oidc", title: "Logout tokens", run: oidc::run },
    Entry { name: "peers", title: "Peers from a registry", run: peers::run },
    Entry { name: "rest", title: "At rest", run: rest::run },
];

/// How long a termination may take to be done.
const DONE_WITHIN: Duration = Duration::from_mins(15);

/// A termination that was accepted.
struct Accepted {
    id: String,
    started: Instant,
    /// From the request to the 202.
    took: Duration,
}

/// Sends one request and waits for its 202.
fn terminate(connection: &mut Connection, request: &Value) -> anyhow::Result<Accepted> {
    let started = Instant::now();
    let answer = connection.post_json("/v1/terminations", request)?;
    let took = started.elapsed();
    Ok(Accepted { id: text(&answer.json(202)?, "id")?, started, took })
}

impl Accepted {
    /// Waits until the last outcome is final, by the row in the database. The time since the request.
    fn done(&self, store: &Store) -> anyhow::Result<Duration> {
        let mut failure = None;
        let every = Duration::from_millis(if self.took.as_millis() < 50 { 1 } else { 10 });
        let took = eventually("the termination is done", every, DONE_WITHIN, || {
            match store.is_finished(&self.id) {
                Ok(false) => None,
                Ok(true) => Some(self.started.elapsed()),
                Err(error) => {
                    failure = Some(error);
                    Some(Duration::ZERO)
                }
            }
        })?;
        failure.map_or(Ok(took), Err)
    }

    /// Waits for the done event of its stream. The time since the request.
    fn followed(&self, address: SocketAddr, token: &str) -> anyhow::Result<Duration> {
        let mut events =
            Connection::open(address, token)?.stream(&format!("/v1/terminations/{}/events", self.id))?;
        loop {
            let event = events.next()?.context("the stream goes on until the termination is done")?;
            if event.name == "SESSION_TERMINATION_DONE" {
                return Ok(self.started.elapsed());
            }
        }
    }

    /// Makes sure that it is done without failures, with so many sessions ended.
    fn check(&self, connection: &mut Connection, sessions: usize) -> anyhow::Result<()> {
        connection.reopen()?;
        let termination = connection.get(&format!("/v1/terminations/{}", self.id))?.json(200)?;
        let ended = termination["systems"][0]["sessions_ended"].as_u64();
        anyhow::ensure!(
            termination["state"] == json!("done") && ended == Some(sessions as u64),
            "{sessions} sessions ended and verified, not {termination}"
        );
        Ok(())
    }
}

/// GETs a second that `redis-benchmark` reaches with as many connections as the load generator has.
fn redis_get(bench: &Bench) -> anyhow::Result<f64> {
    let redis = Redis::start(&bench.folder("redis")?)?;
    let (port, clients) = (redis.address.port().to_string(), CONNECTIONS.to_string());
    let requests = bench.size("100000", "500000");
    let options = ["-p", &port, "-c", &clients, "-n", requests, "-r", "100000", "-t", "set,get", "--csv"];
    let printed = run(Command::new("redis-benchmark").args(options))?;
    let get = printed.lines().find_map(|line| line.strip_prefix("\"GET\",\""));
    let rate = get.and_then(|rest| rest.split('"').next()?.parse().ok());
    rate.with_context(|| format!("redis-benchmark says no rate: {printed}"))
}

/// Makes sure that each of these sessions is answered so.
fn all_are(
    connection: &mut Connection,
    active: bool,
    sessions: impl Iterator<Item = usize>,
) -> anyhow::Result<()> {
    for n in sessions {
        let is_active = connection.introspect(&crate::store::session_id(n))?.is_active()?;
        anyhow::ensure!(is_active == active, "session {n} is active: {is_active}");
    }
    Ok(())
}
