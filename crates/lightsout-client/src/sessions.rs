//! Registry sessions of a lightsout service.

use lightsout_api::{
    Introspection, RegisterSession, RegisterSessions, RegisteredSession, RegisteredSessions, Session,
    SessionPage,
};
use reqwest::Method;

use crate::client::Client;
use crate::error::Error;
use crate::pages::Pages;
use crate::retry::Repeat;
use crate::transport::segment;

impl Client {
    /// Registers up to 1,000 sessions: all, or none if an entry is wrong.
    ///
    /// A session without an id of its own is given one, so a lost answer is not repeated unless every
    /// session has one. It takes an app with the right `sessions.write`.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Client, Jwt};
    /// # let client = Client::new(&service.url, Jwt::from_file(&service.jwt_config)?)?;
    /// use lightsout_client::api::RegisterSession;
    ///
    /// let session = RegisterSession {
    ///     login: Some("ann@acme.example".to_owned()),
    ///     device: Some("Firefox on Linux".to_owned()),
    ///     ..RegisterSession::default()
    /// };
    /// let registered = client.register_sessions(vec![session]).await?;
    /// println!("{:?}", registered[0].state);
    /// # Ok(()) });
    /// ```
    pub async fn register_sessions(
        &self,
        sessions: Vec<RegisterSession>,
    ) -> Result<Vec<RegisteredSession>, Error> {
        let own_ids = sessions.iter().all(|session| session.session_id.is_some());
        let repeat = if own_ids { Repeat::Harmless } else { Repeat::Harmful };
        let body = RegisterSessions { sessions };
        let reply: RegisteredSessions = self.call(Method::POST, "/v1/sessions", repeat, &body).await?;
        Ok(reply.sessions)
    }

    /// Lists one page of a user's live sessions. It takes an app with the right `sessions.read`.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Client, Jwt};
    /// # let client = Client::new(&service.url, Jwt::from_file(&service.jwt_config)?)?;
    /// # let user_id = service.user_id.as_str();
    /// let page = client.sessions(user_id, None).await?;
    /// # Ok(()) });
    /// ```
    pub async fn sessions(&self, user_id: &str, marker: Option<&str>) -> Result<SessionPage, Error> {
        let mut query = vec![("user_id", user_id.to_owned())];
        query.extend(marker.map(|m| ("marker", m.to_owned())));
        self.get("/v1/sessions", &query).await
    }

    /// Lists all live sessions of a user. It takes an app with the right `sessions.read`.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Client, Jwt};
    /// # let client = Client::new(&service.url, Jwt::from_file(&service.jwt_config)?)?;
    /// # service.sign_in("ann@acme.example", 2).await;
    /// # let user_id = service.user_id.as_str();
    /// for session in client.all_sessions(user_id).collect().await? {
    ///     println!("{} since {}", session.id, session.began_at);
    /// }
    /// # Ok(()) });
    /// ```
    pub fn all_sessions(&self, user_id: &str) -> Pages<Session> {
        Pages::by_marker(self, "/v1/sessions".to_owned(), vec![("user_id", user_id.to_owned())])
    }

    /// Ends one session, named by its id in lists.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Client, Jwt};
    /// # let client = Client::new(&service.url, Jwt::from_file(&service.jwt_config)?)?;
    /// # service.sign_in("ann@acme.example", 1).await;
    /// # let user_id = service.user_id.as_str();
    /// let sessions = client.sessions(user_id, None).await?.entries;
    /// client.end_session(sessions[0].id.as_str()).await?;
    /// # Ok(()) });
    /// ```
    pub async fn end_session(&self, session: &str) -> Result<(), Error> {
        self.delete(&format!("/v1/sessions/{}", segment(session))).await
    }

    /// Asks whether a session id or a token may be used (RFC 7662). It takes the right `introspect`.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Client, Jwt};
    /// # let client = Client::new(&service.url, Jwt::from_file(&service.jwt_config)?)?;
    /// # let session_id = service.sign_in("ann@acme.example", 1).await.remove(0);
    /// if !client.introspect(&session_id).await?.active {
    ///     println!("sign in again");
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn introspect(&self, token: &str) -> Result<Introspection, Error> {
        let form = [("token", token)];
        self.send(Method::POST, "/oauth2/introspect", Repeat::Harmless, |request| request.form(&form))
            .await?
            .json()
    }
}
