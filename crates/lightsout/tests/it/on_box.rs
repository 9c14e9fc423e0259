//! Ending at Box: what it answers, and what its events do not tell.

use lightsout_testkit::Answer;
use serde_json::json;

use crate::fixtures::{box_error, page, server, user};
use crate::shell::Shell;

const END: &str = "users terminate-sessions --wire box --login ann@acme.example";

/// What Box, or something between, answers to a termination.
fn answers() -> Vec<(&'static str, Answer)> {
    vec![
        ("Box accepts", Answer::accepted()),
        ("202 without a body", Answer::empty(202)),
        ("202 with plain text", Answer::text(202, "text/plain", "OK")),
        ("400", box_error(400, "bad_request", "Invalid login")),
        (
            "401",
            Answer::empty(401)
                .header("www-authenticate", "Bearer realm=\"Service\", error=\"invalid_token\""),
        ),
        (
            "403",
            box_error(
                403,
                "access_denied_insufficient_permissions",
                "Access denied - insufficient permission",
            ),
        ),
        ("404", box_error(404, "not_found", "Not Found")),
        (
            "429, for ten minutes",
            box_error(429, "rate_limit_exceeded", "Too many").header("retry-after", "600"),
        ),
        (
            "503, for ten minutes",
            Answer::text(503, "text/html", "<html>down</html>").header("retry-after", "600"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_is_told() {
    let mut transcript = String::new();
    for (name, answer) in answers() {
        let server = server([answer]).await;
        let mut shell = Shell::of_scripted(&server);
        shell.note(name);
        shell.run(END);
        shell.run(&format!("{END} --json"));
        assert_eq!(server.calls().len(), 2, "{name}");
        transcript.push_str(&shell.transcript());
    }
    insta::assert_snapshot!(transcript);
}

#[tokio::test(flavor = "multi_thread")]
async fn following_says_what_is_not_known() {
    let refused = box_error(403, "access_denied_insufficient_permissions", "Access denied");
    let server = server([refused.clone(), Answer::accepted(), refused, Answer::accepted()]).await;
    let mut shell = Shell::of_scripted(&server);
    shell.run(&format!("{END} --follow"));
    shell.run(&format!("{END} --follow --json"));
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_box_lacks_is_refused_before_anything_is_sent() {
    let server = server([]).await;
    let mut shell = Shell::of_scripted(&server);
    shell.run(&format!("{END} --reason 'laptop stolen'"));
    shell.run(&format!("{END} --skip-not-permitted"));
    shell.run("groups terminate-sessions --wire box --id 5 --skip-unknown");
    let many: String = (1..=11).map(|n| format!("{n}\n")).collect();
    shell.write("many.txt", &many);
    shell.run("users terminate-sessions --wire box --from-file many.txt");
    shell.run("terminations list --wire box");
    assert_eq!(server.requests().len(), 0);
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_sent_in_parts_and_says_which_were_not_accepted() {
    let refused = box_error(400, "bad_request", "Invalid login");
    let server = server([Answer::accepted(), refused.clone()]).await;
    let mut shell = Shell::of_scripted(&server);
    let many: String = (1..=1_001).map(|n| format!("{n}\n")).collect();
    std::fs::write(shell.path("many.txt"), many).expect("written");
    let answer = shell.run("users terminate-sessions --wire box --from-file many.txt --yes");
    assert_eq!((answer.code, server.calls().len()), (5, 2));
    // Which of the two arrives first is chance.
    let transcript =
        shell.transcript().replace("part 1 of 2", "part N of 2").replace("part 2 of 2", "part N of 2");
    insta::assert_snapshot!(transcript);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_that_fails_as_a_whole_says_why_and_not_only_that_it_was_not_sent() {
    let server = server([Answer::empty(401)]).await;
    let mut shell = Shell::of_scripted(&server);
    let many: String = (1..=9_000).map(|n| format!("{n}\n")).collect();
    std::fs::write(shell.path("many.txt"), many).expect("written");
    let answer = shell.run("users terminate-sessions --wire box --from-file many.txt --yes");
    let last = answer.stderr.lines().last().expect("an error");
    assert!(answer.code == 3 && last.starts_with("error: not authenticated"), "{}", answer.stderr);
    assert!(answer.stderr.contains("not sent"), "{}", answer.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_unknown_is_looked_up_where_that_is_asked() {
    let (known, unknown) = (page([user()]), page([]));
    let server =
        server([known.clone(), unknown.clone(), unknown.clone(), known, unknown, Answer::accepted()]).await;
    let mut shell = Shell::of_scripted(&server);
    shell.run(&format!("{END} --dry-run"));
    shell.run("users terminate-sessions --wire box --login who@acme.example --dry-run");
    shell.run("users terminate-sessions --wire box --login who@acme.example --skip-unknown");
    shell.run(&format!("{END} --dry-run --json"));
    shell.run("users terminate-sessions --wire box --login who@acme.example --dry-run --skip-unknown --json");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_counted_and_ended() {
    let sales = page([json!({"type": "group", "id": "5", "name": "Sales"})]);
    let members = Answer::json(200, json!({"total_count": 40, "entries": [], "offset": 0, "limit": 1}));
    let calls = [sales.clone(), members.clone(), sales.clone(), members, sales, Answer::accepted()];
    let server = server(calls).await;
    let mut shell = Shell::of_scripted(&server);
    shell.run("groups terminate-sessions --wire box --name Sales --dry-run");
    shell.run("groups terminate-sessions --wire box --name Sales");
    shell.run("groups terminate-sessions --wire box --name Sales --yes");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_shown_without_sessions() {
    let server = server([page([user()]), page([])]).await;
    let mut shell = Shell::of_scripted(&server);
    shell.run("users show ann@acme.example --wire box");
    insta::assert_snapshot!(shell.transcript());
}
