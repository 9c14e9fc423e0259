//! Signing in with a password: what is asked, refused, remembered and ended.

use lightsout_server::ops::credentials;

use crate::browser::{Browser, Shown};
use crate::harness::{Harness, both, eventually};

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
