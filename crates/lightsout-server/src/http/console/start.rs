//! Where everybody begins.

use axum::response::Redirect;

/// `GET /`.
pub(in crate::http) async fn root() -> Redirect {
    Redirect::to("/console")
}
