//! The admin events for people: newest first, filtered, a page at a time.

use super::Error;
use crate::app::App;
use crate::domain::access::{self, Caller};
use crate::store::{EventRow, LogFilter, Named};

/// Positions that one statement looks through.
const WINDOW: i64 = 20_000;
/// How long one page is searched for.
const SEARCH_MS: i64 = 2_000;
/// How far apart the clocks of nodes may be: events of a time are looked for this much around it.
const CLOCKS_APART_MS: i64 = 600_000;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Only events before this position; none: from the newest on.
    pub before: Option<i64>,
    /// Only these types; empty for all.
    pub event_types: Vec<String>,
    /// Only events recorded at or after this time.
    pub recorded_from: Option<i64>,
    /// Only events recorded before this time.
    pub recorded_before: Option<i64>,
    /// Only what this person caused, by id or login.
    pub who: Option<String>,
    /// Only what is about this person or thing, by id or login.
    pub about: Option<String>,
}

/// A page of the log.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// The events, newest first.
    pub rows: Vec<EventRow>,
    /// Before which position the next page begins; none: there is nothing older.
    pub older: Option<i64>,
    /// Whether the search was broken off, so that the page may not be full.
    pub cut_short: bool,
}

/// Lists events of the caller's enterprise, newest first, at most `limit`.
///
/// A search for something rare takes as many pages as it needs: each looks for some seconds, and says
/// where to go on.
pub async fn list(app: &App, caller: &Caller, query: &LogQuery, limit: usize) -> Result<LogPage, Error> {
    access::may_read_events(caller)?;
    let Some(ends) = app.db.chain_ends().await? else {
        return Ok(LogPage { rows: Vec::new(), older: None, cut_short: false });
    };
    let (mut oldest, mut before) = (ends.pruned_position, ends.position + 1);
    if let Some(from) = query.recorded_from {
        oldest = first_at(app, (oldest, before), from.saturating_sub(CLOCKS_APART_MS)).await? - 1;
    }
    if let Some(until) = query.recorded_before {
        before = first_at(app, (oldest, before), until.saturating_add(CLOCKS_APART_MS)).await?;
    }
    before = before.min(query.before.unwrap_or(i64::MAX));
    let filter = LogFilter {
        enterprise_id: caller.enterprise_id.0.clone(),
        before: 0,
        after: 0,
        event_types: query.event_types.clone(),
        recorded_from: query.recorded_from,
        recorded_before: query.recorded_before,
        who: named(app, caller, query.who.as_deref()).await?,
        about: named(app, caller, query.about.as_deref()).await?,
    };
    let begun = app.clock.elapsed_ms();
    let mut rows: Vec<EventRow> = Vec::new();
    while before > oldest + 1 {
        if app.clock.elapsed_ms() - begun > SEARCH_MS {
            return Ok(LogPage { rows, older: Some(before), cut_short: true });
        }
        let after = oldest.max(before - 1 - WINDOW);
        let wanted = i64::try_from(limit + 1 - rows.len()).unwrap_or(i64::MAX);
        rows.extend(app.db.list_events_back(&LogFilter { before, after, ..filter.clone() }, wanted).await?);
        if rows.len() > limit {
            rows.truncate(limit);
            let older = rows.last().map(|row| row.position);
            return Ok(LogPage { rows, older, cut_short: false });
        }
        before = after + 1;
    }
    Ok(LogPage { rows, older: None, cut_short: false })
}

/// Somebody by id or login. Whoever has the login now is found under it, and under the logins before.
async fn named(app: &App, caller: &Caller, text: Option<&str>) -> Result<Option<Named>, Error> {
    let Some(text) = text else { return Ok(None) };
    let user = app.db.find_user_by_login(text).await?;
    let user = user.filter(|user| user.enterprise_id == caller.enterprise_id.0);
    let user_id = user.map_or_else(|| text.to_owned(), |user| user.user_id);
    Ok(Some(Named { text: text.to_owned(), user_id }))
}

/// The first position recorded at or after a time, between two positions. Times grow with positions, but
/// for what the clocks of nodes differ.
async fn first_at(app: &App, (mut low, mut high): (i64, i64), at: i64) -> Result<i64, Error> {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if app.db.find_recorded_at(middle).await?.is_none_or(|recorded_at| recorded_at >= at) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}
