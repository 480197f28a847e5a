//! Ticks and prices turned into each other, to the unit: v3-core's `TickMath`.

use alloy::primitives::U256;

use crate::math::amm::tick::{check_sqrt_price, check_tick};
use crate::math::amm::{AmmError, Q96, wide};

/// `sqrt(1.0001)^(-2^i)` for each bit of a tick, Q128, as `TickMath` has them.
const RATIOS: [u128; 20] = [
    0xfffc_b933_bd6f_ad37_aa2d_162d_1a59_4001,
    0xfff9_7272_373d_4132_59a4_6990_580e_213a,
    0xfff2_e50f_5f65_6932_ef12_357c_f3c7_fdcc,
    0xffe5_caca_7e10_e4e6_1c36_24ea_a094_1cd0,
    0xffcb_9843_d60f_6159_c9db_5883_5c92_6644,
    0xff97_3b41_fa98_c081_472e_6896_dfb2_54c0,
    0xff2e_a164_66c9_6a38_43ec_78b3_26b5_2861,
    0xfe5d_ee04_6a99_a2a8_11c4_61f1_969c_3053,
    0xfcbe_86c7_900a_88ae_dcff_c83b_479a_a3a4,
    0xf987_a725_3ac4_1317_6f2b_074c_f781_5e54,
    0xf339_2b08_22b7_0005_940c_7a39_8e4b_70f3,
    0xe715_9475_a2c2_9b74_43b2_9c7f_a6e8_89d9,
    0xd097_f3bd_fd20_22b8_845a_d8f7_92aa_5825,
    0xa9f7_4646_2d87_0fdf_8a65_dc1f_90e0_61e5,
    0x70d8_69a1_56d2_a1b8_90bb_3df6_2baf_32f7,
    0x31be_135f_97d0_8fd9_8123_1505_542f_cfa6,
    0x09aa_508b_5b7a_84e1_c677_de54_f3e9_9bc9,
    0x005d_6af8_dedb_8119_6699_c329_225e_e604,
    0x0000_2216_e584_f5fa_1ea9_2604_1bed_fe98,
    0x0000_0000_048a_1703_91f7_dc42_444e_8fa2,
];

/// Bits of a tick whose product is looked up.
const LOW_BITS: usize = 8;

/// The contract's product for every combination of the lowest bits. It multiplies from the lowest
/// bit on and cuts after each, so these are its own values. The first, one, has no room and no use.
static LOW_RATIOS: [u128; 1 << LOW_BITS] = low_ratios();

const fn low_ratios() -> [u128; 1 << LOW_BITS] {
    let mut ratios = [0; 1 << LOW_BITS];
    let mut bit = 0;
    while bit < LOW_BITS {
        let mut below = 0;
        while below < 1 << bit {
            let ratio = ratios[below];
            ratios[below | 1 << bit] =
                if below == 0 { RATIOS[bit] } else { cut_product(ratio, RATIOS[bit]) };
            below += 1;
        }
        bit += 1;
    }
    ratios
}

/// `a * b / 2^128`.
#[inline(always)]
const fn cut_product(a: u128, b: u128) -> u128 {
    const LOW: u128 = (1 << 64) - 1;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let middle = a1 * b0 + (a0 * b0 >> 64);
    // At most (2^64 - 1)^2 + 2^64 - 1, so nothing overflows.
    let other = a0 * b1 + (middle & LOW);
    a1 * b1 + (middle >> 64) + (other >> 64)
}

/// Price of a tick, Q64.96.
///
/// # Errors
/// [`AmmError::TickOutOfRange`].
pub fn sqrt_price_at(tick: i32) -> Result<U256, AmmError> {
    check_tick(tick)?;
    let bits = tick.unsigned_abs();
    if bits == 0 {
        return Ok(Q96);
    }
    let low = bits & ((1 << LOW_BITS) - 1);
    let mut ratio = LOW_RATIOS.get(low as usize).copied().filter(|_| low != 0);
    let mut high = bits - low;
    while high != 0 {
        let of_bit = *RATIOS.get(high.trailing_zeros() as usize).ok_or(AmmError::Overflow)?;
        ratio = Some(ratio.map_or(of_bit, |ratio| cut_product(ratio, of_bit)));
        high &= high - 1;
    }
    let ratio = ratio.ok_or(AmmError::Overflow)?;
    let [r0, r1, r2, r3] = match tick {
        ..0 => [wide::lower(ratio), wide::upper(ratio), 0, 0],
        _ => *wide::inverse(ratio).ok_or(AmmError::Overflow)?.as_limbs(),
    };
    // Q128 to Q96, rounded up, so that a tick's price has that tick.
    let (low, is_above) = (r0 >> 32 | r1 << 32).overflowing_add(u64::from(r0 << 32 != 0));
    let (middle, is_above) = (r1 >> 32 | r2 << 32).overflowing_add(u64::from(is_above));
    let high = (r2 >> 32 | r3 << 32).wrapping_add(u64::from(is_above));
    Ok(U256::from_limbs([low, middle, high, 0]))
}

/// `1 / ln(sqrt(1.0001))`.
const TICKS_PER_LN: f64 = 20_000.999_983_334_167;

/// The estimate of a tick is right where it stands further than this from a whole number: its own
/// error is below 1e-8, and the contract's rounding moves the prices of ticks by at most 5e-6.
const MARGIN: f64 = 1e-4;

/// Highest tick whose price is not above this one.
///
/// # Errors
/// [`AmmError::SqrtPriceOutOfRange`] outside `[MIN_SQRT_PRICE_X96, MAX_SQRT_PRICE_X96)`.
pub fn tick_at(sqrt_price_x96: U256) -> Result<i32, AmmError> {
    check_sqrt_price(sqrt_price_x96)?;
    let estimate = estimate(sqrt_price_x96);
    let nearest = libm::rint(estimate);
    if libm::fabs(estimate - nearest) > MARGIN {
        return Ok(whole(libm::floor(estimate)));
    }
    let nearest = whole(nearest);
    Ok(if sqrt_price_at(nearest)? <= sqrt_price_x96 { nearest } else { nearest - 1 })
}

/// Ticks, with a fraction, of a price that is not zero and below 2^192.
fn estimate(sqrt_price_x96: U256) -> f64 {
    let [p0, p1, p2, _] = *sqrt_price_x96.as_limbs();
    let (limb, below, exponent) = match (p2, p1) {
        (0, 0) => (p0, 0, -96),
        (0, _) => (p1, p0, 64 - 96),
        _ => (p2, p1, 128 - 96),
    };
    let shift = limb.leading_zeros();
    let highest = limb << shift | below >> 1 >> (63 - shift);
    let exponent = exponent - shift.cast_signed();
    let ln = libm::log(highest as f64) + f64::from(exponent) * std::f64::consts::LN_2;
    ln * TICKS_PER_LN
}

/// A number without a fraction that is not far outside the range of ticks.
fn whole(number: f64) -> i32 {
    number as i32
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U160;
    use alloy::primitives::aliases::I24;
    use uniswap_v3_sdk::utils::tick_math;

    use super::*;
    use crate::math::amm::tick::{MAX_SQRT_PRICE_X96, MAX_TICK, MIN_SQRT_PRICE_X96, MIN_TICK};

    /// All of them, with one unit to either side; and how far the estimate is off.
    #[test]
    fn every_tick_has_the_contract_s_price_and_every_price_its_tick() {
        let mut furthest = 0.0_f64;
        let mut below = U256::ZERO;
        for tick in MIN_TICK..=MAX_TICK {
            let price = sqrt_price_at(tick).unwrap();
            let sdk = tick_math::get_sqrt_ratio_at_tick(I24::try_from(tick).unwrap()).unwrap();
            assert_eq!(price, U256::from(sdk), "{tick}");
            assert!(below < price, "{tick}");
            below = price;
            furthest = furthest.max((estimate(price) - f64::from(tick)).abs());
            if price > MIN_SQRT_PRICE_X96 {
                assert_eq!(tick_at(price - U256::ONE), Ok(tick - 1), "below {tick}");
            }
            if price < MAX_SQRT_PRICE_X96 {
                assert_eq!(tick_at(price), Ok(tick));
                assert_eq!(tick_at(price + U256::ONE), Ok(tick), "above {tick}");
            }
        }
        assert!(furthest < MARGIN / 10.0, "the estimate is off by {furthest}");
    }

    #[test]
    fn prices_between_ticks_have_the_tick_that_the_sdk_says() {
        let mut state = 7_u64;
        for _ in 0..100_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bits = 32 + usize::try_from(state >> 57).unwrap();
            let price = U256::from_limbs([state, state.rotate_left(17), state >> 32, 0]);
            let price = (price | U256::ONE << 159) >> (160 - bits);
            if check_sqrt_price(price).is_ok() {
                let sdk = tick_math::get_tick_at_sqrt_ratio(U160::from(price)).unwrap();
                assert_eq!(tick_at(price), Ok(sdk.as_i32()), "{price}");
            }
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        assert!(tick_at(MAX_SQRT_PRICE_X96).is_err());
        assert!(tick_at(U256::MAX).is_err());
        assert!(tick_at(U256::ZERO).is_err());
        assert!(tick_at(MIN_SQRT_PRICE_X96 - U256::ONE).is_err());
        for tick in [i32::MIN, MIN_TICK - 1, MAX_TICK + 1, i32::MAX] {
            assert_eq!(sqrt_price_at(tick), Err(AmmError::TickOutOfRange { tick }));
        }
    }
}
