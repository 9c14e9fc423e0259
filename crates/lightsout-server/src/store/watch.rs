//! What a person who watches a termination wants to see of it: when each system is tried next, how much
//! was proven by when, and whom it does not work for.

use crate::args;
use crate::store::{Db, DbError, OutcomeRow};

/// How the unfinished jobs of one system stand.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct OpenJobs {
    /// The system.
    pub system: String,
    /// How many there are.
    pub jobs: i64,
    /// How many of them a worker holds now.
    pub held: i64,
    /// When the first of the others is due.
    pub next_at: Option<i64>,
    /// When trying ends.
    pub give_up_at: i64,
}

/// What was proven in one span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Proven {
    /// The number of the span, from 0.
    pub span: i64,
    /// Outcomes that were verified in it.
    pub outcomes: i64,
    /// Sessions of these outcomes that were ended.
    pub sessions: i64,
}

/// The unfinished jobs of one system, of every termination of an enterprise.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SystemJobs {
    /// The system.
    pub system: String,
    /// How many jobs there are.
    pub jobs: i64,
    /// When the first of them is due.
    pub due_at: i64,
}

impl Db {
    /// The unfinished jobs of a termination by system.
    pub async fn list_open_jobs(&self, termination_id: &str) -> Result<Vec<OpenJobs>, DbError> {
        self.fetch(
            "SELECT system, count(*) AS jobs,
                    CAST(sum(CASE WHEN attempt > settled THEN 1 ELSE 0 END) AS BIGINT) AS held,
                    min(CASE WHEN attempt > settled THEN NULL ELSE due_at END) AS next_at,
                    max(give_up_at) AS give_up_at
             FROM jobs
             WHERE termination_id = $1 AND finished_at IS NULL
             GROUP BY system
             ORDER BY system {bytewise}",
            args![termination_id],
        )
        .await
    }

    /// The unfinished jobs of an enterprise by system.
    pub async fn list_open_jobs_of(&self, enterprise_id: &str) -> Result<Vec<SystemJobs>, DbError> {
        self.fetch(
            "SELECT j.system, count(*) AS jobs, min(j.due_at) AS due_at
             FROM jobs j JOIN terminations t ON t.termination_id = j.termination_id
             WHERE j.finished_at IS NULL AND t.enterprise_id = $1
             GROUP BY j.system",
            args![enterprise_id],
        )
        .await
    }

    /// By system, when the last of its stateless sessions is dead.
    pub async fn list_last_ends(&self, termination_id: &str) -> Result<Vec<(String, i64)>, DbError> {
        self.fetch(
            "SELECT system, max(ends_by) FROM outcomes
             WHERE termination_id = $1 AND ends_by IS NOT NULL
             GROUP BY system",
            args![termination_id],
        )
        .await
    }

    /// What was proven in each span of `span_ms` milliseconds since `from`; spans without anything are
    /// left out.
    pub async fn count_proven(
        &self,
        termination_id: &str,
        from: i64,
        span_ms: i64,
    ) -> Result<Vec<Proven>, DbError> {
        self.fetch(
            "SELECT span, count(*) AS outcomes, CAST(sum(sessions) AS BIGINT) AS sessions
             FROM (SELECT (verified_at - $2) / $3 AS span, sessions_ended AS sessions
                   FROM outcomes
                   WHERE termination_id = $1 AND verified_at IS NOT NULL) AS verified
             GROUP BY span
             ORDER BY span",
            args![termination_id, from, span_ms],
        )
        .await
    }

    /// The first people, by their numbers, whose outcome somewhere is in a state. `resurrected` is no
    /// state: it finds those of whom a session came back, whatever became of it.
    pub async fn list_people_in(
        &self,
        termination_id: &str,
        state: &str,
        limit: i64,
    ) -> Result<Vec<OutcomeRow>, DbError> {
        self.fetch(
            // The target's columns are subqueries, so that it is looked up by its whole primary key.
            "SELECT o.ordinal,
                    (SELECT t.user_id FROM termination_targets t
                     WHERE t.termination_id = o.termination_id AND t.ordinal = o.ordinal) AS user_id,
                    (SELECT t.login FROM termination_targets t
                     WHERE t.termination_id = o.termination_id AND t.ordinal = o.ordinal) AS login,
                    o.system, o.state, o.sessions_ended, o.resurrected, o.ended_again, o.ends_by,
                    o.verified_at, o.detail
             FROM outcomes o
             WHERE o.termination_id = $1
               AND (o.state = $2 OR $2 = 'resurrected' AND o.resurrected > 0)
             ORDER BY o.ordinal, o.system {bytewise}
             LIMIT $3",
            args![termination_id, state, limit],
        )
        .await
    }
}
