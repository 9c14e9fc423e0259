//! A shop with its sessions in Redis: actix-web, actix-session, actix-identity. Nothing in it knows
//! of lightsout.

use actix_identity::{Identity, IdentityMiddleware};
use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::web::{Data, Path};
use actix_web::{App, HttpMessage, HttpRequest, HttpResponse, HttpServer, get, post};
use apps::{Gate, Given};
use serde_json::json;

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let Given { store, prefix } = Given::read();
    let store = RedisSessionStore::builder(store)
        .cache_keygen(move |key| format!("{prefix}{key}"))
        .build()
        .await
        .expect("Redis answers");
    let (key, gate) = (Key::generate(), Data::new(Gate::default()));
    let server = HttpServer::new(move || {
        App::new()
            .wrap(IdentityMiddleware::default())
            .wrap(SessionMiddleware::builder(store.clone(), key.clone()).cookie_secure(false).build())
            .app_data(gate.clone())
            .service((sign_in, me, browse, order, under_way, let_go))
    })
    .workers(2)
    .bind("127.0.0.1:0")?;
    apps::print_port(server.addrs()[0].port());
    server.run().await
}

#[post("/login/{login}")]
async fn sign_in(request: HttpRequest, login: Path<String>) -> HttpResponse {
    let login = login.into_inner();
    Identity::login(&request.extensions(), login.clone()).expect("the session takes it");
    HttpResponse::Ok().json(json!({ "login": login }))
}

#[get("/me")]
async fn me(who: Option<Identity>) -> HttpResponse {
    match who.and_then(|who| who.id().ok()) {
        Some(login) => HttpResponse::Ok().json(json!({ "login": login })),
        None => HttpResponse::Unauthorized().json(json!({ "error": "sign in" })),
    }
}

/// A request that is under way until the test lets it go on, and only reads its session.
#[post("/browse")]
async fn browse(_who: Identity, gate: Data<Gate>) -> HttpResponse {
    gate.wait().await;
    HttpResponse::Ok().json(json!({}))
}

/// The same, but it changes its session at its end.
#[post("/order")]
async fn order(_who: Identity, session: Session, gate: Data<Gate>) -> HttpResponse {
    gate.wait().await;
    session.insert("orders", 1).expect("a number is JSON");
    HttpResponse::Ok().json(json!({}))
}

#[get("/under-way")]
async fn under_way(gate: Data<Gate>) -> HttpResponse {
    HttpResponse::Ok().json(gate.under_way())
}

#[post("/let-go")]
async fn let_go(gate: Data<Gate>) -> HttpResponse {
    gate.let_go();
    HttpResponse::Ok().finish()
}
