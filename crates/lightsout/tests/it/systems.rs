//! `lightsout systems check`: what each system would match, and what it shows of a person.

use crate::shell::Shell;

const SYSTEMS: &str = r#"[[systems]]
name = "api-tokens"
kind = "stateless"
subject = "id"
life_s = 900

[[systems]]
name = "intranet"
kind = "stateless"
subject = "alias"
life_s = 3600
quiet_time_s = 0

[[systems]]
name = "old-shop"
kind = "redis"
url = { env = "OLD_SHOP" }
user_path = "user.login"
"#;

fn set_up() -> Shell {
    let mut shell = Shell::new();
    shell.set("OLD_SHOP", "redis://:hunter2@127.0.0.1:1/0");
    shell.write("lightsout.toml", SYSTEMS);
    shell.run("admin init");
    let made =
        shell.run("admin enterprise --name Acme --admin-login ada@acme.example --admin-name 'Ada Admin'");
    let ids: Vec<String> = made.stdout.split_whitespace().map(ToOwned::to_owned).collect();
    shell.name(&ids[1], "ENTERPRISE_ID");
    shell.name(&ids[3], "ADMIN_ID");
    shell
}

#[test]
fn systems_say_what_they_match_and_what_fails() {
    let mut shell = set_up();
    assert_eq!(shell.run("systems check").code, 6);
    assert_eq!(shell.run("systems check registry api-tokens intranet --user ada@acme.example").code, 0);
    shell.run("systems check registry --subject 1234 --json");
    assert!(!shell.transcript().contains("hunter2"));
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn systems_and_people_that_are_not_there_are_named() {
    let mut shell = set_up();
    assert_eq!(shell.run("systems check shop").code, 4);
    assert_eq!(shell.run("systems check registry --user eve@acme.example").code, 4);
    assert_eq!(shell.run("systems check --user ada@acme.example --subject ada").code, 2);
    insta::assert_snapshot!(shell.transcript());
}
