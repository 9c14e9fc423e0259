//! What became of each person in each system, as files to keep. Read and sent a page at a time.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use lightsout_api::{Outcome, OutcomeState};
use serde_json::json;

use super::live::Watcher;
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::SignedIn;
use crate::http::request::PathId;
use crate::ops::terminations;

/// Outcomes read at once.
const BATCH: i64 = 1_000;

/// `GET /console/terminations/{termination_id}/outcomes.csv`.
pub(in crate::http) async fn csv(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    watcher: Watcher,
    PathId(id): PathId,
) -> Result<Response, Failure> {
    terminations::find_row(&web.app, &signed_in.caller, &id).await?;
    let pages = Pages { watcher, id: id.clone(), at: At::Begin, format: Csv };
    Ok(file(&id, "csv", "text/csv; charset=utf-8; header=present", pages))
}

/// `GET /console/terminations/{termination_id}/outcomes.json`.
pub(in crate::http) async fn json(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    watcher: Watcher,
    PathId(id): PathId,
) -> Result<Response, Failure> {
    let termination = terminations::find(&web.app, &signed_in.caller, &id).await?;
    let head = format!("{{\"termination\":{},\"outcomes\":[", json!(termination));
    let pages = Pages { watcher, id: id.clone(), at: At::Begin, format: Json { head, first: true } };
    Ok(file(&id, "json", "application/json", pages))
}

/// One way to write outcomes.
trait Format: Send + 'static {
    fn begin(&mut self) -> Vec<u8>;
    fn page(&mut self, outcomes: &[Outcome]) -> Vec<u8>;
    fn end(&mut self) -> Vec<u8>;
}

/// Where reading stands.
enum At {
    Begin,
    After(String),
    End,
}

struct Pages<F> {
    watcher: Watcher,
    id: String,
    at: At,
    format: F,
}

fn file<F: Format>(id: &str, extension: &str, kind: &'static str, pages: Pages<F>) -> Response {
    let name = format!("attachment; filename=\"termination-{id}-outcomes.{extension}\"");
    let parts = stream::try_unfold(pages, |mut pages| async move {
        Ok::<_, io::Error>(pages.next().await?.map(|part| (part, pages)))
    });
    let headers = [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, name)];
    (headers, Body::from_stream(parts)).into_response()
}

impl<F: Format> Pages<F> {
    /// The next part of the file. An error breaks the download off, so that no part passes for the whole.
    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let (mut part, marker) = match &self.at {
            At::Begin => (self.format.begin(), None),
            At::After(marker) => (Vec::new(), Some(marker.clone())),
            At::End => return Ok(None),
        };
        let Some(caller) =
            self.watcher.caller().await.map_err(|_| io::Error::other("who asks is not known"))?
        else {
            return Err(io::Error::other("the sign-in session is over"));
        };
        let app = &self.watcher.web.app;
        let found = terminations::outcomes(app, &caller, &self.id, None, marker.as_deref(), BATCH).await;
        let found = found.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "a download of outcomes broke off");
            io::Error::other("the outcomes cannot be read")
        })?;
        part.extend(self.format.page(&found.entries));
        if found.next_marker.is_none() {
            part.extend(self.format.end());
        }
        self.at = found.next_marker.map_or(At::End, At::After);
        Ok(Some(part))
    }
}

/// RFC 4180, with a line of names.
struct Csv;

impl Format for Csv {
    fn begin(&mut self) -> Vec<u8> {
        records(std::iter::once([
            "user_id".to_owned(),
            "login".to_owned(),
            "system".to_owned(),
            "outcome".to_owned(),
            "sessions_ended".to_owned(),
            "resurrected".to_owned(),
            "ended_again".to_owned(),
            "ends_by".to_owned(),
            "verified_at".to_owned(),
            "detail".to_owned(),
        ]))
    }

    fn page(&mut self, outcomes: &[Outcome]) -> Vec<u8> {
        records(outcomes.iter().map(|outcome| {
            let at = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
            let text = |text: &Option<String>| text.as_deref().map(harmless).unwrap_or_default();
            [
                harmless(&outcome.user.id),
                text(&outcome.user.login),
                harmless(&outcome.system),
                word(outcome.outcome),
                outcome.sessions_ended.to_string(),
                outcome.resurrected.to_string(),
                outcome.ended_again.to_string(),
                at(outcome.ends_by),
                at(outcome.verified_at),
                text(&outcome.detail),
            ]
        }))
    }

    fn end(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

fn records(records: impl Iterator<Item = [String; 10]>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for record in records {
        writer.write_record(&record).expect("a list takes every record, and all have ten fields");
    }
    writer.into_inner().expect("a list takes everything")
}

/// A text that no spreadsheet takes for a formula: one that begins like one gets an apostrophe in front.
fn harmless(text: &str) -> String {
    let begins = text.trim_start_matches(' ').chars().next();
    match begins {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            format!("'{text}")
        }
        _ => text.to_owned(),
    }
}

/// An object of the termination and its outcomes.
struct Json {
    head: String,
    first: bool,
}

impl Format for Json {
    fn begin(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.head).into_bytes()
    }

    fn page(&mut self, outcomes: &[Outcome]) -> Vec<u8> {
        let mut out = String::new();
        for outcome in outcomes {
            out.push_str(if self.first { "\n" } else { ",\n" });
            self.first = false;
            out.push_str(&json!(outcome).to_string());
        }
        out.into_bytes()
    }

    fn end(&mut self) -> Vec<u8> {
        b"\n]}\n".to_vec()
    }
}

/// The wire's word for an outcome.
pub(super) fn word(state: OutcomeState) -> String {
    json!(state).as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_begins_like_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"] {
            assert!(harmless(text).starts_with('\''), "{text}");
        }
        for text in ["ada@acme.example", "a=b", "", "10", "'quoted'"] {
            assert_eq!(harmless(text), text);
        }
    }

    #[test]
    fn fields_with_commas_quotes_and_lines_are_one_field() {
        let mut record = std::array::from_fn(|_| String::new());
        record[0] = "a,\"b\"\r\nc".to_owned();
        let written = records(std::iter::once(record));
        assert_eq!(String::from_utf8(written).expect("text"), "\"a,\"\"b\"\"\r\nc\",,,,,,,,,\r\n");
    }
}
