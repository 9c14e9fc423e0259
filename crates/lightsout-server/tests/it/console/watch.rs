//! A termination's page: who may see it, how it moves, what it says, what can be downloaded.

use std::time::Duration;

use lightsout_client::api::{CreateTermination, CreateUser, Role};
use lightsout_server::ops::admin;
use lightsout_server::ops::import::import;
use reqwest::{Method, Response};

use crate::browser::Browser;
use crate::harness::{Harness, QUIET_MS, both};

/// A stream of server-sent events.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(browser: &Browser, path: &str) -> Self {
        let response = browser.request(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next message: its event and its data; none at the end of the stream.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = message.lines().filter_map(|line| line.strip_prefix(name));
                    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
                };
                let found = (field("event:"), field("data:"));
                self.text = rest.to_owned();
                if !found.0.is_empty() {
                    return Some(found);
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await;
            match chunk.expect("a message in time").expect("a readable stream") {
                Some(bytes) => self.text.push_str(std::str::from_utf8(&bytes).expect("text")),
                None => return None,
            }
        }
    }

    /// Reads on to a message of this event that holds a text.
    async fn until(&mut self, event: &str, text: &str) -> String {
        loop {
            let (found, data) = self.next().await.expect("the stream goes on");
            if found == event && data.contains(text) {
                return data;
            }
        }
    }
}

async fn coadmin(h: &Harness, name: &str) -> String {
    let user = CreateUser {
        name: name.to_owned(),
        login: Some(format!("{name}@acme.example")),
        role: Some(Role::Coadmin),
        ..CreateUser::default()
    };
    h.admin.create_user(&user).await.expect("a coadmin").id.0
}

both! {
    async fn a_termination_is_shown_to_who_asked_and_to_managers_only(h: &mut Harness) {
        let (uma, cleo) = (h.user("uma").await, coadmin(h, "cleo").await);
        let (other, stranger) = admin::create_enterprise(&h.app, "Other", "zoe@other.example", "Zoe")
            .await
            .expect("an enterprise");
        assert_ne!(other.0, h.enterprise_id);
        let id = h.terminate(&uma).await;
        let (page, live) = (format!("/console/terminations/{id}"), format!("/console/terminations/{id}/live"));
        let files = [format!("{page}/outcomes.csv"), format!("{page}/outcomes.json")];
        h.run_until_done(&id).await;
        for reader in [h.admin_id.clone(), cleo] {
            let mut browser = Browser::of(h, &reader).await;
            browser.get(&page).await.is(200).says("data-state=\"done\"").says("ada@acme.example");
            browser.get(&files[0]).await.is(200);
            browser.get("/console/terminations").await.is(200).says(&page);
        }
        for reader in [uma, stranger.0] {
            let mut browser = Browser::of(h, &reader).await;
            for path in [&page, &live, &files[0], &files[1]] {
                browser.get(path).await.is(404).says_not("ada@acme.example");
            }
            browser.get("/console/terminations").await.is(200).says("There is no termination yet that you may read").says_not(&id);
            browser.post(&format!("{page}/retry"), &[]).await.is(404);
        }
        let mut nobody = Browser::new(h);
        for path in [&page, &files[0], &files[1]] {
            nobody.get(path).await.is(303).sends_to("/sign-in?return_to=");
        }
        let mut stream = Stream::open(&nobody, &live).await;
        assert_eq!(stream.next().await.expect("a message").0, "signed_out");
        assert_eq!(stream.next().await, None);
    }
}

both! {
    async fn a_group_admin_sees_what_they_asked_for(h: &mut Harness) {
        let (gus, ann) = (h.user("gus").await, h.user("ann").await);
        let sales = h.group("Sales", &[&ann]).await;
        let appointed = lightsout_client::api::CreateGroupMembership {
            user: lightsout_client::api::Reference { id: gus.clone(), ..Default::default() },
            group: lightsout_client::api::Reference { id: sales.clone(), ..Default::default() },
            role: Some(lightsout_client::api::MembershipRole::Admin),
            configurable_permissions: None,
        };
        h.admin.create_group_membership(&appointed).await.expect("a group admin");
        let client = h.client_of("gus@acme.example", "").await;
        let request = CreateTermination { user_ids: vec![ann.as_str().into()], ..CreateTermination::default() };
        let id = client.terminate(&request, None).await.expect("accepted").id.0;
        h.run_until_done(&id).await;
        let mut browser = Browser::of(h, &gus).await;
        browser.get(&format!("/console/terminations/{id}")).await.is(200).says("data-state=\"done\"");
        browser.get("/console/terminations").await.is(200).says(&id);
        browser.get("/console/log").await.is(403).says("only admins and coadmins");
    }
}

both! {
    async fn the_live_part_is_sent_at_each_change_until_the_end(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        h.shop.set_down(true);
        let id = h.terminate(&ann).await;
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let page = format!("/console/terminations/{id}");
        browser.get(&page).await.is(200)
            .says(&format!("data-follow=\"{page}/live\""))
            .says("data-state=\"working\"")
            .says("nothing is proven yet");
        let mut stream = Stream::open(&browser, &format!("{page}/live")).await;
        let first = stream.next().await.expect("the state");
        assert_eq!(first.0, "state");
        assert!(first.1.starts_with("<section id=\"live\" data-state=\"working\""), "{}", first.1);

        h.run_jobs().await;
        let state = stream.until("state", "does not answer").await;
        assert!(state.contains("is tried again, at the earliest, at") && state.contains("it is switched off"), "{state}");
        assert!(state.contains("ann@acme.example"), "who waits is named: {state}");

        h.shop.set_down(false);
        h.advance(QUIET_MS);
        h.run_jobs().await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        h.advance(QUIET_MS / 2);
        h.run_jobs().await;
        let state = stream.until("state", "Came back").await;
        assert!(!state.contains("Done and proven"), "{state}");
        h.run_until_done(&id).await;
        let state = stream.until("state", "data-state=\"done\"").await;
        assert!(state.contains("Done and proven: 1 session of 1 person ended in 2 systems"), "{state}");
        assert_eq!(stream.next().await.expect("the end").0, "done");
        assert_eq!(stream.next().await, None, "nothing comes after the end");

        // The page of a finished one stands still, and its stream ends at once.
        let shown = browser.get(&page).await;
        shown.is(200).says("Done and proven").says("of the log closed it").says_not("data-follow");
        let mut stream = Stream::open(&browser, &format!("{page}/live")).await;
        assert_eq!(stream.next().await.expect("the state").0, "state");
        assert_eq!(stream.next().await.expect("the end").0, "done");
    }
}

both! {
    async fn whoever_is_ended_while_watching_is_told(h: &mut Harness) {
        let (ann, cleo) = (h.user("ann").await, coadmin(h, "cleo").await);
        h.shop.set_down(true);
        let id = h.terminate(&ann).await;
        let browser = Browser::of(h, &cleo).await;
        let mut stream = Stream::open(&browser, &format!("/console/terminations/{id}/live")).await;
        stream.until("state", "working").await;
        h.advance(1);
        let end = h.terminate(&cleo).await;
        stream.until("signed_out", "").await;
        assert_eq!(stream.next().await, None);
        h.shop.set_down(false);
        h.run_until_done(&id).await;
        h.run_until_done(&end).await;
    }
}

both! {
    async fn whoever_may_no_longer_read_it_while_watching_is_told(h: &mut Harness) {
        let (ann, cleo) = (h.user("ann").await, coadmin(h, "cleo").await);
        h.shop.set_down(true);
        let id = h.terminate(&ann).await;
        let browser = Browser::of(h, &cleo).await;
        let mut stream = Stream::open(&browser, &format!("/console/terminations/{id}/live")).await;
        stream.until("state", "working").await;
        let plain = lightsout_client::api::UpdateUser { role: Some(Role::User), ..Default::default() };
        h.admin.update_user(&cleo, &plain).await.expect("changed");
        stream.until("gone", "").await;
        assert_eq!(stream.next().await, None);
        h.shop.set_down(false);
        h.run_until_done(&id).await;
    }
}

both! {
    async fn a_service_that_stops_ends_the_stream(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.set_down(true);
        let id = h.terminate(&ann).await;
        let admin_id = h.admin_id.clone();
        let browser = Browser::of(h, &admin_id).await;
        let mut stream = Stream::open(&browser, &format!("/console/terminations/{id}/live")).await;
        stream.until("state", "working").await;
        h.shop.set_down(false);
        h.run_until_done(&id).await;
        stream.until("done", "").await;

        let id = h.terminate(&ann).await;
        let mut stream = Stream::open(&browser, &format!("/console/terminations/{id}/live")).await;
        stream.until("state", "working").await;
        h.run_until_done(&id).await;
        h.stop();
        while let Some((event, _)) = stream.next().await {
            assert!(["state", "done"].contains(&event.as_str()), "{event}");
        }
    }
}

both! {
    async fn what_gave_up_is_tried_again_from_the_page(h: &mut Harness) {
        let ann = h.user("ann").await;
        h.shop.sign_in("ann@acme.example", "a1", None);
        h.shop.set_down(true);
        let id = h.terminate(&ann).await;
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let page = format!("/console/terminations/{id}");
        browser.get(&page).await.is(200).says_not("id=\"retry\"");
        browser.post(&format!("{page}/retry"), &[]).await.is(409).says("Not tried again");
        h.run_jobs().await;
        h.advance(h.app.settings.give_up_after_ms);
        h.run_jobs().await;
        // A sign-in lives for half a day.
        let mut browser = Browser::of(h, &admin_id).await;
        browser.get(&page).await.is(200)
            .says("data-state=\"done_with_failures\"")
            .says("1 given up in shop, where they may still be signed in")
            .says("id=\"retry\"");
        h.shop.set_down(false);
        browser.post(&format!("{page}/retry"), &[]).await.is(303).sends_to(&page);
        browser.get(&page).await.is(200).says("data-state=\"working\"");
        h.run_until_done(&id).await;
        browser.get(&page).await.is(200).says("data-state=\"done\"").says("Done and proven: 1 session");
    }
}

both! {
    async fn a_retry_needs_the_form_of_the_session(h: &mut Harness) {
        let ann = h.user("ann").await;
        let id = h.terminate(&ann).await;
        h.run_until_done(&id).await;
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        browser.post(&format!("/console/terminations/{id}/retry"), &[]).await.is(403).says("another site");
    }
}

both! {
    async fn outcomes_are_downloaded_whole_as_csv_and_json(h: &mut Harness) {
        let ann = h.user("ann").await;
        let evil = CreateUser {
            name: "Eve".to_owned(),
            login: Some("=cmd|'/C'!A0@acme.example".to_owned()),
            ..CreateUser::default()
        };
        let eve = h.admin.create_user(&evil).await.expect("a user").id.0;
        h.shop.sign_in("ann@acme.example", "a1", None);
        let request = CreateTermination {
            user_ids: vec![ann.as_str().into(), eve.as_str().into()],
            reason: Some("stolen, \"laptop\"".to_owned()),
            ..CreateTermination::default()
        };
        let id = h.admin.terminate(&request, None).await.expect("accepted").id.0;
        h.run_until_done(&id).await;
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let csv = browser.get(&format!("/console/terminations/{id}/outcomes.csv")).await;
        csv.is(200);
        assert_eq!(
            csv.headers["content-disposition"].to_str().expect("text"),
            format!("attachment; filename=\"termination-{id}-outcomes.csv\"")
        );
        let lines: Vec<&str> = csv.body.split("\r\n").collect();
        assert_eq!(lines[0], "user_id,login,system,outcome,sessions_ended,resurrected,ended_again,ends_by,verified_at,detail");
        assert_eq!(lines.len(), 1 + 2 * 2 + 1, "{}", csv.body);
        let of_ann = lines.iter().find(|l| l.starts_with(&ann) && l.contains(",shop,")).expect("a line");
        assert!(of_ann.contains(",ann@acme.example,shop,ended,1,0,0,,2026-01-02T03:0"), "{of_ann}");
        let of_eve = lines.iter().find(|l| l.starts_with(&eve)).expect("a line");
        assert!(of_eve.contains(",'=cmd|'/C'!A0@acme.example,"), "{of_eve}");

        let json = browser.get(&format!("/console/terminations/{id}/outcomes.json")).await;
        json.is(200);
        let all: serde_json::Value = serde_json::from_str(&json.body).expect("JSON");
        assert_eq!(all["termination"]["reason"], "stolen, \"laptop\"");
        assert_eq!(all["termination"]["state"], "done");
        assert_eq!(all["outcomes"].as_array().expect("a list").len(), 4);
        assert!(all["outcomes"][0]["user"]["login"].is_string());
    }
}

both! {
    async fn a_download_of_more_than_one_read_misses_nobody(h: &mut Harness) {
        // Two systems: two reads and a bit.
        let mut rows = String::from("login,name,groups\n");
        for n in 0..1_050 {
            rows.push_str(&format!("u{n}@acme.example,U {n},Everybody\n"));
        }
        import(&h.app, &[], &h.enterprise_id, rows.as_bytes()).await.expect("imported");
        let group = h.admin.groups("Everybody", 0, 1).await.expect("groups").entries.remove(0).id.0;
        let request = CreateTermination { group_ids: vec![group.as_str().into()], ..CreateTermination::default() };
        let id = h.admin.terminate(&request, None).await.expect("accepted").id.0;
        h.run_until_done(&id).await;
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let csv = browser.get(&format!("/console/terminations/{id}/outcomes.csv")).await;
        let mut lines: Vec<&str> = csv.body.lines().skip(1).collect();
        assert_eq!(lines.len(), 2_100);
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 2_100);
        let json = browser.get(&format!("/console/terminations/{id}/outcomes.json")).await;
        let all: serde_json::Value = serde_json::from_str(&json.body).expect("JSON");
        assert_eq!(all["outcomes"].as_array().expect("a list").len(), 2_100);
    }
}

both! {
    async fn what_people_wrote_is_shown_as_text(h: &mut Harness) {
        let evil = "<script>alert(1)</script>";
        let user = CreateUser {
            name: evil.to_owned(),
            login: Some(format!("{evil}\"@acme.example")),
            ..CreateUser::default()
        };
        let eve = h.admin.create_user(&user).await.expect("a user").id.0;
        let request = CreateTermination {
            user_ids: vec![eve.as_str().into()],
            logins: vec![format!("{evil}@nowhere.example")],
            skip_unknown: true,
            reason: Some(format!("{evil}\r\nevent: done\r\n\r\n")),
            ..CreateTermination::default()
        };
        h.shop.sign_in(&format!("{evil}\"@acme.example"), "e1", None);
        let id = h.admin.terminate(&request, None).await.expect("accepted").id.0;
        h.shop.set_down(true);
        h.run_jobs().await;
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let page = format!("/console/terminations/{id}");
        browser.get(&page).await.is(200).says("&lt;script&gt;alert(1)&lt;/script&gt;").says_not(evil).says("Left out");
        browser.get("/console/terminations").await.is(200).says_not(evil);
        browser.get("/console/log").await.is(200).says("&lt;script&gt;").says_not(evil);
        let mut stream = Stream::open(&browser, &format!("{page}/live")).await;
        let state = stream.next().await.expect("a state").1;
        assert!(state.contains("&lt;script&gt;") && !state.contains(evil), "{state}");
        h.shop.set_down(false);
        h.run_until_done(&id).await;
    }
}

both! {
    async fn the_list_pages_back_to_the_first(h: &mut Harness) {
        let ann = h.user("ann").await;
        let mut ids = Vec::new();
        for _ in 0..51 {
            h.advance(1);
            ids.push(h.terminate(&ann).await);
        }
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let shown = browser.get("/console/terminations").await;
        shown.is(200).says(&ids[50]).says(&ids[1]).says_not(&ids[0]);
        let next = shown.body.split("href=\"/console/terminations?after=").nth(1).expect("a next page");
        let next = next.split('"').next().expect("an address");
        browser.get(&format!("/console/terminations?after={next}")).await.is(200).says(&ids[0]).says_not(&ids[1]);
        browser.get("/console/terminations?after=x").await.is(400);
        h.run_until_done(&ids[50]).await;
        h.run_until_done(&ids[0]).await;
    }
}
