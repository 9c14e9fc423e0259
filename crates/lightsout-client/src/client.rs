//! One transport under every call: token, request, answer or error.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::auth::{Auth, Tokens};
use crate::error::{ApiError, Error};

/// Box's own address.
pub const BOX: &str = "https://api.box.com";

/// A connection to Box or to a lightsout service. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    tokens: Arc<Tokens>,
    as_user: Option<String>,
}

impl Client {
    /// Speaks to `base_url`: [`BOX`], or the address of a service such as `http://127.0.0.1:8787`.
    pub fn new(base_url: &str, auth: Auth) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("lightsout-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            // Longer than a service takes for a request, and than a stream is silent.
            .read_timeout(Duration::from_secs(75))
            .build()?;
        let base_url = base_url.trim_end_matches('/').to_owned();
        let tokens = Arc::new(Tokens::new(auth, format!("{base_url}/oauth2/token")));
        Ok(Self { http, base_url, tokens, as_user: None })
    }

    /// The same connection on behalf of a user (`As-User`).
    pub fn as_user(&self, user_id: impl Into<String>) -> Self {
        Self { as_user: Some(user_id.into()), ..self.clone() }
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Error> {
        read(self.send(Method::GET, path, |request| request.query(query).timeout(CALL_TIMEOUT)).await?).await
    }

    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        read(self.send(method, path, |request| request.json(body).timeout(CALL_TIMEOUT)).await?).await
    }

    pub(crate) async fn post_form<T: DeserializeOwned>(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<T, Error> {
        read(self.send(Method::POST, path, |request| request.form(form).timeout(CALL_TIMEOUT)).await?).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<(), Error> {
        self.send(Method::DELETE, path, |request| request.timeout(CALL_TIMEOUT)).await.map(drop)
    }

    /// Sends a request with a token; a refused token is replaced once. Answers only with success.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Error> {
        let url = format!("{}{path}", self.base_url);
        let mut token = self.tokens.token(&self.http, None).await?;
        let mut refreshed = false;
        loop {
            let mut request =
                fill(self.http.request(method.clone(), &url)).bearer_auth(token.expose_secret());
            if let Some(user_id) = &self.as_user {
                request = request.header("As-User", user_id);
            }
            let response = request.send().await?;
            if response.status() == StatusCode::UNAUTHORIZED && self.tokens.can_refresh() && !refreshed {
                token = self.tokens.token(&self.http, Some(&token)).await?;
                refreshed = true;
                continue;
            }
            return check(response).await;
        }
    }
}

/// How long one call may take; a stream may take longer.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(100);

/// An id as one segment of a path, whatever it holds.
pub(crate) fn segment(id: &str) -> String {
    // A URL has no way to name these two: they mean a folder. Escaped twice, they name nothing.
    if id == "." || id == ".." {
        return id.replace('.', "%252E");
    }
    let mut out = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

async fn check(response: Response) -> Result<Response, Error> {
    if response.status().is_success() {
        return Ok(response);
    }
    let header =
        |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned);
    let (retry_after, request_id) = (header("retry-after"), header("box-request-id").unwrap_or_default());
    let retry_after_s = retry_after.and_then(|seconds| seconds.parse().ok());
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    Err(ApiError::read(status, retry_after_s, &request_id, &body).into())
}

/// Reads a JSON answer.
pub(crate) async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Error> {
    let body = check(response).await?.bytes().await?;
    serde_json::from_slice(&body).map_err(Error::Decode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_leaves_its_segment() {
        assert_eq!(segment("../groups/5?x="), "..%2Fgroups%2F5%3Fx%3D");
        assert_eq!(segment(".."), "%252E%252E");
        assert_eq!(segment("t_1f"), "t_1f");
    }
}
