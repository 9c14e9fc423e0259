//! The barrier feed on the wire: snapshot, waiting answers, streams.

use std::time::Duration;

use lightsout_client::api::Barriers;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::harness::{Harness, both, words};

async fn get(h: &Harness, query: &str, token: &str) -> Response {
    let url = h.url(&format!("/v1/barriers{query}"));
    reqwest::Client::new().get(url).bearer_auth(token).send().await.expect("an answer")
}

async fn feed(h: &Harness, query: &str) -> Barriers {
    let answer = get(h, query, &h.app_token().await).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.expect("barriers")
}

fn users(barriers: &Barriers) -> Vec<&str> {
    barriers.barriers.iter().map(|b| b.user_id.as_str()).collect()
}

/// A stream of the feed, read message by message.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(h: &Harness, token: &str, last_event_id: Option<i64>) -> Self {
        let request = reqwest::Client::new().get(h.url("/v1/barriers")).bearer_auth(token);
        let mut request = request.header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id.to_string());
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next message: its kind, its id, its data; none at the end of the stream.
    async fn next(&mut self) -> Option<(String, i64, Value)> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = message.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_else(|| panic!("{name} in {message}")).trim().to_owned()
                };
                let (kind, id) = (field("event:"), field("id:").parse().expect("a position"));
                let data = serde_json::from_str(&field("data:")).expect("JSON");
                self.text = rest.to_owned();
                return Some((kind, id, data));
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk());
            let chunk = chunk.await.expect("a message in time").expect("the stream is read")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// The next message that is no heartbeat.
    async fn next_barriers(&mut self) -> (i64, Barriers) {
        loop {
            let (kind, id, data) = self.next().await.expect("the stream goes on");
            if kind == "barriers" {
                return (id, serde_json::from_value(data).expect("barriers"));
            }
        }
    }
}

both! {
    async fn a_newcomer_gets_what_matters_and_a_follower_what_is_new(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let nothing = feed(h, "").await;
        assert!(nothing.barriers.is_empty() && nothing.position > 0);
        let session = h.sign_in(&bob).await;
        let first = h.terminate(&ann).await;
        let second = h.terminate(&bob).await;
        let later = h.sign_in(&bob).await;
        h.registrar.end_session(&later.id.0).await.expect_err("signed in at the instant of the cutoff");
        h.advance(1_000);
        let later = h.sign_in(&bob).await;
        h.registrar.end_session(&later.id.0).await.expect("ended");
        let all = feed(h, "").await;
        assert_eq!(users(&all), [ann.as_str(), bob.as_str()]);
        assert_eq!(all.barriers[1].login.as_deref(), Some("bob@acme.example"));
        assert_eq!(all.barriers[1].cutoff.as_millisecond(), crate::harness::START_MS);
        assert_eq!(all.ended_sessions.len(), 1);
        assert_eq!(all.ended_sessions[0].id, later.id);
        assert_eq!(all.ended_sessions[0].expires_at, later.expires_at);
        let news = feed(h, &format!("?after={}", nothing.position)).await;
        assert_eq!(news, all);
        assert_eq!(users(&feed(h, &format!("?after={}", all.position)).await), [""; 0]);
        assert!(!h.is_active(&session).await);
        h.run_until_done(&first).await;
        h.run_until_done(&second).await;
    }
}

both! {
    async fn a_waiting_answer_comes_with_the_termination(h: &mut Harness) {
        let ann = h.user("ann").await;
        let position = feed(h, "").await.position;
        let query = format!("?after={position}&wait_s=50");
        let (news, accepted) = tokio::join!(feed(h, &query), h.terminate(&ann));
        assert_eq!(users(&news), [ann.as_str()]);
        assert!(news.position > position);
        h.run_until_done(&accepted).await;
    }
}

both! {
    async fn a_stream_tells_each_position_once_and_resumes(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let token = h.app_token().await;
        let mut stream = Stream::open(h, &token, None).await;
        let (kind, start, data) = stream.next().await.expect("a message");
        assert_eq!((kind.as_str(), data["position"].as_i64()), ("heartbeat", Some(start)), "caught up");
        let first = h.terminate(&ann).await;
        let (position, news) = stream.next_barriers().await;
        assert_eq!((users(&news), news.position), (vec![ann.as_str()], position));
        drop(stream);
        let second = h.terminate(&bob).await;
        let mut stream = Stream::open(h, &token, Some(position)).await;
        let (next, news) = stream.next_barriers().await;
        assert_eq!(users(&news), [bob.as_str()]);
        assert!(next > position);
        let (kind, id, _) = stream.next().await.expect("a message");
        assert!(kind == "heartbeat" && id >= next);
        // A position that the log has never reached is that of another log: everything is told.
        let mut stream = Stream::open(h, &token, Some(1_000_000)).await;
        let (mut told, mut messages) = (Vec::new(), 0);
        while told.len() < 2 && messages < 3 {
            let (_, news) = stream.next_barriers().await;
            told.extend(users(&news).into_iter().map(ToOwned::to_owned));
            messages += 1;
        }
        assert_eq!(told, [ann, bob]);
        h.run_until_done(&first).await;
        h.run_until_done(&second).await;
    }
}

both! {
    async fn a_large_group_comes_in_messages_of_which_the_last_has_the_position(h: &mut Harness) {
        let lines: String = (0..2_300).map(|n| format!("p{n}@acme.example,P{n},Everybody\n")).collect();
        let csv = format!("login,name,groups\n{lines}");
        let imported = lightsout_server::ops::import::import(&h.app, &[], &h.enterprise_id, csv.as_bytes()).await;
        assert!(imported.expect("imported").rejected.is_empty());
        let token = h.app_token().await;
        let mut stream = Stream::open(h, &token, None).await;
        let (_, start, _) = stream.next().await.expect("a heartbeat");
        let group = h.admin.groups("Everybody", 0, 1).await.expect("found").entries.remove(0).id.0;
        let request = lightsout_client::api::CreateTermination {
            group_ids: vec![group.as_str().into()],
            ..Default::default()
        };
        let accepted = h.admin.terminate(&request, None).await.expect("accepted").id.0;
        let mut told = std::collections::BTreeSet::new();
        let mut positions = Vec::new();
        for _ in 0..3 {
            let (id, news) = stream.next_barriers().await;
            assert_eq!(id, news.position);
            assert!(news.barriers.len() <= 1_000);
            told.extend(users(&news).into_iter().map(ToOwned::to_owned));
            positions.push(id);
        }
        assert_eq!(told.len(), 2_300);
        assert_eq!(positions, [positions[0], positions[0], positions[0] + 1]);
        assert!(positions[0] >= start, "a position never falls");
        // A node that starts later tells its beginning so that whoever got a part begins again.
        let (node, _) = h.other_node().await;
        let batches = node.index.feed_after(&h.enterprise_id, 0).expect("loaded");
        let positions: Vec<i64> =
            batches.iter().flat_map(|b| &b.messages).map(|m| m.barriers.position).collect();
        assert_eq!(positions, [0, 0, node.index.position()]);
        h.run_until_done(&accepted).await;
    }
}

both! {
    async fn the_feed_is_for_apps_with_the_right_and_their_own_enterprise(h: &mut Harness) {
        let ann = h.user("ann").await;
        let accepted = h.terminate(&ann).await;
        let anns = h.token_of("ada@acme.example", "").await;
        assert_eq!(get(h, "", &anns).await.status(), StatusCode::FORBIDDEN);
        for wrong in ["?after=-1", "?after=x", "?wait_s=61", "?after=1&after=2"] {
            assert_eq!(get(h, wrong, &h.app_token().await).await.status(), StatusCode::BAD_REQUEST, "{wrong}");
        }
        let (other, _) = lightsout_server::ops::admin::create_enterprise(&h.app, "Other", "o@other.example", "O")
            .await
            .expect("an enterprise");
        let new = lightsout_server::ops::admin::NewApp {
            enterprise_id: other.0.clone(),
            name: "theirs".to_owned(),
            rights: words("feed"),
            ..Default::default()
        };
        let (id, secret) = lightsout_server::ops::admin::create_app(&h.app, &new).await.expect("an app");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id.as_str()),
            ("client_secret", &secret),
            ("box_subject_type", "enterprise"),
            ("box_subject_id", other.as_str()),
        ];
        let reply = reqwest::Client::new().post(h.url("/oauth2/token")).form(&form).send().await;
        let token: Value = reply.expect("an answer").json().await.expect("a token");
        let theirs = get(h, "", token["access_token"].as_str().expect("a token")).await;
        let theirs: Barriers = theirs.json().await.expect("barriers");
        assert!(theirs.barriers.is_empty(), "another enterprise's people are nobody's business");
        h.run_until_done(&accepted).await;
    }
}

both! {
    async fn a_stream_ends_with_its_token(h: &mut Harness) {
        let token = h.app_token().await;
        let mut stream = Stream::open(h, &token, None).await;
        stream.next().await.expect("a heartbeat");
        let form = [("client_id", &h.credentials.0), ("client_secret", &h.credentials.1), ("token", &token)];
        let revoke = reqwest::Client::new().post(h.url("/oauth2/revoke")).form(&form).send().await;
        assert_eq!(revoke.expect("an answer").status(), StatusCode::OK);
        while stream.next().await.is_some() {}
    }
}

both! {
    async fn a_deleted_person_is_told_to_newcomers_by_the_names_that_apps_know(h: &mut Harness) {
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        h.admin.delete_user(&ann).await.expect("deleted");
        h.run_jobs().await;
        h.advance(40_000);
        h.run_jobs().await;
        let (node, _) = h.other_node().await;
        let batches = node.index.feed_after(&h.enterprise_id, 0).expect("loaded");
        let told: Vec<_> = batches.iter().flat_map(|b| &b.messages).flat_map(|m| &m.barriers.barriers).collect();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].user_id.as_str(), told[0].login.as_deref()), (ann.as_str(), Some("ann@acme.example")));
        assert!(!h.is_active(&session).await);
        let past = 31 * 86_400_000;
        h.advance(past);
        let (node, _) = h.other_node().await;
        assert!(node.index.feed_after(&h.enterprise_id, 0).expect("loaded").is_empty(), "older than any session");
    }
}
