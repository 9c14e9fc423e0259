//! The barrier feed of a service, for apps that keep their own sessions.
//!
//! `facts.rs` is the index, `known.rs` what is known and how fresh it is, `follower.rs` the task that
//! follows the feed, `layer.rs` the Tower layer.

mod facts;
mod follower;
mod known;
#[cfg(feature = "tower")]
mod layer;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lightsout_api::Barriers;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::error::Error;
use follower::Follower;
use known::Known;
#[cfg(feature = "tower")]
pub use layer::{BarrierLayer, BarrierService, SessionOf, WhenStale};

/// The longest time that a service lets a long poll wait.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// By which name of a person the app's sessions know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// The service's id of the user: it never changes.
    UserId,
    /// The login, without regard to case. A barrier has the login of the moment of the termination: a
    /// session under an earlier one is not found by it.
    Login,
    /// The id in the app's own directory that the service was told, exactly as it was told. People
    /// without one are not found.
    ExternalId,
}

/// How a [`BarrierGuard`] judges.
///
/// ```
/// use std::time::Duration;
/// use lightsout_client::{BarrierOptions, KnownBy};
///
/// let options = BarrierOptions {
///     stale_after: Duration::from_secs(10),
///     ..BarrierOptions::new(KnownBy::Login)
/// };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BarrierOptions {
    /// By which name the app asks.
    pub known_by: KnownBy,
    /// How far the app's clock may be ahead of the service's: 5 s. It is added to each cutoff, so who
    /// signs in again within this time after a termination is refused once more.
    pub clock_skew: Duration,
    /// After how long without a sign of the service the answer is [`Verdict::Stale`]: 5 s. Signs come
    /// about every second.
    pub stale_after: Duration,
    /// The longest life of a session of the app: 30 days. Barriers that are older than the newest one by
    /// more than this are forgotten.
    pub longest_session: Duration,
}

impl BarrierOptions {
    /// The defaults, for an app that knows people by this name.
    ///
    /// ```
    /// use lightsout_client::{BarrierOptions, KnownBy};
    ///
    /// let options = BarrierOptions::new(KnownBy::UserId);
    /// assert_eq!(options.clock_skew, std::time::Duration::from_secs(5));
    /// ```
    pub fn new(known_by: KnownBy) -> Self {
        Self {
            known_by,
            clock_skew: Duration::from_secs(5),
            stale_after: Duration::from_secs(5),
            longest_session: Duration::from_hours(30 * 24),
        }
    }
}

/// What a [`BarrierGuard`] says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was not ended, as far as the service knew moments ago.
    Live,
    /// It was ended. That stays true, also while the service is away.
    Ended,
    /// It is not known to be ended, and the service was not heard for too long: the app decides.
    Stale,
}

impl Client {
    /// Asks once what was ended since the position `after`; 0 is all that is still of interest.
    ///
    /// If there is nothing, the service waits for up to `wait` (a minute at most, and half of the client's
    /// timeout). It takes an app with the right `feed`. To know at each request, use
    /// [`Client::follow_barriers`] instead.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{BarrierOptions, Client, ClientCredentials, KnownBy, Subject};
    /// # let app = ClientCredentials::new(
    /// #     &service.client_id, service.client_secret.clone(), Subject::enterprise(&service.enterprise_id));
    /// # let client = Client::new(&service.url, app)?;
    /// # client.terminate(&lightsout_client::api::CreateTermination {
    /// #     user_ids: vec![service.user_id.as_str().into()], ..Default::default() }, None).await?;
    /// use std::time::Duration;
    ///
    /// let news = client.barriers(0, Duration::from_secs(30)).await?;
    /// for barrier in &news.barriers {
    ///     println!("{}: sessions from before {} are over", barrier.user_id, barrier.cutoff);
    /// }
    /// # assert_eq!(news.barriers[0].user_id.as_str(), service.user_id);
    /// let later = client.barriers(news.position, Duration::from_secs(1)).await?;
    /// # assert!(later.barriers.is_empty());
    /// # Ok(()) });
    /// ```
    pub async fn barriers(&self, after: i64, wait: Duration) -> Result<Barriers, Error> {
        let wait = wait.min(WAIT_MAX).min(self.transport().timeout / 2);
        let query = [("after", after.to_string()), ("wait_s", wait.as_secs().to_string())];
        self.get("/v1/barriers", &query).await
    }

    /// Begins to follow what is ended, in a task of its own, until the guard is dropped.
    ///
    /// It takes an app with the right `feed`, and is called within a tokio runtime.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # let (url, client_id, secret) = (&service.url, &service.client_id, service.client_secret.clone());
    /// # let enterprise_id = &service.enterprise_id;
    /// # let began_at = jiff::Timestamp::UNIX_EPOCH;
    /// use lightsout_client::{BarrierOptions, Client, ClientCredentials, KnownBy, Subject, Verdict};
    ///
    /// let app = ClientCredentials::new(client_id, secret, Subject::enterprise(enterprise_id));
    /// let client = Client::new(url, app)?;
    /// let guard = client.follow_barriers(BarrierOptions::new(KnownBy::Login));
    /// guard.caught_up().await?;
    ///
    /// match guard.check("ann@acme.example", began_at) {
    ///     Verdict::Live => println!("go on"),
    ///     Verdict::Ended => println!("sign in again"),
    ///     Verdict::Stale => println!("the service is away: your choice"),
    /// }
    /// # assert_eq!(guard.check("ann@acme.example", began_at), Verdict::Live);
    /// # Ok(()) });
    /// ```
    pub fn follow_barriers(&self, options: BarrierOptions) -> BarrierGuard {
        let stale_after = options.stale_after;
        let known = Arc::new(Known::new(options));
        let follower = Follower::new(self.clone(), Arc::clone(&known), stale_after);
        let task = Arc::new(Task(tokio::spawn(follower.follow())));
        BarrierGuard { known, _task: task }
    }
}

/// Knows in memory which sessions a service ended. Clones share it; the last one dropped ends it.
///
/// It follows the service's feed by position, however often the connection breaks or the service is away,
/// and never gives up; a token is renewed when it ends. Answers cost well under a microsecond, wait for
/// nothing, and come from any thread.
#[derive(Clone)]
pub struct BarrierGuard {
    known: Arc<Known>,
    _task: Arc<Task>,
}

/// Ends with its last owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for BarrierGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierGuard")
            .field("position", &self.position())
            .field("is_fresh", &self.is_fresh())
            .finish_non_exhaustive()
    }
}

impl BarrierGuard {
    /// Judges a session of a person, by the name that the options say, that began at this instant.
    ///
    /// The instant is that of the sign-in: a session that is renewed, or gets a new id, keeps it.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{BarrierOptions, Client, ClientCredentials, KnownBy, Subject};
    /// # let app = ClientCredentials::new(
    /// #     &service.client_id, service.client_secret.clone(), Subject::enterprise(&service.enterprise_id));
    /// # let client = Client::new(&service.url, app)?;
    /// # let guard = client.follow_barriers(BarrierOptions::new(KnownBy::Login));
    /// # guard.caught_up().await?;
    /// # let began_at = jiff::Timestamp::UNIX_EPOCH;
    /// use lightsout_client::{SessionTerminationManager, Verdict};
    ///
    /// let manager = SessionTerminationManager::new(client);
    /// manager.terminate_users_sessions(vec![], vec!["ann@acme.example".to_owned()]).await?;
    /// // Milliseconds later:
    /// while guard.check("ann@acme.example", began_at) != Verdict::Ended {
    ///     tokio::task::yield_now().await;
    /// }
    /// assert_eq!(guard.check("bob@acme.example", began_at), Verdict::Live);
    /// # Ok(()) });
    /// ```
    pub fn check(&self, user: &str, began_at: Timestamp) -> Verdict {
        self.known.check_at(user, began_at, Instant::now())
    }

    /// Judges a registered session that may have been ended alone, by its id.
    ///
    /// Only for apps that register their sessions (`POST /v1/sessions`), and besides
    /// [`check`](Self::check): what ends all sessions of a person is not listed by session. It is known until
    /// the session would have expired.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{BarrierOptions, Client, ClientCredentials, KnownBy, Subject};
    /// # let app = ClientCredentials::new(
    /// #     &service.client_id, service.client_secret.clone(), Subject::enterprise(&service.enterprise_id));
    /// # let client = Client::new(&service.url, app)?;
    /// # let guard = client.follow_barriers(BarrierOptions::new(KnownBy::Login));
    /// # guard.caught_up().await?;
    /// # let session_id = service.sign_in("ann@acme.example", 1).await.remove(0);
    /// use lightsout_client::Verdict;
    ///
    /// assert_eq!(guard.check_session(&session_id), Verdict::Live);
    /// let sessions = client.sessions(&service.user_id, None).await?.entries;
    /// client.end_session(sessions[0].id.as_str()).await?;
    /// // Milliseconds later:
    /// while guard.check_session(&session_id) != Verdict::Ended {
    ///     tokio::task::yield_now().await;
    /// }
    /// # Ok(()) });
    /// ```
    pub fn check_session(&self, session_id: &str) -> Verdict {
        self.known.check_session_at(session_id, Instant::now())
    }

    /// Waits until everything that was ended before is known.
    ///
    /// An error is one that does not pass by itself: the credentials are refused, the app lacks the right
    /// `feed`, the service has no feed. The guard tries on nevertheless, and this may be called again.
    /// Afterwards it answers at once.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{BarrierOptions, Client, ClientCredentials, KnownBy, Subject};
    /// # let app = ClientCredentials::new(
    /// #     &service.client_id, service.client_secret.clone(), Subject::enterprise(&service.enterprise_id));
    /// # let client = Client::new(&service.url, app)?;
    /// # let guard = client.follow_barriers(BarrierOptions::new(KnownBy::Login));
    /// guard.caught_up().await?;
    /// assert!(guard.is_fresh());
    ///
    /// # let token = service.token.as_str();
    /// use lightsout_client::{Auth, Error};
    ///
    /// let admin = client.with_auth(Auth::developer_token(token));
    /// let refused = admin.follow_barriers(BarrierOptions::new(KnownBy::Login)).caught_up().await;
    /// assert!(matches!(refused, Err(Error::NotAllowed(_))));
    /// # Ok(()) });
    /// ```
    pub async fn caught_up(&self) -> Result<(), Error> {
        self.known.caught_up().await
    }

    /// Whether the service was heard within [`BarrierOptions::stale_after`], and said that nothing is missing.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{BarrierOptions, Client, ClientCredentials, KnownBy, Subject};
    /// # let app = ClientCredentials::new(
    /// #     &service.client_id, service.client_secret.clone(), Subject::enterprise(&service.enterprise_id));
    /// # let client = Client::new(&service.url, app)?;
    /// # let guard = client.follow_barriers(BarrierOptions::new(KnownBy::Login));
    /// assert!(!guard.is_fresh());
    /// guard.caught_up().await?;
    /// assert!(guard.is_fresh());
    /// # Ok(()) });
    /// ```
    pub fn is_fresh(&self) -> bool {
        self.known.is_fresh_at(Instant::now())
    }

    /// How far it has heard: a position of the service's event log.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{BarrierOptions, Client, ClientCredentials, KnownBy, Subject};
    /// # let app = ClientCredentials::new(
    /// #     &service.client_id, service.client_secret.clone(), Subject::enterprise(&service.enterprise_id));
    /// # let client = Client::new(&service.url, app)?;
    /// # let guard = client.follow_barriers(BarrierOptions::new(KnownBy::Login));
    /// guard.caught_up().await?;
    /// println!("barriers up to {}", guard.position());
    /// # assert!(guard.position() > 0);
    /// # Ok(()) });
    /// ```
    pub fn position(&self) -> i64 {
        self.known.position()
    }

    /// Why the feed could not be followed last; none while it is.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{BarrierOptions, Client, ClientCredentials, KnownBy, Subject};
    /// # let app = ClientCredentials::new(
    /// #     &service.client_id, service.client_secret.clone(), Subject::enterprise(&service.enterprise_id));
    /// # let client = Client::new(&service.url, app)?;
    /// # let guard = client.follow_barriers(BarrierOptions::new(KnownBy::Login));
    /// if let Some(error) = guard.failure() {
    ///     eprintln!("the barrier feed: {error}");
    /// }
    /// # guard.caught_up().await?;
    /// # assert!(guard.failure().is_none());
    /// # Ok(()) });
    /// ```
    pub fn failure(&self) -> Option<Error> {
        self.known.failure()
    }
}
