//! A request as it came.

use std::collections::BTreeMap;
use std::time::Instant;

/// A request that a [`Scripted`](crate::Scripted) server received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method; empty if the request was dropped before it was read, and then it has neither
    /// headers nor a body.
    pub method: String,
    /// The path, as it was sent.
    pub path: String,
    /// What follows the question mark, as it was sent.
    pub query: String,
    /// The headers in their order, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When its first line had arrived.
    pub at: Instant,
    pub(super) is_for_token: bool,
}

impl Received {
    /// The value of the first header of this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON. Panics if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The fields of a body in the format of HTML forms. Of fields with the same name, the last.
    pub fn form(&self) -> BTreeMap<String, String> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// A request of which the first line is known.
    pub(super) fn begin(line: &str, at: Instant) -> Self {
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            at,
            is_for_token: method == "POST" && path == "/oauth2/token",
        }
    }

    pub(super) fn add_header(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        self.headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }

    pub(super) fn asks_to_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}
