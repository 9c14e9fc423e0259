//! Reading terminations, and re-opening what was given up.

use lightsout_api::{
    ChainHead, Outcome, OutcomePage, OutcomeState, Reference, Skip, SkipReason, SystemProgress, Termination,
    TerminationPage, TerminationState,
};
use serde_json::json;

use super::{Error, body, retried};
use crate::app::App;
use crate::clock::timestamp;
use crate::domain::access::{self, Caller};
use crate::domain::marker::{self, List};
use crate::store::{OutcomeRow, TerminationRow};

/// Reads one termination with its progress.
pub async fn find(app: &App, caller: &Caller, id: &str) -> Result<Termination, Error> {
    let row = find_row(app, caller, id).await?;
    show(app, row).await
}

/// Reads the stored form of a termination that the caller may read. One that the caller may not
/// read does not exist for them.
pub async fn find_row(app: &App, caller: &Caller, id: &str) -> Result<TerminationRow, Error> {
    let unknown = || Error::not_found("termination_id", id);
    let row = app.db.find_termination(&caller.enterprise_id.0, id).await?.ok_or_else(unknown)?;
    let asked_by = row.asked_by.as_str().into();
    let on_behalf_of = row.as_user.as_deref().map(lightsout_api::UserId::from);
    let mine = access::may_read_termination(caller, &asked_by).is_ok()
        || on_behalf_of.is_some_and(|id| access::may_read_termination(caller, &id).is_ok());
    if mine { Ok(row) } else { Err(unknown()) }
}

/// Lists terminations, newest first: all of the enterprise for those who may read them, otherwise
/// the caller's own.
pub async fn list(
    app: &App,
    caller: &Caller,
    marker: Option<&str>,
    limit: i64,
) -> Result<TerminationPage, Error> {
    let nobody = lightsout_api::UserId::from("");
    let own =
        access::may_read_termination(caller, &nobody).is_err().then_some(caller.person.user_id.0.as_str());
    let list = List("terminations", &caller.enterprise_id.0);
    let before = marker.map(|marker| place(list, marker)).transpose()?.unwrap_or((i64::MAX, String::new()));
    let before = (before.0, before.1.as_str());
    let rows = app.db.list_terminations(&caller.enterprise_id.0, own, before, limit + 1).await?;
    let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    let mut entries = Vec::new();
    let mut next_marker = None;
    for row in rows.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
        next_marker = more.then(|| list.marker(&format!("{}.{}", row.created_at, row.termination_id)));
        entries.push(show(app, row).await?);
    }
    Ok(TerminationPage { entries, next_marker })
}

/// Lists outcomes by person and system; `state` keeps one state only.
pub async fn outcomes(
    app: &App,
    caller: &Caller,
    id: &str,
    state: Option<OutcomeState>,
    marker: Option<&str>,
    limit: i64,
) -> Result<OutcomePage, Error> {
    let row = find_row(app, caller, id).await?;
    let list = List("outcomes", id);
    let after = marker.map(|marker| place(list, marker)).transpose()?.unwrap_or((-1, String::new()));
    let after = (after.0, after.1.as_str());
    let state = state.map(|s| json!(s).as_str().unwrap_or_default().to_owned());
    let mut rows = app.db.list_outcomes(&row, after, state.as_deref(), limit + 1).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more);
    let next_marker = last.map(|row| list.marker(&format!("{}.{}", row.ordinal, row.system)));
    Ok(OutcomePage { entries: rows.into_iter().map(outcome).collect(), next_marker })
}

/// Re-opens the outcomes that were given up, or could not be asked for (`unknown_sessions`,
/// `no_subject`), with a new horizon.
///
/// The caller may still end the sessions of each of these people: in a store that does not show when
/// a session began, their present ones end.
pub async fn retry(app: &App, caller: &Caller, id: &str) -> Result<Termination, Error> {
    let row = find_row(app, caller, id).await?;
    retried!(retry_once(app, caller, &row))?;
    find(app, caller, id).await
}

async fn retry_once(app: &App, caller: &Caller, row: &TerminationRow) -> Result<(), Error> {
    let now = app.clock.now_ms();
    let mut tx = app.db.begin().await?;
    tx.lock_termination(&row.termination_id).await?;
    super::terminate::check_retry(app, &mut tx, caller, &row.termination_id).await?;
    let jobs = tx.reopen_termination(&row.termination_id, now, now + app.settings.give_up_after_ms).await?;
    if jobs == 0 {
        return Err(Error::Conflict {
            code: "nothing_to_retry",
            message: "no outcome of this termination is gave_up, unknown_sessions or no_subject; make a new termination to end these people again".to_owned(),
        });
    }
    let source = json!({"type": "termination", "id": row.termination_id});
    let mut event = body::caused(
        caller,
        "SESSION_TERMINATION_RETRIED",
        source,
        json!({"termination_id": row.termination_id}),
    );
    event.termination_id = Some(row.termination_id.clone());
    tx.append_events(&row.enterprise_id, now, &app.random, vec![event]).await?;
    app.commit(tx).await?;
    Ok(())
}

pub(super) async fn show(app: &App, row: TerminationRow) -> Result<Termination, Error> {
    let skipped = app.db.list_skips(&row.termination_id).await?;
    let systems = progress(app, &row).await?;
    let person = |id: &str, login: &Option<String>| Reference {
        kind: "user".to_owned(),
        id: id.to_owned(),
        name: None,
        login: login.clone(),
    };
    Ok(Termination {
        state: state(&row.state),
        asked_by: person(&row.asked_by, &row.asked_by_login),
        as_user: row.as_user.as_deref().map(|id| person(id, &row.as_user_login)),
        cutoff: timestamp(row.cutoff),
        created_at: timestamp(row.created_at),
        finished_at: row.finished_at.map(timestamp),
        people: row.people.unsigned_abs(),
        systems,
        skipped: skipped.into_iter().map(skip).collect(),
        chain_head: row.head_position.zip(row.head_hash).map(|(position, hash)| ChainHead { position, hash }),
        reason: row.reason,
        id: row.termination_id.into(),
    })
}

/// Counts people and sessions by system. Who has no outcome yet is waiting.
async fn progress(app: &App, row: &TerminationRow) -> Result<Vec<SystemProgress>, Error> {
    let counts = app.db.count_outcomes(&row.termination_id).await?;
    let systems = row.systems().into_iter().map(|system| {
        let mut progress = empty(&system);
        let mut seen = 0;
        for (_, state, people, ended, resurrected, again) in counts.iter().filter(|c| c.0 == system) {
            seen += people;
            *slot(&mut progress, outcome_state(state)) += people.unsigned_abs();
            progress.sessions_ended += ended.unsigned_abs();
            progress.resurrected += resurrected.unsigned_abs();
            progress.ended_again += again.unsigned_abs();
        }
        progress.waiting += (row.people - seen).unsigned_abs();
        progress
    });
    Ok(systems.collect())
}

fn empty(system: &str) -> SystemProgress {
    SystemProgress {
        system: system.to_owned(),
        waiting: 0,
        unreachable: 0,
        ended: 0,
        nothing_found: 0,
        ends_by: 0,
        delivered_not_verified: 0,
        unknown_sessions: 0,
        no_subject: 0,
        gave_up: 0,
        sessions_ended: 0,
        resurrected: 0,
        ended_again: 0,
    }
}

fn slot(progress: &mut SystemProgress, state: OutcomeState) -> &mut u64 {
    match state {
        OutcomeState::Waiting => &mut progress.waiting,
        OutcomeState::Unreachable => &mut progress.unreachable,
        OutcomeState::Ended => &mut progress.ended,
        OutcomeState::NothingFound => &mut progress.nothing_found,
        OutcomeState::EndsBy => &mut progress.ends_by,
        OutcomeState::DeliveredNotVerified => &mut progress.delivered_not_verified,
        OutcomeState::UnknownSessions => &mut progress.unknown_sessions,
        OutcomeState::NoSubject => &mut progress.no_subject,
        OutcomeState::GaveUp => &mut progress.gave_up,
    }
}

pub(super) fn outcome(row: OutcomeRow) -> Outcome {
    Outcome {
        user: Reference { kind: "user".to_owned(), id: row.user_id, name: None, login: row.login },
        system: row.system,
        outcome: row.state.as_deref().map_or(OutcomeState::Waiting, outcome_state),
        sessions_ended: row.sessions_ended.unwrap_or(0).unsigned_abs(),
        resurrected: row.resurrected.unwrap_or(0).unsigned_abs(),
        ended_again: row.ended_again.unwrap_or(0).unsigned_abs(),
        ends_by: row.ends_by.map(timestamp),
        verified_at: row.verified_at.map(timestamp),
        detail: row.detail,
    }
}

fn skip((kind, value, reason): (String, String, String)) -> Skip {
    let reason = if reason == "unknown" { SkipReason::Unknown } else { SkipReason::NotPermitted };
    Skip { kind, value, reason }
}

/// The state that a stored word means.
pub fn state(stored: &str) -> TerminationState {
    serde_json::from_value(json!(stored)).expect("only states are stored")
}

fn outcome_state(stored: &str) -> OutcomeState {
    serde_json::from_value(json!(stored)).expect("only states are stored")
}

/// The place that a marker names: a number and a text, joined by a dot.
fn place(list: List<'_>, marker: &str) -> Result<(i64, String), Error> {
    let key = list.key(marker);
    let place = key.as_deref().and_then(|key| {
        let (number, text) = key.split_once('.')?;
        Some((number.parse().ok()?, text.to_owned()))
    });
    place.ok_or_else(|| Error::parameter("marker", marker::INVALID))
}
