//! Orders of this exchange: what is asked, what becomes of it, why it is refused.

use thiserror::Error;

use crate::model::order::Side;

/// How an order wants to trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At its price or better.
    Limit,
    /// At its price, and refused when it would take (spot's post-only).
    LimitMaker,
    /// At whatever price there is.
    Market,
}

impl Kind {
    /// The venue's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit => "LIMIT",
            Self::LimitMaker => "LIMIT_MAKER",
            Self::Market => "MARKET",
        }
    }
}

/// How long it may rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until cancelled.
    Gtc,
    /// What is there at once, the rest expires.
    Ioc,
    /// All at once or nothing.
    Fok,
    /// Refused when it would take (futures' post-only).
    Gtx,
}

impl Lifetime {
    /// The venue's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Ioc => "IOC",
            Self::Fok => "FOK",
            Self::Gtx => "GTX",
        }
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Accepted, nothing filled.
    New,
    /// Some filled, the rest rests.
    PartiallyFilled,
    /// All filled.
    Filled,
    /// Ended by its owner or the dead-man switch.
    Canceled,
    /// Ended by its own terms.
    Expired,
}

impl Status {
    /// The venue's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::PartiallyFilled => "PARTIALLY_FILLED",
            Self::Filled => "FILLED",
            Self::Canceled => "CANCELED",
            Self::Expired => "EXPIRED",
        }
    }

    /// True while it can still trade.
    pub fn is_open(self) -> bool {
        matches!(self, Self::New | Self::PartiallyFilled)
    }
}

/// How much an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 1e-8 base.
    Base(i64),
    /// 1e-8 quote to spend or receive (spot market orders only).
    Quote(i64),
}

/// A wish to trade, already parsed.
#[derive(Clone, Debug)]
pub struct Request {
    /// Index of the account.
    pub account: usize,
    /// The owner's id; made up when absent.
    pub client_id: Option<String>,
    /// From the owner's side.
    pub side: Side,
    /// Limit, post-only or market.
    pub kind: Kind,
    /// For limit orders.
    pub lifetime: Lifetime,
    /// 1e-8 quote per base; 0 for market orders.
    pub price: i64,
    /// How much.
    pub size: Size,
    /// May only bring a position nearer to zero (futures).
    pub reduce_only: bool,
}

/// An order on record. Never forgotten.
#[derive(Clone, Debug)]
pub struct Order {
    /// The exchange's id.
    pub id: u64,
    /// Index of the account.
    pub account: usize,
    /// The owner's id.
    pub client_id: String,
    /// Id of the request that cancelled it.
    pub cancel_id: Option<String>,
    /// From the owner's side.
    pub side: Side,
    /// Limit, post-only or market.
    pub kind: Kind,
    /// How long it may rest.
    pub lifetime: Lifetime,
    /// 1e-8; 0 for market orders.
    pub price: i64,
    /// 1e-8 base; for orders by quote what was filled.
    pub quantity: i64,
    /// 1e-8 quote asked for, 0 when sized in base.
    pub quote_quantity: i64,
    /// May only bring a position nearer to zero.
    pub reduce_only: bool,
    /// 1e-8 base filled.
    pub executed: i64,
    /// 1e-8 quote of the fills, exact.
    pub executed_quote: i128,
    /// Where it stands.
    pub status: Status,
    /// Unix ms of acceptance.
    pub created_ms: i64,
    /// Unix ms of the last change.
    pub updated_ms: i64,
}

impl Order {
    /// 1e-8 base still open.
    pub fn remaining(&self) -> i64 {
        self.quantity - self.executed
    }

    /// Average price of the fills rounded down to 1e-8, 0 when none.
    pub fn average_price(&self) -> i128 {
        let scaled = self.executed_quote * i128::from(crate::sim::fixed::ONE);
        scaled.checked_div(i128::from(self.executed)).unwrap_or(0)
    }
}

/// One trade of one order of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// The exchange's id of the trade.
    pub trade_id: u64,
    /// 1e-8.
    pub price: i64,
    /// 1e-8 base.
    pub quantity: i64,
    /// 1e-8 quote, exact.
    pub quote: i128,
    /// True when the order rested.
    pub is_maker: bool,
    /// Unix ms.
    pub at_ms: i64,
}

/// How an order is named by its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// By the exchange's id.
    Id(u64),
    /// By the owner's id.
    Client(String),
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Not on the price grid or out of its range.
    #[error("price filter")]
    Price,
    /// Not on the quantity grid.
    #[error("quantity step")]
    QuantityStep,
    /// Quantity below the smallest.
    #[error("quantity too small")]
    QuantityMin,
    /// Quantity above the largest.
    #[error("quantity too large")]
    QuantityMax,
    /// Value below the smallest.
    #[error("notional too small")]
    Notional,
    /// An open order has this client id.
    #[error("duplicate client order id")]
    Duplicate,
    /// Post-only and would take.
    #[error("would take")]
    WouldTake,
    /// Not enough free.
    #[error("insufficient funds")]
    Funds,
    /// Reduce-only without a position to reduce.
    #[error("nothing to reduce")]
    NothingToReduce,
    /// No open order under this name.
    #[error("unknown open order")]
    UnknownOpen,
    /// No order ever under this name.
    #[error("no such order")]
    NoSuchOrder,
    /// Too many orders open at once.
    #[error("too many open orders")]
    TooManyOpen,
    /// The exchange keeps no more records.
    #[error("records are full")]
    Full,
}
