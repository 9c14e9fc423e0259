//! The same for programs without async: each method waits for its answer.
//!
//! Every method has the name, the meaning and the errors of the async one. None may be called from
//! async code: that panics.
//!
//! ```
//! # lightsout_testkit::example_blocking(|service| {
//! # let (url, token) = (service.url.as_str(), service.token.as_str());
//! use lightsout_client::{Auth, blocking::{Client, SessionTerminationManager}};
//!
//! let client = Client::new(url, Auth::developer_token(token))?;
//! let manager = SessionTerminationManager::new(client.clone());
//! manager.terminate_users_sessions(vec![], vec!["ann@acme.example".to_owned()])?;
//! for termination in client.all_terminations() {
//!     println!("{:?}", client.wait_until_done(&termination?.id.0)?.state);
//! }
//! # Ok(()) });
//! ```

use std::sync::Arc;
use std::time::Duration;

use lightsout_api::{
    AccessToken, CreateGroup, CreateGroupMembership, CreateTermination, CreateUser, Event, EventPage, Group,
    GroupMembership, Introspection, Outcome, OutcomePage, Page, Preview, RegisterSession, RegisteredSession,
    Session, SessionPage, SessionTerminationMessage, Termination, TerminationPage, UpdateGroup,
    UpdateGroupMembership, UpdateUser, User,
};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::{
    Auth, Authorization, CreateGroupTerminateSessionRequestBody, CreateUserTerminateSessionRequestBody,
    Error, EventQuery, Finding, Part, Parts,
};

/// A connection to Box or to a lightsout service. Clones share it, and the token.
#[derive(Clone, Debug)]
pub struct Client {
    client: crate::Client,
    runtime: Arc<Runtime>,
}

impl Client {
    /// Speaks to `base_url`: [`BOX`](crate::BOX), or the address of a service.
    ///
    /// ```
    /// use lightsout_client::{Auth, BOX, blocking::Client};
    ///
    /// let client = Client::new(BOX, Auth::developer_token("TOKEN"))?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn new(base_url: &str, auth: impl Into<Auth>) -> Result<Self, Error> {
        Self::waiting(crate::Client::new(base_url, auth)?)
    }

    /// Waits where this client would be awaited; for one made by [`Client::builder`](crate::Client::builder).
    ///
    /// ```
    /// use lightsout_client::{Auth, blocking};
    ///
    /// let client = lightsout_client::Client::builder(Auth::developer_token("TOKEN")).build()?;
    /// let client = blocking::Client::waiting(client)?;
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn waiting(client: crate::Client) -> Result<Self, Error> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder
            .worker_threads(1)
            .thread_name("lightsout-client")
            .enable_all()
            .build()
            .map_err(|error| Error::setup_because("cannot start the thread that waits", error))?;
        Ok(Self { client, runtime: Arc::new(runtime) })
    }

    /// The same connection on behalf of a user (`As-User`).
    ///
    /// ```
    /// # lightsout_testkit::example_blocking(|service| {
    /// # use lightsout_client::{Auth, blocking::Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.as_str()))?;
    /// # let user_id = service.user_id.as_str();
    /// let ann = client.as_user(user_id).me()?;
    /// assert_eq!(ann.login.as_deref(), Some("ann@acme.example"));
    /// # Ok(()) });
    /// ```
    pub fn as_user(&self, user_id: impl Into<String>) -> Self {
        self.with(self.client.as_user(user_id))
    }

    /// The same connection with other credentials.
    ///
    /// ```
    /// # lightsout_testkit::example_blocking(|service| {
    /// # use lightsout_client::{Auth, blocking::Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.as_str()))?;
    /// # let path = service.jwt_config.as_path();
    /// use lightsout_client::Jwt;
    ///
    /// let service_account = client.with_auth(Jwt::from_file(path)?);
    /// println!("{:?}", service_account.me()?.login);
    /// # Ok(()) });
    /// ```
    pub fn with_auth(&self, auth: impl Into<Auth>) -> Self {
        self.with(self.client.with_auth(auth))
    }

    /// Begins a sign-in; see [`Client::authorization`](crate::Client::authorization).
    ///
    /// ```
    /// use lightsout_client::{BOX, FileStore, OAuth, blocking::Client};
    ///
    /// let app = OAuth::new("CLIENT ID", FileStore::new("tokens.json")).client_secret("SECRET");
    /// let sign_in = Client::new(BOX, app)?.authorization("https://app.example/signed-in", &[])?;
    /// println!("open {}", sign_in.url);
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn authorization(&self, redirect_uri: &str, scopes: &[&str]) -> Result<Authorization, Error> {
        self.client.authorization(redirect_uri, scopes)
    }

    /// The address that it speaks to, without `/2.0`.
    ///
    /// ```
    /// use lightsout_client::{Auth, BOX, blocking::Client};
    ///
    /// assert_eq!(Client::new(BOX, Auth::developer_token("TOKEN"))?.base_url(), BOX);
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn base_url(&self) -> &str {
        self.client.base_url()
    }

    fn with(&self, client: crate::Client) -> Self {
        Self { client, runtime: Arc::clone(&self.runtime) }
    }

    fn each<T: Send>(&self, next: T) -> Each<T> {
        Each { next, runtime: Arc::clone(&self.runtime), ended: false }
    }
}

/// Stamps out methods that wait for the async ones of the same name.
macro_rules! waiting {
    ($face:ident: $($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {$(
        #[doc = concat!("Waits for [`", stringify!($name), "`](crate::", stringify!($face), "::", stringify!($name), ").")]
        pub fn $name(&self, $($argument: $kind),*) -> $answer {
            self.wait(self.face().$name($($argument),*))
        }
    )*};
}

impl Client {
    fn wait<F: Future>(&self, answer: F) -> F::Output {
        self.runtime.block_on(answer)
    }

    fn face(&self) -> &crate::Client {
        &self.client
    }

    waiting! { Client:
        exchange_code(sign_in: &Authorization, code: &str, state: &str) -> Result<(), Error>;
        downscope(scopes: &[&str], resource: Option<&str>) -> Result<AccessToken, Error>;
        access_token() -> Result<SecretString, Error>;
        revoke() -> Result<(), Error>;
        me() -> Result<User, Error>;
        create_user(user: &CreateUser) -> Result<User, Error>;
        user(user_id: &str) -> Result<User, Error>;
        update_user(user_id: &str, change: &UpdateUser) -> Result<User, Error>;
        delete_user(user_id: &str) -> Result<(), Error>;
        users(filter_term: &str, marker: Option<&str>, limit: u32) -> Result<Page<User>, Error>;
        create_group(group: &CreateGroup) -> Result<Group, Error>;
        group(group_id: &str) -> Result<Group, Error>;
        update_group(group_id: &str, change: &UpdateGroup) -> Result<Group, Error>;
        delete_group(group_id: &str) -> Result<(), Error>;
        groups(filter_term: &str, offset: u32, limit: u32) -> Result<Page<Group>, Error>;
        create_group_membership(membership: &CreateGroupMembership) -> Result<GroupMembership, Error>;
        add_member(group_id: &str, user_id: &str) -> Result<GroupMembership, Error>;
        group_membership(membership_id: &str) -> Result<GroupMembership, Error>;
        update_group_membership(membership_id: &str, change: &UpdateGroupMembership) -> Result<GroupMembership, Error>;
        delete_group_membership(membership_id: &str) -> Result<(), Error>;
        group_memberships(group_id: &str, offset: u32, limit: u32) -> Result<Page<GroupMembership>, Error>;
        event_page(query: &EventQuery) -> Result<EventPage, Error>;
        terminate(request: &CreateTermination, idempotency_key: Option<&str>) -> Result<Termination, Error>;
        terminate_in_parts(request: &CreateTermination, parts: Parts) -> Vec<Part<CreateTermination, Termination>>;
        preview_termination(request: &CreateTermination) -> Result<Preview, Error>;
        preview_in_parts(request: &CreateTermination, parts: Parts) -> Result<Preview, Error>;
        termination(id: &str) -> Result<Termination, Error>;
        terminations(marker: Option<&str>) -> Result<TerminationPage, Error>;
        outcomes(id: &str, marker: Option<&str>) -> Result<OutcomePage, Error>;
        retry_termination(id: &str) -> Result<Termination, Error>;
        wait_until_done(termination_id: &str) -> Result<Termination, Error>;
        register_sessions(sessions: Vec<RegisterSession>) -> Result<Vec<RegisteredSession>, Error>;
        sessions(user_id: &str, marker: Option<&str>) -> Result<SessionPage, Error>;
        end_session(session: &str) -> Result<(), Error>;
        introspect(token: &str) -> Result<Introspection, Error>;
    }
}

/// Stamps out lists and streams as iterators.
macro_rules! iterating {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $of:ty;)*) => {
        impl Client {$(
            #[doc = concat!("Iterates over [`", stringify!($name), "`](crate::Client::", stringify!($name), ").")]
            pub fn $name(&self, $($argument: $kind),*) -> Each<$of> {
                self.each(self.client.$name($($argument),*))
            }
        )*}
    };
}

iterating! {
    all_users(filter_term: &str) -> crate::Pages<User>;
    all_groups(filter_term: &str) -> crate::Pages<Group>;
    all_group_memberships(group_id: &str) -> crate::Pages<GroupMembership>;
    all_user_memberships(user_id: &str) -> crate::Pages<GroupMembership>;
    all_terminations() -> crate::Pages<Termination>;
    all_outcomes(id: &str) -> crate::Pages<Outcome>;
    all_sessions(user_id: &str) -> crate::Pages<Session>;
    events(query: EventQuery) -> crate::Events;
    follow_events(query: EventQuery, every: Duration) -> crate::Events;
    follow_termination(id: &str) -> crate::Follow;
}

/// A list or stream that waits for each entry. It ends after an error.
#[derive(Debug)]
pub struct Each<T> {
    next: T,
    runtime: Arc<Runtime>,
    ended: bool,
}

impl Each<crate::Events> {
    /// Where a later reader goes on; see [`Events::position`](crate::Events::position).
    ///
    /// ```
    /// # lightsout_testkit::example_blocking(|service| {
    /// # use lightsout_client::{Auth, blocking::Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.as_str()))?;
    /// use lightsout_client::EventQuery;
    ///
    /// let mut events = client.events(EventQuery::history());
    /// while let Some(event) = events.next().transpose()? {
    ///     println!("{}", event.event_type);
    /// }
    /// assert!(events.position().is_some());
    /// # Ok(()) });
    /// ```
    pub fn position(&self) -> Option<&str> {
        self.next.position()
    }

    /// Whether the server answered when it was asked last.
    ///
    /// ```
    /// # use lightsout_client::{Auth, BOX, EventQuery, blocking::Client};
    /// let client = Client::new(BOX, Auth::developer_token("TOKEN"))?;
    /// assert!(client.events(EventQuery::history()).is_connected(), "nothing failed yet");
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn is_connected(&self) -> bool {
        self.next.is_connected()
    }
}

impl Each<crate::Follow> {
    /// Whether the server answered when it was asked last.
    ///
    /// ```
    /// # use lightsout_client::{Auth, BOX, blocking::Client};
    /// let client = Client::new(BOX, Auth::developer_token("TOKEN"))?;
    /// assert!(client.follow_termination("t1").is_connected(), "nothing failed yet");
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn is_connected(&self) -> bool {
        self.next.is_connected()
    }
}

/// Stamps out the iterator over one kind of list.
macro_rules! each {
    ($([$($generic:tt)*] $of:ty => $entry:ty;)*) => {$(
        impl<$($generic)*> Iterator for Each<$of> {
            type Item = Result<$entry, Error>;

            fn next(&mut self) -> Option<Self::Item> {
                if self.ended {
                    return None;
                }
                let next = self.runtime.block_on(self.next.next()).transpose();
                self.ended = !matches!(next, Some(Ok(_)));
                next
            }
        }
    )*};
}

each! {
    [T: DeserializeOwned] crate::Pages<T> => T;
    [] crate::Events => Event;
    [] crate::Follow => Event;
}

/// The low-level face; see [`SessionTerminationApi`](crate::SessionTerminationApi).
#[derive(Clone, Debug)]
pub struct SessionTerminationApi {
    api: crate::SessionTerminationApi,
    runtime: Arc<Runtime>,
}

impl SessionTerminationApi {
    /// Calls through this client.
    ///
    /// ```
    /// # lightsout_testkit::example_blocking(|service| {
    /// # use lightsout_client::{Auth, blocking::Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.as_str()))?;
    /// # let group_id = service.group_id.clone();
    /// use lightsout_client::{PostGroupsTerminateSessionsRequest, blocking::SessionTerminationApi};
    ///
    /// let api = SessionTerminationApi::new(client);
    /// let request = PostGroupsTerminateSessionsRequest { group_ids: vec![group_id] };
    /// println!("{:?}", api.post_groups_terminate_sessions(Some(request))?.message);
    /// # Ok(()) });
    /// ```
    pub fn new(client: Client) -> Self {
        Self { api: crate::SessionTerminationApi::new(client.client), runtime: client.runtime }
    }

    fn wait<F: Future>(&self, answer: F) -> F::Output {
        self.runtime.block_on(answer)
    }

    fn face(&self) -> &crate::SessionTerminationApi {
        &self.api
    }

    waiting! { SessionTerminationApi:
        post_users_terminate_sessions(request: Option<CreateUserTerminateSessionRequestBody>) -> Result<SessionTerminationMessage, Error>;
        post_groups_terminate_sessions(request: Option<CreateGroupTerminateSessionRequestBody>) -> Result<SessionTerminationMessage, Error>;
    }
}

/// The face of Box's SDKs; see [`SessionTerminationManager`](crate::SessionTerminationManager).
#[derive(Clone, Debug)]
pub struct SessionTerminationManager {
    manager: crate::SessionTerminationManager,
    runtime: Arc<Runtime>,
}

impl SessionTerminationManager {
    /// Calls through this client.
    ///
    /// ```
    /// # lightsout_testkit::example_blocking(|service| {
    /// # use lightsout_client::{Auth, blocking::Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.as_str()))?;
    /// # let group_id = service.group_id.clone();
    /// use lightsout_client::blocking::SessionTerminationManager;
    ///
    /// let manager = SessionTerminationManager::new(client);
    /// println!("{:?}", manager.terminate_groups_sessions(vec![group_id])?.message);
    /// # Ok(()) });
    /// ```
    pub fn new(client: Client) -> Self {
        Self { manager: crate::SessionTerminationManager::new(client.client), runtime: client.runtime }
    }

    fn wait<F: Future>(&self, answer: F) -> F::Output {
        self.runtime.block_on(answer)
    }

    fn face(&self) -> &crate::SessionTerminationManager {
        &self.manager
    }

    waiting! { SessionTerminationManager:
        create_user_terminate_session(request_body: CreateUserTerminateSessionRequestBody) -> Result<SessionTerminationMessage, Error>;
        create_group_terminate_session(request_body: CreateGroupTerminateSessionRequestBody) -> Result<SessionTerminationMessage, Error>;
        terminate_users_sessions(user_ids: Vec<String>, user_logins: Vec<String>) -> Result<SessionTerminationMessage, Error>;
        terminate_groups_sessions(group_ids: Vec<String>) -> Result<SessionTerminationMessage, Error>;
        terminate_users_in_parts(request_body: CreateUserTerminateSessionRequestBody, parts: Parts) -> Vec<Part<CreateUserTerminateSessionRequestBody, SessionTerminationMessage>>;
        terminate_groups_in_parts(request_body: CreateGroupTerminateSessionRequestBody, parts: Parts) -> Vec<Part<CreateGroupTerminateSessionRequestBody, SessionTerminationMessage>>;
        terminate_users_and_wait(request_body: CreateUserTerminateSessionRequestBody, patience: Duration) -> Result<Finding, Error>;
        terminate_groups_and_wait(request_body: CreateGroupTerminateSessionRequestBody, patience: Duration) -> Result<Finding, Error>;
    }
}
