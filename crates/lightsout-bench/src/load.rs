//! Roles that this program plays in a process of its own: a load generator, and the bare handler
//! that introspection is measured beside.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::Router;
use axum::http::header;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::start::{Program, spawn_role};
use crate::stats::Times;
use crate::store::session_id;

/// Connections that ask at the same time.
pub(crate) const CONNECTIONS: usize = 32;

/// What to ask for, again and again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) tokens: Tokens,
    pub(crate) seconds: f64,
}

/// What is introspected, drawn anew for each request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Tokens {
    /// Sessions of the store: the numbers from one to before another.
    Sessions { from: usize, to: usize },
    /// These.
    Listed(Vec<String>),
}

/// What came back.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Load {
    /// Runs it in a process of its own. Any answer other than "active" is an error.
    pub(crate) fn run(&self) -> anyhow::Result<Rate> {
        let mut command = Command::new(std::env::current_exe()?);
        let file = tempfile::NamedTempFile::new()?;
        serde_json::to_writer(&file, self)?;
        command.args(["role", "load"]).arg(file.path()).stdout(Stdio::piped());
        let output = command.output()?;
        if !output.status.success() {
            bail!("the load generator failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// A handler that reads the body and answers with a constant of the length of a real answer.
pub(crate) fn start_bare() -> anyhow::Result<(Program, SocketAddr)> {
    spawn_role(&["role", "bare"])
}

/// Plays a role.
pub(crate) fn role(arguments: &[String]) -> anyhow::Result<()> {
    match arguments {
        [role] if role == "bare" => tokio::runtime::Runtime::new()?.block_on(bare()),
        [role, file] if role == "load" => {
            let load: Load = serde_json::from_slice(&std::fs::read(file)?)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let rate = runtime.block_on(generate(load))?;
            println!("{}", serde_json::to_string(&rate)?);
            Ok(())
        }
        _ => bail!("no such role: {arguments:?}"),
    }
}

async fn bare() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    // As long as what the service says of a session.
    let answer = concat!(
        r#"{"active":true,"sub":"100000000012345","username":"person12345@bench.example","#,
        r#""client_id":"app_0123456789abcdef0123456789abcdef","iat":1790000000,"exp":1791728000,"#,
        r#""token_type":"session"}"#
    );
    let handler =
        move |_: axum::body::Bytes| async move { ([(header::CONTENT_TYPE, "application/json")], answer) };
    let router = Router::new().route("/oauth2/introspect", post(handler));
    Ok(axum::serve(listener, router).await?)
}

async fn generate(load: Load) -> anyhow::Result<Rate> {
    let load = std::rc::Rc::new(load);
    let local = tokio::task::LocalSet::new();
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(load.seconds);
    let ask = |n| local.spawn_local(connection(std::rc::Rc::clone(&load), n as u64, until));
    let tasks: Vec<_> = (0..CONNECTIONS).map(ask).collect();
    let times = local
        .run_until(async {
            let mut times = Vec::new();
            for task in tasks {
                times.extend(task.await??);
            }
            anyhow::Ok(times)
        })
        .await?;
    let elapsed = started.elapsed().as_secs_f64();
    let times: Times = times.into_iter().collect();
    let per_second = crate::stats::float(times.len()) / elapsed;
    Ok(Rate { per_second, p50: times.median(), p99: times.percentile(99) })
}

/// One request after the other on one connection.
async fn connection(load: std::rc::Rc<Load>, seed: u64, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(load.address).await?;
    stream.set_nodelay(true)?;
    let (mut times, mut buffer, mut draw) = (Vec::new(), Vec::with_capacity(4096), seed);
    loop {
        // Knuth's generator: which session is asked for need not be hard to guess.
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let request = request(&load, usize::try_from(draw >> 33).unwrap_or_default());
        let started = Instant::now();
        if started >= until {
            return Ok(times);
        }
        stream.write_all(request.as_bytes()).await?;
        buffer.clear();
        while !is_whole(&buffer)? {
            if stream.read_buf(&mut buffer).await? == 0 {
                bail!("the server hung up after {}", String::from_utf8_lossy(&buffer));
            }
        }
        times.push(started.elapsed());
        if !buffer.starts_with(b"HTTP/1.1 200") || !contains(&buffer, br#""active":true"#) {
            bail!("not active: {}", String::from_utf8_lossy(&buffer));
        }
    }
}

fn request(load: &Load, drawn: usize) -> String {
    let body = match &load.tokens {
        Tokens::Sessions { from, to } => format!("token={}", session_id(from + drawn % (to - from))),
        Tokens::Listed(tokens) => format!("token={}", tokens[drawn % tokens.len()]),
    };
    format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        load.path,
        load.address,
        load.authorization,
        body.len()
    )
}

/// Whether the head and as many bytes as it says are there.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
    let head = std::str::from_utf8(&answer[..end])?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(answer.len() >= end + 4 + length.context("an answer with a length")?)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";
        let whole: Vec<usize> =
            (0..=answer.len()).filter(|n| is_whole(&answer[..*n]).expect("a length")).collect();
        assert_eq!(whole, [answer.len()]);
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "no length");
    }
}
