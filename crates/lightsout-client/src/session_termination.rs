//! Box's session termination, in the two faces that its documents describe.

use lightsout_api::SessionTerminationMessage;
use reqwest::Method;

use crate::client::Client;
use crate::error::Error;

pub use lightsout_api::{
    PostGroupsTerminateSessionsRequest as CreateGroupTerminateSessionRequestBody,
    PostGroupsTerminateSessionsRequest as CreateGroupTerminateSessionRequestBodyArg,
    PostUsersTerminateSessionsRequest as CreateUserTerminateSessionRequestBody,
    PostUsersTerminateSessionsRequest as CreateUserTerminateSessionRequestBodyArg,
};

/// The low-level face: one method an endpoint, the body optional as in Box's document.
#[derive(Clone, Debug)]
pub struct SessionTerminationApi {
    client: Client,
}

impl SessionTerminationApi {
    /// Calls through this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// `POST /users/terminate_sessions`: validates the roles and permissions of the users, and
    /// creates asynchronous jobs that end their sessions. Without a body the server answers 400.
    pub async fn post_users_terminate_sessions(
        &self,
        request: Option<CreateUserTerminateSessionRequestBody>,
    ) -> Result<SessionTerminationMessage, Error> {
        let path = "/2.0/users/terminate_sessions";
        match request {
            Some(body) => self.client.call(Method::POST, path, &body).await,
            None => self.client.call(Method::POST, path, &serde_json::json!({})).await,
        }
    }

    /// `POST /groups/terminate_sessions`: the same for the members of groups.
    pub async fn post_groups_terminate_sessions(
        &self,
        request: Option<CreateGroupTerminateSessionRequestBody>,
    ) -> Result<SessionTerminationMessage, Error> {
        let path = "/2.0/groups/terminate_sessions";
        match request {
            Some(body) => self.client.call(Method::POST, path, &body).await,
            None => self.client.call(Method::POST, path, &serde_json::json!({})).await,
        }
    }
}

/// The face of Box's SDKs, under its first names and its present ones.
#[derive(Clone, Debug)]
pub struct SessionTerminationManager {
    api: SessionTerminationApi,
}

impl SessionTerminationManager {
    /// Calls through this client.
    pub fn new(client: Client) -> Self {
        Self { api: SessionTerminationApi::new(client) }
    }

    /// Creates jobs that end the sessions of users, named by id, by login, or both.
    pub async fn create_user_terminate_session(
        &self,
        request_body: CreateUserTerminateSessionRequestBodyArg,
    ) -> Result<SessionTerminationMessage, Error> {
        self.api.post_users_terminate_sessions(Some(request_body)).await
    }

    /// Creates jobs that end the sessions of the members of groups.
    pub async fn create_group_terminate_session(
        &self,
        request_body: CreateGroupTerminateSessionRequestBodyArg,
    ) -> Result<SessionTerminationMessage, Error> {
        self.api.post_groups_terminate_sessions(Some(request_body)).await
    }

    /// [`create_user_terminate_session`](Self::create_user_terminate_session) under its present name.
    pub async fn terminate_users_sessions(
        &self,
        user_ids: Vec<String>,
        user_logins: Vec<String>,
    ) -> Result<SessionTerminationMessage, Error> {
        let body = CreateUserTerminateSessionRequestBody {
            user_ids: Some(user_ids),
            user_logins: Some(user_logins),
        };
        self.create_user_terminate_session(body).await
    }

    /// [`create_group_terminate_session`](Self::create_group_terminate_session) under its present name.
    pub async fn terminate_groups_sessions(
        &self,
        group_ids: Vec<String>,
    ) -> Result<SessionTerminationMessage, Error> {
        self.create_group_terminate_session(CreateGroupTerminateSessionRequestBody { group_ids }).await
    }
}
