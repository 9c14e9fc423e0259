//! Following a termination that the test holds open, or that can no longer be followed.

use lightsout_testkit::Answer;

use crate::fixtures::{box_error, server, termination};
use crate::shell::Shell;

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_stops_following_only() {
    let running = Answer::json(200, termination("running"));
    let server = server([running, Answer::empty(503).gated()]).await;
    let mut shell = Shell::of_scripted(&server);
    let running = shell.follow("terminations follow t_1f");
    server.arrived(2).await;
    running.interrupt();
    let answer = shell.end(running);
    assert_eq!(answer.code, 130);
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_meanwhile_is_told_apart() {
    let running = Answer::json(200, termination("running"));
    let server = server([running, box_error(401, "unauthorized", "the token is over")]).await;
    let mut shell = Shell::of_scripted(&server);
    shell.run("terminations follow t_1f");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_refused_stop_nothing() {
    let running = Answer::json(200, termination("running"));
    let server = server([running, box_error(403, "forbidden", "the role may not read events")]).await;
    let mut shell = Shell::of_scripted(&server);
    shell.run("terminations follow t_1f");
    insta::assert_snapshot!(shell.transcript());
}
