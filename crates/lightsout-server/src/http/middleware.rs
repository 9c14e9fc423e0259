//! What every request passes through: an id, a deadline, a task of its own, and its error's body.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Web;
use super::failure::{Failure, Interface};
use super::limits::is_feed;
use super::page::protect;

static BOX_REQUEST_ID: HeaderName = HeaderName::from_static("box-request-id");

/// Gives the request an id, renders a failure in the words of the interface, counts and logs.
pub(super) async fn envelope(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = web.app.random.id("");
    let request_id = &id[..16];
    let interface = Interface::of(request.uri().path());
    let method = request.method().as_str().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();

    let span = tracing::debug_span!("request", request_id, method, route);
    let mut response = tracing::Instrument::instrument(next.run(request), span).await;
    if let Some(failure) = response.extensions_mut().remove::<Arc<Failure>>() {
        tracing::debug!(request_id, route, status = failure.status.as_u16(), code = failure.code, "refused");
        if failure.status.is_server_error() {
            tracing::error!(request_id, method, route, status = failure.status.as_u16(), "request failed");
        }
        response = failure.render(interface, request_id);
    }
    let headers = response.headers_mut();
    // Two forms of one id, as Box has them: the header's is longer and begins with the body's.
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(&BOX_REQUEST_ID, value);
    }
    headers.entry("cache-control").or_insert(HeaderValue::from_static("no-cache, no-store"));
    if interface == Interface::Pages {
        protect(headers);
    }
    let status = response.status().as_u16().to_string();
    metrics::histogram!("lightsout_http_request_seconds", "route" => route, "method" => method, "status" => status)
        .record(started.elapsed());
    response
}

/// Refuses at once what more than `server.requests_max` requests in work would only slow down. Probes
/// and feeds are let in: they wait, and work nothing.
pub(super) async fn admit(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if is_feed(path) || matches!(path, "/healthz" | "/readyz" | "/metrics") {
        return next.run(request).await;
    }
    // Checks need no database, so writers that wait for it keep nobody out.
    let admits = if path == "/oauth2/introspect" { &web.admits_checks } else { &web.admits };
    match admits.try_acquire() {
        Ok(_admitted) => next.run(request).await,
        Err(_) => Failure::unavailable("too many requests at once; try again").into_response(),
    }
}

/// Answers 503 when time runs out. The work goes on: it may still take effect, as on Box.
pub(super) async fn time_out(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    // A feed may wait for something to happen, and bounds that itself.
    let extra = if is_feed(request.uri().path()) { Duration::from_mins(1) } else { Duration::ZERO };
    match tokio::time::timeout(web.request_timeout + extra, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure::unavailable("the request took too long; it may still take effect").into_response(),
    }
}

/// Runs the rest in a task of its own: axum drops a handler when its client hangs up, and a
/// transaction must not be dropped half-way.
///
/// What only reads may be dropped, and saves the task.
pub(super) async fn detach(request: Request, next: Next) -> Response {
    if request.method() == Method::GET || request.uri().path() == "/oauth2/introspect" {
        return next.run(request).await;
    }
    let span = tracing::Span::current();
    match tokio::spawn(tracing::Instrument::instrument(next.run(request), span)).await {
        Ok(response) => response,
        // The panic's text is on standard error already; it may hold what a log must not.
        Err(_) => Failure::internal().into_response(),
    }
}

pub(super) async fn not_found() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "not_found", "there is no such resource")
}

pub(super) async fn method_not_allowed() -> Failure {
    let message = "this resource does not take this method";
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
