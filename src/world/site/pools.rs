//! The pools of a local world, each opened at the start price and filled by the deployer.

use alloy::primitives::aliases::U24;
use alloy::primitives::{Address, U160, U256};
use rust_decimal::Decimal;

use crate::market::pools::v4::key::PoolKey;
use crate::math::amm::liquidity::liquidity_for_amounts;
use crate::math::amm::price::Base;
use crate::math::amm::tick::{MAX_TICK, MIN_TICK, TickRange, align_down, align_up, tick_at};
use crate::math::amm::{AmmError, Amounts, Rounding};
use crate::model::amount::raw_down;
use crate::venues::uniswap_v2::abi::{UniswapV2Factory, UniswapV2Router02};
use crate::venues::uniswap_v3::abi::{NonfungiblePositionManager as Positions, UniswapV3Factory};
use crate::venues::uniswap_v3::calls::{self, MintOrder};
use crate::venues::{uniswap_v2, uniswap_v3};
use crate::world::chain::{Deed, NO_DEADLINE};
use crate::world::manifest::{Contracts, Dex, PoolSite};
use crate::world::plan::{Band, Ether, Pair, Reach, V3Plan, V4Plan};
use crate::world::price::{BASE_DECIMALS, QUOTE_DECIMALS, frame, frame_of};
use crate::world::site::{DeployError, Site, V2_FEE_PIPS, base_raw, quote_raw};
use crate::world::v4::{self, NATIVE};

impl Site<'_> {
    /// A pool from Uniswap's V3 factory, or from the one that plays SushiSwap's.
    pub(crate) async fn v3_pool(
        &self,
        contracts: &Contracts,
        dex: Dex,
        plan: &V3Plan,
    ) -> Result<PoolSite, DeployError> {
        let (factory, positions) = v3_contracts(contracts, dex);
        let (base, quote) = tokens_of(contracts, plan.pair);
        let (base_decimals, start) = match plan.pair {
            Pair::WethUsdt | Pair::WethUsdc => (BASE_DECIMALS, self.plan.price),
            Pair::UsdcUsdt => (QUOTE_DECIMALS, Decimal::ONE),
        };
        let (token0, token1) = sorted(base, quote);
        let frame = frame_of((base, base_decimals), (quote, QUOTE_DECIMALS))?;
        let sqrt_price = frame.sqrt_price_x96(start, Rounding::Down)?;
        let fee = tier(plan.fee_pips)?;
        let open = Positions::createAndInitializePoolIfNecessaryCall {
            token0,
            token1,
            fee,
            sqrtPriceX96: U160::saturating_from(sqrt_price),
        };
        self.send("creating a V3 pool", Deed::call(self.from, positions, &open)).await?;
        let get = UniswapV3Factory::getPoolCall { _0: token0, _1: token1, _2: fee };
        let found = self.read("finding a V3 pool", factory, &get).await?;
        let expected = uniswap_v3::pool_address(factory, base, quote, plan.fee_pips);
        let address = placed(expected, found)?.into();
        let spacing = UniswapV3Factory::feeAmountTickSpacingCall(fee);
        let tick_spacing = self.read("reading the grid", factory, &spacing).await?.as_i32();
        let tick = tick_at(sqrt_price)?;
        for band in &plan.bands {
            let range = reach(band.reach, tick, tick_spacing)?;
            let most = most_of(band, start, base_decimals, frame.base())?;
            let mint = calls::mint(&MintOrder {
                token0,
                token1,
                fee_pips: plan.fee_pips,
                lower: range.lower(),
                upper: range.upper(),
                amount0_desired: most.amount0,
                amount1_desired: most.amount1,
                amount0_min: U256::ZERO,
                amount1_min: U256::ZERO,
                recipient: self.from,
                deadline: NO_DEADLINE,
            })?;
            let mint = Deed::with_input(self.from, positions, mint);
            self.send("adding V3 liquidity", mint).await?;
        }
        Ok(PoolSite { address, dex, fee_pips: plan.fee_pips, tick_spacing, token0, token1 })
    }

    pub(crate) async fn v2_pair(
        &self,
        contracts: &Contracts,
        dex: Dex,
    ) -> Result<PoolSite, DeployError> {
        let Contracts { weth, usdt, .. } = *contracts;
        let (token0, token1) = sorted(weth, usdt);
        let (factory, router, pair_hash, pooled) = match dex {
            Dex::SushiswapV2 => {
                let hash = self.sushi_pair_hash()?;
                (contracts.sushi_factory, contracts.sushi_router, hash, self.plan.sushi_base)
            }
            Dex::UniswapV2 | Dex::UniswapV3 | Dex::SushiswapV3 | Dex::UniswapV4 => {
                let hash = uniswap_v2::PAIR_INIT_CODE_HASH;
                (contracts.v2_factory, contracts.v2_router, hash, self.plan.v2_base)
            }
        };
        let (base, quote) = (base_raw(pooled)?, quote_raw(self.value(pooled)?)?);
        let add = UniswapV2Router02::addLiquidityCall {
            tokenA: weth,
            tokenB: usdt,
            amountADesired: base,
            amountBDesired: quote,
            amountAMin: U256::ZERO,
            amountBMin: U256::ZERO,
            to: self.from,
            deadline: NO_DEADLINE,
        };
        self.send("adding V2 liquidity", Deed::call(self.from, router, &add)).await?;
        let get = UniswapV2Factory::getPairCall { _0: weth, _1: usdt };
        let found = self.read("finding a V2 pair", factory, &get).await?;
        let expected = uniswap_v2::pair_address(factory, pair_hash, weth, usdt);
        let address = placed(expected, found)?.into();
        Ok(PoolSite { address, dex, fee_pips: V2_FEE_PIPS, tick_spacing: 1, token0, token1 })
    }

    pub(crate) async fn v4_pool(
        &self,
        contracts: &Contracts,
        plan: &V4Plan,
    ) -> Result<PoolSite, DeployError> {
        let V4Plan { fee_pips, tick_spacing, protocol_fee_pips, .. } = *plan;
        let base = match plan.ether {
            Ether::Native => NATIVE,
            Ether::Wrapped => contracts.weth,
        };
        let (token0, token1) = sorted(base, contracts.usdt);
        let hooks = Address::ZERO;
        let key = PoolKey { currency0: token0, currency1: token1, fee_pips, tick_spacing, hooks };
        let (start, frame) = (self.plan.price, frame(base, contracts.usdt)?);
        let sqrt_price = frame.sqrt_price_x96(start, Rounding::Down)?;
        let tell = |input| Deed::with_input(self.from, contracts.v4.pool_manager, input);
        let open = v4::initialize(&key, sqrt_price)?;
        self.send("opening a V4 pool", tell(open)).await?;
        if protocol_fee_pips != [0, 0] {
            let set = v4::set_protocol_fee(&key, protocol_fee_pips)?;
            self.send("setting the protocol fee of a V4 pool", tell(set)).await?;
        }
        let tick = tick_at(sqrt_price)?;
        for band in &plan.bands {
            let range = reach(band.reach, tick, tick_spacing)?;
            let most = most_of(band, start, BASE_DECIMALS, frame.base())?;
            let liquidity = liquidity_for_amounts(sqrt_price, range, most)?;
            let add = v4::add_liquidity(&key, range, liquidity)?;
            let value = if token0 == NATIVE { most.amount0 } else { U256::ZERO };
            let add = Deed::with_input(self.from, contracts.v4.liquidity_test, add);
            self.send("adding V4 liquidity", Deed { value, ..add }).await?;
        }
        let (address, dex) = (key.id().into(), Dex::UniswapV4);
        Ok(PoolSite { address, dex, fee_pips, tick_spacing, token0, token1 })
    }
}

/// Factory and position contract.
fn v3_contracts(contracts: &Contracts, dex: Dex) -> (Address, Address) {
    match dex {
        Dex::SushiswapV3 => (contracts.sushi_v3.factory, contracts.sushi_v3.position_manager),
        Dex::UniswapV3 | Dex::UniswapV2 | Dex::SushiswapV2 | Dex::UniswapV4 => {
            (contracts.v3_factory, contracts.position_manager)
        }
    }
}

/// Tokens of a pair, the priced one first.
fn tokens_of(contracts: &Contracts, pair: Pair) -> (Address, Address) {
    match pair {
        Pair::WethUsdt => (contracts.weth, contracts.usdt),
        Pair::WethUsdc => (contracts.weth, contracts.usdc),
        Pair::UsdcUsdt => (contracts.usdc, contracts.usdt),
    }
}

/// The most of each token that a position takes.
fn most_of(
    band: &Band,
    start: Decimal,
    base_decimals: u8,
    base: Base,
) -> Result<Amounts, DeployError> {
    let too_much = DeployError::Amount(band.base);
    let (Some(worth), Some(in_base)) =
        (band.base.checked_mul(start), raw_down(band.base, base_decimals.into()))
    else {
        return Err(too_much);
    };
    let in_quote = quote_raw(worth)?;
    Ok(match base {
        Base::Token0 => Amounts { amount0: in_base, amount1: in_quote },
        Base::Token1 => Amounts { amount0: in_quote, amount1: in_base },
    })
}

fn sorted(a: Address, b: Address) -> (Address, Address) {
    if a < b { (a, b) } else { (b, a) }
}

fn placed(expected: Address, found: Address) -> Result<Address, DeployError> {
    if found == expected { Ok(found) } else { Err(DeployError::Misplaced { expected, found }) }
}

fn tier(fee_pips: u32) -> Result<U24, DeployError> {
    U24::try_from(fee_pips).map_err(|_| DeployError::Tier(fee_pips))
}

/// A position around `tick`, on the pool's grid and inside its ends.
fn reach(reach: Reach, tick: i32, spacing: i32) -> Result<TickRange, AmmError> {
    let (first, last) = (align_up(MIN_TICK, spacing)?, align_down(MAX_TICK, spacing)?);
    let ticks = match reach {
        Reach::Full => return TickRange::new(first, last, spacing),
        Reach::Ticks(ticks) => ticks,
    };
    let lower = align_down(tick.saturating_sub(ticks).max(first), spacing)?;
    let upper = align_up(tick.saturating_add(ticks).min(last), spacing)?;
    TickRange::new(lower, upper, spacing)
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;

    #[test]
    fn reach_is_on_the_grid_and_inside_the_ends() {
        let ends = |of, tick, spacing| {
            let range = reach(of, tick, spacing).unwrap();
            (range.lower(), range.upper())
        };
        assert_eq!(ends(Reach::Ticks(1_000), -197_003, 10), (-198_010, -196_000));
        assert_eq!(ends(Reach::Full, 0, 60), (-887_220, 887_220));
        assert_eq!(ends(Reach::Ticks(i32::MAX), 5, 60), (-887_220, 887_220));
    }

    #[test]
    fn a_band_takes_as_much_value_of_either_token() {
        let band = Band { reach: Reach::Full, base: dec!(1.5) };
        let (ether, dollars) =
            (U256::from(1_500_000_000_000_000_000_u64), U256::from(3_000_000_000_u64));
        let first = most_of(&band, dec!(2000), 18, Base::Token0).unwrap();
        assert_eq!(first, Amounts { amount0: ether, amount1: dollars });
        let second = most_of(&band, dec!(2000), 18, Base::Token1).unwrap();
        assert_eq!(second, Amounts { amount0: dollars, amount1: ether });
        let absurd = Band { base: Decimal::MAX, ..band };
        let refused = most_of(&absurd, dec!(2000), 18, Base::Token0);
        assert!(matches!(refused, Err(DeployError::Amount(_))));
    }

    #[test]
    fn pool_elsewhere_is_refused() {
        let [here, there] = [1, 2].map(Address::with_last_byte);
        assert!(placed(here, here).is_ok());
        assert!(matches!(placed(here, there), Err(DeployError::Misplaced { .. })));
    }

    #[test]
    fn impossible_fee_is_an_error() {
        assert!(matches!(tier(1 << 24), Err(DeployError::Tier(_))));
    }
}
