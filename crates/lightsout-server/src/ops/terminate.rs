//! The operation that everything else is for: end every session of these people.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use lightsout_api::{CreateTermination, Skip, SkipReason, TerminationId};
use serde_json::json;

use super::{Error, body, retried};
use crate::app::App;
use crate::connector::Target;
use crate::domain::access::{self, Caller, Permissions};
use crate::domain::fold::fold;
use crate::random::sha256;
use crate::store::{Chosen, DbError, NewEvent, NewTermination, Tx};

/// The most entries that one request may list. A group's size is not limited.
pub const ENTRIES_MAX: usize = 10_000;
/// The longest reason, in characters.
pub const REASON_MAX: usize = 500;
/// The code of a request whose people are not as many as were confirmed.
pub const PEOPLE_CHANGED: &str = "people_changed";

/// The people of a request, and the entries that were left out.
pub(super) struct Resolved {
    pub(super) chosen: Chosen,
    pub(super) includes_manager: bool,
    pub(super) skips: Vec<Skip>,
    /// Why entries were left out that are not permitted, each reason once.
    pub(super) refusals: Vec<access::Denied>,
}

/// What the caller administers, asked for once before any look-up of targets.
pub(super) struct Administered(Vec<String>);

/// Accepts a termination: resolves, checks, and writes it in one transaction.
///
/// When this returns, the registered sessions of these people are refused already, and jobs for
/// every system are durable. The same `idempotency_key` with the same request returns the same
/// termination. Run it in a task that nobody cancels.
pub async fn request(
    app: &App,
    caller: &Caller,
    request: &CreateTermination,
    idempotency_key: Option<&str>,
) -> Result<TerminationId, Error> {
    request_confirmed(app, caller, request, idempotency_key, None).await
}

/// The same for a number of people that somebody has seen and confirmed: where it is another by now,
/// nothing is ended ([`PEOPLE_CHANGED`]).
pub async fn request_confirmed(
    app: &App,
    caller: &Caller,
    request: &CreateTermination,
    idempotency_key: Option<&str>,
    people: Option<u64>,
) -> Result<TerminationId, Error> {
    let administered = check(app, caller, request).await?;
    let key = idempotency_key.map(|key| Key::new(caller, key, request));
    if let Some(id) = known(app, key.as_ref()).await? {
        return Ok(id);
    }
    match retried!(accept_once(app, caller, request, &administered, key.as_ref(), people)) {
        Err(Error::Db(DbError::Duplicate)) if key.is_some() => {
            // The same request committed first.
            known(app, key.as_ref()).await?.ok_or(Error::Db(DbError::Conflict))
        }
        Ok(id) => Ok(id),
        Err(error) => Err(error),
    }
}

/// Ends the sessions of one user inside a transaction that deletes or deactivates that user; the
/// caller has been checked for that. Returns the events to append.
pub(super) async fn end_user(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    user_id: &str,
    reason: &str,
) -> Result<Vec<NewEvent>, Error> {
    let chosen = Chosen { user_ids: vec![user_id.to_owned()], ..Chosen::default() };
    let resolved = Resolved { chosen, includes_manager: false, skips: Vec::new(), refusals: Vec::new() };
    Ok(write(app, tx, caller, Some(reason.to_owned()), resolved).await?.events)
}

/// Checks that the caller may still end the sessions of everybody whom a retry would try again.
pub(super) async fn check_retry(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    termination_id: &str,
) -> Result<(), Error> {
    let administered = administered(app, caller).await?;
    access::may_end_anyone(caller, false, false, !administered.is_empty())?;
    if caller.needs_scope(access::MANAGE_USERS).is_err() {
        caller.needs_scope(access::MANAGE_GROUPS)?;
    }
    let reach: HashSet<String> =
        tx.list_targets_by_group(&administered).await?.into_iter().map(|p| p.user_id).collect();
    for person in tx.list_given_up(termination_id).await? {
        let myself = person.user_id == caller.person.user_id.0;
        access::may_end(caller.standing, person.role(), myself, reach.contains(&person.user_id))?;
    }
    Ok(())
}

/// The groups whose members' accounts a plain user may edit; others need none.
pub(super) async fn administered(app: &App, caller: &Caller) -> Result<Vec<String>, Error> {
    if caller.standing != access::Standing::User {
        return Ok(Vec::new());
    }
    let groups = app.db.list_administered(&caller.person.user_id.0).await?;
    let editable = |(_, permissions): &(String, Permissions)| permissions.can_edit_accounts();
    Ok(groups.into_iter().filter(editable).map(|(group, _)| group).collect())
}

/// Checks the request's shape and whether the caller may end anybody.
pub(super) async fn check(
    app: &App,
    caller: &Caller,
    request: &CreateTermination,
) -> Result<Administered, Error> {
    let users = !(request.user_ids.is_empty() && request.logins.is_empty());
    let groups = !request.group_ids.is_empty();
    let administered = administered(app, caller).await?;
    access::may_end_anyone(caller, users, groups, !administered.is_empty())?;
    if !users && !groups {
        return Err(Error::invalid("name at least one user or group: user_ids, logins or group_ids"));
    }
    if request.user_ids.len() + request.logins.len() + request.group_ids.len() > ENTRIES_MAX {
        return Err(Error::invalid(format!(
            "at most {ENTRIES_MAX} entries in one request; send several requests, or name a group"
        )));
    }
    if request.reason.as_ref().is_some_and(|r| r.chars().count() > REASON_MAX) {
        return Err(Error::invalid(format!("reason is limited to {REASON_MAX} characters")));
    }
    Ok(Administered(administered))
}

async fn accept_once(
    app: &App,
    caller: &Caller,
    request: &CreateTermination,
    administered: &Administered,
    key: Option<&Key>,
    confirmed: Option<u64>,
) -> Result<TerminationId, Error> {
    let mut tx = app.db.begin().await?;
    let resolved = resolve(&mut tx, caller, request, administered).await?;
    let Written { id, people, events } =
        write(app, &mut tx, caller, request.reason.clone(), resolved).await?;
    if confirmed.is_some_and(|confirmed| confirmed != people.unsigned_abs()) {
        let message = "the number of people has changed since it was confirmed; nothing was ended";
        return Err(Error::Conflict { code: PEOPLE_CHANGED, message: message.to_owned() });
    }
    let now = app.clock.now_ms();
    if let Some(key) = key {
        tx.insert_idempotency_key(&key.key_hash, &key.request_hash, &id, now).await?;
    }
    let head = tx.append_events(&caller.enterprise_id.0, now, &app.random, events).await?;
    if people == 0 {
        tx.finish_termination(&id, "done", now, &head).await?;
    }
    app.commit(tx).await?;
    tracing::info!(termination_id = %id, people, "termination accepted");
    Ok(TerminationId(id))
}

/// A termination in an open transaction, and the events to append.
struct Written {
    id: String,
    people: i64,
    events: Vec<NewEvent>,
}

/// Writes a termination and raises the barriers.
async fn write(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    reason: Option<String>,
    Resolved { chosen, skips, .. }: Resolved,
) -> Result<Written, Error> {
    let now = app.clock.now_ms();
    let id = app.random.id("t_");
    let person = |p: &access::Person| (p.user_id.0.clone(), p.login.clone());
    let new = NewTermination {
        termination_id: id.clone(),
        enterprise_id: caller.enterprise_id.0.clone(),
        asked_by: person(caller.asked_by()),
        as_user: caller.sent_by.is_some().then(|| person(&caller.person)),
        reason,
        cutoff: now,
        give_up_at: now + app.settings.give_up_after_ms,
        chosen,
        skips: skips
            .iter()
            .map(|s| (s.kind.clone(), s.value.clone(), skip_reason(s.reason).to_owned()))
            .collect(),
        systems: app
            .systems_of(&caller.enterprise_id.0)
            .map(|(name, system)| (name.clone(), system.connector.capabilities().targets_per_job))
            .collect(),
    };
    let people = tx.insert_termination(&new).await?;
    tx.raise_barriers(&new.enterprise_id, &id, now).await?;
    let source = json!({"type": "termination", "id": id});
    let details =
        json!({"termination_id": id, "people": people, "reason": new.reason, "skipped": skips.len()});
    let mut requested = body::caused(caller, "SESSION_TERMINATION_REQUESTED", source.clone(), details);
    requested.termination_id = Some(id.clone());
    let mut events = vec![requested];
    if people == 0 {
        events.push(body::own(
            "SESSION_TERMINATION_DONE",
            &id,
            source,
            json!({"termination_id": id, "state": "done", "people": 0}),
        ));
    }
    Ok(Written { id, people, events })
}

/// Looks up the people of a request and checks each: first what is unknown (404), then what is not
/// permitted (403). What the request allows to skip is left out and listed.
pub(super) async fn resolve(
    tx: &mut Tx,
    caller: &Caller,
    request: &CreateTermination,
    administered: &Administered,
) -> Result<Resolved, Error> {
    let enterprise = caller.enterprise_id.0.as_str();
    let ids: Vec<String> = request.user_ids.iter().map(|id| id.0.clone()).collect();
    let logins: Vec<String> = request.logins.iter().map(|login| fold(login)).collect();
    let groups: Vec<String> = request.group_ids.iter().map(|id| id.0.clone()).collect();

    let by_id = tx.list_targets_by_id(enterprise, &ids).await?;
    let by_login = tx.list_targets_by_login(enterprise, &logins).await?;
    let known_groups = tx.list_group_ids(enterprise, &groups).await?;
    let known_ids: HashSet<&str> = by_id.iter().map(|p| p.user_id.as_str()).collect();
    let known_logins: HashSet<&str> = by_login.iter().filter_map(|p| p.login_folded.as_deref()).collect();
    let known_groups: HashSet<&str> = known_groups.iter().map(|(id,)| id.as_str()).collect();
    let mut unknown = Vec::new();
    unknown.extend(missing("user_id", &ids, &ids, &known_ids));
    unknown.extend(missing("login", &request.logins, &logins, &known_logins));
    unknown.extend(missing("group_id", &groups, &groups, &known_groups));
    if !unknown.is_empty() && !request.skip_unknown {
        return Err(Error::NotFound(unknown));
    }
    let (mut skips, mut refusals) = (unknown, Vec::new());
    let plain = caller.standing == access::Standing::User;
    let mut allowed_groups: Vec<String> = Vec::new();
    for group in groups.iter().filter(|g| known_groups.contains(g.as_str())) {
        if !plain || administered.0.contains(group) {
            allowed_groups.push(group.clone());
        } else {
            let denied = access::may_end(caller.standing, lightsout_api::Role::User, false, false)
                .expect_err("not administered");
            refuse(request, (&mut skips, &mut refusals), "group_id", group, denied)?;
        }
    }
    // A group's plain users need no check of their own: who may name the group may end them.
    let managers = tx.list_managers_by_group(&allowed_groups).await?;
    let by_name = !(by_id.is_empty() && by_login.is_empty());
    let reach: HashSet<String> = if plain && by_name {
        tx.list_targets_by_group(&administered.0).await?.into_iter().map(|p| p.user_id).collect()
    } else {
        HashSet::new()
    };
    let (mut user_ids, mut includes_manager) = (BTreeSet::new(), false);
    for person in by_id.into_iter().chain(by_login).chain(managers) {
        let myself = person.user_id == caller.person.user_id.0;
        let role = person.role();
        match access::may_end(caller.standing, role, myself, reach.contains(&person.user_id)) {
            Ok(()) => {
                includes_manager |= role != lightsout_api::Role::User;
                user_ids.insert(person.user_id);
            }
            Err(denied) => {
                refuse(request, (&mut skips, &mut refusals), "user_id", &person.user_id, denied)?;
            }
        }
    }
    let chosen = Chosen { user_ids: user_ids.into_iter().collect(), group_ids: allowed_groups };
    Ok(Resolved { chosen, includes_manager, skips, refusals })
}

/// Refuses the whole request, or leaves one entry out where the request allows that.
fn refuse(
    request: &CreateTermination,
    (skips, refusals): (&mut Vec<Skip>, &mut Vec<access::Denied>),
    kind: &str,
    value: &str,
    denied: access::Denied,
) -> Result<(), Error> {
    if !request.skip_not_permitted {
        return Err(denied.into());
    }
    let skip = Skip { kind: kind.to_owned(), value: value.to_owned(), reason: SkipReason::NotPermitted };
    if !skips.contains(&skip) {
        skips.push(skip);
    }
    if !refusals.contains(&denied) {
        refusals.push(denied);
    }
    Ok(())
}

/// The entries that were asked for and not found, each once; `asked` and `compared` go in step.
fn missing(kind: &str, asked: &[String], compared: &[String], known: &HashSet<&str>) -> Vec<Skip> {
    let mut seen = HashSet::new();
    asked
        .iter()
        .zip(compared)
        .filter(|(_, compared)| !known.contains(compared.as_str()) && seen.insert(compared.as_str()))
        .map(|(asked, _)| Skip { kind: kind.to_owned(), value: asked.clone(), reason: SkipReason::Unknown })
        .collect()
}

pub(super) fn skip_reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Unknown => "unknown",
        SkipReason::NotPermitted => "not_permitted",
    }
}

/// An idempotency key, bound to its caller, and the request that it stands for.
struct Key {
    key_hash: String,
    request_hash: String,
}

impl Key {
    fn new(caller: &Caller, key: &str, request: &CreateTermination) -> Self {
        let request = serde_json::to_string(request).expect("a request is plain data");
        Self {
            key_hash: sha256(format!("{} {} {key}", caller.asked_by().user_id, caller.person.user_id)),
            request_hash: sha256(&request),
        }
    }
}

/// The termination that a key stands for already.
async fn known(app: &App, key: Option<&Key>) -> Result<Option<TerminationId>, Error> {
    let Some(key) = key else { return Ok(None) };
    match app.db.find_idempotency_key(&key.key_hash).await? {
        Some((id, request_hash)) if request_hash == key.request_hash => {
            // Another node may have accepted it, or this one without learning that it had.
            app.hear().await;
            Ok(Some(TerminationId(id)))
        }
        Some(_) => Err(Error::Conflict {
            code: "idempotency_key_reused",
            message: "this Idempotency-Key was sent with another request; use a new key".to_owned(),
        }),
        None => Ok(None),
    }
}

/// Merges targets that a system knows by the same name: one entry each, the latest cutoff wins.
/// Returns the entries, and for each target the number of its entry.
pub(crate) fn merge(targets: Vec<Target>) -> (Vec<Target>, Vec<usize>) {
    let mut merged: Vec<Target> = Vec::with_capacity(targets.len());
    let mut by_subject: HashMap<String, usize> = HashMap::with_capacity(targets.len());
    let places = targets
        .into_iter()
        .map(|target| {
            let place = *by_subject.entry(target.subject.clone()).or_insert(merged.len());
            match merged.get_mut(place) {
                Some(entry) => {
                    entry.cutoff = entry.cutoff.max(target.cutoff);
                    entry.asked_at = entry.asked_at.max(target.asked_at);
                    // Where one of them may end every key, so may the entry.
                    entry.only = entry.only.take().zip(target.only).map(|(a, b)| Arc::new(&*a | &*b));
                }
                None => merged.push(target),
            }
            place
        })
        .collect();
    (merged, places)
}
