//! Every command line that a page, a message or a document names exists: its commands and its long options.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};

use crate::Cli;

/// Where texts name commands.
const PLACES: [&str; 5] = ["README.md", "CHANGELOG.md", "docs", "packaging", "crates"];

/// The name of the built-in app that `lightsout login` is.
const NAME_OF_AN_APP: &str = "on the command line";

#[test]
fn every_command_that_a_text_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for place in PLACES {
        collect(&root.join(place), &mut files);
    }
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).expect("a text");
        for line in commands(&text, Language::of(&file)) {
            seen += 1;
            wrong.extend(complaint(line).map(|why| format!("{}: {why}: {line}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 150, "only {seen} commands were found: does the search still work?");
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let source = r#"say!("or run: lightsout terminate users --file FILE");"#;
    assert_eq!(commands(source, Language::Rust), ["terminate users --file FILE"]);
    let page =
        "Run `lightsout users end --login L`, or:\n```console\n$ lightsout serve --prot 1 # a comment\n```\n";
    let found = commands(page, Language::Markdown);
    assert_eq!(found, ["users end --login L", "serve --prot 1 "]);
    for line in ["terminate users --file FILE", "users end --login L", "serve --prot 1", "users list|shw"] {
        assert!(complaint(line).is_some(), "{line}");
    }
    for line in ["users list|show", "admin ...", "admin init --config {}", "serve &", "admin import FILE"] {
        assert_eq!(complaint(line), None, "{line}");
    }
}

#[test]
fn prose_is_no_command() {
    let page = "lightsout is a service. lightsout admin commands run there.\n";
    assert_eq!(commands(page, Language::Markdown), Vec::<&str>::new());
    assert_eq!(commands("/// A lightsout service, or `lightsout login`.\n", Language::Rust), ["login"]);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Markdown,
    Rust,
    /// Comments and commands, as in a unit file.
    Other,
}

impl Language {
    fn of(file: &Path) -> Self {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("md") => Self::Markdown,
            Some("rs") => Self::Rust,
            _ => Self::Other,
        }
    }
}

/// Texts below a path. Of a crate only its sources: tests name commands that do not exist.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default();
            if !["tests", "images", "named_commands.rs"].iter().any(|left_out| *left_out == name) {
                collect(&path, files);
            }
        }
        return;
    }
    let is_text =
        path.extension().is_none_or(|ending| ["md", "rs", "toml", "service"].iter().any(|e| *e == ending));
    if is_text {
        files.push(path.to_owned());
    }
}

/// What follows `lightsout` on each line of a text where that is a command.
fn commands(text: &str, language: Language) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_fence = false;
    for line in text.lines() {
        if language == Language::Markdown && line.trim_start().starts_with("```") {
            in_fence = !in_fence;
            continue;
        }
        for (at, name) in line.match_indices("lightsout ") {
            let before = &line[..at];
            let is_comment = language == Language::Rust && before.trim_start().starts_with("//");
            let is_command = match language {
                _ if before.ends_with('`') => true,
                Language::Markdown => in_fence && starts_a_command(before),
                Language::Rust => !is_comment && (starts_a_command(before) || before.ends_with('"')),
                Language::Other => before.ends_with(['/', '(']) || starts_a_command(before),
            };
            if is_command {
                found.push(up_to_its_end(&line[at + name.len()..]));
            }
        }
    }
    found.retain(|command| {
        command.starts_with(|c: char| c.is_ascii_lowercase()) && *command != NAME_OF_AN_APP
    });
    found
}

/// Whether a command may follow: the line is empty so far, or ends like a prompt, a shell's word or a hint.
fn starts_a_command(before: &str) -> bool {
    let before = before.trim_start();
    before.is_empty()
        || ["$ ", "| ", "; ", "&& ", ": ", "\\n  ", "\\n", "exec ", "$("]
            .iter()
            .any(|end| before.ends_with(end))
}

fn up_to_its_end(rest: &str) -> &str {
    let end = rest.find(['`', '"', '#', ';', '>', ')', '\n']).unwrap_or(rest.len());
    let rest = &rest[..end];
    let rest = rest.split("\\n").next().unwrap_or(rest);
    let rest = rest.split(" | ").next().unwrap_or(rest);
    // The end of a clause: what follows is about something else.
    rest.split_once(", ").map_or(rest, |(command, _)| command)
}

/// What of a command line does not exist.
fn complaint(line: &str) -> Option<String> {
    let mut root = Cli::command();
    root.build();
    let mut here = vec![&root];
    let mut in_path = true;
    for word in line.split_whitespace() {
        if let Some(option) = word.strip_prefix("--") {
            in_path = false;
            let name: String =
                option.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            if !here.iter().any(|command| has_option(command, &name)) {
                return Some(format!("{} has no --{name}", here[0].get_name()));
            }
        } else if in_path && here[0].has_subcommands() {
            let names: Vec<&str> = word.split('|').collect();
            if !names.iter().all(|name| name.starts_with(|c: char| c.is_ascii_lowercase())) {
                in_path = false;
                continue;
            }
            let found: Vec<Option<&Command>> =
                names.iter().map(|name| here[0].find_subcommand(name)).collect();
            if let Some(unknown) =
                names.iter().zip(&found).find_map(|(name, found)| found.is_none().then_some(name))
            {
                return Some(format!("{} has no command {unknown}", here[0].get_name()));
            }
            here = found.into_iter().flatten().collect();
        }
    }
    None
}

fn has_option(command: &Command, name: &str) -> bool {
    command.get_arguments().any(|argument| argument.get_long() == Some(name))
}
