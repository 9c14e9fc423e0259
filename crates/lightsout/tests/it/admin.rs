//! `lightsout admin` and `lightsout serve --check-config`: set-up on the service's own machine.

use lightsout_testkit::PUBLIC_KEY;

use crate::shell::Shell;

#[test]
fn a_service_is_set_up_from_nothing() {
    let mut shell = Shell::new();
    shell.run("admin init");
    shell.run("serve --check-config");
    let made =
        shell.run("admin enterprise --name Acme --admin-login ada@acme.example --admin-name 'Ada Admin'");
    let enterprise = made.stdout.split_whitespace().nth(1).expect("an id").to_owned();
    shell.name(&enterprise, "ENTERPRISE_ID");
    let app = shell.run(&format!("admin app --enterprise {enterprise} --name shop --right sessions.write"));
    let client_id = app.stdout.split_whitespace().nth(1).expect("an id").to_owned();
    shell.name(&client_id, "CLIENT_ID");
    std::fs::write(shell.path("app.pem"), PUBLIC_KEY).expect("written");
    let key = shell.run(&format!("admin key --client-id {client_id} --public-key app.pem"));
    shell.name(key.stdout.split_whitespace().nth(1).expect("an id"), "KEY_ID");
    shell.run("admin token --login ada@acme.example --minutes 15");
    shell.write(
        "people.csv",
        "login,name,groups\nann@acme.example,Ann Lee,Sales\n,Bob Ray,\ncyd@acme.example,Cyd Fox,Sales\n",
    );
    shell.run(&format!("admin import --enterprise {enterprise} people.csv"));
    shell.run(&format!("admin import --enterprise {enterprise} people.csv --json"));
    shell.run("admin raise-generations");
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn what_is_not_there_is_named() {
    let mut shell = Shell::new();
    shell.run("admin token --login ada@acme.example");
    shell.run("admin init");
    shell.run("admin token --login ada@acme.example");
    shell.run("admin app --enterprise 404 --name shop");
    shell.run("admin app --enterprise 404 --name shop --right fly");
    shell.run("admin key --client-id app_404 --public-key nowhere.pem");
    shell.run("admin import --enterprise 404 nowhere.csv");
    shell.run("admin token --login ada@acme.example --minutes 0");
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn people_get_what_they_sign_in_with() {
    let mut shell = Shell::new();
    shell.run("admin init");
    let made = shell.run("admin enterprise --name Acme --admin-login ada@acme.example --admin-name Ada");
    let enterprise = made.stdout.split_whitespace().nth(1).expect("an id").to_owned();

    let set = shell.run_reading("a horse in the rain\n", "admin set-password --login ada@acme.example");
    assert_eq!((set.code, set.stdout.trim()), (0, "the password of ada@acme.example is set"));
    let short = shell.run_reading("short\n", "admin set-password --login ada@acme.example");
    assert!(short.code != 0 && short.stderr.contains("12 to 256 characters"), "{}", short.stderr);
    let nobody = shell.run_reading("a horse in the rain\n", "admin set-password --login bob@acme.example");
    assert!(nobody.code != 0 && nobody.stderr.contains("bob@acme.example"), "{}", nobody.stderr);
    let link = shell.run("admin set-password --login ada@acme.example --link").stdout;
    assert!(link.starts_with("http://127.0.0.1:8787/set-password/"), "{link}");

    let policy = shell.run(&format!("admin second-factor --enterprise {enterprise} --require managers"));
    assert_eq!(policy.stdout.trim(), "second factor needed by  managers");
    let reset = shell.run("admin reset-second-factor --login ada@acme.example --json");
    assert_eq!(reset.stdout.trim(), r#"{"login":"ada@acme.example","reset":false}"#);
    let bind = "admin bind-identity --login ada@acme.example --issuer https://id.acme.example --sub 1";
    assert_eq!(shell.run(bind).stdout.trim(), "ada@acme.example is 1 at https://id.acme.example");
}
