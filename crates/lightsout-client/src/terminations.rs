//! Terminations of a lightsout service.

use lightsout_api::{CreateTermination, OutcomePage, Preview, Termination, TerminationPage};
use reqwest::Method;

use crate::client::{CALL_TIMEOUT, Client, read, segment};
use crate::error::Error;
use crate::follow::Follow;

impl Client {
    /// Ends every session of these people. `idempotency_key` makes a repeat name the same termination.
    pub async fn terminate(
        &self,
        request: &CreateTermination,
        idempotency_key: Option<&str>,
    ) -> Result<Termination, Error> {
        let request = CreateTermination { dry_run: false, ..request.clone() };
        let response = self
            .send(Method::POST, "/v1/terminations", |builder| {
                let builder = builder.json(&request).timeout(CALL_TIMEOUT);
                match idempotency_key {
                    Some(key) => builder.header("Idempotency-Key", key),
                    None => builder,
                }
            })
            .await?;
        read(response).await
    }

    /// Says what [`Client::terminate`] would end, and changes nothing.
    pub async fn preview_termination(&self, request: &CreateTermination) -> Result<Preview, Error> {
        let request = CreateTermination { dry_run: true, ..request.clone() };
        self.call(Method::POST, "/v1/terminations", &request).await
    }

    /// Reads a termination.
    pub async fn termination(&self, id: &str) -> Result<Termination, Error> {
        self.get(&format!("/v1/terminations/{}", segment(id)), &[]).await
    }

    /// Lists terminations, newest first.
    pub async fn terminations(&self, marker: Option<&str>) -> Result<TerminationPage, Error> {
        let query: Vec<(&str, String)> = marker.map(|m| ("marker", m.to_owned())).into_iter().collect();
        self.get("/v1/terminations", &query).await
    }

    /// Lists what became of each person's sessions in each system.
    pub async fn outcomes(&self, id: &str, marker: Option<&str>) -> Result<OutcomePage, Error> {
        let mut query = vec![("limit", "1000".to_owned())];
        query.extend(marker.map(|m| ("marker", m.to_owned())));
        self.get(&format!("/v1/terminations/{}/outcomes", segment(id)), &query).await
    }

    /// Tries again what was given up.
    pub async fn retry_termination(&self, id: &str) -> Result<Termination, Error> {
        self.call(Method::POST, &format!("/v1/terminations/{}/retry", segment(id)), &serde_json::json!({}))
            .await
    }

    /// Follows a termination's events until it is done.
    pub fn follow_termination(&self, id: &str) -> Follow {
        Follow::new(self.clone(), id)
    }
}
