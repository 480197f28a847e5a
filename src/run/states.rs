//! Keeps the states of pools in the store, beside the loop: every so many blocks each live pool,
//! a few at a time, so that neither the loop nor the writer of the rows waits for it. What is lost
//! on the way is read from the chain at the next start.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::model::chain::PoolAddress;
use crate::store::{KeptPool, PoolStates, Store};

/// Blocks from one round over all pools of a chain to the next.
const EVERY_BLOCKS: u64 = 300;
/// Pools taken at one look of the loop: their ticks are copied there.
const POOLS_PER_LOOK: usize = 4;
/// States that may wait to be written.
const WAITING_MAX: usize = 256;
/// States written in one transaction.
const WRITTEN_AT_ONCE: usize = 64;

/// Where a chain's round stands.
#[derive(Clone, Copy, Debug)]
enum Round {
    /// The next begins so many blocks after this one.
    Since(u64),
    /// Pools up to this one had their turn; the round began at this block.
    Behind { began: u64, last: Option<PoolAddress> },
}

impl Round {
    /// When the round began that is under way at this height, and whose turn was last.
    fn due(self, height: u64) -> Option<(u64, Option<PoolAddress>)> {
        match self {
            Self::Since(at) if height < at.saturating_add(EVERY_BLOCKS) => None,
            Self::Since(_) => Some((height, None)),
            Self::Behind { began, last } => Some((began, last)),
        }
    }
}

/// The loop's side: which states are due.
#[derive(Debug)]
pub(super) struct Rounds {
    rounds: BTreeMap<u64, Option<Round>>,
    out: mpsc::Sender<KeptPool>,
}

impl Rounds {
    /// Begins to keep the pools of these chains; the task ends when the loop's side is dropped.
    pub(super) fn begin(chains: impl Iterator<Item = u64>, store: Store) -> (Self, JoinHandle<()>) {
        let (out, states) = mpsc::channel(WAITING_MAX);
        let rounds = chains.map(|chain| (chain, None)).collect();
        (Self { rounds, out }, tokio::spawn(write(PoolStates::new(store), states)))
    }

    /// Hands on a few states that are due, if there is room for them.
    pub(super) fn look(&mut self, engine: &Engine) {
        for (chain, round) in &mut self.rounds {
            let Some(head) = engine.pools_at(*chain) else { continue };
            // The first round comes later: at a start everything was just read.
            let now = round.get_or_insert(Round::Since(head.number));
            let Some((began, last)) = now.due(head.number) else { continue };
            if self.out.capacity() < POOLS_PER_LOOK {
                return;
            }
            let Some(found) = engine.pool_forms(*chain, last, POOLS_PER_LOOK) else { continue };
            for (pool, form) in found.forms {
                // There is room; if the task is gone, nothing is kept any more.
                let _ = self.out.try_send(KeptPool { pool, block: found.block, form });
            }
            *now = match found.last {
                Some(last) => Round::Behind { began, last: Some(last) },
                None => Round::Since(began),
            };
        }
    }

    /// Every pool of every chain that is followed is due, from the first on.
    pub(super) fn hurry(&mut self, engine: &Engine) {
        for (chain, round) in &mut self.rounds {
            let head = engine.pools_at(*chain);
            *round = head.map(|head| Round::Behind { began: head.number, last: None });
        }
    }

    /// True while a round is not over.
    pub(super) fn is_under_way(&self) -> bool {
        self.rounds.values().any(|round| matches!(round, Some(Round::Behind { .. })))
    }
}

/// Writes states until nobody hands on any more.
async fn write(mut table: PoolStates, mut states: mpsc::Receiver<KeptPool>) {
    let mut some = Vec::with_capacity(WRITTEN_AT_ONCE);
    while states.recv_many(&mut some, WRITTEN_AT_ONCE).await > 0 {
        if let Err(error) = table.keep(&some).await {
            tracing::warn!(%error, n = some.len(), "states of pools not kept");
        }
        some.clear();
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;

    #[test]
    fn a_round_begins_so_many_blocks_after_the_one_before_and_goes_on_to_its_end() {
        let since = Round::Since(1_000);
        assert_eq!(since.due(1_000), None);
        assert_eq!(since.due(999 + EVERY_BLOCKS), None);
        assert_eq!(since.due(1_000 + EVERY_BLOCKS), Some((1_000 + EVERY_BLOCKS, None)));
        let last = Some(PoolAddress::from(Address::with_last_byte(7)));
        let behind = Round::Behind { began: 1_300, last };
        // Also when the chain took blocks back meanwhile.
        assert_eq!(
            (behind.due(1_900), behind.due(1_200)),
            (Some((1_300, last)), Some((1_300, last)))
        );
    }
}
