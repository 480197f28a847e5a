//! The curves against the SDK where it is right, and against any input at all.

use alloy::primitives::{I256, U256};
use futures::executor::block_on;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use proptest::strategy::Strategy;
use uniswap_v3_sdk::entities::{TickListDataProvider, tick::Tick};
use uniswap_v3_sdk::utils::swap_math;

use crate::math::amm::segments::Segments;
use crate::math::amm::tick::{TickState, Ticks, sqrt_price_at};
use crate::math::amm::v3::{Curve, MAX_SWAP_AMOUNT, Quote, SwapAmount, SwapOrder, swap};
use crate::math::amm::v3_step::{StepInput, compute_swap_step};
use crate::math::amm::vectors::add_position;
use crate::math::amm::{Direction, Q96};

fn sdk_swap(
    curve: &Curve<'_>,
    order: &SwapOrder,
) -> Result<swap_math::SwapState, uniswap_v3_sdk::error::Error> {
    let list: Vec<_> =
        curve.ticks.iter().map(|(&tick, state)| Tick::new(tick, state.gross, state.net)).collect();
    let provider = TickListDataProvider::new(list, curve.tick_spacing);
    let amount = match order.amount {
        SwapAmount::ExactIn(amount) => I256::from_raw(amount),
        SwapAmount::ExactOut(amount) => -I256::from_raw(amount),
    };
    block_on(swap_math::v3_swap(
        curve.fee_pips.try_into().unwrap(),
        curve.sqrt_price_x96.to(),
        curve.tick,
        curve.liquidity,
        curve.tick_spacing,
        &provider,
        order.direction == Direction::ZeroForOne,
        amount,
        None,
    ))
}

pub(super) fn any_direction() -> impl Strategy<Value = Direction> {
    any::<bool>().prop_map(|flag| if flag { Direction::ZeroForOne } else { Direction::OneForZero })
}

pub(super) fn any_u256() -> impl Strategy<Value = U256> {
    (any::<[u64; 4]>(), 0usize..256).prop_map(|(limbs, shift)| U256::from_limbs(limbs) >> shift)
}

pub(super) fn any_amount() -> impl Strategy<Value = SwapAmount> {
    (any::<bool>(), any_u256()).prop_map(|(is_in, amount)| {
        if is_in { SwapAmount::ExactIn(amount) } else { SwapAmount::ExactOut(amount) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn steps_differ_from_the_sdk_only_in_the_split(
        price_tick in -300_000i32..300_000,
        target_away in -5_000i32..5_000,
        liquidity in 1u128..(1 << 100),
        is_in in any::<bool>(),
        amount in 1u128..(1 << 110),
        fee_pips in 0u32..100_000,
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
        let ours = ours.map(|s| (s.sqrt_next_x96, s.amount_in + s.fee, s.amount_out)).ok();
        let theirs = theirs.map(|(next, paid, out, fee)| (next, paid + fee, out)).ok();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn swaps_agree_with_the_sdk_in_price_and_amounts(
        (inner, middle, outer) in (1i32..40, 1i32..900, 1i32..12_000),
        shares in any::<[u32; 3]>(),
        start in -30i32..30,
        direction in any_direction(),
        is_in in any::<bool>(),
        amount in 1u128..(1 << 50),
    ) {
        let spacing = 60;
        let mut ticks = Ticks::new();
        let mut liquidity = 0;
        for (half, share) in [inner, middle, outer].into_iter().zip(shares) {
            let amount = (u128::from(share) + 1) << 10;
            add_position(&mut ticks, (-half * spacing, half * spacing), amount);
            liquidity += amount;
        }
        let sqrt_price_x96 = sqrt_price_at(start).unwrap() + U256::from(7);
        let curve = Curve {
            fee_pips: 3_000, tick_spacing: spacing, fee_protocol: 0, sqrt_price_x96,
            tick: start, liquidity, ticks: &ticks,
        };
        let raw = U256::from(amount);
        let amount = if is_in { SwapAmount::ExactIn(raw) } else { SwapAmount::ExactOut(raw) };
        let order = SwapOrder { direction, amount, sqrt_limit_x96: None };
        let ours = swap(&curve, &order).unwrap();
        let Ok(theirs) = sdk_swap(&curve, &order) else {
            // The SDK's tick list ends at the outermost tick; the contract runs on.
            assert_eq!(ours.liquidity, 0);
            return Ok(());
        };
        let unfilled = theirs.amount_specified_remaining.unsigned_abs();
        let other = theirs.amount_calculated.unsigned_abs();
        let answer = if is_in { ours.amount_out } else { ours.amount_in };
        prop_assert_eq!(ours.sqrt_price_x96, U256::from(theirs.sqrt_price_x96));
        prop_assert_eq!(
            (ours.tick, ours.liquidity, ours.unfilled, answer),
            (theirs.tick_current, theirs.liquidity, unfilled, other)
        );
    }

    #[test]
    fn no_step_and_no_swap_panics(
        (sqrt_price_x96, sqrt_target_x96) in (any_u256(), any_u256()),
        liquidity in any::<u128>(),
        amount in any_amount(),
        fee_pips in any::<u32>(),
        tick in any::<i32>(),
        tick_spacing in any::<i32>(),
        fee_protocol in any::<u8>(),
        direction in any_direction(),
        nets in any::<[(i16, i128); 4]>(),
        is_sane in any::<bool>(),
    ) {
        let _ = compute_swap_step(&StepInput {
            sqrt_price_x96, sqrt_target_x96, liquidity, remaining: amount, fee_pips,
        });
        let tick_spacing = if is_sane { 1 + tick_spacing.rem_euclid(16_383) } else { tick_spacing };
        let ticks: Ticks = nets
            .into_iter()
            .map(|(at, net)| {
                let at = i32::from(at).wrapping_mul(tick_spacing);
                (at, TickState { gross: net.unsigned_abs(), net, ..TickState::default() })
            })
            .collect();
        let sane_price = Q96 + (sqrt_price_x96 >> 160);
        let curve = Curve {
            fee_pips: if is_sane { fee_pips % 1_100_000 } else { fee_pips },
            tick_spacing,
            fee_protocol,
            sqrt_price_x96: if is_sane { sane_price } else { sqrt_price_x96 },
            tick: if is_sane { tick % 900_000 } else { tick },
            liquidity,
            ticks: &ticks,
        };
        for sqrt_limit_x96 in [None, Some(sqrt_target_x96)] {
            let order = SwapOrder { direction, amount, sqrt_limit_x96 };
            let outcome = swap(&curve, &order);
            let quote = Segments::default().quote(&curve, &order);
            prop_assert_eq!(quote, outcome.as_ref().map(Quote::from).map_err(|error| *error));
            if let Ok(outcome) = outcome {
                assert!(outcome.amount_in <= MAX_SWAP_AMOUNT);
            }
        }
    }
}
