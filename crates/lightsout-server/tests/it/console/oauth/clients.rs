//! Who asks: confidential and public clients, the command line, HTTP Basic, fewer scopes, metadata.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lightsout_client::{Client, MemoryStore, OAuth};
use lightsout_server::app::{App, Settings};
use lightsout_server::ops::clients;
use lightsout_server::random::Random;

use super::*;
use crate::harness::{both, eventually};

both! {
    async fn the_command_line_signs_in_through_the_browser(h: &mut Harness) {
        let ann = h.user("ann").await;
        let cli = TestApp::command_line();
        let mut browser = Browser::of(h, &ann).await;
        let challenge = challenge(VERIFIER);
        let proof = [("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
        for uri in ["http://127.0.0.1:51004/callback", "http://[::1]:51004/callback"] {
            let asks = [proof[0], proof[1], ("redirect_uri", uri)];
            let shown = browser.get(&cli.asks(&asks)).await;
            shown.is(200).says("lightsout on the command line").says("a program on this computer");
            let code = cli.code(&mut browser, &asks).await;
            let reply = cli.exchange(h, &code, &[("code_verifier", VERIFIER), ("redirect_uri", uri)]).await;
            assert_eq!(reply.body["scope"], "manage_managed_users manage_groups manage_enterprise_properties");
            let (access, refresh) = reply.pair();
            assert!(is_good(&h.url(""), &access).await);
            h.advance(60_000);
            let (access, refresh) = cli.refresh(h, &refresh).await.pair();
            let request = reqwest::Client::new().post(h.url("/oauth2/revoke"));
            let form = [("client_id", "lightsout-cli"), ("token", refresh.as_str())];
            assert_eq!(request.form(&form).send().await.expect("an answer").status(), 200);
            assert!(!is_good(&h.url(""), &access).await);
        }
        browser.get(&cli.asks(&[proof[0], proof[1], ("redirect_uri", "http://127.0.0.1:1/x")])).await.is(400);
        browser.get(&cli.asks(&[proof[0], proof[1]])).await.is(400).says("redirect_uri_missing");
    }
}

both! {
    async fn a_service_that_turned_it_off_knows_no_command_line(h: &mut Harness) {
        let settings = Settings { command_line: false, ..Settings::default() };
        let off = App::new(h.app.db.clone(), h.app.clock.clone(), Random::seeded(9), BTreeMap::new(), settings);
        assert!(clients::find(&off, clients::COMMAND_LINE).await.expect("read").is_none());
        assert!(clients::authenticate(&off, clients::COMMAND_LINE, None).await.is_err());
        assert!(clients::authenticate(&h.app, clients::COMMAND_LINE, None).await.is_ok());
    }
}

both! {
    async fn the_shipped_client_signs_a_person_in_refreshes_and_narrows(h: &mut Harness) {
        let ann = h.user("ann").await;
        let (confidential, public) = (TestApp::confidential(h).await, TestApp::public(h, &[CALLBACK]).await);
        for app in [confidential, public] {
            let mut oauth = OAuth::new(app.id.clone(), MemoryStore::new());
            if let Some(secret) = &app.secret {
                oauth = oauth.client_secret(secret.clone());
            }
            let client = Client::builder(oauth).base_url(&h.url("")).build().expect("a client");
            let sign_in = client.authorization(CALLBACK, &["manage_groups"]).expect("an address");
            let path = sign_in.url.strip_prefix(&h.url("")).expect("an address of the service").to_owned();
            let mut browser = Browser::of(h, &ann).await;
            let shown = browser.get(&path).await;
            shown.is(200);
            let answer = browser.post(&shown.action(), &[("decision", "allow")]).await;
            let (code, state) = (answer.answered("code").expect("a code"), answer.answered("state").expect("a state"));
            client.exchange_code(&sign_in, &code, &state).await.expect("exchanged");
            assert_eq!(client.me().await.expect("ann").id.0, ann);
            let weaker = client.downscope(&["manage_groups"], None).await.expect("a token").access_token;
            assert!(is_good(&h.url(""), &weaker).await);
            assert!(client.downscope(&["manage_managed_users"], None).await.is_err());
            // The service's clock goes on: the token is refused, and the client refreshes it by itself.
            h.advance(3_600_000);
            assert_eq!(client.me().await.expect("ann").id.0, ann);
            client.revoke().await.expect("revoked");
            assert!(client.me().await.is_err());
        }
    }
}

both! {
    async fn a_public_client_has_nothing_but_what_people_grant(h: &mut Harness) {
        let app = TestApp::public(h, &[CALLBACK]).await;
        for client in [app, TestApp::command_line()] {
            for secret in ["", "x"] {
                let form = [
                    ("client_secret", secret),
                    ("grant_type", "client_credentials"),
                    ("box_subject_type", "enterprise"),
                    ("box_subject_id", h.enterprise_id.as_str()),
                ];
                let error = if secret.is_empty() { "unauthorized_client" } else { "invalid_client" };
                client.token(h, &form).await.fails(400, error);
            }
        }
        let with = |change: fn(NewApp) -> NewApp| change(new_app(h, &[CALLBACK]));
        for refused in [
            with(|new| NewApp { rights: words("introspect"), ..new }),
            with(|new| NewApp { user_tokens: true, ..new }),
            with(|new| NewApp { may_end_admins: true, ..new }),
            with(|new| NewApp { box_audience: true, ..new }),
            with(|new| NewApp { redirect_uris: Vec::new(), ..new }),
            with(|new| NewApp { redirect_uris: vec!["http://app.example/".to_owned()], ..new }),
        ] {
            assert!(admin::create_public_app(&h.app, &refused).await.is_err(), "{refused:?}");
        }
        let private = with(|new| NewApp { redirect_uris: vec!["com.example.app:/callback".to_owned()], ..new });
        assert!(admin::create_app(&h.app, &private).await.is_err(), "a scheme of one's own is for public clients");
    }
}

both! {
    async fn credentials_may_come_by_http_basic(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let secret = app.secret.clone().expect("a secret");
        let basic = |id: &str, secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        let send = async |path: &str, authorization: String, form: &[(&str, &str)]| {
            let request = reqwest::Client::new().post(h.url(path)).header("authorization", authorization).form(form);
            request.send().await.expect("an answer")
        };
        let code = app.code(&mut Browser::of(h, &ann).await, &[]).await;
        let form = [("grant_type", "authorization_code"), ("code", code.as_str())];
        for wrong in [basic(&app.id, "wrong"), basic("nobody", &secret), basic(&app.id, ""), "Basic ?".to_owned()] {
            let answer = send("/oauth2/token", wrong, &form).await;
            assert_eq!(answer.status(), 401);
            assert!(answer.headers()["www-authenticate"].to_str().expect("text").starts_with("Basic realm="));
            assert_eq!(answer.json::<Value>().await.expect("JSON")["error"], "invalid_client");
        }
        let twice = [form[0], form[1], ("client_id", app.id.as_str()), ("client_secret", secret.as_str())];
        assert_eq!(send("/oauth2/token", basic(&app.id, &secret), &twice).await.status(), 400);
        let answer = send("/oauth2/token", basic(&app.id, &secret), &form).await;
        assert_eq!(answer.status(), 200);
        let access = answer.json::<Value>().await.expect("JSON")["access_token"].as_str().expect("a token").to_owned();
        let form = [("grant_type", "client_credentials"), ("box_subject_type", "enterprise"), ("box_subject_id", h.enterprise_id.as_str())];
        assert_eq!(send("/oauth2/token", basic(&app.id, &secret), &form).await.status(), 200);
        assert_eq!(send("/oauth2/revoke", basic(&app.id, &secret), &[("token", access.as_str())]).await.status(), 200);
        assert!(!is_good(&h.url(""), &access).await);
    }
}

both! {
    async fn a_token_with_fewer_scopes_outlives_nothing_and_can_do_no_more(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let (access, _) = app.signed_in(h, &ann).await;
        h.advance(1_800_000);
        let reply = narrow(h, &access, &[("scope", "manage_groups")]).await;
        assert_eq!((&reply.body["scope"], &reply.body["expires_in"]), (&"manage_groups".into(), &1_800.into()));
        assert_eq!((reply.body["issued_token_type"].as_str(), reply.body.get("refresh_token")), (Some(ACCESS_TOKEN), None));
        let narrowed = reply.access();
        narrow(h, &narrowed, &[("scope", "manage_managed_users")]).await.fails(401, "invalid_scope");
        narrow(h, &access, &[("scope", "manage_groups manage_enterprise_properties")]).await.fails(401, "invalid_scope");
        narrow(h, &access, &[("scope", "item_download")]).await.fails(401, "invalid_scope");
        for target in ["resource", "audience", "box_shared_link"] {
            narrow(h, &access, &[("scope", "manage_groups"), (target, "https://api.box.com/2.0/files/1")])
                .await
                .fails(400, "invalid_target");
        }
        narrow(h, "nothing", &[]).await.fails(400, "invalid_request");
        narrow(h, &access, &[("actor_token", "x")]).await.fails(400, "invalid_request");
        let form = [("grant_type", TOKEN_EXCHANGE), ("subject_token", access.as_str())];
        ask(&h.url(""), &form).await.fails(400, "invalid_request");
        assert!(is_good(&h.url(""), &narrowed).await);
        h.advance(1_800_000);
        assert!(!is_good(&h.url(""), &narrowed).await, "it ends with the one that it was made of");
        narrow(h, &access, &[]).await.fails(400, "invalid_request");
        // A developer token, too, can be made to do less.
        let developer = h.token_of("ann@acme.example", "").await;
        assert!(is_good(&h.url(""), &narrow(h, &developer, &[("scope", "manage_groups")]).await.access()).await);
    }
}

both! {
    async fn the_metadata_is_what_the_service_does(h: &mut Harness) {
        let get = reqwest::Client::new().get(h.url("/.well-known/oauth-authorization-server"));
        let metadata: Value = get.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(metadata["issuer"].as_str(), Some(h.url("").as_str()));
        assert_eq!(metadata["authorization_endpoint"].as_str(), Some(h.url("/api/oauth2/authorize").as_str()));
        assert_eq!(metadata["token_endpoint"].as_str(), Some(h.url("/oauth2/token").as_str()));
        assert_eq!(metadata["code_challenge_methods_supported"], serde_json::json!(["S256"]));
        assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
        for grant_type in metadata["grant_types_supported"].as_array().expect("a list") {
            let reply = ask(&h.url(""), &[("grant_type", grant_type.as_str().expect("text"))]).await;
            assert_ne!(reply.body["error"], "unsupported_grant_type", "{grant_type}");
            assert!(!reply.body["error_description"].as_str().expect("text").contains("Invalid grant_type"));
        }
    }
}

both! {
    async fn a_rotated_secret_is_dead_at_once_and_tokens_live_on(h: &mut Harness) {
        let ann = h.user("ann").await;
        let mut app = TestApp::confidential(h).await;
        let (access, refresh) = app.signed_in(h, &ann).await;
        let secret = admin::rotate_secret(&h.app, &app.id).await.expect("rotated");
        app.refresh(h, &refresh).await.fails(400, "invalid_client");
        assert!(is_good(&h.url(""), &access).await);
        app.secret = Some(secret);
        app.refresh(h, &refresh).await.pair();
        let row = h.app.db.find_app(&app.id).await.expect("read").expect("there");
        assert_eq!(row.secret_rotated_at, Some(h.app.clock.now_ms()));
        let public = TestApp::public(h, &[CALLBACK]).await;
        assert!(admin::rotate_secret(&h.app, &public.id).await.is_err());
        assert!(admin::rotate_secret(&h.app, "nobody").await.is_err());
    }
}

both! {
    async fn it_is_noted_when_an_app_was_used_last_to_about_a_minute(h: &mut Harness) {
        let ann = h.user("ann").await;
        let app = TestApp::confidential(h).await;
        let used = async || h.app.db.find_app(&app.id).await.expect("read").expect("there").last_used_at;
        assert_eq!(used().await, None);
        let first = h.app.clock.now_ms();
        let (_, refresh) = app.signed_in(h, &ann).await;
        eventually(async || used().await == Some(first)).await;
        h.advance(59_999);
        let (_, refresh) = app.refresh(h, &refresh).await.pair();
        h.advance(1);
        let later = h.app.clock.now_ms();
        app.refresh(h, &refresh).await.pair();
        eventually(async || used().await == Some(later)).await;
    }
}
