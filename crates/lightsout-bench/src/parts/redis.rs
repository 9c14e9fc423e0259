//! A pass over a Redis store without a user index, beside a bare SCAN and MGET of all of it by the
//! same client.

use std::time::Duration;

use anyhow::Context;
use lightsout_server::connector::{Connector, Redis, Reply, Target};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::json;

use crate::Bench;
use crate::report::{Goal, Part, Row};
use crate::stats::{Times, digits, float, ratio, time, whole};
use crate::store::SESSIONS_EACH;

/// The same as a pass asks for.
const BATCH: usize = 1_000;
const PEOPLE: usize = 1_000;
/// What one pass may cost, by the bare one.
const OF_BARE: f64 = 1.3;

/// What is done in each round, and what of it deletes.
const PASSES: [(&str, usize, bool); 4] = [
    ("look for one user", 1, false),
    ("look for 1,000 users", PEOPLE, false),
    ("end one user", 1, true),
    ("end 1,000 users", PEOPLE, true),
];

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let sessions = bench.size(50_000, 500_000);
    let rounds = bench.size(3, 5);
    let server = crate::start::Redis::start(&bench.folder("redis")?)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let (bytes, bare, passes) =
        runtime.block_on(measure(&format!("redis://{}", server.address), sessions, rounds))?;
    part.text(format!(
        "{} sessions of {bytes} bytes as connect-redis writes them, {SESSIONS_EACH} a user, in a Redis without an index \
         of users: the connector reads the whole store once, however many users are asked for. Bare: `SCAN` and \
         `MGET` of all of it in the same pages by the same client, and nothing done with it. Medians of {rounds} \
         rounds, in turns.",
        whole(float(sessions))
    ));
    let row = |what: &str, times: &Times| {
        [what.to_owned(), time(times.median()), digits(ratio(times.median(), bare.median()))]
    };
    let mut rows = vec![row("bare: SCAN and MGET", &bare)];
    rows.extend(PASSES.iter().zip(&passes).map(|((name, ..), times)| row(name, times)));
    part.table(["pass", "time", "/ bare"], rows);
    for (name, times) in [(PASSES[1].0, &passes[1]), (PASSES[3].0, &passes[3])] {
        part.goal(Goal {
            row: Row::Redis,
            what: format!("{name}, {} stored", whole(float(sessions))),
            target: format!("{OF_BARE} x bare = {}", time(bare.median().mul_f64(OF_BARE))),
            measured: time(times.median()),
            bare: time(bare.median()),
            share: ratio(times.median(), bare.median()) / OF_BARE,
        });
    }
    Ok(())
}

/// Bytes of a session, times of the bare pass, and of each of [`PASSES`].
async fn measure(url: &str, sessions: usize, rounds: usize) -> anyhow::Result<(usize, Times, [Times; 4])> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let bytes = fill(&mut connection, 0..sessions).await? / sessions;
    let config = json!({"url": url, "preset": "connect_redis"});
    let connector = Redis::new(serde_json::from_value(config)?).map_err(anyhow::Error::msg)?;
    let users = sessions / SESSIONS_EACH;
    let (mut bare, mut passes) = (Times::default(), <[Times; 4]>::default());
    for _ in 0..rounds {
        let started = std::time::Instant::now();
        bare_pass(&mut connection, sessions).await?;
        bare.push(started.elapsed());
        for ((_, people, ending), times) in PASSES.iter().zip(&mut passes) {
            let chosen: Vec<usize> = (0..*people).map(|n| n * users / people).collect();
            let targets: Vec<Target> =
                chosen.iter().map(|user| Target::every_session("id", subject(*user))).collect();
            let started = std::time::Instant::now();
            let found = if *ending { connector.end(&targets).await } else { connector.find(&targets).await };
            let replies = found?.replies;
            times.push(started.elapsed());
            let found_all = |reply: &Reply| matches!(reply, Reply::Sessions(s) if s.len() == SESSIONS_EACH);
            anyhow::ensure!(replies.iter().all(found_all), "each user has {SESSIONS_EACH} sessions");
            if *ending {
                for user in chosen {
                    fill(&mut connection, user * SESSIONS_EACH..(user + 1) * SESSIONS_EACH).await?;
                }
            }
        }
    }
    Ok((bytes, bare, passes))
}

/// Stores sessions of these numbers, as express-session with Passport writes them. Returns their bytes.
async fn fill(
    connection: &mut MultiplexedConnection,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<usize> {
    let mut bytes = 0;
    for start in numbers.clone().step_by(BATCH) {
        let mut pipe = redis::pipe();
        for n in start..numbers.end.min(start + BATCH) {
            let value = session(n);
            bytes += value.len();
            pipe.set(key(n), value).ignore();
        }
        let () = pipe.query_async(connection).await.context("stored")?;
    }
    Ok(bytes)
}

fn key(n: usize) -> String {
    // 32 characters, as uid-safe makes them; spread so that users' sessions lie apart.
    format!("sess:{:032x}", (n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn session(n: usize) -> String {
    json!({
        "cookie": {
            "originalMaxAge": 86_400_000, "expires": "2026-12-24T12:00:00.000Z", "secure": true,
            "httpOnly": true, "path": "/", "sameSite": "lax",
        },
        "passport": {"user": subject(n / SESSIONS_EACH)},
        "csrfSecret": format!("{:024x}", n * 7_919),
        "returnTo": "/account/orders",
        "cart": {"items": [n % 97, n % 89], "updatedAt": 1_790_000_000_000_u64 + n as u64},
    })
    .to_string()
}

fn subject(user: usize) -> String {
    format!("user{user:06}@example.com")
}

async fn bare_pass(connection: &mut MultiplexedConnection, sessions: usize) -> anyhow::Result<()> {
    let (mut cursor, mut count) = (0_u64, 0);
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg("sess:*").arg("COUNT").arg(BATCH);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(connection).await?;
        if !keys.is_empty() {
            let values: Vec<Option<Vec<u8>>> = connection.mget(&keys).await?;
            count += values.iter().flatten().count();
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    anyhow::ensure!(count >= sessions, "{count} values of {sessions}");
    Ok(())
}
