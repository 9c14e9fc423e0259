//! `cargo run --release -p lightsout-server --example bench_oidc`: logout tokens signed and delivered a
//! second, beside the bare counterparts from the same run: the same POSTs of one constant token by bare
//! reqwest, and signatures alone.
//!
//! The receiver answers at once on a thread of its own. Everything runs in one process on one machine,
//! so read the ratios, not the figures.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use axum::Router;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use lightsout_server::clock::Clock;
use lightsout_server::connector::{Connector, OidcBackchannel, Reply, Target};
use lightsout_server::store::{Db, NewOidcSession, migrate};
use serde_json::json;

const PEOPLE: usize = 500;
const SESSIONS_EACH: usize = 6;
const ROUNDS: usize = 5;
const SIGN_FOR: Duration = Duration::from_secs(1);
const ISSUER: &str = "https://login.bench.example";
const CLIENT_ID: &str = "wiki";

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A private key in PKCS #8, and what signs with it.
type Key = (Vec<u8>, Box<dyn Fn(&[u8])>);

#[tokio::main]
async fn main() -> Result<(), Error> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("nothing ran before");
    println!("load average before: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    let uri = format!("http://{}/logout", receiver()?);
    let folder = tempfile::tempdir()?;
    let db = Db::open(&format!("sqlite:{}", folder.path().join("bench.db").display()), 5).await?;
    migrate(&db).await?;
    let targets = register(&db).await?;
    println!("{} sessions of {PEOPLE} people, median of {ROUNDS} rounds", PEOPLE * SESSIONS_EACH);
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let (der, sign) = key(algorithm)?;
        let signatures = signatures_a_second(&sign);
        let file = folder.path().join(algorithm);
        let pem = STANDARD.encode(der);
        std::fs::write(&file, format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n"))?;
        for parallel in [8, 32] {
            let (ours, bare) = rounds(&db, &targets, &uri, &file, algorithm, parallel).await?;
            println!(
                "  {algorithm}, parallel {parallel:>2}: {ours:>6.0} tokens/s, bare POSTs {bare:>6.0}/s, ratio {:.2}; \
                 signatures alone {signatures:.0}/s",
                ours / bare
            );
        }
    }
    println!("load average after: {}", std::fs::read_to_string("/proc/loadavg")?.trim());
    Ok(())
}

/// Answers every POST with 200 at once. Returns its address.
fn receiver() -> Result<std::net::SocketAddr, Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let router = Router::new().route("/logout", post(|_: axum::body::Bytes| async { "" }));
            axum::serve(listener, router).await
        })
    });
    Ok(address)
}

/// Registers every session, and returns the people.
async fn register(db: &Db) -> Result<Vec<Target>, Error> {
    let mut tx = db.begin().await?;
    let mut targets = Vec::new();
    for n in 0..PEOPLE {
        let user_id = format!("{n:015}");
        let session = |k: usize| NewOidcSession {
            user_id: user_id.clone(),
            iss: ISSUER.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            sid: format!("sid-{n:08}-{k:08}-0123456789abcdef"),
            sub: format!("person{n}@bench.example"),
            began_at: 1,
            expires_at: i64::MAX,
        };
        tx.insert_oidc_sessions(&(0..SESSIONS_EACH).map(session).collect::<Vec<_>>()).await?;
        targets.push(Target {
            user_id: user_id.clone(),
            subject: user_id,
            cutoff: 1,
            asked_at: 1,
            only: None,
        });
    }
    tx.commit().await?;
    Ok(targets)
}

fn key(algorithm: &str) -> Result<Key, Error> {
    let random = SystemRandom::new();
    Ok(match algorithm {
        "ES256" => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
            let der = pair.to_pkcs8v1()?.as_ref().to_vec();
            (
                der,
                Box::new(move |message| {
                    std::hint::black_box(pair.sign(&random, message).expect("it signs"));
                }),
            )
        }
        "EdDSA" => {
            let pair = Ed25519KeyPair::generate()?;
            (
                pair.to_pkcs8v1()?.as_ref().to_vec(),
                Box::new(move |message| {
                    std::hint::black_box(pair.sign(message));
                }),
            )
        }
        _ => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
            let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)?.as_ref().to_vec();
            let sign = move |message: &[u8]| {
                let mut signature = [0; 256];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("it signs");
            };
            (der, Box::new(sign))
        }
    })
}

fn signatures_a_second(sign: &dyn Fn(&[u8])) -> f64 {
    let (message, started, mut count) = ([b'x'; 500], Instant::now(), 0_u32);
    while started.elapsed() < SIGN_FOR {
        sign(&message);
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

/// Tokens a second by the connector, and POSTs a second by bare reqwest, in turns; medians.
async fn rounds(
    db: &Db,
    targets: &[Target],
    uri: &str,
    keys: &Path,
    algorithm: &str,
    parallel: usize,
) -> Result<(f64, f64), Error> {
    let config = serde_json::from_value(json!({
        "issuer": ISSUER, "client_id": CLIENT_ID, "logout_uri": uri, "signing_keys": keys, "kid": "bench",
        "algorithm": algorithm, "rate_per_s": 0, "parallel": parallel,
    }))?;
    let timeout = Duration::from_mins(5);
    let connector = OidcBackchannel::new(config, db.clone(), Clock::system(), timeout)?;
    let token = "x".repeat(750);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(bare_posts(&client, uri, &token, parallel).await?);
        // Each round is a request of its own, so everything is told again.
        let asked_at = Clock::system().now_ms() + 1;
        let targets: Vec<Target> = targets.iter().map(|t| Target { asked_at, ..t.clone() }).collect();
        let started = Instant::now();
        let replies = connector.end(&targets).await?.replies;
        ours.push(started.elapsed());
        if let Some(other) = replies.iter().find(|reply| **reply != Reply::Delivered) {
            return Err(format!("not delivered: {other:?}").into());
        }
    }
    Ok((a_second(ours), a_second(bare)))
}

async fn bare_posts(
    client: &reqwest::Client,
    uri: &str,
    token: &str,
    parallel: usize,
) -> Result<Duration, Error> {
    let started = Instant::now();
    let post = |_| {
        let request = client.post(uri).form(&[("logout_token", token)]);
        async move { request.send().await?.error_for_status()?.bytes().await }
    };
    let work: Vec<_> = (0..PEOPLE * SESSIONS_EACH).map(post).collect();
    let mut answers = futures_util::stream::iter(work).buffer_unordered(parallel);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(started.elapsed())
}

fn a_second(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let count = u32::try_from(PEOPLE * SESSIONS_EACH).expect("some thousands");
    f64::from(count) / times[times.len() / 2].as_secs_f64()
}
