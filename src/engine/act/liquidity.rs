//! A liquidity strategy's turn: what it sees, and its want on its way to the gate.

use alloy::primitives::{Address, U256};

use crate::engine::Engine;
use crate::engine::event::Position;
use crate::engine::figures::NATIVE_DECIMALS;
use crate::engine::state::pool_view;
use crate::model::amount::human_unsigned;
use crate::model::unit::{Account, Unit};
use crate::strategy::liquidity;

/// Gas of one full move (withdraw, swap, approvals, mint), for judging whether it pays.
const GAS_PER_MOVE: u64 = 1_100_000;

impl Engine {
    pub(super) fn decide_liquidity(&mut self, index: usize, parameters: &liquidity::Parameters) {
        let Some(chain) = self.chains.get(&parameters.pool.chain) else { return };
        if !chain.is_ready || chain.is_busy() || self.now < chain.retry_at {
            return;
        }
        match self.liquidity_decision(index, parameters) {
            liquidity::Decision::Wait(why) => self.strategies[index].say(why, self.now),
            liquidity::Decision::Act(intent) => {
                self.strategies[index].say(intent.why.clone(), self.now);
                // A refusal is noted there, and the strategy looks again anyway.
                let _ = self.review_on_chain(*intent);
            }
        }
    }

    fn liquidity_decision(
        &self,
        index: usize,
        parameters: &liquidity::Parameters,
    ) -> liquidity::Decision {
        match self.liquidity_view(index, parameters) {
            Ok(view) => liquidity::decide(&view, parameters),
            Err(why) => liquidity::Decision::Wait(why),
        }
    }

    /// What it would say with these parameters, whether its lane is free or not.
    pub(in crate::engine) fn liquidity_says(
        &self,
        index: usize,
        parameters: &liquidity::Parameters,
    ) -> String {
        match self.liquidity_decision(index, parameters) {
            liquidity::Decision::Wait(why) => why,
            liquidity::Decision::Act(intent) => intent.why,
        }
    }

    fn liquidity_view(
        &self,
        index: usize,
        parameters: &liquidity::Parameters,
    ) -> Result<liquidity::View, String> {
        let chain = self.chains.get(&parameters.pool.chain).ok_or("unknown chain")?;
        let state = chain.pools.get(&parameters.pool.address).ok_or("the pool is not read yet")?;
        let pool = pool_view(&chain.setup, parameters.pool.address, state)
            .ok_or("the pool has no price")?;
        let reference = self.reference_price().ok_or("the reference book is not live")?;
        let wallet = |token: Address| -> Result<U256, String> {
            let signer = chain.setup.signer;
            let account = Account::Wallet { chain: chain.setup.chain, signer };
            let unit = Unit::Erc20 { chain: chain.setup.chain, token };
            let raw = self.ledger.balance(&account, &unit);
            U256::try_from(raw).map_err(|_| "the ledger shows a negative wallet".to_owned())
        };
        let (base, quote) = if pool.base_is_token0 {
            (pool.token0, pool.token1)
        } else {
            (pool.token1, pool.token0)
        };
        let base_fee = chain.head.map_or(0, |head| head.base_fee);
        let gas_price = base_fee.saturating_add(chain.setup.max_priority_fee);
        let gas = U256::from(GAS_PER_MOVE).saturating_mul(U256::from(gas_price));
        let gas_per_move = human_unsigned(gas, NATIVE_DECIMALS)
            .and_then(|coins| self.value(&chain.setup.native, coins, reference))
            .ok_or("gas has no price")?;
        Ok(liquidity::View {
            pool,
            reference,
            wallet_base: wallet(base)?,
            wallet_quote: wallet(quote)?,
            held: self.open_position(parameters).map(held),
            moves_today: self.strategies[index].moves_today,
            gas_per_move,
            at: self.now,
            decision: self.decisions,
        })
    }

    pub(in crate::engine) fn open_position(
        &self,
        parameters: &liquidity::Parameters,
    ) -> Option<&Position> {
        self.positions.values().find(|position| {
            position.closed.is_none()
                && position.strategy == parameters.strategy
                && position.pool == parameters.pool
        })
    }
}

fn held(position: &Position) -> liquidity::Held {
    liquidity::Held {
        token_id: position.token_id,
        tick_lower: position.tick_lower,
        tick_upper: position.tick_upper,
        liquidity: position.liquidity,
        opened: position.opened,
    }
}
