//! Where a browser may be sent back to after a sign-in: which redirect URIs may be registered, and
//! which of them a request names (RFC 6749, section 3.1.2; RFC 8252, section 7; RFC 9700, section 4.1.3).
//!
//! Nothing is normalised: a URI is the one that was registered, character by character, or it is another.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longer ones are not registered.
const LENGTH_MAX: usize = 2_000;
/// Loopback addresses by number: no name service can point them elsewhere.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "[::1]"];

/// Whether a redirect URI may be registered; if not, why.
///
/// `public`: the app keeps no secret, as programs on people's devices. Only such a one may be called by
/// a scheme of its own.
pub fn may_register(uri: &str, public: bool) -> Result<(), &'static str> {
    if uri.len() > LENGTH_MAX {
        return Err("a redirect URI has at most 2,000 characters");
    }
    if !uri.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&b)) {
        return Err("a redirect URI is written in ASCII, and spaces and other characters as %XX");
    }
    if uri.contains('#') {
        return Err("a redirect URI has no fragment (#)");
    }
    let (scheme, rest) =
        uri.split_once(':').ok_or("a redirect URI begins with a scheme, such as https://")?;
    match scheme {
        "https" | "http" => {
            let rest = rest.strip_prefix("//").ok_or("after the scheme of a redirect URI comes //")?;
            may_register_web(scheme, rest)
        }
        _ if !is_private_scheme(scheme) => {
            Err("a redirect URI is https, http on loopback, or a scheme of the app with a dot in it")
        }
        _ if !public => Err("only a public app may have a redirect URI with a scheme of its own"),
        _ if rest.trim_start_matches('/').is_empty() => Err("a redirect URI has a path or a host"),
        _ => Ok(()),
    }
}

fn may_register_web(scheme: &str, rest: &str) -> Result<(), &'static str> {
    let authority = authority(rest);
    if authority.contains('@') {
        return Err("a redirect URI names no user");
    }
    let (host, port) = host_and_port(authority).ok_or("the host of a redirect URI cannot be read")?;
    if port.is_some_and(|port| !is_port(port)) {
        return Err("the port of a redirect URI is a number from 1 to 65535");
    }
    if scheme == "http" && !LOOPBACK.contains(&host) && host != "localhost" {
        return Err("http is for loopback only (127.0.0.1, [::1], localhost); elsewhere it is https");
    }
    if !is_host(host) {
        return Err(
            "the host of a redirect URI is a name in lower case, or a whole address such as 192.0.2.1 or [2001:db8::1]",
        );
    }
    Ok(())
}

/// A name, or an address in the one form in which everybody reads it: a browser takes `0` and `127.1` for
/// addresses, too.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_name = host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    let is_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(is_hex);
    is_name && (!is_number || host.parse::<Ipv4Addr>().is_ok())
}

/// A reverse domain name (RFC 8252, section 7.1): what is a scheme of the system has no dot.
fn is_private_scheme(scheme: &str) -> bool {
    scheme.contains('.')
        && scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

/// Whether a request names a registered URI: the same text, or the same but for the port where it is a
/// loopback address over http, because a program on a device takes the port that is free.
pub fn names(registered: &str, requested: &str) -> bool {
    if registered == requested {
        return true;
    }
    match (loopback(registered), loopback(requested)) {
        (Some((host, _, rest)), Some((requested_host, port, requested_rest))) => {
            host == requested_host && rest == requested_rest && port.is_none_or(is_port)
        }
        _ => false,
    }
}

/// The host, the port and what follows of `http` on a loopback address.
fn loopback(uri: &str) -> Option<(&str, Option<&str>, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let authority = authority(rest);
    let (host, port) = host_and_port(authority)?;
    LOOPBACK.contains(&host).then_some((host, port, &rest[authority.len()..]))
}

fn authority(rest: &str) -> &str {
    &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())]
}

fn host_and_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let host_end = match authority.find(']') {
        Some(end) if authority.starts_with('[') => end + 1,
        Some(_) => return None,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    if port.is_empty() { Some((host, None)) } else { Some((host, Some(port.strip_prefix(':')?))) }
}

fn is_port(port: &str) -> bool {
    !port.starts_with('0')
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The origin or scheme of a registered URI, as a Content-Security-Policy names a place that a form may
/// lead to.
pub fn form_target(uri: &str) -> &str {
    let (scheme, rest) = uri.split_at(uri.find(':').map_or(0, |colon| colon + 1));
    match rest.strip_prefix("//") {
        // Such a policy has no words for an IPv6 address.
        Some(rest) if scheme.starts_with("http") && !rest.starts_with('[') => {
            &uri[..scheme.len() + 2 + authority(rest).len()]
        }
        _ => scheme,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_may_be_registered() {
        for uri in [
            "https://app.example/callback",
            "https://app.example",
            "https://app.example:8443/callback?tenant=1&x=%20",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:9000/callback",
            "http://[::1]/callback",
            "http://localhost:3000/callback",
            "https://192.0.2.1/callback",
            "https://[2001:db8::1]:8443/callback",
        ] {
            assert_eq!(may_register(uri, false), Ok(()), "{uri}");
            assert_eq!(may_register(uri, true), Ok(()), "{uri}");
        }
        for uri in ["com.example.app:/callback", "com.example.app://callback"] {
            assert_eq!(may_register(uri, true), Ok(()), "{uri}");
            assert!(may_register(uri, false).is_err(), "{uri} is for programs on devices");
        }
        for uri in [
            "",
            "/callback",
            "app.example/callback",
            "//app.example/callback",
            "https:app.example",
            "http://app.example/callback",
            "http://127.0.0.1.evil.example/",
            "http://127.0.0.2/",
            "http://localhost.evil.example/",
            "https://app.example/callback#fragment",
            "https://user@app.example/",
            "https://app.example:443@evil.example/",
            "https://APP.example/",
            "https://app.example\\@evil.example/",
            "https://app.example/a b",
            "https://app.example/\r\nX: 1",
            "https://app.example/ä",
            "https://",
            "https:///callback",
            "https://app.example:0/",
            "https://app.example:99999/",
            "https://app.example:/",
            "https://*.app.example/",
            "https://0",
            "https://127.1/",
            "https://app.0x1./",
            "https://192.0.2.01/",
            "https://[app]/",
            "https://[fe80::1%25eth0]/",
            "javascript:alert(1)",
            "data:text/html,x",
            "myapp:/callback",
            "com.example.app:",
            "com.example.app://",
            "Com.Example.App:/callback",
            "file:///etc/passwd",
            "ftp://app.example/",
        ] {
            assert!(may_register(uri, true).is_err(), "{uri}");
        }
        assert!(may_register(&format!("https://app.example/{}", "x".repeat(2_000)), true).is_err());
    }

    #[test]
    fn a_request_names_what_is_registered_and_nothing_like_it() {
        let registered = "https://app.example/callback";
        assert!(names(registered, registered));
        for other in [
            "https://app.example/callback/",
            "https://app.example/Callback",
            "https://app.example/callback?x=1",
            "https://app.example/callback#x",
            "https://app.example:443/callback",
            "https://app.example//callback",
            "https://app.example/%63allback",
            "https://app.example/a/../callback",
            "http://app.example/callback",
            "https://app.example.evil.example/callback",
            "https://evil.example/callback",
            "https://app.example@evil.example/callback",
            "https://evil.example\\@app.example/callback",
            "HTTPS://app.example/callback",
            "https://app.example/callback ",
            "https://app.example",
            "",
        ] {
            assert!(!names(registered, other), "{other}");
        }
    }

    #[test]
    fn a_loopback_address_has_any_port() {
        for (registered, requested, same) in [
            ("http://127.0.0.1/callback", "http://127.0.0.1:51004/callback", true),
            ("http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback", true),
            ("http://[::1]/callback", "http://[::1]:51004/callback", true),
            ("http://127.0.0.1/callback", "http://[::1]:51004/callback", false),
            ("http://127.0.0.1/callback", "http://127.0.0.1:51004/other", false),
            ("http://127.0.0.1/callback", "http://127.0.0.1:51004/callback?x", false),
            ("http://127.0.0.1/callback", "http://127.0.0.1:0/callback", false),
            ("http://127.0.0.1/callback", "http://127.0.0.1:65536/callback", false),
            ("http://127.0.0.1/callback", "http://127.0.0.1:+80/callback", false),
            ("http://127.0.0.1/callback", "http://127.0.0.1:080/callback", false),
            ("http://127.0.0.1/callback", "http://127.0.0.1:/callback", false),
            ("http://127.0.0.1/callback", "http://127.0.0.1:80@evil.example/callback", false),
            ("http://127.0.0.1/callback", "http://127.0.0.1.evil.example/callback", false),
            ("http://127.0.0.1/callback", "http://evil.example:80/callback", false),
            ("http://127.0.0.1/callback", "http://[::1].evil.example/callback", false),
            ("http://[::1]/callback", "http://[::1]evil.example/callback", false),
            ("http://127.0.0.1/callback", "https://127.0.0.1:51004/callback", false),
            ("http://localhost:3000/callback", "http://localhost:3001/callback", false),
            ("https://127.0.0.1/callback", "https://127.0.0.1:8443/callback", false),
        ] {
            assert_eq!(names(registered, requested), same, "{registered} {requested}");
        }
    }

    #[test]
    fn a_policy_names_the_origin_or_the_scheme() {
        for (uri, target) in [
            ("https://app.example/callback", "https://app.example"),
            ("https://app.example:8443?x", "https://app.example:8443"),
            ("http://127.0.0.1:51004/callback", "http://127.0.0.1:51004"),
            ("http://[::1]:51004/callback", "http:"),
            ("com.example.app:/callback", "com.example.app:"),
            ("com.example.app://callback", "com.example.app:"),
        ] {
            assert_eq!(form_target(uri), target);
        }
    }

    proptest! {
        /// Whatever is sent: if it names a registered one, its host is the registered one's.
        #[test]
        fn nothing_leads_to_another_host(tail in "[ -~]{0,40}") {
            for registered in ["http://127.0.0.1/callback", "https://app.example/callback"] {
                for requested in [format!("http://127.0.0.1{tail}"), format!("https://app.example{tail}"), tail.clone()] {
                    if names(registered, &requested) {
                        let host = |uri: &str| reqwest::Url::parse(uri).ok().and_then(|url| url.host_str().map(str::to_owned));
                        prop_assert_eq!(host(registered), host(&requested));
                    }
                }
            }
        }

        /// Whatever may be registered is read by browsers as it is read here.
        #[test]
        fn what_is_registered_is_a_url(uri in "(https|http|com\\.example|javascript)://?/?[a-z0-9.@:\\[\\]\\\\/#?%-]{0,30}") {
            let read = reqwest::Url::parse(&uri).ok().filter(|_| may_register(&uri, true).is_ok());
            if let Some(url) = read.filter(|_| uri.starts_with("https://")) {
                let host = url.host_str().unwrap_or_default();
                prop_assert!(form_target(&uri).contains(host) || form_target(&uri) == "https:", "{uri}");
            }
        }
    }
}
