//! What the run ran on.

use std::path::Path;
use std::process::Command;

use lightsout_server::clock::{Clock, timestamp};

use crate::start::{POSTGRES_SETTINGS, run};
use crate::stats::digits;

/// The load average over 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The machine and the versions, as far as it says.
pub(crate) fn facts(folder: &Path) -> Vec<(String, String)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: f64 =
        field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    let settings: Vec<String> = POSTGRES_SETTINGS.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let facts = [
        ("when", timestamp(Clock::system().now_ms()).to_string()),
        ("commit", commit()),
        ("cores", format!("{cores} ({})", field(&read("/proc/cpuinfo"), "model name"))),
        ("memory", format!("{} GiB", digits(memory / 1024.0 / 1024.0))),
        ("kernel", format!("Linux {}", read("/proc/sys/kernel/osrelease").trim())),
        ("file system of the data", file_system(folder)),
        ("PostgreSQL", format!("{}, {}; else its defaults", version("psql"), settings.join(", "))),
        ("Redis", version("redis-server")),
        ("Node.js", version("node")),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn version(program: &str) -> String {
    run(Command::new(program).arg("--version")).map_or("not installed".to_owned(), |text| {
        let text = text.trim().to_owned();
        text.split(" sha=").next().unwrap_or_default().to_owned()
    })
}

/// The commit that the sources are at, and whether they were changed since.
fn commit() -> String {
    let git = |arguments: &[&str]| run(Command::new("git").args(arguments));
    let Ok(hash) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_ok_and(|text| !text.is_empty());
    format!("{}{}", hash.trim(), if changed { ", with changes" } else { "" })
}

fn file_system(folder: &Path) -> String {
    let of = |what| run(Command::new("df").arg(format!("--output={what}")).arg(folder));
    let last = |text: String| text.lines().last().unwrap_or_default().trim().to_owned();
    of("fstype").map_or("unknown".to_owned(), last)
}
