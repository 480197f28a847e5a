//! Figures for people and for limits: values in the numeraire, exact amounts underneath.
//!
//! Everything here is `Option`: what cannot be known is `None`, never zero.

use alloy::primitives::U256;
use rust_decimal::Decimal;

use crate::engine::Engine;
use crate::engine::event::{Pool, Position};
use crate::engine::setup::{ChainSetup, PoolSetup};
use crate::engine::state::{FEE_WINDOW_MIN_MS, PoolState};
use crate::ledger::entry::Entry;
use crate::math::amm::liquidity::{amounts_for_liquidity, fees_owed};
use crate::math::amm::price::{Base, PriceFrame};
use crate::math::amm::tick::TickRange;
use crate::math::amm::{Amounts, Q128, Rounding, mul_div};
use crate::model::amount::{human, human_unsigned};
use crate::model::intent::PoolId;
use crate::model::unit::{Account, Reason, Unit, VENUE_DECIMALS};

/// Decimal places a displayed or compared price keeps.
const PRICE_DP: u32 = 12;
/// Decimal places of wei.
pub const NATIVE_DECIMALS: u32 = 18;
/// Places of the finest `Decimal`.
const SCALE_MAX: u32 = 28;

/// Quote per base of a pool, in whole tokens.
pub fn pool_price(chain: &ChainSetup, setup: &PoolSetup, pool: &Pool) -> Option<Decimal> {
    let decimals = (chain.decimals(setup.token0)?, chain.decimals(setup.token1)?);
    let at_root = |sqrt_price_x96| {
        let base = if setup.base_is_token0 { Base::Token0 } else { Base::Token1 };
        let (decimals0, decimals1) =
            (u8::try_from(decimals.0).ok()?, u8::try_from(decimals.1).ok()?);
        let frame = PriceFrame::new(decimals0, decimals1, base).ok()?;
        let price = frame.price(sqrt_price_x96, Rounding::Down).ok()?;
        Some(price.round_dp(PRICE_DP))
    };
    match pool {
        Pool::V3(pool) => at_root(pool.sqrt_price_x96()),
        Pool::V4(pool) => at_root(pool.sqrt_price_x96()),
        Pool::V2(pool) => {
            let reserve0 = human_unsigned(U256::from(pool.reserves().0), decimals.0)?;
            let reserve1 = human_unsigned(U256::from(pool.reserves().1), decimals.1)?;
            let (base, quote) =
                if setup.base_is_token0 { (reserve0, reserve1) } else { (reserve1, reserve0) };
            quote.checked_div(base).map(|price| price.round_dp(PRICE_DP))
        }
    }
}

/// Fees earned per unit of liquidity in range and second, in quote, over the recent window.
pub fn fee_rate(
    chain: &ChainSetup,
    setup: &PoolSetup,
    state: &PoolState,
    price: Decimal,
) -> Option<Decimal> {
    let (first, last) = (state.fee_samples.front()?, state.fee_samples.back()?);
    let span_ms = last.0.ms_since(first.0);
    if span_ms < FEE_WINDOW_MIN_MS {
        return None;
    }
    let per_liquidity = |now: U256, before: U256, decimals: u32| -> Option<Decimal> {
        let places = SCALE_MAX.checked_sub(decimals)?;
        let grown = now.wrapping_sub(before);
        let scaled =
            mul_div(grown, U256::from(10).pow(U256::from(places)), Q128, Rounding::Down).ok()?;
        human_unsigned(scaled, SCALE_MAX)
    };
    let grown0 = per_liquidity(last.1, first.1, chain.decimals(setup.token0)?)?;
    let grown1 = per_liquidity(last.2, first.2, chain.decimals(setup.token1)?)?;
    let (base, quote) = if setup.base_is_token0 { (grown0, grown1) } else { (grown1, grown0) };
    let total = base.checked_mul(price)?.checked_add(quote)?;
    total.checked_mul(Decimal::from(1_000))?.checked_div(Decimal::from(span_ms))
}

/// What a position is made of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Principal, smallest units.
    pub principal: Amounts,
    /// Fees not collected, smallest units.
    pub fees: Amounts,
}

/// Principal and fees of an open position, by the pool's exact state.
pub fn holding(position: &Position, state: &PoolState, spacing: i32) -> Option<Holding> {
    let Pool::V3(pool) = &state.pool else {
        return None;
    };
    if !state.standing.is_live() {
        return None;
    }
    let range = TickRange::new(position.tick_lower, position.tick_upper, spacing).ok()?;
    let liquidity = position.liquidity;
    let principal =
        amounts_for_liquidity(pool.sqrt_price_x96(), range, liquidity, Rounding::Down).ok()?;
    if liquidity == 0 {
        return Some(Holding { principal, fees: Amounts::default() });
    }
    let [inside0, inside1] = pool.fee_growth_inside(range).ok()?;
    let (opened0, opened1) = position.inside?;
    let fees = Amounts {
        amount0: fees_owed(liquidity, inside0, opened0),
        amount1: fees_owed(liquidity, inside1, opened1),
    };
    Some(Holding { principal, fees })
}

impl Engine {
    /// Mid of the reference book when it may be used.
    pub fn reference_price(&self) -> Option<Decimal> {
        let (venue, symbol) = &self.setup.reference;
        let book = self.venues.get(venue)?.books.get(symbol)?;
        book.touch(self.now).ok().map(|touch| touch.mid())
    }

    /// Price in a pool that is not quarantined.
    pub(crate) fn price_in(&self, pool: PoolId) -> Option<Decimal> {
        let state = self.pool(pool).filter(|state| state.standing.is_live())?;
        let chain = &self.chains.get(&pool.chain)?.setup;
        pool_price(chain, chain.pool(pool.address)?, &state.pool)
    }

    /// Mid of any book when it may be used.
    pub(crate) fn mid(&self, venue: &str, symbol: &str) -> Option<Decimal> {
        let book = self.venues.get(venue)?.books.get(symbol)?;
        book.touch(self.now).ok().map(|touch| touch.mid())
    }

    /// An open position in whole tokens: principal in base and quote, fees in base and quote.
    pub(crate) fn position_amounts(&self, position: &Position) -> Option<[Decimal; 4]> {
        let chain = self.chains.get(&position.pool.chain)?;
        let setup = chain.setup.pool(position.pool.address)?;
        let state = chain.pools.get(&position.pool.address)?;
        let holding = holding(position, state, setup.tick_spacing)?;
        let [base, quote] = self.oriented(position, holding.principal)?;
        let [fees_base, fees_quote] = self.oriented(position, holding.fees)?;
        Some([base, quote, fees_base, fees_quote])
    }

    /// Raw token amounts of a position's pool as (base, quote) in whole tokens.
    pub(crate) fn oriented(&self, position: &Position, amounts: Amounts) -> Option<[Decimal; 2]> {
        let chain = &self.chains.get(&position.pool.chain)?.setup;
        let setup = chain.pool(position.pool.address)?;
        let amount0 = human_unsigned(amounts.amount0, chain.token(setup.token0)?.decimals)?;
        let amount1 = human_unsigned(amounts.amount1, chain.token(setup.token1)?.decimals)?;
        Some(if setup.base_is_token0 { [amount0, amount1] } else { [amount1, amount0] })
    }

    /// Economic asset and decimals of a unit; `None` for units without a value of their own.
    pub(crate) fn asset_of(&self, unit: &Unit) -> Option<(String, u32)> {
        match unit {
            Unit::Native { chain } => {
                Some((self.chains.get(chain)?.setup.native.clone(), NATIVE_DECIMALS))
            }
            Unit::Erc20 { chain, token } => {
                let token = self.chains.get(chain)?.setup.token(*token)?;
                Some((token.asset.clone(), token.decimals))
            }
            Unit::Asset { asset, .. } => Some((asset.clone(), VENUE_DECIMALS)),
            Unit::Perp { .. } => Some((format!("{}-PERP", self.setup.base_asset), VENUE_DECIMALS)),
            Unit::V3Liquidity { .. } => None,
        }
    }

    /// Numeraire per whole unit of an asset, when it is one that is priced here.
    pub(crate) fn price_of(&self, asset: &str) -> Option<Decimal> {
        if asset == self.setup.numeraire {
            return Some(Decimal::ONE);
        }
        self.reference_price().filter(|_| asset == self.setup.base_asset)
    }

    /// Native coin of our signer on a chain, wei, by the ledger.
    pub(crate) fn native(&self, chain: u64) -> Option<U256> {
        let signer = self.chains.get(&chain)?.setup.signer;
        let held = self.ledger.balance(&Account::Wallet { chain, signer }, &Unit::Native { chain });
        U256::try_from(held).ok()
    }

    /// Value of an amount of an asset at a base price; unknown assets have no value.
    pub(crate) fn value(&self, asset: &str, amount: Decimal, price: Decimal) -> Option<Decimal> {
        if asset == self.setup.numeraire {
            Some(amount)
        } else if asset == self.setup.base_asset {
            amount.checked_mul(price)
        } else {
            None
        }
    }

    /// Value of an entry's effect on one reason account.
    pub(crate) fn reason_total(&self, reason: Reason, price: Decimal) -> Option<Decimal> {
        let account = Account::Reason(reason);
        let mut total = Decimal::ZERO;
        for (place, unit, amount) in self.ledger.balances() {
            if *place == account && !matches!(unit, Unit::Perp { .. } | Unit::V3Liquidity { .. }) {
                let (asset, decimals) = self.asset_of(unit)?;
                total += self.value(&asset, human(amount, decimals)?, price)?;
            }
        }
        Some(total)
    }

    /// Contracts of a perpetual we hold, by the ledger.
    pub fn contracts(&self, venue: &str, symbol: &str) -> Option<Decimal> {
        let account = Account::Venue { venue: venue.to_owned() };
        let unit = Unit::Perp { venue: venue.to_owned(), symbol: symbol.to_owned() };
        human(self.ledger.balance(&account, &unit), VENUE_DECIMALS)
    }

    /// Profit of a perpetual not yet settled: cash of all fills plus contracts at the mid, less
    /// what the venue already settled.
    pub(crate) fn unrealized(&self, venue: &str, symbol: &str) -> Option<Decimal> {
        let contracts = self.contracts(venue, symbol)?;
        let cash = self.venues.get(venue)?.cash.get(symbol).copied().unwrap_or(Decimal::ZERO);
        let account = Account::Reason(Reason::RealizedPnl);
        let unit = Unit::Asset { venue: venue.to_owned(), asset: self.setup.numeraire.clone() };
        let realized = -human(self.ledger.balance(&account, &unit), VENUE_DECIMALS)?;
        if contracts.is_zero() && cash.is_zero() {
            return Some(Decimal::ZERO);
        }
        let mid = self.mid(venue, symbol)?;
        cash.checked_add(contracts.checked_mul(mid)?)?.checked_sub(realized)
    }

    /// Value of everything we hold, `None` while a part of it cannot be priced.
    pub fn total_value(&self) -> Option<Decimal> {
        let price = self.reference_price()?;
        let mut total = Decimal::ZERO;
        for (place, unit, amount) in self.ledger.balances() {
            let is_held = matches!(
                place,
                Account::Wallet { .. } | Account::Venue { .. } | Account::Owed { .. }
            );
            let is_counted = !matches!(unit, Unit::Perp { .. } | Unit::V3Liquidity { .. });
            // Nothing of an asset is worth nothing, whatever its price.
            if !is_held || !is_counted || amount.is_zero() {
                continue;
            }
            let (asset, decimals) = self.asset_of(unit)?;
            total = total.checked_add(self.value(&asset, human(amount, decimals)?, price)?)?;
        }
        for position in self.positions.values().filter(|position| position.closed.is_none()) {
            let [base, quote, fees_base, fees_quote] = self.position_amounts(position)?;
            total += (base + fees_base).checked_mul(price)? + quote + fees_quote;
        }
        for (venue, symbol) in self.perpetuals() {
            total += self.unrealized(&venue, &symbol)?;
        }
        Some(total)
    }

    /// Every (venue, symbol) of a perpetual.
    pub(crate) fn perpetuals(&self) -> Vec<(String, String)> {
        let venues = self.setup.venues.iter().filter(|venue| venue.is_perpetual);
        venues
            .flat_map(|venue| {
                venue.symbols.iter().map(|symbol| (venue.name.clone(), symbol.clone()))
            })
            .collect()
    }

    /// True for a venue of perpetuals.
    pub(crate) fn is_perpetual(&self, venue: &str) -> bool {
        self.setup.venues.iter().any(|setup| setup.name == venue && setup.is_perpetual)
    }

    /// Every (venue, symbol) we may have orders or trades in.
    pub(crate) fn markets(&self) -> Vec<(String, String)> {
        let making = self.setup.strategies.iter().filter_map(|setup| setup.making());
        let quoted = making.map(|making| (making.venue.clone(), making.symbol.clone()));
        let legs = self.legs_of_setup().map(|legs| (legs.venue.clone(), legs.symbol.clone()));
        self.perpetuals().into_iter().chain(quoted).chain(legs).collect()
    }

    /// Base held outside perpetuals and venues' spot accounts by one chain's strategies: positions
    /// and wallet tokens, without the native coin kept for gas.
    pub(crate) fn base_on_chain(&self, chain: u64) -> Option<(Decimal, Decimal)> {
        let setup = &self.chains.get(&chain)?.setup;
        let mut in_positions = Decimal::ZERO;
        let open = |p: &&Position| p.closed.is_none() && p.pool.chain == chain;
        for position in self.positions.values().filter(open) {
            let [base, _, fees_base, _] = self.position_amounts(position)?;
            in_positions += base + fees_base;
        }
        let mut in_wallet = Decimal::ZERO;
        let account = Account::Wallet { chain, signer: setup.signer };
        for token in setup.tokens.iter().filter(|token| token.asset == self.setup.base_asset) {
            let unit = Unit::Erc20 { chain, token: token.address };
            in_wallet += human(self.ledger.balance(&account, &unit), token.decimals)?;
        }
        Some((in_positions, in_wallet))
    }

    /// Value that somebody else's deposit, withdrawal or trade moved, so that it is not taken for
    /// profit.
    pub(crate) fn external_value(&self, entry: &Entry) -> Option<Decimal> {
        let price = self.reference_price()?;
        let mut total = Decimal::ZERO;
        for posting in &entry.postings {
            let is_outside =
                matches!(&posting.account, Account::Reason(reason) if reason.is_outside());
            if is_outside && !matches!(posting.unit, Unit::Perp { .. }) {
                let (asset, decimals) = self.asset_of(&posting.unit)?;
                total -= self.value(&asset, human(posting.amount, decimals)?, price)?;
            }
        }
        Some(total)
    }
}
