//! A group of 100,000 people with ten sessions each, beside a bare DELETE of the same rows.

use std::time::Duration;

use serde_json::json;

use super::{all_are, terminate};
use crate::report::{Goal, Part, Row};
use crate::stats::{digits, float, ratio, time, whole};
use crate::store::{Kind, SESSIONS_EACH, group_id, user_id};
use crate::wire::Connection;
use crate::{Bench, Ground};

/// People whose rows the registry empties in one transaction.
const CHUNK: usize = 250;
const SAMPLE: usize = 9_973;
/// What rows gone may cost, by a bare DELETE.
const OF_BARE: f64 = 1.3;

struct Found {
    refused: Duration,
    gone: Duration,
    statement: Duration,
    chunks: Duration,
    emptied: Duration,
}

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let people = bench.size(5_000, 100_000);
    part.text(format!(
        "One `POST /v1/terminations` for a group of {} people with {SESSIONS_EACH} registered sessions each. Refused: \
         to the 202, after which a sample of sessions is no longer active. Gone: until the termination's row says \
         that every outcome is final: every session's row is emptied of what tells of the person and marked, was \
         looked for again, and every outcome and event is written. (The row stays until its session would have \
         expired, so that the id stays refused.) Bare: a `DELETE` of the same rows in a copy of the table, with its \
         indexes, in the same database, service stopped: as one statement, and in transactions of {} people, as the \
         service works; and the `UPDATE` that empties them, in the same transactions.",
        whole(float(people)),
        whole(float(CHUNK))
    ));
    let mut rows = Vec::new();
    for kind in Kind::BOTH {
        let ground = bench.set_up("group", kind)?;
        let found = measure(&ground, people)?;
        bench.clear(ground)?;
        let name = kind.name();
        let allowed = Duration::from_secs(if kind == Kind::Sqlite { 1 } else { 3 });
        for (what, took) in [
            ("202, all refused", found.refused),
            ("all rows emptied, verified", found.gone),
            ("bare: DELETE, one statement", found.statement),
            ("bare: DELETE in chunks", found.chunks),
            ("bare: UPDATE in chunks", found.emptied),
        ] {
            let of = |bare| digits(ratio(took, bare));
            rows.push([name.to_owned(), what.to_owned(), time(took), of(found.statement), of(found.chunks)]);
        }
        part.goal(Goal {
            row: Row::Group,
            what: format!("{name}, 202 and refused"),
            target: time(allowed),
            measured: time(found.refused),
            bare: "none".to_owned(),
            share: ratio(found.refused, allowed),
        });
        for (what, bare) in [("one statement", found.statement), ("in chunks", found.chunks)] {
            part.goal(Goal {
                row: Row::Group,
                what: format!("{name}, gone against a DELETE {what}"),
                target: format!("{OF_BARE} x bare = {}", time(bare.mul_f64(OF_BARE))),
                measured: time(found.gone),
                bare: time(bare),
                share: ratio(found.gone, bare) / OF_BARE,
            });
        }
    }
    part.table(["database", "what", "time", "/ bare statement", "/ bare chunks"], rows);
    Ok(())
}

fn measure(ground: &Ground, people: usize) -> anyhow::Result<Found> {
    let (store, setup) = (&ground.store, &ground.setup);
    store.fill_people(&setup.enterprise, 0..people)?;
    store.fill_group(&setup.enterprise, 0, 0..people)?;
    store.fill_sessions(&setup.client_id, 0..people)?;
    store.settle()?;
    let members = format!("SELECT user_id FROM memberships WHERE group_id = '{}'", group_id(0));
    store.copy_sessions(&members)?;
    let statement = store.bare_delete(0..people, people)?;
    store.copy_sessions(&members)?;
    let chunks = store.bare_delete(0..people, CHUNK)?;
    store.copy_sessions(&members)?;
    let emptied = store.bare_empty(0..people, CHUNK)?;
    store.script("DROP TABLE bare_sessions")?;
    store.settle()?;
    let service = setup.serve()?;
    let mut connection = Connection::open(service.address, &setup.token(service.address)?)?;
    let sample = || (0..people * SESSIONS_EACH).step_by(SAMPLE);
    all_are(&mut connection, true, sample())?;
    let accepted = terminate(&mut connection, &json!({"group_ids": [group_id(0)]}))?;
    all_are(&mut connection, false, sample())?;
    let gone = accepted.done(store)?;
    let left = store.number(&format!(
        "SELECT count(*) FROM sessions WHERE user_id <= '{}' AND ended_at IS NULL",
        user_id(people)
    ))?;
    anyhow::ensure!(left == Some(0), "no row is left, not {left:?}");
    accepted.check(&mut connection, people * SESSIONS_EACH)?;
    service.program.stop()?;
    Ok(Found { refused: accepted.took, gone, statement, chunks, emptied })
}
