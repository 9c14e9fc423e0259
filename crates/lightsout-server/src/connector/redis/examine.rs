//! What the values of a store say: whose each is, and when it began. Counts what cannot be read.

use std::collections::HashMap;

use aho_corasick::AhoCorasick;

use super::config::Layout;
use crate::connector::value::{Unreadable, looks_like, read, traces};
use crate::connector::{Target, shown_key};

/// What a value says of its session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) subject: String,
    pub(super) began_at: Option<i64>,
}

/// Keys of one kind: how many, and one of them.
#[derive(Debug, Default)]
pub(super) struct Kind {
    pub(super) count: u64,
    example: Option<String>,
}

impl Kind {
    fn add(&mut self, prefix: &str, key: &[u8]) {
        self.count += 1;
        if self.example.is_none() {
            self.example = Some(shown_key(prefix, key));
        }
    }
}

/// What was seen in a pass.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Keys under the prefix, of any type.
    pub(super) keys: u64,
    /// Values that were read.
    pub(super) values: u64,
    /// Of these, the ones in the format.
    pub(super) readable: u64,
    /// Of these, the ones that show a user at the path.
    pub(super) with_user: u64,
    /// Values that are not in the format.
    pub(super) unreadable: Kind,
    /// Values that are larger than is read.
    pub(super) too_large: Kind,
    /// Keys that hold no value but a hash, a set, a list or a stream.
    pub(super) other_types: Kind,
}

impl Seen {
    /// What people should know of it.
    pub(super) fn notes(&self, layout: &Layout) -> Vec<String> {
        let formats: Vec<String> = layout.formats.iter().map(|f| format!("{f:?}").to_lowercase()).collect();
        let unreadable = format!("that cannot be read as {}", formats.join(" or "));
        let too_large = format!("larger than value_bytes_max ({} bytes), not read", layout.value_bytes_max);
        let kinds = [(&self.unreadable, unreadable), (&self.too_large, too_large)];
        let note = |(kind, what): (&Kind, String)| {
            let values =
                if kind.count == 1 { "1 value".to_owned() } else { format!("{} values", kind.count) };
            Some(format!("{values} {what}, such as {}", kind.example.as_ref()?))
        };
        kinds.into_iter().filter_map(note).collect()
    }
}

impl Seen {
    /// Why nothing can be said of anybody: there are keys, and none of them is a session.
    pub(super) fn nothing_readable(&self, layout: &Layout) -> Option<String> {
        if self.readable > 0 {
            return None;
        }
        if let Some(first) = self.notes(layout).first() {
            return Some(format!("no value under the prefix can be read: {first}"));
        }
        // Without a prefix the other keys of the database are seen, too.
        let Kind { count, example: Some(example) } = &self.other_types else { return None };
        let what = format!("{count} keys under the prefix are of another type, such as {example}");
        (!layout.prefix.is_empty()).then(|| format!("no value under the prefix can be read: {what}"))
    }
}

/// The most names that values are searched for before they are taken apart.
const NAMES_MAX: usize = 10_000;

/// Reads values.
pub(super) struct Examiner<'a> {
    layout: &'a Layout,
    /// Finds values that can hold one of the subjects; none: every value can.
    traces: Option<AhoCorasick>,
    pub(super) seen: Seen,
}

impl<'a> Examiner<'a> {
    /// For these targets. Values in which none of their subjects can stand are not taken apart, once
    /// one value has shown a user at the path.
    pub(super) fn new(layout: &'a Layout, targets: &[Target]) -> Self {
        let all = layout.formats.iter().map(|f| traces(*f, targets.iter().map(|t| t.subject.as_str())));
        let all: Option<Vec<_>> = all.collect();
        let traces = all.filter(|_| (1..=NAMES_MAX).contains(&targets.len())).and_then(|lists| {
            let patterns: std::collections::BTreeSet<_> = lists.into_iter().flatten().collect();
            AhoCorasick::new(patterns).ok()
        });
        Self { layout, traces, seen: Seen::default() }
    }

    /// Takes in a value, and says whose it is if it may be a target's.
    pub(super) fn examine(&mut self, key: &[u8], value: &[u8]) -> Option<Said> {
        self.seen.values += 1;
        if self.seen.with_user > 0 && self.traces.as_ref().is_some_and(|traces| !traces.is_match(value)) {
            if self.layout.formats.iter().any(|format| looks_like(*format, value)) {
                self.seen.readable += 1;
            } else {
                self.seen.unreadable.add(&self.layout.prefix, key);
            }
            return None;
        }
        let Ok(said) = self.read(value) else {
            self.seen.unreadable.add(&self.layout.prefix, key);
            return None;
        };
        self.seen.readable += 1;
        self.seen.with_user += u64::from(said.is_some());
        said
    }

    /// Reads a value whole, and counts nothing. None: it shows no user.
    pub(super) fn read(&self, value: &[u8]) -> Result<Option<Said>, Unreadable> {
        let mut paths = vec![&self.layout.user_path];
        paths.extend(&self.layout.began_at_path);
        let mut found = Err(Unreadable("no format"));
        for format in &self.layout.formats {
            found = read(*format, value, &paths);
            if found.is_ok() {
                break;
            }
        }
        let mut found = found?.into_iter();
        let subject = found.next().flatten();
        let began_at = found.next().flatten().and_then(|began| began.time_ms());
        Ok(subject.map(|subject| Said { subject: subject.into_text(), began_at }))
    }

    pub(super) fn too_large(&mut self, key: &[u8]) {
        self.seen.too_large.add(&self.layout.prefix, key);
    }

    pub(super) fn other_type(&mut self, key: &[u8]) {
        self.seen.other_types.add(&self.layout.prefix, key);
    }
}

/// The targets' numbers by their names in the store.
pub(super) fn by_subject(targets: &[Target]) -> HashMap<&str, usize> {
    targets.iter().enumerate().map(|(n, target)| (target.subject.as_str(), n)).collect()
}
