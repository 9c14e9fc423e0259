//! Sids that are looked up in the provider's own store, besides those that were registered.

use lightsout_client::api::TerminationState;
use sqlx::{Connection, Executor};

use super::party::Does;
use super::*;
use crate::harness::START_MS;

const SQL: &str = "SELECT account AS subject, sid, sub, began_at FROM sessions \
                   WHERE account IN (:subjects) AND client = :client_id";

/// A provider's store in a SQLite file: account, client, sid, sub, begin.
struct Store(tempfile::TempDir);

impl Store {
    async fn new() -> Self {
        let store = Self(tempfile::tempdir().expect("a folder"));
        store
            .run("CREATE TABLE sessions (account TEXT, client TEXT, sid TEXT, sub TEXT, began_at BIGINT)")
            .await;
        store
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.0.path().join("provider.db").display())
    }

    async fn run(&self, sql: &str) {
        let mut connection =
            sqlx::SqliteConnection::connect(&format!("{}?mode=rwc", self.url())).await.expect("it opens");
        connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.expect("it runs");
        connection.close().await.expect("it closes");
    }

    async fn sign_in(&self, wiki: &Wiki, account: &str, client: &str, sid: &str, began_at: Option<i64>) {
        wiki.party.seen().alive.insert(sid.to_owned());
        let began_at = began_at.map_or("NULL".to_owned(), |at| at.to_string());
        self.run(&format!(
            "INSERT INTO sessions VALUES ('{account}', '{client}', '{sid}', 'sub-{sid}', {began_at})"
        ))
        .await;
    }

    fn keys(&self) -> Value {
        json!({"sids_url": self.url(), "sids_sql": SQL, "probe": true})
    }
}

#[tokio::test]
async fn sids_of_the_providers_store_are_told_besides_the_registered_ones() {
    for database in [Database::Sqlite, Database::Postgres] {
        let store = Store::new().await;
        let wiki = Wiki::start(database, store.keys()).await;
        let (ann, bob) = (wiki.h.user("ann").await, wiki.h.user("bob").await);
        wiki.sign_in(&ann, "registered").await;
        store.sign_in(&wiki, &ann, CLIENT_ID, "registered", Some(START_MS)).await;
        store.sign_in(&wiki, &ann, CLIENT_ID, "stored", Some(START_MS)).await;
        store.sign_in(&wiki, &ann, CLIENT_ID, "later", Some(START_MS + 3_600_000)).await;
        store.sign_in(&wiki, &ann, "another", "elsewhere", Some(START_MS)).await;
        store.sign_in(&wiki, &bob, CLIENT_ID, "bobs", Some(START_MS)).await;

        let request =
            CreateTermination { user_ids: vec![ann.as_str().into()], ..CreateTermination::default() };
        let preview = wiki.h.admin.preview_termination(&request).await.expect("a preview");
        let counted = preview.systems.iter().find(|s| s.system == "wiki").and_then(|s| s.sessions);
        assert_eq!(counted, Some(3));
        let noted = wiki.h.app.db.count_oidc_sessions(ISSUER, CLIENT_ID, START_MS).await.expect("a count");
        assert_eq!(noted, 1, "a preview notes nothing");

        let outcome = wiki.end(&ann).await;
        assert_eq!((outcome.outcome, outcome.sessions_ended), (OutcomeState::Ended, 2), "{outcome:?}");
        assert_eq!(sorted(wiki.party.sids()), ["registered", "stored"]);
        assert!(["later", "elsewhere", "bobs"].iter().all(|sid| wiki.party.lives(sid)));
        let subs: Vec<Value> = wiki.party.calls().iter().map(|call| call.claims["sub"].clone()).collect();
        assert!(subs.contains(&json!(format!("sub of {ann}"))) && subs.contains(&json!("sub-stored")));
        wiki.finish().await;
    }
}

#[tokio::test]
async fn what_the_store_shows_lives_although_its_registration_has_expired() {
    for database in [Database::Sqlite, Database::Postgres] {
        let store = Store::new().await;
        let wiki = Wiki::start(database, store.keys()).await;
        let ann = wiki.h.user("ann").await;
        let expires_at = jiff::Timestamp::from_millisecond(START_MS + 60_000).expect("in range");
        let short = RegisterSession { expires_at: Some(expires_at), ..RegisterSession::default() };
        wiki.register(&ann, "a1", short).await;
        store.sign_in(&wiki, &ann, CLIENT_ID, "a1", Some(START_MS)).await;
        wiki.h.advance(61_000);

        let request =
            CreateTermination { user_ids: vec![ann.as_str().into()], ..CreateTermination::default() };
        let preview = wiki.h.admin.preview_termination(&request).await.expect("a preview");
        let counted = preview.systems.iter().find(|s| s.system == "wiki").and_then(|s| s.sessions);
        assert_eq!(counted, Some(1));
        let outcome = wiki.end(&ann).await;
        assert_eq!((outcome.outcome, outcome.sessions_ended), (OutcomeState::Ended, 1), "{outcome:?}");
        assert!(!wiki.party.lives("a1"));
        wiki.finish().await;
    }
}

#[tokio::test]
async fn what_the_store_showed_once_is_told_again_although_the_store_forgot_it() {
    let store = Store::new().await;
    let wiki = Wiki::start(Database::Sqlite, store.keys()).await;
    let ann = wiki.h.user("ann").await;
    store.sign_in(&wiki, &ann, CLIENT_ID, "a1", None).await;
    wiki.party.does(Does::Answers(503, Some("0")));
    let id = wiki.terminate(&[&ann]).await;
    wiki.h.run_jobs().await;
    // The provider's session ends, and with it what its store knows.
    store.run("DELETE FROM sessions").await;
    wiki.party.does(Does::Ends);
    assert_eq!(wiki.h.run_until_done(&id).await.state, TerminationState::Done);
    assert!(!wiki.party.lives("a1"));
    let outcome = wiki.outcome(&id, &ann).await;
    assert_eq!((outcome.outcome, outcome.sessions_ended), (OutcomeState::Ended, 1));
    wiki.finish().await;
}

#[tokio::test]
async fn a_sign_in_of_unknown_begin_after_the_verdict_is_left_alone() {
    let store = Store::new().await;
    let wiki = Wiki::start(Database::Sqlite, store.keys()).await;
    let ann = wiki.h.user("ann").await;
    store.sign_in(&wiki, &ann, CLIENT_ID, "a1", None).await;
    assert_eq!(wiki.end(&ann).await.outcome, OutcomeState::Ended);
    store.sign_in(&wiki, &ann, CLIENT_ID, "a2", None).await;
    wiki.h.run_jobs().await;
    assert!(wiki.party.lives("a2") && !wiki.party.lives("a1"));
    wiki.finish().await;
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_holds_up_the_verdict_and_shows_no_password() {
    let nowhere = json!({"sids_url": "postgres://ann:hunter2@127.0.0.1:1/provider", "sids_sql": SQL});
    let store = Store::new().await;
    let no_sid = json!({
        "sids_url": store.url(),
        "sids_sql": "SELECT account AS subject, sid AS session FROM sessions WHERE account IN (:subjects)",
    });
    for (more, words) in [(nowhere, "PostgreSQL: no connection"), (no_sid, "sids_sql: it selects no sid")] {
        let wiki = Wiki::start(Database::Sqlite, more).await;
        let ann = wiki.h.user("ann").await;
        wiki.sign_in(&ann, "a1").await;
        let id = wiki.terminate(&[&ann]).await;
        wiki.h.run_jobs().await;
        let outcome = wiki.outcome(&id, &ann).await;
        let detail = outcome.detail.expect("why");
        assert_eq!(outcome.outcome, OutcomeState::Unreachable);
        assert!(detail.contains(words) && !detail.contains("hunter2"), "{detail}");
        assert!(!wiki.party.lives("a1"), "who is registered is told all the same");
        assert_eq!(wiki.party.sids(), ["a1"]);
        wiki.h.advance(26 * 3_600_000);
        wiki.h.run_until_done(&id).await;
        assert_eq!(wiki.outcome(&id, &ann).await.outcome, OutcomeState::GaveUp);
        assert_eq!(wiki.party.sids(), ["a1"], "once is enough");
        wiki.finish().await;
    }
}
