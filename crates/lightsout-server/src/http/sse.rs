//! A termination's events as a stream: the database read by position, woken by commits, resumable.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::watch;

use super::Web;
use super::events::show;
use crate::store::{DbError, EventRow, TerminationRow};

/// Rows read at once.
const BATCH: i64 = 500;
/// How long a missed wake can delay an event.
const POLL: Duration = Duration::from_secs(1);

struct Follower {
    web: Arc<Web>,
    termination: TerminationRow,
    after: i64,
    ready: VecDeque<EventRow>,
    wakes: watch::Receiver<()>,
}

/// Streams the events after a position until the termination is finished and all were sent, or the
/// service stops; the client then resumes elsewhere.
pub(super) fn follow(web: &Arc<Web>, termination: TerminationRow, after: i64) -> Response {
    let follower =
        Follower { wakes: web.app.wakes(), web: Arc::clone(web), termination, after, ready: VecDeque::new() };
    let events = stream::unfold(follower, |mut follower| async move {
        let row = follower.next().await?;
        let event =
            Event::default().id(row.position.to_string()).event(&row.event_type).data(show(&row).to_string());
        Some((Ok::<_, Infallible>(event), follower))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

impl Follower {
    async fn next(&mut self) -> Option<EventRow> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                self.after = row.position;
                return Some(row);
            }
            self.wakes.mark_unchanged();
            match self.fill().await {
                Ok(finished) if finished && self.ready.is_empty() => return None,
                Ok(_) if !self.ready.is_empty() => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "stream cannot read; trying again"
                ),
            }
            tokio::select! {
                () = self.web.stop.cancelled() => return None,
                () = tokio::time::sleep(POLL) => {}
                _ = self.wakes.changed() => {}
            }
        }
    }

    /// Reads what is new. True: the termination was finished before the read, so nothing more comes.
    async fn fill(&mut self) -> Result<bool, DbError> {
        let (db, row) = (&self.web.app.db, &self.termination);
        let now = db.find_termination(&row.enterprise_id, &row.termination_id).await?;
        let finished = now.is_none_or(|row| row.finished_at.is_some());
        self.ready = db.list_termination_events(&row.termination_id, self.after, BATCH).await?.into();
        Ok(finished)
    }
}
