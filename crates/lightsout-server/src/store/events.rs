//! The event log: appended at the end of a transaction, read by position.

use serde_json::{Value, json};

use crate::args;
use crate::domain::chain::{self, Link};
use crate::random::Random;
use crate::store::{Db, DbError, Tx, follow_chain};

/// An event to append.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What happened; see `docs/events.md`.
    pub event_type: &'static str,
    /// The termination it belongs to, if any.
    pub termination_id: Option<String>,
    /// `created_by`, `source` and `additional_details`, as Box's wire shows them.
    pub body: Value,
}

/// The newest position of the log and the hash of the chain there.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Head {
    /// The position; 0 for an empty log.
    pub position: i64,
    /// The chain hash, in hex; empty for an empty log.
    pub chain_hash: String,
}

/// A stored event.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EventRow {
    /// Its place in the log, from 1, without gaps, in the order of the commits.
    pub position: i64,
    /// Names the event.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// The tenant.
    pub enterprise_id: String,
    /// The termination it belongs to, if any.
    pub termination_id: Option<String>,
    /// When it was recorded.
    pub recorded_at: i64,
    /// The JSON body.
    pub body: String,
    /// The hash of this event onto its predecessor's.
    pub chain_hash: String,
}

/// Which events to read.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// The tenant.
    pub enterprise_id: String,
    /// Only events after this position.
    pub after: i64,
    /// Only these types; empty for all.
    pub event_types: Vec<String>,
    /// Only events recorded at or after this time.
    pub recorded_from: Option<i64>,
    /// Only events recorded before this time.
    pub recorded_before: Option<i64>,
}

/// The first place where the chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenLink {
    /// The row does not match its hash.
    #[error("event {0} does not match its hash: it was changed, or one before it was")]
    Changed(i64),
    /// The row of the head is missing.
    #[error("the head of the log is missing: it was removed")]
    Headless,
    /// A position is missing.
    #[error("event {0} is missing")]
    Missing(i64),
    /// The chain ends before the head.
    #[error("the log ends at {found}, but its head says {head}: events were cut off")]
    CutOff {
        /// The last position found.
        found: i64,
        /// The position of the head.
        head: i64,
    },
    /// The hash that was kept elsewhere is another.
    #[error("event {0} is not the one that was kept: the log was rewritten")]
    Rewritten(i64),
    /// The position that was kept elsewhere is not in the log.
    #[error("event {0} is not in the log; it was pruned, or the log was cut off")]
    Unknown(i64),
}

impl BrokenLink {
    /// Where the chain does not hold.
    pub fn position(&self) -> i64 {
        match self {
            Self::Changed(at) | Self::Missing(at) | Self::Rewritten(at) | Self::Unknown(at) => *at,
            Self::CutOff { found, .. } => found + 1,
            Self::Headless => 0,
        }
    }
}

impl Tx {
    /// Appends events and returns the new head. Call it last in a transaction: it takes the head
    /// row, and whoever holds that orders the commits.
    pub async fn append_events(
        &mut self,
        enterprise_id: &str,
        now: i64,
        random: &Random,
        events: Vec<NewEvent>,
    ) -> Result<Head, DbError> {
        let count = i64::try_from(events.len()).expect("events fit in memory");
        let head: Head = self
            .find(
                // The update locks the row on PostgreSQL until the commit.
                "UPDATE event_head SET position = position + $1 WHERE head = 1 RETURNING position, chain_hash",
                args![count],
            )
            .await?
            .expect("the migration made the head row");
        let mut hash = head.chain_hash;
        let mut rows = Vec::with_capacity(events.len());
        for (position, event) in (head.position - count + 1..).zip(&events) {
            let (event_id, body) = (random.id(""), event.body.to_string());
            hash = chain::hash(
                &hash,
                &Link {
                    position,
                    event_id: &event_id,
                    event_type: event.event_type,
                    enterprise_id,
                    termination_id: event.termination_id.as_deref(),
                    recorded_at: now,
                    body: &body,
                },
            );
            rows.push(json!([position, event_id, event.event_type, event.termination_id, body, hash]));
        }
        for chunk in rows.chunks(2_000) {
            self.execute(
                "INSERT INTO events
                     (position, event_id, event_type, enterprise_id, termination_id, recorded_at, body, chain_hash)
                 SELECT CAST(value ->> 0 AS BIGINT), value ->> 1, value ->> 2, $2, value ->> 3, $3,
                        value ->> 4, value ->> 5
                 FROM {rows $1}",
                args![Value::from(chunk), enterprise_id, now],
            )
            .await?;
        }
        // With the commit, the other nodes hear that there is something to read.
        self.execute("UPDATE event_head SET chain_hash = $1 WHERE head = 1 {announce}", args![&hash]).await?;
        Ok(Head { position: head.position, chain_hash: hash })
    }
}

impl Db {
    /// The newest position and its hash.
    pub async fn event_head(&self) -> Result<Head, DbError> {
        let head = self.find("SELECT position, chain_hash FROM event_head WHERE head = 1", args![]).await?;
        Ok(head.expect("the migration made the head row"))
    }

    /// Reads events of one tenant in the order of the log, at most `limit`.
    pub async fn list_events(&self, filter: &EventFilter, limit: i64) -> Result<Vec<EventRow>, DbError> {
        let types =
            (!filter.event_types.is_empty()).then(|| Value::from(filter.event_types.clone()).to_string());
        self.fetch(
            "SELECT position, event_id, event_type, enterprise_id, termination_id, recorded_at, body, chain_hash
             FROM events
             WHERE enterprise_id = $1
               AND position > $3
               AND recorded_at >= $4
               AND recorded_at < $5
               AND (CAST($6 AS BIGINT) = 0 OR event_type IN {texts $2})
             ORDER BY position
             LIMIT $7",
            args![
                &filter.enterprise_id,
                types.clone().unwrap_or_else(|| "[]".to_owned()),
                filter.after,
                filter.recorded_from.unwrap_or(i64::MIN),
                filter.recorded_before.unwrap_or(i64::MAX),
                i64::from(types.is_some()),
                limit
            ],
        )
        .await
    }

    /// Reads events of one termination after a position, at most `limit`.
    pub async fn list_termination_events(
        &self,
        termination_id: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<EventRow>, DbError> {
        self.fetch(
            "SELECT position, event_id, event_type, enterprise_id, termination_id, recorded_at, body, chain_hash
             FROM events
             WHERE termination_id = $1 AND position > $2
             ORDER BY position
             LIMIT $3",
            args![termination_id, after, limit],
        )
        .await
    }

    /// Walks the chain from where it was pruned to its head.
    ///
    /// `expect` is a head that was kept elsewhere: a position and its hash. Returns the head, or
    /// the first place where the chain does not hold.
    pub async fn verify_events(
        &self,
        expect: Option<(i64, &str)>,
    ) -> Result<Result<Head, BrokenLink>, DbError> {
        let Some(ends) = self.chain_ends().await? else {
            return Ok(Err(BrokenLink::Headless));
        };
        let mut at = Head { position: ends.pruned_position, chain_hash: ends.pruned_hash };
        let head = Head { position: ends.position, chain_hash: ends.chain_hash };
        if let Some((kept, kept_hash)) = expect
            && kept == at.position
            && kept_hash != at.chain_hash
        {
            return Ok(Err(BrokenLink::Rewritten(kept)));
        }
        let mut met = expect.is_none_or(|(kept, _)| kept == at.position);
        loop {
            let rows = self.list_chain(at.position, head.position, 1_000).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                if let Err(broken) = follow_chain(&row, &at, expect) {
                    return Ok(Err(broken));
                }
                met |= expect.is_some_and(|(kept, _)| kept == row.position);
                at = Head { position: row.position, chain_hash: row.chain_hash };
            }
        }
        Ok(if at.position != head.position {
            Err(BrokenLink::CutOff { found: at.position, head: head.position })
        } else if at.chain_hash != head.chain_hash {
            Err(BrokenLink::Changed(at.position))
        } else if met {
            Ok(head)
        } else {
            Err(BrokenLink::Unknown(expect.map_or(0, |(kept, _)| kept)))
        })
    }
}
