//! Where the browser comes back to: a server on 127.0.0.1 that takes one answer.
//!
//! Any page in any browser of this machine can send requests here, so nothing is believed that does not
//! carry the state of this sign-in, and nothing of a request is shown.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::exit::Usage;

/// How long the last page may take to reach the browser.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);
const STYLE: &str =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}";
/// It names the style by its digest.
const POLICY: &str = "default-src 'none'; style-src 'sha256-WXdJjm7x2JpYC5Qic1Y1TYW4fNaXjKvMhbIVKhMPoFg='; img-src data:; base-uri 'none'; frame-ancestors 'none'";
const HEADERS: [(header::HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// A port on 127.0.0.1 that is listened on.
pub(super) struct Loopback {
    listener: TcpListener,
    port: u16,
}

/// What the browser brought (RFC 6749, section 4.1.2, and RFC 9207).
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) state: String,
    pub(super) code: Option<SecretString>,
    pub(super) iss: Option<String>,
    pub(super) error: Option<String>,
    pub(super) error_description: Option<String>,
}

/// An answer to this sign-in, and where to say what the browser is to show.
pub(super) struct Arrived {
    pub(super) answer: Answer,
    pub(super) shown: oneshot::Sender<Page>,
}

/// What the browser is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    SignedIn,
    Failed,
    NotOurs,
}

/// A server that waits for its one answer.
pub(super) struct Waiting {
    arrivals: mpsc::Receiver<Arrived>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

struct Expected {
    state: String,
    arrivals: mpsc::Sender<Arrived>,
}

impl Loopback {
    /// Listens on this port, or on any that is free.
    pub(super) async fn listen(port: Option<u16>) -> anyhow::Result<Self> {
        let listener = match (TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await, port) {
            (Ok(listener), _) => listener,
            (Err(error), Some(port)) => {
                return Err(Usage(format!("port {port} of 127.0.0.1 cannot be listened on: {error}")).into());
            }
            (Err(error), None) => return Err(error).context("no port of 127.0.0.1 can be listened on"),
        };
        let port = listener.local_addr().context("the port is not known")?.port();
        Ok(Self { listener, port })
    }

    pub(super) fn redirect_uri(&self) -> String {
        format!("http://127.0.0.1:{}/callback", self.port)
    }

    /// Takes the first answer with this state.
    pub(super) fn serve(self, state: String) -> Waiting {
        let (sender, arrivals) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let expected = Arc::new(Expected { state, arrivals: sender });
        let router = Router::new().route("/callback", get(callback)).with_state(expected);
        let stopped = async move { drop(stopped.await) };
        let server = axum::serve(self.listener, router).with_graceful_shutdown(stopped);
        Waiting { arrivals, stop, server: tokio::spawn(server.into_future()) }
    }
}

impl Waiting {
    pub(super) async fn arrived(&mut self) -> Option<Arrived> {
        let arrived = self.arrivals.recv().await;
        // Only the first answer is taken: a code is good once.
        self.arrivals.close();
        arrived
    }

    /// Shows the last page, and listens no more.
    pub(super) async fn close(self, shown: oneshot::Sender<Page>, page: Page) {
        // A browser that has gone away is shown nothing, and need not be.
        let _ = shown.send(page);
        let _ = self.stop.send(());
        let _ = tokio::time::timeout(SHOWN_WITHIN, self.server).await;
    }
}

async fn callback(
    State(expected): State<Arc<Expected>>,
    answer: Result<Query<Answer>, QueryRejection>,
) -> Response {
    let Some(Query(answer)) = answer.ok().filter(|Query(answer)| answer.state == expected.state) else {
        return Page::NotOurs.into_response();
    };
    let (shown, page) = oneshot::channel();
    if expected.arrivals.try_send(Arrived { answer, shown }).is_err() {
        return Page::NotOurs.into_response();
    }
    page.await.unwrap_or(Page::Failed).into_response()
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::SignedIn => {
                (StatusCode::OK, "You are signed in", "Go back to the terminal; this page can be closed.")
            }
            Self::Failed => (
                StatusCode::BAD_REQUEST,
                "You are not signed in",
                "The terminal says why; this page can be closed.",
            ),
            Self::NotOurs => (
                StatusCode::BAD_REQUEST,
                "Not the sign-in that is waited for",
                "This address belongs to another sign-in, or was opened before. Open the address in the terminal.",
            ),
        };
        let page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\"><title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>\n"
        );
        (status, HEADERS, Html(page)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn open(port: u16, path: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    #[tokio::test]
    async fn only_the_first_answer_with_the_state_is_taken() {
        let loopback = Loopback::listen(None).await.expect("a free port");
        let port = loopback.port;
        assert_eq!(loopback.redirect_uri(), format!("http://127.0.0.1:{port}/callback"));
        let mut waiting = loopback.serve("ours".to_owned());
        for path in [
            "/callback",
            "/callback?code=evil",
            "/callback?code=evil&state=",
            "/callback?error=access_denied&state=another",
            "/callback?state=ours&state=ours&code=evil",
        ] {
            let answer = open(port, path).await;
            assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("evil"), "{path}: {answer}");
        }
        assert!(open(port, "/").await.starts_with("HTTP/1.1 404 "));
        let browser = tokio::spawn(async move { open(port, "/callback?code=c%2B1&state=ours&iss=i").await });
        let arrived = waiting.arrived().await.expect("it arrives");
        let second = open(port, "/callback?code=c2&state=ours").await;
        assert!(second.contains("Not the sign-in that is waited for"), "{second}");
        let code = arrived.answer.code.as_ref().expect("a code");
        assert_eq!(secrecy::ExposeSecret::expose_secret(code), "c+1");
        assert_eq!(arrived.answer.iss.as_deref(), Some("i"));
        waiting.close(arrived.shown, Page::SignedIn).await;
        let shown = browser.await.expect("answered");
        assert!(shown.starts_with("HTTP/1.1 200 ") && shown.contains("You are signed in"), "{shown}");
        let lower = shown.to_lowercase();
        assert!(lower.contains("content-security-policy: default-src 'none'"), "{shown}");
        assert!(lower.contains("cache-control: no-store") && !shown.contains("c+1"), "{shown}");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let taken = Loopback::listen(None).await.expect("a free port");
        let error = Loopback::listen(Some(taken.port)).await.err().expect("it is taken");
        assert!(error.is::<Usage>() && error.to_string().contains(&taken.port.to_string()), "{error}");
    }
}
