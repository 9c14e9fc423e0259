//! The directory: users, groups and memberships, who may change them, and the import.

use lightsout_client::api::{
    CreateGroup, CreateGroupMembership, CreateTermination, CreateUser, MembershipRole, Reference, Role,
    UpdateUser,
};
use lightsout_client::{Client, Error};
use lightsout_server::args;
use lightsout_server::ops::admin;
use lightsout_server::ops::import::{Report, import};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Harness, both};

const ADA: &str = "ada@acme.example";

/// Sends JSON, and returns status and body; an empty body is `null`.
async fn send(h: &Harness, token: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
    let request = reqwest::Client::new().request(method.clone(), h.url(path)).bearer_auth(token);
    let request = if method == Method::POST || method == Method::PUT { request.json(&body) } else { request };
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn refused<T>(result: Result<T, Error>) -> (u16, String) {
    let Err(error) = result else { panic!("it was not refused") };
    let answer = error.api().expect("the server answered");
    (answer.status, answer.code.clone())
}

fn person(name: &str, role: Role) -> CreateUser {
    CreateUser {
        name: name.to_owned(),
        login: Some(format!("{name}@acme.example")),
        role: Some(role),
        ..CreateUser::default()
    }
}

async fn coadmin(h: &Harness, name: &str) -> (String, Client) {
    let id = h.admin.create_user(&person(name, Role::Coadmin)).await.expect("a coadmin").id.0;
    (id, h.client_of(&format!("{name}@acme.example"), "").await)
}

fn rename(name: &str) -> UpdateUser {
    UpdateUser { name: Some(name.to_owned()), ..UpdateUser::default() }
}

/// A membership as a group admin; `permissions` as they stand on the wire, absent for `None`.
fn group_admin(group: &str, user: &str, permissions: Option<Value>) -> CreateGroupMembership {
    let reference = |id: &str| Reference { id: id.to_owned(), ..Reference::default() };
    CreateGroupMembership {
        user: reference(user),
        group: reference(group),
        role: Some(MembershipRole::Admin),
        configurable_permissions: permissions.map(|p| p.as_object().cloned()),
    }
}

fn users(ids: &[&str]) -> CreateTermination {
    CreateTermination {
        user_ids: ids.iter().map(|id| (*id).into()).collect(),
        ..CreateTermination::default()
    }
}

fn groups(ids: &[&str]) -> CreateTermination {
    CreateTermination {
        group_ids: ids.iter().map(|id| (*id).into()).collect(),
        ..CreateTermination::default()
    }
}

both! {
    async fn user_is_created_read_changed_and_deleted(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let body = json!({"name": "Ann Lee", "login": "Ann.Lee@Acme.example", "job_title": "Nurse", "external_app_user_id": "x-1"});
        let (status, made) = send(h, &token, Method::POST, "/2.0/users", body).await;
        assert_eq!((status, &made["type"], &made["login"]), (201, &json!("user"), &json!("Ann.Lee@Acme.example")));
        assert_eq!((&made["job_title"], &made["status"]), (&json!("Nurse"), &json!("active")));
        let path = format!("/2.0/users/{}", made["id"].as_str().expect("an id"));
        assert_eq!(send(h, &token, Method::GET, &path, Value::Null).await, (200, made.clone()));
        let found = send(h, &token, Method::GET, "/2.0/users?external_app_user_id=x-1", Value::Null).await.1;
        assert_eq!((&found["total_count"], &found["entries"][0]["id"]), (&json!(1), &made["id"]));

        h.advance(1_000);
        let (status, changed) = send(h, &token, Method::PUT, &path, json!({"name": "Ann Ray", "phone": "1"})).await;
        assert_eq!((status, &changed["name"], &changed["phone"]), (200, &json!("Ann Ray"), &json!("1")));
        assert_eq!((&changed["job_title"], &changed["login"]), (&made["job_title"], &made["login"]));
        assert_eq!((&changed["created_at"], &changed["modified_at"]), (&made["created_at"], &json!("2026-01-02T03:04:06Z")));
        // What the service decides cannot be written over.
        let (_, kept) = send(h, &token, Method::PUT, &path, json!({"id": "1", "created_at": "never", "type": "cat"})).await;
        assert_eq!((&kept["id"], &kept["created_at"], &kept["type"]), (&made["id"], &made["created_at"], &json!("user")));

        assert_eq!(send(h, &token, Method::DELETE, &format!("{path}?notify=False&force=True"), Value::Null).await, (204, Value::Null));
        assert_eq!(send(h, &token, Method::GET, &path, Value::Null).await.0, 404);
        assert_eq!(send(h, &token, Method::DELETE, &path, Value::Null).await.0, 404);
        // The login is free again.
        h.admin.create_user(&CreateUser { login: Some("ann.lee@acme.example".to_owned()), ..person("ann", Role::User) }).await.expect("made");
        let id = h.admin.terminations(None).await.expect("a list").entries.remove(0).id.0;
        h.run_until_done(&id).await;
    }
}

both! {
    async fn login_is_unique_in_any_case_and_names_are_checked(h: &mut Harness) {
        let ann = h.user("ann").await;
        let bob = h.user("bob").await;
        let with = |name: &str, login: &str| CreateUser { login: Some(login.to_owned()), ..person(name, Role::User) };
        let taken = (409, "user_login_already_used".to_owned());
        for login in ["ann@acme.example", "ANN@Acme.Example", " ann@acme.example "] {
            assert_eq!(refused(h.admin.create_user(&with("Ann", login)).await), taken);
        }
        let change = UpdateUser { login: Some("ANN@acme.example".to_owned()), ..UpdateUser::default() };
        assert_eq!(refused(h.admin.update_user(&bob, &change).await), taken);
        // One's own login in another case is no other user's.
        assert_eq!(h.admin.update_user(&ann, &change).await.expect("changed").login.as_deref(), Some("ANN@acme.example"));

        let bad = (400, "bad_request".to_owned());
        for (name, login) in [
            ("", "n@acme.example"), ("   ", "n@acme.example"), ("a\nb", "n@acme.example"), (&*"x".repeat(51), "n@acme.example"),
            ("Nora", ""), ("Nora", "two words@acme.example"), ("Nora", &*"x".repeat(255)),
        ] {
            assert_eq!(refused(h.admin.create_user(&with(name, login)).await), bad, "{name:?} {login:?}");
        }
        let nobody = CreateUser { login: None, ..person("Nora", Role::User) };
        assert_eq!(refused(h.admin.create_user(&nobody).await), bad);
        h.admin.create_user(&with(&"ä".repeat(50), "n@acme.example")).await.expect("50 characters");
        assert_eq!(refused(h.admin.update_user(&ann, &rename("")).await), bad);
        let token = h.token_of(ADA, "").await;
        let app_user = json!({"name": "Robot", "is_platform_access_only": true});
        let (status, made) = send(h, &token, Method::POST, "/2.0/users", app_user).await;
        assert!(status == 201 && made["login"].as_str().is_some_and(|l| l.starts_with("AppUser_")), "{made}");
    }
}

both! {
    async fn coadmin_changes_plain_users_only_and_the_admin_anyone_below(h: &mut Harness) {
        let (cleo, of_cleo) = coadmin(h, "cleo").await;
        let (dora, _) = coadmin(h, "dora").await;
        let ann = h.user("ann").await;
        let denied = (403, "access_denied_insufficient_permissions".to_owned());
        let promote = UpdateUser { role: Some(Role::Coadmin), ..UpdateUser::default() };
        for client in [&of_cleo, &h.registrar] {
            client.update_user(&ann, &rename("Ann")).await.expect("a plain user");
            assert_eq!(refused(client.create_user(&person("eve", Role::Coadmin)).await), denied);
            assert_eq!(refused(client.update_user(&ann, &promote).await), denied);
            for target in [&h.admin_id, &dora] {
                assert_eq!(refused(client.update_user(target, &rename("X")).await), denied);
                assert_eq!(refused(client.delete_user(target).await), denied);
            }
        }
        assert_eq!(refused(of_cleo.update_user(&cleo, &promote).await), denied);
        let made = of_cleo.create_user(&person("bob", Role::User)).await.expect("a plain user").id.0;
        of_cleo.delete_user(&made).await.expect("a plain user");

        // The admin: anyone below, and nobody becomes a second admin.
        h.admin.update_user(&ann, &promote).await.expect("a coadmin now");
        h.admin.update_user(&dora, &rename("Dora D")).await.expect("a coadmin");
        h.admin.delete_user(&ann).await.expect("a coadmin");
        assert_eq!(refused(h.admin.create_user(&person("fay", Role::Admin)).await).0, 403);
        assert_eq!(refused(h.admin.delete_user(&h.admin_id).await).0, 403);
        // A service account is changed through its app.
        let service = h.registrar.me().await.expect("the account").id.0;
        assert_eq!(refused(h.admin.delete_user(&service).await), denied);
        for termination in h.admin.terminations(None).await.expect("a list").entries {
            h.run_until_done(&termination.id.0).await;
        }
    }
}

both! {
    async fn plain_user_reads_themselves_and_their_groups_only(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let (sales, other) = (h.group("Sales", &[&ann]).await, h.group("Other", &[&bob]).await);
        let token = h.token_of("ann@acme.example", "").await;
        let status = async |path: &str| send(h, &token, Method::GET, path, Value::Null).await.0;
        assert_eq!(status("/2.0/users/me").await, 200);
        assert_eq!(status(&format!("/2.0/users/{ann}")).await, 200);
        assert_eq!(status(&format!("/2.0/users/{ann}/memberships")).await, 200);
        assert_eq!(status(&format!("/2.0/groups/{sales}")).await, 200);
        assert_eq!(status(&format!("/2.0/groups/{sales}/memberships")).await, 200);
        // Known or not: no answer tells.
        for path in [
            "/2.0/users".to_owned(), format!("/2.0/users/{bob}"), "/2.0/users/999".to_owned(), format!("/2.0/users/{bob}/memberships"),
            "/2.0/groups".to_owned(), format!("/2.0/groups/{other}"), "/2.0/groups/999".to_owned(), format!("/2.0/groups/{other}/memberships"),
            "/2.0/group_memberships/999".to_owned(),
        ] {
            assert_eq!(status(&path).await, 403, "{path}");
        }
    }
}

both! {
    async fn group_and_memberships_are_created_read_changed_and_deleted(h: &mut Harness) {
        let token = h.token_of(ADA, "").await;
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let (status, group) = send(h, &token, Method::POST, "/2.0/groups", json!({"name": "Sales", "description": "sells"})).await;
        assert_eq!((status, &group["group_type"]), (201, &json!("managed_group")));
        let id = group["id"].as_str().expect("an id");
        let path = format!("/2.0/groups/{id}");
        assert_eq!(send(h, &token, Method::GET, &format!("{path}?fields=description"), Value::Null).await.1["description"], "sells");
        for taken in ["Sales", "SALES", " sales "] {
            assert_eq!(send(h, &token, Method::POST, "/2.0/groups", json!({"name": taken})).await.0, 409, "{taken}");
        }
        assert_eq!(send(h, &token, Method::POST, "/2.0/groups", json!({"name": ""})).await.0, 400);
        let other = h.group("Other", &[]).await;
        assert_eq!(send(h, &token, Method::PUT, &format!("/2.0/groups/{other}"), json!({"name": "sALES"})).await.0, 409);
        assert_eq!(send(h, &token, Method::PUT, &path, json!({"name": "Sellers"})).await.1["name"], "Sellers");
        assert_eq!(send(h, &token, Method::GET, "/2.0/groups?filter_term=sell", Value::Null).await.1["total_count"], 1);

        let join = |user: &str| json!({"user": {"id": user}, "group": {"id": id}});
        let (status, made) = send(h, &token, Method::POST, "/2.0/group_memberships", join(&ann)).await;
        assert_eq!((status, &made["role"], &made["user"]["login"]), (201, &json!("member"), &json!("ann@acme.example")));
        assert_eq!(send(h, &token, Method::POST, "/2.0/group_memberships", join(&ann)).await.0, 409);
        assert_eq!(send(h, &token, Method::POST, "/2.0/group_memberships", join("999")).await.0, 404);
        h.admin.add_member(id, &bob).await.expect("a membership");
        let members = send(h, &token, Method::GET, &format!("{path}/memberships?limit=1&offset=1"), Value::Null).await.1;
        assert_eq!((&members["total_count"], members["entries"].as_array().map(Vec::len)), (&json!(2), Some(1)));
        let of_ann = send(h, &token, Method::GET, &format!("/2.0/users/{ann}/memberships"), Value::Null).await.1;
        assert_eq!((&of_ann["total_count"], &of_ann["entries"][0]["id"]), (&json!(1), &made["id"]));

        let membership = format!("/2.0/group_memberships/{}", made["id"].as_str().expect("an id"));
        assert_eq!(send(h, &token, Method::PUT, &membership, json!({"role": "admin"})).await.1["role"], "admin");
        assert_eq!(send(h, &token, Method::GET, &membership, Value::Null).await.1["role"], "admin");
        assert_eq!(send(h, &token, Method::DELETE, &membership, Value::Null).await.0, 204);
        assert_eq!(send(h, &token, Method::GET, &membership, Value::Null).await.0, 404);
        assert_eq!(send(h, &token, Method::DELETE, &path, Value::Null).await.0, 204);
        assert_eq!(send(h, &token, Method::GET, &path, Value::Null).await.0, 404);
        let left = send(h, &token, Method::GET, &format!("/2.0/users/{bob}/memberships"), Value::Null).await.1;
        assert_eq!(left["total_count"], 0);
    }
}

both! {
    async fn absent_permissions_are_on_and_null_turns_all_off(h: &mut Harness) {
        let ann = h.user("ann").await;
        for (name, permissions, may_end) in [
            ("Absent", None, true),
            ("Null", Some(Value::Null), false),
            ("Empty", Some(json!({})), true),
            ("Off", Some(json!({"can_edit_accounts": false})), false),
            ("Another", Some(json!({"can_run_reports": false})), true),
        ] {
            let group = h.group(name, &[&ann]).await;
            let gus = h.user(&format!("gus.{name}")).await;
            let token = h.token_of(&format!("gus.{name}@acme.example"), "").await;
            // Sent by hand: `null` and absent differ.
            let mut body = json!({"user": {"id": gus}, "group": {"id": group}, "role": "admin"});
            if let Some(permissions) = permissions {
                body["configurable_permissions"] = permissions;
            }
            let ada = h.token_of(ADA, "").await;
            assert_eq!(send(h, &ada, Method::POST, "/2.0/group_memberships", body).await.0, 201);
            let (status, _) = send(h, &token, Method::POST, "/v1/terminations", json!({"group_ids": [group], "dry_run": true})).await;
            assert_eq!(status == 200, may_end, "{name}: {status}");
            assert!(may_end || status == 403, "{name}: {status}");
            // Nobody changes members by default.
            let join = json!({"user": {"id": h.admin_id}, "group": {"id": group}});
            assert_eq!(send(h, &token, Method::POST, "/2.0/group_memberships", join).await.0, 403, "{name}");
        }
        let gil = h.user("gil").await;
        let ada = h.token_of(ADA, "").await;
        let group = h.group("Wrong", &[]).await;
        let body = json!({"user": {"id": gil}, "group": {"id": group}, "role": "admin", "configurable_permissions": {"can_edit_accounts": "yes"}});
        assert_eq!(send(h, &ada, Method::POST, "/2.0/group_memberships", body).await.0, 400);
    }
}

both! {
    async fn group_admin_changes_members_only_where_the_admin_granted_it(h: &mut Harness) {
        let (ann, gus) = (h.user("ann").await, h.user("gus").await);
        let (sales, other) = (h.group("Sales", &[]).await, h.group("Other", &[]).await);
        let (_, of_cleo) = coadmin(h, "cleo").await;
        let of_gus = h.client_of("gus@acme.example", "").await;
        let grant = Some(json!({"can_edit_memberships": true}));
        assert_eq!(refused(of_cleo.create_group_membership(&group_admin(&sales, &gus, grant.clone())).await).0, 403);
        let made = of_cleo.create_group_membership(&group_admin(&sales, &gus, None)).await.expect("appointed");
        assert_eq!(refused(of_gus.add_member(&sales, &ann).await).0, 403);

        let path = format!("/2.0/group_memberships/{}", made.id.0);
        let change = json!({"configurable_permissions": grant});
        let (cleo, ada) = (h.token_of("cleo@acme.example", "").await, h.token_of(ADA, "").await);
        assert_eq!(send(h, &cleo, Method::PUT, &path, change.clone()).await.0, 403);
        assert_eq!(send(h, &ada, Method::PUT, &path, change).await.0, 200);
        let joined = of_gus.add_member(&sales, &ann).await.expect("granted");
        // Here only, and no group admin makes another one or changes their own rights.
        assert_eq!(refused(of_gus.add_member(&other, &ann).await).0, 403);
        let token = h.token_of("gus@acme.example", "").await;
        let promote = json!({"role": "admin"});
        let joined = format!("/2.0/group_memberships/{}", joined.id.0);
        assert_eq!(send(h, &token, Method::PUT, &joined, promote).await.0, 403);
        assert_eq!(send(h, &token, Method::PUT, &path, json!({"configurable_permissions": {}})).await.0, 403);
        assert_eq!(send(h, &token, Method::DELETE, &path, Value::Null).await.0, 403);
        assert_eq!(refused(of_gus.create_group(&CreateGroup { name: "Mine".to_owned(), ..CreateGroup::default() }).await).0, 403);
        assert_eq!(send(h, &token, Method::DELETE, &joined, Value::Null).await.0, 204);
    }
}

both! {
    async fn permissions_sent_for_a_plain_member_are_no_grant_in_waiting(h: &mut Harness) {
        let (ann, gus) = (h.user("ann").await, h.user("gus").await);
        let sales = h.group("Sales", &[]).await;
        let (_, of_cleo) = coadmin(h, "cleo").await;
        let smuggled = CreateGroupMembership {
            role: Some(MembershipRole::Member),
            ..group_admin(&sales, &gus, Some(json!({"can_edit_memberships": true})))
        };
        if let Ok(made) = of_cleo.create_group_membership(&smuggled).await {
            // The admin appoints, and says nothing of permissions.
            let ada = h.token_of(ADA, "").await;
            let path = format!("/2.0/group_memberships/{}", made.id.0);
            assert_eq!(send(h, &ada, Method::PUT, &path, json!({"role": "admin"})).await.0, 200);
        }
        let of_gus = h.client_of("gus@acme.example", "").await;
        assert_eq!(refused(of_gus.add_member(&sales, &ann).await).0, 403);
    }
}

both! {
    async fn group_admin_ends_that_groups_plain_users_and_nobody_else(h: &mut Harness) {
        let (ann, bob, eve, gus) = (h.user("ann").await, h.user("bob").await, h.user("eve").await, h.user("gus").await);
        let (sales, other) = (h.group("Sales", &[&ann, &bob]).await, h.group("Other", &[&eve]).await);
        h.admin.create_group_membership(&group_admin(&sales, &gus, None)).await.expect("appointed");
        let of_gus = h.client_of("gus@acme.example", "").await;
        let (of_ann, of_eve) = (h.sign_in(&ann).await, h.sign_in(&eve).await);
        for wrong in [users(&[&eve]), users(&[&ann, &eve]), groups(&[&other]), groups(&[&sales, &other]), users(&[&h.admin_id])] {
            assert_eq!(refused(of_gus.terminate(&wrong, None).await).0, 403, "{wrong:?}");
        }
        assert!(h.is_active(&of_ann).await && h.is_active(&of_eve).await);
        let first = of_gus.terminate(&users(&[&ann]), None).await.expect("accepted");
        assert!(!h.is_active(&of_ann).await && h.is_active(&of_eve).await);
        h.run_until_done(&first.id.0).await;

        // A coadmin in the group is beyond the group admin; a demoted group admin ends nobody.
        let (cleo, _) = coadmin(h, "cleo").await;
        h.admin.add_member(&sales, &cleo).await.expect("a membership");
        assert_eq!(refused(of_gus.terminate(&groups(&[&sales]), None).await).0, 403);
        let skipping = CreateTermination { skip_not_permitted: true, ..groups(&[&sales]) };
        let accepted = of_gus.terminate(&skipping, None).await.expect("accepted");
        assert_eq!((accepted.people, accepted.skipped.len()), (3, 1));
        assert_eq!(accepted.skipped[0].value, cleo);
        h.run_until_done(&accepted.id.0).await;
    }
}

both! {
    async fn another_enterprises_ids_do_not_exist(h: &mut Harness) {
        let (_, eve) = admin::create_enterprise(&h.app, "Other", "eve@other.example", "Eve").await.expect("an enterprise");
        let of_eve = h.client_of("eve@other.example", "").await;
        let olga = of_eve.create_user(&CreateUser { login: Some("olga@other.example".to_owned()), ..person("olga", Role::User) }).await.expect("a user").id.0;
        let group = of_eve.create_group(&CreateGroup { name: "Sales".to_owned(), ..CreateGroup::default() }).await.expect("a group").id.0;
        let membership = of_eve.add_member(&group, &olga).await.expect("a membership").id.0;
        let ended = of_eve.terminate(&users(&[&olga]), None).await.expect("accepted").id.0;
        // Names are unique within an enterprise, logins everywhere.
        let sales = h.group("Sales", &[]).await;
        let token = h.token_of(ADA, "").await;
        let join = |user: &str, group: &str| json!({"user": {"id": user}, "group": {"id": group}});
        let ann = h.user("ann").await;
        for (method, path, body) in [
            (Method::GET, format!("/2.0/users/{olga}"), Value::Null),
            (Method::PUT, format!("/2.0/users/{olga}"), json!({"name": "X"})),
            (Method::DELETE, format!("/2.0/users/{olga}"), Value::Null),
            (Method::DELETE, format!("/2.0/users/{}", eve.0), Value::Null),
            (Method::GET, format!("/2.0/users/{olga}/memberships"), Value::Null),
            (Method::GET, format!("/2.0/groups/{group}"), Value::Null),
            (Method::PUT, format!("/2.0/groups/{group}"), json!({"name": "X"})),
            (Method::DELETE, format!("/2.0/groups/{group}"), Value::Null),
            (Method::GET, format!("/2.0/groups/{group}/memberships"), Value::Null),
            (Method::GET, format!("/2.0/group_memberships/{membership}"), Value::Null),
            (Method::PUT, format!("/2.0/group_memberships/{membership}"), json!({"role": "admin"})),
            (Method::DELETE, format!("/2.0/group_memberships/{membership}"), Value::Null),
            (Method::POST, "/2.0/group_memberships".to_owned(), join(&olga, &sales)),
            (Method::POST, "/2.0/group_memberships".to_owned(), join(&ann, &group)),
            (Method::POST, "/2.0/users/terminate_sessions".to_owned(), json!({"user_ids": [olga]})),
            (Method::POST, "/2.0/users/terminate_sessions".to_owned(), json!({"user_logins": ["olga@other.example"]})),
            (Method::POST, "/2.0/groups/terminate_sessions".to_owned(), json!({"group_ids": [group]})),
            (Method::POST, "/v1/terminations".to_owned(), json!({"user_ids": [olga], "dry_run": true})),
            (Method::GET, format!("/v1/terminations/{ended}"), Value::Null),
            (Method::GET, format!("/v1/terminations/{ended}/outcomes"), Value::Null),
            (Method::GET, format!("/v1/terminations/{ended}/events"), Value::Null),
            (Method::POST, format!("/v1/terminations/{ended}/retry"), json!({})),
        ] {
            let (status, body) = send(h, &token, method.clone(), &path, body).await;
            assert_eq!(status, 404, "{method} {path}: {body}");
        }
        assert!(h.admin.terminations(None).await.expect("a list").entries.is_empty());
        assert_eq!(h.admin.users("olga", None, 10).await.expect("a page").entries.len(), 0);
        assert_eq!(of_eve.user(&olga).await.expect("untouched").name.as_deref(), Some("olga"));
        while !h.app.db.count_open_jobs().await.expect("the database works").is_empty() {
            h.run_jobs().await;
            h.advance(10_000);
        }
    }
}

const PEOPLE: &str = "login,name,role,groups,external_id,aliases
ann@acme.example,Ann,user,Sales;Berlin,e-1,shop=ann.a
bob@acme.example,,coadmin,sales,,
";

both! {
    async fn repeated_import_changes_nothing(h: &mut Harness) {
        let enterprise = h.enterprise_id.clone();
        let first = import(&h.app, &["shop"], &enterprise, PEOPLE.as_bytes()).await.expect("imported");
        assert_eq!(first, Report { users_created: 2, groups_created: 2, memberships_created: 3, ..Report::default() });
        let head = h.app.db.event_head().await.expect("the head");
        let again = import(&h.app, &["shop"], &enterprise, PEOPLE.as_bytes()).await.expect("imported");
        assert_eq!(again, Report { users_unchanged: 2, ..Report::default() });
        assert_eq!(h.app.db.event_head().await.expect("the head"), head);
        let renamed = import(&h.app, &["shop"], &enterprise, PEOPLE.replace(",Ann,", ",Anna,").as_bytes()).await.expect("imported");
        assert_eq!(renamed, Report { users_changed: 1, users_unchanged: 1, ..Report::default() });

        let ann = h.app.db.find_user_by_login("ANN@acme.example").await.expect("found").expect("ann");
        assert_eq!((ann.name.as_str(), ann.external_id.as_deref()), ("Anna", Some("e-1")));
        let aliases: Vec<(String, String)> = h.app.db
            .fetch("SELECT system, subject FROM aliases WHERE user_id = $1", args![&ann.user_id]).await.expect("rows");
        assert_eq!(aliases, [("shop".to_owned(), "ann.a".to_owned())]);
        let bob = h.app.db.find_user_by_login("bob@acme.example").await.expect("found").expect("bob");
        assert_eq!((bob.role(), bob.name.as_str()), (Role::Coadmin, "bob@acme.example"));
    }
}

both! {
    async fn rejected_lines_are_named_by_their_number_and_the_rest_is_imported(h: &mut Harness) {
        admin::create_enterprise(&h.app, "Other", "eve@other.example", "Eve").await.expect("an enterprise");
        let csv = "login,role,aliases\n\
            ann@acme.example,user,\n\
            ,user,\n\
            two words,user,\n\
            \n\
            cleo@acme.example,admin,\n\
            eve@other.example,user,\n\
            dora@acme.example,user,nowhere=dora\n\
            emil@acme.example\n\
            ada@acme.example,user,\n\
            bob@acme.example,user,\n";
        let report = import(&h.app, &["shop"], &h.enterprise_id, csv.as_bytes()).await.expect("imported");
        let lines: Vec<u64> = report.rejected.iter().map(|(line, _)| *line).collect();
        // As an editor counts them: the empty line is one, too.
        assert_eq!((report.users_created, lines), (2, vec![3, 4, 6, 7, 8, 9, 10]), "{:?}", report.rejected);
        assert!(report.rejected[3].1.contains("another enterprise"), "{:?}", report.rejected);
    }
}

both! {
    async fn import_of_an_unreadable_file_changes_nothing(h: &mut Harness) {
        let head = h.app.db.event_head().await.expect("the head");
        for csv in ["login,nmae\nann@acme.example,Ann\n", "name\nAnn\n", "", "\n"] {
            let error = import(&h.app, &["shop"], &h.enterprise_id, csv.as_bytes()).await.expect_err("refused").to_string();
            assert!(error.contains("login"), "{error}");
        }
        import(&h.app, &["shop"], "999", PEOPLE.as_bytes()).await.expect_err("no such enterprise");
        assert_eq!(h.app.db.event_head().await.expect("the head"), head);
    }
}

both! {
    async fn import_leaves_alone_what_the_file_has_no_column_for(h: &mut Harness) {
        let enterprise = h.enterprise_id.clone();
        import(&h.app, &["shop"], &enterprise, PEOPLE.as_bytes()).await.expect("imported");
        let csv = "login,groups\nann@acme.example,Night\nbob@acme.example,Night\n";
        let report = import(&h.app, &["shop"], &enterprise, csv.as_bytes()).await.expect("imported");
        assert_eq!((report.groups_created, report.memberships_created, report.users_changed), (1, 2, 0));
        let ann = h.app.db.find_user_by_login("ann@acme.example").await.expect("found").expect("ann");
        assert_eq!((ann.name.as_str(), ann.external_id.as_deref()), ("Ann", Some("e-1")));
        let bob = h.app.db.find_user_by_login("bob@acme.example").await.expect("found").expect("bob");
        assert_eq!(bob.role(), Role::Coadmin);
    }
}
