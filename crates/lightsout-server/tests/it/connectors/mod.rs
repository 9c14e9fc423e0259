//! One suite over every connector: what a system owes its caller. Each kind has its stores and its
//! own tests in a module of its own.

mod box_api;
mod http;
mod oidc;
mod redis;
mod sql;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use lightsout_server::connector::{Connector, Memory, Reply, Target};

/// A store under test: signs in and looks by its own means, never through the connector.
trait Store: Send + Sync {
    fn connector(&self) -> &dyn Connector;
    fn sign_in<'a>(&'a self, subject: &'a str, key: &'a str, began_at: Option<i64>) -> BoxFuture<'a, ()>;
    /// What a request in flight does: saves the session under its key, and touches no index.
    fn save_again<'a>(&'a self, subject: &'a str, key: &'a str) -> BoxFuture<'a, ()> {
        self.sign_in(subject, key, None)
    }
    fn lives<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool>;
    /// Whether the store shows when a session began.
    fn knows_begins(&self) -> bool {
        true
    }
    /// Everything that stands in the store, byte for byte.
    fn contents(&self) -> BoxFuture<'_, Contents>;
}

/// Keys, or key columns, and what stands under each.
type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

impl Store for Memory {
    fn connector(&self) -> &dyn Connector {
        self
    }

    fn sign_in<'a>(&'a self, subject: &'a str, key: &'a str, began_at: Option<i64>) -> BoxFuture<'a, ()> {
        Box::pin(async move { Memory::sign_in(self, subject, key, began_at) })
    }

    fn lives<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.is_signed_in(key) })
    }

    fn contents(&self) -> BoxFuture<'_, Contents> {
        let row = |(key, (subject, began_at)): (String, (String, Option<i64>))| {
            (key.into_bytes(), format!("{subject} {began_at:?}").into_bytes())
        };
        Box::pin(async move { self.sessions().into_iter().map(row).collect() })
    }
}

pub(crate) fn target(subject: &str, cutoff: i64) -> Target {
    Target {
        user_id: format!("id of {subject}"),
        subject: subject.to_owned(),
        cutoff,
        asked_at: cutoff,
        only: None,
    }
}

fn counts(replies: &[Reply]) -> Vec<usize> {
    let count = |reply: &Reply| match reply {
        Reply::Sessions(keys) => keys.len(),
        other => panic!("not a count: {other:?}"),
    };
    replies.iter().map(count).collect()
}

async fn ends_only_what_is_over(store: &dyn Store) {
    store.sign_in("ann", "a1", Some(1_000)).await;
    store.sign_in("ann", "a2", None).await;
    store.sign_in("ann", "later", Some(2_001)).await;
    store.sign_in("anna", "whole-names-only", Some(1_000)).await;
    store.sign_in("bob", "b1", Some(1_000)).await;
    let targets = [target("ann", 2_000), target("eve", 2_000)];

    let later_too = usize::from(!store.knows_begins());
    let found = store.connector().find(&targets).await.expect("found").replies;
    assert_eq!(counts(&found), [2 + later_too, 0]);
    assert!(store.lives("a1").await, "find changes nothing");
    let ended = store.connector().end(&targets).await.expect("ended").replies;
    assert_eq!(ended, found, "the same sessions have the same keys");
    let later = ("later", store.knows_begins());
    for (key, lives) in [("a1", false), ("a2", false), later, ("whole-names-only", true), ("b1", true)] {
        assert_eq!(store.lives(key).await, lives, "{key}");
    }
    assert_eq!(counts(&store.connector().end(&targets).await.expect("again").replies), [0, 0], "idempotent");
}

async fn knows_a_session_that_came_back(store: &dyn Store) {
    store.sign_in("ann", "a1", None).await;
    let targets = [target("ann", 2_000)];
    let first = store.connector().end(&targets).await.expect("ended").replies;
    store.save_again("ann", "a1").await;
    let second = store.connector().end(&targets).await.expect("ended again").replies;
    assert_eq!(first, second);
    assert!(!store.lives("a1").await);
}

async fn ends_many_in_one_pass(store: &dyn Store) {
    let names: Vec<String> = (0..1_500).map(|n| format!("user{n}")).collect();
    for name in &names {
        store.sign_in(name, &format!("key of {name}"), Some(1)).await;
    }
    let targets: Vec<Target> = names.iter().map(|name| target(name, 2_000)).collect();
    let replies = store.connector().end(&targets).await.expect("ended").replies;
    assert_eq!(counts(&replies), vec![1; names.len()]);
    assert_eq!(
        counts(&store.connector().find(&targets).await.expect("none left").replies),
        vec![0; names.len()]
    );
}

/// Names that mean something to a glob, a pattern, a statement, a path, or JSON.
const ODD_NAMES: [&str; 14] = [
    "*",
    "%",
    "ann*",
    "ann_",
    "a'; DROP TABLE sessions; --",
    "\"ann\"",
    "{subject}",
    ":subject",
    "$1",
    "a/../b",
    "a\\b",
    "JOS\u{c9}",
    "jose\u{301}",
    "\u{1f600} x",
];

async fn odd_names_are_compared_whole(store: &dyn Store) {
    for (n, name) in ODD_NAMES.iter().enumerate() {
        store.sign_in(name, &format!("odd{n}"), Some(1_000)).await;
    }
    store.sign_in("ann", "ann", Some(1_000)).await;
    store.sign_in("annx", "annx", Some(1_000)).await;
    for (n, name) in ODD_NAMES.iter().enumerate() {
        let ended = store.connector().end(&[target(name, 2_000)]).await.expect("ended").replies;
        assert_eq!(counts(&ended), [1], "{name}");
        assert!(!store.lives(&format!("odd{n}")).await, "{name}");
        for (later, _) in ODD_NAMES.iter().enumerate().skip(n + 1) {
            assert!(store.lives(&format!("odd{later}")).await, "{name} ended {}", ODD_NAMES[later]);
        }
    }
    assert!(store.lives("ann").await && store.lives("annx").await);
}

async fn neighbours_stay_byte_for_byte(store: &dyn Store) {
    for n in 0..50 {
        store.sign_in(&format!("neighbour{n}"), &format!("n{n}"), Some(1)).await;
    }
    let before = store.contents().await;
    assert!(before.len() >= 50, "the store shows what it holds");
    store.sign_in("ann", "a1", Some(1_000)).await;
    store.sign_in("ann", "a2", None).await;
    assert_ne!(store.contents().await, before);
    let targets = [target("ann", 2_000)];
    store.connector().find(&targets).await.expect("found");
    store.connector().end(&targets).await.expect("ended");
    store.connector().find(&[]).await.expect("looked");
    assert_eq!(store.contents().await, before);
}

async fn keys_of_unknown_begin_are_spared_where_asked(store: &dyn Store) {
    store.sign_in("ann", "a1", None).await;
    let first = store.connector().end(&[target("ann", 2_000)]).await.expect("ended").replies;
    let Reply::Sessions(sessions) = &first[0] else { panic!("{first:?}") };
    let only = Some(Arc::new(sessions.iter().map(|s| s.key.clone()).collect()));
    store.save_again("ann", "a1").await;
    store.sign_in("ann", "a2", None).await;
    let sparing = [Target { only, ..target("ann", 2_000) }];
    assert_eq!(counts(&store.connector().find(&sparing).await.expect("found").replies), [2]);
    assert_eq!(store.connector().end(&sparing).await.expect("ended").replies, first);
    assert!(!store.lives("a1").await && store.lives("a2").await);
}

async fn look_without_targets_says_what_it_saw(store: &dyn Store) {
    store.sign_in("ann", "a1", Some(1_000)).await;
    let answer = store.connector().find(&[]).await.expect("it answers");
    assert_eq!(answer.replies, []);
    assert!(store.lives("a1").await);
}

/// The suite for one kind of store: each rule on a store of its own.
macro_rules! suite {
    ($name:ident, $store:expr) => {
        mod $name {
            use super::*;

            crate::connectors::rules! {
                $store,
                ends_only_what_is_over,
                knows_a_session_that_came_back,
                ends_many_in_one_pass,
                odd_names_are_compared_whole,
                neighbours_stay_byte_for_byte,
                keys_of_unknown_begin_are_spared_where_asked,
                look_without_targets_says_what_it_saw
            }
        }
    };
}

macro_rules! rules {
    ($store:expr, $($rule:ident),+) => {
        $(
            #[tokio::test]
            async fn $rule() {
                crate::connectors::$rule(&$store).await;
            }
        )+
    };
}

pub(crate) use {rules, suite};

suite!(memory, Memory::default());
