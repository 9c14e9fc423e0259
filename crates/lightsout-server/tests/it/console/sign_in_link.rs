//! One-time links that sign somebody in: who may use one, how often, and until when.

use lightsout_api::UserId;
use lightsout_server::ops::sign_in_links::{self, LIFE_MS};
use reqwest::Method;

use super::sign_in::events;
use crate::browser::{Browser, Shown};
use crate::harness::{Harness, both};

/// Makes a link for a person, and gives its path.
async fn link_of(h: &Harness, user_id: &str) -> String {
    let link = sign_in_links::create(&h.app, &UserId(user_id.to_owned())).await.expect("a link");
    format!("/sign-in/link/{link}")
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.get("/console/account").await.status == 200
}

#[track_caller]
fn has_expired(shown: &Shown) {
    shown.is(404).says("This link has expired");
}

both! {
    async fn a_link_signs_in_once_and_leads_to_the_console(h: &mut Harness) {
        let link = link_of(h, &h.admin_id).await;
        let mut browser = Browser::new(h);
        browser.get(&link).await.is(303).sends_to("/console");
        browser.get("/console").await.is(200).says("ada@acme.example");
        let logins = events(h, "LOGIN").await;
        assert_eq!(logins.len(), 1);
        assert_eq!(logins[0]["additional_details"]["by"], "one-time link");
        assert_eq!(logins[0]["source"]["login"], "ada@acme.example");
        let mut other = Browser::new(h);
        has_expired(&other.get(&link).await);
        assert!(!is_signed_in(&mut other).await);
        assert!(is_signed_in(&mut browser).await, "the session stays");
    }
}

both! {
    async fn a_link_expires_after_ten_minutes(h: &mut Harness) {
        let (early, late) = (link_of(h, &h.admin_id).await, link_of(h, &h.admin_id).await);
        h.advance(LIFE_MS - 1);
        Browser::new(h).get(&early).await.is(303);
        h.advance(1);
        has_expired(&Browser::new(h).get(&late).await);
    }
}

both! {
    async fn an_unknown_link_signs_nobody_in(h: &mut Harness) {
        link_of(h, &h.admin_id).await;
        has_expired(&Browser::new(h).get("/sign-in/link/unknown").await);
        assert_eq!(events(h, "LOGIN").await.len(), 0);
    }
}

both! {
    async fn of_requests_at_once_with_one_link_exactly_one_signs_in(h: &mut Harness) {
        let link = link_of(h, &h.admin_id).await;
        let mut browsers: Vec<Browser> = (0..8).map(|_| Browser::new(h)).collect();
        let answers = futures_util::future::join_all(browsers.iter_mut().map(|browser| browser.get(&link))).await;
        let signed_in = answers.iter().filter(|shown| shown.status == 303).count();
        assert_eq!((signed_in, answers.iter().filter(|shown| shown.status == 404).count()), (1, 7));
        assert_eq!(events(h, "LOGIN").await.len(), 1);
    }
}

both! {
    async fn a_request_that_a_browser_makes_ahead_leaves_the_link_as_it_is(h: &mut Harness) {
        let link = link_of(h, &h.admin_id).await;
        let mut browser = Browser::new(h);
        for (name, value) in [("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch"), ("x-moz", "prefetch")] {
            let ahead = browser.request(Method::GET, &link).header(name, value);
            browser.send(ahead).await.is(503);
        }
        let head = browser.request(Method::HEAD, &link);
        browser.send(head).await.is(503);
        assert!(!is_signed_in(&mut browser).await);
        browser.get(&link).await.is(303);
        assert!(is_signed_in(&mut browser).await);
    }
}

both! {
    async fn a_termination_ends_the_links_that_were_made_before(h: &mut Harness) {
        let ann = h.user("ann").await;
        let link = link_of(h, &ann).await;
        let id = h.terminate(&ann).await;
        h.run_until_done(&id).await;
        has_expired(&Browser::new(h).get(&link).await);
        Browser::new(h).get(&link_of(h, &ann).await).await.is(303);
    }
}

both! {
    async fn a_link_replaces_the_session_that_the_browser_had(h: &mut Harness) {
        let ann = h.user("ann").await;
        let mut browser = Browser::of(h, &ann).await;
        let former = browser.cookies["lightsout_session"].clone();
        browser.get(&link_of(h, &h.admin_id).await).await.is(303);
        browser.get("/console").await.is(200).says("ada@acme.example");
        browser.cookies.insert("lightsout_session".to_owned(), former);
        assert!(!is_signed_in(&mut browser).await);
    }
}
