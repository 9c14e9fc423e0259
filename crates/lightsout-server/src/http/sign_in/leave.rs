//! Signing out: the session ends in the registry, and so everywhere at once.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{SESSION, SignedForm, clear_cookie};
use crate::ops::sign_in;

/// `POST /sign-out`.
pub(in crate::http) async fn sign_out(
    State(web): State<Arc<Web>>,
    SignedForm(signed_in, _): SignedForm,
) -> Result<Response, Failure> {
    sign_in::end(&web.app, &signed_in.caller, &signed_in.session_hash).await?;
    Ok(([clear_cookie(&web, SESSION)], Redirect::to("/sign-in?was=signed_out")).into_response())
}
