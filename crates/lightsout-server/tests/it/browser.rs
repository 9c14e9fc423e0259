//! A browser without scripts: it keeps cookies, follows nothing by itself, and sends the forms that it
//! was shown.

use std::collections::BTreeMap;

use lightsout_server::ops::sign_in::{self, Origin};
use reqwest::header::{COOKIE, LOCATION, REFRESH, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect};

use crate::harness::Harness;

/// What a browser was shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) status: StatusCode,
    /// Where it is sent, if it is.
    pub(crate) location: Option<String>,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Shown {
    /// Asserts that a text stands on the page.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "{text:?} is not on the page ({}):\n{}", self.status, self.body);
        self
    }

    /// Asserts that a text does not stand on the page.
    #[track_caller]
    pub(crate) fn says_not(&self, text: &str) -> &Self {
        assert!(!self.body.contains(text), "{text:?} is on the page:\n{}", self.body);
        self
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{:?}\n{}", self.location, self.body);
        self
    }

    /// Asserts that the browser is sent to an address that begins so.
    #[track_caller]
    pub(crate) fn sends_to(&self, location: &str) -> &Self {
        let to = self.location.as_deref().unwrap_or("nowhere");
        assert!(to.starts_with(location), "sent to {to} ({}):\n{}", self.status, self.body);
        self
    }

    /// The value of a hidden field of the page.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let after = self.body.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
        after.split('"').next().map(ToOwned::to_owned)
    }
}

/// A browser.
pub(crate) struct Browser {
    http: Client,
    base: String,
    pub(crate) cookies: BTreeMap<String, String>,
    /// The token of the last page that had a form.
    pub(crate) csrf: Option<String>,
}

impl Browser {
    /// One that has not been here before.
    pub(crate) fn new(h: &Harness) -> Self {
        Self::at(&h.url(""))
    }

    /// The same at another address of the service.
    pub(crate) fn at(base: &str) -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).build().expect("a client");
        Self { http, base: base.to_owned(), cookies: BTreeMap::new(), csrf: None }
    }

    /// One in which a person has signed in.
    pub(crate) async fn of(h: &Harness, user_id: &str) -> Self {
        let mut tx = h.app.db.begin().await.expect("a transaction");
        let generation = tx.find_generation(user_id).await.expect("a generation");
        drop(tx);
        let origin =
            Origin { device: Some("test browser".to_owned()), address: Some("192.0.2.1".to_owned()) };
        let id = sign_in::begin(&h.app, user_id, generation, &origin, "password").await.expect("a sign-in");
        let mut browser = Self::new(h);
        browser.cookies.insert("lightsout_session".to_owned(), id);
        browser
    }

    pub(crate) async fn get(&mut self, path: &str) -> Shown {
        let request = self.request(Method::GET, path);
        self.send(request).await
    }

    /// Sends a form with the token of the last page.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let csrf = self.csrf.clone().unwrap_or_default();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend_from_slice(fields);
        let request = self.request(Method::POST, path).form(&all);
        self.send(request).await
    }

    /// A request with this browser's cookies.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.request(method, format!("{}{path}", self.base));
        if cookies.is_empty() { request } else { request.header(COOKIE, cookies.join("; ")) }
    }

    pub(crate) async fn send(&mut self, request: RequestBuilder) -> Shown {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        for cookie in headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().expect("text");
            let (name, value) =
                cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let text = |name| headers.get(name).map(|value| value.to_str().expect("text").to_owned());
        // A page may lead on by itself, too.
        let refresh = text(REFRESH).and_then(|value| value.strip_prefix("0; url=").map(ToOwned::to_owned));
        let location = text(LOCATION).or(refresh);
        let shown = Shown { status, location, headers, body: response.text().await.expect("a body") };
        self.csrf = shown.field("csrf").or_else(|| self.csrf.take());
        shown
    }
}
