//! How an outside provider is configured: the tables `[[sign_in.providers]]`.

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;
use serde::Deserialize;

use crate::secret::Secret;

/// An outside OpenID provider that people sign in through.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// The name in addresses and in the log: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// What the button says; the name where it is left out.
    #[serde(default)]
    pub title: Option<String>,
    /// The issuer, exactly as the provider writes it.
    pub issuer: String,
    /// This service's client id there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The enterprise whose people sign in through it.
    pub enterprise: String,
    /// Domains of e-mail addresses that this provider speaks for.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Whether it asks for a second factor itself, so that ours is not asked for.
    #[serde(default)]
    pub asks_second_factor: bool,
    /// Scopes that are asked for.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// Certificates (PEM) to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn default_scopes() -> Vec<String> {
    ["openid", "email"].map(ToOwned::to_owned).to_vec()
}

impl ProviderConfig {
    /// What the button says.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }

    /// Says what cannot work.
    pub fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err("a provider's name has lower-case letters, digits, - and _".to_owned());
        }
        let wrong = |why: &str| Err(format!("provider {}: {why}", self.name));
        match Url::parse(&self.issuer) {
            Ok(url) if !is_safe(&url) => {
                return wrong("issuer begins with https://; only on loopback may it be http://");
            }
            Ok(url) if url.query().is_none() && url.fragment().is_none() => {}
            _ => return wrong("issuer is an address without query or fragment"),
        }
        if self.client_id.is_empty() || self.enterprise.is_empty() {
            return wrong("client_id and enterprise are not empty");
        }
        let is_domain = |domain: &String| {
            let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            domain.contains('.') && domain.chars().all(letters) && !domain.starts_with('.')
        };
        if let Some(domain) = self.domains.iter().find(|domain| !is_domain(domain)) {
            return wrong(&format!("domains holds {domain:?}; write it as in acme.example, in lower case"));
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return wrong("scopes holds openid");
        }
        Ok(())
    }
}

/// Whether what is sent there stays secret: https, or the machine itself.
pub(super) fn is_safe(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|ip| ip.is_loopback());
    url.scheme() == "https" && url.has_host() || url.scheme() == "http" && loopback
}
