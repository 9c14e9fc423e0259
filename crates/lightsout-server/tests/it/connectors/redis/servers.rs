//! Servers that are down, come back, fail over, or refuse: what is said, and that nothing is lost.

use std::time::Duration;

use lightsout_server::connector::{Connector, Redis};
use redis::AsyncCommands;
use serde_json::{Value, json};

use super::super::{counts, target};
use super::kit::{Certificates, Server, cluster, connect, eventually, free_port};
use super::{connect_redis, connector};

const PASSWORD: &str = "hunter2";

/// What an end says that fails; no password or address is in it.
async fn failure(redis: &Redis) -> String {
    let targets = [target("ann", 1)];
    let end = tokio::time::timeout(Duration::from_secs(30), redis.end(&targets));
    let error = end.await.expect("an answer in time").expect_err("it cannot succeed");
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD) && !text.contains("127.0.0.1"), "{text}");
    text
}

async fn assert_fails(keys: Value, words: &str) {
    let mut keys = keys;
    keys["preset"] = "connect_redis".into();
    let redis = connector(keys);
    assert!(!format!("{redis:?}").contains(PASSWORD));
    let text = failure(&redis).await;
    assert!(text.contains(words), "{text} lacks {words:?}");
}

async fn sign_in(url: &str, key: &str, subject: &str) {
    let () = connect(url).await.set(key, connect_redis(subject, None)).await.expect("stored");
}

/// Ends `ann`'s sessions, and says how many.
async fn end_ann(redis: &Redis) -> usize {
    counts(&redis.end(&[target("ann", 1)]).await.expect("a pass").replies)[0]
}

#[tokio::test]
async fn redis_that_is_down_is_unreachable_and_its_password_is_not_shown() {
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}/0", free_port());
    assert_fails(json!({"url": url}), "nothing listens there").await;
    assert_fails(json!({"cluster": [url, url]}), "nothing listens there").await;
    assert_fails(json!({"sentinel": {"urls": [url], "master": "m"}}), "nothing listens there").await;
}

#[tokio::test]
async fn server_that_was_killed_and_came_back_is_used_again() {
    let mut server = Server::start(&[]).await;
    let redis = connector(json!({"url": server.url(), "preset": "connect_redis"}));
    sign_in(&server.url(), "sess:1", "ann").await;
    assert_eq!(end_ann(&redis).await, 1);
    server.stop();
    assert!(failure(&redis).await.contains("nothing listens there"));
    server.resume().await;
    sign_in(&server.url(), "sess:2", "ann").await;
    assert_eq!(end_ann(&redis).await, 1);
    // Restarted between two passes: the next one does not fail.
    server.stop();
    server.resume().await;
    sign_in(&server.url(), "sess:3", "ann").await;
    assert_eq!(end_ann(&redis).await, 1);
}

/// What `docs/systems.md` says that a user of Redis needs.
const RULES: [&str; 10] =
    ["+hello", "+scan", "+strlen", "+mget", "+watch", "+unwatch", "+multi", "+exec", "+unlink", "~sess:*"];

#[tokio::test]
async fn a_user_with_only_the_documented_rules_suffices_and_refusals_are_named() {
    let server = Server::start(&[]).await;
    let mut admin = server.connection().await;
    let mut user = async |name: &str, rules: &[&str]| {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg(name).arg(&["on", &format!(">{PASSWORD}")]).arg(rules);
        let () = command.query_async(&mut admin).await.expect("a user");
    };
    let as_user = |name: &str| format!("redis://{name}:{PASSWORD}@127.0.0.1:{}", server.port);
    user("lightsout", &RULES).await;
    user("reader", &RULES.map(|rule| if rule == "+unlink" { "-unlink" } else { rule })).await;
    user("blind", &RULES.map(|rule| if rule == "+scan" { "-scan" } else { rule })).await;
    user("elsewhere", &RULES.map(|rule| if rule == "~sess:*" { "~other:*" } else { rule })).await;
    sign_in(&server.url(), "sess:1", "ann").await;

    assert_fails(json!({"url": as_user("blind")}), "does not allow the command SCAN").await;
    assert_fails(json!({"url": as_user("reader")}), "does not allow the command UNLINK").await;
    assert_fails(json!({"url": as_user("elsewhere")}), "does not allow the keys").await;
    assert_fails(json!({"url": as_user("nobody")}), "refuses the user name or password").await;
    let allowed = json!({"url": server.url(), "username": "lightsout", "password": PASSWORD, "preset": "connect_redis"});
    assert_eq!(end_ann(&connector(allowed)).await, 1);

    let indexed = ["+hello", "+type", "+scard", "+smembers", "~users:*"];
    user("indexed", &[&RULES[2..], &indexed].concat()).await;
    sign_in(&server.url(), "sess:2", "ann").await;
    let () = server.connection().await.sadd("users:ann", "2").await.expect("indexed");
    let by_index =
        json!({"url": as_user("indexed"), "preset": "connect_redis", "user_index": "users:{subject}"});
    assert_eq!(end_ann(&connector(by_index)).await, 1);
    let springs = [
        "+hello",
        "+type",
        "+scard",
        "+smembers",
        "+hget",
        "+exists",
        "+unlink",
        "+srem",
        "~spring:session:*",
    ];
    user("spring", &springs).await;
    let index = "spring:session:index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:ann";
    let () = server.connection().await.sadd(index, "id-1").await.expect("indexed");
    let hash = "spring:session:sessions:id-1";
    let () = server.connection().await.hset(hash, "creationTime", 1).await.expect("stored");
    assert_eq!(end_ann(&connector(json!({"url": as_user("spring"), "preset": "spring_session"}))).await, 1);

    let () = redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", "other"])
        .query_async(&mut server.connection().await)
        .await
        .expect("set");
    assert_fails(json!({"url": server.url()}), "wants a password").await;
}

#[tokio::test]
async fn tls_is_spoken_with_an_authority_of_ones_own_and_nothing_less_is_taken() {
    let certificates = Certificates::made_out_to("IP:127.0.0.1");
    let (server, url) = certificates.server(&[]).await;
    let ca = certificates.file("ca.pem");
    let redis = connector(json!({"url": url, "ca_file": ca, "preset": "connect_redis"}));
    assert_eq!(end_ann(&redis).await, 0);

    assert_fails(json!({"url": url}), "nobody known has signed it").await;
    let plain = format!("redis://127.0.0.1:{}", server.port);
    assert_fails(json!({"url": plain}), "write rediss://").await;
    let without_tls = Server::start(&[]).await;
    let tls = format!("rediss://127.0.0.1:{}", without_tls.port);
    assert_fails(json!({"url": tls, "ca_file": ca}), "if it does not speak TLS").await;

    let elsewhere = Certificates::made_out_to("DNS:redis.example");
    let (_server, url) = elsewhere.server(&[]).await;
    let ca = elsewhere.file("ca.pem");
    assert_fails(json!({"url": url, "ca_file": ca}), "made out to another name").await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_wanted() {
    let certificates = Certificates::made_out_to("IP:127.0.0.1");
    let (_server, url) = certificates.server(&["--tls-auth-clients", "yes"]).await;
    let ca = certificates.file("ca.pem");
    let (certificate, key) = (certificates.file("server.pem"), certificates.file("server.key"));
    let keys = json!({"url": url, "ca_file": ca, "client_certificate": certificate, "client_key": key, "preset": "connect_redis"});
    assert_eq!(end_ann(&connector(keys)).await, 0);
    assert_fails(json!({"url": url, "ca_file": ca}), "client_certificate").await;
}

#[tokio::test]
async fn replica_sentinel_and_cluster_are_told_from_a_primary() {
    let primary = Server::start(&[]).await;
    let replica = Server::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await;
    assert_fails(json!({"url": replica.url()}), "read-only replica").await;
    assert_fails(json!({"cluster": [primary.url()]}), "not one of a cluster").await;
    assert_fails(json!({"sentinel": {"urls": [primary.url()], "master": "m"}}), "not a sentinel").await;
    let member =
        Server::start(&["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()]).await;
    assert_fails(json!({"url": member.url()}), "write cluster = [...]").await;
    assert_fails(json!({"cluster": [member.url()]}), "not every slot").await;
    let sentinel = Server::sentinel("").await;
    assert_fails(json!({"url": sentinel.url()}), "this is a sentinel").await;
    assert_fails(json!({"sentinel": {"urls": [sentinel.url()], "master": "m"}}), "knows no primary").await;
}

#[tokio::test]
async fn sentinel_is_asked_for_the_present_primary() {
    let login = ["--requirepass", PASSWORD, "--masterauth", PASSWORD];
    let mut primary = Server::start(&login).await;
    let of = format!("127.0.0.1 {}", primary.port);
    let replica =
        Server::start(&[&login[..], &["--replicaof", "127.0.0.1", &primary.port.to_string()]].concat()).await;
    let lines = format!(
        "sentinel monitor mymaster {of} 1\nsentinel auth-pass mymaster {PASSWORD}\n\
         sentinel down-after-milliseconds mymaster 300\nsentinel failover-timeout mymaster 2000\n"
    );
    let sentinel = Server::sentinel(&lines).await;
    let gone = format!("redis://127.0.0.1:{}", free_port());
    let keys = json!({
        "sentinel": {"urls": [gone, sentinel.url()], "master": "mymaster"},
        "password": PASSWORD, "preset": "connect_redis",
    });
    let redis = connector(keys);
    let with_password = |server: &Server| format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port);
    sign_in(&with_password(&primary), "sess:1", "ann").await;
    assert_eq!(end_ann(&redis).await, 1);

    let mut asking = sentinel.connection().await;
    eventually("the sentinel knows the replica", async || {
        let replicas: Vec<redis::Value> = redis::cmd("SENTINEL")
            .arg(&["REPLICAS", "mymaster"])
            .query_async(&mut asking)
            .await
            .expect("an answer");
        replicas.len() == 1
    })
    .await;
    primary.stop();
    eventually("the replica takes over", async || redis.find(&[]).await.is_ok()).await;
    sign_in(&with_password(&replica), "sess:2", "ann").await;
    assert_eq!(end_ann(&redis).await, 1);
}

#[tokio::test]
async fn cluster_that_is_moving_slots_or_lost_a_server_fails_the_pass() {
    let mut servers = cluster().await;
    let redis = connector(json!({"cluster": [servers[0].url()], "preset": "connect_redis"}));
    assert_eq!(end_ann(&redis).await, 0);
    let mut ids = Vec::new();
    for server in &servers {
        let id: String = redis::cmd("CLUSTER")
            .arg("MYID")
            .query_async(&mut server.connection().await)
            .await
            .expect("an id");
        ids.push(id);
    }
    let mut second = servers[1].connection().await;
    let migrating = ["SETSLOT", "6000", "MIGRATING", &ids[2]];
    let () = redis::cmd("CLUSTER").arg(&migrating).query_async(&mut second).await.expect("moving");
    assert!(failure(&redis).await.contains("being moved"));
    let () = redis::cmd("CLUSTER")
        .arg(&["SETSLOT", "6000", "STABLE"])
        .query_async(&mut second)
        .await
        .expect("at rest");
    assert_eq!(end_ann(&redis).await, 0);
    servers[2].stop();
    assert!(failure(&redis).await.contains("Unreachable"));
    servers[2].resume().await;
    eventually("the cluster is whole", async || redis.find(&[]).await.is_ok()).await;
}
