//! `just bench-client`: what the client adds to a bare call, and how long a long list takes.
//!
//! Client, server and database share one machine, so read the ratios, not the figures.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lightsout_client::api::{RegisterSession, Termination};
use lightsout_client::{Auth, Client, SessionTerminationManager, Subject};
use lightsout_server::ops::import;
use lightsout_testkit::{Answer, Script, Scripted, Service};
use serde_json::json;

const CALLS: usize = 5_000;
const PEOPLE: usize = 100_000;
/// The most sessions of one registration.
const REGISTER: usize = 1_000;

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    println!("load average before: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    one_call().await?;
    long_list().await?;
    println!("load average after: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    Ok(())
}

/// One call through the client and one through bare `reqwest`, in turns, to the same server.
async fn one_call() -> Result<(), Error> {
    let server = Scripted::start(Script { token: vec![], calls: vec![Answer::accepted()] }).await;
    let bare = reqwest::Client::new();
    let url = format!("{}/2.0/users/terminate_sessions", server.url);
    let body = json!({"user_ids": ["1234567890"], "user_logins": []});
    let client = Client::new(&server.url, Auth::developer_token("TOKEN"))?;
    let manager = SessionTerminationManager::new(client);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        let began = Instant::now();
        let answer = bare.post(&url).bearer_auth("TOKEN").json(&body).send().await?;
        let _: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)?;
        without.push(began.elapsed());
        let began = Instant::now();
        manager.terminate_users_sessions(vec!["1234567890".to_owned()], vec![]).await?;
        with.push(began.elapsed());
    }
    let (with, without) = (Percentiles::of(with), Percentiles::of(without));
    println!("\none call, {CALLS} in turns, loopback");
    println!("  bare reqwest   p50 {:?}, p99 {:?}", without.p50, without.p99);
    println!("  client         p50 {:?}, p99 {:?}", with.p50, with.p99);
    println!("  ratio          p50 {:.2}", with.p50.as_secs_f64() / without.p50.as_secs_f64());
    Ok(())
}

/// 100,000 logins from a file through the command line: split, ended, and followed to the verdict.
async fn long_list() -> Result<(), Error> {
    let service = Service::start().await;
    let lines: String = (0..PEOPLE).map(|n| format!("{},Person {n},\n", login(n))).collect();
    import::import(
        service.app(),
        &[],
        &service.enterprise_id,
        format!("login,name,groups\n{lines}").as_bytes(),
    )
    .await?;
    let subject = Subject::enterprise(&service.enterprise_id);
    let auth = Auth::client_credentials(&service.client_id, service.client_secret.clone(), subject);
    let client = Client::new(&service.url, auth)?;
    let mut held = Vec::new();
    for from in (0..PEOPLE).step_by(REGISTER) {
        let session = |n| RegisterSession { login: Some(login(n)), ..RegisterSession::default() };
        let registered = client.register_sessions((from..from + REGISTER).map(session).collect()).await?;
        held.push(registered[0].session_id.clone().ok_or("the service makes the ids")?);
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("people.txt");
    std::fs::write(&file, (0..PEOPLE).map(|n| format!("{}\n", login(n))).collect::<String>())?;

    let end = |flags: &'static [&'static str]| end(&service, &file, flags);
    let (accepted, _) = end(&["--dry-run"]).await?;
    println!("\n{PEOPLE} logins from a file, one session each, SQLite");
    println!("  read, split, looked up (--dry-run)             {accepted:?}");
    let (ended, said) = end(&["--yes", "--follow", "--json"]).await?;
    println!("  the same, ended, followed, every end verified  {ended:?}");
    let terminations: Vec<Termination> =
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let (finished, accepted): (Vec<_>, Vec<_>) = terminations.iter().partition(|t| t.finished_at.is_some());
    let first = accepted.iter().map(|t| t.created_at).min().ok_or("one was accepted")?;
    let span = |last: Option<Timestamp>| last.unwrap_or(first).duration_since(first);
    println!(
        "  of that, by the service's clock: {} terminations accepted within {:?}, finished within {:?}",
        accepted.len(),
        span(accepted.iter().map(|t| t.created_at).max()),
        span(finished.iter().filter_map(|t| t.finished_at).max())
    );
    let verified: u64 = finished.iter().map(|t| t.systems[0].ended).sum();
    println!("  people with a verified end                     {verified}");
    let mut alive = 0;
    for session_id in &held {
        alive += usize::from(client.introspect(session_id).await?.active);
    }
    println!("  of {} sessions asked, still active             {alive}", held.len());
    service.stop().await;
    Ok(())
}

fn login(n: usize) -> String {
    format!("person{n}@bench.example")
}

/// Runs the command line beside this program, and answers how long it took and what it printed.
async fn end(service: &Service, file: &Path, flags: &[&str]) -> Result<(Duration, String), Error> {
    let began = Instant::now();
    let done = tokio::process::Command::new(program()?)
        .args(["users", "terminate-sessions", "--from-file"])
        .arg(file)
        .args(flags)
        .env("LIGHTSOUT_URL", &service.url)
        .env("LIGHTSOUT_TOKEN", &service.token)
        .stderr(Stdio::inherit())
        .output()
        .await?;
    if !done.status.success() {
        return Err(format!("the command line answered {}", done.status).into());
    }
    Ok((began.elapsed(), String::from_utf8(done.stdout)?))
}

/// `lightsout`, as it was built with this program.
fn program() -> Result<PathBuf, Error> {
    let examples = std::env::current_exe()?;
    let folder = examples.ancestors().nth(2).ok_or("it lies in target/release/examples")?;
    Ok(folder.join("lightsout"))
}

struct Percentiles {
    p50: Duration,
    p99: Duration,
}

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { p50: times[times.len() / 2], p99: times[times.len() * 99 / 100] }
    }
}
