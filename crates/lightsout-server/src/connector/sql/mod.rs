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
mod statement;
mod value;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{FutureExt, TryStreamExt};
use tokio::sync::{Mutex, MutexGuard};

pub use self::config::{SqlConfig, Unit};
use self::failure::failure;
use self::plan::{Look, Plan, Scan};
pub use self::presets::Preset;
use self::ready::{CHUNK, Query, Ready, Values};
use self::value::Value;
use super::matching::Matcher;
use super::value::read;
use super::{
    Answer, Answering, Capabilities, Connector, ConnectorError, Explanation, Format, Path, Reply, Target,
    shown_key,
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
}

/// What a pass over every row saw.
#[derive(Default)]
struct Seen {
    rows: u64,
    readable: u64,
    of_somebody: u64,
    unreadable: Strange,
    too_long: Strange,
    without_key: u64,
}

/// Values that were passed over: how many, and one of them.
#[derive(Default)]
struct Strange {
    count: u64,
    example: String,
}

impl Strange {
    fn add(&mut self, key: &[u8]) {
        self.count += 1;
        if self.example.is_empty() {
            self.example = shown_key("", key);
        }
    }
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
        Values { list, after, limit: self.config.rows_per_page, now_ms: self.clock.now_ms() }
    }

    /// Runs a statement for a list, in chunks, and shows each row.
    async fn each(
        &self,
        ready: &Ready,
        query: &Query,
        list: &[Value],
        mut row: impl FnMut(Vec<Value>),
    ) -> Result<(), ConnectorError> {
        for chunk in list.chunks(CHUNK) {
            let Some((sql, bound)) = query.bind(&ready.database, self.values(chunk, &Value::Null)) else {
                continue;
            };
            let mut rows = ready.database.rows(sql, bound);
            while let Some(columns) =
                rows.try_next().await.map_err(|e| failure(self.plan.kind, query.key(), &e))?
            {
                row(columns);
            }
        }
        Ok(())
    }

    async fn pass(&self, targets: &[Target], delete: bool) -> Result<Answer, ConnectorError> {
        let ready = self.ready().await?;
        let owners = self.owners(&ready, targets).await?;
        let mut matcher = if delete { Matcher::ending(targets) } else { Matcher::finding(targets) };
        let (mut found, mut seen) = (Vec::new(), Seen::default());
        if !owners.keys.is_empty() {
            match &self.plan.look {
                Look::Find(_) => self.find_by_user(&ready, &owners, &mut matcher, &mut found).await?,
                Look::Scan(scan) => {
                    seen = self.scan(&ready, scan, &owners, &mut matcher, &mut found).await?;
                }
            }
        }
        let mut notes = seen.notes(self.config.value_bytes_max);
        if let Look::Scan(scan) = &self.plan.look
            && let Some(reply) = self.doubt(scan, &seen)?
        {
            let replies =
                owners.known.iter().map(|known| if *known { reply.clone() } else { Reply::NoSubject });
            return Ok(Answer { replies: replies.collect(), notes });
        }
        if delete && !found.is_empty() && self.delete(&ready, &found).await? == 0 {
            notes.push("end_sql touched no row, although sessions were found".to_owned());
        }
        let mut replies = matcher.into_replies();
        for (reply, _) in replies.iter_mut().zip(&owners.known).filter(|(_, known)| !**known) {
            *reply = Reply::NoSubject;
        }
        Ok(Answer { replies, notes })
    }

    /// What a pass cannot be trusted to have seen: values that nobody can read, or of nobody.
    fn doubt(&self, scan: &Scan, seen: &Seen) -> Result<Option<Reply>, ConnectorError> {
        if seen.unreadable.count > 0 && seen.readable == 0 {
            let why = format!(
                "none of {} values can be read as {:?}; is format right?",
                seen.unreadable.count, scan.format
            );
            return Err(ConnectorError::Unexpected(why));
        }
        if seen.of_somebody > 0 {
            self.path_is_right.store(true, Ordering::Relaxed);
        }
        let doubtful = seen.readable > 0 && !self.path_is_right.load(Ordering::Relaxed);
        let why = "no session there shows whose it is; is user_path right?";
        Ok(doubtful.then(|| Reply::Unknown(why.to_owned())))
    }

    /// Looks the targets up, where sessions know users by another name.
    async fn owners(&self, ready: &Ready, targets: &[Target]) -> Result<Owners, ConnectorError> {
        let subjects: Vec<Value> = targets.iter().map(|t| Value::Text(t.subject.clone())).collect();
        let by_subject: HashMap<String, usize> =
            targets.iter().enumerate().map(|(n, t)| (t.subject.clone(), n)).collect();
        let Some(query) = &ready.user else {
            return Ok(Owners { by_key: by_subject, keys: subjects, known: vec![true; targets.len()] });
        };
        let mut owners =
            Owners { by_key: HashMap::new(), keys: Vec::new(), known: vec![false; targets.len()] };
        let (subject, key) = (query.column("subject"), query.column("user_key"));
        self.each(ready, query, &subjects, |row| {
            let [subject, key] = [subject, key].map(|n| n.and_then(|n| row.get(n)));
            let n = subject.and_then(Value::text).and_then(|s| by_subject.get(&s).copied());
            if let (Some(n), Some(key)) = (n, key)
                && let Some(text) = key.text()
            {
                owners.known[n] = true;
                owners.by_key.insert(plain(text), n);
                owners.keys.push(key.clone());
            }
        })
        .await?;
        Ok(owners)
    }

    async fn find_by_user(
        &self,
        ready: &Ready,
        owners: &Owners,
        matcher: &mut Matcher<'_>,
        found: &mut Vec<Value>,
    ) -> Result<(), ConnectorError> {
        let query = &ready.look;
        let [subject, key, began] = ["subject", "session_key", "began_at"].map(|name| query.column(name));
        let looked_up = ready.user.is_some();
        self.each(ready, query, &owners.keys, |row| {
            let [subject, key, began] = [subject, key, began].map(|n| n.and_then(|n| row.get(n)));
            let subject = subject.and_then(Value::text);
            let subject = if looked_up { subject.map(plain) } else { subject };
            let owner = subject.and_then(|s| owners.by_key.get(&s).copied());
            let began_at = began.and_then(|value| value.began_at(self.plan.times));
            if let (Some(n), Some(key)) = (owner, key)
                && let Some(bytes) = key.key_bytes()
                && matcher.take_for(n, &bytes, began_at)
            {
                found.push(key.clone());
            }
        })
        .await
    }

    /// Reads every row once, in pages.
    async fn scan(
        &self,
        ready: &Ready,
        scan: &Scan,
        owners: &Owners,
        matcher: &mut Matcher<'_>,
        found: &mut Vec<Value>,
    ) -> Result<Seen, ConnectorError> {
        let mut seen = Seen::default();
        let looked_up = ready.user.is_some();
        let mut after: Option<Value> = None;
        loop {
            let next = self
                .page(ready, after.as_ref(), |key, value, length| {
                    let Some((subject, began_at)) = self.look_into(scan, &mut seen, key, value, length)
                    else {
                        return;
                    };
                    let subject = if looked_up { plain(subject) } else { subject };
                    let owner = owners.by_key.get(&subject).copied();
                    if let (Some(n), Some(bytes)) = (owner, key.key_bytes())
                        && matcher.take_for(n, &bytes, began_at)
                    {
                        found.push(key.clone());
                    }
                })
                .await?;
            match next {
                None => return Ok(seen),
                Some(next) if Some(&next) == after.as_ref() => {
                    let why = "scan_sql: its pages do not go on; it selects the rows whose key is > :after";
                    return Err(ConnectorError::Unexpected(why.to_owned()));
                }
                next => after = next,
            }
        }
    }

    /// Shows the rows of one page, and returns the key that the next begins after.
    async fn page(
        &self,
        ready: &Ready,
        after: Option<&Value>,
        mut row: impl FnMut(&Value, &Value, &Value),
    ) -> Result<Option<Value>, ConnectorError> {
        // Before the first key. Which of these a key is compared with depends on the type of its column;
        // the others then find nothing.
        let text = |text: &str| Value::Text(text.to_owned());
        let firsts = [text(""), text("00000000-0000-0000-0000-000000000000"), Value::Int(i64::MIN)];
        let afters = after.map_or(firsts.as_slice(), std::slice::from_ref);
        for after in afters {
            let Some((sql, bound)) = ready.look.bind(&ready.database, self.values(&[], after)) else {
                continue;
            };
            let mut rows = ready.database.rows(sql, bound);
            let (mut count, mut last) = (0, None);
            while let Some(columns) =
                rows.try_next().await.map_err(|e| failure(self.plan.kind, ready.look.key(), &e))?
            {
                let [key, value, length] = columns.as_slice() else { continue };
                row(key, value, length);
                (count, last) = (count + 1, Some(key.clone()));
            }
            if count > 0 {
                return Ok(last.filter(|_| count >= self.config.rows_per_page));
            }
        }
        Ok(None)
    }

    /// Reads a row's user and begin.
    fn look_into(
        &self,
        scan: &Scan,
        seen: &mut Seen,
        key: &Value,
        value: &Value,
        length: &Value,
    ) -> Option<(String, Option<i64>)> {
        seen.rows += 1;
        let Some(shown) = key.key_bytes() else {
            seen.without_key += 1;
            return None;
        };
        let too_long = matches!(length, Value::Int(n) if *n > i64::from(self.config.value_bytes_max));
        if too_long {
            seen.too_long.add(&shown);
            return None;
        }
        let paths: Vec<&Path> = std::iter::once(&scan.user_path).chain(&scan.began_at_path).collect();
        let Some(mut read) = value.bytes().and_then(|bytes| read(scan.format, bytes, &paths).ok()) else {
            seen.unreadable.add(&shown);
            return None;
        };
        seen.readable += 1;
        let began_at = read.get(1).cloned().flatten().and_then(|at| {
            let at = match at {
                super::value::Scalar::Int(n) => Value::Int(n),
                super::value::Scalar::Float(n) => Value::Float(n),
                super::value::Scalar::Text(text) => Value::Text(text),
            };
            at.began_at(self.plan.times)
        });
        let subject = read.swap_remove(0)?.into_text();
        seen.of_somebody += 1;
        Some((subject, began_at))
    }

    async fn delete(&self, ready: &Ready, keys: &[Value]) -> Result<u64, ConnectorError> {
        let mut touched = 0;
        for chunk in keys.chunks(CHUNK) {
            let values = self.values(chunk, &Value::Null);
            let Some((sql, bound)) = ready.end.bind(&ready.database, values) else {
                let why = "end_sql: the keys that were found do not fit its :keys; compare the types";
                return Err(ConnectorError::Unexpected(why.to_owned()));
            };
            let done = ready.database.execute(sql, bound).await;
            touched += done.map_err(|e| failure(self.plan.kind, ready.end.key(), &e))?;
        }
        Ok(touched)
    }
}

/// A user's key in one form: a UUID is written with hyphens and without, and means the same.
fn plain(key: String) -> String {
    match value::uuid_bytes(&key) {
        Some(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
        None => key,
    }
}

impl Seen {
    fn notes(&self, value_bytes_max: u32) -> Vec<String> {
        let mut notes = Vec::new();
        let (unreadable, long) = (&self.unreadable, &self.too_long);
        if unreadable.count > 0 {
            let (n, key) = (unreadable.count, &unreadable.example);
            notes.push(format!("{n} values cannot be read, such as that of {key}"));
        }
        if long.count > 0 {
            let (n, key) = (long.count, &long.example);
            notes.push(format!(
                "{n} values over {value_bytes_max} bytes were not read, such as that of {key}"
            ));
        }
        if self.without_key > 0 {
            notes.push(format!("{} rows have no key that can be read", self.without_key));
        }
        notes
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
            if targets.is_empty() { self.look_around().await } else { self.pass(targets, false).await }
        }
        .boxed()
    }
}
