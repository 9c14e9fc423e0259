//! Import of people, groups and memberships from CSV. Repeating it changes nothing.

use std::collections::{BTreeMap, HashMap};

use lightsout_api::Role;
use serde::Deserialize;
use serde_json::json;

use super::admin::by_operator;
use super::{Error, groups, retried, users};
use crate::app::App;
use crate::domain::fold::fold;
use crate::store::{DbError, GroupRow, MembershipRow, NewEvent, Tx, UserRow};

/// Lines written in one transaction.
const STEP: usize = 500;

/// A line of the file: a person, and the groups that they are in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The login.
    pub login: String,
    /// The display name; empty or absent, it stays, and a new person's is the login.
    #[serde(default)]
    pub name: String,
    /// `user` or `coadmin`; empty or absent, it stays, and a new person's is `user`.
    #[serde(default)]
    pub role: String,
    /// Names of groups, separated by semicolons. Missing groups are made.
    #[serde(default)]
    pub groups: String,
    /// The id in an outside system; empty or absent, it stays.
    #[serde(default)]
    pub external_id: String,
    /// Names in systems: `shop=ann;wiki=a.lee`.
    #[serde(default)]
    pub aliases: String,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// People made.
    pub users_created: usize,
    /// People changed.
    pub users_changed: usize,
    /// People that stood as the file has them.
    pub users_unchanged: usize,
    /// Groups made.
    pub groups_created: usize,
    /// Memberships made.
    pub memberships_created: usize,
    /// Lines that were left out: the line's number and why.
    pub rejected: Vec<(u64, String)>,
}

/// Reads CSV with a header line. Columns: `login`, and `name`, `role`, `groups`, `external_id`,
/// `aliases` where present. A bad line is left out and named; the others are imported. An alias is for one
/// of `systems`, the names in the configuration.
pub async fn import(
    app: &App,
    systems: &[&str],
    enterprise_id: &str,
    mut csv: impl std::io::Read,
) -> Result<Report, Error> {
    if app.db.find_enterprise(enterprise_id).await?.is_none() {
        return Err(Error::not_found("enterprise", enterprise_id));
    }
    let mut text = String::new();
    csv.read_to_string(&mut text)
        .map_err(|e| Error::invalid(format!("the file cannot be read as UTF-8: {e}")))?;
    let mut report = Report::default();
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(false).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|e| Error::invalid(format!("the file is not CSV: {e}")))?.clone();
    if !headers.iter().any(|h| h == "login") {
        return Err(Error::invalid("the first line names the columns, and one of them is login"));
    }
    if let Some(unknown) =
        headers.iter().find(|h| !["login", "name", "role", "groups", "external_id", "aliases"].contains(h))
    {
        return Err(Error::invalid(format!(
            "unknown column {unknown:?}; known are login, name, role, groups, external_id, aliases"
        )));
    }
    let mut step = Vec::new();
    for record in reader.records() {
        let at = match &record {
            Ok(record) => record.position().cloned(),
            Err(error) => error.position().cloned(),
        };
        let number = at.map_or(0, |at| line_number(&text, &at));
        match record.and_then(|record| record.deserialize::<Line>(Some(&headers))) {
            Ok(line) => step.push((number, line)),
            Err(error) => report.rejected.push((number, plain(&error))),
        }
        if step.len() == STEP {
            write(app, systems, enterprise_id, &mut step, &mut report).await?;
        }
    }
    write(app, systems, enterprise_id, &mut step, &mut report).await?;
    report.rejected.sort_unstable();
    Ok(report)
}

/// The line that a record stands on: its position may point at empty lines before it.
fn line_number(text: &str, at: &csv::Position) -> u64 {
    let start = usize::try_from(at.byte()).unwrap_or(usize::MAX);
    let skipped = text.as_bytes().iter().skip(start).take_while(|byte| matches!(byte, b'\r' | b'\n'));
    at.line() + skipped.filter(|byte| **byte == b'\n').count() as u64
}

fn plain(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields, the first line has {expected_len}")
        }
        _ => error.to_string(),
    }
}

async fn write(
    app: &App,
    systems: &[&str],
    enterprise_id: &str,
    step: &mut Vec<(u64, Line)>,
    report: &mut Report,
) -> Result<(), Error> {
    *report = retried!(write_once(app, systems, enterprise_id, step, report.clone()))?;
    step.clear();
    Ok(())
}

async fn write_once(
    app: &App,
    systems: &[&str],
    enterprise_id: &str,
    step: &[(u64, Line)],
    mut report: Report,
) -> Result<Report, Error> {
    let mut tx = app.db.begin().await?;
    let mut events = Vec::new();
    let mut seen: HashMap<String, String> = HashMap::new();
    for (number, line) in step {
        let parsed = match Person::parse(line, systems) {
            Ok(parsed) => parsed,
            Err(why) => {
                report.rejected.push((*number, why));
                continue;
            }
        };
        match person(app, &mut tx, enterprise_id, &parsed, &mut report, &mut events).await? {
            Err(why) => report.rejected.push((*number, why)),
            Ok(user) => {
                for name in &parsed.groups {
                    join(app, &mut tx, enterprise_id, &user, name, &mut seen, &mut report, &mut events)
                        .await?;
                }
                for (system, subject) in &parsed.aliases {
                    tx.upsert_alias(&user.user_id, system, subject).await?;
                }
            }
        }
    }
    if !events.is_empty() {
        tx.append_events(enterprise_id, app.clock.now_ms(), &app.random, events).await?;
    }
    app.commit(tx).await?;
    Ok(report)
}

/// A line whose every field is right.
struct Person {
    login: String,
    name: Option<String>,
    role: Option<Role>,
    groups: Vec<String>,
    external_id: Option<String>,
    aliases: BTreeMap<String, String>,
}

impl Person {
    fn parse(line: &Line, systems: &[&str]) -> Result<Self, String> {
        let said = |error: Error| error.to_string();
        let login = users::check_login(&line.login).map_err(said)?;
        let name = Some(line.name.as_str()).filter(|name| !name.is_empty());
        let name = name.map(users::check_name).transpose().map_err(said)?;
        let role = match line.role.as_str() {
            "" => None,
            "user" => Some(Role::User),
            "coadmin" => Some(Role::Coadmin),
            other => return Err(format!("role must be user or coadmin, not {other:?}")),
        };
        let groups = line.groups.split(';').map(str::trim).filter(|g| !g.is_empty());
        let groups = groups.map(groups::check_name).collect::<Result<Vec<_>, _>>();
        let groups = groups.map_err(|error| format!("group {error}"))?;
        let mut aliases = BTreeMap::new();
        for pair in line.aliases.split(';').map(str::trim).filter(|a| !a.is_empty()) {
            let (system, subject) =
                pair.split_once('=').ok_or("aliases must have the form system=name;system=name")?;
            if !systems.contains(&system.trim()) {
                return Err(format!("no system is named {:?} in the configuration", system.trim()));
            }
            if subject.trim().is_empty() {
                return Err(format!("the alias for {} is empty", system.trim()));
            }
            aliases.insert(system.trim().to_owned(), subject.trim().to_owned());
        }
        let external_id = users::check_external_id(line.external_id.clone());
        let external_id = external_id.map_err(|why| format!("external_id {why}"))?;
        Ok(Self { login, name, role, groups, external_id, aliases })
    }
}

/// Makes or changes a person. The inner error is the line's.
async fn person(
    app: &App,
    tx: &mut Tx,
    enterprise_id: &str,
    person: &Person,
    report: &mut Report,
    events: &mut Vec<NewEvent>,
) -> Result<Result<UserRow, String>, Error> {
    let now = app.clock.now_ms();
    if let Some(external_id) = &person.external_id
        && let Some(login) = tx.find_login_of_external_id(enterprise_id, external_id).await?
        && fold(&login) != fold(&person.login)
    {
        return Ok(Err(format!("external_id {external_id} belongs to {login}")));
    }
    let Some(stored) = tx.hold_user_by_login(&person.login).await? else {
        let user = UserRow {
            user_id: app.random.numeric_id(),
            enterprise_id: enterprise_id.to_owned(),
            login: Some(person.login.clone()),
            name: person.name.clone().unwrap_or_else(|| person.login.chars().take(50).collect()),
            role: person.role.unwrap_or(Role::User).as_str().to_owned(),
            status: "active".to_owned(),
            external_id: person.external_id.clone(),
            service_of: None,
            profile: "{}".to_owned(),
            created_at: now,
            modified_at: now,
        };
        tx.insert_user(&user).await?;
        events.push(by_operator("NEW_USER", json!(super::user_reference(&user))));
        report.users_created += 1;
        return Ok(Ok(user));
    };
    if stored.enterprise_id != enterprise_id {
        return Ok(Err("the login belongs to another enterprise".to_owned()));
    }
    if stored.role() == Role::Admin || stored.service_of.is_some() {
        return Ok(Err("the primary admin and service accounts are not changed by an import".to_owned()));
    }
    let mut user = stored.clone();
    if let Some(name) = &person.name {
        user.name.clone_from(name);
    }
    if let Some(role) = person.role {
        user.role = role.as_str().to_owned();
    }
    if person.external_id.is_some() {
        user.external_id.clone_from(&person.external_id);
    }
    if (&user.name, &user.role, &user.external_id) == (&stored.name, &stored.role, &stored.external_id) {
        report.users_unchanged += 1;
    } else {
        user.modified_at = now;
        tx.update_user(&user).await?;
        events.push(by_operator("EDIT_USER", json!(super::user_reference(&user))));
        report.users_changed += 1;
    }
    Ok(Ok(user))
}

/// Puts a person into a group, and makes the group if it is missing.
#[expect(clippy::too_many_arguments, reason = "the state of one import step")]
async fn join(
    app: &App,
    tx: &mut Tx,
    enterprise_id: &str,
    user: &UserRow,
    name: &str,
    seen: &mut HashMap<String, String>,
    report: &mut Report,
    events: &mut Vec<NewEvent>,
) -> Result<(), Error> {
    let now = app.clock.now_ms();
    let group_id = match seen.get(&fold(name)) {
        Some(id) => id.clone(),
        None => {
            if let Some(id) = tx.hold_group_by_name(enterprise_id, name).await? {
                id
            } else {
                let group = GroupRow {
                    group_id: app.random.numeric_id(),
                    enterprise_id: enterprise_id.to_owned(),
                    name: name.to_owned(),
                    profile: "{}".to_owned(),
                    created_at: now,
                    modified_at: now,
                };
                tx.insert_group(&group).await?;
                let source = json!({"type": "group", "id": group.group_id, "name": name});
                events.push(by_operator("GROUP_CREATION", source));
                report.groups_created += 1;
                group.group_id
            }
        }
    };
    seen.insert(fold(name), group_id.clone());
    if tx.is_member(&group_id, &user.user_id).await? {
        return Ok(());
    }
    let row = MembershipRow {
        membership_id: app.random.numeric_id(),
        group_id: group_id.clone(),
        group_name: name.to_owned(),
        user_id: user.user_id.clone(),
        user_name: user.name.clone(),
        user_login: user.login.clone(),
        role: "member".to_owned(),
        permissions: "{}".to_owned(),
        created_at: now,
        modified_at: now,
    };
    match tx.insert_membership(&row).await {
        Ok(()) => {}
        Err(DbError::Duplicate) => return Err(Error::Db(DbError::Conflict)),
        Err(error) => return Err(error.into()),
    }
    let source = json!({"type": "user", "id": user.user_id, "login": user.login, "name": user.name});
    let mut event = by_operator("GROUP_ADD_USER", source);
    event.body["additional_details"] = json!({"by": "operator", "group_id": group_id, "group_name": name});
    events.push(event);
    report.memberships_created += 1;
    Ok(())
}
