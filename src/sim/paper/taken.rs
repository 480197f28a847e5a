//! What our trades took out of pools that they do not move.
//!
//! A pretend trade leaves its pool as it was, so that the gap it lived on would stand there at
//! every block. Until others moved the price by more than ours would have, a trade the same way
//! therefore runs behind what we took before, as if that stood in the pool: a gap is not there
//! twice, and a range's own swap still goes through, at the worse price. Which way others moved it
//! does not matter: onwards, they took the gap themselves; back, they gave as much as we took. The
//! other way nothing is added: in life we would find the pool better, and do not count on it.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};

use crate::engine::event::Pool;
use crate::math::amm::v3::{SwapAmount, SwapOrder};
use crate::math::amm::{Direction, Q128};
use crate::model::chain::PoolAddress;

/// Trades of ours that pools do not show, by pool and the token that was paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken(BTreeMap<(PoolAddress, Address), Mark>);

/// Trades of one way through one pool; prices as [`price`] measures them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// Paid by all of them.
    paid: U256,
    /// The pool's price at the newest of them.
    from: U256,
    /// Where all of them would have left it then.
    to: U256,
}

/// What an input does to a pool.
struct Outcome {
    paid: U256,
    given: U256,
    /// The price afterwards.
    price: U256,
}

impl Taken {
    /// Trades an exact input behind what was taken this way before: (paid, given).
    ///
    /// # Errors
    /// Why the pool would revert.
    pub(super) fn trade(
        &mut self,
        key: (PoolAddress, Address),
        (pool, direction): (&Pool, Direction),
        amount: U256,
    ) -> Result<(U256, U256), String> {
        let from = price(pool);
        let before = match self.0.get(&key) {
            Some(mark) => outcome(pool, direction, mark.paid)?,
            None => Outcome { paid: U256::ZERO, given: U256::ZERO, price: from },
        };
        let whole = before.paid.checked_add(amount).ok_or("the amount is too large")?;
        let after = outcome(pool, direction, whole)?;
        self.0.insert(key, Mark { paid: after.paid, from, to: after.price });
        let paid = after.paid.saturating_sub(before.paid);
        Ok((paid, after.given.saturating_sub(before.given)))
    }

    /// Forgets what was taken where others moved the price by more than it would have.
    pub(super) fn release(&mut self, pools: &BTreeMap<PoolAddress, Pool>) {
        self.0.retain(|(address, _), mark| {
            pools.get(address).is_none_or(|pool| !mark.is_past(price(pool)))
        });
    }
}

impl Mark {
    /// Whether a price is further away than our trades would have moved it, either way.
    fn is_past(&self, price: U256) -> bool {
        price.abs_diff(self.from) > self.to.abs_diff(self.from)
    }
}

/// A measure that rises and falls with a pool's price, of that pool alone.
fn price(pool: &Pool) -> U256 {
    match pool {
        Pool::V3(pool) => pool.sqrt_price_x96(),
        Pool::V4(pool) => pool.sqrt_price_x96(),
        Pool::V2(pool) => {
            let (reserve0, reserve1) = pool.reserves();
            ratio(U256::from(reserve0), U256::from(reserve1))
        }
    }
}

/// Token1 per token0, Q128.128: a pair's reserves have 112 bits.
fn ratio(reserve0: U256, reserve1: U256) -> U256 {
    reserve1.saturating_mul(Q128).checked_div(reserve0).unwrap_or_default()
}

fn outcome(pool: &Pool, direction: Direction, amount: U256) -> Result<Outcome, String> {
    let exact_in = SwapAmount::ExactIn(amount);
    let order = SwapOrder { direction, amount: exact_in, sqrt_limit_x96: None };
    match pool {
        Pool::V3(pool) => {
            let swap = pool.quote(&order).map_err(|e| e.to_string())?;
            let price = swap.sqrt_price_x96;
            Ok(Outcome { paid: swap.amount_in, given: swap.amount_out, price })
        }
        Pool::V4(_) => Err("nothing of ours trades on V4".into()),
        Pool::V2(pool) => {
            let given = pool.quote_exact_in(direction, amount).map_err(|e| e.to_string())?;
            let (reserve0, reserve1) = pool.reserves();
            let (reserve0, reserve1) = (U256::from(reserve0), U256::from(reserve1));
            let (reserve0, reserve1) = match direction {
                Direction::ZeroForOne => {
                    (reserve0.saturating_add(amount), reserve1.saturating_sub(given))
                }
                Direction::OneForZero => {
                    (reserve0.saturating_sub(given), reserve1.saturating_add(amount))
                }
            };
            Ok(Outcome { paid: amount, given, price: ratio(reserve0, reserve1) })
        }
    }
}
