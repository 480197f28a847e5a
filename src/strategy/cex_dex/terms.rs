//! The figures of a swap and its leg, named and with their units.

use super::{Lane, Trade};
use crate::model::intent::Term;
use crate::model::opportunity::{NetProfit, VenueLeg};
use crate::strategy::cex_dex::Parameters;

/// Everything a gap was weighed with. What has no price is left out: it was not looked at.
pub(super) fn of(lane: &Lane<'_>, trade: &Trade, net: Option<NetProfit>) -> Vec<Term> {
    let Lane { view, parameters, .. } = lane;
    let mut terms = vec![
        Term::exact("quantity", trade.quantity, "base on the exchange"),
        Term::exact("swap_base", trade.on_chain.base, "base, into our wallet"),
        Term::exact("swap_quote", trade.on_chain.quote, "quote, into our wallet"),
        Term::exact("leg_base", trade.on_venue.base, "base, into our account, fee off"),
        Term::exact("leg_quote", trade.on_venue.quote, "quote, into our account, fee off"),
        Term::exact("taker_fee", parameters.taker_fee_bps, "bps of what is received"),
        Term::exact("gross", trade.gross, "quote, fees paid"),
        Term::exact("budget", parameters.budget, "numeraire"),
    ];
    if let Some((net, expected)) = net.and_then(|net| Some((net, net.expected()?))) {
        terms.extend([
            Term::exact("fees", net.fees, "numeraire, in gross"),
            Term::exact("gas", net.gas, "numeraire"),
            Term::exact("slippage", net.slippage, "numeraire"),
            Term::whole("landed", view.landed, "swaps"),
            Term::whole("reverted", view.reverted, "swaps"),
            Term::exact("failure_probability", net.failure_probability, "of one"),
            Term::exact("net", expected, "numeraire"),
            Term::exact("min_net", parameters.min_net, "numeraire"),
        ]);
    }
    terms
}

/// The figures of one order of a leg.
pub fn of_leg(leg: &VenueLeg, parameters: &Parameters) -> Vec<Term> {
    vec![
        Term::exact("target", leg.target, "base, positive to buy"),
        Term::exact("done", leg.done, "base, positive when bought"),
        Term::exact("open", leg.open(), "base"),
        Term::exact("anchor", leg.anchor, "quote per base, the swap's own"),
        Term::exact("max_loss", parameters.max_loss_bps, "bps of the anchor"),
        Term::whole("attempt", leg.attempts, "orders before"),
    ]
}
