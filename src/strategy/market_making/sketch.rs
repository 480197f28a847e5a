//! How far from the mid each side goes, and the figures that say so.

use rust_decimal::Decimal;

use super::{Parameters, QuoteTarget, View, beyond, bps_of};
use crate::math::quoting::{Model, QuoteLine, Quotes, Utility, away_from_mid, estimate};
use crate::model::intent::Term;

/// The model's quotes, with fees and the operator's spread limits.
pub(super) struct Sketch {
    pub(super) mid: Decimal,
    /// Inventory less target, base.
    pub(super) away: Decimal,
    pub(super) bid_distance: Decimal,
    pub(super) ask_distance: Decimal,
    half_spread: Decimal,
    /// Quote per base per √s.
    sigma: f64,
    line: QuoteLine,
    quotes: Quotes,
    /// Fee on a filled quote, quote per base.
    fee: Decimal,
}

impl std::fmt::Display for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mid, away, sigma, half_spread, .. } = self;
        let (mid, away, half_spread) = (mid.normalize(), away.normalize(), half_spread.round_dp(8));
        write!(f, "mid {mid}, sigma {sigma:.6} per root second, inventory {away} from target, ")?;
        write!(f, "half-spread {half_spread}")
    }
}

impl Sketch {
    pub(super) fn new(
        parameters: &Parameters,
        mid: Decimal,
        away: Decimal,
        variance_per_s: f64,
    ) -> Result<Self, String> {
        let model = Model {
            gamma_per_quote: parameters.gamma,
            variance_per_s,
            kappa_per_price: parameters.kappa,
            intensity_per_s: parameters.intensity_a,
            order_base: estimate(parameters.quote_quantity),
        };
        let modelled = model
            .stationary(0.0, Utility::Exponential)
            .and_then(|line| Ok((line, line.quotes(estimate(away))?)))
            .map_err(|error| error.to_string())?;
        let sigma = libm::sqrt(variance_per_s);
        let sketch = Self::widened(parameters, mid, away, modelled, sigma);
        let sketch = sketch.ok_or_else(|| beyond("spread"))?;
        let max_bps = parameters.max_half_spread_bps;
        let most = bps_of(mid, max_bps).ok_or_else(|| beyond("widest spread"))?;
        if sketch.half_spread > most {
            return Err(format!("{sketch} is above the limit of {max_bps} bps"));
        }
        Ok(sketch)
    }

    fn widened(
        parameters: &Parameters,
        mid: Decimal,
        away: Decimal,
        (line, quotes): (QuoteLine, Quotes),
        sigma: f64,
    ) -> Option<Self> {
        let fee = bps_of(mid, parameters.maker_fee_bps.max(Decimal::ZERO))?;
        let bid = away_from_mid(quotes.bid_distance())?.checked_add(fee)?;
        let ask = away_from_mid(quotes.ask_distance())?.checked_add(fee)?;
        let half = bid.checked_add(ask)?.checked_div(Decimal::TWO)?;
        let least = bps_of(mid, parameters.min_half_spread_bps)?;
        let missing = least.checked_sub(half)?.max(Decimal::ZERO);
        Some(Self {
            mid,
            away,
            bid_distance: bid.checked_add(missing)?.max(fee),
            ask_distance: ask.checked_add(missing)?.max(fee),
            half_spread: half.checked_add(missing)?,
            sigma,
            line,
            quotes,
            fee,
        })
    }

    /// The figures of a quote, from the touch to the orders wanted.
    pub(super) fn terms(
        &self,
        view: &View<'_>,
        parameters: &Parameters,
        target: &QuoteTarget,
    ) -> Vec<Term> {
        const PRICE: &str = "quote per base";
        let mut terms = vec![
            Term::exact("bid_of_others", view.bid, PRICE),
            Term::exact("ask_of_others", view.ask, PRICE),
            Term::exact("mid", self.mid, PRICE),
            Term::estimate("sigma", self.sigma, "quote per base per root second"),
            Term::estimate("gamma", parameters.gamma, "per quote"),
            Term::estimate("kappa", parameters.kappa, "per quote per base"),
            Term::estimate("intensity_a", parameters.intensity_a, "fills per second"),
            Term::exact("order_size", parameters.quote_quantity, "base"),
            Term::exact("inventory", self.away, "base from target"),
            Term::exact("inventory_max", parameters.max_inventory, "base from target"),
            Term::estimate("edge", self.line.edge, PRICE),
            Term::estimate("skew_per_base", self.line.skew_per_base, "quote per base squared"),
            Term::estimate("model_half_spread", self.quotes.half_spread, PRICE),
            Term::estimate("reservation_offset", self.quotes.reservation_offset, PRICE),
            Term::exact("maker_fee", self.fee, PRICE),
            Term::exact("half_spread_min", parameters.min_half_spread_bps, "bps"),
            Term::exact("half_spread_max", parameters.max_half_spread_bps, "bps"),
            Term::exact("half_spread", self.half_spread, PRICE),
            Term::exact("bid_distance", self.bid_distance, PRICE),
            Term::exact("ask_distance", self.ask_distance, PRICE),
        ];
        for (price, quantity, side) in
            [("bid", "bid_quantity", target.bid), ("ask", "ask_quantity", target.ask)]
        {
            let Some(side) = side else { continue };
            terms.push(Term::exact(price, side.price, PRICE));
            terms.push(Term::exact(quantity, side.quantity, "base"));
        }
        terms.push(Term::exact("refresh_threshold", parameters.refresh_bps, "bps"));
        terms.push(Term::whole("time_to_live", parameters.ttl_ms, "ms"));
        terms
    }
}
