//! What goes wrong is said in plain words, without addresses, people, passwords or values.

use lightsout_server::clock::Clock;
use lightsout_server::config::Config;
use lightsout_server::connector::{Connector, ConnectorError, Path, Sql, SqlConfig, SqlPreset};

use super::super::{Store, counts, target};
use super::SqlStore;
use super::database::{Base, Database};
use super::layouts::Layout;

const BASES: [Base; 3] = [Base::Postgres, Base::MySql, Base::Sqlite];

fn connector(config: SqlConfig) -> Sql {
    Sql::new(config, Clock::system()).expect("a configuration")
}

async fn failure(config: SqlConfig) -> String {
    let connector = connector(config);
    let looked = connector.find(&[]).await.expect_err("it cannot work").to_string();
    let ended = connector.end(&[target("ann", 1)]).await;
    assert!(
        ended.is_err() || looked.contains("permission denied") || looked.contains("read-only"),
        "{ended:?}"
    );
    for secret in ["hunter2", "127.0.0.1", "localhost", "nosuchuser", "lightsout_r"] {
        assert!(!looked.contains(secret) && !format!("{connector:?}").contains("hunter2"), "{looked}");
    }
    looked
}

fn django(url: &str) -> SqlConfig {
    SqlConfig { preset: Some(SqlPreset::Django), ..SqlConfig::new(url) }
}

/// The url of the same server with another user, password and database.
fn other(url: &str, user: &str, database: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a url");
    let (_, rest) = rest.rsplit_once('@').expect("a user");
    let (host, _) = rest.split_once('/').expect("a database");
    format!("{scheme}://{user}@{host}/{database}")
}

#[tokio::test]
async fn a_missing_table_or_column_is_named_with_its_statement() {
    for base in BASES {
        let store = SqlStore::new(base, Layout::Django).await;
        let missing = SqlConfig {
            table: Some("no_such_table".to_owned()),
            user_column: Some(String::new()),
            ..django(&store.database.url)
        };
        let error = failure(missing).await;
        assert!(error.contains("scan_sql") && error.contains("no_such_table"), "{error}");
        let mut config = store.layout.config(base, &store.tables, &store.database.url);
        config.user_column = Some("no_such_column".to_owned());
        let error = failure(config).await;
        assert!(error.contains("user_sql") && error.contains("no_such_column"), "{error}");
        let mut config = store.layout.config(base, &store.tables, &store.database.url);
        let s = &store.tables.sessions;
        config.find_sql = Some(format!("SELECT session_key FROM {s} WHERE session_key IN (:subjects)"));
        assert!(failure(config).await.contains("find_sql: it selects no subject"));
    }
}

#[tokio::test]
async fn a_server_that_is_away_or_refuses_is_told_apart() {
    for (base, url) in [
        (Base::Postgres, "postgres://a:hunter2@127.0.0.1:1/d"),
        (Base::MySql, "mysql://a:hunter2@127.0.0.1:1/d"),
    ] {
        let away = connector(django(url)).find(&[]).await.expect_err("nothing listens there");
        assert!(matches!(away, ConnectorError::Unreachable(_)), "{base:?}: {away}");
    }
    let database = Database::new(Base::MySql).await;
    let error = failure(django(&other(&database.url, "nosuchuser:hunter2", "lightsout"))).await;
    assert!(error.contains("refuses this user or password"), "{error}");
    for base in [Base::Postgres, Base::MySql] {
        let database = Database::new(base).await;
        let user = database.url.split("://").nth(1).and_then(|rest| rest.split('@').next()).expect("a user");
        let error = failure(django(&other(&database.url, user, "no_such_database"))).await;
        assert!(error.contains("no such database"), "{error}");
    }
}

#[tokio::test]
async fn a_right_that_is_not_granted_is_found_before_anybody_is_ended() {
    for base in [Base::Postgres, Base::MySql] {
        let store = SqlStore::new(base, Layout::Scan).await;
        store.sign_in("ann", "a1", None).await;
        let role = format!("lightsout_r{}", Database::number());
        let (role, host) = (role.as_str(), if base == Base::MySql { "@127.0.0.1" } else { "" });
        let create = match base {
            Base::MySql => format!("CREATE USER {role}{host} IDENTIFIED BY 'hunter2'"),
            _ => format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'"),
        };
        store.database.run(&create).await;
        let s = &store.tables.sessions;
        store.database.run(&format!("GRANT SELECT ON {s} TO {role}{host}")).await;
        let name = store.database.url.rsplit('/').next().expect("a database").to_owned();
        let url = other(&store.database.url, &format!("{role}:hunter2"), &name);
        let config = || store.layout.config(base, &store.tables, &url);
        let error = failure(config()).await;
        assert!(error.contains("end_sql: permission denied"), "{base:?}: {error}");
        assert!(store.lives("a1").await);
        store.database.run(&format!("GRANT DELETE ON {s} TO {role}{host}")).await;
        let granted = connector(config());
        granted.find(&[]).await.expect("enough is granted");
        assert!(store.lives("a1").await, "it was only asked");
        assert_eq!(counts(&granted.end(&[target("ann", 1)]).await.expect("ended").replies), [1]);
        let drop = if base == Base::MySql {
            format!("DROP USER {role}{host}")
        } else {
            format!("DROP OWNED BY {role}; DROP ROLE {role}")
        };
        store.database.run(&drop).await;
    }
}

#[tokio::test]
async fn sqlite_files_are_never_made_and_read_only_or_locked_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("none.db");
    let error = failure(django(&format!("sqlite:{}?mode=rwc", file.display()))).await;
    assert!(error.contains("no such file") && !file.exists(), "{error}");
    std::fs::write(&file, "not a database, but long enough to be looked at as one").expect("written");
    let error = failure(django(&format!("sqlite:{}", file.display()))).await;
    assert!(error.contains("no SQLite database"), "{error}");

    let store = SqlStore::new(Base::Sqlite, Layout::Scan).await;
    store.sign_in("ann", "a1", None).await;
    let config = store.layout.config(Base::Sqlite, &store.tables, &format!("{}?mode=ro", store.database.url));
    let error = failure(config).await;
    assert!(error.contains("end_sql: the database is read-only"), "{error}");
}

#[tokio::test]
async fn a_locked_sqlite_file_is_unreachable_and_ends_later() {
    let store = SqlStore::new(Base::Sqlite, Layout::Scan).await;
    store.sign_in("ann", "a1", None).await;
    store.database.run("BEGIN IMMEDIATE").await;
    let busy = store.connector.end(&[target("ann", 1)]).await.expect_err("it is locked");
    assert!(matches!(&busy, ConnectorError::Unreachable(why) if why.contains("holds a lock")), "{busy}");
    store.database.run("COMMIT").await;
    assert_eq!(counts(&store.connector.end(&[target("ann", 1)]).await.expect("ended").replies), [1]);
}

#[tokio::test]
async fn a_certificate_that_nobody_signed_is_refused_and_a_trusted_one_is_taken() {
    let store = SqlStore::new(Base::MySql, Layout::Scan).await;
    let ca = std::env::var("LIGHTSOUT_TEST_MYSQL_CA").expect("LIGHTSOUT_TEST_MYSQL_CA is set by ./test");
    let config = |file: &std::path::Path| SqlConfig {
        ca_file: Some(file.to_owned()),
        ..store.layout.config(Base::MySql, &store.tables, &store.database.url)
    };
    connector(config(ca.as_ref())).find(&[]).await.expect("it is trusted");
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("other.pem");
    std::fs::write(&other, OTHER_CA).expect("written");
    let error = failure(config(&other)).await;
    assert!(error.contains("its certificate is not trusted"), "{error}");
}

/// A certificate that signs nothing here.
const OTHER_CA: &str = include_str!("other-ca.pem");

#[test]
fn configurations_that_cannot_work_say_why() {
    let django = || django("sqlite:app.db");
    let bare = || SqlConfig::new("sqlite:app.db");
    let find = || Some("SELECT u AS subject, k AS session_key FROM s WHERE u IN (:subjects)".to_owned());
    let end = || Some("DELETE FROM s WHERE k IN (:keys)".to_owned());
    for (config, why) in [
        (bare(), "write preset"),
        (SqlConfig::new("oracle://x"), "url: write postgres://"),
        (SqlConfig { find_sql: find(), ..bare() }, "end_sql:"),
        (SqlConfig { find_sql: find(), scan_sql: find(), end_sql: end(), ..bare() }, "not both"),
        (SqlConfig { end_sql: Some("DELETE FROM s".to_owned()), ..django() }, "end_sql: it needs :keys"),
        (SqlConfig { preset: Some(SqlPreset::Authjs), ..bare() }, "does not store in SQLite"),
        (
            SqlConfig { preset: Some(SqlPreset::ConnectPgSimple), ..SqlConfig::new("postgres://h/d") },
            "user_path",
        ),
        (SqlConfig { find_sql: find(), user_path: Some(Path::new(["u"])), ..django() }, "it is for scan_sql"),
        (
            SqlConfig { user_column: Some("x".to_owned()), find_sql: find(), end_sql: end(), ..bare() },
            "user_table",
        ),
        (SqlConfig { rows_per_page: 0, ..django() }, "rows_per_page is from 1"),
        (SqlConfig { ca_file: Some("x".into()), ..django() }, "speaks no TLS"),
        (
            SqlConfig { ca_file: Some("x".into()), ..SqlConfig::new("postgres://h/d?sslmode=require") },
            "checks no certificate",
        ),
    ] {
        let error = Sql::check(&config).expect_err(why);
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn a_known_package_takes_four_lines_of_configuration() {
    let system = |keys: &str| {
        format!("[[systems]]\nname = \"shop\"\nkind = \"sql\"\nurl = \"postgres://h/d\"\n{keys}")
    };
    for keys in [
        "preset = \"django\"",
        "preset = \"better_auth\"",
        "preset = \"authjs\"",
        "preset = \"connect_pg_simple\"\nuser_path = \"passport.user\"",
        "preset = \"laravel\"",
        "preset = \"tower_sessions\"",
        "preset = \"kratos\"",
    ] {
        Config::parse_alone(&system(keys)).unwrap_or_else(|e| panic!("{keys}: {e}"));
    }
    let error =
        Config::parse_alone(&system("preset = \"django\"\nend_sql = \"DELETE FROM s WHERE k = :key\""));
    let error = error.expect_err("no such parameter").to_string();
    assert!(error.contains("system shop: end_sql: unknown parameter :key"), "{error}");
}

#[tokio::test]
async fn it_explains_itself() {
    let explanation = connector(django("sqlite:app.db")).explain();
    assert_eq!(
        explanation.matched,
        "live rows of the table django_session, all read in one pass, whose signed value at _auth_user_id is \
         the key that the look-up of users by auth_user.username gives for the subject"
    );
    assert_eq!(explanation.ended, "the row is deleted, by its key");
}
