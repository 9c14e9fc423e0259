//! For operators: whether the service lives, whether it can work, and its metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Web;
use super::failure::Failure;

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: this node has heard from its database within `database.stale_after_s`, so that it can
/// say who is signed in.
pub(super) async fn readyz(State(web): State<Arc<Web>>) -> Result<&'static str, Failure> {
    web.app.index.fresh().await?;
    Ok("ready\n")
}

/// `GET /metrics`, in Prometheus' text format.
pub(super) async fn metrics(State(web): State<Arc<Web>>) -> Result<Response, Failure> {
    let missing = || Failure::new(axum::http::StatusCode::NOT_FOUND, "not_found", "metrics are not recorded");
    let handle = web.metrics.as_ref().ok_or_else(missing)?;
    for system in web.app.systems.keys() {
        metrics::gauge!("lightsout_jobs_open", "system" => system.clone()).set(0.0);
    }
    for (system, jobs) in web.app.db.count_open_jobs().await? {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("lightsout_jobs_open", "system" => system).set(jobs as f64);
    }
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    metrics::gauge!("lightsout_index_sessions").set(web.app.index.session_count() as f64);
    metrics::gauge!("lightsout_index_loaded").set(f64::from(u8::from(web.app.index.is_loaded())));
    metrics::gauge!("lightsout_stale").set(f64::from(u8::from(!web.app.index.is_fresh())));
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((text, handle.render()).into_response())
}
