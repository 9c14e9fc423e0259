//! Changes of one thing at the same time: each reads, decides and writes in one transaction, so none is lost.

use futures_util::future::{join, join_all};
use lightsout_client::api::{
    CreateGroupMembership, CreateTermination, GroupMembership, MembershipRole, Reference, UpdateGroup,
    UpdateGroupMembership,
};
use lightsout_server::args;
use lightsout_server::ops::credentials;
use lightsout_server::ops::import::import;
use lightsout_server::ops::sign_in::{self, Origin, Step};
use lightsout_server::random::sha256;
use lightsout_server::store::Tx;
use serde_json::{Map, json};
use tokio::task::JoinHandle;

use crate::harness::{Database, Harness, both, eventually};

const AT_ONCE: usize = 20;
/// Each change sets one of these.
const GROUP_FIELDS: [(&str, &str); 5] = [
    ("description", "Sells"),
    ("provenance", "directory"),
    ("external_sync_identifier", "ou=sales"),
    ("invitability_level", "admins_and_members"),
    ("member_viewability_level", "all_managed_users"),
];

both! {
    async fn twenty_changes_of_a_group_are_all_kept(h: &mut Harness) {
        let group = h.group("Sales", &[]).await;
        let changes: Vec<UpdateGroup> = (0..AT_ONCE)
            .map(|n| match n {
                0 => UpdateGroup { name: Some("Sellers".to_owned()), ..UpdateGroup::default() },
                n => UpdateGroup { other: field(n), ..UpdateGroup::default() },
            })
            .collect();
        let changed = join_all(changes.iter().map(|change| h.admin.update_group(&group, change))).await;
        assert!(changed.iter().all(Result::is_ok), "{changed:?}");
        let group = h.app.db.find_group(&h.enterprise_id, &group).await.expect("an answer").expect("the group");
        assert_eq!(group.name, "Sellers");
        let profile = stored(&group.profile);
        for (name, value) in GROUP_FIELDS {
            assert_eq!(profile.get(name), Some(&json!(value)), "{profile:?}");
        }
    }
}

both! {
    async fn change_of_permissions_does_not_undo_a_change_of_role(h: &mut Harness) {
        let ann = h.user("ann").await;
        for round in 0..3 {
            let group = h.group(&format!("Sales {round}"), &[]).await;
            let id = group_admin(h, &ann, &group).await.id.0;
            let demote = UpdateGroupMembership {
                role: Some(MembershipRole::Member),
                ..UpdateGroupMembership::default()
            };
            let permit = UpdateGroupMembership {
                configurable_permissions: Some(Some(Map::new())),
                ..UpdateGroupMembership::default()
            };
            let changes = (0..AT_ONCE).map(|n| if n == AT_ONCE / 2 { &demote } else { &permit });
            let changed = join_all(changes.map(|change| h.admin.update_group_membership(&id, change))).await;
            assert!(changed.iter().all(Result::is_ok), "{changed:?}");
            let membership = h.admin.group_membership(&id).await.expect("the membership");
            assert_eq!(membership.role, Some(MembershipRole::Member), "round {round}");
        }
    }
}

both! {
    async fn member_who_is_made_admin_has_the_permissions_that_were_sent_before_or_meanwhile(h: &mut Harness) {
        for round in 0..3 {
            let (user, group) = (h.user(&format!("p{round}")).await, h.group(&format!("Sales {round}"), &[]).await);
            let id = h.admin.add_member(&group, &user).await.expect("a member").id.0;
            let promote =
                UpdateGroupMembership { role: Some(MembershipRole::Admin), ..UpdateGroupMembership::default() };
            let off = Map::from_iter([("can_edit_accounts".to_owned(), json!(false))]);
            let permit = UpdateGroupMembership {
                configurable_permissions: Some(Some(off)),
                ..UpdateGroupMembership::default()
            };
            let changes = [h.admin.update_group_membership(&id, &promote), h.admin.update_group_membership(&id, &permit)];
            assert!(join_all(changes).await.iter().all(Result::is_ok));
            let membership = h.admin.group_membership(&id).await.expect("the membership");
            assert_eq!(membership.role, Some(MembershipRole::Admin), "round {round}");
            assert!(h.client_of(&format!("p{round}@acme.example"), "").await.terminate(&CreateTermination {
                group_ids: vec![group.into()],
                ..CreateTermination::default()
            }, None).await.is_err(), "round {round}: the permission to edit accounts is off");
        }
    }
}

both! {
    async fn deleted_group_keeps_no_member(h: &mut Harness) {
        let mut people = Vec::new();
        for n in 0..AT_ONCE {
            people.push(h.user(&format!("p{n}")).await);
        }
        for round in 0..3 {
            let group = h.group(&format!("Sales {round}"), &[]).await;
            let (half, others) = people.split_at(AT_ONCE / 2);
            let add = |people: &[String]| {
                let adds: Vec<_> = people.iter().cloned().map(|id| {
                    let (admin, group) = (h.admin.clone(), group.clone());
                    async move { admin.add_member(&group, &id).await }
                }).collect();
                join_all(adds)
            };
            let (_, (deleted, _)) = join(add(half), join(h.admin.delete_group(&group), add(others))).await;
            deleted.expect("the group was there");
        }
        assert_eq!(memberships_without_group(h).await, 0);
    }
}

// SQLite has one writer, so only PostgreSQL lets two transactions meet in their middle.

#[tokio::test]
async fn group_admin_who_is_dismissed_meanwhile_adds_nobody() {
    let h = Harness::start(Database::Postgres).await;
    let (ann, bob, group) = (h.user("ann").await, h.user("bob").await, h.group("Sales", &[]).await);
    let id = group_admin(&h, &ann, &group).await.id.0;
    let client = h.client_of("ann@acme.example", "manage_groups").await;
    let mut dismissal = h.app.db.begin().await.expect("the database works");
    dismissal.hold_membership(&h.enterprise_id, &id).await.expect("an answer").expect("the membership");
    dismissal.delete_membership(&id).await.expect("deleted");
    let added = tokio::spawn(async move { client.add_member(&group, &bob).await });
    let added = after_commit_of(&h, dismissal, added).await;
    let status = added.expect_err("refused").api().expect("the server answered").status;
    assert_eq!(status, 403);
    h.finish().await;
}

#[tokio::test]
async fn import_keeps_what_is_changed_meanwhile() {
    let h = Harness::start(Database::Postgres).await;
    let ann = h.user("ann").await;
    let mut change = h.app.db.begin().await.expect("the database works");
    let mut user = change.hold_user(&h.enterprise_id, &ann).await.expect("an answer").expect("ann");
    user.profile = json!(field(1)).to_string();
    change.update_user(&user).await.expect("changed");
    let (app, enterprise) = (h.app.clone(), h.enterprise_id.clone());
    let imported = tokio::spawn(async move {
        import(&app, &[], &enterprise, "login,name\nann@acme.example,Anna\n".as_bytes()).await
    });
    after_commit_of(&h, change, imported).await.expect("imported");
    let user = h.app.db.find_user_by_id(&ann).await.expect("an answer").expect("ann");
    assert_eq!((user.name.as_str(), stored(&user.profile)), ("Anna", field(1)));
    h.finish().await;
}

/// Commits once a task waits for the transaction, or has ended without; returns what the task gives.
async fn after_commit_of<T>(h: &Harness, mut tx: Tx, task: JoinHandle<T>) -> T {
    let pid = tx.find::<(i64,)>("SELECT CAST(pg_backend_pid() AS BIGINT)", args![]).await;
    let (pid,) = pid.expect("the database works").expect("one row");
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE CAST($1 AS INTEGER) = ANY (pg_blocking_pids(pid))";
    eventually(async || {
        let waiting = h.app.db.find::<(i64,)>(sql, args![pid]).await.expect("the database works");
        task.is_finished() || waiting.is_some_and(|(n,)| n > 0)
    })
    .await;
    tx.commit().await.expect("committed");
    task.await.expect("it does not panic")
}

both! {
    async fn one_old_password_is_replaced_once(h: &mut Harness) {
        let old = "correct horse battery";
        credentials::set_password(&h.app, "ada@acme.example", old).await.expect("set");
        let proof = credentials::check_password(&h.app, "ada@acme.example", old).await.expect("checked");
        let (proof, origin) = (proof.expect("the right one"), Origin::default());
        let step = sign_in::go_on(&h.app, &proof, &origin, "/").await.expect("signed in");
        let Step::SignedIn(session) = step else { panic!("{step:?}") };
        let caller = sign_in::authenticate(&h.app, &session).await.expect("an answer").expect("a caller");
        let hash = sha256(&session);
        let news: Vec<String> = (0..4).map(|n| format!("another password {n}")).collect();
        let changes = news.iter().map(|new| credentials::change_password(&h.app, &caller, &hash, old, new));
        let changed: Vec<bool> = join_all(changes).await.into_iter().map(|c| c.expect("an answer")).collect();
        assert_eq!(changed.iter().filter(|changed| **changed).count(), 1, "{changed:?}");
    }
}

fn stored(profile: &str) -> Map<String, serde_json::Value> {
    serde_json::from_str(profile).expect("an object")
}

/// One field of a group's profile.
fn field(n: usize) -> Map<String, serde_json::Value> {
    let (name, value) = GROUP_FIELDS[n % GROUP_FIELDS.len()];
    Map::from_iter([(name.to_owned(), json!(value))])
}

async fn group_admin(h: &Harness, user: &str, group: &str) -> GroupMembership {
    let new = CreateGroupMembership {
        user: Reference { kind: "user".to_owned(), id: user.to_owned(), name: None, login: None },
        group: Reference { kind: "group".to_owned(), id: group.to_owned(), name: None, login: None },
        role: Some(MembershipRole::Admin),
        configurable_permissions: Some(Some(Map::from_iter([(
            "can_edit_memberships".to_owned(),
            json!(true),
        )]))),
    };
    h.admin.create_group_membership(&new).await.expect("a membership")
}

async fn memberships_without_group(h: &Harness) -> i64 {
    let sql = "SELECT count(*) FROM memberships WHERE group_id NOT IN (SELECT group_id FROM groups)";
    h.app.db.find::<(i64,)>(sql, args![]).await.expect("the database works").expect("one row").0
}
