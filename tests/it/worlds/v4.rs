//! Uniswap V4 and SushiSwap V3 on the demo's chain: swaps move price and purse as they should, the
//! protocol takes its part, and the arbitrageur keeps the pools at the book.

use alloy::primitives::aliases::U24;
use alloy::primitives::{Address, U256};
use anyhow::{Context, Result, ensure};
use rust_decimal::{Decimal, dec};
use tidekeeper::venues::erc20::Erc20;
use tidekeeper::world::arbitrageur::{self, Arbitrageur, ArbitrageurPlan};
use tidekeeper::world::chain;
use tidekeeper::world::manifest::{Dex, PoolSite};
use tidekeeper::world::plan::{V4Plan, WorldPlan};
use tidekeeper::world::price::Given;
use tidekeeper::world::trade::{self, Purse, Trade};
use tidekeeper::world::v4::abi::StateView;
use tidekeeper::world::v4::{self, NATIVE};
use tokio::sync::watch;

use super::chain::{ETHER, Ground, START, STOP_LIMIT, quoting_exchange};

/// The mid of the exchange that knows one price.
const BOOK: Decimal = dec!(2700.05);
/// Pools that the arbitrageur ties: the deepest, SushiSwap's of V3 and two of V4.
const N_TIED: u64 = 4;
/// Blocks within which it has done so, on a slow machine.
const TIED_WITHIN: u64 = 12;
/// A swap of one ether or of about its worth costs less than this: fees and the way of the price.
const COST_MAX: Decimal = dec!(0.02);

fn pools_of(ground: &Ground, wanted: &[Dex]) -> Vec<PoolSite> {
    ground.site.pools.iter().filter(|pool| wanted.contains(&pool.dex)).copied().collect()
}

/// Ether, wrapped or native as the pool has it, and dollars of an account, raw.
async fn purse(ground: &Ground, pool: &PoolSite, of: Address) -> Result<[U256; 2]> {
    let (provider, weth) = (&ground.provider, ground.site.contracts.weth);
    let (ether, dollar) = pool.ether_and_other(weth).context("no ether")?;
    let held = Erc20::balanceOfCall(of);
    let ether: U256 = if ether == NATIVE {
        chain::raw(provider, "eth_getBalance", (of, "latest")).await?
    } else {
        chain::call(provider, ether, &held).await?
    };
    Ok([ether, chain::call(provider, dollar, &held).await?])
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_move_price_and_purse_in_v4_and_in_sushiswap_v3() -> Result<()> {
    let ground = Ground::new("v4_swaps").await?;
    let from = *ground.site.accounts.traders.first().context("no trader")?;
    let pools = pools_of(&ground, &[Dex::SushiswapV3, Dex::UniswapV4]);
    assert_eq!(pools.len(), 3);
    for pool in pools {
        for given in [Given::Base, Given::Quote] {
            let amount = match given {
                Given::Base => U256::from(ETHER),
                Given::Quote => U256::from(2_683_000_000_u64),
            };
            let order = Trade { pool, from, given, amount, sqrt_price_limit_x96: U256::ZERO };
            let done = swap(&ground, order).await;
            done.with_context(|| format!("{:?} {given:?}", pool.dex))?;
        }
    }
    Ok(())
}

async fn swap(ground: &Ground, swap: Trade) -> Result<()> {
    let (provider, c) = (&ground.provider, &ground.site.contracts);
    let before = trade::look(provider, c, &swap.pool).await?;
    let [ether, dollars] = purse(ground, &swap.pool, swap.from).await?;
    assert_eq!(trade::provide(provider, c, &swap).await?, Purse::Full);
    let receipt = chain::send(provider, &trade::deed(c, &swap)?).await?;
    let after = trade::look(provider, c, &swap.pool).await?;
    let [mut ether_now, dollars_now] = purse(ground, &swap.pool, swap.from).await?;
    if swap.pool.token0 == NATIVE {
        let gas = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
        ether_now += gas;
    }
    let (given, taken, fair) = match swap.given {
        Given::Base => (ether - ether_now, dollars_now - dollars, dec!(2683000000)),
        Given::Quote => (dollars - dollars_now, ether_now - ether, dec!(1000000000000000000)),
    };
    assert_eq!(given, swap.amount);
    let cost = Decimal::ONE - Decimal::from(taken.saturating_to::<u128>()) / fair;
    ensure!(cost.abs() < COST_MAX, "{taken} taken: {cost} is lost");
    let falls = after.price < before.price;
    ensure!(falls == (swap.given == Given::Base), "{} to {}", before.price, after.price);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn v4_pools_have_the_fees_of_the_plan_and_one_the_protocols_too() -> Result<()> {
    let ground = Ground::new("v4_fees").await?;
    let plans = WorldPlan::demo(START).v4_pools;
    let pools = pools_of(&ground, &[Dex::UniswapV4]);
    assert_eq!(pools.len(), plans.len());
    for (pool, plan) in pools.iter().zip(&plans) {
        let ask = StateView::getSlot0Call { poolId: v4::key(pool).id() };
        let view = ground.site.contracts.v4.state_view;
        let slot = chain::call(&ground.provider, view, &ask).await?;
        let [one, other] = plan.protocol_fee_pips;
        assert_eq!(slot.protocolFee, U24::from(one | (other << 12)));
        assert_eq!(slot.lpFee, U24::from(plan.fee_pips));
    }
    let takes = |plan: &V4Plan| plan.protocol_fee_pips != [0, 0];
    ensure!(plans.iter().any(takes), "the protocol takes nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arbitrageur_brings_the_tied_pools_to_the_book_and_leaves_the_others() -> Result<()> {
    let ground = Ground::new("v4_tied").await?;
    let exchange_http = quoting_exchange().await?;
    let plan =
        ArbitrageurPlan { exchange_http, symbol: "ETHUSDT".into(), margin_bps: Decimal::ONE };
    let arbitrageur = Arbitrageur::new(ground.provider.clone(), &ground.site, plan)?;
    let counters = arbitrageur.counters();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(arbitrageur::run(arbitrageur, stopped));
    let (first, mut head) = (ground.site.block, ground.site.block);
    while counters.tally().filled < N_TIED && head < first + TIED_WITHIN {
        head = chain::next_head(&ground.provider, head).await?.number;
    }
    stop.send(true)?;
    tokio::time::timeout(STOP_LIMIT, task).await.context("it does not stop")??;
    let tally = counters.tally();
    ensure!(tally.filled == N_TIED && tally.late == 0 && tally.failed == 0, "{tally:?}");
    for pool in &ground.site.pools {
        let c = &ground.site.contracts;
        if pool.ether_and_other(c.weth).is_none() {
            continue;
        }
        let is_tied = match pool.dex {
            Dex::SushiswapV3 | Dex::UniswapV4 => true,
            Dex::UniswapV3 => pool.fee_pips == 100,
            Dex::UniswapV2 | Dex::SushiswapV2 => false,
        };
        let price = trade::look(&ground.provider, c, pool).await?.price;
        let want = if is_tied { BOOK } else { START };
        ensure!((price - want).abs() < dec!(0.01), "{:?} at {price}", pool.dex);
    }
    Ok(())
}
