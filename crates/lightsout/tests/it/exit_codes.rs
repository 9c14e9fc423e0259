//! Each exit code, by the shortest way to it. The other modules show more ways.

use lightsout_testkit::{Answer, Service};

use crate::fixtures::{box_error, server, termination};
use crate::shell::Shell;

const END: &str = "users terminate-sessions --login ann@acme.example";

/// Runs a command against a server that gives one answer, and returns the exit code.
async fn code_after(answer: Answer, typed: &str) -> i32 {
    let server = server([answer]).await;
    Shell::of_scripted(&server).run(typed).code
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_0_is_done_or_accepted_and_still_running() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    assert_eq!(shell.run(END).code, 0);
    assert_eq!(shell.run(&format!("{END} --follow")).code, 0);
    assert_eq!(
        code_after(Answer::json(200, termination("running")), "terminations show t_1f --json").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_1_is_any_other_failure() {
    assert_eq!(code_after(box_error(400, "bad_request", "wrong"), END).await, 1);
    assert_eq!(code_after(Answer::text(200, "text/plain", "hello"), "whoami").await, 1);
}

#[test]
fn exit_2_is_wrong_usage() {
    assert_eq!(Shell::new().run(END).code, 2);
    assert_eq!(Shell::new().run("users terminate-sessions --no-such-flag").code, 2);
    assert_eq!(Shell::new().run("").code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_3_is_not_allowed() {
    for answer in [Answer::empty(401), Answer::empty(403)] {
        assert_eq!(code_after(answer.clone(), END).await, 3);
        assert_eq!(code_after(answer, "whoami").await, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_4_is_not_found() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    for typed in [
        "users terminate-sessions --login who@acme.example",
        "users terminate-sessions --id 404",
        "groups terminate-sessions --name Nowhere",
        "groups members --id 404",
        "users show who@acme.example",
        "terminations show t_404",
    ] {
        assert_eq!(shell.run(typed).code, 4, "{typed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_5_is_not_all_of_it() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    let skip = format!("{END} --login who@acme.example --skip-unknown");
    assert_eq!(shell.run(&skip).code, 5);
    assert_eq!(shell.run(&format!("{skip} --json")).code, 5);
    assert_eq!(shell.run(&format!("{skip} --follow")).code, 5);
    let failed = Answer::json(200, termination("done_with_failures"));
    assert_eq!(code_after(failed, "terminations show t_1f --json").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_6_is_not_reached() {
    let mut shell = Shell::new();
    let answer = shell.run(&format!("{END} --url http://127.0.0.1:1 --token x"));
    assert_eq!(answer.code, 6);
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_6_is_also_a_server_that_does_not_take_it() {
    let later = Answer::empty(429).header("retry-after", "600");
    assert_eq!(code_after(later, END).await, 6);
    assert_eq!(code_after(Answer::empty(503), END).await, 6);
}

#[test]
fn exit_7_is_a_log_that_does_not_verify() {
    let mut shell = Shell::new();
    assert_eq!(shell.run("admin init").code, 0);
    assert_eq!(shell.run("events verify").code, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_130_is_an_interrupt() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    let mut running = shell.follow("events follow --from start");
    running.line();
    running.interrupt();
    assert_eq!(shell.end(running).code, 130);
}
