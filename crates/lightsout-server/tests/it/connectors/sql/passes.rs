//! Passes over many rows, long ones, broken ones, and rows that come and go meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lightsout_server::clock::Clock;
use lightsout_server::connector::{Connector, Sql};

use super::super::{Store, counts, target};
use super::SqlStore;
use super::database::Base;
use super::layouts::Layout;

const BASES: [Base; 3] = [Base::Postgres, Base::MySql, Base::Sqlite];

/// Twenty thousand sessions of two thousand users, as one statement.
fn twenty_thousand(store: &SqlStore) -> String {
    let values: Vec<String> = (0..20_000)
        .map(|n| format!("('k{n}', '{{\"passport\": {{\"user\": \"user{}\"}}}}')", n % 2_000))
        .collect();
    format!("INSERT INTO {} (k, v) VALUES {}", store.tables.sessions, values.join(", "))
}

#[tokio::test]
async fn twenty_thousand_rows_are_read_in_pages_and_one_users_end() {
    for base in BASES {
        let store = SqlStore::new(base, Layout::Scan).await;
        store.database.run(&twenty_thousand(&store)).await;
        let targets: Vec<_> = (0..700).map(|n| target(&format!("user{n}"), 1)).collect();
        let ended = store.connector.end(&targets).await.expect("ended").replies;
        assert_eq!(counts(&ended), vec![10; 700], "{base:?}");
        let left = store.database.texts(&format!("SELECT k FROM {}", store.tables.sessions)).await;
        assert_eq!(left.len(), 20_000 - 7_000, "{base:?}");
        assert!(!store.lives("k699").await && store.lives("k700").await);
    }
}

#[tokio::test]
async fn a_pass_goes_on_while_somebody_writes() {
    for base in BASES {
        let store = Arc::new(SqlStore::new(base, Layout::Scan).await);
        store.database.run(&twenty_thousand(&store)).await;
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn({
            let (store, stop) = (store.clone(), stop.clone());
            async move {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    store.sign_in("writer", &format!("w{n}"), None).await;
                    n += 1;
                }
                n
            }
        });
        let targets = [target("user1", 1), target("user2", 1)];
        for pass in 0..3 {
            let ended = store.connector.end(&targets).await.expect("ended").replies;
            assert_eq!(counts(&ended), if pass == 0 { [10, 10] } else { [0, 0] }, "{base:?}");
        }
        stop.store(true, Ordering::Relaxed);
        let written = writer.await.expect("it wrote");
        let of_writer = store.connector.find(&[target("writer", 1)]).await.expect("found").replies;
        assert_eq!(counts(&of_writer), [written], "{base:?}: none of the neighbour's is gone");
    }
}

#[tokio::test]
async fn long_and_broken_values_are_told_and_passed_over() {
    for base in BASES {
        let store = SqlStore::new(base, Layout::Scan).await;
        store.sign_in("ann", "a1", None).await;
        let mut config = store.layout.config(base, &store.tables, &store.database.url);
        config.value_bytes_max = 100;
        let s = &store.tables.sessions;
        let long = format!("{{\"passport\":{{\"user\":\"ann\"}},\"x\":\"{}\"}}", "\u{e9}".repeat(60));
        for (key, value) in
            [("long-session-key", long.as_str()), ("broken", "{\"passport\":"), ("list", "[1]")]
        {
            store.database.run(&format!("INSERT INTO {s} VALUES ('{key}', '{value}')")).await;
        }
        store.database.run(&format!("INSERT INTO {s} VALUES ('none', NULL)")).await;
        let connector = Sql::new(config, Clock::system()).expect("a configuration");
        let answer = connector.end(&[target("ann", 1)]).await.expect("ended");
        assert_eq!(counts(&answer.replies), [1]);
        let notes = answer.notes.join("\n");
        assert!(notes.contains("3 values cannot be read, such as that of bro..."), "{notes}");
        assert!(
            notes.contains("1 values over 100 bytes were not read, such as that of long-ses..."),
            "{notes}"
        );
        assert!(
            !store.lives("a1").await && store.lives("long-session-key").await && store.lives("none").await
        );
    }
}

#[tokio::test]
async fn values_that_nobody_can_read_fail_the_pass_and_a_wrong_path_is_unknown() {
    let store = SqlStore::new(Base::Sqlite, Layout::Scan).await;
    let s = &store.tables.sessions;
    store.database.run(&format!("INSERT INTO {s} VALUES ('a', 'PHP'), ('b', 'serialized')")).await;
    let error = store.connector.end(&[target("ann", 1)]).await.expect_err("nothing is JSON").to_string();
    assert!(error.contains("none of 2 values can be read as Json; is format right?"), "{error}");
    store.database.run(&format!("UPDATE {s} SET v = '{{\"user\": \"ann\"}}'")).await;
    let replies = store.connector.end(&[target("ann", 1)]).await.expect("a doubt").replies;
    assert!(format!("{replies:?}").contains("is user_path right?"), "{replies:?}");
    let looked = store.connector.find(&[]).await.expect("it answers").notes.join("\n");
    assert!(looked.contains("nobody stands at passport.user"), "{looked}");
}

#[tokio::test]
async fn keys_of_every_type_page_and_end() {
    let number = "CREATE TABLE {t} (k bigint PRIMARY KEY, v {text})";
    let uuid = "CREATE TABLE {t} (k {uuid} PRIMARY KEY, v {text})";
    let bytes = "CREATE TABLE {t} (k {bytes} PRIMARY KEY, v {text})";
    for base in BASES {
        for (create, key) in [(number, "n"), (uuid, "u"), (bytes, "b")] {
            let store = SqlStore::new(base, Layout::Scan).await;
            let t = format!("{}_{key}", store.tables.sessions);
            let (text, uuid, bytes) = match base {
                Base::Postgres => ("jsonb", "uuid", "bytea"),
                Base::MySql => ("json", "uuid", "varbinary(20)"),
                Base::Sqlite => ("text", "text", "blob"),
            };
            let create = create.replace("{t}", &t).replace("{text}", text).replace("{uuid}", uuid);
            store.database.run(&create.replace("{bytes}", bytes)).await;
            for n in 0..25_u8 {
                let key = match key {
                    "n" => (i32::from(n) - 5).to_string(),
                    "u" => format!("'0f8fad5b-d9cb-469f-a165-7086772895{n:02x}'"),
                    _ => base.bytes(&[0xff, n]),
                };
                // MySQL compares the empty text with a number as 0, so keys below it are not seen there.
                if base == Base::MySql && key.starts_with('-') || key == "0" {
                    continue;
                }
                let insert =
                    format!("INSERT INTO {t} VALUES ({key}, '{{\"passport\":{{\"user\":\"ann\"}}}}')");
                store.database.run(&insert).await;
            }
            let mut config = store.layout.config(base, &store.tables, &store.database.url);
            config.scan_sql = config.scan_sql.map(|sql| sql.replace(&store.tables.sessions, &t));
            config.end_sql = config.end_sql.map(|sql| sql.replace(&store.tables.sessions, &t));
            config.rows_per_page = 7;
            let rows = store.database.texts(&format!("SELECT '1' FROM {t}")).await.len();
            let connector = Sql::new(config, Clock::system()).expect("a configuration");
            let ended = connector.end(&[target("ann", 1)]).await.expect("ended").replies;
            assert_eq!(counts(&ended), [rows], "{base:?} {key}");
            assert_eq!(store.database.texts(&format!("SELECT '1' FROM {t}")).await.len(), 0);
        }
    }
}
