//! Products of 512 bits and their quotients, on limbs of 64 bits, lowest first.
//!
//! Long division by a divisor shifted until its highest bit is set, one limb of the quotient after
//! the other, each found with a reciprocal instead of a division: Möller and Granlund, "Improved
//! division by invariant integers", IEEE Transactions on Computers 60 (2011), algorithms 4 and 6.
//! The general integers of the tree take twice as long; the tests hold both together.

use alloy::primitives::U256;

/// Limbs of a factor and of a quotient.
const LIMBS: usize = 4;

/// A quotient rounded down, and whether something was left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Divided {
    pub(super) quotient: U256,
    pub(super) is_inexact: bool,
}

/// `a * b / divisor`; `None` when the divisor is zero or the quotient needs more than 256 bits.
pub(super) fn mul_div(a: U256, b: U256, divisor: U256) -> Option<Divided> {
    let (low, high) = product(a, b);
    if !is_below(high, *divisor.as_limbs()) {
        return None;
    }
    let [h0, h1, h2, _] = high;
    let [d0, d1, d2, d3] = *divisor.as_limbs();
    Some(match (d3, d2, d1) {
        (0, 0, 0) => divide_by_limb(low, h0, d0),
        (0, 0, _) => divide(low, [h0, h1], [d0, d1]),
        (0, _, _) => divide(low, [h0, h1, h2], [d0, d1, d2]),
        _ => divide(low, high, [d0, d1, d2, d3]),
    })
}

/// `a * b / 2^96`; `None` when the quotient needs more than 256 bits.
#[inline(always)]
pub(super) fn mul_shift_96(a: U256, b: U256) -> Option<Divided> {
    let ([p0, p1, p2, p3], [p4, p5, p6, p7]) = product(a, b);
    if p5 >> 32 != 0 || p6 != 0 || p7 != 0 {
        return None;
    }
    let joined = |below: u64, above: u64| below >> 32 | above << 32;
    let quotient = [joined(p1, p2), joined(p2, p3), joined(p3, p4), joined(p4, p5)];
    let is_inexact = p0 != 0 || p1 << 32 != 0;
    Some(Divided { quotient: U256::from_limbs(quotient), is_inexact })
}

/// The same of two short numbers, which never needs more.
#[inline(always)]
pub(super) fn mul_shift_96_128(a: u128, b: u128) -> Divided {
    let [p0, p1, p2, p3] = product_128(a, b);
    let quotient = U256::from_limbs([p1 >> 32 | p2 << 32, p2 >> 32 | p3 << 32, p3 >> 32, 0]);
    Divided { quotient, is_inexact: p0 | p1 << 32 != 0 }
}

/// `a * b / divisor`, rounded down; `None` when the divisor is zero or the quotient needs more than
/// 128 bits.
#[inline]
pub(super) fn mul_div_128(a: u128, b: u128, divisor: u128) -> Option<u128> {
    let [p0, p1, p2, p3] = product_128(a, b);
    if joined(p3, p2) >= divisor {
        return None;
    }
    if upper(divisor) == 0 {
        // Then the third limb is below it, and the fourth is zero.
        let q1 = joined(p2, p1) / divisor;
        let q0 = joined(lower(joined(p2, p1) % divisor), p0) / divisor;
        return Some(q1 << 64 | q0);
    }
    let shift = divisor.leading_zeros();
    let [p0, p1, p2, p3] = shifted([p0, p1, p2, p3], 0, shift);
    let divisor = Divisor::new(shifted([lower(divisor), upper(divisor)], 0, shift));
    let (q1, rest) = divisor.digit([p2, p3], p1);
    let (q0, _) = divisor.digit(rest, p0);
    Some(joined(q1, q0))
}

/// `a * b * 2^96 / (c * d)`; `None` where `c * d` is below `2^128`, or the quotient needs more than
/// 128 bits.
#[inline(always)]
pub(super) fn mul_div_96(a: u128, b: u128, c: u128, d: u128) -> Option<Divided> {
    let (divisor, limbs_up) = match product_128(c, d) {
        [_, _, 0, 0] => return None,
        [d0, d1, d2, 0] => ([0, d0, d1, d2], 1),
        divisor => (divisor, 0),
    };
    let shift = divisor[3].leading_zeros();
    let divisor = Divisor::new(shifted(divisor, 0, shift));
    // 96 bits are a limb, which the order of the limbs below makes, and 32 more.
    let (limbs_up, shift) =
        if shift < 32 { (limbs_up, shift + 32) } else { (limbs_up + 1, shift - 32) };
    let [p0, p1, p2, p3] = product_128(a, b);
    let (rest, next) = match (limbs_up, shifted([p0, p1, p2, p3, 0], 0, shift)) {
        (0, [p0, p1, p2, p3, p4]) => ([p1, p2, p3, p4], p0),
        (1, [p0, p1, p2, p3, 0]) => ([p0, p1, p2, p3], 0),
        (2, [p0, p1, p2, 0, 0]) => ([0, p0, p1, p2], 0),
        _ => return None,
    };
    if !is_below(rest, divisor.limbs) {
        return None;
    }
    let (q1, rest) = divisor.digit(rest, next);
    let (q0, [r0, r1, r2, r3]) = divisor.digit(rest, 0);
    let quotient = U256::from_limbs([q0, q1, 0, 0]);
    Some(Divided { quotient, is_inexact: r0 | r1 | r2 | r3 != 0 })
}

/// `(2^256 - 1) / divisor`, rounded down; `None` when the divisor is zero.
pub(super) fn inverse(divisor: u128) -> Option<U256> {
    let high = upper(divisor);
    if high == 0 {
        let divisor = lower(divisor);
        return (divisor != 0).then(|| divide_by_limb([u64::MAX; LIMBS], 0, divisor).quotient);
    }
    let shift = high.leading_zeros();
    let divisor = Divisor::new(shifted([lower(divisor), high], 0, shift));
    // Shifted like the divisor, the ones reach into a fifth limb. The quotient has three.
    let (q2, rest) = divisor.digit([u64::MAX, !(u64::MAX << shift)], u64::MAX);
    let (q1, rest) = divisor.digit(rest, u64::MAX);
    let (q0, _) = divisor.digit(rest, u64::MAX << shift);
    Some(U256::from_limbs([q0, q1, q2, 0]))
}

/// `|a - b|`, and whether `a` is the smaller. Like all here it is written out limb by limb, for
/// otherwise the limbs take a way through memory that costs more than the sum.
#[inline(always)]
pub(super) fn difference(a: U256, b: U256) -> (U256, bool) {
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (*a.as_limbs(), *b.as_limbs());
    let (d0, owed) = a0.overflowing_sub(b0);
    let (d1, owed) = take(a1, b1, owed);
    let (d2, owed) = take(a2, b2, owed);
    let (d3, is_smaller) = take(a3, b3, owed);
    if !is_smaller {
        return (U256::from_limbs([d0, d1, d2, d3]), false);
    }
    let (d0, owed) = b0.overflowing_sub(a0);
    let (d1, owed) = take(b1, a1, owed);
    let (d2, owed) = take(b2, a2, owed);
    let (d3, _) = take(b3, a3, owed);
    (U256::from_limbs([d0, d1, d2, d3]), true)
}

/// `a * b`; `None` where it needs more than 256 bits.
#[inline(always)]
pub(super) fn mul(a: U256, b: U256) -> Option<U256> {
    let (low, [h0, h1, h2, h3]) = product(a, b);
    (h0 | h1 | h2 | h3 == 0).then(|| U256::from_limbs(low))
}

#[inline(always)]
fn is_below([a0, a1, a2, a3]: [u64; LIMBS], [b0, b1, b2, b3]: [u64; LIMBS]) -> bool {
    let owed = a0 < b0;
    let (_, owed) = take(a1, b1, owed);
    let (_, owed) = take(a2, b2, owed);
    take(a3, b3, owed).1
}

#[inline(always)]
fn take(a: u64, b: u64, is_owed: bool) -> (u64, bool) {
    let (left, is_below) = a.overflowing_sub(b);
    let (left, is_further) = left.overflowing_sub(u64::from(is_owed));
    (left, is_below | is_further)
}

/// The low and the high half of `a * b`; quicker with the shorter factor first.
#[inline(always)]
fn product(a: U256, b: U256) -> ([u64; LIMBS], [u64; LIMBS]) {
    let [a0, a1, a2, a3] = *a.as_limbs();
    let (p0, row) = add_row([0; LIMBS], a0, b);
    let (p1, row) = add_row(row, a1, b);
    let (p2, row) = if a2 | a3 == 0 { push_zero(row) } else { add_row(row, a2, b) };
    let (p3, row) = if a3 == 0 { push_zero(row) } else { add_row(row, a3, b) };
    ([p0, p1, p2, p3], row)
}

/// `a * b`.
#[inline(always)]
fn product_128(a: u128, b: u128) -> [u64; LIMBS] {
    let [a0, a1, b0, b1] = [lower(a), upper(a), lower(b), upper(b)].map(u128::from);
    // At most (2^64 - 1)^2 + 2 (2^64 - 1) = 2^128 - 1.
    let s0 = a0 * b0;
    let s1 = a0 * b1 + (s0 >> 64);
    let t1 = a1 * b0 + u128::from(lower(s1));
    let t2 = a1 * b1 + (s1 >> 64) + (t1 >> 64);
    [lower(s0), lower(t1), lower(t2), upper(t2)]
}

/// Of `row + a * b` the lowest limb, and those above it.
#[inline(always)]
fn add_row(row: [u64; LIMBS], a: u64, b: U256) -> (u64, [u64; LIMBS]) {
    let [b0, b1, b2, b3] = *b.as_limbs();
    let [r0, r1, r2, r3] = row;
    let a = u128::from(a);
    // At most (2^64 - 1)^2 + 2 (2^64 - 1) = 2^128 - 1.
    let s0 = a * u128::from(b0) + u128::from(r0);
    let s1 = a * u128::from(b1) + u128::from(r1) + (s0 >> 64);
    let s2 = a * u128::from(b2) + u128::from(r2) + (s1 >> 64);
    let s3 = a * u128::from(b3) + u128::from(r3) + (s2 >> 64);
    (lower(s0), [lower(s1), lower(s2), lower(s3), upper(s3)])
}

#[inline]
fn push_zero([r0, r1, r2, r3]: [u64; LIMBS]) -> (u64, [u64; LIMBS]) {
    (r0, [r1, r2, r3, 0])
}

/// `high` is below the divisor.
fn divide_by_limb(low: [u64; LIMBS], high: u64, divisor: u64) -> Divided {
    let (mut quotient, mut rest) = (low, high);
    for digit in quotient.iter_mut().rev() {
        let taken = joined(rest, *digit);
        *digit = lower(taken / u128::from(divisor));
        rest = lower(taken % u128::from(divisor));
    }
    Divided { quotient: U256::from_limbs(quotient), is_inexact: rest != 0 }
}

/// `high` is below the divisor, whose highest limb is not zero.
#[inline]
fn divide<const N: usize>(low: [u64; LIMBS], high: [u64; N], divisor: [u64; N]) -> Divided {
    let shift = divisor[N - 1].leading_zeros();
    let divisor = Divisor::new(shifted(divisor, 0, shift));
    let rest = shifted(high, low[LIMBS - 1], shift);
    let [n0, n1, n2, n3] = shifted(low, 0, shift);
    let (q3, rest) = divisor.digit(rest, n3);
    let (q2, rest) = divisor.digit(rest, n2);
    let (q1, rest) = divisor.digit(rest, n1);
    let (q0, rest) = divisor.digit(rest, n0);
    let is_inexact = rest.iter().any(|&limb| limb != 0);
    Divided { quotient: U256::from_limbs([q0, q1, q2, q3]), is_inexact }
}

/// A divisor of N limbs, at least two, with its highest bit set.
struct Divisor<const N: usize> {
    limbs: [u64; N],
    /// Of the two highest limbs `d`: `(2^192 - 1) / d - 2^64`.
    reciprocal: u64,
}

impl<const N: usize> Divisor<N> {
    #[inline(always)]
    fn new(limbs: [u64; N]) -> Self {
        let (d1, d0) = (limbs[N - 1], limbs[N - 2]);
        // (2^128 - 1) / d1 - 2^64, in one division of the processor.
        let mut v = lower(joined(!d1, u64::MAX) / u128::from(d1));
        let mut p = d1.wrapping_mul(v).wrapping_add(d0);
        if p < d0 {
            v = v.wrapping_sub(1);
            if p >= d1 {
                v = v.wrapping_sub(1);
                p = p.wrapping_sub(d1);
            }
            p = p.wrapping_sub(d1);
        }
        let t = u128::from(v) * u128::from(d0);
        p = p.wrapping_add(upper(t));
        if p < upper(t) {
            v = v.wrapping_sub(1);
            if joined(p, lower(t)) >= joined(d1, d0) {
                v = v.wrapping_sub(1);
            }
        }
        Self { limbs, reciprocal: v }
    }

    /// The next limb of the quotient, and what is left: of `rest`, which is below the divisor, with
    /// one more limb behind it.
    #[inline(always)]
    fn digit(&self, rest: [u64; N], next: u64) -> (u64, [u64; N]) {
        let top = joined(rest[N - 1], rest[N - 2]);
        if top >> 63 == 0 {
            // With the next limb it is below the divisor still.
            return (0, pushed(rest, next));
        }
        let third = if N > 2 { rest[N - 3] } else { next };
        let (mut digit, above, has_carry) = self.estimate(top, third);
        let (mut rest, owed) = self.less_lower(pushed(rest, next), digit);
        let (mut above, is_below) = above.overflowing_sub(owed);
        if is_below && !has_carry {
            // The estimate, which looked at three limbs, was one too high.
            digit = digit.wrapping_sub(1);
            let carry = self.put_lower(&mut rest);
            let top = joined(self.limbs[N - 1], self.limbs[N - 2]);
            above = above.wrapping_add(top).wrapping_add(carry);
        }
        (rest[N - 1], rest[N - 2]) = (upper(above), lower(above));
        (digit, rest)
    }

    /// Three limbs by the two highest: quotient, rest, and whether the rest has a 129th bit.
    #[inline(always)]
    fn estimate(&self, top: u128, third: u64) -> (u64, u128, bool) {
        let divisor = joined(self.limbs[N - 1], self.limbs[N - 2]);
        if top >= divisor {
            // The quotient would be 2^64; the largest limb leaves one divisor more.
            let (rest, has_carry) = divisor.overflowing_add(u128::from(third));
            return (u64::MAX, rest, has_carry);
        }
        let q = u128::from(self.reciprocal) * u128::from(upper(top));
        let q = q.wrapping_add(top);
        let digit = upper(q);
        let r1 = lower(top).wrapping_sub(digit.wrapping_mul(self.limbs[N - 1]));
        let taken = u128::from(self.limbs[N - 2]) * u128::from(digit);
        let mut rest = joined(r1, third).wrapping_sub(taken).wrapping_sub(divisor);
        let mut digit = digit.wrapping_add(1);
        if upper(rest) >= lower(q) {
            digit = digit.wrapping_sub(1);
            rest = rest.wrapping_add(divisor);
        }
        if rest >= divisor {
            digit = digit.wrapping_add(1);
            rest -= divisor;
        }
        (digit, rest, false)
    }

    /// Less the digit's multiple of all limbs but the two highest, and what is owed above them.
    #[inline(always)]
    fn less_lower(&self, mut rest: [u64; N], digit: u64) -> ([u64; N], u128) {
        let mut owed = 0;
        for place in 0..N - 2 {
            // At most (2^64 - 1)^2 + 2^64 - 1.
            let taken = u128::from(digit) * u128::from(self.limbs[place]) + owed;
            let (left, is_below) = rest[place].overflowing_sub(lower(taken));
            rest[place] = left;
            owed = (taken >> 64) + u128::from(is_below);
        }
        (rest, owed)
    }

    /// Puts the divisor back once, below its two highest limbs; what is carried above them.
    #[cold]
    fn put_lower(&self, rest: &mut [u64; N]) -> u128 {
        let mut carry = 0;
        for (limb, &of_divisor) in rest.iter_mut().zip(&self.limbs[..N - 2]) {
            let sum = u128::from(*limb) + u128::from(of_divisor) + carry;
            *limb = lower(sum);
            carry = sum >> 64;
        }
        carry
    }
}

/// The limbs one place up, the highest gone.
#[inline(always)]
fn pushed<const N: usize>(limbs: [u64; N], lowest: u64) -> [u64; N] {
    let mut pushed = limbs;
    for place in 1..N {
        pushed[place] = limbs[place - 1];
    }
    pushed[0] = lowest;
    pushed
}

/// Shifted up by less than a limb, with the highest bits of the limb below coming in.
#[inline(always)]
fn shifted<const N: usize>(limbs: [u64; N], below: u64, shift: u32) -> [u64; N] {
    // In two shifts, since one by a whole limb is none.
    let joined = |limb: u64, below: u64| limb << shift | below >> 1 >> (63 - shift);
    let mut shifted = limbs;
    for place in 1..N {
        shifted[place] = joined(limbs[place], limbs[place - 1]);
    }
    shifted[0] = joined(limbs[0], below);
    shifted
}

/// The number where it has at most 128 bits.
#[inline(always)]
pub(super) fn small(value: U256) -> Option<u128> {
    let [low, high, above0, above1] = *value.as_limbs();
    (above0 | above1 == 0).then(|| joined(high, low))
}

#[inline]
pub(super) fn joined(upper: u64, lower: u64) -> u128 {
    u128::from(upper) << 64 | u128::from(lower)
}

#[inline]
pub(super) fn upper(value: u128) -> u64 {
    lower(value >> 64)
}

/// The lowest limb; what is above it is not meant.
#[inline]
pub(super) fn lower(value: u128) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U512;
    use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    /// Numbers of every width, with the limbs at which carries and estimates go wrong.
    fn number() -> impl Strategy<Value = U256> {
        let limb = prop_oneof![
            any::<u64>(),
            proptest::sample::select(vec![0, 1, 1 << 63, (1 << 63) - 1, u64::MAX - 1, u64::MAX]),
        ];
        let limbs = proptest::array::uniform4(limb);
        (limbs, 0..=256usize).prop_map(|(limbs, shift)| U256::from_limbs(limbs) >> shift)
    }

    /// Numbers of up to 128 bits, the wider ones more often.
    fn half() -> impl Strategy<Value = u128> {
        let special = vec![1, 1 << 64, 1 << 127, u128::MAX, u128::from(u64::MAX)];
        let wide = (any::<u128>(), 0..70u32).prop_map(|(number, shift)| number >> shift);
        prop_oneof![4 => wide, 1 => proptest::sample::select(special)]
    }

    fn by_general_integers(a: U256, b: U256, divisor: U256) -> Option<Divided> {
        if divisor.is_zero() {
            return None;
        }
        let product: U512 = a.widening_mul(b);
        let (quotient, rest) = product.div_rem(U512::from(divisor));
        Some(Divided { quotient: narrow(quotient)?, is_inexact: !rest.is_zero() })
    }

    fn narrow(value: U512) -> Option<U256> {
        (value.bit_len() <= U256::BITS).then(|| value.to())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn quotients_are_those_of_the_general_integers(
            a in number(), b in number(), divisor in number(),
        ) {
            prop_assert_eq!(mul_div(a, b, divisor), by_general_integers(a, b, divisor));
            let q96 = U256::ONE << 96;
            prop_assert_eq!(mul_shift_96(a, b), by_general_integers(a, b, q96));
            let [a, b, divisor] = [a, b, divisor].map(|n| joined(n.as_limbs()[1], n.as_limbs()[0]));
            let most = by_general_integers(U256::MAX, U256::ONE, U256::from(divisor));
            prop_assert_eq!(inverse(divisor), most.map(|divided| divided.quotient));
            let [wide_a, wide_b, wide_divisor] = [a, b, divisor].map(U256::from);
            let general = by_general_integers(wide_a, wide_b, wide_divisor);
            let general = general.and_then(|divided| u128::try_from(divided.quotient).ok());
            prop_assert_eq!(mul_div_128(a, b, divisor), general);
            let shifted = by_general_integers(wide_a, wide_b, q96);
            prop_assert_eq!(Some(mul_shift_96_128(a, b)), shifted);
        }

        /// In about a third of the cases the quotient is at a power of 2^64, or at the end of what
        /// fits.
        #[test]
        fn products_in_q96_have_the_quotient_of_the_general_integers(
            any_a in half(), b in half(), c in half(), d in half(),
            digits in 0..3usize, more in 0..4u64,
        ) {
            let divisor: U512 = U256::from(c).widening_mul(U256::from(d));
            let aimed = (divisor << (64 * digits) >> 96usize) / U512::from(b.max(1));
            let aimed = narrow(aimed).and_then(small).and_then(|a| a.checked_add(more.into()));
            for a in [Some(any_a), aimed.map(|a| a.saturating_sub(2))].into_iter().flatten() {
                let product: U512 = U256::from(a).widening_mul(U256::from(b));
                let general = (divisor.bit_len() > 128)
                    .then(|| (product << 96usize).div_rem(divisor))
                    .filter(|(quotient, _)| quotient.bit_len() <= 128)
                    .map(|(quotient, rest)| Divided {
                        quotient: quotient.to(),
                        is_inexact: !rest.is_zero(),
                    });
                prop_assert_eq!(mul_div_96(a, b, c, d), general);
            }
        }

        /// The quotient is known beforehand, and the divisor just above or below what is left.
        #[test]
        fn quotients_at_the_edge_of_a_digit_are_right(
            quotient in number(), divisor in number(), less in 0..3u64,
        ) {
            let product: U512 = quotient.widening_mul(divisor);
            let a = narrow(product).and_then(|all| all.checked_sub(U256::from(less)));
            if let Some(a) = a {
                let divided = mul_div(a, U256::ONE, divisor);
                prop_assert_eq!(divided, by_general_integers(a, U256::ONE, divisor));
            }
        }
    }
}
