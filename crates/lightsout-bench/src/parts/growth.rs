//! What changes when ever more sessions are stored: start-up, memory, introspection, ending one user.

use std::time::{Duration, Instant};

use serde_json::json;

use super::terminate;
use crate::load::{CONNECTIONS, Load, Rate, Tokens, start_bare};
use crate::plot::{Chart, Series, Unit};
use crate::report::{Goal, Part, Row};
use crate::start::{Service, eventually, pause};
use crate::stats::{Times, digits, float, mib, ratio, time, whole};
use crate::store::{Kind, SESSIONS_EACH, login};
use crate::wire::Connection;
use crate::{Bench, Ground};

/// People who are ended at one size, and sizes: these sessions are never introspected.
const ENDED: usize = 60;
const SIZES_MAX: usize = 5;
const RESERVED: usize = ENDED * SIZES_MAX;
/// Of a bare handler, and a second.
const OF_BARE: f64 = 0.7;
const RATE: f64 = 30_000.0;
const OF_SMALLEST: f64 = 1.5;
const LOADED_WITHIN: Duration = Duration::from_mins(10);

struct Point {
    sessions: usize,
    ready: Duration,
    /// Until the index was loaded, where the service has one.
    loaded: Option<Duration>,
    resident: f64,
    resident_after: f64,
    rate: Rate,
    bare: Rate,
    ended: Times,
    done: Times,
    disk: f64,
}

struct Grown {
    kind: Kind,
    empty: f64,
    points: Vec<Point>,
}

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let sizes: &[usize] = bench.size(&[10_000, 100_000], &[10_000, 100_000, 1_000_000, 10_000_000]);
    let seconds = bench.size(2.0, 6.0);
    part.text(format!(
        "Sessions are written into the service's table in bulk, {SESSIONS_EACH} a person, and the service is started \
         on them. Introspections: `POST /oauth2/introspect` with the id of a session drawn anew each time, over \
         {CONNECTIONS} connections that are kept, from a load generator in a process of its own. Bare: the same requests \
         to a handler that reads the body and answers a constant of the same length, in a process of its own (axum, \
         as the service), in turns; service, generator and bare handler share the cores."
    ));
    let reference = reference(bench, seconds)?;
    let mut all = Vec::new();
    for kind in Kind::BOTH {
        let ground = bench.set_up("growth", kind)?;
        let grown = grow(&ground, sizes, seconds)?;
        bench.clear(ground)?;
        goals(part, &grown);
        all.push(grown);
    }
    introspections(part, &all, &reference);
    start_up(part, &all);
    one_user(part, &all);
    Ok(())
}

fn grow(ground: &Ground, sizes: &[usize], seconds: f64) -> anyhow::Result<Grown> {
    let (store, setup) = (&ground.store, &ground.setup);
    store.settle()?;
    let service = setup.serve()?;
    pause(Duration::from_secs(1));
    let empty = service.program.resident()?;
    service.program.stop()?;
    let (bare, bare_address) = start_bare()?;
    let (mut points, mut people) = (Vec::new(), 0);
    for (step, sessions) in sizes.iter().enumerate() {
        let more = people..sessions / SESSIONS_EACH;
        store.fill_people(&setup.enterprise, more.clone())?;
        store.fill_sessions(&setup.client_id, more.clone())?;
        store.settle()?;
        people = more.end;
        // Those of people who were ended at smaller sizes are not there any more.
        let stored =
            store.number("SELECT count(*) FROM sessions WHERE ended_at IS NULL")?.unwrap_or_default();
        let service = setup.serve()?;
        let mut connection = Connection::open(service.address, &setup.token(service.address)?)?;
        let loaded = wait_for_index(&service, &mut connection, stored)?;
        let resident = service.program.resident()?;
        let (rate, bare) = rates(ground, &service, bare_address, people, seconds)?;
        let resident_after = service.program.resident()?;
        let (mut ended, mut done) = (Times::default(), Times::default());
        for n in step * ENDED..(step + 1) * ENDED {
            let accepted = terminate(&mut connection, &json!({"logins": [login(n)]}))?;
            ended.push(accepted.took);
            done.push(accepted.done(store)?);
        }
        service.program.stop()?;
        points.push(Point {
            sessions: *sessions,
            ready: service.ready_after,
            loaded,
            resident,
            resident_after,
            rate,
            bare,
            ended,
            done,
            disk: store.bytes(&ground.folder)?,
        });
    }
    bare.stop()?;
    Ok(Grown { kind: ground.kind, empty, points })
}

/// Waits until the service says that its index holds this many sessions. None if it has no index.
fn wait_for_index(
    service: &Service,
    connection: &mut Connection,
    sessions: i64,
) -> anyhow::Result<Option<Duration>> {
    let started = Instant::now();
    let gauge = |connection: &mut Connection| {
        let answer = connection.get("/metrics").ok()?;
        let text = String::from_utf8(answer.body).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("lightsout_index_sessions"))?.to_owned();
        line.rsplit(' ').next()?.parse::<i64>().ok()
    };
    if gauge(connection).is_none() {
        return Ok(None);
    }
    eventually("the index is loaded", Duration::from_millis(5), LOADED_WITHIN, || {
        gauge(connection).filter(|count| *count >= sessions)
    })?;
    Ok(Some(service.ready_after + started.elapsed()))
}

/// The service and the bare handler in turns, twice each; means of the two.
fn rates(
    ground: &Ground,
    service: &Service,
    bare: std::net::SocketAddr,
    people: usize,
    seconds: f64,
) -> anyhow::Result<(Rate, Rate)> {
    let authorization = format!("Bearer {}", ground.setup.token(service.address)?);
    let load = |address| Load {
        address,
        path: "/oauth2/introspect".to_owned(),
        authorization: authorization.clone(),
        tokens: Tokens::Sessions { from: RESERVED * SESSIONS_EACH, to: people * SESSIONS_EACH },
        seconds,
    };
    let (mut ours, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        bares.push(load(bare).run()?);
        ours.push(load(service.address).run()?);
    }
    let mean = |rates: &[Rate]| Rate {
        per_second: f64::midpoint(rates[0].per_second, rates[1].per_second),
        p50: (rates[0].p50 + rates[1].p50) / 2,
        p99: (rates[0].p99 + rates[1].p99) / 2,
    };
    Ok((mean(&ours), mean(&bares)))
}

/// What others do a second on this machine: a Redis GET, a PostgreSQL select by key.
fn reference(bench: &Bench, seconds: f64) -> anyhow::Result<[(&'static str, f64); 2]> {
    let redis = super::redis_get(bench)?;
    let postgres = bench.postgres();
    let database = "pgbench";
    postgres.create(database)?;
    let scale = bench.size("1", "10");
    postgres.client("pgbench", &["-i", "-q", "-s", scale, database])?;
    let (clients, seconds) = (CONNECTIONS.to_string(), format!("{seconds:.0}"));
    let options = ["-S", "-n", "-M", "prepared", "-c", &clients, "-j", "1", "-T", &seconds, database];
    let printed = postgres.client("pgbench", &options)?;
    postgres.drop(database)?;
    let tps = printed.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.and_then(|rest| rest.split(' ').next()?.parse().ok());
    let tps = tps.ok_or_else(|| anyhow::anyhow!("pgbench says no rate: {printed}"))?;
    Ok([("`redis-benchmark` GET", redis), ("`pgbench -S -M prepared`", tps)])
}

fn goals(part: &mut Part, grown: &Grown) {
    let (Some(first), Some(last)) = (grown.points.first(), grown.points.last()) else { return };
    let (name, sessions) = (grown.kind.name(), whole(float(last.sessions)));
    let (ours, bare) = (last.rate.per_second, last.bare.per_second);
    let bare_text = format!("bare handler {}/s", whole(bare));
    part.goal(Goal {
        row: Row::Introspection,
        what: format!("{name}, {sessions} stored, against a bare handler"),
        target: format!("{OF_BARE} x bare = {}/s", whole(bare * OF_BARE)),
        measured: format!("{}/s, {} x bare", whole(ours), digits(ours / bare)),
        bare: bare_text.clone(),
        share: bare * OF_BARE / ours,
    });
    part.goal(Goal {
        row: Row::Introspection,
        what: format!("{name}, {sessions} stored, a second"),
        target: format!("{}/s", whole(RATE)),
        measured: format!("{}/s", whole(ours)),
        bare: bare_text,
        share: RATE / ours,
    });
    let (large, small) = (last.ended.median(), first.ended.median());
    part.goal(Goal {
        row: Row::Stored,
        what: format!("{name}, {sessions} against {}, p50", whole(float(first.sessions))),
        target: format!("{OF_SMALLEST} x {} = {}", time(small), time(small.mul_f64(OF_SMALLEST))),
        measured: time(large),
        bare: format!("the smallest, {}", time(small)),
        share: ratio(large, small) / OF_SMALLEST,
    });
}

/// A row for each database and size.
fn rows<const N: usize>(all: &[Grown], row: impl Fn(&Grown, &Point) -> [String; N]) -> Vec<[String; N]> {
    all.iter().flat_map(|grown| grown.points.iter().map(|point| row(grown, point))).collect()
}

/// A line for each database.
fn lines(all: &[Grown], what: &str, bare: bool, value: impl Fn(&Point) -> f64) -> Vec<Series> {
    let line = |grown: &Grown| Series {
        name: format!("{}{what}", grown.kind.name()),
        points: grown.points.iter().map(|p| (float(p.sessions), value(p))).collect(),
        bare,
    };
    all.iter().map(line).collect()
}

fn introspections(part: &mut Part, all: &[Grown], reference: &[(&'static str, f64)]) {
    part.text("### Introspections");
    let table = rows(all, |grown, p| {
        [
            grown.kind.name().to_owned(),
            whole(float(p.sessions)),
            whole(p.rate.per_second),
            format!("{} / {}", time(p.rate.p50), time(p.rate.p99)),
            whole(p.bare.per_second),
            format!("{} / {}", time(p.bare.p50), time(p.bare.p99)),
            digits(p.rate.per_second / p.bare.per_second),
        ]
    });
    let head = ["database", "sessions", "a second", "p50 / p99", "bare a second", "bare p50 / p99", "ratio"];
    part.table(head, table);
    let others: Vec<String> =
        reference.iter().map(|(name, rate)| format!("{name} {}/s", whole(*rate))).collect();
    part.text(format!(
        "Other servers on the same machine with as many connections and clients in one thread: {}.",
        others.join(", ")
    ));
    let mut series = lines(all, "", false, |p| p.rate.per_second);
    series.extend(lines(all, ", bare handler beside it", true, |p| p.bare.per_second));
    part.plot("introspections.svg", chart("Introspections a second", "a second", Unit::Count, series));
}

fn start_up(part: &mut Part, all: &[Grown]) {
    part.text(
        "### Start-up and memory\n\nReady: from the start of the process to the first 200 of `/readyz`. Index loaded: \
         until the gauge `lightsout_index_sessions` has reached the number of sessions; until then checks are answered \
         from the database. Memory is what the process holds (VmRSS), before and after the introspections; a session's \
         share is what it is more than with none, divided by the sessions.",
    );
    let table = rows(all, |grown, p| {
        let each = |bytes: f64| format!("{:.0} B", (bytes - grown.empty) / float(p.sessions));
        [
            grown.kind.name().to_owned(),
            whole(float(p.sessions)),
            time(p.ready),
            p.loaded.map_or("no index".to_owned(), time),
            mib(p.resident),
            each(p.resident),
            mib(p.resident_after),
            mib(p.disk),
        ]
    });
    let head =
        ["database", "sessions", "ready", "index loaded", "memory", "a session", "after load", "on disk"];
    part.table(head, table);
    for grown in all {
        part.text(format!("With none stored, {}: {}.", grown.kind.name(), mib(grown.empty)));
    }
    let mut series = lines(all, ", ready", false, |p| p.ready.as_secs_f64());
    if all.iter().any(|grown| grown.points.iter().any(|p| p.loaded.is_some())) {
        let loaded = |p: &Point| p.loaded.map_or(0.0, |loaded| loaded.as_secs_f64());
        series.extend(lines(all, ", index loaded", false, loaded));
    }
    part.plot("start-up.svg", chart("Start-up by the sessions stored", "time", Unit::Time, series));
}

fn one_user(part: &mut Part, all: &[Grown]) {
    part.text(format!(
        "### Ending one user\n\n`POST /v1/terminations` for one user with ten sessions, {ENDED} users at each size. The \
         ratio is to the same at the smallest size."
    ));
    let table = rows(all, |grown, p| {
        let small = &grown.points[0];
        [
            grown.kind.name().to_owned(),
            whole(float(p.sessions)),
            time(p.ended.median()),
            time(p.ended.percentile(99)),
            digits(ratio(p.ended.median(), small.ended.median())),
            time(p.done.median()),
            digits(ratio(p.done.median(), small.done.median())),
        ]
    });
    part.table(["database", "sessions", "202, p50", "p99", "ratio", "done, p50", "ratio"], table);
    let mut series = lines(all, ", POST to 202", false, |p| p.ended.median().as_secs_f64());
    series.extend(lines(all, ", POST to done", false, |p| p.done.median().as_secs_f64()));
    part.plot("one-user.svg", chart("Ending one user by the sessions stored", "median", Unit::Time, series));
}

fn chart(title: &str, y: &str, unit: Unit, series: Vec<Series>) -> Chart {
    let x = ("sessions stored".to_owned(), Unit::Count);
    Chart { title: title.to_owned(), x, y: (y.to_owned(), unit), series }
}
