//! The registry: sessions are registered, listed, ended and asked about, and never come back.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lightsout_client::api::{
    CreateTermination, Introspection, RegisterSession, RegisteredSession, SessionState, UpdateUser,
    UserStatus,
};
use lightsout_client::{Client, Error};
use lightsout_server::clock::timestamp;
use lightsout_server::ops::admin;
use lightsout_server::random::sha256;
use serde_json::{Value, json};

use crate::harness::{Harness, both, words};

const OWN: &str = "a-session-of-the-app-1";
const SKEW_MS: i64 = 5_000;
const DAY_MS: i64 = 86_400_000;

fn of(user: &str) -> RegisterSession {
    RegisterSession { user_id: Some(user.into()), ..RegisterSession::default() }
}

/// A session under the app's own id, which began at an instant that the app names.
fn own(user: &str, id: &str, began_at: i64) -> RegisterSession {
    RegisterSession { session_id: Some(id.to_owned()), began_at: Some(timestamp(began_at)), ..of(user) }
}

fn expiring(user: &str, id: &str, expires_at: i64) -> RegisterSession {
    RegisterSession { session_id: Some(id.to_owned()), expires_at: Some(timestamp(expires_at)), ..of(user) }
}

async fn register(h: &Harness, session: RegisterSession) -> RegisteredSession {
    h.registrar.register_sessions(vec![session]).await.expect("answered").remove(0)
}

async fn is_active(h: &Harness, id: &str) -> bool {
    h.registrar.introspect(id).await.expect("an answer").active
}

/// The refusal of a registration: status, and what it says.
async fn refusal(client: &Client, sessions: Vec<RegisterSession>) -> (u16, String) {
    let error = client.register_sessions(sessions).await.expect_err("it is refused");
    let answer = error.api().expect("the server answered");
    (answer.status, answer.message.clone())
}

fn status<T>(result: Result<T, Error>) -> Option<u16> {
    result.err().and_then(|error| error.status())
}

/// Ends a user, and returns the termination, whose jobs have not run.
async fn end(h: &Harness, user: &str) -> String {
    let request = CreateTermination { user_ids: vec![user.into()], ..CreateTermination::default() };
    h.admin.terminate(&request, None).await.expect("accepted").id.0
}

/// Another enterprise, with an app that has every right there, and its user.
async fn elsewhere(h: &Harness) -> (Client, String) {
    let (enterprise, eve) =
        admin::create_enterprise(&h.app, "Other", "eve@other.example", "Eve").await.expect("an enterprise");
    let new = admin::NewApp {
        enterprise_id: enterprise.0.clone(),
        name: "other".to_owned(),
        rights: words("sessions.write sessions.read introspect"),
        ..admin::NewApp::default()
    };
    let (id, secret) = admin::create_app(&h.app, &new).await.expect("an app");
    let subject = lightsout_client::Subject::Enterprise(enterprise.0);
    let auth = lightsout_client::Auth::client_credentials(id.0, secret, subject);
    (Client::new(&h.url(""), auth).expect("a client"), eve.0)
}

type SessionColumns = (String, String, String, i64, i64, Option<String>, Option<String>);

/// The rows that are not emptied.
async fn stored(h: &Harness) -> Vec<SessionColumns> {
    let sql = "SELECT user_id, session_hash, client_id, generation, began_at, device, address
               FROM sessions WHERE ended_at IS NULL";
    h.app.db.fetch(sql, vec![]).await.expect("rows")
}

both! {
    async fn batch_is_answered_in_its_order_with_minted_ids(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let by_login = RegisterSession { login: Some("BOB@acme.example".to_owned()), ..RegisterSession::default() };
        let batch = vec![of(&ann), by_login, of(&ann), own(&bob, OWN, h.app.clock.now_ms())];
        let made = h.registrar.register_sessions(batch).await.expect("registered");
        let users: Vec<&str> = made.iter().map(|s| s.user_id.as_str()).collect();
        assert_eq!(users, [&ann, &bob, &ann, &bob]);
        assert!(made.iter().all(|s| s.state == SessionState::Active));
        // Only what the service minted is shown, 128 random bits each.
        let minted: HashSet<&str> = made[..3].iter().map(|s| s.session_id.as_deref().expect("minted")).collect();
        assert_eq!((minted.len(), made[3].session_id.as_deref()), (3, None));
        for id in &minted {
            assert_eq!(URL_SAFE_NO_PAD.decode(id).expect("base64url").len(), 16);
            assert!(is_active(h, id).await);
        }
        assert!(is_active(h, OWN).await);
        assert_eq!(made[0].expires_at, timestamp(h.app.clock.now_ms() + 30 * DAY_MS));
        // Shown this once: neither lists nor answers hold it again.
        let listed = format!("{:?}", h.registrar.sessions(&ann, None).await.expect("a page"));
        assert!(minted.iter().all(|id| !listed.contains(id)));
        assert!(listed.contains(made[0].id.as_str()));
    }
}

both! {
    async fn wrong_entry_registers_nothing(h: &mut Harness) {
        let ann = h.user("ann").await;
        let now = h.app.clock.now_ms();
        let both_names = RegisterSession { login: Some("ann@acme.example".to_owned()), ..of(&ann) };
        let long = |text: usize| Some("x".repeat(text));
        for (wrong, expected) in [
            (own(&ann, "fifteen--------", now), 400),
            (own(&ann, &"x".repeat(513), now), 400),
            (of("999"), 404),
            (RegisterSession { login: Some("ghost@acme.example".to_owned()), ..RegisterSession::default() }, 404),
            (RegisterSession::default(), 400),
            (both_names, 400),
            (own(&ann, OWN, now + SKEW_MS + 1), 400),
            (expiring(&ann, OWN, now), 400),
            (expiring(&ann, OWN, now - 1), 400),
            (expiring(&ann, OWN, now + 30 * DAY_MS + 1), 400),
            (RegisterSession { device: long(201), ..of(&ann) }, 400),
            (RegisterSession { address: long(201), ..of(&ann) }, 400),
        ] {
            let (status, message) = refusal(&h.registrar, vec![of(&ann), wrong]).await;
            assert_eq!(status, expected, "{message}");
            assert!(status == 404 || message.starts_with("sessions[1]"), "{message}");
        }
        let nul = RegisterSession { device: Some("a\0b".to_owned()), ..of(&ann) };
        assert_eq!(refusal(&h.registrar, vec![of(&ann), nul]).await.0, 400);
        let twice = vec![own(&ann, OWN, now), of(&ann), own(&ann, OWN, now)];
        assert_eq!(refusal(&h.registrar, twice).await.0, 400);
        assert_eq!(refusal(&h.registrar, vec![]).await.0, 400);
        assert_eq!(refusal(&h.registrar, vec![of(&ann); 1_001]).await.0, 400);
        assert!(stored(h).await.is_empty());

        // The limits themselves are allowed.
        register(h, own(&ann, "sixteen---------", now + SKEW_MS)).await;
        register(h, expiring(&ann, &"x".repeat(512), now + 30 * DAY_MS)).await;
        register(h, RegisterSession { device: Some("ä".repeat(200)), ..of(&ann) }).await;
        assert_eq!(h.registrar.register_sessions(vec![of(&ann); 1_000]).await.expect("registered").len(), 1_000);
    }
}

both! {
    async fn refusal_of_a_malformed_entry_does_not_repeat_the_session_id(h: &mut Harness) {
        let token = token_of_registrar(h).await;
        for body in [
            json!({"sessions": [OWN]}),
            json!({"sessions": OWN}),
            json!({"sessions": [{"user_id": "1", "session_id": OWN, "began_at": OWN}]}),
        ] {
            let request = reqwest::Client::new().post(h.url("/v1/sessions")).bearer_auth(&token).json(&body);
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status().as_u16(), 400);
            let text = response.text().await.expect("a body");
            assert!(!text.contains(OWN), "{text}");
        }
    }
}

both! {
    async fn repeated_registration_keeps_the_first_facts(h: &mut Harness) {
        let ann = h.user("ann").await;
        let now = h.app.clock.now_ms();
        let first = RegisterSession { device: Some("phone".to_owned()), ..expiring(&ann, OWN, now + 60_000) };
        let made = register(h, first).await;
        h.advance(1_000);
        let again = RegisterSession { device: Some("laptop".to_owned()), ..expiring(&ann, OWN, now + DAY_MS) };
        let answer = register(h, again.clone()).await;
        assert_eq!((&answer.id, answer.state), (&made.id, SessionState::Active));
        let listed = h.registrar.sessions(&ann, None).await.expect("a page").entries;
        assert_eq!((listed.len(), listed[0].device.as_deref()), (1, Some("phone")));
        assert_eq!((listed[0].began_at, listed[0].expires_at), (timestamp(now), timestamp(now + 60_000)));
        // The answer says when the stored session expires, not what was asked for.
        assert_eq!(answer.expires_at, timestamp(now + 60_000));

        // What has expired is not answered as active while checks refuse it.
        h.advance(60_000);
        assert!(!is_active(h, OWN).await);
        let late = register(h, again).await;
        assert_eq!(late.state == SessionState::Active, is_active(h, OWN).await);
    }
}

both! {
    async fn ended_session_is_never_registered_again(h: &mut Harness) {
        let ann = h.user("ann").await;
        let repeats = |h: &Harness, id: &str| {
            let now = h.app.clock.now_ms();
            [own(&ann, id, now - 1_000), own(&ann, id, now), own(&ann, id, now + SKEW_MS), expiring(&ann, id, now + DAY_MS)]
        };
        // Ended by itself.
        let made = register(h, own(&ann, OWN, h.app.clock.now_ms())).await;
        h.registrar.end_session(made.id.as_str()).await.expect("ended");
        h.advance(60_000);
        for repeat in repeats(h, OWN) {
            assert_eq!(register(h, repeat).await.state, SessionState::Ended);
            assert!(!is_active(h, OWN).await);
        }
        // Ended by a termination, before and after its row is cleaned up.
        let id = "a-session-of-the-app-2";
        register(h, own(&ann, id, h.app.clock.now_ms())).await;
        let termination = end(h, &ann).await;
        h.advance(60_000);
        for repeat in repeats(h, id) {
            assert_eq!(register(h, repeat).await.state, SessionState::Ended);
        }
        h.run_until_done(&termination).await;
        assert!(stored(h).await.is_empty());
        for repeat in repeats(h, id) {
            assert_eq!(register(h, repeat).await.state, SessionState::Ended);
            assert!(!is_active(h, id).await);
        }
    }
}

both! {
    async fn id_that_was_answered_ended_stays_ended(h: &mut Harness) {
        let ann = h.user("ann").await;
        let before = h.app.clock.now_ms();
        h.advance(60_000);
        let termination = end(h, &ann).await;
        assert_eq!(register(h, own(&ann, OWN, before)).await.state, SessionState::Ended);
        // The app tries again and leaves the begin out, or tells another one.
        h.advance(60_000);
        let unnamed = RegisterSession { session_id: Some(OWN.to_owned()), ..of(&ann) };
        assert_eq!(register(h, unnamed).await.state, SessionState::Ended);
        assert_eq!(register(h, own(&ann, OWN, h.app.clock.now_ms())).await.state, SessionState::Ended);
        assert!(!is_active(h, OWN).await);
        h.run_until_done(&termination).await;
    }
}

both! {
    async fn registered_id_never_changes_its_owner(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let (other, eve) = elsewhere(h).await;
        register(h, own(&ann, OWN, h.app.clock.now_ms())).await;
        assert_eq!(register(h, own(&bob, OWN, h.app.clock.now_ms())).await.state, SessionState::Ended);
        let foreign = other.register_sessions(vec![own(&eve, OWN, h.app.clock.now_ms())]).await.expect("answered");
        assert_eq!(foreign[0].state, SessionState::Ended);
        let known = h.registrar.introspect(OWN).await.expect("an answer");
        assert_eq!((known.active, known.sub), (true, Some(ann.clone())));
        // Ending the would-be owner spares it, ending the owner ends it.
        let termination = end(h, &bob).await;
        assert!(is_active(h, OWN).await);
        h.run_until_done(&termination).await;
        let termination = end(h, &ann).await;
        assert!(!is_active(h, OWN).await);
        h.run_until_done(&termination).await;
    }
}

both! {
    async fn reported_begin_is_held_against_the_cutoff_with_clock_skew(h: &mut Harness) {
        let ann = h.user("ann").await;
        let termination = end(h, &ann).await;
        let cutoff = h.app.clock.now_ms();
        h.advance(60_000);
        for (n, began_at, expected) in [
            (0, cutoff - 60_000, SessionState::Ended),
            (1, cutoff, SessionState::Ended),
            (2, cutoff + SKEW_MS, SessionState::Ended),
            (3, cutoff + SKEW_MS + 1, SessionState::Active),
            (4, cutoff + 60_000, SessionState::Active),
        ] {
            let id = format!("a-session-of-the-app-{n}");
            assert_eq!(register(h, own(&ann, &id, began_at)).await.state, expected, "{began_at}");
            assert_eq!(is_active(h, &id).await, expected == SessionState::Active);
        }
        h.run_until_done(&termination).await;
        assert!(is_active(h, "a-session-of-the-app-3").await, "it is of the new generation");
        let again = end(h, &ann).await;
        assert!(!is_active(h, "a-session-of-the-app-3").await);
        h.run_until_done(&again).await;
    }
}

both! {
    async fn begin_that_the_service_stamped_needs_no_allowance(h: &mut Harness) {
        let ann = h.user("ann").await;
        let termination = end(h, &ann).await;
        // At the cutoff itself it is over, one millisecond later it is not.
        assert_eq!(register(h, of(&ann)).await.state, SessionState::Ended);
        h.advance(1);
        let later = h.sign_in(&ann).await;
        assert!(later.state == SessionState::Active && h.is_active(&later).await);
        h.run_until_done(&termination).await;
        assert!(h.is_active(&later).await);
    }
}

both! {
    async fn live_sessions_are_listed_in_pages(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let made = h.registrar.register_sessions(vec![of(&ann); 5]).await.expect("registered");
        h.sign_in(&bob).await;
        register(h, expiring(&ann, OWN, h.app.clock.now_ms() + 1_000)).await;
        let token = token_of_registrar(h).await;
        let page = async |marker: Option<&str>| {
            let mut query = vec![("user_id", ann.as_str()), ("limit", "2")];
            query.extend(marker.map(|m| ("marker", m)));
            let request = reqwest::Client::new().get(h.url("/v1/sessions")).bearer_auth(&token).query(&query);
            request.send().await.expect("an answer").json::<Value>().await.expect("JSON")
        };
        let walk = async || {
            let (mut seen, mut marker) = (Vec::new(), None);
            loop {
                let answer = page(marker.as_deref()).await;
                let entries = answer["entries"].as_array().expect("entries").clone();
                assert!(entries.len() <= 2);
                seen.extend(entries.into_iter().map(|s| s["id"].as_str().expect("an id").to_owned()));
                marker = answer["next_marker"].as_str().map(ToOwned::to_owned);
                if marker.is_none() {
                    return seen;
                }
            }
        };
        assert_eq!(walk().await.len(), 6);
        h.advance(1_000);
        h.registrar.end_session(made[0].id.as_str()).await.expect("ended");
        let left: HashSet<String> = walk().await.into_iter().collect();
        assert_eq!(left, made[1..].iter().map(|s| s.id.0.clone()).collect(), "neither expired nor ended ones");
        let termination = end(h, &ann).await;
        assert!(walk().await.is_empty(), "before any job has run");
        assert_eq!(h.registrar.sessions(&bob, None).await.expect("a page").entries.len(), 1);
        assert_eq!(status(h.registrar.sessions("999", None).await), Some(404));
        h.run_until_done(&termination).await;
    }
}

both! {
    async fn one_session_is_ended_and_others_stay(h: &mut Harness) {
        let ann = h.user("ann").await;
        let (phone, laptop) = (h.sign_in(&ann).await, h.sign_in(&ann).await);
        let (other, eve) = elsewhere(h).await;
        let foreign = other.register_sessions(vec![of(&eve)]).await.expect("registered").remove(0);
        assert_eq!(status(h.registrar.end_session("no-such-session").await), Some(404));
        assert_eq!(status(h.registrar.end_session(foreign.id.as_str()).await), Some(404));
        assert_eq!(status(other.end_session(phone.id.as_str()).await), Some(404));
        h.registrar.end_session(phone.id.as_str()).await.expect("ended");
        assert!(!h.is_active(&phone).await && h.is_active(&laptop).await);
        assert_eq!(status(h.registrar.end_session(phone.id.as_str()).await), Some(404));
        let events = h.admin.event_page(&only("SESSION_ENDED")).await.expect("events").entries;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].source.as_ref().expect("whom")["id"], json!(ann));
        // Another enterprise's sessions and users do not exist here.
        let secret = foreign.session_id.expect("minted");
        assert_eq!(h.registrar.introspect(&secret).await.expect("an answer"), Introspection::default());
        assert!(other.introspect(&secret).await.expect("an answer").active);
        assert_eq!(status(h.registrar.sessions(&eve, None).await), Some(404));
        assert_eq!(refusal(&h.registrar, vec![of(&eve)]).await.0, 404);
    }
}

both! {
    async fn introspection_says_who_and_nothing_of_what_is_inactive(h: &mut Harness) {
        let ann = h.user("ann").await;
        let now = h.app.clock.now_ms();
        register(h, RegisterSession { began_at: Some(timestamp(now - 10_000)), ..expiring(&ann, OWN, now + 60_000) }).await;
        let known = h.registrar.introspect(OWN).await.expect("an answer");
        assert_eq!(known, Introspection {
            active: true,
            sub: Some(ann.clone()),
            username: Some("ann@acme.example".to_owned()),
            client_id: Some(h.credentials.0.clone()),
            scope: None,
            iat: Some(now / 1000 - 10),
            exp: Some(now / 1000 + 2),
            session_expires_at: Some(now / 1000 + 60),
            token_type: Some("session".to_owned()),
        });
        let developer = h.token_of("ann@acme.example", "manage_groups").await;
        let token = h.registrar.introspect(&developer).await.expect("an answer");
        assert_eq!((token.active, token.sub.as_deref(), token.token_type.as_deref()), (true, Some(ann.as_str()), Some("bearer")));
        assert_eq!(token.scope.as_deref(), Some("manage_groups"));

        h.advance(60_000);
        let asking = token_of_registrar(h).await;
        let body = async |token: &str| {
            let request = reqwest::Client::new().post(h.url("/oauth2/introspect")).bearer_auth(&asking);
            request.form(&[("token", token)]).send().await.expect("an answer").text().await.expect("a body")
        };
        assert_eq!(body(OWN).await, r#"{"active":false}"#, "it has expired");
        assert_eq!(body("garbage").await, r#"{"active":false}"#);
        assert_eq!(body("").await, r#"{"active":false}"#);
        let termination = end(h, &ann).await;
        assert_eq!(body(&developer).await, r#"{"active":false}"#, "its user was ended");
        h.run_until_done(&termination).await;
    }
}

both! {
    async fn registry_belongs_to_apps_with_the_right(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        let every_scope = "manage_managed_users manage_groups manage_enterprise_properties";
        for (client, rights) in [
            (h.app_client(every_scope, "", true).await, ""),
            (h.app_client("", "sessions.write", false).await, "sessions.write"),
            (h.app_client("", "sessions.read", false).await, "sessions.read"),
            (h.app_client("", "introspect feed", false).await, "introspect feed"),
            // Not even the admin, who is no app.
            (h.admin.clone(), ""),
        ] {
            let answers = [
                ("sessions.write", client.register_sessions(vec![of(&ann)]).await.err()),
                ("sessions.write", client.end_session("no-such-session").await.err()),
                ("sessions.read", client.sessions(&ann, None).await.err()),
                ("introspect", client.introspect("garbage").await.err()),
            ];
            for (right, error) in answers {
                let allowed = rights.split(' ').any(|r| r == right);
                let refused = error.as_ref().and_then(Error::status) == Some(403);
                assert_eq!(refused, !allowed, "{rights:?} {right}: {error:?}");
                assert!(allowed || error.expect("refused").to_string().contains(right));
            }
        }
        assert!(h.is_active(&session).await);
    }
}

both! {
    async fn inactive_user_has_no_active_session(h: &mut Harness) {
        let ann = h.user("ann").await;
        let before = h.sign_in(&ann).await;
        let inactive = UpdateUser { status: Some(UserStatus::Inactive), ..UpdateUser::default() };
        h.admin.update_user(&ann, &inactive).await.expect("changed");
        h.advance(60_000);
        let made = register(h, own(&ann, OWN, h.app.clock.now_ms())).await;
        assert!(!is_active(h, OWN).await && !h.is_active(&before).await);
        // The answer, the list and the check agree.
        assert_eq!(made.state, SessionState::Ended);
        assert!(h.registrar.sessions(&ann, None).await.expect("a page").entries.is_empty());
        let id = h.admin.terminations(None).await.expect("a list").entries.remove(0).id.0;
        h.run_until_done(&id).await;
    }
}

both! {
    async fn session_ids_are_stored_as_sha256_and_rows_are_emptied_with_the_session(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let about = |user: &str, id: &str| RegisterSession {
            device: Some("Ann's phone".to_owned()), address: Some("192.0.2.7".to_owned()), ..own(user, id, h.app.clock.now_ms())
        };
        register(h, about(&ann, OWN)).await;
        let minted = h.sign_in(&ann).await.session_id.expect("minted");
        register(h, about(&bob, "a-session-of-the-app-2")).await;
        let rows = format!("{:?}", stored(h).await);
        for id in [OWN, &minted] {
            assert!(rows.contains(&sha256(id)) && !rows.contains(id));
        }
        let termination = end(h, &ann).await;
        assert_eq!(stored(h).await.len(), 3);
        h.run_jobs().await;
        let left = stored(h).await;
        assert_eq!((left.len(), left[0].0.as_str()), (1, bob.as_str()));
        let emptied = "SELECT session_hash, device, address FROM sessions WHERE ended_at IS NOT NULL";
        let emptied: Vec<(String, Option<String>, Option<String>)> =
            h.app.db.fetch(emptied, vec![]).await.expect("rows");
        assert!(emptied.iter().all(|(_, device, address)| device.is_none() && address.is_none()));
        let refused: HashSet<&str> = emptied.iter().map(|(hash, ..)| hash.as_str()).collect();
        assert_eq!(refused, HashSet::from([sha256(OWN).as_str(), sha256(&minted).as_str()]));
        let done = h.run_until_done(&termination).await;
        assert_eq!(done.systems.iter().find(|s| s.system == "registry").expect("the registry").sessions_ended, 2);
    }
}

/// A token of the registrar, for requests by hand.
async fn token_of_registrar(h: &Harness) -> String {
    let (id, secret) = &h.credentials;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", id.as_str()),
        ("client_secret", secret.as_str()),
        ("box_subject_type", "enterprise"),
        ("box_subject_id", h.enterprise_id.as_str()),
    ];
    let request = reqwest::Client::new().post(h.url("/oauth2/token")).form(&form);
    let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    answer["access_token"].as_str().expect("a token").to_owned()
}

fn only(event_type: &str) -> lightsout_client::EventQuery {
    lightsout_client::EventQuery {
        event_types: vec![event_type.to_owned()],
        ..lightsout_client::EventQuery::history()
    }
}
