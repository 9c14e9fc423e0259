//! Admin events: pages of them, and a stream that follows.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::{Stream, stream};
use jiff::Timestamp;
use lightsout_api::{Event, EventPage};

use crate::away::Away;
use crate::client::Client;
use crate::error::Error;

/// How many events are remembered so as not to be given twice.
const SEEN_MAX: usize = 10_000;

/// Which admin events to read.
///
/// ```
/// use lightsout_client::EventQuery;
///
/// let query = EventQuery {
///     event_types: vec!["SESSION_TERMINATION_DONE".to_owned()],
///     ..EventQuery::history()
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    /// Which of Box's two streams.
    pub stream_type: StreamType,
    /// Where to begin: a position of an earlier page, `now`, or none for the oldest event.
    pub position: Option<String>,
    /// Only these types; none are all.
    pub event_types: Vec<String>,
    /// Only what happened after this instant; `admin_logs` only.
    pub created_after: Option<Timestamp>,
    /// Only what happened before this instant; `admin_logs` only.
    pub created_before: Option<Timestamp>,
    /// The most events of a page: 500, Box's most.
    pub limit: u32,
}

/// Box's streams of admin events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamType {
    /// `admin_logs`: in order, each once, a year long; at Box minutes late.
    AdminLogs,
    /// `admin_logs_streaming`: nearly at once, at Box unordered, repeated, and two weeks long.
    AdminLogsStreaming,
}

impl EventQuery {
    /// All of `admin_logs`.
    ///
    /// ```
    /// use lightsout_client::EventQuery;
    ///
    /// let from_2026 = EventQuery {
    ///     created_after: Some("2026-01-01T00:00:00Z".parse()?),
    ///     ..EventQuery::history()
    /// };
    /// # Ok::<(), jiff::Error>(())
    /// ```
    pub fn history() -> Self {
        Self {
            stream_type: StreamType::AdminLogs,
            position: None,
            event_types: Vec::new(),
            created_after: None,
            created_before: None,
            limit: 500,
        }
    }

    /// All of `admin_logs_streaming`.
    ///
    /// ```
    /// use lightsout_client::EventQuery;
    ///
    /// let from_now_on = EventQuery { position: Some("now".to_owned()), ..EventQuery::streaming() };
    /// ```
    pub fn streaming() -> Self {
        Self { stream_type: StreamType::AdminLogsStreaming, ..Self::history() }
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let stream_type = match self.stream_type {
            StreamType::AdminLogs => "admin_logs",
            StreamType::AdminLogsStreaming => "admin_logs_streaming",
        };
        let mut fields = vec![("stream_type", stream_type.to_owned()), ("limit", self.limit.to_string())];
        fields.extend(self.position.as_ref().map(|position| ("stream_position", position.clone())));
        if !self.event_types.is_empty() {
            fields.push(("event_type", self.event_types.join(",")));
        }
        fields.extend(self.created_after.map(|at| ("created_after", at.to_string())));
        fields.extend(self.created_before.map(|at| ("created_before", at.to_string())));
        fields
    }
}

impl Client {
    /// Reads one page of admin events.
    ///
    /// It takes an admin, a coadmin who may run reports, or a service account, and the scope
    /// `manage_enterprise_properties`.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use lightsout_client::EventQuery;
    ///
    /// let page = client.event_page(&EventQuery { limit: 10, ..EventQuery::history() }).await?;
    /// let next = EventQuery { position: Some(page.position()), ..EventQuery::history() };
    /// # assert!(!page.entries.is_empty() || next.position.is_some());
    /// # Ok(()) });
    /// ```
    pub async fn event_page(&self, query: &EventQuery) -> Result<EventPage, Error> {
        self.get("/2.0/events", &query.fields()).await
    }

    /// Reads admin events to the newest one.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use lightsout_client::EventQuery;
    ///
    /// let mut events = client.events(EventQuery::history());
    /// while let Some(event) = events.next().await? {
    ///     println!("{} {}", event.created_at, event.event_type);
    /// }
    /// # Ok(()) });
    /// ```
    pub fn events(&self, query: EventQuery) -> Events {
        Events::new(self.clone(), query, None)
    }

    /// Reads admin events and goes on with what comes, asking anew after `every`.
    ///
    /// A server that is away for up to 5 minutes is waited for; [`Events::is_connected`] says so meanwhile.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use std::time::Duration;
    /// use lightsout_client::EventQuery;
    ///
    /// let query = EventQuery { position: Some("0".to_owned()), ..EventQuery::streaming() };
    /// let mut events = client.follow_events(query, Duration::from_secs(5));
    /// # client.terminate(&lightsout_client::api::CreateTermination {
    /// #     user_ids: vec![service.user_id.as_str().into()], ..Default::default() }, None).await?;
    /// if let Some(event) = events.next().await? {
    ///     println!("{} {}", event.created_at, event.event_type);
    /// }
    /// # Ok(()) });
    /// ```
    pub fn follow_events(&self, query: EventQuery, every: Duration) -> Events {
        Events::new(self.clone(), query, Some(every))
    }
}

/// Admin events, one by one, each once.
pub struct Events {
    client: Client,
    query: EventQuery,
    every: Option<Duration>,
    /// The page that is asked for, kept when a call of `next` is dropped.
    asking: Option<BoxFuture<'static, Result<EventPage, Error>>>,
    away: Away,
    ready: VecDeque<Event>,
    next_position: Option<String>,
    seen: HashSet<String>,
    seen_order: VecDeque<String>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("query", &self.query)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

impl Events {
    fn new(client: Client, query: EventQuery, every: Option<Duration>) -> Self {
        Self {
            client,
            query,
            every,
            asking: None,
            away: Away::new(),
            ready: VecDeque::new(),
            next_position: None,
            seen: HashSet::new(),
            seen_order: VecDeque::new(),
        }
    }

    /// The next event; none at the newest one, unless it follows.
    ///
    /// After an error it may be called again. A call may be dropped, as in `select!` or after a timeout:
    /// what it began goes on with the next one.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # use lightsout_client::EventQuery;
    /// let mut events = client.events(EventQuery::history());
    /// while let Some(event) = events.next().await? {
    ///     println!("{}", event.event_type);
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if let Some(position) = self.next_position.take() {
                self.query.position = Some(position);
            }
            let page = match (self.page().await, self.every) {
                (Ok(page), _) => page,
                (Err(error), None) => return Err(error),
                (Err(error), Some(every)) => {
                    self.away.failed(Some(error), every)?;
                    continue;
                }
            };
            self.away.reset();
            let position = page.position();
            // A page that leads to itself is the newest one, whatever it repeats.
            let newest = page.entries.is_empty() || self.query.position.as_ref() == Some(&position);
            self.next_position = Some(position);
            for event in page.entries {
                if self.is_new(&event.event_id) {
                    self.ready.push_back(event);
                }
            }
            if newest && self.ready.is_empty() {
                self.query.position = self.next_position.take();
                let Some(every) = self.every else { return Ok(None) };
                self.away.wait(every);
            }
        }
    }

    async fn page(&mut self) -> Result<EventPage, Error> {
        self.away.over().await;
        let asking = self.asking.get_or_insert_with(|| {
            let (client, query) = (self.client.clone(), self.query.clone());
            async move { client.event_page(&query).await }.boxed()
        });
        let page = asking.await;
        self.asking = None;
        page
    }

    /// Whether the server answered when it was asked last; following goes on by itself once it does again.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # use lightsout_client::EventQuery;
    /// use std::time::Duration;
    ///
    /// let mut events = client.follow_events(EventQuery::history(), Duration::from_secs(5));
    /// match tokio::time::timeout(Duration::from_secs(5), events.next()).await {
    ///     Ok(event) => println!("{:?}", event?),
    ///     Err(_) if events.is_connected() => println!("nothing new"),
    ///     Err(_) => println!("the server is away"),
    /// }
    /// # Ok(()) });
    /// ```
    pub fn is_connected(&self) -> bool {
        self.away.is_connected().load(Ordering::Relaxed)
    }

    /// Where a later reader goes on: at the page of the last event given, so some may come again.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # use lightsout_client::EventQuery;
    /// let mut events = client.events(EventQuery::history());
    /// while events.next().await?.is_some() {}
    /// let later = EventQuery { position: events.position().map(str::to_owned), ..EventQuery::history() };
    /// # assert!(client.events(later).next().await?.is_none());
    /// # Ok(()) });
    /// ```
    pub fn position(&self) -> Option<&str> {
        self.query.position.as_deref()
    }

    /// The same as a [`Stream`], which ends after an error.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use futures_util::TryStreamExt;
    /// use lightsout_client::EventQuery;
    ///
    /// let events: Vec<_> = client.events(EventQuery::history()).into_stream().try_collect().await?;
    /// # Ok(()) });
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<Event, Error>> + Unpin {
        Box::pin(stream::try_unfold(self, |mut events| async move {
            Ok(events.next().await?.map(|event| (event, events)))
        }))
    }

    fn is_new(&mut self, event_id: &str) -> bool {
        if !self.seen.insert(event_id.to_owned()) {
            return false;
        }
        self.seen_order.push_back(event_id.to_owned());
        if self.seen_order.len() > SEEN_MAX
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}
