//! One way to a server: addresses, connection, attempts, answers. Nothing here knows tokens.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response, Url};
use serde::de::{DeserializeOwned, Error as _};

use crate::client::BOX;
use crate::error::{ApiError, Error};
use crate::retry::{Pace, Repeat, Retry};

/// Where Box's people sign in; it is not Box's API address.
const BOX_AUTHORIZE: &str = "https://account.box.com/api/oauth2/authorize";

/// The longest answer of success that is read.
const BODY_MAX: usize = 64 << 20;
/// How much of an error's body is read.
pub(crate) const ERROR_BODY_MAX: usize = 64 << 10;

/// The connection and the addresses of one server.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) http: reqwest::Client,
    pub(crate) addresses: Addresses,
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
}

/// Where the parts of one server are, without a slash at the end.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) base: String,
    pub(crate) token: String,
    pub(crate) revoke: String,
    pub(crate) authorize: String,
}

impl Addresses {
    /// The addresses below `base`, which may end in `/2.0` as in Box's documents.
    pub(crate) fn below(base: &str) -> Result<Self, Error> {
        let base = base.trim().trim_end_matches('/');
        let base = base.strip_suffix("/2.0").unwrap_or(base).trim_end_matches('/');
        check_address(base)?;
        let authorize =
            if base == BOX { BOX_AUTHORIZE.to_owned() } else { format!("{base}/api/oauth2/authorize") };
        Ok(Self {
            base: base.to_owned(),
            token: format!("{base}/oauth2/token"),
            revoke: format!("{base}/oauth2/revoke"),
            authorize,
        })
    }
}

/// Refuses what is no address of a server. The text is not shown: it may hold a password.
pub(crate) fn check_address(address: &str) -> Result<(), Error> {
    let wrong = |why: &str| Error::setup(format!("a server's address is like {BOX}, and this one {why}"));
    let url = Url::parse(address).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        return Err(wrong("begins with neither http:// nor https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a name or password, which belong elsewhere"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("holds a `?` or a `#`"));
    }
    Ok(())
}

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

/// A whole answer of success.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads a JSON answer.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|source| Error::unreadable(self.status, source))
    }
}

impl Transport {
    /// Sends a request once, and reads the whole answer.
    pub(crate) async fn once(&self, request: RequestBuilder, pace: &Pace<'_>) -> Result<Answer, Error> {
        let request = request.timeout(pace.timeout(self.timeout)).build()?;
        #[cfg(feature = "tracing")]
        let attempt = Attempt::new(&request, pace.attempt());
        let answer = self.exchange(request, pace.repeat()).await;
        #[cfg(feature = "tracing")]
        attempt.note(answer.as_ref().map(|answer| answer.status));
        answer
    }

    async fn exchange(&self, request: reqwest::Request, repeat: Repeat) -> Result<Answer, Error> {
        let mut response = check(self.http.execute(request).await?).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match body(&mut response, BODY_MAX).await {
            Ok(Body { bytes, is_whole: true }) => bytes,
            // Accepted is accepted: the text is not worth ending the sessions a second time.
            Ok(_) | Err(_) if status == 202 && repeat == Repeat::Later => Vec::new(),
            Ok(_) => {
                let too_long = serde_json::Error::custom("the answer is longer than 64 MiB");
                return Err(Error::unreadable(status, too_long));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Answer { status, headers, body })
    }

    /// Opens a stream: the head of an answer of success has as long as a whole answer.
    pub(crate) async fn open(&self, request: RequestBuilder) -> Result<Response, Error> {
        let request = request.build()?;
        #[cfg(feature = "tracing")]
        let attempt = Attempt::new(&request, 1);
        let opened =
            tokio::time::timeout(self.timeout, async { check(self.http.execute(request).await?).await });
        let opened = opened.await.unwrap_or_else(|_| Err(Error::no_answer_in_time(&self.addresses.base)));
        #[cfg(feature = "tracing")]
        attempt.note(opened.as_ref().map(|response| response.status().as_u16()));
        opened
    }

    /// Posts a form without a token, as the token endpoint takes it.
    pub(crate) async fn post_form(
        &self,
        url: &str,
        repeat: Repeat,
        form: impl Fn() -> Result<Form, Error>,
    ) -> Result<Answer, Error> {
        let mut pace = Pace::new(&self.retry, repeat);
        loop {
            match self.once(self.http.post(url).form(&form()?), &pace).await {
                Ok(answer) => return Ok(answer),
                Err(error) => pace.after(error).await?,
            }
        }
    }
}

/// The fields of a form.
pub(crate) type Form = Vec<(&'static str, String)>;

/// Turns an answer of failure into an error.
async fn check(mut response: Response) -> Result<Response, Error> {
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    // A body that cannot be read takes nothing away from what the status says.
    let bytes = body(&mut response, ERROR_BODY_MAX).await.map(|body| body.bytes).unwrap_or_default();
    Err(ApiError::read(status, &headers, &bytes, now()).into())
}

/// What was read of a body.
struct Body {
    bytes: Vec<u8>,
    is_whole: bool,
}

/// Reads a body, and no more of it than this.
async fn body(response: &mut Response, max: usize) -> reqwest::Result<Body> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let taken = chunk.len().min(max - bytes.len());
        bytes.extend_from_slice(&chunk[..taken]);
        if taken < chunk.len() {
            return Ok(Body { bytes, is_whole: false });
        }
    }
    Ok(Body { bytes, is_whole: true })
}

/// The present time, to say until when to wait and to sign assertions with.
#[expect(clippy::disallowed_methods, reason = "the one place where the client reads the wall clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// One attempt, of which one event is recorded; never a query, a header or a body.
#[cfg(feature = "tracing")]
struct Attempt {
    method: reqwest::Method,
    path: String,
    number: u32,
    began: std::time::Instant,
}

#[cfg(feature = "tracing")]
impl Attempt {
    fn new(request: &reqwest::Request, number: u32) -> Self {
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        Self { method, path, number, began: std::time::Instant::now() }
    }

    fn note(&self, answer: Result<u16, &Error>) {
        let elapsed_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (method, path, attempt) = (&self.method, &self.path, self.number);
        match answer {
            Ok(status) => tracing::debug!(%method, path, attempt, status, elapsed_ms, "answered"),
            Err(error) => {
                let (status, request_id) = (error.status(), error.api().map(|api| api.request_id.as_str()));
                tracing::debug!(%method, path, attempt, status, request_id, elapsed_ms, "failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_written_as_in_the_documents() {
        let base = |address| Addresses::below(address).expect("an address").base;
        assert_eq!(base("https://api.box.com/2.0"), "https://api.box.com");
        assert_eq!(base(" https://api.box.com/2.0/ "), "https://api.box.com");
        assert_eq!(base("http://127.0.0.1:8787/"), "http://127.0.0.1:8787");
        let at_box = Addresses::below(BOX).expect("an address");
        assert_eq!(at_box.authorize, "https://account.box.com/api/oauth2/authorize");
        let own = Addresses::below("https://out.example/api").expect("an address");
        assert_eq!(own.authorize, "https://out.example/api/api/oauth2/authorize");
        assert_eq!(own.token, "https://out.example/api/oauth2/token");
    }

    #[test]
    fn an_id_never_leaves_its_segment() {
        assert_eq!(segment("../groups/5?x="), "..%2Fgroups%2F5%3Fx%3D");
        assert_eq!(segment(".."), "%252E%252E");
        assert_eq!(segment("t_1f"), "t_1f");
    }

    #[test]
    fn a_wrong_address_is_refused_without_being_shown() {
        for address in [
            "",
            "api.box.com",
            "ftp://x",
            "https://",
            "https://me:hush@api.box.com",
            "http://x/?hush",
            "http://x/#a",
        ] {
            let error = Addresses::below(address).expect_err(address).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
