//! MessagePack.

use rmpv::ValueRef;
use rmpv::decode::read_value_ref_with_max_depth;

use super::{Found, Path, Scalar, Unreadable};

/// The most maps and lists inside each other.
const DEPTH_MAX: usize = 64;

/// Reads paths of a map or a list. A length that a header claims allocates nothing by itself.
pub(super) fn read(mut bytes: &[u8], paths: &[&Path]) -> Result<Found, Unreadable> {
    let value =
        read_value_ref_with_max_depth(&mut bytes, DEPTH_MAX).map_err(|_| Unreadable("not MessagePack"))?;
    if !matches!(value, ValueRef::Map(_) | ValueRef::Array(_)) {
        return Err(Unreadable("MessagePack, but neither a map nor a list"));
    }
    if !bytes.is_empty() {
        return Err(Unreadable("MessagePack, but more follows"));
    }
    Ok(paths.iter().map(|path| scalar(follow(&value, path.names())?)).collect())
}

fn follow<'v>(value: &'v ValueRef<'v>, names: &[String]) -> Option<&'v ValueRef<'v>> {
    names.iter().try_fold(value, |value, name| match value {
        ValueRef::Array(items) => items.get(name.parse::<usize>().ok()?),
        ValueRef::Map(entries) => {
            let entry = entries.iter().rev().find(|(key, _)| is_named(key, name));
            entry.map(|(_, value)| value)
        }
        _ => None,
    })
}

fn is_named(key: &ValueRef<'_>, name: &str) -> bool {
    match key {
        ValueRef::String(text) => text.as_bytes() == name.as_bytes(),
        ValueRef::Integer(n) => n.to_string() == name,
        _ => false,
    }
}

fn scalar(value: &ValueRef<'_>) -> Option<Scalar> {
    match value {
        ValueRef::String(text) => text.as_str().map(|text| Scalar::Text(text.to_owned())),
        ValueRef::Binary(bytes) => std::str::from_utf8(bytes).ok().map(|text| Scalar::Text(text.to_owned())),
        ValueRef::Integer(n) => n.as_i64().map(Scalar::Int).or_else(|| Some(Scalar::Text(n.to_string()))),
        ValueRef::F32(n) => Some(Scalar::Float(f64::from(*n))),
        ValueRef::F64(n) => Some(Scalar::Float(*n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<const N: usize>(bytes: &[u8], path: [&str; N]) -> Option<String> {
        read(bytes, &[&Path::new(path)]).expect("MessagePack").remove(0).map(Scalar::into_text)
    }

    /// Written by Flask-Session 0.8.0 with msgspec 0.22.0 (`SESSION_TYPE = "redis"`).
    const FLASK: &[u8] =
        b"\x84\xaa_permanent\xc3\xa8_user_id\xa3ann\xa6_fresh\xc3\xa4cart\x93\x01\xcb@\x04\x00\x00\x00\x00\x00\x00\xc0";

    /// A `Record` of tower-sessions-core 0.14.0 with the data of axum-login 0.18.0, as
    /// tower-sessions-redis-store 0.16.0 writes it (rmp-serde); first with a text, then a number.
    const TOWER: [&[u8]; 2] = [
        b"\x93\xc4\x10\xcdc\x82\xcc\x8b6\x03\x83<\xa0\xee\xf8z\xc8pi\x81\xafaxum-login.data\x82\xa9auth_hash\x92ha\xa7user_id\xa3ann\x99\xcd\x07\xea\x02\x03\x04\x05\x00\x00\x00\x00",
        b"\x93\xc4\x10\x9cT\x1f\x0c\xbb\x0fH:$\xedB\xb5\x96\xabu\xb4\x81\xafaxum-login.data\x82\xa9auth_hash\x92ha\xa7user_id\x07\x99\xcd\x07\xea\x02\x03\x04\x05\x00\x00\x00\x00",
    ];

    #[test]
    fn real_sessions_are_read() {
        assert_eq!(text(FLASK, ["_user_id"]).as_deref(), Some("ann"));
        assert_eq!(text(FLASK, ["cart", "1"]).as_deref(), Some("2.5"));
        assert_eq!(text(FLASK, ["_permanent"]), None);
        assert_eq!(text(TOWER[0], ["1", "axum-login.data", "user_id"]).as_deref(), Some("ann"));
        assert_eq!(text(TOWER[1], ["1", "axum-login.data", "user_id"]).as_deref(), Some("7"));
    }

    #[test]
    fn lengths_that_lie_and_depth_are_refused() {
        for bytes in [&b"\xdf\xff\xff\xff\xff"[..], b"\xdd\xff\xff\xff\xff\x01", b"\xdb\xff\xff\xff\xff", b""]
        {
            assert_eq!(read(bytes, &[]), Err(Unreadable("not MessagePack")));
        }
        assert_eq!(read(&vec![0x91; 1_000_000], &[]), Err(Unreadable("not MessagePack")));
        assert!(read(b"\x80\x04.", &[]).is_err(), "a pickle of protocol 4 begins like an empty map");
        assert!(read(b"\x07", &[]).is_err());
    }
}
