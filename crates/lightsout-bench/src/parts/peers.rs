//! Peers from a registry in the same run: better-auth ends 1,000 users, oidc-provider introspects.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::thousand;
use crate::Bench;
use crate::load::{Load, Tokens};
use crate::report::Part;
use crate::start::{announced, run as run_to_end};
use crate::stats::{digits, ratio, time, whole};
use crate::store::{Kind, SESSIONS_EACH};

/// Where the packages are installed, for the tests and for this.
const MODULES: &str = "tests/e2e";
const SESSIONS: usize = 10_000;

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    install()?;
    better_auth(bench, part)?;
    oidc_provider(bench, part)
}

fn install() -> anyhow::Result<()> {
    if !Path::new(MODULES).is_dir() {
        bail!("{MODULES} is not there; run this from the root of the repository");
    }
    if !["better-auth", "oidc-provider"]
        .iter()
        .all(|name| Path::new(MODULES).join("node_modules").join(name).is_dir())
    {
        run_to_end(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--prefix", MODULES]))?;
    }
    Ok(())
}

fn version(package: &str) -> anyhow::Result<String> {
    let file = Path::new(MODULES).join("node_modules").join(package).join("package.json");
    let package: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    Ok(package["version"].as_str().unwrap_or_default().to_owned())
}

fn script(name: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(Path::new(MODULES).join("node").join(name));
    command.env("NODE_ENV", "production");
    command
}

/// 1,000 users with ten sessions each, ended by an admin, one call a user: it has no other.
fn better_auth(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let file = bench.folder("better_auth")?.join("auth.db");
    let people = thousand::PEOPLE.to_string();
    let mut command = script("bench_better_auth.mjs");
    let printed = run_to_end(command.arg(file).args([people, SESSIONS_EACH.to_string()]))?;
    let found: Value = serde_json::from_str(printed.lines().last().unwrap_or_default())?;
    let seconds = found["seconds"].as_f64().with_context(|| format!("seconds in {printed}"))?;
    let theirs = Duration::from_secs_f64(seconds);
    let ground = bench.set_up("peers_thousand", Kind::Sqlite)?;
    let ours = thousand::measure(&ground, 1)?;
    bench.clear(ground)?;
    part.text(format!(
        "### better-auth {}\n\n{} users with {SESSIONS_EACH} sessions each in SQLite, ended by an admin: \
         `POST /api/auth/admin/revoke-user-sessions` for each user, one after the other, since there is no call for \
         several. The requests are handed to its handler in the same process, without a socket, and nothing but the \
         session store's rows is written. lightsout: one POST over HTTP, on SQLite, with everything that it \
         writes.",
        version("better-auth")?,
        whole(1_000.0)
    ));
    let row = |what: &str, took: Duration| [what.to_owned(), time(took), digits(ratio(theirs, took))];
    part.table(
        ["what", "time", "better-auth / this"],
        vec![
            row("better-auth, all sessions gone", theirs),
            row("lightsout, all refused", ours.refused.median()),
            row("lightsout, all rows emptied, verified", ours.gone.median()),
        ],
    );
    Ok(())
}

/// Introspection of opaque access tokens that lie in its memory.
fn oidc_provider(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let file = bench.folder("oidc_provider")?.join("tokens.json");
    let mut command = script("bench_oidc_provider.mjs");
    let (provider, address) = announced(command.arg(&file).arg(SESSIONS.to_string()))?;
    let given: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    let tokens: Vec<String> = serde_json::from_value(given["tokens"].clone())?;
    let authorization = given["authorization"].as_str().context("how to call it")?.to_owned();
    let seconds = bench.size(2.0, 5.0);
    let path = "/token/introspection".to_owned();
    let load = Load { address, path, authorization, tokens: Tokens::Listed(tokens), seconds };
    let theirs = load.run()?;
    provider.stop()?;

    let ground = bench.set_up("peers_introspect", Kind::Sqlite)?;
    ground.store.fill_people(&ground.setup.enterprise, 0..SESSIONS / SESSIONS_EACH)?;
    ground.store.fill_sessions(&ground.setup.client_id, 0..SESSIONS / SESSIONS_EACH)?;
    ground.store.settle()?;
    let service = ground.setup.serve()?;
    let load = Load {
        address: service.address,
        path: "/oauth2/introspect".to_owned(),
        authorization: format!("Bearer {}", ground.setup.token(service.address)?),
        tokens: Tokens::Sessions { from: 0, to: SESSIONS },
        seconds,
    };
    let ours = load.run()?;
    service.program.stop()?;
    bench.clear(ground)?;
    part.text(format!(
        "### oidc-provider {}\n\nIntrospection of {} opaque access tokens, drawn anew each time, by the same load \
         generator; its tokens lie in its own memory (a `Map` behind its adapter), one Node.js process. lightsout: \
         as many sessions, on SQLite.",
        version("oidc-provider")?,
        whole(crate::stats::float(SESSIONS))
    ));
    let row = |what: &str, rate: crate::load::Rate| {
        [
            what.to_owned(),
            whole(rate.per_second),
            format!("{} / {}", time(rate.p50), time(rate.p99)),
            digits(rate.per_second / theirs.per_second),
        ]
    };
    part.table(
        ["what", "a second", "p50 / p99", "/ oidc-provider"],
        vec![row("oidc-provider", theirs), row("lightsout", ours)],
    );
    Ok(())
}
