//! The one writer of the store: commits batches in order, hands out what may leave, and tells how
//! long the database has been silent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::io::clock;
use crate::store::{Batch, Committed, Store, StoreError};

/// An idle database is asked so often whether it still answers.
const PING_EVERY: Duration = Duration::from_millis(50);
/// Patience for one commit before it is tried on another connection.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait after a failed commit.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Commit times kept for the percentile.
const TIMES_KEPT: usize = 1_000;

/// What the writer tells about itself without being asked.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Unix nanoseconds since when an answer is awaited; zero when none is.
    waiting_since: AtomicI64,
    commit_us: Mutex<VecDeque<u64>>,
}

impl Health {
    /// Milliseconds the database has not answered; zero when it is not being asked.
    pub(super) fn silent_ms(&self) -> i64 {
        match self.waiting_since.load(Ordering::Acquire) {
            0 => 0,
            since => (clock::now().0 - since) / 1_000_000,
        }
    }

    /// 99th percentile of recent commits in microseconds.
    pub(super) fn commit_us_p99(&self) -> Option<u64> {
        let mut times: Vec<u64> =
            self.commit_us.lock().expect("no holder panics").iter().copied().collect();
        times.sort_unstable();
        times.get(times.len().saturating_sub(1) * 99 / 100).copied()
    }

    fn begin(&self) {
        self.waiting_since.store(clock::now().0, Ordering::Release);
    }

    fn end(&self) {
        self.waiting_since.store(0, Ordering::Release);
    }

    fn committed(&self, since: i64) {
        let us = u64::try_from((clock::now().0 - since) / 1_000).unwrap_or(0);
        let mut times = self.commit_us.lock().expect("no holder panics");
        times.push_back(us);
        while times.len() > TIMES_KEPT {
            times.pop_front();
        }
    }
}

/// Commits until nobody sends batches any more.
pub(super) async fn run(
    store: Store,
    mut batches: mpsc::Receiver<Batch>,
    committed: mpsc::Sender<Committed<Batch>>,
    health: Arc<Health>,
) {
    loop {
        match tokio::time::timeout(PING_EVERY, batches.recv()).await {
            Ok(Some(batch)) => {
                let kept = commit(&store, batch, &health).await;
                // At the end nobody waits for the proof any more; the rows are kept all the same.
                let _ = committed.send(kept).await;
            }
            Ok(None) => return,
            Err(_) => ping(&store, &health).await,
        }
    }
}

/// Tries until the batch is kept: facts have names, so trying twice books once.
async fn commit(store: &Store, mut batch: Batch, health: &Health) -> Committed<Batch> {
    super::deeds::fault_point("before_commit", batch.txs.len() + batch.orders.len());
    health.begin();
    loop {
        let since = clock::now().0;
        let attempt = store.commit(batch.clone());
        let error = match tokio::time::timeout(COMMIT_TIMEOUT, attempt).await {
            Ok(Ok(kept)) => {
                health.committed(since);
                health.end();
                return kept;
            }
            Ok(Err((_, error))) => error.to_string(),
            Err(_) => format!("no answer in {} s", COMMIT_TIMEOUT.as_secs()),
        };
        tracing::error!(seq = batch.seq, %error, "commit failed, trying again");
        batch.at = batch.at.max(clock::now());
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn ping(store: &Store, health: &Health) {
    health.begin();
    while let Err(error) = answer(store).await {
        tracing::error!(%error, "the database does not answer");
        tokio::time::sleep(RETRY_AFTER).await;
    }
    health.end();
}

async fn answer(store: &Store) -> Result<(), String> {
    match tokio::time::timeout(COMMIT_TIMEOUT, store.ping()).await {
        Ok(answer) => answer.map_err(|error: StoreError| error.to_string()),
        Err(_) => Err(format!("no answer in {} s", COMMIT_TIMEOUT.as_secs())),
    }
}
