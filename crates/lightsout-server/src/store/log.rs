//! The event log for people: newest first and filtered, and its chain in steps.

use serde_json::Value;

use crate::args;
use crate::domain::chain::{self, Link};
use crate::store::{BrokenLink, Db, DbError, EventRow, Head};

/// Which events to read, newest first.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// The tenant.
    pub enterprise_id: String,
    /// Only events before this position.
    pub before: i64,
    /// Only events after this position.
    pub after: i64,
    /// Only these types; empty for all.
    pub event_types: Vec<String>,
    /// Only events recorded at or after this time.
    pub recorded_from: Option<i64>,
    /// Only events recorded before this time.
    pub recorded_before: Option<i64>,
    /// Only events that a person with this id or login caused.
    pub who: Option<Named>,
    /// Only events about somebody or something with this id or login.
    pub about: Option<Named>,
}

/// Somebody or something by id or login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// An id or a login, as it was asked for.
    pub text: String,
    /// The id of whoever has this login now; else the text again.
    pub user_id: String,
}

/// Where the log begins and ends.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ChainEnds {
    /// The newest position.
    pub position: i64,
    /// The chain hash there.
    pub chain_hash: String,
    /// The last position that was pruned; 0 if none was.
    pub pruned_position: i64,
    /// The chain hash there.
    pub pruned_hash: String,
}

impl Db {
    /// Reads events of one tenant against the order of the log, at most `limit`.
    pub async fn list_events_back(&self, filter: &LogFilter, limit: i64) -> Result<Vec<EventRow>, DbError> {
        let named = |named: &Option<Named>| match named {
            Some(named) => (Some(named.text.clone()), Some(named.user_id.clone())),
            None => (None, None),
        };
        let ((who, who_id), (about, about_id)) = (named(&filter.who), named(&filter.about));
        self.fetch(
            "SELECT position, event_id, event_type, enterprise_id, termination_id, recorded_at, body, chain_hash
             FROM events
             WHERE enterprise_id = $1
               AND position > $3
               AND position < $4
               AND recorded_at >= $5
               AND recorded_at < $6
               AND (CAST($7 AS BIGINT) = 0 OR event_type IN {texts $2})
               AND (CAST($8 AS TEXT) IS NULL
                    OR {body} -> 'created_by' ->> 'id' IN ($8, $9)
                    OR lower({body} -> 'created_by' ->> 'login') = lower($8))
               AND (CAST($10 AS TEXT) IS NULL
                    OR {body} -> 'source' ->> 'id' IN ($10, $11)
                    OR lower({body} -> 'source' ->> 'login') = lower($10))
             ORDER BY position DESC
             LIMIT $12",
            args![
                &filter.enterprise_id,
                Value::from(filter.event_types.clone()),
                filter.after,
                filter.before,
                filter.recorded_from.unwrap_or(i64::MIN),
                filter.recorded_before.unwrap_or(i64::MAX),
                i64::from(!filter.event_types.is_empty()),
                who,
                who_id,
                about,
                about_id,
                limit
            ],
        )
        .await
    }

    /// When the event at a position was recorded.
    pub async fn find_recorded_at(&self, position: i64) -> Result<Option<i64>, DbError> {
        let row: Option<(i64,)> =
            self.find("SELECT recorded_at FROM events WHERE position = $1", args![position]).await?;
        Ok(row.map(|(at,)| at))
    }

    /// Where the log begins and ends; none: the row that says it is missing.
    pub async fn chain_ends(&self) -> Result<Option<ChainEnds>, DbError> {
        self.find(
            "SELECT position, chain_hash, pruned_position, pruned_hash FROM event_head WHERE head = 1",
            args![],
        )
        .await
    }

    /// Reads events of all tenants in the order of the log, from after one position to another.
    pub async fn list_chain(&self, after: i64, last: i64, limit: i64) -> Result<Vec<EventRow>, DbError> {
        self.fetch(
            "SELECT position, event_id, event_type, enterprise_id, termination_id, recorded_at, body, chain_hash
             FROM events
             WHERE position > $1 AND position <= $2
             ORDER BY position
             LIMIT $3",
            args![after, last, limit],
        )
        .await
    }
}

/// Checks one event against its predecessor, and against a head that was kept elsewhere.
pub fn follow(row: &EventRow, before: &Head, expect: Option<(i64, &str)>) -> Result<(), BrokenLink> {
    if row.position != before.position + 1 {
        return Err(BrokenLink::Missing(before.position + 1));
    }
    let link = Link {
        position: row.position,
        event_id: &row.event_id,
        event_type: &row.event_type,
        enterprise_id: &row.enterprise_id,
        termination_id: row.termination_id.as_deref(),
        recorded_at: row.recorded_at,
        body: &row.body,
    };
    if chain::hash(&before.chain_hash, &link) != row.chain_hash {
        return Err(BrokenLink::Changed(row.position));
    }
    match expect {
        Some((kept, kept_hash)) if kept == row.position && kept_hash != row.chain_hash => {
            Err(BrokenLink::Rewritten(kept))
        }
        _ => Ok(()),
    }
}
