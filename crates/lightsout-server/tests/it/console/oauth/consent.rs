//! The page on which a person allows an app, or does not.

use lightsout_client::api::{UpdateUser, UserStatus};
use lightsout_server::ops::admin::{self, NewApp};

use super::*;
use crate::harness::both;

both! {
    async fn a_person_allows_an_app_and_it_acts_for_them(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        let shown = browser.get(&app.asks(&[("state", "a state & more"), ("redirect_uri", CALLBACK)])).await;
        shown.is(200).says("Allow Shop &amp; Son?").says("ann@acme.example").says("https://app.example".trim_start_matches("https://"));
        shown.says("end people's sessions").says("end the sessions of groups").says_not("read the log");
        let answer = browser.post(&shown.action(), &[("decision", "allow")]).await;
        answer.is(303).sends_to(&format!("{CALLBACK}?code="));
        assert_eq!(answer.answered("state").as_deref(), Some("a state & more"));
        assert_eq!(answer.answered("iss"), Some(h.url("")), "who answers (RFC 9207)");
        let code = answer.answered("code").expect("a code");
        let reply = app.exchange(h, &code, &[("redirect_uri", CALLBACK)]).await;
        let (access, _) = reply.pair();
        assert_eq!(reply.body["token_type"], "bearer");
        assert_eq!(reply.body["expires_in"], 3600);
        assert_eq!(reply.body["scope"], "manage_managed_users manage_groups");
        let me = reqwest::Client::new().get(h.url("/2.0/users/me")).bearer_auth(&access).send().await.expect("sent");
        assert_eq!(me.json::<Value>().await.expect("JSON")["id"].as_str(), Some(ann.as_str()));
        assert_eq!(logged(h).await, [("OAUTH2_CONSENT_GRANTED".to_owned(), String::new())]);
    }
}

both! {
    async fn a_person_who_does_not_allow_it_gives_nothing(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        let shown = browser.get(&app.asks(&[("state", "s")])).await;
        let answer = browser.post(&shown.action(), &[("decision", "deny")]).await;
        answer.is(303).sends_to(&format!("{CALLBACK}?error=access_denied&"));
        assert_eq!((answer.answered("state").as_deref(), answer.answered("code")), (Some("s"), None));
        assert_eq!(answer.answered("iss"), Some(h.url("")));
        assert_eq!(logged(h).await, [("OAUTH2_CONSENT_DENIED".to_owned(), String::new())]);
        // Nor does whoever sends something else.
        browser.post(&shown.action(), &[("decision", "perhaps")]).await.is(400);
        browser.post(&shown.action(), &[]).await.is(400);
        assert_eq!(logged(h).await.len(), 1);
    }
}

both! {
    async fn the_app_asks_for_some_of_its_scopes(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        let path = app.asks(&[("scope", "manage_groups manage_groups")]);
        let shown = browser.get(&path).await;
        shown.is(200).says("end the sessions of groups").says_not("end people's sessions");
        let code = app.code(&mut browser, &[("scope", "manage_groups")]).await;
        assert_eq!(app.exchange(h, &code, &[]).await.body["scope"], "manage_groups");
        for wide in ["manage_enterprise_properties", "manage_groups manage_enterprise_properties", "root_readwrite"] {
            let shown = browser.get(&app.asks(&[("scope", wide), ("state", "s")])).await;
            shown.is(200).sends_to(&format!("{CALLBACK}?error=invalid_scope"));
            assert_eq!((shown.answered("state").as_deref(), shown.answered("iss")), (Some("s"), Some(h.url(""))));
        }
    }
}

both! {
    async fn what_is_wrong_with_a_request_is_told_to_the_app_once_the_person_has_signed_in(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let public = TestApp::public(h, &[CALLBACK]).await;
        let good = challenge(VERIFIER);
        let s256 = ("code_challenge_method", "S256");
        let mut browser = Browser::of(h, &ann).await;
        for (client, parameters, error) in [
            (&app, vec![("response_type", "")], "invalid_request"),
            (&app, vec![("response_type", "token")], "unsupported_response_type"),
            (&app, vec![("response_type", "code token")], "unsupported_response_type"),
            (&app, vec![("code_challenge", good.as_str())], "invalid_request"),
            (&app, vec![("code_challenge", good.as_str()), ("code_challenge_method", "plain")], "invalid_request"),
            (&app, vec![("code_challenge", good.as_str()), ("code_challenge_method", "s256")], "invalid_request"),
            (&app, vec![("code_challenge", "short"), s256], "invalid_request"),
            (&app, vec![s256], "invalid_request"),
            (&public, vec![], "invalid_request"),
            (&public, vec![("code_challenge", VERIFIER), ("code_challenge_method", "plain")], "invalid_request"),
        ] {
            let path = client.asks(&parameters);
            let shown = browser.get(&path).await;
            shown.is(200).sends_to(&format!("{CALLBACK}?error={error}&"));
            Browser::new(h).get(&path).await.is(303).sends_to("/sign-in?return_to=");
            // The form is checked like the page.
            browser.get(&app.asks(&[])).await.is(200);
            browser.post(&path, &[("decision", "allow")]).await.is(303).sends_to(&format!("{CALLBACK}?error={error}&"));
        }
        assert!(logged(h).await.is_empty());
    }
}

both! {
    async fn whoever_is_not_signed_in_signs_in_and_comes_back(h: &mut Harness) {
        let app = TestApp::confidential(h).await;
        let path = app.asks(&[("state", "s")]);
        let shown = Browser::new(h).get(&path).await;
        shown.is(303).sends_to("/sign-in?");
        assert_eq!(shown.answered("return_to").as_deref(), Some(path.as_str()));
        // The session may end while the page is open; the question is then asked again.
        let ann = h.user("ann").await;
        let mut browser = Browser::of(h, &ann).await;
        let shown = browser.get(&path).await;
        let action = shown.action();
        h.advance(1);
        let id = h.terminate(&ann).await;
        let answer = browser.post(&action, &[("decision", "allow")]).await;
        answer.is(303).sends_to("/sign-in?");
        assert_eq!(answer.answered("return_to").as_deref(), Some(action.as_str()));
        assert!(logged(h).await.is_empty());
        h.run_until_done(&id).await;
    }
}

both! {
    async fn somebody_else_can_sign_in_instead(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        let shown = browser.get(&app.asks(&[("state", "s")])).await;
        shown.says("Use another account");
        let answer = browser.post(&shown.action(), &[("decision", "switch")]).await;
        answer.is(303).sends_to("/sign-in?");
        let back = answer.answered("return_to").expect("a way back");
        assert!(browser.cookies.is_empty(), "the session is over");
        let bob = h.user("bob").await;
        Browser::of(h, &bob).await.get(&back).await.is(200).says("bob@acme.example").says("Allow");
    }
}

both! {
    async fn people_of_another_enterprise_cannot_grant(h: &mut Harness) {
        let app = TestApp::confidential(h).await;
        let (_, eve) = admin::create_enterprise(&h.app, "Other", "eve@other.example", "Eve").await.expect("one");
        let mut browser = Browser::of(h, &eve.0).await;
        let shown = browser.get(&app.asks(&[("state", "s")])).await;
        shown.is(403).says("another enterprise").says_not("Allow").says("error=access_denied");
        for decision in ["allow", "deny"] {
            browser.post(&app.asks(&[]), &[("decision", decision)]).await.is(403);
        }
        assert!(logged(h).await.is_empty());
        // The command line is everybody's.
        let code = TestApp::command_line().code(&mut browser, &cli_asks()).await;
        assert!(!code.is_empty());
    }
}

/// What `lightsout login` asks for.
fn cli_asks() -> Vec<(&'static str, &'static str)> {
    let challenge: &'static str = Box::leak(challenge(VERIFIER).into_boxed_str());
    vec![
        ("redirect_uri", "http://127.0.0.1:51004/callback"),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ]
}

both! {
    async fn inactive_people_and_service_accounts_cannot_grant(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        let shown = browser.get(&app.asks(&[])).await;
        h.advance(1);
        let inactive = UpdateUser { status: Some(UserStatus::Inactive), ..UpdateUser::default() };
        h.admin.update_user(&ann, &inactive).await.expect("inactive");
        browser.post(&shown.action(), &[("decision", "allow")]).await.is(303).sends_to("/sign-in");
        browser.get(&app.asks(&[])).await.is(303).sends_to("/sign-in");
        let row = h.app.db.find_app(&app.id).await.expect("read").expect("there");
        let mut browser = Browser::of(h, &row.service_user_id).await;
        browser.get("/console").await;
        browser.post(&app.asks(&[]), &[("decision", "allow")]).await.is(303).sends_to("/sign-in");
        assert!(logged(h).await.is_empty());
        h.run_jobs().await;
        h.advance(40_000);
        h.run_jobs().await;
    }
}

both! {
    async fn an_app_without_scopes_learns_who_somebody_is(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::of(h, NewApp { scopes: Vec::new(), ..new_app(h, &[CALLBACK]) }).await;
        let mut browser = Browser::of(h, &ann).await;
        browser.get(&app.asks(&[])).await.is(200).says("know your name and login").says_not("end people's");
        let (access, _) = app.signed_in(h, &ann).await;
        assert!(is_good(&h.url(""), &access).await);
        let users = reqwest::Client::new().get(h.url("/2.0/users")).bearer_auth(&access).send().await.expect("sent");
        assert_eq!(users.status(), 403);
    }
}

both! {
    async fn the_page_cannot_be_framed_and_its_form_leads_to_the_app_alone(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        let shown = browser.get(&app.asks(&[])).await;
        let header = |name: &str| shown.headers[name].to_str().expect("text").to_owned();
        let policy = header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("form-action 'self' https://app.example;"), "{policy}");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-cache, no-store");
        assert_eq!(shown.headers.get_all("content-security-policy").iter().count(), 1);
        let shown = browser.get(&TestApp::command_line().asks(&cli_asks())).await;
        let policy = shown.headers["content-security-policy"].to_str().expect("text");
        assert!(policy.contains("form-action 'self' http://127.0.0.1:51004;"), "{policy}");
    }
}
