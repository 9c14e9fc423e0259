//! What a stored session says of its user and its begin. Nothing stored is ever executed.

mod django;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// How a session's value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// Django's signed session data, with JSON in it.
    Django,
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

/// Reads what stands at some paths of a value.
pub(crate) fn read(format: Format, bytes: &[u8], paths: &[&Path]) -> Result<Vec<Option<Scalar>>, Unreadable> {
    match format {
        Format::Json => read_json(bytes, paths),
        Format::Django => read_json(&django::unpack(bytes)?, paths),
    }
}

fn read_json(bytes: &[u8], paths: &[&Path]) -> Result<Vec<Option<Scalar>>, Unreadable> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Unreadable("not JSON"))?;
    if !value.is_object() {
        return Err(Unreadable("JSON, but not an object"));
    }
    Ok(paths.iter().map(|path| scalar_of_json(at(&value, path.names())?)).collect())
}

/// Follows names into a JSON value.
fn at<'v>(value: &'v Value, names: &[String]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

fn scalar_of_json(value: &Value) -> Option<Scalar> {
    match value {
        Value::String(text) => Some(Scalar::Text(text.clone())),
        Value::Number(number) => Some(match number.as_i64() {
            Some(n) => Scalar::Int(n),
            None => Scalar::Text(number.to_string()),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_path_as_text_or_number() {
        let session = br#"{"passport": {"user": 7}, "user": "ann", "a.b": ["x", "bob"]}"#;
        let read = |path: &Path| {
            read(Format::Json, session, &[path]).expect("JSON").remove(0).map(Scalar::into_text)
        };
        assert_eq!(read(&Path::new(["passport", "user"])).as_deref(), Some("7"));
        assert_eq!(read(&Path::new(["user"])).as_deref(), Some("ann"));
        assert_eq!(read(&Path::new(["user", "id"])), None);
        assert_eq!(read(&Path::new(["a.b", "1"])).as_deref(), Some("bob"));
    }
}
