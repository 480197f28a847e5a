//! What is kept after which change; that the answers are the loop's is tested with the pools, the
//! vectors and the properties.

use super::*;
use crate::math::amm::Q96;
use crate::math::amm::swap::MAX_SWAP_AMOUNT;
use crate::math::amm::tick::{TickState, Ticks};
use crate::math::amm::v3::Curve;
use crate::math::amm::vectors::add_position;

const DOWN: Direction = Direction::ZeroForOne;
const UP: Direction = Direction::OneForZero;
const END: i32 = 887_220;
const WHOLE: u128 = 1_000_000_000_000_000_000_000;
const NESTED: u128 = 100_000_000_000_000_000_000;

/// One position over everything and 120 nested ones.
fn nested() -> Ticks {
    let mut ticks = Ticks::new();
    add_position(&mut ticks, (-END, END), WHOLE);
    for step in 1..=120 {
        add_position(&mut ticks, (-60 * step, 60 * step), NESTED);
    }
    ticks
}

fn curve(ticks: &Ticks, tick: i32) -> Curve<'_> {
    let in_range: i128 = ticks.range(..=tick).map(|(_, state)| state.net).sum();
    Curve {
        fee_pips: 3_000,
        tick_spacing: 60,
        fee_protocol: 0,
        sqrt_price_x96: sqrt_price_at(tick).unwrap(),
        tick,
        liquidity: in_range.try_into().unwrap(),
        ticks,
    }
}

fn order(direction: Direction, amount: SwapAmount) -> SwapOrder {
    SwapOrder { direction, amount, sqrt_limit_x96: None }
}

fn give(direction: Direction, amount: u128) -> SwapOrder {
    order(direction, SwapAmount::ExactIn(U256::from(amount)))
}

/// The table answers, and as the loop does.
#[track_caller]
fn agrees(segments: &Segments, curve: &Curve<'_>, order: &SwapOrder) {
    let looped = swap(curve, order).unwrap();
    assert_eq!(segments.tabled(curve, order), Some(Quote::from(&looped)), "{order:?}");
}

/// The pool and the amounts that the EVM was asked.
#[test]
fn the_answers_of_the_contract_come_from_the_table() {
    let ticks = nested();
    let curve = curve(&ticks, -30);
    let segments = Segments::default();
    for (amount, bought, end) in [
        (9_797_200_933_065_381_680_u128, 9_731_250_463_905_237_463_u128, -46),
        (382_304_037_202_672_614_945, 368_933_095_917_012_881_642, -631),
        (2_723_620_517_902_787_850_219, 2_134_856_514_574_096_205_137, -6_031),
    ] {
        let order = give(DOWN, amount);
        let quote = segments.tabled(&curve, &order).unwrap();
        assert_eq!((quote.amount_out, quote.tick), (U256::from(bought), end));
        agrees(&segments, &curve, &order);
        agrees(&segments, &curve, &SwapOrder { direction: UP, ..order });
    }
}

#[test]
fn no_more_is_tabulated_than_is_asked_for() {
    let ticks = nested();
    let curve = curve(&ticks, -30);
    let segments = Segments::default();
    assert_eq!(segments.tabulated(DOWN), 0);
    agrees(&segments, &curve, &give(DOWN, 1));
    assert_eq!((segments.tabulated(DOWN), segments.tabulated(UP)), (1, 0));
    agrees(&segments, &curve, &give(DOWN, 382_304_037_202_672_614_945));
    assert_eq!(segments.tabulated(DOWN), 1 + 8 + 16);
    // The price may be limited by the last one there is, and that costs no table.
    let last = Some(last_price(DOWN));
    agrees(&segments, &curve, &SwapOrder { sqrt_limit_x96: last, ..give(DOWN, 1) });
    let near = Some(sqrt_price_at(-40).unwrap());
    let limited = SwapOrder { sqrt_limit_x96: near, ..give(DOWN, WHOLE) };
    assert_eq!(segments.tabled(&curve, &limited), None);
    let looped = swap(&curve, &limited).unwrap();
    assert_eq!(segments.quote(&curve, &limited), Ok(Quote::from(&looped)));
}

#[test]
fn a_move_inside_the_segment_keeps_the_ones_behind_it() {
    let ticks = nested();
    let mut segments = Segments::default();
    let far = give(DOWN, 2_000 * NESTED / 100);
    agrees(&segments, &curve(&ticks, -30), &far);
    let kept = segments.tabulated(DOWN);
    assert!(kept > 20);
    let moved = curve(&ticks, -45);
    segments.follow(&[]);
    assert_eq!(segments.tabulated(DOWN), kept - 1);
    agrees(&segments, &moved, &far);
    assert_eq!(segments.tabulated(DOWN), kept);
    // Beyond a boundary and back, without a quote between: what stands behind it holds again.
    segments.follow(&[]);
    segments.follow(&[]);
    agrees(&segments, &curve(&ticks, -30), &give(DOWN, 1));
    assert_eq!(segments.tabulated(DOWN), kept);
    // Asked there, another table is made, and lasts.
    let crossed = curve(&ticks, -61);
    segments.follow(&[]);
    agrees(&segments, &crossed, &far);
    let made = segments.tabulated(DOWN);
    segments.follow(&[]);
    assert_eq!(segments.tabulated(DOWN), made - 1);
    agrees(&segments, &moved, &far);
    agrees(&segments, &moved, &far);
}

#[test]
fn a_change_of_liquidity_forgets_from_its_first_tick_on() {
    let mut ticks = nested();
    let mut segments = Segments::default();
    let (far_down, far_up) = (give(DOWN, 10 * WHOLE), give(UP, 10 * WHOLE));
    for far in [&far_down, &far_up] {
        agrees(&segments, &curve(&ticks, -30), far);
    }
    let kept = segments.tabulated(UP);
    // The nearest boundary is -60; behind it 8 segments end at -540, 16 more at -1500.
    for (range, left) in [
        ((-6_000, -1_560), Some(24)),
        ((-1_500, -600), Some(8)),
        ((-540, -480), Some(0)),
        ((-9_000, 60), None),
    ] {
        agrees(&segments, &curve(&ticks, -30), &far_down);
        add_position(&mut ticks, range, NESTED);
        segments.follow(&[range.0, range.1]);
        // One that changes the liquidity at the nearest boundary too is found out by the quote.
        assert!(left.is_none_or(|left| segments.tabulated(DOWN) == left), "{range:?}");
        assert!(range.1 > -30 || segments.tabulated(UP) == kept - 1, "{range:?}");
        for far in [&far_down, &far_up] {
            agrees(&segments, &curve(&ticks, -30), far);
        }
    }
}

#[test]
fn clones_share_what_is_tabulated_and_part_afterwards() {
    let ticks = nested();
    let before = Segments::default();
    let far = give(UP, 5 * WHOLE);
    agrees(&before, &curve(&ticks, -30), &far);
    let mut after = before.clone();
    assert_eq!(after.tabulated(UP), before.tabulated(UP));
    after.follow(&[]);
    agrees(&after, &curve(&ticks, 300), &far);
    agrees(&before, &curve(&ticks, -30), &far);
}

#[test]
fn the_ends_of_the_prices_leave_the_rest_unfilled() {
    let mut ticks = Ticks::new();
    add_position(&mut ticks, (-600, 600), 1_000_000);
    let curve = curve(&ticks, 0);
    let segments = Segments::default();
    for direction in [DOWN, UP] {
        for is_in in [true, false] {
            let amount = U256::from(u128::MAX);
            let amount =
                if is_in { SwapAmount::ExactIn(amount) } else { SwapAmount::ExactOut(amount) };
            let order = order(direction, amount);
            agrees(&segments, &curve, &order);
            let quote = segments.tabled(&curve, &order).unwrap();
            assert_eq!(quote.sqrt_price_x96, last_price(direction));
            assert!(!quote.unfilled.is_zero());
        }
    }
}

#[test]
fn what_only_the_loop_can_tell_is_asked_of_it() {
    let state = |net: i128| TickState { gross: net.unsigned_abs(), net, ..TickState::default() };
    // More leaves at 60 than there is.
    let ticks = Ticks::from([(60, state(-2_000_000_000_000)), (-60, state(0))]);
    let torn = Curve { liquidity: 1_000_000_000_000, ..curve(&ticks, 0) };
    let segments = Segments::default();
    agrees(&segments, &torn, &give(DOWN, 1_000));
    let misfit = AmmError::LiquidityAtTick { tick: 60 };
    assert_eq!(segments.quote(&torn, &give(UP, WHOLE)), Err(misfit));
    let inside = Quote::from(&swap(&torn, &give(UP, 1_000)).unwrap());
    assert_eq!(segments.quote(&torn, &give(UP, 1_000)), Ok(inside));
    // A sum above u128, and amounts that no swap takes.
    let whole = nested();
    let deep = Curve { liquidity: u128::MAX >> 20, sqrt_price_x96: Q96, ..curve(&whole, -30) };
    for amount in [U256::ZERO, U256::from(u128::MAX), MAX_SWAP_AMOUNT, U256::MAX] {
        for direction in [DOWN, UP] {
            let order = order(direction, SwapAmount::ExactOut(amount));
            let looped = swap(&deep, &order).map(|outcome| Quote::from(&outcome));
            assert_eq!(Segments::default().quote(&deep, &order), looped);
        }
    }
}
