//! How much to send around a cycle of pools so that it earns most.
//!
//! A cycle returns `out(x)` for `x` of the same token. Every AMM hop is concave in what it is given
//! and so is their composition, over a V3 pool's ticks too; only rounding makes teeth of single
//! units. So [`best_input`] searches as if the curve were concave and then settles among the teeth
//! with exact integers. It knows no pool: whoever calls says what the pools answer.

use alloy::primitives::{I256, U256, Uint};

use crate::math::amm::PIPS;
use crate::math::amm::v3::MAX_SWAP_AMOUNT;

/// Most evaluations of the cycle in one search. One over all 255 bits of the amounts takes some
/// 350, one over the 64 bits of a usual budget some 200.
pub const EVALUATIONS_MAX: u32 = 1_024;

/// Units on either side of the answer in which nothing earns more.
pub const NEIGHBOURS: u64 = 16;

/// Most pools of a cycle in closed form; six of the widest reserves are what the integers hold.
pub const HOPS_MAX: usize = 6;

/// Factor between two inputs of the first, coarse look.
const COARSE: U256 = U256::from_limbs([4, 0, 0, 0]);

/// An interval this narrow is looked at unit by unit.
const NARROW: U256 = U256::from_limbs([32, 0, 0, 0]);

/// The shorter part of a golden section, `(3 - √5) / 2`, in units of 2^-64.
const SHORT_X64: U256 = U256::from_limbs([0x61c8_8646_80b5_83eb, 0, 0, 0]);

/// Holds the product of two composed sides: 2 * 6 * (128 + 20) = 1776 bits, and the root's slack.
type Wide = Uint<2048, 32>;

/// What is known of the answer before the search, in raw units of the start token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Largest input allowed; at most 2^255-1 is used.
    pub max: U256,
    /// An input believed to be good, as [`constant_product_input`] gives it. It is tried besides
    /// the search, so a wrong one costs an evaluation and nothing else.
    pub seed: Option<U256>,
}

/// An input and what comes back for it, in raw units of the start token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizing {
    /// Sent around.
    pub amount_in: U256,
    /// Comes back.
    pub amount_out: U256,
}

impl Sizing {
    /// What comes back beyond what was sent; zero for a loss.
    pub fn profit(self) -> U256 {
        self.amount_out.saturating_sub(self.amount_in)
    }
}

/// The input from one unit to `bounds.max` that earns most; `None` where no input tried earns
/// anything.
///
/// `amount_out` answers what comes back for an input. It must not fall when the input grows, and
/// must say `Some(0)` where an input is too small to buy anything; `None` means that the pools
/// cannot fill it, and is taken as too much.
///
/// Where the real curve is concave from the origin and rounding takes less than `e` units, the
/// answer earns less than `4 e` below the best there is. The coarse look can only miss the peak
/// where each of its inputs earns less than `e`, and one of them is a quarter of the peak or more.
/// The golden section is misled only by points closer than `e`, and then the part it drops holds at
/// most `1.62 e` more than a point it has seen. On top of that, unless the search was cut at
/// [`EVALUATIONS_MAX`]: no input within [`NEIGHBOURS`] units earns more, and no smaller one returns
/// the same.
pub fn best_input(amount_out: impl Fn(U256) -> Option<U256>, bounds: Bounds) -> Option<Sizing> {
    let max = bounds.max.min(MAX_SWAP_AMOUNT);
    if max.is_zero() {
        return None;
    }
    let mut probe = Probe { amount_out, left: EVALUATIONS_MAX, best: None };
    if let Some(seed) = bounds.seed {
        probe.profit(seed.clamp(U256::ONE, max));
    }
    let high = probe.bracket(max);
    let (low, high) = probe.narrow(U256::ONE, high);
    probe.scan(low, high);
    probe.settle(max);
    probe.best.filter(|(profit, _)| profit.is_positive()).map(|(_, sizing)| sizing)
}

/// A pool of constant product on the way round, in raw units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// Of the token given.
    pub reserve_in: u128,
    /// Of the token taken.
    pub reserve_out: u128,
    /// Fee in parts of one million.
    pub fee_pips: u32,
}

/// Where the profit of a cycle of constant-product pools peaks, rounded down; `None` where no input
/// is profitable, a pool is empty, or there are more than [`HOPS_MAX`].
///
/// Such hops compose to `f(x) = a x / (b + c x)`, which is a single virtual pool, and `f(x) - x`
/// peaks at `(√(a b) - b) / c` where `a > b` (set the derivative `a b / (b + c x)²` to one). Exact
/// but for the floor: the hops' own rounding is not in it.
pub fn constant_product_input(hops: &[Hop]) -> Option<U256> {
    if hops.len() > HOPS_MAX {
        return None;
    }
    let (mut a, mut b, mut c) = (Wide::ONE, Wide::ONE, Wide::ZERO);
    for hop in hops {
        let kept = PIPS.checked_sub(hop.fee_pips).filter(|&kept| kept > 0)?;
        if hop.reserve_in == 0 || hop.reserve_out == 0 {
            return None;
        }
        let kept = Wide::from(kept);
        let given = Wide::from(hop.reserve_in) * Wide::from(PIPS);
        c = given * c + kept * a;
        a = kept * Wide::from(hop.reserve_out) * a;
        b = given * b;
    }
    if a <= b {
        return None;
    }
    // Below the last reserve: f never reaches a / c, which is at most that.
    let peak = ((a * b).root(2) - b) / c;
    (peak.bit_len() <= U256::BITS).then(|| U256::from_limbs_slice(&peak.as_limbs()[..4]))
}

/// A search under way: it counts what it asks and remembers the best answer.
struct Probe<F> {
    amount_out: F,
    left: u32,
    best: Option<(I256, Sizing)>,
}

impl<F: Fn(U256) -> Option<U256>> Probe<F> {
    /// What an input returns; `None` when the pools cannot fill it or no question is left.
    fn returns(&mut self, amount_in: U256) -> Option<U256> {
        self.left = self.left.checked_sub(1)?;
        let amount_out = (self.amount_out)(amount_in)?;
        let profit = earned(amount_in, amount_out)?;
        if self.best.is_none_or(|(most, _)| profit > most) {
            self.best = Some((profit, Sizing { amount_in, amount_out }));
        }
        Some(amount_out)
    }

    /// What an input earns. `None` compares as less than any loss.
    fn profit(&mut self, amount_in: U256) -> Option<I256> {
        let amount_out = self.returns(amount_in)?;
        earned(amount_in, amount_out)
    }

    /// An input that the peak is not beyond: looks at inputs in large steps and goes one step past
    /// the last that earns, or past the one that loses least. It does not stop at the first that
    /// earns less, because at inputs worth a few units rounding decides.
    fn bracket(&mut self, max: U256) -> U256 {
        let (mut amount_in, mut last) = (U256::ONE, U256::ONE);
        let mut most: Option<I256> = None;
        while let Some(profit) = self.profit(amount_in) {
            if profit.is_positive() || most.is_none_or(|most| profit > most) {
                last = amount_in;
            }
            most = most.max(Some(profit));
            if amount_in >= max {
                break;
            }
            amount_in = amount_in.saturating_mul(COARSE).min(max);
        }
        last.saturating_mul(COARSE).min(max)
    }

    /// Golden section: drops the side of the lesser of two inner points until little is left. Each
    /// turn spends an evaluation, which bounds the turns.
    fn narrow(&mut self, mut low: U256, mut high: U256) -> (U256, U256) {
        if high - low <= NARROW {
            return (low, high);
        }
        let (mut left, mut right) = (low + short_part(high - low), high - short_part(high - low));
        let (mut left_profit, mut right_profit) = (self.profit(left), self.profit(right));
        while high - low > NARROW && self.left > 0 {
            // Rounding of the inner points may bring them together, but never past each other.
            if left_profit < right_profit {
                (low, left, left_profit) = (left, right, right_profit);
                right = (high - short_part(high - low)).max(left);
                right_profit = self.profit(right);
            } else {
                (high, right, right_profit) = (right, left, left_profit);
                left = (low + short_part(high - low)).min(right);
                left_profit = self.profit(left);
            }
        }
        (low, high)
    }

    /// Looks at every unit of an interval; nothing when it is not narrow.
    fn scan(&mut self, low: U256, high: U256) {
        if high - low > NARROW {
            return;
        }
        let mut amount_in = low;
        while amount_in <= high {
            self.profit(amount_in);
            amount_in += U256::ONE;
        }
    }

    /// Moves the best to where no neighbour earns more and no smaller input returns the same. Each
    /// turn but the last finds a better one with evaluations that run out.
    fn settle(&mut self, max: U256) {
        while let Some((_, before)) = self.best {
            self.cheapen(before);
            let Some((profit, Sizing { amount_in, .. })) = self.best else { return };
            let reach = U256::from(NEIGHBOURS);
            let low = amount_in.saturating_sub(reach).max(U256::ONE);
            self.scan(low, amount_in.saturating_add(reach).min(max));
            if self.best.is_none_or(|(most, _)| most <= profit) {
                return;
            }
        }
    }

    /// Finds the least input that returns as much, and so earns more: downwards in growing steps
    /// while the return stays, then by halving the last step.
    fn cheapen(&mut self, from: Sizing) {
        let (mut enough, mut step) = (from.amount_in, U256::ONE);
        let mut short = U256::ZERO;
        while step < enough {
            let lower = enough - step;
            if self.returns(lower) != Some(from.amount_out) {
                short = lower;
                break;
            }
            enough = lower;
            step = step.saturating_mul(U256::from(2));
        }
        while enough - short > U256::ONE {
            let middle = short + ((enough - short) >> 1);
            if self.returns(middle) == Some(from.amount_out) {
                enough = middle;
            } else {
                short = middle;
            }
        }
    }
}

/// Return less input, signed; `None` for amounts above 2^255-1.
fn earned(amount_in: U256, amount_out: U256) -> Option<I256> {
    I256::try_from(amount_out).ok()?.checked_sub(I256::try_from(amount_in).ok()?)
}

/// The shorter part of `width` divided by the golden section, rounded down; `width` is below 2^255.
fn short_part(width: U256) -> U256 {
    let (high, low) = (width >> 64, width & U256::from(u64::MAX));
    high * SHORT_X64 + ((low * SHORT_X64) >> 64)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
    use proptest::strategy::Strategy;
    use serde_json::Value;

    use super::*;
    use crate::math::amm::v2::{self, KeptPart, Reserves};

    const WHOLE_RANGE: Bounds = Bounds { max: U256::MAX, seed: None };

    fn n(value: u64) -> U256 {
        U256::from(value)
    }

    /// What a cycle of pairs returns, to the unit.
    fn around(hops: &[Hop]) -> impl Fn(U256) -> Option<U256> {
        move |amount_in: U256| {
            hops.iter().try_fold(amount_in, |amount, hop| {
                if amount.is_zero() {
                    return Some(amount);
                }
                let kept = KeptPart::new(PIPS - hop.fee_pips, PIPS).ok()?;
                let (reserve_in, reserve_out) = (hop.reserve_in, hop.reserve_out);
                let (reserve_in, reserve_out) = (U256::from(reserve_in), U256::from(reserve_out));
                v2::amount_out(amount, Reserves { reserve_in, reserve_out }, kept).ok()
            })
        }
    }

    fn seeded(hops: &[Hop], max: U256) -> Bounds {
        Bounds { max, seed: constant_product_input(hops) }
    }

    fn oracle() -> Vec<(Vec<Hop>, Value)> {
        let gz = include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/amm/v2_cycle_arb.json.gz"
        ));
        let mut text = String::new();
        GzDecoder::new(&gz[..]).read_to_string(&mut text).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        let cycles = file["cases"].as_array().unwrap().iter().filter(|c| c["kind"] == "v2_cycle");
        cycles.map(|c| (hops(&c["in"]["pools"]), c["out"].clone())).collect()
    }

    fn hops(pools: &Value) -> Vec<Hop> {
        let reserve = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
        let part = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
        let hop = |pool: &Value| {
            let (num, den) = (part(&pool["fee_num"]), part(&pool["fee_den"]));
            assert_eq!(PIPS % den, 0);
            Hop {
                reserve_in: reserve(&pool["reserve_in"]),
                reserve_out: reserve(&pool["reserve_out"]),
                fee_pips: (den - num) * (PIPS / den),
            }
        };
        pools.as_array().unwrap().iter().map(hop).collect()
    }

    fn u(value: &Value) -> U256 {
        value.as_str().unwrap().parse().unwrap()
    }

    #[test]
    fn the_closed_form_and_the_search_with_and_without_it_agree_with_the_oracle() {
        let cases = oracle();
        assert_eq!(cases.len(), 17);
        for (hops, out) in cases {
            let peak = constant_product_input(&hops);
            assert_eq!(peak.is_some(), out["arb_exists"] == true, "{out}");
            assert_eq!(peak.unwrap_or_default(), u(&out["x_opt_floor"]), "{out}");
            for bounds in [WHOLE_RANGE, seeded(&hops, U256::MAX)] {
                let best = best_input(around(&hops), bounds);
                assert_eq!(best.is_some(), peak.is_some(), "{out}");
                let profit = best.map_or(U256::ZERO, Sizing::profit);
                assert!(profit >= u(&out["profit_at_x_opt_int"]), "{profit} {out}");
                let most = out.get("int_best_profit_in_window").map_or(U256::MAX, u);
                assert!(profit <= most, "{profit} {out}");
            }
        }
    }

    #[test]
    fn no_neighbour_earns_more_and_no_smaller_input_returns_the_same() {
        for (hops, out) in oracle() {
            let amount_out = around(&hops);
            let Some(best) = best_input(&amount_out, seeded(&hops, U256::MAX)) else { continue };
            let at = best.amount_in;
            for away in (1..=NEIGHBOURS).map(n) {
                for near in [at.saturating_sub(away).max(U256::ONE), at + away] {
                    let returned = amount_out(near).unwrap();
                    assert!(returned.saturating_sub(near) <= best.profit(), "{near} {out}");
                    assert!(near >= at || returned < best.amount_out, "{near} {out}");
                }
            }
        }
    }

    /// The peak is at some 137,340 units; below it every unit more earns, teeth aside.
    #[test]
    fn a_limit_and_what_cannot_be_filled_are_used_up_to_the_last_tooth() {
        let hops = [hop(1_000_000, 2_000_000, 3_000), hop(1_000_000, 1_000_000, 3_000)];
        let amount_out = around(&hops);
        let limit = n(50_000);
        let limited = best_input(&amount_out, seeded(&hops, limit)).unwrap();
        let fills = |amount: U256| if amount > limit { None } else { amount_out(amount) };
        let filled = best_input(fills, WHOLE_RANGE).unwrap();
        for best in [limited, filled] {
            assert!(best.amount_in <= limit && best.amount_in + n(4) >= limit, "{best:?}");
        }
        assert_eq!(best_input(|_| None, WHOLE_RANGE), None);
    }

    fn hop(reserve_in: u128, reserve_out: u128, fee_pips: u32) -> Hop {
        Hop { reserve_in, reserve_out, fee_pips }
    }

    #[test]
    fn teeth_as_wide_as_a_coarse_token_end_at_their_cheapest_input() {
        // A step of the middle token is worth some 400 million units of the start token.
        let hops = [
            hop(1_000_000_000_000_000_000_000, 2_525_000_000_000, 500),
            hop(2_500_000_000_000, 1_000_000_000_000_000_000_000, 500),
        ];
        let amount_out = around(&hops);
        let best = best_input(&amount_out, WHOLE_RANGE).unwrap();
        assert!(amount_out(best.amount_in - U256::ONE).unwrap() < best.amount_out);
        let peak = constant_product_input(&hops).unwrap();
        let at_peak = amount_out(peak).unwrap() - peak;
        assert!(best.profit() + n(4 * 400_000_000) > at_peak, "{best:?} {at_peak}");
    }

    #[test]
    fn small_reserves_agree_with_every_input_tried() {
        for seed in 0..400u128 {
            // A small linear congruence instead of a random source.
            let pick = |k: u128| 1 + (seed * 7_919 + k * 104_729 + seed * seed * k * 31) % 60;
            let fee = [0, 500, 3_000][usize::try_from(seed % 3).unwrap()];
            let mut hops = vec![hop(pick(1), pick(2), fee), hop(pick(3), pick(4), 3_000)];
            if seed % 2 == 0 {
                hops.push(hop(pick(5), pick(6), fee));
            }
            let amount_out = around(&hops);
            let earns = |x: u64| amount_out(n(x)).unwrap().saturating_sub(n(x));
            let most = (1..=400).map(earns).max().unwrap();
            let best = best_input(&amount_out, seeded(&hops, n(400)));
            assert_eq!(best.map_or(U256::ZERO, Sizing::profit), most, "{hops:?}");
        }
    }

    #[test]
    fn evaluations_are_bounded_whatever_the_answers() {
        let shapes: [&dyn Fn(U256) -> Option<U256>; 4] = [
            &|x: U256| x.checked_mul(n(2)),
            &|x: U256| Some(x.wrapping_mul(SHORT_X64) >> 1),
            &|_| None,
            &|_| Some(U256::MAX >> 1),
        ];
        for shape in shapes {
            let asked = Cell::new(0u32);
            let amount_out = |x: U256| {
                asked.set(asked.get() + 1);
                shape(x)
            };
            let _ = best_input(amount_out, WHOLE_RANGE);
            assert!(asked.get() <= EVALUATIONS_MAX);
        }
        assert_eq!(best_input(Some, Bounds { max: U256::ZERO, seed: None }), None);
    }

    #[test]
    fn pools_without_a_closed_form_have_none() {
        let good = hop(1_000, 2_000, 3_000);
        for bad in [hop(0, 1, 0), hop(1, 0, 0), hop(1, 1, PIPS), hop(1, 1, u32::MAX)] {
            assert_eq!(constant_product_input(&[good, bad]), None);
        }
        assert_eq!(constant_product_input(&[]), None);
        assert_eq!(constant_product_input(&[good; HOPS_MAX + 1]), None);
        let tall = hop(1, u128::MAX, 0);
        assert!(constant_product_input(&[tall; HOPS_MAX]).is_some());
    }

    fn any_hop() -> impl Strategy<Value = Hop> {
        (any::<u128>(), any::<u128>(), 16usize..116, 0u32..50_000)
            .prop_map(|(a, b, shift, fee)| hop((a >> shift).max(1), (b >> shift).max(1), fee))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn nothing_tried_at_random_beats_the_answer(
            hops in proptest::collection::vec(any_hop(), 2..=3),
            others in proptest::collection::vec((any::<u128>(), 0usize..128), 200),
        ) {
            let amount_out = around(&hops);
            let found = best_input(&amount_out, seeded(&hops, U256::MAX));
            let profit = found.map_or(U256::ZERO, Sizing::profit);
            // Rounding of every hop but the last, at the best rate the later ones ever give.
            let lost = hops.iter().skip(1).fold(n(1), |lost, hop| {
                let rate = U256::from(hop.reserve_out / hop.reserve_in) + n(1);
                lost.saturating_mul(rate).saturating_add(n(1))
            });
            for (other, shift) in others {
                let other = U256::from((other >> shift).max(1));
                let earned = amount_out(other).unwrap_or_default().saturating_sub(other);
                prop_assert!(earned <= profit.saturating_add(lost.saturating_mul(n(4))));
            }
        }

        #[test]
        fn no_reserves_and_no_limit_panic(
            reserves in any::<[(u128, u128); 3]>(),
            fees in any::<[u32; 3]>(),
            max in any::<[u64; 4]>(),
            seed in any::<[u64; 4]>(),
        ) {
            let sides = reserves.into_iter().zip(fees);
            let hops: Vec<_> = sides.map(|((a, b), fee)| hop(a, b, fee % PIPS)).collect();
            let _ = constant_product_input(&hops);
            let (max, seed) = (U256::from_limbs(max), Some(U256::from_limbs(seed)));
            let found = best_input(around(&hops), Bounds { max, seed });
            prop_assert_eq!(found, best_input(around(&hops), Bounds { max, seed }));
            prop_assert!(found.is_none_or(|sizing| sizing.amount_out > sizing.amount_in));
            prop_assert!(found.is_none_or(|sizing| sizing.amount_in <= max));
        }
    }
}
