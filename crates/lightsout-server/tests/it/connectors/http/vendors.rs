//! The built-in recipes, each at a server that plays its vendor as the published documents have it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lightsout_server::clock::{Clock, timestamp};
use lightsout_server::connector::{Connector, Reply, Session, Target};
use serde_json::{Value, json};

use super::super::{counts, target};
use super::vendor::{Answer, Request, Vendor, answer};

const NOW: i64 = 1_767_323_045_000;

/// Microsoft's sign-in and Graph.
#[derive(Default)]
struct Entra {
    token: u32,
    valid_from: Option<i64>,
    /// Whether an order takes effect at once.
    lags: bool,
}

fn play_entra(entra: &mut Entra, request: &Request) -> Answer {
    if request.path == "/acme-tenant/oauth2/v2.0/token" {
        assert_eq!(request.form("grant_type").as_deref(), Some("client_credentials"));
        assert_eq!(request.form("client_secret").as_deref(), Some("hush & +ü"));
        entra.token += 1;
        let token = format!("token{}", entra.token);
        return answer(200, json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}));
    }
    if request.header("authorization") != format!("Bearer token{}", entra.token) {
        return answer(401, json!({"error": {"code": "InvalidAuthenticationToken", "message": "expired"}}));
    }
    let valid_from = entra.valid_from.map(|at| timestamp(at).to_string());
    match request.line().as_str() {
        "GET /v1.0/users/Ann%40acme.example" => {
            answer(200, json!({"id": "1f", "userPrincipalName": "ann@acme.example"}))
        }
        "POST /v1.0/users/1f/revokeSignInSessions" => {
            if !entra.lags {
                entra.valid_from = Some(NOW + 3_000);
            }
            answer(200, json!({"value": true}))
        }
        "GET /v1.0/users/1f" => answer(200, json!({"signInSessionsValidFromDateTime": valid_from})),
        "GET /v1.0/users" => answer(200, json!({"value": []})),
        _ => answer(
            404,
            json!({"error": {"code": "Request_ResourceNotFound", "message": "of nobody@acme.example"}}),
        ),
    }
}

fn entra_keys(url: &str, more: Value) -> Value {
    let mut keys = json!({
        "recipe": "entra", "base_url": format!("{url}/v1.0"), "secrets": {"client_secret": "hush & +ü"},
        "parameters": {"tenant": "acme-tenant", "client_id": "lightsout", "login_url": url},
    });
    keys.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    keys
}

fn asked(subject: &str) -> Target {
    Target { asked_at: NOW, ..target(subject, NOW + 5_000) }
}

#[tokio::test]
async fn entra_is_ends_by_once_the_time_shows_it_and_not_before() {
    let vendor =
        Vendor::start(Entra { valid_from: Some(NOW - 1), lags: true, ..Entra::default() }, play_entra).await;
    let connector = vendor.connector(entra_keys(&vendor.url, json!({})));
    let targets = [asked("Ann@acme.example"), asked("nobody@acme.example")];
    for _ in 0..2 {
        let replies = connector.end(&targets).await.expect("answered").replies;
        assert_eq!(replies, [Reply::Sessions(Vec::new()), Reply::NoSubject]);
        let found = connector.find(&targets).await.expect("answered").replies;
        let Reply::Sessions(left) = &found[0] else { panic!("{found:?}") };
        assert!(left.len() == 1 && left[0].is_dated(), "not shown yet: {found:?}");
    }
    let every = Target::every_session("id", "Ann@acme.example".to_owned());
    let found = connector.find(&[every]).await.expect("answered").replies;
    assert!(matches!(&found[0], Reply::Unknown(why) if why.contains("lists none")), "{found:?}");
    vendor.with(|entra| entra.lags = false);
    connector.end(&targets).await.expect("answered");
    let found = connector.find(&targets).await.expect("answered").replies;
    assert_eq!(found[0], Reply::EndsBy(NOW + 3_000 + 5_400_000));
    // The time is shown: who signs in now is left alone.
    vendor.take();
    connector.end(&targets).await.expect("answered");
    assert!(vendor.take().iter().all(|request| request.method == "GET"));
}

#[tokio::test]
async fn a_time_without_tokens_that_live_on_is_ended_and_counted_once() {
    let text = include_str!("../../../../src/connector/recipes/entra.toml").replace("ends_by_s = 5400", "");
    let (_folder, file) = super::recipe(&text);
    let vendor = Vendor::start(Entra { lags: true, ..Entra::default() }, play_entra).await;
    let connector = vendor.connector(entra_keys(&vendor.url, json!({"recipe": file})));
    let targets = [asked("Ann@acme.example")];
    assert_eq!(counts(&connector.end(&targets).await.expect("answered").replies), [1]);
    assert_eq!(
        counts(&connector.end(&targets).await.expect("answered").replies),
        [0],
        "it did not come back"
    );
    assert_eq!(
        counts(&connector.find(&targets).await.expect("answered").replies),
        [1],
        "it is not shown yet"
    );
    vendor.with(|entra| entra.lags = false);
    connector.end(&targets).await.expect("answered");
    assert_eq!(counts(&connector.find(&targets).await.expect("answered").replies), [0]);
}

#[tokio::test]
async fn a_token_is_kept_and_renewed_when_it_is_refused() {
    let vendor = Vendor::start(Entra::default(), play_entra).await;
    let connector = vendor.connector(entra_keys(&vendor.url, json!({})));
    connector.find(&[]).await.expect("accepted");
    connector.find(&[asked("Ann@acme.example")]).await.expect("answered");
    assert_eq!(vendor.with(|entra| entra.token), 1);
    vendor.with(|entra| entra.token = 7);
    connector.find(&[asked("Ann@acme.example")]).await.expect("renewed");
    assert_eq!(vendor.with(|entra| entra.token), 8);
    let wrong = entra_keys(
        &vendor.url,
        json!({"parameters": {"tenant": "other", "client_id": "x", "login_url": vendor.url}}),
    );
    let error = vendor.connector(wrong).find(&[asked("Ann@acme.example")]).await.expect_err("no token");
    let said = error.to_string();
    assert!(said.contains("its token endpoint gave no token (401)"), "{said}");
    assert!(!said.contains("hush") && !said.contains("127.0.0.1"), "{said}");
}

/// Slack, which carries orders out when the test says so.
#[derive(Default)]
struct Slack {
    sessions: BTreeMap<u64, String>,
    ordered: Vec<String>,
    owner: Option<String>,
    /// Whether names are looked up whatever their case.
    is_folded: bool,
}

fn play_slack(slack: &mut Slack, request: &Request) -> Answer {
    if request.header("authorization") != "Bearer xoxp-hush" {
        return answer(200, json!({"ok": false, "error": "invalid_auth"}));
    }
    let no = |error: &str| answer(200, json!({"ok": false, "error": error}));
    match request.line().as_str() {
        "POST /users.lookupByEmail" => {
            let mut email = request.form("email").expect("an email");
            if slack.is_folded {
                email = email.to_lowercase();
            }
            match email.strip_suffix("@acme.example").filter(|name| *name != "nobody") {
                Some(name) => answer(
                    200,
                    json!({"ok": true, "user": {"id": format!("U{name}"), "profile": {"email": email}}}),
                ),
                None => no("users_not_found"),
            }
        }
        "POST /admin.users.session.resetBulk" => {
            let ids: Vec<String> =
                serde_json::from_str(&request.form("user_ids").expect("ids")).expect("a list");
            if slack.owner.as_ref().is_some_and(|owner| ids.contains(owner)) {
                return no("cannot_reset_primary_owner");
            }
            slack.ordered.extend(ids);
            answer(200, json!({"ok": true}))
        }
        "POST /admin.users.session.list" => {
            let after: u64 = request.form("cursor").map_or(0, |cursor| cursor.parse().expect("ours"));
            let page: Vec<(&u64, &String)> = slack.sessions.range(after + 1..).take(3).collect();
            let next =
                page.last().filter(|_| page.len() == 3).map_or(String::new(), |(id, _)| id.to_string());
            let list: Vec<Value> = page
                .iter()
                .map(|(id, user)| json!({"session_id": id, "user_id": user, "team_id": "T1"}))
                .collect();
            answer(
                200,
                json!({"ok": true, "active_sessions": list, "response_metadata": {"next_cursor": next}}),
            )
        }
        _ => no("unknown_method"),
    }
}

fn slack(vendor: &Vendor<Slack>, token: &str) -> lightsout_server::connector::Http {
    vendor.connector(json!({"recipe": "slack", "secrets": {"token": token}, "calls_per_minute": 100_000}))
}

#[tokio::test]
async fn slack_carries_orders_out_later_and_nothing_is_said_to_have_come_back() {
    let sessions = [(1, "Uann"), (2, "Ubob"), (3, "Uann"), (4, "Ucyd"), (5, "Uann")];
    let sessions: BTreeMap<u64, String> = sessions.map(|(id, user)| (id, user.to_owned())).into();
    let vendor = Vendor::start(Slack { sessions, ..Slack::default() }, play_slack).await;
    let connector = slack(&vendor, "xoxp-hush");
    let targets = ["ann", "bob", "nobody"].map(|name| target(&format!("{name}@acme.example"), 2_000));
    let first = connector.end(&targets).await.expect("answered").replies;
    assert_eq!((counts(&first[..2]), &first[2]), (vec![3, 1], &Reply::NoSubject));
    assert_eq!(vendor.with(|slack| slack.ordered.clone()), ["Uann", "Ubob"]);
    let bulk: Vec<Request> = vendor.take().into_iter().filter(|r| r.path.ends_with("resetBulk")).collect();
    assert_eq!(bulk.len(), 1, "one call for both");

    let second = connector.end(&targets).await.expect("answered").replies;
    assert_eq!(counts(&second[..2]), [0, 0], "still listed is not come back");
    assert_eq!(counts(&connector.find(&targets).await.expect("answered").replies[..2]), [3, 1], "nor ended");
    vendor.with(|slack| slack.sessions.retain(|_, user| user == "Ucyd"));
    assert_eq!(counts(&connector.find(&targets).await.expect("answered").replies[..2]), [0, 0]);
    vendor.with(|slack| slack.sessions.insert(1, "Uann".to_owned()));
    let third = connector.end(&targets).await.expect("answered").replies;
    assert_eq!(counts(&third[..2]), [1, 0], "now it came back");
}

#[tokio::test]
async fn what_slack_was_told_to_end_is_no_new_sign_in_of_a_later_termination() {
    let sessions: BTreeMap<u64, String> = [(1, "Uann".to_owned())].into();
    let vendor = Vendor::start(Slack { sessions, ..Slack::default() }, play_slack).await;
    let connector = slack(&vendor, "xoxp-hush");
    let dated = |replies: Vec<Reply>| match &replies[..] {
        [Reply::Sessions(sessions)] => sessions.iter().map(Session::is_dated).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let first = [target("ann@acme.example", 2_000)];
    assert_eq!(dated(connector.end(&first).await.expect("answered").replies), [false]);
    // The same request once more, by another that lost what it heard.
    assert!(dated(connector.end(&first).await.expect("answered").replies).is_empty());
    assert_eq!(dated(connector.find(&first).await.expect("answered").replies), [true], "never verified");
    let unheard = [Target { only: Some(Arc::default()), ..first[0].clone() }];
    vendor.with(|slack| slack.ordered.clear());
    assert_eq!(dated(connector.end(&unheard).await.expect("answered").replies), [true], "it hears of it");
    assert_eq!(vendor.with(|slack| slack.ordered.clone()), ["Uann"], "ordered once more");
    // A later request, and the earlier one beside it.
    let later = [target("ann@acme.example", 3_000)];
    assert_eq!(dated(connector.end(&later).await.expect("answered").replies), [true]);
    assert!(dated(connector.end(&first).await.expect("answered").replies).is_empty());
    assert!(dated(connector.end(&later).await.expect("answered").replies).is_empty(), "not come back");
    // A sign-in since is none of them.
    vendor.with(|slack| slack.sessions.insert(2, "Uann".to_owned()));
    let mut found = dated(connector.find(&later).await.expect("answered").replies);
    found.sort_unstable();
    assert_eq!(found, [false, true]);
}

#[tokio::test]
async fn two_names_of_one_person_both_see_what_lives() {
    let sessions: BTreeMap<u64, String> = [(1, "Uann".to_owned())].into();
    let vendor = Vendor::start(Slack { sessions, ..Slack::default() }, play_slack).await;
    let connector = slack(&vendor, "xoxp-hush");
    // The look-up ignores case; this vendor gives both the one account.
    let targets = ["ann@acme.example", "ANN@acme.example"].map(|name| target(name, 2_000));
    vendor.with(|slack| slack.is_folded = true);
    connector.end(&targets).await.expect("answered");
    let found = connector.find(&targets).await.expect("answered").replies;
    for reply in &found {
        assert!(
            matches!(reply, Reply::Sessions(left) if left[..].iter().any(Session::is_dated)),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn slack_says_no_with_200_and_one_owner_does_not_hold_up_the_others() {
    let vendor = Vendor::start(Slack::default(), play_slack).await;
    let error = slack(&vendor, "wrong").find(&[target("ann@acme.example", 1)]).await.expect_err("refused");
    assert!(error.to_string().contains("refused the credentials (200 with invalid_auth)"), "{error}");

    vendor.with(|slack| slack.owner = Some("U5".to_owned()));
    let targets: Vec<_> = (0..16).map(|n| target(&format!("{n}@acme.example"), 1)).collect();
    let replies = slack(&vendor, "xoxp-hush").end(&targets).await.expect("answered").replies;
    let failed: Vec<usize> = (0..16).filter(|n| matches!(&replies[*n], Reply::Failed(_))).collect();
    assert_eq!(failed, [5], "{replies:?}");
    assert_eq!(vendor.with(|slack| slack.ordered.len()), 15);
}

#[tokio::test]
async fn a_job_is_as_large_as_the_pace_allows() {
    let url = "http://127.0.0.1:9";
    let vendor = Vendor::start(Slack::default(), play_slack).await;
    let size = |keys: Value| vendor.connector(keys).capabilities().targets_per_job;
    let token = json!({"token": "hush"});
    assert_eq!(size(json!({"recipe": "slack", "secrets": token})), 33, "lookups, 50 a minute");
    assert_eq!(size(json!({"recipe": "slack", "secrets": token, "subject_is_id": true})), 1_000);
    assert_eq!(size(json!({"recipe": "okta", "secrets": token})), 100, "two calls of 300 a minute");
    assert_eq!(size(entra_keys(url, json!({}))), 133, "three calls of 600 a minute");
    assert_eq!(size(json!({"recipe": "kratos"})), 500);
    assert_eq!(size(json!({"recipe": "kratos", "calls_per_minute": 1})), 1);
}

#[tokio::test]
async fn okta_matches_the_whole_login_and_is_delivered() {
    let vendor = Vendor::start((), |(), request: &Request| {
        assert_eq!(request.header("authorization"), "SSWS hush");
        match request.line().as_str() {
            // Okta finds a person by the part before the @, too.
            "GET /api/v1/users/ann" | "GET /api/v1/users/ann%40acme.example" => {
                answer(200, json!({"id": "00u1", "profile": {"login": "Ann@acme.example"}}))
            }
            "DELETE /api/v1/users/00u1/sessions" => {
                assert_eq!(request.query("oauthTokens").as_deref(), Some("true"));
                Answer::empty(204)
            }
            _ => answer(404, json!({"errorCode": "E0000007", "errorSummary": "Not found: x (User)"})),
        }
    })
    .await;
    let connector = vendor.connector(json!({"recipe": "okta", "secrets": {"token": "hush"}}));
    let targets = ["ann", "ann@acme.example", "nobody"].map(|name| target(name, 1));
    let replies = connector.end(&targets).await.expect("answered").replies;
    assert_eq!(replies, [Reply::NoSubject, Reply::Delivered, Reply::NoSubject]);
}

#[tokio::test]
async fn webhook_is_signed_and_a_repeat_has_the_same_id() {
    use aws_lc_rs::hmac;
    use base64::Engine as _;
    let engine = base64::prelude::BASE64_STANDARD;
    let secret = engine.encode([7_u8; 32]);
    let vendor = Vendor::start((), |(), _| Answer::empty(202)).await;
    let keys = json!({"recipe": "webhook", "secrets": {"key": format!("whsec_{secret}")}, "base_url": format!("{}/hooks/end", vendor.url)});
    let connector = vendor.connector_at(keys, Clock::manual(NOW));
    for _ in 0..2 {
        let replies = connector.end(&[asked("ann"), asked("bob")]).await.expect("delivered").replies;
        assert_eq!(replies, [Reply::Delivered, Reply::Delivered]);
    }
    let requests = vendor.take();
    let mut ids: Vec<&str> = requests.iter().map(|request| request.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((requests.len(), ids.len()), (4, 2));
    for request in &requests {
        assert_eq!(request.line(), "POST /hooks/end");
        let (id, at) = (request.header("webhook-id"), request.header("webhook-timestamp"));
        assert_eq!(at, (NOW / 1_000).to_string());
        let signed = format!("{id}.{at}.{}", request.body);
        let sent = request.header("webhook-signature").strip_prefix("v1,").expect("version 1");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        hmac::verify(&key, signed.as_bytes(), &engine.decode(sent).expect("base64")).expect("it is right");
        let body: Value = serde_json::from_str(&request.body).expect("JSON");
        assert_eq!(body["data"]["asked_at"], timestamp(NOW).to_string());
    }
}

#[test]
fn what_a_configuration_lacks_is_named() {
    let check = |keys: Value| {
        let config = serde_json::from_value(keys).expect("known keys");
        lightsout_server::connector::Http::check(&config).expect_err("it is wrong")
    };
    for (keys, words) in [
        (json!({"recipe": "okta", "secrets": {"token": "x"}}), "base_url: where the API is"),
        (
            json!({"recipe": "okta", "base_url": "https://x"}),
            "needs secrets = { token = { env = \"NAME\" } }",
        ),
        (
            json!({"recipe": "slack", "secrets": {"token": "x", "tokn": "x"}}),
            "knows no secret tokn; did you mean token?",
        ),
        (
            json!({"recipe": "keycloak", "base_url": "https://x", "secrets": {"client_secret": "x"}}),
            "needs parameters = { realm",
        ),
        (json!({"recipe": "kratos", "base_url": "ftp://x"}), "begins with https://"),
        (json!({"recipe": "kratos", "base_url": "https://u:hush@x"}), "credentials go into secrets"),
        (json!({"recipe": "kratos", "base_url": "https://x?key=hush"}), "is an address alone"),
        (
            json!({"recipe": "webhook", "base_url": "https://x", "secrets": {"key": "hush!"}}),
            "secrets.key: it is base64",
        ),
        (
            json!({"recipe": "okta", "base_url": "https://x", "secrets": {"token": "x"}, "ends_by_s": 60}),
            "has no [verify]",
        ),
    ] {
        let why = check(keys);
        assert!(why.contains(words) && !why.contains("hush"), "{words}: {why}");
    }
}
