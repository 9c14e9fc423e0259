//! What a check costs inside an app that follows the barrier feed, beside a Redis GET.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use lightsout_client::{Auth, BarrierGuard, BarrierOptions, Client, KnownBy, Subject, Verdict};
use lightsout_server::clock::{Clock, timestamp};

use crate::Bench;
use crate::report::{Goal, Part, Row};
use crate::start::Redis;
use crate::stats::{Times, digits, float, ratio, time, timed, whole};
use crate::store::{Kind, login, user_id};

const WITHIN: Duration = Duration::from_nanos(100);
/// The people are asked about in this order, so that neighbours in memory are not neighbours in time.
const STRIDE: usize = 7_919;

/// A guard that has caught up, and the names that it is asked by.
struct Asked {
    guard: BarrierGuard,
    names: Vec<String>,
}

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let people = bench.size(20_000, 200_000);
    let rounds = bench.size(20, 25);
    let threads = std::thread::available_parallelism()?.get();
    part.text(format!(
        "`BarrierGuard::check` in an app that follows the feed of a service with {} barriers, over {} people of whom \
         every other one has a barrier, {rounds} times each; by the user's id and by the login, on one thread and on \
         {threads} at once. Bare: a look-up in a `HashMap<String, i64>` of the same names, and the round trip of a \
         `GET` to Redis over a connection that is kept.",
        whole(float(people / 2)),
        whole(float(people))
    ));
    let ground = bench.set_up("check", Kind::Sqlite)?;
    ground.store.fill_people(&ground.setup.enterprise, 0..people)?;
    ground.store.fill_barriers(&ground.setup.enterprise, people)?;
    ground.store.settle()?;
    let service = ground.setup.serve()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (client_id, secret) = ground.setup.credentials();
    let auth = Auth::client_credentials(client_id, secret, Subject::enterprise(&ground.setup.enterprise));
    let client = Client::new(&format!("http://{}", service.address), auth)?;
    let redis = redis_get(Redis::start(&bench.folder("redis")?)?.address, bench.size(2_000, 20_000))?;
    let mut rows = Vec::new();
    for (what, known_by, name) in
        [("by id", KnownBy::UserId, user_id as fn(usize) -> String), ("by login", KnownBy::Login, login)]
    {
        let names: Vec<String> = (0..people).map(|n| name(n * STRIDE % people)).collect();
        let guard = runtime.block_on(async {
            let guard = client.follow_barriers(BarrierOptions::new(known_by));
            guard.caught_up().await.map(|()| guard)
        })?;
        let asked = Asked { guard, names };
        let bare = look_up(&asked.names, people, rounds)?;
        let (one, many) = (asked.checks(people, rounds)?, asked.at_once(people, rounds, threads)?);
        for (how, took) in [("one thread", one), ("all cores", many)] {
            rows.push([
                format!("check {what}, {how}"),
                time(took),
                digits(ratio(took, bare)),
                digits(ratio(redis.median(), took)),
            ]);
        }
        rows.push([
            format!("bare: HashMap {what}"),
            time(bare),
            digits(1.0),
            digits(ratio(redis.median(), bare)),
        ]);
        part.goal(Goal {
            row: Row::Check,
            what: format!("{what}, one thread"),
            target: time(WITHIN),
            measured: time(one),
            bare: format!("HashMap {}, Redis GET {}", time(bare), time(redis.median())),
            share: ratio(one, WITHIN),
        });
    }
    rows.push([
        "bare: Redis GET, round trip, p50".to_owned(),
        time(redis.median()),
        "-".to_owned(),
        digits(1.0),
    ]);
    part.table(["what", "each", "/ HashMap", "Redis GET / this"], rows);
    runtime.shutdown_background();
    service.program.stop()?;
    bench.clear(ground)
}

impl Asked {
    /// The mean time of a check on this thread.
    fn checks(&self, people: usize, rounds: usize) -> anyhow::Result<Duration> {
        let began_at = timestamp(Clock::system().now_ms() - 3_600_000);
        let (mut ended, mut live) = (0, 0);
        let ((), took) = timed(|| {
            for _ in 0..rounds {
                for name in &self.names {
                    match self.guard.check(black_box(name), began_at) {
                        Verdict::Ended => ended += 1,
                        Verdict::Live => live += 1,
                        Verdict::Stale => {}
                    }
                }
            }
            Ok(())
        })?;
        let half = people / 2 * rounds;
        anyhow::ensure!((ended, live) == (half, half), "{ended} ended and {live} live of {half} each");
        Ok(took / u32::try_from(people * rounds)?)
    }

    /// The same on several threads at once: the mean time of a check on the slowest.
    fn at_once(&self, people: usize, rounds: usize, threads: usize) -> anyhow::Result<Duration> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.checks(people, rounds))).collect();
            let mut slowest = Duration::ZERO;
            for thread in threads {
                slowest = slowest.max(thread.join().expect("a check does not panic")?);
            }
            Ok(slowest)
        })
    }
}

/// The mean time of a look-up that knows every other name.
fn look_up(names: &[String], people: usize, rounds: usize) -> anyhow::Result<Duration> {
    let known: HashMap<String, i64> = names.iter().step_by(2).map(|name| (name.clone(), 1)).collect();
    let mut found = 0;
    let ((), took) = timed(|| {
        for _ in 0..rounds {
            found += names.iter().filter(|name| known.contains_key(black_box(name.as_str()))).count();
        }
        Ok(())
    })?;
    anyhow::ensure!(found == people / 2 * rounds, "every other name is known, not {found}");
    Ok(took / u32::try_from(people * rounds)?)
}

/// One GET after the other on one connection.
fn redis_get(address: SocketAddr, rounds: usize) -> anyhow::Result<Times> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; 256];
    stream.write_all(b"SET barrier:1 1790000000000\r\n")?;
    let stored = stream.read(&mut buffer)?;
    anyhow::ensure!(buffer[..stored].starts_with(b"+OK"), "stored");
    let mut times = Times::default();
    for _ in 0..rounds {
        let started = Instant::now();
        stream.write_all(b"GET barrier:1\r\n")?;
        let read = stream.read(&mut buffer)?;
        times.push(started.elapsed());
        anyhow::ensure!(buffer[..read].starts_with(b"$13\r\n"), "a value");
    }
    Ok(times)
}
