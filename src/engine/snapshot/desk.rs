//! What the operator steers and watches: strategies, cycles, limits, exposure, fuel.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use super::{VALUE_DP, text};
use crate::engine::Engine;
use crate::engine::figures::NATIVE_DECIMALS;
use crate::engine::setup::{StrategyKind, StrategySetup};
use crate::engine::state::{ChainState, StrategyState};
use crate::model::amount::{human, human_unsigned};
use crate::model::opportunity::{Opportunity, OpportunityKind, Tally, VenueLeg};
use crate::model::time::Timestamp;
use crate::model::unit::{Account, Unit};

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;
/// A pip is a hundredth of a basis point.
const PIPS_PER_PERCENT: u32 = 10_000;
/// Shortest time over which a rate of gas is told.
const RATE_MS_MIN: i64 = 30_000;

/// Cycles of pools and pools against exchanges, over the life of the store.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ArbitrageView {
    /// Worth sending.
    pub found: u64,
    /// Signed and sent.
    pub sent: u64,
    /// Mined, and it paid.
    pub landed: u64,
    /// Of these, between a pool and an exchange.
    pub venue_landed: u64,
    /// Gone before anything was signed.
    pub lost: u64,
    /// Mined and refused.
    pub reverted: u64,
    /// Expected of those sent, after costs.
    pub expected_net: String,
    /// Realised by those mined and, with a leg, closed; after gas.
    pub realised_net: String,
    /// The newest, newest first.
    pub opportunities: Vec<OpportunityRow>,
}

/// One opportunity seen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OpportunityRow {
    /// The want's id.
    pub id: String,
    /// cycle or venue.
    pub kind: &'static str,
    /// Chain.
    pub chain_id: u64,
    /// Strategy.
    pub strategy: String,
    /// Height at which it was seen.
    pub block: u64,
    /// When.
    pub at_ms: i64,
    /// Legs in words.
    pub route: Vec<String>,
    /// Token it begins and ends in.
    pub token: String,
    /// Input, whole tokens.
    pub amount_in: String,
    /// Output less input.
    pub gross: Option<String>,
    /// Gas.
    pub gas: Option<String>,
    /// Fees of pools and exchange, contained in gross.
    pub fees: Option<String>,
    /// Expected to be taken by others.
    pub slippage: Option<String>,
    /// 0 to 1.
    pub failure_probability: Option<String>,
    /// After all costs.
    pub expected_net: Option<String>,
    /// After gas, once mined and, with a leg, closed.
    pub realised_net: Option<String>,
    /// What became of it: skipped, found, sent, landed, lost or reverted.
    pub fate: &'static str,
    /// Why.
    pub why: String,
    /// Transaction.
    pub tx_hash: Option<String>,
    /// The leg on the exchange, in words; null for a cycle.
    pub hedge: Option<String>,
}

/// One strategy.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StrategyRow {
    /// Name.
    pub id: String,
    /// Version of its file that it runs by, from 1.
    pub version: u64,
    /// liquidity, arbitrage, cex_dex or market_making.
    pub kind: &'static str,
    /// Chain it acts on.
    pub chain_id: Option<u64>,
    /// What it trades, in words.
    pub market: String,
    /// False when it only observes.
    pub sends: bool,
    /// The operator paused it.
    pub is_paused: bool,
    /// Its money.
    pub budget: String,
    /// Of that, at work now.
    pub used: Option<String>,
    /// Its last decision.
    pub why: String,
    /// When it was made.
    pub decided_ms: Option<i64>,
}

/// One limit.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LimitRow {
    /// Name as in agent.toml.
    pub name: &'static str,
    /// Used; null while unknown.
    pub used: Option<String>,
    /// Limit.
    pub limit: String,
    /// Unit of both.
    pub unit: String,
}

/// Exposure of one asset, venue or chain.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExposureBy {
    /// asset, venue or chain.
    pub scope: &'static str,
    /// Its name.
    pub name: String,
    /// Value held there.
    pub value: Option<String>,
    /// Value of the base asset held there, signed.
    pub net_delta: Option<String>,
}

/// Native coin of one signer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FuelRow {
    /// Chain.
    pub chain_id: u64,
    /// Account.
    pub signer: String,
    /// Held, whole coins.
    pub native: Option<String>,
    /// Below it only what lowers risk is done.
    pub minimum: String,
    /// Only exits may use it.
    pub exit_reserve: String,
    /// Hours it lasts at the rate since the start of this process; null before gas was spent.
    pub runway_h: Option<String>,
}

impl Engine {
    pub(super) fn arbitrage_view(&self) -> ArbitrageView {
        let all = self.tallies.values().copied().fold(Tally::default(), Tally::plus);
        let venue = self.tallies.iter().filter(|((_, kind), _)| *kind == OpportunityKind::Venue);
        ArbitrageView {
            found: all.found,
            sent: all.sent,
            landed: all.landed,
            venue_landed: venue.map(|(_, tally)| tally.landed).sum(),
            lost: all.lost,
            reverted: all.reverted,
            expected_net: text(all.expected_net.round_dp(VALUE_DP)),
            realised_net: text(all.realised_net.round_dp(VALUE_DP)),
            opportunities: self.opportunities.iter().map(opportunity_row).collect(),
        }
    }

    pub(super) fn strategy_rows(&self) -> Vec<StrategyRow> {
        let both = self.setup.strategies.iter().zip(&self.strategies);
        both.map(|(setup, state)| self.strategy_row(setup, state)).collect()
    }

    fn strategy_row(&self, setup: &StrategySetup, state: &StrategyState) -> StrategyRow {
        let (kind, market, used) = match &setup.kind {
            StrategyKind::Liquidity(liquidity) => {
                let pool = self.chains.get(&liquidity.pool.chain);
                let pool = pool.and_then(|chain| chain.setup.pool(liquidity.pool.address));
                let market = pool.map(|pool| {
                    let fee = Decimal::from(pool.fee_pips) / Decimal::from(PIPS_PER_PERCENT);
                    format!("{} {} {} %", pool.dex.replace('_', " "), pool.pair, text(fee))
                });
                let used = match self.open_position(liquidity) {
                    Some(position) => self.position_value(position),
                    None => Some(Decimal::ZERO),
                };
                ("liquidity", market.unwrap_or_default(), used)
            }
            // Flash swaps hold nothing between transactions.
            StrategyKind::Arbitrage(arbitrage) => {
                let market = format!("cycles of up to {} pools", arbitrage.legs_max);
                ("arbitrage", market, Some(Decimal::ZERO))
            }
            StrategyKind::CexDex(legs) => {
                let market = format!("V3 pools against {} {}", legs.venue, legs.symbol);
                ("cex_dex", market, self.value_of_legs(&setup.id))
            }
            StrategyKind::MarketMaking(making) => {
                let held = self.spot_held(&making.venue, &self.setup.base_asset);
                let used = held.zip(self.reference_price()).and_then(|(h, p)| h.checked_mul(p));
                ("market_making", format!("{} {}", making.venue, making.symbol), used)
            }
        };
        StrategyRow {
            id: setup.id.clone(),
            version: setup.version,
            kind,
            chain_id: setup.chain(),
            market,
            sends: setup.sends && self.setup.sends,
            is_paused: state.is_paused,
            budget: text(setup.budget),
            used: used.map(|used| text(used.round_dp(2))),
            why: state.why.clone(),
            decided_ms: state.decided.map(Timestamp::ms),
        }
    }

    /// What due legs of a strategy still have to trade, in the numeraire.
    fn value_of_legs(&self, strategy: &str) -> Option<Decimal> {
        let due = self.opportunities.iter().filter(|o| o.strategy == strategy && o.is_open());
        let legs = due.filter_map(|seen| seen.leg.as_ref()).map(|leg| leg.open().abs());
        let base = legs.fold(Decimal::ZERO, |sum, open| sum.saturating_add(open));
        base.checked_mul(self.reference_price()?)
    }

    fn position_value(&self, position: &crate::engine::event::Position) -> Option<Decimal> {
        let price = self.reference_price()?;
        let [base, quote, fees_base, fees_quote] = self.position_amounts(position)?;
        base.checked_add(fees_base)?.checked_mul(price)?.checked_add(quote + fees_quote)
    }

    pub(super) fn limit_rows(&self) -> Vec<LimitRow> {
        let view = self.risk_view(Ok(()), None);
        let limits = &self.setup.limits;
        let venue = self.setup.hedges.iter().filter_map(|hedge| {
            let contracts = self.contracts(&hedge.parameters.venue, &hedge.parameters.symbol)?;
            contracts.abs().checked_mul(self.reference_price()?)
        });
        let lost = view.daily_pnl.map(|pnl| (-pnl).max(Decimal::ZERO));
        let row = |name, used: Option<Decimal>, limit: Decimal| LimitRow {
            name,
            used: used.map(|used| text(used.round_dp(2))),
            limit: text(limit),
            unit: self.setup.numeraire.clone(),
        };
        vec![
            row("gross_exposure_usd", view.gross_exposure, limits.gross_exposure),
            row("net_delta_usd", view.net_delta.map(|delta| delta.abs()), limits.net_delta),
            row("venue_exposure_usd", venue.max(), limits.venue_exposure),
            row("daily_loss_usd", lost, limits.daily_loss),
            row("gas_budget_usd_per_day", view.gas_today, limits.gas_budget_per_day),
        ]
    }

    pub(super) fn exposure_by(&self) -> Vec<ExposureBy> {
        let price = self.reference_price();
        let row = |scope, name: &str, value: Option<Decimal>, delta: Option<Decimal>| {
            let worth = |base: Option<Decimal>| base.zip(price).and_then(|(b, p)| b.checked_mul(p));
            let shown = |value: Option<Decimal>| value.map(|value| text(value.round_dp(2)));
            let net_delta = shown(worth(delta));
            ExposureBy { scope, name: name.to_owned(), value: shown(value), net_delta }
        };
        let mut rows = Vec::new();
        let base = self.exposure();
        rows.push(row(
            "asset",
            &self.setup.base_asset,
            base.zip(price).and_then(|(e, price)| e.held.checked_mul(price)),
            base.map(|e| e.held + e.contracts),
        ));
        for (asset, amount) in self.other_assets() {
            let value = self.price_of(&asset).and_then(|price| price.checked_mul(amount));
            rows.push(row("asset", &asset, value, Some(Decimal::ZERO)));
        }
        for setup in &self.setup.venues {
            let place = Account::Venue { venue: setup.name.clone() };
            let contracts = self.perpetuals().into_iter().filter(|(venue, _)| *venue == setup.name);
            let delta = contracts.fold(Some(Decimal::ZERO), |sum, (venue, symbol)| {
                sum?.checked_add(self.contracts(&venue, &symbol)?)
            });
            rows.push(row("venue", &setup.name, self.held_at(&place), delta));
        }
        for chain in self.chains.values() {
            let id = chain.setup.chain;
            let place = Account::Wallet { chain: id, signer: chain.setup.signer };
            let open =
                |p: &&crate::engine::event::Position| p.closed.is_none() && p.pool.chain == id;
            let positions = self.positions.values().filter(open);
            let value = positions.fold(self.held_at(&place), |sum, position| {
                sum?.checked_add(self.position_value(position)?)
            });
            let delta = self.base_on_chain(id).map(|(positions, wallet)| positions + wallet);
            rows.push(row("chain", &chain.setup.name, value, delta));
        }
        rows
    }

    /// Assets besides the base that wallets and venues hold.
    fn other_assets(&self) -> BTreeMap<String, Decimal> {
        let mut held: BTreeMap<String, Decimal> = BTreeMap::new();
        for (place, unit, amount) in self.ledger.balances() {
            let is_place = matches!(place, Account::Wallet { .. } | Account::Venue { .. });
            let is_asset = matches!(unit, Unit::Erc20 { .. } | Unit::Asset { .. });
            if !is_place || !is_asset || amount.is_zero() {
                continue;
            }
            let Some((asset, decimals)) = self.asset_of(unit) else { continue };
            if asset != self.setup.base_asset
                && let Some(amount) = human(amount, decimals)
            {
                let sum = held.entry(asset).or_default();
                *sum = sum.saturating_add(amount);
            }
        }
        held
    }

    /// Value of the tokens and assets at one place; `None` while one of them has no price.
    fn held_at(&self, place: &Account) -> Option<Decimal> {
        let mut total = Decimal::ZERO;
        for (at, unit, amount) in self.ledger.balances() {
            if at != place || amount.is_zero() || matches!(unit, Unit::Perp { .. }) {
                continue;
            }
            let (asset, decimals) = self.asset_of(unit)?;
            let value = human(amount, decimals)?.checked_mul(self.price_of(&asset)?)?;
            total = total.checked_add(value)?;
        }
        Some(total)
    }

    pub(super) fn fuel_rows(&self, at: Timestamp) -> Vec<FuelRow> {
        self.chains.values().map(|chain| self.fuel_row(chain, at)).collect()
    }

    fn fuel_row(&self, chain: &ChainState, at: Timestamp) -> FuelRow {
        let coins = |wei| human_unsigned(wei, NATIVE_DECIMALS);
        let native = self.native(chain.setup.chain).and_then(coins);
        let spent = coins(chain.gas_spent).filter(|spent| !spent.is_zero());
        let span_ms = at.ms_since(self.started);
        let runway =
            native.zip(spent).filter(|_| span_ms >= RATE_MS_MIN).and_then(|(native, spent)| {
                let hours = Decimal::from(span_ms) / Decimal::from(HOUR_MS);
                native.checked_mul(hours)?.checked_div(spent)
            });
        let shown = |value: Decimal| text(value.round_dp(6));
        FuelRow {
            chain_id: chain.setup.chain,
            signer: format!("{:#x}", chain.setup.signer),
            native: native.map(shown),
            minimum: coins(chain.setup.min_native).map(shown).unwrap_or_default(),
            exit_reserve: coins(chain.setup.exit_reserve).map(shown).unwrap_or_default(),
            runway_h: runway.map(|hours| text(hours.round_dp(1))),
        }
    }
}

fn opportunity_row(seen: &Opportunity) -> OpportunityRow {
    let shown = |value: Option<Decimal>| value.map(|value| text(value.round_dp(VALUE_DP)));
    let net = seen.net;
    OpportunityRow {
        id: seen.id.to_string(),
        kind: seen.kind().as_str(),
        chain_id: seen.chain,
        strategy: seen.strategy.clone(),
        block: seen.block,
        at_ms: seen.seen.ms(),
        route: seen.route.clone(),
        token: seen.token.clone(),
        amount_in: text(seen.amount_in.round_dp(6)),
        gross: shown(net.map(|net| net.gross)),
        gas: shown(net.map(|net| net.gas)),
        fees: shown(net.map(|net| net.fees)),
        slippage: shown(net.map(|net| net.slippage)),
        failure_probability: shown(net.map(|net| net.failure_probability)),
        expected_net: shown(net.and_then(|net| net.expected())),
        realised_net: shown(seen.realised),
        fate: seen.fate.as_str(),
        why: seen.why.clone(),
        tx_hash: seen.hash.map(|hash| hash.to_string()),
        hedge: seen.leg.as_ref().map(leg_text),
    }
}

/// A leg for people: what is to be traded where, and how far that is.
fn leg_text(leg: &VenueLeg) -> String {
    let side = if leg.plan.is_sign_negative() { "sell" } else { "buy" };
    format!(
        "{side} {} on {} {}: {}, {} traded",
        text(leg.plan.abs()),
        leg.venue,
        leg.symbol,
        leg.state.as_str(),
        text(leg.done.abs())
    )
}
