//! Refresh tokens rotate; one that was used before is a thief's or its owner's, and nobody can tell.

use lightsout_server::ops::credentials;

use super::*;
use crate::harness::both;

both! {
    async fn a_refresh_token_gives_a_new_pair_and_is_dead(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (mut access, mut refresh) = app.signed_in(h, &ann).await;
        for _ in 0..4 {
            h.advance(40_000);
            let (next_access, next_refresh) = app.refresh(h, &refresh).await.pair();
            assert!(next_access != access && next_refresh != refresh);
            assert!(is_good(&h.url(""), &access).await && is_good(&h.url(""), &next_access).await);
            (access, refresh) = (next_access, next_refresh);
        }
        h.advance(60 * 86_400_000);
        let expired = app.refresh(h, &refresh).await;
        assert_eq!(expired.fails(400, "invalid_grant"), "Refresh token has expired");
    }
}

both! {
    async fn an_old_refresh_token_revokes_the_family(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (first_access, first) = app.signed_in(h, &ann).await;
        let (_, other_family) = app.signed_in(h, &ann).await;
        let (second_access, second) = app.refresh(h, &first).await.pair();
        h.advance(30_001);
        app.refresh(h, &first).await.fails(400, "invalid_grant");
        for token in [&first_access, &second_access] {
            assert!(!is_good(&h.url(""), token).await);
        }
        app.refresh(h, &second).await.fails(400, "invalid_grant");
        app.refresh(h, &other_family).await.pair();
        let events = logged(h).await;
        let reused = ("OAUTH2_GRANT_REVOKED".to_owned(), "refresh_token_reused".to_owned());
        assert_eq!(events.iter().filter(|event| **event == reused).count(), 1);
    }
}

both! {
    async fn a_client_that_did_not_hear_the_answer_asks_again(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (_, first) = app.signed_in(h, &ann).await;
        app.refresh(h, &first).await.pair();
        h.advance(30_000);
        let (access, second) = app.refresh(h, &first).await.pair();
        assert!(is_good(&h.url(""), &access).await);
        app.refresh(h, &second).await.pair();
        assert!(!logged(h).await.iter().any(|(kind, _)| kind == "OAUTH2_GRANT_REVOKED"));
    }
}

both! {
    async fn once_an_access_token_was_used_the_refresh_token_before_it_revokes(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let asking = h.app_token().await;
        let (node, elsewhere) = h.other_node().await;
        // As a bearer token, on another node, by introspection, and exchanged for one that may do less.
        for way in 0..4 {
            let (_, first) = app.signed_in(h, &ann).await;
            let (access, _) = app.refresh(h, &first).await.pair();
            match way {
                0 => assert!(is_good(&h.url(""), &access).await),
                1 => {
                    node.index.catch_up().await.expect("the log is read");
                    assert!(is_good(&elsewhere, &access).await);
                }
                2 => {
                    let request = reqwest::Client::new().post(h.url("/oauth2/introspect")).bearer_auth(&asking);
                    let answer = request.form(&[("token", &access)]).send().await.expect("an answer");
                    let body: Value = answer.json().await.expect("JSON");
                    assert_eq!(body["active"], true);
                }
                _ => drop(narrow(h, &access, &[]).await.access()),
            }
            h.advance(1_000);
            app.refresh(h, &first).await.fails(400, "invalid_grant");
            assert!(!is_good(&h.url(""), &access).await, "{way}: everything of the sign-in is revoked");
        }
        let reused = ("OAUTH2_GRANT_REVOKED".to_owned(), "refresh_token_reused".to_owned());
        assert_eq!(logged(h).await.iter().filter(|event| **event == reused).count(), 4);
    }
}

both! {
    async fn of_two_that_came_of_one_the_twin_of_a_used_access_token_revokes(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (_, first) = app.signed_in(h, &ann).await;
        let (thiefs, _) = app.refresh(h, &first).await.pair();
        let (owners, second) = app.refresh(h, &first).await.pair();
        assert!(is_good(&h.url(""), &thiefs).await && is_good(&h.url(""), &owners).await);
        h.advance(1_800_000);
        app.refresh(h, &second).await.fails(400, "invalid_grant");
        assert!(!is_good(&h.url(""), &thiefs).await && !is_good(&h.url(""), &owners).await);
    }
}

both! {
    async fn once_a_successor_was_used_the_predecessor_revokes_even_within_the_time(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (_, first) = app.signed_in(h, &ann).await;
        let (_, second) = app.refresh(h, &first).await.pair();
        let (access, third) = app.refresh(h, &second).await.pair();
        app.refresh(h, &first).await.fails(400, "invalid_grant");
        assert!(!is_good(&h.url(""), &access).await);
        app.refresh(h, &third).await.fails(400, "invalid_grant");
    }
}

both! {
    async fn of_two_that_came_of_one_the_second_to_be_used_revokes(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (_, first) = app.signed_in(h, &ann).await;
        let (_, thiefs) = app.refresh(h, &first).await.pair();
        let (_, owners) = app.refresh(h, &first).await.pair();
        h.advance(3_600_000);
        let (stolen, _) = app.refresh(h, &thiefs).await.pair();
        assert!(is_good(&h.url(""), &stolen).await);
        app.refresh(h, &owners).await.fails(400, "invalid_grant");
        assert!(!is_good(&h.url(""), &stolen).await, "the thief is out as soon as the owner shows up");
    }
}

both! {
    async fn a_refresh_may_ask_for_less_and_never_for_more(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let code = app.code(&mut Browser::of(h, &ann).await, &[("scope", "manage_groups")]).await;
        let (_, refresh) = app.exchange(h, &code, &[]).await.pair();
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        let wider = app.token(h, &[form[0], form[1], ("scope", "manage_groups manage_managed_users")]).await;
        wider.fails(400, "invalid_scope");
        let same = app.token(h, &[form[0], form[1], ("scope", "manage_groups")]).await;
        assert_eq!(same.body["scope"], "manage_groups");
        let (_, next) = same.pair();
        assert_eq!(app.refresh(h, &next).await.body["scope"], "manage_groups");
    }
}

both! {
    async fn the_same_refresh_token_at_once_gives_each_a_pair_and_one_of_them_lives_on(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (_, first) = app.signed_in(h, &ann).await;
        let replies = futures_util::future::join_all((0..4).map(|_| app.refresh(h, &first))).await;
        let tokens: Vec<String> = replies.iter().map(|reply| reply.pair().1).collect();
        app.refresh(h, &tokens[2]).await.pair();
        app.refresh(h, &tokens[0]).await.fails(400, "invalid_grant");
    }
}

both! {
    async fn revoking_a_token_revokes_the_sign_in_and_one_with_fewer_scopes_itself(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        for by_access_token in [false, true] {
            let (access, refresh) = app.signed_in(h, &ann).await;
            let narrowed = narrow(h, &access, &[("scope", "manage_groups")]).await.access();
            let twice = narrow(h, &narrowed, &[]).await.access();
            let (next_access, next) = app.refresh(h, &refresh).await.pair();
            assert!(is_good(&h.url(""), &twice).await);
            assert_eq!(revoke(h, &app, &narrowed).await, 200);
            for token in [&narrowed, &twice] {
                assert!(!is_good(&h.url(""), token).await);
            }
            assert!(is_good(&h.url(""), &access).await, "what it was made of lives on");
            assert_eq!(revoke(h, &app, if by_access_token { &access } else { &next }).await, 200);
            for token in [&access, &next_access] {
                assert!(!is_good(&h.url(""), token).await);
            }
            app.refresh(h, &next).await.fails(400, "invalid_grant");
            for nothing in [&next, &access, &"nothing".to_owned()] {
                assert_eq!(revoke(h, &app, nothing).await, 200);
            }
        }
    }
}

both! {
    async fn a_new_password_ends_what_was_allowed_to_apps(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (access, refresh) = app.signed_in(h, &ann).await;
        let bob = h.user("bob").await;
        let (of_bob, _) = app.signed_in(h, &bob).await;
        credentials::set_password(&h.app, "ann@acme.example", "a new password").await.expect("set");
        assert!(!is_good(&h.url(""), &access).await);
        app.refresh(h, &refresh).await.fails(400, "invalid_grant");
        assert!(is_good(&h.url(""), &of_bob).await, "nobody else's");
    }
}

async fn revoke(h: &Harness, app: &TestApp, token: &str) -> u16 {
    let mut form = vec![("client_id", app.id.as_str()), ("token", token)];
    form.extend(app.secret.as_deref().map(|secret| ("client_secret", secret)));
    let request = reqwest::Client::new().post(h.url("/oauth2/revoke")).form(&form);
    request.send().await.expect("an answer").status().as_u16()
}

both! {
    async fn another_client_cannot_revoke(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (access, refresh) = app.signed_in(h, &ann).await;
        let public = TestApp::public(h, &[CALLBACK]).await;
        for (other, token) in [(&TestApp::confidential(h).await, &access), (&public, &refresh), (&public, &access)] {
            assert_eq!(revoke(h, other, token).await, 200, "it learns nothing");
        }
        assert!(is_good(&h.url(""), &access).await);
        app.refresh(h, &refresh).await.pair();
    }
}
