//! Where a list goes on: markers, positions and offsets, and what is said of those that are wrong.

use lightsout_server::ops::admin;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::harness::both;

const ADA: &str = "ada@acme.example";

struct Reader {
    url: String,
    token: String,
}

impl Reader {
    async fn get(&self, path: &str) -> (u16, Value) {
        let request = reqwest::Client::new().get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
    }

    async fn page(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Asserts that a parameter is refused by name, with its own code.
    async fn refused(&self, path: &str, code: &str, name: &str) -> String {
        let (status, body) = self.get(path).await;
        assert_eq!((status, &body["code"]), (400, &json!(code)), "{path}: {body}");
        assert_eq!(body["context_info"]["errors"][0]["name"], name, "{path}");
        body["message"].as_str().or(body["detail"].as_str()).expect("a message").to_owned()
    }

    /// Asserts that no marker but those of this list is taken, and that an empty one is the start.
    async fn takes_its_own_markers_only(&self, path: &str, foreign: &[&str]) -> String {
        let first = self.page(path).await;
        assert_eq!(self.page(&format!("{path}&marker=")).await, first, "an empty marker is the start");
        let marker = first["next_marker"].as_str().expect("a marker").to_owned();
        let second = self.page(&format!("{path}&marker={marker}")).await;
        assert_ne!(second["entries"], first["entries"]);
        let last = marker.chars().last().expect("not empty");
        let other = if last == 'A' { 'B' } else { 'A' };
        let damaged = [
            marker[1..].to_owned(),
            marker[..marker.len() - 1].to_owned(),
            format!("{}{other}", &marker[..marker.len() - 1]),
            format!("{marker}A"),
            marker.to_lowercase(),
            "x".to_owned(),
            "0".to_owned(),
            "1.registry".to_owned(),
            "999999999999999".to_owned(),
            first["entries"][0]["id"].as_str().unwrap_or("null").to_owned(),
        ];
        for wrong in damaged.iter().map(String::as_str).chain(foreign.iter().copied()) {
            let said = self.refused(&format!("{path}&marker={wrong}"), "bad_request", "marker").await;
            assert_eq!(
                said,
                "marker is invalid; send next_marker of the page before, or start the list again"
            );
        }
        marker
    }
}

both! {
    async fn damaged_and_foreign_markers_are_refused(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        for user in [&ann, &ann, &bob, &bob] {
            h.sign_in(user).await;
        }
        let (first, second) = (h.terminate(&ann).await, h.terminate(&ann).await);
        h.run_until_done(&first).await;
        h.run_until_done(&second).await;
        h.sign_in(&ann).await;
        h.sign_in(&ann).await;
        let ada = Reader { url: h.url(""), token: h.token_of(ADA, "").await };
        let users = ada.takes_its_own_markers_only("/2.0/users?usemarker=true&limit=1", &[]).await;
        let terminations = ada.takes_its_own_markers_only("/v1/terminations?limit=1", &[&users]).await;
        let outcomes = |id: &str| format!("/v1/terminations/{id}/outcomes?limit=1");
        let of_first = ada.takes_its_own_markers_only(&outcomes(&first), &[&users, &terminations]).await;
        ada.takes_its_own_markers_only(&outcomes(&second), &[&of_first]).await;
        let app = Reader { url: h.url(""), token: h.app_token().await };
        let sessions = |user: &str| format!("/v1/sessions?limit=1&user_id={user}");
        let of_ann = app.takes_its_own_markers_only(&sessions(&ann), &[&users]).await;
        app.takes_its_own_markers_only(&sessions(&bob), &[&of_ann]).await;

        // Another enterprise's list is another list.
        admin::create_enterprise(&h.app, "Other", "eve@other.example", "Eve").await.expect("an enterprise");
        let eve = Reader { url: h.url(""), token: h.token_of("eve@other.example", "").await };
        eve.refused(&format!("/2.0/users?usemarker=true&marker={users}"), "bad_request", "marker").await;
        // Without usemarker a marker has no meaning, as on Box.
        assert_eq!(ada.page("/2.0/users?marker=x").await, ada.page("/2.0/users").await);
    }
}

both! {
    async fn damaged_markers_of_the_console_are_a_page_that_says_so(h: &mut Harness) {
        let group = h.group("Sales", &[&h.admin_id]).await;
        let mut browser = Browser::of(h, &h.admin_id.clone()).await;
        for path in [
            "/console/apps".to_owned(), "/console/terminations".to_owned(), format!("/console/groups/{group}"),
            format!("/console/people/{}", h.admin_id),
        ] {
            browser.get(&format!("{path}?after=")).await.is(200);
            for wrong in ["x", "1", "500000000000200", "MTIz"] {
                browser.get(&format!("{path}?after={wrong}")).await.is(400).says("is invalid").says("</html>");
            }
        }
        browser.get("/console/log?before=x").await.is(400).says("before must be a whole number").says("</html>");
        browser.get(&format!("/console/people/{}?groups=x", h.admin_id)).await.is(400).says("groups must be a whole number");
    }
}

both! {
    async fn null_zero_and_absent_are_the_start_of_the_events(h: &mut Harness) {
        h.user("ann").await;
        let ada = Reader { url: h.url(""), token: h.token_of(ADA, "").await };
        for stream in ["admin_logs", "admin_logs_streaming"] {
            let path = format!("/2.0/events?stream_type={stream}");
            let all = ada.page(&path).await;
            assert!(all["chunk_size"].as_i64() > Some(1), "{all}");
            for start in ["0", "null", ""] {
                assert_eq!(ada.page(&format!("{path}&stream_position={start}")).await, all, "{start:?}");
            }
            let next: i64 = all["next_stream_position"].as_str().expect("a position").parse().expect("a number");
            assert_eq!(ada.page(&format!("{path}&stream_position={next}")).await["chunk_size"], 0);
            for wrong in ["-1", "x", "1.5", "nul", "NOW", "9223372036854775808", "0x1", "1,2"] {
                ada.refused(&format!("{path}&stream_position={wrong}"), "bad_request", "stream_position").await;
            }
            let ahead = format!("{path}&stream_position={}", next + 1);
            let said = ada.refused(&ahead, "bad_request", "stream_position").await;
            assert_eq!(said, "stream_position is ahead of the event log; start from the beginning");
        }
    }
}

both! {
    async fn damaged_event_ids_are_refused(h: &mut Harness) {
        let ann = h.user("ann").await;
        let id = h.terminate(&ann).await;
        h.run_until_done(&id).await;
        let token = h.token_of(ADA, "").await;
        let app = h.app_token().await;
        let head = h.app.db.event_head().await.expect("the head").position;
        let get = async |path: &str, token: &str, last: &str| {
            let request = reqwest::Client::new().get(h.url(path)).bearer_auth(token).header("last-event-id", last);
            let response = request.send().await.expect("an answer");
            (response.status().as_u16(), response.text().await.expect("a body"))
        };
        let events = format!("/v1/terminations/{id}/events");
        let all = get(&events, &token, "").await;
        assert_eq!(all, get(&events, &token, "0").await);
        assert!(all.0 == 200 && all.1.contains("SESSION_TERMINATION_DONE"), "{all:?}");
        for wrong in ["x", "-1", "1.5", "1 2", "9223372036854775808", &(head + 1).to_string()] {
            let (status, body) = get(&events, &token, wrong).await;
            assert!(status == 400 && body.contains("Last-Event-ID"), "{wrong}: {status} {body}");
        }
        for wrong in ["x", "-1", "1.5"] {
            let (status, body) = get("/v1/barriers", &app, wrong).await;
            assert!(status == 400 && body.contains("Last-Event-ID"), "{wrong}: {status} {body}");
        }
        assert_eq!(get("/v1/barriers", &app, "").await, get("/v1/barriers", &app, "0").await);
        let reader = Reader { url: h.url(""), token: app };
        for wrong in ["x", "-1", "1.5", "null"] {
            reader.refused(&format!("/v1/barriers?after={wrong}"), "bad_request", "after").await;
        }
        // Positions that the log never reached are answered with everything: a database was restored.
        let everything = reader.page("/v1/barriers").await;
        assert_eq!(reader.page(&format!("/v1/barriers?after={}", head + 100)).await, everything);
    }
}

both! {
    async fn wrong_limits_and_offsets_have_their_own_codes(h: &mut Harness) {
        let ann = h.user("ann").await;
        let group = h.group("Sales", &[&ann]).await;
        let id = h.terminate(&ann).await;
        h.run_until_done(&id).await;
        let ada = Reader { url: h.url(""), token: h.token_of(ADA, "").await };
        let app = Reader { url: h.url(""), token: h.app_token().await };
        let memberships = [format!("/2.0/groups/{group}/memberships?"), format!("/2.0/users/{ann}/memberships?")];
        let lists = [("/2.0/users?", 1_000), ("/2.0/groups?", 1_000), (&memberships[0], 1_000), (&memberships[1], 1_000)];
        for (path, max) in lists {
            ada.page(&format!("{path}limit={max}&offset=10000")).await;
            for wrong in ["-1", "x", "1.5", "10001", "99999999999999999999"] {
                let said = ada.refused(&format!("{path}offset={wrong}"), "invalid_offset", "offset").await;
                assert_eq!(said, "offset must be a whole number from 0 to 10000");
            }
        }
        let outcomes = format!("/v1/terminations/{id}/outcomes?");
        let sessions = format!("/v1/sessions?user_id={ann}&");
        let more = [
            (&ada, "/2.0/events?stream_type=admin_logs&", 500), (&ada, "/v1/terminations?", 100),
            (&ada, &*outcomes, 1_000), (&app, &*sessions, 1_000),
        ];
        for (reader, path, max) in lists.map(|(path, max)| (&ada, path, max)).into_iter().chain(more) {
            reader.page(&format!("{path}limit={max}")).await;
            for wrong in ["0", "-1", "x", "1.5", &(max + 1).to_string()] {
                let said = reader.refused(&format!("{path}limit={wrong}"), "invalid_limit", "limit").await;
                assert_eq!(said, format!("limit must be a whole number from 1 to {max}"));
            }
            reader.refused(&format!("{path}limit=1&limit=2"), "invalid_limit", "limit").await;
        }
        assert_eq!(ada.get("/v1/terminations?limit=0").await.1["type"], "urn:lightsout:problem:invalid_limit");
    }
}
