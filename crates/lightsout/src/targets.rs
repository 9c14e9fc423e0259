//! Whom to end, read from a file or standard input: plain lines, CSV or JSON lines.
//!
//! Nothing here asks the service: who is taken may still be unknown there.

mod table;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::ValueEnum;
use lightsout_server::domain::fold::fold;
use serde_json::{Map, Value};

use crate::exit::Usage;

/// A source is held in memory; what is larger was not meant.
const SOURCE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The columns and keys that are looked for where none is named; the first one found is used.
const NAMES: [&str; 5] = ["login", "user_login", "email", "user_id", "id"];

/// How a source is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// An id or a login a line; blank lines and lines that start with # are left out.
    Lines,
    /// CSV with a header.
    Csv,
    /// A JSON object or text a line.
    Jsonl,
}

/// A person, by the one or the other name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Id(String),
    Login(String),
}

/// What a source held. Nobody is in it twice by the same name.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    pub(crate) ids: Vec<String>,
    /// As they were written; compared without regard to case, as the service compares them.
    pub(crate) logins: Vec<String>,
    pub(crate) rejected: Vec<Rejected>,
    /// How many were dropped, as they were there before.
    pub(crate) repeated: usize,
    seen_ids: HashSet<String>,
    seen_logins: HashSet<String>,
}

/// A line that names nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// The file's name, or "stdin".
    pub(crate) source: String,
    /// Counts from 1; the header of CSV is a line.
    pub(crate) line: u64,
    pub(crate) why: String,
}

/// Reads whom to end from a file, or from standard input for `-`.
///
/// Without a format, the extension says it: `.csv`, `.jsonl` and `.ndjson`, and plain lines for all
/// others. A line that names nobody is rejected, and reading goes on; it may be that all of them
/// are. A source that cannot be read, or has no entry at all, is an error.
pub(crate) fn read(source: &Path, format: Option<Format>, column: Option<&str>) -> Result<Targets, Usage> {
    let stdin = source.as_os_str() == "-";
    let name = if stdin { "stdin".to_owned() } else { source.display().to_string() };
    let bytes = if stdin { limited(std::io::stdin().lock()) } else { File::open(source).and_then(limited) };
    let bytes = bytes.map_err(|error| {
        Usage(format!("cannot read {name}: {error}; name a file that you may read, or - for standard input"))
    })?;
    if bytes.len() as u64 > SOURCE_BYTES_MAX {
        return Err(Usage(format!("{name} is larger than {} MiB; split it", SOURCE_BYTES_MAX >> 20)));
    }
    parse(&name, &bytes, format.unwrap_or_else(|| Format::of(source)), column)
}

/// Reads to the end, or one byte beyond the limit.
fn limited(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(SOURCE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(name: &str, bytes: &[u8], format: Format, column: Option<&str>) -> Result<Targets, Usage> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Usage(format!("{name} is UTF-16; save it as UTF-8")));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut targets = Targets::default();
    let wanted = match format {
        Format::Lines if column.is_some() => {
            let why =
                format!("{name} is read as plain lines, which have no columns; add --format csv or jsonl");
            return Err(Usage(why));
        }
        Format::Lines => {
            targets
                .read_lines(name, bytes, |text| (!text.starts_with('#')).then(|| Kind::ByValue.target(text)));
            "write an id or a login on each line"
        }
        Format::Jsonl => {
            let names = names(column);
            targets.read_lines(name, bytes, |text| Some(json_target(text, &names)));
            "write an object with a login or an id on each line"
        }
        Format::Csv => {
            table::read(name, bytes, &names(column), &mut targets)?;
            "write a header, and a person on each line below it"
        }
    };
    if targets.ids.is_empty() && targets.logins.is_empty() && targets.rejected.is_empty() {
        return Err(Usage(format!("{name} names nobody; {wanted}")));
    }
    Ok(targets)
}

impl Format {
    fn of(source: &Path) -> Self {
        let extension = source.extension().map(|e| e.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("csv") => Self::Csv,
            Some("jsonl" | "ndjson") => Self::Jsonl,
            _ => Self::Lines,
        }
    }
}

impl Targets {
    /// Takes one more, or counts it as repeated.
    pub(crate) fn take(&mut self, target: Target) {
        let new = match target {
            Target::Id(id) => {
                let new = self.seen_ids.insert(id.clone());
                self.ids.extend(new.then_some(id));
                new
            }
            Target::Login(login) => {
                let new = self.seen_logins.insert(fold(&login));
                self.logins.extend(new.then_some(login));
                new
            }
        };
        self.repeated += usize::from(!new);
    }

    /// Takes those of another source.
    pub(crate) fn append(&mut self, other: Self) {
        other.ids.into_iter().for_each(|id| self.take(Target::Id(id)));
        other.logins.into_iter().for_each(|login| self.take(Target::Login(login)));
        self.rejected.extend(other.rejected);
        self.repeated += other.repeated;
    }

    fn settle(&mut self, source: &str, line: u64, found: Result<Target, String>) {
        match found {
            Ok(target) => self.take(target),
            Err(why) => self.rejected.push(Rejected { source: source.to_owned(), line, why }),
        }
    }

    /// Reads every line that is not blank; `parse` gives `None` for one that is left out.
    fn read_lines(
        &mut self,
        name: &str,
        bytes: &[u8],
        parse: impl Fn(&str) -> Option<Result<Target, String>>,
    ) {
        for (line, raw) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            // What is not UTF-8 may still be left out: a comment's text does not matter.
            let decoded = String::from_utf8_lossy(raw);
            let text = decoded.trim();
            match if text.is_empty() { None } else { parse(text) } {
                Some(_) if matches!(decoded, Cow::Owned(_)) => {
                    self.settle(name, line, Err("not UTF-8".to_owned()));
                }
                Some(found) => self.settle(name, line, found),
                None => {}
            }
        }
    }
}

/// What a value must be.
#[derive(Clone, Copy)]
enum Kind {
    Id,
    Login,
    ByValue,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "id" | "user_id" => Self::Id,
            "login" | "user_login" | "email" => Self::Login,
            _ => Self::ByValue,
        }
    }

    fn target(self, text: &str) -> Result<Target, String> {
        let text = text.trim();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let why = match self {
            _ if text.is_empty() => "empty",
            Self::Id | Self::ByValue if digits => return Ok(Target::Id(text.to_owned())),
            Self::Id => "not an id (digits)",
            Self::ByValue if !text.contains('@') => "neither an id (digits) nor a login (with @)",
            _ if text.contains(char::is_whitespace) => "a login with a space inside",
            _ if text.contains(char::is_control) => "a login with a control character inside",
            _ => return Ok(Target::Login(text.to_owned())),
        };
        Err(why.to_owned())
    }
}

/// The names to look for, folded.
fn names(column: Option<&str>) -> Vec<String> {
    column.map_or_else(|| NAMES.map(str::to_owned).to_vec(), |column| vec![fold(column)])
}

/// The first of the `names` that is there, and what stands at it.
fn first_of<'a, T>(names: &[String], there: impl Iterator<Item = (&'a str, T)>) -> Option<(Kind, T)> {
    let rank = |name: &str| {
        let name = fold(name);
        names.iter().position(|wanted| *wanted == name)
    };
    let ranked = there.filter_map(|(name, at)| Some((rank(name)?, at)));
    let (rank, at) = ranked.min_by_key(|(rank, _)| *rank)?;
    Some((Kind::of(&names[rank]), at))
}

fn json_target(text: &str, names: &[String]) -> Result<Target, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object_target(&object, names),
        Ok(value @ (Value::String(_) | Value::Number(_))) => value_target(Kind::ByValue, &value),
        Ok(_) => Err("neither an object nor a text".to_owned()),
        Err(_) => Err("not JSON".to_owned()),
    }
}

/// A key that is null is as good as absent: it is how the service shows a user without a login.
fn object_target(object: &Map<String, Value>, names: &[String]) -> Result<Target, String> {
    let there = object.iter().filter(|(_, value)| !value.is_null());
    match first_of(names, there.map(|(name, value)| (name.as_str(), value))) {
        Some((kind, value)) => value_target(kind, value),
        None => Err(format!("has no {}", listed(names))),
    }
}

fn value_target(kind: Kind, value: &Value) -> Result<Target, String> {
    match (kind, value) {
        (_, Value::String(text)) => kind.target(text),
        // A larger one was rounded when it was read: it names another person.
        (Kind::Id | Kind::ByValue, Value::Number(number)) if number.is_u64() => {
            Ok(Target::Id(number.to_string()))
        }
        (Kind::Id | Kind::ByValue, Value::Number(_)) => {
            Err("not an id (digits, and in quotes where it is that long)".to_owned())
        }
        _ => Err("neither a text nor an id".to_owned()),
    }
}

/// `a, b or c`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn lines(text: &str) -> Targets {
        parse("people", text.as_bytes(), Format::Lines, None).expect("it names somebody")
    }

    fn jsonl(text: &str, column: Option<&str>) -> Targets {
        parse("people", text.as_bytes(), Format::Jsonl, column).expect("it names somebody")
    }

    fn why(targets: &Targets) -> Vec<(u64, &str)> {
        targets.rejected.iter().map(|rejected| (rejected.line, rejected.why.as_str())).collect()
    }

    #[test]
    fn plain_lines_are_ids_and_logins_and_all_else_is_rejected_by_number() {
        let targets = lines("\u{feff}12\r\n\r\n  ann@x.test \n# who left\nann\na nn@x\n\u{1}a@x\n12");
        assert_eq!((&targets.ids, &targets.logins), (&vec!["12".to_owned()], &vec!["ann@x.test".to_owned()]));
        assert_eq!(targets.repeated, 1);
        let expected = [
            (5, "neither an id (digits) nor a login (with @)"),
            (6, "a login with a space inside"),
            (7, "a login with a control character inside"),
        ];
        assert_eq!(why(&targets), expected);
        assert_eq!(targets.rejected[0].source, "people");
    }

    #[test]
    fn logins_repeat_without_regard_to_case_and_stay_as_they_were_first_written() {
        let targets = lines("Änn@X.test\nänn@x.TEST\n7\n07");
        assert_eq!(targets.logins, ["Änn@X.test"]);
        assert_eq!((targets.ids.len(), targets.repeated), (2, 1));
    }

    #[test]
    fn a_line_that_is_not_utf8_is_rejected_unless_it_is_a_comment() {
        let targets = parse("people", b"# M\xfcller\nm\xfcller@x\nann@x", Format::Lines, None);
        let targets = targets.expect("it names somebody");
        assert_eq!((why(&targets), targets.logins.len()), (vec![(2, "not UTF-8")], 1));
    }

    #[test]
    fn json_lines_are_objects_texts_and_ids() {
        let text = "{\"id\": 12, \"login\": null}\n{\"Email\": \"ann@x\", \"id\": 3}\n\"bob@x\"\n7\n\n{\"user_login\":\"cy\"}";
        let targets = jsonl(text, None);
        assert_eq!(
            (targets.ids, targets.logins),
            (vec!["12".into(), "7".into()], vec!["ann@x".into(), "bob@x".into(), "cy".into()])
        );
        let rejected = jsonl(
            "{\"id\": 1.5}\n{\"id\": 99999999999999999999}\n{\"login\": 3}\n[1]\n{\"name\": \"Ann\"}\n{",
            None,
        );
        let id = "not an id (digits, and in quotes where it is that long)";
        let expected = [
            (1, id),
            (2, id),
            (3, "neither a text nor an id"),
            (4, "neither an object nor a text"),
            (5, "has no login, user_login, email, user_id or id"),
            (6, "not JSON"),
        ];
        assert_eq!(why(&rejected), expected);
    }

    #[test]
    fn a_named_key_is_read_by_its_value() {
        let targets = jsonl("{\"Who\": \"ann@x\", \"id\": 3}\n{\"who\": 4}\n{\"who\": \"x\"}", Some(" WHO "));
        assert_eq!((targets.ids, targets.logins), (vec!["4".to_owned()], vec!["ann@x".to_owned()]));
        assert_eq!(targets.rejected.len(), 1);
    }

    #[test]
    fn what_cannot_be_read_says_what_to_do() {
        let error = |result: Result<Targets, Usage>| result.expect_err("it cannot be read").to_string();
        let missing = error(read(Path::new("/nowhere/people.csv"), None, None));
        assert!(missing.starts_with("cannot read /nowhere/people.csv: No such file"), "{missing}");
        let lines = |bytes| error(parse("people", bytes, Format::Lines, None));
        assert_eq!(lines(b"\n# none\n"), "people names nobody; write an id or a login on each line");
        assert_eq!(lines(b"\xff\xfea\0"), "people is UTF-16; save it as UTF-8");
        let column = error(parse("people", b"1", Format::Lines, Some("id")));
        assert!(column.ends_with("add --format csv or jsonl"), "{column}");
    }

    #[test]
    fn the_extension_says_the_format() {
        let folder = tempfile::tempdir().expect("a folder");
        for (file, text) in [("a.CSV", "id\n1"), ("a.ndjson", "{\"id\":1}"), ("a.jsonl", "\"1\""), ("a", "1")]
        {
            let path = folder.path().join(file);
            std::fs::write(&path, text).expect("written");
            assert_eq!(read(&path, None, None).expect("read").ids, ["1"], "{file}");
        }
    }

    #[test]
    fn a_hundred_thousand_lines_take_no_time_to_speak_of() {
        let csv: String =
            (0..100_000).map(|n| format!("Name {n},\"Office, {n}\",person{n}@example.test\n")).collect();
        let json: String =
            (0..100_000).map(|n| format!("{{\"id\":\"{n}\",\"name\":\"Name {n}\"}}\n")).collect();
        let plain: String = (0..100_000).map(|n| format!("person{n}@example.test\n")).collect();
        let csv = format!("name,office,login\n{csv}");
        for (text, format) in [(plain, Format::Lines), (csv, Format::Csv), (json, Format::Jsonl)] {
            let start = Instant::now();
            let targets = parse("people", text.as_bytes(), format, None).expect("it names somebody");
            assert_eq!(targets.ids.len() + targets.logins.len(), 100_000);
            // A build with optimisation takes a fraction of this: 0.1 s.
            let took = start.elapsed();
            assert!(took < Duration::from_secs(5), "{format:?}: {took:?}");
        }
    }

    proptest! {
        #[test]
        fn every_line_that_is_not_blank_is_taken_repeated_or_rejected(
            all in prop::collection::vec("[ \t]{0,2}(#|[0-9]{0,2}|[a-cA-C]@x|\\PC{0,9}|[\\x00-\\x09]{0,3})[ \t\r]{0,2}", 0..40)
        ) {
            let text = all.join("\n");
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let counted = text.split('\n').map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).count();
            let (taken, rest) = parse("people", text.as_bytes(), Format::Lines, None)
                .map_or((0, 0), |t| (t.ids.len() + t.logins.len() + t.repeated, t.rejected.len()));
            prop_assert_eq!(taken + rest, counted);
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes: Vec<u8>, text in "(login|id|[\"a@,;1{}:\\[\\]\r\n\\\\ ]){0,40}") {
            for format in [Format::Lines, Format::Csv, Format::Jsonl] {
                for column in [None, Some("id"), Some("")] {
                    let _ = parse("people", &bytes, format, column);
                    let _ = parse("people", text.as_bytes(), format, column);
                }
            }
        }
    }
}
