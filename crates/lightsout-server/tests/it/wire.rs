//! Box's wire to the letter: texts, statuses, headers and paging, as the official SDKs meet them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use lightsout_client::api::{CreateUser, TERMINATION_ACCEPTED};
use lightsout_server::http::LimitsConfig;
use lightsout_server::ops::admin;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Database, Harness, both};

const ADA: &str = "ada@acme.example";
const NOT_JSON: &str = "Supported payload format is JSON";
const NO_USERS: &str = "Users can not be NULL or EMPTY";
const NO_GROUPS: &str = "Groups can not be NULL or EMPTY";

/// An answer as it came, headers and all.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("a body") }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a readable header"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text))
    }

    /// Asserts Box's `ClientError` in full, and returns its message.
    fn client_error(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!((self.status, &body["code"]), (status, &json!(code)), "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!((&body["type"], &body["status"]), (&json!("error"), &json!(status)));
        let id = body["request_id"].as_str().expect("a request_id");
        let header = self.header("box-request-id").expect("a box-request-id");
        assert!(!id.is_empty() && header.starts_with(id) && header != id, "{header} {id}");
        body["message"].as_str().expect("a message").to_owned()
    }

    /// Asserts problem details (RFC 9457).
    fn problem(&self, status: u16, code: &str) {
        let body = self.json();
        assert_eq!((self.status, &body["code"]), (status, &json!(code)), "{body}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(body["type"], json!(format!("urn:lightsout:problem:{code}")));
        assert_eq!(body["status"], json!(status));
        let id = body["request_id"].as_str().expect("a request_id");
        assert!(self.header("box-request-id").expect("a box-request-id").starts_with(id));
    }
}

fn request(h: &Harness, method: Method, path: &str, token: &str) -> RequestBuilder {
    Client::new().request(method, h.url(path)).bearer_auth(token)
}

async fn get(h: &Harness, path: &str, token: &str) -> Answer {
    Answer::to(request(h, Method::GET, path, token)).await
}

async fn post(h: &Harness, path: &str, token: &str, body: impl Into<String>) -> Answer {
    let request = request(h, Method::POST, path, token).header("content-type", "application/json");
    Answer::to(request.body(body.into())).await
}

async fn terminate(h: &Harness, token: &str, kind: &str, body: &Value) -> Answer {
    post(h, &format!("/2.0/{kind}/terminate_sessions"), token, body.to_string()).await
}

fn ids(page: &Value, key: &str) -> Vec<String> {
    let entries = page["entries"].as_array().expect("entries");
    entries.iter().map(|e| e[key].as_str().expect("an id").to_owned()).collect()
}

both! {
    async fn refused_bodies_get_boxs_words_and_change_nothing(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let before = h.app.db.event_head().await.expect("the head");
        let cases = [
            ("users", "not json", NOT_JSON),
            ("users", r#"{"user_ids": ["1"]"#, NOT_JSON),
            ("users", "user_ids=1", NOT_JSON),
            ("users", "", NO_USERS),
            ("users", "null", NO_USERS),
            ("users", "{}", NO_USERS),
            ("users", r#"{"user_ids": [], "user_logins": []}"#, NO_USERS),
            ("users", r#"{"user_ids": null, "user_logins": null}"#, NO_USERS),
            // What the legacy Node SDK's documentation tells its users to send.
            ("users", r#"{"userIDs": ["1"], "userLogins": ["a@b.example"]}"#, NO_USERS),
            ("users", r#"{"user_ids": [1]}"#, "User id format is string"),
            ("users", r#"{"user_ids": ["1", null]}"#, "User id format is string"),
            ("users", r#"{"user_ids": [["1"]], "user_logins": ["a@b.example"]}"#, "User id format is string"),
            ("groups", "not json", NOT_JSON),
            ("groups", "", NO_GROUPS),
            ("groups", "null", NO_GROUPS),
            ("groups", "{}", NO_GROUPS),
            ("groups", r#"{"group_ids": []}"#, NO_GROUPS),
            ("groups", r#"{"group_ids": null}"#, NO_GROUPS),
            ("groups", r#"{"group_ids": [1]}"#, "group id format is string"),
            ("groups", r#"{"group_ids": [{"id": "1"}]}"#, "group id format is string"),
        ];
        for (kind, body, text) in cases {
            let answer = post(h, &format!("/2.0/{kind}/terminate_sessions"), &token, body).await;
            assert_eq!(answer.client_error(400, "bad_request"), text, "{kind} {body}");
        }
        assert_eq!(h.app.db.event_head().await.expect("the head"), before);
    }
}

both! {
    async fn more_than_ten_thousand_entries_are_refused(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let ids: Vec<String> = (0..10_001).map(|n| n.to_string()).collect();
        for (kind, body) in [
            ("users", json!({"user_ids": ids})),
            ("users", json!({"user_ids": ids[..5_000], "user_logins": ids[..5_001]})),
            ("groups", json!({"group_ids": ids})),
        ] {
            terminate(h, &token, kind, &body).await.client_error(400, "bad_request");
        }
        // As many as are allowed are looked up, and every unknown one is named.
        let answer = terminate(h, &token, "users", &json!({"user_ids": ids[..10_000]})).await;
        answer.client_error(404, "not_found");
        assert_eq!(answer.json()["context_info"]["errors"].as_array().map(Vec::len), Some(10_000));
    }
}

both! {
    async fn accepted_request_is_answered_with_boxs_message_and_a_location(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let ann = h.user("ann").await;
        let sales = h.group("Sales", &[&ann]).await;
        let message = "Request is successful, please check the admin events for the status of the job";
        assert_eq!(message, TERMINATION_ACCEPTED);
        let cases = [
            ("users", json!({"user_ids": [ann]})),
            ("users", json!({"user_logins": ["Ann@ACME.example"]})),
            ("users", json!({"user_ids": [ann], "user_logins": null})),
            ("users", json!({"user_ids": [], "user_logins": ["ann@acme.example"]})),
            ("users", json!({"user_ids": [ann], "user_logins": ["ann@acme.example"], "unheard_of": 1})),
            ("groups", json!({"group_ids": [sales]})),
        ];
        for (kind, body) in cases {
            let answer = terminate(h, &token, kind, &body).await;
            assert_eq!((answer.status, &answer.json()["message"]), (202, &json!(message)), "{body}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            // The Python SDK posts again where it sees one.
            assert_eq!(answer.header("retry-after"), None);
            assert!(answer.header("box-request-id").is_some());
            let location = answer.header("location").expect("a location").to_owned();
            let termination = get(h, &location, &token).await;
            assert_eq!((termination.status, &termination.json()["people"]), (200, &json!(1)));
            let id = location.strip_prefix("/v1/terminations/").expect("a termination").to_owned();
            assert_eq!(termination.json()["id"], json!(id));
            h.run_until_done(&id).await;
        }
    }
}

both! {
    async fn unknown_and_known_ids_together_end_nobody(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        let body = json!({"user_ids": [ann, "404404"], "user_logins": ["ghost@acme.example"]});
        let answer = terminate(h, &token, "users", &body).await;
        answer.client_error(404, "not_found");
        let errors = answer.json()["context_info"]["errors"].clone();
        let named: Vec<&Value> = errors.as_array().expect("errors").iter().map(|e| &e["value"]).collect();
        assert_eq!(named, [&json!("404404"), &json!("ghost@acme.example")]);
        terminate(h, &token, "groups", &json!({"group_ids": ["404404"]})).await.client_error(404, "not_found");
        assert!(h.is_active(&session).await);
    }
}

both! {
    async fn call_without_a_valid_token_is_challenged(h: &mut Harness) {
        let (id, secret) = h.credentials.clone();
        let form = [
            ("grant_type", "client_credentials"), ("client_id", &id), ("client_secret", &secret),
            ("box_subject_type", "enterprise"), ("box_subject_id", &h.enterprise_id),
        ];
        let given = Answer::to(Client::new().post(h.url("/oauth2/token")).form(&form)).await;
        let token = given.json()["access_token"].as_str().expect("a token").to_owned();
        assert_eq!(get(h, "/2.0/users/me", &token).await.status, 200);
        h.advance(3_600_000);
        for path in ["/2.0/users/me", "/2.0/events?stream_type=admin_logs", "/v1/terminations"] {
            let url = h.url(path);
            for request in [
                Client::new().get(&url),
                Client::new().get(&url).header("authorization", "Bearer "),
                Client::new().get(&url).header("authorization", "Basic YWRhOmFkYQ=="),
                Client::new().get(&url).bearer_auth("garbage"),
                Client::new().get(&url).bearer_auth(&token),
            ] {
                let answer = Answer::to(request).await;
                let challenge = answer.header("www-authenticate").expect("a challenge");
                assert!(challenge.starts_with("Bearer realm=\"Service\""), "{challenge}");
                if path.starts_with("/2.0") {
                    // With a body, the older Box SDK for Node keeps a dead token for its hour.
                    assert_eq!((answer.status, answer.text.as_str()), (401, ""), "{path}");
                    assert_eq!((answer.header("content-length"), answer.header("content-type")), (Some("0"), None));
                } else {
                    answer.problem(401, "unauthorized");
                }
            }
        }
    }
}

both! {
    async fn unknown_paths_and_methods_are_answered_in_the_words_of_their_interface(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        get(h, "/2.0/no_such_thing", &token).await.client_error(404, "not_found");
        get(h, "/2.0/users/999/no_such_thing", &token).await.client_error(404, "not_found");
        get(h, "/v1/no_such_thing", &token).await.problem(404, "not_found");
        for (method, path, allowed) in [
            (Method::GET, "/2.0/users/terminate_sessions", "POST"),
            (Method::DELETE, "/2.0/events", "GET"),
            (Method::PUT, "/v1/terminations", "POST"),
        ] {
            let answer = Answer::to(request(h, method.clone(), path, &token)).await;
            if path.starts_with("/2.0") {
                answer.client_error(405, "method_not_allowed");
            } else {
                answer.problem(405, "method_not_allowed");
            }
            // RFC 9110, section 15.5.6: a 405 says what is allowed.
            assert!(answer.header("allow").is_some_and(|a| a.contains(allowed)), "{method} {path}");
        }
    }
}

both! {
    async fn body_over_the_limit_is_refused(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let long = "1".repeat(2 * 1024 * 1024);
        let answer = terminate(h, &token, "users", &json!({"user_ids": [long]})).await;
        assert_eq!((answer.status, &answer.json()["type"]), (413, &json!("error")));
        assert!(!answer.text.contains("11111111"));
        assert_eq!(post(h, "/v1/terminations", &token, format!("\"{long}\"")).await.status, 413);
        let form = Client::new().post(h.url("/oauth2/token")).form(&[("grant_type", &long)]);
        assert_eq!(Answer::to(form).await.status, 413);
    }
}

both! {
    async fn box_version_is_one_that_exists(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let me = || request(h, Method::GET, "/2.0/users/me", &token);
        assert_eq!(Answer::to(me().header("box-version", "2024.0")).await.status, 200);
        for wrong in [
            me().header("box-version", "2019.0"),
            me().header("box-version", ""),
            me().header("box-version", "2024.0,2024.0"),
            me().header("box-version", "2024.0").header("box-version", "2025.0"),
        ] {
            let message = Answer::to(wrong).await.client_error(400, "invalid_api_version");
            assert!(message.ends_with("Supported API versions: [2024.0]."), "{message}");
        }
        let wrong = Answer::to(me().header("box-version", "1999.0")).await.client_error(400, "invalid_api_version");
        let words = "Invalid API version specified in 'box-version' header. Supported API versions: [2024.0].";
        assert_eq!(wrong, words);
    }
}

#[tokio::test]
async fn caller_over_the_quota_waits_whole_seconds() {
    let two = NonZeroU32::new(2).expect("not zero");
    let limits =
        LimitsConfig { calls_per_minute: two, token_requests_per_minute: two, ..LimitsConfig::default() };
    let h = Harness::start_with(Database::Sqlite, limits).await;
    let token = h.token_of(ADA, "").await;
    for _ in 0..2 {
        assert_eq!(get(&h, "/2.0/users/me", &token).await.status, 200);
    }
    let seconds = |answer: &Answer| -> u64 {
        answer.header("retry-after").expect("a wait").parse().expect("whole seconds")
    };
    let refused = terminate(&h, &token, "users", &json!({"user_ids": [h.admin_id]})).await;
    let message = refused.client_error(429, "rate_limit_exceeded");
    assert_eq!(message, "Request rate limit exceeded, please try again later");
    assert!((1..=60).contains(&seconds(&refused)));
    // Somebody else's quota is their own; the token endpoint counts addresses.
    let form = [("grant_type", "client_credentials"), ("client_id", "x"), ("client_secret", "x")];
    for expected in [400, 400, 429] {
        let answer = Answer::to(Client::new().post(h.url("/oauth2/token")).form(&form)).await;
        assert_eq!(answer.status, expected, "{}", answer.text);
        if expected == 429 {
            assert!((1..=60).contains(&seconds(&answer)));
        }
    }
    h.finish().await;
}

both! {
    async fn users_are_paged_by_offset_and_by_marker(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        for name in ["ann", "anton", "bob", "cleo", "dora"] {
            h.user(name).await;
        }
        let all = get(h, "/2.0/users", &token).await.json();
        assert_eq!((&all["total_count"], &all["offset"], &all["limit"]), (&json!(6), &json!(0), &json!(100)));
        let expected = ids(&all, "id");
        assert_eq!(expected.len(), 6, "service accounts are not listed");

        let mut by_offset = Vec::new();
        for offset in [0, 4, 8] {
            let page = get(h, &format!("/2.0/users?limit=4&offset={offset}"), &token).await.json();
            assert_eq!((&page["total_count"], &page["offset"]), (&json!(6), &json!(offset)));
            by_offset.extend(ids(&page, "id"));
        }
        assert_eq!(by_offset, expected);

        // The Python SDK writes booleans with a capital.
        let (mut by_marker, mut path) = (Vec::new(), "/2.0/users?usemarker=True&limit=2".to_owned());
        loop {
            let page = get(h, &path, &token).await.json();
            by_marker.extend(ids(&page, "id"));
            assert!(page.get("total_count").is_none());
            let Some(marker) = page["next_marker"].as_str().filter(|m| !m.is_empty()) else { break };
            path = format!("/2.0/users?usemarker=true&limit=2&marker={marker}");
        }
        assert_eq!(by_marker, expected);

        let found = get(h, "/2.0/users?filter_term=AN", &token).await.json();
        assert_eq!((ids(&found, "name").len(), &found["total_count"]), (2, &json!(2)));
        get(h, "/2.0/users?usemarker=maybe", &token).await.client_error(400, "bad_request");
        assert_eq!(get(h, "/2.0/users?offset=10000", &token).await.status, 200);
    }
}

both! {
    async fn fields_choose_what_is_answered(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let asked = get(h, "/2.0/users/me?fields=role%2Centerprise", &token).await.json();
        let keys: BTreeSet<&str> = asked.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(["enterprise", "id", "login", "name", "role", "type"]));
        let default = get(h, "/2.0/users/me", &token).await.json();
        assert!(default.get("role").is_none() && default["status"] == "active", "{default}");
        let listed = get(h, "/2.0/users?fields=status", &token).await.json()["entries"][0].clone();
        assert_eq!((&listed["status"], listed.get("created_at")), (&json!("active"), None));
    }
}

both! {
    async fn admin_logs_are_paged_without_gap_or_double(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        // Another enterprise's events stand between ours.
        admin::create_enterprise(&h.app, "Other", "eve@other.example", "Eve").await.expect("an enterprise");
        h.group("Sales", &[&ann, &bob]).await;
        let all = get(h, "/2.0/events?stream_type=admin_logs&limit=500", &token).await.json();
        let expected = ids(&all, "event_id");
        assert_eq!(all["chunk_size"], json!(expected.len()));

        for stream in ["admin_logs", "admin_logs_streaming"] {
            let (mut seen, mut position) = (Vec::new(), "0".to_owned());
            loop {
                let path = format!("/2.0/events?stream_type={stream}&limit=2&stream_position={position}");
                let page = get(h, &path, &token).await.json();
                position = page["next_stream_position"].as_str().expect("a position").to_owned();
                let entries = ids(&page, "event_id");
                assert!(entries.len() <= 2);
                if entries.is_empty() {
                    break;
                }
                seen.extend(entries);
            }
            assert_eq!(seen, expected, "{stream}");
            let now = get(h, &format!("/2.0/events?stream_type={stream}&stream_position=now"), &token).await.json();
            assert_eq!((&now["entries"], &now["next_stream_position"]), (&json!([]), &json!(position)));
        }

        // What happens next is all that the position now is followed by.
        let position = all["next_stream_position"].as_str().expect("a position");
        let eve = h.user("eve").await;
        let next = get(h, &format!("/2.0/events?stream_type=admin_logs&stream_position={position}"), &token).await.json();
        assert_eq!(next["entries"].as_array().map(Vec::len), Some(1));
        let event = &next["entries"][0];
        assert_eq!((&event["type"], &event["event_type"]), (&json!("event"), &json!("NEW_USER")));
        assert_eq!((&event["source"]["id"], &event["created_by"]["id"]), (&json!(eve), &json!(h.admin_id)));
        assert_eq!(event["created_at"], json!("2026-01-02T03:04:05Z"));
    }
}

both! {
    async fn admin_logs_are_filtered_by_type_and_time(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        h.advance(60_000);
        let ann = h.user("ann").await;
        h.advance(60_000);
        h.group("Sales", &[&ann]).await;
        let types = async |query: &str| {
            let page = get(h, &format!("/2.0/events?stream_type={query}"), &token).await;
            assert_eq!(page.status, 200, "{}", page.text);
            ids(&page.json(), "event_type").join(" ")
        };
        assert_eq!(types("admin_logs&event_type=GROUP_CREATION%2CGROUP_ADD_USER").await, "GROUP_CREATION GROUP_ADD_USER");
        assert_eq!(types("admin_logs_streaming&event_type=GROUP_CREATION").await, "GROUP_CREATION");
        assert_eq!(types("admin_logs&event_type=LOGIN,FAILED_LOGIN").await, "");
        // As the Python SDK and as the Node SDK write an instant.
        let (after, before) = ("created_after=2026-01-02T03:05:00Z", "created_before=2026-01-02T03%3A06%3A00%2B00%3A00");
        assert_eq!(types(&format!("admin_logs&{after}&{before}")).await, "NEW_USER");
        assert_eq!(types(&format!("admin_logs&{after}")).await, "NEW_USER GROUP_CREATION GROUP_ADD_USER");
        assert_eq!(types(&format!("admin_logs_streaming&{after}&{before}&event_type=GROUP_CREATION")).await, "GROUP_CREATION");
        for query in [
            "", "stream_type=all", "stream_type=changes", "stream_type=sync", "stream_type=ADMIN",
            "stream_type=admin_logs&stream_position=yesterday", "stream_type=admin_logs&stream_position=-1",
            "stream_type=admin_logs&created_after=yesterday",
        ] {
            get(h, &format!("/2.0/events?{query}"), &token).await.client_error(400, "bad_request");
        }
    }
}

both! {
    async fn no_error_repeats_a_token_or_a_secret(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        h.user("ann").await;
        let weak = h.token_of("ann@acme.example", "manage_groups").await;
        let (id, secret) = h.credentials.clone();
        let url = |path: &str| h.url(path);
        let requests = [
            request(h, Method::GET, "/2.0/users/1", &weak),
            request(h, Method::GET, "/2.0/users/1", &token),
            request(h, Method::POST, "/2.0/users/terminate_sessions", &weak).body(r#"{"user_ids": ["1"]}"#),
            request(h, Method::POST, "/2.0/groups", &token).body(format!("{{\"access_token\": \"{token}\"")),
            request(h, Method::GET, &format!("/2.0/users?access_token={token}&access_token={token}"), &weak),
            request(h, Method::POST, "/oauth2/introspect", &token).form(&[("token", &token)]),
            request(h, Method::GET, "/v1/terminations/t_0", &token),
            request(h, Method::GET, "/2.0/users/me", &format!("{token}x")),
            Client::new().get(url("/2.0/users/me")).header("authorization", format!("Token {token}")),
            Client::new().post(url("/oauth2/token")).form(&[("client_id", "nobody"), ("client_secret", &secret)]),
            Client::new().post(url("/oauth2/token")).body(format!("client_id={id}&client_secret={secret}")),
            Client::new().post(url("/oauth2/revoke")).form(&[("client_secret", &secret), ("token", &token)]),
        ];
        for (n, sent) in requests.into_iter().enumerate() {
            let answer = Answer::to(sent).await;
            assert!((400..500).contains(&answer.status), "request {n}: {} {}", answer.status, answer.text);
            let said = format!("{} {:?}", answer.text, answer.headers);
            for hidden in [&token, &weak, &secret] {
                assert!(!said.contains(hidden), "request {n}: {said}");
            }
        }
    }
}

both! {
    async fn nul_in_any_input_is_the_callers_error(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let nul = "a\0b";
        let create = CreateUser { name: nul.to_owned(), login: Some("n@acme.example".to_owned()), ..CreateUser::default() };
        assert_eq!(h.admin.create_user(&create).await.expect_err("no such name").status(), Some(400));
        let (id, secret) = h.credentials.clone();
        let form = [
            ("grant_type", "client_credentials"), ("client_id", &id), ("client_secret", &secret),
            ("box_subject_type", "user"), ("box_subject_id", nul),
        ];
        let json = |path: &str, body: Value| request(h, Method::POST, path, &token).json(&body);
        let requests = [
            request(h, Method::GET, "/2.0/users/a%00b", &token),
            request(h, Method::DELETE, "/2.0/groups/a%00b", &token),
            request(h, Method::GET, "/v1/terminations/a%00b", &token),
            request(h, Method::GET, "/2.0/users?filter_term=a%00b", &token),
            json("/2.0/users/terminate_sessions", json!({"user_ids": [nul]})),
            json("/2.0/users/terminate_sessions", json!({"user_logins": [nul]})),
            json("/2.0/groups/terminate_sessions", json!({"group_ids": [nul]})),
            json("/2.0/users", json!({"name": "n", "login": "n@acme.example", "external_app_user_id": nul})),
            json("/2.0/group_memberships", json!({"user": {"id": nul}, "group": {"id": nul}})),
            Client::new().post(h.url("/oauth2/token")).form(&form),
            json("/v1/terminations", json!({"user_ids": [h.admin_id], "reason": nul})),
            Client::new().post(h.url("/oauth2/token")).form(&[("grant_type", "client_credentials"), ("client_id", nul), ("client_secret", nul), ("box_subject_type", "user"), ("box_subject_id", "1")]),
        ];
        let mut wrong = Vec::new();
        for (n, sent) in requests.into_iter().enumerate() {
            let answer = Answer::to(sent).await;
            if !(400..500).contains(&answer.status) {
                wrong.push(format!("request {n}: {} {}", answer.status, answer.text));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
