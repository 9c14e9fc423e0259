//! What is measured and what it is measured beside, each in a process of its own on a free port.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::wire::Connection;

const START_WITHIN: Duration = Duration::from_mins(10);
const STOP_WITHIN: Duration = Duration::from_mins(1);

/// Waits; nothing here has a clock to be moved.
#[expect(clippy::disallowed_methods, reason = "other processes are waited for")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(
    what: &str,
    every: Duration,
    within: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if started.elapsed() > within {
            bail!("{what}: not within {} s", within.as_secs());
        }
        pause(every);
    }
}

pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A program that ends when this is dropped.
pub(crate) struct Program {
    pub(crate) child: Child,
}

impl Program {
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child })
    }

    /// Bytes of memory that the process holds.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS is there")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let id = id.context("a process id")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        eventually("the process ends", Duration::from_millis(5), STOP_WITHIN, || {
            self.child.try_wait().ok().flatten()
        })?;
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of the program that runs, where `lightsout` was built as well.
fn built(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is missing; `just bench` builds it", path.display());
    }
    Ok(path)
}

/// A role of this program in a process of its own; it prints its address first.
pub(crate) fn spawn_role(arguments: &[&str]) -> anyhow::Result<(Program, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    announced(command.args(arguments))
}

/// Starts what prints its port or its address as its first line.
pub(crate) fn announced(command: &mut Command) -> anyhow::Result<(Program, SocketAddr)> {
    let mut program = Program::spawn(command.stdout(Stdio::piped()))?;
    let output = program.child.stdout.take().context("it is piped")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let line = line.trim();
    let address = line.parse().or_else(|_| format!("127.0.0.1:{line}").parse());
    Ok((program, address.with_context(|| format!("an address, not {line:?}"))?))
}

/// A PostgreSQL of its own.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
}

/// What is set besides the defaults; it stands in the report.
pub(crate) const POSTGRES_SETTINGS: [(&str, &str); 2] =
    [("shared_buffers", "512MB"), ("max_wal_size", "4GB")];

impl Postgres {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .context("PostgreSQL is installed")?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|bin| bin.join("initdb").exists())
            .collect();
        versions.sort();
        let programs = versions.pop().context("PostgreSQL is installed")?;
        let folder = folder.join("postgres");
        fs::create_dir(&folder)?;
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg("postgres:").arg(&folder))?;
        }
        let postgres = Self { programs, folder, address: free_address()? };
        let data = postgres.data();
        run(postgres.command("initdb").args(["-U", "postgres", "-A", "trust", "-D"]).arg(&data))?;
        let settings: String =
            POSTGRES_SETTINGS.iter().map(|(key, value)| format!(" -c {key}={value}")).collect();
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1{settings}",
            postgres.address.port(),
            postgres.folder.display()
        );
        let log = postgres.folder.join("log");
        let start = ["-w", "-t", "60", "-o", options.as_str(), "start", "-D"];
        run(postgres.command("pg_ctl").args(start).arg(&data).arg("-l").arg(log))?;
        Ok(postgres)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of its programs, as a user that initdb does not refuse.
    fn command(&self, program: &str) -> Command {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(self.programs.join(program));
            command
        } else {
            Command::new(self.programs.join(program))
        };
        command.current_dir("/");
        command
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address)
    }

    pub(crate) fn create(&self, database: &str) -> anyhow::Result<String> {
        self.client("createdb", &[database])?;
        Ok(self.url(database))
    }

    pub(crate) fn drop(&self, database: &str) -> anyhow::Result<()> {
        self.client("dropdb", &["--force", "--if-exists", database]).map(drop)
    }

    /// Runs one of its client programs to its end, and returns what it printed.
    pub(crate) fn client(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let port = self.address.port().to_string();
        let server = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
        run(self.command(program).args(server).args(arguments))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = run(self.command("pg_ctl").args(["-m", "immediate", "stop", "-D"]).arg(self.data()));
    }
}

/// Runs a program to its end. What it printed, if it succeeded.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    // pg_ctl leaves a server behind that keeps a pipe open, so its output goes to a file.
    let (mut out, errors) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let status = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(errors.try_clone()?)
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    let text = |file: &mut File| {
        use std::io::{Read, Seek};
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).map(|_| text)
    };
    let printed = text(&mut out)?;
    if !status.success() {
        bail!("{name} {status}: {printed}{}", text(&mut { errors })?);
    }
    Ok(printed)
}

/// A `redis-server` that stores nothing on disk.
pub(crate) struct Redis {
    _program: Program,
    pub(crate) address: SocketAddr,
}

impl Redis {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let port = address.port().to_string();
        let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let mut command = Command::new("redis-server");
        let program = Program::spawn(command.args(arguments).arg("--dir").arg(folder).stdout(Stdio::null()))?;
        eventually("redis-server listens", Duration::from_millis(10), START_WITHIN, || {
            TcpStream::connect(address).ok()
        })?;
        Ok(Self { _program: program, address })
    }
}

/// The service as it is shipped: `lightsout serve`.
pub(crate) struct Service {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    /// From the start of the process to the first answer of `/readyz`.
    pub(crate) ready_after: Duration,
}

/// A configuration on disk, and what was set up by it.
pub(crate) struct Setup {
    folder: PathBuf,
    config: PathBuf,
    pub(crate) database: String,
    pub(crate) enterprise: String,
    pub(crate) client_id: String,
    secret: String,
}

impl Setup {
    /// Makes the database's schema, an enterprise and an app with every right, by the command line.
    pub(crate) fn new(folder: &Path, database: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let config = folder.join("lightsout.toml");
        fs::write(&config, configuration(free_address()?, database))?;
        let mut setup = Self {
            folder: folder.to_owned(),
            config,
            database: database.to_owned(),
            enterprise: String::new(),
            client_id: String::new(),
            secret: String::new(),
        };
        let admin = ["--name", "Bench", "--admin-login", "admin@bench.example", "--admin-name", "Ada Admin"];
        setup.enterprise = text(&setup.admin("enterprise", &admin)?, "enterprise_id")?;
        let app = setup.admin(
            "app",
            &[
                "--enterprise",
                &setup.enterprise,
                "--name",
                "bench",
                "--scope",
                "manage_managed_users,manage_groups,manage_enterprise_properties",
                "--right",
                "sessions.write,sessions.read,introspect,feed",
            ],
        )?;
        (setup.client_id, setup.secret) = (text(&app, "client_id")?, text(&app, "client_secret")?);
        Ok(setup)
    }

    fn admin(&self, command: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut admin = Command::new(built("lightsout")?);
        admin.args(["admin", "--json", "--config"]).arg(&self.config).arg(command).args(arguments);
        Ok(serde_json::from_str(&run(&mut admin)?)?)
    }

    /// Starts one more service on this database, and waits until it is ready.
    pub(crate) fn serve(&self) -> anyhow::Result<Service> {
        let address = free_address()?;
        let config = self.folder.join(format!("serve-{}.toml", address.port()));
        fs::write(&config, configuration(address, &self.database))?;
        let log = File::create(self.folder.join(format!("serve-{}.log", address.port())))?;
        let started = Instant::now();
        let mut command = Command::new(built("lightsout")?);
        let program =
            Program::spawn(command.args(["serve", "--config"]).arg(&config).stderr(log.try_clone()?))?;
        eventually("the service is ready", Duration::from_millis(2), START_WITHIN, || {
            let answer = Connection::open(address, "").ok()?.get("/readyz").ok()?;
            (answer.status == 200).then_some(())
        })?;
        Ok(Service { program, address, ready_after: started.elapsed() })
    }

    /// The app's id and secret.
    pub(crate) fn credentials(&self) -> (&str, &str) {
        (&self.client_id, &self.secret)
    }

    /// A new access token of the app.
    pub(crate) fn token(&self, address: SocketAddr) -> anyhow::Result<String> {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&box_subject_type=enterprise&box_subject_id={}",
            self.client_id, self.secret, self.enterprise
        );
        let answer = Connection::open(address, "")?.post_form("/oauth2/token", &form)?;
        text(&answer.json(200)?, "access_token")
    }
}

/// A text of a JSON object.
pub(crate) fn text(value: &Value, key: &str) -> anyhow::Result<String> {
    Ok(value[key].as_str().with_context(|| format!("{key} in {value}"))?.to_owned())
}

/// Limits so high that they are never met; everything else as it comes.
fn configuration(address: SocketAddr, database: &str) -> String {
    let limits = [
        "calls_per_minute",
        "introspections_per_second",
        "registrations_per_second",
        "feeds_per_minute",
        "token_requests_per_minute",
    ];
    let limits: String = limits.iter().map(|key| format!("{key} = 10000000\n")).collect();
    let requests_max = if lightsout_server::config::REFERENCE.contains("requests_max = ") {
        "requests_max = 100000\n"
    } else {
        ""
    };
    format!(
        "[server]\nlisten = \"{address}\"\n{requests_max}[database]\nurl = \"{database}\"\n[limits]\n{limits}\
         [log]\nfilter = \"warn\"\n"
    )
}
