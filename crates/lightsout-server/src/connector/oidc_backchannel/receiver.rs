//! One relying party over HTTP: takes logout tokens, and may be asked whether a session lives.

use reqwest::{Client, StatusCode, Url};
use secrecy::ExposeSecret;

use super::pace::Pace;
use super::{OidcBackchannelConfig, ReceiverKind};
use crate::clock::Clock;
use crate::connector::{ConnectorError, web};

/// What became of one token.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// The receiver says that it has done it.
    Taken,
    /// The receiver answered something else; in short words.
    Refused(String),
    /// No answer came.
    Lost(String),
}

/// What a probe showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    Gone,
    /// The answer was neither, or none came.
    Unclear,
}

/// The relying party.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) client: Client,
    pub(crate) pace: Pace,
    clock: Clock,
}

impl Receiver {
    pub(crate) fn new(client: Client, pace: Pace, clock: Clock) -> Self {
        Self { client, pace, clock }
    }

    /// Posts one token.
    pub(crate) async fn deliver(&self, config: &OidcBackchannelConfig, token: &str) -> Delivery {
        let request = self
            .client
            .post(&config.logout_uri)
            .header(reqwest::header::ACCEPT, "application/json, */*")
            .form(&[("logout_token", token)]);
        match web::send(request).await {
            Ok(response) => {
                if matches!(response.status.as_u16(), 429 | 503) {
                    self.pace.rest(&response.headers, self.clock.now_ms());
                }
                match refusal(config.receiver, response.status) {
                    None => Delivery::Taken,
                    Some(why) => Delivery::Refused(why),
                }
            }
            Err(ConnectorError::Unreachable(why)) => Delivery::Lost(why),
            Err(ConnectorError::Unexpected(why)) => Delivery::Refused(why),
        }
    }

    /// Asks whether a session lives. With the status that said so; none where no answer came.
    pub(crate) async fn probe(
        &self,
        config: &OidcBackchannelConfig,
        sub: &str,
        sid: &str,
    ) -> (Life, Option<u16>) {
        let Some(url) = config.probe_url.as_deref().and_then(|template| probe_url(template, sub, sid)) else {
            return (Life::Unclear, None);
        };
        let mut request = self.client.get(url);
        if let Some(token) = &config.probe_token {
            request = request.bearer_auth(token.0.expose_secret());
        }
        let Ok(response) = web::send(request).await else { return (Life::Unclear, None) };
        let status = response.status.as_u16();
        if matches!(status, 429 | 503) {
            self.pace.rest(&response.headers, self.clock.now_ms());
        }
        let life = if config.probe_alive.contains(&status) {
            Life::Alive
        } else if config.gone().contains(&status) {
            Life::Gone
        } else {
            Life::Unclear
        };
        (life, Some(status))
    }

    /// The status of a request that holds no token: 400 where logout tokens are taken.
    pub(crate) async fn status_without_token(
        &self,
        config: &OidcBackchannelConfig,
    ) -> Result<StatusCode, ConnectorError> {
        let nothing: [(&str, &str); 0] = [];
        Ok(web::send(self.client.post(&config.logout_uri).form(&nothing)).await?.status)
    }
}

/// Why an answer does not say that the sessions are over; none if it does.
///
/// The specification has 200, and lets 204 pass. Where a receiver is known to give one of the two, the
/// other comes from something else that answers at that address.
fn refusal(kind: ReceiverKind, status: StatusCode) -> Option<String> {
    let taken: &[u16] = match kind {
        ReceiverKind::Standard => &[200, 204],
        ReceiverKind::ExpressOpenidConnect => &[204],
        ReceiverKind::ModAuthOpenidc => &[200],
    };
    if taken.contains(&status.as_u16()) {
        return None;
    }
    let why = match status.as_u16() {
        300..=399 => ", a redirect, which is not followed",
        400 => ": the receiver refused the token or could not end the session",
        404 | 405 => ": no logout tokens are taken at this address",
        429 => ": the receiver asks for fewer requests",
        501 => ": the receiver does not do back-channel logout",
        503 => ": the receiver is not available for now",
        504 => ": the receiver could not reach where the session is",
        200..=299 => ", which this kind of receiver does not answer",
        _ => "",
    };
    Some(format!("HTTP {}{why}", status.as_u16()))
}

/// Fills a template, percent-encoding everything but unreserved characters. None where a name would be
/// read as a step in the path.
pub(crate) fn probe_url(template: &str, sub: &str, sid: &str) -> Option<Url> {
    let dots = |text: &str| matches!(text, "." | "..");
    if dots(sub) || dots(sid) {
        return None;
    }
    // In one walk: a name that itself holds {sub} stays what it is.
    let mut url = String::with_capacity(template.len() + sid.len() + sub.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        url.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{sid}") {
            url.push_str(&encoded(sid));
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{sub}") {
            url.push_str(&encoded(sub));
            rest = after;
        } else {
            url.push('{');
            rest = &rest[1..];
        }
    }
    url.push_str(rest);
    Url::parse(&url).ok()
}

fn encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes every write");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_percent_encoded_into_the_probe() {
        let url = |sub, sid| probe_url("https://rp.example/p/{sid}?u={sub}", sub, sid).map(String::from);
        assert_eq!(
            url("a&b=ä", "x/../{sub}?").as_deref(),
            Some("https://rp.example/p/x%2F..%2F%7Bsub%7D%3F?u=a%26b%3D%C3%A4")
        );
        assert_eq!((url("ann", ".."), url("ann", ".")), (None, None));
    }

    #[test]
    fn a_status_is_read_by_the_kind_of_receiver() {
        let taken =
            |kind, status: u16| refusal(kind, StatusCode::from_u16(status).expect("a status")).is_none();
        let rows = [
            (ReceiverKind::Standard, [true, true, false]),
            (ReceiverKind::ExpressOpenidConnect, [false, true, false]),
            (ReceiverKind::ModAuthOpenidc, [true, false, false]),
        ];
        for (kind, expected) in rows {
            assert_eq!([200, 204, 202].map(|status| taken(kind, status)), expected, "{kind:?}");
            for status in [302, 400, 401, 404, 429, 500, 501, 503, 504] {
                assert!(!taken(kind, status), "{kind:?} {status}");
            }
        }
    }
}
