//! The layer refuses the requests of ended sessions, and passes on all others as they are.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::routing::post;
use jiff::Timestamp;
use lightsout_client::{
    BarrierGuard, BarrierLayer, BarrierOptions, KnownBy, SessionOf, Verdict, WhenStale, api::EndedSession,
};
use lightsout_testkit::Scripted;
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};

use crate::barriers::{heartbeat, message, news, silent_after, until};
use crate::kit::{answering, client, developer};

const WITHIN: Duration = Duration::from_secs(30);
/// SHA-256 of "abc" (FIPS 180-2, appendix B.1).
const ABC: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

/// A guard that knows Ann's end, and that of the session `abc`.
async fn guard(stale_after: Duration) -> (Scripted, BarrierGuard) {
    let mut known = news(3, &["ann"]);
    let expires_at = Timestamp::MAX;
    known["ended_sessions"] = json!([EndedSession { id: ABC.into(), user_id: "2".into(), expires_at }]);
    let server = answering([silent_after(&[message(3, "barriers", &known), heartbeat(3)].concat())]).await;
    let options = BarrierOptions { stale_after, ..BarrierOptions::new(KnownBy::Login) };
    let guard = client(&server.url, developer()).follow_barriers(options);
    guard.caught_up().await.expect("it is told");
    (server, guard)
}

/// The session that the headers of a request tell.
fn session_of<B>(request: &Request<B>) -> Option<SessionOf> {
    let header = |name: &str| Some(request.headers().get(name)?.to_str().expect("ASCII").to_owned());
    let began_at = header("began-at")?.parse().expect("a time");
    Some(SessionOf { user: header("login")?, began_at, session_id: header("session-id") })
}

fn request<B>(login: &str, began_at: &str, body: B) -> Request<B> {
    Request::post("/").header("login", login).header("began-at", began_at).body(body).expect("a request")
}

/// Sends a request through the layer to a service that answers with what it got.
async fn through<B>(layer: &BarrierLayer<B, Option<B>>, request: Request<B>) -> Response<Option<B>>
where
    B: Send + 'static,
{
    let echo = service_fn(|request: Request<B>| async move {
        Ok::<_, Infallible>(Response::new(Some(request.into_body())))
    });
    let answer = layer.layer(echo).oneshot(request).await;
    answer.expect("it never fails")
}

/// A body that can be moved and nothing else.
#[derive(Debug, PartialEq)]
struct Opaque(u32);

#[tokio::test]
async fn ended_sessions_are_refused_and_others_pass_with_their_body() {
    let (_server, guard) = guard(WITHIN).await;
    let layer = BarrierLayer::new(guard, session_of::<Opaque>);
    let ann = "ANN@acme.example";
    let refused = through(&layer, request(ann, "2026-05-04T10:00:05Z", Opaque(1))).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    assert_eq!(refused.headers()["cache-control"], "no-store");
    assert_eq!(refused.into_body(), None);

    let nobody = Request::get("/").body(Opaque(4)).expect("a request");
    for passed in [
        request(ann, "2026-05-04T10:00:05.001Z", Opaque(4)),
        request("bob@acme.example", "2026-05-04T10:00:00Z", Opaque(4)),
        nobody,
    ] {
        let answer = through(&layer, passed).await;
        assert_eq!((answer.status(), answer.into_body()), (StatusCode::OK, Some(Opaque(4))));
    }
}

#[tokio::test]
async fn session_that_was_ended_alone_is_refused_by_its_id() {
    let (_server, guard) = guard(WITHIN).await;
    let layer = BarrierLayer::new(guard, session_of::<Opaque>);
    for (id, status) in [("abc", StatusCode::UNAUTHORIZED), ("abd", StatusCode::OK)] {
        let mut request = request("bob@acme.example", "2026-05-04T10:00:00Z", Opaque(1));
        request.headers_mut().insert("session-id", id.parse().expect("a header"));
        assert_eq!(through(&layer, request).await.status(), status, "{id}");
    }
}

#[tokio::test]
async fn stale_guard_refuses_or_admits_as_the_app_chose() {
    let (server, guard) = guard(Duration::from_millis(20)).await;
    drop(server);
    until("it is stale", || !guard.is_fresh()).await;
    let refusing = BarrierLayer::new(guard, session_of::<Opaque>);
    let admitting = refusing.clone().when_stale(WhenStale::Admit);
    let bob = || request("bob@acme.example", "2026-05-04T10:00:00Z", Opaque(1));
    let refused = through(&refusing, bob()).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.into_body(), None);
    assert_eq!(through(&admitting, bob()).await.into_body(), Some(Opaque(1)));

    let nobody = || Request::get("/").body(Opaque(1)).expect("a request");
    let ann = || request("ann@acme.example", "2026-05-04T10:00:00Z", Opaque(1));
    for layer in [&refusing, &admitting] {
        assert_eq!(through(layer, nobody()).await.status(), StatusCode::OK, "without a session");
        assert_eq!(through(layer, ann()).await.status(), StatusCode::UNAUTHORIZED, "known to be ended");
    }
}

#[tokio::test]
async fn app_answers_in_its_own_way() {
    let (_server, guard) = guard(WITHIN).await;
    let layer = BarrierLayer::new(guard, session_of::<Opaque>).answer(|verdict, request: &Request<_>| {
        assert_eq!((verdict, request.uri().path()), (Verdict::Ended, "/"));
        Response::builder().status(303).header("location", "/sign-in").body(None).expect("an answer")
    });
    let refused = through(&layer, request("ann@acme.example", "2026-05-04T10:00:00Z", Opaque(1))).await;
    assert_eq!(
        (refused.status(), &refused.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/sign-in".parse().expect("a header"))
    );
}

#[tokio::test]
async fn it_is_a_layer_of_axum() {
    let (_server, guard) = guard(WITHIN).await;
    let layer = BarrierLayer::new(guard, |request: &Request<Body>| session_of(request));
    let app = Router::new().route("/", post(|_: HeaderMap, body: String| async { body })).layer(layer);
    let send = async |login| {
        let request = request(login, "2026-05-04T10:00:00Z", Body::from("hello"));
        let answer = app.clone().oneshot(request).await.expect("it never fails");
        let status = answer.status();
        (status, to_bytes(answer.into_body(), 100).await.expect("a short body"))
    };
    assert_eq!(send("ann@acme.example").await, (StatusCode::UNAUTHORIZED, "".into()));
    assert_eq!(send("bob@acme.example").await, (StatusCode::OK, "hello".into()));
}
