//! Registry sessions of a lightsout service.

use lightsout_api::{
    Introspection, RegisterSession, RegisterSessions, RegisteredSession, RegisteredSessions, SessionPage,
};
use reqwest::Method;

use crate::client::{Client, segment};
use crate::error::Error;

impl Client {
    /// Registers up to 1,000 sessions: all, or none if an entry is wrong.
    pub async fn register_sessions(
        &self,
        sessions: Vec<RegisterSession>,
    ) -> Result<Vec<RegisteredSession>, Error> {
        let reply: RegisteredSessions =
            self.call(Method::POST, "/v1/sessions", &RegisterSessions { sessions }).await?;
        Ok(reply.sessions)
    }

    /// Lists a user's live sessions.
    pub async fn sessions(&self, user_id: &str, marker: Option<&str>) -> Result<SessionPage, Error> {
        let mut query = vec![("user_id", user_id.to_owned())];
        query.extend(marker.map(|m| ("marker", m.to_owned())));
        self.get("/v1/sessions", &query).await
    }

    /// Ends one session, named by its id in lists.
    pub async fn end_session(&self, session: &str) -> Result<(), Error> {
        self.delete(&format!("/v1/sessions/{}", segment(session))).await
    }

    /// Asks whether a session id or a token may be used (RFC 7662).
    pub async fn introspect(&self, token: &str) -> Result<Introspection, Error> {
        self.post_form("/oauth2/introspect", &[("token", token)]).await
    }
}
