//! `lightsout demo`: the main job on an embedded database, in a minute.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use lightsout_api::{CreateTermination, RegisterSession, Termination, TerminationId, UserId};
use lightsout_client::{Auth, Client, Subject};
use lightsout_server::config::Config;
use lightsout_server::ops::{admin, import, sign_in_links};
use lightsout_server::server::{self, Running};

use crate::output::{Progress, count, elapsed, say};
use crate::serve::stopped;

const ADMIN: &str = "admin@demo.example";
const PEOPLE: usize = 1_000;
const SESSIONS_EACH: usize = 10;
const GROUPS: [&str; 20] = [
    "Sales",
    "Finance",
    "Legal",
    "Support",
    "Design",
    "Research",
    "Security",
    "Platform",
    "Mobile",
    "Data",
    "Marketing",
    "People",
    "Facilities",
    "Procurement",
    "Audit",
    "Partners",
    "Events",
    "Press",
    "Training",
    "Board",
];

/// Makes an enterprise of 1,000 people in 20 groups with 10,000 sessions, ends one group, proves it.
#[derive(Args)]
#[command(after_help = "Examples:\n  lightsout demo --dir /tmp/demo\n  lightsout demo --once")]
pub(crate) struct Demo {
    /// Where the data goes.
    #[arg(long, default_value = "lightsout-demo")]
    dir: PathBuf,
    /// Keeps running and prints a link to the console, as on a terminal.
    #[arg(long, conflicts_with = "once")]
    console: bool,
    /// Ends when everything is shown, as without a terminal.
    #[arg(long)]
    once: bool,
}

/// What the demo leaves to look at.
struct Shown {
    admin: UserId,
    termination: TerminationId,
}

/// A registered session: whose, and the id that the app would hold.
struct Held {
    login: String,
    session_id: String,
}

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let folder = std::fs::create_dir_all(&self.dir).and_then(|()| self.dir.canonicalize());
        let folder = folder.with_context(|| format!("cannot make {}", self.dir.display()))?;
        // One configuration a run: it proves the log of this run, from any folder.
        let run = std::process::id();
        let file = self.dir.join(format!("demo-{run}.toml"));
        let database = folder.join(format!("demo-{run}.db"));
        for old in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{old}", database.display()));
        }
        let url = format!("sqlite:{}", database.display());
        // A JSON string is a TOML string.
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\n[database]\nurl = {}\n",
            serde_json::Value::from(url)
        );
        std::fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        let running = server::start(&Config::parse_alone(&text)?, None).await?;
        let stays = self.console || !self.once && std::io::stdout().is_terminal();
        let result = match show(&running).await {
            Ok(shown) if stays => stay(&running, &shown).await,
            result => result.map(drop),
        };
        running.stop().await;
        result?;
        say!("\n  data         {}", self.dir.join(format!("demo-{run}.db")).display());
        say!("  prove it     lightsout events verify --config {}", file.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints a link that opens the console, and goes on serving until Ctrl-C or SIGTERM.
async fn stay(running: &Running, shown: &Shown) -> anyhow::Result<()> {
    let stopped = stopped()?;
    let url = format!("http://{}", running.address);
    let link = sign_in_links::create(&running.app, &shown.admin).await?;
    say!("\n  console      {url}/sign-in/link/{link}");
    say!("               signs you in as {ADMIN}; works once, within 10 minutes");
    say!("  then see     {url}/console/terminations/{}", shown.termination.0);
    say!("\nPress Ctrl-C to stop.");
    stopped.await;
    Ok(())
}

async fn show(running: &Running) -> anyhow::Result<Shown> {
    say!("lightsout demo, listening on http://{}\n", running.address);
    let started = Instant::now();
    let (client, admin) = enterprise(running).await?;
    let held = sign_in(&client).await?;
    say!(
        "  made         {} people in {} groups with {} sessions ({})",
        count(PEOPLE as u64),
        GROUPS.len(),
        count(held.len() as u64),
        elapsed(started.elapsed())
    );

    let group = client.groups(GROUPS[0], 0, 1).await?.entries.pop().context("the group was made")?;
    let members: HashSet<String> = members(&client, &group.id.0).await?;
    say!("  ending       group {} ({} people)", GROUPS[0], members.len());
    let started = Instant::now();
    let request = CreateTermination {
        group_ids: vec![group.id.clone()],
        reason: Some("demo".to_owned()),
        ..CreateTermination::default()
    };
    let accepted = client.terminate(&request, None).await?;
    let accepted_after = started.elapsed();
    let done = follow(&client, &accepted).await?;
    report(&done, accepted_after, started.elapsed(), held.len() as u64);
    check(&client, &held, &members).await?;
    Ok(Shown { admin, termination: done.id })
}

/// Makes the enterprise, its people and an app, and returns the app's client and the admin's id.
async fn enterprise(running: &Running) -> anyhow::Result<(Client, UserId)> {
    let app = &running.app;
    let (enterprise, admin) = admin::create_enterprise(app, "Demo", ADMIN, "Ada Admin").await?;
    let mut csv = String::from("login,name,groups\n");
    for n in 0..PEOPLE {
        csv.push_str(&format!("person{n}@demo.example,Person {n},{}\n", GROUPS[n % GROUPS.len()]));
    }
    let report = import::import(app, &[], &enterprise.0, csv.as_bytes()).await?;
    ensure!(report.users_created == PEOPLE, "the import made {} people", report.users_created);
    let (id, secret) = admin::create_app(
        app,
        &admin::NewApp {
            enterprise_id: enterprise.0.clone(),
            name: "demo".to_owned(),
            scopes: ["manage_managed_users", "manage_groups", "manage_enterprise_properties"]
                .map(String::from)
                .to_vec(),
            rights: ["sessions.write", "sessions.read", "introspect"].map(String::from).to_vec(),
            ..admin::NewApp::default()
        },
    )
    .await?;
    let auth = Auth::client_credentials(id.0, secret, Subject::Enterprise(enterprise.0));
    Ok((Client::new(&format!("http://{}", running.address), auth)?, admin))
}

/// Registers sessions for everybody, as an app would at sign-in.
async fn sign_in(client: &Client) -> anyhow::Result<Vec<Held>> {
    let logins: Vec<String> =
        (0..PEOPLE * SESSIONS_EACH).map(|n| format!("person{}@demo.example", n % PEOPLE)).collect();
    let mut held = Vec::with_capacity(logins.len());
    for batch in logins.chunks(1_000) {
        let session =
            |login: &String| RegisterSession { login: Some(login.clone()), ..RegisterSession::default() };
        let registered = client.register_sessions(batch.iter().map(session).collect()).await?;
        for (login, session) in batch.iter().zip(registered) {
            let session_id = session.session_id.context("a new session is active")?;
            held.push(Held { login: login.clone(), session_id });
        }
    }
    Ok(held)
}

async fn members(client: &Client, group_id: &str) -> anyhow::Result<HashSet<String>> {
    let page = client.group_memberships(group_id, 0, 1_000).await?;
    Ok(page.entries.into_iter().filter_map(|m| m.user?.login).collect())
}

/// Follows a termination to its end, with a bar of people whose outcomes are final.
async fn follow(client: &Client, accepted: &Termination) -> anyhow::Result<Termination> {
    let mut progress = Progress::new("complete", accepted.people);
    let mut events = client.follow_termination(&accepted.id.0);
    let mut outcomes = 0;
    while let Some(event) = events.next().await? {
        outcomes += u64::from(event.event_type == "SESSION_TERMINATION_OUTCOME");
        progress.advance(outcomes / accepted.systems.len().max(1) as u64);
    }
    progress.finish();
    Ok(client.termination(&accepted.id.0).await?)
}

fn report(done: &Termination, accepted_after: Duration, done_after: Duration, held: u64) {
    let ended: u64 = done.systems.iter().map(|s| s.sessions_ended).sum();
    say!("  accepted     in {}, durable; refused from then on", elapsed(accepted_after));
    let verified = done.state == lightsout_api::TerminationState::Done;
    say!(
        "  ended        {} sessions of {} people; {} after {}",
        count(ended),
        done.people,
        if verified { "gone and verified" } else { "not every end is verified" },
        elapsed(done_after)
    );
    say!("  spared       {} sessions", count(held - ended));
    say!(
        "  verdict      {}",
        if done.state == lightsout_api::TerminationState::Done {
            "done: every end is verified"
        } else {
            "done, with failures"
        }
    );
    if let Some(head) = &done.chain_head {
        say!("  log head     {}:{}", head.position, head.hash);
    }
}

/// Asks for every session whether it may still be used, over HTTP.
async fn check(client: &Client, held: &[Held], members: &HashSet<String>) -> anyhow::Result<()> {
    let started = Instant::now();
    let answers: Vec<(bool, bool)> = stream::iter(held)
        .map(async |session| {
            let active = client.introspect(&session.session_id).await?.active;
            anyhow::Ok((members.contains(&session.login), active))
        })
        .buffer_unordered(16)
        .try_collect()
        .await?;
    let tally = |member, active| answers.iter().filter(|a| **a == (member, active)).count() as u64;
    say!(
        "  checks       {} of {} ended sessions refused, {} of {} others active ({})",
        count(tally(true, false)),
        count(tally(true, false) + tally(true, true)),
        count(tally(false, true)),
        count(tally(false, true) + tally(false, false)),
        elapsed(started.elapsed())
    );
    ensure!(tally(true, true) == 0, "an ended session is still accepted");
    ensure!(tally(false, false) == 0, "a session of somebody else was ended");
    Ok(())
}
