//! `GET /v1/barriers`: what apps that keep their own sessions must refuse, by position; as one answer,
//! or as a stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use lightsout_api::{Barriers, Problem};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Web;
use super::auth::{Authed, bearer};
use super::failure::Failure;
use super::request::{Query, last_event_id};
use crate::domain::access::FEED;
use crate::index::Batch;
use crate::ops::tokens;
use crate::store::DbError;

/// How often a stream says that there is nothing new.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The longest that an answer may be waited for, in seconds.
const WAIT_S_MAX: i64 = 60;

/// Tells what changed after a position: whose sessions are over, and which were ended alone.
///
/// The caller's app needs the right `feed`. With `Accept: text/event-stream` the answer is a stream of
/// the same objects (`event: barriers`), and of heartbeats (`event: heartbeat`) about once a second while
/// this node hears from its database: whoever has heard nothing for some seconds knows nothing any more.
#[utoipa::path(get, path = "/v1/barriers", tag = "barriers",
    params(
        ("after" = Option<i64>, Query, description = "The position of the last answer; 0 or none: everything that still matters"),
        ("wait_s" = Option<i64>, Query, description = "Seconds to wait where there is nothing new, at most 60"),
        ("Last-Event-ID" = Option<i64>, Header, description = "The same as `after`, and wins over it"),
    ),
    responses(
        (status = 200, description = "What changed", body = Barriers),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn read(
    State(web): State<Arc<Web>>,
    Authed(caller): Authed,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Failure> {
    caller.needs_right(FEED)?;
    let after = match last_event_id(&headers)? {
        Some(position) => position,
        None => query.position("after")?,
    };
    let wait = query.number("wait_s", 0, 0, WAIT_S_MAX)?;
    web.app.index.fresh().await?;
    let follower = Follower {
        token: bearer(&headers).unwrap_or_default().to_owned(),
        as_user: caller.sent_by.is_some().then(|| caller.person.user_id.0.clone()),
        positions: web.app.index.positions(),
        enterprise_id: caller.enterprise_id.0.clone(),
        after,
        web,
    };
    let streams = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if streams.is_some_and(|accept| accept.contains("text/event-stream")) {
        return Ok(follower.stream());
    }
    Ok(Json(follower.answer(Duration::from_secs(wait.unsigned_abs())).await?).into_response())
}

struct Follower {
    web: Arc<Web>,
    token: String,
    as_user: Option<String>,
    enterprise_id: String,
    after: i64,
    positions: watch::Receiver<i64>,
}

impl Follower {
    /// What is new, and the position up to which this node has heard; none while the node still loads.
    fn news(&mut self) -> Option<(Vec<Arc<Batch>>, i64)> {
        let position = *self.positions.borrow_and_update();
        if position < self.after {
            // The log went back: whoever is ahead of it followed one that is no more.
            self.after = 0;
        }
        let mut batches = self.web.app.index.feed_after(&self.enterprise_id, self.after)?;
        // What is only half read is told when the position says so.
        batches.retain(|batch| batch.position <= position);
        Some((batches, position))
    }

    /// Waits for news, a heartbeat's time, or the end of the service, which is false.
    async fn wait(&mut self, until: Instant) -> bool {
        tokio::select! {
            () = self.web.stop.cancelled() => return false,
            () = tokio::time::sleep_until(until) => {}
            _ = self.positions.changed() => {}
        }
        true
    }

    /// Whether the token may still be used. A node that cannot say lets the stream go on, and sends no
    /// heartbeat.
    async fn may_go_on(&self) -> bool {
        let caller = tokens::authenticate(&self.web.app, &self.token, self.as_user.as_deref()).await;
        match caller {
            Ok(caller) => caller.needs_right(FEED).is_ok(),
            Err(tokens::AuthError::Db(_)) => true,
            Err(_) => false,
        }
    }

    /// One answer: at once if there is news, else when some come or the time is over.
    async fn answer(mut self, wait: Duration) -> Result<Barriers, Failure> {
        let until = Instant::now() + wait;
        loop {
            let news = self.news();
            let is_over = Instant::now() >= until || self.web.stop.is_cancelled();
            match news {
                None if is_over => return Err(DbError::Stale.into()),
                Some((batches, position)) if is_over || !batches.is_empty() => {
                    self.web.app.index.fresh().await?;
                    if !self.may_go_on().await {
                        return Err(Failure::unauthorized());
                    }
                    return Ok(joined(&batches, position));
                }
                _ => drop(self.wait(until).await),
            }
        }
    }

    /// A stream without an end, until the token ends or the service stops.
    fn stream(self) -> Response {
        let stream = Stream {
            follower: self,
            ready: VecDeque::new(),
            check_at: Instant::now() + HEARTBEAT,
            beat_at: Instant::now(),
            is_told: false,
        };
        let events = stream::unfold(stream, |mut stream| async move {
            let event = stream.next().await?;
            Some((Ok::<_, Infallible>(event), stream))
        });
        Sse::new(events).into_response()
    }
}

/// All batches as one answer.
fn joined(batches: &[Arc<Batch>], position: i64) -> Barriers {
    let mut all = Barriers { position, ..Barriers::default() };
    for message in batches.iter().flat_map(|batch| &batch.messages) {
        all.barriers.extend(message.barriers.barriers.iter().cloned());
        all.ended_sessions.extend(message.barriers.ended_sessions.iter().cloned());
    }
    all
}

struct Stream {
    follower: Follower,
    /// When the token is looked at again.
    check_at: Instant,
    ready: VecDeque<(Arc<Batch>, usize)>,
    beat_at: Instant,
    /// Whether everything up to the present position was sent.
    is_told: bool,
}

impl Stream {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if Instant::now() >= self.check_at {
                self.check_at = Instant::now() + HEARTBEAT;
                if self.follower.web.stop.is_cancelled() || !self.follower.may_go_on().await {
                    return None;
                }
            }
            if let Some((batch, n)) = self.ready.pop_front() {
                let message = &batch.messages[n];
                let event = Event::default().event("barriers").id(message.barriers.position.to_string());
                return Some(event.data(&*message.text()));
            }
            if let Some((batches, position)) = self.follower.news() {
                for batch in batches {
                    self.follower.after = batch.position;
                    self.ready.extend((0..batch.messages.len()).map(|n| (Arc::clone(&batch), n)));
                }
                if !self.ready.is_empty() {
                    self.is_told = false;
                    continue;
                }
                self.follower.after = position;
                if !self.is_told || Instant::now() >= self.beat_at {
                    self.beat_at = Instant::now() + HEARTBEAT;
                    self.is_told = true;
                    if self.follower.web.app.index.is_fresh() {
                        return Some(heartbeat(position));
                    }
                }
            }
            // While this node loads, there is nothing to say.
            let until = if self.is_told { self.beat_at } else { Instant::now() + HEARTBEAT };
            if !self.follower.wait(until).await {
                return None;
            }
        }
    }
}

fn heartbeat(position: i64) -> Event {
    Event::default().event("heartbeat").id(position.to_string()).data(format!("{{\"position\":{position}}}"))
}
