//! Terminations of a lightsout service.

use lightsout_api::{CreateTermination, Outcome, OutcomePage, Preview, Termination, TerminationPage};
use reqwest::Method;

use crate::client::Client;
use crate::error::Error;
use crate::follow::Follow;
use crate::pages::Pages;
use crate::parts::{self, Part, Parts};
use crate::random;
use crate::retry::Repeat;
use crate::transport::segment;

/// The most entries that a service takes in one request.
const ENTRIES_MAX: usize = 10_000;

impl Client {
    /// Ends every session of these people.
    ///
    /// It answers when the request is accepted; [`Client::wait_until_done`] and
    /// [`Client::follow_termination`] tell the rest. A repeat with the same `idempotency_key` within a
    /// day names the same termination; without one, a key is made for this call and its retries.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use lightsout_client::api::CreateTermination;
    ///
    /// let request = CreateTermination {
    ///     logins: vec!["ann@acme.example".to_owned()],
    ///     reason: Some("laptop stolen".to_owned()),
    ///     ..CreateTermination::default()
    /// };
    /// println!("{}", client.terminate(&request, None).await?.id);
    /// # Ok(()) });
    /// ```
    pub async fn terminate(
        &self,
        request: &CreateTermination,
        idempotency_key: Option<&str>,
    ) -> Result<Termination, Error> {
        let request = CreateTermination { dry_run: false, ..request.clone() };
        let key = idempotency_key.map_or_else(random::id, ToOwned::to_owned);
        self.send(Method::POST, "/v1/terminations", Repeat::Harmless, |builder| {
            builder.json(&request).header("Idempotency-Key", &key)
        })
        .await?
        .json()
    }

    /// Splits a large list into several terminations, and says of each what became of it.
    ///
    /// A service takes up to 10,000 entries in one. Each part is all or nothing, the whole is not. A part
    /// whose answer was lost may have been accepted: sent again with its key, it names the same termination.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use lightsout_client::{Parts, api::CreateTermination};
    ///
    /// let request = CreateTermination {
    ///     logins: ["ann@acme.example", "bob@acme.example"].map(str::to_owned).to_vec(),
    ///     ..CreateTermination::default()
    /// };
    /// for part in client.terminate_in_parts(&request, Parts { size: 1, ..Parts::default() }).await {
    ///     let again = client.terminate(&part.request, part.idempotency_key.as_deref()).await?;
    ///     assert_eq!(again.id, part.result?.id);
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn terminate_in_parts(
        &self,
        request: &CreateTermination,
        parts: Parts,
    ) -> Vec<Part<CreateTermination, Termination>> {
        let requests = of_termination(request, parts.size.min(ENTRIES_MAX));
        let key = || Some(random::id());
        parts::send_keyed(requests, parts.at_once, key, |request, key| async move {
            self.terminate(&request, key.as_deref()).await
        })
        .await
    }

    /// Says what [`Client::terminate`] would end, and changes nothing.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, api::CreateTermination};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let group_ids = vec![service.group_id.as_str().into()];
    /// let request = CreateTermination { group_ids, ..CreateTermination::default() };
    /// let preview = client.preview_termination(&request).await?;
    /// assert_eq!(preview.people, 2);
    /// # Ok(()) });
    /// ```
    pub async fn preview_termination(&self, request: &CreateTermination) -> Result<Preview, Error> {
        let request = CreateTermination { dry_run: true, ..request.clone() };
        self.call(Method::POST, "/v1/terminations", Repeat::Harmless, &request).await
    }

    /// The same for a list of any length, in parts; the first one that fails is the error.
    ///
    /// Somebody who is named in two parts, or by two groups of different parts, is counted in both.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, api::CreateTermination};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use lightsout_client::Parts;
    ///
    /// let request = CreateTermination {
    ///     logins: ["ann@acme.example", "bob@acme.example"].map(str::to_owned).to_vec(),
    ///     ..CreateTermination::default()
    /// };
    /// let preview = client.preview_in_parts(&request, Parts { size: 1, ..Parts::default() }).await?;
    /// assert_eq!(preview.people, 2);
    /// # Ok(()) });
    /// ```
    pub async fn preview_in_parts(
        &self,
        request: &CreateTermination,
        parts: Parts,
    ) -> Result<Preview, Error> {
        let requests = of_termination(request, parts.size.min(ENTRIES_MAX));
        let previews = parts::send(requests, parts.at_once, |request| async move {
            self.preview_termination(&request).await
        });
        let mut whole: Option<Preview> = None;
        for part in previews.await {
            let preview = part.result?;
            match &mut whole {
                None => whole = Some(preview),
                Some(whole) => add(whole, preview),
            }
        }
        Ok(whole.expect("there is at least one part"))
    }

    /// Reads a termination.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, api::CreateTermination};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let user_ids = vec![service.user_id.as_str().into()];
    /// # let request = CreateTermination { user_ids, ..CreateTermination::default() };
    /// # let id = client.terminate(&request, None).await?.id.0;
    /// let termination = client.termination(&id).await?;
    /// println!("{:?}, {} people", termination.state, termination.people);
    /// # Ok(()) });
    /// ```
    pub async fn termination(&self, id: &str) -> Result<Termination, Error> {
        self.get(&format!("/v1/terminations/{}", segment(id)), &[]).await
    }

    /// Lists one page of terminations, newest first.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// let newest = client.terminations(None).await?.entries;
    /// # Ok(()) });
    /// ```
    pub async fn terminations(&self, marker: Option<&str>) -> Result<TerminationPage, Error> {
        let query: Vec<(&str, String)> = marker.map(|m| ("marker", m.to_owned())).into_iter().collect();
        self.get("/v1/terminations", &query).await
    }

    /// Lists all terminations, newest first.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// let all = client.all_terminations().collect().await?;
    /// # Ok(()) });
    /// ```
    pub fn all_terminations(&self) -> Pages<Termination> {
        Pages::by_marker(self, "/v1/terminations".to_owned(), vec![("limit", "100".to_owned())])
    }

    /// Lists one page of what became of each person's sessions in each system.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, api::CreateTermination};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let user_ids = vec![service.user_id.as_str().into()];
    /// # let request = CreateTermination { user_ids, ..CreateTermination::default() };
    /// # let id = client.terminate(&request, None).await?.id.0;
    /// let page = client.outcomes(&id, None).await?;
    /// # assert_eq!(page.entries.len(), 1);
    /// # Ok(()) });
    /// ```
    pub async fn outcomes(&self, id: &str, marker: Option<&str>) -> Result<OutcomePage, Error> {
        let mut query = vec![("limit", "1000".to_owned())];
        query.extend(marker.map(|m| ("marker", m.to_owned())));
        self.get(&format!("/v1/terminations/{}/outcomes", segment(id)), &query).await
    }

    /// Lists all outcomes of a termination, by person and then by system.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, api::CreateTermination};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let user_ids = vec![service.user_id.as_str().into()];
    /// # let request = CreateTermination { user_ids, ..CreateTermination::default() };
    /// # let id = client.terminate(&request, None).await?.id.0;
    /// let mut outcomes = client.all_outcomes(&id);
    /// while let Some(outcome) = outcomes.next().await? {
    ///     println!("{:?} in {}: {:?}", outcome.user.login, outcome.system, outcome.outcome);
    /// }
    /// # Ok(()) });
    /// ```
    pub fn all_outcomes(&self, id: &str) -> Pages<Outcome> {
        let path = format!("/v1/terminations/{}/outcomes", segment(id));
        Pages::by_marker(self, path, vec![("limit", "1000".to_owned())])
    }

    /// Tries again what was given up, and what could not be found out.
    ///
    /// Where that is nothing it is refused: 409, `nothing_to_retry`. So a lost answer is not repeated.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, api::CreateTermination};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let user_ids = vec![service.user_id.as_str().into()];
    /// # let request = CreateTermination { user_ids, ..CreateTermination::default() };
    /// # let id = client.terminate(&request, None).await?.id.0;
    /// use lightsout_client::Error;
    ///
    /// match client.retry_termination(&id).await {
    ///     Ok(termination) => println!("{:?}", termination.state),
    ///     Err(Error::Invalid(answer)) if answer.code == "nothing_to_retry" => println!("{answer}"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn retry_termination(&self, id: &str) -> Result<Termination, Error> {
        let path = format!("/v1/terminations/{}/retry", segment(id));
        self.call(Method::POST, &path, Repeat::Harmful, &serde_json::json!({})).await
    }

    /// Follows a termination's events until it is finished.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client, api::CreateTermination};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let user_ids = vec![service.user_id.as_str().into()];
    /// # let request = CreateTermination { user_ids, ..CreateTermination::default() };
    /// # let id = client.terminate(&request, None).await?.id.0;
    /// let mut events = client.follow_termination(&id);
    /// while let Some(event) = events.next().await? {
    ///     println!("{}", event.event_type);
    /// }
    /// # Ok(()) });
    /// ```
    pub fn follow_termination(&self, id: &str) -> Follow {
        Follow::new(self.clone(), id)
    }
}

/// Splits the three lists one after another; a part names users, logins or groups.
fn of_termination(request: &CreateTermination, size: usize) -> Vec<CreateTermination> {
    let none = CreateTermination {
        user_ids: Vec::new(),
        logins: Vec::new(),
        group_ids: Vec::new(),
        ..request.clone()
    };
    if request.user_ids.len() + request.logins.len() + request.group_ids.len() <= size {
        return vec![request.clone()];
    }
    let mut parts = Vec::new();
    if !request.user_ids.is_empty() {
        let lists = parts::chunks(request.user_ids.clone(), size);
        parts.extend(lists.map(|user_ids| CreateTermination { user_ids, ..none.clone() }));
    }
    if !request.logins.is_empty() {
        let lists = parts::chunks(request.logins.clone(), size);
        parts.extend(lists.map(|logins| CreateTermination { logins, ..none.clone() }));
    }
    if !request.group_ids.is_empty() {
        let lists = parts::chunks(request.group_ids.clone(), size);
        parts.extend(lists.map(|group_ids| CreateTermination { group_ids, ..none.clone() }));
    }
    parts
}

/// Adds one part's preview to the others'.
fn add(whole: &mut Preview, part: Preview) {
    whole.people += part.people;
    whole.includes_caller |= part.includes_caller;
    whole.includes_admin |= part.includes_admin;
    whole.skipped.extend(part.skipped);
    for (system, more) in whole.systems.iter_mut().zip(part.systems) {
        system.sessions = system.sessions.zip(more.sessions).map(|(a, b)| a + b);
        system.reason = system.reason.take().or(more.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_name_everybody_once_and_keep_the_rest() {
        let request = CreateTermination {
            user_ids: vec!["1".into(), "2".into(), "3".into()],
            logins: vec!["a".to_owned()],
            group_ids: vec!["7".into()],
            reason: Some("why".to_owned()),
            skip_unknown: true,
            ..CreateTermination::default()
        };
        let parts = of_termination(&request, 2);
        let sizes: Vec<_> =
            parts.iter().map(|p| (p.user_ids.len(), p.logins.len(), p.group_ids.len())).collect();
        assert_eq!(sizes, [(2, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]);
        assert!(parts.iter().all(|part| part.skip_unknown && part.reason == request.reason));
        assert_eq!(of_termination(&request, 5), [request]);
        assert_eq!(of_termination(&CreateTermination::default(), 5).len(), 1);
    }
}
