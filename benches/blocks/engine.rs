//! The same blocks through the engine: told as facts, with one strategy that provides liquidity in
//! one of the pools, and the document that people are shown.

use std::hint::black_box;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use anyhow::{Context, Result, ensure};
use criterion::{Criterion, Throughput};
use rust_decimal::dec;
use tidekeeper::engine::Engine;
use tidekeeper::engine::event::{
    Block, Body, ChainStart, Event, Pool, PoolEvent, PoolReading, WalletAudit,
};
use tidekeeper::engine::setup::{
    ChainSetup, Curve, PoolSetup, Setup, StrategyKind, StrategySetup, TokenSetup, VenueSetup,
};
use tidekeeper::model::chain::{BlockRef, Header, PoolAddress};
use tidekeeper::model::intent::PoolId;
use tidekeeper::model::time::Timestamp;
use tidekeeper::risk::gate::Limits;
use tidekeeper::strategy::liquidity;

use super::clock::ThreadTime;
use super::{FEE_PIPS, Market, N_LOGS, N_POOLS, SPACING, Spent};

const CHAIN: u64 = 31_337;
const BASE: Address = Address::with_last_byte(1);
const QUOTE: Address = Address::with_last_byte(2);
const SIGNER: Address = Address::with_last_byte(3);
const BLOCK_MS: i64 = 1_000;

fn chain(market: &Market) -> ChainSetup {
    let token = |address, symbol: &str, decimals, asset: &str| TokenSetup {
        address,
        symbol: symbol.into(),
        decimals,
        asset: asset.into(),
    };
    let pool = |address: &Address| PoolSetup {
        address: PoolAddress::from(*address),
        manager: None,
        key: None,
        dex: "uniswap_v3".into(),
        curve: Curve::V3,
        executor_dex: None,
        pair: "WETH/USDT".into(),
        fee_pips: FEE_PIPS,
        tick_spacing: SPACING,
        token0: BASE,
        token1: QUOTE,
        base_is_token0: true,
    };
    ChainSetup {
        chain: CHAIN,
        name: "bench".into(),
        native: "ETH".into(),
        signer: SIGNER,
        position_manager: Address::with_last_byte(4),
        router: None,
        executor: None,
        tokens: vec![token(BASE, "WETH", 18, "ETH"), token(QUOTE, "USDT", 6, "USDT")],
        pools: market.start.keys().map(pool).collect(),
        stale_after_ms: 5 * BLOCK_MS,
        block_time_ms: BLOCK_MS,
        max_fee: 1,
        max_priority_fee: 1,
        final_after_blocks: 64,
        min_native: U256::ZERO,
        exit_reserve: U256::ZERO,
    }
}

fn setup(market: &Market) -> Result<Setup> {
    let first = *market.start.keys().next().context("a pool")?;
    let parameters = liquidity::Parameters {
        strategy: "lp".into(),
        pool: PoolId { chain: CHAIN, address: first.into() },
        budget: dec!(0),
        half_width_pct: dec!(2),
        horizon_h: dec!(24),
        min_gain_over_cost: dec!(1),
        min_dwell_ms: 10_000,
        moves_per_day_max: 10,
        max_slippage_bps: 30,
        max_pool_vs_reference_bps: 40,
    };
    let strategy = StrategySetup {
        id: "lp".into(),
        version: 1,
        sends: true,
        budget: dec!(0),
        kind: StrategyKind::Liquidity(parameters),
    };
    let spot = VenueSetup {
        name: "spot".into(),
        kind: "binance_spot".into(),
        symbols: vec!["ETHUSDT".into()],
        is_perpetual: false,
    };
    Ok(Setup {
        keeper: "bench".into(),
        mode: "observe".into(),
        sends: false,
        numeraire: "USDT".into(),
        base_asset: "ETH".into(),
        reference: ("spot".into(), "ETHUSDT".into()),
        chains: vec![chain(market)],
        venues: vec![spot],
        strategies: vec![strategy],
        hedges: Vec::new(),
        limits: Limits {
            gross_exposure: dec!(1),
            net_delta: dec!(1),
            venue_exposure: dec!(1),
            daily_loss: dec!(1),
            gas_budget_per_day: dec!(1),
        },
        book_age_max_ms: 3_000,
        labels: Vec::new(),
    })
}

/// An engine, and the facts it was told so far.
struct House {
    engine: Engine,
    seq: u64,
    head: Header,
}

impl House {
    /// All pools are read, and a block later a second time.
    fn open(market: &Market) -> Result<Self> {
        let engine = Engine::new(setup(market)?, Timestamp::from_ms(0));
        let block = BlockRef { chain: CHAIN, number: 0, hash: hash(0) };
        let head = Header { block, parent: B256::ZERO, time: Timestamp::from_ms(0), base_fee: 1 };
        let mut house = Self { engine, seq: 0, head };
        house.tell(Body::Started(Box::default()));
        let pools = market.start.iter();
        let pools: Vec<(PoolAddress, Pool)> =
            pools.map(|(at, pool)| ((*at).into(), Pool::V3(Box::new(pool.clone())))).collect();
        let (native, tokens, positions) = (U256::ZERO, Vec::new(), Vec::new());
        let wallet = WalletAudit { block, native, tokens, positions, allowances: Vec::new() };
        let start = ChainStart { header: head, pools: pools.clone(), wallet, signer_nonce: 0 };
        house.tell(Body::ChainReady(Box::new(start)));
        let next = house.next(Vec::new());
        house.tell(next);
        let block = house.head.block;
        for (pool, state) in pools {
            house.tell(Body::PoolReading(Box::new(PoolReading { pool, block, state })));
        }
        let row = house.engine.snapshot(house.now()).chains.remove(0);
        ensure!(row.pools_live == N_POOLS, "{} of the pools are live", row.pools_live);
        Ok(house)
    }

    fn now(&self) -> Timestamp {
        self.head.time
    }

    /// The next block, with these logs.
    fn next(&mut self, pool_logs: Vec<(PoolAddress, PoolEvent)>) -> Body {
        let (parent, number) = (self.head.block.hash, self.head.block.number + 1);
        let block = BlockRef { chain: CHAIN, number, hash: hash(number) };
        self.head = Header { block, parent, time: self.now().plus_ms(BLOCK_MS), base_fee: 1 };
        Body::Block(Box::new(Block {
            header: self.head,
            pool_logs,
            receipts: Vec::new(),
            foreign_transfers: Vec::new(),
            signer_nonce: Some(0),
        }))
    }

    /// Tells one fact; how long it took to take it in.
    fn tell(&mut self, body: Body) -> Duration {
        self.seq += 1;
        let event = Event { seq: self.seq, at: self.now(), body };
        let begun = ThreadTime::now();
        black_box(self.engine.handle(event));
        ThreadTime::now() - begun
    }
}

fn hash(number: u64) -> B256 {
    B256::from(U256::from(number + 1))
}

/// Blocks as facts, and the document.
pub(super) fn engine(criterion: &mut Criterion<ThreadTime>, market: &Market) -> Result<()> {
    let (mut house, mut next) = (House::open(market)?, 0);
    let mut spent = Spent::default();
    let mut group = criterion.benchmark_group("the engine, 10000 pools");
    group.throughput(Throughput::Elements(u64::try_from(N_LOGS)?));
    group.bench_function("a block of 500 swaps", |b| {
        spent.bench(b, || {
            if next == market.blocks.len() {
                (house, next) = (House::open(market).expect("it opened before"), 0);
            }
            let logs = market.blocks[next].iter();
            let logs = logs.map(|(at, event)| ((*at).into(), PoolEvent::V3(*event))).collect();
            next += 1;
            let body = house.next(logs);
            house.tell(body)
        });
    });
    let row = house.engine.snapshot(house.now()).chains.remove(0);
    ensure!(row.pools_live == N_POOLS && row.pool_events > 0, "a pool lost its logs");
    group.throughput(Throughput::Elements(1));
    group.bench_function("the document for people", |b| {
        Spent::default().bench(b, || {
            let begun = ThreadTime::now();
            black_box(house.engine.snapshot(house.now()));
            ThreadTime::now() - begun
        });
    });
    group.finish();
    if let Some(each_s) = spent.each_s(N_LOGS) {
        println!("the engine takes a swap's log in {:.0} ns", each_s * 1e9);
    }
    Ok(())
}
