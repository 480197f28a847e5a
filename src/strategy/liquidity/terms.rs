//! The figures of a liquidity decision, named and with their units.

use rust_decimal::Decimal;

use super::{Held, Parameters, Plan, View, Worth};
use crate::model::intent::Term;

/// The pool against the reference: every decision begins with it.
pub(super) fn of_market(view: &View, parameters: &Parameters, distance_bps: Decimal) -> Vec<Term> {
    vec![
        Term::exact("price", view.pool.price, "quote per base"),
        Term::exact("reference", view.reference, "quote per base"),
        Term::exact("distance", distance_bps, "bps"),
        Term::whole("distance_max", parameters.max_pool_vs_reference_bps, "bps"),
        Term::whole("tick", view.pool.tick, "ticks"),
    ]
}

/// A range and what fills it.
pub(super) fn of_plan(plan: &Plan, parameters: &Parameters) -> Vec<Term> {
    vec![
        Term::exact("half_width", parameters.half_width_pct, "% of the price"),
        Term::whole("tick_lower", plan.range.lower(), "ticks"),
        Term::whole("tick_upper", plan.range.upper(), "ticks"),
        Term::exact("budget", parameters.budget, "numeraire"),
        Term::exact("capital", plan.capital, "quote"),
        Term::exact("base_needed", plan.base, "base"),
        Term::exact("quote_needed", plan.quote, "quote"),
        Term::whole("liquidity", plan.liquidity, "units of liquidity"),
    ]
}

/// A held range that is left, and whether a new one pays for the move.
pub(super) fn of_move(
    view: &View,
    parameters: &Parameters,
    held: &Held,
    dwell_ms: i64,
    worth: &Worth,
) -> Vec<Term> {
    let mut terms = vec![
        Term::whole("held_tick_lower", held.tick_lower, "ticks"),
        Term::whole("held_tick_upper", held.tick_upper, "ticks"),
        Term::whole("held_liquidity", held.liquidity, "units of liquidity"),
        Term::whole("held_for", dwell_ms, "ms"),
        Term::whole("dwell_min", parameters.min_dwell_ms, "ms"),
        Term::whole("moves_today", view.moves_today, "moves"),
        Term::whole("moves_per_day_max", parameters.moves_per_day_max, "moves"),
    ];
    terms.extend(of_plan(&worth.plan, parameters));
    terms.extend([
        Term::exact("fee_rate", worth.fee_rate, "quote per unit of liquidity and second"),
        Term::exact("horizon", worth.horizon_s, "s"),
        Term::exact("expected_fees", worth.gain, "quote"),
        Term::exact("gas", view.gas_per_move, "quote"),
        Term::exact("turned_over", worth.turned, "quote"),
        Term::exact("swap_fee", worth.swap_fee, "quote"),
        Term::exact("slippage", worth.slippage, "quote"),
        Term::exact("cost", worth.cost, "quote"),
        Term::exact("min_gain_over_cost", parameters.min_gain_over_cost, "times"),
    ]);
    // For people: the decision compares the fees with the cost so many times.
    let ratio = worth.gain.checked_div(worth.cost);
    terms.extend(ratio.map(|ratio| Term::exact("gain_over_cost", ratio.round_dp(6), "times")));
    terms
}

/// What a wallet lacks for its range, and the swap that brings it.
pub(super) struct Lack {
    /// Base in the wallet.
    pub(super) base: Decimal,
    /// Quote in the wallet.
    pub(super) quote: Decimal,
    /// Missing base, worth in quote; below zero for too much of it.
    pub(super) short_base: Decimal,
    /// Missing quote.
    pub(super) short_quote: Decimal,
    /// Less is not worth a swap, quote.
    pub(super) worth: Decimal,
    /// Part of the output at the reference that must arrive.
    pub(super) kept: Decimal,
}

impl Lack {
    /// The figures of a swap of this value in quote.
    pub(super) fn terms(&self, view: &View, parameters: &Parameters, value: Decimal) -> Vec<Term> {
        vec![
            Term::exact("base_in_wallet", self.base, "base"),
            Term::exact("quote_in_wallet", self.quote, "quote"),
            Term::exact("base_short", self.short_base, "quote"),
            Term::exact("quote_short", self.short_quote, "quote"),
            Term::exact("worth_a_swap", self.worth, "quote"),
            Term::exact("swapped", value, "quote"),
            Term::whole("swap_fee", view.pool.fee_pips, "pips"),
            Term::whole("max_slippage", parameters.max_slippage_bps, "bps"),
            Term::exact("kept", self.kept, "of the output at the reference"),
        ]
    }
}
