//! Whether the event chain holds, for people who look again and again: what was verified is kept in
//! memory, and each look goes on from there.
//!
//! The log is that of every enterprise of this service; nothing of an event leaves here but its position
//! and hash.

use super::Error;
use crate::app::{App, ChainLook, Stretch};
use crate::domain::access::{self, Caller};
use crate::store::{BrokenLink, ChainEnds, Head, follow_chain};

/// How long one look goes on; what is left is for the next.
const LOOK_MS: i64 = 5_000;
/// Events read at once.
const BATCH: i64 = 1_000;

/// How far the chain was checked, without checking more.
pub fn last_look(app: &App, caller: &Caller) -> Result<ChainLook, Error> {
    access::may_read_events(caller)?;
    Ok(app.looks.last_chain())
}

/// Checks the chain onward from where the last look ended, for some seconds at most. `anew`: from its
/// beginning. What this node verified before is compared all the same, so a log that was rewritten as a
/// whole shows.
pub async fn look(app: &App, caller: &Caller, anew: bool) -> Result<ChainLook, Error> {
    access::may_read_events(caller)?;
    let _one_at_a_time = app.looks.checking_chain.lock().await;
    let look = check(app, app.looks.last_chain(), anew).await?;
    app.looks.keep_chain(look.clone());
    Ok(look)
}

async fn check(app: &App, mut look: ChainLook, anew: bool) -> Result<ChainLook, Error> {
    let now = || app.clock.now_ms();
    let Some(ends) = app.db.chain_ends().await? else {
        look.broken = Some((BrokenLink::Headless, now()));
        return Ok(look);
    };
    look.head = ends.position;
    if let Some(broken) = is_rewritten(app, &look, &ends).await? {
        look.broken = Some((broken, now()));
        return Ok(look);
    }
    let is_pruned = look.verified.as_ref().is_some_and(|head| head.position < ends.pruned_position);
    let begins = anew || is_pruned || look.whole.is_none();
    let mut at = match look.verified.take() {
        Some(head) if !begins => head,
        _ => Head { position: ends.pruned_position, chain_hash: ends.pruned_hash.clone() },
    };
    let onward = !begins && !look.unfinished;
    if begins {
        (look.whole, look.since) = (None, None);
    }
    let (begun, begun_at, first) = (app.clock.elapsed_ms(), now(), at.position + 1);
    let mut broken = None;
    while at.position < ends.position && broken.is_none() && app.clock.elapsed_ms() - begun < LOOK_MS {
        let rows = app.db.list_chain(at.position, ends.position, BATCH).await?;
        if rows.is_empty() {
            broken = Some(BrokenLink::CutOff { found: at.position, head: ends.position });
        }
        for row in rows {
            if let Err(found) = follow_chain(&row, &at, None) {
                broken = Some(found);
                break;
            }
            at = Head { position: row.position, chain_hash: row.chain_hash };
        }
    }
    if broken.is_none() && at.position == ends.position && at.chain_hash != ends.chain_hash {
        broken = Some(BrokenLink::Changed(at.position));
    }
    let part = Stretch { first, last: at.position, begun_at, ended_at: now() };
    let into = if onward { &mut look.since } else { &mut look.whole };
    *into = Some(match *into {
        Some(before) => Stretch { last: part.last, ended_at: part.ended_at, ..before },
        None => part,
    });
    look.unfinished = !onward && broken.is_none() && at.position < ends.position;
    look.broken = broken.map(|broken| (broken, now()));
    look.verified = Some(at);
    Ok(look)
}

/// Whether the log still holds what this node verified.
async fn is_rewritten(app: &App, look: &ChainLook, ends: &ChainEnds) -> Result<Option<BrokenLink>, Error> {
    let Some(kept) = look.verified.as_ref().filter(|kept| kept.position >= ends.pruned_position) else {
        return Ok(None);
    };
    if kept.position == ends.pruned_position {
        let same = kept.chain_hash == ends.pruned_hash;
        return Ok((!same).then_some(BrokenLink::Rewritten(kept.position)));
    }
    if kept.position > ends.position {
        return Ok(Some(BrokenLink::CutOff { found: ends.position, head: kept.position }));
    }
    let row = app.db.list_chain(kept.position - 1, kept.position, 1).await?.pop();
    Ok(match row {
        None => Some(BrokenLink::Missing(kept.position)),
        Some(row) if row.chain_hash != kept.chain_hash => Some(BrokenLink::Rewritten(kept.position)),
        Some(_) => None,
    })
}
