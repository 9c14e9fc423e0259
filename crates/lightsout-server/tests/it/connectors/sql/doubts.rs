//! What must not pass for "nobody is signed in": types that nobody can read, subjects that cannot be
//! there, statements that end nothing, keys that change hands.

use lightsout_server::clock::Clock;
use lightsout_server::connector::{Connector, Reply, Sql, SqlConfig};

use super::super::{Store, counts, target};
use super::SqlStore;
use super::database::Base;
use super::layouts::Layout;

const BASES: [Base; 3] = [Base::Postgres, Base::MySql, Base::Sqlite];

/// A store whose tables are there, and its configuration to be changed.
async fn store(base: Base, layout: Layout) -> (SqlStore, SqlConfig, String) {
    let store = SqlStore::new(base, layout).await;
    let config = store.layout.config(base, &store.tables, &store.database.url);
    let table = store.tables.sessions.clone();
    (store, config, table)
}

fn connector(config: SqlConfig) -> Sql {
    Sql::new(config, Clock::system()).expect("a configuration")
}

fn of_ann(user: &str) -> String {
    format!("{{\"passport\":{{\"user\":\"{user}\"}}}}")
}

#[tokio::test]
async fn keys_and_subjects_that_nobody_can_read_fail_the_pass() {
    for (base, kind) in [(Base::Postgres, "NUMERIC"), (Base::MySql, "DECIMAL"), (Base::Sqlite, "REAL")] {
        let (store, mut config, s) = store(base, Layout::Find).await;
        let decimal = base.pick("numeric", "decimal(20, 1)", "real");
        store.database.run(&format!("DROP TABLE {s}")).await;
        store.database.run(&format!("CREATE TABLE {s} (k {decimal}, who varchar(20), n {decimal})")).await;
        store.database.run(&format!("INSERT INTO {s} VALUES (1.5, '7', 7)")).await;
        let find = |who: &str, key: &str, by: &str| {
            Some(format!("SELECT {who} AS subject, {key} AS session_key FROM {s} WHERE {by} IN (:subjects)"))
        };
        for (find_sql, column) in
            [(find("who", "k", "who"), "session_key"), (find("n", "who", "who"), "subject")]
        {
            config.find_sql = find_sql;
            let connector = connector(config.clone());
            for answer in [connector.find(&[target("7", 1)]).await, connector.end(&[target("7", 1)]).await] {
                let error = answer.expect_err("a row that nobody can read").to_string();
                assert!(error.contains(&format!("find_sql: {column} is {kind}")), "{base:?}: {error}");
            }
        }
        config.find_sql = find("who", "who", "who");
        config.user_sql =
            Some(format!("SELECT who AS subject, n AS user_key FROM {s} WHERE who IN (:subjects)"));
        let error = connector(config).find(&[target("7", 1)]).await.expect_err("no name").to_string();
        assert!(error.contains(&format!("user_sql: user_key is {kind}")), "{base:?}: {error}");
    }
}

#[tokio::test]
async fn rows_of_a_scan_without_readable_keys_fail_the_pass() {
    for base in BASES {
        let (store, config, s) = store(base, Layout::Scan).await;
        let decimal = base.pick("numeric", "decimal(20, 1)", "real");
        store.database.run(&format!("DROP TABLE {s}")).await;
        store.database.run(&format!("CREATE TABLE {s} (k {decimal} PRIMARY KEY, v text)")).await;
        store.database.run(&format!("INSERT INTO {s} VALUES (1.5, '{}')", of_ann("ann"))).await;
        let error = connector(config).find(&[target("ann", 1)]).await.expect_err("no key").to_string();
        assert!(error.contains("scan_sql: session_key is "), "{base:?}: {error}");
    }
}

#[tokio::test]
async fn a_page_whose_last_key_cannot_be_bound_is_not_the_end() {
    let (store, mut config, s) = store(Base::Postgres, Layout::Scan).await;
    for key in ["a", "b"] {
        store.sign_in("ann", key, None).await;
    }
    // A key that is no number comes out, and a number is wanted back.
    config.scan_sql = Some(format!(
        "SELECT k AS session_key, v AS value FROM {s} WHERE length(k) > CAST(:after AS bigint) ORDER BY k LIMIT :limit"
    ));
    config.rows_per_page = 1;
    let error = connector(config).find(&[target("ann", 1)]).await.expect_err("no page follows").to_string();
    assert!(error.contains("scan_sql: session_key"), "{error}");
}

#[tokio::test]
async fn a_subject_that_cannot_stand_in_the_column_is_unknown() {
    for base in BASES {
        let (store, config, s) = store(base, Layout::Find).await;
        store.database.run(&format!("DROP TABLE {s}")).await;
        store.database.run(&format!("CREATE TABLE {s} (k varchar(20), who int, began bigint)")).await;
        store.database.run(&format!("INSERT INTO {s} VALUES ('a1', 7, 1), ('a0', 0, 1)")).await;
        let connector = connector(config);
        for delete in [false, true] {
            let targets = [target("ann", 1), target("7", 1), target("8", 1)];
            let answer = if delete { connector.end(&targets).await } else { connector.find(&targets).await };
            let replies = answer.expect("an answer").replies;
            assert_eq!(counts(&replies[1..]), [1, 0], "{base:?}");
            let fits = matches!(&replies[0], Reply::Unknown(why) if why.contains("the subject does not fit"));
            assert!(fits, "{base:?}: {replies:?}");
        }
    }
}

#[tokio::test]
async fn values_that_are_all_too_long_fail_the_pass() {
    for base in BASES {
        let (store, mut config, _) = store(base, Layout::Scan).await;
        store.sign_in("ann", "a1", None).await;
        config.value_bytes_max = 10;
        let error = connector(config).find(&[target("ann", 1)]).await.expect_err("none is read").to_string();
        assert!(error.contains("none of 1 values can be read, and 1 are over 10 bytes"), "{error}");
    }
}

#[tokio::test]
async fn what_a_page_shows_is_ended_before_a_later_page_fails() {
    let (store, mut config, s) = store(Base::Sqlite, Layout::Scan).await;
    store.sign_in("ann", "a1", None).await;
    store.database.run(&format!("INSERT INTO {s} VALUES ('z', 'no JSON')")).await;
    config.scan_sql = config.scan_sql.map(|sql| sql.replace("v AS value", "json(v) AS value"));
    config.rows_per_page = 1;
    connector(config).end(&[target("ann", 1)]).await.expect_err("the database refuses z");
    assert!(!store.lives("a1").await && store.lives("z").await);
}

#[tokio::test]
async fn a_key_that_changed_hands_since_its_page_was_read_is_spared() {
    let (store, mut config, s) = store(Base::Postgres, Layout::Scan).await;
    store.sign_in("ann", "a1", None).await;
    // The first to read the row sees ann's session, everybody later bob's.
    store.database.run(&format!("CREATE SEQUENCE {s}_reads OWNED BY {s}.k")).await;
    let value = format!(
        "CASE WHEN nextval('{s}_reads') = 1 THEN '{}' ELSE '{}' END AS value",
        of_ann("ann"),
        of_ann("bob")
    );
    config.scan_sql = config.scan_sql.map(|sql| sql.replace("v AS value", &value));
    let ended = connector(config).end(&[target("ann", 1)]).await.expect("an answer").replies;
    assert_eq!(counts(&ended), [0]);
    assert!(store.lives("a1").await, "it is bob's");
}

#[tokio::test]
async fn an_end_that_ends_nothing_fails_the_pass() {
    for base in BASES {
        for layout in [Layout::Find, Layout::Scan] {
            let (store, mut config, _) = store(base, layout).await;
            for key in ["a1", "a2"] {
                store.sign_in("ann", key, None).await;
            }
            config.end_sql = config.end_sql.map(|sql| format!("{sql} AND 1 = 0"));
            let error = connector(config).end(&[target("ann", 1)]).await.expect_err("they stand").to_string();
            assert!(error.contains("end_sql ended none of 2 sessions"), "{base:?} {layout:?}: {error}");
        }
    }
}

#[tokio::test]
async fn sessions_that_end_by_themselves_are_no_fault_of_the_end() {
    for layout in [Layout::Find, Layout::Scan] {
        let (store, mut config, s) = store(Base::Postgres, layout).await;
        store.sign_in("ann", "a1", None).await;
        // The first look finds the session, every later one none.
        store.database.run(&format!("CREATE SEQUENCE {s}_reads OWNED BY {s}.k")).await;
        let once = format!("WHERE nextval('{s}_reads') = 1 AND ");
        config.find_sql = config.find_sql.map(|sql| sql.replace("WHERE ", &once));
        config.scan_sql = config.scan_sql.map(|sql| sql.replace("WHERE ", &once));
        config.end_sql = config.end_sql.map(|sql| format!("{sql} AND 1 = 0"));
        let ended = connector(config).end(&[target("ann", 1)]).await.expect("none is left").replies;
        assert_eq!(counts(&ended), [1], "{layout:?}");
    }
}

#[tokio::test]
async fn keys_that_the_end_cannot_take_fail_the_pass_after_the_others() {
    let (store, mut config, s) = store(Base::Postgres, Layout::Find).await;
    store.database.run(&format!("ALTER TABLE {s} ADD COLUMN n serial")).await;
    for key in ["1", "x"] {
        store.sign_in("ann", key, None).await;
    }
    config.end_sql = Some(format!("DELETE FROM {s} WHERE n IN (:keys)"));
    let error = connector(config).end(&[target("ann", 1)]).await.expect_err("x is no number").to_string();
    assert!(error.contains("end_sql: 1 of 2 keys that were found do not fit its :keys"), "{error}");
    assert!(!store.lives("1").await && store.lives("x").await);
}

#[tokio::test]
async fn a_column_whose_type_was_changed_is_looked_at_anew() {
    let (store, config, s) = store(Base::Postgres, Layout::Find).await;
    store.database.run(&format!("ALTER TABLE {s} ALTER COLUMN who TYPE int USING who::int")).await;
    let connector = connector(config);
    store.database.run(&format!("INSERT INTO {s} VALUES ('a1', 7, 1)")).await;
    assert_eq!(counts(&connector.find(&[target("7", 1)]).await.expect("found").replies), [1]);
    store.database.run(&format!("ALTER TABLE {s} ALTER COLUMN who TYPE text USING who::text")).await;
    connector.end(&[target("7", 1)]).await.expect_err("the type is not what it was");
    assert_eq!(counts(&connector.end(&[target("7", 1)]).await.expect("ended").replies), [1]);
}

#[tokio::test]
async fn a_pass_that_reads_no_users_session_says_so() {
    for base in BASES {
        let (store, config, s) = store(base, Layout::Scan).await;
        let connector = connector(config);
        store.sign_in("ann", "a1", None).await;
        let told =
            |notes: Vec<String>| notes.join("\n").contains("no session read shows a user at passport.user");
        assert!(!told(connector.end(&[target("ann", 1)]).await.expect("ended").notes));
        // The app now keeps its users elsewhere.
        store.database.run(&format!("INSERT INTO {s} VALUES ('a2', '{{\"user\": \"ann\"}}')")).await;
        assert!(told(connector.end(&[target("ann", 1)]).await.expect("a note").notes), "{base:?}");
    }
}
