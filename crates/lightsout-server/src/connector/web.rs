//! HTTP as connectors speak it: no redirects, bounded answers, errors that show no address.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, StatusCode};

use super::ConnectorError;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A client that follows no redirect. `ca_file` holds certificates (PEM) to trust besides the
/// system's.
pub(crate) fn client(timeout: Duration, ca_file: Option<&PathBuf>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(timeout)
        .user_agent(concat!("lightsout/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = ca_file {
        let pem = std::fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|_| format!("{} holds no PEM certificate", file.display()))?;
        builder = certificates.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
    }
    builder.build().map_err(|_| "the HTTP client cannot start".to_owned())
}

/// Sends one request and reads the whole answer.
pub(crate) async fn send(request: RequestBuilder) -> Result<Response, ConnectorError> {
    let mut response = request.send().await.map_err(|e| ConnectorError::Unreachable(explain(&e)))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|_| ConnectorError::Unreachable("its answer broke off".to_owned()))?
    {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(ConnectorError::Unexpected(format!("an answer over {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status, headers, body })
}

/// Why no answer came, without the address.
fn explain(error: &reqwest::Error) -> String {
    use std::error::Error;
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut chain = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        chain = cause.to_string();
        source = cause.source();
    }
    if chain.contains("certificate") || chain.contains("CertificateError") {
        return format!("its certificate is not trusted ({})", certificate_problem(&chain));
    }
    if error.is_connect() { "no connection".to_owned() } else { "the connection broke".to_owned() }
}

/// A certificate's complaint without the names in it, by the words of rustls.
fn certificate_problem(text: &str) -> &'static str {
    let kinds = [
        (["UnknownIssuer", "unknown issuer"], "signed by nobody who is trusted; is ca_file right?"),
        (["NotValidForName", "not valid for name"], "not for this host's name"),
        (["NotValidYet", "not valid yet"], "not valid yet"),
        (["RevocationList", "revocation list"], "the list of revoked ones cannot be used"),
        (["Expired", "expired"], "expired"),
        (["Revoked", "revoked"], "revoked"),
        (["CaUsedAsEndEntity", "end entity"], "a certificate authority's own"),
        (["InvalidPurpose", "extended key usage"], "not made for a server"),
        (["BadSignature", "Unsupported"], "its signature cannot be checked"),
        (["BadEncoding", "UnhandledCriticalExtension"], "it cannot be read"),
    ];
    let is_in = |words: &[&str; 2]| words.iter().any(|word| text.contains(word));
    kinds.iter().find(|(words, _)| is_in(words)).map_or("refused", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificates_complaint_shows_no_name() {
        for (text, kind) in [
            ("invalid peer certificate: UnknownIssuer", "nobody who is trusted"),
            (
                "invalid peer certificate: certificate not valid for name \"vpn.acme.example\"; certificate is only valid for DnsName(\"expired.acme.example\")",
                "not for this host's name",
            ),
            (
                "invalid peer certificate: certificate expired: verification time 2 (UNIX), but certificate is not valid after 1 (1 seconds ago)",
                "expired",
            ),
            ("invalid peer certificate: Other(OtherError(\"acme.example\"))", "refused"),
        ] {
            let said = certificate_problem(text);
            assert!(said.contains(kind), "{text}: {said}");
            assert!(!said.contains("acme"), "{said}");
        }
    }
}
