//! The demo's chain on a real anvil: contracts where they belong, quotes that come true, logs that
//! are read, a flow and an arbitrageur that move the pools.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::aliases::U24;
use alloy::primitives::{Address, B256, Bytes, Log, U160, U256, b256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::types::Filter;
use anyhow::{Context, Result, bail, ensure};
use axum::{Json, Router, routing::get};
use nix::sys::signal::Signal;
use rust_decimal::{Decimal, dec};
use serde_json::json;
use tidekeeper::market::pools::v2::V2Event;
use tidekeeper::market::pools::v3::V3Event;
use tidekeeper::market::pools::v4::V4Event;
use tidekeeper::model::amount::raw_down;
use tidekeeper::model::chain::PoolAddress;
use tidekeeper::venues::erc20::{self, Transfer, decode_transfer};
use tidekeeper::venues::uniswap_v2::abi::{UniswapV2Factory, UniswapV2Router02};
use tidekeeper::venues::uniswap_v2::{self, PAIR_INIT_CODE_HASH, decode_pair_log, pair_address};
use tidekeeper::venues::uniswap_v3::abi::{
    NonfungiblePositionManager as Positions, QuoterV2, UniswapV3Factory,
};
use tidekeeper::venues::uniswap_v3::calls::{self, EncodeError, ExactInput, MintOrder, Withdrawal};
use tidekeeper::venues::uniswap_v3::{
    PositionEvent, decode_pool_log, decode_position_log, pool_address,
};
use tidekeeper::venues::uniswap_v4::decode_manager_log;
use tidekeeper::world::anvil::AnvilProcess;
use tidekeeper::world::arbitrageur::{self, Arbitrageur, ArbitrageurCounters, ArbitrageurPlan};
use tidekeeper::world::chain::{self, Deed, NO_DEADLINE};
use tidekeeper::world::deploy::{Deployment, deploy};
use tidekeeper::world::flow::{self, Flow, FlowCounters, FlowPlan};
use tidekeeper::world::manifest::{Dex, PoolSite};
use tidekeeper::world::plan::WorldPlan;
use tidekeeper::world::price::BASE_DECIMALS;
use tidekeeper::world::{trade, v4};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::stage;

pub(super) const START: Decimal = dec!(2683);
const CHAIN_ID: u64 = 31_337;
/// Keccak of the code of the pairs that SushiSwap's published factory makes.
const SUSHI_PAIR_HASH: B256 =
    b256!("8a1861e3cef8b973c5cfa3a2fb2e737ecf0ffd9dbf7c0acedd82a54ebeb01c94");
/// One ether, raw.
pub(super) const ETHER: u64 = 1_000_000_000_000_000_000;
/// Ticks to either side of a position made here; a multiple of every grid in use.
const REACH: i32 = 600;
/// An actor that was asked to stop has stopped.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A fresh anvil with the demo's contracts, pools and purses.
pub(super) struct Ground {
    pub(super) provider: DynProvider,
    pub(super) site: Deployment,
    pub(super) anvil: AnvilProcess,
}

impl Ground {
    pub(super) async fn new(name: &str) -> Result<Self> {
        let (anvil, artifacts) = stage::empty_chain(name, CHAIN_ID)?;
        let provider = chain::connect(&anvil.http_url)?;
        let site = deploy(&provider, &artifacts, &WorldPlan::demo(START)).await?;
        Ok(Self { provider, site, anvil })
    }

    /// Sends as the agent's signer; the logs of the receipt.
    async fn send(&self, to: Address, input: Bytes) -> Result<Vec<Log>> {
        let deed = Deed::with_input(self.site.accounts.signer, to, input);
        let receipt = chain::send(&self.provider, &deed).await?;
        Ok(receipt.logs().iter().map(|log| log.inner.clone()).collect())
    }

    async fn allow(&self, spender: Address) -> Result<()> {
        for token in [self.site.contracts.weth, self.site.contracts.usdt] {
            self.send(token, erc20::approve(spender, U256::MAX)).await?;
        }
        Ok(())
    }

    fn v3_pool(&self) -> Result<PoolSite> {
        let pool = self.site.pools.iter().find(|pool| pool.dex == Dex::UniswapV3);
        pool.copied().context("the world has no V3 pool")
    }
}

fn pool_events(logs: &[Log], pool: Address) -> Result<Vec<V3Event>> {
    let ours = logs.iter().filter(|log| log.address == pool);
    Ok(ours.filter_map(|log| decode_pool_log(log).transpose()).collect::<Result<_, _>>()?)
}

fn position_events(logs: &[Log], positions: Address) -> Result<Vec<PositionEvent>> {
    let ours = logs.iter().filter(|log| log.address == positions);
    Ok(ours.filter_map(|log| decode_position_log(log).transpose()).collect::<Result<_, _>>()?)
}

/// The one transfer of a token in a swap's logs.
fn transfer_of(logs: &[Log], token: Address) -> Result<Transfer> {
    let all: Vec<Transfer> =
        logs.iter().filter_map(|log| decode_transfer(log).transpose()).collect::<Result<_, _>>()?;
    let ours: Vec<Transfer> = all.into_iter().filter(|moved| moved.token == token).collect();
    let [only] = ours[..] else { bail!("not one transfer: {ours:?}") };
    Ok(only)
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_stand_where_create2_puts_them_at_the_price_of_the_plan() -> Result<()> {
    let ground = Ground::new("place").await?;
    let (provider, site) = (&ground.provider, &ground.site);
    let (c, plan) = (site.contracts, WorldPlan::demo(START));
    assert_eq!(site.chain_id, CHAIN_ID);
    let n_v3 = plan.v3_pools.len() + plan.sushi_v3_pools.len();
    assert_eq!(site.pools.len(), n_v3 + 2 + plan.v4_pools.len());
    for pool in &site.pools {
        let fee = U24::try_from(pool.fee_pips)?;
        if pool.ether_and_other(c.weth).is_some() {
            let view = trade::look(provider, &c, pool).await?;
            ensure!((view.price - START).abs() < dec!(0.01), "{} at {}", pool.address, view.price);
        }
        let (derived, told) = match pool.dex {
            Dex::UniswapV3 | Dex::SushiswapV3 => {
                let is_sushi = pool.dex == Dex::SushiswapV3;
                let factory = if is_sushi { c.sushi_v3.factory } else { c.v3_factory };
                let (a, b) = (pool.token0, pool.token1);
                let ask = UniswapV3Factory::getPoolCall { _0: a, _1: b, _2: fee };
                let told = chain::call(provider, factory, &ask).await?;
                (pool_address(factory, a, b, pool.fee_pips), told)
            }
            Dex::UniswapV2 => {
                let ask = UniswapV2Factory::getPairCall { _0: c.weth, _1: c.usdt };
                let told = chain::call(provider, c.v2_factory, &ask).await?;
                (pair_address(c.v2_factory, PAIR_INIT_CODE_HASH, c.weth, c.usdt), told)
            }
            Dex::SushiswapV2 => {
                let ask = UniswapV2Factory::getPairCall { _0: c.weth, _1: c.usdt };
                let told = chain::call(provider, c.sushi_factory, &ask).await?;
                (pair_address(c.sushi_factory, SUSHI_PAIR_HASH, c.weth, c.usdt), told)
            }
            // It has no contract, and `look` has found its price under this id.
            Dex::UniswapV4 => {
                assert_eq!(pool.address, PoolAddress::Id(v4::key(pool).id()));
                continue;
            }
        };
        assert_eq!((pool.address, told), (PoolAddress::Contract(derived), derived));
        ensure!(!provider.get_code_at(derived).await?.is_empty(), "no code at {derived}");
    }
    let ether = provider.get_balance(site.accounts.signer).await?;
    assert_eq!(Some(ether), raw_down(plan.agent_ether, BASE_DECIMALS.into()));
    // The descriptor's library is linked: it draws the picture of the deployer's first position.
    let first = Positions::tokenURICall { tokenId: U256::ONE };
    let picture = chain::call(provider, c.position_manager, &first).await?;
    ensure!(picture.starts_with("data:application/json;base64,"), "{picture:.60}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_v3_quote_equals_its_swap_and_too_much_is_refused_before_it_is_sent() -> Result<()> {
    let ground = Ground::new("quote_v3").await?;
    let (c, me) = (ground.site.contracts, ground.site.accounts.signer);
    let pool = ground.v3_pool()?;
    let routers: [(Address, Encode); 2] =
        [(c.swap_router, calls::swap_exact_in), (c.swap_router02, calls::swap_exact_in_02)];
    for (router, encode) in routers {
        ground.allow(router).await?;
        let (swap, sqrt_price_after) = quoted_sale(&ground, &pool).await?;
        let greedy = ExactInput { amount_out_min: swap.amount_out_min + U256::ONE, ..swap };
        let late = ExactInput { deadline: U256::ONE, ..swap };
        for (wrong, why) in [(greedy, "Too little received"), (late, "Transaction too old")] {
            let refused = ground.send(router, encode(&wrong)?).await.err().context(why)?;
            ensure!(format!("{refused:#}").contains(why), "{refused:#}");
        }
        let logs = ground.send(router, encode(&swap)?).await?;
        let paid = transfer_of(&logs, c.usdt)?;
        let address = contract(&pool)?;
        assert_eq!((paid.from, paid.to, paid.amount), (address, me, swap.amount_out_min));
        let events = pool_events(&logs, address)?;
        let [V3Event::Swap { amount0, amount1, sqrt_price_x96, .. }] = events[..] else {
            bail!("not one swap: {events:?}")
        };
        let (given, taken) =
            if pool.token0 == c.weth { (amount0, amount1) } else { (amount1, amount0) };
        let moved = (given.into_raw(), (-taken).into_raw());
        assert_eq!(moved, (U256::from(ETHER), swap.amount_out_min));
        assert_eq!(sqrt_price_x96, sqrt_price_after);
    }
    Ok(())
}

/// Calldata of a swap, by a router's own words.
type Encode = fn(&ExactInput) -> Result<Bytes, EncodeError>;

/// One ether for dollars in a V3 pool, for no less than its quote, and the price it ends at.
async fn quoted_sale(ground: &Ground, pool: &PoolSite) -> Result<(ExactInput, U256)> {
    let c = ground.site.contracts;
    let ask = QuoterV2::quoteExactInputSingleCall {
        params: QuoterV2::QuoteExactInputSingleParams {
            tokenIn: c.weth,
            tokenOut: c.usdt,
            amountIn: U256::from(ETHER),
            fee: U24::try_from(pool.fee_pips)?,
            sqrtPriceLimitX96: U160::ZERO,
        },
    };
    let quote = chain::call(&ground.provider, c.quoter, &ask).await?;
    let swap = ExactInput {
        token_in: c.weth,
        token_out: c.usdt,
        fee_pips: pool.fee_pips,
        recipient: ground.site.accounts.signer,
        deadline: NO_DEADLINE,
        amount_in: U256::from(ETHER),
        amount_out_min: quote.amountOut,
        sqrt_price_limit_x96: U256::ZERO,
    };
    Ok((swap, U256::from(quote.sqrtPriceX96After)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_v2_quote_equals_its_swap_and_its_logs_are_read() -> Result<()> {
    let ground = Ground::new("quote_v2").await?;
    let (c, me) = (ground.site.contracts, ground.site.accounts.signer);
    ground.allow(c.v2_router).await?;
    let ask = UniswapV2Router02::getAmountsOutCall {
        amountIn: U256::from(ETHER),
        path: vec![c.weth, c.usdt],
    };
    let amounts = chain::call(&ground.provider, c.v2_router, &ask).await?;
    let quoted = *amounts.last().context("no quote")?;
    let swap = uniswap_v2::swap_exact_in(&uniswap_v2::ExactInput {
        token_in: c.weth,
        token_out: c.usdt,
        amount_in: U256::from(ETHER),
        amount_out_min: quoted,
        recipient: me,
        deadline: NO_DEADLINE,
    });
    let logs = ground.send(c.v2_router, swap).await?;
    let pair = pair_address(c.v2_factory, PAIR_INIT_CODE_HASH, c.weth, c.usdt);
    let paid = transfer_of(&logs, c.usdt)?;
    assert_eq!((paid.from, paid.to, paid.amount), (pair, me, quoted));
    let ours = logs.iter().filter(|log| log.address == pair);
    let events: Vec<V2Event> =
        ours.filter_map(|log| decode_pair_log(log).transpose()).collect::<Result<_, _>>()?;
    let [V2Event::Sync { .. }, V2Event::Swap { amount0_out, amount1_out, .. }] = events[..] else {
        bail!("not new reserves and a swap: {events:?}")
    };
    assert_eq!(amount0_out + amount1_out, quoted);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_opened_and_withdrawn_and_every_log_is_read() -> Result<()> {
    let ground = Ground::new("position").await?;
    let (c, me) = (ground.site.contracts, ground.site.accounts.signer);
    let pool = ground.v3_pool()?;
    ground.allow(c.position_manager).await?;
    let ether_in_dollars = U256::from(3_000_000_000_u64);
    let is_weth_first = pool.token0 == c.weth;
    let by_order = |weth, usdt| if is_weth_first { (weth, usdt) } else { (usdt, weth) };
    let (amount0_desired, amount1_desired) = by_order(U256::from(ETHER), ether_in_dollars);
    let tick = tick_of(&ground, &pool).await?.div_euclid(REACH) * REACH;
    let mint = calls::mint(&MintOrder {
        token0: pool.token0,
        token1: pool.token1,
        fee_pips: pool.fee_pips,
        lower: tick - REACH,
        upper: tick + 2 * REACH,
        amount0_desired,
        amount1_desired,
        amount0_min: U256::ZERO,
        amount1_min: U256::ZERO,
        recipient: me,
        deadline: NO_DEADLINE,
    })?;
    let logs = ground.send(c.position_manager, mint).await?;
    let events = position_events(&logs, c.position_manager)?;
    let [PositionEvent::Moved { to, .. }, PositionEvent::Increased { token_id, liquidity, .. }] =
        events[..]
    else {
        bail!("not an NFT and its liquidity: {events:?}")
    };
    assert_eq!(to, me);
    let opened = pool_events(&logs, contract(&pool)?)?;
    let wanted = V3Event::Mint { lower: tick - REACH, upper: tick + 2 * REACH, amount: liquidity };
    assert_eq!(opened, [wanted]);

    let withdraw = calls::withdraw(&Withdrawal {
        token_id,
        liquidity,
        amount0_min: U256::ZERO,
        amount1_min: U256::ZERO,
        recipient: me,
        deadline: NO_DEADLINE,
    });
    let logs = ground.send(c.position_manager, withdraw).await?;
    let events = position_events(&logs, c.position_manager)?;
    let [PositionEvent::Decreased { .. }, PositionEvent::Collected { recipient, .. }, ..] =
        events[..]
    else {
        bail!("not withdrawn and paid out: {events:?}")
    };
    assert_eq!(recipient, me);
    let closed = pool_events(&logs, contract(&pool)?)?;
    ensure!(
        closed.iter().any(|e| matches!(e, V3Event::Burn { amount, .. } if *amount == liquidity)),
        "{closed:?}"
    );
    ensure!(closed.iter().any(|e| matches!(e, V3Event::Collect { .. })), "{closed:?}");
    Ok(())
}

async fn tick_of(ground: &Ground, pool: &PoolSite) -> Result<i32> {
    let ask = tidekeeper::venues::uniswap_v3::abi::UniswapV3Pool::slot0Call {};
    Ok(chain::call(&ground.provider, contract(pool)?, &ask).await?.tick.as_i32())
}

fn contract(pool: &PoolSite) -> Result<Address> {
    pool.address.contract().context("the pool has no contract")
}

/// The world's two actors at work.
struct Actors {
    flow: Arc<FlowCounters>,
    arbitrageur: Arc<ArbitrageurCounters>,
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl Actors {
    fn start(ground: &Ground, compression: u64, exchange_http: String) -> Result<Self> {
        let plan = FlowPlan { compression, seed: 1 };
        let flow = Flow::new(ground.provider.clone(), &ground.site, plan)?;
        let plan =
            ArbitrageurPlan { exchange_http, symbol: "ETHUSDT".into(), margin_bps: Decimal::ONE };
        let arbitrageur = Arbitrageur::new(ground.provider.clone(), &ground.site, plan)?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self {
            flow: flow.counters(),
            arbitrageur: arbitrageur.counters(),
            stop,
            tasks: [
                tokio::spawn(flow::run(flow, stopped.clone())),
                tokio::spawn(arbitrageur::run(arbitrageur, stopped)),
            ],
        })
    }

    async fn end(self) -> Result<()> {
        self.stop.send(true)?;
        for task in self.tasks {
            tokio::time::timeout(STOP_LIMIT, task).await.context("an actor does not stop")??;
        }
        Ok(())
    }
}

/// An exchange that knows one price: 2700.05.
pub(super) async fn quoting_exchange() -> Result<String> {
    let ticker = json!({
        "symbol": "ETHUSDT",
        "bidPrice": "2700.00", "bidQty": "1",
        "askPrice": "2700.10", "askQty": "1"
    });
    let routes = Router::new().route("/api/v3/ticker/bookTicker", get(async || Json(ticker)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(format!("http://{address}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_and_arbitrageur_move_the_pools_and_say_how_often() -> Result<()> {
    let ground = Ground::new("actors").await?;
    let actors = Actors::start(&ground, 20, quoting_exchange().await?)?;
    let (flow, arbitrageur) = (actors.flow.clone(), actors.arbitrageur.clone());
    let (first, mut head) = (ground.site.block, ground.site.block);
    while head < first + 20 {
        head = chain::next_head(&ground.provider, head).await?.number;
    }
    actors.end().await?;
    let (flow, arbitrageur) = (flow.tally(), arbitrageur.tally());
    ensure!(flow.filled > 10 && flow.failed == 0, "{flow:?}");
    ensure!(arbitrageur.filled >= 1 && arbitrageur.failed == 0, "{arbitrageur:?}");
    let mut n_swaps = 0;
    for pool in &ground.site.pools {
        n_swaps += count_swaps(&ground, pool).await?;
        let c = &ground.site.contracts;
        if pool.other(c.weth) != Some(c.usdt) || pool.dex != Dex::UniswapV3 || pool.fee_pips > 100 {
            continue;
        }
        let view = trade::look(&ground.provider, c, pool).await?;
        let gap_bps = (view.price / dec!(2700.05) - Decimal::ONE).abs() * dec!(10000);
        ensure!(gap_bps < dec!(60), "{} is {gap_bps} bps off", pool.address);
    }
    ensure!(n_swaps >= flow.filled + arbitrageur.filled, "{n_swaps}: {flow:?} {arbitrageur:?}");
    Ok(())
}

async fn count_swaps(ground: &Ground, pool: &PoolSite) -> Result<u64> {
    let who = pool.address.contract().unwrap_or(ground.site.contracts.v4.pool_manager);
    let wanted = Filter::new().address(who).from_block(ground.site.block + 1);
    let mut n_swaps = 0;
    for log in ground.provider.get_logs(&wanted).await? {
        let is_swap = match pool.dex {
            Dex::UniswapV3 | Dex::SushiswapV3 => {
                matches!(decode_pool_log(&log.inner)?, Some(V3Event::Swap { .. }))
            }
            Dex::UniswapV2 | Dex::SushiswapV2 => {
                matches!(decode_pair_log(&log.inner)?, Some(V2Event::Swap { .. }))
            }
            Dex::UniswapV4 => match decode_manager_log(&log.inner)? {
                Some((id, V4Event::Swap(_))) => pool.address == PoolAddress::Id(id),
                _ => false,
            },
        };
        n_swaps += u64::from(is_swap);
    }
    Ok(n_swaps)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flow_survives_a_frozen_chain_and_the_arbitrageur_a_missing_exchange() -> Result<()> {
    let ground = Ground::new("frozen").await?;
    let actors = Actors::start(&ground, 60, "http://127.0.0.1:1".to_owned())?;
    let (flow, arbitrageur) = (actors.flow.clone(), actors.arbitrageur.clone());
    tokio::time::sleep(Duration::from_secs(4)).await;
    ground.anvil.signal(Signal::SIGSTOP)?;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let frozen = flow.tally();
    ground.anvil.signal(Signal::SIGCONT)?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let thawed = flow.tally();
    ensure!(thawed.filled > frozen.filled, "{frozen:?}, then {thawed:?}");
    let arbitrageur = arbitrageur.tally();
    ensure!(arbitrageur.blind > 3 && arbitrageur.sent == 0, "{arbitrageur:?}");
    actors.end().await
}
