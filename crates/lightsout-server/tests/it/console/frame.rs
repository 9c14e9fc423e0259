//! What holds for every page.

use crate::browser::Browser;
use crate::harness::both;

both! {
    async fn a_page_of_the_console_needs_a_sign_in_and_says_where_to_come_back(h: &mut Harness) {
        let mut browser = Browser::new(h);
        browser.get("/console?q=ada").await.is(303).sends_to("/sign-in?return_to=%2Fconsole%3Fq%3Dada");
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let shown = browser.get("/console").await;
        shown.is(200).says("ada@acme.example");
        let policy = shown.headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert_eq!(shown.headers["cache-control"], "no-cache, no-store");
    }
}

both! {
    async fn signing_out_ends_the_session_in_the_registry(h: &mut Harness) {
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        browser.get("/console").await.is(200);
        let cookies = browser.cookies.clone();
        browser.post("/sign-out", &[]).await.is(303).sends_to("/sign-in?was=signed_out");
        assert!(browser.cookies.is_empty(), "the cookie is gone");
        browser.cookies = cookies;
        browser.get("/console").await.is(303).sends_to("/sign-in?return_to=%2Fconsole&was=ended");
    }
}

both! {
    async fn ending_a_person_ends_their_console(h: &mut Harness) {
        let user_id = h.user("uma").await;
        let mut browser = Browser::of(h, &user_id).await;
        browser.get("/console").await.is(303).sends_to("/console/account");
        h.advance(1);
        let id = h.terminate(&user_id).await;
        browser.get("/console/account").await.is(303).sends_to("/sign-in?return_to=%2Fconsole%2Faccount&was=ended");
        h.run_until_done(&id).await;
    }
}

both! {
    async fn a_form_without_the_token_of_its_session_is_refused(h: &mut Harness) {
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        browser.post("/sign-out", &[]).await.is(403).says("another site");
        let mut other = Browser::of(h, &admin_id).await;
        other.get("/console").await;
        browser.csrf = other.csrf;
        browser.post("/sign-out", &[]).await.is(403);
        browser.get("/console").await.is(200);
    }
}
