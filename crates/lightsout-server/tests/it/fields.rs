//! Fields of users, groups and memberships: Box's types on input and on output, checked against Box's own
//! document.

use lightsout_server::args;
use lightsout_server::ops::admin;
use lightsout_server::ops::import::import;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::harness::{Harness, both};

const ADA: &str = "ada@acme.example";

/// The admin, and Box's document.
struct Caller {
    url: String,
    token: String,
    document: Value,
}

impl Caller {
    async fn ada(h: &Harness) -> Self {
        let document = include_str!("../../../../tests/e2e/box-openapi-subset.json");
        let document = serde_json::from_str(document).expect("Box's document");
        Self { url: h.url(""), token: h.token_of(ADA, "").await, document }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.url);
        let request = reqwest::Client::new().request(method, url).bearer_auth(&self.token);
        let request = if body.is_null() { request } else { request.json(body) };
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Asserts that a body is refused because of one field, and returns the message.
    async fn refused(&self, method: Method, path: &str, body: &Value, field: &str) -> String {
        let (status, answer) = self.send(method, path, body).await;
        assert_eq!((status, &answer["code"]), (400, &json!("bad_request")), "{body}: {answer}");
        let error = &answer["context_info"]["errors"][0];
        assert_eq!(
            (&error["reason"], &error["name"]),
            (&json!("invalid_parameter"), &json!(field)),
            "{body}: {answer}"
        );
        answer["message"].as_str().expect("a message").to_owned()
    }

    /// The fields of a request's body.
    fn body_of(&self, path: &str, method: &str) -> Map<String, Value> {
        let schema =
            &self.document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"];
        schema["properties"].as_object().expect("fields").clone()
    }

    /// The fields of a schema, with those of the schemas that it is made of.
    fn properties(&self, schema: &Value) -> Map<String, Value> {
        let schema = self.resolve(schema);
        let mut all = schema["properties"].as_object().cloned().unwrap_or_default();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            all.extend(self.properties(part));
        }
        all
    }

    fn fields(&self, schema: &str) -> Map<String, Value> {
        self.properties(&self.document["components"]["schemas"][schema])
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(path) => self.document.pointer(path.trim_start_matches('#')).expect("a schema"),
            None => schema,
        }
    }

    /// Whether a value has the schema's type, as a typed client reads it.
    fn conforms(&self, schema: &Value, value: &Value) -> bool {
        let schema = self.resolve(schema);
        if value.is_null() && schema["nullable"] == json!(true) {
            return true;
        }
        let is_typed = match schema["type"].as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64(),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => true,
        };
        let of_all = schema["allOf"].as_array();
        is_typed
            && of_all.is_none_or(|parts| parts.iter().all(|part| self.conforms(part, value)))
            && schema["enum"].as_array().is_none_or(|words| words.contains(value))
            && value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| self.conforms(&schema["items"], item)))
            && value.as_object().is_none_or(|object| {
                let known = schema["properties"].as_object();
                known.is_none_or(|known| {
                    known
                        .iter()
                        .all(|(name, schema)| object.get(name).is_none_or(|v| self.conforms(schema, v)))
                })
            })
    }

    /// Asserts that an object has Box's types in every field, and returns the fields that it lacks.
    fn lacks(&self, schema: &str, object: &Value) -> Vec<String> {
        let fields = self.fields(schema);
        assert!(
            self.conforms(&json!({"$ref": format!("#/components/schemas/{schema}")}), object),
            "{object}"
        );
        for (name, value) in object.as_object().expect("an object") {
            let field = fields.get(name).unwrap_or_else(|| panic!("Box has no {name}"));
            assert!(self.conforms(field, value), "{name}: {value} is not {field}");
        }
        fields.keys().filter(|name| object.get(*name).is_none()).cloned().collect()
    }

    fn all(&self, schema: &str) -> String {
        self.fields(schema).keys().cloned().collect::<Vec<String>>().join(",")
    }
}

/// One value of each JSON type, and some that are nearly right.
fn values() -> Vec<Value> {
    serde_json::from_str(
        r#"[true, 7, 1.5, 9223372036854775808, "no such word", [], [1], ["x"], [null], [{"name": 1}],
            [{"type": "other", "name": "a", "value": "b"}], {}, {"email": 1}, {"id": "1"}]"#,
    )
    .expect("JSON")
}

/// A body with every field that a caller may set.
fn whole_user() -> Value {
    json!({
        "name": "Ann Lee", "login": "ann@acme.example", "role": "coadmin", "status": "cannot_delete_edit",
        "external_app_user_id": "x-1", "language": "de", "timezone": "Europe/Berlin", "job_title": "Nurse",
        "phone": "1", "address": "Main street 1\nTown", "space_amount": -1,
        "tracking_codes": [{"type": "tracking_code", "name": "site", "value": "B"}],
        "can_see_managed_users": true, "is_sync_enabled": true, "is_external_collab_restricted": true,
        "is_exempt_from_device_limits": true, "is_exempt_from_login_verification": true,
    })
}

both! {
    async fn wrong_type_is_refused_by_the_fields_name_and_nothing_is_stored(h: &mut Harness) {
        let ada = Caller::ada(h).await;
        let user = format!("/2.0/users/{}", h.user("ann").await);
        let group = format!("/2.0/groups/{}", h.group("Sales", &[]).await);
        let before = (ada.get(&user).await, ada.get(&group).await, h.app.db.event_head().await.expect("the head"));
        let mut tried = 0;
        for (path, method, to, base) in [
            ("/2.0/users", "post", "/2.0/users", json!({"name": "Bob", "login": "bob@acme.example"})),
            ("/2.0/users/{user_id}", "put", &*user, json!({"name": "Bob"})),
            ("/2.0/groups", "post", "/2.0/groups", json!({"name": "Other"})),
            ("/2.0/groups/{group_id}", "put", &*group, json!({"name": "Other"})),
        ] {
            let mut fields = ada.body_of(path, method);
            // Nobody moves to another enterprise; null is refused in its own words.
            fields.remove("enterprise");
            for (name, schema) in &fields {
                for wrong in values().into_iter().filter(|value| !ada.conforms(schema, value)) {
                    let mut body = base.clone();
                    body[name.as_str()] = wrong;
                    let method = if method == "post" { Method::POST } else { Method::PUT };
                    let message = ada.refused(method, to, &body, name).await;
                    assert!(message.starts_with(&format!("{name} must be ")), "{message}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 500, "{tried}");
        let after = (ada.get(&user).await, ada.get(&group).await, h.app.db.event_head().await.expect("the head"));
        assert_eq!(after, before);
        assert_eq!(ada.get("/2.0/users").await["total_count"], 2);
    }
}

both! {
    async fn full_answer_has_boxs_type_in_every_field(h: &mut Harness) {
        let ada = Caller::ada(h).await;
        let fields = ada.all("User--Full");
        let sent = whole_user();
        assert_eq!(
            sent.as_object().expect("an object").len() + 1,
            ada.body_of("/2.0/users", "post").len(),
            "all but is_platform_access_only"
        );
        let (status, made) = ada.send(Method::POST, &format!("/2.0/users?fields={fields}"), &sent).await;
        assert_eq!((status, ada.lacks("User--Full", &made)), (201, Vec::new()));
        for (name, value) in sent.as_object().expect("an object") {
            assert_eq!(&made[name], value, "{name}");
        }
        let path = format!("/2.0/users/{}?fields={fields}", made["id"].as_str().expect("an id"));
        let mail = json!({"notification_email": {"email": "a@b.example"}, "is_password_reset_required": true, "notify": false});
        let (status, changed) = ada.send(Method::PUT, &path, &mail).await;
        assert_eq!((status, ada.lacks("User--Full", &changed)), (200, Vec::new()));
        assert_eq!(changed["notification_email"], json!({"email": "a@b.example", "is_confirmed": false}));
        assert_eq!(changed["tracking_codes"], sent["tracking_codes"], "kept");
        assert_eq!(ada.get(&path).await, changed);
        let (_, robot) = ada.send(Method::POST, "/2.0/users?fields=is_platform_access_only", &json!({"name": "Robot", "is_platform_access_only": true})).await;
        assert_eq!(robot["is_platform_access_only"], true);

        let bare = h.user("bare").await;
        let bare = ada.get(&format!("/2.0/users/{bare}?fields={fields}")).await;
        assert_eq!(ada.lacks("User--Full", &bare), ["external_app_user_id"]);
        let list = ada.get(&format!("/2.0/users?fields={fields}")).await;
        assert!(ada.conforms(&json!({"$ref": "#/components/schemas/Users"}), &list), "{list}");
        assert_eq!(list["total_count"], 4);

        let fields = ada.all("Group--Full");
        let sent = json!({
            "name": "Sales", "provenance": "LDAP", "external_sync_identifier": "g-1", "description": "sells",
            "invitability_level": "all_managed_users", "member_viewability_level": "admins_and_members",
        });
        assert_eq!(sent.as_object().expect("an object").len(), ada.body_of("/2.0/groups", "post").len());
        let (status, made) = ada.send(Method::POST, &format!("/2.0/groups?fields={fields}"), &sent).await;
        assert_eq!((status, ada.lacks("Group--Full", &made)), (201, Vec::new()));
        for (name, value) in sent.as_object().expect("an object") {
            assert_eq!(&made[name], value, "{name}");
        }
        let bare = h.group("Bare", &[&h.admin_id]).await;
        let path = format!("/2.0/groups/{bare}");
        let shown = ada.get(&format!("{path}?fields={fields}")).await;
        assert_eq!(ada.lacks("Group--Full", &shown), ["external_sync_identifier", "provenance"]);
        let members = ada.get(&format!("{path}/memberships")).await;
        assert!(ada.conforms(&json!({"$ref": "#/components/schemas/GroupMemberships"}), &members), "{members}");
        assert_eq!(ada.lacks("GroupMembership", &members["entries"][0]), [""; 0]);
    }
}

both! {
    async fn read_only_and_unknown_fields_are_ignored_and_not_stored(h: &mut Harness) {
        let ada = Caller::ada(h).await;
        for (path, put, schema, base) in [
            ("/2.0/users", "/2.0/users/{user_id}", "User--Full", json!({"name": "Bob", "login": "bob@acme.example"})),
            ("/2.0/groups", "/2.0/groups/{group_id}", "Group--Full", json!({"name": "Other"})),
        ] {
            let (create, update) = (ada.body_of(path, "post"), ada.body_of(put, "put"));
            let all = ada.all(schema);
            let (_, made) = ada.send(Method::POST, &format!("{path}?fields={all}"), &base).await;
            let mut body = base.clone();
            for name in ada.fields(schema).keys().filter(|name| !create.contains_key(*name) && !update.contains_key(*name)) {
                body[name.as_str()] = json!({"wrong": [1]});
            }
            body["unheard_of"] = json!(1);
            let one = format!("{path}/{}?fields={all},unheard_of", made["id"].as_str().expect("an id"));
            let (status, changed) = ada.send(Method::PUT, &one, &body).await;
            assert_eq!((status, changed), (200, made.clone()));
            assert_eq!(ada.send(Method::DELETE, one.split('?').next().expect("a path"), &Value::Null).await.0, 204);
            let (status, again) = ada.send(Method::POST, &format!("{path}?fields={all},unheard_of"), &body).await;
            assert_eq!(status, 201, "{again}");
            for (name, value) in again.as_object().expect("an object").iter().filter(|(name, _)| *name != "id") {
                assert_eq!(value, &made[name], "{name}");
            }
        }
        let stored: Vec<(String,)> = h.app.db
            .fetch("SELECT profile FROM users UNION ALL SELECT profile FROM groups", args![]).await.expect("rows");
        assert!(stored.iter().all(|(profile,)| profile == "{}"), "{stored:?}");
        for termination in h.admin.terminations(None).await.expect("a list").entries {
            h.run_until_done(&termination.id.0).await;
        }
    }
}

both! {
    async fn null_is_as_good_as_absent_where_box_has_no_null(h: &mut Harness) {
        let ada = Caller::ada(h).await;
        let (_, made) = ada.send(Method::POST, "/2.0/users?fields=name", &whole_user()).await;
        let path = format!("/2.0/users/{}?fields={}", made["id"].as_str().expect("an id"), ada.all("User--Full"));
        ada.send(Method::PUT, &path, &json!({"notification_email": {"email": "a@b.example"}})).await;
        let before = ada.get(&path).await;
        let mut nulls: Map<String, Value> =
            ada.body_of("/2.0/users/{user_id}", "put").into_iter().map(|(name, _)| (name, Value::Null)).collect();
        nulls.remove("enterprise");
        nulls.remove("notification_email");
        assert_eq!(ada.send(Method::PUT, &path, &json!(nulls)).await, (200, before.clone()));
        // The one that Box resets by null, and the texts that an empty one resets.
        let reset = json!({"notification_email": null, "job_title": "", "tracking_codes": [], "external_app_user_id": ""});
        let (_, after) = ada.send(Method::PUT, &path, &reset).await;
        assert_eq!((&after["notification_email"], &after["job_title"], &after["tracking_codes"]), (&Value::Null, &json!(""), &json!([])));
        assert_eq!((after.get("external_app_user_id"), &after["phone"]), (None, &before["phone"]));

        let refused = ada.refused(Method::PUT, &path, &json!({"enterprise": null}), "enterprise").await;
        assert_eq!(refused, "enterprise cannot be null: a user cannot leave the enterprise; delete the user instead");
        for body in [json!({"login": "b@acme.example"}), json!({"login": "b@acme.example", "name": null})] {
            assert_eq!(ada.refused(Method::POST, "/2.0/users", &body, "name").await, "name is required");
        }
        assert_eq!(ada.refused(Method::POST, "/2.0/groups", &json!({}), "name").await, "name is required");
        let message = ada.refused(Method::POST, "/2.0/users", &json!({"name": "Bob"}), "login").await;
        assert_eq!(message, "login is required unless is_platform_access_only is true");
        for body in [json!([]), json!("x"), json!(1)] {
            let (status, answer) = ada.send(Method::PUT, &path, &body).await;
            assert_eq!((status, &answer["message"]), (400, &json!("the body must be a JSON object")));
        }
    }
}

both! {
    async fn texts_and_the_whole_profile_have_a_limit(h: &mut Harness) {
        let ada = Caller::ada(h).await;
        let user = format!("/2.0/users/{}", h.user("ann").await);
        let group = format!("/2.0/groups/{}", h.group("Sales", &[]).await);
        let long = |max: usize| "é".repeat(max + 1);
        let code = |name: &str, value: &str| json!([{"name": name, "value": value}]);
        for (path, field, value, message) in [
            (&user, "name", json!(long(50)), "name has 51 characters; at most 50"),
            (&user, "login", json!(long(254)), "login has 255 characters; at most 254"),
            (&user, "external_app_user_id", json!(long(255)), "external_app_user_id has 256 characters; at most 255"),
            (&user, "job_title", json!(long(100)), "job_title has 101 characters; at most 100"),
            (&user, "phone", json!(long(100)), "phone has 101 characters; at most 100"),
            (&user, "address", json!(long(255)), "address has 256 characters; at most 255"),
            (&user, "language", json!(long(50)), "language has 51 characters; at most 50"),
            (&user, "timezone", json!(long(100)), "timezone has 101 characters; at most 100"),
            (&user, "space_amount", json!(-2), "space_amount must be a whole number, at least -1"),
            (&user, "notification_email", json!({"email": long(255)}), "notification_email has an email that has 256 characters; at most 255"),
            (&user, "tracking_codes", code(&long(255), ""), "tracking_codes has a name that has 256 characters; at most 255"),
            (&user, "tracking_codes", code("", &long(255)), "tracking_codes has a value that has 256 characters; at most 255"),
            (&user, "tracking_codes", json!(vec![json!({}); 101]), "tracking_codes has 101 entries; at most 100"),
            (&group, "name", json!(long(255)), "name has 256 characters; at most 255"),
            (&group, "provenance", json!(long(255)), "provenance has 256 characters; at most 255"),
            (&group, "external_sync_identifier", json!(long(255)), "external_sync_identifier has 256 characters; at most 255"),
            (&group, "description", json!(long(255)), "description has 256 characters; at most 255"),
        ] {
            assert_eq!(ada.refused(Method::PUT, path, &json!({ field: value }), field).await, message);
        }
        let many = json!({"tracking_codes": vec![json!({"name": "é".repeat(255), "value": "é".repeat(255)}); 20]});
        let message = ada.refused(Method::PUT, &user, &many, "tracking_codes").await;
        assert!(message.starts_with("tracking_codes takes 2") && message.ends_with(" bytes; at most 8192"), "{message}");
        let longest = json!({"job_title": "é".repeat(100), "address": "é".repeat(255), "space_amount": i64::MAX});
        let (status, kept) = ada.send(Method::PUT, &user, &longest).await;
        assert_eq!((status, &kept["address"], &kept["space_amount"]), (200, &longest["address"], &longest["space_amount"]));
    }
}

both! {
    async fn rows_that_were_stored_with_wrong_types_do_not_spoil_a_list(h: &mut Harness) {
        let ada = Caller::ada(h).await;
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let group = h.group("Sales", &[&ann]).await;
        let mut wrong: Map<String, Value> = ada.fields("User--Full").into_iter().map(|(name, _)| (name, json!({"a": [1]}))).collect();
        wrong.extend(ada.fields("Group--Full").into_iter().map(|(name, _)| (name, json!(7))));
        wrong.insert("phone".to_owned(), json!("kept"));
        wrong.insert("avatar_url".to_owned(), json!("https://elsewhere.example/"));
        wrong.insert("unheard_of".to_owned(), json!(1));
        let mut tx = h.app.db.begin().await.expect("a transaction");
        let profile = json!(wrong).to_string();
        let users = "UPDATE users SET profile = $1, role = 'boss', status = 'asleep' WHERE user_id = $2";
        tx.execute(users, args![&profile, &ann]).await.expect("damaged");
        tx.execute("UPDATE users SET profile = '[1' WHERE user_id = $1", args![&bob]).await.expect("damaged");
        tx.execute("UPDATE groups SET profile = $1", args![&profile]).await.expect("damaged");
        let memberships = "UPDATE memberships SET role = 'boss', permissions = $1";
        tx.execute(memberships, args![json!({"a": 1}).to_string()]).await.expect("damaged");
        tx.commit().await.expect("committed");

        let fields = format!("{},unheard_of", ada.all("User--Full"));
        let list = ada.get(&format!("/2.0/users?fields={fields}")).await;
        assert!(ada.conforms(&json!({"$ref": "#/components/schemas/Users"}), &list), "{list}");
        for user in list["entries"].as_array().expect("entries") {
            assert_eq!(ada.lacks("User--Full", user), ["external_app_user_id"]);
        }
        let shown = ada.get(&format!("/2.0/users/{ann}?fields={fields}")).await;
        assert_eq!((&shown["phone"], &shown["language"], &shown["role"]), (&json!("kept"), &json!("en"), &json!("user")));
        assert_eq!(shown["avatar_url"], "", "it is read-only, so nobody can have set it");
        let list = ada.get(&format!("/2.0/groups?fields={}", ada.all("Group--Full"))).await;
        assert!(ada.conforms(&json!({"$ref": "#/components/schemas/Groups"}), &list), "{list}");
        let members = ada.get(&format!("/2.0/groups/{group}/memberships")).await;
        assert_eq!(ada.lacks("GroupMembership", &members["entries"][0]), [""; 0]);
        let member = members["entries"][0]["id"].as_str().expect("an id").to_owned();
        let asked = ada.get(&format!("/2.0/group_memberships/{member}?fields=configurable_permissions")).await;
        assert_eq!(asked.get("configurable_permissions"), Some(&Value::Null), "what cannot be read is off");

        // The next change stores what is right, and nothing else.
        let (status, _) = ada.send(Method::PUT, &format!("/2.0/users/{ann}"), &json!({"job_title": "Nurse"})).await;
        assert_eq!(status, 200);
        let row = h.app.db.find_user(&h.enterprise_id, &ann).await.expect("found").expect("ann");
        let stored: Value = serde_json::from_str(&row.profile).expect("JSON");
        assert_eq!(stored, json!({"job_title": "Nurse", "phone": "kept"}));
    }
}

both! {
    async fn memberships_have_boxs_types(h: &mut Harness) {
        let ada = Caller::ada(h).await;
        let ann = h.user("ann").await;
        let group = h.group("Sales", &[]).await;
        let base = json!({"user": {"id": ann}, "group": {"id": group}, "role": "admin"});
        let create = "/2.0/group_memberships";
        for (field, wrong, named) in [
            ("user", json!("1"), "user"), ("user", json!({"id": 1}), "user.id"), ("group", json!([]), "group"),
            ("group", json!({"id": null}), "group.id"), ("role", json!(1), "role"), ("role", json!("boss"), "role"),
            ("configurable_permissions", json!("all"), "configurable_permissions"),
            ("configurable_permissions", json!({"can_run_reports": 1}), "configurable_permissions"),
        ] {
            let mut body = base.clone();
            body[field] = wrong;
            let message = ada.refused(Method::POST, create, &body, named).await;
            assert!(message.starts_with(&format!("{named} must be ")) && !message.contains("struct"), "{message}");
        }
        let (_, none) = ada.send(Method::POST, create, &json!({"group": {"id": group}})).await;
        assert_eq!(none["message"], "user is required");
        let mut sent = base.clone();
        sent["configurable_permissions"] = json!({"can_run_reports": true});
        let (status, made) = ada.send(Method::POST, create, &sent).await;
        assert_eq!((status, ada.lacks("GroupMembership", &made)), (201, Vec::new()));
        let path = format!("{create}/{}", made["id"].as_str().expect("an id"));
        ada.refused(Method::PUT, &path, &json!({"role": "boss"}), "role").await;
        let many: Map<String, Value> = (0..51).map(|n| (n.to_string(), json!(true))).collect();
        for too_much in [json!(many), json!({"x".repeat(101): true})] {
            ada.refused(Method::PUT, &path, &json!({"configurable_permissions": too_much}), "configurable_permissions").await;
        }
        ada.refused(Method::PUT, &path, &json!({"configurable_permissions": {"a": null}}), "configurable_permissions").await;
        let asked = ada.get(&format!("{path}?fields=configurable_permissions,unheard_of")).await;
        assert_eq!(asked, json!({"type": "group_membership", "id": made["id"], "configurable_permissions": {"can_run_reports": true}}));
    }
}

both! {
    async fn the_message_says_what_is_wrong_with_a_name(h: &mut Harness) {
        let ada = Caller::ada(h).await;
        for (path, body, field, message) in [
            ("/2.0/users", json!({"name": "Ann\tLee", "login": "a@acme.example"}), "name", "name contains a tab"),
            ("/2.0/users", json!({"name": "Ann\nLee", "login": "a@acme.example"}), "name", "name contains a line break"),
            ("/2.0/users", json!({"name": " ", "login": "a@acme.example"}), "name", "name is empty"),
            ("/2.0/users", json!({"name": "Ann", "login": "a b@acme.example"}), "login", "login contains a space"),
            ("/2.0/users", json!({"name": "Ann", "login": "a\t@acme.example"}), "login", "login contains a tab"),
            ("/2.0/users", json!({"name": "Ann", "login": ""}), "login", "login is empty"),
            ("/2.0/groups", json!({"name": "Sa\u{7}les"}), "name", "name contains the control character U+0007"),
            ("/2.0/groups", json!({"name": ""}), "name", "name is empty"),
        ] {
            assert_eq!(ada.refused(Method::POST, path, &body, field).await, message);
        }
        let made = admin::create_enterprise(&h.app, "Ac\tme", "e@other.example", "Eve").await;
        assert_eq!(made.expect_err("refused").to_string(), "name contains a tab");
        let new = admin::NewApp { enterprise_id: h.enterprise_id.clone(), name: "a\tb".to_owned(), ..admin::NewApp::default() };
        assert_eq!(admin::create_app(&h.app, &new).await.expect_err("refused").to_string(), "name contains a tab");

        let long = "x".repeat(256);
        let csv = format!(
            "login,name,groups,external_id\na@acme.example,Ann\tLee,,\nb c@acme.example,,,\nd@acme.example,,Sa\tles,\n\
             e@acme.example,,,{long}\nf@acme.example,{long},,\n"
        );
        let report = import(&h.app, &[], &h.enterprise_id, csv.as_bytes()).await.expect("imported");
        let said: Vec<&str> = report.rejected.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(said, [
            "name contains a tab", "login contains a space", "group name contains a tab",
            "external_id has 256 characters; at most 255", "name has 256 characters; at most 50",
        ]);
        let columns = "login,job_title\na@acme.example,Nurse\n";
        let error = import(&h.app, &[], &h.enterprise_id, columns.as_bytes()).await.expect_err("refused").to_string();
        assert!(error.contains("unknown column \"job_title\""), "{error}");
    }
}

both! {
    async fn enterprise_has_its_name_and_fields_answers_known_ones_only(h: &mut Harness) {
        let ada = Caller::ada(h).await;
        let acme = json!({"type": "enterprise", "id": h.enterprise_id, "name": "Acme"});
        let me = ada.get("/2.0/users/me?fields=enterprise,toString,profile,service_of").await;
        assert_eq!(me, json!({"type": "user", "id": h.admin_id, "name": "Ada Admin", "login": ADA, "enterprise": acme}));
        for user in ada.get("/2.0/users?fields=enterprise").await["entries"].as_array().expect("entries") {
            assert_eq!(user["enterprise"], acme);
        }
        assert_eq!(ada.get("/2.0/users/me").await.get("enterprise"), None);
        let (_, made) = ada.send(Method::POST, "/2.0/users?fields=enterprise", &json!({"name": "B", "login": "b@acme.example"})).await;
        assert_eq!(made["enterprise"], acme);
    }
}
