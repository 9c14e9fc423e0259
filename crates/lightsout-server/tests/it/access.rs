//! Who may: every standing, scope and target, as a table that people can read.

use std::fmt::Write;

use lightsout_client::api::Role;
use lightsout_server::domain::access::{
    self, Caller, Denied, MANAGE_ENTERPRISE, MANAGE_GROUPS, MANAGE_USERS, Permissions, Person, RIGHTS,
    SCOPES, Standing,
};

const STANDINGS: [(&str, Standing); 5] = [
    ("admin", Standing::Admin),
    ("coadmin", Standing::Coadmin),
    ("service", Standing::Service { may_end_admins: false }),
    ("service+may_end_admins", Standing::Service { may_end_admins: true }),
    ("user", Standing::User),
];
const ROLES: [Role; 3] = [Role::Admin, Role::Coadmin, Role::User];

fn caller(standing: Standing, scopes: &[&str]) -> Caller {
    Caller {
        person: Person { user_id: "7".into(), login: None, name: "Caller".to_owned() },
        enterprise_id: "1".into(),
        standing,
        scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
        rights: Vec::new(),
        client_id: None,
        introspection_cache_s: None,
        sent_by: None,
    }
}

fn word<T>(decision: &Result<T, Denied>) -> String {
    match decision {
        Ok(_) => "yes".to_owned(),
        Err(why) => format!("no: {why}"),
    }
}

#[test]
fn who_may_end_whom() {
    let mut table = String::new();
    for (name, standing) in STANDINGS {
        for role in ROLES {
            for (case, myself, administered) in
                [("", false, false), (" (self)", true, false), (" (in own group)", false, true)]
            {
                let decision = word(&access::may_end(standing, role, myself, administered));
                writeln!(table, "{name:<22} ends {:<22} {decision}", format!("{}{case}", role.as_str()))
                    .expect("a String takes it");
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn who_may_act_as_whom() {
    let mut table = String::new();
    for (name, standing) in STANDINGS {
        for role in ROLES {
            let decision = word(&access::may_act_as(standing, role, false));
            writeln!(table, "{name:<22} as {:<8} {decision}", role.as_str()).expect("a String takes it");
        }
        let decision = word(&access::may_act_as(standing, Role::Coadmin, true));
        writeln!(table, "{name:<22} as service  {decision}").expect("a String takes it");
    }
    insta::assert_snapshot!(table);
}

/// What a caller does that needs a scope, by name.
type Action = (&'static str, fn(&Caller) -> Result<(), Denied>);

const ACTIONS: [Action; 16] = [
    ("end users", |c| access::may_end_anyone(c, true, false, false)),
    ("end users, as a group admin", |c| access::may_end_anyone(c, true, false, true)),
    ("end groups", |c| access::may_end_anyone(c, false, true, false)),
    ("end groups, as a group admin", |c| access::may_end_anyone(c, false, true, true)),
    ("read events", access::may_read_events),
    ("read another's termination", |c| access::may_read_termination(c, &"8".into())),
    ("read the own termination", |c| access::may_read_termination(c, &"7".into())),
    ("read users", |c| access::may_read_directory(c, MANAGE_USERS)),
    ("read groups", |c| access::may_read_directory(c, MANAGE_GROUPS)),
    ("create a user", |c| access::may_write_user(c, None, Role::User)),
    ("create a coadmin", |c| access::may_write_user(c, None, Role::Coadmin)),
    ("change a coadmin", |c| access::may_write_user(c, Some(Role::Coadmin), Role::User)),
    ("change the admin", |c| access::may_write_user(c, Some(Role::Admin), Role::User)),
    ("change groups", access::may_write_groups),
    ("change members, not granted", |c| access::may_write_membership(c, false)),
    ("change members, granted", |c| access::may_write_membership(c, true)),
];

#[test]
fn who_may_do_what_with_which_scope() {
    let mut table = String::new();
    for (action, decide) in ACTIONS {
        for (name, standing) in STANDINGS {
            let scopes: Vec<&str> =
                SCOPES.into_iter().filter(|scope| decide(&caller(standing, &[scope])).is_ok()).collect();
            let all = word(&decide(&caller(standing, &SCOPES)));
            let none = decide(&caller(standing, &[])).is_ok();
            let with = match (none, scopes.is_empty()) {
                (true, _) => "without a scope".to_owned(),
                (false, false) => format!("with {}", scopes.join(" or ")),
                (false, true) => String::new(),
            };
            writeln!(table, "{action:<30} {name:<22} {all} {with}").expect("a String takes it");
        }
    }
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn rights_are_the_apps_alone() {
    let mut app = caller(Standing::Service { may_end_admins: true }, &SCOPES);
    for right in RIGHTS {
        assert_eq!(app.needs_right(right), Err(Denied::Right(right)));
    }
    app.rights = vec![RIGHTS[0].to_owned()];
    assert_eq!(app.needs_right(RIGHTS[0]), Ok(()));
    assert_eq!(
        caller(Standing::Admin, &[MANAGE_ENTERPRISE]).needs_right(RIGHTS[0]),
        Err(Denied::Right(RIGHTS[0]))
    );
}

#[test]
fn box_permissions_are_on_unless_off_and_ours_off_unless_on() {
    let parse = |json: serde_json::Value| Permissions::parse(&json).expect("readable");
    assert!(parse(serde_json::json!({})).can_edit_accounts());
    assert!(!parse(serde_json::json!({"can_edit_accounts": false})).can_edit_accounts());
    assert!(!parse(serde_json::Value::Null).can_edit_accounts());
    assert!(!parse(serde_json::json!({})).can_edit_memberships());
    assert!(parse(serde_json::json!({"can_edit_memberships": true})).can_edit_memberships());
    assert_eq!(Permissions::parse(&serde_json::json!({"can_edit_accounts": "yes"})), None);
}
