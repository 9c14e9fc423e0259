//! JSON, and JSON whose values are JSON written as texts.

use serde_json::Value;

use super::{Found, Path, Scalar, Unreadable};

/// Reads paths of an object. `texts`: what stands under the first name is JSON written as a text.
pub(super) fn read(bytes: &[u8], paths: &[&Path], texts: bool) -> Result<Found, Unreadable> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Unreadable("not JSON"))?;
    if !value.is_object() {
        return Err(Unreadable("JSON, but not an object"));
    }
    Ok(paths.iter().map(|path| at(&value, path.names(), texts)).collect())
}

/// Follows names into a value.
fn at(value: &Value, names: &[String], texts: bool) -> Option<Scalar> {
    let (first, rest) = names.split_first()?;
    let found = value.get(first)?;
    let inner: Value = match found {
        Value::String(text) if texts => serde_json::from_str(text).ok()?,
        _ => return scalar(follow(found, rest)?),
    };
    scalar(follow(&inner, rest)?)
}

fn follow<'v>(value: &'v Value, names: &[String]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

fn scalar(value: &Value) -> Option<Scalar> {
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

    fn text(bytes: &[u8], path: &Path, texts: bool) -> Option<String> {
        read(bytes, &[path], texts).expect("JSON").remove(0).map(Scalar::into_text)
    }

    #[test]
    fn users_are_found_by_path_as_text_or_number() {
        let session = br#"{"passport": {"user": 7}, "user": "ann", "a.b": ["x", "bob"], "yes": true}"#;
        let read = |path: &Path| text(session, path, false);
        assert_eq!(read(&Path::new(["passport", "user"])).as_deref(), Some("7"));
        assert_eq!(read(&Path::new(["user"])).as_deref(), Some("ann"));
        assert_eq!(read(&Path::new(["user", "id"])), None);
        assert_eq!(read(&Path::new(["yes"])), None);
        assert_eq!(read(&Path::new(["a.b", "1"])).as_deref(), Some("bob"));
    }

    /// Written by actix-session 0.11.0 with its `RedisSessionStore`, after `session.insert("user_id",
    /// "ann")` and a sign-in by actix-identity 0.9.0.
    const ACTIX: &[u8] = br#"{"actix_identity.user_id":"\"ann\"","user_id":"\"ann\""}"#;

    #[test]
    fn texts_that_hold_json_are_read_through() {
        assert_eq!(text(ACTIX, &Path::new(["user_id"]), true).as_deref(), Some("ann"));
        assert_eq!(text(ACTIX, &Path::new(["actix_identity.user_id"]), true).as_deref(), Some("ann"));
        let nested = br#"{"user":"{\"id\":7}","broken":"{"}"#;
        assert_eq!(text(nested, &Path::new(["user", "id"]), true).as_deref(), Some("7"));
        assert_eq!(text(nested, &Path::new(["broken"]), true), None);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
        assert_eq!(read(deep.as_bytes(), &[], false), Err(Unreadable("not JSON")));
        let inside = serde_json::json!({"user": "[".repeat(1_000_000)}).to_string();
        assert_eq!(text(inside.as_bytes(), &Path::new(["user"]), true), None);
    }
}
