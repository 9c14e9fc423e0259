//! Values of a column as the three databases send them, and times among them.

use sqlx::mysql::MySqlRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, TypeInfo, ValueRef};

/// The milliseconds from 1970 to 2000, where PostgreSQL's times begin.
const Y2000_MS: i64 = 946_684_800_000;

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Text(String),
    Bytes(Vec<u8>),
    Int(i64),
    Float(f64),
    /// Milliseconds since 1970.
    Time(i64),
    /// A time without a zone, as if it were UTC.
    TimeWithoutZone(i64),
    /// Of a type that nothing is read from.
    Other,
}

/// How the times in a column are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// The milliseconds of a number's unit.
    pub(super) unit_ms: i64,
    /// Whether a time without a zone is UTC.
    pub(super) are_utc: bool,
}

impl Value {
    /// A name or a key as text; a number is written in decimal, bytes that are no text in hex.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Int(n) => Some(n.to_string()),
            Self::Bytes(bytes) => Some(
                String::from_utf8(bytes.clone())
                    .unwrap_or_else(|_| bytes.iter().map(|b| format!("{b:02x}")).collect()),
            ),
            _ => None,
        }
    }

    /// A key as bytes: what is digested and shown of it.
    pub(super) fn key_bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Int(n) => Some(n.to_string().into_bytes()),
            Self::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// A stored session.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A time. What could be read in two ways is unknown: a begin read wrongly could spare an old session.
    pub(super) fn time_ms(&self, times: Times) -> Option<i64> {
        match self {
            Self::Time(ms) => Some(*ms),
            Self::TimeWithoutZone(ms) => times.are_utc.then_some(*ms),
            Self::Int(n) => n.checked_mul(times.unit_ms),
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "checked")]
            Self::Float(n) => {
                let ms = n * times.unit_ms as f64;
                (ms.is_finite() && ms.abs() < 1e15).then_some(ms as i64)
            }
            Self::Text(text) => match text.parse::<jiff::Timestamp>() {
                Ok(at) => Some(at.as_millisecond()),
                Err(_) => without_zone(text).filter(|_| times.are_utc),
            },
            Self::Null | Self::Bytes(_) | Self::Other => None,
        }
    }
}

/// Reads `2026-11-22 10:00:00.5` or the same with a `T`, as if it were UTC.
fn without_zone(text: &str) -> Option<i64> {
    let time: jiff::civil::DateTime = text.trim().parse().ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// A row's columns in order.
pub(super) trait Columns {
    fn columns(&self) -> Result<Vec<Value>, sqlx::Error>;
}

impl Columns for SqliteRow {
    fn columns(&self) -> Result<Vec<Value>, sqlx::Error> {
        (0..self.len())
            .map(|n| {
                let raw = self.try_get_raw(n)?;
                let (null, kind) = (raw.is_null(), raw.type_info().name().to_owned());
                drop(raw);
                Ok(match kind.as_str() {
                    _ if null => Value::Null,
                    "INTEGER" => Value::Int(self.try_get_unchecked(n)?),
                    "REAL" => Value::Float(self.try_get_unchecked(n)?),
                    // SQLite holds what it is given, whatever it calls it.
                    "TEXT" => String::from_utf8(self.try_get_unchecked(n)?).map_or(Value::Other, Value::Text),
                    "BLOB" => Value::Bytes(self.try_get_unchecked(n)?),
                    _ => Value::Other,
                })
            })
            .collect()
    }
}

impl Columns for PgRow {
    fn columns(&self) -> Result<Vec<Value>, sqlx::Error> {
        (0..self.len())
            .map(|n| {
                let raw = self.try_get_raw(n)?;
                if raw.is_null() {
                    return Ok(Value::Null);
                }
                let kind = raw.type_info().name().to_owned();
                let bytes = raw.as_bytes().map_err(sqlx::Error::Decode)?;
                Ok(postgres(&kind, bytes).unwrap_or(Value::Other))
            })
            .collect()
    }
}

/// Reads PostgreSQL's binary form.
fn postgres(kind: &str, bytes: &[u8]) -> Option<Value> {
    let int = || Some(i64::from_be_bytes(bytes.try_into().ok()?));
    Some(match kind {
        "INT2" => Value::Int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        "INT4" => Value::Int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        "INT8" => Value::Int(int()?),
        "FLOAT4" => Value::Float(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        "FLOAT8" => Value::Float(f64::from_be_bytes(bytes.try_into().ok()?)),
        "NUMERIC" => Value::Float(numeric(bytes)?),
        "TIMESTAMPTZ" => Value::Time(int()?.div_euclid(1_000).checked_add(Y2000_MS)?),
        "TIMESTAMP" => Value::TimeWithoutZone(int()?.div_euclid(1_000).checked_add(Y2000_MS)?),
        "BYTEA" => Value::Bytes(bytes.to_vec()),
        "UUID" => Value::Text(uuid_text(bytes)?),
        "JSONB" => Value::Bytes(bytes.get(1..)?.to_vec()),
        "BOOL" | "DATE" | "TIME" | "TIMETZ" | "INTERVAL" | "MONEY" => Value::Other,
        // Texts, and what sends itself as text: JSON, enums, citext.
        _ => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
    })
}

/// PostgreSQL's numeric: digits to the base of 10,000, the first with a weight.
fn numeric(bytes: &[u8]) -> Option<f64> {
    let words: Vec<i16> = bytes.chunks_exact(2).map(|w| i16::from_be_bytes([w[0], w[1]])).collect();
    let [_, weight, sign, _, digits @ ..] = words.as_slice() else { return None };
    let mut value = 0.0;
    for (n, digit) in digits.iter().enumerate() {
        value += f64::from(*digit) * 10_000_f64.powi(i32::from(*weight) - i32::try_from(n).ok()?);
    }
    match sign {
        0 => Some(value),
        0x4000 => Some(-value),
        _ => None,
    }
}

fn uuid_text(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// The 16 bytes of a UUID in any of its written forms.
pub(super) fn uuid_bytes(text: &str) -> Option<Vec<u8>> {
    let hex: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    if hex.len() != 32 || !hex.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    hex.chunks_exact(2).map(byte).collect()
}

impl Columns for MySqlRow {
    fn columns(&self) -> Result<Vec<Value>, sqlx::Error> {
        (0..self.len())
            .map(|n| {
                let raw = self.try_get_raw(n)?;
                if raw.is_null() {
                    return Ok(Value::Null);
                }
                let kind = raw.type_info().name().to_owned();
                Ok(match kind.as_str() {
                    kind if kind.contains("INT") && kind.ends_with("UNSIGNED") => {
                        let n: u64 = self.try_get_unchecked(n)?;
                        i64::try_from(n).map_or_else(|_| Value::Text(n.to_string()), Value::Int)
                    }
                    kind if kind.contains("INT") => Value::Int(self.try_get_unchecked(n)?),
                    "FLOAT" => Value::Float(self.try_get_unchecked::<f32, _>(n)?.into()),
                    "DOUBLE" => Value::Float(self.try_get_unchecked(n)?),
                    "BOOLEAN" | "BIT" | "TIME" | "YEAR" | "DATE" | "GEOMETRY" => Value::Other,
                    kind => mysql(kind, self.try_get_unchecked(n)?),
                })
            })
            .collect()
    }
}

/// Reads what MySQL sends as bytes. Connections speak UTC, so a TIMESTAMP is known.
fn mysql(kind: &str, bytes: Vec<u8>) -> Value {
    match kind {
        "TIMESTAMP" => mysql_time(&bytes).map_or(Value::Other, Value::Time),
        "DATETIME" => mysql_time(&bytes).map_or(Value::Other, Value::TimeWithoutZone),
        "DECIMAL" => {
            let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
            number.map_or(Value::Other, Value::Float)
        }
        // MariaDB's UUID comes as bytes, and is compared as the text that it is.
        kind if (kind.ends_with("BLOB") || kind.ends_with("BINARY")) && !bytes.is_ascii() => {
            Value::Bytes(bytes)
        }
        _ => String::from_utf8(bytes).map_or_else(|e| Value::Bytes(e.into_bytes()), Value::Text),
    }
}

/// MySQL's binary time: a length, year, month and day, then a time of day, then microseconds.
fn mysql_time(bytes: &[u8]) -> Option<i64> {
    let at = |n: usize| bytes.get(n).copied().and_then(|b| i8::try_from(b).ok()).unwrap_or(0);
    let year = i16::from_le_bytes([*bytes.get(1)?, *bytes.get(2)?]);
    let date = jiff::civil::Date::new(year, at(3), at(4)).ok()?;
    let micros = bytes.get(8..12).map_or(0, |b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let time = jiff::civil::Time::new(at(5), at(6), at(7), micros.checked_mul(1_000)?).ok()?;
    let zoned = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_that_could_be_read_in_two_ways_are_unknown() {
        let strict = Times { unit_ms: 1, are_utc: false };
        let utc = Times { unit_ms: 1_000, are_utc: true };
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(text("1970-01-01T00:00:01.5Z").time_ms(strict), Some(1_500));
        assert_eq!(text("1970-01-01T02:00:01+02:00").time_ms(strict), Some(1_000));
        assert_eq!(text("1970-01-01 00:00:01").time_ms(strict), None);
        assert_eq!(text("1970-01-01 00:00:01").time_ms(utc), Some(1_000));
        assert_eq!(text("yesterday").time_ms(utc), None);
        assert_eq!(Value::TimeWithoutZone(5).time_ms(strict), None);
        assert_eq!((Value::Int(7).time_ms(strict), Value::Int(7).time_ms(utc)), (Some(7), Some(7_000)));
        assert_eq!(Value::Int(i64::MAX).time_ms(utc), None);
        assert_eq!(Value::Float(f64::NAN).time_ms(utc), None);
    }

    #[test]
    fn forms_on_the_wire_are_read() {
        assert_eq!(
            postgres("TIMESTAMPTZ", &1_500_000_i64.to_be_bytes()),
            Some(Value::Time(Y2000_MS + 1_500))
        );
        // 12345678.5 as digits 1234, 5678, 5000 of weights 1, 0, -1.
        let words: [i16; 7] = [3, 1, 0, 1, 1_234, 5_678, 5_000];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        assert_eq!(postgres("NUMERIC", &bytes), Some(Value::Float(12_345_678.5)));
        let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let bytes = uuid_bytes(uuid).expect("a UUID");
        assert_eq!(postgres("UUID", &bytes), Some(Value::Text(uuid.to_owned())));
        assert_eq!(uuid_bytes("ann"), None);
        let time = [11, 0xb2, 0x07, 1, 1, 0, 0, 2, 0x20, 0xa1, 0x07, 0];
        assert_eq!(mysql("DATETIME", time.to_vec()), Value::TimeWithoutZone(2_500));
        assert_eq!(mysql("TIMESTAMP", vec![0]), Value::Other);
    }
}
