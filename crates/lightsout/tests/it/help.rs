//! Help: every command says what it does, and shows how it is used.

use crate::shell::Shell;

/// Every command that has no commands below it, and those that have.
fn commands(shell: &mut Shell) -> (Vec<String>, Vec<String>) {
    let (mut leaves, mut branches, mut open) = (Vec::new(), Vec::new(), vec![String::new()]);
    while let Some(command) = open.pop() {
        let help = shell.run(format!("help {command}").trim_end()).stdout;
        let below: Vec<String> =
            below(&help).map(|name| format!("{command} {name}").trim().to_owned()).collect();
        if below.is_empty() {
            leaves.push(command);
        } else {
            branches.push(command);
            open.extend(below);
        }
    }
    leaves.sort_unstable();
    (leaves, branches)
}

/// The names in a help's list of commands.
fn below(help: &str) -> impl Iterator<Item = &str> {
    let list =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = list.filter_map(|line| line.strip_prefix("  ")?.split_once(' ').map(|(name, _)| name));
    names.filter(|name| !name.is_empty() && *name != "help")
}

#[test]
fn every_command_ends_its_help_with_examples_of_itself() {
    let mut shell = Shell::new();
    let (leaves, branches) = commands(&mut shell);
    assert!(leaves.len() > 20 && branches.len() > 5, "{leaves:?} {branches:?}");
    for command in &leaves {
        let help = shell.run(&format!("{command} --help")).stdout;
        let (_, examples) =
            help.split_once("\nExample").unwrap_or_else(|| panic!("{command} has no example"));
        let examples: Vec<&str> = examples.lines().skip(1).collect();
        assert!(
            !examples.is_empty() && examples.iter().all(|line| line.starts_with("  ")),
            "{command}: {help}"
        );
        assert!(
            examples.iter().all(|line| line.contains(&format!("lightsout {command}"))),
            "{command}: {help}"
        );
        let flags = examples.iter().flat_map(|line| line.split(' ')).filter(|word| word.starts_with("--"));
        for flag in flags {
            // Beside its meaning, or above it in a longer help.
            let is_there = [' ', '\n'].iter().any(|after| help.contains(&format!("      {flag}{after}")));
            assert!(is_there, "{command} has no {flag}");
        }
    }
}

#[test]
fn every_word_of_help() {
    let mut shell = Shell::new();
    let (leaves, _) = commands(&mut shell);
    let mut shell = Shell::new();
    for command in &leaves {
        assert_eq!(shell.run(&format!("{command} --help")).code, 0);
    }
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn the_top_names_every_exit_code() {
    let mut shell = Shell::new();
    let help = shell.run("--help").stdout;
    for code in ["0", "1", "2", "3", "4", "5", "6", "7", "130"] {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {code}  "))), "{code}: {help}");
    }
    shell.run("");
    shell.run("--version");
    shell.run("user list");
    insta::assert_snapshot!(shell.transcript());
}
