//! Signing in through an outside OpenID provider: the way there, and the way back.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use maud::html;

use super::enter::{Said, sign_in_page};
use super::steps::{PENDING, local_path, next, refusal, shown, waiting};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::middleware::not_found;
use crate::http::page::{Cookies, Visitor, VisitorForm, clear_cookie, plain_page, set_cookie};
use crate::http::request::{PathId, Query};
use crate::ops::identities::{self, Answered, Vouching};
use crate::ops::sign_in;
use crate::provider::{Asked, Provider, ProviderError, error_word};
use crate::random::is_same;

/// `POST /sign-in/provider/{name}`: sends the browser there.
///
/// By a page that leads on, and not by a redirect: a browser would follow that as a part of the form, which
/// the policy keeps to this service.
pub(in crate::http) async fn ask_provider(
    State(web): State<Arc<Web>>,
    PathId(name): PathId,
    VisitorForm(visitor, fields): VisitorForm,
) -> Result<Response, Failure> {
    let Some(provider) = find(&web, &name) else { return Err(not_found().await) };
    let return_to = local_path(fields.text("return_to"));
    let refuse = |status, words: &str| {
        let page =
            sign_in_page(&web, &visitor, return_to, &Said { complaint: Some(words), ..Said::default() });
        shown(&web, &visitor, status, page)
    };
    if let Err(failure) = web.limits.take_sign_in(visitor.address) {
        let (words, retry_after) = waiting(&failure);
        return Ok((retry_after, refuse(StatusCode::TOO_MANY_REQUESTS, &words)).into_response());
    }
    let question = identities::ask(&web.app, &name, return_to).await?;
    let redirect_uri = redirect_uri(&web, &name);
    let asked = Asked { redirect_uri: &redirect_uri, nonce: &question.nonce, verifier: &question.verifier };
    let url = match provider.authorization_url(&asked, &question.state()).await {
        Ok(url) => url,
        Err(error) => return Ok(refuse(StatusCode::BAD_GATEWAY, &said_of(provider, &error))),
    };
    let title = provider.config().title();
    let page = plain_page(
        &format!("To {title}"),
        html! { h1 { "To " (title) } p { a href=(url) { "Go on at " (title) } } },
    );
    let refresh = HeaderValue::try_from(format!("0; url={url}"))
        .map_err(|_| Failure::internal("the provider's address fits in no header"))?;
    let headers = AppendHeaders([
        (HeaderName::from_static("refresh"), refresh),
        set_cookie(&web, PENDING, &question.key),
    ]);
    Ok((headers, page).into_response())
}

/// `GET /sign-in/provider/{name}/callback`: the browser is back.
pub(in crate::http) async fn provider_answers(
    State(web): State<Arc<Web>>,
    PathId(name): PathId,
    headers: HeaderMap,
    visitor: Visitor,
    query: Query,
) -> Result<Response, Failure> {
    // It writes, and a request without a body may be dropped half-way.
    let answer = tokio::spawn(async move { settle(&web, &name, &headers, &visitor, &query).await });
    answer.await.unwrap_or_else(|_| Err(Failure::internal("the provider was not asked to the end")))
}

async fn settle(
    web: &Web,
    name: &str,
    headers: &HeaderMap,
    visitor: &Visitor,
    query: &Query,
) -> Result<Response, Failure> {
    let Some(provider) = find(web, name) else { return Err(not_found().await) };
    let refuse = |return_to: &str, status, words: &str| {
        let page = sign_in_page(web, visitor, return_to, &Said { complaint: Some(words), ..Said::default() });
        (AppendHeaders([clear_cookie(web, PENDING)]), shown(web, visitor, status, page)).into_response()
    };
    if let Err(failure) = web.limits.take_sign_in(visitor.address) {
        let (words, retry_after) = waiting(&failure);
        return Ok((retry_after, refuse("/console", StatusCode::TOO_MANY_REQUESTS, &words)).into_response());
    }
    let key = Cookies::of(web, headers).find(PENDING).map(ToOwned::to_owned);
    let ours =
        |key: &String| query.text("state").is_some_and(|state| is_same(state, &identities::state_of(key)));
    let answered = match key.filter(ours) {
        Some(key) => identities::take(&web.app, &key, name).await?,
        None => None,
    };
    let Some(answered) = answered else {
        let words = "This sign-in was not begun in this browser, or it took too long. Start again.";
        return Ok(refuse("/console", StatusCode::BAD_REQUEST, words));
    };
    let return_to = answered.return_to.as_str();
    let vouched = match vouched(web, provider, query, &answered).await {
        Ok(vouched) => vouched,
        Err(error) => {
            let status = match error {
                ProviderError::Unreachable(_) => StatusCode::BAD_GATEWAY,
                ProviderError::Refused(_) | ProviderError::Untrusted(_) => StatusCode::BAD_REQUEST,
            };
            tracing::warn!(
                provider = name,
                error = &error as &dyn std::error::Error,
                "a provider's sign-in failed"
            );
            return Ok(refuse(return_to, status, &said_of(provider, &error)));
        }
    };
    let config = provider.config();
    let vouching = Vouching {
        provider: &config.name,
        issuer: &vouched.issuer,
        sub: &vouched.sub,
        verified_email: vouched.verified_email.as_deref(),
        enterprise_id: &config.enterprise,
        domains: &config.domains,
        asks_second_factor: config.asks_second_factor,
        asked_at: answered.asked_at,
    };
    let step = match identities::find_person(&web.app, &vouching).await {
        Ok(Ok(proof)) => sign_in::go_on(&web.app, &proof, &visitor.origin, return_to).await,
        Ok(Err(why)) => return Ok(refuse(return_to, StatusCode::FORBIDDEN, why)),
        Err(error) => Err(error),
    };
    match step {
        Ok(step) => next(web, headers, step, None, return_to).await,
        Err(error) => Ok(refuse(return_to, StatusCode::CONFLICT, &refusal(error)?)),
    }
}

/// Whom the provider vouches for, by what the browser brought.
async fn vouched(
    web: &Web,
    provider: &Provider,
    query: &Query,
    answered: &Answered,
) -> Result<crate::provider::Vouched, ProviderError> {
    provider.check_answerer(query.text("iss")).await?;
    if let Some(error) = query.text("error") {
        return Err(ProviderError::Refused(error_word(error)));
    }
    let code = query.text("code").ok_or(ProviderError::Untrusted("it gave no code"))?;
    let redirect_uri = redirect_uri(web, &provider.config().name);
    let asked = Asked { redirect_uri: &redirect_uri, nonce: &answered.nonce, verifier: &answered.verifier };
    provider.redeem(&asked, code).await
}

fn find<'a>(web: &'a Web, name: &str) -> Option<&'a Provider> {
    web.providers.iter().find(|provider| provider.config().name == name)
}

fn redirect_uri(web: &Web, name: &str) -> String {
    format!("{}/sign-in/provider/{name}/callback", web.public_url)
}

fn said_of(provider: &Provider, error: &ProviderError) -> String {
    format!("{} {error}.", provider.config().title())
}
