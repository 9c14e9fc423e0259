//! Rust client for Box's session termination API, and for lightsout, which speaks the same wire.
//!
//! [`SessionTerminationApi`] is the low-level face, [`SessionTerminationManager`] the one that
//! Box's SDKs have; both go through one [`Client`]. Base URLs decide whom they speak to.
//!
//! ```no_run
//! # async fn example() -> Result<(), lightsout_client::Error> {
//! use lightsout_client::{BOX, Client, Jwt, SessionTerminationManager};
//!
//! let client = Client::new(BOX, Jwt::from_file("box-config.json")?)?;
//! let manager = SessionTerminationManager::new(client);
//! let message = manager.terminate_groups_sessions(vec!["123456".to_owned()]).await?;
//! println!("{}", message.message.unwrap_or_default());
//! # Ok(())
//! # }
//! ```
//!
//! Box accepts, and says no more. A lightsout service goes on to say what became of it:
//!
//! ```
//! # lightsout_testkit::example(|service| async move {
//! # let (url, token) = (service.url.as_str(), service.token.as_str());
//! use lightsout_client::{Auth, Client, api::CreateTermination};
//!
//! let client = Client::new(url, Auth::developer_token(token))?;
//! let request = CreateTermination {
//!     logins: vec!["ann@acme.example".to_owned()],
//!     ..CreateTermination::default()
//! };
//! let accepted = client.terminate(&request, None).await?;
//! println!("{:?}", client.wait_until_done(&accepted.id.0).await?.state);
//! # Ok(()) });
//! ```
//!
//! # What a failure says
//!
//! [`Error`] has a variant for each thing that a caller can do about it. Failures that may pass by
//! themselves are tried again first, as [`Retry`] describes. `docs/misbehaviour.md` in the repository is
//! a tested table of what each misbehaviour of a server costs, and of what the caller sees.
//!
//! # Apps that keep their own sessions
//!
//! [`BarrierGuard`] follows what a service ended, and tells an app in memory which of its sessions it must
//! refuse. `docs/barriers.md` in the repository says what an app chooses by it.
//!
//! # Features
//!
//! * `blocking`: `blocking`, the same for programs without async.
//! * `tower`: `BarrierLayer`, which refuses the requests of ended sessions in axum and wherever else Tower
//!   layers go.
//! * `tracing`: one debug event for each attempt, with method, path, status and time; of a stream, when
//!   it is opened.
//!
//! TLS is rustls with the operating system's certificates; nothing has to be set up for it.

#![deny(missing_docs)]

mod auth;
mod away;
mod barriers;
#[cfg(feature = "blocking")]
pub mod blocking;
mod client;
mod directory;
mod error;
mod events;
mod follow;
mod pages;
mod parts;
mod random;
mod retry;
mod session_termination;
mod sessions;
mod sse;
mod terminations;
mod transport;
mod wait;

pub use auth::{
    Algorithm, Auth, Authorization, BOX_AUDIENCE, ClientCredentials, FileStore, Jwt, MemoryStore, OAuth,
    StoredTokens, Subject, TokenStore,
};
pub use barriers::{BarrierGuard, BarrierOptions, KnownBy, Verdict};
#[cfg(feature = "tower")]
pub use barriers::{BarrierLayer, BarrierService, SessionOf, WhenStale};
pub use client::{BOX, Client, ClientBuilder};
pub use error::{ApiError, Error, Missing, NotFound};
pub use events::{EventQuery, Events, StreamType};
pub use follow::Follow;
pub use lightsout_api as api;
pub use lightsout_api::{
    PostGroupsTerminateSessionsRequest, PostUsersTerminateSessionsRequest, SessionTerminationMessage,
};
pub use pages::Pages;
pub use parts::{Part, Parts};
pub use retry::Retry;
pub use session_termination::{
    CreateGroupTerminateSessionRequestBody, CreateGroupTerminateSessionRequestBodyArg,
    CreateUserTerminateSessionRequestBody, CreateUserTerminateSessionRequestBodyArg,
    PostGroupsTerminateSessionsRequestArg, PostUsersTerminateSessionsRequestArg, SessionTerminationApi,
    SessionTerminationManager,
};
pub use wait::Finding;
