//! One POST for 1,000 users of ten sessions: refused at once, then gone and verified.

use std::time::Duration;

use serde_json::json;

use super::{all_are, terminate};
use crate::report::{Goal, Part, Row};
use crate::stats::{Times, digits, ratio, time};
use crate::store::{Kind, SESSIONS_EACH, login, user_id};
use crate::wire::Connection;
use crate::{Bench, Ground};

pub(super) const PEOPLE: usize = 1_000;
/// Every so manieth session is asked about.
const SAMPLE: usize = 37;
const REFUSED: Duration = Duration::from_millis(20);
const GONE: Duration = Duration::from_millis(200);

pub(super) struct Found {
    pub(super) refused: Times,
    pub(super) gone: Times,
    bare: Times,
}

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let rounds = bench.size(2, 7);
    part.text(format!(
        "One `POST /v1/terminations` with {PEOPLE} logins, ten registered sessions each. Refused: to the 202; a sample \
         of {} sessions, asked about before, is active, and asked about right after the 202, is not. Gone: to the \
         done event on the stream of the termination: all rows emptied, looked at again, outcomes and events \
         written (the registry's quiet time is 0). Bare: one `DELETE` of the same rows in a copy of the table in \
         the same database, in one transaction. Medians of {rounds} rounds, each with people of its own.",
        PEOPLE * SESSIONS_EACH / SAMPLE + 1
    ));
    let mut rows = Vec::new();
    for kind in Kind::BOTH {
        let ground = bench.set_up("thousand", kind)?;
        let found = measure(&ground, rounds)?;
        bench.clear(ground)?;
        let name = kind.name();
        let bare = found.bare.median();
        for (what, times) in [
            ("all refused", &found.refused),
            ("all rows emptied, verified", &found.gone),
            ("bare: DELETE", &found.bare),
        ] {
            let of_bare = digits(ratio(times.median(), bare));
            rows.push([name.to_owned(), what.to_owned(), time(times.median()), time(times.max()), of_bare]);
        }
        for (what, times, target) in
            [("all refused", &found.refused, REFUSED), ("gone, verified", &found.gone, GONE)]
        {
            part.goal(Goal {
                row: Row::ThousandUsers,
                what: format!("{name}, {what}"),
                target: time(target),
                measured: time(times.median()),
                bare: format!("DELETE {}", time(bare)),
                share: ratio(times.median(), target),
            });
        }
    }
    part.table(["database", "what", "median", "slowest", "median / bare"], rows);
    Ok(())
}

pub(super) fn measure(ground: &Ground, rounds: usize) -> anyhow::Result<Found> {
    let people = 0..rounds * PEOPLE;
    ground.store.fill_people(&ground.setup.enterprise, people.clone())?;
    ground.store.fill_sessions(&ground.setup.client_id, people.clone())?;
    ground.store.settle()?;
    let mut found = Found { refused: Times::default(), gone: Times::default(), bare: Times::default() };
    for round in 0..rounds {
        let people = round * PEOPLE..(round + 1) * PEOPLE;
        let ids: Vec<String> = people.clone().map(|n| format!("'{}'", user_id(n))).collect();
        ground.store.copy_sessions(&ids.join(", "))?;
        found.bare.push(ground.store.bare_delete(people, PEOPLE)?);
    }
    let service = ground.setup.serve()?;
    let token = ground.setup.token(service.address)?;
    let mut connection = Connection::open(service.address, &token)?;
    for round in 0..rounds {
        let people = round * PEOPLE..(round + 1) * PEOPLE;
        let sample = || (people.start * SESSIONS_EACH..people.end * SESSIONS_EACH).step_by(SAMPLE);
        all_are(&mut connection, true, sample())?;
        let logins: Vec<String> = people.clone().map(login).collect();
        let accepted = terminate(&mut connection, &json!({"logins": logins}))?;
        // The stream is followed beside the sample, so that neither waits for the other.
        let gone = std::thread::scope(|scope| {
            let follower = scope.spawn(|| accepted.followed(service.address, &token));
            all_are(&mut connection, false, sample())?;
            follower.join().expect("the follower does not panic")
        })?;
        accepted.check(&mut connection, PEOPLE * SESSIONS_EACH)?;
        found.refused.push(accepted.took);
        found.gone.push(gone);
    }
    service.program.stop()?;
    Ok(found)
}
