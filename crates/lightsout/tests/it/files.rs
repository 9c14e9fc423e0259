//! `--from-file`: lines, CSV, JSON lines and standard input.

use lightsout_testkit::Service;

use crate::shell::Shell;

const END: &str = "users terminate-sessions --dry-run --from-file";

#[tokio::test(flavor = "multi_thread")]
async fn each_format_is_read() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.write("people.txt", "# who left\nann@acme.example\n\nbob@acme.example\n");
    shell.run(&format!("{END} people.txt"));
    shell.write("people.csv", "name,email\nAnn Lee,ann@acme.example\n\"Fox, Cyd\",cyd@acme.example\n");
    shell.run(&format!("{END} people.csv"));
    shell.write("leavers.csv", "who,until\nann@acme.example,today\n");
    shell.run(&format!("{END} leavers.csv"));
    shell.run(&format!("{END} leavers.csv --column who"));
    shell.write("people.jsonl", "{\"login\":\"ann@acme.example\"}\n\"bob@acme.example\"\n");
    shell.run(&format!("{END} people.jsonl"));
    shell.run_reading("ann@acme.example\n", &format!("{END} -"));
    shell.run_reading("login\nann@acme.example\n", &format!("{END} - --format csv"));
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_lines_are_told_by_number() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.write("people.txt", "ann@acme.example\nBob Ray\nbob@acme.example\nx y@acme.example\n");
    shell.run_accepted("users terminate-sessions --from-file people.txt");
    shell.run_accepted("users terminate-sessions --from-file people.txt --skip-unknown");
    shell.write("one.txt", "ann@acme.example\nBob Ray\n");
    shell.run_accepted("users terminate-sessions --from-file one.txt");
    shell.run_followed("users terminate-sessions --from-file one.txt --skip-unknown --follow --json");
    shell.write("none.txt", "Bob Ray\n");
    shell.run_accepted("users terminate-sessions --from-file none.txt --skip-unknown");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_named_twice_is_taken_once() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.write("people.txt", "ann@acme.example\nANN@acme.example\nann@acme.example\n");
    shell.run(&format!("{END} people.txt"));
    shell.run(&format!("{END} people.txt --login ann@acme.example --json"));
    shell.write("two.txt", "ann@acme.example\nann@acme.example\n");
    shell.run(&format!("{END} two.txt"));
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_says_what_to_do() {
    let service = Service::start().await;
    let mut shell = Shell::of(&service);
    shell.run(&format!("{END} nowhere.csv"));
    shell.write("empty.txt", "");
    shell.run(&format!("{END} empty.txt"));
    shell.run(&format!("{END} empty.txt --column login"));
    shell.run(&format!("{END} empty.txt --format xml"));
    insta::assert_snapshot!(shell.transcript());
}
