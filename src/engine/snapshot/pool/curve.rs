//! A pool's curve around its price, whatever keeps it.

use alloy::primitives::{Address, U256};
use rust_decimal::Decimal;

use crate::engine::event::Pool;
use crate::engine::figures::NATIVE_DECIMALS;
use crate::engine::recent::Price;
use crate::engine::setup::{ChainSetup, PoolSetup};
use crate::math::amm::price::{Base, PriceFrame};
use crate::math::amm::sqrt_price::{amount0_delta, amount1_delta};
use crate::math::amm::tick::{MAX_TICK, MIN_TICK, Ticks, sqrt_price_at, tick_at};
use crate::math::amm::{AmmError, Rounding};
use crate::model::amount::human_unsigned;

/// Most initialized ticks told on either side of the price.
const TICKS_MAX: usize = 200;
/// Ticks from the price to the end of what is told: from half of it to twice.
const REACH: i32 = 6_932;

/// What pools without ticks have.
static NO_TICKS: Ticks = Ticks::new();

/// A token of a pool; the zero address is the chain's native coin, as Uniswap V4 has it.
#[derive(Clone, Copy)]
pub(super) struct Coin<'s> {
    pub(super) symbol: &'s str,
    pub(super) address: Address,
    pub(super) decimals: u32,
}

impl<'s> Coin<'s> {
    fn of(chain: &'s ChainSetup, address: Address) -> Option<Self> {
        if address.is_zero() {
            return Some(Self { symbol: &chain.native, address, decimals: NATIVE_DECIMALS });
        }
        let token = chain.token(address)?;
        Some(Self { symbol: &token.symbol, address, decimals: token.decimals })
    }
}

/// The two tokens of a pool, and how its numbers read in them.
pub(super) struct Sides<'s> {
    pub(super) frame: PriceFrame,
    coin0: Coin<'s>,
    coin1: Coin<'s>,
}

impl<'s> Sides<'s> {
    pub(super) fn of(chain: &'s ChainSetup, setup: &PoolSetup) -> Option<Self> {
        let (coin0, coin1) = (Coin::of(chain, setup.token0)?, Coin::of(chain, setup.token1)?);
        let base = if setup.base_is_token0 { Base::Token0 } else { Base::Token1 };
        let [decimals0, decimals1] = [coin0, coin1].map(|coin| u8::try_from(coin.decimals));
        let frame = PriceFrame::new(decimals0.ok()?, decimals1.ok()?, base).ok()?;
        Some(Self { frame, coin0, coin1 })
    }

    /// What is told of token0 and token1, the base first.
    pub(super) fn base_first<T>(&self, [of0, of1]: [T; 2]) -> [T; 2] {
        match self.frame.base() {
            Base::Token0 => [of0, of1],
            Base::Token1 => [of1, of0],
        }
    }

    pub(super) fn base(&self) -> Coin<'s> {
        let [base, _] = self.base_first([self.coin0, self.coin1]);
        base
    }

    pub(super) fn quote(&self) -> Coin<'s> {
        let [_, quote] = self.base_first([self.coin0, self.coin1]);
        quote
    }

    pub(super) fn price(&self, price: Price) -> Option<Decimal> {
        match price {
            Price::Root(root) => self.frame.price(root, Rounding::Down).ok(),
            Price::Reserves(reserve0, reserve1) => {
                let amount0 = human_unsigned(U256::from(reserve0), self.coin0.decimals)?;
                let amount1 = human_unsigned(U256::from(reserve1), self.coin1.decimals)?;
                let [base, quote] = self.base_first([amount0, amount1]);
                quote.checked_div(base)
            }
        }
    }
}

/// A pool's liquidity over all prices; a pair is a pool whose liquidity changes nowhere.
pub(super) struct Curve<'p> {
    pub(super) root: U256,
    tick: i32,
    liquidity: u128,
    pub(super) ticks: &'p Ticks,
}

/// The same liquidity from a tick on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) tick: i32,
    pub(super) liquidity: u128,
    pub(super) is_initialized: bool,
}

impl<'p> Curve<'p> {
    /// `None` before the first price, and once a log did not fit.
    pub(super) fn of(pool: &'p Pool, sides: &Sides<'_>) -> Option<Self> {
        let price = Price::of(pool)?;
        match pool {
            Pool::V3(pool) if pool.sqrt_price_x96().is_zero() => None,
            Pool::V3(pool) => Some(Self {
                root: pool.sqrt_price_x96(),
                tick: pool.tick(),
                liquidity: pool.liquidity(),
                ticks: pool.ticks(),
            }),
            Pool::V4(pool) if pool.sqrt_price_x96().is_zero() => None,
            Pool::V4(pool) => Some(Self {
                root: pool.sqrt_price_x96(),
                tick: pool.tick(),
                liquidity: pool.liquidity(),
                ticks: pool.ticks(),
            }),
            Pool::V2(pool) => {
                let (reserve0, reserve1) = pool.reserves();
                let product = U256::from(reserve0).checked_mul(U256::from(reserve1))?;
                let root = sides.frame.sqrt_price_x96(sides.price(price)?, Rounding::Down).ok()?;
                Some(Self {
                    root,
                    tick: tick_at(root).ok()?,
                    liquidity: u128::try_from(product.root(2)).ok()?,
                    ticks: &NO_TICKS,
                })
            }
        }
    }

    /// Tokens from the price to another one: token0 above, token1 below, rounded down a stretch.
    pub(super) fn between(&self, end: U256) -> Result<U256, AmmError> {
        let is_above = end >= self.root;
        let (mut at, mut liquidity, mut sum) = (self.root, self.liquidity, U256::ZERO);
        let add = |sum: U256, to: U256, at: U256, liquidity: u128| {
            let delta = if is_above { amount0_delta } else { amount1_delta };
            sum.checked_add(delta(at, to, liquidity, Rounding::Down)?).ok_or(AmmError::Overflow)
        };
        let mut above = self.ticks.range(self.tick.saturating_add(1)..);
        let mut below = self.ticks.range(..=self.tick).rev();
        let onwards = std::iter::from_fn(|| if is_above { above.next() } else { below.next() });
        for (&tick, state) in onwards {
            let next = sqrt_price_at(tick)?;
            if (is_above && next >= end) || (!is_above && next <= end) {
                break;
            }
            sum = add(sum, next, at, liquidity)?;
            (at, liquidity) = (next, crossed(liquidity, tick, state.net, is_above)?);
        }
        add(sum, end, at, liquidity)
    }

    /// The liquidity around the price, from the lowest tick on; `None` when the ticks do not close.
    pub(super) fn steps(&self) -> Option<Vec<Step>> {
        let low = self.tick.saturating_sub(REACH).max(MIN_TICK).min(self.tick);
        let first_above = self.tick.saturating_add(1);
        let high = self.tick.saturating_add(REACH).min(MAX_TICK).max(first_above);
        let step = |tick, liquidity, is_initialized| Step { tick, liquidity, is_initialized };
        let mut steps = Vec::new();
        let mut liquidity = self.liquidity;
        for (&tick, state) in self.ticks.range(low..=self.tick).rev().take(TICKS_MAX) {
            steps.push(step(tick, liquidity, true));
            liquidity = crossed(liquidity, tick, state.net, false).ok()?;
        }
        // Where there are more ticks than are told, what is told ends at the last one.
        if steps.len() < TICKS_MAX && steps.last().is_none_or(|lowest| lowest.tick != low) {
            steps.push(step(low, liquidity, false));
        }
        steps.reverse();
        let n_below = steps.len();
        liquidity = self.liquidity;
        for (&tick, state) in self.ticks.range(first_above..=high).take(TICKS_MAX) {
            liquidity = crossed(liquidity, tick, state.net, true).ok()?;
            steps.push(step(tick, liquidity, true));
        }
        let n_above = steps.len().saturating_sub(n_below);
        if n_above < TICKS_MAX && steps.last().is_none_or(|highest| highest.tick != high) {
            steps.push(step(high, liquidity, false));
        }
        Some(steps)
    }
}

/// Liquidity beyond a tick.
fn crossed(liquidity: u128, tick: i32, net: i128, is_up: bool) -> Result<u128, AmmError> {
    let net = if is_up { Some(net) } else { net.checked_neg() };
    let beyond = net.and_then(|net| liquidity.checked_add_signed(net));
    beyond.ok_or(AmmError::LiquidityAtTick { tick })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::tests::stage::{TICK, both, pair, pool};
    use crate::math::amm::Direction;
    use crate::math::amm::tick::TickState;
    use crate::math::amm::v3::{MAX_SWAP_AMOUNT, SwapAmount, SwapOrder};

    const WIDE: u128 = 1_000_000_000_000_000_000;
    const NARROW: u128 = 500_000_000_000_000_000;

    /// The stage's pool or pair, and the same with the other token as base.
    pub(in crate::engine::snapshot::pool) fn with_sides(
        pool: &Pool,
        check: impl Fn(&Curve<'_>, &Sides<'_>),
    ) {
        let chain = both().chains.remove(0);
        for base_is_token0 in [true, false] {
            let setup = PoolSetup { base_is_token0, ..chain.pools[0].clone() };
            let sides = Sides::of(&chain, &setup).expect("both tokens are known");
            check(&Curve::of(pool, &sides).expect("it has a price"), &sides);
        }
    }

    #[test]
    fn the_tokens_to_a_price_are_those_a_swap_to_it_takes_out() {
        let whole = pool();
        with_sides(&Pool::V3(Box::new(whole.clone())), |curve, _| {
            // Across the ends of the narrow range and past the last liquidity, both ways.
            for tick in [TICK + 100, TICK + 1_000, -189_000, TICK - 100, TICK - 1_000, -211_000] {
                let end = sqrt_price_at(tick).unwrap();
                let direction =
                    if tick > TICK { Direction::OneForZero } else { Direction::ZeroForOne };
                let amount = SwapAmount::ExactIn(MAX_SWAP_AMOUNT);
                let order = SwapOrder { direction, amount, sqrt_limit_x96: Some(end) };
                let taken = whole.quote(&order).unwrap().amount_out;
                let told = curve.between(end).unwrap();
                // A swap also rounds at the edges of the bitmap's words, one every 2,560 ticks.
                let room = U256::from(8);
                assert!(told >= taken && told - taken <= room, "{tick}: {told} {taken}");
            }
            assert_eq!(curve.between(curve.root), Ok(U256::ZERO));
        });
    }

    #[test]
    fn steps_tell_what_is_in_range_above_each_tick_and_end_at_half_and_double() {
        with_sides(&Pool::V3(Box::new(pool())), |curve, sides| {
            let steps = curve.steps().unwrap();
            let told: Vec<_> = steps.iter().map(|of| (of.tick, of.liquidity)).collect();
            let (low, high) = (TICK - REACH, TICK + REACH);
            let expected = [(low, WIDE), (-198_000, WIDE + NARROW), (-197_000, WIDE), (high, WIDE)];
            assert_eq!(told, expected);
            let marks: Vec<_> = steps.iter().map(|step| step.is_initialized).collect();
            assert_eq!(marks, [false, true, true, false]);
            let [first, last] = [low, high].map(|tick| {
                let root = sqrt_price_at(tick).unwrap();
                sides.frame.price(root, Rounding::Down).unwrap()
            });
            let ratio = first.max(last) / first.min(last);
            assert_eq!(ratio.round_dp(2), Decimal::from(4), "{first} {last}");
        });
    }

    #[test]
    fn only_the_nearest_ticks_are_told() {
        let tick = |gross| TickState { gross, ..TickState::default() };
        let ticks: Ticks = (-500..500).map(|at| (at, tick(1))).collect();
        let curve = Curve { root: sqrt_price_at(0).unwrap(), tick: 0, liquidity: 9, ticks: &ticks };
        let steps = curve.steps().unwrap();
        assert!(steps.iter().all(|step| step.is_initialized && step.liquidity == 9));
        let ends = (steps[0].tick, steps[steps.len() - 1].tick);
        assert_eq!((steps.len(), ends), (400, (-199, 200)));
    }

    #[test]
    fn the_ends_of_the_protocol_are_no_edge_to_fall_from() {
        for tick in [MIN_TICK - 1, MIN_TICK, MAX_TICK - 1] {
            let root = sqrt_price_at(tick.max(MIN_TICK)).unwrap();
            let curve = Curve { root, tick, liquidity: 0, ticks: &NO_TICKS };
            assert!(curve.steps().is_some_and(|steps| steps.len() == 2), "{tick}");
        }
    }

    #[test]
    fn the_zero_address_is_the_native_coin() {
        let chain = both().chains.remove(0);
        let setup = PoolSetup { token0: Address::ZERO, ..chain.pools[0].clone() };
        let sides = Sides::of(&chain, &setup).unwrap();
        assert_eq!((sides.base().symbol, sides.base().decimals), ("ETH", 18));
        let setup = PoolSetup { token0: Address::with_last_byte(0x99), ..setup };
        assert!(Sides::of(&chain, &setup).is_none());
    }

    #[test]
    fn a_pair_has_one_step_at_every_price() {
        with_sides(&Pool::V2(pair(0)), |curve, _| {
            let steps = curve.steps().unwrap();
            assert_eq!(steps.len(), 2);
            assert!(steps.iter().all(|step| step.liquidity == curve.liquidity));
            assert!((curve.tick - TICK).abs() <= 2, "{}", curve.tick);
        });
    }
}
