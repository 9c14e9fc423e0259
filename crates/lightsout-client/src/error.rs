//! What can go wrong with a call.

use lightsout_api::{ClientError, OAuth2Error, Problem};
use serde_json::Value;

/// Why a call failed. No variant holds a token or a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with an error.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// The server could not be reached, or the connection broke.
    #[error("could not reach {address}")]
    Transport {
        /// The server's address, without a path.
        address: String,
        /// Why.
        #[source]
        source: Box<reqwest::Error>,
    },
    /// The server's answer has another shape than it should.
    #[error("the server's answer could not be read")]
    Decode(#[source] serde_json::Error),
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        Self::Api(Box::new(error))
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        let address = error.url().map_or("the server".to_owned(), |url| url.origin().ascii_serialization());
        Self::Transport { address, source: Box::new(error.without_url()) }
    }
}

impl Error {
    /// The HTTP status, if the server answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api(error) => Some(error.status),
            Self::Transport { .. } | Self::Decode(_) => None,
        }
    }
}

/// An error that the server answered, whichever of its interfaces was called.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{status} {code}: {message} [request {request_id}]")]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// A word for programs; not always one of Box's documented codes.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What exactly was wrong, where the server says so.
    pub context_info: Option<Value>,
    /// Names the request in the server's log.
    pub request_id: String,
    /// Seconds to wait, where the server says so.
    pub retry_after_s: Option<u64>,
}

impl ApiError {
    /// Reads an error from a body of any interface; a body that is none of them becomes the message.
    pub(crate) fn read(status: u16, retry_after_s: Option<u64>, box_request_id: &str, body: &[u8]) -> Self {
        let mut error = Self {
            status,
            code: String::new(),
            message: String::new(),
            context_info: None,
            request_id: box_request_id.to_owned(),
            retry_after_s,
        };
        if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
            (error.code, error.message) = (problem.code, problem.detail);
            (error.context_info, error.request_id) = (problem.context_info, problem.request_id);
        } else if let Ok(oauth) = serde_json::from_slice::<OAuth2Error>(body) {
            (error.code, error.message) = (oauth.error, oauth.error_description);
        } else if let Ok(client) = serde_json::from_slice::<ClientError>(body) {
            (error.code, error.message, error.context_info) =
                (client.code, client.message, client.context_info);
            if !client.request_id.is_empty() {
                error.request_id = client.request_id;
            }
        } else {
            error.message = String::from_utf8_lossy(body).chars().take(200).collect();
        }
        error
    }
}
