//! What a stored session says of its user and its begin. Nothing stored is ever executed.
//!
//! Each format has a reader of its own; all are bounded by the length of the value, however it is
//! made.

mod django;
mod json;
mod msgpack;
mod pickle;

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// How a session's value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// A JSON object whose values are themselves JSON, as texts: `{"user_id": "\"ann\""}`.
    JsonTexts,
    /// Django's signed session data, with JSON in it.
    Django,
    /// MessagePack: a map, or a list.
    Msgpack,
    /// Python's pickle, protocols 0 to 5: a dict. It is read as plain data; classes and calls are
    /// passed over.
    Pickle,
}

/// Where something stands in a value: names, or numbers in a list, from the outside in.
///
/// Written as names joined by dots (`passport.user`), or as a list where a name itself holds a dot
/// (`["actix_identity.user_id"]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<String>);

impl Path {
    /// A path of these names.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// The names.
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.iter().any(|name| name.contains('.')) {
            return write!(f, "{:?}", self.0);
        }
        f.write_str(&self.0.join("."))
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Dotted(String),
            Names(Vec<String>),
        }
        let names: Vec<String> = match Written::deserialize(deserializer)? {
            Written::Dotted(text) => text.split('.').map(ToOwned::to_owned).collect(),
            Written::Names(names) => names,
        };
        if names.is_empty() || names.iter().any(String::is_empty) {
            return Err(D::Error::custom("a path is names joined by dots, such as user.login"));
        }
        Ok(Self(names))
    }
}

/// A plain value that stands at a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    /// A text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
}

impl Scalar {
    /// A user's name as text; a number is written in decimal.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Int(n) => n.to_string(),
            Self::Float(n) => n.to_string(),
        }
    }

    /// A time: milliseconds since 1970, or RFC 3339.
    pub(crate) fn time_ms(&self) -> Option<i64> {
        match self {
            Self::Text(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
            Self::Int(ms) => Some(*ms),
            Self::Float(_) => None,
        }
    }
}

/// Why a value is no session of the configured format.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(pub(crate) &'static str);

/// What stands at some paths, in the order of the paths.
pub(crate) type Found = Vec<Option<Scalar>>;

/// Reads what stands at some paths of a value.
pub(crate) fn read(format: Format, bytes: &[u8], paths: &[&Path]) -> Result<Found, Unreadable> {
    match format {
        Format::Json => json::read(bytes, paths, false),
        Format::JsonTexts => json::read(bytes, paths, true),
        Format::Django => json::read(&django::unpack(bytes)?, paths, false),
        Format::Msgpack => msgpack::read(bytes, paths),
        Format::Pickle => pickle::read(bytes, paths),
    }
}

/// Whether a value begins and ends like one of this format: a cheap look that takes nothing else in.
pub(crate) fn looks_like(format: Format, bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    match format {
        Format::Json | Format::JsonTexts => {
            let text = bytes.trim_ascii();
            text.first() == Some(&b'{') && text.last() == Some(&b'}')
        }
        // Base64, with a dot before it where it is compressed.
        Format::Django => bytes.contains(&b':') && (*first == b'.' || first.is_ascii_alphanumeric()),
        // A map or a list, short or long.
        Format::Msgpack => matches!(first, 0x80..=0x9f | 0xdc..=0xdf),
        Format::Pickle => pickle::begins_like_a_dict(bytes) && *last == b'.',
    }
}

/// What a value must hold, as bytes, if one of the `names` stands in it; none: that cannot be said of
/// this format and these names, and every value is to be read.
///
/// Each format can write a text otherwise than plain: what it then cannot do without is in the answer.
pub(crate) fn traces<'n>(format: Format, names: impl Iterator<Item = &'n str>) -> Option<Vec<Cow<'n, [u8]>>> {
    let (mut traces, mut odd) = (Vec::new(), false);
    for name in names {
        // A number in binary leaves no digits, and 1e3 is not how 1000 is compared.
        let number = name.parse::<f64>().is_ok();
        let plain_number = name.parse::<i64>().is_ok();
        if name.is_empty() || number && (!plain_number || matches!(format, Format::Msgpack | Format::Pickle))
        {
            return None;
        }
        odd |= name.contains(|c: char| c.is_control() || "\"\\/".contains(c));
        traces.push(Cow::Borrowed(name.as_bytes()));
    }
    match format {
        Format::Json | Format::JsonTexts if odd => traces.push(Cow::Borrowed(b"\\")),
        Format::Json | Format::JsonTexts => traces.push(Cow::Borrowed(b"\\u")),
        // Base64 hides every text.
        Format::Django => return None,
        Format::Msgpack => {}
        // Protocol 0 writes texts with escapes, and what Latin-1 has as single bytes.
        Format::Pickle if traces.iter().any(|name| !name.is_ascii()) => return None,
        Format::Pickle => traces.push(Cow::Borrowed(b"\\")),
    }
    Some(traces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMATS: [Format; 4] = [Format::Json, Format::JsonTexts, Format::Msgpack, Format::Pickle];

    #[test]
    fn paths_are_dotted_or_lists() {
        let path = |text: &str| serde_json::from_str::<Path>(text);
        assert_eq!(path(r#""a.b""#).expect("a path"), Path::new(["a", "b"]));
        assert_eq!(path(r#"["a.b", "c"]"#).expect("a path"), Path::new(["a.b", "c"]));
        assert_eq!(path(r#"["a.b", "c"]"#).expect("a path").to_string(), r#"["a.b", "c"]"#);
        for wrong in [r#""""#, r#""a..b""#, "[]", r#"[""]"#, "7"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_that_a_format_writes_in_binary_leave_no_trace() {
        let traces = |format, name: &'static str| traces(format, [name].into_iter());
        assert_eq!(traces(Format::Msgpack, "7"), None);
        assert_eq!(traces(Format::Pickle, "7"), None);
        assert_eq!(traces(Format::Json, "1000.0"), None, "1e3 is read as it");
        assert!(traces(Format::Json, "7").is_some() && traces(Format::Msgpack, "ann").is_some());
    }

    /// Every way to write a character in JSON.
    fn written(c: char, how: u8) -> String {
        match (how % 3, c) {
            (1, '/') => "\\/".to_owned(),
            (0 | 1, _) => plain(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        }
    }

    fn plain(c: char) -> String {
        let quoted = serde_json::to_string(&c).expect("a character is JSON");
        quoted[1..quoted.len() - 1].to_owned()
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_fail_otherwise_than_by_saying_so(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let paths = [&Path::new(["a"]), &Path::new(["0", "1"])];
            for format in FORMATS {
                let read = read(format, &bytes, &paths);
                prop_assert!(read.is_err() || looks_like(format, &bytes), "{format:?} {bytes:?}");
            }
        }

        #[test]
        fn a_name_leaves_a_trace_however_json_writes_it(
            name in "[a-z\"/\\\\\u{1}\u{e9}\u{1f600}]{1,4}", how in any::<[u8; 4]>(), texts in any::<bool>(),
        ) {
            let text: String = name.chars().zip(how).map(|(c, how)| written(c, how)).collect();
            let mut value = format!("{{\"user\":\"{text}\"}}");
            let format = if texts { Format::JsonTexts } else { Format::Json };
            if texts {
                value = serde_json::json!({"user": format!("\"{text}\"")}).to_string();
            }
            let read = read(format, value.as_bytes(), &[&Path::new(["user"])]).expect("JSON");
            prop_assert_eq!(read, [Some(Scalar::Text(name.clone()))]);
            let traces = traces(format, [name.as_str()].into_iter()).expect("no number");
            let left = traces.iter().any(|t| holds(value.as_bytes(), t));
            prop_assert!(left, "{}", value);
        }
    }

    fn holds(haystack: &[u8], needle: &[u8]) -> bool {
        haystack.windows(needle.len()).any(|window| window == needle)
    }
}
