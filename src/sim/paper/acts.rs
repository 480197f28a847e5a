//! What our transactions would do to the wallet, by the contracts' own arithmetic.
//!
//! An act is run on the state a block left, behind what was taken out of a pool before; it changes
//! no pool. Where the contracts would revert, the answer is why.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};

use crate::engine::event::{Pool, PoolEvent};
use crate::engine::setup::{ChainSetup, PoolSetup};
use crate::execution::tx::{Act, Spender};
use crate::market::pools::v3::{PoolV3, Watched};
use crate::math::amm::liquidity::{amounts_for_liquidity, liquidity_for_amounts, tokens_owed};
use crate::math::amm::tick::TickRange;
use crate::math::amm::{AmmError, Amounts, Direction, Rounding};
use crate::model::chain::{Header, NftLog, PoolAddress};
use crate::model::intent::{CloseRange, CyclePlan, OpenRange, PoolId, SwapPlan};
use crate::model::time::Timestamp;
use crate::sim::paper::taken::Taken;
use crate::sim::paper::wallet::{Nft, Wallet};

/// Gas of an act. Approvals, swaps, the first mint in a fresh pool and cycles were measured on the
/// published bytecode and rounded up; a withdrawal is assumed.
const GAS_APPROVE: u64 = 60_000;
const GAS_SWAP: u64 = 140_000;
const GAS_OPEN: u64 = 610_000;
const GAS_CLOSE: u64 = 350_000;
const GAS_PER_CYCLE: u64 = 60_000;
const GAS_PER_LEG: u64 = 95_000;
/// Numbers of pretend NFTs begin beyond those of real ones; one slot mints one at most.
const TOKEN_IDS: u64 = 1_000_000_000_000;

/// Gas an act uses, whether it succeeds or not.
pub(super) fn gas(act: &Act) -> u64 {
    match act {
        Act::Approve { .. } => GAS_APPROVE,
        Act::Open { .. } => GAS_OPEN,
        Act::Close { .. } => GAS_CLOSE,
        Act::Swap { .. } => GAS_SWAP,
        Act::Cycle { cycle, .. } => {
            let legs = u64::try_from(cycle.legs.len()).unwrap_or(u64::MAX);
            GAS_PER_CYCLE.saturating_add(GAS_PER_LEG.saturating_mul(legs))
        }
    }
}

/// Where and when an act runs.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) setup: &'a ChainSetup,
    pub(super) pools: &'a BTreeMap<PoolAddress, Pool>,
    pub(super) header: &'a Header,
    /// The slot it runs in.
    pub(super) nonce: u64,
}

/// A token that moved from or to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) token: Address,
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) amount: U256,
}

/// What an act did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) wallet: Wallet,
    pub(super) moved: Vec<Moved>,
    pub(super) nft_logs: Vec<NftLog>,
    /// What a pool is told of it: nothing that moves it.
    pub(super) told: Vec<(PoolAddress, PoolEvent)>,
}

/// Runs an act.
///
/// # Errors
/// Why the contracts would revert.
pub(super) fn run(place: &Place<'_>, wallet: &Wallet, act: &Act) -> Result<Done, String> {
    let (moved, nft_logs, told) = (Vec::new(), Vec::new(), Vec::new());
    let mut done = Done { wallet: wallet.clone(), moved, nft_logs, told };
    match act {
        Act::Approve { token, spender, amount } => {
            done.wallet.allowances.insert((*token, *spender), *amount);
        }
        Act::Open { open: range, deadline } => {
            place.in_time(*deadline)?;
            open(place, range, &mut done)?;
        }
        Act::Close { close: range, deadline } => {
            place.in_time(*deadline)?;
            close(place, range, &mut done)?;
        }
        Act::Swap { swap: plan, deadline } => {
            place.in_time(*deadline)?;
            swap(place, plan, &mut done)?;
        }
        Act::Cycle { cycle: plan, deadline_block } => {
            if place.header.block.number > *deadline_block {
                return Err("the cycle came too late".into());
            }
            cycle(place, plan, &mut done)?;
        }
    }
    Ok(done)
}

impl<'a> Place<'a> {
    /// Calldata says whole seconds, as blocks do.
    fn in_time(&self, deadline: Timestamp) -> Result<(), String> {
        let is_late = self.header.time.ms() / 1_000 > deadline.ms() / 1_000;
        if is_late { Err("Transaction too old".into()) } else { Ok(()) }
    }

    fn pool(&self, id: PoolId) -> Result<(&'a PoolSetup, &'a Pool), String> {
        let setup = self.setup.pool(id.address).ok_or("the pool is not configured")?;
        let pool = self.pools.get(&id.address).ok_or("the pool is not followed any more")?;
        Ok((setup, pool))
    }

    /// A pool that Uniswap V3's position manager and router know, with its contract.
    fn v3(&self, id: PoolId) -> Result<(&'a PoolSetup, &'a PoolV3, Address), String> {
        let (setup, pool) = self.pool(id)?;
        let contract = setup.address.contract().filter(|_| setup.is_uniswap_v3());
        match (contract, pool) {
            (Some(at), Pool::V3(pool)) if pool.desync().is_none() => Ok((setup, pool.as_ref(), at)),
            (Some(_), Pool::V3(_)) => Err("the pool is out of step with its logs".into()),
            _ => Err("the pool is none of Uniswap V3".into()),
        }
    }

    /// What a pool takes and gives for an input: (paid, given).
    fn trade(
        &self,
        taken: &mut Taken,
        id: PoolId,
        token_in: Address,
        amount: U256,
    ) -> Result<(U256, U256), String> {
        let (setup, pool) = self.pool(id)?;
        let direction = if token_in == setup.token0 {
            Direction::ZeroForOne
        } else if token_in == setup.token1 {
            Direction::OneForZero
        } else {
            return Err("the pool does not hold the token".into());
        };
        taken.trade((id.address, token_in), (pool, direction), amount)
    }
}

impl Done {
    fn pay(
        &mut self,
        (token, spender): (Address, Spender),
        (from, to): (Address, Address),
        amount: U256,
    ) -> Result<(), String> {
        if amount.is_zero() {
            return Ok(());
        }
        self.wallet.pay(token, spender, amount)?;
        self.moved.push(Moved { token, from, to, amount });
        Ok(())
    }

    fn receive(&mut self, token: Address, (from, to): (Address, Address), amount: U256) {
        if !amount.is_zero() {
            self.wallet.receive(token, amount);
            self.moved.push(Moved { token, from, to, amount });
        }
    }
}

/// `NonfungiblePositionManager.mint`.
fn open(place: &Place<'_>, plan: &OpenRange, done: &mut Done) -> Result<(), String> {
    let (setup, pool, at) = place.v3(plan.pool)?;
    let (lower, upper) = (plan.tick_lower, plan.tick_upper);
    let range = TickRange::new(lower, upper, pool.tick_spacing()).map_err(text)?;
    let most = Amounts { amount0: plan.amount0, amount1: plan.amount1 };
    let price = pool.sqrt_price_x96();
    let liquidity = liquidity_for_amounts(price, range, most).map_err(text)?;
    if liquidity == 0 {
        return Err("the amounts make no liquidity".into());
    }
    let paid = amounts_for_liquidity(price, range, liquidity, Rounding::Up).map_err(text)?;
    if paid.amount0 < plan.amount0_min || paid.amount1 < plan.amount1_min {
        return Err("Price slippage check".into());
    }
    let way = (place.setup.signer, at);
    done.pay((setup.token0, Spender::PositionManager), way, paid.amount0)?;
    done.pay((setup.token1, Spender::PositionManager), way, paid.amount1)?;
    let token_id = U256::from(TOKEN_IDS.saturating_add(place.nonce));
    let (address, inside) = (setup.address, [U256::ZERO; 2]);
    let nft = Nft { pool: address, lower, upper, liquidity, inside };
    done.wallet.positions.insert(token_id, nft);
    let Amounts { amount0, amount1 } = paid;
    done.nft_logs.push(NftLog::Increased { token_id, liquidity, amount0, amount1 });
    let watched = Watched { lower, upper, liquidity, inside };
    done.told.push((address, PoolEvent::Watched(watched)));
    Ok(())
}

/// `decreaseLiquidity`, `collect` and `burn` in one.
fn close(place: &Place<'_>, plan: &CloseRange, done: &mut Done) -> Result<(), String> {
    let (setup, pool, at) = place.v3(plan.pool)?;
    let token_id = plan.token_id;
    let found = done.wallet.positions.remove(&token_id);
    let nft = found.filter(|nft| nft.pool == setup.address).ok_or("Invalid token ID")?;
    if nft.liquidity != plan.liquidity {
        return Err("Not cleared".into());
    }
    let range = TickRange::new(nft.lower, nft.upper, pool.tick_spacing()).map_err(text)?;
    let price = pool.sqrt_price_x96();
    let principal = amounts_for_liquidity(price, range, nft.liquidity, Rounding::Down);
    let Amounts { amount0, amount1 } = principal.map_err(text)?;
    if amount0 < plan.amount0_min || amount1 < plan.amount1_min {
        return Err("Price slippage check".into());
    }
    let inside = pool.fee_growth_inside(range).map_err(|e| e.to_string())?;
    let fees = [0, 1].map(|token| tokens_owed(nft.liquidity, inside[token], nft.inside[token]));
    let collected0 = amount0.saturating_add(U256::from(fees[0]));
    let collected1 = amount1.saturating_add(U256::from(fees[1]));
    let way = (at, place.setup.signer);
    done.receive(setup.token0, way, collected0);
    done.receive(setup.token1, way, collected1);
    let liquidity = nft.liquidity;
    done.nft_logs.push(NftLog::Decreased { token_id, liquidity, amount0, amount1 });
    let (amount0, amount1) = (collected0, collected1);
    done.nft_logs.push(NftLog::Collected { token_id, amount0, amount1 });
    let over = PoolEvent::Unwatched { lower: nft.lower, upper: nft.upper };
    done.told.push((setup.address, over));
    Ok(())
}

/// `SwapRouter.exactInputSingle` without a price limit.
fn swap(place: &Place<'_>, plan: &SwapPlan, done: &mut Done) -> Result<(), String> {
    let (_, _, pool) = place.v3(plan.pool)?;
    let taken = &mut done.wallet.taken;
    let (paid, given) = place.trade(taken, plan.pool, plan.token_in, plan.amount_in)?;
    if given < plan.amount_out_min {
        return Err("Too little received".into());
    }
    let us = place.setup.signer;
    done.pay((plan.token_in, Spender::SwapRouter), (us, pool), paid)?;
    done.receive(plan.token_out, (pool, us), given);
    Ok(())
}

/// `Executor.flash`: the first pool lends the input, so that only the profit reaches us.
fn cycle(place: &Place<'_>, plan: &CyclePlan, done: &mut Done) -> Result<(), String> {
    let executor = place.setup.executor.ok_or("no executor is configured")?;
    let (mut token, mut amount) = (plan.token, plan.amount_in);
    for leg in &plan.legs {
        if leg.token_in != token {
            return Err("the legs do not follow each other".into());
        }
        let (paid, given) = place.trade(&mut done.wallet.taken, leg.pool, token, amount)?;
        if paid != amount {
            return Err("a pool of the cycle ran dry".into());
        }
        (token, amount) = (leg.token_out, given);
    }
    let profit = amount.checked_sub(plan.amount_in).filter(|profit| *profit >= plan.min_profit);
    let profit = profit.filter(|_| token == plan.token).ok_or("the cycle brings too little")?;
    done.receive(token, (executor, place.setup.signer), profit);
    Ok(())
}

fn text(error: AmmError) -> String {
    error.to_string()
}
