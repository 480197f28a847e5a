//! The recorded answers of V4's quoter, run through V4's own swap.

use super::{
    check_quote, i, is_exact_in, pips, quoted_order, quoted_pools, quoted_ticks, u, u128_of,
};
use crate::math::amm::v4;

#[test]
fn recorded_v4_quoter_answers_agree_to_the_wei() {
    let file = quoted_pools();
    let pools = file["pools"].as_array().unwrap();
    let pool = pools.iter().find(|pool| pool["protocol"] == "uniswap_v4").unwrap();
    let ticks = quoted_ticks(pool);
    let curve = v4::Curve {
        lp_fee_pips: pips(&pool["fee"]),
        protocol_fee: 0,
        tick_spacing: i(&pool["tick_spacing"]),
        sqrt_price_x96: u(&pool["sqrt_price_x96"]),
        tick: i(&pool["tick"]),
        liquidity: u128_of(&pool["liquidity"]),
        ticks: &ticks,
    };
    let (mut exact_in, mut exact_out, mut refused) = (0, 0, 0);
    for quote in pool["quotes"].as_array().unwrap() {
        check_quote(v4::swap(&curve, &quoted_order(quote)), true, quote);
        match (quote[3].is_null(), is_exact_in(quote)) {
            (true, _) => refused += 1,
            (false, true) => exact_in += 1,
            (false, false) => exact_out += 1,
        }
    }
    assert_eq!((exact_in, exact_out, refused), (42, 30, 16));
}
