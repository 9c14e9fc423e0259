//! Three nodes on one PostgreSQL and fifty followers of the feed: how soon all of them refuse.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use sqlx::postgres::{PgListener, PgPool};

use super::terminate;
use crate::report::{Goal, Part, Row};
use crate::start::{Service, eventually, pause};
use crate::stats::{Times, digits, ratio, time};
use crate::store::{Kind, SESSIONS_EACH, login, session_id, user_id};
use crate::wire::{Connection, Events};
use crate::{Bench, Ground};

const NODES: usize = 3;
const FOLLOWERS: usize = 50;
const WITHIN: Duration = Duration::from_millis(50);
/// A follower or node that has not heard after this has failed.
const HEARD_WITHIN: Duration = Duration::from_secs(10);
/// How often the other nodes are asked.
const ASK_EVERY: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Found {
    nodes: Times,
    followers: Times,
    /// Of each termination, the last node or follower.
    last: Times,
    notify: Times,
}

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let runs = bench.size(40, 300);
    part.text(format!(
        "{NODES} nodes, a process each, on one PostgreSQL; {FOLLOWERS} followers of `GET /v1/barriers` \
         (`text/event-stream`), spread over the nodes, in one process. {runs} terminations of one user each, one after \
         the other, answered by each node in turn. The time runs from the arrival of the 202 at the caller to the \
         first answer of another node that says a session of this user is not active (each is asked once a \
         millisecond, and had said \"active\" before), and to the arrival of the barrier at a follower; what was \
         sooner than the 202 counts as 0. Bare: a `NOTIFY` and its arrival at another connection, in turns with these."
    ));
    let ground = bench.set_up("nodes", Kind::Postgres)?;
    let found = measure(&ground, runs)?;
    bench.clear(ground)?;
    let bare = found.notify.median();
    let row = |what: &str, times: &Times| {
        [
            what.to_owned(),
            times.len().to_string(),
            time(times.median()),
            time(times.percentile(99)),
            time(times.max()),
            digits(ratio(times.percentile(99), found.notify.percentile(99))),
        ]
    };
    let rows = vec![
        row("202 to the refusal on another node", &found.nodes),
        row("202 to the arrival at a follower", &found.followers),
        row("202 to the last of all of them", &found.last),
        row("bare: NOTIFY to its arrival", &found.notify),
    ];
    part.table(["what", "measured", "p50", "p99", "slowest", "p99 / bare p99"], rows);
    for (what, times) in [("other nodes, p99", &found.nodes), ("followers, p99", &found.followers)] {
        part.goal(Goal {
            row: Row::Nodes,
            what: what.to_owned(),
            target: time(WITHIN),
            measured: time(times.percentile(99)),
            bare: format!("NOTIFY p50 {}", time(bare)),
            share: ratio(times.percentile(99), WITHIN),
        });
    }
    Ok(())
}

/// Whom a barrier names, and when it came in.
type Heard = (String, Instant);

fn measure(ground: &Ground, runs: usize) -> anyhow::Result<Found> {
    ground.store.fill_people(&ground.setup.enterprise, 0..runs)?;
    ground.store.fill_sessions(&ground.setup.client_id, 0..runs)?;
    ground.store.settle()?;
    let nodes: Vec<Service> = (0..NODES).map(|_| ground.setup.serve()).collect::<anyhow::Result<_>>()?;
    let token = ground.setup.token(nodes[0].address)?;
    let mut connections: Vec<Connection> =
        nodes.iter().map(|node| Connection::open(node.address, &token)).collect::<anyhow::Result<_>>()?;
    let (sender, heard) = channel();
    let followers = (0..FOLLOWERS).map(|n| {
        let stream = Connection::open(nodes[n % NODES].address, &token)?.stream("/v1/barriers")?;
        let sender = sender.clone();
        Ok(std::thread::spawn(move || follow(stream, &sender)))
    });
    let followers: Vec<_> = followers.collect::<anyhow::Result<_>>()?;
    for _ in 0..FOLLOWERS {
        heard.recv_timeout(HEARD_WITHIN).context("every follower has caught up")?;
    }
    let mut notify = Notify::new(&ground.setup.database)?;
    let mut found = Found::default();
    for n in 0..runs {
        one(n, &mut connections, &heard, &mut found)?;
        // Its work is over before the next begins.
        pause(Duration::from_millis(20));
        found.notify.push(notify.once()?);
    }
    for node in nodes {
        node.program.stop()?;
    }
    for follower in followers {
        // Its stream ended with its node.
        let _ = follower.join();
    }
    Ok(found)
}

/// Says once that it has caught up, by an empty name, and then whom each barrier names.
fn follow(mut stream: Events, heard: &Sender<Heard>) -> anyhow::Result<()> {
    let mut has_caught_up = false;
    while let Some(event) = stream.next()? {
        let now = Instant::now();
        if event.name == "heartbeat" && !has_caught_up {
            has_caught_up = true;
            heard.send((String::new(), now))?;
        }
        let data: Value = serde_json::from_str(&event.data)?;
        for barrier in data["barriers"].as_array().into_iter().flatten() {
            heard.send((barrier["user_id"].as_str().unwrap_or_default().to_owned(), now))?;
        }
    }
    Ok(())
}

/// Ends user `n`, and waits until every other node refuses and every follower has heard.
fn one(
    n: usize,
    connections: &mut [Connection],
    heard: &Receiver<Heard>,
    found: &mut Found,
) -> anyhow::Result<()> {
    let answering = n % NODES;
    let session = session_id(n * SESSIONS_EACH);
    for connection in &mut *connections {
        let is_active = connection.introspect(&session)?.is_active()?;
        anyhow::ensure!(is_active, "session {n} is active on every node before");
    }
    let (asked, others): (Vec<_>, Vec<_>) =
        connections.iter_mut().enumerate().partition(|(node, _)| *node == answering);
    let (_, connection) = asked.into_iter().next().context("one node answers")?;
    let (answered, refused) = std::thread::scope(|scope| {
        let askers: Vec<_> = others
            .into_iter()
            .map(|(_, connection)| scope.spawn(|| until_refused(connection, &session)))
            .collect();
        let answered = terminate(connection, &json!({"logins": [login(n)]})).map(|a| a.started + a.took);
        let refused: anyhow::Result<Vec<Instant>> =
            askers.into_iter().map(|asker| asker.join().expect("an asker does not panic")).collect();
        anyhow::Ok((answered?, refused?))
    })?;
    let mut last = answered;
    for at in refused {
        found.nodes.push(at.saturating_duration_since(answered));
        last = last.max(at);
    }
    let user = user_id(n);
    let mut missing = FOLLOWERS;
    while missing > 0 {
        let (name, at) = heard.recv_timeout(HEARD_WITHIN).context("every follower hears of it")?;
        if name == user {
            missing -= 1;
            found.followers.push(at.saturating_duration_since(answered));
            last = last.max(at);
        }
    }
    found.last.push(last.saturating_duration_since(answered));
    Ok(())
}

fn until_refused(connection: &mut Connection, session: &str) -> anyhow::Result<Instant> {
    eventually("another node refuses", ASK_EVERY, HEARD_WITHIN, || {
        // A node that says that it cannot tell (503) has not refused yet.
        let is_active = connection.introspect(session).ok()?.is_active().unwrap_or(true);
        (!is_active).then(Instant::now)
    })
}

/// One connection that notifies, and one that listens.
struct Notify {
    runtime: tokio::runtime::Runtime,
    pool: PgPool,
    listener: Option<PgListener>,
}

/// The listener gives its connection back in a task, for which it needs the runtime.
impl Drop for Notify {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        self.listener.take();
    }
}

impl Notify {
    fn new(url: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (pool, listener) = runtime.block_on(async {
            let mut listener = PgListener::connect(url).await?;
            listener.listen("bench").await?;
            anyhow::Ok((PgPool::connect(url).await?, listener))
        })?;
        Ok(Self { runtime, pool, listener: Some(listener) })
    }

    fn once(&mut self) -> anyhow::Result<Duration> {
        let Self { runtime, pool, listener } = self;
        runtime.block_on(async {
            let started = Instant::now();
            sqlx::query("NOTIFY bench").execute(&*pool).await?;
            listener.as_mut().context("it is there until it is dropped")?.recv().await?;
            Ok(started.elapsed())
        })
    }
}
