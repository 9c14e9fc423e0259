//! Runs the service: database, workers, upkeep and sockets, and stops them in order.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::http::{Limits, Web, service};
use crate::random::Random;
use crate::store::{Db, DbError, MigrateError, Retention, Walk, migrate};
use crate::worker;

/// How long a connection may take to send a request's headers, and may be idle.
const HEADERS_WITHIN: Duration = Duration::from_mins(1);
/// How often expired rows are deleted.
const PRUNE_EVERY: Duration = Duration::from_mins(1);
/// Steps of deleting at a time: a walk over 10 million sessions takes an hour.
const PRUNE_STEPS_MAX: usize = 200;
/// How often SQLite's log is folded into its file.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// How long a missed wake can keep a node from reading the log.
const POLL: Duration = Duration::from_millis(500);
/// When a connection that wakes is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened.
    #[error("cannot open the database; is it there, and is database.url right?")]
    Open(#[source] DbError),
    /// There is no database to read.
    #[error(
        "there is no database where database.url points; is this the right configuration, and the right folder?"
    )]
    Missing,
    /// The schema cannot be brought up to date.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// A system cannot work as configured.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; stop what listens there, or change server.listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate or key cannot be used.
    #[error("cannot use the certificate and key of [server.tls]")]
    Tls(#[source] std::io::Error),
}

/// A service that runs until it is stopped.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its operations, for those in the same process.
    pub app: Arc<App>,
    handle: Handle<SocketAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
    shutdown_timeout: Duration,
}

/// Opens the database and brings its schema up to date.
async fn open(config: &Config) -> Result<Arc<App>, StartError> {
    let db = open_migrated(config).await?;
    let clock = Clock::system();
    let systems = config.build_systems(&db, &clock)?;
    Ok(App::new(db, clock, Random::from_os(), systems, config.settings()))
}

/// The same for commands that call no system: the registry is the only one.
pub async fn open_without_systems(config: &Config) -> Result<Arc<App>, StartError> {
    let db = open_migrated(config).await?;
    Ok(App::new(db, Clock::system(), Random::from_os(), BTreeMap::new(), config.settings()))
}

async fn open_migrated(config: &Config) -> Result<Db, StartError> {
    let url = config.database.url.0.expose_secret();
    let db = Db::open(url, config.database.connections_max).await.map_err(StartError::Open)?;
    migrate(&db).await?;
    Ok(db)
}

/// Opens a database that is there already, to read it: nothing is made and nothing is changed.
pub async fn open_to_read(config: &Config) -> Result<Db, StartError> {
    let url = config.database.url.0.expose_secret();
    if !Db::is_there(url) {
        return Err(StartError::Missing);
    }
    Db::open(url, config.database.connections_max).await.map_err(StartError::Open)
}

/// Starts the service. It accepts requests when this returns.
pub async fn start(config: &Config, metrics: Option<PrometheusHandle>) -> Result<Running, StartError> {
    let listener = listen(config.server.listen)?;
    let address = listener
        .local_addr()
        .map_err(|source| StartError::Listen { address: config.server.listen, source })?;
    let tls = match &config.server.tls {
        Some(tls) => {
            Some(RustlsConfig::from_pem_file(&tls.certificate, &tls.key).await.map_err(StartError::Tls)?)
        }
        None => None,
    };
    let app = open(config).await?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let public_url = config.public_url_at(address);
    if config.lacks_public_url() {
        tracing::warn!(
            "behind_proxy without a server.public_url that begins with https://: pages and links that name the service's own address do not work"
        );
    }
    let web = Arc::new(Web {
        app: Arc::clone(&app),
        limits: Limits::new(&config.limits),
        public_url,
        behind_proxy: config.server.behind_proxy,
        providers: config.build_providers(&app.clock)?,
        request_timeout: Duration::from_secs(config.server.request_timeout_s),
        body_bytes_max: config.server.body_bytes_max,
        metrics,
        admits: Semaphore::new(config.server.requests_max),
        admits_checks: Semaphore::new(config.server.requests_max),
        stop: stop.clone(),
    });
    app.db.take_over(app.clock.now_ms()).await.map_err(StartError::Open)?;
    worker::recall(&app).await.map_err(StartError::Open)?;
    worker::start(&app, &tasks, &stop);
    tasks.spawn(follow(Arc::clone(&app), stop.clone()));
    tasks.spawn(load(Arc::clone(&app), stop.clone()));
    tasks.spawn(listen_to_others(Arc::clone(&app), stop.clone()));
    tasks.spawn(upkeep(Arc::clone(&web), stop.clone()));
    tasks.spawn(checkpoints(Arc::clone(&app), stop.clone()));
    let handle = Handle::new();
    let serving = tokio::spawn(serve(listener, tls, handle.clone(), web));
    let shutdown_timeout = Duration::from_secs(config.server.shutdown_timeout_s);
    Ok(Running { address, app, handle, stop, tasks, serving, shutdown_timeout })
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source| StartError::Listen { address, source })
}

async fn serve(
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
    web: Arc<Web>,
) -> std::io::Result<()> {
    if let Some(tls) = tls {
        let mut server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle);
        server.http_builder().http1().header_read_timeout(HEADERS_WITHIN);
        return server.serve(service(web)).await;
    }
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
    server.http_builder().http1().header_read_timeout(HEADERS_WITHIN);
    server.serve(service(web)).await
}

impl Running {
    /// Stops: no new request, streams end, requests under way finish, workers finish their pass or
    /// give their jobs back, the database closes.
    pub async fn stop(self) {
        self.stop.cancel();
        self.handle.graceful_shutdown(Some(self.shutdown_timeout));
        if let Ok(Err(error)) = self.serving.await {
            tracing::error!(error = &error as &dyn std::error::Error, "serving ended with an error");
        }
        self.tasks.close();
        if tokio::time::timeout(self.shutdown_timeout, self.tasks.wait()).await.is_err() {
            tracing::warn!("workers did not end in time; their jobs are due again when the leases run out");
        }
        if tokio::time::timeout(self.shutdown_timeout, self.app.db.close()).await.is_err() {
            tracing::warn!("a connection to the database did not close in time");
        }
    }
}

/// Keeps the index at the head of the log: at every wake, and now and then without one.
async fn follow(app: Arc<App>, stop: CancellationToken) {
    let mut wakes = app.wakes();
    while !stop.is_cancelled() {
        wakes.mark_unchanged();
        let was_fresh = app.index.is_fresh();
        match app.index.catch_up().await {
            Err(error) if was_fresh => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the log cannot be read; trying again"
                );
            }
            _ => {}
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(POLL) => {}
            _ = wakes.changed() => {}
        }
    }
}

/// Fills the index with what was before the start, and again after a log that went back.
async fn load(app: Arc<App>, stop: CancellationToken) {
    let mut positions = app.index.positions();
    loop {
        if !app.index.is_filled() {
            match stop.run_until_cancelled(app.index.load()).await {
                None => return,
                Some(Ok(())) => tracing::info!(sessions = app.index.session_count(), "index loaded"),
                Some(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the index cannot be loaded; trying again"
                    );
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(POLL) => {}
            _ = positions.changed() => {}
        }
    }
}

/// Is woken by what other nodes commit.
async fn listen_to_others(app: Arc<App>, stop: CancellationToken) {
    loop {
        match stop.run_until_cancelled(Box::pin(app.db.listen(|| app.wake()))).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "not woken by other nodes; polling");
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(LISTEN_AGAIN)).await.is_none() {
            return;
        }
    }
}

/// Deletes what has expired, a step at a time, and forgets idle callers.
async fn upkeep(web: Arc<Web>, stop: CancellationToken) {
    let mut walk = Walk::default();
    while stop.run_until_cancelled(tokio::time::sleep(PRUNE_EVERY)).await.is_some() {
        web.limits.forget_idle(web.app.clock.elapsed_ms());
        let app = Arc::clone(&web.app);
        // It walks through every session.
        if tokio::task::spawn_blocking(move || app.index.tidy()).await.is_err() {
            tracing::error!("the index could not be tidied");
        }
        // Or each request's time is kept until somebody asks for the metrics.
        if let Some(metrics) = &web.metrics {
            metrics.run_upkeep();
        }
        if let Err(error) = worker::recall(&web.app).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "jobs could not be recalled");
        }
        if let Err(error) = worker::pass_over_unconfigured(&web.app).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "pass over unconfigured systems failed");
        }
        if let Err(error) = web.app.db.prune_once(&retention(&web.app)).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "clean-up failed; trying again later");
        }
        for _ in 0..PRUNE_STEPS_MAX {
            match web.app.db.prune(&retention(&web.app), &mut walk).await {
                Ok(true) if !stop.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "clean-up failed; trying again later"
                    );
                    break;
                }
            }
        }
    }
}

/// What is old enough to go now.
pub fn retention(app: &App) -> Retention {
    let now = app.clock.now_ms();
    Retention {
        now,
        events_before: now - app.settings.keep_events_ms,
        terminations_before: now - app.settings.keep_terminations_ms,
        idempotency_keys_before: now - app.settings.keep_idempotency_keys_ms,
        barrier_names_before: now - app.settings.session_life_ms - app.settings.registry_clock_skew_ms,
    }
}

async fn checkpoints(app: Arc<App>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(CHECKPOINT_EVERY)).await.is_some() {
        if let Err(error) = app.db.checkpoint().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "checkpoint failed; trying again");
        }
    }
}
