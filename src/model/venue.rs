//! Facts of a centralized venue as the engine sees them: fills, incomes, order reports, balances.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::model::order::{Side, TimeInForce};
use crate::model::time::Timestamp;

/// One trade on our account, as the venue settled it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Venue's trade id, unique per market.
    pub trade_id: u64,
    /// The order's client id, when the source names it.
    pub client_order_id: Option<String>,
    /// True when the source says that the venue made the order itself: a liquidation, a
    /// deleveraging, a settlement.
    pub is_forced: bool,
    /// The venue's order id.
    pub venue_order_id: u64,
    /// Our side.
    pub side: Side,
    /// Quote per base.
    pub price: Decimal,
    /// Base.
    pub quantity: Decimal,
    /// Commission, positive when paid.
    pub fee: Decimal,
    /// Asset of the commission.
    pub fee_asset: String,
    /// Profit settled by this trade (perpetuals; zero on spot).
    pub realized_pnl: Decimal,
    /// Asset the profit is settled in: the market's margin asset.
    pub margin_asset: String,
    /// When it happened, the venue's clock.
    pub venue_time: Timestamp,
}

/// A movement of the venue account that is not a trade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Income {
    /// Unique id given by the venue.
    pub id: String,
    /// What it was.
    pub kind: IncomeKind,
    /// Asset moved.
    pub asset: String,
    /// Signed, positive when received.
    pub amount: Decimal,
    /// The venue's clock.
    pub venue_time: Timestamp,
}

/// Kinds of income the ledger books; trades and commissions are booked from fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IncomeKind {
    /// Perpetual funding.
    Funding,
    /// Deposit, withdrawal or internal transfer.
    Transfer,
}

/// Where an order stands, as the venue tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reported {
    /// Resting, nothing filled.
    New,
    /// Resting, partly filled.
    Partial,
    /// Completely filled.
    Filled,
    /// Gone by our cancel.
    Cancelled,
    /// Gone by the venue: expired, IOC remainder, liquidation.
    Expired,
    /// Never accepted.
    Rejected,
}

impl Reported {
    /// True when nothing more can rest on the venue.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Filled | Self::Cancelled | Self::Expired | Self::Rejected)
    }
}

/// What the venue says of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReport {
    /// Our id.
    pub client_order_id: String,
    /// The venue's id: trades name their order by it.
    pub venue_order_id: u64,
    /// Where it stands.
    pub state: Reported,
    /// Base filled so far.
    pub filled: Decimal,
}

/// The outcome of one REST call about an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderReply {
    /// The venue answered with the order.
    Known(OrderReport),
    /// The venue proved that it did not accept it.
    Refused { code: i64, text: String },
    /// Nothing is proven: timeout, 5xx, broken answer.
    Unknown { why: String },
}

/// A limit order to be placed; the full request is stored before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOrder {
    /// Configured venue name.
    pub venue: String,
    /// Venue's symbol.
    pub symbol: String,
    /// Ours, unique for ever, at most 32 alphanumeric characters.
    pub client_order_id: String,
    /// Our side.
    pub side: Side,
    /// Worst price accepted.
    pub price: Decimal,
    /// Base.
    pub quantity: Decimal,
    /// How long it may rest.
    pub time_in_force: TimeInForce,
    /// May only shrink our position.
    pub reduce_only: bool,
    /// After this instant the venue refuses it: bounds every doubt.
    pub valid_until: Timestamp,
}

/// What a venue account holds, asked at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// (asset, free + locked) or (asset, wallet balance).
    pub balances: Vec<(String, Decimal)>,
    /// (symbol, signed contracts).
    pub positions: Vec<(String, Decimal)>,
}

/// Trading rules of a market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketRules {
    /// Price step.
    pub tick: Decimal,
    /// Quantity step.
    pub lot: Decimal,
    /// Smallest price x quantity.
    pub min_notional: Decimal,
}
