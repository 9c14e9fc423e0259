//! What the service holds while nobody asks it anything.

use std::time::Duration;

use crate::Bench;
use crate::load::start_bare;
use crate::report::{Goal, Part, Row};
use crate::start::pause;
use crate::stats::{digits, mib};
use crate::store::Kind;

const MOST: f64 = 40.0 * 1024.0 * 1024.0;

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let wait = Duration::from_secs(bench.size(2, 10));
    part.text(format!(
        "Resident memory (VmRSS) {} s after the start, with one enterprise and no session. Bare: the handler that \
         introspection is measured beside, just started: HTTP and runtime alone.",
        wait.as_secs()
    ));
    let (bare, _) = start_bare()?;
    let mut rows = Vec::new();
    for kind in Kind::BOTH {
        let ground = bench.set_up("rest", kind)?;
        let service = ground.setup.serve()?;
        pause(wait);
        let (ours, theirs) = (service.program.resident()?, bare.resident()?);
        service.program.stop()?;
        bench.clear(ground)?;
        rows.push([kind.name().to_owned(), mib(ours), mib(theirs), digits(ours / theirs)]);
        part.goal(Goal {
            row: Row::Rest,
            what: kind.name().to_owned(),
            target: mib(MOST),
            measured: mib(ours),
            bare: format!("bare handler {}", mib(theirs)),
            share: ours / MOST,
        });
    }
    part.table(["database", "service", "bare handler", "ratio"], rows);
    bare.stop()
}
