//! A V3 pool and a V2 pair one after the other, sized by our search and by the oracle's.

use super::*;
use crate::math::amm::v2::{KeptPart, Reserves};
use crate::math::cycle::{Bounds, best_input};

/// By the oracle's own words: no less than its best, but for a part in 1e9 and three units.
#[test]
fn the_oracle_s_cycles_of_v3_and_v2_earn_as_much() {
    const PART: u64 = 1_000_000_000;
    let file = vectors!("v3_swap_int.json.gz");
    let mut n_cases = 0;
    for case in cases(&file, "v3_then_v2_cycle") {
        n_cases += 1;
        let (given, expected) = (&case["in"], &case["out"]);
        assert_eq!(given["direction"], "token1 in -> V3 -> token0 -> V2 -> token1");
        assert_eq!(given["v2_fee"], "997/1000");
        let ticks = integer_oracle_ticks(given);
        let (curve, table) = (integer_oracle_curve(given, &ticks), Segments::default());
        let [reserve_in, reserve_out] =
            ["v2_reserve_token0", "v2_reserve_token1"].map(|side| u(&given[side]));
        let reserves = Reserves { reserve_in, reserve_out };
        let amount_out = |amount_in| {
            let order = SwapOrder {
                direction: Direction::OneForZero,
                amount: SwapAmount::ExactIn(amount_in),
                sqrt_limit_x96: None,
            };
            let quote =
                table.quote(&curve, &order).ok().filter(|quote| quote.unfilled.is_zero())?;
            if quote.amount_out.is_zero() {
                return Some(U256::ZERO);
            }
            v2::amount_out(quote.amount_out, reserves, KeptPart::UNISWAP).ok()
        };
        let best = u(&expected["best_profit_found"]);
        let found = best_input(amount_out, Bounds { max: reserve_out, seed: None });
        let earned = found.map_or(U256::ZERO, |sizing| sizing.profit());
        let least = (best - best / U256::from(PART)).saturating_sub(U256::from(4));
        assert!(earned >= least, "{earned} instead of {best}: {case}");
    }
    assert_eq!(n_cases, 6);
}
