//! What a pass does within its time, and what is remembered from one to the next.

use std::time::{Duration, Instant};

use lightsout_server::connector::{Connector, Reply, Target};
use serde_json::json;

use super::super::{counts, target};
use super::semantics::{by_person, play_by_person, sign_in};
use super::vendor::{Request, Vendor, answer, recipe};
use super::{Accounts, FULL, TOKEN, play};

/// A vendor that takes this long for each call, one at a time.
async fn slow(each: Duration) -> Vendor<Accounts> {
    Vendor::start(Accounts::default(), move |accounts: &mut Accounts, request: &Request| {
        let until = Instant::now() + each;
        while Instant::now() < until {
            std::thread::yield_now();
        }
        play_by_person(accounts, request)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_ends_what_it_can_within_its_time_and_names_the_rest() {
    let (_folder, file) = recipe(&by_person(FULL));
    let vendor = slow(Duration::from_millis(20)).await;
    let keys = json!({"recipe": file, "secrets": {"token": TOKEN}, "parallel": 2, "timeout_ms": 2_000});
    let connector = vendor.connector(keys);
    let targets: Vec<Target> = (0..200).map(|n| target(&format!("user{n}"), 1)).collect();
    for n in 0..200 {
        sign_in(&vendor, &format!("user{n}"), &format!("key{n}"), None);
    }
    let begin = Instant::now();
    let replies = connector.end(&targets).await.expect("some are done").replies;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let late = Reply::Failed("not called yet: the pass was out of time".to_owned());
    let is_done = |reply: &&Reply| matches!(reply, Reply::Sessions(_));
    let done: Vec<Reply> = replies.iter().filter(is_done).cloned().collect();
    assert!(!done.is_empty() && counts(&done).iter().all(|n| *n == 1), "{done:?}");
    assert_eq!(replies.iter().filter(|reply| **reply == late).count(), 200 - done.len());
    assert_eq!(vendor.with(|accounts| accounts.sessions.len()), 200 - done.len(), "the rest is untouched");
    assert_eq!(replies[199], late);

    let begin = Instant::now();
    let found = connector.find(&targets).await.expect("some are looked at").replies;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(found[199], late);
}

#[tokio::test]
async fn a_turn_that_comes_after_the_pass_is_not_waited_for() {
    let (_folder, file) = recipe(FULL);
    let vendor = Vendor::start(Accounts::default(), play).await;
    let keys = json!({
        "recipe": file, "secrets": {"token": TOKEN}, "calls_per_minute": 12, "timeout_ms": 2_000,
    });
    let begin = Instant::now();
    let targets: Vec<Target> = (0..3).map(|n| target(&format!("user{n}"), 1)).collect();
    let replies = vendor.connector(keys).find(&targets).await.expect("answered").replies;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(matches!(&replies[2], Reply::Failed(why) if why.starts_with("not called yet")), "{replies:?}");
    assert_eq!(vendor.take().len(), 2, "two at once, the next after 6 s");
}

#[tokio::test]
async fn a_name_that_moved_to_another_account_is_looked_up_anew() {
    let (_folder, file) = recipe(&by_person(FULL));
    let vendor = Vendor::start(("1", Vec::new()), |state: &mut (&str, Vec<String>), request: &Request| {
        let (id, ended) = state;
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/users") => answer(200, json!({"ok": true, "users": [{"name": "ann", "id": *id}]})),
            ("GET", _) => answer(200, json!({"ok": true, "sessions": []})),
            _ => {
                ended.push(request.path.clone());
                answer(200, json!({"ok": true}))
            }
        }
    })
    .await;
    let connector = vendor.connector(json!({"recipe": file, "secrets": {"token": TOKEN}}));
    for (asked_at, lookups) in [(1_000, 1), (1_000, 0), (2_000, 1)] {
        vendor.take();
        connector.end(&[target("ann", asked_at)]).await.expect("ended");
        assert_eq!(vendor.take().iter().filter(|r| r.path == "/users").count(), lookups, "{asked_at}");
        vendor.with(|(id, _)| *id = "2");
    }
    let ended = vendor.with(|(_, ended)| ended.clone());
    assert_eq!(ended, ["/users/1/sessions", "/users/1/sessions", "/users/2/sessions"]);
}
