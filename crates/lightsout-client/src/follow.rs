//! Follows a termination: server-sent events (HTML standard, section 9.2), resumed after a break.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use lightsout_api::{Event, TerminationState};
use reqwest::Response;

use crate::client::Client;
use crate::error::Error;
use crate::transport::segment;

/// How long to wait before a broken stream is opened anew; it doubles, up to the other.
const RESUME_DELAY: Duration = Duration::from_millis(250);
const RESUME_DELAY_MAX: Duration = Duration::from_secs(8);
/// How long a server may be away before following fails.
const AWAY_MAX: Duration = Duration::from_mins(5);

/// A termination's events, one by one, each once.
#[derive(Debug)]
pub struct Follow {
    client: Client,
    id: String,
    last_event_id: Option<String>,
    stream: Option<Response>,
    buffer: Vec<u8>,
    ready: VecDeque<(String, Event)>,
    /// Whether the last event given was the one that closes a termination.
    closed: bool,
    /// Whether the stream that is open, or was last, gave an event.
    gave: bool,
    resumes: u32,
    away_since: Option<Instant>,
}

impl Follow {
    pub(crate) fn new(client: Client, id: &str) -> Self {
        Self {
            client,
            id: id.to_owned(),
            last_event_id: None,
            stream: None,
            buffer: Vec::new(),
            ready: VecDeque::new(),
            closed: false,
            gave: false,
            resumes: 0,
            away_since: None,
        }
    }

    /// The next event; none when the termination is finished and every event was given.
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
        loop {
            if let Some((id, event)) = self.ready.pop_front() {
                self.last_event_id = Some(id);
                self.gave = true;
                self.closed = event.event_type == "SESSION_TERMINATION_DONE";
                self.resumes = 0;
                self.away_since = None;
                return Ok(Some(event));
            }
            match self.fill().await {
                Ok(true) => {}
                // The stream ended. That is the end after the closing event, or where a whole stream
                // had none to give (it was pruned), if the termination was not opened again: a
                // service that restarts ends its streams, too.
                Ok(false) if (self.closed || !self.gave) && self.is_finished().await? => return Ok(None),
                Ok(false) => self.resume(None).await?,
                Err(error) => self.resume(Some(error)).await?,
            }
        }
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
        self.away_since.is_none()
    }

    async fn is_finished(&self) -> Result<bool, Error> {
        Ok(self.client.termination(&self.id).await?.state != TerminationState::Running)
    }

    async fn resume(&mut self, error: Option<Error>) -> Result<(), Error> {
        self.stream = None;
        self.buffer.clear();
        let away_since = *self.away_since.get_or_insert_with(Instant::now);
        let retry_after = error.as_ref().and_then(|error| error.api()?.retry_after).unwrap_or_default();
        if let Some(error) = error
            && (!error.is_passing() || away_since.elapsed() + retry_after > AWAY_MAX)
        {
            return Err(error);
        }
        let delay = RESUME_DELAY.saturating_mul(2_u32.saturating_pow(self.resumes)).min(RESUME_DELAY_MAX);
        self.resumes += 1;
        tokio::time::sleep(delay.max(retry_after)).await;
        Ok(())
    }

    /// Reads some more of the stream. False: it ended.
    async fn fill(&mut self) -> Result<bool, Error> {
        if self.stream.is_none() {
            self.stream = Some(self.open().await?);
            self.away_since = None;
            self.gave = false;
        }
        let stream = self.stream.as_mut().expect("opened above");
        let Some(chunk) = stream.chunk().await? else { return Ok(false) };
        self.buffer.extend_from_slice(&chunk);
        // A blank line ends an event.
        while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
            let message: Vec<u8> = self.buffer.drain(..end + 2).collect();
            if let Some(event) = parse(&String::from_utf8_lossy(&message))? {
                self.ready.push_back(event);
            }
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

/// Reads one message; none for a comment.
fn parse(message: &str) -> Result<Option<(String, Event)>, Error> {
    let (mut id, mut data) = (String::new(), String::new());
    for line in message.lines() {
        if let Some(value) = line.strip_prefix("id:") {
            value.trim_start().clone_into(&mut id);
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push_str(value.trim_start());
        }
    }
    if data.is_empty() {
        return Ok(None);
    }
    let event = serde_json::from_str(&data).map_err(|source| Error::unreadable(200, source))?;
    Ok(Some((id, event)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_events() {
        assert!(parse(":\n\n").expect("a comment").is_none());
    }

    #[test]
    fn an_event_has_its_position() {
        let message = "id: 7\nevent: T\ndata: {\"type\":\"event\",\"event_id\":\"e\",\"event_type\":\"T\",\"created_at\":\"2026-01-02T03:04:05Z\"}\n\n";
        let (id, event) = parse(message).expect("readable").expect("an event");
        assert_eq!((id.as_str(), event.event_type.as_str()), ("7", "T"));
    }
}
