//! Keycloak and Kratos, which list sessions: each at a server that plays it as the published documents have
//! it.

use std::collections::BTreeMap;

use lightsout_server::clock::{Clock, timestamp};
use lightsout_server::connector::{Connector, Reply, Target, Told};
use serde_json::json;

use super::super::{counts, target};
use super::vendor::{Answer, Request, Vendor, answer};

/// What is told of each session, in the order of their begins.
fn told(reply: &Reply) -> Vec<Told> {
    let Reply::Sessions(sessions) = reply else { panic!("{reply:?}") };
    let mut told: Vec<Told> = sessions.iter().map(|session| session.told.clone()).collect();
    told.sort_by_key(|told| told.began_at);
    told
}

/// Keycloak's and Kratos's sessions: whose, and since when.
type Sessions = BTreeMap<String, (String, i64)>;

fn play_keycloak(sessions: &mut Sessions, request: &Request) -> Answer {
    if request.path == "/realms/acme%20corp/protocol/openid-connect/token" {
        return answer(200, json!({"access_token": "kc", "expires_in": 60}));
    }
    if request.header("authorization") != "Bearer kc" {
        return answer(401, json!({"error": "HTTP 401 Unauthorized"}));
    }
    let parts = request.parts();
    assert_eq!(parts[..3], ["admin", "realms", "acme corp"]);
    let parts: Vec<&str> = parts[3..].iter().map(String::as_str).collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["users"]) => {
            assert_eq!(request.query("exact").as_deref(), Some("true"));
            let name = request.query("username").expect("a name").to_lowercase();
            let known = sessions.values().any(|(owner, _)| *owner == name);
            answer(
                200,
                if known { json!([{"id": format!("id-{name}"), "username": name}]) } else { json!([]) },
            )
        }
        ("GET", ["users", id, "sessions"]) => {
            let own = sessions.iter().filter(|(_, (owner, _))| format!("id-{owner}") == **id);
            let shown = |(key, (_, start)): (&String, &(String, i64))| json!({"id": key, "start": start, "lastAccess": start + 7, "ipAddress": "192.0.2.1"});
            answer(200, own.map(shown).collect())
        }
        ("POST", ["users", id, "logout"]) => {
            sessions.retain(|_, (owner, _)| format!("id-{owner}") != **id);
            Answer::empty(204)
        }
        _ => answer(404, json!({"error": "HTTP 404 Not Found"})),
    }
}

#[tokio::test]
async fn keycloak_logs_out_and_verifies() {
    let session = |name: &str, at| (name.to_owned(), at);
    let sessions: Sessions =
        [("a1", session("ann", 1_000)), ("a2", session("ann", 1_500)), ("b", session("bob", 1))]
            .map(|(key, session)| (key.to_owned(), session))
            .into();
    let vendor = Vendor::start(sessions, play_keycloak).await;
    let connector = vendor.connector(json!({
        "recipe": "keycloak", "secrets": {"client_secret": "hush"}, "ends_by_s": 300,
        "parameters": {"realm": "acme corp", "client_id": "lightsout"},
    }));
    let address = Some("192.0.2.1".to_owned());
    let shown = |at| Told { last_seen_at: Some(at + 7), address: address.clone(), ..Told::from(Some(at)) };
    let found =
        connector.find(&[Target::every_session("id", "Ann".to_owned())]).await.expect("found").replies;
    assert_eq!(told(&found[0]), [shown(1_000), shown(1_500)]);
    let targets = [target("Ann", 2_000), target("nobody", 2_000)];
    let ended = connector.end(&targets).await.expect("ended").replies;
    assert_eq!((counts(&ended[..1]), &ended[1]), (vec![2], &Reply::NoSubject));
    let found = connector.find(&targets).await.expect("found").replies;
    let by = Clock::system().now_ms() + 300_000;
    assert!(matches!(found[0], Reply::EndsBy(at) if (by - 60_000..=by).contains(&at)), "{found:?}");
    assert_eq!(vendor.with(|sessions| sessions.keys().cloned().collect::<Vec<_>>()), ["b"]);
}

fn play_kratos(sessions: &mut Sessions, request: &Request) -> Answer {
    let parts = request.parts();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["admin", "identities"]) => {
            let name = request.query("credentials_identifier").unwrap_or_default();
            let known = sessions.values().any(|(owner, _)| *owner == name);
            answer(200, if known { json!([{"id": format!("id-{name}")}]) } else { json!([]) })
        }
        ("GET", ["admin", "identities", id, "sessions"]) => {
            assert_eq!(request.query("active").as_deref(), Some("true"));
            let page: usize = request.query("page_token").map_or(0, |token| token.parse().expect("ours"));
            let own: Vec<_> =
                sessions.iter().filter(|(_, (owner, _))| format!("id-{owner}") == **id).collect();
            let shown = own.iter().skip(page).take(1);
            let list = shown.map(|(key, (_, at))| {
                let devices = json!([{"id": "d", "ip_address": "192.0.2.1", "user_agent": "curl/8"}]);
                json!({"id": key, "active": true, "issued_at": timestamp(*at).to_string(), "devices": devices})
            });
            let next = format!(
                "</admin/identities/{id}/sessions?active=true&page_token={}>; rel=\"next\"",
                page + 1
            );
            let first = "</admin/identities>; rel=\"first\"";
            let links = if page + 1 < own.len() { format!("{first},{next}") } else { first.to_owned() };
            answer(200, list.collect()).header("link", &links)
        }
        ("DELETE", ["admin", "identities", id, "sessions"]) => {
            sessions.retain(|_, (owner, _)| format!("id-{owner}") != **id);
            Answer::empty(204)
        }
        _ => answer(404, json!({"error": {"id": "not_found"}})),
    }
}

#[tokio::test]
async fn kratos_ends_and_verifies_over_pages() {
    let keys = ["a1", "a2", "a3"].map(|key| (key.to_owned(), ("ann".to_owned(), 1_000)));
    let vendor = Vendor::start(Sessions::from(keys), play_kratos).await;
    let connector = vendor.connector(json!({"recipe": "kratos"}));
    let targets = [target("ann", 2_000)];
    let found = connector.find(&targets).await.expect("found").replies;
    let (device, address) = (Some("curl/8".to_owned()), Some("192.0.2.1".to_owned()));
    assert_eq!(told(&found[0]), vec![Told { device, address, ..Told::from(Some(1_000)) }; 3]);
    assert_eq!(counts(&connector.end(&targets).await.expect("ended").replies), [3]);
    assert_eq!(counts(&connector.find(&targets).await.expect("found").replies), [0]);
    connector.find(&[]).await.expect("it answers");
}
