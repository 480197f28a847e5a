//! The gate: every want passes here or does not become a deed.
//!
//! `Approved` has no other constructor; execution accepts nothing else. A halt blocks new risk and
//! always lets what only reduces risk pass.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use crate::model::intent::{Intent, Want};
use crate::model::order::Side;

/// A want that may be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Approved {
    intent: Intent,
}

impl Approved {
    /// The want itself.
    pub fn intent(&self) -> &Intent {
        &self.intent
    }
}

/// How far the house may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reading the truth; nothing is sent.
    Recovering,
    /// Normal.
    Running,
    /// Something we need is not there; ends by itself.
    Paused(String),
    /// Only what lowers risk, while ledger and world differ; ends when they agree again.
    ReduceOnly(String),
    /// Full stop; ends by a person.
    Halted(String),
}

impl Mode {
    /// The word stored and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Running => "running",
            Self::Paused(_) => "paused",
            Self::ReduceOnly(_) => "reduce_only",
            Self::Halted(_) => "halted",
        }
    }

    /// Why, when there is a why.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Recovering | Self::Running => None,
            Self::Paused(why) | Self::ReduceOnly(why) | Self::Halted(why) => Some(why),
        }
    }
}

/// Limits that bind every strategy, in the numeraire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Sum of absolute exposures.
    pub gross_exposure: Decimal,
    /// Absolute net delta after the want.
    pub net_delta: Decimal,
    /// Held on one venue.
    pub venue_exposure: Decimal,
    /// Lost since the day began.
    pub daily_loss: Decimal,
    /// Gas spent since the day began.
    pub gas_budget_per_day: Decimal,
}

/// What the gate needs to know; `None` is unknown and refuses.
#[derive(Clone, Debug)]
pub struct RiskView {
    /// How far the house may act.
    pub mode: Mode,
    /// True when what the want trades on is live: its pool, its book, its chain.
    pub is_market_live: bool,
    /// Why it is not live.
    pub market_state: String,
    /// Sum of absolute exposures now.
    pub gross_exposure: Option<Decimal>,
    /// Net delta now, signed.
    pub net_delta: Option<Decimal>,
    /// Absolute perpetual position on the venue now.
    pub venue_exposure: Option<Decimal>,
    /// Profit since the day began, negative when lost.
    pub daily_pnl: Option<Decimal>,
    /// Gas spent since the day began.
    pub gas_today: Option<Decimal>,
}

/// Why a want was refused, with the figures.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The house stands still.
    #[error("mode is {mode}: {reason}")]
    Mode { mode: &'static str, reason: String },
    /// A market is not live.
    #[error("market is not live: {state}")]
    Stale { state: String },
    /// A figure the check needs is unknown.
    #[error("{what} is unknown")]
    Unknown { what: &'static str },
    /// A limit would be passed.
    #[error("{what} would be {asked}, limit {limit}")]
    Limit { what: &'static str, asked: Decimal, limit: Decimal },
}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The gate's answer; a refusal is an answer, not an error of ours.
pub type Verdict = Result<Approved, Refusal>;

/// What one check asked of a want, and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckRow {
    /// Its name.
    pub check: &'static str,
    /// What the want would lead to, numeraire; `None` where no figure is asked or it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Decimal>,
    /// Most that is allowed, numeraire; `None` where no limit is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Decimal>,
    /// What it found.
    pub result: Finding,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Nothing against the want.
    Passed,
    /// It does not bind such a want, for this reason.
    NotAsked(&'static str),
    /// The want must not be carried out.
    Refused(Refusal),
}

/// A check that does not refuse.
enum Pass {
    /// It was asked, of a figure where it has one.
    Asked(Option<Decimal>),
    /// It does not bind such a want, for this reason.
    NotAsked(&'static str),
}

/// A check.
struct Check {
    name: &'static str,
    ask: fn(&Intent, &RiskView, &Limits) -> Result<Pass, Refusal>,
    limit: fn(&Limits) -> Option<Decimal>,
}

/// All of them, in the order in which they may refuse.
const CHECKS: [Check; 7] = [
    Check { name: "mode", ask: mode, limit: |_| None },
    Check { name: "freshness", ask: freshness, limit: |_| None },
    Check { name: "daily_loss", ask: daily_loss, limit: |limits| Some(limits.daily_loss) },
    Check { name: "gas_budget", ask: gas_budget, limit: |limits| Some(limits.gas_budget_per_day) },
    Check { name: "net_delta", ask: net_delta, limit: |limits| Some(limits.net_delta) },
    Check {
        name: "venue_exposure",
        ask: venue_exposure,
        limit: |limits| Some(limits.venue_exposure),
    },
    Check {
        name: "gross_exposure",
        ask: gross_exposure,
        limit: |limits| Some(limits.gross_exposure),
    },
];

/// What every check finds, in order, also behind the first refusal.
pub fn checks(intent: &Intent, view: &RiskView, limits: &Limits) -> Vec<CheckRow> {
    let row = |check: &Check| {
        let limit = (check.limit)(limits);
        let (asked, limit, result) = match (check.ask)(intent, view, limits) {
            Ok(Pass::Asked(asked)) => (asked, limit, Finding::Passed),
            Ok(Pass::NotAsked(why)) => (None, None, Finding::NotAsked(why)),
            Err(refusal) => {
                let asked = match &refusal {
                    Refusal::Limit { asked, .. } => Some(*asked),
                    _ => None,
                };
                (asked, limit, Finding::Refused(refusal))
            }
        };
        CheckRow { check: check.name, asked: asked.map(|asked| asked.normalize()), limit, result }
    };
    CHECKS.iter().map(row).collect()
}

/// Asks every check in order; the first refusal is the answer.
///
/// # Errors
/// `Refusal`, the want must then not be carried out.
pub fn review(intent: Intent, view: &RiskView, limits: &Limits) -> Verdict {
    for row in checks(&intent, view, limits) {
        if let Finding::Refused(refusal) = row.result {
            return Err(refusal);
        }
    }
    Ok(Approved { intent })
}

fn mode(intent: &Intent, view: &RiskView, _: &Limits) -> Result<Pass, Refusal> {
    let refused = || Refusal::Mode {
        mode: view.mode.as_str(),
        reason: view.mode.reason().unwrap_or("not ready").to_owned(),
    };
    match &view.mode {
        Mode::Running => Ok(Pass::Asked(None)),
        Mode::ReduceOnly(_) | Mode::Halted(_) if intent.reduces_risk() => Ok(Pass::Asked(None)),
        _ => Err(refused()),
    }
}

fn freshness(_: &Intent, view: &RiskView, _: &Limits) -> Result<Pass, Refusal> {
    if view.is_market_live {
        Ok(Pass::Asked(None))
    } else {
        Err(Refusal::Stale { state: view.market_state.clone() })
    }
}

fn known(what: &'static str, value: Option<Decimal>) -> Result<Decimal, Refusal> {
    value.ok_or(Refusal::Unknown { what })
}

fn within(what: &'static str, asked: Decimal, limit: Decimal) -> Result<Pass, Refusal> {
    if asked <= limit {
        Ok(Pass::Asked(Some(asked)))
    } else {
        Err(Refusal::Limit { what, asked, limit })
    }
}

fn daily_loss(intent: &Intent, view: &RiskView, limits: &Limits) -> Result<Pass, Refusal> {
    if intent.reduces_risk() {
        return Ok(Pass::NotAsked("it can only lower what we risk"));
    }
    within("loss of the day", -known("profit of the day", view.daily_pnl)?, limits.daily_loss)
}

fn gas_budget(intent: &Intent, view: &RiskView, limits: &Limits) -> Result<Pass, Refusal> {
    match intent.want {
        Want::Open(_) | Want::Swap(_) | Want::Cycle(_) => {
            let spent = known("gas of the day", view.gas_today)?;
            within("gas of the day", spent, limits.gas_budget_per_day)
        }
        Want::Close(_) => Ok(Pass::NotAsked("an exit must not fail for a budget")),
        Want::Hedge(_) | Want::Leg(_) | Want::Quote(_) => {
            Ok(Pass::NotAsked("an order costs no gas"))
        }
    }
}

/// Neither a hedge nor a filled quote may overshoot: it must lower the absolute delta, or stay
/// inside the limit. A leg brings the delta back to what it was before its swap.
fn net_delta(intent: &Intent, view: &RiskView, limits: &Limits) -> Result<Pass, Refusal> {
    let (side, notional) = match &intent.want {
        Want::Hedge(hedge) => (hedge.side, hedge.notional),
        Want::Quote(quote) => (quote.side, quote.notional),
        _ => return Ok(Pass::NotAsked("it is asked of hedges and quotes")),
    };
    let now = known("net delta", view.net_delta)?;
    let change = match side {
        Side::Buy => notional,
        Side::Sell => -notional,
    };
    let after = (now + change).abs();
    if after < now.abs() {
        return Ok(Pass::NotAsked("it lowers the absolute delta"));
    }
    within("net delta", after, limits.net_delta)
}

fn venue_exposure(intent: &Intent, view: &RiskView, limits: &Limits) -> Result<Pass, Refusal> {
    match &intent.want {
        Want::Hedge(hedge) if !hedge.reduce_only => {
            let held = known("venue exposure", view.venue_exposure)?;
            within("venue exposure", held + hedge.notional, limits.venue_exposure)
        }
        Want::Hedge(_) => Ok(Pass::NotAsked("it only shrinks what the venue holds")),
        Want::Quote(_) | Want::Leg(_) => {
            Ok(Pass::NotAsked("it turns what the venue already holds"))
        }
        Want::Open(_) | Want::Close(_) | Want::Swap(_) | Want::Cycle(_) => {
            Ok(Pass::NotAsked("it trades on no venue"))
        }
    }
}

fn gross_exposure(intent: &Intent, view: &RiskView, limits: &Limits) -> Result<Pass, Refusal> {
    match &intent.want {
        // Liquidity and swaps move value we already hold on the chain: gross stays what it is.
        Want::Open(_) | Want::Swap(_) => {
            let gross = known("gross exposure", view.gross_exposure)?;
            within("gross exposure", gross, limits.gross_exposure)
        }
        Want::Cycle(_) => Ok(Pass::NotAsked("a cycle is flat before and after")),
        Want::Close(_) => Ok(Pass::NotAsked("a closing adds nothing to it")),
        Want::Hedge(_) => Ok(Pass::NotAsked("the limit of its venue binds it")),
        Want::Quote(_) | Want::Leg(_) => {
            Ok(Pass::NotAsked("it turns what the venue already holds"))
        }
    }
}

#[cfg(test)]
mod tests {
    mod rows;

    use alloy::primitives::{Address, U256};
    use rust_decimal::dec;

    use super::*;
    use crate::model::intent::{CloseRange, HedgeTarget, PoolId, SwapPlan};

    const LIMITS: Limits = Limits {
        gross_exposure: dec!(1000),
        net_delta: dec!(100),
        venue_exposure: dec!(500),
        daily_loss: dec!(50),
        gas_budget_per_day: dec!(10),
    };

    fn view(mode: Mode) -> RiskView {
        RiskView {
            mode,
            is_market_live: true,
            market_state: String::new(),
            gross_exposure: Some(dec!(10)),
            net_delta: Some(dec!(300)),
            venue_exposure: Some(dec!(0)),
            daily_pnl: Some(dec!(0)),
            gas_today: Some(dec!(0)),
        }
    }

    fn hedge(side: Side, notional: Decimal, reduce_only: bool) -> Intent {
        let want = Want::Hedge(HedgeTarget {
            venue: "hedge".into(),
            symbol: "ETHUSDT".into(),
            side,
            quantity: dec!(1),
            price_limit: dec!(1),
            reduce_only,
            notional,
        });
        Intent::new("s", "k", want, String::new())
    }

    fn close() -> Intent {
        let pool = PoolId { chain: 1, address: Address::ZERO.into() };
        let want = Want::Close(CloseRange {
            pool,
            token_id: U256::ONE,
            liquidity: 1,
            amount0_min: U256::ZERO,
            amount1_min: U256::ZERO,
        });
        Intent::new("s", "c", want, String::new())
    }

    #[test]
    fn halt_blocks_new_risk_and_lets_exits_pass() {
        let halted = view(Mode::Halted("because".into()));
        assert!(review(hedge(Side::Sell, dec!(10), false), &halted, &LIMITS).is_err());
        assert!(review(hedge(Side::Sell, dec!(10), true), &halted, &LIMITS).is_ok());
        assert!(review(close(), &halted, &LIMITS).is_ok());
        assert!(review(close(), &view(Mode::Recovering), &LIMITS).is_err());
        assert!(review(close(), &view(Mode::Paused("db".into())), &LIMITS).is_err());
    }

    #[test]
    fn unknown_is_refused() {
        let mut unknown = view(Mode::Running);
        unknown.daily_pnl = None;
        let verdict = review(hedge(Side::Sell, dec!(10), false), &unknown, &LIMITS);
        assert_eq!(verdict, Err(Refusal::Unknown { what: "profit of the day" }));
    }

    #[test]
    fn unknown_gas_refuses_what_costs_gas_and_lets_exits_pass() {
        let mut unknown = view(Mode::Running);
        unknown.gas_today = None;
        let want = Want::Swap(SwapPlan {
            pool: PoolId { chain: 1, address: Address::ZERO.into() },
            token_in: Address::ZERO,
            token_out: Address::ZERO,
            amount_in: U256::ONE,
            amount_out_min: U256::ONE,
            notional: dec!(1),
        });
        let verdict = review(Intent::new("s", "w", want, String::new()), &unknown, &LIMITS);
        assert_eq!(verdict, Err(Refusal::Unknown { what: "gas of the day" }));
        assert!(review(close(), &unknown, &LIMITS).is_ok());
    }

    #[test]
    fn a_stale_market_is_refused_even_for_exits() {
        let mut stale = view(Mode::Running);
        stale.is_market_live = false;
        assert!(review(close(), &stale, &LIMITS).is_err());
    }

    #[test]
    fn a_hedge_may_lower_the_delta_but_not_overshoot_the_limit() {
        let running = view(Mode::Running);
        assert!(review(hedge(Side::Sell, dec!(250), false), &running, &LIMITS).is_ok());
        assert!(review(hedge(Side::Sell, dec!(450), false), &running, &LIMITS).is_ok());
        let flipped = review(hedge(Side::Buy, dec!(1), false), &running, &LIMITS);
        assert!(matches!(flipped, Err(Refusal::Limit { what: "net delta", .. })));
    }

    #[test]
    fn each_limit_binds() {
        let mut poor = view(Mode::Running);
        poor.daily_pnl = Some(dec!(-50.01));
        assert!(review(hedge(Side::Sell, dec!(1), false), &poor, &LIMITS).is_err());
        let full = view(Mode::Running);
        assert!(review(hedge(Side::Sell, dec!(501), false), &full, &LIMITS).is_err());
    }
}
