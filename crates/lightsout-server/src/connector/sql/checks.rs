//! A look without a user: what can be checked before anybody's sessions are to end.

use super::failure::failure;
use super::plan::Look;
use super::ready::{Query, Ready};
use super::scan::Seen;
use super::value::Value;
use super::{Answer, ConnectorError, Sql};

/// Rows that are counted one by one; of more it is said that there are more.
const COUNTED: u64 = 10_000;

impl Sql {
    /// Connects anew, lets the database check every statement and right, and counts.
    pub(super) async fn look_around(&self) -> Result<Answer, ConnectorError> {
        *self.ready.lock().await = None;
        let ready = self.ready().await?;
        let mut notes = vec![format!("{} answers, and knows every statement", self.plan.kind.name())];
        // A user that nobody is: rights to read are checked only by reading.
        let nobody = [Value::Text("-1".to_owned()), Value::Text(plain_uuid())];
        if let Some(user) = &ready.user {
            self.each(&ready, user, &nobody, |_| Ok(())).await?;
        }
        match &self.plan.look {
            Look::Find(_) => self.each(&ready, &ready.look, &nobody, |_| Ok(())).await?,
            Look::Scan(scan) => {
                let mut seen = Seen::default();
                let page = self
                    .page(&ready, None, |key, value, length| {
                        self.look_into(scan, &mut seen, key, value, length);
                    })
                    .await?;
                let more = if page.is_some_and(|page| page.next.is_some()) { "the first " } else { "" };
                notes.push(format!(
                    "of {more}{} live sessions, {} can be read and {} show a user",
                    seen.rows, seen.readable, seen.of_somebody
                ));
                notes.extend(seen.notes(self.config.value_bytes_max));
                if seen.nobody_shown() {
                    notes.push(format!("nobody stands at {}; is user_path right?", scan.user_path));
                }
            }
        }
        self.count(&ready, &mut notes).await?;
        self.may_end(&ready, &ready.end).await?;
        Ok(Answer { replies: Vec::new(), notes })
    }

    async fn count(&self, ready: &Ready, notes: &mut Vec<String>) -> Result<(), ConnectorError> {
        use futures_util::TryStreamExt;
        let Some(table) = &self.plan.table else { return Ok(()) };
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {}) counted", COUNTED + 1);
        let row = async { ready.database.line().await?.rows(sql, Vec::new()).try_next().await };
        let row = row.await.map_err(|e| failure(self.plan.kind, "table", &e))?;
        let count = match row.as_deref() {
            Some([Value::Int(n)]) => u64::try_from(*n).unwrap_or(0),
            _ => 0,
        };
        let rows = if count > COUNTED { format!("more than {COUNTED}") } else { count.to_string() };
        notes.push(format!("{table} holds {rows} rows, expired ones included"));
        Ok(())
    }

    /// Asks whether sessions may be ended, and ends none.
    async fn may_end(&self, ready: &Ready, end: &Query) -> Result<(), ConnectorError> {
        let nobody = [Value::Text("-1".to_owned()), Value::Text(plain_uuid())];
        let Some((sql, bound)) = end.bind(&ready.database, self.values(&nobody, &Value::Null)) else {
            return Ok(());
        };
        let may = async { ready.database.line().await?.may_change(&sql, bound).await };
        may.await.map_err(|e| failure(self.plan.kind, end.key(), &e))
    }
}

fn plain_uuid() -> String {
    "00000000-0000-0000-0000-000000000000".to_owned()
}
