//! `lightsout users list` and `lightsout users show`.

use lightsout_testkit::Service;

use crate::shell::Shell;

#[tokio::test(flavor = "multi_thread")]
async fn list_names_everybody_once() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run_sorted("users list");
    shell.run("users list --filter ann");
    shell.run("users list --filter nobody");
    shell.run("users list --filter ann --json");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn show_tells_groups_and_sessions() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run("users show ANN@acme.example");
    shell.run(&format!("users show {}", service.user_id));
    shell.run("users show cyd@acme.example --json");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_the_right_sees_sessions() {
    let service = Service::start().await;
    service.sign_in(&service.login, 2).await;
    let mut shell = Shell::knowing(&service);
    shell.set("LIGHTSOUT_URL", &service.url);
    shell.set("LIGHTSOUT_JWT", &service.jwt_config.display().to_string());
    shell.run("users show ann@acme.example");
    shell.run("users show ann@acme.example --json");
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
