//! What became of an accepted request, as far as it can be known.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use lightsout_api::{Event, SessionTerminationMessage, Termination, TerminationId};
use serde_json::Value;

use crate::away::Away;
use crate::client::Client;
use crate::error::Error;
use crate::events::EventQuery;
use crate::session_termination::{
    Accepted, CreateGroupTerminateSessionRequestBody, CreateUserTerminateSessionRequestBody,
    SessionTerminationManager,
};

/// How often a server that has no terminations is asked for events.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// What became of an accepted request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Finding {
    /// A service finished it, and says of each person and system what it verified.
    Finished(Box<Termination>),
    /// A service accepted it, and what became of it could not be followed, or not for long enough.
    ///
    /// The termination goes on. [`Client::wait_until_done`] takes its id, and a token that is good.
    Accepted {
        /// What the server answered.
        message: SessionTerminationMessage,
        /// The termination that was accepted.
        termination_id: TerminationId,
        /// Why it could not be followed: as a rule the caller ended its own session, or may not read
        /// terminations. None: it was still running when patience ended.
        error: Option<Error>,
    },
    /// Nobody can say whether a session has ended: Box accepts, points at its admin events, and
    /// documents no event for it.
    Unknown {
        /// What the server answered.
        message: SessionTerminationMessage,
        /// Its admin events since the request that name one of the targets or speak of sessions.
        events: Vec<Event>,
        /// Why the events could not be read, if so; as a rule a scope or role is missing.
        events_error: Option<Error>,
    },
}

impl Client {
    /// Waits until a termination of a service is finished, however long that takes.
    ///
    /// A connection that breaks is opened again. Stopping to wait stops nothing.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, api::CreateTermination};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use lightsout_client::api::TerminationState;
    ///
    /// let request = CreateTermination {
    ///     logins: vec!["ann@acme.example".to_owned()],
    ///     ..CreateTermination::default()
    /// };
    /// let accepted = client.terminate(&request, None).await?;
    /// let finished = client.wait_until_done(&accepted.id.0).await?;
    /// assert_eq!(finished.state, TerminationState::Done);
    /// # Ok(()) });
    /// ```
    pub async fn wait_until_done(&self, termination_id: &str) -> Result<Termination, Error> {
        let mut events = self.follow_termination(termination_id);
        while events.next().await?.is_some() {}
        let mut away = Away::new();
        loop {
            away.over().await;
            match self.termination(termination_id).await {
                Err(error) => away.failed(Some(error), Duration::ZERO)?,
                finished => return finished,
            }
        }
    }
}

impl SessionTerminationManager {
    /// Ends the sessions of users, and finds out what became of it.
    ///
    /// An error is of the request alone: once it is accepted, the answer is a [`Finding`]. On a service
    /// that is the finished termination, or [`Finding::Accepted`] if it was not seen to finish within
    /// `patience`. On Box it is [`Finding::Unknown`], with what the admin events showed for `patience`,
    /// which takes a role and scope that may read them; they are asked for at least once.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, SessionTerminationManager};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let manager = SessionTerminationManager::new(client);
    /// use std::time::Duration;
    /// use lightsout_client::{CreateUserTerminateSessionRequestBody, Finding};
    ///
    /// let body = CreateUserTerminateSessionRequestBody {
    ///     user_ids: None,
    ///     user_logins: Some(vec!["ann@acme.example".to_owned()]),
    /// };
    /// match manager.terminate_users_and_wait(body, Duration::from_secs(60)).await? {
    ///     Finding::Finished(termination) => println!("{:?}", termination.state),
    ///     Finding::Accepted { termination_id, .. } => println!("accepted: {termination_id}"),
    ///     Finding::Unknown { events, .. } => println!("accepted; {} events since", events.len()),
    ///     _ => {}
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn terminate_users_and_wait(
        &self,
        request_body: CreateUserTerminateSessionRequestBody,
        patience: Duration,
    ) -> Result<Finding, Error> {
        let targets = [&request_body.user_ids, &request_body.user_logins];
        let targets = targets.into_iter().flatten().flatten().map(|target| target.to_lowercase()).collect();
        let before = self.newest_position().await;
        let accepted = self.api().end_users(Some(&request_body)).await?;
        self.find_out(accepted, targets, before, patience).await
    }

    /// Ends the sessions of the members of groups, and finds out what became of it; as
    /// [`terminate_users_and_wait`](Self::terminate_users_and_wait).
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, SessionTerminationManager};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let manager = SessionTerminationManager::new(client);
    /// # let group_id = service.group_id.clone();
    /// use std::time::Duration;
    /// use lightsout_client::{CreateGroupTerminateSessionRequestBody, Finding};
    ///
    /// let body = CreateGroupTerminateSessionRequestBody { group_ids: vec![group_id] };
    /// let finding = manager.terminate_groups_and_wait(body, Duration::from_secs(60)).await?;
    /// assert!(matches!(finding, Finding::Finished(_)));
    /// # Ok(()) });
    /// ```
    pub async fn terminate_groups_and_wait(
        &self,
        request_body: CreateGroupTerminateSessionRequestBody,
        patience: Duration,
    ) -> Result<Finding, Error> {
        let targets = request_body.group_ids.iter().cloned().collect();
        let before = self.newest_position().await;
        let accepted = self.api().end_groups(Some(&request_body)).await?;
        self.find_out(accepted, targets, before, patience).await
    }

    /// Where the admin events stand before the request, which must not wait for them.
    async fn newest_position(&self) -> Result<String, Error> {
        let now = EventQuery { position: Some("now".to_owned()), ..EventQuery::streaming() };
        self.api().client().hasty().event_page(&now).await.map(|page| page.position())
    }

    async fn find_out(
        &self,
        accepted: Accepted,
        targets: HashSet<String>,
        before: Result<String, Error>,
        patience: Duration,
    ) -> Result<Finding, Error> {
        let client = self.api().client();
        if let Some(termination_id) = accepted.termination_id {
            let error = match tokio::time::timeout(patience, client.wait_until_done(&termination_id.0)).await
            {
                Ok(Ok(done)) => return Ok(Finding::Finished(Box::new(done))),
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            return Ok(Finding::Accepted { message: accepted.message, termination_id, error });
        }
        let mut events = Vec::new();
        let watched = match before {
            Ok(position) => watch(client, position, &targets, patience, &mut events).await,
            Err(error) => Err(error),
        };
        Ok(Finding::Unknown { message: accepted.message, events, events_error: watched.err() })
    }
}

/// Collects the events of `patience` that concern the targets.
async fn watch(
    client: &Client,
    position: String,
    targets: &HashSet<String>,
    patience: Duration,
    found: &mut Vec<Event>,
) -> Result<(), Error> {
    let began = Instant::now();
    let mut query = EventQuery { position: Some(position), ..EventQuery::streaming() };
    let mut seen = HashSet::new();
    loop {
        let page = client.event_page(&query).await?;
        let position = Some(page.position());
        let moves_on = !page.entries.is_empty() && position != query.position;
        query.position = position;
        let fresh = page.entries.into_iter().filter(|event| seen.insert(event.event_id.clone()));
        found.extend(fresh.filter(|event| concerns(event, targets)));
        let left = patience.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        if !moves_on {
            tokio::time::sleep(ASK_EVERY.min(left)).await;
        }
    }
}

/// Whether an event names a target, or speaks of ended sessions in its type.
fn concerns(event: &Event, targets: &HashSet<String>) -> bool {
    let names = |value: &Value| {
        ["id", "login", "user_id", "user_email", "group_id"].iter().any(|field| {
            value.get(field).and_then(Value::as_str).is_some_and(|v| targets.contains(&v.to_lowercase()))
        })
    };
    ["SESSION", "TERMINAT"].iter().any(|word| event.event_type.to_uppercase().contains(word))
        || event.source.as_ref().is_some_and(names)
        || event.additional_details.as_ref().is_some_and(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_of_others_are_left_out() {
        let targets = HashSet::from(["12".to_owned(), "ann@acme.example".to_owned()]);
        let event = |event_type: &str, source: Value| Event {
            kind: "event".to_owned(),
            event_id: "e".to_owned(),
            event_type: event_type.to_owned(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            recorded_at: None,
            created_by: None,
            source: Some(source),
            additional_details: None,
        };
        assert!(concerns(&event("LOGIN", json!({"id": "12"})), &targets));
        assert!(concerns(&event("LOGIN", json!({"login": "Ann@Acme.Example"})), &targets));
        assert!(concerns(&event("USER_SESSIONS_TERMINATED", json!({"id": "7"})), &targets));
        assert!(!concerns(&event("LOGIN", json!({"id": "112"})), &targets));
        assert!(!concerns(&event("UPLOAD", json!(null)), &targets));
    }
}
