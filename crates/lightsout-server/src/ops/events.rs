//! Reading the admin events.

use super::Error;
use crate::app::App;
use crate::domain::access::{self, Caller};
use crate::store::{EventFilter, EventRow};

/// The newest position of the log.
pub async fn head(app: &App, caller: &Caller) -> Result<i64, Error> {
    access::may_read_events(caller)?;
    Ok(app.db.event_head().await?.position)
}

/// Lists events of the caller's enterprise in the order of the log, at most `limit`.
pub async fn list(
    app: &App,
    caller: &Caller,
    mut filter: EventFilter,
    limit: i64,
) -> Result<Vec<EventRow>, Error> {
    access::may_read_events(caller)?;
    filter.enterprise_id = caller.enterprise_id.0.clone();
    Ok(app.db.list_events(&filter, limit).await?)
}
