//! `lightsout users list` and `lightsout users show`.

use lightsout_testkit::Service;

use crate::shell::Shell;

#[tokio::test(flavor = "multi_thread")]
async fn list_names_everybody_once() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run("users list");
    shell.run("users list --filter ann");
    shell.run("users list --filter nobody");
    shell.run("users list --filter ann --json");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn show_tells_groups_and_sessions() {
    let service = Service::start().await;
    service.sign_in("bob@acme.example", 2).await;
    let mut shell = Shell::of(&service);
    shell.run("users show BOB@acme.example");
    shell.run("users show cyd@acme.example");
    shell.run(&format!("users show {}", service.user_id));
    shell.run("users show cyd@acme.example --json");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn show_of_nobody_says_so() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run("users show nobody@acme.example");
    shell.run("users show 404");
    shell.run("users show");
    insta::assert_snapshot!(shell.transcript());
}
