//! Pools read whole at one block, many of them with few requests.
//!
//! All pools of a group are asked the same round of questions at once: their single values, then
//! the words of their tick bitmaps, then the ticks these name. Invariants: a pool leaves here whole
//! or not at all, checked against itself; one that cannot be read is told apart and keeps no other
//! back; what was read stays when the endpoint fails in the middle.

mod draft;

use std::collections::BTreeMap;

use alloy::primitives::B256;

use crate::engine::event::{Observed, Pool};
use crate::engine::setup::PoolSetup;
use crate::io::chain::batch::{Asked, Call, silent};
use crate::io::chain::load::draft::{Draft, Stage};
use crate::io::chain::read::nonsense;
use crate::io::chain::{ChainClient, ChainError};
use crate::model::chain::{BlockRef, PoolAddress};

pub use crate::io::chain::batch::{Progress, Tell};

/// Pools that are read together: an endpoint that fails costs no more than their answers.
const GROUP: usize = 16;

/// Pools at one block, as far as they are read.
#[derive(Debug)]
pub struct Load {
    /// The block.
    pub block: BlockRef,
    /// Pools that are read, each whole.
    pub pools: BTreeMap<PoolAddress, Pool>,
    /// Why others could not be read when they were last asked.
    pub failed: BTreeMap<PoolAddress, ChainError>,
}

impl Load {
    /// Nothing is read yet.
    pub fn new(block: BlockRef) -> Self {
        Self { block, pools: BTreeMap::new(), failed: BTreeMap::new() }
    }
}

impl ChainClient {
    /// Reads those of these pools that are not read yet.
    ///
    /// # Errors
    /// `ChainError` when the endpoint fails; what was read by then stays, and a second call goes
    /// on behind it.
    pub async fn load(
        &self,
        load: &mut Load,
        setups: &[PoolSetup],
        tell: Tell<'_>,
    ) -> Result<(), ChainError> {
        let asked = Asked::new(tell, setups.len());
        load.failed.clear();
        let is_waiting = |setup: &&PoolSetup| !load.pools.contains_key(&setup.address);
        let waiting: Vec<&PoolSetup> = setups.iter().filter(is_waiting).collect();
        let before = setups.len() - waiting.len();
        asked.done(before);
        for (n, group) in (1..).zip(waiting.chunks(GROUP)) {
            self.load_group(load, group, &asked).await?;
            asked.done(setups.len().min(before + n * GROUP));
        }
        Ok(())
    }

    /// A pool's whole state at a block.
    ///
    /// # Errors
    /// `ChainError`, also when the values cannot belong to one state.
    pub async fn pool(&self, setup: &PoolSetup, block: &BlockRef) -> Result<Pool, ChainError> {
        let mut load = Load::new(*block);
        self.load(&mut load, std::slice::from_ref(setup), &silent).await?;
        let why = || nonsense("a pool", "it was not read");
        let failed = load.failed.remove(&setup.address);
        load.pools.remove(&setup.address).ok_or_else(|| failed.unwrap_or_else(why))
    }

    /// The comparable parts of pools at a block, in their order.
    ///
    /// # Errors
    /// `ChainError` when the endpoint fails; a pool that does, fails alone.
    pub async fn observe_all(
        &self,
        setups: &[&PoolSetup],
        at: B256,
    ) -> Result<Vec<Result<Observed, ChainError>>, ChainError> {
        let asked = Asked::new(&silent, setups.len());
        let mut wanted = Vec::with_capacity(setups.len());
        for setup in setups {
            wanted.push(Draft::new(setup).calls(Stage::Values));
        }
        let calls: Vec<Call> = wanted.iter().flatten().flatten().cloned().collect();
        let mut answers = self.answers(&calls, at, &asked).await?.into_iter();
        let mut observed = Vec::with_capacity(setups.len());
        for (setup, wanted) in setups.iter().zip(wanted) {
            observed.push(wanted.and_then(|calls| {
                let own: Vec<_> = answers.by_ref().take(calls.len()).collect();
                Draft::new(setup).take(Stage::Values, 0, &own)?.observed()
            }));
        }
        Ok(observed)
    }

    async fn load_group(
        &self,
        load: &mut Load,
        group: &[&PoolSetup],
        asked: &Asked<'_>,
    ) -> Result<(), ChainError> {
        let at = load.block;
        let mut drafts: Vec<Draft<'_>> = group.iter().map(|setup| Draft::new(setup)).collect();
        for stage in Stage::ALL {
            let mut asking: Vec<(Draft<'_>, Vec<Call>)> = Vec::with_capacity(drafts.len());
            for draft in drafts {
                let address = draft.address();
                match draft.calls(stage) {
                    Ok(calls) => asking.push((draft, calls)),
                    Err(error) => drop(load.failed.insert(address, error)),
                }
            }
            let calls: Vec<Call> = asking.iter().flat_map(|(_, calls)| calls).cloned().collect();
            let mut answers = self.answers(&calls, at.hash, asked).await?.into_iter();
            drafts = Vec::with_capacity(asking.len());
            for (draft, calls) in asking {
                let address = draft.address();
                let own: Vec<_> = answers.by_ref().take(calls.len()).collect();
                match draft.take(stage, at.number, &own) {
                    Ok(draft) => drafts.push(draft),
                    Err(error) => drop(load.failed.insert(address, error)),
                }
            }
        }
        for draft in drafts {
            let address = draft.address();
            match draft.pool() {
                Ok(pool) => drop(load.pools.insert(address, pool)),
                Err(error) => drop(load.failed.insert(address, error)),
            }
        }
        Ok(())
    }
}
