//! Uniswap V2's constant product, as `UniswapV2Library` and `UniswapV2Pair` compute it.
//!
//! Amounts and reserves are raw units; the fee is a fraction because forks differ (997/1000 is
//! Uniswap and SushiSwap, 9975/10000 others).

use alloy::primitives::U256;
use serde::{Deserialize, Serialize};

use crate::math::amm::{AmmError, Amounts, integer_sqrt, wide};

/// Liquidity shares the first mint locks away for ever.
pub const MINIMUM_LIQUIDITY: U256 = U256::from_limbs([1_000, 0, 0, 0]);

/// Bits of a reserve of a pair.
const RESERVE_BITS: u32 = 112;

/// Bits of a fee's parts with which a reserve fits half of 128 bits twice.
const SMALL_PART_BITS: u32 = 15;

/// The part of an input that trades, `num / den`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPart {
    num: u32,
    den: u32,
}

impl KeptPart {
    /// Uniswap's and SushiSwap's 0.3 % fee.
    pub const UNISWAP: Self = Self { num: 997, den: 1_000 };

    /// Checks `0 < num <= den`.
    ///
    /// # Errors
    /// [`AmmError::Fee`].
    pub fn new(num: u32, den: u32) -> Result<Self, AmmError> {
        if num == 0 || num > den {
            return Err(AmmError::Fee { fee: den.saturating_sub(num) });
        }
        Ok(Self { num, den })
    }
}

/// The two sides of a pool as a trade sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserves {
    /// Of the token given.
    pub reserve_in: U256,
    /// Of the token taken.
    pub reserve_out: U256,
}

/// Most that can be taken for `amount_in`, rounded down.
///
/// # Errors
/// [`AmmError::ZeroAmount`], [`AmmError::NoLiquidity`], [`AmmError::Overflow`].
pub fn amount_out(amount_in: U256, reserves: Reserves, kept: KeptPart) -> Result<U256, AmmError> {
    if let Some(bought) = small_amount_out(amount_in, reserves, kept) {
        return Ok(bought);
    }
    check(amount_in, reserves)?;
    let with_fee = mul(amount_in, U256::from(kept.num))?;
    let numerator = mul(with_fee, reserves.reserve_out)?;
    let scaled = mul(reserves.reserve_in, U256::from(kept.den))?;
    let denominator = scaled.checked_add(with_fee).ok_or(AmmError::Overflow)?;
    Ok(numerator / denominator)
}

/// The same of amounts as a pair can hold them, `uint112`, and a fee in parts of at most 2^15, so
/// that all but the last product fit 128 bits; `None` of others, and where a side is zero.
fn small_amount_out(amount_in: U256, reserves: Reserves, kept: KeptPart) -> Option<U256> {
    let small = |amount| wide::small(amount).filter(|&a| a != 0 && a >> RESERVE_BITS == 0);
    let (given, held) = (small(amount_in)?, small(reserves.reserve_in)?);
    let sold = small(reserves.reserve_out)?;
    if (kept.num | kept.den) >> SMALL_PART_BITS != 0 {
        return None;
    }
    let with_fee = given * u128::from(kept.num);
    let denominator = held * u128::from(kept.den) + with_fee;
    let bought = if with_fee.leading_zeros() + sold.leading_zeros() >= u128::BITS {
        with_fee * sold / denominator
    } else {
        wide::mul_div_128(with_fee, sold, denominator)?
    };
    Some(U256::from_limbs([wide::lower(bought), wide::upper(bought), 0, 0]))
}

/// Least that must be given for `amount_out`, rounded up as the library does: plus one always.
///
/// # Errors
/// [`AmmError::ZeroAmount`], [`AmmError::NoLiquidity`], [`AmmError::Overflow`];
/// [`AmmError::InsufficientLiquidity`] for the whole reserve or more.
pub fn amount_in(amount_out: U256, reserves: Reserves, kept: KeptPart) -> Result<U256, AmmError> {
    check(amount_out, reserves)?;
    if amount_out >= reserves.reserve_out {
        return Err(AmmError::InsufficientLiquidity);
    }
    let product = mul(reserves.reserve_in, amount_out)?;
    let numerator = mul(product, U256::from(kept.den))?;
    let denominator = mul(reserves.reserve_out - amount_out, U256::from(kept.num))?;
    (numerator / denominator).checked_add(U256::ONE).ok_or(AmmError::Overflow)
}

/// Shares minted for a deposit into a pool of these reserves and this supply of shares.
///
/// # Errors
/// [`AmmError::InsufficientLiquidity`] where no share would be minted, [`AmmError::NoLiquidity`]
/// for shares without reserves, [`AmmError::Overflow`].
pub fn mint_shares(deposit: Amounts, held: Amounts, supply: U256) -> Result<U256, AmmError> {
    let shares = if supply.is_zero() {
        integer_sqrt(mul(deposit.amount0, deposit.amount1)?)
            .checked_sub(MINIMUM_LIQUIDITY)
            .ok_or(AmmError::InsufficientLiquidity)?
    } else {
        if held.amount0.is_zero() || held.amount1.is_zero() {
            return Err(AmmError::NoLiquidity);
        }
        let by0 = mul(deposit.amount0, supply)? / held.amount0;
        let by1 = mul(deposit.amount1, supply)? / held.amount1;
        by0.min(by1)
    };
    if shares.is_zero() { Err(AmmError::InsufficientLiquidity) } else { Ok(shares) }
}

/// What burning shares pays out of the pool's token balances.
///
/// # Errors
/// [`AmmError::NoLiquidity`] without supply, [`AmmError::InsufficientLiquidity`] where a side would
/// be zero or more shares are burned than exist, [`AmmError::Overflow`].
pub fn burn_amounts(shares: U256, balances: Amounts, supply: U256) -> Result<Amounts, AmmError> {
    if supply.is_zero() {
        return Err(AmmError::NoLiquidity);
    }
    let amount0 = mul(shares, balances.amount0)? / supply;
    let amount1 = mul(shares, balances.amount1)? / supply;
    if shares > supply || amount0.is_zero() || amount1.is_zero() {
        return Err(AmmError::InsufficientLiquidity);
    }
    Ok(Amounts { amount0, amount1 })
}

fn check(amount: U256, reserves: Reserves) -> Result<(), AmmError> {
    if amount.is_zero() {
        return Err(AmmError::ZeroAmount);
    }
    if reserves.reserve_in.is_zero() || reserves.reserve_out.is_zero() {
        return Err(AmmError::NoLiquidity);
    }
    Ok(())
}

fn mul(a: U256, b: U256) -> Result<U256, AmmError> {
    a.checked_mul(b).ok_or(AmmError::Overflow)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U512;
    use proptest::prelude::{any, prop_assert, prop_oneof, proptest};

    use super::*;

    fn n(value: u64) -> U256 {
        U256::from(value)
    }

    fn reserves(reserve_in: u64, reserve_out: u64) -> Reserves {
        Reserves { reserve_in: n(reserve_in), reserve_out: n(reserve_out) }
    }

    #[test]
    fn the_library_s_own_examples_hold() {
        assert_eq!(amount_out(n(2), reserves(100, 100), KeptPart::UNISWAP), Ok(n(1)));
        assert_eq!(amount_in(n(1), reserves(100, 100), KeptPart::UNISWAP), Ok(n(2)));
    }

    proptest! {
        /// Amounts of every width, of a pair and of none, and fees in small and in large parts.
        #[test]
        fn what_is_bought_is_what_the_general_integers_say(
            amounts in any::<[u128; 3]>(), shifts in proptest::array::uniform3(0..128u32),
            den in prop_oneof![1..=1_000u32, 1..=32_767u32, 1..=1_000_000u32],
            less in 0..1_000u32,
        ) {
            let [given, held, sold] = [0, 1, 2].map(|at| U256::from(amounts[at] >> shifts[at]));
            let num = den.saturating_sub(less).max(1);
            let reserves = Reserves { reserve_in: held, reserve_out: sold };
            let bought = amount_out(given, reserves, KeptPart::new(num, den).unwrap());
            if !(given.is_zero() || held.is_zero() || sold.is_zero()) {
                let [num, den] = [num, den].map(U512::from);
                let with_fee = U512::from(given) * num;
                let plain = with_fee * U512::from(sold) / (U512::from(held) * den + with_fee);
                let fits = (given.bit_len() + sold.bit_len()) < 256 - 20;
                prop_assert!(bought == Ok(plain.to()) || !fits, "{bought:?}");
            }
        }
    }

    /// Nothing is lost at the end of what fits 128 bits.
    #[test]
    fn the_largest_pair_and_the_largest_parts_are_exact() {
        let most = U256::from((1_u128 << RESERVE_BITS) - 1);
        let reserves = Reserves { reserve_in: most, reserve_out: most };
        let bought = |num, den| amount_out(most, reserves, KeptPart::new(num, den).unwrap());
        // Given as much as there is, at no fee, half of the other side is bought.
        assert_eq!(bought(32_767, 32_767), Ok(most / n(2)));
        assert_eq!(bought(65_535, 65_535), Ok(most / n(2)));
        assert_eq!(bought(1, 32_767), Ok(most / n(32_768)));
    }

    #[test]
    fn what_the_library_reverts_on_is_refused() {
        let kept = KeptPart::UNISWAP;
        assert_eq!(amount_out(n(0), reserves(1, 1), kept), Err(AmmError::ZeroAmount));
        assert_eq!(amount_out(n(1), reserves(0, 1), kept), Err(AmmError::NoLiquidity));
        assert_eq!(amount_in(n(1), reserves(1, 1), kept), Err(AmmError::InsufficientLiquidity));
        assert_eq!(amount_out(U256::MAX, reserves(1, 1), kept), Err(AmmError::Overflow));
        assert!(KeptPart::new(0, 1).is_err());
        assert!(KeptPart::new(1_001, 1_000).is_err());
    }

    #[test]
    fn shares_are_the_root_first_and_the_smaller_side_later() {
        let deposit = Amounts { amount0: n(1_000_000), amount1: n(4_000_000) };
        let first = mint_shares(deposit, Amounts::default(), U256::ZERO).unwrap();
        assert_eq!(first, n(2_000_000 - 1_000));
        let lean = Amounts { amount0: n(500_000), amount1: n(4_000_000) };
        assert_eq!(mint_shares(lean, deposit, n(2_000_000)), Ok(n(1_000_000)));
        assert!(mint_shares(Amounts::default(), deposit, n(2_000_000)).is_err());
        assert!(mint_shares(lean, Amounts::default(), n(1)).is_err());
        let small = Amounts { amount0: n(1_000), amount1: n(1_000) };
        assert!(mint_shares(small, Amounts::default(), U256::ZERO).is_err());
    }

    #[test]
    fn burning_pays_the_share_rounded_down() {
        let balances = Amounts { amount0: n(1_001), amount1: n(4_003) };
        let paid = burn_amounts(n(50), balances, n(100)).unwrap();
        assert_eq!(paid, Amounts { amount0: n(500), amount1: n(2_001) });
        assert!(burn_amounts(n(0), balances, n(100)).is_err());
        assert!(burn_amounts(n(101), balances, n(100)).is_err());
        assert!(burn_amounts(n(1), balances, n(0)).is_err());
    }
}
