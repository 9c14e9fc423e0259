//! The service's own registry: sessions that apps registered by `POST /v1/sessions`.
//!
//! A registered session is over from the commit of the termination, by its generation; what is
//! done here is the clean-up of its row, and the look that nothing was left. Cutoffs play no part.

use std::collections::HashMap;

use futures_util::FutureExt;

use super::{
    Answering, Capabilities, Connector, ConnectorError, Explanation, Reply, SURELY_OVER, Session, Target,
};
use crate::clock::Clock;
use crate::store::{Db, DbError};

/// Users whose sessions are emptied in one transaction: whoever accepts never waits long for one.
const USERS_AT_ONCE: usize = 250;

/// The registry in the service's own database.
#[derive(Clone, Debug)]
pub struct Registry {
    db: Db,
    clock: Clock,
}

impl Registry {
    /// The system's name in outcomes and jobs.
    pub const NAME: &'static str = "registry";

    /// Looks at the registry in this database.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Runs in a task of its own: a caller that stops waiting never cancels the transaction.
    async fn empty(&self, targets: &[Target]) -> Result<Vec<Reply>, DbError> {
        let (db, users, now) = (self.db.clone(), user_ids(targets), self.clock.now_ms());
        let transaction = tokio::spawn(async move {
            let mut ended = Vec::new();
            for users in users.chunks(USERS_AT_ONCE) {
                let found = db.list_ended_sessions(users).await?;
                if !found.is_empty() {
                    let mut tx = db.begin().await?;
                    ended.extend(tx.empty_ended_sessions(&found, now).await?);
                    tx.commit().await?;
                }
            }
            Ok::<_, DbError>(ended)
        });
        Ok(replies(targets, transaction.await.expect("the transaction does not panic")?))
    }

    /// What a barrier ended and is still stored; for a preview, what lives.
    async fn look(&self, targets: &[Target]) -> Result<Vec<Reply>, DbError> {
        let users = user_ids(targets);
        if targets.iter().all(|t| t.cutoff < i64::MAX) {
            return Ok(replies(targets, self.db.list_ended_sessions(&users).await?));
        }
        let mut found = Vec::new();
        for (user, n) in self.db.count_sessions(&users, self.clock.now_ms()).await? {
            found.extend((0..n).map(|k| (user.clone(), k.to_string())));
        }
        Ok(replies(targets, found))
    }
}

fn user_ids(targets: &[Target]) -> Vec<String> {
    targets.iter().map(|t| t.user_id.clone()).collect()
}

fn replies(targets: &[Target], found: Vec<(String, String)>) -> Vec<Reply> {
    let mut by_user: HashMap<String, Vec<Session>> = HashMap::new();
    for (user, mut key) in found {
        key.truncate(16);
        by_user.entry(user).or_default().push(Session { key, told: Some(SURELY_OVER).into() });
    }
    targets.iter().map(|t| Reply::Sessions(by_user.remove(&t.user_id).unwrap_or_default())).collect()
}

fn unreachable(error: DbError) -> ConnectorError {
    tracing::warn!(error = &error as &dyn std::error::Error, "registry pass failed");
    ConnectorError::Unreachable("the database failed".to_owned())
}

impl Connector for Registry {
    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_per_job: 500, jobs_per_pass: 8, counts: true }
    }

    fn explain(&self) -> Explanation {
        Explanation {
            matched: "sessions registered by POST /v1/sessions for the user's id".to_owned(),
            ended: "introspection refuses them from the commit of the termination; their rows are emptied, and go when they would have expired"
                .to_owned(),
            proven: "no row of an ended generation is left that is not emptied".to_owned(),
        }
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.empty(targets).await.map(Into::into).map_err(unreachable) }.boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { self.look(targets).await.map(Into::into).map_err(unreachable) }.boxed()
    }
}
