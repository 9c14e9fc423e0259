//! `lightsout terminations`: what was ended, and what became of it.

use lightsout_testkit::{Answer, Service};

use crate::fixtures::{outcomes, server, termination};
use crate::shell::Shell;

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_is_listed_shown_and_followed() {
    let service = Service::start().await;
    service.sign_in(&service.login, 2).await;
    let mut shell = Shell::of(&service);
    let end = "users terminate-sessions --follow --login";
    shell.run(&format!("{end} cyd@acme.example"));
    let id = shell.run(&format!("{end} ann@acme.example --reason 'laptop stolen'")).termination_id();
    shell.run("terminations list");
    shell.run("terminations list --limit 1 --json");
    shell.run(&format!("terminations show {id}"));
    shell.run(&format!("terminations outcomes {id}"));
    shell.run(&format!("terminations outcomes {id} --json"));
    shell.run(&format!("terminations outcomes {id} --open"));
    shell.run(&format!("terminations follow {id}"));
    shell.run(&format!("terminations retry {id}"));
    shell.run("terminations show t_404");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_shown_with_their_reasons_and_what_to_do() {
    let failed = Answer::json(200, termination("done_with_failures"));
    let outcomes = Answer::json(200, outcomes());
    let server = server([failed.clone(), outcomes.clone(), failed, outcomes.clone(), outcomes]).await;
    let mut shell = Shell::of_scripted(&server);
    shell.run("terminations show t_1f");
    shell.run("terminations show t_1f --json");
    shell.run("terminations outcomes t_1f");
    shell.run("terminations outcomes t_1f --open");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_opens_it_again() {
    let server = server([Answer::json(200, termination("running"))]).await;
    let mut shell = Shell::of_scripted(&server);
    shell.run("terminations retry t_1f");
    shell.run("terminations retry t_1f --json");
    insta::assert_snapshot!(shell.transcript());
}
