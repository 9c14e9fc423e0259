//! A user's shell: runs the command, and keeps a transcript of what was typed and answered.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use lightsout_testkit::{Scripted, Service};
use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

/// A command that takes longer than this hangs.
const ENDS_WITHIN: Duration = Duration::from_mins(1);

/// What differs from run to run, and what stands in its place.
const REDACTIONS: [(&str, &str); 15] = [
    (r#""answered_ms":\d+"#, r#""answered_ms":MS"#),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"127\.0\.0\.1:\d{5}", "127.0.0.1:PORT"),
    (r"\bt_[0-9a-f]+", "t_ID"),
    (r"\b[0-9a-f]{64}\b", "HASH"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r"\brequest [0-9a-zA-Z.]+\]", "request REQUEST_ID]"),
    (r"\b(client_secret  |access_token  )\S+", "${1}SECRET"),
    (r"\b[0-9a-f]{32}\b", "EVENT_ID"),
    (r"\b\d+:HASH", "POSITION:HASH"),
    (r"go on: lightsout events follow --from \d+", "go on: lightsout events follow --from POSITION"),
    (r#""position":\d+"#, r#""position":POSITION"#),
    (r#""id":"[0-9A-Za-z_-]{43}""#, r#""id":"SESSION_ID""#),
    (r"\b\d{9,}\b", "ID"),
    (r"\b(\d+ ms|\d+\.\d s)\b", "DURATION"),
];

/// A shell in a folder of its own. Its environment has no terminal and no setting of lightsout but
/// those that were given here.
pub(crate) struct Shell {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
    /// Text that is replaced before the patterns are: the longest first.
    named: Vec<(String, String)>,
    /// What no output may ever hold.
    secrets: Vec<String>,
    transcript: String,
}

/// A command that runs.
pub(crate) struct Running {
    typed: String,
    child: Child,
    /// None once the test has closed it.
    stdout: Option<BufReader<ChildStdout>>,
    lines: String,
}

/// What a command answered, as it was.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Shell {
    /// A shell without any setting.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let named = vec![(folder.path().display().to_string(), "/home/ada".to_owned())];
        Self { folder, variables: Vec::new(), named, secrets: Vec::new(), transcript: String::new() }
    }

    /// Adds an explanation to the transcript.
    pub(crate) fn note(&mut self, text: &str) {
        self.transcript.push_str(&format!("# {text}\n"));
    }

    /// The primary admin's shell; the environment says where the service is, and who asks.
    pub(crate) fn of(service: &Service) -> Self {
        let mut shell = Self::knowing(service);
        shell.set("LIGHTSOUT_URL", &service.url);
        shell.set("LIGHTSOUT_TOKEN", &service.token);
        shell
    }

    /// A shell without any setting that names what the service has.
    pub(crate) fn knowing(service: &Service) -> Self {
        let mut shell = Self::new();
        for (value, name) in [
            (&service.enterprise_id, "ENTERPRISE_ID"),
            (&service.admin_id, "ADA_ID"),
            (&service.user_id, "ANN_ID"),
            (&service.group_id, "SALES_ID"),
            (&service.client_id, "CLIENT_ID"),
            (&service.client_secret, "CLIENT_SECRET"),
            (&service.token, "TOKEN"),
        ] {
            shell.named.push((value.clone(), name.to_owned()));
        }
        shell.secrets = vec![service.token.clone(), service.client_secret.clone()];
        shell
    }

    /// A shell that asks a scripted server.
    pub(crate) fn of_scripted(server: &Scripted) -> Self {
        let mut shell = Self::new();
        shell.set("LIGHTSOUT_URL", &server.url);
        shell.set("LIGHTSOUT_TOKEN", "never-printed");
        shell.secrets.push("never-printed".to_owned());
        shell
    }

    pub(crate) fn set(&mut self, variable: &'static str, value: &str) {
        self.variables.push((variable, value.to_owned()));
    }

    /// Shows this text under another name from now on.
    pub(crate) fn name(&mut self, value: &str, name: &str) {
        self.named.push((value.to_owned(), name.to_owned()));
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes a file into the shell's folder.
    pub(crate) fn write(&mut self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).expect("the folder can be written");
        self.transcript.push_str(&format!("$ cat {file}\n{}\n\n", text.trim_end()));
    }

    /// Runs a command to its end.
    pub(crate) fn run(&mut self, typed: &str) -> Answer {
        let child = self.start(typed, Stdio::null());
        let output = finished(child, typed);
        self.keep(typed, output)
    }

    /// Runs a command that does not wait until what it asked for is done. How far the service is by
    /// then is chance: it is shown as just begun.
    pub(crate) fn run_accepted(&mut self, typed: &str) -> Answer {
        let child = self.start(typed, Stdio::null());
        let mut output = finished(child, typed);
        let text = String::from_utf8(output.stdout).expect("the output is text");
        output.stdout = text.lines().map(just_begun).collect::<String>().into_bytes();
        self.keep(typed, output)
    }

    /// Runs a command that follows as JSON: its first line is shown as just begun.
    pub(crate) fn run_followed(&mut self, typed: &str) -> Answer {
        let child = self.start(typed, Stdio::null());
        let mut output = finished(child, typed);
        let text = String::from_utf8(output.stdout).expect("the output is text");
        let (first, rest) = text.split_once('\n').expect("a line");
        output.stdout = format!("{}{rest}", just_begun(first)).into_bytes();
        self.keep(typed, output)
    }

    /// Runs a command that lists in the order of ids, which are random; keeps its lines by their texts.
    pub(crate) fn run_sorted(&mut self, typed: &str) {
        let child = self.start(typed, Stdio::null());
        let mut output = finished(child, typed);
        let text = String::from_utf8(output.stdout).expect("the output is text");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable_by_key(|line| line.split_once(' ').map(|(_, text)| text));
        output.stdout = lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
        self.keep(typed, output);
    }

    /// Runs a command that reads this text.
    pub(crate) fn run_reading(&mut self, text: &str, typed: &str) -> Answer {
        let mut child = self.start(typed, Stdio::piped());
        let mut stdin = child.stdin.take().expect("it is piped");
        // A command that is refused reads nothing.
        let _ = stdin.write_all(text.as_bytes());
        drop(stdin);
        let output = finished(child, typed);
        self.keep(&format!("printf {text:?} | lightsout {typed}"), output)
    }

    /// Starts a command of which the test reads the lines as they come.
    pub(crate) fn follow(&mut self, typed: &str) -> Running {
        let mut child = self.start(typed, Stdio::null());
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Running { typed: typed.to_owned(), child, stdout: Some(stdout), lines: String::new() }
    }

    /// Waits for the end of a command that was started.
    pub(crate) fn end(&mut self, running: Running) -> Answer {
        let Running { typed, child, stdout, mut lines } = running;
        let mut output = finished(child, &typed);
        if let Some(mut stdout) = stdout {
            stdout.read_to_string(&mut lines).expect("the output is text");
        }
        output.stdout = lines.into_bytes();
        self.keep(&typed, output)
    }

    /// All that was typed and answered.
    pub(crate) fn transcript(&self) -> String {
        let mut text = self.transcript.clone();
        let mut named = self.named.clone();
        named.sort_unstable_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        for (value, name) in &named {
            text = text.replace(value, name);
        }
        for (pattern, instead) in REDACTIONS {
            text =
                Regex::new(pattern).expect("the pattern is right").replace_all(&text, instead).into_owned();
        }
        text
    }

    fn start(&self, typed: &str, stdin: Stdio) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lightsout"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LIGHTSOUT_")) {
            command.env_remove(name);
        }
        command
            .args(words(typed))
            .env("LIGHTSOUT_CONFIG_HOME", self.path("config"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts")
    }

    fn keep(&mut self, typed: &str, output: Output) -> Answer {
        let text = |bytes| String::from_utf8(bytes).expect("the output is text");
        let code = output.status.code().expect("the command was not killed");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        for secret in &self.secrets {
            assert!(!stdout.contains(secret) && !stderr.contains(secret), "a secret: {stdout}{stderr}");
        }
        if typed.contains(" --json") {
            for line in stdout.lines() {
                let value = serde_json::from_str::<Value>(line);
                assert!(value.is_ok_and(|value| value.is_object()), "not an object of JSON: {line}");
            }
        }
        let program = if typed.contains("| lightsout") { "" } else { "lightsout " };
        self.transcript.push_str(&format!("$ {}\n", format!("{program}{typed}").trim_end()));
        for (stream, text) in [("stdout", &stdout), ("stderr", &stderr)] {
            if !text.is_empty() {
                self.transcript.push_str(&format!("{stream}:\n{text}"));
            }
        }
        self.transcript.push_str(&format!("exit {code}\n\n"));
        Answer { code, stdout, stderr }
    }
}

impl Answer {
    /// The id of the termination that people were shown.
    pub(crate) fn termination_id(&self) -> String {
        let line = self.stdout.lines().find_map(|line| line.strip_prefix("termination  "));
        line.unwrap_or_else(|| panic!("{}{}", self.stdout, self.stderr)).to_owned()
    }
}

impl Running {
    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("it is not closed");
        stdout.read_line(&mut line).expect("the output is text");
        assert!(line.ends_with('\n'), "{} ended after:\n{}{line}", self.typed, self.lines);
        self.lines.push_str(&line);
        line.trim_end().to_owned()
    }

    /// Reads no more, as `head` does.
    pub(crate) fn close(&mut self) {
        self.stdout = None;
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let killed = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(killed.expect("kill is there").success());
    }
}

/// A line about a termination, or nothing, as it is when the service has not begun.
fn just_begun(line: &str) -> String {
    if let Ok(Value::Object(mut termination)) = serde_json::from_str(line) {
        termination.retain(|field, _| field != "finished_at" && field != "chain_head");
        termination.insert("state".to_owned(), "running".into());
        termination.insert("systems".to_owned(), "PROGRESS".into());
        return format!("{}\n", Value::Object(termination));
    }
    match line.split_once("  ").map_or(line, |(label, _)| label) {
        "system" => "system       PROGRESS\n".to_owned(),
        "finished" | "next" => String::new(),
        _ if line.starts_with("log head") => String::new(),
        _ => format!("{}\n", line.replace("done: every end is verified", "running")),
    }
}

/// Waits for the end; a command that hangs is killed and fails the test.
fn finished(child: Child, typed: &str) -> Output {
    let id = child.id().to_string();
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(ENDS_WITHIN) else {
        let _ = Command::new("kill").args(["-KILL", &id]).status();
        panic!("lightsout {typed} hangs");
    };
    output.expect("the command was started")
}

/// Splits a line into words; single quotes keep spaces.
fn words(typed: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted, mut is_open) = (Vec::new(), String::new(), false, false);
    for character in typed.chars() {
        match character {
            '\'' => (is_quoted, is_open) = (!is_quoted, true),
            ' ' if !is_quoted => {
                if is_open {
                    words.push(std::mem::take(&mut word));
                }
                is_open = false;
            }
            _ => {
                word.push(character);
                is_open = true;
            }
        }
    }
    if is_open {
        words.push(word);
    }
    words
}
