//! Sessions in a Redis store: one value a session, or Spring Session's hashes.
//!
//! The user is found inside the value by a configured path and compared whole. With a user index
//! (a set of session ids by user) only that user's keys are read; without one, a single SCAN pass
//! serves all due users. Nothing stored is ever executed.

mod cluster;
mod config;
mod examine;
mod failure;
mod pass;
mod servers;
mod spring;

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use tokio::sync::Mutex;

use self::config::Layout;
pub use self::config::{Preset, RedisConfig, SentinelConfig};
use self::examine::Seen;
use self::pass::Pass;
use self::servers::Servers;
use super::{Answer, Answering, Capabilities, Connector, ConnectorError, Explanation, Reply, Target};

/// A Redis store.
pub struct Redis {
    config: RedisConfig,
    layout: Layout,
    servers: Mutex<Option<Servers>>,
    /// Whether a user was ever found at the configured path.
    path_is_right: AtomicBool,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects at the first pass, and again whenever the connection was lost. What cannot work is
    /// said without connecting.
    pub fn new(config: RedisConfig) -> Result<Self, String> {
        config.check()?;
        let layout = config.layout()?;
        Ok(Self { config, layout, servers: Mutex::new(None), path_is_right: AtomicBool::new(false) })
    }

    /// Says what of a configuration cannot work, without connecting.
    pub fn check(config: &RedisConfig) -> Result<(), String> {
        config.check()
    }

    /// Those of the pass before if they still serve; else they are looked for and connected anew.
    async fn servers(&self) -> Result<Servers, ConnectorError> {
        let mut kept = self.servers.lock().await;
        if let Some(servers) = kept.take()
            && servers.serve_again(&self.config).await
        {
            return Ok(kept.insert(servers).clone());
        }
        let servers = Servers::connect(&self.config).await?;
        Ok(kept.insert(servers).clone())
    }

    async fn pass(&self, targets: &[Target], ending: bool) -> Result<Answer, ConnectorError> {
        let servers = self.servers().await?;
        if self.config.is_spring() {
            return spring::pass(&servers, &self.layout.prefix, targets, ending).await;
        }
        let mut pass = Pass::new(&self.layout, targets, ending);
        match &self.layout.user_index {
            Some(index) if !targets.is_empty() => pass.look_up(&servers, index).await?,
            _ => pass.scan(&servers).await?,
        }
        let seen = std::mem::take(&mut pass.examiner.seen);
        if seen.with_user > 0 {
            self.path_is_right.store(true, Ordering::Relaxed);
        }
        let mut notes = seen.notes(&self.layout);
        // Once sessions were read here, what is left and cannot be read is a note.
        let was_read = self.path_is_right.load(Ordering::Relaxed);
        if let Some(why) = seen.nothing_readable(&self.layout).filter(|_| !was_read) {
            return Err(ConnectorError::Unexpected(why));
        }
        if targets.is_empty() {
            notes.splice(0..0, self.overview(&seen));
        } else if seen.readable > 0 && seen.with_user == 0 {
            notes.push(format!("no session read shows a user at {}", self.layout.user_path));
        }
        if seen.readable > 0 && !self.path_is_right.load(Ordering::Relaxed) {
            // Sessions of nobody, or a wrong path: nothing can be said of these people.
            let why =
                format!("no session there shows a user at {}; is user_path right?", self.layout.user_path);
            return Ok(Answer { replies: vec![Reply::Unknown(why); targets.len()], notes });
        }
        Ok(Answer { replies: pass.into_replies(), notes })
    }

    /// What a look without targets saw.
    fn overview(&self, seen: &Seen) -> Vec<String> {
        let prefix = if self.layout.prefix.is_empty() {
            "in the database"
        } else {
            &format!("under {}", self.layout.prefix)
        };
        let more = if seen.keys >= pass::SAMPLE.1 { "more than " } else { "" };
        let mut notes = vec![format!(
            "{more}{} keys {prefix}; of {} values read, {} are readable and {} show a user at {}",
            seen.keys, seen.values, seen.readable, seen.with_user, self.layout.user_path
        )];
        if seen.keys == 0 {
            notes.push("no key there: are prefix and database right, or is nobody signed in?".to_owned());
        }
        if seen.other_types.count > 0 {
            notes.push(format!("{} keys there are of another type, and no sessions", seen.other_types.count));
        }
        if seen.readable > 0 && seen.with_user == 0 {
            notes
                .push("no session read shows a user: is user_path right, or is nobody signed in?".to_owned());
        }
        notes
    }
}

impl Connector for Redis {
    fn capabilities(&self) -> Capabilities {
        let indexed = self.layout.user_index.is_some() || self.config.is_spring();
        // A pass without an index costs the same for all due users as for one.
        Capabilities {
            targets_per_job: if indexed { 500 } else { 2_000 },
            jobs_per_pass: if indexed { 4 } else { 100 },
            counts: true,
        }
    }

    fn explain(&self) -> Explanation {
        if self.config.is_spring() {
            return spring::explain(&self.layout.prefix);
        }
        let Layout { prefix, user_path, user_index, formats, .. } = &self.layout;
        let formats: Vec<String> = formats.iter().map(|f| format!("{f:?}").to_lowercase()).collect();
        let formats = formats.join(" or ");
        let via = user_index.as_ref().map_or_else(String::new, |index| format!(", among the ids in {index}"));
        Explanation {
            matched: format!("{formats} values under {prefix}* with the subject at {user_path}{via}"),
            ended: "UNLINK of the key, if nobody has written to it since it was read".to_owned(),
            proven: "looked for again after the quiet time".to_owned(),
        }
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.pass(targets, true).await }.boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.pass(targets, false).await }.boxed()
    }
}
