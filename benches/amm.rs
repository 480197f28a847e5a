//! Time of a quote: uniswap-v3-sdk, our loop, our table; and what the table costs to make.
//!
//! `cargo bench --bench amm`. The V3 pool has a fee of 0.3 % and a spacing of 60 and stands at tick
//! -30: one position over everything and 120 nested ones. The amounts end at the prices of the
//! ticks -45, -630 and -6030, and what they buy is what the EVM answers; nothing is timed before
//! all three agree on it.

mod clock;

use std::hint::black_box;

use alloy::primitives::{I256, U160, U256};
use clock::ThreadTime;
use criterion::{BatchSize, Criterion, Throughput};
use futures::FutureExt;
use tidekeeper::math::amm::Direction;
use tidekeeper::math::amm::segments::Segments;
use tidekeeper::math::amm::tick::{Ticks, sqrt_price_at, tick_at};
use tidekeeper::math::amm::v2::{KeptPart, Reserves, amount_out};
use tidekeeper::math::amm::v3::{Curve, SwapAmount, SwapOrder, swap};
use uniswap_v3_sdk::entities::{TickListDataProvider, tick::Tick};
use uniswap_v3_sdk::utils::{swap_math::v3_swap, tick_math::get_tick_at_sqrt_ratio};

const SPACING: i32 = 60;
const FEE_PIPS: u32 = 3_000;
const START: i32 = -30;
const END: i32 = 887_220;
const WHOLE: u128 = 1_000_000_000_000_000_000_000;
const NESTED: u128 = 100_000_000_000_000_000_000;
const N_NESTED: u16 = 120;

/// Token0 given and token1 bought for it.
const ROWS: [(&str, u128, u128); 3] = [
    ("in range", 9_797_200_933_065_381_680, 9_731_250_463_905_237_463),
    ("10 crossings", 382_304_037_202_672_614_945, 368_933_095_917_012_881_642),
    ("100 crossings", 2_723_620_517_902_787_850_219, 2_134_856_514_574_096_205_137),
];

fn ticks() -> Ticks {
    let mut ticks = Ticks::new();
    let mut add = |half: i32, liquidity: u128| {
        let net = i128::try_from(liquidity).expect("small");
        for (tick, net) in [(-half, net), (half, -net)] {
            let state = ticks.entry(tick).or_default();
            state.gross += liquidity;
            state.net += net;
        }
    };
    add(END, WHOLE);
    for step in 1..=N_NESTED {
        add(SPACING * i32::from(step), NESTED);
    }
    ticks
}

fn curve(ticks: &Ticks) -> Curve<'_> {
    Curve {
        fee_pips: FEE_PIPS,
        tick_spacing: SPACING,
        fee_protocol: 0,
        sqrt_price_x96: sqrt_price_at(START).expect("a tick"),
        tick: START,
        liquidity: WHOLE + u128::from(N_NESTED) * NESTED,
        ticks,
    }
}

fn order(amount: u128) -> SwapOrder {
    SwapOrder {
        direction: Direction::ZeroForOne,
        amount: SwapAmount::ExactIn(U256::from(amount)),
        sqrt_limit_x96: None,
    }
}

/// The SDK's swap; its ticks are at hand, so that its future is ready at once.
fn sdk_out(curve: &Curve<'_>, provider: &TickListDataProvider, amount: u128) -> U256 {
    let state = v3_swap(
        curve.fee_pips.try_into().expect("24 bits"),
        curve.sqrt_price_x96.to(),
        curve.tick,
        curve.liquidity,
        curve.tick_spacing,
        provider,
        true,
        I256::from_raw(U256::from(amount)),
        None,
    );
    let state = state.now_or_never().expect("nothing to wait for").expect("a quote");
    state.amount_calculated.unsigned_abs()
}

fn v3_quotes(criterion: &mut Criterion<ThreadTime>) {
    let ticks = ticks();
    let curve = curve(&ticks);
    let list = ticks.iter().map(|(&tick, state)| Tick::new(tick, state.gross, state.net)).collect();
    let provider = TickListDataProvider::new(list, SPACING);
    let table = Segments::default();
    for (name, given, bought) in ROWS {
        let (order, bought) = (order(given), U256::from(bought));
        let looped = swap(&curve, &order).expect("a swap");
        let quote = table.quote(&curve, &order).expect("a quote");
        assert_eq!((looped.amount_out, quote.amount_out), (bought, bought), "{name}");
        assert_eq!(sdk_out(&curve, &provider, given), bought, "{name}");
        assert_eq!((looped.sqrt_price_x96, looped.tick), (quote.sqrt_price_x96, quote.tick));

        let mut group = criterion.benchmark_group(format!("v3 {name}"));
        group.bench_function("uniswap-v3-sdk v3_swap", |b| {
            b.iter(|| sdk_out(black_box(&curve), &provider, black_box(given)));
        });
        group.bench_function("loop", |b| b.iter(|| swap(black_box(&curve), black_box(&order))));
        group.bench_function("table", |b| {
            b.iter(|| table.quote(black_box(&curve), black_box(&order)));
        });
        group.finish();
    }
}

/// Making the table, per segment, and following a trade that crosses nothing.
fn v3_table(criterion: &mut Criterion<ThreadTime>) {
    let ticks = ticks();
    let curve = curve(&ticks);
    let far = order(ROWS[2].1);
    let table = Segments::default();
    let quote = table.quote(&curve, &far).expect("a quote");
    let n_segments = table.tabulated(Direction::ZeroForOne);

    let mut group = criterion.benchmark_group("v3 table");
    for direction in [Direction::ZeroForOne, Direction::OneForZero] {
        let far = SwapOrder { direction, ..far };
        let made = Segments::default();
        made.quote(&curve, &far).expect("a quote");
        let n_segments = made.tabulated(direction);
        group.throughput(Throughput::Elements(u64::try_from(n_segments).expect("few")));
        group.bench_function(format!("made anew {direction:?}, {n_segments} segments"), |b| {
            b.iter(|| Segments::default().quote(black_box(&curve), black_box(&far)));
        });
    }
    group.throughput(Throughput::Elements(1));
    let moved = Curve { sqrt_price_x96: sqrt_price_at(-45).expect("a tick"), tick: -45, ..curve };
    let kept = {
        let mut table = table.clone();
        table.follow(&[]);
        let quote = table.quote(&moved, &far).expect("a quote");
        assert_eq!(table.tabulated(Direction::ZeroForOne), n_segments);
        quote
    };
    assert!(kept.sqrt_price_x96 < quote.sqrt_price_x96);
    group.bench_function("follows a trade in range, then 100 crossings", |b| {
        b.iter_batched_ref(
            || table.clone(),
            |table| {
                table.follow(black_box(&[]));
                table.quote(black_box(&moved), black_box(&far))
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// Prices all over +-200,000 ticks, none of them a tick's own.
fn prices() -> Vec<U256> {
    let mut state = 1_u64;
    let price = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let tick = i32::try_from(state >> 33 & 0x7_ffff).expect("19 bits") % 200_000;
        let tick = if state & 1 == 0 { tick } else { -tick };
        let [at, above] = [tick, tick + 1].map(|tick| sqrt_price_at(tick).expect("a tick"));
        let part = U256::from(1 + (state >> 20) % 997);
        at + (above - at) * part / U256::from(1_000)
    };
    (0..4_096).map(price).collect()
}

fn ticks_of_prices(criterion: &mut Criterion<ThreadTime>) {
    let prices = prices();
    let sdk = |price: U256| get_tick_at_sqrt_ratio(U160::from(price)).expect("a tick").as_i32();
    for &price in &prices {
        assert_eq!(tick_at(price), Ok(sdk(price)));
    }
    let mut group = criterion.benchmark_group("price to tick, 4096 prices");
    group.throughput(Throughput::Elements(4_096));
    group.bench_function("uniswap-v3-sdk", |b| {
        b.iter(|| prices.iter().map(|&price| sdk(black_box(price))).max());
    });
    group.bench_function("ours", |b| {
        b.iter(|| prices.iter().map(|&price| tick_at(black_box(price))).max_by_key(Result::is_ok));
    });
    group.finish();
}

/// Amounts whose product with the reserve fits 128 bits, and ones whose product does not.
fn v2_quotes(criterion: &mut Criterion<ThreadTime>) {
    let plain = |given: U256, reserves: Reserves| {
        let with_fee = given * U256::from(997);
        let denominator = reserves.reserve_in * U256::from(1_000) + with_fee;
        with_fee * reserves.reserve_out / denominator
    };
    let given = U256::from(WHOLE);
    let other_tokens = [3_000_000_000_000, 7_000_000 * WHOLE];
    for (name, reserve_out) in ["6 decimals", "18 decimals"].into_iter().zip(other_tokens) {
        let reserve_in = U256::from(5_000 * WHOLE);
        let reserves = Reserves { reserve_in, reserve_out: U256::from(reserve_out) };
        let checked = amount_out(given, reserves, KeptPart::UNISWAP);
        assert_eq!(checked, Ok(plain(given, reserves)));

        let mut group = criterion.benchmark_group(format!("v2 amount out, {name}"));
        group.bench_function("plain U256, unchecked", |b| {
            b.iter(|| plain(black_box(given), black_box(reserves)));
        });
        group.bench_function("ours", |b| {
            b.iter(|| amount_out(black_box(given), black_box(reserves), KeptPart::UNISWAP));
        });
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().with_measurement(ThreadTime).configure_from_args();
    v3_quotes(&mut criterion);
    v3_table(&mut criterion);
    ticks_of_prices(&mut criterion);
    v2_quotes(&mut criterion);
    criterion.final_summary();
}
