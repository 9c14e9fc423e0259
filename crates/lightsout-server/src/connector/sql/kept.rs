//! What is made once and used by many: a database with the statements that it has agreed to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::ConnectorError;

/// Something that is made at the first use and kept, until a use of it fails or is broken off: then it is
/// made anew. So a pool whose line a network forgot, and whose connections wait for ever, is left behind.
#[derive(Debug)]
pub(super) struct Kept<T> {
    slot: Mutex<Option<Arc<T>>>,
    is_doubted: AtomicBool,
}

impl<T> Kept<T> {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { slot: Mutex::new(None), is_doubted: AtomicBool::new(false) }
    }

    /// What is kept, or what `make` makes.
    pub(super) async fn get(
        &self,
        make: BoxFuture<'_, Result<T, ConnectorError>>,
    ) -> Result<Arc<T>, ConnectorError> {
        let mut slot = self.slot.lock().await;
        if self.is_doubted.swap(false, Ordering::SeqCst) {
            *slot = None;
        }
        if let Some(kept) = slot.as_ref() {
            return Ok(Arc::clone(kept));
        }
        let new = Arc::new(make.await?);
        *slot = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Lets it be made anew for the next use.
    pub(super) fn doubt(&self) {
        self.is_doubted.store(true, Ordering::SeqCst);
    }

    /// Waits for a use of it, and doubts it unless the use succeeds.
    pub(super) async fn trust<R>(
        &self,
        used: BoxFuture<'_, Result<R, ConnectorError>>,
    ) -> Result<R, ConnectorError> {
        let doubt = Doubt(&self.is_doubted);
        let result = used.await;
        if result.is_ok() {
            std::mem::forget(doubt);
        }
        result
    }
}

/// Is dropped by a use that fails, and by one that is broken off.
struct Doubt<'k>(&'k AtomicBool);

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn what_failed_or_was_broken_off_is_made_anew_and_nothing_else() {
        let kept = Kept::new();
        let get = async |n| *kept.get(async { Ok(n) }.boxed()).await.expect("it is made");
        assert_eq!(get(1).await, 1);
        kept.trust(async { Ok(()) }.boxed()).await.expect("it works");
        assert_eq!(get(2).await, 1);
        let failed =
            kept.trust(async { Err::<(), _>(ConnectorError::Unexpected(String::new())) }.boxed()).await;
        assert!(failed.is_err());
        assert_eq!(get(3).await, 3);
        assert!(kept.trust(std::future::pending::<Result<(), _>>().boxed()).now_or_never().is_none());
        assert_eq!(get(4).await, 4);
        kept.doubt();
        assert!(kept.get(async { Err(ConnectorError::Unexpected(String::new())) }.boxed()).await.is_err());
        assert_eq!(get(5).await, 5);
    }
}
