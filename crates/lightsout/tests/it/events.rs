//! `lightsout events`: followed from anywhere, proved on the server's own machine.

use lightsout_server::ops::import;
use lightsout_testkit::Service;

use crate::shell::Shell;

const DONE: &str = "events follow --from start --type SESSION_TERMINATION_DONE";

#[tokio::test(flavor = "multi_thread")]
async fn following_stops_by_an_interrupt_and_says_how_to_go_on() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run("users terminate-sessions --login ann@acme.example --follow");
    let mut running = shell.follow(DONE);
    running.line();
    running.interrupt();
    let answer = shell.end(running);
    assert_eq!(answer.code, 130);
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_lines_for_people_and_objects_for_programs() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run("users terminate-sessions --login ann@acme.example --reason drill --follow");
    let types = "--type SESSION_TERMINATION_REQUESTED --type SESSION_TERMINATION_OUTCOME --type NEW_USER";
    for json in ["", " --json"] {
        let mut running = shell.follow(&format!("events follow --from start {types}{json}"));
        while !running.line().contains("SESSION_TERMINATION_OUTCOME") {}
        running.interrupt();
        shell.end(running);
    }
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn following_ends_quietly_when_nobody_reads_on() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    let mut running = shell.follow("events follow --from start");
    running.line();
    running.close();
    // Whatever was on its way was written before; this comes after the end of reading.
    let people = "login,name\nnew@acme.example,New\n";
    import::import(service.app(), &[], &service.enterprise_id, people.as_bytes()).await.expect("imported");
    let answer = shell.end(running);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_is_none_is_refused() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run("events follow --from yesterday");
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn the_log_is_proved_where_it_is() {
    let mut shell = Shell::new();
    shell.run("events verify");
    shell.run("admin init");
    shell.run("events verify");
    shell.run("admin enterprise --name Acme --admin-login ada@acme.example --admin-name 'Ada Admin'");
    let head = shell.run("events verify").stdout;
    shell.run("events verify --json");
    let head = head.trim_end().rsplit_once(' ').expect("the head stands last").1.to_owned();
    shell.run(&format!("events verify --expect {head}"));
    let (position, hash) = head.split_once(':').expect("POSITION:HASH");
    let turned: String = hash.chars().rev().collect();
    shell.name(&turned, "ANOTHER_HASH");
    shell.run(&format!("events verify --expect {position}:{turned}"));
    shell.run(&format!("events verify --expect {position}:{turned} --json"));
    shell.run("events verify --expect 1000:abc");
    insta::assert_snapshot!(shell.transcript());
}
