//! What a package ships beside the program: shell completions and manual pages.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::output::say;

const NAME: &str = "lightsout";

const COMPLETIONS_HELP: &str = "\
Examples:
  source <(lightsout completions bash)
  lightsout completions zsh > ~/.zfunc/_lightsout
  lightsout completions fish > ~/.config/fish/completions/lightsout.fish";

const MANUAL_HELP: &str = "\
Examples:
  lightsout man | man -l -
  lightsout man --dir ~/.local/share/man/man1";

/// Prints the completions of a shell.
#[derive(Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    #[expect(clippy::unnecessary_wraps, reason = "every command's run is called alike")]
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        say!("{}", completions(self.shell).trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the manual page, or writes one for every command.
#[derive(Args)]
#[command(after_help = MANUAL_HELP)]
pub(crate) struct Manual {
    /// Writes a page for every command to this folder, and lists the files.
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Manual {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match &self.dir {
            None => {
                let (_, page) = pages().into_iter().next().expect("the program itself has a page");
                say!("{}", page.trim_end());
            }
            Some(folder) => {
                for file in write_pages(folder)? {
                    say!("{}", file.display());
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::Cli::command(), NAME, &mut script);
    String::from_utf8(script).expect("the command's names and help are text")
}

fn write_pages(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut files = Vec::new();
    for (name, page) in pages() {
        let file = folder.join(name);
        std::fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
        files.push(file);
    }
    Ok(files)
}

/// Every page with its file name, the program's own first.
fn pages() -> Vec<(String, String)> {
    // `help` shows what the pages do, and would double every one of them.
    let mut program = crate::Cli::command().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    add_pages(&program, &mut pages);
    pages
}

fn add_pages(command: &Command, pages: &mut Vec<(String, String)>) {
    let source = format!("{NAME} {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("User Commands");
    let mut page = Vec::new();
    man.render(&mut page).expect("nothing fails in memory");
    pages.push((man.get_filename(), String::from_utf8(page).expect("a command's help is text")));
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        add_pages(command, pages);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Stdio;

    use clap::ValueEnum;

    use super::*;

    /// The names of a command's page and of all below it.
    fn expected(command: &Command, prefix: &str, names: &mut Vec<String>) {
        let name = format!("{prefix}{}", command.get_name());
        for command in command.get_subcommands() {
            expected(command, &format!("{name}-"), names);
        }
        names.push(format!("{name}.1"));
    }

    #[test]
    fn every_command_has_a_page_with_name_and_synopsis() {
        let pages = pages();
        assert_eq!(pages[0].0, "lightsout.1");
        let mut names = Vec::new();
        expected(&crate::Cli::command(), "", &mut names);
        names.sort_unstable();
        let mut there: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        there.sort_unstable();
        assert_eq!(there, names);
        assert!(there.contains(&"lightsout-users-terminate-sessions.1"));
        for (name, page) in &pages {
            let command = name.trim_end_matches(".1");
            let heading = |text: &str| page.lines().any(|line| line == text);
            assert!(heading(".SH NAME") && heading(".SH SYNOPSIS"), "{name}:\n{page}");
            assert!(page.contains(&format!(".TH {command} 1")), "{name}:\n{page}");
        }
    }

    #[test]
    fn pages_are_written_and_listed() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().join("share/man1");
        let files = write_pages(&folder).expect("written");
        assert_eq!(files.len(), pages().len());
        assert!(files.iter().all(|file| file.is_file()) && files.contains(&folder.join("lightsout-man.1")));
    }

    #[test]
    fn every_shell_has_completions_that_know_the_commands() {
        for shell in Shell::value_variants() {
            assert!(completions(*shell).contains("terminate-sessions"), "{shell}");
        }
    }

    #[test]
    fn bash_can_read_its_completions() {
        let mut bash = std::process::Command::new("bash")
            .arg("-n")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash is there, as ./test runs on it");
        let mut stdin = bash.stdin.take().expect("it is piped");
        stdin.write_all(completions(Shell::Bash).as_bytes()).expect("bash reads");
        drop(stdin);
        let done = bash.wait_with_output().expect("bash ends");
        assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}
