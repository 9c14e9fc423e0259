//! A server that plays a vendor: each request goes to a function of the test, and is kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use lightsout_server::clock::Clock;
use lightsout_server::connector::{Http, HttpConfig};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// As it was sent, percent-encoding and all.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) at: Instant,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The parts of the path, decoded.
    pub(super) fn parts(&self) -> Vec<String> {
        self.path.split('/').skip(1).map(decode).collect()
    }

    pub(super) fn query(&self, name: &str) -> Option<String> {
        field(&self.query, name)
    }

    pub(super) fn form(&self, name: &str) -> Option<String> {
        field(&self.body, name)
    }

    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

pub(super) fn answer(status: u16, body: Value) -> Answer {
    Answer { status, headers: Vec::new(), body: body.to_string() }
}

impl Answer {
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub(super) fn text(status: u16, body: String) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running vendor with a state of the test's own.
pub(super) struct Vendor<S> {
    pub(super) url: String,
    pub(super) state: Arc<Mutex<S>>,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl<S> Drop for Vendor<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<S: Send + 'static> Vendor<S> {
    pub(super) async fn start(
        state: S,
        play: impl Fn(&mut S, &Request) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(Mutex::new(state));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (own, kept) = (Arc::clone(&state), Arc::clone(&requests));
        let serve = async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let request = Request {
                method: method.to_string(),
                path: uri.path().to_owned(),
                query: uri.query().unwrap_or_default().to_owned(),
                headers,
                body: String::from_utf8(body.to_vec()).expect("it sends UTF-8"),
                at: Instant::now(),
            };
            let answer = play(&mut own.lock().unwrap_or_else(PoisonError::into_inner), &request);
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            let status = StatusCode::from_u16(answer.status).expect("a status");
            let mut headers = HeaderMap::new();
            headers.insert("content-type", "application/json".parse().expect("a header"));
            for (name, value) in answer.headers {
                let name: axum::http::HeaderName = name.parse().expect("a name");
                headers.append(name, value.parse().expect("a value"));
            }
            (status, headers, answer.body).into_response()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let app = Router::new().fallback(serve);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Self { url, state, requests, task }
    }

    pub(super) fn with<T>(&self, f: impl FnOnce(&mut S) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The requests since it was asked last.
    pub(super) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The connector for it, by these keys of the configuration, and `timeout_ms` of a pass.
    pub(super) fn connector(&self, keys: Value) -> Http {
        self.connector_at(keys, Clock::system())
    }

    pub(super) fn connector_at(&self, mut keys: Value, clock: Clock) -> Http {
        let keys = keys.as_object_mut().expect("an object");
        keys.entry("base_url").or_insert(json!(self.url));
        let timeout_ms = keys.remove("timeout_ms").and_then(|ms| ms.as_u64());
        let config: HttpConfig = serde_json::from_value(Value::Object(keys.clone())).expect("known keys");
        let timeout = timeout_ms.map_or(Duration::from_mins(1), Duration::from_millis);
        Http::new(&config, clock, timeout).expect("it is right")
    }
}

/// A recipe in a file; the folder goes with it.
pub(super) fn recipe(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("vendor.toml");
    std::fs::write(&file, text).expect("it can be written");
    let name = file.to_str().expect("UTF-8").to_owned();
    (folder, name)
}

pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' && after.len() >= 2 {
            let hex = std::str::from_utf8(&after[..2]).expect("ASCII");
            bytes.push(u8::from_str_radix(hex, 16).expect("hex"));
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn field(pairs: &str, name: &str) -> Option<String> {
    let pairs: BTreeMap<String, String> = pairs
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    pairs.get(name).cloned()
}
