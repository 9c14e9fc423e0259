//! `lightsout login` with a browser. The browser is a script that comes back at once, as one does in which
//! somebody has signed in and agreed before.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use lightsout_testkit::{Answer, Script, Scripted};
use serde_json::{Value, json};

use crate::fixtures::{box_error, user};
use crate::shell::Shell;

/// Comes back to the address in the authorization request with what stands in the file `answer`.
const BROWSER: &str = r#"#!/bin/bash
cd "$(dirname "$0")" && echo "$1" >opened
[[ $1 =~ redirect_uri=http%3A%2F%2F127.0.0.1%3A([0-9]+)%2Fcallback\&state=([^&]+) ]] || exit 1
exec 3<>"/dev/tcp/127.0.0.1/${BASH_REMATCH[1]}"
state="state=${BASH_REMATCH[2]}"
printf 'GET /callback?%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$(sed "s/STATE/$state/" answer)" >&3
cat <&3 >shown
"#;

fn tokens(n: u32, expires_in: u64) -> Answer {
    let body = json!({"access_token": format!("access-{n}"), "refresh_token": format!("refresh-{n}"),
        "expires_in": expires_in, "token_type": "bearer", "restricted_to": []});
    Answer::json(200, body)
}

async fn server(token: Vec<Answer>, calls: Vec<Answer>) -> Scripted {
    Scripted::start(Script { token, calls }).await
}

/// A shell whose browser comes back with these parameters.
fn shell(server: &Scripted, answer: &str) -> Shell {
    let mut shell = Shell::new();
    let bin = shell.path("bin");
    std::fs::create_dir(&bin).expect("made");
    let browser = bin.join("xdg-open");
    std::fs::write(&browser, BROWSER).expect("written");
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).expect("set");
    let path = std::env::var("PATH").expect("there is one");
    shell.set("PATH", &format!("{}:{path}", bin.display()));
    comes_back_with(&shell, server, answer);
    shell
}

fn comes_back_with(shell: &Shell, server: &Scripted, answer: &str) {
    let answer = answer.replace("ISS", &server.url);
    std::fs::write(shell.path("bin/answer"), answer).expect("written");
}

/// What the browser shows at the end: the command may have ended before the script has written it.
async fn shown(shell: &Shell) -> String {
    let file = shell.path("bin/shown");
    let read = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            match std::fs::read_to_string(&file) {
                Ok(shown) if shown.contains("</html>") => return shown,
                _ => {}
            }
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(20), read).await.expect("it is shown in time");
    std::fs::remove_file(&file).expect("it is there");
    shown
}

fn profile(shell: &Shell) -> Value {
    let text = std::fs::read_to_string(shell.path("config/profiles/mine.json")).expect("it was kept");
    serde_json::from_str(&text).expect("it is JSON")
}

/// Makes the access token of the profile one that is over.
fn let_it_end(shell: &Shell) {
    let mut profile = profile(shell);
    profile["tokens"]["expires_at"] = json!("2026-01-02T03:04:05Z");
    std::fs::write(shell.path("config/profiles/mine.json"), profile.to_string()).expect("written");
}

/// What differs from run to run in the address that is opened.
fn named(shell: &mut Shell) {
    let opened = std::fs::read_to_string(shell.path("bin/opened")).expect("it was opened");
    let query = opened.trim().split_once('?').expect("a query").1;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').expect("a pair");
        match name {
            "state" => shell.name(value, "STATE"),
            "code_challenge" => shell.name(value, "CHALLENGE"),
            "redirect_uri" => shell.name(value, "REDIRECT_URI"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_goes_on_and_signs_out() {
    let me = Answer::json(200, user());
    let calls = vec![me.clone(), me.clone(), me, Answer::empty(200)];
    let server = server(vec![tokens(1, 3600), tokens(2, 3600)], calls).await;
    let mut shell = shell(&server, "code=c%2B1&STATE&iss=ISS");
    let login = format!("login --browser --profile mine --url {}", server.url);
    shell.run(&login);
    named(&mut shell);
    let shown = shown(&shell).await;
    assert!(shown.starts_with("HTTP/1.1 200 OK") && shown.contains("You are signed in"), "{shown}");
    let mode = std::fs::metadata(shell.path("config/profiles/mine.json")).expect("kept").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert_eq!(profile(&shell)["auth"], "oauth");

    shell.run("whoami --profile mine");
    let_it_end(&shell);
    shell.run("whoami --profile mine --json");
    assert_eq!(profile(&shell)["tokens"]["refresh_token"], "refresh-2");
    shell.run("logout --profile mine");
    shell.run("logout --profile mine");
    assert!(!shell.path("config/profiles/mine.json").exists());

    let forms: Vec<_> = server.token_requests().iter().map(lightsout_testkit::Received::form).collect();
    let (exchange, refresh) = (&forms[0], &forms[1]);
    assert_eq!((&*exchange["grant_type"], &*exchange["code"]), ("authorization_code", "c+1"));
    assert_eq!(exchange["client_id"], "lightsout-cli");
    assert!(!exchange.contains_key("client_secret") && exchange["code_verifier"].len() >= 43);
    assert_eq!((&*refresh["grant_type"], &*refresh["refresh_token"]), ("refresh_token", "refresh-1"));
    let revoked = server.calls().into_iter().last().expect("a call");
    assert_eq!((&*revoked.path, &*revoked.form()["token"]), ("/oauth2/revoke", "refresh-2"));
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commands_at_once_use_a_refresh_token_once() {
    let me = Answer::json(200, user());
    let server = server(vec![tokens(1, 3600), tokens(2, 3600).gated()], vec![me]).await;
    let mut shell = shell(&server, "code=c1&STATE&iss=ISS");
    shell.run(&format!("login --browser --profile mine --url {}", server.url));
    let_it_end(&shell);
    let all: Vec<_> = (0..4).map(|_| shell.follow("whoami --profile mine --json")).collect();
    // Two for the sign-in, and the renewal that waits; whoever comes later waits for its end.
    server.arrived(3).await;
    server.release();
    for running in all {
        assert_eq!(shell.end(running).code, 0);
    }
    let renewals = server.token_requests().len() - 1;
    assert_eq!((renewals, &profile(&shell)["tokens"]["refresh_token"]), (1, &json!("refresh-2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_to_this_sign_in_keeps_nothing() {
    let server = server(
        vec![Answer::json(400, json!({"error": "invalid_grant", "error_description": "the code is over"}))],
        vec![Answer::json(200, user())],
    )
    .await;
    let mut shell = shell(&server, "code=c1&STATE");
    let login = format!("login --browser --profile mine --url {}", server.url);
    for (what, answer) in [
        ("no word of who answers", "code=c1&STATE"),
        ("the answer of another server", "code=c1&STATE&iss=https://evil.example"),
        ("a refusal", "error=access_denied&error_description=The+person+did+not+agree&STATE&iss=ISS"),
        ("a refusal of another server", "error=access_denied&STATE&iss=https://evil.example"),
        ("neither code nor error", "STATE&iss=ISS"),
        ("a code that is over", "code=c1&STATE&iss=ISS"),
    ] {
        shell.note(what);
        comes_back_with(&shell, &server, answer);
        let answer = shell.run(&login);
        named(&mut shell);
        assert_ne!(answer.code, 0, "{what}");
        let shown = shown(&shell).await;
        assert!(shown.contains("You are not signed in") && !shown.contains("evil"), "{shown}");
        assert!(!shell.path("config").exists(), "{what}");
    }
    assert_eq!(server.token_requests().len(), 1, "only the last one was sent on");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_box_a_person_signs_in_at_an_app_of_their_own() {
    let server = server(vec![tokens(1, 3600)], vec![Answer::json(200, user())]).await;
    let mut shell = shell(&server, "code=c1&STATE");
    let login = format!("login --browser --wire box --profile mine --url {}", server.url);
    shell.run(&login);
    shell.run_reading("\n", &format!("{login} --client-id app"));
    shell.run_reading("hush\n", &format!("{login} --client-id app --scope manage_groups"));
    named(&mut shell);
    let form = server.token_requests()[0].form();
    assert_eq!((&*form["client_id"], &*form["client_secret"]), ("app", "hush"));
    let opened = std::fs::read_to_string(shell.path("bin/opened")).expect("it was opened");
    assert!(opened.trim().ends_with("&scope=manage_groups"), "{opened}");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_is_over_says_so_and_is_forgotten() {
    let over = Answer::json(400, json!({"error": "invalid_grant", "error_description": "it is over"}));
    let calls = vec![Answer::json(200, user()), box_error(400, "invalid_client", "no such app")];
    let server = server(vec![tokens(1, 3600), over], calls).await;
    let mut shell = shell(&server, "code=c1&STATE&iss=ISS");
    shell.run(&format!("login --browser --profile mine --url {}", server.url));
    named(&mut shell);
    let_it_end(&shell);
    shell.run("whoami --profile mine");
    shell.run("logout --profile mine");
    assert!(!shell.path("config/profiles/mine.json").exists());
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn a_browser_beside_other_credentials_is_refused() {
    let mut shell = Shell::new();
    shell.run("login --browser --token never");
    shell.run("login --no-browser --client-id app --enterprise 12");
    shell.run("login --redirect-port 53682 --jwt box.json");
    shell.run("login --browser --no-browser");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it is bound").port();
    shell.run(&format!("login --no-browser --redirect-port {port}"));
    insta::assert_snapshot!(shell.transcript().replace(&port.to_string(), "PORT"));
}
