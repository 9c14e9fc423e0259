//! A code becomes tokens: once, soon, for its client, and only while its person is not ended.

use lightsout_client::api::CreateTermination;
use lightsout_server::args;

use super::*;
use crate::harness::both;

both! {
    async fn a_code_is_good_once_and_its_second_use_revokes_what_it_gave(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let code = app.code(&mut Browser::of(h, &ann).await, &[]).await;
        let (access, refresh) = app.exchange(h, &code, &[]).await.pair();
        let narrowed = narrow(h, &access, &[("scope", "manage_groups")]).await.access();
        assert!(is_good(&h.url(""), &access).await && is_good(&h.url(""), &narrowed).await);
        app.exchange(h, &code, &[]).await.fails(400, "invalid_grant");
        assert!(!is_good(&h.url(""), &access).await);
        assert!(!is_good(&h.url(""), &narrowed).await, "what was made of it, too");
        app.refresh(h, &refresh).await.fails(400, "invalid_grant");
        let events = logged(h).await;
        let last: Vec<(&str, &str)> = events.iter().map(|(kind, reason)| (kind.as_str(), reason.as_str())).collect();
        assert_eq!(last[1..], [("TOKEN_REVOKED", ""), ("OAUTH2_GRANT_REVOKED", "code_reused")]);
        app.exchange(h, &code, &[]).await.fails(400, "invalid_grant");
        assert_eq!(logged(h).await.len(), events.len(), "and is written down once");
    }
}

both! {
    async fn a_code_that_is_replayed_long_after_still_revokes(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let code = app.code(&mut Browser::of(h, &ann).await, &[]).await;
        let (_, refresh) = app.exchange(h, &code, &[]).await.pair();
        h.advance(3_600_000);
        h.prune(&lightsout_server::server::retention(&h.app)).await;
        app.exchange(h, &code, &[]).await.fails(400, "invalid_grant");
        app.refresh(h, &refresh).await.fails(400, "invalid_grant");
    }
}

both! {
    async fn a_code_lives_thirty_seconds(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        let code = app.code(&mut browser, &[]).await;
        h.advance(29_999);
        app.exchange(h, &code, &[]).await.pair();
        let code = app.code(&mut browser, &[]).await;
        h.advance(30_000);
        let words = app.exchange(h, &code, &[]).await;
        assert_eq!(words.fails(400, "invalid_grant"), "The authorization code has expired");
    }
}

both! {
    async fn of_two_who_show_a_code_at_once_exactly_one_wins_and_loses_it_again(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let mut browser = Browser::of(h, &ann).await;
        for _ in 0..5 {
            let code = app.code(&mut browser, &[]).await;
            let replies = futures_util::future::join_all((0..6).map(|_| app.exchange(h, &code, &[]))).await;
            let won: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 200).collect();
            assert_eq!(won.len(), 1, "{replies:?}");
            for reply in replies.iter().filter(|reply| reply.status != 200) {
                reply.fails(400, "invalid_grant");
            }
            assert!(!is_good(&h.url(""), &won[0].access()).await, "a second use revoked it");
        }
    }
}

both! {
    async fn ending_a_person_ends_codes_refresh_tokens_and_access_tokens(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let app = TestApp::confidential(h).await;
        let (access, refresh) = app.signed_in(h, &ann).await;
        let (bobs, bobs_refresh) = app.signed_in(h, &bob).await;
        let narrowed = narrow(h, &access, &[("scope", "manage_groups")]).await.access();
        let code = app.code(&mut Browser::of(h, &ann).await, &[]).await;
        h.advance(1);
        let id = h.terminate(&ann).await;
        assert!(!is_good(&h.url(""), &access).await && !is_good(&h.url(""), &narrowed).await);
        app.refresh(h, &refresh).await.fails(400, "invalid_grant");
        app.exchange(h, &code, &[]).await.fails(400, "invalid_grant");
        narrow(h, &access, &[]).await.fails(400, "invalid_request");
        // Who was not ended goes on, and who was ended signs in again.
        assert!(is_good(&h.url(""), &bobs).await);
        app.refresh(h, &bobs_refresh).await.pair();
        h.run_until_done(&id).await;
        let (again, _) = app.signed_in(h, &ann).await;
        assert!(is_good(&h.url(""), &again).await);
    }
}

both! {
    async fn a_termination_on_one_node_refuses_everything_on_the_other(h: &mut Harness) {
        let ann = h.user("ann").await;
        let (node, other) = h.other_node().await;
        let app = TestApp::confidential(h).await;
        let (access, refresh) = app.signed_in(h, &ann).await;
        let code = app.code(&mut Browser::of(h, &ann).await, &[]).await;
        assert!(is_good(&other, &access).await);
        let id = h.terminate(&ann).await;
        let secret = app.secret.as_deref().expect("a secret");
        let client = [("client_id", app.id.as_str()), ("client_secret", secret)];
        let with = |more: &[(&'static str, &str)]| {
            client.iter().copied().chain(more.iter().copied()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<Vec<_>>()
        };
        for form in [
            with(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]),
            with(&[("grant_type", "authorization_code"), ("code", &code)]),
        ] {
            let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            ask(&other, &form).await.fails(400, "invalid_grant");
        }
        node.index.catch_up().await.expect("the log is read");
        assert!(!is_good(&other, &access).await);
        h.run_until_done(&id).await;
    }
}

both! {
    async fn a_revoked_family_is_refused_on_the_other_node(h: &mut Harness) {
        let ann = h.user("ann").await;
        let (node, other) = h.other_node().await;
        let app = TestApp::confidential(h).await;
        let code = app.code(&mut Browser::of(h, &ann).await, &[]).await;
        let (access, _) = app.exchange(h, &code, &[]).await.pair();
        assert!(is_good(&other, &access).await);
        app.exchange(h, &code, &[]).await.fails(400, "invalid_grant");
        node.index.catch_up().await.expect("the log is read");
        assert!(!is_good(&other, &access).await);
    }
}

both! {
    async fn an_admin_who_granted_and_is_ended_with_everybody_is_out(h: &mut Harness) {
        let admin_id = h.admin_id.clone();
        let app = TestApp::confidential(h).await;
        let (access, refresh) = app.signed_in(h, &admin_id).await;
        // It is the admin's own power, although the app may not have it by itself.
        let client = lightsout_client::Client::new(&h.url(""), lightsout_client::Auth::developer_token(access.clone())).expect("a client");
        let ann = h.user("ann").await;
        let request = CreateTermination { user_ids: vec![ann.as_str().into()], ..CreateTermination::default() };
        let id = client.terminate(&request, None).await.expect("accepted").id.0;
        h.run_until_done(&id).await;
        lightsout_server::ops::admin::raise_generations(&h.app).await.expect("raised");
        assert!(!is_good(&h.url(""), &access).await);
        app.refresh(h, &refresh).await.fails(400, "invalid_grant");
    }
}

both! {
    async fn nothing_is_stored_that_could_be_used(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let code = app.code(&mut Browser::of(h, &ann).await, &[]).await;
        let (access, refresh) = app.exchange(h, &code, &[]).await.pair();
        for (secret, sql) in [
            (&code, "SELECT code_hash FROM authorization_codes"),
            (&refresh, "SELECT token_hash FROM refresh_tokens"),
            (&access, "SELECT token_hash FROM tokens WHERE grant_id IS NOT NULL"),
        ] {
            let rows: Vec<(String,)> = h.app.db.fetch(sql, args![]).await.expect("read");
            assert_eq!(rows, [(sha256(secret),)], "{sql}");
        }
        let rows: Vec<(String,)> = h.app.db.fetch("SELECT body FROM events", args![]).await.expect("read");
        for secret in [&code, &refresh, &access] {
            assert!(rows.iter().all(|(body,)| !body.contains(secret.as_str())));
        }
    }
}

both! {
    async fn a_grant_goes_when_its_last_token_has_gone(h: &mut Harness) {
        const DAY_MS: i64 = 86_400_000;
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (_, refresh) = app.signed_in(h, &ann).await;
        app.code(&mut Browser::of(h, &ann).await, &[]).await;
        let count = async |sql: &'static str| {
            let row: Option<(i64,)> = h.app.db.find(sql, args![]).await.expect("read");
            row.expect("a count").0
        };
        h.advance(30 * DAY_MS);
        app.refresh(h, &refresh).await.pair();
        h.prune(&lightsout_server::server::retention(&h.app)).await;
        assert_eq!(count("SELECT count(*) FROM grants").await, 1, "one was never exchanged");
        assert_eq!(count("SELECT count(*) FROM authorization_codes").await, 0);
        assert_eq!(count("SELECT count(*) FROM refresh_tokens").await, 2);
        h.advance(31 * DAY_MS);
        h.prune(&lightsout_server::server::retention(&h.app)).await;
        assert_eq!(count("SELECT count(*) FROM grants").await, 1, "the second refresh token lives");
        h.advance(30 * DAY_MS);
        h.prune(&lightsout_server::server::retention(&h.app)).await;
        for sql in ["SELECT count(*) FROM grants", "SELECT count(*) FROM refresh_tokens"] {
            assert_eq!(count(sql).await, 0, "{sql}");
        }
    }
}

both! {
    async fn whatever_is_given_while_a_person_is_being_ended_is_dead(h: &mut Harness) {
        let app = TestApp::confidential(h).await;
        let mut jobs = Vec::new();
        for n in 0..6 {
            let ann = h.user(&format!("ann{n}")).await;
            let (access, refresh) = app.signed_in(h, &ann).await;
            let code = app.code(&mut Browser::of(h, &ann).await, &[]).await;
            let mut browser = Browser::of(h, &ann).await;
            let action = browser.get(&app.asks(&[])).await.action();
            let allow = [("decision", "allow")];
            h.advance(1);
            let (id, refreshed, exchanged, narrowed, answer) = tokio::join!(
                h.terminate(&ann),
                app.refresh(h, &refresh),
                app.exchange(h, &code, &[]),
                narrow(h, &access, &[]),
                browser.post(&action, &allow),
            );
            let mut late = vec![refreshed, exchanged, narrowed];
            if let Some(code) = answer.answered("code") {
                late.push(app.exchange(h, &code, &[]).await);
                assert_ne!(late[3].status, 200, "granted by a session that was being ended");
            }
            for given in late.iter().filter(|reply| reply.status == 200) {
                assert!(!is_good(&h.url(""), &given.access()).await);
                if let Some(refresh) = given.body["refresh_token"].as_str() {
                    app.refresh(h, refresh).await.fails(400, "invalid_grant");
                }
            }
            jobs.push(id);
        }
        for id in jobs {
            h.run_until_done(&id).await;
        }
    }
}

both! {
    async fn whatever_is_made_of_a_token_while_it_is_being_revoked_is_dead(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        for n in 0..8 {
            let (access, refresh) = app.signed_in(h, &ann).await;
            let once = narrow(h, &access, &[]).await.access();
            let form = [
                ("client_id", app.id.as_str()),
                ("client_secret", app.secret.as_deref().expect("a secret")),
                ("token", if n % 2 == 0 { &access } else { &refresh }),
            ];
            let revoke = reqwest::Client::new().post(h.url("/oauth2/revoke")).form(&form);
            let (revoked, of_it, of_that) = tokio::join!(
                async { revoke.send().await.expect("an answer").status() },
                narrow(h, &access, &[]),
                narrow(h, &once, &[]),
            );
            assert_eq!(revoked, 200);
            for given in [of_it, of_that].iter().filter(|reply| reply.status == 200) {
                assert!(!is_good(&h.url(""), &given.access()).await);
            }
            assert!(!is_good(&h.url(""), &once).await);
        }
    }
}
