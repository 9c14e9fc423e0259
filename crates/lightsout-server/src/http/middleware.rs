//! What every request passes through: an id, a deadline, a task of its own, and its error's body.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Web;
use super::failure::{Failure, Interface};
use super::limits::is_feed;
use super::page::protect;

static BOX_REQUEST_ID: HeaderName = HeaderName::from_static("box-request-id");

/// Interfaces whose clients put a base address and a path together.
const BELOW_A_BASE: [&str; 4] = ["/2.0/", "/oauth2/", "/api/oauth2/", "/v1/"];

/// Takes `//2.0/users` for `/2.0/users`: so a base address with a slash at its end arrives. Nothing else is
/// reached by another name: a proxy in front may keep the probes to itself by their paths.
pub(super) fn single_slashes(mut request: Request) -> Request {
    let uri = request.uri();
    if !uri.path().contains("//") {
        return request;
    }
    let mut path = String::with_capacity(uri.path().len());
    for c in uri.path().chars() {
        if c != '/' || !path.ends_with('/') {
            path.push(c);
        }
    }
    if !BELOW_A_BASE.iter().any(|base| path.starts_with(base)) {
        return request;
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

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
            let status = failure.status.as_u16();
            tracing::error!(request_id, method, route, status, cause = failure.cause, "request failed");
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
        Err(_) => Failure::internal("the request's task ended without an answer").into_response(),
    }
}

/// Answers for a handler that panicked.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
    Failure::internal(format!("the handler panicked: {text}")).into_response()
}

pub(super) async fn not_found() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "not_found", "there is no such resource")
}

pub(super) async fn method_not_allowed() -> Failure {
    let message = "this resource does not take this method";
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    #[tokio::test]
    async fn panic_is_a_500_whose_cause_is_for_the_log_alone() {
        async fn panics() -> StatusCode {
            panic!("nobody expected {}", "this")
        }
        let router = Router::<()>::new().route("/", get(panics)).layer(CatchPanicLayer::custom(panicked));
        let response = router.oneshot(Request::new(Body::empty())).await.expect("an answer");
        let failure = response.extensions().get::<Arc<Failure>>().expect("it is rendered later");
        assert_eq!(failure.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(failure.cause.as_deref(), Some("the handler panicked: nobody expected this"));
        assert!(!failure.message.contains("nobody"), "{}", failure.message);
    }

    #[test]
    fn only_what_is_below_a_base_address_has_its_slashes_merged() {
        for (sent, routed) in [
            ("/2.0/users?a=//b", "/2.0/users?a=//b"),
            ("//2.0/users?a=//b", "/2.0/users?a=//b"),
            ("/2.0//groups///terminate_sessions", "/2.0/groups/terminate_sessions"),
            ("//2.0", "//2.0"),
            ("//metrics", "//metrics"),
            ("//evil.example/2.0/users", "//evil.example/2.0/users"),
        ] {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = Uri::builder().path_and_query(sent).build().expect("a path");
            let routed_to = single_slashes(request).uri().path_and_query().expect("a path").to_string();
            assert_eq!(routed_to, routed, "{sent}");
        }
    }
}
