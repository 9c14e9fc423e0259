//! The second factor: set up, asked for, taken away.

use lightsout_server::domain::totp;
use lightsout_server::ops::sign_in::Policy;
use lightsout_server::ops::{credentials, second_factor};
use lightsout_server::server::retention;

use super::sign_in::{PASSWORD, enter, events, rows};
use crate::browser::{Browser, Shown};
use crate::harness::{Harness, both};

const CODE: &str = "/sign-in/second-factor";

/// The secret that a page shows.
fn secret(shown: &Shown) -> String {
    let text = shown.body.split("<code id=\"secret\">").nth(1).expect("a secret").split('<').next();
    text.expect("a text").replace(' ', "")
}

fn code(h: &Harness, secret: &str) -> String {
    totp::code_at(secret, h.app.clock.now_ms()).expect("a code")
}

/// A code that is not right.
fn wrong(h: &Harness, secret: &str) -> String {
    let right: Vec<String> = [-30_000, 0, 30_000]
        .map(|off| totp::code_at(secret, h.app.clock.now_ms() + off).expect("a code"))
        .to_vec();
    (0..9).map(|n| format!("{n}{n}{n}{n}{n}{n}")).find(|code| !right.contains(code)).expect("one of nine")
}

/// Gives the admin a password and a second factor, and returns its secret.
async fn enrolled(h: &Harness) -> String {
    credentials::set_password(&h.app, "ada@acme.example", PASSWORD).await.expect("set");
    let mut browser = Browser::new(h);
    enter(&mut browser, "ada@acme.example", PASSWORD).await.is(303).sends_to("/console");
    browser.get("/console/account").await.is(200).says("You have none.");
    browser.post("/console/account/second-factor", &[]).await.is(303);
    let shown = browser.get("/console/account").await;
    shown.says("<svg ").says("<path d=\"M");
    let secret = secret(&shown);
    let path = "/console/account/second-factor/confirm";
    browser.post(path, &[("code", &wrong(h, &secret))]).await.is(400).says("This code is not right");
    // Until a first code was right, it is not asked for.
    enter(&mut Browser::new(h), "ada@acme.example", PASSWORD).await.is(303).sends_to("/console");
    browser.post(path, &[("code", &code(h, &secret))]).await.is(303).sends_to("/console/account?done=in_use");
    browser.get("/console/account").await.says("In use since").says_not(&secret[..8]);
    h.advance(30_000);
    secret
}

both! {
    async fn a_code_is_asked_for_and_taken_once(h: &mut Harness) {
        let secret = enrolled(h).await;
        let mut browser = Browser::new(h);
        browser.get("/sign-in").await;
        let fields = [("login", "ada@acme.example"), ("password", PASSWORD), ("return_to", "/console?q=x")];
        browser.post("/sign-in", &fields).await.is(303).sends_to(CODE);
        assert!(!browser.cookies.contains_key("lightsout_session"), "no session yet");
        browser.get("/console").await.is(303).sends_to("/sign-in?");
        browser.get(CODE).await.is(200).says("ada@acme.example").says_not(&secret[..8]);
        browser.post(CODE, &[("code", &wrong(h, &secret))]).await.is(400).says("This code is not right");
        let used = code(h, &secret);
        browser.post(CODE, &[("code", &used)]).await.is(303).sends_to("/console?q=x");
        browser.get("/console").await.is(200);
        assert!(!browser.cookies.contains_key("lightsout_pending"), "the sign-in is over");

        let mut again = Browser::new(h);
        enter(&mut again, "ada@acme.example", PASSWORD).await.is(303).sends_to(CODE);
        again.get(CODE).await;
        again.post(CODE, &[("code", &used)]).await.is(400).says("used already");
        h.advance(30_000);
        again.post(CODE, &[("code", &code(h, &secret))]).await.is(303).sends_to("/console");
        let logins = events(h, "LOGIN").await;
        assert_eq!(logins.last().expect("an event")["additional_details"]["by"], "password+code");
        assert!(!format!("{:?}", events(h, "ENABLE_TWO_FACTOR_AUTH").await).contains(&secret));
    }
}

both! {
    async fn after_five_codes_the_password_is_asked_again(h: &mut Harness) {
        let secret = enrolled(h).await;
        let mut browser = Browser::new(h);
        enter(&mut browser, "ada@acme.example", PASSWORD).await.is(303).sends_to(CODE);
        browser.get(CODE).await;
        let pending = browser.cookies["lightsout_pending"].clone();
        for _ in 0..4 {
            browser.post(CODE, &[("code", &wrong(h, &secret))]).await.is(400);
        }
        browser.post(CODE, &[("code", &wrong(h, &secret))]).await.is(303).sends_to("/sign-in?was=over");
        browser.cookies.insert("lightsout_pending".to_owned(), pending);
        browser.post(CODE, &[("code", &code(h, &secret))]).await.is(303).sends_to("/sign-in?was=over");
        browser.get("/sign-in?was=over").await.is(200).says("too many codes were tried");
        assert_eq!(events(h, "FAILED_LOGIN").await.len(), 6, "one at the enrolment, five here");
    }
}

both! {
    async fn a_termination_or_a_new_password_ends_a_sign_in_under_way(h: &mut Harness) {
        let secret = enrolled(h).await;
        let mut browser = Browser::new(h);
        enter(&mut browser, "ada@acme.example", PASSWORD).await.is(303).sends_to(CODE);
        browser.get(CODE).await.is(200);
        let admin_id = h.admin_id.clone();
        h.advance(1);
        let id = h.terminate(&admin_id).await;
        browser.post(CODE, &[("code", &code(h, &secret))]).await.is(303).sends_to("/sign-in?was=over");
        assert!(!browser.cookies.contains_key("lightsout_session"));
        h.run_jobs().await;
        h.advance(60_000);
        h.run_jobs().await;

        enter(&mut browser, "ada@acme.example", PASSWORD).await.is(303).sends_to(CODE);
        browser.get(CODE).await.is(200);
        credentials::set_password(&h.app, "ada@acme.example", "another good one").await.expect("set");
        browser.post(CODE, &[("code", &code(h, &secret))]).await.is(303).sends_to("/sign-in?was=over");

        enter(&mut browser, "ada@acme.example", "another good one").await.is(303).sends_to(CODE);
        h.advance(600_000);
        browser.get(CODE).await.is(303).sends_to("/sign-in?was=over");
        assert_eq!(rows(h, "SELECT count(*) FROM pending_sign_ins").await, 1);
        h.prune(&retention(&h.app)).await;
        assert_eq!(rows(h, "SELECT count(*) FROM pending_sign_ins").await, 0);
        let _ = id;
    }
}

both! {
    async fn who_needs_one_sets_it_up_before_there_is_a_session(h: &mut Harness) {
        h.user("ann").await;
        let enterprise = h.enterprise_id.clone();
        for login in ["ada@acme.example", "ann@acme.example"] {
            credentials::set_password(&h.app, login, PASSWORD).await.expect("set");
        }
        second_factor::set_policy(&h.app, &enterprise, Policy::Managers).await.expect("set");
        second_factor::set_policy(&h.app, "404", Policy::Managers).await.expect_err("no such enterprise");
        enter(&mut Browser::new(h), "ann@acme.example", PASSWORD).await.is(303).sends_to("/console");
        let (mut one, mut other) = (Browser::new(h), Browser::new(h));
        for browser in [&mut one, &mut other] {
            enter(browser, "ada@acme.example", PASSWORD).await.is(303).sends_to(CODE);
            assert!(!browser.cookies.contains_key("lightsout_session"));
        }
        let first = secret(one.get(CODE).await.is(200).says("Your enterprise asks for a second factor."));
        let second = secret(other.get(CODE).await.is(200));
        assert_ne!(first, second, "a secret belongs to one sign-in until it is confirmed");
        one.post(CODE, &[("code", &wrong(h, &first))]).await.is(400);
        one.post(CODE, &[("code", &code(h, &first))]).await.is(303).sends_to("/console");
        one.get("/console").await.is(200);
        // The later one does not replace what is in use.
        other.post(CODE, &[("code", &code(h, &second))]).await.is(303).sends_to("/sign-in?was=over");
        h.advance(30_000);
        enter(&mut other, "ada@acme.example", PASSWORD).await.is(303).sends_to(CODE);
        other.get(CODE).await.says("authenticator app shows");
        other.post(CODE, &[("code", &code(h, &first))]).await.is(303).sends_to("/console");

        second_factor::set_policy(&h.app, &enterprise, Policy::Everyone).await.expect("set");
        enter(&mut Browser::new(h), "ann@acme.example", PASSWORD).await.is(303).sends_to(CODE);
        second_factor::set_policy(&h.app, &enterprise, Policy::Nobody).await.expect("set");
        enter(&mut Browser::new(h), "ann@acme.example", PASSWORD).await.is(303).sends_to("/console");
        let said: Vec<_> = events(h, "SIGN_IN_POLICY_CHANGED").await;
        let said: Vec<_> = said.iter().map(|e| e["additional_details"]["second_factor"].as_str()).collect();
        assert_eq!(said, [Some("managers"), Some("everyone"), Some("nobody")]);
    }
}

both! {
    async fn it_is_removed_with_a_code_of_it_or_by_the_operator(h: &mut Harness) {
        let secret = enrolled(h).await;
        let mut browser = Browser::new(h);
        enter(&mut browser, "ada@acme.example", PASSWORD).await.is(303);
        browser.get(CODE).await;
        browser.post(CODE, &[("code", &code(h, &secret))]).await.is(303);
        browser.get("/console/account").await.is(200);
        // Another one cannot be put in its place.
        browser.post("/console/account/second-factor", &[]).await.is(409).says("remove it first");
        let remove = "/console/account/second-factor/remove";
        browser.post(remove, &[("code", &code(h, &secret))]).await.is(400).says("used already");
        browser.post(remove, &[]).await.is(400);
        h.advance(30_000);
        browser.post(remove, &[("code", &code(h, &secret))]).await.is(303).sends_to("/console/account?done=removed");
        enter(&mut Browser::new(h), "ada@acme.example", PASSWORD).await.is(303).sends_to("/console");

        let secret = enrolled(h).await;
        let mut waiting = Browser::new(h);
        enter(&mut waiting, "ada@acme.example", PASSWORD).await.is(303).sends_to(CODE);
        waiting.get(CODE).await;
        assert!(second_factor::reset(&h.app, "ada@acme.example").await.expect("reset"));
        assert!(!second_factor::reset(&h.app, "ada@acme.example").await.expect("nothing to reset"));
        waiting.post(CODE, &[("code", &code(h, &secret))]).await.is(303).sends_to("/sign-in?was=over");
        enter(&mut Browser::new(h), "ada@acme.example", PASSWORD).await.is(303).sends_to("/console");
        assert_eq!(events(h, "DISABLE_TWO_FACTOR_AUTH").await.len(), 2);
    }
}
