//! The blast radius, and the order.

use std::fmt::Write;

use lightsout_client::api::{CreateUser, Role};

use super::find::{crowd, group_admin};
use crate::browser::{Browser, Shown};
use crate::harness::{Harness, both};

async fn admin_browser(h: &Harness) -> Browser {
    let admin_id = h.admin_id.clone();
    Browser::of(h, &admin_id).await
}

async fn coadmin(h: &Harness) -> String {
    let coadmin = CreateUser {
        name: "Cleo".to_owned(),
        login: Some("cleo@acme.example".to_owned()),
        role: Some(Role::Coadmin),
        ..CreateUser::default()
    };
    h.admin.create_user(&coadmin).await.expect("a coadmin").id.0
}

/// Sends the form of a page as it was shown, with these fields added.
async fn send(browser: &mut Browser, shown: &Shown, more: &[(&str, &str)]) -> Shown {
    let mut fields = Vec::new();
    for name in ["user", "group", "skip", "expected", "key"] {
        let mark = format!("name=\"{name}\" value=\"");
        for after in shown.body.split(&mark).skip(1) {
            fields.push((name, after.split('"').next().expect("a value").to_owned()));
        }
    }
    let mut all: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.extend_from_slice(more);
    browser.post("/console/terminations", &all).await
}

/// The id of the termination that a browser was sent to.
fn accepted(shown: &Shown) -> String {
    shown.is(303).sends_to("/console/terminations/t_");
    shown.location.as_deref().and_then(|to| to.rsplit('/').next()).expect("an id").to_owned()
}

async fn terminations(h: &Harness) -> usize {
    h.admin.terminations(None).await.expect("a list").entries.len()
}

both! {
    async fn the_radius_is_seen_before_anything_ends(h: &mut Harness) {
        let una = h.user("una").await;
        let group = h.group("Union", &[&una, &h.user("otto").await]).await;
        let session = h.sign_in(&una).await;
        h.shop.sign_in("una@acme.example", "k1", None);
        let mut browser = admin_browser(h).await;
        let query = format!("user={una}&group={group}");
        let shown = browser.get(&format!("/console/end?{query}")).await;
        shown.is(200).says("End all sessions of 2 people?").says("una@acme.example").says("Union");
        shown.says_not("You are among them").says_not("admin or coadmin is among").says_not("name=\"people\"");
        let part = browser.get(&format!("/console/end/systems?{query}")).await;
        part.is(200).says("registry").says("shop").says("<td class=\"number\">1</td>").says_not("<html");
        browser.get(&format!("/console/end?{query}&ask=1")).await.says("<td class=\"number\">1</td>");
        h.shop.set_down(true);
        browser.get(&format!("/console/end/systems?{query}")).await.is(200).says("not told").says("switched off");
        h.shop.set_down(false);
        assert!(h.is_active(&session).await, "looking ends nothing");
        assert_eq!(terminations(h).await, 0);

        let id = accepted(&send(&mut browser, &shown, &[("reason", " lost laptop ")]).await);
        assert!(!h.is_active(&session).await);
        let done = h.run_until_done(&id).await;
        assert_eq!((done.people, done.reason.as_deref()), (2, Some("lost laptop")));
        assert!(!h.shop.is_signed_in("k1"));
    }
}

both! {
    async fn a_form_that_is_sent_twice_is_one_termination(h: &mut Harness) {
        let una = h.user("una").await;
        let mut browser = admin_browser(h).await;
        let shown = browser.get(&format!("/console/end?user={una}")).await;
        let first = accepted(&send(&mut browser, &shown, &[("reason", "r")]).await);
        let second = accepted(&send(&mut browser, &shown, &[("reason", "r")]).await);
        assert_eq!(first, second);
        // Back, another reason: nobody is left to guess what happened.
        let again = send(&mut browser, &shown, &[("reason", "another")]).await;
        again.is(409).says("was sent before").says("another");
        assert_eq!(terminations(h).await, 1);
        h.run_until_done(&first).await;
        let third = accepted(&send(&mut browser, &again, &[("reason", "another")]).await);
        assert_ne!(first, third, "the page that was shown again has a key of its own");
        h.run_until_done(&third).await;
    }
}

both! {
    async fn more_than_ten_people_are_confirmed_by_their_number(h: &mut Harness) {
        let group = h.group("Crowd", &[]).await;
        crowd(h, &group, 1_200).await;
        let mut browser = admin_browser(h).await;
        let shown = browser.get(&format!("/console/end?group={group}")).await;
        shown.says("1,200").says("name=\"people\"");
        for typed in ["", "12", "1201", "yes", "-1200"] {
            let again = send(&mut browser, &shown, &[("people", typed), ("reason", "<kept> & \"whole\"")]).await;
            again.is(400).says("Type 1,200 to confirm").says("aria-invalid=\"true\"");
            again.says("&lt;kept&gt; &amp; &quot;whole&quot;");
        }
        assert_eq!(terminations(h).await, 0);
        let id = accepted(&send(&mut browser, &shown, &[("people", "1,200")]).await);
        assert_eq!(h.run_until_done(&id).await.people, 1_200);
    }
}

both! {
    async fn a_number_that_changed_since_it_was_shown_ends_nobody(h: &mut Harness) {
        let una = h.user("una").await;
        let group = h.group("Union", &[&una]).await;
        let session = h.sign_in(&una).await;
        let mut browser = admin_browser(h).await;
        let shown = browser.get(&format!("/console/end?group={group}")).await;
        shown.says("of 1 person?");
        let otto = h.user("otto").await;
        h.admin.add_member(&group, &otto).await.expect("a membership");
        let again = send(&mut browser, &shown, &[("reason", "kept")]).await;
        again.is(409).says("It is not 1 people any more").says("of 2 people?").says("kept");
        assert!(h.is_active(&session).await);
        assert_eq!(terminations(h).await, 0);
        let id = accepted(&send(&mut browser, &again, &[]).await);
        assert_eq!(h.run_until_done(&id).await.people, 2);
    }
}

both! {
    async fn a_coadmin_cannot_end_an_admin_is_told_why_and_may_leave_them_out(h: &mut Harness) {
        let (coadmin, una) = (coadmin(h).await, h.user("una").await);
        let admin_id = h.admin_id.clone();
        let group = h.group("Board", &[&admin_id, &una]).await;
        let mut browser = Browser::of(h, &coadmin).await;
        let alone = browser.get(&format!("/console/end?user={admin_id}")).await;
        alone.is(200).says("A coadmin may not end the admin's sessions").says_not("<button class=\"danger\"");
        alone.says_not("skip=1").says("Choose others");
        let shown = browser.get(&format!("/console/end?group={group}")).await;
        shown.says("A coadmin may not end the admin's sessions").says_not("<button class=\"danger\"");
        shown.says("Leave out 1 entry and go on with 1 person").says(&format!("group={group}&amp;skip=1"));
        // Sent past the page, it is refused with the same words.
        browser.post("/console/terminations", &[("user", &admin_id), ("expected", "1")]).await.is(403)
            .says("A coadmin may not end");
        assert_eq!(terminations(h).await, 0);
        let without = browser.get(&format!("/console/end?group={group}&skip=1")).await;
        without.says("1 entry is left out").says("of 1 person?");
        let id = accepted(&send(&mut browser, &without, &[]).await);
        let done = h.run_until_done(&id).await;
        assert_eq!((done.people, done.skipped.len()), (1, 1));
    }
}

both! {
    async fn whoever_ends_themselves_is_warned_and_lands_at_the_sign_in(h: &mut Harness) {
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let shown = browser.get(&format!("/console/end?user={admin_id}")).await;
        shown.says("You are among them").says("admin or coadmin is among");
        h.advance(1);
        let id = accepted(&send(&mut browser, &shown, &[]).await);
        // Wherever the next click goes.
        assert!(id.starts_with("t_"));
        browser.get("/console/end").await.is(303).sends_to("/sign-in?return_to=%2Fconsole%2Fend&was=ended");
        for job in 0..3 { h.run_jobs().await; h.advance(60_000 + job); }
        h.run_jobs().await;
    }
}

both! {
    async fn a_group_admin_ends_that_groups_plain_users_only(h: &mut Harness) {
        let (una, otto, coadmin) = (h.user("una").await, h.user("otto").await, coadmin(h).await);
        let group = h.group("Union", &[&una, &coadmin]).await;
        let gus = group_admin(h, "gus", &group).await;
        let mut browser = Browser::of(h, &gus).await;
        let refused = browser.get(&format!("/console/end?user={otto}&user={una}")).await;
        refused.says("A group admin may end the sessions of that group").says_not("otto@acme");
        browser.get(&format!("/console/end?group={group}")).await.says("Leave out 1 entry and go on with 2 people");
        let shown = browser.get(&format!("/console/end?user={una}")).await;
        shown.says("of 1 person?").says("una@acme.example");
        let id = accepted(&send(&mut browser, &shown, &[]).await);
        assert_eq!(h.run_until_done(&id).await.people, 1);
    }
}

both! {
    async fn a_pasted_list_is_looked_up_and_nothing_of_it_is_lost(h: &mut Harness) {
        let (una, otto) = (h.user("una").await, h.user("otto").await);
        let comma = h.group("Sales, EMEA", &[&una]).await;
        let plain = h.group("Union", &[&una]).await;
        let mut browser = admin_browser(h).await;
        browser.get("/console/end").await.is(200).says("Whose sessions?");
        let typed = format!("UNA@acme.example, {otto}; union\r\nsales, emea\n\nuna@acme.example");
        let chosen = browser.post("/console/end/choose", &[("who", &typed)]).await;
        chosen.is(303).sends_to(&format!("/console/end?user={una}&user={otto}&group={plain}&group={comma}"));
        let wrong = browser.post("/console/end/choose", &[("who", "una@acme.example, nobody@acme.example\nNo Such Group")]).await;
        wrong.is(400).says("nobody@acme.example, No Such Group").says("una@acme.example, nobody@acme.example\nNo Such Group");
        wrong.says("aria-invalid=\"true\"");
        browser.post("/console/end/choose", &[("who", " \n ")]).await.is(400).says("Name at least one");
        h.group("otto@acme.example", &[]).await;
        browser.post("/console/end/choose", &[("who", "otto@acme.example")]).await.is(400).says("a person and a group");
    }
}

both! {
    async fn a_list_too_long_for_a_page_says_what_to_do(h: &mut Harness) {
        let group = h.group("Crowd", &[]).await;
        crowd(h, &group, 301).await;
        let mut browser = admin_browser(h).await;
        browser.get("/console/end").await;
        let mut list = String::new();
        for n in 1..=301 {
            writeln!(list, "crowd{n}@acme.example").expect("a String takes it");
        }
        browser.post("/console/end/choose", &[("who", &list)]).await.is(400).says("301 entries").says("lightsout users terminate-sessions --from-file FILE");
        let fewer = list.split_once('\n').expect("lines").1;
        let to = browser.post("/console/end/choose", &[("who", fewer)]).await.is(303).location.clone().expect("an address");
        assert!(to.len() < 8_000, "proxies take it: {}", to.len());
        browser.get(&to).await.is(200).says("of 300 people").says("and 290 more");
    }
}

both! {
    async fn who_is_gone_is_named_and_may_be_left_out(h: &mut Harness) {
        let (una, otto) = (h.user("una").await, h.user("otto").await);
        h.admin.delete_user(&otto).await.expect("deleted");
        let mut browser = admin_browser(h).await;
        let query = format!("user={una}&user={otto}");
        let shown = browser.get(&format!("/console/end?{query}")).await;
        shown.says("Not in the directory").says(&otto).says("Leave out 1 entry and go on with 1 person");
        browser.post("/console/terminations", &[("user", &una), ("user", &otto), ("expected", "1")]).await.is(404).says(&otto);
        let empty = h.group("Empty", &[]).await;
        browser.get(&format!("/console/end?group={empty}")).await.is(200).says("nobody to end");
        for id in h.admin.terminations(None).await.expect("a list").entries {
            h.run_until_done(&id.id.0).await;
        }
    }
}

both! {
    async fn a_form_that_is_not_whole_or_too_long_ends_nothing(h: &mut Harness) {
        let una = h.user("una").await;
        let mut browser = admin_browser(h).await;
        let shown = browser.get(&format!("/console/end?user={una}")).await;
        send(&mut browser, &shown, &[("reason", &"x".repeat(501))]).await.is(400).says("at most 500 characters");
        browser.post("/console/terminations", &[("user", &una)]).await.is(400).says("not whole");
        browser.post("/console/terminations", &[("user", &una), ("expected", "0")]).await.is(409);
        browser.post("/console/terminations", &[]).await.is(303).sends_to("/console/end");
        browser.csrf = None;
        send(&mut browser, &shown, &[]).await.is(403).says("another site");
        assert_eq!(terminations(h).await, 0);
    }
}

both! {
    async fn more_entries_than_a_request_may_list_are_refused_at_once(h: &mut Harness) {
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        browser.get("/console/end").await.is(200);
        let ids: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
        let fields: Vec<(&str, &str)> = ids.iter().map(|id| ("user", id.as_str())).collect();
        browser.post("/console/terminations", &fields).await.is(400).says("at most 10000 people and groups");
    }
}
