//! Sizes, floors and limits of a pool against a book; brute force is the judge.

use rust_decimal::dec;

use super::*;
use crate::market::book::{BookUpdate, Level};
use crate::market::pools::v3::V3Snapshot;
use crate::math::amm::tick::{TickState, sqrt_price_at};
use crate::model::time::Timestamp;

const WETH: Address = Address::with_last_byte(1);
const USDT: Address = Address::with_last_byte(2);
/// 2683 USDT per ETH, as near as a tick comes.
const TICK: i32 = -197_374;
const LIQUIDITY: i128 = 50_000_000_000_000_000;

fn pool() -> PoolV3 {
    let edge =
        |net: i128| TickState { gross: LIQUIDITY.unsigned_abs(), net, ..TickState::default() };
    PoolV3::from_snapshot(V3Snapshot {
        sqrt_price_x96: sqrt_price_at(TICK).unwrap(),
        tick: TICK,
        liquidity: LIQUIDITY.unsigned_abs(),
        ticks: vec![(-210_000, edge(LIQUIDITY)), (-190_000, edge(-LIQUIDITY))],
        ..V3Snapshot::unopened(500, 10, 1)
    })
    .unwrap()
}

/// A book around a mid: two levels a side, the second one tick worse.
fn book(mid: Decimal) -> Book {
    let at = Timestamp::from_ms(0);
    let mut book = Book::new(1_000, at);
    book.opened(at);
    let level = |price: Decimal, quantity| Level { price, quantity };
    let snapshot = BookUpdate::Snapshot {
        bids: vec![level(mid - dec!(0.05), dec!(2)), level(mid - dec!(0.5), dec!(50))],
        asks: vec![level(mid + dec!(0.05), dec!(2)), level(mid + dec!(0.5), dec!(50))],
        update_id: 1,
        venue_time: None,
    };
    book.apply(&snapshot, at).unwrap();
    book
}

fn parameters() -> Parameters {
    Parameters {
        strategy: "gaps".into(),
        chain: 1,
        venue: "legs".into(),
        symbol: "ETHUSDT".into(),
        budget: dec!(100000),
        min_net: dec!(1),
        slippage_bps: 1,
        taker_fee_bps: dec!(10),
        target_inventory: dec!(10),
        max_loss_bps: dec!(30),
        unwind_ms: 10_000,
    }
}

const RULES: MarketRules =
    MarketRules { tick: dec!(0.01), lot: dec!(0.0001), min_notional: dec!(5) };

fn pool_ref(pool: &PoolV3, held: (U256, U256)) -> PoolRef<'_> {
    PoolRef {
        id: PoolId { chain: 1, address: Address::with_last_byte(9).into() },
        pool,
        fee_pips: 500,
        tokens: (WETH, USDT),
        decimals: (18, 6),
        held,
        base_is_token0: true,
    }
}

fn rich() -> (U256, U256) {
    (U256::from(10).pow(U256::from(21)), U256::from(10).pow(U256::from(13)))
}

fn view<'a>(pools: &'a [PoolRef<'a>], book: &'a Book) -> View<'a> {
    View {
        pools,
        book,
        rules: &RULES,
        venue_base: dec!(100),
        venue_quote: dec!(300000),
        gas: Some(dec!(0.3)),
        landed: 98,
        reverted: 0,
        block: B256::ZERO,
    }
}

fn found(mid: Decimal, held: (U256, U256), change: impl Fn(&mut View<'_>)) -> Vec<Found> {
    let (pool, book) = (pool(), book(mid));
    let pools = [pool_ref(&pool, held)];
    let mut view = view(&pools, &book);
    change(&mut view);
    decide(&view, &parameters())
}

#[test]
fn prices_that_agree_within_both_fees_are_left_alone() {
    for mid in [dec!(2680), dec!(2683), dec!(2686)] {
        assert_eq!(found(mid, rich(), |_| ()), []);
    }
}

#[test]
fn the_cheaper_side_is_bought_and_the_dearer_one_sold() {
    let below = found(dec!(2660), rich(), |_| ());
    assert_eq!(below.len(), 1);
    let one = &below[0];
    assert!(one.leg > Decimal::ZERO && one.is_worth, "{one:?}");
    assert_eq!((one.swap.token_in, one.swap.token_out), (WETH, USDT));
    // The pool gets what the exchange leaves of what was bought.
    let kept = one.leg * dec!(0.999);
    assert_eq!(one.expected.base, -kept);
    let above = found(dec!(2706), rich(), |_| ());
    let one = &above[0];
    assert!(one.leg < Decimal::ZERO && one.is_worth, "{one:?}");
    assert_eq!((one.swap.token_in, one.swap.token_out), (USDT, WETH));
    assert!(one.expected.base >= -one.leg, "never less comes than is sold");
    assert!(one.expected.base + one.leg < dec!(0.000001), "and hardly more");
}

/// Every lot up to the book's end, one by one.
fn brute(mid: Decimal, side: Side, rules: &MarketRules) -> Decimal {
    let (pool, book) = (pool(), book(mid));
    let pools = [pool_ref(&pool, rich())];
    let view = View { rules, ..view(&pools, &book) };
    let parameters = parameters();
    let lane = Lane { view: &view, parameters: &parameters, pool: &pools[0], side };
    let mut best = Decimal::ZERO;
    let mut quantity = rules.lot;
    while let Some(trade) = lane.trade(quantity) {
        if quantity * mid > parameters.budget {
            break;
        }
        best = best.max(trade.gross);
        quantity += rules.lot;
    }
    best
}

#[test]
fn no_other_size_earns_more() {
    let rules = MarketRules { lot: dec!(0.01), ..RULES };
    for (mid, side) in [
        (dec!(2660), Side::Buy),
        (dec!(2677), Side::Buy),
        (dec!(2691), Side::Sell),
        (dec!(2706), Side::Sell),
        (dec!(2740), Side::Sell),
    ] {
        let (pool, book) = (pool(), book(mid));
        let pools = [pool_ref(&pool, rich())];
        let view = View { rules: &rules, ..view(&pools, &book) };
        let best = decide(&view, &parameters());
        let gross = best.first().and_then(|found| found.net).map_or(Decimal::ZERO, |net| net.gross);
        let want = brute(mid, side, &rules);
        assert!(want > Decimal::ZERO, "{mid} shows nothing");
        // Averages are rounded to 1e-8 of the price, for some 40 ETH.
        assert!(want - gross < dec!(0.000001), "{mid}: found {gross}, best is {want}");
    }
}

#[test]
fn what_is_not_there_is_not_traded() {
    let full = found(dec!(2660), rich(), |_| ())[0].leg;
    let one_ether = U256::from(10).pow(U256::from(18));
    let poor = found(dec!(2660), (one_ether, rich().1), |_| ());
    assert!(poor[0].leg < full && poor[0].swap.amount_in <= one_ether, "{poor:?}");
    let poor = found(dec!(2660), rich(), |view| view.venue_quote = dec!(1000));
    assert!(poor[0].leg * dec!(2660) <= dec!(1000), "{poor:?}");
    let poor = found(dec!(2706), rich(), |view| view.venue_base = dec!(0.5));
    assert_eq!(poor[0].leg, dec!(-0.5));
    assert_eq!(found(dec!(2706), rich(), |view| view.venue_base = dec!(0)), []);
    assert_eq!(found(dec!(2660), (U256::ZERO, U256::ZERO), |_| ()), []);
}

#[test]
fn the_budget_bounds_the_size() {
    let (pool, book) = (pool(), book(dec!(2660)));
    let pools = [pool_ref(&pool, rich())];
    let small = Parameters { budget: dec!(500), ..parameters() };
    let one = &decide(&view(&pools, &book), &small)[0];
    assert!(one.leg * dec!(2660.05) <= dec!(500), "{one:?}");
    let none = Parameters { budget: dec!(4), ..parameters() };
    assert_eq!(decide(&view(&pools, &book), &none), [], "the exchange takes no such order");
}

#[test]
fn the_chain_must_refuse_what_no_longer_pays_leg_and_gas() {
    for mid in [dec!(2660), dec!(2706)] {
        let one = &found(mid, rich(), |_| ())[0];
        let moved = leg_now(&book(mid), one.leg, &parameters()).unwrap();
        let decimals = if one.leg > Decimal::ZERO { 6 } else { 18 };
        let least = human_unsigned(one.swap.amount_out_min, decimals).unwrap();
        let left = if one.leg > Decimal::ZERO {
            least + moved.quote
        } else {
            // So much less base came, so much less is sold.
            least * (moved.quote / -one.leg) + one.expected.quote
        };
        assert!((left - dec!(0.3)).abs() < dec!(0.001), "{mid}: {left} is left for the gas");
    }
}

#[test]
fn what_has_no_price_is_not_worth_it() {
    let one = &found(dec!(2660), rich(), |view| view.gas = None)[0];
    assert!(one.net.is_none() && !one.is_worth);
    let dear = &found(dec!(2660), rich(), |view| view.gas = Some(dec!(100000)))[0];
    assert!(!dear.is_worth);
}

#[test]
fn a_leg_may_cost_so_much_and_no_more() {
    let parameters = parameters();
    let limit = |side| parameters.price_limit(side, dec!(2000), dec!(0.01));
    assert_eq!(limit(Side::Buy), Some(dec!(2006)));
    assert_eq!(limit(Side::Sell), Some(dec!(1994)));
    let odd = |side| parameters.price_limit(side, dec!(2000.001), dec!(0.01));
    assert_eq!(odd(Side::Buy), Some(dec!(2006)), "never above");
    assert_eq!(odd(Side::Sell), Some(dec!(1994.01)), "never below");
}

#[test]
fn pools_of_other_chains_are_not_looked_at() {
    let (pool, book) = (pool(), book(dec!(2660)));
    let mut other = pool_ref(&pool, rich());
    other.id.chain = 2;
    assert_eq!(decide(&view(&[other], &book), &parameters()), []);
}
