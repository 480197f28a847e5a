//! Did we make money, and why: the total, and its parts that sum to it.

use rust_decimal::Decimal;

use super::{PnlPart, PnlView, VALUE_DP, text};
use crate::engine::Engine;
use crate::model::unit::Reason;

impl Engine {
    pub(super) fn pnl(&self) -> PnlView {
        let total = self.total_value().zip(self.opening_value).map(|(now, then)| now - then);
        let parts = self.pnl_parts(total);
        PnlView { total: total.map(|t| text(t.round_dp(VALUE_DP))), parts }
    }

    fn pnl_parts(&self, total: Option<Decimal>) -> Vec<PnlPart> {
        let price = self.reference_price();
        let booked = |reason| price.and_then(|price| self.reason_total(reason, price)).map(|v| -v);
        let open_fees = price.and_then(|price| {
            let mut sum = Decimal::ZERO;
            for position in self.positions.values().filter(|p| p.closed.is_none()) {
                let [_, _, base, quote] = self.position_amounts(position)?;
                sum += base.checked_mul(price)? + quote;
            }
            Some(sum)
        });
        let unrealized =
            self.perpetuals().iter().try_fold(Decimal::ZERO, |sum, (venue, symbol)| {
                Some(sum + self.unrealized(venue, symbol)?)
            });
        let add = |a: Option<Decimal>, b: Option<Decimal>| a.zip(b).map(|(a, b)| a + b);
        // Contracts that somebody else traded count from the mid at which they were taken over.
        let hedged = add(booked(Reason::RealizedPnl), booked(Reason::PerpContracts));
        let parts = [
            ("fees", add(booked(Reason::LpFees), open_fees), "swap fees collected and accrued"),
            ("hedge", add(hedged, unrealized), "perpetual, settled and open"),
            ("funding", booked(Reason::Funding), "perpetual funding received"),
            ("venue_fees", booked(Reason::VenueFees), "commissions of the venues"),
            ("arbitrage", booked(Reason::Arbitrage), "cycles of pools, before gas"),
            ("cex_dex", booked(Reason::CexDex), "pools against exchanges, before fees and gas"),
            ("quotes", booked(Reason::Spot), "spot trades at the price of now, before fees"),
            ("gas", booked(Reason::Gas), "gas at the price of now"),
        ];
        let known = parts.iter().try_fold(Decimal::ZERO, |sum, (_, v, _)| v.map(|v| sum + v));
        let rest = total.zip(known).map(|(total, known)| total - known);
        let rest =
            ("inventory", rest, "all that is left: price moves of what we hold, IL, swap costs");
        let part = |(name, value, source): (&'static str, Option<Decimal>, &'static str)| PnlPart {
            name,
            value: value.map(|v| text(v.round_dp(VALUE_DP))),
            source,
        };
        parts.into_iter().chain([rest]).map(part).collect()
    }
}
