//! The part of a termination's page that moves, as a stream. Each message is the whole part as it stands,
//! so whoever was away misses nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::watch::Receiver;

use super::termination::live_part;
use crate::domain::access::Caller;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::limits::Quota;
use crate::http::page::{Cookies, SESSION, csrf_of};
use crate::http::request::PathId;
use crate::ops::tokens::AuthError;
use crate::ops::watch::{Watched, watch};
use crate::ops::{Error, sign_in};

/// How long a missed wake can delay a message.
const POLL: Duration = Duration::from_secs(1);
/// The least time between two reads.
const GAP: Duration = Duration::from_millis(250);
/// How many times as long as a read takes there is none.
const REST: u32 = 4;
/// How often a stream says that it lives where it has nothing to say.
const STILL: Duration = Duration::from_secs(10);
/// After how long a browser opens a stream again that broke.
const RETRY: Duration = Duration::from_secs(1);

/// A browser whose sign-in session is asked for again and again.
pub(in crate::http) struct Watcher {
    pub(super) web: Arc<Web>,
    session_id: Option<String>,
}

impl FromRequestParts<Arc<Web>> for Watcher {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Failure> {
        let session_id = Cookies::of(web, &parts.headers).find(SESSION).map(ToOwned::to_owned);
        Ok(Self { web: Arc::clone(web), session_id })
    }
}

impl Watcher {
    /// Who watches; none: the sign-in session is over.
    pub(super) async fn caller(&self) -> Result<Option<Arc<Caller>>, AuthError> {
        match &self.session_id {
            Some(id) => sign_in::authenticate(&self.web.app, id).await,
            None => Ok(None),
        }
    }
}

/// `GET /console/terminations/{termination_id}/live`.
///
/// A stream cannot be sent to the sign-in page: whoever is not signed in gets one that says so and ends.
pub(in crate::http) async fn live(
    State(web): State<Arc<Web>>,
    watcher: Watcher,
    PathId(id): PathId,
) -> Result<Response, Failure> {
    if let Some(caller) = watcher.caller().await? {
        web.limits.take(Quota::Feeds, &caller)?;
        crate::ops::terminations::find_row(&web.app, &caller, &id).await?;
    }
    let csrf = watcher.session_id.as_deref().map(csrf_of).unwrap_or_default();
    let wakes = web.app.wakes();
    let live = Live { watcher, id, csrf, wakes, sent: None, rest: Duration::ZERO, at: At::Begin };
    let events = stream::unfold(live, |mut live| async move {
        let event = live.next().await?;
        Some((Ok::<_, Infallible>(event), live))
    });
    // A comment would not do: a page that hears nothing for long knows that the connection is dead.
    let still = KeepAlive::new().interval(STILL).event(Event::default().event("still").data("-"));
    Ok(Sse::new(events).keep_alive(still).into_response())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    Going,
    /// The last state was sent; what is left to say is that nothing more comes.
    Last,
    End,
}

struct Live {
    watcher: Watcher,
    id: String,
    csrf: String,
    wakes: Receiver<()>,
    /// What the browser shows.
    sent: Option<Watched>,
    /// How long nothing is read after the last read.
    rest: Duration,
    at: At,
}

impl Live {
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.at {
                At::End => return None,
                At::Last => return Some(self.end("done")),
                At::Begin => self.at = At::Going,
                At::Going => self.wait().await?,
            }
            self.wakes.mark_unchanged();
            match self.look().await {
                Ok(None) => return Some(self.end("signed_out")),
                Ok(Some(watched)) => {
                    if let Some(event) = self.take(watched) {
                        return Some(event);
                    }
                }
                Err(Error::NotFound(_) | Error::Denied(_)) => return Some(self.end("gone")),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a page cannot follow; trying again"
                    );
                    // What is shown may be old from here on, and is sent again as soon as it can be read.
                    if self.sent.take().is_some() {
                        return Some(Event::default().event("stale").data("-"));
                    }
                }
            }
        }
    }

    /// Waits until there may be something new; none: the service stops.
    async fn wait(&mut self) -> Option<()> {
        let stop = &self.watcher.web.stop;
        stop.run_until_cancelled(tokio::time::sleep(self.rest)).await?;
        tokio::select! {
            () = stop.cancelled() => None,
            () = tokio::time::sleep(POLL) => Some(()),
            _ = self.wakes.changed() => Some(()),
        }
    }

    /// Reads how it stands, for whoever still may; none: they are no longer signed in.
    async fn look(&mut self) -> Result<Option<Watched>, Error> {
        let begun = Instant::now();
        let found = match self.watcher.caller().await {
            Ok(None) => return Ok(None),
            Ok(Some(caller)) => watch(&self.watcher.web.app, &caller, &self.id).await,
            Err(AuthError::Db(error)) => Err(Error::Db(error)),
            Err(AuthError::Invalid | AuthError::Denied(_)) => return Ok(None),
        };
        self.rest = GAP.max(begun.elapsed() * REST);
        found.map(Some)
    }

    /// The message of a new state; none: the browser shows it already.
    fn take(&mut self, watched: Watched) -> Option<Event> {
        let done = watched.termination.finished_at.is_some();
        if done {
            self.at = At::Last;
        }
        if self.sent.as_ref() == Some(&watched) {
            return None;
        }
        let html = live_part(&watched, &self.csrf, self.watcher.web.app.clock.now_ms()).into_string();
        self.sent = Some(watched);
        Some(Event::default().event("state").retry(RETRY).data(html))
    }

    fn end(&mut self, event: &str) -> Event {
        self.at = At::End;
        Event::default().event(event).data("-")
    }
}
