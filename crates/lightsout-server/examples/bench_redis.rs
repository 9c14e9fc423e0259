//! What a pass over a Redis store without a user index costs, beside a bare SCAN and MGET of all of
//! it by the same client.
//!
//! ```sh
//! cargo run --release -p lightsout-server --example bench_redis -- [SESSIONS] [ROUNDS]
//! ```
//!
//! It starts a `redis-server` of its own on a free port, fills it with sessions as connect-redis
//! writes them (about 300 bytes, ten a user), and ends it again.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lightsout_server::connector::{Connector, Redis, Reply, Target};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::json;

/// The same as a pass asks for.
const BATCH: usize = 1_000;
const SESSIONS_A_USER: usize = 10;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).map(|n| n.parse().expect("a number"));
    let (sessions, rounds): (usize, usize) = (numbers.next().unwrap_or(500_000), numbers.next().unwrap_or(5));
    let (_server, url) = start();
    let mut connection = connect(&url).await;
    let bytes = fill(&mut connection, 0..sessions).await;
    println!("{sessions} sessions of {} bytes, {SESSIONS_A_USER} a user", bytes / sessions.max(1));
    println!("load average before: {}", load_average());

    let config = json!({"url": url, "preset": "connect_redis"});
    let redis = Redis::new(serde_json::from_value(config).expect("keys of the kind")).expect("it can work");
    let users = sessions / SESSIONS_A_USER;
    let one = targets(users, 1);
    let thousand = targets(users, 1_000.min(users));
    let mut times: [Vec<Duration>; 5] = Default::default();
    for _ in 0..rounds {
        times[0].push(timed(bare(&mut connection, sessions)).await);
        for (n, targets, ending) in
            [(1, &one, false), (2, &thousand, false), (3, &one, true), (4, &thousand, true)]
        {
            times[n].push(timed(pass(&redis, targets, ending)).await);
            if ending {
                let ended = targets.iter().map(|target| number(&target.subject));
                for user in ended.collect::<Vec<_>>() {
                    fill(&mut connection, user * SESSIONS_A_USER..(user + 1) * SESSIONS_A_USER).await;
                }
            }
        }
    }

    let medians = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    });
    let names =
        ["bare SCAN and MGET", "find, 1 user", "find, 1,000 users", "end, 1 user", "end, 1,000 users"];
    println!("medians of {rounds} rounds:");
    for (name, median) in names.iter().zip(medians) {
        println!("  {name:<20} {median:7.3} s  {:5.2} x bare", median / medians[0]);
    }
    println!("load average after: {}", load_average());
}

fn start() -> (Server, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed");
    (Server(child), format!("redis://127.0.0.1:{port}"))
}

async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("an address");
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => return connection,
            Err(error) => assert!(Instant::now() < deadline, "redis-server does not answer: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sessions of these numbers, as express-session with Passport writes them. Returns their bytes.
async fn fill(connection: &mut MultiplexedConnection, numbers: std::ops::Range<usize>) -> usize {
    let mut bytes = 0;
    let numbers: Vec<usize> = numbers.collect();
    for chunk in numbers.chunks(BATCH) {
        let mut pipe = redis::pipe();
        for n in chunk {
            let value = session(*n);
            bytes += value.len();
            pipe.set(key(*n), value).ignore();
        }
        let () = pipe.query_async(connection).await.expect("stored");
    }
    bytes
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
        "passport": {"user": subject(n / SESSIONS_A_USER)},
        "csrfSecret": format!("{:024x}", n * 7_919),
        "returnTo": "/account/orders",
        "cart": {"items": [n % 97, n % 89], "updatedAt": 1_790_000_000_000_u64 + n as u64},
    })
    .to_string()
}

fn subject(user: usize) -> String {
    format!("user{user:06}@example.com")
}

fn number(subject: &str) -> usize {
    subject["user".len()..].split('@').next().and_then(|n| n.parse().ok()).expect("a subject made here")
}

/// So many users, spread over all.
fn targets(users: usize, count: usize) -> Vec<Target> {
    (0..count).map(|n| Target::every_session("id", subject(n * users / count))).collect()
}

async fn timed(work: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    work.await;
    start.elapsed()
}

async fn bare(connection: &mut MultiplexedConnection, sessions: usize) {
    let (mut cursor, mut count) = (0_u64, 0);
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg("sess:*").arg("COUNT").arg(BATCH);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(connection).await.expect("keys");
        if !keys.is_empty() {
            let values: Vec<Option<Vec<u8>>> = connection.mget(&keys).await.expect("values");
            count += values.iter().flatten().count();
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    assert!(count >= sessions, "{count} values of {sessions}");
}

async fn pass(redis: &Redis, targets: &[Target], ending: bool) {
    let answer = if ending { redis.end(targets).await } else { redis.find(targets).await };
    let replies = answer.expect("a pass").replies;
    let found =
        |reply: &Reply| matches!(reply, Reply::Sessions(sessions) if sessions.len() == SESSIONS_A_USER);
    assert!(replies.iter().all(found), "each user has {SESSIONS_A_USER} sessions");
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
