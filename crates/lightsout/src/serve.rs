//! `lightsout serve`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use lightsout_server::config::{Config, LogConfig, LogFormat, Purpose, secrets_in_clear};
use lightsout_server::server;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::say;
use crate::report::counted;

/// Runs the service.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  lightsout serve --check-config\n  lightsout serve --config /etc/lightsout.toml"
)]
pub(crate) struct Serve {
    #[command(flatten)]
    file: crate::ConfigFile,
    /// Checks the configuration and ends.
    #[arg(long)]
    check_config: bool,
}

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&self.file.config, Purpose::Serve)?;
        tracing_subscriber::EnvFilter::try_new(&config.log.filter).context("log.filter")?;
        let warning = secrets_in_clear(&self.file.config);
        if self.check_config {
            if let Some(warning) = warning {
                eprintln!("warning: {warning}");
            }
            say!(
                "{} is valid ({})",
                self.file.config.display(),
                counted(config.systems.len() as u64, "system", "systems")
            );
            return Ok(ExitCode::SUCCESS);
        }
        log(&config.log)?;
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
        }
        raise_descriptors();
        let stopped = stopped()?;
        let running = server::start(&config, Some(metrics()?)).await?;
        tracing::info!(address = %running.address, version = env!("CARGO_PKG_VERSION"), "listening");
        stopped.await;
        tracing::info!("stopping");
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Takes as many descriptors as the process may have: every follower holds one.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(error = &error as &dyn std::error::Error, "the limit of descriptors stays as it is");
    }
}

/// Hears SIGTERM and Ctrl-C from now on. The future ends at the first of them.
pub(crate) fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Logs to standard error.
pub(crate) fn log(config: &LogConfig) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.filter).context("log.filter")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

fn metrics() -> anyhow::Result<PrometheusHandle> {
    let buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    let name = Matcher::Full("lightsout_http_request_seconds".to_owned());
    Ok(PrometheusBuilder::new().set_buckets_for_metric(name, &buckets)?.install_recorder()?)
}
