//! V4's swap against V3's, against the SDK's step (which is V4's), and against its own promises.

use alloy::primitives::{I256, Uint};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, prop_assume, proptest};
use uniswap_v3_sdk::utils::swap_math;

use super::*;
use crate::math::amm::liquidity::fees_owed;
use crate::math::amm::properties::{any_amount, any_direction, any_u256};
use crate::math::amm::segments::Segments;
use crate::math::amm::swap::{Crossing, Curve as _, Quote, SwapAmount, SwapOrder, SwapOutcome};
use crate::math::amm::tick::{MAX_SQRT_PRICE_X96, MIN_SQRT_PRICE_X96, TickState, sqrt_price_at};
use crate::math::amm::vectors::add_position;
use crate::math::amm::{Q96, Q128, v3, v3_step};

const TOO_MUCH: U256 = Curve::TOO_MUCH;

const SPACING: i32 = 60;
const LIQUIDITY: u128 = 1_000_000_000_000;

/// Wide enough for two products of a price and a liquidity.
type Wide = Uint<768, 12>;

fn curve(ticks: &Ticks) -> Curve<'_> {
    Curve {
        lp_fee_pips: 3_000,
        protocol_fee: 0,
        tick_spacing: SPACING,
        sqrt_price_x96: Q96,
        tick: 0,
        liquidity: LIQUIDITY,
        ticks,
    }
}

fn wide_position() -> Ticks {
    let mut ticks = Ticks::new();
    add_position(&mut ticks, (-6_000, 6_000), LIQUIDITY);
    ticks
}

fn order(direction: Direction, amount: SwapAmount) -> SwapOrder {
    SwapOrder { direction, amount, sqrt_limit_x96: None }
}

fn packed(zero_for_one: u32, one_for_zero: u32) -> u32 {
    zero_for_one | one_for_zero << PART_BITS
}

#[test]
fn the_protocol_s_part_comes_first_and_differs_by_direction() {
    assert_eq!(swap_fee_pips(3_000, 0), Ok(3_000));
    assert_eq!(swap_fee_pips(0, 1_000), Ok(1_000));
    // 1000 + 3000 less 3, the LPs' fee on what the protocol took.
    assert_eq!(swap_fee_pips(3_000, 1_000), Ok(3_997));
    assert_eq!(swap_fee_pips(1_000_000, 1_000), Ok(1_000_000));
    assert_eq!(swap_fee_pips(999_999, 1), Ok(1_000_000));
    assert_eq!(protocol_part_pips(packed(250, 1_000), Direction::ZeroForOne), 250);
    assert_eq!(protocol_part_pips(packed(250, 1_000), Direction::OneForZero), 1_000);
}

#[test]
fn fees_above_their_maximum_are_refused() {
    assert_eq!(swap_fee_pips(1_000_001, 0), Err(AmmError::Fee { fee: 1_000_001 }));
    assert_eq!(swap_fee_pips(0, 1_001), Err(AmmError::ProtocolFee { packed: 1_001 }));
    for packed in [packed(1_001, 0), packed(0, 1_001), u32::MAX] {
        assert_eq!(check_protocol_fee(packed), Err(AmmError::ProtocolFee { packed }));
    }
    assert_eq!(check_protocol_fee(packed(1_000, 1_000)), Ok(()));
    assert_eq!(lp_fee_pips(999, 1_000), None);
    assert_eq!(lp_fee_pips(1_000_001, 1_000), None);
    assert_eq!(lp_fee_pips(u32::MAX, u32::MAX), None);
}

#[test]
fn the_protocol_takes_its_part_of_what_is_paid_and_the_rest_of_the_fee_grows() {
    let ticks = wide_position();
    let given = order(Direction::OneForZero, SwapAmount::ExactIn(U256::from(1_000_000)));
    let split = Curve { protocol_fee: packed(1_000, 250), ..curve(&ticks) };
    let outcome = swap(&split, &given).unwrap();
    // 250 + 3000 less 0.75 rounded down is 3250 pips of the input; the protocol's are 250.
    assert_eq!((outcome.fee, outcome.protocol_fee), (U256::from(3_250), 250));
    assert_eq!(outcome.fee_growth_x128, U256::from(3_000) * Q128 / U256::from(LIQUIDITY));
    let alone = Curve { lp_fee_pips: 0, ..split };
    let outcome = swap(&alone, &given).unwrap();
    assert_eq!((outcome.fee, outcome.protocol_fee), (U256::from(250), 250));
    assert_eq!(outcome.fee_growth_x128, U256::ZERO);
}

#[test]
fn a_fee_of_one_takes_the_input_moves_no_price_and_gives_no_output() {
    let ticks = wide_position();
    let whole = Curve { lp_fee_pips: MAX_LP_FEE_PIPS, ..curve(&ticks) };
    let given = order(Direction::ZeroForOne, SwapAmount::ExactIn(U256::from(77)));
    let outcome = swap(&whole, &given).unwrap();
    assert_eq!((outcome.amount_in, outcome.amount_out), (U256::from(77), U256::ZERO));
    assert_eq!((outcome.fee, outcome.sqrt_price_x96), (U256::from(77), Q96));
    let taken = order(Direction::ZeroForOne, SwapAmount::ExactOut(U256::ONE));
    assert_eq!(swap(&whole, &taken), Err(AmmError::Fee { fee: PIPS }));
    // The two fees together can make one where neither is.
    let nearly = Curve { lp_fee_pips: 999_999, protocol_fee: packed(1, 0), ..whole };
    assert_eq!(swap(&nearly, &taken), Err(AmmError::Fee { fee: PIPS }));
}

#[test]
fn a_limit_leaves_the_rest_unfilled() {
    let ticks = wide_position();
    let limit = sqrt_price_at(-120).unwrap();
    let given = SwapAmount::ExactIn(U256::from(LIQUIDITY));
    let bounded = SwapOrder { sqrt_limit_x96: Some(limit), ..order(Direction::ZeroForOne, given) };
    let outcome = swap(&curve(&ticks), &bounded).unwrap();
    assert_eq!(outcome.sqrt_price_x96, limit);
    assert!(!outcome.unfilled.is_zero());
    assert_eq!(outcome.amount_in + outcome.unfilled, U256::from(LIQUIDITY));
}

#[test]
fn what_the_contract_reverts_on_is_refused() {
    let ticks = wide_position();
    let one = SwapAmount::ExactIn(U256::ONE);
    for (direction, limit) in [
        (Direction::ZeroForOne, Q96),
        (Direction::OneForZero, Q96),
        (Direction::ZeroForOne, MIN_SQRT_PRICE_X96),
        (Direction::OneForZero, MAX_SQRT_PRICE_X96),
    ] {
        let bounded = SwapOrder { sqrt_limit_x96: Some(limit), ..order(direction, one) };
        assert_eq!(swap(&curve(&ticks), &bounded), Err(AmmError::PriceLimit));
    }
    let nothing = order(Direction::ZeroForOne, SwapAmount::ExactIn(U256::ZERO));
    assert_eq!(swap(&curve(&ticks), &nothing), Err(AmmError::ZeroAmount));
    let given = order(Direction::ZeroForOne, one);
    for tick_spacing in [0, -1, 32_768] {
        let off = Curve { tick_spacing, ..curve(&ticks) };
        assert_eq!(swap(&off, &given), Err(AmmError::TickSpacing { tick_spacing }));
    }
    assert!(swap(&Curve { tick_spacing: 32_767, ..curve(&Ticks::new()) }, &given).is_ok());
}

#[test]
fn amounts_end_where_int128_does() {
    let no_ticks = Ticks::new();
    let deep = Curve { lp_fee_pips: 0, liquidity: u128::MAX, ..curve(&no_ticks) };
    let paid = |amount| swap(&deep, &order(Direction::ZeroForOne, SwapAmount::ExactIn(amount)));
    let most = paid(TOO_MUCH - U256::ONE).unwrap();
    assert_eq!((most.amount_in, most.unfilled), (TOO_MUCH - U256::ONE, U256::ZERO));
    assert_eq!(paid(TOO_MUCH), Err(AmmError::Overflow));
    let cheap = Curve { sqrt_price_x96: Q96 << 8, tick: 110_909, ..deep };
    let taken = |amount| swap(&cheap, &order(Direction::ZeroForOne, SwapAmount::ExactOut(amount)));
    let most = taken(TOO_MUCH - U256::ONE).unwrap();
    assert_eq!(most.amount_out, TOO_MUCH - U256::ONE);
    assert_eq!(taken(TOO_MUCH), Err(AmmError::Overflow));
}

/// A curve of three nested positions.
fn nested(halves: (i32, i32, i32), shares: [u32; 3]) -> (Ticks, u128) {
    let mut ticks = Ticks::new();
    let mut liquidity = 0;
    for (half, share) in [halves.0, halves.1, halves.2].into_iter().zip(shares) {
        let amount = (u128::from(share) + 1) << 20;
        add_position(&mut ticks, (-half * SPACING, half * SPACING), amount);
        liquidity += amount;
    }
    (ticks, liquidity)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn fees_combine_rounded_up_and_come_apart_again(
        lp in 0u32..=MAX_LP_FEE_PIPS,
        part in 0u32..=MAX_PROTOCOL_FEE_PIPS,
    ) {
        let both = swap_fee_pips(lp, part).unwrap();
        let of_rest = u64::from(lp) * u64::from(PIPS - part);
        prop_assert_eq!(u64::from(both - part), of_rest.div_ceil(u64::from(PIPS)));
        let found = lp_fee_pips(both, part).unwrap();
        prop_assert!(found == lp || found == lp + 1);
        prop_assert_eq!(swap_fee_pips(found, part), Ok(both));
        prop_assert!(found == PIPS || swap_fee_pips(found + 1, part).unwrap() > both);
    }

    #[test]
    fn steps_are_the_sdk_s_and_differ_from_v3_only_in_the_split(
        price_tick in -300_000i32..300_000,
        target_away in -5_000i32..5_000,
        liquidity in 1u128..(1 << 100),
        is_in in any::<bool>(),
        amount in 1u128..(1 << 110),
        fee_pips in 0u32..999_999,
    ) {
        let sqrt_price_x96 = sqrt_price_at(price_tick).unwrap();
        let sqrt_target_x96 = sqrt_price_at(price_tick + target_away).unwrap();
        let raw = U256::from(amount);
        let (remaining, signed) = if is_in {
            (SwapAmount::ExactIn(raw), I256::from_raw(raw))
        } else {
            (SwapAmount::ExactOut(raw), -I256::from_raw(raw))
        };
        let input = StepInput { sqrt_price_x96, sqrt_target_x96, liquidity, remaining, fee_pips };
        let ours = compute_swap_step(&input);
        let theirs = swap_math::compute_swap_step(
            sqrt_price_x96, sqrt_target_x96, liquidity, signed, fee_pips.try_into().unwrap(),
        );
        let whole = ours.map(|s| (s.sqrt_next_x96, s.amount_in, s.amount_out, s.fee)).ok();
        prop_assert_eq!(whole, theirs.ok());
        let totals = |s: SwapStep| (s.sqrt_next_x96, s.amount_in + s.fee, s.amount_out);
        let v3 = v3_step::compute_swap_step(&input);
        prop_assert_eq!(ours.map(totals).ok(), v3.map(totals).ok());
    }

    #[test]
    fn without_a_protocol_fee_swaps_trade_as_v3_does(
        halves in (1i32..40, 1i32..900, 1i32..12_000),
        shares in any::<[u32; 3]>(),
        start in -30i32..30,
        direction in any_direction(),
        is_in in any::<bool>(),
        amount in 1u128..(1 << 60),
        lp_fee_pips in 0u32..1_000_000,
        limit_away in 0i32..9_000,
    ) {
        let (ticks, liquidity) = nested(halves, shares);
        let sqrt_price_x96 = sqrt_price_at(start).unwrap() + U256::from(7);
        let v4 = Curve { lp_fee_pips, sqrt_price_x96, tick: start, liquidity, ..curve(&ticks) };
        let v3 = v3::Curve {
            fee_pips: lp_fee_pips, tick_spacing: SPACING, fee_protocol: 0, sqrt_price_x96,
            tick: start, liquidity, ticks: &ticks,
        };
        let raw = U256::from(amount);
        let amount = if is_in { SwapAmount::ExactIn(raw) } else { SwapAmount::ExactOut(raw) };
        let away = match direction {
            Direction::ZeroForOne => start - 1 - limit_away,
            Direction::OneForZero => start + 1 + limit_away,
        };
        for sqrt_limit_x96 in [None, Some(sqrt_price_at(away).unwrap())] {
            let order = SwapOrder { direction, amount, sqrt_limit_x96 };
            let (ours, theirs) = (swap(&v4, &order).unwrap(), v3::swap(&v3, &order).unwrap());
            let tabled = Segments::default().tabled(&v4, &order);
            let is_tabled = tabled == Some(Quote::from(&ours));
            prop_assert!(is_tabled || sqrt_limit_x96.is_some(), "{:?}", tabled);
            let at = |crossed: &[Crossing]| crossed.iter().map(|c| c.tick).collect::<Vec<_>>();
            prop_assert_eq!(at(&ours.crossed), at(&theirs.crossed));
            let split = |outcome: SwapOutcome| SwapOutcome {
                fee: U256::ZERO, fee_growth_x128: U256::ZERO, crossed: Vec::new(), ..outcome
            };
            prop_assert_eq!(split(ours), split(theirs));
        }
    }

    #[test]
    fn nobody_gains_by_trading_back_and_more_in_never_gets_less_out(
        halves in (1i32..40, 1i32..900, 1i32..12_000),
        shares in any::<[u32; 3]>(),
        start in -30i32..30,
        direction in any_direction(),
        (less, more) in (1u128..(1 << 50), 0u128..(1 << 50)),
        lp_fee_pips in 0u32..100_000,
        parts in (0u32..=1_000, 0u32..=1_000),
    ) {
        let (ticks, liquidity) = nested(halves, shares);
        let sqrt_price_x96 = sqrt_price_at(start).unwrap() + U256::from(7);
        let before = Curve {
            lp_fee_pips, protocol_fee: packed(parts.0, parts.1), sqrt_price_x96, tick: start,
            liquidity, ..curve(&ticks)
        };
        let give = |amount| order(direction, SwapAmount::ExactIn(U256::from(amount)));
        let small = swap(&before, &give(less)).unwrap();
        let large = swap(&before, &give(less + more)).unwrap();
        prop_assert!(large.amount_out >= small.amount_out);
        prop_assert!(large.amount_in >= small.amount_in);
        prop_assume!(!large.amount_out.is_zero());
        let after = Curve {
            sqrt_price_x96: large.sqrt_price_x96, tick: large.tick, liquidity: large.liquidity,
            ..before
        };
        let back = match direction {
            Direction::ZeroForOne => Direction::OneForZero,
            Direction::OneForZero => Direction::ZeroForOne,
        };
        let returned = swap(&after, &order(back, SwapAmount::ExactIn(large.amount_out))).unwrap();
        prop_assert!(returned.amount_out <= large.amount_in);
    }

    #[test]
    fn in_one_range_the_product_never_falls_and_the_fee_is_shared_out(
        (liquidity, less) in ((1u128 << 60)..(1 << 90), 0u32..30),
        start in -40_000i32..40_000,
        direction in any_direction(),
        is_in in any::<bool>(),
        (amount, shift) in (any::<u64>(), 0u32..30),
        lp_fee_pips in 1u32..900_000,
        parts in (0u32..=1_000, 0u32..=1_000),
    ) {
        let liquidity = liquidity >> less;
        let mut ticks = Ticks::new();
        add_position(&mut ticks, (-887_220, 887_220), liquidity);
        let protocol_fee = packed(parts.0, parts.1);
        let price = sqrt_price_at(start).unwrap() + U256::ONE;
        let curve = Curve {
            lp_fee_pips, protocol_fee, sqrt_price_x96: price, tick: start, liquidity,
            ..curve(&ticks)
        };
        let raw = U256::from(amount >> shift) + U256::ONE;
        let amount = if is_in { SwapAmount::ExactIn(raw) } else { SwapAmount::ExactOut(raw) };
        let outcome = swap(&curve, &order(direction, amount));
        // At the far end of the range exact outputs can cost more than an int128.
        prop_assume!(outcome.is_ok());
        let outcome = outcome.unwrap();
        prop_assume!(outcome.liquidity == liquidity);

        // The reserves are L / price and L * price; kept whole by multiplying out the fractions.
        let [one, price, whole] = [Q96, price, U256::from(liquidity)].map(Wide::from);
        let (below, above) = match direction {
            Direction::ZeroForOne => (one, price),
            Direction::OneForZero => (price, one),
        };
        let kept = Wide::from(outcome.amount_in - outcome.fee);
        let grown = whole * below + kept * above;
        let shrunk = whole * above - Wide::from(outcome.amount_out) * below;
        prop_assert!(grown * shrunk >= whole * whole * below * above);

        let part = U256::from(protocol_part_pips(protocol_fee, direction));
        let (protocol, fee) = (U256::from(outcome.protocol_fee), outcome.fee);
        prop_assert!(protocol <= outcome.amount_in * part / U256::from(PIPS));
        let of_lps = fees_owed(liquidity, outcome.fee_growth_x128, U256::ZERO);
        let n_words = (outcome.tick - start).unsigned_abs() / (256 * SPACING.unsigned_abs()) + 2;
        prop_assert!(protocol + of_lps <= fee);
        prop_assert!(protocol + of_lps + U256::from(2 * n_words) >= fee);
    }

    #[test]
    fn no_step_no_fee_and_no_swap_panics(
        (sqrt_price_x96, sqrt_target_x96) in (any_u256(), any_u256()),
        liquidity in any::<u128>(),
        amount in any_amount(),
        (fee_pips, protocol_fee) in any::<(u32, u32)>(),
        (tick, tick_spacing) in any::<(i32, i32)>(),
        direction in any_direction(),
        nets in any::<[(i16, i128); 4]>(),
        is_sane in any::<bool>(),
    ) {
        let _ = compute_swap_step(&StepInput {
            sqrt_price_x96, sqrt_target_x96, liquidity, remaining: amount, fee_pips,
        });
        let _ = (swap_fee_pips(fee_pips, protocol_fee), lp_fee_pips(fee_pips, protocol_fee));
        let tick_spacing = if is_sane { 1 + tick_spacing.rem_euclid(32_767) } else { tick_spacing };
        let ticks: Ticks = nets
            .into_iter()
            .map(|(at, net)| {
                let at = i32::from(at).wrapping_mul(tick_spacing);
                (at, TickState { gross: net.unsigned_abs(), net, ..TickState::default() })
            })
            .collect();
        let curve = Curve {
            lp_fee_pips: if is_sane { fee_pips % 1_100_000 } else { fee_pips },
            protocol_fee: if is_sane { protocol_fee & 0x3ff3ff } else { protocol_fee },
            tick_spacing,
            sqrt_price_x96: if is_sane { Q96 + (sqrt_price_x96 >> 160) } else { sqrt_price_x96 },
            tick: if is_sane { tick % 900_000 } else { tick },
            liquidity,
            ticks: &ticks,
        };
        for sqrt_limit_x96 in [None, Some(sqrt_target_x96)] {
            let order = SwapOrder { direction, amount, sqrt_limit_x96 };
            let looped = swap(&curve, &order);
            let quote = Segments::default().quote(&curve, &order);
            prop_assert_eq!(quote, looped.clone().map(|outcome| Quote::from(&outcome)));
            if let Ok(outcome) = looped {
                prop_assert!(outcome.amount_in.max(outcome.amount_out) < TOO_MUCH);
            }
        }
    }
}
