//! The background task that follows the barrier feed, for as long as its guard lives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lightsout_api::Barriers;
use reqwest::Response;
use serde::de::Error as _;

use super::known::Known;
use crate::away::Away;
use crate::client::Client;
use crate::error::Error;
use crate::random;
use crate::sse::{Message, Messages, TooLong};

/// The longest wait before a service that is away is asked again.
const DELAY_MAX: Duration = Duration::from_secs(2);
/// Followers of a service that comes back come within this time, not all at once.
const SPREAD: Duration = Duration::from_secs(1);
/// How long one that refuses is left alone.
const REFUSED_DELAY: Duration = Duration::from_secs(8);
/// How long a service may take to open the stream.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// A stream that lived for this long and ends is opened again at once: its token was over, or its
/// service stopped.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// The shortest silence that a stream is given up for: heartbeats come every second.
const SILENCE_MIN: Duration = Duration::from_secs(2);
const FORGET_EVERY: Duration = Duration::from_hours(1);

pub(super) struct Follower {
    client: Client,
    known: Arc<Known>,
    silence_max: Duration,
    last_event_id: Option<String>,
    forget_at: Option<Instant>,
}

impl Follower {
    pub(super) fn new(client: Client, known: Arc<Known>, stale_after: Duration) -> Self {
        let silence_max = stale_after.max(SILENCE_MIN);
        Self { client, known, silence_max, last_event_id: None, forget_at: None }
    }

    /// Follows until it is dropped.
    pub(super) async fn follow(mut self) {
        let mut away = Away::asking_within(DELAY_MAX);
        loop {
            away.over().await;
            let opened_at = Instant::now();
            let error = self.read(&mut away).await.err();
            if error.is_none() && opened_at.elapsed() >= SETTLED_AFTER {
                continue;
            }
            let is_refused = error.as_ref().is_some_and(|error| !error.is_passing());
            let delay_min = if is_refused { REFUSED_DELAY } else { SPREAD.mul_f64(random::fraction()) };
            if let Some(error) = &error {
                self.known.failed(error.clone());
            }
            // Whatever it is, it may be mended at the service: a guard never gives up.
            let _ = away.failed(error, delay_min);
        }
    }

    /// Opens the stream and reads it to its end.
    async fn read(&mut self, away: &mut Away) -> Result<(), Error> {
        let too_late = || Error::no_answer_in_time(self.client.base_url());
        let opened = tokio::time::timeout(OPEN_WITHIN, self.open()).await;
        let mut stream = opened.unwrap_or_else(|_| Err(too_late()))?;
        let mut messages = Messages::default();
        let mut heard_at = Instant::now();
        loop {
            let silent_at = tokio::time::Instant::from_std(heard_at) + self.silence_max;
            let chunk = tokio::time::timeout_at(silent_at, stream.chunk()).await;
            let Some(chunk) = chunk.map_err(|_| Error::no_answer_in_time(self.client.base_url()))?? else {
                return Ok(());
            };
            let too_long =
                |TooLong| Error::unreadable(200, serde_json::Error::custom("a message is longer than 1 MiB"));
            for message in messages.take(&chunk).map_err(too_long)? {
                if self.learn(&message)? {
                    away.reset();
                }
                heard_at = Instant::now();
                self.last_event_id = Some(message.id).filter(|id| !id.is_empty());
            }
        }
    }

    /// Takes a message in. True: it shows that everything is known.
    fn learn(&mut self, message: &Message) -> Result<bool, Error> {
        let is_heartbeat = message.event == "heartbeat";
        // Other types may come to be.
        if !is_heartbeat && message.event != "barriers" {
            return Ok(false);
        }
        let news: Barriers =
            serde_json::from_str(&message.data).map_err(|source| Error::unreadable(200, source))?;
        self.known.learn(&news);
        // After other messages there may be more to come, and over a slow line for long.
        if is_heartbeat {
            if self.forget_at.is_none_or(|at| Instant::now() >= at) {
                self.known.forget(crate::transport::now());
                self.forget_at = Some(Instant::now() + FORGET_EVERY);
            }
            self.known.heard(Instant::now());
        }
        Ok(is_heartbeat)
    }

    async fn open(&self) -> Result<Response, Error> {
        self.client
            .open("/v1/barriers", |request| {
                let request = request.header("Accept", "text/event-stream");
                match &self.last_event_id {
                    Some(id) => request.header("Last-Event-ID", id),
                    None => request,
                }
            })
            .await
    }
}
