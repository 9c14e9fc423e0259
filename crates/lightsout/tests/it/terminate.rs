//! `lightsout users terminate-sessions`: whom, and how.

use lightsout_server::ops::{admin, import};
use lightsout_testkit::Service;

use crate::shell::Shell;

#[tokio::test(flavor = "multi_thread")]
async fn ending_by_login_and_by_id() {
    let service = Service::start().await;
    service.sign_in(&service.login, 3).await;
    let mut shell = Shell::of(&service);
    shell.run_accepted("users terminate-sessions --login ann@acme.example --reason 'laptop stolen'");
    shell
        .run_accepted(&format!("users terminate-sessions --id {} --login bob@acme.example", service.user_id));
    shell.run_accepted("users terminate-sessions --login cyd@acme.example --reason left --json");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_counts_and_changes_nothing() {
    let service = Service::start().await;
    service.sign_in(&service.login, 3).await;
    let mut shell = Shell::of(&service);
    shell.run("users terminate-sessions --login ann@acme.example --login cyd@acme.example --dry-run");
    shell.run("users terminate-sessions --login ada@acme.example --dry-run");
    shell.run("users terminate-sessions --login ann@acme.example --dry-run --json");
    shell.run("users terminate-sessions --login who@acme.example --dry-run");
    shell.run(
        "users terminate-sessions --login who@acme.example --login ann@acme.example --skip-unknown --dry-run",
    );
    let after = shell.run("users terminate-sessions --login ann@acme.example --dry-run").stdout;
    assert!(after.contains("registry: 3 sessions"), "{after}");
    assert_eq!(shell.run("terminations list").stdout, "");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn following_shows_the_end() {
    let service = Service::start().await;
    service.sign_in(&service.login, 3).await;
    let mut shell = Shell::of(&service);
    let answer =
        shell.run("users terminate-sessions --login ann@acme.example --reason 'laptop stolen' --follow");
    assert_eq!(answer.code, 0);
    shell.run_followed("users terminate-sessions --login cyd@acme.example --follow --json");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_unknown_refuses_all_or_is_left_out() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    let some = "--login ann@acme.example --login who@acme.example --id 404";
    shell.run_accepted(&format!("users terminate-sessions {some}"));
    shell.run_accepted(&format!("users terminate-sessions {some} --skip-unknown"));
    shell.run(&format!("users terminate-sessions {some} --skip-unknown --follow"));
    shell.run_accepted(&format!("users terminate-sessions {some} --skip-unknown --json"));
    shell.run_accepted("users terminate-sessions --login who@acme.example --skip-unknown");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_be_ended_refuses_all_or_is_left_out() {
    let service = Service::start().await;
    let people = "login,name,role\ncoa@acme.example,Coa,coadmin\n";
    import::import(service.app(), &[], &service.enterprise_id, people.as_bytes()).await.expect("imported");
    let app = service.app();
    let coadmin = admin::create_token(app, "coa@acme.example", &[], 60_000).await.expect("a token");
    let weak = admin::create_token(app, "ada@acme.example", &["manage_groups".to_owned()], 60_000).await;
    let mut shell = Shell::of(&service);
    shell.set("LIGHTSOUT_TOKEN", &coadmin);
    let both = "users terminate-sessions --login ann@acme.example --login ada@acme.example";
    shell.note("by a coadmin");
    shell.run_accepted(both);
    shell.run(&format!("{both} --dry-run"));
    shell.run_accepted(&format!("{both} --skip-not-permitted"));
    shell.run_accepted(&format!("{both} --skip-not-permitted --json"));
    shell.set("LIGHTSOUT_TOKEN", &weak.expect("a token"));
    shell.note("by an admin whose token has the scope manage_groups only");
    shell.run(both);
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_wrong_usage() {
    let mut shell = Shell::new();
    shell.run_accepted("users terminate-sessions");
    shell.run_accepted("users terminate-sessions --login");
    shell.run_accepted("users terminate-sessions --login ann@acme.example");
    shell.run_accepted("users terminate-sessions --column login --login ann@acme.example");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_ten_people_are_asked_about() {
    let service = Service::start().await;
    let people: String = (1..=11).map(|n| format!("p{n}@acme.example,P {n},Crowd\n")).collect();
    let people = format!("login,name,groups\n{people}");
    import::import(service.app(), &[], &service.enterprise_id, people.as_bytes()).await.expect("imported");
    let mut shell = Shell::of(&service);
    let logins: Vec<String> = (1..=11).map(|n| format!("p{n}@acme.example")).collect();
    shell.write("crowd.txt", &logins.join("\n"));
    shell.run_accepted("users terminate-sessions --from-file crowd.txt");
    shell.run_accepted("groups terminate-sessions --name Crowd");
    shell.run_accepted("groups terminate-sessions --name Crowd --yes");
    shell.run_accepted("users terminate-sessions --from-file crowd.txt --yes");
    insta::assert_snapshot!(shell.transcript());
}
