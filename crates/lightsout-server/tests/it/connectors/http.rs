//! A vendor's API under the suite, by a full recipe and by one without begins; and what is its own.

mod listing;
mod semantics;
mod time;
mod vendor;
mod vendors;

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use lightsout_server::connector::{Connector, Http};
use serde_json::{Value, json};

use self::vendor::{Answer, Request, Vendor, answer, recipe};
use super::{Contents, Store, suite};

/// Looks a person up, lists their sessions page by page, and ends each session by its id.
const FULL: &str = r#"
about = "a vendor of the tests"
source = "https://vendor.example/docs"
secrets = ["token"]
permissions = "everything"
headers = { Authorization = "Bearer {secret.token}" }
holds = { at = "/ok", is = true }
error = "/error"
[lookup]
request = "GET /users"
query = { search = "{subject}" }
list = "/users"
id = "/id"
matches = "/name"
[end]
request = "DELETE /users/{id}/sessions/{session}"
[verify]
request = "GET /users/{id}/sessions"
sessions = "/sessions"
key = "/key"
began_at = "/began_at"
next = { cursor = { at = "/next", parameter = "after" } }
[check]
request = "GET /me"
[rate]
parallel = 16
"#;

pub(super) const TOKEN: &str = "hush-hush";

/// What a vendor stores. Everybody whom it is asked for has an account.
#[derive(Default)]
pub(super) struct Accounts {
    sessions: BTreeMap<String, (String, Option<i64>)>,
}

impl Accounts {
    /// Two a page, by keys.
    fn page(&self, name: &str, after: Option<String>) -> Value {
        let own = self.sessions.iter().filter(|(_, (owner, _))| owner == name);
        let mut left = own.filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after)).peekable();
        let shown = |(key, (_, began_at)): (&String, &(String, Option<i64>))| json!({"key": key, "began_at": began_at});
        let page: Vec<Value> = left.by_ref().take(2).map(shown).collect();
        let next = left.peek().and_then(|_| page.last()).map(|last| last["key"].clone());
        json!({"ok": true, "sessions": page, "next": next})
    }
}

/// Answers as [`FULL`] has it. The search also finds who is called alike.
fn play(accounts: &mut Accounts, request: &Request) -> Answer {
    if request.header("authorization") != format!("Bearer {TOKEN}") {
        return answer(401, json!({"ok": false, "error": "invalid_token"}));
    }
    let parts = request.parts();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["me"]) => answer(200, json!({"ok": true})),
        ("GET", ["users"]) => {
            let name = request.query("search").expect("a name");
            let alike = [format!("{name}x"), name.to_uppercase() + " ", name];
            let users: Vec<Value> =
                alike.iter().map(|name| json!({"name": name, "id": format!("/id?#of {name}")})).collect();
            answer(200, json!({"ok": true, "users": users}))
        }
        ("GET", ["users", id, "sessions"]) => {
            let name = id.strip_prefix("/id?#of ").expect("an id of ours");
            answer(200, accounts.page(name, request.query("after")))
        }
        ("DELETE", ["users", id, "sessions", key]) => {
            let name = id.strip_prefix("/id?#of ").expect("an id of ours");
            assert_eq!(accounts.sessions.get(*key).map(|(owner, _)| owner.as_str()), Some(name));
            accounts.sessions.remove(*key);
            answer(200, json!({"ok": true}))
        }
        _ => answer(404, json!({"ok": false, "error": "no_such_route"})),
    }
}

struct VendorStore {
    vendor: Vendor<Accounts>,
    connector: Http,
    dated: bool,
    _recipe: tempfile::TempDir,
}

impl VendorStore {
    async fn new(dated: bool) -> Self {
        let text = if dated { FULL.to_owned() } else { FULL.replace("began_at = \"/began_at\"", "") };
        let (folder, file) = recipe(&text);
        let vendor = Vendor::start(Accounts::default(), play).await;
        let connector = vendor.connector(json!({"recipe": file, "secrets": {"token": TOKEN}}));
        Self { vendor, connector, dated, _recipe: folder }
    }
}

impl Store for VendorStore {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn sign_in<'a>(&'a self, subject: &'a str, key: &'a str, began_at: Option<i64>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let session = (subject.to_owned(), began_at);
            self.vendor.with(|accounts| accounts.sessions.insert(key.to_owned(), session));
        })
    }

    fn lives<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.vendor.with(|accounts| accounts.sessions.contains_key(key)) })
    }

    fn knows_begins(&self) -> bool {
        self.dated
    }

    fn contents(&self) -> BoxFuture<'_, Contents> {
        let row = |(key, stored): (&String, &(String, Option<i64>))| {
            (key.clone().into_bytes(), format!("{stored:?}").into_bytes())
        };
        Box::pin(async move { self.vendor.with(|accounts| accounts.sessions.iter().map(row).collect()) })
    }
}

suite!(with_begins, VendorStore::new(true).await);
suite!(without_begins, VendorStore::new(false).await);
