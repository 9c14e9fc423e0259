//! A Tower layer that refuses the requests of ended sessions.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use jiff::Timestamp;
use tower_layer::Layer;
use tower_service::Service;

use super::{BarrierGuard, Verdict};

/// The session of a request, as the app knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOf {
    /// Whose it is, by the name that [`BarrierOptions::known_by`](crate::BarrierOptions::known_by) says.
    pub user: String,
    /// When its user signed in.
    pub began_at: Timestamp,
    /// Its id, if the app registers its sessions and wants those refused that are ended one by one.
    pub session_id: Option<String>,
}

/// What becomes of a request while the guard is stale, and its session is not known to be ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenStale {
    /// It is refused (fail closed): nobody whose session was ended gets in, and nobody else either.
    #[default]
    Refuse,
    /// It is passed on (fail open): everybody gets in, also who was ended since.
    Admit,
}

/// A Tower layer that refuses the requests of ended sessions, as in axum.
///
/// A request is judged when it arrives; one that is under way is not broken off. Without a session it is
/// passed on. An ended session is answered 401 with `WWW-Authenticate: Bearer error="invalid_token"`, which
/// is what RFC 6750 (section 3.1) says of a revoked token; while the guard is stale the answer is 503 with
/// `Retry-After: 1`, unless [`WhenStale::Admit`] is chosen. Both have no body and are not cached.
///
/// ```
/// # lightsout_testkit::example(|service| async move {
/// # use lightsout_client::{BarrierOptions, Client, ClientCredentials, KnownBy, Subject};
/// # let app = ClientCredentials::new(
/// #     &service.client_id, service.client_secret.clone(), Subject::enterprise(&service.enterprise_id));
/// # let client = Client::new(&service.url, app)?;
/// # let guard = client.follow_barriers(BarrierOptions::new(KnownBy::Login));
/// # guard.caught_up().await?;
/// use axum::{Extension, Router, body::Body, http::Request, routing::get};
/// use lightsout_client::{BarrierLayer, SessionOf};
///
/// // What an earlier layer of the app put there.
/// #[derive(Clone)]
/// struct SignedIn { login: String, began_at: jiff::Timestamp }
///
/// let layer = BarrierLayer::new(guard, |request: &Request<Body>| {
///     let session = request.extensions().get::<SignedIn>()?;
///     let (user, began_at) = (session.login.clone(), session.began_at);
///     Some(SessionOf { user, began_at, session_id: None })
/// });
/// let app = Router::new().route("/", get(|| async { "hello" })).layer(layer);
/// # let ann = SignedIn { login: "ann@acme.example".to_owned(), began_at: jiff::Timestamp::UNIX_EPOCH };
/// # let app = app.layer(Extension(ann));
/// # let request = || Request::new(Body::empty());
/// # use tower::ServiceExt;
/// # assert_eq!(app.clone().oneshot(request()).await?.status(), 200);
/// # client.terminate(&lightsout_client::api::CreateTermination {
/// #     user_ids: vec![service.user_id.as_str().into()], ..Default::default() }, None).await?;
/// # while app.clone().oneshot(request()).await?.status() != 401 { tokio::task::yield_now().await; }
/// # Ok(()) });
/// ```
pub struct BarrierLayer<B, R> {
    rules: Rules<B, R>,
}

/// The service that [`BarrierLayer`] makes of another one.
pub struct BarrierService<S, B, R> {
    inner: S,
    rules: Rules<B, R>,
}

type SessionOfRequest<B> = dyn Fn(&Request<B>) -> Option<SessionOf> + Send + Sync;
type AnswerTo<B, R> = dyn Fn(Verdict, &Request<B>) -> Response<R> + Send + Sync;

struct Rules<B, R> {
    guard: BarrierGuard,
    session_of: Arc<SessionOfRequest<B>>,
    when_stale: WhenStale,
    answer: Option<Arc<AnswerTo<B, R>>>,
}

impl<B, R> BarrierLayer<B, R> {
    /// Asks this closure for the session of each request; none means that nobody is signed in.
    ///
    /// ```
    /// use axum::{body::Body, http::Request};
    /// use lightsout_client::{BarrierGuard, BarrierLayer, SessionOf};
    ///
    /// fn layer(guard: BarrierGuard) -> BarrierLayer<Body, Body> {
    ///     BarrierLayer::new(guard, |request: &Request<Body>| request.extensions().get::<SessionOf>().cloned())
    /// }
    /// ```
    pub fn new(
        guard: BarrierGuard,
        session_of: impl Fn(&Request<B>) -> Option<SessionOf> + Send + Sync + 'static,
    ) -> Self {
        let session_of = Arc::new(session_of);
        Self { rules: Rules { guard, session_of, when_stale: WhenStale::default(), answer: None } }
    }

    /// Does this while the guard is stale: [`WhenStale::Refuse`] unless told otherwise.
    ///
    /// ```
    /// use axum::body::Body;
    /// use lightsout_client::{BarrierLayer, WhenStale};
    ///
    /// fn that_depends_on_nobody(layer: BarrierLayer<Body, Body>) -> BarrierLayer<Body, Body> {
    ///     layer.when_stale(WhenStale::Admit)
    /// }
    /// ```
    pub fn when_stale(mut self, when_stale: WhenStale) -> Self {
        self.rules.when_stale = when_stale;
        self
    }

    /// Answers refused requests with this instead, such as with a way to the sign-in page.
    ///
    /// The closure gets [`Verdict::Ended`], or [`Verdict::Stale`] where stale requests are refused.
    ///
    /// ```no_run
    /// use axum::body::Body;
    /// use axum::http::StatusCode;
    /// use axum::response::{IntoResponse, Redirect};
    /// use lightsout_client::{BarrierLayer, Verdict};
    ///
    /// fn with_a_way_back(layer: BarrierLayer<Body, Body>) -> BarrierLayer<Body, Body> {
    ///     layer.answer(|verdict, _| match verdict {
    ///         Verdict::Stale => (StatusCode::SERVICE_UNAVAILABLE, "please try again in a moment").into_response(),
    ///         _ => Redirect::to("/sign-in").into_response(),
    ///     })
    /// }
    /// ```
    pub fn answer(
        mut self,
        answer: impl Fn(Verdict, &Request<B>) -> Response<R> + Send + Sync + 'static,
    ) -> Self {
        self.rules.answer = Some(Arc::new(answer));
        self
    }
}

impl<B, R> Rules<B, R> {
    /// Why a request is refused, if it is.
    fn refusal(&self, request: &Request<B>) -> Option<Verdict> {
        let session = (self.session_of)(request)?;
        let by_person = self.guard.check(&session.user, session.began_at);
        let verdict = match &session.session_id {
            Some(id) if by_person != Verdict::Ended => self.guard.check_session(id),
            _ => by_person,
        };
        match verdict {
            Verdict::Live => None,
            Verdict::Stale if self.when_stale == WhenStale::Admit => None,
            Verdict::Ended | Verdict::Stale => Some(verdict),
        }
    }
}

impl<B, R: Default> Rules<B, R> {
    fn refuse(&self, verdict: Verdict, request: &Request<B>) -> Response<R> {
        if let Some(answer) = &self.answer {
            return answer(verdict, request);
        }
        let mut response = Response::new(R::default());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let status = if verdict == Verdict::Ended {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
            StatusCode::UNAUTHORIZED
        } else {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            StatusCode::SERVICE_UNAVAILABLE
        };
        *response.status_mut() = status;
        response
    }
}

impl<S, B, R> Layer<S> for BarrierLayer<B, R> {
    type Service = BarrierService<S, B, R>;

    fn layer(&self, inner: S) -> Self::Service {
        BarrierService { inner, rules: self.rules.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for BarrierService<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<Ready<Result<S::Response, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.rules.refusal(&request) {
            Some(verdict) => Either::Left(ready(Ok(self.rules.refuse(verdict, &request)))),
            None => Either::Right(self.inner.call(request)),
        }
    }
}

// Not derived: that would ask for bodies that can be cloned and shown.
impl<B, R> Clone for Rules<B, R> {
    fn clone(&self) -> Self {
        Self {
            guard: self.guard.clone(),
            session_of: Arc::clone(&self.session_of),
            when_stale: self.when_stale,
            answer: self.answer.clone(),
        }
    }
}

impl<B, R> Clone for BarrierLayer<B, R> {
    fn clone(&self) -> Self {
        Self { rules: self.rules.clone() }
    }
}

impl<S: Clone, B, R> Clone for BarrierService<S, B, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), rules: self.rules.clone() }
    }
}

impl<B, R> fmt::Debug for BarrierLayer<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierLayer")
            .field("guard", &self.rules.guard)
            .field("when_stale", &self.rules.when_stale)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, B, R> fmt::Debug for BarrierService<S, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
