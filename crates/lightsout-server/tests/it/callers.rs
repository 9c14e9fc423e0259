//! What real clients send and expect besides Box's document: headers that they add, bodies that they read.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use lightsout_client::EventQuery;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::harness::both;
use crate::wire::Answer;

const ADA: &str = "ada@acme.example";

both! {
    async fn token_beside_the_forms_credentials_is_not_looked_at(h: &mut Harness) {
        let (id, secret) = h.credentials.clone();
        let post = |path: &str, authorization: String, form: &[(&str, &str)]| {
            Answer::to(Client::new().post(h.url(path)).header("authorization", authorization).form(form))
        };
        let own = h.app_token().await;
        let asking = [
            ("grant_type", "client_credentials"), ("client_id", &id), ("client_secret", &secret),
            ("box_subject_type", "enterprise"), ("box_subject_id", &h.enterprise_id),
        ];
        let token = post("/oauth2/token", format!("Bearer {own}"), &asking).await.json();
        let token = token["access_token"].as_str().expect("a token").to_owned();
        for authorization in ["Bearer garbage", "Digest x", "x"] {
            assert_eq!(post("/oauth2/token", authorization.to_owned(), &asking).await.status, 200, "{authorization}");
        }
        let me = async |token: &str| Answer::to(Client::new().get(h.url("/2.0/users/me")).bearer_auth(token)).await.status;
        assert_eq!(me(&token).await, 200);
        let form = [("client_id", id.as_str()), ("client_secret", &secret), ("token", &token)];
        let revoked = post("/oauth2/revoke", format!("Bearer {token}"), &form).await;
        assert_eq!((revoked.status, revoked.text.as_str()), (200, ""));
        assert_eq!(me(&token).await, 401);
        assert_eq!(me(&own).await, 200);

        // What is no token beside credentials is still refused.
        let wrong = [("client_id", id.as_str()), ("client_secret", "wrong"), ("token", &own)];
        assert_eq!(post("/oauth2/revoke", format!("Bearer {own}"), &wrong).await.json()["error"], "invalid_client");
        let alone = post("/oauth2/revoke", format!("Bearer {own}"), &[("token", &own)]).await;
        assert_eq!((alone.status, &alone.json()["error"]), (401, &json!("invalid_client")));
        assert_eq!(me(&own).await, 200);
    }
}

both! {
    async fn base_address_may_end_with_a_slash(h: &mut Harness) {
        let ann = h.user("ann").await;
        let token = h.token_of(ADA, "").await;
        for (method, path, expected) in [
            (Method::GET, "//2.0/users/me", 200),
            (Method::GET, "/2.0//users/me?fields=id", 200),
            (Method::GET, "///2.0///users///me", 200),
            (Method::POST, "/2.0//users/terminate_sessions", 202),
            (Method::POST, "//oauth2/token", 400),
            (Method::GET, "//v1/terminations", 200),
            // A proxy in front may keep these to itself by their paths.
            (Method::GET, "//metrics", 404),
            (Method::GET, "//healthz", 404),
            (Method::GET, "//console", 404),
        ] {
            let request = Client::new().request(method.clone(), h.url(path)).bearer_auth(&token);
            let answer = Answer::to(request.json(&json!({"user_ids": [ann]}))).await;
            assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
            if expected == 202 {
                h.run_until_done(answer.json()["termination_id"].as_str().expect("an id")).await;
            }
        }
    }
}

both! {
    async fn acceptance_names_the_termination_in_its_body(h: &mut Harness) {
        let ann = h.user("ann").await;
        let group = h.group("Sales", &[&ann]).await;
        let token = h.token_of(ADA, "").await;
        for (path, body) in [("users", json!({"user_ids": [ann]})), ("groups", json!({"group_ids": [group]}))] {
            let request = Client::new().post(h.url(&format!("/2.0/{path}/terminate_sessions"))).bearer_auth(&token);
            let answer = Answer::to(request.json(&body)).await;
            let accepted = answer.json();
            let id = accepted["termination_id"].as_str().expect("an id");
            assert_eq!(answer.header("location"), Some(format!("/v1/terminations/{id}").as_str()));
            h.run_until_done(id).await;
        }
    }
}

both! {
    async fn event_is_never_by_nobody(h: &mut Harness) {
        let ann = h.user("ann").await;
        let termination = h.terminate(&ann).await;
        h.run_until_done(&termination).await;
        let token = h.token_of(ADA, "").await;
        let request = Client::new().get(h.url("/2.0/events?stream_type=admin_logs&stream_position=0&limit=500"));
        let page = Answer::to(request.bearer_auth(&token)).await.json();
        let events = page["entries"].as_array().expect("entries");
        let unknown = json!({"type": "user", "id": "2", "name": "", "login": ""});
        for event in events {
            assert!(event["created_by"]["id"].is_string(), "{event}");
            let by_nobody = ["APP_CREATED", "SESSION_TERMINATION_OUTCOME", "SESSION_TERMINATION_DONE"];
            let by_nobody = by_nobody.contains(&event["event_type"].as_str().expect("a type"));
            assert_eq!(event["created_by"] == unknown, by_nobody || event["additional_details"]["by"] == "operator", "{event}");
        }
        let read = h.admin.event_page(&EventQuery::history()).await.expect("typed");
        assert!(read.entries.iter().all(|event| event.created_by.is_some()));
    }
}

both! {
    async fn refusal_names_the_field_and_repeats_nothing_of_what_was_sent(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let own = h.app_token().await;
        let session = |field: &str, value: &str| json!({"sessions": [{"login": "x", field: value}]});
        for (path, token, body, name, message) in [
            ("/2.0/group_memberships", &token, json!({"user": {"id": "1"}, "group": {"id": "2"}, "role": "SECRET, expected PWN"}), "role", "must be `member` or `admin`"),
            ("/2.0/group_memberships", &token, json!({"user": "SECRET, expected PWN", "group": {"id": "2"}}), "user", "must be an object"),
            ("/2.0/group_memberships", &token, json!({"group": {"id": "2"}}), "user", "is required"),
            ("/2.0/group_memberships", &token, json!({"user": {}, "group": {"id": "2"}}), "user.id", "is required"),
            ("/v1/terminations", &token, json!({"user_ids": "SECRET, expected PWN"}), "user_ids", "must be a list"),
            ("/v1/sessions", &own, json!({}), "sessions", "is required"),
            ("/v1/sessions", &own, session("began_at", "2026-01-01T00:00:00Z SECRET, expected PWN"), "sessions[0].began_at", "must be an RFC 3339 instant such as 2026-01-02T03:04:05Z"),
            ("/v1/sessions", &own, session("expires_at", "SECRET"), "sessions[0].expires_at", "must be an RFC 3339 instant such as 2026-01-02T03:04:05Z"),
        ] {
            let answer = Answer::to(Client::new().post(h.url(path)).bearer_auth(token).json(&body)).await;
            assert!(!answer.text.contains("SECRET") && !answer.text.contains("PWN"), "{}", answer.text);
            let error = &answer.json()["context_info"]["errors"][0];
            assert_eq!((answer.status, &error["name"], &error["message"]), (400, &json!(name), &json!(message)), "{}", answer.text);
        }
        for (form, name, message) in [
            (vec![("token", "a"), ("token", "b")], "token", "is given twice"),
            (vec![("token", "a"), ("client_secret", "b"), ("client_secret", "c")], "client_secret", "is given twice"),
        ] {
            let request = Client::new().post(h.url("/oauth2/introspect")).bearer_auth(&own).form(&form);
            let body = Answer::to(request).await.json();
            assert_eq!(body["error_description"], format!("{name} {message}"), "{body}");
        }
    }
}

/// What the service logs, line by line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("UTF-8")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

both! {
    async fn request_id_of_a_500_leads_to_its_cause_in_one_line(h: &mut Harness) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let token = h.token_of(ADA, "").await;
        let mut tx = h.app.db.begin().await.expect("a transaction");
        tx.execute("ALTER TABLE groups RENAME TO groups_that_are_away", vec![]).await.expect("renamed");
        tx.commit().await.expect("committed");
        for (method, path) in [(Method::GET, "/2.0/groups"), (Method::POST, "/2.0/groups")] {
            let request = Client::new().request(method, h.url(path)).bearer_auth(&token);
            let answer = Answer::to(request.json(&json!({"name": "Sales"}))).await;
            let body: Value = answer.json();
            assert_eq!((answer.status, &body["code"]), (500, &json!("internal_server_error")));
            assert!(!answer.text.contains("groups_that"), "the caller learns nothing of the cause");
            let id = body["request_id"].as_str().expect("an id").to_owned();
            let text = log.text();
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(&id)).collect();
            assert_eq!(lines.len(), 1, "{text}");
            assert!(lines[0].contains("ERROR") && lines[0].contains("groups") && lines[0].contains(path), "{text}");
            assert!(lines[0].contains("the database refused the statement: "), "{text}");
        }
    }
}
