//! A relying party for one test: a real HTTP server that verifies tokens, ends sessions or does not,
//! and keeps everything that it saw.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Barrier;

use super::keys::{Public, verified};

pub(super) const ISSUER: &str = "https://login.example.com";
pub(super) const CLIENT_ID: &str = "wiki";
pub(super) const PROBE_TOKEN: &str = "probe-secret-of-the-wiki";

/// What the party does with a token that it verified.
#[derive(Clone, Debug)]
pub(super) enum Does {
    /// Ends the session and answers 200.
    Ends,
    /// Answers 200 and does nothing.
    Nothing,
    /// Answers this status and does nothing; with `Retry-After` where one is given.
    Answers(u16, Option<&'static str>),
    /// Ends the session and answers this status.
    EndsAndAnswers(u16),
    /// Answers 503 to the tokens for this session, and ends the others.
    EndsOthers(&'static str),
    /// Answers when as many requests are there at the same time.
    EndsTogether(Arc<Barrier>),
    /// Never answers.
    Hangs,
}

/// One POST as it came.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) at: Instant,
    pub(super) header: Value,
    pub(super) claims: Value,
    pub(super) answered: u16,
}

impl Call {
    pub(super) fn sid(&self) -> String {
        self.claims["sid"].as_str().unwrap_or_default().to_owned()
    }
}

pub(super) struct Seen {
    pub(super) calls: Vec<Call>,
    pub(super) alive: BTreeSet<String>,
    pub(super) does: Does,
    pub(super) public: Public,
    pub(super) probe_answers: Option<u16>,
    pub(super) probes: usize,
    pub(super) at_once_max: usize,
    at_once: usize,
    jtis: HashSet<String>,
}

/// The party. Clones share what it saw.
#[derive(Clone)]
pub(super) struct Party {
    seen: Arc<Mutex<Seen>>,
    pub(super) address: SocketAddr,
}

impl Party {
    /// A party whose address is known, but which does not listen yet.
    pub(super) fn down(public: Public) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Seen {
            calls: Vec::new(),
            alive: BTreeSet::new(),
            does: Does::Ends,
            public,
            probe_answers: None,
            probes: 0,
            at_once_max: 0,
            at_once: 0,
            jtis: HashSet::new(),
        };
        Self { seen: Arc::new(Mutex::new(seen)), address }
    }

    pub(super) fn router(&self) -> Router {
        Router::new()
            .route("/logout", post(logout))
            .route("/sessions/{sid}", get(probe))
            .with_state(self.clone())
    }

    /// Begins to listen.
    pub(super) async fn come_up(&self) {
        let listener = TcpListener::bind(self.address).await.expect("its port is free");
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn does(&self, does: Does) {
        self.seen().does = does;
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.seen().calls.clone()
    }

    /// The sids of the calls, in order of time.
    pub(super) fn sids(&self) -> Vec<String> {
        self.seen().calls.iter().map(Call::sid).collect()
    }

    pub(super) fn lives(&self, sid: &str) -> bool {
        self.seen().alive.contains(sid)
    }
}

async fn logout(State(party): State<Party>, Form(form): Form<HashMap<String, String>>) -> Response {
    let at = Instant::now();
    let does = {
        let mut seen = party.seen();
        seen.at_once += 1;
        seen.at_once_max = seen.at_once_max.max(seen.at_once);
        seen.does.clone()
    };
    match &does {
        Does::EndsTogether(barrier) => {
            barrier.wait().await;
        }
        Does::Hangs => std::future::pending::<()>().await,
        _ => {}
    }
    let mut seen = party.seen();
    seen.at_once -= 1;
    let token = form.get("logout_token").map_or("", String::as_str);
    let Some((header, claims)) = verified(token, &seen.public, ISSUER, CLIENT_ID) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let sid = claims["sid"].as_str().unwrap_or_default().to_owned();
    let again = !seen.jtis.insert(claims["jti"].as_str().unwrap_or_default().to_owned());
    let (ends, answered) = match &does {
        _ if again => (false, 400),
        Does::Nothing => (false, 200),
        Does::Answers(status, _) => (false, *status),
        Does::EndsAndAnswers(status) => (true, *status),
        Does::EndsOthers(but) if *but == sid => (false, 503),
        Does::EndsOthers(_) | Does::Ends | Does::EndsTogether(_) | Does::Hangs => (true, 200),
    };
    if ends {
        seen.alive.remove(&sid);
    }
    seen.calls.push(Call { at, header, claims, answered });
    let status = StatusCode::from_u16(answered).expect("a status");
    match does {
        Does::Answers(_, Some(after)) => (status, [("retry-after", after)]).into_response(),
        _ => status.into_response(),
    }
}

async fn probe(State(party): State<Party>, Path(sid): Path<String>, headers: HeaderMap) -> StatusCode {
    let mut seen = party.seen();
    seen.probes += 1;
    let sent = headers.get("authorization").and_then(|value| value.to_str().ok());
    if sent != Some(&format!("Bearer {PROBE_TOKEN}")) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    match seen.probe_answers {
        Some(status) => StatusCode::from_u16(status).expect("a status"),
        None if seen.alive.contains(&sid) => StatusCode::OK,
        None => StatusCode::NOT_FOUND,
    }
}
