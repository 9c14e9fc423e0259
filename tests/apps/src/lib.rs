//! What the shops share: what the test tells them, and requests that wait until the test lets them go.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use tokio::sync::Notify;

/// What the test hands over on standard input.
#[derive(Debug, Deserialize)]
pub struct Given {
    /// Where the sessions are: `redis://...` or `sqlite:FILE`.
    pub store: String,
    /// What the keys in Redis begin with.
    #[serde(default)]
    pub prefix: String,
}

impl Given {
    /// Reads standard input to its end.
    pub fn read() -> Self {
        serde_json::from_reader(std::io::stdin()).expect("the test writes a JSON object")
    }
}

/// Says where the shop listens.
pub fn print_port(port: u16) {
    println!("{}", serde_json::json!({ "port": port }));
}

/// Holds requests until they are let go.
#[derive(Debug, Default)]
pub struct Gate {
    under_way: AtomicUsize,
    open: Notify,
}

impl Gate {
    /// Waits for the next [`Gate::let_go`].
    pub async fn wait(&self) {
        let open = self.open.notified();
        self.under_way.fetch_add(1, Ordering::SeqCst);
        open.await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
    }

    /// The number of requests that wait.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Lets those go on that wait now.
    pub fn let_go(&self) {
        self.open.notify_waiters();
    }
}
