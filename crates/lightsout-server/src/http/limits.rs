//! Quotas per caller, by what the call costs. The token endpoint has one per address, too.

use std::net::IpAddr;
use std::num::NonZeroU32;

use axum::http::Method;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota as Rate, RateLimiter};
use serde::Deserialize;

use super::failure::Failure;
use crate::domain::access::Caller;

/// Calls that each caller may make. A caller is a person or service account of one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Calls a minute, other than those below (Box's number).
    pub calls_per_minute: NonZeroU32,
    /// Introspections a second.
    pub introspections_per_second: NonZeroU32,
    /// Requests a second that register or end registry sessions.
    pub registrations_per_second: NonZeroU32,
    /// Streams and waiting answers opened a minute.
    pub feeds_per_minute: NonZeroU32,
    /// Token requests a minute of one address, and of one app.
    pub token_requests_per_minute: NonZeroU32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let per = |n| NonZeroU32::new(n).expect("not zero");
        Self {
            calls_per_minute: per(1_000),
            introspections_per_second: per(20_000),
            registrations_per_second: per(1_000),
            feeds_per_minute: per(120),
            token_requests_per_minute: per(120),
        }
    }
}

/// The quotas' present state.
pub struct Limits {
    calls: DefaultKeyedRateLimiter<String>,
    introspections: DefaultKeyedRateLimiter<String>,
    registrations: DefaultKeyedRateLimiter<String>,
    feeds: DefaultKeyedRateLimiter<String>,
    token_requests: DefaultKeyedRateLimiter<IpAddr>,
    tokens_of_app: DefaultKeyedRateLimiter<String>,
}

/// Which quota a call is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quota {
    Calls,
    Introspections,
    Registrations,
    Feeds,
}

impl Quota {
    pub(super) fn of(method: &Method, path: &str) -> Self {
        if path == "/oauth2/introspect" {
            Self::Introspections
        } else if path.starts_with("/v1/sessions") && method != Method::GET {
            Self::Registrations
        } else if is_feed(path) {
            Self::Feeds
        } else {
            Self::Calls
        }
    }
}

/// Whether a route answers with a stream, or may wait for something to happen.
pub(super) fn is_feed(path: &str) -> bool {
    path == "/v1/barriers"
        || path.starts_with("/v1/terminations/") && path.ends_with("/events")
        || path.starts_with("/console/terminations/") && path.ends_with("/live")
}

impl Limits {
    /// Starts with every quota full.
    pub fn new(config: &LimitsConfig) -> Self {
        Self {
            calls: RateLimiter::keyed(Rate::per_minute(config.calls_per_minute)),
            introspections: RateLimiter::keyed(Rate::per_second(config.introspections_per_second)),
            registrations: RateLimiter::keyed(Rate::per_second(config.registrations_per_second)),
            feeds: RateLimiter::keyed(Rate::per_minute(config.feeds_per_minute)),
            token_requests: RateLimiter::keyed(Rate::per_minute(config.token_requests_per_minute)),
            tokens_of_app: RateLimiter::keyed(Rate::per_minute(config.token_requests_per_minute)),
        }
    }

    /// Takes one call of a caller.
    pub(super) fn take(&self, quota: Quota, caller: &Caller) -> Result<(), Failure> {
        let limiter = match quota {
            Quota::Calls => &self.calls,
            Quota::Introspections => &self.introspections,
            Quota::Registrations => &self.registrations,
            Quota::Feeds => &self.feeds,
        };
        let app = caller.client_id.as_ref().map_or("", |id| id.as_str());
        check(limiter, &format!("{app} {}", caller.asked_by().user_id))
    }

    /// Takes one token request of an address.
    pub(super) fn take_token_request(&self, peer: IpAddr) -> Result<(), Failure> {
        check(&self.token_requests, &peer)
    }

    /// Takes one token request of an app that proved who it is.
    pub(super) fn take_token_of_app(&self, client_id: &str) -> Result<(), Failure> {
        check(&self.tokens_of_app, &client_id.to_owned())
    }

    /// Forgets callers whose quotas are full again; called now and then, or the maps only grow.
    pub fn forget_idle(&self) {
        self.calls.retain_recent();
        self.introspections.retain_recent();
        self.registrations.retain_recent();
        self.feeds.retain_recent();
        self.token_requests.retain_recent();
        self.tokens_of_app.retain_recent();
    }
}

fn check<K: std::hash::Hash + Eq + Clone>(
    limiter: &DefaultKeyedRateLimiter<K>,
    key: &K,
) -> Result<(), Failure> {
    limiter.check_key(key).map_err(|not_until| {
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        Failure::rate_limited(wait.as_secs() + 1)
    })
}
