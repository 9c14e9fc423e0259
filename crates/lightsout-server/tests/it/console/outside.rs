//! Signing in through an outside OpenID provider, which may misbehave.

mod provider;

use lightsout_server::http::LimitsConfig;
use lightsout_server::ops::{identities, second_factor, sign_in::Policy};
use serde_json::{Value, json};

use self::provider::{Outside, Signed};
use super::sign_in::{events, rows};
use crate::browser::{Browser, Shown};
use crate::harness::{Harness, both};

/// The service with a provider that speaks for acme.example: where it is, and the provider.
async fn served(h: &Harness, asks_second_factor: bool) -> (String, Outside) {
    let outside = Outside::start(h.app.clock.clone()).await;
    let provider = outside.configured(&h.enterprise_id, asks_second_factor, &h.app.clock);
    let limits =
        LimitsConfig { sign_ins_per_minute: 1_000.try_into().expect("not zero"), ..LimitsConfig::default() };
    (h.serve_with(limits, vec![provider]).await, outside)
}

/// Goes to the provider: the address that the browser is sent to, by its parameters.
async fn leave(browser: &mut Browser, return_to: &str) -> Vec<(String, String)> {
    browser.get("/sign-in").await.is(200).says("Sign in with Acme account");
    let shown = browser.post("/sign-in/provider/corp", &[("return_to", return_to)]).await;
    let refresh = shown.is(200).headers["refresh"].to_str().expect("text").to_owned();
    let url = reqwest::Url::parse(refresh.strip_prefix("0; url=").expect("an address")).expect("an address");
    url.query_pairs().into_owned().collect()
}

fn of<'a>(asked: &'a [(String, String)], name: &str) -> &'a str {
    &asked.iter().find(|(n, _)| n == name).expect("it is sent").1
}

/// Comes back with a code for a person, and returns what is shown.
async fn come_back(
    browser: &mut Browser,
    outside: &Outside,
    asked: &[(String, String)],
    claims: Value,
) -> Shown {
    let code = outside.code(asked, claims);
    browser.get(&format!("/sign-in/provider/corp/callback?code={code}&state={}", of(asked, "state"))).await
}

/// The whole way with these claims.
async fn sign_in(base: &str, outside: &Outside, claims: Value) -> (Browser, Shown) {
    let mut browser = Browser::at(base);
    let asked = leave(&mut browser, "/console/account").await;
    let shown = come_back(&mut browser, outside, &asked, claims).await;
    (browser, shown)
}

fn ann() -> Value {
    json!({"sub": "a-1", "email": "Ann@acme.example", "email_verified": true})
}

both! {
    async fn who_comes_for_the_first_time_is_found_by_e_mail_and_afterwards_by_sub(h: &mut Harness) {
        let ann_id = h.user("ann").await;
        let (base, outside) = served(h, false).await;
        let mut browser = Browser::at(&base);
        let asked = leave(&mut browser, "/console/account").await;
        assert_eq!(of(&asked, "response_type"), "code");
        assert_eq!(of(&asked, "client_id"), "lightsout");
        assert_eq!(of(&asked, "code_challenge_method"), "S256");
        assert_eq!(of(&asked, "scope"), "openid email");
        assert!(of(&asked, "redirect_uri").ends_with("/sign-in/provider/corp/callback"));
        let shown = come_back(&mut browser, &outside, &asked, ann()).await;
        shown.is(303).sends_to("/console/account");
        browser.get("/console/account").await.is(200).says("ann@acme.example").says("Known at");
        assert_eq!(events(h, "IDENTITY_BOUND").await.len(), 1);
        assert_eq!(events(h, "LOGIN").await[0]["additional_details"]["by"], "corp");

        // Another address, and none: it is the same person.
        for claims in [json!({"sub": "a-1", "email": "ada@acme.example", "email_verified": true}), json!({"sub": "a-1"})] {
            let (mut browser, shown) = sign_in(&base, &outside, claims).await;
            shown.is(303).sends_to("/console/account");
            browser.get("/console/account").await.says("ann@acme.example");
        }
        // A person who was terminated while they were there begins anew.
        let mut browser = Browser::at(&base);
        let asked = leave(&mut browser, "/console").await;
        h.advance(1);
        let id = h.terminate(&ann_id).await;
        come_back(&mut browser, &outside, &asked, ann()).await.is(403).says("Your sessions were ended while you signed in.");
        h.run_until_done(&id).await;
        sign_in(&base, &outside, ann()).await.1.is(303);
    }
}

both! {
    async fn an_answer_that_proves_nothing_is_refused(h: &mut Harness) {
        h.user("ann").await;
        let (base, outside) = served(h, false).await;
        let now = h.app.clock.now_ms() / 1_000;
        for (wrong, why) in [
            (json!({"iss": "https://evil.example"}), "another issuer"),
            (json!({"aud": "another"}), "(aud)"),
            (json!({"aud": ["lightsout", "another"]}), "(azp)"),
            (json!({"azp": "another"}), "(azp)"),
            (json!({"nonce": "another"}), "(nonce)"),
            (json!({"nonce": null}), "(nonce)"),
            (json!({"exp": now - 61}), "expired"),
            (json!({"iat": now + 3_600}), "future"),
            (json!({"iat": now - 3_600}), "old"),
            (json!({"exp": null}), "claim is missing"),
            (json!({"sub": ""}), "names nobody"),
        ] {
            let mut claims = ann();
            claims.as_object_mut().expect("an object").extend(wrong.as_object().expect("an object").clone());
            let (browser, shown) = sign_in(&base, &outside, claims).await;
            shown.is(400).says("Acme account gave an answer that cannot be trusted").says(why);
            assert!(!browser.cookies.contains_key("lightsout_session"), "{wrong}");
        }
        for (signed, why) in [
            (Signed::None, "not signed by a key"),
            (Signed::Hs256WithPublicKey, "not signed by a key"),
            (Signed::ByAnotherKey, "signature"),
            (Signed::ByUnknownKid, "a key that it does not show"),
        ] {
            outside.sign(signed);
            let (_, shown) = sign_in(&base, &outside, ann()).await;
            shown.is(400).says(why);
        }
        assert_eq!(rows(h, "SELECT count(*) FROM identities").await, 0);
        outside.sign(Signed::ByNewKey);
        sign_in(&base, &outside, ann()).await.1.is(303);
    }
}

both! {
    async fn nobody_is_found_by_an_e_mail_address_that_proves_nothing(h: &mut Harness) {
        h.user("ann").await;
        let (base, outside) = served(h, false).await;
        let claims = |sub: &str, email: &str, verified: Value| json!({"sub": sub, "email": email, "email_verified": verified});
        for (claims, why) in [
            (claims("x", "ann@acme.example", json!(false)), "without a verified e-mail"),
            (claims("x", "ann@acme.example", json!("false")), "without a verified e-mail"),
            (claims("x", "ann@acme.example", Value::Null), "without a verified e-mail"),
            (claims("x", "ann@evil.example", json!(true)), "does not speak for"),
            (claims("x", "ann@acme.example@evil.example", json!(true)), "does not speak for"),
            (claims("x", "ann@sub.acme.example", json!(true)), "does not speak for"),
            (claims("x", "a\u{212a}n@acme.example", json!(true)), "does not speak for"),
            (claims("x", "nobody@acme.example", json!(true)), "Nobody here is known"),
            (claims("x", "ada@acme.example", json!(true)), "Admins and coadmins are not found"),
        ] {
            let (browser, shown) = sign_in(&base, &outside, claims.clone()).await;
            shown.is(403).says(why);
            assert!(!browser.cookies.contains_key("lightsout_session"), "{claims}");
        }
        assert_eq!(rows(h, "SELECT count(*) FROM identities").await, 0);
        // Who is bound to one account there is not taken over by another.
        sign_in(&base, &outside, claims("a-1", "ann@acme.example", json!("true"))).await.1.is(303);
        sign_in(&base, &outside, claims("a-2", "ann@acme.example", json!(true))).await.1.is(403).says("by another account");
    }
}

both! {
    async fn an_admin_is_bound_by_the_operator_alone(h: &mut Harness) {
        h.user("ann").await;
        let (base, outside) = served(h, false).await;
        identities::bind(&h.app, "ada@acme.example", outside.issuer(), "ada-1").await.expect("bound");
        let (mut browser, shown) = sign_in(&base, &outside, json!({"sub": "ada-1"})).await;
        shown.is(303).sends_to("/console/account");
        browser.get("/console/account").await.says("ada@acme.example");
        identities::bind(&h.app, "ann@acme.example", outside.issuer(), "ada-1").await.expect_err("bound already");
        identities::bind(&h.app, "ada@acme.example", outside.issuer(), "ada-2").await.expect("bound anew");
        browser.get("/console/account").await.is(303).sends_to("/sign-in?return_to=");
        sign_in(&base, &outside, json!({"sub": "ada-1"})).await.1.is(403);
        sign_in(&base, &outside, json!({"sub": "ada-2"})).await.1.is(303);
        // The same name at another issuer is another person.
        identities::bind(&h.app, "ada@acme.example", "https://other.example", "x-9").await.expect("bound");
        sign_in(&base, &outside, json!({"sub": "x-9"})).await.1.is(403);
    }
}

both! {
    async fn an_answer_belongs_to_the_browser_that_asked_and_counts_once(h: &mut Harness) {
        h.user("ann").await;
        let (base, outside) = served(h, false).await;
        let (mut mine, mut other) = (Browser::at(&base), Browser::at(&base));
        let asked = leave(&mut mine, "/console").await;
        leave(&mut other, "/console").await;
        let code = outside.code(&asked, ann());
        let path = format!("/sign-in/provider/corp/callback?code={code}&state={}", of(&asked, "state"));
        let words = "This sign-in was not begun in this browser";
        other.get(&path).await.is(400).says(words);
        Browser::at(&base).get(&path).await.is(400).says(words);
        mine.get(&format!("/sign-in/provider/corp/callback?code={code}&state=guessed")).await.is(400).says(words);
        mine.get(&format!("/sign-in/provider/corp/callback?code={code}")).await.is(400).says(words);
        let asked = leave(&mut mine, "/console").await;
        let key = mine.cookies["lightsout_pending"].clone();
        let code = outside.code(&asked, ann());
        let path = format!("/sign-in/provider/corp/callback?code={code}&state={}", of(&asked, "state"));
        mine.get(&path).await.is(303);
        mine.cookies.insert("lightsout_pending".to_owned(), key);
        mine.get(&path).await.is(400).says(words);
        // And not for ever.
        let asked = leave(&mut other, "/console").await;
        h.advance(600_000);
        come_back(&mut other, &outside, &asked, ann()).await.is(400).says(words);
        mine.get("/sign-in/provider/nobody/callback").await.is(404);
    }
}

both! {
    async fn who_answers_is_checked_where_the_provider_names_itself(h: &mut Harness) {
        h.user("ann").await;
        let (base, outside) = served(h, false).await;
        let issuer: String = form_urlencoded::byte_serialize(outside.issuer().as_bytes()).collect();
        for (names_itself, iss, status) in [
            (false, "", 303),
            (false, "&iss=https%3A%2F%2Fevil.example", 400),
            (true, "", 400),
            (true, "&iss=https%3A%2F%2Fevil.example", 400),
            (true, &format!("&iss={issuer}"), 303),
        ] {
            outside.names_itself(names_itself);
            // What was known of it is old by then.
            h.advance(600_000);
            let mut browser = Browser::at(&base);
            let asked = leave(&mut browser, "/console").await;
            let code = outside.code(&asked, ann());
            let state = of(&asked, "state");
            let shown = browser.get(&format!("/sign-in/provider/corp/callback?code={code}&state={state}{iss}")).await;
            shown.is(status);
        }
    }
}

both! {
    async fn what_the_provider_says_comes_back_as_one_sentence(h: &mut Harness) {
        h.user("ann").await;
        let (base, outside) = served(h, false).await;
        let mut browser = Browser::at(&base);
        let asked = leave(&mut browser, "/console").await;
        let state = of(&asked, "state").to_owned();
        let shown = browser.get(&format!("/sign-in/provider/corp/callback?error=access_denied&error_description=%3Cb%3Ehi&state={state}")).await;
        shown.is(400).says("Acme account refused the sign-in (access_denied).").says_not("hi<");
        let asked = leave(&mut browser, "/console").await;
        let state = of(&asked, "state").to_owned();
        let shown = browser.get(&format!("/sign-in/provider/corp/callback?code=guessed&state={state}")).await;
        shown.is(400).says("Acme account refused the sign-in (invalid_grant).");
        outside.redirects();
        h.advance(600_000);
        browser.get("/sign-in").await;
        let shown = browser.post("/sign-in/provider/corp", &[]).await;
        shown.is(502).says("Acme account cannot be asked at the moment (it answered 302)");
        browser.post("/sign-in/provider/nobody", &[]).await.is(404);
        outside.calls_itself("https://evil.example");
        let shown = browser.post("/sign-in/provider/corp", &[]).await;
        shown.is(502).says("another issuer than the configured one");
    }
}

both! {
    async fn ours_is_asked_for_unless_the_provider_asks_for_one(h: &mut Harness) {
        h.user("ann").await;
        let enterprise = h.enterprise_id.clone();
        second_factor::set_policy(&h.app, &enterprise, Policy::Everyone).await.expect("set");
        let (base, outside) = served(h, false).await;
        let (mut browser, shown) = sign_in(&base, &outside, ann()).await;
        shown.is(303).sends_to("/sign-in/second-factor");
        browser.get("/sign-in/second-factor").await.is(200).says("Set up your second factor");
        let (base, outside) = served(h, true).await;
        let claims = json!({"sub": "b-1", "email": "bea@acme.example", "email_verified": true});
        h.user("bea").await;
        sign_in(&base, &outside, claims).await.1.is(303).sends_to("/console/account");
    }
}

both! {
    async fn an_address_that_is_told_only_at_the_userinfo_endpoint_counts(h: &mut Harness) {
        h.user("ann").await;
        let (base, outside) = served(h, false).await;
        outside.tells_at_userinfo(json!({"sub": "someone else", "email": "ann@acme.example", "email_verified": true}));
        sign_in(&base, &outside, json!({"sub": "a-1"})).await.1.is(400).says("another person");
        outside.tells_at_userinfo(json!({"sub": "a-1", "email": "ann@acme.example", "email_verified": true}));
        sign_in(&base, &outside, json!({"sub": "a-1"})).await.1.is(303);
    }
}
