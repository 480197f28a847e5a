//! What people do with the fifty pools: all of it follows from one seed and from the chain alone.
//!
//! Nobody looks at a price first. A swap stops at a drawn one, so that pools stay where liquidity
//! is; what cannot be is refused by the contracts, as on any chain.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use alloy::primitives::aliases::U24;
use alloy::primitives::{Address, B256, Bytes, I256, U160, U256};
use alloy::sol_types::SolValue;
use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidekeeper::engine::setup::{Curve, PoolSetup};
use tidekeeper::math::amm::tick::sqrt_price_at;
use tidekeeper::model::chain::PoolAddress;
use tidekeeper::venues::erc20::Erc20;
use tidekeeper::venues::uniswap_v2::abi::UniswapV2Pair;
use tidekeeper::world::chain::{self, Deed};

use super::ground::Ground;
use crate::bytecode::abi::{
    Ask, Change, Donor, Pair, PairFactory, Pool, Provider, Settling, Singleton, Swapper, Token,
    int24, key_of,
};

/// A pool's widest position, and how much is in it.
const WIDE: i32 = 9_000;
const WIDE_LIQUIDITY: u128 = 1_000_000_000_000_000_000_000;
/// Ticks from one between which swaps stop.
const STOP: RangeInclusive<i32> = 200..=6_000;
/// Bits of what is swapped, lent or given at most, and of a position's liquidity.
const AMOUNT_BITS: u32 = 70;
const LIQUIDITY_BITS: u32 = 72;
/// Bits of the smallest of both.
const LEAST_BITS: u32 = 40;
/// Each token's reserve of a pair at first, times one to three.
const RESERVE: u128 = 1_000_000_000_000_000_000_000;
/// Native coin sent along: about five thousand, more than any act takes; the rest comes back.
const COIN_SENT: U256 = U256::from_limbs([0, 271, 0, 0]);
/// Blocks of which positions are remembered.
const PAST_BLOCKS: u64 = 64;

/// Liquidity that somebody should have.
#[derive(Clone, Copy, Debug)]
struct Held {
    by: Address,
    lower: i32,
    upper: i32,
    liquidity: u128,
    /// Tells V4's positions of one range apart.
    salt: u64,
}

type Positions = BTreeMap<PoolAddress, Vec<Held>>;

/// A swap's way, what is given or wanted, told apart by its sign, and where its price stops.
struct Order {
    is_down: bool,
    amount: I256,
    limit: U160,
}

/// Everybody who acts.
pub(super) struct People {
    rng: StdRng,
    held: Positions,
    /// The same as it was after each block.
    past: BTreeMap<u64, Positions>,
    n_salts: u64,
    has_fee: bool,
    /// Acts by kind.
    pub(super) tally: BTreeMap<&'static str, u64>,
}

impl People {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            held: Positions::new(),
            past: BTreeMap::new(),
            n_salts: 0,
            has_fee: false,
            tally: BTreeMap::new(),
        }
    }

    /// Acts so far.
    pub(super) fn n_acts(&self) -> u64 {
        self.tally.values().sum()
    }

    /// The chain has this block.
    pub(super) fn mined(&mut self, height: u64) {
        self.past.insert(height, self.held.clone());
        self.past = self.past.split_off(&height.saturating_sub(PAST_BLOCKS));
    }

    /// The chain took back everything above this block.
    pub(super) fn taken_back(&mut self, height: u64) {
        self.past.retain(|number, _| *number <= height);
        if let Some((_, held)) = self.past.last_key_value() {
            self.held.clone_from(held);
        }
    }

    /// What every pool begins with: reserves, or one wide position and two others.
    pub(super) fn opening(&mut self, ground: &Ground) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for pool in &ground.setup.pools {
            let by = self.trader(ground);
            if let (Curve::V2, Some(pair)) = (pool.curve, pool.address.contract()) {
                for token in [pool.token0, pool.token1] {
                    let amount = U256::from(RESERVE * self.rng.random_range(1..=3u128));
                    deeds.push(give(by, token, pair, amount));
                }
                deeds.push(Deed::call(by, pair, &Pair::mintCall { to: by }));
                continue;
            }
            let spacing = pool.tick_spacing;
            let (lower, upper) = on_grid(-WIDE, WIDE, spacing);
            let salt = self.salt();
            let wide = Held { by, lower, upper, liquidity: WIDE_LIQUIDITY, salt };
            deeds.push(self.add(ground, pool, wide));
            for _ in 0..2 {
                let held = self.drawn_position(pool, by);
                deeds.push(self.add(ground, pool, held));
            }
        }
        deeds
    }

    /// One act in one pool: its transactions in their order.
    pub(super) async fn act(&mut self, ground: &Ground) -> Result<Vec<Deed>> {
        let pool = &ground.setup.pools[self.rng.random_range(0..ground.setup.pools.len())];
        let by = self.trader(ground);
        match (pool.curve, pool.address) {
            (Curve::V2, PoolAddress::Contract(pair)) => self.pair(ground, pool, pair, by).await,
            (Curve::V3, PoolAddress::Contract(at)) => Ok(self.v3(ground, pool, at, by)),
            _ => Ok(self.v4(ground, pool, by)),
        }
    }

    fn count(&mut self, kind: &'static str) {
        *self.tally.entry(kind).or_default() += 1;
    }

    fn trader(&mut self, ground: &Ground) -> Address {
        ground.traders[self.rng.random_range(0..ground.traders.len())]
    }

    fn salt(&mut self) -> u64 {
        self.n_salts += 1;
        self.n_salts
    }

    /// Something of at most so many bits, all lengths alike.
    fn sized(&mut self, bits: u32) -> u128 {
        let length = self.rng.random_range(LEAST_BITS..=bits);
        (self.rng.random::<u128>() | 1 << 127) >> (128 - length)
    }

    fn amount(&mut self) -> U256 {
        U256::from(self.sized(AMOUNT_BITS))
    }

    async fn pair(
        &mut self,
        ground: &Ground,
        pool: &PoolSetup,
        pair: Address,
        by: Address,
    ) -> Result<Vec<Deed>> {
        let reserves = UniswapV2Pair::getReservesCall {};
        let reserves = chain::call(&ground.provider, pair, &reserves).await?;
        let reserves = [U256::from(reserves._reserve0), U256::from(reserves._reserve1)];
        let tokens = [pool.token0, pool.token1];
        let call_after_gifts = |gifts: [U256; 2], last: Deed| {
            let given = tokens.into_iter().zip(gifts).filter(|(_, amount)| !amount.is_zero());
            let mut deeds: Vec<Deed> = given.map(|(of, many)| give(by, of, pair, many)).collect();
            deeds.push(last);
            deeds
        };
        Ok(match self.rng.random_range(0..100u32) {
            0..=54 => {
                self.count("swap");
                let [gifts, [amount0_out, amount1_out]] = self.pair_order(reserves);
                let swap = Pair::swapCall {
                    amount0Out: amount0_out,
                    amount1Out: amount1_out,
                    to: by,
                    data: Bytes::new(),
                };
                call_after_gifts(gifts, Deed::call(by, pair, &swap))
            }
            55..=72 => {
                self.count("mint");
                let share = U256::from(self.rng.random_range(1..=60u32));
                let gifts = reserves.map(|reserve| reserve * share / U256::from(1_000));
                call_after_gifts(gifts, Deed::call(by, pair, &Pair::mintCall { to: by }))
            }
            73..=86 => {
                self.count("burn");
                let held = Erc20::balanceOfCall(by);
                let held = chain::call(&ground.provider, pair, &held).await?;
                let shares = held / U256::from(self.rng.random_range(2..=50u32));
                let burn = Deed::call(by, pair, &Pair::burnCall { to: by });
                vec![give(by, pair, pair, shares), burn]
            }
            87..=93 => {
                self.count("donation");
                let gifts = [self.amount(), self.amount()];
                call_after_gifts(gifts, Deed::call(by, pair, &Pair::syncCall {}))
            }
            94..=96 => {
                self.count("gift taken back");
                let gifts = [self.amount(), U256::ZERO];
                call_after_gifts(gifts, Deed::call(by, pair, &Pair::skimCall { to: by }))
            }
            _ => {
                self.count("protocol fee set");
                self.has_fee = !self.has_fee;
                let fee_to = if self.has_fee { ground.owner } else { Address::ZERO };
                let call = PairFactory::setFeeToCall { feeTo: fee_to };
                ground.pair_factories.map(|at| Deed::call(ground.owner, at, &call)).to_vec()
            }
        })
    }

    /// What is given to a pair, and what is asked of it: so much less than it would pay that its
    /// fee and what others do in the same block do not matter.
    fn pair_order(&mut self, reserves: [U256; 2]) -> [[U256; 2]; 2] {
        let share = U256::from(self.rng.random_range(1..=40u32));
        let paid = usize::from(self.rng.random::<bool>());
        let [into, out_of] = [reserves[paid], reserves[1 - paid]];
        let amount = into * share / U256::from(1_000);
        let (mut gifts, mut outs) = ([U256::ZERO; 2], [U256::ZERO; 2]);
        gifts[paid] = amount;
        outs[1 - paid] = out_of * amount / (into + amount) * U256::from(9) / U256::from(10);
        [gifts, outs]
    }

    fn order(&mut self) -> Order {
        let (is_down, is_given): (bool, bool) = (self.rng.random(), self.rng.random());
        let amount = I256::from_raw(self.amount());
        let stop = self.rng.random_range(STOP);
        let stop = sqrt_price_at(if is_down { -stop } else { stop });
        Order {
            is_down,
            amount: if is_given { amount } else { amount.wrapping_neg() },
            limit: U160::saturating_from(stop.expect("a tick of the protocol")),
        }
    }

    fn v3(&mut self, ground: &Ground, pool: &PoolSetup, at: Address, by: Address) -> Vec<Deed> {
        let payment: Bytes = [pool.token0, pool.token1].abi_encode().into();
        match self.rng.random_range(0..100u32) {
            0..=49 => {
                self.count("swap");
                let order = self.order();
                let swap = Pool::swapCall {
                    recipient: by,
                    zeroForOne: order.is_down,
                    amountSpecified: order.amount,
                    sqrtPriceLimitX96: order.limit,
                    data: payment,
                };
                vec![Deed::call(by, at, &swap)]
            }
            50..=66 => self.mint(ground, pool, by),
            67..=86 => {
                // Of a position of which nothing is burned, the fees are collected.
                let n_parts = self.rng.random_range(0..=3);
                let Some((held, amount)) = self.take(pool.address, n_parts) else {
                    return self.mint(ground, pool, by);
                };
                self.count(if amount == 0 { "collect" } else { "burn" });
                let (lower, upper) = (int24(held.lower), int24(held.upper));
                let burn = Pool::burnCall { tickLower: lower, tickUpper: upper, amount };
                let collect = Pool::collectCall {
                    recipient: held.by,
                    tickLower: lower,
                    tickUpper: upper,
                    amount0Requested: u128::MAX,
                    amount1Requested: u128::MAX,
                };
                vec![Deed::call(held.by, at, &burn), Deed::call(held.by, at, &collect)]
            }
            87..=92 => {
                self.count("donation");
                // A loan to the pool itself, which keeps it and is paid the fee.
                let (amount0, amount1) = (self.amount() >> 10, self.amount() >> 10);
                let flash = Pool::flashCall { recipient: at, amount0, amount1, data: payment };
                vec![Deed::call(by, at, &flash)]
            }
            93..=96 => {
                self.count("protocol fee set");
                let parts = [0, 1].map(|_| match self.rng.random_range(3..=10u8) {
                    3 => 0,
                    part => part,
                });
                let call =
                    Pool::setFeeProtocolCall { feeProtocol0: parts[0], feeProtocol1: parts[1] };
                vec![Deed::call(ground.owner, at, &call)]
            }
            _ => {
                self.count("protocol fee taken");
                let call = Pool::collectProtocolCall {
                    recipient: ground.owner,
                    amount0Requested: u128::MAX,
                    amount1Requested: self.sized(AMOUNT_BITS),
                };
                vec![Deed::call(ground.owner, at, &call)]
            }
        }
    }

    fn v4(&mut self, ground: &Ground, pool: &PoolSetup, by: Address) -> Vec<Deed> {
        let Some(key) = pool.key.as_ref().map(key_of) else { return Vec::new() };
        let paid = |deed: Deed| Deed { value: coin(pool), ..deed };
        match self.rng.random_range(0..100u32) {
            0..=49 => {
                self.count("swap");
                let order = self.order();
                let swap = Swapper::swapCall {
                    key,
                    params: Ask {
                        zeroForOne: order.is_down,
                        amountSpecified: order.amount,
                        sqrtPriceLimitX96: order.limit,
                    },
                    testSettings: Settling { takeClaims: false, settleUsingBurn: false },
                    hookData: Bytes::new(),
                };
                vec![paid(Deed::call(by, ground.v4.swapper, &swap))]
            }
            50..=66 => self.mint(ground, pool, by),
            67..=82 => {
                let n_parts = self.rng.random_range(1..=3);
                let Some((held, taken)) = self.take(pool.address, n_parts) else {
                    return self.mint(ground, pool, by);
                };
                self.count("burn");
                let taken = I256::from_raw(U256::from(taken)).wrapping_neg();
                vec![modify(ground, pool, &held, taken)]
            }
            83..=90 => {
                self.count("donation");
                let (amount0, amount1) = (self.amount(), self.amount());
                let call = Donor::donateCall { key, amount0, amount1, hookData: Bytes::new() };
                vec![paid(Deed::call(by, ground.v4.donor, &call))]
            }
            91..=96 => {
                self.count("protocol fee set");
                let [down, up] = [0, 1].map(|_| self.rng.random_range(0..=1_000u32));
                let fee = U24::from(down | up << 12);
                let call = Singleton::setProtocolFeeCall { key, newProtocolFee: fee };
                vec![Deed::call(ground.owner, ground.v4.singleton, &call)]
            }
            _ => {
                self.count("protocol fee taken");
                let call = Singleton::collectProtocolFeesCall {
                    recipient: ground.owner,
                    currency: pool.token1,
                    amount: U256::ZERO,
                };
                vec![Deed::call(ground.owner, ground.v4.singleton, &call)]
            }
        }
    }

    fn mint(&mut self, ground: &Ground, pool: &PoolSetup, by: Address) -> Vec<Deed> {
        self.count("mint");
        let held = self.drawn_position(pool, by);
        vec![self.add(ground, pool, held)]
    }

    fn drawn_position(&mut self, pool: &PoolSetup, by: Address) -> Held {
        let spacing = pool.tick_spacing;
        let centre = self.rng.random_range(-3_000..=3_000);
        let half = self.rng.random_range(spacing..=4_000);
        let (lower, upper) = on_grid(centre - half, centre + half, spacing);
        Held { by, lower, upper, liquidity: self.sized(LIQUIDITY_BITS), salt: self.salt() }
    }

    fn add(&mut self, ground: &Ground, pool: &PoolSetup, held: Held) -> Deed {
        self.held.entry(pool.address).or_default().push(held);
        match pool.address {
            PoolAddress::Contract(at) => {
                let mint = Pool::mintCall {
                    recipient: held.by,
                    tickLower: int24(held.lower),
                    tickUpper: int24(held.upper),
                    amount: held.liquidity,
                    data: [pool.token0, pool.token1].abi_encode().into(),
                };
                Deed::call(held.by, at, &mint)
            }
            PoolAddress::Id(_) => {
                modify(ground, pool, &held, I256::from_raw(U256::from(held.liquidity)))
            }
        }
    }

    /// One of the positions that should be there, and how much of it is taken out: one of so many
    /// parts, or of none nothing.
    fn take(&mut self, pool: PoolAddress, n_parts: u128) -> Option<(Held, u128)> {
        let held = self.held.entry(pool).or_default();
        if held.is_empty() {
            return None;
        }
        let index = self.rng.random_range(0..held.len());
        let found = held[index];
        let taken = found.liquidity.checked_div(n_parts).unwrap_or(0);
        held[index].liquidity -= taken;
        if held[index].liquidity == 0 {
            held.remove(index);
        }
        Some((found, taken))
    }
}

fn give(by: Address, token: Address, to: Address, amount: U256) -> Deed {
    Deed::call(by, token, &Token::transferCall { to, amount })
}

/// Native coin that goes along with an act on a V4 pool.
fn coin(pool: &PoolSetup) -> U256 {
    if pool.token0.is_zero() { COIN_SENT } else { U256::ZERO }
}

/// V4's contract owns all positions, so anybody may take them out.
fn modify(ground: &Ground, pool: &PoolSetup, held: &Held, delta: I256) -> Deed {
    let key = pool.key.as_ref().map(key_of).expect("a V4 pool has a key");
    let call = Provider::modifyLiquidityCall {
        key,
        params: Change {
            tickLower: int24(held.lower),
            tickUpper: int24(held.upper),
            liquidityDelta: delta,
            salt: B256::from(U256::from(held.salt)),
        },
        hookData: Bytes::new(),
    };
    Deed { value: coin(pool), ..Deed::call(held.by, ground.v4.provider, &call) }
}

/// The ticks of the grid around a range.
fn on_grid(lower: i32, upper: i32, spacing: i32) -> (i32, i32) {
    (lower.div_euclid(spacing) * spacing, (upper.div_euclid(spacing) + 1) * spacing)
}
