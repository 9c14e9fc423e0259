//! Rust client for Box's session termination API, and for lightsout, which speaks the same wire.
//!
//! [`SessionTerminationApi`] is the low-level face, [`SessionTerminationManager`] the one that
//! Box's SDKs have; both go through one [`Client`]. Base URLs decide whom they speak to.
//!
//! ```no_run
//! # async fn example() -> Result<(), lightsout_client::Error> {
//! use lightsout_client::{Auth, Client, CreateGroupTerminateSessionRequestBody, SessionTerminationManager};
//!
//! let client = Client::new("https://api.box.com", Auth::developer_token("TOKEN"))?;
//! let manager = SessionTerminationManager::new(client);
//! let body = CreateGroupTerminateSessionRequestBody { group_ids: vec!["123456".to_owned()] };
//! let message = manager.create_group_terminate_session(body).await?;
//! println!("{}", message.message.unwrap_or_default());
//! # Ok(())
//! # }
//! ```

mod auth;
mod client;
mod directory;
mod error;
mod follow;
mod session_termination;
mod sessions;
mod terminations;

pub use auth::{Auth, Subject};
pub use client::{BOX, Client};
pub use error::{ApiError, Error};
pub use follow::Follow;
pub use lightsout_api as api;
pub use lightsout_api::{
    PostGroupsTerminateSessionsRequest, PostUsersTerminateSessionsRequest, SessionTerminationMessage,
};
pub use session_termination::{
    CreateGroupTerminateSessionRequestBody, CreateGroupTerminateSessionRequestBodyArg,
    CreateUserTerminateSessionRequestBody, CreateUserTerminateSessionRequestBodyArg, SessionTerminationApi,
    SessionTerminationManager,
};
