//! Builds one chain of the demo: the real Uniswap V2, V3 and V4 and SushiSwap V2 contracts, our
//! executor, three tokens, pools with liquidity, and accounts with something to trade. SushiSwap
//! V3: pool code byte-identical to SushiSwap V3's; factory and periphery are Uniswap's.
//!
//! Everything here is play money set up by us; the contracts are the published ones. The order of
//! steps is here, the steps themselves are in `site`.

use std::ops::Range;

use alloy::primitives::{Address, U256};
use alloy::providers::DynProvider;
use serde::{Deserialize, Serialize};

use crate::world::artifacts::Artifacts;
use crate::world::chain::{self, ChainError};
use crate::world::manifest::{Accounts, Contracts, Dex, PoolSite};
use crate::world::plan::WorldPlan;
use crate::world::site::{DeployError, Site, at};

/// anvil's development accounts by role.
const DEPLOYER: usize = 0;
const SIGNER: usize = 1;
const TRADERS: Range<usize> = 2..6;
const OWNER: usize = 6;
const ARBITRAGEUR: usize = 7;
const RIVALS: Range<usize> = 8..10;

/// What stands on the chain after [`deploy`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The contracts.
    pub contracts: Contracts,
    /// The pools, each with liquidity: Uniswap's V3, the V2 pairs, SushiSwap's V3, V4.
    pub pools: Vec<PoolSite>,
    /// Who is who.
    pub accounts: Accounts,
    /// An executor for each rival, in their order.
    pub rival_executors: Vec<Address>,
    /// Last block of the building.
    pub block: u64,
}

/// Builds the world on a fresh anvil and leaves it mining one block per `block_time_s`.
///
/// # Errors
/// At the first step that fails; the half-built chain is then of no use.
pub async fn deploy(
    provider: &DynProvider,
    artifacts: &Artifacts,
    plan: &WorldPlan,
) -> Result<Deployment, DeployError> {
    let accounts = accounts(provider).await?;
    // Each step needs the one before: a block per transaction, at once.
    set_mining(provider, Mining::AtOnce).await?;
    let mut site = Site { provider, artifacts, plan, from: accounts.deployer };
    let mut contracts = site.contracts().await?;
    site.stock(&contracts, &accounts).await?;
    let mut pools = Vec::new();
    for pool in &plan.v3_pools {
        pools.push(site.v3_pool(&contracts, Dex::UniswapV3, pool).await?);
    }
    for dex in [Dex::UniswapV2, Dex::SushiswapV2] {
        pools.push(site.v2_pair(&contracts, dex).await?);
    }
    for pool in &plan.sushi_v3_pools {
        pools.push(site.v3_pool(&contracts, Dex::SushiswapV3, pool).await?);
    }
    for pool in &plan.v4_pools {
        pools.push(site.v4_pool(&contracts, pool).await?);
    }
    let owner = accounts.owner;
    contracts.executor = site.executor(&contracts, owner, accounts.signer).await?;
    let mut rival_executors = Vec::new();
    for rival in &accounts.rivals {
        rival_executors.push(site.executor(&contracts, owner, *rival).await?);
    }
    let Contracts { swap_router, v2_router, sushi_router, sushi_v3, v4, .. } = contracts;
    let routers = [swap_router, v2_router, sushi_router, sushi_v3.router, v4.swap_test];
    for actor in accounts.traders.iter().chain([&accounts.arbitrageur]) {
        site.from = *actor;
        site.allow(&contracts, &routers).await?;
    }
    set_mining(provider, Mining::EverySeconds(plan.block_time_s)).await?;
    let chain_id =
        at("reading the chain id", chain::raw::<_, U256>(provider, "eth_chainId", ()).await)?;
    let block = at("reading the head", chain::head(provider).await)?.number;
    let chain_id = chain_id.saturating_to();
    Ok(Deployment { chain_id, contracts, pools, accounts, rival_executors, block })
}

/// When the node mines.
pub(crate) enum Mining {
    AtOnce,
    EverySeconds(u64),
}

pub(crate) async fn set_mining(provider: &DynProvider, mining: Mining) -> Result<(), DeployError> {
    let set: Result<(), ChainError> = match mining {
        Mining::AtOnce => chain::raw(provider, "evm_setAutomine", (true,)).await,
        Mining::EverySeconds(s) => {
            chain::raw(provider, "anvil_setIntervalMining", (s.max(1),)).await
        }
    };
    at("setting the mining mode", set)
}

async fn accounts(provider: &DynProvider) -> Result<Accounts, DeployError> {
    let all: Vec<Address> =
        at("listing the accounts", chain::raw(provider, "eth_accounts", ()).await)?;
    let too_few = || DeployError::Accounts(all.len());
    let one = |index: usize| all.get(index).copied().ok_or_else(too_few);
    Ok(Accounts {
        deployer: one(DEPLOYER)?,
        signer: one(SIGNER)?,
        traders: all.get(TRADERS).ok_or_else(too_few)?.to_vec(),
        arbitrageur: one(ARBITRAGEUR)?,
        owner: one(OWNER)?,
        rivals: all.get(RIVALS).ok_or_else(too_few)?.to_vec(),
    })
}
