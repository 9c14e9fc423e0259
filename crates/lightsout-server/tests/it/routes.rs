//! Every route, without a token and with one that is too weak. A route that is not listed fails.

use std::fmt::Write;

use lightsout_client::api::{CreateGroupMembership, CreateUser, MembershipRole, Reference, Role};
use lightsout_server::http::ROUTES;
use reqwest::{Client, Method};

use crate::harness::{Database, Harness, both};

/// Routes that answer without a token: probes, documents, and where tokens come from.
const OPEN: [(&str, &str, u16); 7] = [
    ("get", "/.well-known/oauth-authorization-server", 200),
    ("post", "/oauth2/token", 400),
    ("post", "/oauth2/revoke", 400),
    ("get", "/v1/openapi.json", 200),
    ("get", "/healthz", 200),
    ("get", "/readyz", 200),
    ("get", "/metrics", 404),
];

/// What a plain user's token without any scope is answered, where that is not 403.
const HARMLESS: [(&str, &str, u16); 5] = [
    ("get", "/2.0/users/me", 200),
    ("get", "/v1/terminations", 200),
    ("get", "/v1/terminations/{termination_id}", 404),
    ("get", "/v1/terminations/{termination_id}/outcomes", 404),
    ("get", "/v1/terminations/{termination_id}/events", 404),
];

/// Pages know no tokens: a browser is sent to sign in. They have tests of their own.
pub(crate) fn is_page(path: &str) -> bool {
    let pages = ["/console", "/sign-", "/set-password", "/api/oauth2/authorize"];
    path == "/" || pages.iter().any(|page| path.starts_with(page))
}

/// A body that is well-formed for each route that reads one.
fn body(path: &str) -> serde_json::Value {
    match path {
        "/2.0/users/terminate_sessions" => serde_json::json!({"user_ids": ["1"]}),
        "/2.0/groups/terminate_sessions" => serde_json::json!({"group_ids": ["1"]}),
        "/2.0/users" => serde_json::json!({"name": "x", "login": "x@acme.example"}),
        "/2.0/groups" => serde_json::json!({"name": "x"}),
        "/2.0/group_memberships" => serde_json::json!({"user": {"id": "1"}, "group": {"id": "1"}}),
        "/v1/terminations" => serde_json::json!({"user_ids": ["1"]}),
        "/v1/sessions" => serde_json::json!({"sessions": [{"user_id": "1"}]}),
        _ => serde_json::json!({}),
    }
}

async fn status(h: &crate::harness::Harness, method: &str, path: &str, token: Option<&str>) -> u16 {
    let concrete: String =
        path.split('/').map(|s| if s.starts_with('{') { "1" } else { s }).collect::<Vec<_>>().join("/");
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
    let mut request = Client::new().request(method, h.url(&concrete));
    request = match path {
        "/oauth2/introspect" => request.form(&[("token", "x")]),
        "/v1/sessions" if token.is_some() => request.query(&[("user_id", "1")]).json(&body(path)),
        _ => request.json(&body(path)),
    };
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    if status == 403 {
        let body: serde_json::Value = answer.json().await.expect("JSON");
        let missing = body["context_info"]["missing"].as_object().and_then(|missing| missing.keys().next());
        let known = missing.is_some_and(|kind| ["scope", "right", "role"].contains(&kind.as_str()));
        assert!(known, "{path} says what is missing: {body}");
    }
    status
}

both! {
    async fn every_route_refuses_no_token_and_a_weak_one(h: &mut Harness) {
        h.user("ann").await;
        // A token with a scope that none of the routes asks a plain user for.
        let weak = h.token_of("ann@acme.example", "manage_enterprise_properties").await;
        let listed = |table: &[(&str, &str, u16)], method: &str, path: &str| {
            table.iter().find(|(m, p, _)| (*m, *p) == (method, path)).map(|(_, _, status)| *status)
        };
        for &(method, path) in ROUTES.iter().filter(|(_, path)| !is_page(path)) {
            let open = listed(&OPEN, method, path);
            let expected = open.unwrap_or(401);
            assert_eq!(status(h, method, path, None).await, expected, "{method} {path} without a token");
            let expected = open.or_else(|| listed(&HARMLESS, method, path)).unwrap_or(match (method, path) {
                // Whether it exists is not told, and nothing may be retried by whoever cannot read it.
                ("post", "/v1/terminations/{termination_id}/retry") => 404,
                _ => 403,
            });
            assert_eq!(status(h, method, path, Some(&weak)).await, expected, "{method} {path} with a weak token");
        }
    }
}

/// Tokens of each kind of caller, with every scope that it can have.
async fn callers(h: &Harness) -> Vec<(&'static str, String)> {
    let coadmin = CreateUser {
        name: "Cleo".to_owned(),
        login: Some("cleo@acme.example".to_owned()),
        role: Some(Role::Coadmin),
        ..CreateUser::default()
    };
    h.admin.create_user(&coadmin).await.expect("a coadmin");
    h.user("ann").await;
    let gus = h.user("gus").await;
    let group = h.group("Sales", &[]).await;
    let reference = |id: &str| Reference { id: id.to_owned(), ..Reference::default() };
    let appointed = CreateGroupMembership {
        user: reference(&gus),
        group: reference(&group),
        role: Some(MembershipRole::Admin),
        configurable_permissions: None,
    };
    h.admin.create_group_membership(&appointed).await.expect("a group admin");
    let (id, secret) = h.credentials.clone();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", &secret),
        ("box_subject_type", "enterprise"),
        ("box_subject_id", &h.enterprise_id),
    ];
    let reply = Client::new().post(h.url("/oauth2/token")).form(&form).send().await.expect("an answer");
    let app: serde_json::Value = reply.json().await.expect("a token");
    vec![
        ("admin", h.token_of("ada@acme.example", "").await),
        ("coadmin", h.token_of("cleo@acme.example", "").await),
        ("app", app["access_token"].as_str().expect("a token").to_owned()),
        ("group admin", h.token_of("gus@acme.example", "").await),
        ("user", h.token_of("ann@acme.example", "").await),
    ]
}

/// What each kind of caller is answered on each route, for ids that do not exist: 403 where the
/// caller may not, whatever exists; anything else where they may.
#[tokio::test]
async fn who_reaches_which_route() {
    let h = Harness::start(Database::Sqlite).await;
    let callers = callers(&h).await;
    let mut table = format!("{:<58}", "");
    for (name, _) in &callers {
        write!(table, "{name:<13}").expect("a String takes it");
    }
    for &(method, path) in ROUTES.iter().filter(|(_, path)| !is_page(path)) {
        write!(table, "\n{:<58}", format!("{method} {path}")).expect("a String takes it");
        for (_, token) in &callers {
            write!(table, "{:<13}", status(&h, method, path, Some(token)).await).expect("a String takes it");
        }
    }
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"));
    h.finish().await;
}
