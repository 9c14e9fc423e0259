//! Follows a termination: server-sent events, resumed after a break.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use lightsout_api::{Event, TerminationState};
use reqwest::Response;
use serde::de::Error as _;

use crate::away::Away;
use crate::client::Client;
use crate::error::Error;
use crate::sse::{Messages, TooLong};
use crate::transport::segment;

/// A termination's events, one by one, each once.
pub struct Follow {
    id: String,
    /// Keeps the step under way when a call of `next` is dropped.
    events: BoxStream<'static, Result<Event, Error>>,
    is_connected: Arc<AtomicBool>,
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Follow {
    pub(crate) fn new(client: Client, id: &str) -> Self {
        let reader = Reader {
            client,
            id: id.to_owned(),
            last_event_id: None,
            stream: None,
            messages: Messages::default(),
            ready: VecDeque::new(),
            closed: false,
            gave: false,
            away: Away::new(),
        };
        let is_connected = reader.away.is_connected();
        let events = stream::unfold(reader, |mut reader| async move {
            let next = reader.next().await.transpose()?;
            Some((next, reader))
        });
        Self { id: id.to_owned(), events: events.fuse().boxed(), is_connected }
    }

    /// The next event; none when the termination is finished and every event was given.
    ///
    /// A call may be dropped, as in `select!` or after a timeout: what it began goes on with the next one.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let request = lightsout_client::api::CreateTermination {
    /// #     user_ids: vec![service.user_id.as_str().into()], ..Default::default() };
    /// # let id = client.terminate(&request, None).await?.id.0;
    /// let mut events = client.follow_termination(&id);
    /// while let Some(event) = events.next().await? {
    ///     println!("{} {}", event.created_at, event.event_type);
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        self.events.try_next().await
    }

    /// Whether the server answers; following goes on by itself once it does again.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let request = lightsout_client::api::CreateTermination {
    /// #     user_ids: vec![service.user_id.as_str().into()], ..Default::default() };
    /// # let id = client.terminate(&request, None).await?.id.0;
    /// use std::time::Duration;
    ///
    /// let mut events = client.follow_termination(&id);
    /// loop {
    ///     match tokio::time::timeout(Duration::from_secs(5), events.next()).await {
    ///         Ok(event) => {
    ///             let Some(event) = event? else { break };
    ///             println!("{}", event.event_type);
    ///         }
    ///         Err(_) if events.is_connected() => println!("nothing new"),
    ///         Err(_) => println!("the server is away"),
    ///     }
    /// }
    /// # Ok(()) });
    /// ```
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }
}

/// Reads the stream, and opens it again.
struct Reader {
    client: Client,
    id: String,
    last_event_id: Option<String>,
    stream: Option<Response>,
    messages: Messages,
    ready: VecDeque<(String, Event)>,
    /// Whether the last event given was the one that closes a termination.
    closed: bool,
    /// Whether the stream that is open, or was last, gave an event.
    gave: bool,
    away: Away,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some((id, event)) = self.ready.pop_front() {
                self.last_event_id = Some(id);
                self.gave = true;
                self.closed = event.event_type == "SESSION_TERMINATION_DONE";
                self.away.reset();
                return Ok(Some(event));
            }
            let failed = match self.read().await {
                Ok(true) => continue,
                // The stream ended. That is the end after the closing event, or where a whole stream
                // had none to give (it was pruned), if the termination was not opened again: a
                // service that restarts ends its streams, too.
                Ok(false) if self.closed || !self.gave => match self.is_finished().await {
                    Ok(true) => return Ok(None),
                    Ok(false) => None,
                    Err(error) => Some(error),
                },
                Ok(false) => None,
                Err(error) => Some(error),
            };
            self.stream = None;
            self.messages = Messages::default();
            self.away.failed(failed, Duration::ZERO)?;
        }
    }

    async fn is_finished(&self) -> Result<bool, Error> {
        Ok(self.client.termination(&self.id).await?.state != TerminationState::Running)
    }

    /// Reads some more of the stream. False: it ended.
    async fn read(&mut self) -> Result<bool, Error> {
        if self.stream.is_none() {
            self.away.over().await;
            self.stream = Some(self.open().await?);
            self.away.back();
            self.gave = false;
        }
        let stream = self.stream.as_mut().expect("opened above");
        let Some(chunk) = stream.chunk().await? else { return Ok(false) };
        let unreadable = |source| Error::unreadable(200, source);
        let too_long = |TooLong| unreadable(serde_json::Error::custom("an event is longer than 1 MiB"));
        for message in self.messages.take(&chunk).map_err(too_long)? {
            let event = serde_json::from_str(&message.data).map_err(unreadable)?;
            self.ready.push_back((message.id, event));
        }
        Ok(true)
    }

    async fn open(&self) -> Result<Response, Error> {
        let path = format!("/v1/terminations/{}/events", segment(&self.id));
        self.client
            .open(&path, |request| match &self.last_event_id {
                Some(id) => request.header("Last-Event-ID", id),
                None => request,
            })
            .await
    }
}
