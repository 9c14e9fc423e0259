//! Ending at Box, which accepts and says no more.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, ensure};
use futures_util::{StreamExt, stream};
use lightsout_api::{
    Event, PostGroupsTerminateSessionsRequest, PostUsersTerminateSessionsRequest, SessionTerminationMessage,
};
use lightsout_client::{Client, Error, Finding, Part, Parts, SessionTerminationManager};
use serde_json::json;

use crate::confirm::confirm;
use crate::directory::find_login;
use crate::events::line;
use crate::exit::{self, Unknown, Usage};
use crate::interrupt;
use crate::output::{one_line, say};
use crate::report::{counted, people, show, verdict};
use crate::targets::Targets;
use crate::terminate::{AGAIN, How};

/// How long Box's admin events are watched.
const PATIENCE: Duration = Duration::from_mins(1);
/// What an interrupt says once the request may be on its way.
const SENT: &str = "Box may have accepted it, and then it goes on";
/// How many look-ups are under way at once.
const LOOKUPS: usize = 4;

/// Ends users at Box.
pub(crate) async fn end_users(how: &How, client: &Client, targets: Targets) -> anyhow::Result<ExitCode> {
    refuse_what_box_lacks(how)?;
    let Targets { mut ids, mut logins, .. } = targets;
    let mut unknown = Vec::new();
    if how.dry_run || how.skip_unknown {
        ids = known_at_box(ids, &mut unknown, |id| async move { Ok(client.user(&id).await.map(drop)?) })
            .await?;
        logins =
            known_at_box(
                logins,
                &mut unknown,
                |login| async move { find_login(client, &login).await.map(drop) },
            )
            .await?;
    }
    let count = (ids.len() + logins.len()) as u64;
    if how.dry_run {
        return preview(how, count, &unknown);
    }
    for name in &unknown {
        eprintln!("left out     {name}: not known at Box");
    }
    ensure!(count > 0, Unknown("none of them is known at Box, so nothing was ended".to_owned()));
    ensure_one_request(how, count)?;
    confirm(count, &[], how.yes)?;
    interrupt::says(SENT);
    let manager = SessionTerminationManager::new(client.clone());
    let body = PostUsersTerminateSessionsRequest { user_ids: Some(ids), user_logins: Some(logins) };
    let code = if how.follow {
        found(how, manager.terminate_users_and_wait(body, PATIENCE).await?)
    } else {
        accepted(how, manager.terminate_users_in_parts(body, Parts::default()).await)?
    };
    Ok(if unknown.is_empty() { code } else { exit::PARTLY_FAILED.into() })
}

/// Ends the members of groups at Box.
pub(crate) async fn end_groups(how: &How, client: &Client, mut ids: Vec<String>) -> anyhow::Result<ExitCode> {
    refuse_what_box_lacks(how)?;
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    ensure!(
        !how.skip_unknown,
        Usage("a group is named one by one: leave an unknown one out yourself".to_owned())
    );
    ensure_one_request(how, ids.len() as u64)?;
    if how.dry_run || !how.yes {
        let mut members = 0;
        for id in &ids {
            members += match client.group_memberships(id, 0, 1).await?.total_count {
                Some(count) => count,
                None => client.all_group_memberships(id).collect().await?.len() as u64,
            };
        }
        if how.dry_run {
            return preview(how, members, &[]);
        }
        confirm(members, &[], how.yes)?;
    }
    interrupt::says(SENT);
    let manager = SessionTerminationManager::new(client.clone());
    let body = PostGroupsTerminateSessionsRequest { group_ids: ids };
    if how.follow {
        return Ok(found(how, manager.terminate_groups_and_wait(body, PATIENCE).await?));
    }
    accepted(how, manager.terminate_groups_in_parts(body, Parts::default()).await)
}

fn refuse_what_box_lacks(how: &How) -> anyhow::Result<()> {
    ensure!(
        how.reason.is_none() && !how.skip_not_permitted,
        Usage(
            "Box takes no --reason, and does not say whom you may not end; these need a lightsout service"
                .to_owned()
        )
    );
    Ok(())
}

/// Only one request can be followed, which is said before anything is asked or sent.
fn ensure_one_request(how: &How, entries: u64) -> anyhow::Result<()> {
    let most = Parts::default().size as u64;
    ensure!(
        !how.follow || entries <= most,
        Usage(format!("Box's events tell too little to follow more than {most} at once; leave --follow out"))
    );
    Ok(())
}

/// Looks each up; those that Box does not know are added to `unknown`, the others come back.
async fn known_at_box<F: Future<Output = anyhow::Result<()>>>(
    wanted: Vec<String>,
    unknown: &mut Vec<String>,
    look_up: impl Fn(String) -> F,
) -> anyhow::Result<Vec<String>> {
    let look_up = &look_up;
    let looked_up = stream::iter(wanted).map(|name| async move { (look_up(name.clone()).await, name) });
    let looked_up: Vec<_> = looked_up.buffered(LOOKUPS).collect().await;
    let mut known = Vec::new();
    for (found, name) in looked_up {
        match found {
            Ok(()) => known.push(name),
            Err(error) if is_missing(&error) => unknown.push(name),
            Err(error) => return Err(error),
        }
    }
    Ok(known)
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.is::<Unknown>() || matches!(error.downcast_ref(), Some(Error::NotFound(_)))
}

fn preview(how: &How, count: u64, unknown: &[String]) -> anyhow::Result<ExitCode> {
    if how.server.json {
        say!("{}", json!({"people": count, "unknown": unknown}));
    } else {
        say!("would end    {}; nothing was changed", people(count));
        for name in unknown {
            say!("unknown      {name}");
        }
        say!("sessions     unknown: Box does not list them");
    }
    if !unknown.is_empty() && !how.skip_unknown {
        let them = counted(unknown.len() as u64, "of them is", "of them are");
        bail!(Unknown(format!("{them} not known at Box; --skip-unknown leaves them out")));
    }
    Ok(if unknown.is_empty() { ExitCode::SUCCESS } else { exit::PARTLY_FAILED.into() })
}

/// Says of each part whether Box accepted it.
fn accepted<R>(how: &How, parts: Vec<Part<R, SessionTerminationMessage>>) -> anyhow::Result<ExitCode> {
    let (of, mut taken, mut failure) = (parts.len(), 0, None);
    for (number, part) in (1..).zip(parts) {
        match part.result {
            Ok(message) => {
                taken += 1;
                how.server.print(&message, taken_words);
            }
            Err(error) if of == 1 => return Err(error.into()),
            Err(error) => {
                let error = error.into();
                eprintln!("{} part {number} of {of}: {}", exit::fate_of(&error), exit::words_of(&error));
                // The first one says why; those after it may only say that they were not sent.
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        None => Ok(ExitCode::SUCCESS),
        Some(error) if taken == 0 => Err(error),
        Some(_) => {
            eprintln!("{AGAIN}");
            Ok(exit::PARTLY_FAILED.into())
        }
    }
}

fn taken_words(message: &SessionTerminationMessage) -> String {
    match &message.message {
        Some(message) => format!("accepted     Box says: {}", one_line(message)),
        None => "accepted     by Box, without a message".to_owned(),
    }
}

/// Says what is known after the request was accepted. Box itself never says more than that; a service
/// that is spoken to as Box reports.
fn found(how: &How, finding: Finding) -> ExitCode {
    match finding {
        Finding::Finished(termination) => {
            how.server.print(&*termination, show);
            return verdict(&termination);
        }
        Finding::Accepted { message, termination_id, error } => {
            let why = error.map(|error| exit::words_of(&error.into()));
            if how.server.json {
                say!(
                    "{}",
                    json!({"verdict": "unknown", "message": message.message, "termination_id": termination_id, "error": why})
                );
            } else {
                say!("{}", taken_words(&message));
                let why = why.unwrap_or_else(|| "it is still running".to_owned());
                say!("verdict      unknown: {termination_id} goes on; {why}");
            }
        }
        Finding::Unknown { message, events, events_error } => {
            let why = events_error.map(|error| exit::words_of(&error.into()));
            unknown(how, &message, &events, why);
        }
        _ => say!("verdict      unknown"),
    }
    exit::PARTLY_FAILED.into()
}

/// Says what Box's admin events showed, which is no verdict.
fn unknown(how: &How, message: &SessionTerminationMessage, events: &[Event], why: Option<String>) {
    if how.server.json {
        say!(
            "{}",
            json!({"verdict": "unknown", "message": message.message, "events": events, "events_error": why})
        );
        return;
    }
    say!("{}", taken_words(message));
    for event in events {
        say!("event        {}", line(event));
    }
    match why {
        Some(why) => say!("events       could not be read: {why}"),
        None if events.is_empty() => say!("events       none about them within a minute"),
        None => {}
    }
    say!("verdict      unknown: Box does not say whether their sessions have ended");
}
