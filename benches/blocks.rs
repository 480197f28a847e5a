//! A block of 500 swaps over 10,000 V3 pools: followed by ours, executed by revm. And logs decoded
//! by ours and by alloy's generated decoder, what a pool of 1,500 ticks weighs in memory, and the
//! same blocks through the whole engine.
//!
//! `cargo bench --bench blocks`, after set-up. All pools begin alike: fee 0.3 %, spacing 60, tick
//! -30, one position over everything and 20 nested ones. Ours follows decoded logs, found by the
//! pool's address in an ordered map as in the engine, in blocks that never repeat before all pools
//! are made anew, so that no pool stays warm for long. revm executes the same orders in the same
//! order, but only those of the first 100 pools, which is to its advantage: it calls the pool
//! itself, and two transfers of plain tokens are all that is traded around it. Nothing is timed
//! before both have come to the same logs. Both times are divided by their numbers of swaps.

mod clock;
#[allow(dead_code, reason = "the lives in tests/it/bytecode use the rest of it")]
#[path = "../tests/it/bytecode/abi.rs"]
mod abi;
#[allow(dead_code, reason = "the lives in tests/it/bytecode use the rest of it")]
#[path = "../tests/it/bytecode/machine.rs"]
mod machine;
#[allow(dead_code, reason = "the lives in tests/it/bytecode use the rest of it")]
#[path = "../tests/it/bytecode/stage.rs"]
mod stage;
#[path = "blocks/engine.rs"]
mod engine;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use alloy::primitives::aliases::{I24, U24};
use alloy::primitives::{Address, I256, Log, U160, U256, keccak256};
use alloy::sol_types::{SolCall, SolEventInterface};
use anyhow::{Context, Result, bail, ensure};
use criterion::{Bencher, Criterion, Throughput};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidekeeper::market::pools::v3::{PoolV3, V3Event, V3Snapshot};
use tidekeeper::math::amm::Direction;
use tidekeeper::math::amm::tick::{
    MAX_SQRT_PRICE_X96, MIN_SQRT_PRICE_X96, TickState, Ticks, sqrt_price_at,
};
use tidekeeper::math::amm::v3::{Quote, SwapAmount, SwapOrder};
use tidekeeper::venues::uniswap_v3::abi::UniswapV3Pool::UniswapV3PoolEvents;
use tidekeeper::venues::uniswap_v3::decode_pool_log;

use abi::{Pool, PoolFactory};
use clock::ThreadTime;
use machine::{Machine, Sent};
use stage::{OWNER, Stage, TRADER};

const FEE_PIPS: u32 = 3_000;
const SPACING: i32 = 60;
const START: i32 = -30;
const END: i32 = 887_220;
const WHOLE: u128 = 1_000_000_000_000_000_000_000;
const NESTED: u128 = 100_000_000_000_000_000_000;
const N_NESTED: u16 = 20;

const N_POOLS: usize = 10_000;
const N_LOGS: usize = 500;
const N_BLOCKS: usize = 100;
/// Pools that stand in the EVM too.
const N_SAMPLE: usize = 100;
/// In a hundred swaps, how many are sized to cross a tick.
const CROSSING_PERCENT: u32 = 10;

/// A pool with this many nested positions has 1,500 ticks.
const N_HEAVY: u16 = 750;
/// Ticks to a price 20 % above, and to one 20 % below.
const UP_20_PERCENT: i32 = 1_823;
const DOWN_20_PERCENT: i32 = 2_231;

type Pools = BTreeMap<Address, PoolV3>;
type Block = Vec<(Address, V3Event)>;

/// Bytes that are allocated and not yet free, while it is asked for.
static HELD: AtomicUsize = AtomicUsize::new(0);
static IS_COUNTING: AtomicBool = AtomicBool::new(false);

struct Counting;

// SAFETY: every call goes on to `System` with the caller's own arguments, and what comes back is
// `System`'s. Counting touches two atomics and no memory of the caller.
#[allow(unsafe_code, reason = "only an allocator can count what is allocated")]
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is that of `System`.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IS_COUNTING.load(Ordering::Relaxed) {
            HELD.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's own layout.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is that of `System`.
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if IS_COUNTING.load(Ordering::Relaxed) {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: `place` came from `System.alloc` with this layout, as `alloc` is the only source.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Time and rounds of one contender.
#[derive(Default)]
struct Spent {
    time: Duration,
    rounds: u64,
}

impl Spent {
    /// Seconds of one of `per_round` things; `None` if it did not run.
    fn each_s(&self, per_round: usize) -> Option<f64> {
        let n = self.rounds.checked_mul(u64::try_from(per_round).ok()?)?;
        let n = f64::from(u32::try_from(n).ok().filter(|n| *n > 0)?);
        Some(self.time.as_secs_f64() / n)
    }

    /// Times a routine that times itself; what it does between is not counted.
    fn bench(
        &mut self,
        bencher: &mut Bencher<'_, ThreadTime>,
        mut routine: impl FnMut() -> Duration,
    ) {
        bencher.iter_custom(|rounds| {
            let time: Duration = (0..rounds).map(|_| routine()).sum();
            self.time += time;
            self.rounds += rounds;
            time
        });
    }
}

fn compare(what: &str, ours: Option<f64>, theirs: Option<f64>, yardstick: &str) {
    if let (Some(ours), Some(theirs)) = (ours, theirs) {
        let (ours, theirs, ratio) = (ours * 1e9, theirs * 1e9, theirs / ours);
        println!("{what}: ours {ours:.0} ns, {yardstick} {theirs:.0} ns, {ratio:.1} times as fast");
    }
}

/// Half widths and liquidity of the positions of a pool.
fn positions(is_whole: bool, n_nested: u16) -> Vec<(i32, u128)> {
    let nested = (1..=n_nested).map(|step| (SPACING * i32::from(step), NESTED));
    is_whole.then_some((END, WHOLE)).into_iter().chain(nested).collect()
}

fn pool_of(positions: &[(i32, u128)]) -> Result<PoolV3> {
    let mut ticks = Ticks::new();
    for &(half, liquidity) in positions {
        let net = i128::try_from(liquidity)?;
        for (tick, net) in [(-half, net), (half, -net)] {
            let state: &mut TickState = ticks.entry(tick).or_default();
            state.gross += liquidity;
            state.net += net;
        }
    }
    Ok(PoolV3::from_snapshot(V3Snapshot {
        sqrt_price_x96: sqrt_price_at(START)?,
        tick: START,
        liquidity: positions.iter().map(|(_, liquidity)| liquidity).sum(),
        ticks: ticks.into_iter().collect(),
        ..V3Snapshot::unopened(FEE_PIPS, SPACING, 0)
    })?)
}

fn order(direction: Direction, amount: U256) -> SwapOrder {
    SwapOrder { direction, amount: SwapAmount::ExactIn(amount), sqrt_limit_x96: None }
}

/// What it takes to come to a tick.
fn amount_to(pool: &PoolV3, direction: Direction, tick: i32) -> Result<U256> {
    let sqrt_limit_x96 = Some(sqrt_price_at(tick)?);
    let limited = SwapOrder { sqrt_limit_x96, ..order(direction, U256::from(u128::MAX)) };
    Ok(pool.walk(&limited)?.amount_in)
}

/// Fills the pool's tables 20 % to both sides, as an agent's quotes do.
fn quote_around(pool: &PoolV3) -> Result<()> {
    for (direction, tick) in [
        (Direction::ZeroForOne, START - DOWN_20_PERCENT),
        (Direction::OneForZero, START + UP_20_PERCENT),
    ] {
        pool.quote(&order(direction, amount_to(pool, direction, tick)?))?;
    }
    Ok(())
}

/// The blocks, and the orders that the sample's pools saw in them.
struct Market {
    start: Pools,
    blocks: Vec<Block>,
    /// Place of the pool in the sample, what was asked of it, and what its log must say.
    asked: Vec<(usize, SwapOrder, V3Event)>,
}

/// Back to where it began, so that no pool runs dry.
fn drawn_order(rng: &mut StdRng, pool: &PoolV3) -> SwapOrder {
    let direction = if pool.tick() < START { Direction::OneForZero } else { Direction::ZeroForOne };
    let amount = if rng.random_range(0..100) < CROSSING_PERCENT {
        rng.random_range(10_000_000_000_000_000_000..30_000_000_000_000_000_000u128)
    } else {
        rng.random_range(1_000_000_000_000_000..100_000_000_000_000_000u128)
    };
    order(direction, U256::from(amount))
}

fn event_of(quote: &Quote) -> V3Event {
    let (amount0, amount1) = quote.deltas();
    V3Event::Swap {
        amount0,
        amount1,
        sqrt_price_x96: quote.sqrt_price_x96,
        liquidity: quote.liquidity,
        tick: quote.tick,
    }
}

fn market() -> Result<Market> {
    let template = pool_of(&positions(true, N_NESTED))?;
    quote_around(&template)?;
    let address = |index: usize| Address::from_word(keccak256(index.to_be_bytes()));
    let start: Pools = (0..N_POOLS).map(|index| (address(index), template.clone())).collect();
    let (mut pools, mut rng) = (start.clone(), StdRng::seed_from_u64(4));
    let (mut blocks, mut asked, mut n_crossing) = (Vec::new(), Vec::new(), 0usize);
    for _ in 0..N_BLOCKS {
        let mut block = Block::new();
        for _ in 0..N_LOGS {
            let index = rng.random_range(0..N_POOLS);
            let pool = pools.get_mut(&address(index)).context("a pool")?;
            let order = drawn_order(&mut rng, pool);
            let (quote, before) = (pool.quote(&order)?, pool.tick());
            let event = event_of(&quote);
            pool.apply(&event).map(drop)?;
            let (low, high) = (before.min(quote.tick), before.max(quote.tick));
            let mut near = pool.ticks().range(low..=high);
            n_crossing += usize::from(near.any(|(tick, _)| *tick > low));
            block.push((address(index), event));
            if index < N_SAMPLE {
                asked.push((index, order, event));
            }
        }
        blocks.push(block);
    }
    let n_logs = N_BLOCKS * N_LOGS;
    println!("{n_logs} swaps in {N_BLOCKS} blocks, {n_crossing} of them cross ticks");
    ensure!((n_logs / 20..n_logs / 5).contains(&n_crossing), "about a tenth should cross");
    Ok(Market { start, blocks, asked })
}

/// The sample's pools in an EVM, and the calls that trade in them.
struct Evm {
    machine: Machine,
    calls: Vec<(Address, Pool::swapCall)>,
}

fn int24(tick: i32) -> Result<I24> {
    Ok(I24::try_from(tick)?)
}

fn evm(market: &Market) -> Result<Evm> {
    let mut stage = Stage::build()?;
    let [token_a, token_b] = stage.tokens;
    let (fee, data) = (U24::from(FEE_PIPS), stage.payment());
    let mut pools = Vec::new();
    for _ in 0..N_SAMPLE {
        // A factory makes one pool of two tokens and a fee.
        let factory = stage.create("UniswapV3Factory", &[])?;
        let create = PoolFactory::createPoolCall { tokenA: token_a, tokenB: token_b, fee };
        let created = stage.machine.must(OWNER, factory, &create)?;
        let pool = PoolFactory::createPoolCall::abi_decode_returns(&created.output)?;
        let price = U160::saturating_from(sqrt_price_at(START)?);
        stage.machine.must(OWNER, pool, &Pool::initializeCall { sqrtPriceX96: price })?;
        for (half, amount) in positions(true, N_NESTED) {
            let mint = Pool::mintCall {
                recipient: TRADER,
                tickLower: int24(-half)?,
                tickUpper: int24(half)?,
                amount,
                data: data.clone(),
            };
            stage.machine.must(TRADER, pool, &mint)?;
        }
        pools.push(pool);
    }
    let call = |(index, order, _): &(usize, SwapOrder, V3Event)| {
        let is_down = order.direction == Direction::ZeroForOne;
        let limit =
            if is_down { MIN_SQRT_PRICE_X96 + U256::ONE } else { MAX_SQRT_PRICE_X96 - U256::ONE };
        let call = Pool::swapCall {
            recipient: TRADER,
            zeroForOne: is_down,
            amountSpecified: I256::from_raw(order.amount.raw()),
            sqrtPriceLimitX96: U160::saturating_from(limit),
            data: data.clone(),
        };
        (pools[*index], call)
    };
    let calls = market.asked.iter().map(call).collect();
    Ok(Evm { machine: stage.machine, calls })
}

/// The logs of the sample's swaps, which must say what ours foresaw.
fn logs_of(evm: &Evm, market: &Market) -> Result<Vec<Log>> {
    let (mut machine, mut logs) = (evm.machine.fork(), Vec::new());
    for ((pool, call), (_, _, event)) in evm.calls.iter().zip(&market.asked) {
        let done = machine.must(TRADER, *pool, call)?;
        let log = done.logs.into_iter().find(|log| log.address == *pool).context("no log")?;
        let decoded = decode_pool_log(&log)?;
        ensure!(decoded == Some(*event), "{decoded:?} happened, {event:?} was foreseen");
        logs.push(log);
    }
    Ok(logs)
}

fn blocks(criterion: &mut Criterion<ThreadTime>, market: &Market, evm: &Evm) -> Result<()> {
    let (mut ours, mut theirs) = (Spent::default(), Spent::default());
    let mut group = criterion.benchmark_group("a block of 500 swaps over 10000 pools");
    group.throughput(Throughput::Elements(u64::try_from(N_LOGS)?));
    let (mut pools, mut next) = (market.start.clone(), 0);
    group.bench_function("ours", |b| {
        ours.bench(b, || {
            if next == market.blocks.len() {
                (pools, next) = (market.start.clone(), 0);
            }
            let block = &market.blocks[next];
            next += 1;
            let begun = ThreadTime::now();
            for (address, event) in block {
                let pool = pools.get_mut(address).expect("all pools are there");
                pool.apply(event).map(drop).expect("a log that fits");
            }
            ThreadTime::now() - begun
        });
    });
    let n_calls = evm.calls.len();
    group.sample_size(10).throughput(Throughput::Elements(u64::try_from(n_calls)?));
    group.bench_function(format!("revm, {n_calls} of the swaps"), |b| {
        theirs.bench(b, || {
            let mut machine = evm.machine.fork();
            let begun = ThreadTime::now();
            for (pool, call) in &evm.calls {
                let sent = machine.send(TRADER, *pool, U256::ZERO, call);
                assert!(matches!(black_box(sent), Ok(Sent::Done(_))), "a swap went through before");
            }
            ThreadTime::now() - begun
        });
    });
    group.finish();
    compare("a swap", ours.each_s(N_LOGS), theirs.each_s(n_calls), "revm");
    Ok(())
}

fn decoding(criterion: &mut Criterion<ThreadTime>, logs: &[Log]) -> Result<()> {
    let (mut ours, mut theirs) = (Spent::default(), Spent::default());
    let mut group = criterion.benchmark_group("decoding swap logs");
    group.throughput(Throughput::Elements(u64::try_from(logs.len())?));
    group.bench_function("alloy's generated decoder", |b| {
        theirs.bench(b, || {
            let begun = ThreadTime::now();
            for log in logs {
                let decoded = UniswapV3PoolEvents::decode_log(black_box(log));
                black_box(decoded).expect("a log of the pool");
            }
            ThreadTime::now() - begun
        });
    });
    group.bench_function("ours", |b| {
        ours.bench(b, || {
            let begun = ThreadTime::now();
            for log in logs {
                black_box(decode_pool_log(black_box(log))).expect("a log of the pool");
            }
            ThreadTime::now() - begun
        });
    });
    group.finish();
    compare("a log", ours.each_s(logs.len()), theirs.each_s(logs.len()), "alloy");
    Ok(())
}

/// What a pool of 1,500 ticks weighs: its state, its tables 20 % around the price, and all tables.
fn weigh() -> Result<()> {
    let positions = positions(false, N_HEAVY);
    IS_COUNTING.store(true, Ordering::Relaxed);
    let before = HELD.load(Ordering::Relaxed);
    let held = || HELD.load(Ordering::Relaxed).wrapping_sub(before).div_ceil(1_024);
    let pool = Box::new(pool_of(&positions)?);
    let state = held();
    quote_around(&pool)?;
    let around = held();
    for direction in [Direction::ZeroForOne, Direction::OneForZero] {
        pool.quote(&order(direction, U256::from(u128::MAX)))?;
    }
    let whole = held();
    IS_COUNTING.store(false, Ordering::Relaxed);
    let n_ticks = pool.ticks().len();
    println!(
        "a pool of {n_ticks} ticks: state {state} KiB, with tables 20 % to both sides {around} KiB \
         (at most 400 are allowed), with all tables {whole} KiB"
    );
    if around > 400 {
        bail!("a pool weighs too much");
    }
    Ok(())
}

fn main() -> Result<()> {
    weigh()?;
    let mut criterion = Criterion::default().with_measurement(ThreadTime).configure_from_args();
    let market = market()?;
    let evm = evm(&market)?;
    let logs = logs_of(&evm, &market)?;
    blocks(&mut criterion, &market, &evm)?;
    engine::engine(&mut criterion, &market)?;
    decoding(&mut criterion, &logs)?;
    criterion.final_summary();
    Ok(())
}
