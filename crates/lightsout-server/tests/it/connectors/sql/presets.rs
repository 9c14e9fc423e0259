//! What the packages themselves wrote, byte for byte, and what a preset leaves alone.

use lightsout_server::connector::{Connector, Reply, SqlConfig, Told};

use super::super::{Store, counts, target};
use super::SqlStore;
use super::database::Base;
use super::layouts::{Layout, number_of};

/// `SessionStore().encode` of Django 5.2 for user 42, compressed.
const DJANGO_PACKED: &str = ".eJyrVopPLC3JiC8tTi2Kz0xRslIyMVLSQRZMSkzOTs0DyaRkJeal5-sl5-eVFGUm6YGU6EFli_V881NSc5ygalEMyEgszgDqNqAQKNUCAElOMoI:1xVG4W:_XBPEC9ner31zRyqRKWmre0PdVK183TdaFdQ-o-2e3I";
/// The same by `signing.dumps` without compression.
const DJANGO_PLAIN: &str = "eyJfYXV0aF91c2VyX2lkIjoiNDIiLCJfYXV0aF91c2VyX2JhY2tlbmQiOiJkamFuZ28uY29udHJpYi5hdXRoLmJhY2tlbmRzLk1vZGVsQmFja2VuZCIsIl9hdXRoX3VzZXJfaGFzaCI6IjAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAifQ:1xVG4W:aX_qYe-1t0rYhq3EuSCzutsRo_4_9N_7Jpf-JHQb9JY";
/// Compressed, for user 7.
const DJANGO_OTHER: &str = ".eJyrVopPLC3JiC8tTi2Kz0xRslIyV9JBFktKTM5OzQNJpGQl5qXn6yXn55UUZSbpgZToQWWL9XzzU1JznKBqUQzISCzOAOo2oBAo1QIAJowyUw:1xVG4W:FmDs8p9byeOUJrUw9ZkO8bPyQ_TbddM8Myyp8-I7oak";
/// Nobody is signed in.
const DJANGO_ANONYMOUS: &str = "eyJjYXJ0IjpbMSwyXX0:1xVG4W:wD1PVK4zwzfA39sYxjrZmLV02JLnLxw6xHeUSGb3kdQ";

/// `rmp_serde::to_vec` of a tower-sessions-core 0.14 record with axum-login's data: user 42, as a number.
const TOWER_NUMBER: &str = "93c4100000000000000000000000000000000181af6178756d2d6c6f67696e2e6461746182a9617574685f6861736893010203a7757365725f69642a99cd08340100000000000000";
/// The same for `ann@example.com`.
const TOWER_TEXT: &str = "93c4100000000000000000000000000000000281af6178756d2d6c6f67696e2e6461746182a9617574685f686173689409090909a7757365725f6964af616e6e406578616d706c652e636f6d99cd08340100000000000000";

const BASES: [Base; 3] = [Base::Postgres, Base::MySql, Base::Sqlite];

async fn django_rows(base: Base) -> SqlStore {
    let store = SqlStore::new(base, Layout::Django).await;
    let (s, u) = (base.name(&store.tables.sessions), base.name(&store.tables.users));
    store.database.run(&format!("INSERT INTO {u} (id, username) VALUES (42, 'ann'), (7, 'bob')")).await;
    let rows = [
        ("packed", DJANGO_PACKED),
        ("plain", DJANGO_PLAIN),
        ("other", DJANGO_OTHER),
        ("anonymous", DJANGO_ANONYMOUS),
        ("broken", "not signed at all"),
        ("foreign", ".bm8gemxpYg:1xVG4W:x"),
    ];
    for (key, data) in rows {
        let insert = format!("INSERT INTO {s} VALUES ('{key}', '{data}', '2033-05-18 03:33:20')");
        store.database.run(&insert).await;
    }
    let expired = format!("INSERT INTO {s} VALUES ('expired', '{DJANGO_PACKED}', '2001-01-01 00:00:00')");
    store.database.run(&expired).await;
    store
}

#[tokio::test]
async fn sessions_that_django_wrote_are_read_and_the_rest_is_left_and_told() {
    for base in BASES {
        let store = django_rows(base).await;
        let looked = store.connector.find(&[]).await.expect("it answers").notes.join("\n");
        assert!(looked.contains("of 6 live sessions, 4 can be read and 3 show a user"), "{looked}");
        assert!(looked.contains("7 rows"), "{looked}");
        let answer = store.connector.end(&[target("ann", 1), target("nobody", 1)]).await.expect("ended");
        assert_eq!(counts(&answer.replies[..1]), [2]);
        assert_eq!(answer.replies[1], Reply::NoSubject);
        assert!(answer.notes[0].starts_with("2 values cannot be read, such as that of bro..."), "{answer:?}");
        for (key, lives) in [("packed", false), ("plain", false), ("other", true), ("anonymous", true)] {
            assert_eq!(store.lives(key).await, lives, "{key}");
        }
        assert!(store.lives("broken").await && store.lives("foreign").await && store.lives("expired").await);
    }
}

#[tokio::test]
async fn sessions_that_tower_sessions_wrote_are_read() {
    for base in BASES {
        let store = SqlStore::new(base, Layout::TowerSessions).await;
        let s = base.name(&store.tables.sessions);
        for (key, hex) in [("AQAAAAAAAAAAAAAAAAAAAA", TOWER_NUMBER), ("AgAAAAAAAAAAAAAAAAAAAA", TOWER_TEXT)] {
            let data = if base == Base::Postgres { format!("'\\x{hex}'") } else { format!("x'{hex}'") };
            let insert = format!("INSERT INTO {s} VALUES ('{key}', {data}, '2033-05-18 03:33:20')");
            store.database.run(&insert).await;
        }
        let ended = store.connector.end(&[target("42", 1), target("4", 1)]).await.expect("ended").replies;
        assert_eq!(counts(&ended), [1, 0]);
        assert!(!store.lives("AQAAAAAAAAAAAAAAAAAAAA").await);
        let ended = store.connector.end(&[target("ann@example.com", 1)]).await.expect("ended").replies;
        assert_eq!(counts(&ended), [1]);
    }
}

#[tokio::test]
async fn tower_sessions_without_axum_login_are_unknown_not_absent() {
    let store = SqlStore::new(Base::Sqlite, Layout::TowerSessions).await;
    let s = &store.tables.sessions;
    // A list of nil, {"a": 1} and nil.
    store.database.run(&format!("INSERT INTO {s} VALUES ('x', x'93c081a16101c0', '2033-05-18')")).await;
    let replies = store.connector.end(&[target("ann", 1)]).await.expect("a doubt").replies;
    assert!(matches!(&replies[0], Reply::Unknown(why) if why.contains("user_path")), "{replies:?}");
}

#[tokio::test]
async fn names_that_a_collation_calls_equal_are_not() {
    let store = SqlStore::new(Base::MySql, Layout::Django).await;
    store.sign_in("Ann", "of Ann", None).await;
    let answer = store.connector.end(&[target("ann", 1), target("Ann ", 1)]).await.expect("it answers");
    assert_eq!(answer.replies, [Reply::NoSubject, Reply::NoSubject], "MySQL finds Ann for both");
    let ended = store.connector.end(&[target("Ann", 1)]).await.expect("ended");
    assert_eq!(counts(&ended.replies), [1]);
}

#[tokio::test]
async fn numbers_are_compared_as_they_are_written() {
    for base in [Base::Postgres, Base::MySql, Base::Sqlite] {
        let store = SqlStore::new(base, Layout::Laravel).await;
        store.sign_in("ann", "a1", None).await;
        let mut config = store.layout.config(base, &store.tables, &store.database.url);
        config.user_column = Some(String::new());
        let clock = lightsout_server::clock::Clock::system();
        let by_key = lightsout_server::connector::Sql::new(config, clock).expect("a configuration");
        let n = number_of("ann");
        let odd = [
            format!("0{n}"),
            format!("{n}.0"),
            format!("{n} "),
            format!("+{n}"),
            format!("{n}x"),
            "ann".to_owned(),
        ];
        let odd: Vec<_> = odd.iter().map(|name| target(name, 1)).collect();
        let replies = by_key.find(&odd).await.expect("found").replies;
        let unknown = |reply: &Reply| matches!(reply, Reply::Unknown(why) if why.contains("does not fit"));
        assert!(replies.iter().all(unknown), "{base:?}: {replies:?}");
        let ended = by_key.end(&[target(&n.to_string(), 1)]).await.expect("ended").replies;
        assert_eq!(counts(&ended), [1], "{base:?}");
    }
}

#[tokio::test]
async fn a_begin_that_mysql_may_have_shifted_is_unknown_unless_said_otherwise() {
    let store = SqlStore::new(Base::MySql, Layout::BetterAuth).await;
    store.sign_in("ann", "later", Some(5_000)).await;
    let mut config = store.layout.config(Base::MySql, &store.tables, &store.database.url);
    config.times_are_utc = false;
    let clock = lightsout_server::clock::Clock::system();
    let careful = lightsout_server::connector::Sql::new(config, clock).expect("a configuration");
    assert_eq!(counts(&store.connector.find(&[target("ann", 2_000)]).await.expect("found").replies), [0]);
    assert_eq!(counts(&careful.find(&[target("ann", 2_000)]).await.expect("found").replies), [1]);
}

#[tokio::test]
async fn kratos_sessions_stay_as_inactive_rows() {
    for base in BASES {
        let store = SqlStore::new(base, Layout::Kratos).await;
        store.sign_in("ann", "a1", Some(1)).await;
        assert_eq!(counts(&store.connector.end(&[target("ann", 2)]).await.expect("ended").replies), [1]);
        let s = base.name(&store.tables.sessions);
        let rows = store.database.texts(&format!("SELECT '1' FROM {s} WHERE NOT active")).await;
        assert_eq!((rows.len(), store.lives("a1").await), (1, false), "{base:?}");
    }
}

/// What is told of ann's one session.
async fn told(connector: &dyn Connector) -> Told {
    let replies = connector.find(&[target("ann", 1_000)]).await.expect("found").replies;
    let [Reply::Sessions(sessions)] = replies.as_slice() else { panic!("{replies:?}") };
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    session.told.clone()
}

#[tokio::test]
async fn devices_and_addresses_are_told_where_a_package_stores_them() {
    for base in BASES {
        let store = SqlStore::new(base, Layout::BetterAuth).await;
        store.sign_in("ann", "a1", Some(1_000)).await;
        assert_eq!(told(&store.connector).await, Told::from(Some(1_000)));
        let [s, agent, address] =
            [&store.tables.sessions, "userAgent", "ipAddress"].map(|name| base.name(name));
        store.database.run(&format!("UPDATE {s} SET {agent} = ' curl/8 ', {address} = ''")).await;
        let device = Some("curl/8".to_owned());
        assert_eq!(told(&store.connector).await, Told { device, ..Told::from(Some(1_000)) });

        let store = SqlStore::new(base, Layout::Laravel).await;
        store.sign_in("ann", "a1", None).await;
        let s = base.name(&store.tables.sessions);
        let set = "user_agent = 'curl/8', ip_address = '192.0.2.1', last_activity = 1790000000";
        store.database.run(&format!("UPDATE {s} SET {set}")).await;
        let shown = Told {
            began_at: None,
            last_seen_at: Some(1_790_000_000_000),
            device: Some("curl/8".to_owned()),
            address: Some("192.0.2.1".to_owned()),
        };
        assert_eq!(told(&store.connector).await, shown, "{base:?}");
    }
}

/// Columns for people to read that hold what nobody can read: of another type, or no text at all.
#[tokio::test]
async fn what_is_only_for_people_to_read_never_keeps_a_session_from_its_end() {
    for base in BASES {
        let store = SqlStore::new(base, Layout::Find).await;
        store.sign_in("ann", "a1", Some(1_000)).await;
        let strange = base.pick(
            "point(1, 2) AS last_seen_at, inet '192.0.2.1' AS address, now() AS device",
            "ST_GeomFromText('POINT(1 2)') AS last_seen_at, NOW() AS address, NULL AS device",
            "'soon' AS last_seen_at, CAST(x'ff41' AS TEXT) AS address, 1.5 AS device",
        );
        let find = format!(
            "SELECT who AS subject, k AS session_key, {strange} FROM {} WHERE who IN (:subjects)",
            base.name(&store.tables.sessions)
        );
        let config = store.layout.config(base, &store.tables, &store.database.url);
        let config = SqlConfig { find_sql: Some(find), ..config };
        let clock = lightsout_server::clock::Clock::system();
        let connector = lightsout_server::connector::Sql::new(config, clock).expect("a configuration");
        assert_eq!(told(&connector).await, Told::default(), "{base:?}");
        let ended = connector.end(&[target("ann", 1_000)]).await.expect("ended").replies;
        assert_eq!(counts(&ended), [1], "{base:?}");
    }
}
