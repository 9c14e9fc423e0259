//! `just bench`: what the service costs, each figure beside its bare counterpart from the same run.
//!
//! SQLite in a temporary folder; PostgreSQL as well where `LIGHTSOUT_BENCH_POSTGRES` names an empty
//! database. Everything runs in one process on one machine, so read the ratios, not the figures.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use lightsout_client::api::{CreateTermination, RegisterSession};
use lightsout_client::{Auth, Client, Subject};
use lightsout_server::config::Config;
use lightsout_server::ops::{admin, import};
use lightsout_server::server::{self, Running};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PEOPLE: usize = 1_000;
const SESSIONS_EACH: usize = 10;
const SINGLE_RUNS: usize = 300;
const CONNECTIONS: usize = 32;
const LOAD_FOR: Duration = Duration::from_secs(5);

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("nothing ran before");
    println!("load average before: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    let folder = tempfile::tempdir()?;
    run("SQLite", &format!("sqlite:{}", folder.path().join("bench.db").display()), folder.path()).await?;
    if let Ok(url) = std::env::var("LIGHTSOUT_BENCH_POSTGRES") {
        run("PostgreSQL", &url, folder.path()).await?;
    }
    println!("load average after: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    Ok(())
}

async fn run(name: &str, url: &str, folder: &Path) -> Result<(), Error> {
    let limits = "[limits]\ncalls_per_minute = 1000000\nintrospections_per_second = 1000000\n";
    let text = format!("[server]\nlisten = \"127.0.0.1:0\"\n[database]\nurl = \"{url}\"\n{limits}");
    let running = server::start(&Config::parse(&text)?, None).await?;
    println!("\n{name}");
    let (client, token) = enterprise(&running).await?;
    one_user(&client, folder).await?;
    let session_id = thousand_users(&client).await?;
    introspection(&running, &token, &session_id).await?;
    running.stop().await;
    Ok(())
}

fn login(n: usize) -> String {
    format!("person{n}@bench.example")
}

/// Makes an enterprise, and returns a client of an app and a token of it.
async fn enterprise(running: &Running) -> Result<(Client, String), Error> {
    let app = &running.app;
    let (id, _) = admin::create_enterprise(app, "Bench", "admin@bench.example", "Ada Admin").await?;
    let lines: String = (0..PEOPLE).map(|n| format!("{},Person {n},Everybody\n", login(n))).collect();
    import::import(app, &id.0, format!("login,name,groups\n{lines}").as_bytes()).await?;
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    let new = admin::NewApp {
        enterprise_id: id.0.clone(),
        name: "bench".to_owned(),
        scopes: words(&["manage_managed_users", "manage_groups", "manage_enterprise_properties"]),
        rights: words(&["sessions.write", "introspect"]),
        ..admin::NewApp::default()
    };
    let (client_id, secret) = admin::create_app(app, &new).await?;
    let base = format!("http://{}", running.address);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id.as_str()),
        ("client_secret", &secret),
        ("box_subject_type", "enterprise"),
        ("box_subject_id", id.as_str()),
    ];
    let reply = reqwest::Client::new().post(format!("{base}/oauth2/token")).form(&form).send().await?;
    let token: lightsout_client::api::AccessToken = reply.json().await?;
    let auth = Auth::client_credentials(&client_id.0, secret, Subject::Enterprise(id.0));
    Ok((Client::new(&base, auth)?, token.access_token))
}

/// One POST for one user, beside one write and fdatasync in the same folder, in turns.
async fn one_user(client: &Client, folder: &Path) -> Result<(), Error> {
    let mut file = File::create(folder.join("fdatasync"))?;
    let (mut posts, mut syncs) = (Vec::new(), Vec::new());
    for n in 0..SINGLE_RUNS {
        let request = CreateTermination { logins: vec![login(n)], ..CreateTermination::default() };
        let started = Instant::now();
        client.terminate(&request, None).await?;
        posts.push(started.elapsed());
        let started = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        syncs.push(started.elapsed());
    }
    println!("  end one user, POST to 202, durable   {}", percentiles(&mut posts));
    println!("  bare write + fdatasync               {}", percentiles(&mut syncs));
    let (post, sync) = (posts[SINGLE_RUNS / 2], syncs[SINGLE_RUNS / 2]);
    println!("  p50: {:.1} x fdatasync", post.as_secs_f64() / sync.as_secs_f64());
    Ok(())
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("p50 {:>8.2?}  p99 {:>8.2?}", at(50), at(99))
}

/// 1,000 users of 10 sessions: one POST to all refused, and to all rows gone and verified. Returns
/// the id of a session that lives afterwards.
async fn thousand_users(client: &Client) -> Result<String, Error> {
    let mut session_id = sign_in(client).await?;
    for round in 1..=3 {
        let request =
            CreateTermination { logins: (0..PEOPLE).map(login).collect(), ..CreateTermination::default() };
        let started = Instant::now();
        let accepted = client.terminate(&request, None).await?;
        let refused = started.elapsed();
        if client.introspect(&session_id).await?.active {
            return Err("an ended session is still accepted".into());
        }
        let mut events = client.follow_termination(&accepted.id.0);
        while events.next().await?.is_some() {}
        let gone = started.elapsed();
        let done = client.termination(&accepted.id.0).await?;
        let ended: u64 = done.systems.iter().map(|s| s.sessions_ended).sum();
        println!(
            "  1,000 users x 10, round {round}: {ended} sessions, all refused {refused:.1?}, gone and verified {gone:.1?}"
        );
        session_id = sign_in(client).await?;
    }
    Ok(session_id)
}

async fn sign_in(client: &Client) -> Result<String, Error> {
    let mut last = None;
    for _ in 0..SESSIONS_EACH {
        let session = |n| RegisterSession { login: Some(login(n)), ..RegisterSession::default() };
        last = client.register_sessions((0..PEOPLE).map(session).collect()).await?.pop();
    }
    Ok(last.and_then(|s| s.session_id).ok_or("a new session is active")?)
}

/// Introspections a second over HTTP, beside a bare handler of the same server, in turns.
async fn introspection(running: &Running, token: &str, session_id: &str) -> Result<(), Error> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let bare = listener.local_addr()?;
    let router = Router::new()
        .route("/oauth2/introspect", post(|_: axum::body::Bytes| async { r#"{"active":true}"# }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (mut ours, mut bares) = (0.0, 0.0);
    for _ in 0..2 {
        bares += load(bare, token, session_id).await?;
        ours += load(running.address, token, session_id).await?;
    }
    println!(
        "  introspections: {:.0}/s, bare handler {:.0}/s, ratio {:.2}",
        ours / 2.0,
        bares / 2.0,
        ours / bares
    );
    Ok(())
}

/// Sends the same request over some connections, one after the other on each; answers a second.
async fn load(address: SocketAddr, token: &str, session_id: &str) -> Result<f64, Error> {
    let body = format!("token={session_id}");
    let request = format!(
        "POST /oauth2/introspect HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let started = Instant::now();
    let tasks: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(one_connection(address, request.clone(), started))).collect();
    let mut answers = 0_u32;
    for task in tasks {
        answers += task.await??;
    }
    Ok(f64::from(answers) / started.elapsed().as_secs_f64())
}

async fn one_connection(address: SocketAddr, request: String, started: Instant) -> Result<u32, Error> {
    let mut stream = TcpStream::connect(address).await?;
    let (mut buffer, mut answers) = ([0; 4096], 0);
    while started.elapsed() < LOAD_FOR {
        stream.write_all(request.as_bytes()).await?;
        // Both servers answer a small body in one piece.
        let n = stream.read(&mut buffer).await?;
        if !buffer[..n].starts_with(b"HTTP/1.1 200")
            || !buffer[..n].windows(13).any(|w| w == br#""active":true"#)
        {
            return Err(format!("not active: {}", String::from_utf8_lossy(&buffer[..n])).into());
        }
        answers += 1;
    }
    Ok(answers)
}
