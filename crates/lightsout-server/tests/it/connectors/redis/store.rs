//! What a Redis store may hold besides sessions, and what is said of it.

use lightsout_server::connector::{Answer, Connector, Reply, Told};
use redis::AsyncCommands;
use serde_json::json;

use super::super::{counts, target};
use super::{RedisStore, Store, connect_redis, connector, fresh_prefix, kit, preset, shared, with_begins};

async fn end(store: &RedisStore, subject: &str) -> Answer {
    store.connector.end(&[target(subject, 2_000)]).await.expect("a pass")
}

#[tokio::test]
async fn what_is_no_session_is_named_and_left_alone_and_the_rest_goes_on() {
    let store =
        RedisStore::new(json!({"preset": "connect_redis", "value_bytes_max": 2_000}), connect_redis).await;
    for n in 0..30 {
        store.sign_in(&format!("user{n}"), &format!("n{n}"), None).await;
    }
    store.sign_in("ann", "a1", None).await;
    store.set("corrupted-value", b"{\"passport\":{\"user\":\"ann\"").await;
    store.set("foreign-value", &[0xff; 100]).await;
    let huge = json!({"passport": {"user": "ann"}, "cart": "x".repeat(3_000)}).to_string();
    store.set("huge-value", huge.as_bytes()).await;
    let _: i64 = store.run(redis::cmd("SADD").arg(store.key("a-set")).arg("ann")).await;
    let _: i64 = store.run(redis::cmd("HSET").arg(store.key("a-hash")).arg(&["passport", "ann"])).await;

    let answer = end(&store, "ann").await;
    assert_eq!(counts(&answer.replies), [1]);
    for key in ["corrupted-value", "foreign-value", "huge-value", "a-set", "a-hash", "n0"] {
        assert!(store.lives(key).await, "{key}");
    }
    let notes = answer.notes.join("\n");
    assert!(
        notes.contains("2 values that cannot be read as json") && notes.contains("1 value larger"),
        "{notes}"
    );
    assert!(notes.contains(&store.key("huge-...")) && !notes.contains("huge-value"), "{notes}");

    let looked = store.connector.find(&[]).await.expect("a look").notes.join("\n");
    let counted = "; of 32 values read, 30 are readable and 30 show a user at passport.user";
    assert!(looked.contains(counted) && looked.contains("2 keys there are of another type"), "{looked}");
}

#[tokio::test]
async fn sessions_that_show_nobody_are_unknown_until_one_does() {
    let store = RedisStore::new(preset("connect_redis"), connect_redis).await;
    let find = async || store.connector.find(&[target("ann", 1)]).await.expect("a pass").replies.remove(0);
    assert_eq!(find().await, Reply::Sessions(vec![]), "an empty store holds nobody's sessions");
    store.set("anonymous", b"{\"cookie\": {}}").await;
    let Reply::Unknown(why) = find().await else { panic!("no session shows a user") };
    assert!(why.contains("passport.user"), "{why}");
    store.sign_in("bob", "b1", None).await;
    assert_eq!(find().await, Reply::Sessions(vec![]));
    let _: i64 = store.run(redis::cmd("DEL").arg(store.key("b1"))).await;
    assert_eq!(find().await, Reply::Sessions(vec![]), "the path was right before");
}

#[tokio::test]
async fn store_of_another_format_fails_the_pass() {
    let store = RedisStore::new(preset("django_cache"), connect_redis).await;
    store.sign_in("ann", "abcdefghijkl", None).await;
    let error = store.connector.find(&[target("ann", 1)]).await.expect_err("nothing can be read").to_string();
    assert!(
        error.contains("1 value that cannot be read as pickle") && !error.contains("abcdefghi"),
        "{error}"
    );
}

#[tokio::test]
async fn real_values_of_each_package_are_found() {
    let pickled = b"\x80\x04\x95.\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x0a_permanent\x94\x88\x8c\x08_user_id\x94\x8c\x03ann\x94\x8c\x06_fresh\x94\x88u.";
    let packed = b"\x84\xaa_permanent\xc3\xa8_user_id\xa3ann\xa6_fresh\xc3\xa4cart\x93\x01\xcb@\x04\x00\x00\x00\x00\x00\x00\xc0";
    let store = RedisStore::new(preset("flask_session"), super::flask).await;
    store.set("old", pickled).await;
    store.set("new", packed).await;
    store.set("json", br#"{"_user_id":"ann"}"#).await;
    store.sign_in("bob", "bob", None).await;
    assert_eq!(counts(&end(&store, "ann").await.replies), [3]);
    assert!(store.lives("bob").await);

    // A user's number, which MessagePack writes in binary.
    let numbered = b"\x93\xc4\x10\x9cT\x1f\x0c\xbb\x0fH:$\xedB\xb5\x96\xabu\xb4\x81\xafaxum-login.data\x82\xa9auth_hash\x92ha\xa7user_id\x07\x99\xcd\x07\xea\x02\x03\x04\x05\x00\x00\x00\x00";
    let store = RedisStore::new(preset("tower_sessions"), super::tower).await;
    for n in 0..20 {
        store.sign_in(&format!("user{n}"), &format!("n{n}"), None).await;
    }
    store.set("numbered", numbered).await;
    assert_eq!(counts(&end(&store, "7").await.replies), [1]);
}

#[tokio::test]
async fn names_are_found_however_json_writes_them() {
    let store = RedisStore::new(preset("connect_redis"), connect_redis).await;
    for n in 0..20 {
        store.sign_in(&format!("user{n}"), &format!("n{n}"), None).await;
    }
    store.set("plain", r#"{"passport":{"user":"josé/1"}}"#.as_bytes()).await;
    store.set("escaped", br#"{"passport":{"user":"jos\u00e9\/1"}}"#).await;
    store.set("number", br#"{"passport":{"user":71}}"#).await;
    assert_eq!(counts(&end(&store, "jos\u{e9}/1").await.replies), [2]);
    assert_eq!(counts(&end(&store, "71").await.replies), [1]);
}

#[tokio::test]
async fn a_key_that_changed_hands_is_not_ended() {
    // Somebody else signs in again and again under the same session id, while passes end "ann".
    let store = RedisStore::new(preset("connect_redis"), connect_redis).await;
    let mut switching = kit::connect(&shared()).await;
    let key = store.key("shared-id");
    let (ann, bob) = (connect_redis("ann", None), connect_redis("bob", None));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let switch = async {
        let mut lost = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let () = switching.set(&key, &ann).await.expect("stored");
            let () = switching.set(&key, &bob).await.expect("stored");
            let lives: bool = switching.exists(&key).await.expect("an answer");
            lost += i64::from(!lives);
        }
        lost
    };
    let passes = async {
        for _ in 0..300 {
            store.connector.end(&[target("ann", 1)]).await.expect("a pass");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (lost, ()) = futures_util::future::join(switch, passes).await;
    assert_eq!(lost, 0);
    assert!(store.lives("shared-id").await, "it is bob's");
}

#[tokio::test]
async fn index_that_is_no_set_or_too_large_fails_its_target_alone() {
    let keys = json!({"preset": "connect_redis", "user_index": "users-{prefix}{subject}"});
    let store = RedisStore::new(keys, connect_redis).await;
    store.sign_in("ann", "a1", None).await;
    let index = store.index.clone().expect("it has one");
    let _: () = store.run(redis::cmd("SET").arg(index.replace("{subject}", "bob")).arg("x")).await;
    let ids: Vec<String> = (0..=100_000).map(|n| n.to_string()).collect();
    let _: i64 = store.run(redis::cmd("SADD").arg(index.replace("{subject}", "eve")).arg(ids)).await;
    let targets = [target("ann", 2_000), target("bob", 2_000), target("eve", 2_000)];
    let replies = store.connector.end(&targets).await.expect("a pass").replies;
    assert!(matches!(&replies[0], Reply::Sessions(sessions) if sessions.len() == 1));
    assert!(matches!(&replies[1], Reply::Failed(why) if why.contains("not a set")), "{replies:?}");
    assert!(matches!(&replies[2], Reply::Failed(why) if why.contains("100001 ids")), "{replies:?}");
    let _: i64 = store.run(redis::cmd("DEL").arg(index.replace("{subject}", "eve"))).await;
}

#[tokio::test]
async fn spring_sessions_are_ended_by_their_index() {
    let namespace = fresh_prefix();
    let mut redis = kit::connect(&shared()).await;
    let java = |text: &str| {
        [b"\xac\xed\x00\x05t\x00", &[u8::try_from(text.len()).expect("short")][..], text.as_bytes()].concat()
    };
    let set = |who: &str| {
        format!(
            "{namespace}index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:{who}"
        )
    };
    let mut pipe = redis::pipe();
    for (who, id, began) in [("ann", "id-1", 1_000_i64), ("ann", "id-2", 3_000), ("bob", "id-3", 1_000)] {
        let long = [b"\xac\xed\x00\x05sr\x00\x0ejava.lang.Long".as_slice(), &began.to_be_bytes()].concat();
        let seen = began + 7;
        let times = [("creationTime", long), ("lastAccessedTime", seen.to_string().into_bytes())];
        pipe.hset_multiple(format!("{namespace}sessions:{id}"), &times).ignore();
        pipe.cmd("SET").arg(format!("{namespace}sessions:expires:{id}")).arg("").ignore();
        pipe.cmd("SADD").arg(set(who)).arg(java(id)).ignore();
    }
    pipe.cmd("SADD").arg(set("ann")).arg(java("ended-before")).ignore();
    let () = pipe.query_async(&mut redis).await.expect("stored");

    let connector = connector(json!({"url": shared(), "preset": "spring_session", "prefix": namespace}));
    let targets = [target("ann", 2_000), target("eve", 2_000)];
    let found = connector.find(&targets).await.expect("found").replies;
    assert_eq!(counts(&found), [1, 0]);
    let Reply::Sessions(anns) = &found[0] else { panic!("{found:?}") };
    assert_eq!(anns[0].told, Told { last_seen_at: Some(1_007), ..Told::from(Some(1_000)) });
    assert_eq!(connector.end(&targets).await.expect("ended").replies, found);
    assert_eq!(counts(&connector.find(&targets).await.expect("gone").replies), [0, 0]);
    let exists = async |key: String| -> bool {
        redis::cmd("EXISTS").arg(key).query_async(&mut redis.clone()).await.expect("an answer")
    };
    for (id, lives) in [("id-1", false), ("id-2", true), ("id-3", true)] {
        assert_eq!(exists(format!("{namespace}sessions:{id}")).await, lives, "{id}");
        assert_eq!(exists(format!("{namespace}sessions:expires:{id}")).await, lives, "{id}");
    }
    let left: Vec<Vec<u8>> =
        redis::cmd("SMEMBERS").arg(set("ann")).query_async(&mut redis).await.expect("a set");
    assert!(!left.contains(&java("id-1")) && left.contains(&java("id-2")), "{left:?}");
}

#[tokio::test]
async fn a_session_with_a_begin_is_spared_after_the_cutoff_even_if_it_names_the_user_elsewhere() {
    let store = RedisStore::new(with_begins(), connect_redis).await;
    store.sign_in("bob", "b1", None).await;
    store.set("mentions", br#"{"passport":{"user":"bob"},"cart":"ann"}"#).await;
    store.sign_in("ann", "late", Some(9_000)).await;
    assert_eq!(counts(&end(&store, "ann").await.replies), [0]);
    assert!(store.lives("mentions").await && store.lives("late").await);
}
