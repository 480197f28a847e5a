//! Keeps the net delta of the positions inside a band by trading a perpetual.
//!
//! Trades when the band's outer edge is passed, or when the inner edge has been passed for too long
//! (size x time is the real leg risk); trades back to the target, never beyond it.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::model::intent::{HedgeTarget, Intent, Term, Want};
use crate::model::order::Side;
use crate::model::time::Timestamp;
use crate::model::venue::MarketRules;

/// Worst price accepted, as a fraction through the touch; an IOC stops there.
const PRICE_ROOM_BPS: i64 = 15;

/// What the operator set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Strategy instance that owns the hedge.
    pub strategy: String,
    /// Configured venue.
    pub venue: String,
    /// Venue symbol.
    pub symbol: String,
    /// 0 is flat, 1 is unhedged.
    pub target_delta_fraction: Decimal,
    /// Inner edge of the band, numeraire.
    pub band_min: Decimal,
    /// Outer edge of the band, numeraire.
    pub band_max: Decimal,
    /// Longest time outside the inner edge.
    pub unhedged_ms_max: i64,
}

/// What is.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Base held outside the perpetual.
    pub base_held: Decimal,
    /// Perpetual contracts, signed.
    pub contracts: Decimal,
    /// Best bid and ask of the perpetual.
    pub bid: Decimal,
    /// Best ask.
    pub ask: Decimal,
    /// Trading rules.
    pub rules: &'a MarketRules,
    /// Since when the inner edge is passed.
    pub outside_since: Option<Timestamp>,
    /// Now.
    pub at: Timestamp,
    /// Names the decision: one per finished order.
    pub decision: u64,
}

impl View<'_> {
    /// Contracts we should hold.
    pub fn target(&self, parameters: &Parameters) -> Decimal {
        -self.base_held * (Decimal::ONE - parameters.target_delta_fraction)
    }

    /// Base to be bought (positive) or sold to reach the target.
    pub fn gap(&self, parameters: &Parameters) -> Decimal {
        self.target(parameters) - self.contracts
    }
}

/// True when the gap is worth counting time on.
pub fn is_outside(gap: Decimal, mid: Decimal, parameters: &Parameters) -> bool {
    gap.checked_mul(mid).is_none_or(|value| value.abs() > parameters.band_min)
}

/// The trade that closes the gap, or `None` inside the band or below the venue's minimum.
pub fn decide(view: &View<'_>, parameters: &Parameters) -> Option<Intent> {
    let gap = view.gap(parameters);
    let mid = view.bid.checked_add(view.ask)? / Decimal::TWO;
    let gap_value = gap.checked_mul(mid)?.abs();
    let waited_ms = view.outside_since.map_or(0, |since| view.at.ms_since(since));
    let is_due = gap_value > parameters.band_max
        || (gap_value > parameters.band_min && waited_ms >= parameters.unhedged_ms_max);
    if !is_due {
        return None;
    }
    let (side, touch) =
        if gap > Decimal::ZERO { (Side::Buy, view.ask) } else { (Side::Sell, view.bid) };
    let quantity = floor_to(gap.abs(), view.rules.lot);
    let notional = quantity.checked_mul(touch)?;
    if quantity.is_zero() || notional < view.rules.min_notional {
        return None;
    }
    let room = touch * Decimal::new(PRICE_ROOM_BPS, 4);
    let price_limit = match side {
        Side::Buy => ceil_to(touch + room, view.rules.tick),
        Side::Sell => floor_to(touch - room, view.rules.tick),
    };
    let is_opposite = match side {
        Side::Buy => view.contracts < Decimal::ZERO,
        Side::Sell => view.contracts > Decimal::ZERO,
    };
    let why = format!(
        "net delta {} is worth {} (band {} to {}, outside for {} ms)",
        -gap,
        gap_value.round_dp(2),
        parameters.band_min,
        parameters.band_max,
        waited_ms
    );
    let mut terms = band_terms(view, parameters, gap, (mid, gap_value));
    terms.extend([
        Term::whole("outside_for", waited_ms, "ms"),
        Term::whole("unhedged_max", parameters.unhedged_ms_max, "ms"),
        Term::exact("touch", touch, "quote per base"),
        Term::exact("quantity", quantity, "base"),
        Term::exact("notional", notional, "numeraire"),
        Term::exact("price_limit", price_limit, "quote per base"),
    ]);
    let want = Want::Hedge(HedgeTarget {
        venue: parameters.venue.clone(),
        symbol: parameters.symbol.clone(),
        side,
        quantity,
        price_limit,
        reduce_only: is_opposite && quantity <= view.contracts.abs(),
        notional,
    });
    let key = format!("hedge/{}", view.decision);
    Some(Intent::new(&parameters.strategy, &key, want, why).with_terms(terms))
}

/// How far the contracts are from their target, against the band; `gap` has a mid and a value.
fn band_terms(
    view: &View<'_>,
    parameters: &Parameters,
    gap: Decimal,
    (mid, gap_value): (Decimal, Decimal),
) -> Vec<Term> {
    vec![
        Term::exact("base_held", view.base_held, "base"),
        Term::exact("contracts", view.contracts, "base"),
        Term::exact("target_delta_fraction", parameters.target_delta_fraction, "of base_held"),
        Term::exact("target_contracts", view.target(parameters), "base"),
        Term::exact("delta_before", -gap, "base from target"),
        Term::exact("mid", mid, "quote per base"),
        Term::exact("delta_value", gap_value, "numeraire, absolute"),
        Term::exact("band_min", parameters.band_min, "numeraire"),
        Term::exact("band_max", parameters.band_max, "numeraire"),
    ]
}

fn floor_to(value: Decimal, step: Decimal) -> Decimal {
    if step.is_zero() { value } else { (value / step).floor() * step }
}

fn ceil_to(value: Decimal, step: Decimal) -> Decimal {
    if step.is_zero() {
        value
    } else {
        (value / step).round_dp_with_strategy(0, RoundingStrategy::ToPositiveInfinity) * step
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;

    const RULES: MarketRules =
        MarketRules { tick: dec!(0.01), lot: dec!(0.001), min_notional: dec!(20) };

    fn parameters() -> Parameters {
        Parameters {
            strategy: "lp".into(),
            venue: "hedge".into(),
            symbol: "ETHUSDT".into(),
            target_delta_fraction: dec!(0),
            band_min: dec!(1000),
            band_max: dec!(5000),
            unhedged_ms_max: 30_000,
        }
    }

    fn view(base_held: Decimal, contracts: Decimal) -> View<'static> {
        View {
            base_held,
            contracts,
            bid: dec!(1999.99),
            ask: dec!(2000.01),
            rules: &RULES,
            outside_since: None,
            at: Timestamp(0),
            decision: 1,
        }
    }

    fn hedge(view: &View<'_>) -> Option<HedgeTarget> {
        match decide(view, &parameters())?.want {
            Want::Hedge(target) => Some(target),
            _ => None,
        }
    }

    #[test]
    fn a_long_position_is_sold_short_to_flat() {
        let target = hedge(&view(dec!(10.00049), dec!(0))).expect("outside the band");
        assert_eq!((target.side, target.quantity), (Side::Sell, dec!(10.000)));
        assert_eq!(target.price_limit, dec!(1996.99));
        assert!(!target.reduce_only);
    }

    #[test]
    fn inside_the_band_nothing_is_done() {
        assert_eq!(hedge(&view(dec!(10), dec!(-9.6))), None);
        assert_eq!(hedge(&view(dec!(10), dec!(-8))), None);
    }

    #[test]
    fn a_small_gap_is_closed_when_it_lasts() {
        let mut lasting = view(dec!(10), dec!(-9));
        lasting.outside_since = Some(Timestamp(0));
        lasting.at = Timestamp::from_ms(29_999);
        assert_eq!(hedge(&lasting), None);
        lasting.at = Timestamp::from_ms(30_000);
        assert_eq!(hedge(&lasting).map(|h| h.quantity), Some(dec!(1.000)));
    }

    #[test]
    fn buying_back_is_reduce_only_and_never_crosses_zero() {
        let target = hedge(&view(dec!(0), dec!(-7))).expect("outside the band");
        assert_eq!((target.side, target.quantity), (Side::Buy, dec!(7.000)));
        assert!(target.reduce_only);
        assert_eq!(target.price_limit, dec!(2003.02));
    }

    #[test]
    fn the_same_decision_has_the_same_id() {
        let first = decide(&view(dec!(10), dec!(0)), &parameters()).expect("due");
        let again = decide(&view(dec!(10), dec!(0)), &parameters()).expect("due");
        assert_eq!(first.id, again.id);
    }

    #[test]
    fn the_terms_are_the_figures_of_the_trade() {
        let view = view(dec!(10.00049), dec!(-2));
        let intent = decide(&view, &parameters()).expect("outside the band");
        let term = |name: &str| -> Decimal {
            let term = intent.terms.iter().find(|term| term.name == name).expect(name);
            term.value.parse().expect("a decimal")
        };
        assert_eq!(term("delta_before"), term("contracts") - term("target_contracts"));
        assert_eq!(term("delta_before") * term("mid"), term("delta_value"));
        assert!(term("delta_value") > term("band_max") && term("outside_for").is_zero());
        let Want::Hedge(target) = &intent.want else { panic!("not a hedge") };
        assert_eq!((term("quantity"), term("price_limit")), (target.quantity, target.price_limit));
        assert_eq!(term("touch") * term("quantity"), target.notional);
        assert_eq!(term("notional"), target.notional);
        assert!(intent.terms.iter().all(|term| !term.unit.is_empty()));
    }
}
