//! A shop with its sessions in SQLite or Redis: axum, tower-sessions. Nothing in it knows of lightsout.

use std::sync::Arc;

use apps::{Gate, Given};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};
use tower_sessions_sqlx_store::SqliteStore;
use tower_sessions_sqlx_store::sqlx::SqlitePool;

type Answer = (StatusCode, Json<Value>);

#[tokio::main]
async fn main() {
    let given = Given::read();
    if given.store.starts_with("sqlite:") {
        let pool = SqlitePool::connect(&given.store).await.expect("SQLite opens");
        let store = SqliteStore::new(pool);
        store.migrate().await.expect("the table is made");
        serve(store).await;
    } else {
        let config = Config::from_url(&given.store).expect("a Redis address");
        let pool = Pool::new(config, None, None, None, 2).expect("a pool of two");
        pool.init().await.expect("Redis answers");
        serve(RedisStore::new(pool)).await;
    }
}

async fn serve(store: impl SessionStore + Clone) {
    let sessions = SessionManagerLayer::new(store)
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Duration::hours(1)));
    let app = Router::new()
        .route("/login/{login}", post(sign_in))
        .route("/me", get(me))
        .route("/browse", post(browse))
        .route("/order", post(order))
        .layer(sessions)
        .route("/under-way", get(async |State(gate): State<Arc<Gate>>| Json(gate.under_way())))
        .route("/let-go", post(async |State(gate): State<Arc<Gate>>| gate.let_go()))
        .with_state(Arc::new(Gate::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    apps::print_port(listener.local_addr().expect("bound").port());
    axum::serve(listener, app).await.expect("serves until it is killed");
}

async fn sign_in(session: Session, Path(login): Path<String>) -> Answer {
    session.cycle_id().await.expect("the store answers");
    session.insert("login", &login).await.expect("the store answers");
    (StatusCode::OK, Json(json!({ "login": login })))
}

async fn login(session: &Session) -> Option<String> {
    session.get("login").await.expect("the store answers")
}

async fn me(session: Session) -> Answer {
    match login(&session).await {
        Some(login) => (StatusCode::OK, Json(json!({ "login": login }))),
        None => (StatusCode::UNAUTHORIZED, Json(json!({ "error": "sign in" }))),
    }
}

/// A request that is under way until the test lets it go on, and only reads its session.
async fn browse(session: Session, State(gate): State<Arc<Gate>>) -> Answer {
    let answer = me(session).await;
    if answer.0 == StatusCode::OK {
        gate.wait().await;
    }
    answer
}

/// The same, but it changes its session at its end.
async fn order(session: Session, State(gate): State<Arc<Gate>>) -> Answer {
    let answer = browse(session.clone(), State(gate)).await;
    if answer.0 == StatusCode::OK {
        session.insert("orders", 1).await.expect("the store answers");
    }
    answer
}
