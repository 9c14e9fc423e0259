//! Signing in with a password: what is asked, refused, remembered and ended.

use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use lightsout_server::args;
use lightsout_server::http::LimitsConfig;
use lightsout_server::ops::{account, credentials, sign_in};
use lightsout_server::server::retention;
use sqlx::{Connection, Executor, PgConnection};

use crate::browser::{Browser, Shown};
use crate::harness::{Database, Harness, both, eventually};

pub(crate) const PASSWORD: &str = "a horse in the rain";

/// Signs a person in with a password, and returns the answer to the form.
pub(crate) async fn enter(browser: &mut Browser, login: &str, password: &str) -> Shown {
    browser.get("/sign-in").await.is(200);
    browser.post("/sign-in", &[("login", login), ("password", password)]).await
}

/// The events of a type, newest last: their bodies.
pub(crate) async fn events(h: &Harness, event_type: &str) -> Vec<serde_json::Value> {
    let filter = lightsout_server::store::EventFilter {
        enterprise_id: h.enterprise_id.clone(),
        event_types: vec![event_type.to_owned()],
        ..Default::default()
    };
    let rows = h.app.db.list_events(&filter, 500).await.expect("the log");
    rows.into_iter().map(|row| serde_json::from_str(&row.body).expect("JSON")).collect()
}

both! {
    async fn a_password_signs_in_and_leads_where_one_came_from(h: &mut Harness) {
        credentials::set_password(&h.app, "ada@acme.example", PASSWORD).await.expect("set");
        let mut browser = Browser::new(h);
        let to = browser.get("/console?q=ada").await.location.expect("to the sign-in page");
        browser.get(&to).await.is(200).says("name=\"return_to\" value=\"/console?q=ada\"");
        let fields = [("login", "Ada@Acme.example "), ("password", PASSWORD), ("return_to", "/console?q=ada")];
        browser.post("/sign-in", &fields).await.is(303).sends_to("/console?q=ada");
        browser.get("/console?q=ada").await.is(200).says("ada@acme.example");
        browser.get("/sign-in").await.is(303).sends_to("/console");
        let logins = events(h, "LOGIN").await;
        assert_eq!(logins.len(), 1);
        assert_eq!(logins[0]["additional_details"]["by"], "password");
        assert_eq!(logins[0]["source"]["login"], "ada@acme.example");
    }
}

both! {
    async fn whatever_is_wrong_the_answer_is_the_same(h: &mut Harness) {
        credentials::set_password(&h.app, "ada@acme.example", PASSWORD).await.expect("set");
        h.user("ann").await;
        let service = format!("AutomationUser_{}@apps.lightsout.invalid", h.credentials.0);
        let mut pages = Vec::new();
        for login in ["ada@acme.example", "nobody@acme.example", "ann@acme.example", service.as_str()] {
            let shown = enter(&mut Browser::new(h), login, "not the password").await;
            shown.is(400).says("The login or the password is not right.");
            pages.push(shown.body.replace(login, "LOGIN").split("name=\"csrf\"").next().map(ToOwned::to_owned));
        }
        assert!(pages.iter().all(|page| *page == pages[0]));
        // Known logins leave a trace, unknown ones do not.
        eventually(async || events(h, "FAILED_LOGIN").await.len() == 3).await;
        let failed = events(h, "FAILED_LOGIN").await;
        assert!(!format!("{failed:?}").contains("not the password"));
    }
}

/// How many rows a count finds.
pub(crate) async fn rows(h: &Harness, count: &'static str) -> i64 {
    let row: Option<(i64,)> = h.app.db.find(count, args![]).await.expect("the database works");
    row.expect("a count").0
}

fn limits(of_address: u32, of_account: u32) -> LimitsConfig {
    LimitsConfig {
        sign_ins_per_minute: NonZeroU32::new(of_address).expect("not zero"),
        sign_ins_of_account_per_hour: NonZeroU32::new(of_account).expect("not zero"),
        ..LimitsConfig::default()
    }
}

both! {
    async fn an_account_is_throttled_whether_it_exists_or_not(h: &mut Harness) {
        credentials::set_password(&h.app, "ada@acme.example", PASSWORD).await.expect("set");
        let base = h.serve_with(limits(100, 3), Vec::new()).await;
        for login in ["ada@acme.example", "nobody@acme.example"] {
            let mut browser = Browser::at(&base);
            for _ in 0..3 {
                enter(&mut browser, login, "not the password").await.is(400);
            }
            let refused = enter(&mut browser, &login.to_uppercase(), PASSWORD).await;
            refused.is(429).says("Too many tries. Try again in 20 minutes.");
            assert_eq!(refused.headers["retry-after"], "1200");
        }
        // The log is not flooded either.
        eventually(async || events(h, "FAILED_LOGIN").await.len() == 3).await;
        h.advance(1_200_000);
        let mut browser = Browser::at(&base);
        enter(&mut browser, "ada@acme.example", PASSWORD).await.is(303).sends_to("/console");
        // Who has signed in begins anew.
        let mut browser = Browser::at(&base);
        for _ in 0..3 {
            enter(&mut browser, "ada@acme.example", "not the password").await.is(400);
        }
    }
}

both! {
    async fn an_address_is_throttled_and_a_success_gives_nothing_back(h: &mut Harness) {
        credentials::set_password(&h.app, "ada@acme.example", PASSWORD).await.expect("set");
        let base = h.serve_with(limits(2, 100), Vec::new()).await;
        enter(&mut Browser::at(&base), "ada@acme.example", PASSWORD).await.is(303);
        enter(&mut Browser::at(&base), "x@acme.example", "not the password").await.is(400);
        let refused = enter(&mut Browser::at(&base), "y@acme.example", "not the password").await;
        refused.is(429).says("Too many tries. Try again in");
        assert!(refused.headers.contains_key("retry-after"));
    }
}

both! {
    async fn each_sign_in_has_a_new_session_and_ends_the_one_before(h: &mut Harness) {
        credentials::set_password(&h.app, "ada@acme.example", PASSWORD).await.expect("set");
        let mut browser = Browser::new(h);
        browser.get("/sign-in").await;
        let form = browser.csrf.clone();
        enter(&mut browser, "ada@acme.example", PASSWORD).await.is(303);
        let first = browser.cookies["lightsout_session"].clone();
        browser.csrf = form;
        let fields = [("login", "ada@acme.example"), ("password", PASSWORD)];
        browser.post("/sign-in", &fields).await.is(303);
        assert_ne!(browser.cookies["lightsout_session"], first);
        browser.get("/console/account").await.is(200);
        browser.cookies.insert("lightsout_session".to_owned(), first);
        browser.get("/console/account").await.is(303).sends_to("/sign-in?");
        browser.get("/sign-in?was=ended").await.is(200).says("Your session has ended.");
        browser.get("/sign-in?was=signed_out").await.is(200).says("You are signed out.");
    }
}

both! {
    async fn a_changed_password_throws_everybody_else_out(h: &mut Harness) {
        credentials::set_password(&h.app, "ada@acme.example", PASSWORD).await.expect("set");
        let (mut mine, mut thief) = (Browser::new(h), Browser::new(h));
        enter(&mut mine, "ada@acme.example", PASSWORD).await.is(303);
        enter(&mut thief, "ada@acme.example", PASSWORD).await.is(303);
        // A sign-in of the thief is under way, and a link was made.
        let proof = credentials::check_password(&h.app, "ada@acme.example", PASSWORD).await.expect("it works");
        let proof = proof.expect("right");
        let link = credentials::create_password_link(&h.app, "ada@acme.example").await.expect("a link");
        h.advance(1);

        mine.get("/console/account").await.is(200);
        let new = "a cat in the sun";
        let change = |old, new, again| [("old", old), ("password", new), ("again", again)];
        let path = "/console/account/password";
        mine.post(path, &change("not the password", new, new)).await.is(400).says("The old password is not right.");
        mine.post(path, &change(PASSWORD, new, "a cat in the shade")).await.is(400).says("not the same");
        mine.post(path, &change(PASSWORD, "short", "short")).await.is(400).says("12 to 256 characters");
        mine.post(path, &change(PASSWORD, "ADA@acme.example", "ADA@acme.example")).await.is(400).says("is the login");
        thief.get("/console/account").await.is(200);
        mine.post(path, &change(PASSWORD, new, new)).await.is(303).sends_to("/console/account?done=password");

        mine.get("/console/account?done=password").await.is(200).says("The password is changed.");
        thief.get("/console/account").await.is(303).sends_to("/sign-in?");
        enter(&mut thief, "ada@acme.example", PASSWORD).await.is(400);
        let late = sign_in::go_on(&h.app, &proof, &sign_in::Origin::default(), "/console").await;
        assert!(late.expect_err("too late").to_string().contains("your account was changed"));
        assert!(credentials::find_password_link(&h.app, &link).await.expect("it works").is_none());
        let ended = events(h, "SESSION_ENDED").await;
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0]["created_by"]["login"], "ada@acme.example");
        let changed = events(h, "PASSWORD_CHANGED").await;
        assert_eq!(changed[0]["additional_details"]["by"], "operator");
        assert_eq!(changed[1]["created_by"]["login"], "ada@acme.example");
        assert!(!format!("{changed:?}").contains(new));
    }
}

both! {
    async fn a_link_sets_a_password_once_within_a_day(h: &mut Harness) {
        h.user("ann").await;
        let link = credentials::create_password_link(&h.app, "ann@acme.example").await.expect("a link");
        let path = format!("/set-password/{link}");
        let mut browser = Browser::new(h);
        for _ in 0..2 {
            browser.get(&path).await.is(200).says("ann@acme.example").says_not(PASSWORD);
        }
        browser.post(&path, &[("password", PASSWORD), ("again", "another one, longer")]).await.is(400).says("not the same");
        browser.post(&path, &[("password", "short"), ("again", "short")]).await.is(400).says("12 to 256 characters");
        let fields = [("password", PASSWORD), ("again", PASSWORD)];
        browser.post(&path, &fields).await.is(303).sends_to("/sign-in?was=password_set");
        browser.post(&path, &fields).await.is(404).says("This link has expired");
        browser.get(&path).await.is(404);
        enter(&mut browser, "ann@acme.example", PASSWORD).await.is(303);

        let link = credentials::create_password_link(&h.app, "ann@acme.example").await.expect("a link");
        let stored: Option<(String,)> = h
            .app
            .db
            .find("SELECT link_hash FROM password_links", args![])
            .await
            .expect("the database works");
        assert_ne!(stored.expect("a row").0, link, "only its digest is stored");
        h.advance(credentials::LINK_LIFE_MS);
        browser.get(&format!("/set-password/{link}")).await.is(404).says("older than 24 hours");
        browser.get("/set-password/nothing").await.is(404);
        h.prune(&retention(&h.app)).await;
        assert_eq!(rows(h, "SELECT count(*) FROM password_links").await, 0);
    }
}

both! {
    async fn only_people_have_passwords_and_only_good_ones(h: &mut Harness) {
        let service = format!("AutomationUser_{}@apps.lightsout.invalid", h.credentials.0);
        for (login, password, why) in [
            (service.as_str(), PASSWORD, "service account"),
            ("nobody@acme.example", PASSWORD, "not found"),
            ("ada@acme.example", "elevenchars", "12 to 256"),
            ("ada@acme.example", "ada@acme.example", "is the login"),
        ] {
            let error = credentials::set_password(&h.app, login, password).await.expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
        }
        credentials::create_password_link(&h.app, &service).await.expect_err("a service account");
        assert_eq!(rows(h, "SELECT count(*) FROM passwords").await, 0);
    }
}

both! {
    async fn a_hash_of_other_parameters_is_made_anew_at_the_next_sign_in(h: &mut Harness) {
        let params = Params::new(1_024, 1, 1, None).expect("in range");
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let weak = weak.hash_password_with_salt(PASSWORD.as_bytes(), b"0123456789abcdef").expect("a hash");
        let mut tx = h.app.db.begin().await.expect("a transaction");
        tx.upsert_password(&h.admin_id, &weak.to_string(), 1).await.expect("stored");
        tx.commit().await.expect("committed");
        enter(&mut Browser::new(h), "ada@acme.example", "not the password").await.is(400);
        enter(&mut Browser::new(h), "ada@acme.example", PASSWORD).await.is(303);
        let row = h.app.db.find_sign_in("ada@acme.example").await.expect("it works").expect("a row");
        assert!(row.password_hash.expect("a hash").starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(row.password_set_at, Some(1), "it is the same password");
        enter(&mut Browser::new(h), "ada@acme.example", PASSWORD).await.is(303);
    }
}

both! {
    async fn a_plain_user_has_an_account_and_ends_only_their_own_sign_ins(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let (mut mine, mut other) = (Browser::of(h, &ann).await, Browser::of(h, &ann).await);
        let mut bobs = Browser::of(h, &bob).await;
        h.sign_in(&ann).await;
        mine.get("/console").await.is(303).sends_to("/console/account");
        let page = mine.get("/console/account").await;
        page.is(200).says("You manage nobody here").says("test browser").says("You have no password");
        assert_eq!(page.body.matches("/console/account/sessions/").count(), 1, "the other one only");

        let bob_sessions = h.app.db.list_sessions(&bob, "", 0, 10).await.expect("sessions");
        let path = |hash: &str| format!("/console/account/sessions/{hash}/end");
        mine.post(&path(&bob_sessions[0].session_hash), &[]).await.is(303);
        bobs.get("/console/account").await.is(200);
        let action = page.body.split("/console/account/sessions/").nth(1).expect("a form");
        let hash = action.split('/').next().expect("a hash");
        for _ in 0..2 {
            mine.post(&path(hash), &[]).await.is(303).sends_to("/console/account?done=ended");
        }
        other.get("/console/account").await.is(303).sends_to("/sign-in?");
        mine.get("/console/account").await.is(200).says("this one");
        let caller = sign_in::authenticate(&h.app, &mine.cookies["lightsout_session"]).await.expect("it works");
        let read = account::read(&h.app, &caller.expect("signed in")).await.expect("an account");
        assert_eq!(read.sessions.len(), 1, "an app's session is none of the console's");
    }
}

both! {
    async fn who_is_inactive_or_deleted_does_not_sign_in(h: &mut Harness) {
        let ann = h.user("ann").await;
        credentials::set_password(&h.app, "ann@acme.example", PASSWORD).await.expect("set");
        let mut tx = h.app.db.begin().await.expect("a transaction");
        tx.execute("UPDATE users SET status = 'inactive' WHERE user_id = $1", args![&ann]).await.expect("set");
        tx.commit().await.expect("committed");
        let shown = enter(&mut Browser::new(h), "ann@acme.example", PASSWORD).await;
        shown.is(400).says("The login or the password is not right.");
        let id = h.terminate(&ann).await;
        h.run_until_done(&id).await;
        h.admin.delete_user(&ann).await.expect("deleted");
        assert_eq!(rows(h, "SELECT count(*) FROM passwords").await, 0);
        h.run_jobs().await;
        h.advance(60_000);
        h.run_jobs().await;
        h.advance(60_000);
        h.run_jobs().await;
    }
}

both! {
    async fn a_sign_in_form_of_another_site_is_refused(h: &mut Harness) {
        credentials::set_password(&h.app, "ada@acme.example", PASSWORD).await.expect("set");
        let mut browser = Browser::new(h);
        let fields = [("login", "ada@acme.example"), ("password", PASSWORD)];
        browser.post("/sign-in", &fields).await.is(403).says("another site");
        let mut attacker = Browser::new(h);
        attacker.get("/sign-in").await;
        browser.get("/sign-in").await;
        browser.csrf = attacker.csrf;
        browser.post("/sign-in", &fields).await.is(403);
        browser.get("/console").await.is(303);
    }
}

/// SQLite has one writer, so that nothing commits in the middle of a sign-in.
#[tokio::test]
async fn a_termination_that_commits_in_the_middle_of_a_sign_in_ends_it() {
    let h = Harness::start(Database::Postgres).await;
    let ann = h.user("ann").await;
    credentials::set_password(&h.app, "ann@acme.example", PASSWORD).await.expect("set");
    let mut lock = PgConnection::connect(&h.database_url).await.expect("PostgreSQL answers");
    lock.execute("BEGIN; LOCK TABLE sessions IN SHARE MODE").await.expect("a lock");
    let mut browser = Browser::new(&h);
    let entered = tokio::spawn(async move { enter(&mut browser, "ann@acme.example", PASSWORD).await });
    // The password was right, and the session is about to be written.
    let waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass";
    eventually(async || lock.fetch_optional(waits).await.expect("an answer").is_some()).await;
    let id = h.terminate(&ann).await;
    h.advance(1);
    lock.execute("COMMIT").await.expect("unlocked");
    entered.await.expect("an answer").is(409).says("Your sessions were ended while you signed in");
    assert_eq!(rows(&h, "SELECT count(*) FROM sessions").await, 0);
    assert!(events(&h, "LOGIN").await.is_empty());
    h.run_until_done(&id).await;
    h.finish().await;
}
