//! What a rival decides: which gap it goes for, with how much, when, and at what bid.
//!
//! Pure, and simulated: knows no chain and no clock. Invariant: one seed, one view of the pools,
//! one decision.

use std::ops::RangeInclusive;
use std::time::Duration;

use alloy::primitives::{Address, U256, keccak256};
use rust_decimal::Decimal;

use crate::model::amount::{human_unsigned, raw_down};
use crate::world::manifest::PoolSite;
use crate::world::price::{BASE_DECIMALS, QUOTE_DECIMALS};
use crate::world::trade::PoolView;

/// How long a rival takes from a head to its transaction.
const LATENCY_MS: RangeInclusive<u64> = 5..=250;
/// How much of the best size a rival sends, in hundredths: never quite right, on purpose.
const SKILL_PCT: RangeInclusive<u64> = 50..=110;
/// What a rival pays above the base fee, in thousandths of a gwei.
const BID_MILLIGWEI: RangeInclusive<u64> = 200..=3_000;
const WEI_PER_MILLIGWEI: u128 = 1_000_000;
/// What a rival thinks a cycle of two swaps burns.
const GAS_ASSUMED: u64 = 350_000;
/// The fee cap is this many times the node's gas price, so that a few full blocks do not price the
/// transaction out.
const FEE_FACTOR: u128 = 2;
/// A wider gap is sized as this one, in bps: the estimate is for small gaps.
const GAP_BPS_MAX: u64 = 500;
/// Basis points of the whole.
const WHOLE_BPS: u64 = 10_000;
/// Pips of the whole.
const WHOLE_PIPS: u32 = 1_000_000;

/// A pool of ether as a rival sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) pool: PoolSite,
    /// The executors' number of its exchange.
    pub(super) dex: u8,
    /// The token that is not ether.
    pub(super) quote: Address,
    pub(super) view: PoolView,
}

/// Two pools between which a cycle pays before gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Where ether is bought.
    pub(super) cheap: Sight,
    /// Where it is sold.
    pub(super) dear: Sight,
    /// What the first dollar returns beyond itself, after both fees, as a share of it.
    pub(super) share: Decimal,
}

/// What chance decides about one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Draw {
    pub(super) latency: Duration,
    /// Share of the best size.
    pub(super) skill: Decimal,
    pub(super) bid_wei: u128,
}

/// What a transaction offers per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fees {
    pub(super) max_wei: u128,
    pub(super) priority_wei: u128,
    /// What it pays at most as long as the base fee stands: the node's gas price holds a tip too.
    pub(super) likely_wei: u128,
}

/// The widest gap that both fees leave open, between pools with the same other token.
pub(super) fn widest_gap(sights: &[Sight]) -> Option<Gap> {
    let pairs = sights.iter().flat_map(|cheap| sights.iter().map(move |dear| (*cheap, *dear)));
    pairs
        .filter(|(cheap, dear)| cheap.quote == dear.quote)
        .filter_map(|(cheap, dear)| Some(Gap { cheap, dear, share: share(&cheap, &dear)? }))
        .filter(|gap| gap.share > Decimal::ZERO)
        .max_by_key(|gap| gap.share)
}

fn share(cheap: &Sight, dear: &Sight) -> Option<Decimal> {
    let returned = dear.view.price.checked_mul(kept(&dear.pool))?.checked_mul(kept(&cheap.pool))?;
    returned.checked_div(cheap.view.price)?.checked_sub(Decimal::ONE)
}

/// What a pool counts of its input.
fn kept(pool: &PoolSite) -> Decimal {
    Decimal::ONE - Decimal::from(pool.fee_pips) / Decimal::from(WHOLE_PIPS)
}

/// How much to give, in raw quote, when the gain expected from it exceeds the gas assumed.
pub(super) fn amount_worth(gap: &Gap, skill: Decimal, fees: Fees) -> Option<U256> {
    let (given, gain) = size(gap, skill)?;
    if gain <= gas_cost(fees, gap.cheap.view.price)? {
        return None;
    }
    raw_down(given, QUOTE_DECIMALS.into()).filter(|amount| !amount.is_zero())
}

/// How much quote to give, and what to expect of it before gas, in human units.
///
/// Two constant product pools one after the other are one: x given returns `a x / (b + c x)`
/// (`UniswapV2Library.getAmountOut` twice), where `a / b = 1 + g` with g the gap after fees. The
/// gain is largest at `x = (sqrt(a b) - b) / c`. For a small g that is `g / 2 · h`, since at nearly
/// equal prices `b / c` is `h = Q q / (Q + q)`, the harmonic combination of both quote depths, and
/// the gain is `g x - x² / h`.
fn size(gap: &Gap, skill: Decimal) -> Option<(Decimal, Decimal)> {
    let depth_of = |sight: &Sight| human_unsigned(sight.view.depth.quote, QUOTE_DECIMALS.into());
    let (cheap, dear) = (depth_of(&gap.cheap)?, depth_of(&gap.dear)?);
    let depth = cheap.checked_mul(dear.checked_div(cheap.checked_add(dear)?)?)?;
    let share = gap.share.min(Decimal::from(GAP_BPS_MAX) / Decimal::from(WHOLE_BPS));
    let best = share.checked_mul(depth)?.checked_div(Decimal::TWO)?;
    let given = best.checked_mul(skill)?;
    let lost = given.checked_mul(given.checked_div(depth)?)?;
    Some((given, share.checked_mul(given)?.checked_sub(lost)?))
}

/// The gas assumed, in quote.
fn gas_cost(fees: Fees, price: Decimal) -> Option<Decimal> {
    let wei = U256::from(GAS_ASSUMED).checked_mul(U256::from(fees.likely_wei))?;
    human_unsigned(wei, BASE_DECIMALS.into())?.checked_mul(price)
}

pub(super) fn fees(gas_price_wei: u128, bid_wei: u128) -> Fees {
    Fees {
        max_wei: gas_price_wei.saturating_mul(FEE_FACTOR).saturating_add(bid_wei),
        priority_wei: bid_wei,
        likely_wei: gas_price_wei.saturating_add(bid_wei),
    }
}

/// The same for the same seed, rival and block.
pub(super) fn draw(seed: u64, rival: u64, block: u64) -> Draw {
    let digest = keccak256([seed, rival, block].map(u64::to_be_bytes).concat());
    let [latency, skill, bid, _] = U256::from_be_bytes(digest.0).into_limbs();
    Draw {
        latency: Duration::from_millis(within(latency, &LATENCY_MS)),
        skill: Decimal::from(within(skill, &SKILL_PCT)) / Decimal::ONE_HUNDRED,
        bid_wei: u128::from(within(bid, &BID_MILLIGWEI)) * WEI_PER_MILLIGWEI,
    }
}

/// A drawn word as a number of the range.
fn within(word: u64, range: &RangeInclusive<u64>) -> u64 {
    range.start() + word % (range.end() - range.start() + 1)
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;
    use crate::model::chain::PoolAddress;
    use crate::world::manifest::Dex;
    use crate::world::price::Reserves;

    fn at_last(byte: u8) -> PoolAddress {
        Address::with_last_byte(byte).into()
    }

    /// A pool with as much ether as its price needs, and two million of quote.
    fn sight(at: u8, fee_pips: u32, price: Decimal) -> Sight {
        let [weth, quote] = [1, 2].map(Address::with_last_byte);
        let pool = PoolSite {
            address: at_last(at),
            dex: Dex::UniswapV2,
            fee_pips,
            tick_spacing: 1,
            token0: weth,
            token1: quote,
        };
        let base = raw_down(dec!(2000000) / price, BASE_DECIMALS.into()).unwrap();
        let depth = Reserves { base, quote: U256::from(2_000_000_000_000u64) };
        Sight { pool, dex: 0, quote, view: PoolView { price, depth } }
    }

    fn gap(dear_price: Decimal) -> Gap {
        widest_gap(&[sight(10, 3_000, dec!(2000)), sight(11, 3_000, dear_price)]).unwrap()
    }

    fn addresses(gap: &Gap) -> [PoolAddress; 2] {
        [gap.cheap.pool.address, gap.dear.pool.address]
    }

    /// What both pools return for an amount, by their own arithmetic, less the amount.
    fn gained(gap: &Gap, given: Decimal) -> Decimal {
        let out = |sight: &Sight, given: Decimal, from: Decimal, to: Decimal| {
            let counted = given * kept(&sight.pool);
            counted * to / (from + counted)
        };
        let base_of = |sight: &Sight| dec!(2000000) / sight.view.price;
        let bought = out(&gap.cheap, given, dec!(2000000), base_of(&gap.cheap));
        out(&gap.dear, bought, base_of(&gap.dear), dec!(2000000)) - given
    }

    #[test]
    fn ether_is_bought_where_cheap_in_any_order() {
        let (cheap, dear) = (sight(10, 3_000, dec!(2000)), sight(11, 3_000, dec!(2040)));
        let wanted = [10, 11].map(at_last);
        for sights in [[cheap, dear], [dear, cheap]] {
            let gap = widest_gap(&sights).unwrap();
            assert_eq!(addresses(&gap), wanted);
            // 1.02 x 0.997 x 0.997 - 1.
            assert_eq!(gap.share, dec!(0.01388918));
        }
    }

    #[test]
    fn fees_are_part_of_the_choice() {
        let sights = [
            sight(10, 3_000, dec!(2000)),
            sight(11, 3_000, dec!(2030)),
            sight(12, 500, dec!(2028)),
        ];
        let wanted = [10, 12].map(at_last);
        assert_eq!(addresses(&widest_gap(&sights).unwrap()), wanted);
    }

    #[test]
    fn nothing_is_found_within_the_fees() {
        let cheap = sight(10, 3_000, dec!(2000));
        assert_eq!(widest_gap(&[cheap, sight(11, 3_000, dec!(2010))]), None);
        assert_eq!(widest_gap(&[cheap, cheap]), None);
        assert_eq!(widest_gap(&[cheap]), None);
        assert_eq!(widest_gap(&[]), None);
    }

    #[test]
    fn pools_of_another_dollar_make_no_pair() {
        let other = Sight { quote: Address::with_last_byte(3), ..sight(11, 3_000, dec!(2100)) };
        assert_eq!(widest_gap(&[sight(10, 3_000, dec!(2000)), other]), None);
    }

    #[test]
    fn size_grows_with_the_gap_up_to_the_bound() {
        let prices = [dec!(2013), dec!(2020), dec!(2040), dec!(2080), dec!(2111)];
        let sizes = prices.map(|price| size(&gap(price), Decimal::ONE).unwrap());
        assert!(sizes.is_sorted_by(|less, more| less.0 < more.0 && less.1 < more.1), "{sizes:?}");
        let [far, farther] = [dec!(2200), dec!(2300)].map(|price| size(&gap(price), Decimal::ONE));
        assert_eq!(far, farther);
    }

    #[test]
    fn size_is_near_the_best_of_the_real_curves() {
        let gap = gap(dec!(2040));
        let (given, gain) = size(&gap, Decimal::ONE).unwrap();
        assert_eq!((given, gain), (dec!(6944.59), dec!(48.2273302681)));
        let real = gained(&gap, given);
        assert!((gain - real).abs() < gain * dec!(0.02), "{gain} {real}");
        for factor in [dec!(0.9), dec!(1.1)] {
            assert!(gained(&gap, given * factor) < real);
        }
    }

    #[test]
    fn skill_scales_the_amount_and_never_gains_more_than_the_best() {
        let gap = gap(dec!(2040));
        let (best, most) = size(&gap, Decimal::ONE).unwrap();
        for skill in [dec!(0.5), dec!(0.8), dec!(1.1)] {
            let (given, gain) = size(&gap, skill).unwrap();
            assert_eq!(given, best * skill);
            assert!(gain > Decimal::ZERO && gain < most, "{skill}");
        }
    }

    #[test]
    fn empty_pools_have_no_size() {
        let mut gap = gap(dec!(2040));
        gap.cheap.view.depth.quote = U256::ZERO;
        gap.dear.view.depth.quote = U256::ZERO;
        assert_eq!(size(&gap, Decimal::ONE), None);
    }

    #[test]
    fn gain_must_exceed_the_gas() {
        let gwei = |gwei: u128| gwei * 1_000_000_000;
        // 350,000 gas at 2 gwei are 0.0007 ether.
        assert_eq!(gas_cost(fees(gwei(1), gwei(1)), dec!(2000)), Some(dec!(1.4)));
        let amount = amount_worth(&gap(dec!(2040)), Decimal::ONE, fees(gwei(1), gwei(1)));
        assert_eq!(amount, Some(U256::from(6_944_590_000u64)));
        assert_eq!(amount_worth(&gap(dec!(2040)), Decimal::ONE, fees(gwei(100), gwei(1))), None);
        assert_eq!(amount_worth(&gap(dec!(2040)), Decimal::ONE, fees(u128::MAX, 1)), None);
    }

    #[test]
    fn draws_are_repeatable_and_within_their_ranges() {
        let mut skills = [Decimal::ONE; 2];
        for block in 0..2_000 {
            let drawn = draw(7, 1, block);
            assert_eq!(drawn, draw(7, 1, block));
            assert!((5..=250).contains(&drawn.latency.as_millis()), "{drawn:?}");
            assert!((200_000_000..=3_000_000_000).contains(&drawn.bid_wei), "{drawn:?}");
            assert!((dec!(0.5)..=dec!(1.1)).contains(&drawn.skill), "{drawn:?}");
            skills = [skills[0].min(drawn.skill), skills[1].max(drawn.skill)];
        }
        assert_eq!(skills, [dec!(0.5), dec!(1.1)]);
    }

    #[test]
    fn seed_rival_and_block_each_change_the_draw() {
        let drawn = draw(7, 1, 10);
        for other in [draw(8, 1, 10), draw(7, 2, 10), draw(7, 1, 11)] {
            assert_ne!(drawn, other);
        }
    }
}
