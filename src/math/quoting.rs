//! Where a market maker quotes: distances from the mid, and the variance they are made of.
//!
//! Knows models in real numbers; must never know a book, an account or a venue. Models speak f64
//! and estimate only: a distance becomes money through [`away_from_mid`] and [`floor_to`] or
//! [`ceil_to`], which round against us. Invariant: no input panics, and no NaN leaves; logarithms
//! and roots come from `libm`, so that a replay is equal to the bit.
//!
//! Units: time in seconds, quantity in base, money in quote, price and distance in quote per base.
//! Volatility is that of the ARITHMETIC price (quote per base per √s), never of returns.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::model::time::{NS_PER_MS, Timestamp};

/// Below it `ln(1 + x) / x` is its series: the next term, x²/3, is less than an f64 tells.
const SERIES_BELOW: f64 = 1e-8;
/// Decimal places at which a distance is rounded away from the mid.
const DISTANCE_PLACES: u32 = 15;
/// Ten to the power of each scale a `Decimal` can have.
const POWERS_OF_TEN: [f64; 29] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28,
];

/// The market and the maker's taste. A resting order at distance δ from the mid is filled
/// `intensity_per_s · e^(-kappa_per_price · δ)` times a second (Avellaneda & Stoikov 2008).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// γ, absolute risk aversion, per unit of quote; zero is the risk-neutral limit. Times variance
    /// times base it is a price: a γ tuned for inventories in percent or in lots is another figure.
    pub gamma_per_quote: f64,
    /// σ², variance of the price, (quote per base)² per second.
    pub variance_per_s: f64,
    /// k, decay of the fill intensity, per (quote per base).
    pub kappa_per_price: f64,
    /// A, fills per second at the mid.
    pub intensity_per_s: f64,
    /// Δ, base per order.
    pub order_base: f64,
}

/// What the maker maximises: ξ = γ or ξ = 0 in Guéant 2016.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Utility {
    /// Expected CARA utility of the final wealth (model A, ξ = γ).
    Exponential,
    /// Expected wealth less γ/2 times the variance of the inventory's value (model B, ξ = 0).
    MeanVariance,
}

/// Why a model gives no quotes.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// A figure outside its domain.
    #[error("{name} is {value}, it must be {domain}")]
    OutOfDomain {
        /// Which.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        domain: &'static str,
    },
    /// The figures are allowed, their quotes are not finite numbers.
    #[error("the quotes of these figures are not finite")]
    NotFinite,
}

/// Quotes around a mid, in quote per base. A distance below zero crosses the mid: whoever places
/// orders clamps it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quotes {
    /// Centre of the quotes less the mid: negative for a long inventory.
    pub reservation_offset: f64,
    /// Half of ask less bid; never negative.
    pub half_spread: f64,
}

impl Quotes {
    fn new(reservation_offset: f64, half_spread: f64) -> Result<Self, ModelError> {
        let quotes = Self { reservation_offset, half_spread };
        let is_finite = quotes.bid_distance().is_finite() && quotes.ask_distance().is_finite();
        if is_finite { Ok(quotes) } else { Err(ModelError::NotFinite) }
    }

    /// Mid less bid.
    pub fn bid_distance(&self) -> f64 {
        self.half_spread - self.reservation_offset
    }

    /// Ask less mid.
    pub fn ask_distance(&self) -> f64 {
        self.half_spread + self.reservation_offset
    }
}

/// What a model says for every inventory: its quotes are linear in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuoteLine {
    /// `ln(1 + ξΔ/k) / (ξΔ)`, the half-spread of a maker without inventory risk, quote per base.
    pub edge: f64,
    /// `edge + order_base · skew_per_base / 2`, quote per base.
    pub half_spread: f64,
    /// How far both quotes move against one base of inventory, quote per base².
    pub skew_per_base: f64,
    /// The inventory at which the quotes are symmetric, base.
    pub neutral_base: f64,
}

impl QuoteLine {
    /// Quotes at a signed inventory, base away from target.
    ///
    /// # Errors
    /// When the inventory or the quotes are not finite.
    pub fn quotes(&self, inventory_base: f64) -> Result<Quotes, ModelError> {
        finite("inventory_base", inventory_base)?;
        Quotes::new(-(inventory_base - self.neutral_base) * self.skew_per_base, self.half_spread)
    }
}

impl Model {
    /// Stationary quotes of Guéant, Lehalle and Fernandez-Tapia (2013) for order size Δ, in the
    /// asymptotic form of Guéant 2016 (arXiv 1605.01862), eq. 4.6 and 4.7:
    /// `c1 = ln(1 + ξΔ/k) / (ξΔ)`, `c2 = √(γ / (2AΔk) · (1 + ξΔ/k)^(k/(ξΔ) + 1))`,
    /// `δ = c1 + Δσc2/2 ± (q - μ/(γσ²))σc2`: `edge` is c1, `skew_per_base` σc2, and the quotes are
    /// symmetric at `neutral_base` μ/(γσ²). Up to half of the
    /// inventory limit it is mostly within five percent of the exact solution; near the limit that
    /// one is keener to unwind.
    ///
    /// `drift_per_s` is μ, quote per base per second; one without risk has no quotes.
    ///
    /// # Errors
    /// When a figure is outside its domain or the result is not finite.
    pub fn stationary(&self, drift_per_s: f64, utility: Utility) -> Result<QuoteLine, ModelError> {
        self.check()?;
        positive("intensity_per_s", self.intensity_per_s)?;
        finite("drift_per_s", drift_per_s)?;
        let Self { gamma_per_quote: gamma, kappa_per_price: kappa, order_base, .. } = *self;
        let x = match utility {
            Utility::Exponential => gamma * order_base / kappa,
            Utility::MeanVariance => 0.0,
        };
        let ratio = log1p_ratio(x);
        // (1 + x)^(1/x + 1) = e^(ln(1 + x)/x) · (1 + x), which is e at x = 0.
        let power = libm::exp(ratio) * (1.0 + x);
        let c2_squared = gamma / (2.0 * self.intensity_per_s * order_base * kappa) * power;
        let skew_per_base = libm::sqrt(self.variance_per_s) * libm::sqrt(c2_squared);
        let is_still = drift_per_s == 0.0;
        let neutral_base = if is_still { 0.0 } else { drift_per_s / (gamma * self.variance_per_s) };
        self.line(ratio / kappa, skew_per_base, neutral_base)
    }

    /// Quotes of Avellaneda & Stoikov 2008 with `horizon_s` left, preprint eq. 3.18:
    /// `r = s - qγσ²(T-t)`, `δa + δb = γσ²(T-t) + (2/γ) ln(1 + γ/k)`; for orders of Δ base by the
    /// change of unit, which puts Δ beside γ. The intensity A is not in it.
    ///
    /// A horizon that never ends is not one that is always a second away: frozen at T - t = 1 the
    /// skew is several times the stationary one. Round-the-clock markets take [`Self::stationary`].
    ///
    /// # Errors
    /// When a figure is outside its domain or the result is not finite.
    pub fn finite_horizon(&self, horizon_s: f64) -> Result<QuoteLine, ModelError> {
        self.check()?;
        not_negative("horizon_s", horizon_s)?;
        let Self { gamma_per_quote: gamma, kappa_per_price: kappa, order_base, .. } = *self;
        let edge = log1p_ratio(gamma * order_base / kappa) / kappa;
        self.line(edge, gamma * self.variance_per_s * horizon_s, 0.0)
    }

    fn line(&self, edge: f64, skew_per_base: f64, neutral: f64) -> Result<QuoteLine, ModelError> {
        let half_spread = edge + self.order_base * skew_per_base / 2.0;
        let line = QuoteLine { edge, half_spread, skew_per_base, neutral_base: neutral };
        let is_finite =
            [edge, half_spread, skew_per_base, neutral].iter().all(|value| value.is_finite());
        if is_finite { Ok(line) } else { Err(ModelError::NotFinite) }
    }

    fn check(&self) -> Result<(), ModelError> {
        not_negative("gamma_per_quote", self.gamma_per_quote)?;
        not_negative("variance_per_s", self.variance_per_s)?;
        positive("kappa_per_price", self.kappa_per_price)?;
        positive("order_base", self.order_base)
    }
}

/// `ln(1 + x) / x` for x of zero and above; one at zero.
fn log1p_ratio(x: f64) -> f64 {
    if x < SERIES_BELOW { 1.0 - x / 2.0 } else { libm::log1p(x) / x }
}

fn finite(name: &'static str, value: f64) -> Result<(), ModelError> {
    within(name, value, value.is_finite(), "finite")
}

fn not_negative(name: &'static str, value: f64) -> Result<(), ModelError> {
    within(name, value, value.is_finite() && value >= 0.0, "finite and not negative")
}

fn positive(name: &'static str, value: f64) -> Result<(), ModelError> {
    within(name, value, value.is_finite() && value > 0.0, "finite and positive")
}

fn within(
    name: &'static str,
    value: f64,
    is_inside: bool,
    domain: &'static str,
) -> Result<(), ModelError> {
    if is_inside { Ok(()) } else { Err(ModelError::OutOfDomain { name, value, domain }) }
}

/// How a series of mids is thinned, and how much of it is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Samples nearer than this to the one before are left out: what a book does within it is
    /// noise of its own making, not volatility.
    pub spacing_ms_min: i64,
    /// Fewer steps than this say nothing; n steps tell a variance to about √(2/n) of itself.
    pub steps_min: usize,
}

/// A measured variance and what it was measured on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variance {
    /// (quote per base)² per second.
    pub per_s: f64,
    /// Steps it rests on.
    pub n_steps: usize,
    /// Seconds between the first and the last sample used.
    pub span_s: f64,
}

/// Why a variance is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VarianceError {
    /// Too little was seen.
    #[error("volatility is unknown: {n_steps} steps of the mid, at least {steps_min} are needed")]
    TooFewSteps {
        /// Steps far enough apart.
        n_steps: usize,
        /// What is needed.
        steps_min: usize,
    },
    /// A sample is older than the one before it.
    #[error("volatility is unknown: the mid of {at} came after a later one")]
    OutOfOrder {
        /// The older one's time.
        at: Timestamp,
    },
    /// A difference leaves a decimal.
    #[error("volatility is unknown: a step of the mid does not fit a decimal")]
    Overflow,
}

/// Realised variance of an arithmetic Brownian motion seen at irregular times:
/// the sum of squared steps over the sum of their durations, which a short duration cannot blow up
/// as it does the mean of their quotients.
///
/// # Errors
/// When there are too few steps, or the samples are out of order or too far apart in value.
pub fn realised_variance(
    mids: &[(Timestamp, Decimal)],
    sampling: Sampling,
) -> Result<Variance, VarianceError> {
    let spacing_ns = sampling.spacing_ms_min.max(1).saturating_mul(NS_PER_MS);
    let steps_min = sampling.steps_min.max(1);
    let mut kept: Option<(Timestamp, Decimal)> = None;
    let mut newest: Option<Timestamp> = None;
    let (mut n_steps, mut squares, mut span_s) = (0_usize, 0.0, 0.0);
    for &(at, mid) in mids {
        if newest.is_some_and(|newest| at < newest) {
            return Err(VarianceError::OutOfOrder { at });
        }
        newest = Some(at);
        let Some((kept_at, kept_mid)) = kept else {
            kept = Some((at, mid));
            continue;
        };
        let waited_ns = at.0.saturating_sub(kept_at.0);
        if waited_ns < spacing_ns {
            continue;
        }
        let step = estimate(mid.checked_sub(kept_mid).ok_or(VarianceError::Overflow)?);
        squares += step * step;
        span_s += seconds(waited_ns);
        n_steps += 1;
        kept = Some((at, mid));
    }
    if n_steps < steps_min {
        return Err(VarianceError::TooFewSteps { n_steps, steps_min });
    }
    Ok(Variance { per_s: squares / span_s, n_steps, span_s })
}

/// A decimal as an f64, for estimates only: within two units of the last place. Its two operations
/// are rounded as IEEE 754 says, where the crate's own conversion uses `powi`, whose result is not
/// promised to be the same everywhere.
pub fn estimate(value: Decimal) -> f64 {
    value.mantissa() as f64 / POWERS_OF_TEN[value.scale() as usize]
}

/// Nanoseconds as seconds, for estimates only.
fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// A model's distance as a decimal, rounded up: farther from the mid is against us on neither side.
/// `None` for what is not finite or beyond a decimal.
pub fn away_from_mid(distance: f64) -> Option<Decimal> {
    let exact = Decimal::from_f64_retain(distance)?;
    Some(exact.round_dp_with_strategy(DISTANCE_PLACES, RoundingStrategy::ToPositiveInfinity))
}

/// The largest multiple of a positive `step` that is not above `value`: bids and quantities.
pub fn floor_to(value: Decimal, step: Decimal) -> Option<Decimal> {
    if step <= Decimal::ZERO {
        return None;
    }
    // A remainder is exact where a quotient of 28 digits may be rounded up.
    let rest = value.checked_rem(step)?;
    let towards_zero = value.checked_sub(rest)?;
    let floor = if rest < Decimal::ZERO { towards_zero.checked_sub(step)? } else { towards_zero };
    Some(floor.normalize())
}

/// The smallest multiple of a positive `step` that is not below `value`: asks.
pub fn ceil_to(value: Decimal, step: Decimal) -> Option<Decimal> {
    let floor = floor_to(value, step)?;
    if floor == value { Some(floor) } else { Some(floor.checked_add(step)?.normalize()) }
}

#[cfg(test)]
mod tests;
