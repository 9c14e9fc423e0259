//! Quotas per caller, by what the call costs. The token endpoint has one per address, too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::Method;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota as Rate, RateLimiter};
use serde::Deserialize;

use super::failure::Failure;
use crate::domain::access::Caller;
use crate::domain::fold::fold;
use crate::random::sha256;

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
    /// Passwords, codes and links tried a minute from one address.
    pub sign_ins_per_minute: NonZeroU32,
    /// Passwords and codes tried an hour for one login, whether there is such a login or not; a sign-in
    /// that succeeds begins anew.
    pub sign_ins_of_account_per_hour: NonZeroU32,
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
            sign_ins_per_minute: per(30),
            sign_ins_of_account_per_hour: per(20),
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
    sign_ins: DefaultKeyedRateLimiter<IpAddr>,
    sign_ins_of_account: Tries,
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
            sign_ins: RateLimiter::keyed(Rate::per_minute(config.sign_ins_per_minute)),
            sign_ins_of_account: Tries::new(config.sign_ins_of_account_per_hour),
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

    /// Takes one try to sign in from an address. A success gives nothing back: whoever guesses the
    /// passwords of many people may know one.
    pub(super) fn take_sign_in(&self, address: IpAddr) -> Result<(), Failure> {
        check(&self.sign_ins, &network(address))
    }

    /// Takes one try to sign in with a login, known or not. The clock is one that nobody sets back.
    pub(super) fn take_sign_in_of(&self, login: &str, elapsed_ms: i64) -> Result<(), Failure> {
        self.sign_ins_of_account.take(&sha256(fold(login)), elapsed_ms)
    }

    /// Gives a login back the tries that it took: its owner has signed in.
    pub(super) fn forget_sign_ins_of(&self, login: &str) {
        self.sign_ins_of_account.lock().remove(&sha256(fold(login)));
    }

    /// Forgets callers whose quotas are full again; called now and then, or the maps only grow.
    pub fn forget_idle(&self, elapsed_ms: i64) {
        self.sign_ins.retain_recent();
        self.sign_ins_of_account.lock().retain(|_, full_at| *full_at > elapsed_ms);
        self.calls.retain_recent();
        self.introspections.retain_recent();
        self.registrations.retain_recent();
        self.feeds.retain_recent();
        self.token_requests.retain_recent();
        self.tokens_of_app.retain_recent();
    }
}

/// Who moves within a network of their own counts once: with IPv6 that is a /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let whole = v6.to_ipv4_mapped().map(IpAddr::V4);
            whole.unwrap_or_else(|| IpAddr::V6((u128::from(v6) >> 64 << 64).into()))
        }
    }
}

/// Tries of accounts, by the digest of the login: when each has all of its tries again. Unlike the other
/// quotas it can be given back.
struct Tries {
    one_ms: i64,
    all_ms: i64,
    full_at: Mutex<HashMap<String, i64>>,
}

impl Tries {
    fn new(per_hour: NonZeroU32) -> Self {
        let one_ms = (3_600_000 / i64::from(per_hour.get())).max(1);
        Self { one_ms, all_ms: one_ms * i64::from(per_hour.get()), full_at: Mutex::default() }
    }

    fn take(&self, key: &str, elapsed_ms: i64) -> Result<(), Failure> {
        let mut all = self.lock();
        let full_at = all.get(key).copied().unwrap_or(elapsed_ms).max(elapsed_ms) + self.one_ms;
        let wait_ms = full_at - self.all_ms - elapsed_ms;
        if wait_ms > 0 {
            return Err(Failure::rate_limited(wait_ms.unsigned_abs().div_ceil(1_000)));
        }
        all.insert(key.to_owned(), full_at);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_of_an_account_come_back_one_by_one_or_all_at_once() {
        let config = LimitsConfig {
            sign_ins_of_account_per_hour: NonZeroU32::new(3).expect("not zero"),
            ..LimitsConfig::default()
        };
        let limits = Limits::new(&config);
        for _ in 0..3 {
            limits.take_sign_in_of("Ann@acme.example", 5_000).expect("a try is left");
        }
        let refused = limits.take_sign_in_of(" ann@ACME.example", 5_000).expect_err("none is left");
        assert_eq!(refused.retry_after_s, Some(1_200));
        limits.take_sign_in_of("bob@acme.example", 5_000).expect("another login has its own");
        limits.take_sign_in_of("ann@acme.example", 1_205_000).expect("one came back");
        limits.take_sign_in_of("ann@acme.example", 1_205_000).expect_err("only one");
        limits.forget_sign_ins_of("ann@acme.example");
        limits.take_sign_in_of("ann@acme.example", 1_205_000).expect("all came back");
        limits.forget_idle(1_206_000);
        assert_eq!(limits.sign_ins_of_account.lock().len(), 1 + 1, "who has taken a try is remembered");
        limits.forget_idle(9_000_000);
        assert!(limits.sign_ins_of_account.lock().is_empty(), "who has all of them is forgotten");
    }

    #[test]
    fn addresses_of_one_network_count_once() {
        let one = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(one("2001:db8:1:2:3::4"), one("2001:db8:1:2:ffff::9"));
        assert_ne!(one("2001:db8:1:2::4"), one("2001:db8:1:3::4"));
        assert_eq!(one("::ffff:192.0.2.1"), one("192.0.2.1"));
        assert_ne!(one("192.0.2.1"), one("192.0.2.2"));
    }
}
