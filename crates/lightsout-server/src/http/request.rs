//! Extractors with our own errors: JSON bodies, forms, queries, paging.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Web;
use super::failure::Failure;
use crate::domain::fields::{Change, Fields};
use crate::domain::marker::List;
use crate::store::DbError;

/// Box's words for a body that is not JSON.
pub(super) const NOT_JSON: &str = "Supported payload format is JSON";
/// What is said of a position that the log has not reached: nothing was ever answered with it.
pub(super) const AHEAD: &str = "is ahead of the event log; start from the beginning";
const NO_OBJECT: &str = "the body must be a JSON object";

/// A JSON body as a value; an empty one is `null`.
pub(super) struct JsonValue(pub(super) Value);

impl FromRequest<Arc<Web>> for JsonValue {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Failure> {
        let body = bytes(request, web).await?;
        if body.is_empty() {
            return Ok(Self(Value::Null));
        }
        let value = serde_json::from_slice(&body).map_err(|_| Failure::bad_request(NOT_JSON))?;
        if holds_nul(&value) {
            return Err(Failure::from(DbError::BadText));
        }
        Ok(Self(value))
    }
}

/// A JSON body of a known shape.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Web>> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Failure> {
        let JsonValue(value) = JsonValue::from_request(request, web).await?;
        match value {
            Value::Object(_) => {}
            _ => return Err(Failure::bad_request(NO_OBJECT)),
        }
        shape(value).map(Self)
    }
}

/// Reads the body of a change to a user or a group.
pub(super) fn fields_of<T: DeserializeOwned>(
    fields: &Fields,
    change: Change,
    body: Value,
) -> Result<T, Failure> {
    let Value::Object(body) = body else { return Err(Failure::bad_request(NO_OBJECT)) };
    let kept = fields.accept(change, &body)?;
    shape(Value::Object(kept))
}

/// Reads a body of a known shape; an error names the field.
pub(super) fn shape<T: DeserializeOwned>(body: Value) -> Result<T, Failure> {
    serde_path_to_error::deserialize(body).map_err(|error| {
        let (path, said) = (error.path().to_string(), error.inner().to_string());
        if said.starts_with("unknown field ") {
            return Failure::bad_request(said);
        }
        if let Some(missing) = said.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
            let path = if path == "." { missing.to_owned() } else { format!("{path}.{missing}") };
            return Failure::parameter(&path, "is required");
        }
        let path = if path == "." { "the body" } else { &path };
        let by_serde = SERDE_SAYS.iter().any(|start| said.starts_with(start));
        // Serde repeats what was sent, and that may be a secret: its own words come last.
        match said.rsplit_once(", expected ").filter(|_| by_serde) {
            Some((_, expected)) => Failure::parameter(path, format!("must be {}", json_type(expected))),
            // The one type of these bodies that reads its text by itself.
            None => Failure::parameter(path, "must be an RFC 3339 instant such as 2026-01-02T03:04:05Z"),
        }
    })
}

/// How serde's own errors begin that end with what it expected.
const SERDE_SAYS: [&str; 4] = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];

/// What serde expected, in JSON's words.
fn json_type(expected: &str) -> &str {
    match expected {
        "a map" => "an object",
        "a sequence" => "a list",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    }
}

/// An `application/x-www-form-urlencoded` body of a known shape.
pub(super) struct FormBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Web>> for FormBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Failure> {
        axum::Form::<T>::from_request(request, web).await.map(|form| Self(form.0)).map_err(|rejection| {
            let said = rejection.to_string();
            let named = |what: &str| Some(said.split_once(what)?.1.split_once('`')?.0.to_owned());
            if let Some(name) = named("duplicate field `") {
                return Failure::parameter(&name, "is given twice");
            }
            if let Some(name) = named("missing field `") {
                return Failure::parameter(&name, "is required");
            }
            refused_body(rejection, web, "send the fields as application/x-www-form-urlencoded")
        })
    }
}

async fn bytes(request: Request, web: &Arc<Web>) -> Result<Bytes, Failure> {
    let bytes = Bytes::from_request(request, web).await;
    bytes.map_err(|rejection| refused_body(rejection, web, "the body could not be read"))
}

fn refused_body(rejection: impl IntoResponse, web: &Web, otherwise: &str) -> Failure {
    if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = format!("the body is larger than {} bytes", web.body_bytes_max);
        return Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", message);
    }
    Failure::bad_request(otherwise)
}

/// Whether any text holds U+0000, which PostgreSQL cannot store; refused on both databases.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The id in a path. One that is not UTF-8 names nothing.
pub(super) struct PathId(pub(super) String);

impl FromRequestParts<Arc<Web>> for PathId {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Failure> {
        let id = axum::extract::Path::<String>::from_request_parts(parts, web).await;
        id.map(|id| Self(id.0)).map_err(|_| Failure::bad_request("the id in the path is not UTF-8"))
    }
}

/// The query of a request: a parameter that is given twice is refused, unknown ones are ignored.
pub(super) struct Query(Vec<(String, String)>);

impl FromRequestParts<Arc<Web>> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Failure> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, web).await;
        let pairs = pairs.map_err(|_| Failure::bad_request("the query is not readable"))?.0;
        for (n, (name, _)) in pairs.iter().enumerate() {
            if pairs[..n].iter().any(|(earlier, _)| earlier == name) {
                return Err(Failure::parameter(name, "is given twice"));
            }
        }
        if let Some((name, _)) = pairs.iter().find(|(_, value)| value.contains('\0')) {
            return Err(Failure::parameter(name, "contains a NUL character"));
        }
        Ok(Self(pairs))
    }
}

impl Query {
    /// A text; an empty one counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// A boolean in any case: SDKs send `true` and `True`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.text(name) {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(Failure::parameter(name, "must be true or false")),
        }
    }

    /// A number from `min` to `max`.
    pub(super) fn number(&self, name: &str, default: i64, min: i64, max: i64) -> Result<i64, Failure> {
        let Some(value) = self.text(name) else { return Ok(default) };
        let number = value.parse().ok().filter(|n| (min..=max).contains(n));
        number.ok_or_else(|| Failure::parameter(name, format!("must be a whole number from {min} to {max}")))
    }

    /// The position of an event, where a list goes on; absent, empty and 0 are the start.
    pub(super) fn position(&self, name: &str) -> Result<i64, Failure> {
        self.number(name, 0, 0, i64::MAX)
    }

    /// An instant (RFC 3339), in milliseconds since 1970.
    pub(super) fn instant(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let instant = value.parse::<jiff::Timestamp>();
        let instant = instant.map_err(|_| {
            Failure::parameter(name, "must be an RFC 3339 instant such as 2026-01-02T03:04:05Z")
        })?;
        Ok(Some(instant.as_millisecond()))
    }

    /// A list joined by commas.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or("");
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
    }
}

/// The position after which a stream goes on (`Last-Event-ID`); absent or empty: from the start.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Failure> {
    let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) else { return Ok(None) };
    let position = id.to_str().ok().and_then(|id| id.parse().ok()).filter(|position| *position >= 0);
    let wrong = || Failure::parameter("Last-Event-ID", "must be the id of an event of this stream");
    position.ok_or_else(wrong).map(Some)
}

/// Where a list starts and how much of it is wanted, in Box's two ways of paging.
pub(super) struct Paging<'a> {
    pub(super) limit: i64,
    pub(super) offset: i64,
    /// The id after which the page starts; empty for all.
    pub(super) after: String,
    /// The list whose markers are used; none: it is paged by offset.
    by_marker: Option<List<'a>>,
}

impl<'a> Paging<'a> {
    /// Reads `limit` (100, at most 1,000), `offset` (at most 10,000), `usemarker` and `marker`.
    pub(super) fn of(query: &Query, list: List<'a>) -> Result<Self, Failure> {
        if !query.flag("usemarker")? {
            return Self::by_offset(query);
        }
        Ok(Self {
            limit: query.number("limit", 100, 1, 1_000)?,
            offset: 0,
            after: list.after("marker", query.text("marker"))?,
            by_marker: Some(list),
        })
    }

    /// The same for lists that page by offset only; `usemarker` has no meaning there, as on Box.
    pub(super) fn by_offset(query: &Query) -> Result<Self, Failure> {
        Ok(Self {
            limit: query.number("limit", 100, 1, 1_000)?,
            offset: query.number("offset", 0, 0, 10_000)?,
            after: String::new(),
            by_marker: None,
        })
    }

    /// How many rows to read: for markers one more than the page, to see whether there is another.
    pub(super) fn rows(&self) -> i64 {
        self.limit + i64::from(self.by_marker.is_some())
    }

    /// The page: rendered entries with their ids, and the number of all.
    pub(super) fn page(&self, mut entries: Vec<(String, Value)>, total: i64) -> Value {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| more).map(|(id, _)| id.clone());
        let entries: Vec<Value> = entries.into_iter().map(|(_, entry)| entry).collect();
        if let Some(list) = self.by_marker {
            let next = last.map(|id| list.marker(&id));
            serde_json::json!({"limit": self.limit, "next_marker": next, "entries": entries})
        } else {
            serde_json::json!({
                "total_count": total,
                "limit": self.limit,
                "offset": self.offset,
                "order": [{"by": "id", "direction": "ASC"}],
                "entries": entries,
            })
        }
    }
}

/// Keeps `type`, `id` and the short form's fields, and the fields that were asked for.
pub(super) fn select(
    mut full: Map<String, Value>,
    default: &[&str],
    short: &[&str],
    fields: &[String],
) -> Value {
    full.retain(|key, _| {
        let key = key.as_str();
        matches!(key, "type" | "id")
            || if fields.is_empty() {
                default.contains(&key)
            } else {
                short.contains(&key) || fields.iter().any(|f| f == key)
            }
    });
    Value::Object(full)
}
