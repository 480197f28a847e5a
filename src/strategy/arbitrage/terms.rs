//! The figures of a cycle, named and with their units.

use alloy::primitives::U256;
use rust_decimal::Decimal;

use super::{Cycle, Found, Parameters, TokenRef, View};
use crate::math::cycle::Sizing;
use crate::model::amount::human_unsigned;
use crate::model::intent::Term;
use crate::model::opportunity::NetProfit;

/// Everything a cycle was weighed with. What has no price is left out: it was not looked at.
pub(super) fn of(
    found: &Found,
    cycle: &Cycle<'_>,
    sizing: &Sizing,
    view: &View<'_>,
    parameters: &Parameters,
) -> Vec<Term> {
    let plan = &found.cycle;
    let mut terms = vec![
        Term::estimate("log_marginal_rate", cycle.log_rate, "natural logarithm"),
        amount("amount_in", sizing.amount_in, cycle.token),
        amount("amount_out", sizing.amount_out, cycle.token),
        amount("profit", sizing.profit(), cycle.token),
        amount("min_profit", plan.min_profit, cycle.token),
        Term::exact("start_price", cycle.price, "numeraire per whole token"),
        Term::exact("notional", plan.notional, "numeraire"),
        Term::exact("budget", parameters.budget, "numeraire"),
        Term::whole("gas_price", view.gas_price, "wei per gas"),
    ];
    if let Some((net, expected)) = found.net.zip(found.expected) {
        terms.extend(of_net(&net, expected, view, parameters));
    }
    terms
}

/// What it should bring, part by part: `net` is the chance to land times gross less gas and
/// slippage, less the chance to fail times gas; the fees are in gross already.
fn of_net(
    net: &NetProfit,
    expected: Decimal,
    view: &View<'_>,
    parameters: &Parameters,
) -> [Term; 10] {
    [
        Term::exact("gross", net.gross, "numeraire, fees paid"),
        Term::exact("fees", net.fees, "numeraire, in gross"),
        Term::exact("gas", net.gas, "numeraire"),
        Term::whole("slippage_allowed", parameters.slippage_bps, "bps of the input"),
        Term::exact("slippage", net.slippage, "numeraire"),
        Term::whole("landed", view.landed, "cycles"),
        Term::whole("reverted", view.reverted, "cycles"),
        Term::exact("failure_probability", net.failure_probability, "of one"),
        Term::exact("net", expected, "numeraire"),
        Term::exact("min_net", parameters.min_net, "numeraire"),
    ]
}

/// An amount of the start token, in whole tokens where a decimal holds it.
fn amount(name: &'static str, raw: U256, token: &TokenRef) -> Term {
    match human_unsigned(raw, token.decimals) {
        Some(tokens) => Term::exact(name, tokens, &token.symbol),
        None => Term::whole(name, raw, &format!("smallest units of {}", token.symbol)),
    }
}
