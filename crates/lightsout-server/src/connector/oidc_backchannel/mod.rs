//! OpenID Connect Back-Channel Logout 1.0: signed logout tokens to one relying party.
//!
//! A relying party trusts only its provider, so issuer and keys are the provider's. Which sessions a
//! user has there was registered at sign-in; one token names one of them. An answer is an order taken
//! and no evidence: only a probe proves.

mod config;
mod keys;
mod pace;
mod pass;
mod receiver;
mod token;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;

pub use self::config::{OidcBackchannelConfig, ReceiverKind};
pub use self::keys::Algorithm;
use self::keys::KeyFile;
use self::pace::Pace;
use self::pass::Item;
use self::receiver::{Life, Receiver};
use super::sql::Sids;
use super::{Answer, Answering, Capabilities, Connector, ConnectorError, Explanation, Reply, Session};
use super::{Target, key_digest, web};
use crate::clock::Clock;
use crate::random::Random;
use crate::store::{Db, DbError, NewOidcSession, OidcSessionRow};

const NONE_REGISTERED: &str = "no session of this user at this relying party is known that began before \
     the request: whoever signs people in sends oidc {iss, client_id, sub, sid} with POST /v1/sessions";

const NEVER_ALIVE: &str = "the probe shows none of the registered sessions alive before the token was sent, \
     and showed none of anybody since the service was started; is probe_url right?";

/// The begin that is stored for a session of unknown begin.
const UNKNOWN_BEGIN: i64 = 0;
/// How long what the provider's store showed is kept, in milliseconds.
const SHOWN_KEPT_MS: i64 = 30 * 86_400_000;

/// The longest that one request to a receiver may take.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// Deliveries noted in one transaction at most.
const NOTED_AT_ONCE: usize = 100;
/// Sessions remembered at most that were ended in passes whose target failed.
const UNREPORTED_MAX: usize = 100_000;

/// One relying party.
#[derive(Debug)]
pub struct OidcBackchannel {
    config: OidcBackchannelConfig,
    db: Db,
    clock: Clock,
    random: Random,
    timeout: Duration,
    keys: KeyFile,
    receiver: Receiver,
    sids: Option<Sids>,
    /// Sessions that were ended while others of the same target failed: counted when the target is.
    unreported: Mutex<HashSet<String>>,
    /// Whether the probe ever said of a known session that it lives. Until then its "gone" may be that
    /// of a wrong address.
    showed_life: AtomicBool,
}

impl OidcBackchannel {
    /// Says what of a configuration cannot work, without connecting or reading files.
    pub fn check(config: &OidcBackchannelConfig) -> Result<(), String> {
        config.check()?;
        config.sids().map(drop)
    }

    /// Reads the keys and connects at the first pass only. A pass answers within `timeout`.
    pub fn new(
        config: OidcBackchannelConfig,
        db: Db,
        clock: Clock,
        timeout: Duration,
    ) -> Result<Self, String> {
        config.check()?;
        config.check_probe_token()?;
        let keys = KeyFile::open(&config.signing_keys, config.algorithm, config.kid.clone())?;
        let client = web::client(REQUEST_TIMEOUT_MAX.min(timeout / 4), config.ca_file.as_ref())?;
        let receiver = Receiver::new(client, Pace::new(config.rate_per_s), clock.clone());
        let (sids, random, unreported) = (config.sids()?, Random::from_os(), Mutex::default());
        let showed_life = AtomicBool::new(false);
        Ok(Self { config, db, clock, random, timeout, keys, receiver, sids, unreported, showed_life })
    }

    /// The known sessions of each target that are over: those registered, and those that the provider's
    /// store showed.
    async fn due(
        &self,
        targets: &[Target],
        shown: Vec<NewOidcSession>,
        ending: bool,
    ) -> Result<Vec<Item>, ConnectorError> {
        let mut users: Vec<String> = targets.iter().map(|t| t.user_id.clone()).collect();
        users.sort_unstable();
        users.dedup();
        let mut rows = self
            .db
            .list_oidc_sessions(&self.config.issuer, &self.config.client_id, &users)
            .await
            .map_err(database_failed)?;
        let mut unknown: HashMap<(String, String), NewOidcSession> = HashMap::new();
        for session in shown {
            unknown.entry((session.user_id.clone(), session.sid.clone())).or_insert(session);
        }
        for row in &mut rows {
            // What the store shows lives, although it was registered for a shorter time.
            if let Some(session) = unknown.remove(&(row.user_id.clone(), row.sid.clone())) {
                row.expires_at = row.expires_at.max(session.expires_at);
            }
        }
        rows.extend(unknown.into_values().map(OidcSessionRow::from));
        rows.sort_by(|a, b| (&a.user_id, &a.sid).cmp(&(&b.user_id, &b.sid)));
        let now = self.clock.now_ms();
        let mut items = Vec::new();
        for (n, target) in targets.iter().enumerate() {
            // Rows are in the order of the users.
            let first = rows.partition_point(|row| row.user_id < target.user_id);
            let own = rows[first..].iter().take_while(|row| row.user_id == target.user_id);
            // What expired before the request was over by itself.
            let own = own.filter(|row| row.expires_at > target.asked_at.min(now));
            items
                .extend(own.map(|row| self.item(n, target, row)).filter(|item| item.is_over(target, ending)));
        }
        Ok(items)
    }

    /// What the provider's own store says of the targets, if it is asked.
    async fn shown_by_provider(&self, targets: &[Target]) -> Result<Vec<NewOidcSession>, ConnectorError> {
        let Some(sids) = &self.sids else { return Ok(Vec::new()) };
        let now = self.clock.now_ms();
        let subjects: Vec<String> = targets.iter().map(|t| t.subject.clone()).collect();
        let by_subject: HashMap<&str, &Target> = targets.iter().map(|t| (t.subject.as_str(), t)).collect();
        let found = sids.find(&subjects, &self.config.client_id, now).await?;
        // A database may call more names equal than are the same.
        let mine =
            found.into_iter().filter_map(|sid| by_subject.get(sid.subject.as_str()).map(|t| (*t, sid)));
        let new = mine.map(|(target, sid)| NewOidcSession {
            user_id: target.user_id.clone(),
            iss: self.config.issuer.clone(),
            client_id: self.config.client_id.clone(),
            sid: sid.sid,
            sub: sid.sub.unwrap_or(sid.subject),
            began_at: sid.began_at.unwrap_or(UNKNOWN_BEGIN),
            expires_at: now + SHOWN_KEPT_MS,
        });
        Ok(new.collect())
    }

    /// In a task of its own: a caller that stops waiting never cancels the transaction.
    async fn note_shown(&self, shown: Vec<NewOidcSession>) -> Result<(), DbError> {
        let db = self.db.clone();
        let transaction = tokio::spawn(async move {
            let mut tx = db.begin().await?;
            tx.insert_oidc_sessions(&shown).await?;
            tx.commit().await
        });
        transaction.await.expect("the transaction does not panic")
    }

    fn item(&self, target: usize, asked: &Target, row: &OidcSessionRow) -> Item {
        // A preview asks in the far future: whether a token was sent before means nothing to it.
        let delivered = row.delivered_at.is_some_and(|at| at >= asked.asked_at);
        let name = [&self.config.issuer, &self.config.client_id, &row.user_id, &row.sid];
        let key = key_digest(serde_json::json!(name).to_string().as_bytes());
        Item { target, row: row.clone(), delivered, key }
    }

    async fn end_all(&self, targets: &[Target]) -> Result<Answer, ConnectorError> {
        // Where the store cannot be asked, those who are registered are told all the same.
        let (shown, unasked) = match self.shown_by_provider(targets).await {
            Ok(shown) => (shown, None),
            Err(error) => (Vec::new(), Some(format!("the provider's store: {error}"))),
        };
        if !shown.is_empty() {
            // As if it had been registered: the store may forget it before a token is taken.
            self.note_shown(shown.clone()).await.map_err(database_failed)?;
        }
        let items = self.due(targets, shown, true).await?;
        let (key, note) = self.keys.current();
        let pass = self.deliver(&key, &items).await?;
        let replies = (0..targets.len()).map(|n| self.ended(n, &items, &pass, unasked.as_deref())).collect();
        Ok(Answer { replies, notes: note.into_iter().collect() })
    }

    async fn find_all(&self, targets: &[Target]) -> Result<Answer, ConnectorError> {
        let shown = self.shown_by_provider(targets).await?;
        let items = self.due(targets, shown, false).await?;
        let lives = if self.config.probe_url.is_some() { self.probe_all(&items).await } else { Vec::new() };
        let found = |n: usize| {
            let mine: Vec<usize> = (0..items.len()).filter(|i| items[*i].target == n).collect();
            if mine.is_empty() {
                return Reply::Unknown(NONE_REGISTERED.to_owned());
            }
            let session = |i: &usize| items[*i].session();
            if lives.is_empty() {
                let open: Vec<Session> = mine.iter().filter(|i| !items[**i].delivered).map(session).collect();
                return if open.is_empty() { Reply::Delivered } else { Reply::Sessions(open) };
            }
            let unclear = mine.iter().filter(|i| lives[**i] == Life::Unclear).count();
            if unclear > 0 {
                return could_not_tell(unclear, mine.len());
            }
            Reply::Sessions(mine.iter().filter(|i| lives[**i] == Life::Alive).map(session).collect())
        };
        Ok((0..targets.len()).map(found).collect::<Vec<_>>().into())
    }

    /// What is seen without any user.
    async fn look(&self) -> Result<Answer, ConnectorError> {
        let (key, note) = self.keys.current();
        let mut notes: Vec<String> = note.into_iter().collect();
        notes.push(format!(
            "tokens are signed with {}, key {}",
            self.config.algorithm.name(),
            key.kid.as_deref().unwrap_or("without a kid")
        ));
        let registered = self
            .db
            .count_oidc_sessions(&self.config.issuer, &self.config.client_id, self.clock.now_ms())
            .await
            .map_err(database_failed)?;
        notes.push(format!("{registered} sessions at this relying party are registered"));
        if let Some(sids) = &self.sids {
            sids.find(&["lightsout-check".to_owned()], &self.config.client_id, self.clock.now_ms()).await?;
            notes.push("sids_sql can be run at the provider's store".to_owned());
        }
        if self.config.is_open_http() {
            notes.push(
                "logout_uri is plain http to another machine: tokens can be read on the way".to_owned(),
            );
        }
        let status = self.receiver.status_without_token(&self.config).await?.as_u16();
        notes.push(if status == 400 {
            "the receiver answers 400 to a request without a token, as it should".to_owned()
        } else {
            format!("the receiver answers {status} to a request without a token; 400 is expected")
        });
        if self.config.probe_url.is_some() {
            let never_was = self.random.session_id();
            let (life, status) = self.receiver.probe(&self.config, "lightsout-check", &never_was).await;
            notes.push(probe_note(life, status));
        }
        Ok(Answer { replies: Vec::new(), notes })
    }

    /// Notes in one transaction which deliveries were taken. In a task of its own: a caller that stops
    /// waiting never cancels it.
    fn note_deliveries(&self, taken: Vec<(String, String, i64)>) -> tokio::task::JoinHandle<()> {
        let (db, iss, client_id) =
            (self.db.clone(), self.config.issuer.clone(), self.config.client_id.clone());
        tokio::spawn(async move {
            let noted = async {
                let mut tx = db.begin().await?;
                tx.settle_deliveries(&iss, &client_id, &taken).await?;
                tx.commit().await
            };
            // What is not noted is sent again, under a new jti.
            if let Err(error) = noted.await {
                tracing::warn!(error = &error as &dyn std::error::Error, "deliveries could not be noted");
            }
        })
    }

    fn unreported(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.unreported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn database_failed(error: DbError) -> ConnectorError {
    tracing::warn!(error = &error as &dyn std::error::Error, "registered sids could not be read");
    ConnectorError::Unreachable("the service's own database failed".to_owned())
}

/// What the probe's answer about a session that never was shows.
fn probe_note(life: Life, status: Option<u16>) -> String {
    let Some(status) = status else { return "the probe gives no answer".to_owned() };
    let means = match life {
        Life::Gone => {
            "that is in probe_gone and shows only that something answers: a wrong probe_url may say the same"
        }
        Life::Alive => "that is in probe_alive: it proves nothing",
        Life::Unclear => "that is neither in probe_alive nor in probe_gone",
    };
    format!("the probe answers {status} to a session that never was: {means}")
}

fn could_not_tell(unclear: usize, all: usize) -> Reply {
    Reply::Failed(format!("the probe could not tell whether {unclear} of {all} sessions live"))
}

impl Connector for OidcBackchannel {
    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_per_job: 100, jobs_per_pass: 5, counts: true }
    }

    fn explain(&self) -> Explanation {
        let proven = match (&self.config.probe_url, self.config.receiver) {
            (Some(_), _) => "each session is asked for at probe_url after the quiet time".to_owned(),
            (None, ReceiverKind::ModAuthOpenidc) => {
                "nothing: without probe_url the outcome is delivered_not_verified; this receiver answers 200 to unknown sessions too".to_owned()
            }
            (None, _) => {
                "nothing: without probe_url the outcome is delivered_not_verified; a status code is no evidence".to_owned()
            }
        };
        Explanation {
            matched: format!(
                "sids registered by POST /v1/sessions for the user's id, this issuer and this client_id{}",
                if self.sids.is_some() { ", and those that sids_sql selects for the subject" } else { "" }
            ),
            ended: format!(
                "one logout token for each, with sub and sid, signed with {} and posted to logout_uri",
                self.config.algorithm.name()
            ),
            proven,
        }
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        self.end_all(targets).boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        if targets.is_empty() { self.look().boxed() } else { self.find_all(targets).boxed() }
    }
}
