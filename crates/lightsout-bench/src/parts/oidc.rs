//! Logout tokens signed and delivered a second, beside the same POSTs of one constant token by bare
//! reqwest, and signatures alone. The receiver answers at once on a thread of its own.

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

use crate::Bench;
use crate::report::Part;
use crate::stats::{Times, digits, float, whole};

const PEOPLE: usize = 500;
const SESSIONS_EACH: usize = 6;
const ISSUER: &str = "https://login.bench.example";
const CLIENT_ID: &str = "wiki";

/// A private key in PKCS #8, and what signs with it.
type Key = (Vec<u8>, Box<dyn Fn(&[u8])>);

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let rounds = bench.size(2, 5);
    let sign_for = Duration::from_millis(bench.size(200, 1_000));
    part.text(format!(
        "{} sessions of {PEOPLE} people at one relying party: logout tokens signed and delivered a second by the \
         `oidc_backchannel` connector, without a rate limit. Bare: the same POSTs of one constant token by the HTTP \
         client alone; and signatures alone, on one core. Connector, client and receiver are in one process. Medians \
         of {rounds} rounds, in turns.",
        whole(float(PEOPLE * SESSIONS_EACH))
    ));
    let folder = bench.folder("oidc")?;
    let rows = tokio::runtime::Runtime::new()?.block_on(measure(&folder, rounds, sign_for))?;
    part.table(
        ["algorithm", "in parallel", "tokens a second", "bare POSTs", "ratio", "signatures alone"],
        rows,
    );
    Ok(())
}

async fn measure(folder: &Path, rounds: usize, sign_for: Duration) -> anyhow::Result<Vec<[String; 6]>> {
    let uri = format!("http://{}/logout", receiver()?);
    let db = Db::open(&format!("sqlite:{}", folder.join("bench.db").display()), 5).await?;
    migrate(&db).await?;
    let targets = register(&db).await?;
    let mut rows = Vec::new();
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let (der, sign) = key(algorithm)?;
        let signatures = signatures_a_second(&sign, sign_for);
        let file = folder.join(algorithm);
        let pem = STANDARD.encode(der);
        std::fs::write(&file, format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n"))?;
        for parallel in [8, 32] {
            let (ours, bare) = compare(&db, &targets, &uri, &file, (algorithm, parallel), rounds).await?;
            rows.push([
                algorithm.to_owned(),
                parallel.to_string(),
                whole(ours),
                whole(bare),
                digits(ours / bare),
                whole(signatures),
            ]);
        }
    }
    db.close().await;
    Ok(rows)
}

/// Answers every POST with 200 at once. Returns its address.
fn receiver() -> anyhow::Result<std::net::SocketAddr> {
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
async fn register(db: &Db) -> anyhow::Result<Vec<Target>> {
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

fn key(algorithm: &str) -> anyhow::Result<Key> {
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

fn signatures_a_second(sign: &dyn Fn(&[u8]), sign_for: Duration) -> f64 {
    let (message, started, mut count) = ([b'x'; 500], Instant::now(), 0_u32);
    while started.elapsed() < sign_for {
        sign(&message);
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

/// Tokens a second by the connector, and POSTs a second by bare reqwest, in turns; medians.
async fn compare(
    db: &Db,
    targets: &[Target],
    uri: &str,
    keys: &Path,
    (algorithm, parallel): (&str, usize),
    rounds: usize,
) -> anyhow::Result<(f64, f64)> {
    let config = serde_json::from_value(json!({
        "issuer": ISSUER, "client_id": CLIENT_ID, "logout_uri": uri, "signing_keys": keys, "kid": "bench",
        "algorithm": algorithm, "rate_per_s": 0, "parallel": parallel,
    }))?;
    let timeout = Duration::from_mins(5);
    let connector =
        OidcBackchannel::new(config, db.clone(), Clock::system(), timeout).map_err(anyhow::Error::msg)?;
    let token = "x".repeat(750);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let (mut ours, mut bare) = (Times::default(), Times::default());
    for _ in 0..rounds {
        bare.push(bare_posts(&client, uri, &token, parallel).await?);
        // Each round is a request of its own, so everything is told again.
        let asked_at = Clock::system().now_ms() + 1;
        let targets: Vec<Target> = targets.iter().map(|t| Target { asked_at, ..t.clone() }).collect();
        let started = Instant::now();
        let replies = connector.end(&targets).await?.replies;
        ours.push(started.elapsed());
        if let Some(other) = replies.iter().find(|reply| **reply != Reply::Delivered) {
            anyhow::bail!("not delivered: {other:?}");
        }
    }
    Ok((a_second(ours), a_second(bare)))
}

async fn bare_posts(
    client: &reqwest::Client,
    uri: &str,
    token: &str,
    parallel: usize,
) -> anyhow::Result<Duration> {
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

fn a_second(times: Times) -> f64 {
    float(PEOPLE * SESSIONS_EACH) / times.median().as_secs_f64()
}
