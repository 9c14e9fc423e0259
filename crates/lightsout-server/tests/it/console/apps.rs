//! The apps' page: what managers see of each, and what nobody does.

use lightsout_server::ops::admin::{self, NewApp};

use crate::browser::Browser;
use crate::harness::{both, words};

/// A key that signs nothing.
const PUBLIC_PEM: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo\n4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0/IzW7yWR7QkrmBL7jTKEn5u\n+qKhbwKfBstIs+bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyeh\nkd3qqGElvW/VDL5AaWTg0nLVkjRo9z+40RQzuVaE8AkAFmxZzow3x+VJYKdjykkJ\n0iT9wCS0DRTXu269V264Vf/3jvredZiKRkgwlL9xNAwxXFg0x/XFw005UWVRIKdg\ncKWTjpBP2dPwVZ4WWC+9aGVd+Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbc\nmwIDAQAB\n-----END PUBLIC KEY-----\n";

both! {
    async fn managers_see_the_apps_and_no_secret(h: &mut Harness) {
        let evil = NewApp {
            enterprise_id: h.enterprise_id.clone(),
            name: "<img src=x>".to_owned(),
            scopes: words("manage_managed_users"),
            may_end_admins: true,
            user_tokens: true,
            ..NewApp::default()
        };
        let (client_id, secret) = admin::create_app(&h.app, &evil).await.expect("an app");
        admin::add_key(&h.app, &client_id.0, PUBLIC_PEM).await.expect("a key");
        let (_, zoe) = admin::create_enterprise(&h.app, "Other", "zoe@other.example", "Zoe").await.expect("made");
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let shown = browser.get("/console/apps").await;
        shown.is(200).says(&client_id.0).says("registrar").says(&h.credentials.0);
        shown.says("&lt;img src=x&gt;").says_not("<img src=x>");
        shown.says("end the sessions of admins and coadmins; ask for the tokens of users, admins and coadmins; sign in with an assertion");
        shown.says("<dt>Public keys</dt><dd>1</dd>").says("the one that it was made with");
        shown.says("lightsout admin app").says(&format!("--enterprise {}", h.enterprise_id));
        for hidden in [&secret, &h.credentials.1] {
            shown.says_not(hidden).says_not(&lightsout_server::random::sha256(hidden));
        }
        let mut browser = Browser::of(h, &zoe.0).await;
        browser.get("/console/apps").await.is(200).says("There is no app yet").says_not(&client_id.0);
        let uma = h.user("uma").await;
        let mut browser = Browser::of(h, &uma).await;
        browser.get("/console/apps").await.is(403).says("only admins and coadmins may see the apps").says_not(&client_id.0);
        browser.get("/console/apps?after=x").await.is(403);
    }
}

both! {
    async fn more_than_a_hundred_apps_page(h: &mut Harness) {
        for n in 0..100 {
            let new = NewApp { enterprise_id: h.enterprise_id.clone(), name: format!("app {n}"), ..NewApp::default() };
            admin::create_app(&h.app, &new).await.expect("an app");
        }
        let admin_id = h.admin_id.clone();
        let mut browser = Browser::of(h, &admin_id).await;
        let shown = browser.get("/console/apps").await;
        assert_eq!(shown.body.matches("<dt>Client id</dt>").count(), 100);
        let next = shown.body.split("href=\"/console/apps?after=").nth(1).expect("more");
        let next = next.split('"').next().expect("an id");
        let shown = browser.get(&format!("/console/apps?after={next}")).await;
        assert_eq!(shown.body.matches("<dt>Client id</dt>").count(), 1);
    }
}
