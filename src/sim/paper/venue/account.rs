//! The money of a pretend account, in exact steps of 1e-8.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::engine::event::Recovered;
use crate::engine::setup::{Setup, VenueSetup};
use crate::model::amount::human;
use crate::model::order::Side;
use crate::model::unit::{self, Reason, Unit, VENUE_DECIMALS};
use crate::model::venue::{AccountView, NewOrder};
use crate::sim::fixed::{PLACES, product, share_up};
use crate::sim::paper::{Terms, money};
use crate::sim::position::Position;

/// Basis points of one.
const BPS: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);

/// Balances and positions of one account.
#[derive(Debug)]
pub(super) struct Account {
    is_perpetual: bool,
    base: String,
    numeraire: String,
    /// Fees as shares, 1e-8.
    maker_fee: i64,
    taker_fee: i64,
    leverage_max: Decimal,
    /// 1e-8 of each asset.
    purse: BTreeMap<String, i128>,
    /// By symbol.
    positions: BTreeMap<String, Position>,
}

/// A trade to be settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trade {
    pub(super) side: Side,
    pub(super) price: Decimal,
    pub(super) quantity: Decimal,
    pub(super) is_maker: bool,
}

/// What a trade cost and brought.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) fee: Decimal,
    pub(super) fee_asset: String,
    pub(super) realized_pnl: Decimal,
}

impl Account {
    /// As the ledger left it; with the starting money when the ledger does not know it.
    pub(super) fn new(
        setup: &Setup,
        venue: &VenueSetup,
        terms: &Terms,
        recovered: &Recovered,
    ) -> Self {
        let share = |bps: Decimal| steps(bps / BPS).unwrap_or_default();
        let mut account = Self {
            is_perpetual: venue.is_perpetual,
            base: setup.base_asset.clone(),
            numeraire: setup.numeraire.clone(),
            maker_fee: share(terms.maker_fee_bps),
            taker_fee: share(terms.taker_fee_bps),
            leverage_max: terms.leverage_max,
            purse: BTreeMap::new(),
            positions: BTreeMap::new(),
        };
        if !account.recover(&venue.name, recovered) {
            let opening = money::purse(setup, venue).into_iter();
            let whole = opening.filter_map(|(asset, sum)| Some((asset, i128::from(steps(sum)?))));
            account.purse = whole.collect();
        }
        account
    }

    /// Takes over what the ledger says; false when it does not know the account.
    fn recover(&mut self, venue: &str, recovered: &Recovered) -> bool {
        let mut is_known = false;
        for ((place, counted), sum) in &recovered.ledger.balances {
            let is_here =
                matches!(place, unit::Account::Venue { venue: name } if name.as_str() == venue);
            let held = human(*sum, VENUE_DECIMALS).and_then(steps);
            is_known |= is_here;
            match (counted, held) {
                (Unit::Asset { asset, .. }, Some(held)) if is_here => {
                    self.purse.insert(asset.clone(), held.into());
                }
                (Unit::Perp { symbol, .. }, Some(quantity)) if is_here => {
                    let cost = self.cost(venue, symbol, quantity, recovered).unwrap_or_default();
                    self.positions.insert(symbol.clone(), Position { quantity, cost });
                }
                _ => {}
            }
        }
        is_known
    }

    /// What the open contracts were bought or sold for: the cash of all trades, less what was
    /// settled of it.
    fn cost(
        &self,
        venue: &str,
        symbol: &str,
        quantity: i64,
        recovered: &Recovered,
    ) -> Option<i128> {
        let mut trades = recovered.trades.iter();
        let (_, _, _, cash) = trades.find(|(of, market, _, _)| of == venue && market == symbol)?;
        let reason = unit::Account::Reason(Reason::RealizedPnl);
        let asset = Unit::Asset { venue: venue.to_owned(), asset: self.numeraire.clone() };
        let settled = recovered.ledger.balances.get(&(reason, asset)).copied().unwrap_or_default();
        // An income's account is the other side of what the purse got.
        let settled = -human(settled, VENUE_DECIMALS)?;
        let cost = if quantity >= 0 { settled - cash } else { cash - settled };
        steps(cost).map(i128::from)
    }

    /// An order as it reaches the venue: a spot exchange knows no reduce-only, and there the word
    /// is our own promise alone.
    pub(super) fn received(&self, order: &NewOrder) -> NewOrder {
        NewOrder { reduce_only: order.reduce_only && self.is_perpetual, ..order.clone() }
    }

    /// The asset profits are settled in.
    pub(super) fn numeraire(&self) -> &str {
        &self.numeraire
    }

    /// What the venue would tell; nothing of nothing.
    pub(super) fn view(&self) -> AccountView {
        let balances = self.purse.iter().filter(|(_, held)| **held != 0);
        let positions = self.positions.iter().filter(|(_, position)| position.quantity != 0);
        AccountView {
            balances: balances.map(|(asset, held)| (asset.clone(), decimal(*held))).collect(),
            positions: positions
                .map(|(symbol, position)| (symbol.clone(), decimal(position.quantity.into())))
                .collect(),
        }
    }

    /// Whether there is money for an order beside what rests.
    pub(super) fn admit<'o>(
        &self,
        order: &NewOrder,
        resting: impl Iterator<Item = (&'o NewOrder, Decimal)>,
    ) -> Result<(), (i64, String)> {
        if self.is_perpetual {
            return self.admit_contracts(order);
        }
        let cost = |request: &NewOrder, left: Decimal| match request.side {
            Side::Buy => request.price.checked_mul(left).unwrap_or(Decimal::MAX),
            Side::Sell => left,
        };
        let asset = match order.side {
            Side::Buy => &self.numeraire,
            Side::Sell => &self.base,
        };
        let locked = resting.filter(|(request, _)| request.side == order.side);
        let needed = locked.fold(cost(order, order.quantity), |sum, (request, left)| {
            sum.saturating_add(cost(request, left))
        });
        let held = self.purse.get(asset).copied().map_or(Decimal::ZERO, decimal);
        if needed > held {
            return Err((-2_010, "Account has insufficient balance for requested action.".into()));
        }
        Ok(())
    }

    fn admit_contracts(&self, order: &NewOrder) -> Result<(), (i64, String)> {
        let position = self.positions.get(&order.symbol).copied().unwrap_or_default();
        let held = decimal(position.quantity.into());
        let reducible = decimal(position.reducible(order.side).into());
        if order.reduce_only {
            let is_idle = reducible.is_zero();
            let refusal = (-2_022, "ReduceOnly Order is rejected.".to_owned());
            return if is_idle { Err(refusal) } else { Ok(()) };
        }
        let after = match order.side {
            Side::Buy => held + order.quantity,
            Side::Sell => held - order.quantity,
        };
        let margin = || {
            let price = steps(order.price)?;
            let cash = self.purse.get(&self.numeraire).copied().unwrap_or_default();
            let balance = decimal(cash.checked_add(position.unrealised(price))?);
            Some((after.abs().checked_mul(order.price)?, balance.checked_mul(self.leverage_max)?))
        };
        let is_covered = margin().is_some_and(|(value, most)| value <= most);
        if order.quantity > reducible && !is_covered {
            return Err((-2_019, "Margin is insufficient.".to_owned()));
        }
        Ok(())
    }

    /// How much of an order may trade.
    pub(super) fn fillable(&self, order: &NewOrder) -> Decimal {
        if !order.reduce_only {
            return order.quantity;
        }
        let position = self.positions.get(&order.symbol).copied().unwrap_or_default();
        order.quantity.min(decimal(position.reducible(order.side).into()))
    }

    /// Moves money and contracts; `None`, with nothing moved, for what does not fit the steps.
    pub(super) fn settle(&mut self, symbol: &str, trade: Trade) -> Option<Settled> {
        let (price, quantity) = (steps(trade.price)?, steps(trade.quantity)?);
        let quote = product(price, quantity);
        let rate = if trade.is_maker { self.maker_fee } else { self.taker_fee };
        if self.is_perpetual {
            let position = self.positions.entry(symbol.to_owned()).or_default();
            let realized = position.trade(trade.side, price, quantity);
            let fee = share_up(quote, rate);
            let numeraire = self.numeraire.clone();
            self.add(&numeraire, realized - fee);
            let (fee, realized_pnl) = (decimal(fee), decimal(realized));
            return Some(Settled { fee, fee_asset: numeraire, realized_pnl });
        }
        let (base, numeraire) = (self.base.clone(), self.numeraire.clone());
        let base_moved = i128::from(quantity);
        let (paid, received) = match trade.side {
            Side::Buy => ((numeraire, quote), (base, base_moved)),
            Side::Sell => ((base, base_moved), (numeraire, quote)),
        };
        // Spot takes its fee from what is received.
        let fee = share_up(received.1, rate);
        self.add(&paid.0, -paid.1);
        self.add(&received.0, received.1 - fee);
        let (fee, fee_asset) = (decimal(fee), received.0);
        Some(Settled { fee, fee_asset, realized_pnl: Decimal::ZERO })
    }

    fn add(&mut self, asset: &str, amount: i128) {
        let held = self.purse.entry(asset.to_owned()).or_default();
        *held = held.saturating_add(amount);
    }
}

/// A decimal in steps of 1e-8; `None` when it is finer or too large.
fn steps(value: Decimal) -> Option<i64> {
    let value = value.normalize();
    let lift = PLACES.checked_sub(value.scale())?;
    i64::try_from(value.mantissa().checked_mul(10_i128.checked_pow(lift)?)?).ok()
}

/// Steps of 1e-8 as a decimal; the sums here are far below what one holds.
fn decimal(steps: i128) -> Decimal {
    let largest = if steps < 0 { Decimal::MIN } else { Decimal::MAX };
    Decimal::try_from_i128_with_scale(steps, PLACES).map_or(largest, |value| value.normalize())
}
