//! A shop with its sessions in SQLite or Redis: axum, axum-login, tower-sessions. Nothing in it knows
//! of lightsout.

use std::convert::Infallible;
use std::sync::Arc;

use apps::{Gate, Given};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend};
use serde_json::{Value, json};
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};
use tower_sessions_sqlx_store::SqliteStore;
use tower_sessions_sqlx_store::sqlx::SqlitePool;

type Answer = (StatusCode, Json<Value>);
type Session = axum_login::AuthSession<Everybody>;

/// The users: whoever comes is one, and needs no password.
#[derive(Clone)]
struct Everybody;

#[derive(Clone, Debug)]
struct User(String);

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        self.0.clone()
    }

    fn session_auth_hash(&self) -> &[u8] {
        b"no password"
    }
}

impl AuthnBackend for Everybody {
    type User = User;
    type Credentials = String;
    type Error = Infallible;

    async fn authenticate(&self, login: String) -> Result<Option<User>, Infallible> {
        Ok(Some(User(login)))
    }

    async fn get_user(&self, login: &String) -> Result<Option<User>, Infallible> {
        Ok(Some(User(login.clone())))
    }
}

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
        .layer(AuthManagerLayerBuilder::new(Everybody, sessions).build())
        .route("/under-way", get(async |State(gate): State<Arc<Gate>>| Json(gate.under_way())))
        .route("/let-go", post(async |State(gate): State<Arc<Gate>>| gate.let_go()))
        .with_state(Arc::new(Gate::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    apps::print_port(listener.local_addr().expect("bound").port());
    axum::serve(listener, app).await.expect("serves until it is killed");
}

async fn sign_in(mut session: Session, Path(login): Path<String>) -> Answer {
    let user = session.authenticate(login).await.expect("infallible").expect("everybody is a user");
    session.login(&user).await.expect("the store answers");
    session.session.insert("login", user.id()).await.expect("the store answers");
    me(session).await
}

async fn me(session: Session) -> Answer {
    match session.user {
        Some(User(login)) => (StatusCode::OK, Json(json!({ "login": login }))),
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
        session.session.insert("orders", 1).await.expect("the store answers");
    }
    answer
}
