//! HTTP: parses requests into types that cannot be wrong, and renders results. It decides nothing.

mod auth;
mod authorize;
mod barriers;
mod client_auth;
mod console;
mod events;
mod failure;
mod groups;
mod limits;
mod memberships;
mod metadata;
mod middleware;
mod oauth;
mod openapi;
mod page;
mod probes;
mod request;
mod routes;
mod sessions;
mod sign_in;
mod sse;
mod terminate;
mod terminations;
mod users;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::{Router, middleware as layer};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;

pub use self::limits::{Limits, LimitsConfig};
pub use self::openapi::document as openapi_document;
pub use self::routes::ROUTES;
use crate::app::App;
use crate::provider::Provider;

/// What the HTTP faces need besides the operations.
pub struct Web {
    /// The operations' world.
    pub app: Arc<App>,
    /// Quotas.
    pub limits: Limits,
    /// The address that callers know the service by, without a slash at the end.
    pub public_url: String,
    /// Whether a proxy in front says who is calling (`X-Forwarded-For`).
    pub behind_proxy: bool,
    /// Outside OpenID providers that people sign in through.
    pub providers: Vec<Provider>,
    /// How long one request may take; streams may take longer.
    pub request_timeout: Duration,
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// Renders the metrics, where they are recorded.
    pub metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
    /// Requests that may still begin; streams and waiting answers take none.
    pub admits: Semaphore,
    /// The same for introspections.
    pub admits_checks: Semaphore,
    /// Ends streams, so that a shutdown never waits for them.
    pub stop: CancellationToken,
}

/// The service, ready to be served over a listener.
pub fn service(web: Arc<Web>) -> IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
    // Around the router: a layer of its own would run after it has picked the route.
    let routed = router(web).map_request(middleware::single_slashes);
    Router::new().fallback_service(routed).into_make_service_with_connect_info()
}

/// All routes with their middleware, the outermost last.
pub fn router(web: Arc<Web>) -> Router {
    routes::routes()
        .fallback(middleware::not_found)
        .method_not_allowed_fallback(middleware::method_not_allowed)
        .layer(DefaultBodyLimit::max(web.body_bytes_max))
        .layer(CatchPanicLayer::custom(middleware::panicked))
        // From here inwards nothing is cancelled when a client hangs up or time runs out.
        .layer(layer::from_fn(middleware::detach))
        .layer(layer::from_fn_with_state(Arc::clone(&web), middleware::time_out))
        .layer(layer::from_fn_with_state(Arc::clone(&web), middleware::admit))
        .layer(layer::from_fn_with_state(Arc::clone(&web), middleware::envelope))
        .with_state(web)
}
