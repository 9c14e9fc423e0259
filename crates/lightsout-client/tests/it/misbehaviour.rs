//! Every way in which a server misbehaves, with the requests that it gets and what the caller sees.
//!
//! The table below is also `docs/misbehaviour.md`; `UPDATE_DOCS=1` writes it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use lightsout_client::api::{SessionTerminationMessage, TERMINATION_ACCEPTED};
use lightsout_client::{Auth, Client, Error, Jwt, Retry, SessionTerminationManager};
use lightsout_testkit::{Answer, Received, Script, Scripted};
use serde_json::json;

use crate::kit::{app, assertion, developer, plain_jwt_config, quick};

const HEAD: &str = "# What a misbehaving server gets, and what the caller sees

One call of `terminate_users_sessions`, by the default policy (5 attempts at most). `careful` is a client with `repeat_lost_terminations: false`. An `app` has client credentials, a `key` is an app with a JWT configuration; all others have a developer token. A test runs each row and writes this page.

| the server | requests | the caller sees |
|---|---|---|
";
const SECOND: Duration = Duration::from_secs(1);
/// Where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";

/// One way to misbehave.
struct Row {
    server: &'static str,
    script: Script,
    auth: fn() -> Auth,
    careful: bool,
    /// How many calls are made at once.
    at_once: usize,
    /// How many calls and token requests the server gets.
    requests: (usize, usize),
    sees: Sees,
    /// What else the server must have seen.
    also: fn(&[Received]),
}

#[derive(Debug, PartialEq)]
enum Sees {
    Accepted(Option<&'static str>),
    /// The kind, and the status.
    Fails(&'static str, Option<u16>),
}

/// A call with a developer token that is answered so; it is accepted in the first attempt.
fn row(server: &'static str, calls: impl Into<Vec<Answer>>) -> Row {
    Row {
        server,
        script: Script { token: Vec::new(), calls: calls.into() },
        auth: developer,
        careful: false,
        at_once: 1,
        requests: (1, 0),
        sees: Sees::Accepted(Some(TERMINATION_ACCEPTED)),
        also: |_| {},
    }
}

/// A call whose token requests are answered so, by client credentials.
fn token_row(server: &'static str, token: impl Into<Vec<Answer>>) -> Row {
    Row { auth: || app().into(), ..row(server, [Answer::accepted()]) }.tokens(token)
}

impl Row {
    fn tokens(mut self, token: impl Into<Vec<Answer>>) -> Self {
        self.script.token = token.into();
        self
    }

    fn by_key(self) -> Self {
        Self { auth: || Jwt::from_json(&plain_jwt_config()).expect("a key").into(), ..self }
    }

    fn careful(self) -> Self {
        Self { careful: true, ..self }
    }

    fn at_once(self, at_once: usize) -> Self {
        Self { at_once, ..self }
    }

    fn gets(self, calls: usize, tokens: usize) -> Self {
        Self { requests: (calls, tokens), ..self }
    }

    fn says(self, message: Option<&'static str>) -> Self {
        Self { sees: Sees::Accepted(message), ..self }
    }

    fn fails(self, kind: &'static str, status: u16) -> Self {
        Self { sees: Sees::Fails(kind, (status > 0).then_some(status)), ..self }
    }

    fn also(self, also: fn(&[Received])) -> Self {
        Self { also, ..self }
    }
}

fn json(status: u16, code: &str, message: &str) -> Answer {
    let body =
        json!({"type": "error", "status": status, "code": code, "message": message, "request_id": "r1"});
    Answer::json(status, body).header("box-request-id", "r1long")
}

fn oauth(status: u16, error: &str, description: &str) -> Answer {
    Answer::json(status, json!({"error": error, "error_description": description}))
}

fn token() -> Answer {
    Answer::token("TOKEN", 3600)
}

fn page(status: u16) -> Answer {
    Answer::text(status, "text/html", "<html>down</html>")
}

fn endless(status: u16, content_type: &str) -> Answer {
    Answer::text(status, content_type, &"<html>".repeat(100_000)).endless()
}

fn accepted() -> Vec<Row> {
    vec![
        row("202 with JSON", [Answer::accepted()]),
        row("202 with an empty body", [Answer::empty(202)]).says(None),
        row("202 with plain text", [Answer::text(202, "text/plain", "taken")]).says(Some("taken")),
        row("202 with `Retry-After`", [Answer::accepted().header("retry-after", "1")]),
        row("202 that breaks off in its body", [Answer::accepted().cut()]).says(None),
        row("202 with an HTML page", [page(202)]).fails("Unreadable", 202),
        row("200 with JSON", [Answer::json(200, json!({"message": "yes"}))]).says(Some("yes")),
        row("201 with JSON", [Answer::json(201, json!({"message": "yes"}))]).says(Some("yes")),
        row("200 with an empty body", [Answer::empty(200)]).fails("Unreadable", 200),
        row(
            "200 that breaks off in its body, then 202",
            [Answer::json(200, json!({"message": "yes"})).cut(), Answer::accepted()],
        )
        .gets(2, 0),
        row("202 with an endless body (64 MiB of it are read)", [endless(202, "text/plain")]).says(None),
        row("200 with an endless body (64 MiB of it are read)", [endless(200, "text/plain")])
            .fails("Unreadable", 200),
        row("307 to another address", [Answer::empty(307).header("location", "https://eu.example/2.0")])
            .fails("Invalid", 307),
    ]
}

fn refused() -> Vec<Row> {
    let unauthorized = || json(401, "unauthorized", "Unauthorized");
    let by_app = |server, calls: Vec<Answer>| Row { auth: || app().into(), ..row(server, calls) };
    vec![
        row("400", [json(400, "bad_request", "Users can not be NULL or EMPTY")]).fails("Invalid", 400),
        row("403", [json(403, "access_denied_insufficient_permissions", "Access denied")])
            .fails("NotAllowed", 403),
        row("404", [json(404, "not_found", "Not Found")]).fails("NotFound", 404),
        row("409", [json(409, "conflict", "Conflict")]).fails("Invalid", 409),
        row("401", [unauthorized()]).fails("NotAuthenticated", 401),
        row("403 with an endless page (64 KiB of it are read)", [endless(403, "text/html")])
            .fails("NotAllowed", 403),
        row("401 with an empty body", [Answer::empty(401)]).fails("NotAuthenticated", 401),
        by_app("401 once, to an app", vec![unauthorized(), Answer::accepted()])
            .tokens([token(), other_token()])
            .gets(2, 2)
            .also(|requests| {
                let tokens: Vec<_> = requests.iter().filter_map(|r| r.header("authorization")).collect();
                assert_eq!(tokens, ["Bearer TOKEN", "Bearer OTHER"]);
            }),
        by_app("401 for ever, to an app", vec![unauthorized()])
            .tokens([token(), other_token()])
            .gets(2, 2)
            .fails("NotAuthenticated", 401),
    ]
}

fn other_token() -> Answer {
    Answer::token("OTHER", 3600)
}

fn overloaded() -> Vec<Row> {
    let limited = || json(429, "rate_limit_exceeded", "Request rate limit exceeded");
    let after = |value: &str| limited().header("retry-after", value);
    let strange = || json(503, "storage_is_on_fire", "Service unavailable");
    vec![
        row("429 with `Retry-After: 1`, then 202 (it waits)", [after("1"), Answer::accepted()])
            .gets(2, 0)
            .also(a_second_apart),
        row(
            "429 with a date one second ahead, then 202 (it waits)",
            [
                after("Sun, 06 Nov 1994 08:49:37 GMT").header("date", "Sun, 06 Nov 1994 08:49:36 GMT"),
                Answer::accepted(),
            ],
        )
        .gets(2, 0)
        .also(a_second_apart),
        row("429 without `Retry-After`, then 202", [limited(), Answer::accepted()]).gets(2, 0),
        row("429 with `Retry-After` beyond the deadline", [after("3600")]).fails("RateLimited", 429),
        row("429 for ever", [limited()]).gets(5, 0).fails("RateLimited", 429),
        row("429, then 202; careful", [limited(), Answer::accepted()]).careful().gets(2, 0),
        row("503 with an HTML page, then 202", [page(503), Answer::accepted()]).gets(2, 0),
        row("503 with an HTML page for ever", [page(503)]).gets(5, 0).fails("Unavailable", 503),
        row(
            "503 with `Retry-After: 1`, then 202 (it waits)",
            [strange().header("retry-after", "1"), Answer::accepted()],
        )
        .gets(2, 0)
        .also(a_second_apart),
        row("503 with a code that Box does not know", [strange()]).gets(5, 0).fails("Unavailable", 503),
        row("500 for ever", [Answer::empty(500)]).gets(5, 0).fails("Unavailable", 500),
        row("503; careful", [strange()]).careful().fails("Unavailable", 503),
    ]
}

fn lost() -> Vec<Row> {
    let before = || vec![Answer::drop_before_reading(), Answer::accepted()];
    let after = || vec![Answer::drop_after_reading(), Answer::accepted()];
    vec![
        row("drops the connection before it reads, then 202", before()).gets(2, 0),
        row("drops the connection after it read, then 202", after()).gets(2, 0),
        row("drops every connection", [Answer::drop_after_reading()]).gets(5, 0).fails("Transport", 0),
        row("drops the connection before it reads; careful", before()).careful().fails("Transport", 0),
        row("drops the connection after it read; careful", after()).careful().fails("Transport", 0),
        row("refuses connections (5 tries)", []).gets(0, 0).fails("Transport", 0),
        row("refuses connections (5 tries); careful", []).careful().gets(0, 0).fails("Transport", 0),
    ]
}

fn tokens() -> Vec<Row> {
    let wrong = || oauth(400, "invalid_grant", "Grant credentials are invalid");
    vec![
        token_row("is slow to give a token to an app that makes 100 calls", [token().gated()])
            .at_once(100)
            .gets(100, 1),
        token_row("is slow to refuse a token to an app that makes 100 calls", [wrong().gated()])
            .at_once(100)
            .gets(0, 1)
            .fails("NotAuthenticated", 400),
        token_row("token: 400 `invalid_grant`", [wrong()]).gets(0, 1).fails("NotAuthenticated", 400),
        token_row("token: 401 `invalid_client`", [oauth(401, "invalid_client", "The client credentials are not valid")])
            .gets(0, 1)
            .fails("NotAuthenticated", 401),
        token_row("token: 429 with `Retry-After: 1`, then a token", [
            oauth(429, "temporarily_unavailable", "Too many").header("retry-after", "1"),
            token(),
        ])
        .gets(1, 2)
        .also(a_second_apart),
        token_row("token: drops the connection after it read, then a token", [Answer::drop_after_reading(), token()])
            .gets(1, 2),
        token_row("token: 500 for ever", [Answer::empty(500)]).gets(0, 5).fails("Unavailable", 500),
        token_row("token: 200 with an HTML page", [page(200)]).gets(0, 1).fails("Unreadable", 200),
        // Box's own SDKs for Python and TypeScript send the same assertion again, with the same `jti`.
        token_row("token: 503, then a token, to a key (the second assertion has a new `jti`)", [
            oauth(503, "temporarily_unavailable", "Try later"),
            token(),
        ])
        .by_key()
        .gets(1, 2)
        .also(|requests| assert_ne!(assertion(&requests[0], 1)["jti"], assertion(&requests[1], 1)["jti"])),
        token_row("token: 400 `invalid_grant` by a clock an hour ahead, then a token, to a key (the second assertion is signed for the server's clock)", [
            wrong().header("date", &date_ahead(Duration::from_hours(1))),
            token(),
        ])
        .by_key()
        .gets(1, 2)
        .also(|requests| {
            let exp = |n: usize| assertion(&requests[n], 1)["exp"].as_i64().expect("seconds");
            let ahead = exp(1) - exp(0);
            assert!((3540..=3602).contains(&ahead), "the second is {ahead} s later");
        }),
        token_row("token: 400 `invalid_grant` by the same clock, to a key", [
            wrong().header("date", &date_ahead(Duration::ZERO)),
        ])
        .by_key()
        .gets(0, 1)
        .fails("NotAuthenticated", 400),
    ]
}

/// A clock for the server; the client compares it with the machine's.
#[expect(clippy::disallowed_methods, reason = "the client's own clock is the machine's")]
fn date_ahead(ahead: Duration) -> String {
    httpdate::fmt_http_date(SystemTime::now() + ahead)
}

fn a_second_apart(requests: &[Received]) {
    let waited = requests[1].at - requests[0].at;
    assert!(waited >= SECOND, "waited {waited:?}");
}

#[tokio::test]
async fn misbehaviour_costs_what_the_table_says() {
    let mut lines = String::new();
    // Made group by group: some rows state the time at which they are made.
    for rows in [accepted, refused, overloaded, lost, tokens] {
        lines.extend(join_all(rows().iter().map(run)).await);
    }
    let text = format!("{HEAD}{lines}");
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/misbehaviour.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &text).expect("docs can be written");
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, kept, "docs/misbehaviour.md differs: run again with UPDATE_DOCS=1 and look at it");
}

/// Makes the row's calls, checks all that it says, and gives its line of the page.
async fn run(row: &Row) -> String {
    let server = Scripted::start(row.script.clone()).await;
    let base_url = if row.script.calls.is_empty() { NOWHERE } else { &server.url };
    let retry = Retry { repeat_lost_terminations: !row.careful, ..quick() };
    let client = Client::builder((row.auth)()).base_url(base_url).retry(retry).build().expect("a client");
    let manager = SessionTerminationManager::new(client);
    let calls = (0..row.at_once).map(|_| manager.terminate_users_sessions(vec!["12".to_owned()], vec![]));
    let gate = async {
        if row.at_once > 1 {
            server.arrived(1).await;
            server.release();
        }
    };
    let (results, ()) = tokio::join!(join_all(calls), gate);

    let name = row.server;
    for result in &results {
        assert_eq!(seen(result), sees(&row.sees), "{name}: {result:?}");
    }
    assert_eq!((server.calls().len(), server.token_requests().len()), row.requests, "{name}");
    (row.also)(&server.requests());
    line(row, &results[0], base_url)
}

type Seen = (String, Option<u16>);

fn sees(expected: &Sees) -> Seen {
    match expected {
        Sees::Accepted(message) => (format!("{message:?}"), None),
        Sees::Fails(kind, status) => ((*kind).to_owned(), *status),
    }
}

fn seen(result: &Result<SessionTerminationMessage, Error>) -> Seen {
    match result {
        Ok(accepted) => (format!("{:?}", accepted.message), None),
        Err(error) => (kind(error), error.status()),
    }
}

/// The name of the variant.
fn kind(error: &Error) -> String {
    let debug = format!("{error:?}");
    debug.split(|c: char| !c.is_alphanumeric()).next().expect("a name").to_owned()
}

fn line(row: &Row, result: &Result<SessionTerminationMessage, Error>, base_url: &str) -> String {
    let requests = match row.requests {
        (calls, 0) => format!("{calls}"),
        (calls, 1) => format!("{calls}, and 1 for a token"),
        (calls, tokens) => format!("{calls}, and {tokens} for tokens"),
    };
    let sees = match result {
        Ok(accepted) => match accepted.message.as_deref() {
            None => "accepted, without a message".to_owned(),
            Some(TERMINATION_ACCEPTED) => "accepted".to_owned(),
            Some(message) => format!("accepted: `{message}`"),
        },
        Err(error) => format!("`{}`: {}", kind(error), timeless(&error.to_string(), base_url)),
    };
    format!("| {} | {requests} | {sees} |\n", row.server)
}

/// Takes the port and the time out of an error's text.
fn timeless(text: &str, base_url: &str) -> String {
    let text = text.replace(base_url, "https://api.example");
    match text.split_once(" until ") {
        Some((before, rest)) => {
            let (time, after) = rest.split_once(": ").expect("a time, then the error");
            assert!(time.parse::<jiff::Timestamp>().is_ok(), "{text}");
            format!("{before} until ...: {after}")
        }
        None => text,
    }
}
