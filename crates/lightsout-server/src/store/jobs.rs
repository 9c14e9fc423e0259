//! Jobs: claimed in batches under a lease, settled with the attempt as fencing token.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::args;
use crate::domain::outcome::Progress;
use crate::store::{Db, DbError, Tx};

/// A claimed job.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct JobRow {
    /// The id.
    pub job_id: String,
    /// The termination.
    pub termination_id: String,
    /// The number of its first target.
    pub first_ordinal: i64,
    /// The number of its last target.
    pub last_ordinal: i64,
    /// The fencing token: settle with it.
    pub attempt: i64,
    /// 1 where an attempt before this one failed or was not written back: what it ended is not counted.
    pub cut_short: i64,
    /// The newest attempt that was written back.
    pub settled: i64,
    /// Consecutive passes that failed.
    pub failures: i64,
    /// When trying ends.
    pub give_up_at: i64,
}

/// A target of a job.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct JobTarget {
    /// The termination.
    pub termination_id: String,
    /// The target's number.
    pub ordinal: i64,
    /// The user.
    pub user_id: String,
    /// The login at the time of the request.
    pub login: Option<String>,
    /// The id in an outside system at that time.
    pub external_id: Option<String>,
    /// The user's name in this system, where one was set.
    pub alias: Option<String>,
    /// The user's cutoff now: a later termination's wins.
    pub cutoff: i64,
}

/// What the passes before wrote back of one target.
#[derive(Clone, Debug, sqlx::FromRow)]
struct WrittenBack {
    ordinal: i64,
    state: String,
    sessions_ended: i64,
    resurrected: i64,
    ended_again: i64,
    ended_keys: String,
    quiet_until: Option<i64>,
}

impl WrittenBack {
    fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "waiting" | "unreachable")
    }

    fn progress(self) -> Progress {
        Progress {
            sessions_ended: self.sessions_ended,
            resurrected: self.resurrected,
            ended_again: self.ended_again,
            keys: serde_json::from_str(&self.ended_keys).unwrap_or_default(),
            quiet_until: self.quiet_until,
            ..Progress::default()
        }
    }
}

/// What a worker writes back of one job.
#[derive(Clone, Debug)]
pub struct SettledJob {
    /// The job.
    pub job_id: String,
    /// The attempt it was claimed with.
    pub attempt: i64,
    /// When it is due again; none: it is finished.
    pub due_at: Option<i64>,
    /// Consecutive passes that failed.
    pub failures: i64,
    /// Whether what this attempt or one before it ended is not counted.
    pub cut_short: i64,
    /// When trying ends.
    pub give_up_at: i64,
}

/// What a worker writes back of one target.
#[derive(Clone, Debug)]
pub struct SettledOutcome {
    /// The termination.
    pub termination_id: String,
    /// The target's number.
    pub ordinal: i64,
    /// What is known of it now.
    pub progress: Progress,
}

/// Which jobs a settle still held, by id.
pub type Settled = std::collections::HashSet<String>;

impl Db {
    /// The targets of a job whose outcomes are not final, each with what is known of it.
    ///
    /// Targets and outcomes are read one after the other and joined here. PostgreSQL's statistics know
    /// nothing of rows that were written a moment ago: a join of the two was planned for one row, and read
    /// every outcome of the termination for each target.
    pub async fn list_open_targets(
        &self,
        job: &JobRow,
        system: &str,
    ) -> Result<Vec<(JobTarget, Progress)>, DbError> {
        let targets: Vec<JobTarget> = self
            .fetch(
                // Alias and cutoff are subqueries, so that each is looked up by its whole primary key.
                "SELECT t.termination_id, t.ordinal, t.user_id, t.login, t.external_id,
                        (SELECT a.subject FROM aliases a
                         WHERE a.user_id = t.user_id AND a.system = $2) AS alias,
                        coalesce((SELECT b.cutoff FROM barriers b WHERE b.user_id = t.user_id), 0) AS cutoff
                 FROM termination_targets t
                 WHERE t.termination_id = $1 AND t.ordinal BETWEEN $3 AND $4
                 ORDER BY t.ordinal",
                args![&job.termination_id, system, job.first_ordinal, job.last_ordinal],
            )
            .await?;
        let mut written = self.list_written_back(job, system).await?;
        let open = targets.into_iter().filter_map(|target| match written.remove(&target.ordinal) {
            None => Some((target, Progress::default())),
            Some(row) => row.is_open().then(|| (target, row.progress())),
        });
        Ok(open.collect())
    }

    /// What the passes before wrote back of a job's targets, by number.
    async fn list_written_back(
        &self,
        job: &JobRow,
        system: &str,
    ) -> Result<HashMap<i64, WrittenBack>, DbError> {
        // Outcomes are written by the transaction that settles their job: before the first there are none.
        if job.settled == 0 {
            return Ok(HashMap::new());
        }
        let rows: Vec<WrittenBack> = self
            .fetch(
                "SELECT ordinal, state, sessions_ended, resurrected, ended_again, ended_keys, quiet_until
                 FROM outcomes
                 WHERE termination_id = $1 AND ordinal BETWEEN $3 AND $4 AND system = $2",
                args![&job.termination_id, system, job.first_ordinal, job.last_ordinal],
            )
            .await?;
        Ok(rows.into_iter().map(|row| (row.ordinal, row)).collect())
    }

    /// People with the names that a system knows them by now; for previews.
    pub async fn list_targets_now(
        &self,
        user_ids: &[String],
        system: &str,
    ) -> Result<Vec<JobTarget>, DbError> {
        self.fetch(
            "SELECT '' AS termination_id, CAST(0 AS BIGINT) AS ordinal, u.user_id, u.login, u.external_id,
                    a.subject AS alias, CAST(0 AS BIGINT) AS cutoff
             FROM users u
             LEFT JOIN aliases a ON a.user_id = u.user_id AND a.system = $2
             WHERE u.user_id IN {texts $1}",
            args![Value::from(user_ids), system],
        )
        .await
    }

    /// When the next job of a system is due.
    pub async fn next_due_at(&self, system: &str) -> Result<Option<i64>, DbError> {
        let due: Option<(Option<i64>,)> = self
            .find("SELECT min(due_at) FROM jobs WHERE system = $1 AND finished_at IS NULL", args![system])
            .await?;
        Ok(due.and_then(|(at,)| at))
    }

    /// When the last job of a system is due.
    pub async fn last_due_at(&self, system: &str) -> Result<Option<i64>, DbError> {
        let due: Option<(Option<i64>,)> = self
            .find("SELECT max(due_at) FROM jobs WHERE system = $1 AND finished_at IS NULL", args![system])
            .await?;
        Ok(due.and_then(|(at,)| at))
    }

    /// The number of unfinished jobs by system.
    pub async fn count_open_jobs(&self) -> Result<Vec<(String, i64)>, DbError> {
        self.fetch("SELECT system, count(*) FROM jobs WHERE finished_at IS NULL GROUP BY system", args![])
            .await
    }
}

impl Tx {
    /// Takes up to `limit` due jobs of a system and leases them until `lease_until`.
    ///
    /// A job whose lease has run out is due again, so a caller must settle with the attempt it was
    /// given.
    pub async fn claim_jobs(
        &mut self,
        system: &str,
        now: i64,
        lease_until: i64,
        limit: i64,
    ) -> Result<Vec<JobRow>, DbError> {
        self.fetch(
            "UPDATE jobs
             SET attempt = attempt + 1, due_at = $3,
                 cut_short = CASE WHEN attempt > settled THEN 1 ELSE cut_short END
             WHERE job_id IN (SELECT job_id FROM jobs
                              WHERE system = $1 AND due_at <= $2 AND finished_at IS NULL
                              ORDER BY due_at, job_id
                              LIMIT $4
                              {skip_locked})
             RETURNING job_id, termination_id, first_ordinal, last_ordinal, attempt, cut_short, settled,
                       failures, give_up_at",
            args![system, now, lease_until, limit],
        )
        .await
    }

    /// Takes due jobs of a system whose time for trying is over, as [`Tx::claim_jobs`] does.
    pub async fn claim_expired_jobs(
        &mut self,
        system: &str,
        now: i64,
        lease_until: i64,
    ) -> Result<Vec<JobRow>, DbError> {
        self.fetch(
            "UPDATE jobs SET attempt = attempt + 1, due_at = $3
             WHERE job_id IN (SELECT job_id FROM jobs
                              WHERE system = $1 AND due_at <= $2 AND give_up_at <= $2 AND finished_at IS NULL
                              ORDER BY due_at, job_id
                              LIMIT 10
                              {skip_locked})
             RETURNING job_id, termination_id, first_ordinal, last_ordinal, attempt, cut_short, settled,
                       failures, give_up_at",
            args![system, now, lease_until],
        )
        .await
    }

    /// Writes jobs back, and returns those that were still held: one whose lease was lost to
    /// another attempt is left alone, and nothing of it may be written.
    pub async fn settle_jobs(&mut self, jobs: &[SettledJob], now: i64) -> Result<Settled, DbError> {
        let rows: Vec<Value> = jobs
            .iter()
            .map(|job| {
                let finished_at = job.due_at.is_none().then_some(now);
                json!([
                    job.job_id,
                    job.attempt,
                    job.due_at.unwrap_or(now),
                    job.failures,
                    job.cut_short,
                    finished_at,
                    job.give_up_at
                ])
            })
            .collect();
        let held: Vec<(String,)> = self
            .fetch(
                "UPDATE jobs
                 SET due_at = CAST(value ->> 2 AS BIGINT), failures = CAST(value ->> 3 AS BIGINT),
                     cut_short = CAST(value ->> 4 AS BIGINT), finished_at = CAST(value ->> 5 AS BIGINT),
                     give_up_at = CAST(value ->> 6 AS BIGINT), settled = jobs.attempt
                 FROM {rows $1}
                 WHERE jobs.job_id = value ->> 0
                   AND jobs.attempt = CAST(value ->> 1 AS BIGINT)
                   AND jobs.finished_at IS NULL
                 RETURNING jobs.job_id",
                args![Value::from(rows)],
            )
            .await?;
        Ok(held.into_iter().map(|(id,)| id).collect())
    }

    /// Writes outcomes of one system.
    pub async fn settle_outcomes(
        &mut self,
        system: &str,
        outcomes: &[SettledOutcome],
    ) -> Result<(), DbError> {
        let rows: Vec<Value> = outcomes
            .iter()
            .map(|o| {
                let p = &o.progress;
                let keys = Value::from(p.keys.clone()).to_string();
                json!([
                    o.termination_id,
                    o.ordinal,
                    p.state,
                    p.sessions_ended,
                    p.resurrected,
                    p.ended_again,
                    keys,
                    p.ends_by,
                    p.verified_at,
                    p.detail,
                    p.quiet_until
                ])
            })
            .collect();
        self.execute(
            "INSERT INTO outcomes
                 (termination_id, ordinal, system, state, sessions_ended, resurrected, ended_again, ended_keys,
                  ends_by, verified_at, detail, quiet_until)
             SELECT value ->> 0, CAST(value ->> 1 AS BIGINT), $2, value ->> 2, CAST(value ->> 3 AS BIGINT),
                    CAST(value ->> 4 AS BIGINT), CAST(value ->> 5 AS BIGINT), value ->> 6,
                    CAST(value ->> 7 AS BIGINT), CAST(value ->> 8 AS BIGINT), value ->> 9, CAST(value ->> 10 AS BIGINT)
             FROM {rows $1} WHERE 1 = 1
             ON CONFLICT (termination_id, ordinal, system) DO UPDATE
             SET state = excluded.state, sessions_ended = excluded.sessions_ended,
                 resurrected = excluded.resurrected, ended_again = excluded.ended_again,
                 ended_keys = excluded.ended_keys, ends_by = excluded.ends_by,
                 verified_at = excluded.verified_at, detail = excluded.detail,
                 quiet_until = excluded.quiet_until",
            args![Value::from(rows), system],
        )
        .await
        .map(drop)
    }

    /// Makes every leased job due. Only for a database that one process works alone, at its start:
    /// whoever leased them is dead.
    pub async fn release_all_jobs(&mut self, now: i64) -> Result<(), DbError> {
        self.execute(
            "UPDATE jobs SET due_at = $1 WHERE finished_at IS NULL AND attempt > settled AND due_at > $1",
            args![now],
        )
        .await
        .map(drop)
    }

    /// Leases jobs that are still held until a time; a time that is now gives them back.
    pub async fn lease_jobs(&mut self, jobs: &[JobRow], until: i64) -> Result<(), DbError> {
        let rows: Vec<Value> = jobs.iter().map(|job| json!([job.job_id, job.attempt])).collect();
        self.execute(
            "UPDATE jobs SET due_at = $2
             FROM {rows $1}
             WHERE jobs.job_id = value ->> 0
               AND jobs.attempt = CAST(value ->> 1 AS BIGINT)
               AND jobs.settled < jobs.attempt
               AND jobs.finished_at IS NULL",
            args![Value::from(rows), until],
        )
        .await
        .map(drop)
    }

    /// Makes the jobs of a system due now that are due after a time.
    pub async fn recall_jobs(&mut self, system: &str, after: i64, now: i64) -> Result<u64, DbError> {
        self.execute(
            "UPDATE jobs SET due_at = $3 WHERE system = $1 AND finished_at IS NULL AND due_at > $2",
            args![system, after, now],
        )
        .await
    }

    /// Makes the jobs of a system due that wait after a failure. One that is leased stays so.
    pub async fn hasten_jobs(&mut self, system: &str, now: i64) -> Result<(), DbError> {
        self.execute(
            "UPDATE jobs SET due_at = $2
             WHERE system = $1 AND finished_at IS NULL AND due_at > $2
               AND failures > 0 AND settled = attempt",
            args![system, now],
        )
        .await
        .map(drop)
    }
}
