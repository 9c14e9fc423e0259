//! `lightsout groups`: lists, members, and ending by id and by name.

use lightsout_testkit::Service;

use crate::shell::Shell;

#[tokio::test(flavor = "multi_thread")]
async fn list_names_every_group() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run_sorted("groups list");
    shell.run("groups list --filter Sal --json");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed_by_name_and_by_id() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run_sorted("groups members --name Sales");
    shell.run_sorted(&format!("groups members --id {}", service.group_id));
    shell.run("groups members --name Finance --json");
    shell.run("groups members --id 404");
    shell.run("groups members");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exact_name_chooses_and_a_near_one_is_told() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run("groups terminate-sessions --name sales --dry-run");
    shell.run("groups terminate-sessions --name Slaes --dry-run");
    shell.run("groups terminate-sessions --name 'Nowhere at all' --dry-run");
    shell.run("groups terminate-sessions --name Sales --dry-run");
    shell.run("groups terminate-sessions --name Sales --name Finance --dry-run --json");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_by_id_and_by_name() {
    let service = Service::start().await;
    service.sign_in("bob@acme.example", 2).await;
    let mut shell = Shell::of(&service);
    shell.run("groups terminate-sessions --name Finance --reason 'contract ended' --follow");
    shell.run_accepted(&format!("groups terminate-sessions --id {}", service.group_id));
    shell.run_accepted("groups terminate-sessions --id 404");
    shell.run_accepted("groups terminate-sessions");
    insta::assert_snapshot!(shell.transcript());
}
