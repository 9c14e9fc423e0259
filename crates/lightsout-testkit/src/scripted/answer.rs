//! What the server does with one request.

use lightsout_api::{AccessToken, SessionTerminationMessage, TERMINATION_ACCEPTED};
use serde_json::{Value, json};

/// What a [`Scripted`](crate::Scripted) server does with one request.
///
/// An answer states its length, and the connection stays open after it, unless a header
/// `connection: close` is added or the client asked for that.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    pub(super) is_gated: bool,
    pub(super) end: End,
}

/// How much of an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    Cut,
    Endless,
    DropBeforeReading,
    DropAfterReading,
}

impl Answer {
    /// An answer with a JSON body.
    pub fn json(status: u16, body: Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    /// An answer with this body.
    pub fn text(status: u16, content_type: &str, body: &str) -> Self {
        let answer = Self { body: body.into(), ..Self::empty(status) };
        answer.header("content-type", content_type)
    }

    /// An answer without a body and without a content type.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), is_gated: false, end: End::Whole }
    }

    /// Box's 200 to a token request; `expires_in` is in seconds.
    pub fn token(access_token: &str, expires_in: u64) -> Self {
        let token = AccessToken {
            access_token: access_token.to_owned(),
            expires_in,
            token_type: "bearer".to_owned(),
            restricted_to: Vec::new(),
            refresh_token: None,
        };
        Self::json(200, json!(token))
    }

    /// Box's 202 to a termination.
    pub fn accepted() -> Self {
        let message = Some(TERMINATION_ACCEPTED.to_owned());
        Self::json(202, json!(SessionTerminationMessage { message, ..SessionTerminationMessage::default() }))
    }

    /// Adds a header. A `content-length` is sent in place of the true one; with one that is too
    /// long, the client waits for the rest until it gives up.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Sends the answer only after [`Scripted::release`](crate::Scripted::release).
    pub fn gated(mut self) -> Self {
        self.is_gated = true;
        self
    }

    /// Sends the head, which states the whole length, and half of the body, then closes.
    pub fn cut(mut self) -> Self {
        assert!(self.body.len() > 1, "only a body can be cut");
        self.end = End::Cut;
        self
    }

    /// Sends the body over and over, without a length, until the client goes away.
    pub fn endless(mut self) -> Self {
        assert!(!self.body.is_empty(), "only a body can be endless");
        self.end = End::Endless;
        self
    }

    /// Resets the connection when the first line of the request has arrived, and reads no more of it.
    ///
    /// The first line tells a token request from a call, so this works in both lists. It is recorded
    /// as a request with an empty method.
    pub fn drop_before_reading() -> Self {
        Self { end: End::DropBeforeReading, ..Self::empty(0) }
    }

    /// Reads the whole request, then closes the connection without an answer.
    pub fn drop_after_reading() -> Self {
        Self { end: End::DropAfterReading, ..Self::empty(0) }
    }

    pub(super) fn closes(&self) -> bool {
        let told = |(name, value): &(String, String)| name == "connection" && value == "close";
        matches!(self.end, End::Cut | End::Endless) || self.headers.iter().any(told)
    }

    /// What follows again and again.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// What is written to the connection.
    pub(super) fn bytes(&self) -> Vec<u8> {
        // Clients ignore the reason; it may be empty (RFC 9112, section 4).
        let mut head = format!("HTTP/1.1 {} \r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let has_length = self.headers.iter().any(|(name, _)| name == "content-length");
        // A 204 has no length, and not even a zero (RFC 9110, section 8.6).
        if !has_length && self.status != 204 && self.end != End::Endless {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let sent = if self.end == End::Cut { self.body.len() / 2 } else { self.body.len() };
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body[..sent]);
        bytes
    }
}
