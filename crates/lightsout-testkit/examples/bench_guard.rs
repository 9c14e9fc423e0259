//! `just bench-guard`: what one check of a barrier guard costs inside an app.
//!
//! The guard knows 100,000 people's barriers. Each figure is that of one check in the median batch of 500, in
//! one thread or in all at once, and stands beside a bare look into a `HashMap` of the same names. Batches
//! are short, so most are not interrupted by what else the machine does.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use lightsout_client::{Auth, BarrierGuard, BarrierOptions, Client, KnownBy, Verdict};
use lightsout_testkit::{Answer, Script, Scripted};
use serde_json::json;

const PEOPLE: usize = 100_000;
/// The most entries of a message.
const MESSAGE: usize = 1_000;
const BATCHES: usize = 2_000;
const BATCH: u32 = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("load average before: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    let began = Instant::now();
    let cutoff: Timestamp = "2026-05-04T10:00:00Z".parse()?;
    let (before, after) = (cutoff - SignedDuration::from_hours(1), cutoff + SignedDuration::from_hours(1));
    let known: Vec<String> = (0..PEOPLE).map(|n| format!("person-{n}@acme.example")).collect();
    let others: Vec<String> = (0..PEOPLE).map(|n| format!("other-{n}@acme.example")).collect();
    let one = vec!["person-7@acme.example".to_owned()];

    let quiet =
        [told(&known, cutoff), "event: heartbeat\nid: 1\ndata: {\"position\":1}\n\n".to_owned()].concat();
    let quiet = Answer::text(200, "text/event-stream", &quiet).header("content-length", "1000000000");
    let (_server, guard) = guard(quiet).await?;
    let map: HashMap<String, Timestamp> = known.iter().map(|name| (name.clone(), cutoff)).collect();
    let threads = std::thread::available_parallelism()?.get();
    println!("one check, {PEOPLE} barriers known");
    for (what, names, began_at, verdict) in [
        ("signed in after the barrier", &known, after, Verdict::Live),
        ("ended", &known, before, Verdict::Ended),
        ("without a barrier, signed in before others' barriers", &others, before, Verdict::Live),
        ("one person alone, ended", &one, before, Verdict::Ended),
    ] {
        let check = |name: &str| guard.check(name, began_at) == verdict;
        let alone = median(1, names, check);
        let together = median(threads, names, check);
        let bare = median(1, names, |name| black_box(map.get(name)).is_none_or(|at| *at == cutoff));
        println!("  {what}: {alone:?}; in {threads} threads at once: {together:?}; bare map: {bare:?}");
    }
    println!(
        "  the clock that staleness needs: {:?}",
        median(1, &one, |_| black_box(Instant::now()) >= began)
    );
    let session = median(1, &known, |name| guard.check_session(name) == Verdict::Live);
    println!("  a session id that was not ended (one SHA-256): {session:?}");

    let busy =
        [told(&known, cutoff), "event: heartbeat\nid: 1\ndata: {\"position\":1}\n\n".to_owned()].concat();
    let (_server, busy) = self::guard(Answer::text(200, "text/event-stream", &busy).endless()).await?;
    let check = |name: &str| busy.check(name, before) == Verdict::Ended;
    println!("  ended, while the follower takes in barriers without a pause: {:?}", median(1, &known, check));
    println!("load average after: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    Ok(())
}

/// The barriers of these people as messages of a stream.
fn told(names: &[String], cutoff: Timestamp) -> String {
    let message = |names: &[String]| {
        let barrier = |name: &String| json!({"user_id": "1", "login": name, "cutoff": cutoff});
        let barriers: Vec<_> = names.iter().map(barrier).collect();
        format!("event: barriers\nid: 1\ndata: {}\n\n", json!({"position": 1, "barriers": barriers}))
    };
    names.chunks(MESSAGE).map(message).collect()
}

async fn guard(stream: Answer) -> Result<(Scripted, BarrierGuard), lightsout_client::Error> {
    let server = Scripted::start(Script { token: Vec::new(), calls: vec![stream] }).await;
    let client = Client::new(&server.url, Auth::developer_token("TOKEN"))?;
    let stale_after = Duration::from_hours(1);
    let options = BarrierOptions { stale_after, ..BarrierOptions::new(KnownBy::Login) };
    let guard = client.follow_barriers(options);
    guard.caught_up().await?;
    Ok((server, guard))
}

/// The time of one check in the median batch, in so many threads at once; every check must hold.
fn median(threads: usize, names: &[String], check: impl Fn(&str) -> bool + Sync) -> Duration {
    let mut batches: Vec<Duration> = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let (check, mut at) = (&check, thread * names.len() / threads);
            move || {
                let mut batch = |_| {
                    let began = Instant::now();
                    for _ in 0..BATCH {
                        at = (at + 1) % names.len();
                        assert!(black_box(check(black_box(&names[at]))));
                    }
                    began.elapsed()
                };
                (0..BATCHES).map(&mut batch).collect::<Vec<_>>()
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(run(thread))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("every check holds")).collect()
    });
    batches.sort_unstable();
    batches[batches.len() / 2] / BATCH
}
