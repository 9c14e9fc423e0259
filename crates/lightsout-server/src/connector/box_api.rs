//! Box itself, by `POST /2.0/users/terminate_sessions` through the client.
//!
//! Box takes the order with 202 and says nothing more: there is no list of sessions to ask for, and
//! its events show the end of some only. So what is replied is that the order was delivered.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use lightsout_client::{
    Auth, BOX, Client, Error, Jwt, Missing, PostUsersTerminateSessionsRequest, Retry, SessionTerminationApi,
    Subject,
};
use serde::Deserialize;

use super::{Answer, Answering, Capabilities, Connector, ConnectorError, Explanation, Reply, Target};
use crate::clock::Clock;
use crate::domain::fold::fold;
use crate::secret::Secret;

/// People in one call: whoever makes it fail holds up no more than these.
const BATCH: usize = 100;
/// The longest that Box's word to wait is believed, in milliseconds.
const HOLD_MS_MAX: i64 = 900_000;

/// How to get in to Box, and by what people are known there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxConfig {
    /// What the subject is.
    #[serde(default)]
    pub by: By,
    /// A developer token. It lives an hour: for a trial.
    #[serde(default)]
    pub token: Option<Secret>,
    /// Client credentials: the app's id.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The app's secret.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// The enterprise whose service account acts.
    #[serde(default)]
    pub enterprise_id: Option<String>,
    /// The configuration file of an app with a key, as Box's console gives it out.
    #[serde(default)]
    pub jwt_config: Option<PathBuf>,
    /// Where Box is.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Certificates (PEM) to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// What a subject is at Box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The login, an email address.
    #[default]
    Login,
    /// The id of the user.
    Id,
}

/// What is replied for those who were not reached.
const LATE: &str = "not called yet: the pass was out of time";

/// Box.
#[derive(Debug)]
pub struct BoxApi {
    by: By,
    client: Client,
    clock: Clock,
    timeout: Duration,
    /// Until when Box asked to wait.
    held_until: Mutex<Option<i64>>,
}

/// What became of one call.
enum Sent {
    Accepted,
    /// These are unknown; nobody's sessions were ended.
    Unknown(Vec<String>),
    Failed(ConnectorError),
}

impl BoxApi {
    /// Reads the credentials, and says what of the configuration cannot work. Nothing is sent. A pass
    /// answers within `timeout`.
    pub fn new(config: &BoxConfig, clock: Clock, timeout: Duration) -> Result<Self, String> {
        let deadline = Duration::from_secs(20).min(timeout / 4);
        let retry = Retry { attempts_max: 2, deadline, ..Retry::default() };
        let mut builder = Client::builder(auth(config)?)
            .base_url(config.base_url.as_deref().unwrap_or(BOX))
            .user_agent(concat!("lightsout/", env!("CARGO_PKG_VERSION")))
            .timeout(Duration::from_secs(15).min(timeout / 4))
            .retry(retry);
        if let Some(file) = &config.ca_file {
            let pem =
                std::fs::read(file).map_err(|e| format!("ca_file: cannot read {}: {e}", file.display()))?;
            builder = builder.root_certificates(&pem);
        }
        let client = builder.build().map_err(|e| e.to_string())?;
        Ok(Self { by: config.by, client, clock, timeout, held_until: Mutex::new(None) })
    }

    /// Says what of a configuration cannot work, without connecting.
    pub fn check(config: &BoxConfig) -> Result<(), String> {
        Self::new(config, Clock::system(), Duration::from_mins(1)).map(|_| ())
    }

    async fn end_all(&self, targets: &[Target]) -> Result<Answer, ConnectorError> {
        if let Some(wait) = self.wait() {
            return Err(ConnectorError::Unreachable(format!("Box asked to wait another {wait} s")));
        }
        let until = Instant::now() + self.timeout * 7 / 10;
        let mut replies = vec![Reply::Delivered; targets.len()];
        let (mut failed, mut worked) = (None, false);
        let numbers: Vec<usize> = (0..targets.len()).collect();
        for some in numbers.chunks(BATCH) {
            match self.end_some(targets, some, until, &mut replies).await {
                Ok(()) => worked = true,
                Err(error) => {
                    for n in some {
                        if replies[*n] == Reply::Delivered {
                            replies[*n] = Reply::Failed(error.to_string());
                        }
                    }
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if !worked && replies.iter().all(|reply| matches!(reply, Reply::Failed(_))) => {
                Err(error)
            }
            _ => Ok(replies.into()),
        }
    }

    /// Ends some at once; whom Box does not know is left out, and the others are sent again.
    async fn end_some(
        &self,
        targets: &[Target],
        some: &[usize],
        until: Instant,
        replies: &mut [Reply],
    ) -> Result<(), ConnectorError> {
        let mut left = some.to_vec();
        while !left.is_empty() {
            if Instant::now() >= until {
                for n in left {
                    replies[n] = Reply::Failed(LATE.to_owned());
                }
                return Ok(());
            }
            let names: Vec<String> = left.iter().map(|n| targets[*n].subject.clone()).collect();
            let unknown = match self.send(names).await {
                Sent::Accepted => return Ok(()),
                Sent::Failed(error) => return Err(error),
                Sent::Unknown(unknown) => unknown,
            };
            let before = left.len();
            left.retain(|n| {
                let is_unknown = unknown.iter().any(|name| self.is_same(name, &targets[*n].subject));
                if is_unknown {
                    replies[*n] = Reply::NoSubject;
                }
                !is_unknown
            });
            if left.len() == before {
                let why = "it knows somebody not (404), and does not say whom".to_owned();
                return Err(ConnectorError::Unexpected(why));
            }
        }
        Ok(())
    }

    fn is_same(&self, answered: &str, subject: &str) -> bool {
        answered == subject || (self.by == By::Login && fold(answered) == fold(subject))
    }

    async fn send(&self, names: Vec<String>) -> Sent {
        let request = match self.by {
            By::Login => PostUsersTerminateSessionsRequest { user_ids: None, user_logins: Some(names) },
            By::Id => PostUsersTerminateSessionsRequest { user_ids: Some(names), user_logins: None },
        };
        let api = SessionTerminationApi::new(self.client.clone());
        match api.post_users_terminate_sessions(Some(request)).await {
            Ok(_) => Sent::Accepted,
            Err(Error::NotFound(answer)) if !answer.not_found().is_empty() => {
                Sent::Unknown(answer.not_found().into_iter().map(|entry| entry.value).collect())
            }
            Err(error) => Sent::Failed(self.failure(&error)),
        }
    }

    /// A failure in words that name no person, address or secret.
    fn failure(&self, error: &Error) -> ConnectorError {
        let status = error.status().map_or(String::new(), |status| format!(" ({status})"));
        if let Some(at) = error.api().and_then(|answer| answer.retry_at) {
            let until = at.as_millisecond().min(self.clock.now_ms() + HOLD_MS_MAX);
            *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
        match error {
            Error::NotAuthenticated(_) => ConnectorError::Unexpected(format!(
                "Box refused the credentials{status}: see token, client_secret or jwt_config"
            )),
            Error::NotAllowed(answer) => {
                let lacks = match answer.missing() {
                    Some(Missing::Scope(name)) => format!("; the scope {name} is missing"),
                    Some(Missing::Right(name) | Missing::Role(name)) => format!("; {name} is missing"),
                    _ => String::new(),
                };
                ConnectorError::Unexpected(format!(
                    "Box does not allow this{status}{lacks}: the app needs the scope manage_managed_users, and an admin's or service account's rights over these people"
                ))
            }
            Error::NotFound(_) => {
                ConnectorError::Unexpected(format!("Box knows nothing there{status}: see base_url"))
            }
            Error::RateLimited(_) => {
                ConnectorError::Unreachable(format!("Box takes no more calls now{status}"))
            }
            Error::Unavailable(_) => ConnectorError::Unreachable(format!("Box fails{status}")),
            Error::Transport { may_have_arrived: false, .. } => {
                ConnectorError::Unreachable("no connection to Box".to_owned())
            }
            Error::Transport { .. } => ConnectorError::Unreachable("the connection to Box broke".to_owned()),
            Error::Setup { .. } => {
                ConnectorError::Unexpected("the credentials for Box cannot be used".to_owned())
            }
            _ => ConnectorError::Unexpected(format!("Box refused the request{status}")),
        }
    }

    /// Seconds that Box still asks to wait.
    fn wait(&self) -> Option<i64> {
        let until = (*self.held_until.lock().unwrap_or_else(PoisonError::into_inner))?;
        let left = until - self.clock.now_ms();
        (left > 0).then_some((left + 999) / 1_000)
    }

    async fn look(&self, targets: &[Target]) -> Result<Answer, ConnectorError> {
        if targets.is_empty() {
            self.client.me().await.map_err(|error| self.failure(&error))?;
            let note =
                "Box takes the credentials; whether they may end sessions shows at the first termination";
            return Ok(Answer { replies: Vec::new(), notes: vec![note.to_owned()] });
        }
        let why = "Box says nothing of the sessions that live".to_owned();
        Ok(vec![Reply::Unknown(why); targets.len()].into())
    }
}

/// One kind of credentials, whole.
fn auth(config: &BoxConfig) -> Result<Auth, String> {
    let one = "write token; or client_id, client_secret and enterprise_id; or jwt_config";
    let app = (&config.client_id, &config.client_secret, &config.enterprise_id);
    match (&config.token, app, &config.jwt_config) {
        (Some(token), (None, None, None), None) => Ok(Auth::developer_token(token.0.clone())),
        (None, (Some(id), Some(secret), Some(enterprise)), None) => {
            Ok(Auth::client_credentials(id, secret.0.clone(), Subject::enterprise(enterprise)))
        }
        (None, (None, None, None), Some(file)) => {
            Jwt::from_file(file).map(Auth::from).map_err(|e| format!("jwt_config: {e}"))
        }
        _ => Err(format!("credentials: {one}")),
    }
}

impl Connector for BoxApi {
    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_per_job: 500, jobs_per_pass: 4, counts: false }
    }

    fn explain(&self) -> Explanation {
        let name = match self.by {
            By::Login => "login",
            By::Id => "id",
        };
        Explanation {
            matched: format!("the Box user whose {name} is the subject"),
            ended: format!("POST /2.0/users/terminate_sessions, up to {BATCH} people a call"),
            proven: "nothing: Box answers 202 and cannot be asked; delivered_not_verified".to_owned(),
        }
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.end_all(targets).await }.boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.look(targets).await }.boxed()
    }
}
