//! A pass over every row, in pages by key, for stores where the user stands inside the stored value.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use futures_util::TryStreamExt;

use super::failure::failure;
use super::plan::Scan;
use super::ready::{CHUNK, Ready};
use super::value::Value;
use super::{ConnectorError, Owners, Path, Reply, Sql, ended_none};
use crate::connector::matching::Matcher;
use crate::connector::shown_key;
use crate::connector::value::{Scalar, read};

/// What a pass over every row saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) rows: u64,
    pub(super) readable: u64,
    pub(super) of_somebody: u64,
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

/// A target's number, and when its session began.
type Owned = (usize, Option<i64>);

/// A page that was read: the key it began after, and the key that the next begins after.
pub(super) struct Page {
    after: Value,
    pub(super) next: Option<Value>,
}

impl Sql {
    /// Reads every row once, in pages, and ends what is over of each before the next is read.
    pub(super) async fn scan(
        &self,
        ready: &Ready,
        scan: &Scan,
        owners: &Owners,
        matcher: &mut Matcher<'_>,
        delete: bool,
    ) -> Result<Seen, ConnectorError> {
        let mut seen = Seen::default();
        let mut after: Option<Value> = None;
        loop {
            let mut shown: Vec<(Value, Vec<u8>, Owned)> = Vec::new();
            let page = self
                .page(ready, after.as_ref(), |key, value, length| {
                    let owned = self.look_into(scan, &mut seen, key, value, length);
                    let owned = owned.and_then(|(subject, began_at)| Some((owners.of(&subject)?, began_at)));
                    if let (Some(owned), Some(bytes)) = (owned, key.key_bytes()) {
                        shown.push((key.clone(), bytes, owned));
                    }
                })
                .await?;
            let Some(page) = page else { return Ok(seen) };
            if delete && !shown.is_empty() {
                let keys: Vec<Value> = shown.iter().map(|(key, ..)| key.clone()).collect();
                let now = self.again(ready, scan, owners, &page.after, &keys).await?;
                // Another owner's now, or nobody's. A row that is gone does no harm.
                shown.retain_mut(|(_, bytes, owned)| match now.get(bytes) {
                    Some(Some(now)) => {
                        *owned = *now;
                        true
                    }
                    Some(None) => false,
                    None => true,
                });
            }
            shown.retain(|(_, bytes, (n, began_at))| matcher.take_for(*n, bytes, *began_at));
            if delete && !shown.is_empty() {
                let found: Vec<Value> = shown.into_iter().map(|(key, ..)| key).collect();
                if self.delete(ready, &found).await? == 0 {
                    let left = self.again(ready, scan, owners, &page.after, &found).await?;
                    if left.values().any(Option::is_some) {
                        return Err(ended_none(found.len()));
                    }
                }
            }
            match page.next {
                None => return Ok(seen),
                Some(next) if Some(&next) == after.as_ref() => {
                    let why = "scan_sql: its pages do not go on; it selects the rows whose key is > :after";
                    return Err(ConnectorError::Unexpected(why.to_owned()));
                }
                next => after = next,
            }
        }
    }

    /// Reads some rows of a page again, by key, and says whose they are now.
    async fn again(
        &self,
        ready: &Ready,
        scan: &Scan,
        owners: &Owners,
        after: &Value,
        keys: &[Value],
    ) -> Result<HashMap<Vec<u8>, Option<Owned>>, ConnectorError> {
        let mut now = HashMap::new();
        for chunk in keys.chunks(CHUNK) {
            let bound = ready.look.bind_some(&ready.database, self.values(chunk, after));
            let (sql, bound) = bound.ok_or_else(|| ready.look.unreadable("session_key"))?;
            let failed = |e| failure(self.plan.kind, ready.look.key(), &e);
            let mut line = ready.database.line().await.map_err(failed)?;
            let mut rows = line.rows(sql, bound);
            while let Some(columns) = rows.try_next().await.map_err(failed)? {
                let [key, value, length] = columns.as_slice() else { continue };
                let Some(bytes) = key.key_bytes() else { continue };
                let owned = self.look_into(scan, &mut Seen::default(), key, value, length);
                now.insert(bytes, owned.and_then(|(subject, began)| Some((owners.of(&subject)?, began))));
            }
        }
        Ok(now)
    }

    /// Shows the rows of one page, and says where it began and where the next begins.
    pub(super) async fn page(
        &self,
        ready: &Ready,
        after: Option<&Value>,
        mut row: impl FnMut(&Value, &Value, &Value),
    ) -> Result<Option<Page>, ConnectorError> {
        // Before the first key. Which of these a key is compared with depends on the type of its column;
        // the others then find nothing.
        let text = |text: &str| Value::Text(text.to_owned());
        let firsts = [text(""), text("00000000-0000-0000-0000-000000000000"), Value::Int(i64::MIN)];
        let afters = after.map_or(firsts.as_slice(), std::slice::from_ref);
        let mut fits = false;
        for after in afters {
            let Some((sql, bound)) = ready.look.bind(&ready.database, self.values(&[], after)) else {
                continue;
            };
            fits = true;
            let failed = |e| failure(self.plan.kind, ready.look.key(), &e);
            let mut line = ready.database.line().await.map_err(failed)?;
            let mut rows = line.rows(sql, bound);
            let (mut count, mut last) = (0, None);
            while let Some(columns) = rows.try_next().await.map_err(failed)? {
                let [key, value, length] = columns.as_slice() else { continue };
                row(key, value, length);
                (count, last) = (count + 1, Some(key.clone()));
            }
            if count > 0 {
                let next = last.filter(|_| count >= self.config.rows_per_page);
                return Ok(Some(Page { after: after.clone(), next }));
            }
        }
        if fits { Ok(None) } else { Err(ready.look.unreadable("session_key")) }
    }

    /// Reads a row's user and begin.
    pub(super) fn look_into(
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
                Scalar::Int(n) => Value::Int(n),
                Scalar::Float(n) => Value::Float(n),
                Scalar::Text(text) => Value::Text(text),
            };
            at.time_ms(self.plan.times)
        });
        let subject = read.swap_remove(0)?.into_text();
        seen.of_somebody += 1;
        Some((subject, began_at))
    }

    /// What a pass cannot be trusted to have seen: values that nobody can read, or of nobody.
    pub(super) fn doubt(
        &self,
        ready: &Ready,
        scan: &Scan,
        seen: &Seen,
    ) -> Result<Option<Reply>, ConnectorError> {
        let (unreadable, long, keyless) = (seen.unreadable.count, seen.too_long.count, seen.without_key);
        // Once sessions were read here, what is left and cannot be read is a note.
        let was_read = self.path_is_right.load(Ordering::Relaxed) && keyless == 0;
        if seen.readable == 0 && unreadable + long + keyless > 0 && !was_read {
            let n = unreadable + long + keyless;
            let why = if keyless == n {
                return Err(ready.look.unreadable("session_key"));
            } else if long > 0 {
                let max = self.config.value_bytes_max;
                format!(
                    "none of {n} values can be read, and {long} are over {max} bytes; is value_bytes_max right?"
                )
            } else {
                format!("none of {n} values can be read as {:?}; is format right?", scan.format)
            };
            return Err(ConnectorError::Unexpected(why));
        }
        if seen.of_somebody > 0 {
            self.path_is_right.store(true, Ordering::Relaxed);
        }
        let doubtful = seen.readable > 0 && !self.path_is_right.load(Ordering::Relaxed);
        let why = "no session there shows whose it is; is user_path right?";
        Ok(doubtful.then(|| Reply::Unknown(why.to_owned())))
    }
}

impl Seen {
    /// Whether sessions were read and none shows a user.
    pub(super) fn nobody_shown(&self) -> bool {
        self.readable > 0 && self.of_somebody == 0
    }

    pub(super) fn notes(&self, value_bytes_max: u32) -> Vec<String> {
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
