//! Box's session termination, in the two faces that its documents describe.

use lightsout_api::{SessionTerminationMessage, TerminationId};
use reqwest::Method;
use reqwest::header;
use serde::Serialize;

use crate::client::Client;
use crate::error::Error;
use crate::parts::{self, Part, Parts};
use crate::retry::Repeat;
use crate::transport::Answer;

pub use lightsout_api::{
    PostGroupsTerminateSessionsRequest as CreateGroupTerminateSessionRequestBody,
    PostGroupsTerminateSessionsRequest as CreateGroupTerminateSessionRequestBodyArg,
    PostGroupsTerminateSessionsRequest as PostGroupsTerminateSessionsRequestArg,
    PostUsersTerminateSessionsRequest as CreateUserTerminateSessionRequestBody,
    PostUsersTerminateSessionsRequest as CreateUserTerminateSessionRequestBodyArg,
    PostUsersTerminateSessionsRequest as PostUsersTerminateSessionsRequestArg,
};

/// The low-level face: one method an endpoint, the body optional as in Box's document.
///
/// Both endpoints are relative to `https://api.box.com/2.0`, are authorised by OAuth 2 (Box's
/// `OAuth2Security`), and take and answer JSON. They answer when the request is accepted, not when the sessions have ended; the server
/// refuses with
///
/// | status | error | when |
/// |---|---|---|
/// | 400 | [`Error::Invalid`] | nobody is named, an id is no string, or the body is no JSON |
/// | 401 | [`Error::NotAuthenticated`] | the token is expired, ended or wrong |
/// | 403 | [`Error::NotAllowed`] | the caller may not end the sessions of one of them |
/// | 404 | [`Error::NotFound`] | an id or login is not of this enterprise |
/// | 429 | [`Error::RateLimited`] | too many requests, also after the retries |
/// | 500, 503 | [`Error::Unavailable`] | the server fails or is overloaded, also after the retries |
#[derive(Clone, Debug)]
pub struct SessionTerminationApi {
    client: Client,
}

impl SessionTerminationApi {
    /// Calls through this client.
    ///
    /// ```
    /// # use lightsout_client::{Auth, BOX, Client};
    /// use lightsout_client::SessionTerminationApi;
    ///
    /// let client = Client::new(BOX, Auth::developer_token("TOKEN"))?;
    /// let api = SessionTerminationApi::new(client);
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// `POST /users/terminate_sessions`: creates jobs to end the sessions of users.
    ///
    /// The server validates the roles and permissions of the users, creates asynchronous jobs that end
    /// their sessions, and returns the status of the request. Without a body an empty one is sent, which
    /// the server refuses with 400.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, SessionTerminationApi};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let api = SessionTerminationApi::new(client);
    /// # let user_id = service.user_id.clone();
    /// use lightsout_client::PostUsersTerminateSessionsRequest;
    ///
    /// let request = PostUsersTerminateSessionsRequest {
    ///     user_ids: Some(vec![user_id]),
    ///     user_logins: Some(vec!["bob@acme.example".to_owned()]),
    /// };
    /// let answer = api.post_users_terminate_sessions(Some(request)).await?;
    /// println!("{}", answer.message.unwrap_or_default());
    /// # Ok(()) });
    /// ```
    pub async fn post_users_terminate_sessions(
        &self,
        post_users_terminate_sessions_request: Option<CreateUserTerminateSessionRequestBody>,
    ) -> Result<SessionTerminationMessage, Error> {
        let request = post_users_terminate_sessions_request;
        self.end_users(request.as_ref()).await.map(|accepted| accepted.message)
    }

    /// `POST /groups/terminate_sessions`: creates jobs to end the sessions of the members of groups.
    ///
    /// The server validates the roles and permissions of the groups, creates asynchronous jobs that end
    /// their members' sessions, and returns the status of the request. Without a body an empty one is
    /// sent, which the server refuses with 400. A group without members is accepted.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, SessionTerminationApi};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let api = SessionTerminationApi::new(client);
    /// # let group_id = service.group_id.clone();
    /// use lightsout_client::PostGroupsTerminateSessionsRequest;
    ///
    /// let request = PostGroupsTerminateSessionsRequest { group_ids: vec![group_id] };
    /// let answer = api.post_groups_terminate_sessions(Some(request)).await?;
    /// println!("{}", answer.message.unwrap_or_default());
    /// # Ok(()) });
    /// ```
    pub async fn post_groups_terminate_sessions(
        &self,
        post_groups_terminate_sessions_request: Option<CreateGroupTerminateSessionRequestBody>,
    ) -> Result<SessionTerminationMessage, Error> {
        let request = post_groups_terminate_sessions_request;
        self.end_groups(request.as_ref()).await.map(|accepted| accepted.message)
    }

    pub(crate) async fn end_users(
        &self,
        request: Option<&CreateUserTerminateSessionRequestBody>,
    ) -> Result<Accepted, Error> {
        self.post("/2.0/users/terminate_sessions", request).await
    }

    pub(crate) async fn end_groups(
        &self,
        request: Option<&CreateGroupTerminateSessionRequestBody>,
    ) -> Result<Accepted, Error> {
        self.post("/2.0/groups/terminate_sessions", request).await
    }

    async fn post(&self, path: &str, body: Option<&(impl Serialize + Sync)>) -> Result<Accepted, Error> {
        let fill = |request: reqwest::RequestBuilder| match body {
            Some(body) => request.json(body),
            None => request.json(&serde_json::json!({})),
        };
        Accepted::read(&self.client.send(Method::POST, path, Repeat::Later, fill).await?)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

/// An accepted request: Box's message, and the termination's id, which only a service gives.
pub(crate) struct Accepted {
    pub(crate) message: SessionTerminationMessage,
    pub(crate) termination_id: Option<TerminationId>,
}

impl Accepted {
    /// Reads an answer of success. A 202 is the acceptance, whatever its body: taking it for a failure
    /// would only end the sessions twice. A page is none: it is a gateway that speaks, not the server.
    fn read(answer: &Answer) -> Result<Self, Error> {
        let text = |name| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut message: SessionTerminationMessage = match answer.json() {
            Ok(message) => message,
            Err(error) if answer.status != 202 || text(header::CONTENT_TYPE).contains("html") => {
                return Err(error);
            }
            Err(_) => {
                let body = String::from_utf8_lossy(&answer.body).trim().to_owned();
                let message = (!body.is_empty()).then_some(body);
                SessionTerminationMessage { message, ..SessionTerminationMessage::default() }
            }
        };
        // A service of before this field says it by the header alone.
        let id = || text(header::LOCATION).rsplit_once("/v1/terminations/").map(|(_, id)| id.into());
        message.termination_id = message.termination_id.or_else(id);
        Ok(Self { termination_id: message.termination_id.clone(), message })
    }
}

/// The face of Box's SDKs, under its first names and its present ones.
///
/// ```
/// # lightsout_testkit::example(|service| async move {
/// # let (url, token) = (service.url.as_str(), service.token.as_str());
/// # let group_id = service.group_id.clone();
/// use lightsout_client::{Auth, Client, SessionTerminationManager};
///
/// let manager = SessionTerminationManager::new(Client::new(url, Auth::developer_token(token))?);
/// manager.terminate_groups_sessions(vec![group_id]).await?;
/// # Ok(()) });
/// ```
#[derive(Clone, Debug)]
pub struct SessionTerminationManager {
    api: SessionTerminationApi,
}

impl SessionTerminationManager {
    /// Calls through this client.
    ///
    /// ```
    /// use lightsout_client::{Auth, BOX, Client, SessionTerminationManager};
    ///
    /// let client = Client::new(BOX, Auth::developer_token("TOKEN"))?;
    /// let manager = SessionTerminationManager::new(client);
    /// # Ok::<(), lightsout_client::Error>(())
    /// ```
    pub fn new(client: Client) -> Self {
        Self { api: SessionTerminationApi::new(client) }
    }

    /// Creates jobs to end the sessions of users, named by id, by login, or both.
    ///
    /// The same as [`SessionTerminationApi::post_users_terminate_sessions`], with its errors.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, SessionTerminationManager};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let manager = SessionTerminationManager::new(client);
    /// use lightsout_client::CreateUserTerminateSessionRequestBody;
    ///
    /// let body = CreateUserTerminateSessionRequestBody {
    ///     user_ids: None,
    ///     user_logins: Some(vec!["ann@acme.example".to_owned()]),
    /// };
    /// let answer = manager.create_user_terminate_session(body).await?;
    /// println!("{}", answer.message.unwrap_or_default());
    /// # Ok(()) });
    /// ```
    pub async fn create_user_terminate_session(
        &self,
        request_body: CreateUserTerminateSessionRequestBodyArg,
    ) -> Result<SessionTerminationMessage, Error> {
        self.api.post_users_terminate_sessions(Some(request_body)).await
    }

    /// Creates jobs to end the sessions of the members of groups.
    ///
    /// The same as [`SessionTerminationApi::post_groups_terminate_sessions`], with its errors.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, SessionTerminationManager};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let manager = SessionTerminationManager::new(client);
    /// # let group_id = service.group_id.clone();
    /// use lightsout_client::CreateGroupTerminateSessionRequestBody;
    ///
    /// let body = CreateGroupTerminateSessionRequestBody { group_ids: vec![group_id] };
    /// let answer = manager.create_group_terminate_session(body).await?;
    /// println!("{}", answer.message.unwrap_or_default());
    /// # Ok(()) });
    /// ```
    pub async fn create_group_terminate_session(
        &self,
        request_body: CreateGroupTerminateSessionRequestBodyArg,
    ) -> Result<SessionTerminationMessage, Error> {
        self.api.post_groups_terminate_sessions(Some(request_body)).await
    }

    /// [`create_user_terminate_session`](Self::create_user_terminate_session) under its present name.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, SessionTerminationManager};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let manager = SessionTerminationManager::new(client);
    /// # let user_id = service.user_id.clone();
    /// manager.terminate_users_sessions(vec![user_id], vec!["bob@acme.example".to_owned()]).await?;
    /// # Ok(()) });
    /// ```
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
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, SessionTerminationManager};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let manager = SessionTerminationManager::new(client);
    /// # let group_id = service.group_id.clone();
    /// manager.terminate_groups_sessions(vec![group_id]).await?;
    /// # Ok(()) });
    /// ```
    pub async fn terminate_groups_sessions(
        &self,
        group_ids: Vec<String>,
    ) -> Result<SessionTerminationMessage, Error> {
        self.create_group_terminate_session(CreateGroupTerminateSessionRequestBody { group_ids }).await
    }

    /// Splits a large list of users into several requests, and says of each what became of it.
    ///
    /// Each part is all or nothing, the whole is not. A part that failed can be sent again as it is.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, SessionTerminationManager};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let manager = SessionTerminationManager::new(client);
    /// use lightsout_client::{CreateUserTerminateSessionRequestBody, Parts};
    ///
    /// let logins = ["ann@acme.example", "bob@acme.example", "nobody@acme.example"];
    /// let body = CreateUserTerminateSessionRequestBody {
    ///     user_ids: None,
    ///     user_logins: Some(logins.map(str::to_owned).to_vec()),
    /// };
    /// let parts = manager.terminate_users_in_parts(body, Parts { size: 2, ..Parts::default() }).await;
    /// for part in parts.iter().filter(|part| part.result.is_err()) {
    ///     println!("not accepted: {:?}", part.request.user_logins);
    /// }
    /// # assert_eq!(parts.iter().map(|part| part.result.is_ok()).collect::<Vec<_>>(), [true, false]);
    /// # Ok(()) });
    /// ```
    pub async fn terminate_users_in_parts(
        &self,
        request_body: CreateUserTerminateSessionRequestBody,
        parts: Parts,
    ) -> Vec<Part<CreateUserTerminateSessionRequestBody, SessionTerminationMessage>> {
        let requests = parts::of_users(request_body, parts.size);
        parts::send(requests, parts.at_once, |request| async move {
            self.api.end_users(Some(&request)).await.map(|accepted| accepted.message)
        })
        .await
    }

    /// Splits a large list of groups into several requests, and says of each what became of it.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, SessionTerminationManager};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let manager = SessionTerminationManager::new(client);
    /// # let group_id = service.group_id.clone();
    /// use lightsout_client::{CreateGroupTerminateSessionRequestBody, Parts};
    ///
    /// let body = CreateGroupTerminateSessionRequestBody { group_ids: vec![group_id] };
    /// let parts = manager.terminate_groups_in_parts(body, Parts::default()).await;
    /// assert!(parts.iter().all(|part| part.result.is_ok()));
    /// # Ok(()) });
    /// ```
    pub async fn terminate_groups_in_parts(
        &self,
        request_body: CreateGroupTerminateSessionRequestBody,
        parts: Parts,
    ) -> Vec<Part<CreateGroupTerminateSessionRequestBody, SessionTerminationMessage>> {
        let requests = parts::chunks(request_body.group_ids, parts.size)
            .map(|group_ids| CreateGroupTerminateSessionRequestBody { group_ids })
            .collect();
        parts::send(requests, parts.at_once, |request| async move {
            self.api.end_groups(Some(&request)).await.map(|accepted| accepted.message)
        })
        .await
    }

    pub(crate) fn api(&self) -> &SessionTerminationApi {
        &self.api
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    fn read(status: u16, content_type: &'static str, body: &str) -> Result<Option<String>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let answer = Answer { status, headers, body: body.as_bytes().to_vec() };
        Accepted::read(&answer).map(|accepted| accepted.message.message)
    }

    #[test]
    fn a_202_is_the_acceptance_whatever_its_body() {
        assert_eq!(
            read(202, "application/json", r#"{"message":"yes"}"#).expect("ok"),
            Some("yes".to_owned())
        );
        assert_eq!(read(202, "text/plain", "taken \n").expect("ok"), Some("taken".to_owned()));
        assert_eq!(read(202, "", "").expect("ok"), None);
        assert_eq!(read(201, "application/json", "{}").expect("ok"), None);
        assert!(matches!(read(202, "text/html", "<p>"), Err(Error::Unreadable { status: 202, .. })));
        assert!(matches!(read(200, "text/plain", "hello"), Err(Error::Unreadable { status: 200, .. })));
    }
}
