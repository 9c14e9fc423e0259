//! Finding people and groups, and their pages.

use std::fmt::Write;

use lightsout_client::api::{
    CreateGroup, CreateGroupMembership, CreateUser, MembershipRole, Reference, RegisterSession, Role,
};
use lightsout_server::args;
use lightsout_server::connector::Told;

use crate::browser::Browser;
use crate::harness::{Harness, START_MS, both};

async fn named(h: &Harness, name: &str, login: &str, role: Role) -> String {
    let user = CreateUser {
        name: name.to_owned(),
        login: Some(login.to_owned()),
        role: Some(role),
        ..CreateUser::default()
    };
    h.admin.create_user(&user).await.expect("a user").id.0
}

/// Makes a user who administers a group and may edit its accounts.
pub(super) async fn group_admin(h: &Harness, name: &str, group: &str) -> String {
    let id = h.user(name).await;
    let reference = |id: &str| Reference { id: id.to_owned(), ..Reference::default() };
    let appointed = CreateGroupMembership {
        user: reference(&id),
        group: reference(group),
        role: Some(MembershipRole::Admin),
        configurable_permissions: None,
    };
    h.admin.create_group_membership(&appointed).await.expect("a group admin");
    id
}

async fn admin_browser(h: &Harness) -> Browser {
    let admin_id = h.admin_id.clone();
    Browser::of(h, &admin_id).await
}

/// Fills a group with this many people past the API, which would take minutes.
pub(super) async fn crowd(h: &Harness, group: &str, people: i64) {
    let mut tx = h.app.db.begin().await.expect("a transaction");
    tx.execute(
        "WITH RECURSIVE n (n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM n WHERE n < $1)
         INSERT INTO users (user_id, enterprise_id, login, login_folded, name, name_folded, role, status,
                            profile, created_at, modified_at)
         SELECT CAST(500000000000000 + n AS TEXT), $2, 'crowd' || n || '@acme.example',
                'crowd' || n || '@acme.example', 'Crowd ' || n, 'crowd ' || n, 'user', 'active', $3, 0, 0
         FROM n",
        args![people, &h.enterprise_id, "{}"],
    )
    .await
    .expect("users");
    tx.execute(
        "INSERT INTO memberships (membership_id, group_id, user_id, role, permissions, created_at, modified_at)
         SELECT 'm' || user_id, $1, user_id, 'member', $2, 0, 0 FROM users WHERE user_id > '500000000000000'",
        args![group, "{}"],
    )
    .await
    .expect("memberships");
    tx.commit().await.expect("committed");
}

both! {
    async fn people_and_groups_are_found_by_login_name_and_id(h: &mut Harness) {
        let una = named(h, "Una Stone", "u.stone@acme.example", Role::User).await;
        named(h, "Unar Field", "zeta@acme.example", Role::Coadmin).await;
        let group = h.group("Union", &[&una]).await;
        let mut browser = admin_browser(h).await;
        browser.get("/console").await.is(200).says("Nobody's sessions have been ended yet");
        browser.get("/console?q=UNA").await.says("Una Stone").says("Unar Field").says("coadmin").says_not("Union");
        browser.get("/console?q=u.sto").await.says("Una Stone").says_not("Unar");
        browser.get("/console?q=uni").await.says("Union").says(&format!("/console/groups/{group}"));
        browser.get(&format!("/console?q={una}")).await.says("Una Stone").says_not("Unar");
        browser.get(&format!("/console?q={group}")).await.says("Union");
        named(h, "Ottilie Kay-Stone", "ok@acme.example", Role::User).await;
        browser.get("/console?q=Stone").await.says("Una Stone").says("Ottilie Kay-Stone").says_not("Unar");
        browser.get("/console?q=kay-s").await.says("Ottilie Kay-Stone").says_not("Una Stone");
        browser.get("/console?q=tone").await.says("Nothing begins with");
        h.group("Trade Union", &[]).await;
        let shown = browser.get("/console?q=union").await;
        shown.says("Trade Union");
        assert_eq!(shown.body.matches("/console/groups/").count(), 2, "each once");
        // Wild cards of SQL are letters like others.
        browser.get("/console?q=%25").await.says("Nothing begins with");
        browser.get("/console?q=_na").await.says("Nothing begins with");
        browser.get("/console?q=st_ne").await.says("Nothing begins with");
        browser.get("/console?q=%5C").await.says("Nothing begins with");
        browser.get("/console?q=%00").await.is(400);
    }
}

both! {
    async fn a_search_that_finds_too_many_says_so(h: &mut Harness) {
        for n in 0..23 {
            let name = format!("Many {n:02}");
            named(h, &name, &format!("m{n:02}@acme.example"), Role::User).await;
            let group = CreateGroup { name: format!("Many groups {n:02}"), ..CreateGroup::default() };
            h.admin.create_group(&group).await.expect("a group");
        }
        let mut browser = admin_browser(h).await;
        let shown = browser.get("/console?q=many").await;
        shown.says("Many 19").says_not("Many 20").says("Many groups 19").says_not("Many groups 20");
        shown.says("There are more people").says("There are more groups");
        browser.get("/console?q=many+0").await.says("Many 09").says_not("There are more people");
    }
}

both! {
    async fn another_enterprise_is_not_found(h: &mut Harness) {
        let (_, stranger) = lightsout_server::ops::admin::create_enterprise(&h.app, "Other", "omar@other.example", "Omar")
            .await
            .expect("an enterprise");
        let mut browser = admin_browser(h).await;
        browser.get("/console?q=omar").await.says("Nothing begins with");
        browser.get(&format!("/console?q={stranger}")).await.says("Nothing begins with");
        for path in ["", "/systems"] {
            browser.get(&format!("/console/people/{stranger}{path}")).await.is(404).says_not("Omar");
        }
        browser.get(&format!("/console/end?user={stranger}")).await.says("Not in the directory").says_not("Omar");
    }
}

both! {
    async fn names_are_shown_as_text_whatever_they_hold(h: &mut Harness) {
        let evil = "<script>alert(1)</script>\"'><b>";
        let user = named(h, evil, "evil@acme.example", Role::User).await;
        let group = h.group(evil, &[&user]).await;
        let session = RegisterSession {
            user_id: Some(user.as_str().into()),
            device: Some("<img src=x onerror=alert(2)>".to_owned()),
            address: Some("\"><script>".to_owned()),
            ..RegisterSession::default()
        };
        h.registrar.register_sessions(vec![session]).await.expect("registered");
        let mut browser = admin_browser(h).await;
        for path in [
            "/console?q=%3Cscript".to_owned(),
            format!("/console/people/{user}"),
            format!("/console/groups/{group}"),
            format!("/console/end?user={user}&group={group}"),
        ] {
            let shown = browser.get(&path).await;
            shown.is(200).says("&lt;script&gt;alert(1)").says_not("<script>alert").says_not("<img").says_not("<b>");
        }
        let choose = [("who", "</textarea><script>alert(3)</script>")];
        browser.post("/console/end/choose", &choose).await.is(400).says_not("<script>alert");
    }
}

both! {
    async fn a_persons_page_says_who_where_and_what_was_ended_before(h: &mut Harness) {
        let user = named(h, "Una Stone", "una@acme.example", Role::User).await;
        let other = h.user("otto").await;
        h.group("Union", &[&user]).await;
        let before = h.terminate(&user).await;
        h.run_until_done(&before).await;
        let others = h.terminate(&other).await;
        h.run_until_done(&others).await;
        h.advance(1_000);
        let session = RegisterSession {
            user_id: Some(user.as_str().into()),
            device: Some("A phone".to_owned()),
            address: Some("192.0.2.9".to_owned()),
            ..RegisterSession::default()
        };
        h.registrar.register_sessions(vec![session]).await.expect("registered");
        h.shop.sign_in("una@acme.example", "k1", None);
        let mut browser = admin_browser(h).await;
        let path = format!("/console/people/{user}");
        let shown = browser.get(&path).await;
        shown.is(200).says("Una Stone").says("una@acme.example").says("Union");
        shown.says("1 live session").says("A phone").says("192.0.2.9").says("registrar").says("not told");
        shown.says(&format!("/console/terminations/{before}")).says_not(&others);
        shown.says(&format!("href=\"{path}?ask=1#systems\"")).says(&format!("data-load=\"{path}/systems\""));
        let told = Told {
            began_at: Some(h.app.clock.now_ms()),
            last_seen_at: Some(START_MS),
            device: Some(format!("<b>{}", "x".repeat(300))),
            address: Some("198.51.100.7".to_owned()),
        };
        h.shop.sign_in("una@acme.example", "k2", told);
        let part = browser.get(&format!("{path}/systems")).await;
        part.is(200).says("shop").says_not("<html").says_not("registry");
        part.says("198.51.100.7").says("2026-01-02 03:04:05 UTC").says_not("<b>").says_not(&"x".repeat(201));
        assert_eq!(part.body.matches("<tr>").count(), 3, "a head and two sessions: {}", part.body);
        browser.get(&format!("{path}?ask=1")).await.says("198.51.100.7");
        for n in 0..40 {
            h.shop.sign_in("una@acme.example", &format!("n{n}"), None);
        }
        let part = browser.get(&format!("{path}/systems")).await;
        part.says("and 22 more").says("198.51.100.7");
        h.shop.set_down(true);
        browser.get(&format!("{path}/systems")).await.is(200).says("not told").says("did not answer");
        h.shop.set_down(false);
    }
}

both! {
    async fn a_past_termination_of_many_names_each_of_them(h: &mut Harness) {
        let mut people = Vec::new();
        for n in 0..33 {
            people.push(h.user(&format!("p{n}")).await);
        }
        let members: Vec<&str> = people.iter().step_by(2).map(String::as_str).collect();
        let group = h.group("Half", &members).await;
        let request = lightsout_client::api::CreateTermination {
            group_ids: vec![group.as_str().into()],
            ..lightsout_client::api::CreateTermination::default()
        };
        let id = h.admin.terminate(&request, None).await.expect("accepted").id.0;
        for (n, person) in people.iter().enumerate() {
            let past = h.app.db.list_terminations_of(&h.enterprise_id, person, 1_000, 20).await.expect("a list");
            let found: Vec<&str> = past.iter().map(|row| row.termination_id.as_str()).collect();
            assert_eq!(found, if n % 2 == 0 { vec![id.as_str()] } else { vec![] }, "person {n}");
        }
        h.run_until_done(&id).await;
    }
}

both! {
    async fn one_session_is_ended_and_the_page_says_so(h: &mut Harness) {
        let user = h.user("una").await;
        let (kept, ended) = (h.sign_in(&user).await, h.sign_in(&user).await);
        let mut browser = admin_browser(h).await;
        let path = format!("/console/people/{user}");
        browser.get(&path).await.says("2 live sessions");
        let order = format!("/console/sessions/{}/end", ended.id);
        browser.post(&order, &[("user", &user)]).await.is(303).sends_to(&format!("{path}?done=session_ended"));
        assert!(h.is_active(&kept).await && !h.is_active(&ended).await);
        browser.get(&format!("{path}?done=session_ended")).await.says("was ended").says("1 live session");
        browser.post(&order, &[("user", &user)]).await.is(303).sends_to(&format!("{path}?done=session_gone"));
        browser.get(&format!("{path}?done=session_gone")).await.says("over already");
        // Whose page it goes back to is data, not an address.
        browser.post(&order, &[("user", "//evil.example")]).await.sends_to("/console/people/%2F%2Fevil.example");
        browser.get(&format!("{path}?done=%3Cb%3E")).await.is(200).says_not("<b>");
    }
}

both! {
    async fn a_coadmin_sees_the_admin_and_may_not_end_a_session_of_theirs(h: &mut Harness) {
        let coadmin = named(h, "Cleo", "cleo@acme.example", Role::Coadmin).await;
        let admin_id = h.admin_id.clone();
        let session = h.sign_in(&admin_id).await;
        let mut browser = Browser::of(h, &coadmin).await;
        let shown = browser.get(&format!("/console/people/{admin_id}")).await;
        shown.is(200).says("a coadmin may not end the admin").says_not("/console/sessions/").says_not("End all sessions");
        let order = format!("/console/sessions/{}/end", session.id);
        browser.post(&order, &[("user", &admin_id)]).await.is(403).says("a coadmin may not end the admin");
        assert!(h.is_active(&session).await);
    }
}

both! {
    async fn a_plain_user_is_sent_to_their_account(h: &mut Harness) {
        let user = h.user("una").await;
        let group = h.group("Union", &[&user]).await;
        let mut browser = Browser::of(h, &user).await;
        let mut shown = String::new();
        for path in [
            "/console".to_owned(),
            "/console?q=ada".to_owned(),
            format!("/console/people/{user}"),
            format!("/console/people/{user}/systems"),
            format!("/console/groups/{group}"),
            format!("/console/groups/{group}/systems"),
            "/console/end".to_owned(),
            format!("/console/end?user={user}"),
            format!("/console/end/systems?user={user}"),
        ] {
            let answer = browser.get(&path).await;
            let to = answer.location.unwrap_or_default();
            writeln!(shown, "{} {to} {path}", answer.status.as_u16()).expect("a String takes it");
            assert!(answer.status == 303 && to == "/console/account", "{shown}");
        }
        let session = h.sign_in(&user).await;
        // A page with a form, for the token; posting refuses.
        let admin_id = h.admin_id.clone();
        let foreign = Browser::of(h, &admin_id).await.get("/console").await.field("csrf");
        for path in ["/console/end/choose".to_owned(), "/console/terminations".to_owned(), format!("/console/sessions/{}/end", session.id)] {
            browser.csrf.clone_from(&foreign);
            browser.post(&path, &[("user", &user), ("expected", "1")]).await.is(403);
        }
        assert!(h.is_active(&session).await);
    }
}

both! {
    async fn a_group_admin_finds_the_members_of_that_group_only(h: &mut Harness) {
        let (una, otto) = (h.user("una").await, h.user("otto").await);
        let group = h.group("Union", &[&una]).await;
        let other = h.group("Unrelated", &[&otto]).await;
        let gus = group_admin(h, "gus", &group).await;
        h.sign_in(&una).await;
        let mut browser = Browser::of(h, &gus).await;
        browser.get("/console").await.is(200).says("Your groups").says("Union").says_not("Unrelated");
        browser.get("/console?q=u").await.says("una@acme").says("Union").says_not("Unrelated");
        browser.get("/console?q=otto").await.says("Nothing begins with");
        browser.get(&format!("/console?q={otto}")).await.says("Nothing begins with");
        // How many sessions, not which.
        let page = format!("/console/people/{una}");
        browser.get(&page).await.is(200).says("1 session.").says_not("/console/sessions/").says_not("Past terminations");
        let address = Some("198.51.100.7".to_owned());
        h.shop.sign_in("una@acme.example", "k1", Told { address, ..Told::default() });
        browser.get(&format!("{page}/systems")).await.is(200).says("1 session").says_not("198.51.100.7");
        browser.get(&format!("/console/groups/{group}")).await.is(200).says("una@acme").says("2 members");
        browser.get(&format!("/console/groups/{group}/systems")).await.is(200).says("registry");
        browser.get(&format!("/console/people/{otto}")).await.is(404);
        browser.get(&format!("/console/people/{otto}/systems")).await.is(404);
        browser.get(&format!("/console/groups/{other}")).await.is(404);
        browser.get(&format!("/console/groups/{other}/systems")).await.is(404);
    }
}

both! {
    async fn a_large_group_is_shown_by_pages(h: &mut Harness) {
        let group = h.group("Crowd", &[]).await;
        crowd(h, &group, 250).await;
        let mut browser = admin_browser(h).await;
        let first = browser.get(&format!("/console/groups/{group}")).await;
        first.says("250 members").says("crowd100@").says_not("crowd101@").says("Next 100 of 250");
        let next = first.body.split("?after=").nth(1).and_then(|rest| rest.split('#').next()).expect("a next page");
        let second = browser.get(&format!("/console/groups/{group}?after={next}")).await;
        second.says("crowd101@").says("crowd200@").says_not("crowd100@").says("From the beginning");
        let next = second.body.split("?after=").last().and_then(|rest| rest.split('#').next()).expect("a next page");
        browser.get(&format!("/console/groups/{group}?after={next}")).await.says("crowd250@").says_not("Next 100");
    }
}
