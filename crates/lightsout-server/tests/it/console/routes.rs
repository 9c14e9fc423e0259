//! Every page, as nobody, as a plain user, and without the token of its form. A page that is not listed
//! fails.

use std::fmt::Write;

use lightsout_server::http::ROUTES;
use reqwest::Method;

use crate::browser::{Browser, Shown};
use crate::harness::{Harness, both};
use crate::routes::is_page;

/// Pages for whoever has not signed in, and what they answer when nothing is sent along.
const OPEN: [(&str, &str, u16); 9] = [
    ("get", "/sign-in", 200),
    ("post", "/sign-in", 403),
    ("get", "/sign-in/second-factor", 303),
    ("post", "/sign-in/second-factor", 403),
    ("post", "/sign-in/provider/{name}", 403),
    ("get", "/sign-in/link/{link}", 404),
    ("get", "/set-password/{link}", 404),
    ("post", "/set-password/{link}", 403),
    ("get", "/console/assets/{name}", 404),
];

/// An address of the route, of things that are not there.
fn concrete(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect::<Vec<_>>().join("/")
}

async fn shown(browser: &mut Browser, method: &str, path: &str, csrf: bool) -> Shown {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
    let token = browser.csrf.clone().filter(|_| csrf).unwrap_or_default();
    let mut request = browser.request(method.clone(), &concrete(path));
    if method == Method::POST {
        request = request.form(&[("csrf", token.as_str())]);
    }
    browser.send(request).await
}

/// What a browser was answered, in a word.
fn word(shown: &Shown) -> String {
    match &shown.location {
        Some(to) => {
            let path = to.split('?').next().unwrap_or(to);
            format!("{} {path}", shown.status.as_u16())
        }
        None => shown.status.as_u16().to_string(),
    }
}

fn pages() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().copied().filter(|(_, path)| is_page(path))
}

async fn signed_in(h: &Harness, user_id: &str) -> Browser {
    let mut browser = Browser::of(h, user_id).await;
    browser.get("/console/account").await.is(200);
    assert!(browser.csrf.is_some(), "the account page has a form");
    browser
}

both! {
    async fn every_page_needs_a_sign_in_but_those_that_are_listed(h: &mut Harness) {
        for (method, path) in pages() {
            let mut browser = Browser::new(h);
            let shown = shown(&mut browser, method, path, false).await;
            let listed = OPEN.iter().find(|(m, p, _)| (*m, *p) == (method, path)).map(|(_, _, status)| *status);
            match (listed, path) {
                (Some(status), _) => assert_eq!(shown.status.as_u16(), status, "{method} {path}"),
                // An app that is not known is nobody's to sign in to.
                (None, "/api/oauth2/authorize") if method == "get" => {
                    shown.is(400).says_not("name=\"decision\"");
                }
                (None, "/") => {
                    shown.is(303).sends_to("/console");
                }
                // A stream says it by an event: a browser would ask a refused one again and again.
                (None, "/console/terminations/{termination_id}/live") => {
                    assert_eq!(shown.is(200).body, "event: signed_out\ndata: -\n\n");
                }
                // An answer of a provider that nobody asked.
                (None, "/sign-in/provider/{name}/callback") => {
                    shown.is(404);
                }
                (None, _) => {
                    shown.is(303).sends_to("/sign-in?return_to=");
                }
            }
            assert!(!browser.cookies.contains_key("lightsout_session"), "{method} {path}");
        }
    }
}

both! {
    async fn no_form_is_taken_without_the_token_of_its_page(h: &mut Harness) {
        let (admin_id, user_id) = (h.admin_id.clone(), h.user("uma").await);
        for id in [&admin_id, &user_id] {
            let mut browser = signed_in(h, id).await;
            let head = h.app.db.event_head().await.expect("a head").position;
            for (_, path) in pages().filter(|(method, _)| *method == "post") {
                let shown = shown(&mut browser, "post", path, false).await;
                assert_eq!(shown.status.as_u16(), 403, "{path}: {}", shown.body);
                shown.says("another site");
            }
            let now = h.app.db.event_head().await.expect("a head").position;
            assert_eq!(now, head, "something was done");
            browser.get("/console/account").await.is(200);
        }
    }
}

both! {
    async fn a_plain_user_sees_the_own_account_alone(h: &mut Harness) {
        let user_id = h.user("uma").await;
        let mut table = String::new();
        for (method, path) in pages().filter(|(_, path)| *path != "/sign-out") {
            let mut browser = signed_in(h, &user_id).await;
            let shown = shown(&mut browser, method, path, true).await;
            writeln!(table, "{method:<5} {path:<55} {}", word(&shown)).expect("a string takes it");
        }
        insta::assert_snapshot!("a_plain_user_sees_the_own_account_alone", table);
    }
}
