//! One user, one POST, beside one fdatasync and one bare commit, in turns.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::terminate;
use crate::report::{Goal, Part, Row};
use crate::start::pause;
use crate::stats::{Times, digits, ratio, time, timed};
use crate::store::{Kind, Store, login};
use crate::wire::Connection;
use crate::{Bench, Ground};

/// What is allowed besides two fdatasyncs.
const ALLOWANCE: Duration = Duration::from_millis(1);

struct Found {
    accepted: Times,
    done: Times,
    sync: Times,
    commit: Times,
}

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let runs = bench.size(60, 400);
    part.text(format!(
        "One `POST /v1/terminations` for one user with ten sessions, on a connection that is kept: to its 202, \
         which is sent when the termination is on disk, and to the end of its work (rows emptied, looked at again, \
         events written). In turns with it, when its work has ended: a write of 4 KiB and `fdatasync` in a file \
         on the same file system, and a bare `UPDATE` of one row with its commit in the same kind of database \
         (SQLite: WAL, `synchronous=FULL`; PostgreSQL: `synchronous_commit=on`). {runs} rounds each."
    ));
    let mut rows = Vec::new();
    for kind in Kind::BOTH {
        let ground = bench.set_up("one_user", kind)?;
        let found = measure(bench, &ground, runs)?;
        bench.clear(ground)?;
        let row = |what: &str, times: &Times| {
            [
                kind.name().to_owned(),
                what.to_owned(),
                time(times.median()),
                time(times.percentile(99)),
                digits(ratio(times.median(), found.sync.median())),
                digits(ratio(times.median(), found.commit.median())),
            ]
        };
        rows.extend([
            row("POST to 202", &found.accepted),
            row("POST to done", &found.done),
            row("bare: write + fdatasync", &found.sync),
            row("bare: UPDATE + COMMIT", &found.commit),
        ]);
        let target = 2 * found.sync.median() + ALLOWANCE;
        part.goal(Goal {
            row: Row::OneUser,
            what: format!("{}, p50", kind.name()),
            target: format!("2 x fdatasync + 1 ms = {}", time(target)),
            measured: time(found.accepted.median()),
            bare: format!("fdatasync {}", time(found.sync.median())),
            share: ratio(found.accepted.median(), target),
        });
    }
    part.table(["database", "what", "p50", "p99", "p50 / fdatasync", "p50 / bare commit"], rows);
    Ok(())
}

fn measure(bench: &Bench, ground: &Ground, runs: usize) -> anyhow::Result<Found> {
    ground.store.fill_people(&ground.setup.enterprise, 0..runs)?;
    ground.store.fill_sessions(&ground.setup.client_id, 0..runs)?;
    ground.store.settle()?;
    let bare = bare_store(bench, ground)?;
    let service = ground.setup.serve()?;
    let mut connection = Connection::open(service.address, &ground.setup.token(service.address)?)?;
    let mut file = SyncedFile::new(&ground.folder)?;
    let (mut accepted, mut done) = (Times::default(), Times::default());
    let (mut sync, mut commit) = (Times::default(), Times::default());
    for n in 0..runs {
        let termination = terminate(&mut connection, &json!({"logins": [login(n)]}))?;
        accepted.push(termination.took);
        done.push(termination.done(&ground.store)?);
        // What the workers do after that is not in the way of the bare ones.
        pause(Duration::from_millis(5));
        sync.push(file.sync()?);
        commit.push(timed(|| bare.script("UPDATE bare SET n = n + 1"))?.1);
    }
    service.program.stop()?;
    Ok(Found { accepted, done, sync, commit })
}

/// A table with one row in a database of the same kind.
fn bare_store(bench: &Bench, ground: &Ground) -> anyhow::Result<Store> {
    let store = match ground.kind {
        Kind::Sqlite => Store::open(&format!("sqlite:{}", ground.folder.join("bare.db").display()))?,
        Kind::Postgres => {
            bench.postgres().drop("bare")?;
            Store::open(&bench.postgres().create("bare")?)?
        }
    };
    store.script("CREATE TABLE bare (n BIGINT); INSERT INTO bare VALUES (0)")?;
    Ok(store)
}

/// A file that is written on and synced, a block at a time.
pub(super) struct SyncedFile(File);

impl SyncedFile {
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self(File::create(folder.join("fdatasync"))?))
    }

    pub(super) fn sync(&mut self) -> anyhow::Result<Duration> {
        let ((), took) = timed(|| {
            self.0.write_all(&[0; 4096])?;
            Ok(self.0.sync_data()?)
        })?;
        Ok(took)
    }
}
