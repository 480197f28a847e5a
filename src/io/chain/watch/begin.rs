//! Where the following of a chain begins: everything that is watched, read at one block.
//!
//! Pools that are known from before are brought forward by their logs, the others read whole. What
//! was read by the time an endpoint failed is known from then on, so that the next attempt only
//! replays the blocks between. Whichever way a state came, the engine does not use it before a
//! second whole reading at a later block agrees.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::engine::event::{Body, ChainStart};
use crate::io::chain::gap::KnownPools;
use crate::io::chain::load::{Load, Progress};
use crate::io::chain::watch::{RETRY_AFTER, Stop, Trail, Watcher};
use crate::model::chain::{BlockRef, Header, PoolAddress};

/// Pools that could not be read are asked for so often before the chain begins without them.
const ROUNDS: usize = 3;
/// How far it is, is told so often.
const TELL_EVERY: Duration = Duration::from_secs(1);

impl Watcher {
    /// Reads the chain at a block and tells it. Answers the pools that could not be read there.
    pub(super) async fn start(
        &self,
        head: &Header,
        trail: &mut Trail,
    ) -> Result<Vec<PoolAddress>, Stop> {
        let lost = self.read_pools(&head.block, &mut trail.known).await?;
        let wallet = self.client.wallet(&self.setup, &head.block).await?;
        let signer_nonce = self.client.nonce(self.setup.signer, head.block.hash).await?;
        // Nothing can fail any more: from here on the engine keeps them.
        let pools = trail.known.take(&head.block);
        let start = ChainStart { header: *head, pools, wallet, signer_nonce };
        self.tell(Body::ChainReady(Box::new(start))).await?;
        Ok(lost)
    }

    /// All pools at a block, into what is known; answers those that could not be read.
    async fn read_pools(
        &self,
        block: &BlockRef,
        known: &mut KnownPools,
    ) -> Result<Vec<PoolAddress>, Stop> {
        let (chain, n_kept) = (self.setup.chain, known.len());
        self.client.bring_forward(known, &self.roster, block).await?;
        if n_kept > 0 {
            let (height, n_forward) = (block.number, known.len());
            tracing::info!(chain, height, n_kept, n_forward, "pools brought forward by their logs");
        }
        let mut load = Load::new(*block);
        load.pools.extend(known.take(block));
        let tell = each_second(chain);
        let mut done = Ok(());
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(RETRY_AFTER).await;
            }
            done = self.client.load(&mut load, &self.setup.pools, &tell).await;
            if done.is_err() || load.failed.is_empty() {
                break;
            }
        }
        for (pool, state) in load.pools {
            known.insert(pool, *block, state);
        }
        done?;
        for (pool, error) in &load.failed {
            tracing::warn!(chain, %pool, %error, "pool not read: it is tried again");
        }
        let lost: Vec<PoolAddress> = load.failed.keys().copied().collect();
        // So many at once are the endpoint's fault.
        if lost.len() > self.setup.pools.len() / 2
            && let Some((_, error)) = load.failed.pop_first()
        {
            return Err(Stop::Endpoint(error));
        }
        Ok(lost)
    }
}

/// Says in the log how far a reading is, as long as it takes.
fn each_second(chain: u64) -> impl Fn(Progress) + Send + Sync {
    let told = Mutex::new(Instant::now());
    move |progress| {
        let Progress { pools, pools_total, requests, calls } = progress;
        let mut told = told.lock().expect("no holder panics");
        if told.elapsed() >= TELL_EVERY {
            *told = Instant::now();
            tracing::info!(chain, pools, pools_total, requests, calls, "reading pools");
        }
    }
}
