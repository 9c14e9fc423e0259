//! Sessions in a SQL database: PostgreSQL, MySQL, MariaDB, SQLite.
//!
//! Either a statement selects a user's sessions (`find_sql`), or one pass reads every row in pages by
//! key (`scan_sql`) and the user is found inside the stored value. Both end sessions by key. Subjects
//! and keys go in lists of at most 500, each statement is a transaction of its own, and what a
//! database calls equal is compared again here, whole and by case.

mod checks;
mod config;
mod database;
mod failure;
mod plan;
mod presets;
mod ready;
mod scan;
mod sids;
mod statement;
mod value;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::{FutureExt, TryStreamExt};
use tokio::sync::{Mutex, MutexGuard};

pub use self::config::{SqlConfig, Unit};
use self::failure::failure;
use self::plan::{Look, Plan};
pub use self::presets::Preset;
use self::ready::{CHUNK, Query, Ready, Values};
use self::scan::Seen;
pub(super) use self::sids::Sids;
use self::value::Value;
use super::matching::Matcher;
use super::{
    Answer, Answering, Capabilities, Connector, ConnectorError, Explanation, Format, Path, Reply, Target,
    Told,
};
use crate::clock::Clock;

/// A SQL database.
#[derive(Debug)]
pub struct Sql {
    config: SqlConfig,
    plan: Plan,
    clock: Clock,
    ready: Mutex<Option<Arc<Ready>>>,
    /// Whether a user was ever found at the configured path.
    path_is_right: AtomicBool,
}

/// Whose a session can be: the targets by the name that sessions know them by.
struct Owners {
    by_key: HashMap<String, usize>,
    /// The names as the database gave them.
    keys: Vec<Value>,
    /// Whether the database knows the target at all.
    known: Vec<bool>,
    /// Whether sessions know the targets by another name than their subject.
    looked_up: bool,
}

impl Sql {
    /// Connects at the first pass. What cannot work whatever the database says is an error here.
    pub fn new(config: SqlConfig, clock: Clock) -> Result<Self, String> {
        let plan = config.check()?;
        let path_is_right = AtomicBool::new(matches!(&plan.look, Look::Scan(scan) if scan.path_is_known));
        Ok(Self { config, plan, clock, ready: Mutex::new(None), path_is_right })
    }

    /// Says what of a configuration cannot work, without connecting.
    pub fn check(config: &SqlConfig) -> Result<(), String> {
        config.check().map(drop)
    }

    async fn ready(&self) -> Result<Arc<Ready>, ConnectorError> {
        let mut ready: MutexGuard<'_, Option<Arc<Ready>>> = self.ready.lock().await;
        if let Some(ready) = ready.as_ref() {
            return Ok(ready.clone());
        }
        let new = Arc::new(Ready::new(&self.config, &self.plan).await?);
        *ready = Some(new.clone());
        Ok(new)
    }

    fn values<'v>(&self, list: &'v [Value], after: &'v Value) -> Values<'v> {
        Values { list, after, limit: self.config.rows_per_page, now_ms: self.clock.now_ms(), client_id: "" }
    }

    /// Runs a statement for a list, in chunks, and shows each row.
    async fn each(
        &self,
        ready: &Ready,
        query: &Query,
        list: &[Value],
        mut row: impl FnMut(Vec<Value>) -> Result<(), ConnectorError>,
    ) -> Result<(), ConnectorError> {
        for chunk in list.chunks(CHUNK) {
            let Some((sql, bound)) = query.bind(&ready.database, self.values(chunk, &Value::Null)) else {
                continue;
            };
            let failed = |e| failure(self.plan.kind, query.key(), &e);
            let mut line = ready.database.line().await.map_err(failed)?;
            let mut rows = line.rows(sql, bound);
            while let Some(columns) = rows.try_next().await.map_err(failed)? {
                row(columns)?;
            }
        }
        Ok(())
    }

    /// A pass. What the database said of the statements is asked again after one that cannot work.
    async fn pass(&self, targets: &[Target], delete: bool) -> Result<Answer, ConnectorError> {
        let answer = self.one_pass(targets, delete).await;
        if matches!(answer, Err(ConnectorError::Unexpected(_))) {
            *self.ready.lock().await = None;
        }
        answer
    }

    async fn one_pass(&self, targets: &[Target], delete: bool) -> Result<Answer, ConnectorError> {
        let ready = self.ready().await?;
        let owners = self.owners(&ready, targets).await?;
        let mut matcher = if delete { Matcher::ending(targets) } else { Matcher::finding(targets) };
        let mut seen = Seen::default();
        if !owners.keys.is_empty() {
            match &self.plan.look {
                Look::Find(_) => {
                    let found = self.find_by_user(&ready, &owners, &mut matcher).await?;
                    if delete && !found.is_empty() && self.delete(&ready, &found).await? == 0 {
                        self.none_is_left(&ready, &owners, targets, &found).await?;
                    }
                }
                Look::Scan(scan) => {
                    seen = self.scan(&ready, scan, &owners, &mut matcher, delete).await?;
                }
            }
        }
        let mut notes = seen.notes(self.config.value_bytes_max);
        let mut doubt = None;
        if let Look::Scan(scan) = &self.plan.look {
            doubt = self.doubt(&ready, scan, &seen)?;
            if seen.nobody_shown() {
                let path = &scan.user_path;
                notes.push(format!("no session read shows a user at {path}; is user_path right?"));
            }
        }
        let mut replies = matcher.into_replies();
        if let Some(doubt) = doubt {
            replies.fill(doubt);
        }
        for n in self.unfit(&ready, &owners) {
            if matches!(&replies[n], Reply::Sessions(found) if found.is_empty()) {
                replies[n] = Reply::Unknown(ready.look.does_not_fit());
            }
        }
        for (reply, _) in replies.iter_mut().zip(&owners.known).filter(|(_, known)| !**known) {
            *reply = Reply::NoSubject;
        }
        Ok(Answer { replies, notes })
    }

    /// The targets that the column of users cannot hold: to find none of them proves nothing.
    fn unfit(&self, ready: &Ready, owners: &Owners) -> Vec<usize> {
        if matches!(self.plan.look, Look::Scan(_)) {
            return Vec::new();
        }
        let unfit = owners.keys.iter().filter(|key| !ready.look.may_hold(key));
        unfit.filter_map(|key| owners.of(&key.text()?)).collect()
    }

    /// Looks the targets up, where sessions know users by another name.
    async fn owners(&self, ready: &Ready, targets: &[Target]) -> Result<Owners, ConnectorError> {
        let subjects: Vec<Value> = targets.iter().map(|t| Value::Text(t.subject.clone())).collect();
        let by_subject: HashMap<String, usize> =
            targets.iter().enumerate().map(|(n, t)| (t.subject.clone(), n)).collect();
        let Some(query) = &ready.user else {
            let known = vec![true; targets.len()];
            return Ok(Owners { by_key: by_subject, keys: subjects, known, looked_up: false });
        };
        let known = vec![false; targets.len()];
        let mut owners = Owners { by_key: HashMap::new(), keys: Vec::new(), known, looked_up: true };
        self.each(ready, query, &subjects, |row| {
            let (subject, key) = (query.text(&row, "subject")?, query.text(&row, "user_key")?);
            let n = subject.and_then(|subject| by_subject.get(&subject).copied());
            if let (Some(n), Some(text)) = (n, key) {
                owners.known[n] = true;
                owners.by_key.insert(plain(text), n);
                owners.keys.extend(query.value(&row, "user_key").cloned());
            }
            Ok(())
        })
        .await?;
        Ok(owners)
    }

    async fn find_by_user(
        &self,
        ready: &Ready,
        owners: &Owners,
        matcher: &mut Matcher<'_>,
    ) -> Result<Vec<Value>, ConnectorError> {
        let query = &ready.look;
        let mut found = Vec::new();
        self.each(ready, query, &owners.keys, |row| {
            let subject = query.text(&row, "subject")?.ok_or_else(|| query.unreadable("subject"))?;
            let Some(n) = owners.of(&subject) else { return Ok(()) };
            let time = |name| query.value(&row, name).and_then(|at| at.time_ms(self.plan.times));
            let text = |name| query.value(&row, name).and_then(Value::text);
            let told = Told {
                began_at: time("began_at"),
                last_seen_at: time("last_seen_at"),
                device: text("device"),
                address: text("address"),
            };
            let key = query.value(&row, "session_key");
            let Some((key, bytes)) = key.and_then(|key| Some((key, key.key_bytes()?))) else {
                return Err(query.unreadable("session_key"));
            };
            if matcher.take_for(n, &bytes, told) {
                found.push(key.clone());
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Ends sessions by key, and counts the rows that were touched.
    async fn delete(&self, ready: &Ready, keys: &[Value]) -> Result<u64, ConnectorError> {
        let mut touched = 0;
        for chunk in keys.chunks(CHUNK) {
            let values = self.values(chunk, &Value::Null);
            let Some((sql, bound)) = ready.end.bind(&ready.database, values) else { continue };
            let done = async { ready.database.line().await?.execute(sql, bound).await };
            touched += done.await.map_err(|e| failure(self.plan.kind, ready.end.key(), &e))?;
        }
        match keys.iter().filter(|key| !ready.end.fits(key)).count() {
            0 => Ok(touched),
            unfit => Err(ConnectorError::Unexpected(format!(
                "end_sql: {unfit} of {} keys that were found do not fit its :keys; compare the types",
                keys.len()
            ))),
        }
    }

    /// No row was touched: either the sessions ended by themselves meanwhile, or `end_sql` ends none.
    async fn none_is_left(
        &self,
        ready: &Ready,
        owners: &Owners,
        targets: &[Target],
        found: &[Value],
    ) -> Result<(), ConnectorError> {
        let left = self.find_by_user(ready, owners, &mut Matcher::ending(targets)).await?;
        let left: HashSet<Vec<u8>> = left.iter().filter_map(Value::key_bytes).collect();
        let stands = found.iter().filter_map(Value::key_bytes).any(|key| left.contains(&key));
        if stands { Err(ended_none(found.len())) } else { Ok(()) }
    }
}

fn ended_none(found: usize) -> ConnectorError {
    ConnectorError::Unexpected(format!("end_sql ended none of {found} sessions that still stand"))
}

impl Owners {
    /// The target that sessions know by this name.
    fn of(&self, name: &str) -> Option<usize> {
        let found =
            if self.looked_up { self.by_key.get(&plain(name.to_owned())) } else { self.by_key.get(name) };
        found.copied()
    }
}

/// A user's key in one form: a UUID is written with hyphens and without, and means the same.
fn plain(key: String) -> String {
    match value::uuid_bytes(&key) {
        Some(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
        None => key,
    }
}

impl Connector for Sql {
    fn capabilities(&self) -> Capabilities {
        let by_user = matches!(self.plan.look, Look::Find(_));
        // A pass over every row costs the same for all due users as for one.
        Capabilities {
            targets_per_job: if by_user { 500 } else { 2_000 },
            jobs_per_pass: if by_user { 4 } else { 1_000 },
            counts: true,
        }
    }

    fn explain(&self) -> Explanation {
        self.plan.explain()
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.pass(targets, true).await }.boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move {
            if targets.is_empty() {
                self.look_around().await
            } else {
                self.pass(targets, false).await
            }
        }
        .boxed()
    }
}
