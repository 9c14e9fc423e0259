//! `just bench`: what the service costs, each figure beside its bare counterpart from the same run.
//!
//! One command starts what it needs (PostgreSQL, Redis, the service's release binary, bare
//! handlers), measures, and writes `docs/benchmarks.md` with its plots. `quick` and runs of single
//! parts write to `target/bench/` instead.

mod load;
mod machine;
mod parts;
mod plot;
mod report;
mod start;
mod stats;
mod store;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;

use crate::report::Report;
use crate::start::{Postgres, Setup};
use crate::store::{Kind, Store};

/// Where reports go that do not count, and one that is not whole yet.
const ASIDE: &str = "target/bench";

/// What all parts share.
pub(crate) struct Bench {
    /// Smaller sizes, for a look while developing.
    pub(crate) quick: bool,
    folder: PathBuf,
    postgres: Postgres,
}

impl Bench {
    /// One of two sizes.
    pub(crate) fn size<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// A folder of this name, for a part's own files.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The server that the parts make their databases on.
    pub(crate) fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// A new database with the service's schema, an enterprise and an app.
    pub(crate) fn set_up(&self, part: &str, kind: Kind) -> anyhow::Result<Ground> {
        let name = format!("{part}_{}", kind.name().to_lowercase());
        let folder = self.folder(&name)?;
        let url = match kind {
            Kind::Sqlite => format!("sqlite:{}", folder.join("bench.db").display()),
            Kind::Postgres => self.postgres.create(&name)?,
        };
        let setup = Setup::new(&folder, &url)?;
        let store = Store::open(&url)?;
        Ok(Ground { name, folder, kind, setup, store })
    }

    /// Gives back what a database took on disk.
    pub(crate) fn clear(&self, ground: Ground) -> anyhow::Result<()> {
        let Ground { name, folder, kind, store, .. } = ground;
        drop(store);
        if kind == Kind::Postgres {
            self.postgres.drop(&name)?;
        }
        Ok(std::fs::remove_dir_all(folder)?)
    }
}

/// A database with the service's schema in it, and how to start the service on it.
pub(crate) struct Ground {
    name: String,
    pub(crate) folder: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) setup: Setup,
    pub(crate) store: Store,
}

fn main() -> anyhow::Result<ExitCode> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("nothing ran before");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("role") => load::role(&arguments[1..]).map(|()| ExitCode::SUCCESS),
        _ => bench(&arguments),
    }
}

fn bench(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let quick = arguments.iter().any(|word| word == "quick");
    let chosen: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| *word != "quick").collect();
    if let Some(unknown) = chosen.iter().find(|word| !parts::ALL.iter().any(|part| part.name == **word)) {
        let names: Vec<&str> = parts::ALL.iter().map(|part| part.name).collect();
        bail!(
            "no part is named {unknown:?}; usage: just bench [quick] [PART...], parts: {}",
            names.join(", ")
        );
    }
    let temporary = tempfile::Builder::new().prefix("lightsout-bench-").tempdir()?;
    open_to_postgres(temporary.path())?;
    end_on_interrupt(temporary.path().to_owned())?;
    let postgres = Postgres::start(temporary.path())?;
    let bench = Bench { quick, folder: temporary.path().to_owned(), postgres };
    let mut report = Report { quick, parts: Vec::new(), facts: machine::facts(temporary.path()) };
    for part in parts::ALL.iter().filter(|part| chosen.is_empty() || chosen.contains(&part.name)) {
        report.run(part.title, |found| (part.run)(&bench, found));
        // What is known so far, should the run not come to its end.
        report.write(Path::new(ASIDE))?;
    }
    drop(bench);
    let folder = if quick || !chosen.is_empty() { Path::new(ASIDE) } else { Path::new("docs") };
    report.write(folder)?;
    eprintln!("{} is written", folder.join("benchmarks.md").display());
    Ok(if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The folder is its owner's only, and PostgreSQL runs as somebody else.
fn open_to_postgres(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?)
}

/// Ctrl-C ends the run's processes with it; this stops PostgreSQL, which has left our group, and
/// takes the folder away.
fn end_on_interrupt(folder: PathBuf) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            let id = std::fs::read_to_string(folder.join("postgres/data/postmaster.pid")).unwrap_or_default();
            let id = id.lines().next().and_then(|line| line.parse().ok());
            if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::QUIT);
            }
            let _ = std::fs::remove_dir_all(&folder);
            std::process::exit(130);
        }
    });
    Ok(())
}
