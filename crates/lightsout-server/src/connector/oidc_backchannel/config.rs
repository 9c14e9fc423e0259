//! The keys of `kind = "oidc_backchannel"`, and what of them cannot work.

use std::path::PathBuf;

use reqwest::Url;
use serde::Deserialize;

use super::keys::Algorithm;
use super::receiver::probe_url;
use crate::connector::sql::Sids;
use crate::secret::Secret;

/// How a receiver's answers are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverKind {
    /// As the specification says: 200, and 204 where a framework turns 200 into it.
    #[default]
    Standard,
    /// npm `express-openid-connect`: 204, also to unknown sids.
    ExpressOpenidConnect,
    /// `mod_auth_openidc`: 200, also to unknown sids; 400 to a `jti` that it has seen.
    ModAuthOpenidc,
}

/// One relying party.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcBackchannelConfig {
    /// The provider's issuer, as the relying party knows it.
    pub issuer: String,
    /// The relying party's client id at the provider.
    pub client_id: String,
    /// Its back-channel logout URI.
    pub logout_uri: String,
    /// The provider's private keys: a JWK Set, or PEM together with `kid`.
    pub signing_keys: PathBuf,
    /// Which of the keys, where there are several.
    #[serde(default)]
    pub kid: Option<String>,
    /// How the receiver expects tokens to be signed.
    #[serde(default = "default_algorithm")]
    pub algorithm: Algorithm,
    /// How its answers are to be read.
    #[serde(default)]
    pub receiver: ReceiverKind,
    /// Requests a second at most; 0: no limit.
    #[serde(default = "default_rate")]
    pub rate_per_s: u32,
    /// Requests at the same time at most.
    #[serde(default = "default_parallel")]
    pub parallel: u32,
    /// Certificates to trust besides the system's, PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The provider's own store, in a SQL database, where sids are looked up besides those registered.
    #[serde(default)]
    pub sids_url: Option<Secret>,
    /// Selects `subject`, `sid` and, if known, `sub` and `began_at` for `:subjects` and `:client_id`.
    #[serde(default)]
    pub sids_sql: Option<String>,
    /// Where to ask whether a session lives, with `{sid}` and `{sub}`.
    #[serde(default)]
    pub probe_url: Option<String>,
    /// Sent to the probe as Bearer.
    #[serde(default)]
    pub probe_token: Option<Secret>,
    /// Statuses by which the probe says that the session lives.
    #[serde(default = "default_alive")]
    pub probe_alive: Vec<u16>,
    /// Statuses by which the probe says that it is gone: 404, and 401 and 403 where no token is sent.
    #[serde(default)]
    pub probe_gone: Option<Vec<u16>>,
}

fn default_algorithm() -> Algorithm {
    Algorithm::RS256
}

fn default_rate() -> u32 {
    200
}

fn default_parallel() -> u32 {
    8
}

fn default_alive() -> Vec<u16> {
    vec![200]
}

impl OidcBackchannelConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if is_http(Url::parse(&self.issuer).ok()).is_none_or(|url| url.query().is_some()) {
            return Err("issuer is an http or https URL without query, fragment and password".to_owned());
        }
        if self.client_id.is_empty() {
            return Err("client_id is the relying party's name at the provider".to_owned());
        }
        if is_http(Url::parse(&self.logout_uri).ok()).is_none() {
            return Err("logout_uri is an http or https URL without fragment and password".to_owned());
        }
        if !(1..=64).contains(&self.parallel) {
            return Err("parallel is from 1 to 64".to_owned());
        }
        if self.rate_per_s > 100_000 {
            return Err("rate_per_s is at most 100000; 0 is no limit".to_owned());
        }
        let Some(template) = &self.probe_url else {
            return match &self.probe_token {
                Some(_) => Err("probe_token needs a probe_url".to_owned()),
                None => Ok(()),
            };
        };
        if !template.contains("{sid}") || is_http(probe_url(template, "sub", "sid")).is_none() {
            return Err("probe_url is an http or https URL that holds {sid}".to_owned());
        }
        let gone = self.gone();
        if self.probe_alive.is_empty() || gone.is_empty() {
            return Err("probe_alive and probe_gone hold at least one status each".to_owned());
        }
        if let Some(both) = self.probe_alive.iter().find(|status| gone.contains(status)) {
            return Err(format!("{both} stands in probe_alive and in probe_gone"));
        }
        if self.probe_alive.iter().chain(gone).any(|s| matches!(s, 429 | 503)) {
            return Err("429 and 503 say nothing of a session".to_owned());
        }
        Ok(())
    }

    /// Refuses, before anything is asked, statuses by which the probe would refuse its own token.
    pub(super) fn check_probe_token(&self) -> Result<(), String> {
        let gone = self.gone();
        let refusal = gone.iter().find(|status| self.probe_token.is_some() && matches!(status, 401 | 403));
        if let Some(status) = refusal {
            return Err(format!(
                "{status} in probe_gone cannot go with probe_token: it is also the answer to a token that has \
                 expired, by which every session would count as gone"
            ));
        }
        Ok(())
    }

    /// Statuses by which the probe says that a session is gone.
    pub(super) fn gone(&self) -> &[u16] {
        match &self.probe_gone {
            Some(given) => given,
            None if self.probe_token.is_some() => &[404],
            None => &[401, 403, 404],
        }
    }

    /// The provider's store, if it is to be asked.
    pub(super) fn sids(&self) -> Result<Option<Sids>, String> {
        match (&self.sids_url, &self.sids_sql) {
            (Some(url), Some(sql)) => Sids::new(url.clone(), sql).map(Some),
            (None, None) => Ok(None),
            _ => Err("sids_url and sids_sql go together".to_owned()),
        }
    }

    /// Whether tokens go to another machine unencrypted.
    pub(super) fn is_open_http(&self) -> bool {
        Url::parse(&self.logout_uri).is_ok_and(|url| {
            let loopback = match url.host_str() {
                Some("localhost" | "[::1]") => true,
                Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|a| a.is_loopback()),
                None => false,
            };
            url.scheme() == "http" && !loopback
        })
    }
}

fn is_http(url: Option<Url>) -> Option<Url> {
    url.filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_token_a_refused_probe_means_gone_and_with_one_it_does_not() {
        let config = |more: serde_json::Value| {
            let mut keys = serde_json::json!({
                "issuer": "https://login.example.com",
                "client_id": "wiki",
                "logout_uri": "https://wiki.example.com/logout",
                "signing_keys": "keys.json",
                "probe_url": "https://wiki.example.com/sessions/{sid}",
            });
            for (key, value) in more.as_object().expect("keys") {
                keys[key] = value.clone();
            }
            let config: OidcBackchannelConfig = serde_json::from_value(keys).expect("a configuration");
            config.check_probe_token().map(|()| config.gone().to_vec())
        };
        let rows = [
            (serde_json::json!({}), Some(vec![401, 403, 404])),
            (serde_json::json!({"probe_gone": [401]}), Some(vec![401])),
            (serde_json::json!({"probe_token": "secret"}), Some(vec![404])),
            (serde_json::json!({"probe_token": "secret", "probe_gone": [404, 410]}), Some(vec![404, 410])),
            (serde_json::json!({"probe_token": "secret", "probe_gone": [401, 403, 404]}), None),
        ];
        for (more, expected) in rows {
            assert_eq!(config(more.clone()).ok(), expected, "{more}");
        }
    }
}
