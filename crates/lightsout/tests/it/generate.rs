//! `lightsout completions` and `lightsout man`: that they print what a shell and man read.

use crate::shell::Shell;

#[test]
fn completions_know_every_command() {
    let mut shell = Shell::new();
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let answer = shell.run(&format!("completions {name}"));
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
        assert!(answer.stdout.contains("terminate-sessions") && answer.stdout.contains("whoami"), "{name}");
    }
    let mut shell = Shell::new();
    shell.run("completions tcsh");
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn manual_pages_are_printed_and_written() {
    let mut shell = Shell::new();
    let page = shell.run("man");
    assert!(page.code == 0 && page.stdout.contains(".TH lightsout 1"), "{}", page.stdout);
    let mut shell = Shell::new();
    let listed = shell.run("man --dir man1").stdout;
    for file in listed.lines() {
        assert!(shell.path(file).is_file(), "{file}");
    }
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let mut shell = Shell::new();
    shell.write("taken", "a file");
    shell.run("man --dir taken");
    insta::assert_snapshot!(shell.transcript());
}
