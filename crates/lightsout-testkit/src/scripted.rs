//! An HTTP/1.1 server that answers and misbehaves as scripted.
//!
//! It speaks over plain TCP, because a test decides on the bytes and on the connection. It reads what
//! the client writes: bodies with a length, no chunks, no pipelining, no TLS.

mod answer;
mod received;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use answer::Answer;
use answer::End;
pub use received::Received;

/// How long [`Scripted::arrived`] waits.
const ARRIVE_WITHIN: Duration = Duration::from_secs(20);

/// What a [`Scripted`] server answers, in order.
///
/// The last answer of each list repeats for ever; an empty list answers 500.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Answers of `POST /oauth2/token`.
    pub token: Vec<Answer>,
    /// Answers of everything else.
    pub calls: Vec<Answer>,
}

/// A running scripted server. It stops, and its connections close, when it is dropped.
///
/// A request takes its answer when its first line arrives, so the n-th call gets the n-th answer
/// however many connections there are.
pub struct Scripted {
    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub url: String,
    state: Shared,
    _tasks: JoinSet<()>,
}

type Shared = Arc<watch::Sender<State>>;

/// What all connections share. Waiting connections and tests watch it.
struct State {
    token: VecDeque<Answer>,
    calls: VecDeque<Answer>,
    /// In order of arrival; `None` until the request is wholly read.
    requests: Vec<Option<Received>>,
    released: bool,
}

impl Scripted {
    /// Starts the server on a free port of 127.0.0.1, in the present runtime.
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(watch::Sender::new(State {
            token: script.token.into(),
            calls: script.calls.into(),
            requests: Vec::new(),
            released: false,
        }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self { url: format!("http://{address}"), state, _tasks: tasks }
    }

    /// All requests that were read, in order of arrival.
    pub fn requests(&self) -> Vec<Received> {
        self.state.borrow().requests.iter().flatten().cloned().collect()
    }

    /// All requests but those for tokens.
    pub fn calls(&self) -> Vec<Received> {
        self.requests().into_iter().filter(|request| !request.is_for_token).collect()
    }

    /// The requests for tokens.
    pub fn token_requests(&self) -> Vec<Received> {
        self.requests().into_iter().filter(|request| request.is_for_token).collect()
    }

    /// Waits until this many requests of either kind were read, and panics if they are not within
    /// 20 seconds. For gated answers: nothing else tells that a request waits.
    pub async fn arrived(&self, count: usize) {
        let mut state = self.state.subscribe();
        let enough = state.wait_for(|state| state.requests.iter().flatten().count() >= count);
        let waited = tokio::time::timeout(ARRIVE_WITHIN, enough).await;
        let arrived = waited.is_ok_and(|state| state.is_ok());
        assert!(arrived, "{} of {count} requests arrived", self.requests().len());
    }

    /// Lets gated answers go: those that wait, and all later ones.
    pub fn release(&self) {
        self.state.send_modify(|state| state.released = true);
    }
}

async fn accept(listener: TcpListener, state: Shared) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // A connection that breaks is often what the test is about; the client has to tell.
            let _ = converse(stream, &state).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers the requests of one connection until it ends.
async fn converse(stream: TcpStream, state: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if !line.ends_with('\n') {
            return Ok(());
        }
        let mut request = Received::begin(&line, Instant::now());
        let (place, answer) = take(state, request.is_for_token);
        if answer.end == End::DropBeforeReading {
            request.method.clear();
            record(state, place, request);
            return stream.get_ref().set_zero_linger();
        }
        let readable = read(&mut stream, &mut request).await?;
        let last = !readable || request.asks_to_close() || answer.closes();
        record(state, place, request);
        if !readable {
            return stream.write_all(&Answer::empty(411).header("connection", "close").bytes()).await;
        }
        if answer.is_gated {
            let released = state.subscribe().wait_for(|state| state.released).await.is_ok();
            assert!(released, "the state outlives its connections");
        }
        if answer.end == End::DropAfterReading {
            return Ok(());
        }
        stream.write_all(&answer.bytes()).await?;
        if answer.end == End::Endless {
            loop {
                stream.write_all(answer.body()).await?;
            }
        }
        if last {
            return stream.shutdown().await;
        }
    }
}

/// Takes the next answer, and a place in the list of requests.
fn take(state: &Shared, is_for_token: bool) -> (usize, Answer) {
    let mut taken = None;
    state.send_modify(|state| {
        let answers = if is_for_token { &mut state.token } else { &mut state.calls };
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        state.requests.push(None);
        taken = Some((state.requests.len() - 1, next.unwrap_or_else(|| Answer::empty(500))));
    });
    taken.expect("the closure ran")
}

fn record(state: &Shared, place: usize, request: Received) {
    state.send_modify(|state| state.requests[place] = Some(request));
}

/// Reads what follows the first line. False: the body has no length that this server understands.
async fn read(stream: &mut BufReader<TcpStream>, request: &mut Received) -> io::Result<bool> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.trim_end().is_empty() {
            break;
        }
        request.add_header(&line);
    }
    if request.header("transfer-encoding").is_some() {
        return Ok(false);
    }
    let Ok(length) = request.header("content-length").unwrap_or("0").parse() else { return Ok(false) };
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await?;
    Ok(true)
}
