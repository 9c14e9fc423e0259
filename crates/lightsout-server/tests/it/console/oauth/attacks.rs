//! The attacks of RFC 9700, section 4, as far as they apply to this service.

use super::*;
use crate::harness::both;

both! {
    async fn an_error_about_who_asks_never_redirects(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::of(h, new_app(h, &[CALLBACK, OTHER_CALLBACK])).await;
        let bare = TestApp::of(h, new_app(h, &[])).await;
        let unknown = TestApp { id: "app_nobody".to_owned(), secret: None };
        let mut browsers = [Browser::new(h), Browser::of(h, &ann).await];
        for browser in &mut browsers {
            for (path, words) in [
                (unknown.asks(&[("redirect_uri", CALLBACK)]), "names no app"),
                ("/api/oauth2/authorize".to_owned(), "names no app"),
                (format!("/api/oauth2/authorize?response_type=code&redirect_uri={CALLBACK}"), "names no app"),
                (bare.asks(&[("redirect_uri", "https://evil.example/")]), "not set up for sign-in"),
                (app.asks(&[]), "redirect_uri_missing"),
                (app.asks(&[("redirect_uri", "https://evil.example/")]), "redirect_uri_mismatch"),
                (app.asks(&[("redirect_uri", "https://evil.example/"), ("scope", "too much")]), "redirect_uri_mismatch"),
                (format!("{}&redirect_uri={CALLBACK}&redirect_uri=https://evil.example/", app.asks(&[])), "twice"),
                (format!("{}&client_id={}", app.asks(&[("redirect_uri", CALLBACK)]), app.id), "twice"),
            ] {
                let shown = browser.get(&path).await;
                shown.is(400).says(words).says_not("evil.example");
                assert_eq!(shown.location, None, "{path}");
            }
        }
        let [_, browser] = &mut browsers;
        browser.get("/console/account").await;
        for path in [unknown.asks(&[]), app.asks(&[("redirect_uri", "https://evil.example/")])] {
            let shown = browser.post(&path, &[("decision", "allow")]).await;
            assert_eq!((shown.status.as_u16(), shown.location), (400, None));
        }
        assert!(logged(h).await.is_empty());
    }
}

both! {
    async fn a_redirect_uri_is_the_registered_one_to_the_letter(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        for trick in [
            "https://app.example/callback/", "https://app.example/callback?", "https://app.example/callback?x=1",
            "https://app.example/callback#x", "https://app.example/callback/../evil", "https://app.example/callback/..",
            "https://app.example//callback", "https://app.example/CALLBACK", "https://APP.example/callback",
            "HTTPS://app.example/callback", "http://app.example/callback", "https://app.example:443/callback",
            "https://app.example./callback", "https://app.example/%63allback", "https://app.example/callback%00",
            "https://app.example/callback%0d%0aLocation:https://evil.example", " https://app.example/callback",
            "https://app.example/callback ", "https://app.example.evil.example/callback",
            "https://evil.example/callback", "https://app.example@evil.example/callback",
            "https://evil.example\\@app.example/callback", "https://evil.example#@app.example/callback",
            "https://evil.example?https://app.example/callback", "//app.example/callback", "/callback", "callback",
            "https:/app.example/callback", "javascript:alert(1)//https://app.example/callback",
            "data:text/html,https://app.example/callback", "https://app.example", "*", "null",
        ] {
            let shown = browser.get(&app.asks(&[("redirect_uri", trick)])).await;
            shown.is(400).says("redirect_uri_mismatch");
            assert_eq!(shown.location, None, "{trick}");
        }
        browser.get(&app.asks(&[("redirect_uri", CALLBACK)])).await.is(200);
    }
}

both! {
    async fn a_program_on_a_device_has_any_port_of_its_own_machine_and_no_other(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::public(h, &["http://127.0.0.1/callback", "com.example.app:/callback"]).await;
        let mut browser = Browser::of(h, &ann).await;
        let proof = [("code_challenge", challenge(VERIFIER)), ("code_challenge_method", "S256".to_owned())];
        let asks = |uri: &str| {
            app.asks(&[("redirect_uri", uri), ("code_challenge", &proof[0].1), ("code_challenge_method", "S256")])
        };
        for uri in ["http://127.0.0.1:51004/callback", "http://127.0.0.1/callback", "com.example.app:/callback"] {
            let shown = browser.get(&asks(uri)).await;
            shown.is(200);
            browser.post(&shown.action(), &[("decision", "allow")]).await.is(303).sends_to(&format!("{uri}?code="));
        }
        for uri in [
            "http://127.0.0.1:51004/other", "http://127.0.0.2:51004/callback", "http://[::1]:51004/callback",
            "http://localhost:51004/callback", "https://127.0.0.1:51004/callback", "http://127.0.0.1:0/callback",
            "http://127.0.0.1:51004@evil.example/callback", "http://127.0.0.1.evil.example/callback",
            "http://127.0.0.1:51004/callback?x", "com.example.app:/callback2", "com.example.app://callback",
        ] {
            browser.get(&asks(uri)).await.is(400).says("redirect_uri_mismatch");
        }
    }
}

both! {
    async fn a_code_is_bound_to_where_it_was_sent(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::of(h, new_app(h, &[CALLBACK, OTHER_CALLBACK])).await;
        let mut browser = Browser::of(h, &ann).await;
        let code = app.code(&mut browser, &[("redirect_uri", OTHER_CALLBACK)]).await;
        // A thief whose link sent the code astray shows it to the app's usual address.
        app.exchange(h, &code, &[("redirect_uri", CALLBACK)]).await.fails(400, "invalid_grant");
        app.exchange(h, &code, &[]).await.fails(400, "invalid_grant");
        app.exchange(h, &code, &[("redirect_uri", "https://evil.example/")]).await.fails(400, "invalid_grant");
        app.exchange(h, &code, &[("redirect_uri", OTHER_CALLBACK)]).await.pair();
        // With one address there is no other, and Box's SDKs never repeat it; but a wrong one is wrong.
        let app = TestApp::confidential(h).await;
        let code = app.code(&mut browser, &[("redirect_uri", CALLBACK)]).await;
        app.exchange(h, &code, &[("redirect_uri", OTHER_CALLBACK)]).await.fails(400, "invalid_grant");
        app.exchange(h, &code, &[]).await.pair();
    }
}

both! {
    async fn an_injected_code_does_not_pass_without_its_verifier(h: &mut Harness) {
        let ann = h.user("ann").await;
        let (confidential, public) = (TestApp::confidential(h).await, TestApp::public(h, &[CALLBACK]).await);
        let mut browser = Browser::of(h, &ann).await;
        let (victims, own) = (challenge(VERIFIER), "the-verifier-of-the-attackers-own-sign-in-123");
        for app in [&confidential, &public] {
            let asks = [("code_challenge", victims.as_str()), ("code_challenge_method", "S256")];
            let code = app.code(&mut browser, &asks).await;
            for verifier in [own, victims.as_str(), "short", "", &format!("{VERIFIER}x")] {
                let more = [("code_verifier", verifier)];
                app.exchange(h, &code, &more).await.fails(400, "invalid_grant");
            }
            app.exchange(h, &code, &[]).await.fails(400, "invalid_grant");
            app.exchange(h, &code, &[("code_verifier", VERIFIER)]).await.pair();
        }
    }
}

both! {
    async fn pkce_cannot_be_taken_away(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        // An attacker strips the challenge from the request: the app's verifier then finds none.
        let code = app.code(&mut browser, &[]).await;
        let reply = app.exchange(h, &code, &[("code_verifier", VERIFIER)]).await;
        assert!(reply.fails(400, "invalid_grant").contains("without code_challenge"));
        // Or the verifier from the exchange.
        let good = challenge(VERIFIER);
        let code = app.code(&mut browser, &[("code_challenge", &good), ("code_challenge_method", "S256")]).await;
        assert_eq!(app.exchange(h, &code, &[]).await.fails(400, "invalid_grant"), "Send the code_verifier");
    }
}

both! {
    async fn a_code_and_a_refresh_token_are_their_clients_alone(h: &mut Harness) {
        let ann = h.user("ann").await;
        let (app, other) = (TestApp::confidential(h).await, TestApp::confidential(h).await);
        let (public, cli) = (TestApp::public(h, &[CALLBACK]).await, TestApp::command_line());
        let code = app.code(&mut Browser::of(h, &ann).await, &[]).await;
        for thief in [&other, &public, &cli] {
            thief.exchange(h, &code, &[]).await.fails(400, "invalid_grant");
            thief.exchange(h, &code, &[("code_verifier", VERIFIER)]).await.fails(400, "invalid_grant");
        }
        let (access, refresh) = app.exchange(h, &code, &[]).await.pair();
        for thief in [&other, &public, &cli] {
            thief.exchange(h, &code, &[]).await.fails(400, "invalid_grant");
            thief.refresh(h, &refresh).await.fails(400, "invalid_grant");
        }
        assert!(is_good(&h.url(""), &access).await, "a stranger revokes nothing");
        // The client's id alone is not the client.
        let impostor = TestApp { id: app.id.clone(), secret: None };
        impostor.refresh(h, &refresh).await.fails(400, "invalid_client");
        let impostor = TestApp { id: app.id.clone(), secret: Some("wrong".to_owned()) };
        impostor.refresh(h, &refresh).await.fails(400, "invalid_client");
        app.refresh(h, &refresh).await.pair();
    }
}

both! {
    async fn no_other_site_answers_the_page(h: &mut Harness) {
        let (ann, eve) = (h.user("ann").await, h.user("eve").await);
        let app = TestApp::confidential(h).await;
        let path = app.asks(&[]);
        let mut victim = Browser::of(h, &ann).await;
        let mut attacker = Browser::of(h, &eve).await;
        attacker.get(&path).await.is(200);
        // Without a token, with none at all, and with the attacker's own.
        for csrf in [None, Some(String::new()), attacker.csrf.clone()] {
            for decision in ["allow", "deny", "switch"] {
                victim.csrf = csrf.clone();
                let shown = victim.post(&path, &[("decision", decision)]).await;
                shown.is(403);
                assert_eq!(shown.location, None);
            }
        }
        assert!(logged(h).await.is_empty());
        victim.get(&path).await.is(200).says("ann@acme.example");
    }
}

both! {
    async fn what_the_form_sends_is_not_believed(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        let shown = browser.get(&app.asks(&[("scope", "manage_groups")])).await;
        let forged = [
            ("decision", "allow"),
            ("scope", "manage_groups manage_enterprise_properties"),
            ("redirect_uri", "https://evil.example/"),
            ("client_id", "lightsout-cli"),
            ("user_id", "1"),
        ];
        let answer = browser.post(&shown.action(), &forged).await;
        answer.is(303).sends_to(&format!("{CALLBACK}?code="));
        let reply = app.exchange(h, &answer.answered("code").expect("a code"), &[]).await;
        assert_eq!(reply.body["scope"], "manage_groups");
        // And an address that was tampered with is checked again.
        let tampered = shown.action().replace("manage_groups", "manage_enterprise_properties");
        browser.post(&tampered, &[("decision", "allow")]).await.is(303).sends_to(&format!("{CALLBACK}?error=invalid_scope"));
    }
}

both! {
    async fn a_persons_token_has_no_rights_of_the_app(h: &mut Harness) {
        let ann = h.user("ann").await;
        let rights = words("sessions.write sessions.read introspect feed");
        let app = TestApp::of(h, NewApp { rights, user_tokens: true, ..new_app(h, &[CALLBACK]) }).await;
        let (access, _) = app.signed_in(h, &ann).await;
        let form = [("grant_type", "client_credentials"), ("box_subject_type", "enterprise"), ("box_subject_id", h.enterprise_id.as_str())];
        let own = app.token(h, &form).await.access();
        let narrowed = narrow(h, &own, &[("scope", "manage_groups")]).await.access();
        for (token, status) in [(&own, 200), (&access, 403), (&narrowed, 403)] {
            let request = reqwest::Client::new().post(h.url("/oauth2/introspect")).bearer_auth(token);
            let answer = request.form(&[("token", "x")]).send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status);
        }
    }
}
