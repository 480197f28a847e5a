//! The setup of every story: one chain with one pool, a spot venue that prices and a perpetual that
//! hedges, one strategy.

use alloy::primitives::{Address, U256};
use rust_decimal::{Decimal, dec};

use crate::engine::event::Pool;
use crate::engine::figures::pool_price;
use crate::engine::setup::{
    ChainSetup, Curve, HedgeSetup, PoolSetup, Router, Setup, StrategyKind, StrategySetup,
    TokenSetup, VenueSetup,
};
use crate::market::pools::v2::{PoolV2, V2Observed};
use crate::market::pools::v3::{PoolV3, V3Snapshot};
use crate::math::amm::tick::{TickState, sqrt_price_at};
use crate::math::amm::v2::KeptPart;
use crate::model::chain::PoolAddress;
use crate::model::intent::PoolId;
use crate::model::venue::MarketRules;
use crate::risk::gate::Limits;
use crate::strategy::{arbitrage, cex_dex, hedging, liquidity, market_making};

pub(crate) const CHAIN: u64 = 31_337;
pub(crate) const SIGNER: Address = Address::with_last_byte(0xa1);
pub(crate) const MANAGER: Address = Address::with_last_byte(0xa2);
pub(crate) const ROUTER: Address = Address::with_last_byte(0xa3);
pub(crate) const EXECUTOR: Address = Address::with_last_byte(0xa4);
pub(crate) const WETH: Address = Address::with_last_byte(0x01);
pub(crate) const USDT: Address = Address::with_last_byte(0x02);
/// The pool's contract, which tokens move to and from.
pub(crate) const POOL_AT: Address = Address::with_last_byte(0x0f);
pub(crate) const POOL: PoolAddress = PoolAddress::Contract(POOL_AT);
/// A pair of the same tokens, for cycles.
pub(crate) const PAIR: PoolAddress = PoolAddress::Contract(Address::with_last_byte(0x1f));
pub(crate) const SPOT: &str = "spot";
pub(crate) const HEDGE: &str = "hedge";
pub(crate) const LEGS: &str = "legs";
pub(crate) const SYMBOL: &str = "ETHUSDT";
/// 2683 USDT per ETH, as near as a tick comes.
pub(crate) const TICK: i32 = -197_374;
pub(crate) const STALE_AFTER_MS: i64 = 5_000;
pub(crate) const BLOCK_TIME_MS: i64 = 1_000;
pub(crate) const BOOK_AGE_MAX_MS: i64 = 3_000;
/// Liquidity of others over everything, and more of it near the price.
const WIDE: u128 = 1_000_000_000_000_000_000;
const NARROW: u128 = 500_000_000_000_000_000;

/// The pool as the first block left it.
pub(crate) fn pool() -> PoolV3 {
    let joins =
        |amount: u128| TickState { gross: amount, net: as_net(amount), ..TickState::default() };
    let leaves =
        |amount: u128| TickState { gross: amount, net: -as_net(amount), ..TickState::default() };
    let snapshot = V3Snapshot {
        sqrt_price_x96: sqrt_price_at(TICK).expect("a tick of the grid"),
        tick: TICK,
        liquidity: WIDE + NARROW,
        ticks: vec![
            (-210_000, joins(WIDE)),
            (-198_000, joins(NARROW)),
            (-197_000, leaves(NARROW)),
            (-190_000, leaves(WIDE)),
        ],
        ..V3Snapshot::unopened(500, 10, 100)
    };
    PoolV3::from_snapshot(snapshot).expect("the ticks close")
}

fn as_net(amount: u128) -> i128 {
    i128::try_from(amount).expect("small")
}

/// Quote per base of a pool, on the venues' tick.
pub(crate) fn price_of(pool: &PoolV3) -> Decimal {
    let pool = Pool::V3(Box::new(pool.clone()));
    let chain = chain();
    let setup = chain.pool(POOL).expect("the pool");
    pool_price(&chain, setup, &pool).expect("a price").round_dp(2)
}

fn chain() -> ChainSetup {
    let token = |address, symbol: &str, decimals, asset: &str| TokenSetup {
        address,
        symbol: symbol.into(),
        decimals,
        asset: asset.into(),
    };
    ChainSetup {
        chain: CHAIN,
        name: "local".into(),
        native: "ETH".into(),
        signer: SIGNER,
        position_manager: MANAGER,
        router: Some(Router::SwapRouter(ROUTER)),
        executor: None,
        tokens: vec![token(WETH, "WETH", 18, "ETH"), token(USDT, "USDT", 6, "USDT")],
        pools: vec![PoolSetup {
            address: POOL,
            manager: None,
            key: None,
            dex: "uniswap_v3".into(),
            curve: Curve::V3,
            executor_dex: None,
            pair: "WETH/USDT".into(),
            fee_pips: 500,
            tick_spacing: 10,
            token0: WETH,
            token1: USDT,
            base_is_token0: true,
        }],
        stale_after_ms: STALE_AFTER_MS,
        block_time_ms: BLOCK_TIME_MS,
        max_fee: 50_000_000_000,
        max_priority_fee: 100_000_000,
        final_after_blocks: 5,
        min_native: U256::ZERO,
        exit_reserve: U256::ZERO,
    }
}

fn strategy() -> StrategySetup {
    StrategySetup {
        id: "lp".into(),
        version: 1,
        sends: true,
        budget: dec!(50000),
        kind: StrategyKind::Liquidity(liquidity::Parameters {
            strategy: "lp".into(),
            pool: PoolId { chain: CHAIN, address: POOL },
            budget: dec!(50000),
            half_width_pct: dec!(2),
            horizon_h: dec!(24),
            min_gain_over_cost: dec!(0),
            min_dwell_ms: 10_000,
            moves_per_day_max: 10,
            max_slippage_bps: 30,
            max_pool_vs_reference_bps: 40,
        }),
    }
}

fn hedge() -> HedgeSetup {
    HedgeSetup {
        sends: true,
        chains: vec![CHAIN],
        accounts: Vec::new(),
        parameters: hedging::Parameters {
            strategy: "lp".into(),
            venue: HEDGE.into(),
            symbol: SYMBOL.into(),
            target_delta_fraction: dec!(0),
            band_min: dec!(1000),
            band_max: dec!(5000),
            unhedged_ms_max: 30_000,
        },
    }
}

/// Liquidity and hedge, both live.
pub(crate) fn both() -> Setup {
    let venue = |name: &str, kind: &str, is_perpetual| VenueSetup {
        name: name.into(),
        kind: kind.into(),
        symbols: vec![SYMBOL.into()],
        is_perpetual,
    };
    Setup {
        keeper: "test".into(),
        mode: "demo".into(),
        sends: true,
        numeraire: "USDT".into(),
        base_asset: "ETH".into(),
        reference: (SPOT.into(), SYMBOL.into()),
        chains: vec![chain()],
        venues: vec![venue(SPOT, "binance_spot", false), venue(HEDGE, "binance_usdm", true)],
        strategies: vec![strategy()],
        hedges: vec![hedge()],
        limits: Limits {
            gross_exposure: dec!(1000000),
            net_delta: dec!(10000),
            venue_exposure: dec!(1000000),
            daily_loss: dec!(100000),
            gas_budget_per_day: dec!(1000),
        },
        book_age_max_ms: BOOK_AGE_MAX_MS,
        labels: Vec::new(),
    }
}

/// Only liquidity: the band is wider than any delta.
pub(crate) fn only_liquidity() -> Setup {
    let mut setup = both();
    let hedge = &mut setup.hedges[0].parameters;
    (hedge.band_min, hedge.band_max) = (dec!(1000000000), dec!(1000000000));
    setup
}

/// Only the hedge of what the wallet holds: no budget for liquidity.
pub(crate) fn only_hedge() -> Setup {
    let mut setup = both();
    if let StrategyKind::Liquidity(liquidity) = &mut setup.strategies[0].kind {
        liquidity.budget = dec!(0);
    }
    setup
}

/// Liquidity, its hedge, and cycles between the pool and a pair; blocks stay undoable for long.
pub(crate) fn with_cycles() -> Setup {
    let mut setup = both();
    let chain = &mut setup.chains[0];
    chain.final_after_blocks = 20;
    chain.executor = Some(EXECUTOR);
    chain.pools[0].executor_dex = Some(1);
    chain.pools.push(PoolSetup {
        address: PAIR,
        dex: "uniswap_v2".into(),
        curve: Curve::V2,
        executor_dex: Some(0),
        fee_pips: 3_000,
        tick_spacing: 1,
        ..chain.pools[0].clone()
    });
    setup.strategies.push(StrategySetup {
        id: "cycles".into(),
        version: 1,
        sends: true,
        budget: dec!(100000),
        kind: StrategyKind::Arbitrage(arbitrage::Parameters {
            strategy: "cycles".into(),
            chain: CHAIN,
            legs_max: 3,
            min_net: dec!(0.1),
            budget: dec!(100000),
            slippage_bps: 0,
            gas_per_leg: 90_000,
            gas_base: 60_000,
            start_tokens: vec![USDT],
        }),
    });
    setup
}

/// Only the cycles of that setup: no budget for liquidity, no delta worth a hedge.
pub(crate) fn only_cycles() -> Setup {
    let mut setup = with_cycles();
    if let StrategyKind::Liquidity(liquidity) = &mut setup.strategies[0].kind {
        liquidity.budget = dec!(0);
    }
    let hedge = &mut setup.hedges[0].parameters;
    (hedge.band_min, hedge.band_max) = (dec!(1000000000), dec!(1000000000));
    setup
}

/// Only quotes on the spot book; what they bring is hedged like anything else.
pub(crate) fn only_quotes() -> Setup {
    let mut setup = both();
    if let StrategyKind::Liquidity(liquidity) = &mut setup.strategies[0].kind {
        liquidity.budget = dec!(0);
    }
    setup.hedges[0].accounts = vec!["quotes".into()];
    setup.strategies.push(StrategySetup {
        id: "quotes".into(),
        version: 1,
        sends: true,
        budget: dec!(100000),
        kind: StrategyKind::MarketMaking(market_making::Parameters {
            strategy: "quotes".into(),
            venue: SPOT.into(),
            symbol: SYMBOL.into(),
            budget: dec!(100000),
            quote_quantity: dec!(0.5),
            max_inventory: dec!(2),
            target_inventory: dec!(10),
            gamma: 0.05,
            kappa: 2.0,
            intensity_a: 0.5,
            min_half_spread_bps: dec!(0.5),
            max_half_spread_bps: dec!(20),
            maker_fee_bps: dec!(0),
            ttl_ms: 20_000,
            refresh_bps: dec!(0.4),
            volatility_window_ms: 60_000,
        }),
    });
    setup
}

/// The pool against a spot account of its own; its hedge nets both, in a band as in life.
pub(crate) fn with_legs() -> Setup {
    let mut setup = both();
    if let StrategyKind::Liquidity(liquidity) = &mut setup.strategies[0].kind {
        liquidity.budget = dec!(0);
    }
    setup.chains[0].final_after_blocks = 20;
    setup.venues.push(VenueSetup { name: LEGS.into(), ..setup.venues[0].clone() });
    setup.hedges[0].accounts = vec!["gaps".into()];
    setup.strategies.push(StrategySetup {
        id: "gaps".into(),
        version: 1,
        sends: true,
        budget: dec!(20000),
        kind: StrategyKind::CexDex(cex_dex::Parameters {
            strategy: "gaps".into(),
            chain: CHAIN,
            venue: LEGS.into(),
            symbol: SYMBOL.into(),
            budget: dec!(20000),
            min_net: dec!(1),
            slippage_bps: 1,
            taker_fee_bps: dec!(10),
            target_inventory: dec!(10),
            max_loss_bps: dec!(100),
            unwind_ms: 10_000,
        }),
    });
    setup
}

/// The pair with 300 ETH, priced this many basis points above the pool.
pub(crate) fn pair(above_bps: u128) -> PoolV2 {
    let reserve1 = 300 * 2_683_000_000_u128 / 10_000 * (10_000 + above_bps);
    let reserves = V2Observed { reserve0: 300 * 10_u128.pow(18), reserve1 };
    PoolV2::from_snapshot(reserves, KeptPart::UNISWAP)
}

/// The perpetual's trading rules.
pub(crate) fn rules() -> MarketRules {
    MarketRules { tick: dec!(0.01), lot: dec!(0.001), min_notional: dec!(20) }
}
