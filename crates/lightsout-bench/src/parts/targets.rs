//! How the cost grows with the number of targets of one request.

use serde_json::json;

use super::terminate;
use crate::plot::{Chart, Series, Unit};
use crate::report::Part;
use crate::stats::{Times, float, time, whole};
use crate::store::{Kind, SESSIONS_EACH, group_id};
use crate::wire::Connection;
use crate::{Bench, Ground};

/// People of a size are ended in at most so many rounds.
const ROUNDS_MAX: usize = 20;

struct Point {
    people: usize,
    rounds: usize,
    accepted: Times,
    done: Times,
}

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let largest: usize = bench.size(10_000, 100_000);
    part.text(format!(
        "One `POST /v1/terminations` for a group, {SESSIONS_EACH} registered sessions a person, on a store of all \
         these people: to its 202, and until its row says that every outcome is final. Medians of up to {ROUNDS_MAX} \
         rounds with people of their own; the largest sizes once."
    ));
    let (mut rows, mut series) = (Vec::new(), Vec::new());
    for kind in Kind::BOTH {
        let ground = bench.set_up("targets", kind)?;
        let points = measure(&ground, largest)?;
        bench.clear(ground)?;
        for point in &points {
            let each = point.done.median() / u32::try_from(point.people)?;
            rows.push([
                kind.name().to_owned(),
                whole(float(point.people)),
                point.rounds.to_string(),
                time(point.accepted.median()),
                time(point.done.median()),
                time(each),
            ]);
        }
        let line = |what: &str, times: fn(&Point) -> &Times| Series {
            name: format!("{}, POST to {what}", kind.name()),
            points: points.iter().map(|p| (float(p.people), times(p).median().as_secs_f64())).collect(),
            bare: false,
        };
        series.extend([line("202", |p| &p.accepted), line("done", |p| &p.done)]);
    }
    part.table(["database", "targets", "rounds", "POST to 202", "POST to done", "done, per target"], rows);
    part.plot(
        "targets.svg",
        Chart {
            title: "One request, by its number of targets".to_owned(),
            x: ("people whose sessions end (ten each)".to_owned(), Unit::Count),
            y: ("median time".to_owned(), Unit::Time),
            series,
        },
    );
    Ok(())
}

fn measure(ground: &Ground, largest: usize) -> anyhow::Result<Vec<Point>> {
    let (store, setup) = (&ground.store, &ground.setup);
    let sizes: Vec<usize> =
        (0..=5).map(|power| 10_usize.pow(power)).filter(|size| *size <= largest).collect();
    let rounds = |size: usize| (largest / 10 / size).clamp(1, ROUNDS_MAX);
    let people = sizes.iter().map(|size| size * rounds(*size)).sum();
    store.fill_people(&setup.enterprise, 0..people)?;
    store.fill_sessions(&setup.client_id, 0..people)?;
    let (mut groups, mut next) = (Vec::new(), 0);
    for size in sizes {
        for _ in 0..rounds(size) {
            store.fill_group(&setup.enterprise, groups.len(), next..next + size)?;
            next += size;
            groups.push(size);
        }
    }
    store.settle()?;
    let service = setup.serve()?;
    let mut connection = Connection::open(service.address, &setup.token(service.address)?)?;
    let mut points: Vec<Point> = Vec::new();
    for (group, size) in groups.into_iter().enumerate() {
        let accepted = terminate(&mut connection, &json!({"group_ids": [group_id(group)]}))?;
        let done = accepted.done(store)?;
        accepted.check(&mut connection, size * SESSIONS_EACH)?;
        if points.last().is_none_or(|point| point.people != size) {
            points.push(Point {
                people: size,
                rounds: 0,
                accepted: Times::default(),
                done: Times::default(),
            });
        }
        let point = points.last_mut().expect("one was pushed");
        point.rounds += 1;
        point.accepted.push(accepted.took);
        point.done.push(done);
    }
    service.program.stop()?;
    Ok(points)
}
