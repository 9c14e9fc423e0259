//! Terminations: written in one transaction, read by whoever may.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::args;
use crate::store::{Chosen, Db, DbError, Head, TargetFacts, Tx};

/// Targets that are read at once where outcomes in one state are looked for.
const TARGETS_AT_ONCE: usize = 1_000;

/// A termination to insert, its targets resolved and checked.
#[derive(Clone, Debug)]
pub struct NewTermination {
    /// The id.
    pub termination_id: String,
    /// The tenant.
    pub enterprise_id: String,
    /// Who asked: id and login.
    pub asked_by: (String, Option<String>),
    /// On whose behalf, if another's: id and login.
    pub as_user: Option<(String, Option<String>)>,
    /// Why.
    pub reason: Option<String>,
    /// Sessions that began at or before this are over.
    pub cutoff: i64,
    /// When trying ends.
    pub give_up_at: i64,
    /// The targets.
    pub chosen: Chosen,
    /// The entries left out: kind, value, reason.
    pub skips: Vec<(String, String, String)>,
    /// The systems, and how many targets one job of each holds.
    pub systems: Vec<(String, usize)>,
}

/// A stored termination.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct TerminationRow {
    /// The id.
    pub termination_id: String,
    /// The tenant.
    pub enterprise_id: String,
    /// Who asked.
    pub asked_by: String,
    /// That person's login.
    pub asked_by_login: Option<String>,
    /// On whose behalf.
    pub as_user: Option<String>,
    /// That person's login.
    pub as_user_login: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The cutoff.
    pub cutoff: i64,
    /// `running`, `done` or `done_with_failures`.
    pub state: String,
    /// The number of targets.
    pub people: i64,
    /// The systems' names, as a JSON list.
    pub systems: String,
    /// When it was accepted.
    pub created_at: i64,
    /// When the last outcome became final.
    pub finished_at: Option<i64>,
    /// The event head when it finished.
    pub head_position: Option<i64>,
    /// Its hash.
    pub head_hash: Option<String>,
}

impl TerminationRow {
    /// The systems' names.
    pub fn systems(&self) -> Vec<String> {
        serde_json::from_str(&self.systems).unwrap_or_default()
    }
}

/// An outcome with its target; `state` is none where nothing was tried yet.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub struct OutcomeRow {
    /// The target's number.
    pub ordinal: i64,
    /// The user.
    pub user_id: String,
    /// The login at the time of the request.
    pub login: Option<String>,
    /// The system.
    pub system: String,
    /// The outcome's state.
    pub state: Option<String>,
    /// Sessions ended.
    pub sessions_ended: Option<i64>,
    /// Sessions that came back.
    pub resurrected: Option<i64>,
    /// Sessions under new keys.
    pub ended_again: Option<i64>,
    /// The latest end of stateless sessions.
    pub ends_by: Option<i64>,
    /// When it was verified.
    pub verified_at: Option<i64>,
    /// What went wrong last.
    pub detail: Option<String>,
}

impl Db {
    /// Finds a termination of a tenant.
    pub async fn find_termination(
        &self,
        enterprise_id: &str,
        termination_id: &str,
    ) -> Result<Option<TerminationRow>, DbError> {
        self.find(
            "SELECT * FROM terminations WHERE termination_id = $1 AND enterprise_id = $2",
            args![termination_id, enterprise_id],
        )
        .await
    }

    /// Lists terminations, newest first, before a (time, id); of one asker, or of all.
    pub async fn list_terminations(
        &self,
        enterprise_id: &str,
        asked_by: Option<&str>,
        before: (i64, &str),
        limit: i64,
    ) -> Result<Vec<TerminationRow>, DbError> {
        self.fetch(
            "SELECT * FROM terminations
             WHERE enterprise_id = $1
               AND (CAST($2 AS TEXT) IS NULL OR asked_by = $2 OR as_user = $2)
               AND (created_at < $3 OR created_at = $3 AND termination_id < $4)
             ORDER BY created_at DESC, termination_id DESC
             LIMIT $5",
            args![enterprise_id, asked_by, before.0, before.1, limit],
        )
        .await
    }

    /// The entries that a termination left out: kind, value, reason.
    pub async fn list_skips(&self, termination_id: &str) -> Result<Vec<(String, String, String)>, DbError> {
        self.fetch(
            "SELECT kind, value, reason FROM termination_skips WHERE termination_id = $1 ORDER BY ordinal",
            args![termination_id],
        )
        .await
    }

    /// Counts outcomes by system and state: (system, state, people, ended, resurrected, ended again).
    pub async fn count_outcomes(
        &self,
        termination_id: &str,
    ) -> Result<Vec<(String, String, i64, i64, i64, i64)>, DbError> {
        self.fetch(
            "SELECT system, state, count(*), CAST(sum(sessions_ended) AS BIGINT),
                    CAST(sum(resurrected) AS BIGINT), CAST(sum(ended_again) AS BIGINT)
             FROM outcomes WHERE termination_id = $1 GROUP BY system, state",
            args![termination_id],
        )
        .await
    }

    /// Lists outcomes of one termination by target and system, after an (ordinal, system); with `state`,
    /// those in this state only.
    pub async fn list_outcomes(
        &self,
        row: &TerminationRow,
        after: (i64, &str),
        state: Option<&str>,
        limit: i64,
    ) -> Result<Vec<OutcomeRow>, DbError> {
        let mut systems = row.systems();
        systems.sort_unstable();
        let limit = usize::try_from(limit).expect("a number of rows");
        // Few outcomes may be in a state, and many targets be read for them.
        let step = if state.is_some() { TARGETS_AT_ONCE.max(limit) } else { limit };
        let (mut page, mut from) = (Vec::new(), after.0);
        while page.len() < limit {
            let targets = self.list_targets(&row.termination_id, from, step).await?;
            let Some(last) = targets.last().map(|(ordinal, ..)| *ordinal) else { break };
            let mut written = self.list_written(&row.termination_id, from, last).await?;
            for (ordinal, user_id, login) in targets {
                for system in systems.iter().filter(|system| (ordinal, system.as_str()) > after) {
                    let outcome = written.remove(&(ordinal, system.clone())).unwrap_or_default();
                    let (system, user_id, login) = (system.clone(), user_id.clone(), login.clone());
                    page.push(OutcomeRow { ordinal, user_id, login, system, ..outcome });
                }
            }
            page.retain(|o| state.is_none_or(|state| o.state.as_deref().unwrap_or("waiting") == state));
            from = last + 1;
        }
        page.truncate(limit);
        Ok(page)
    }

    /// The targets from a number on: number, user, login.
    async fn list_targets(
        &self,
        termination_id: &str,
        from: i64,
        limit: usize,
    ) -> Result<Vec<(i64, String, Option<String>)>, DbError> {
        self.fetch(
            "SELECT ordinal, user_id, login FROM termination_targets
             WHERE termination_id = $1 AND ordinal >= $2
             ORDER BY ordinal
             LIMIT $3",
            args![termination_id, from, count(limit)],
        )
        .await
    }

    /// The outcomes of a range of targets, without what only the targets know.
    async fn list_written(
        &self,
        termination_id: &str,
        first: i64,
        last: i64,
    ) -> Result<HashMap<(i64, String), OutcomeRow>, DbError> {
        let rows: Vec<OutcomeRow> = self
            .fetch(
                // Never joined with the targets: see `list_open_targets`.
                "SELECT ordinal, '' AS user_id, CAST(NULL AS TEXT) AS login, system, state, sessions_ended,
                        resurrected, ended_again, ends_by, verified_at, detail
                 FROM outcomes
                 WHERE termination_id = $1 AND ordinal BETWEEN $2 AND $3",
                args![termination_id, first, last],
            )
            .await?;
        Ok(rows.into_iter().map(|row| ((row.ordinal, row.system.clone()), row)).collect())
    }

    /// Finds the termination that an idempotency key stands for: (id, hash of its request).
    pub async fn find_idempotency_key(&self, key_hash: &str) -> Result<Option<(String, String)>, DbError> {
        self.find(
            "SELECT termination_id, request_hash FROM idempotency_keys WHERE key_hash = $1",
            args![key_hash],
        )
        .await
    }
}

impl Tx {
    /// Inserts a termination with its targets, skips and jobs, and returns the number of targets. A few
    /// statements, however many they are.
    pub async fn insert_termination(&mut self, new: &NewTermination) -> Result<i64, DbError> {
        let systems: Vec<&str> = new.systems.iter().map(|(name, _)| name.as_str()).collect();
        let people = self.insert_targets(&new.termination_id, &new.chosen).await?;
        let jobs = jobs(new, usize::try_from(people).expect("a number of rows"));
        self.execute(
            "INSERT INTO terminations
                 (termination_id, enterprise_id, asked_by, asked_by_login, as_user, as_user_login, reason, cutoff,
                  state, people, systems, jobs_open, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'running', $9, $10, $11, $8)",
            args![
                &new.termination_id,
                &new.enterprise_id,
                &new.asked_by.0,
                new.asked_by.1.clone(),
                new.as_user.as_ref().map(|(id, _)| id.clone()),
                new.as_user.as_ref().and_then(|(_, login)| login.clone()),
                new.reason.clone(),
                new.cutoff,
                people,
                Value::from(systems),
                count(jobs.len())
            ],
        )
        .await?;
        let skips: Vec<Value> = new
            .skips
            .iter()
            .enumerate()
            .map(|(n, (kind, value, why))| json!([n, kind, value, why]))
            .collect();
        if !skips.is_empty() {
            self.execute(
                "INSERT INTO termination_skips (termination_id, ordinal, kind, value, reason)
                 SELECT $2, CAST(value ->> 0 AS BIGINT), value ->> 1, value ->> 2, value ->> 3 FROM {rows $1}",
                args![Value::from(skips), &new.termination_id],
            )
            .await?;
        }
        self.execute(
            "INSERT INTO jobs
                 (job_id, termination_id, system, first_ordinal, last_ordinal, due_at, attempt, settled, cut_short,
                  failures, give_up_at)
             SELECT value ->> 0, $2, value ->> 1, CAST(value ->> 2 AS BIGINT), CAST(value ->> 3 AS BIGINT), $3, 0, 0, 0, 0, $4
             FROM {rows $1}",
            args![Value::from(jobs), &new.termination_id, new.cutoff, new.give_up_at],
        )
        .await?;
        Ok(people)
    }

    /// Notes which termination an idempotency key stands for. [`DbError::Duplicate`]: it is taken.
    pub async fn insert_idempotency_key(
        &mut self,
        key_hash: &str,
        request_hash: &str,
        termination_id: &str,
        now: i64,
    ) -> Result<(), DbError> {
        self.execute(
            "INSERT INTO idempotency_keys VALUES ($1, $2, $3, $4)",
            args![key_hash, request_hash, termination_id, now],
        )
        .await
        .map(drop)
    }

    /// Takes finished jobs off a termination, and returns how many are left.
    pub async fn close_jobs(&mut self, termination_id: &str, finished: i64) -> Result<i64, DbError> {
        let left: Option<(i64,)> = self
            .find(
                "UPDATE terminations SET jobs_open = jobs_open - $2 WHERE termination_id = $1 RETURNING jobs_open",
                args![termination_id, finished],
            )
            .await?;
        Ok(left.map_or(0, |(n,)| n))
    }

    /// The tenant of a termination.
    pub async fn find_enterprise_of(&mut self, termination_id: &str) -> Result<String, DbError> {
        let row: Option<(String,)> = self
            .find("SELECT enterprise_id FROM terminations WHERE termination_id = $1", args![termination_id])
            .await?;
        Ok(row.map(|(id,)| id).unwrap_or_default())
    }

    /// Counts the outcomes that are not a verified `ended` or `nothing_found`.
    pub async fn count_failures(&mut self, termination_id: &str) -> Result<i64, DbError> {
        let failures: Option<(i64,)> = self
            .find(
                "SELECT count(*) FROM outcomes
                 WHERE termination_id = $1
                   AND (verified_at IS NULL OR state NOT IN ('ended', 'nothing_found'))",
                args![termination_id],
            )
            .await?;
        Ok(failures.map_or(0, |(n,)| n))
    }

    /// Marks a termination as finished, with the event head of this transaction.
    pub async fn finish_termination(
        &mut self,
        termination_id: &str,
        state: &str,
        now: i64,
        head: &Head,
    ) -> Result<(), DbError> {
        self.execute(
            "UPDATE terminations SET state = $2, finished_at = $3, head_position = $4, head_hash = $5
             WHERE termination_id = $1",
            args![termination_id, state, now, head.position, &head.chain_hash],
        )
        .await
        .map(drop)
    }

    /// Holds a termination's row until the commit: no settle can finish one of its jobs meanwhile.
    pub async fn lock_termination(&mut self, termination_id: &str) -> Result<(), DbError> {
        let _: Option<(String,)> = self
            .find(
                "SELECT termination_id FROM terminations WHERE termination_id = $1 {for_update}",
                args![termination_id],
            )
            .await?;
        Ok(())
    }

    /// The people, still in the directory, whom a retry of a termination would try again.
    pub async fn list_given_up(&mut self, termination_id: &str) -> Result<Vec<TargetFacts>, DbError> {
        self.fetch(
            // The target is a subquery, so that it is looked up by its whole primary key.
            "SELECT user_id, login, login_folded, role FROM users
             WHERE user_id IN (SELECT (SELECT t.user_id FROM termination_targets t
                                       WHERE t.termination_id = o.termination_id AND t.ordinal = o.ordinal)
                               FROM outcomes o
                               WHERE o.termination_id = $1
                                 AND o.state IN ('gave_up', 'unknown_sessions', 'no_subject'))",
            args![termination_id],
        )
        .await
    }

    /// Re-opens what a termination gave up on, or could not ask for. Returns the number of jobs that are due again.
    pub async fn reopen_termination(
        &mut self,
        termination_id: &str,
        now: i64,
        give_up_at: i64,
    ) -> Result<u64, DbError> {
        let reopened = self
            .execute(
                // A count is a look into each job's own range. EXISTS would be planned as a join, which may
                // read every outcome of the termination for each job.
                "UPDATE jobs
                 SET finished_at = NULL, due_at = $2, failures = 0, give_up_at = $3
                 WHERE termination_id = $1
                   AND finished_at IS NOT NULL
                   AND (SELECT count(*) FROM outcomes o
                        WHERE o.termination_id = jobs.termination_id
                          AND o.system = jobs.system
                          AND o.ordinal BETWEEN jobs.first_ordinal AND jobs.last_ordinal
                          AND o.state IN ('gave_up', 'unknown_sessions', 'no_subject')) > 0",
                args![termination_id, now, give_up_at],
            )
            .await?;
        self.execute(
            "UPDATE outcomes SET state = 'waiting', quiet_until = NULL
             WHERE termination_id = $1 AND state IN ('gave_up', 'unknown_sessions', 'no_subject')",
            args![termination_id],
        )
        .await?;
        self.execute(
            "UPDATE terminations
             SET state = 'running', finished_at = NULL, head_position = NULL, head_hash = NULL,
                 jobs_open = jobs_open + $2
             WHERE termination_id = $1",
            args![termination_id, i64::try_from(reopened).expect("few jobs")],
        )
        .await?;
        Ok(reopened)
    }
}

/// The jobs of a termination: for each system, ranges of targets of the size it asks for.
fn jobs(new: &NewTermination, people: usize) -> Vec<Value> {
    let mut jobs = Vec::new();
    for (system, size) in &new.systems {
        for first in (0..people).step_by(*size) {
            let last = (first + size).min(people) - 1;
            jobs.push(json!([format!("{}/{system}/{first}", new.termination_id), system, first, last]));
        }
    }
    jobs
}

fn count(n: usize) -> i64 {
    i64::try_from(n).expect("a list in memory")
}
