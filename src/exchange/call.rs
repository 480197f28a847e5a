//! One request as both venues see it, whatever it came through, and its answer.

use serde_json::Value;

use crate::exchange::auth::{Params, account_of, authenticate};
use crate::exchange::core::Core;
use crate::exchange::errors::{ApiError, Venue};
use crate::model::order::Side;
use crate::sim::order::{Kind, Lifetime, Reference, Request, Size};

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// In capitals.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded.
    pub params: Params,
    /// What the signature covers.
    pub payload: String,
    /// The key, if one was sent.
    pub key: Option<String>,
    /// Unix ms at arrival.
    pub now_ms: i64,
}

/// What a venue answers; `None` when it knows no such path.
pub type Answer = Option<Result<Value, ApiError>>;

impl Call {
    /// The account that signed this request.
    pub fn signed(&self, core: &Core) -> Result<usize, ApiError> {
        let key = self.key.as_deref();
        authenticate(&core.keys, key, &self.params, &self.payload, self.now_ms)
    }

    /// The account whose key came with this request.
    pub fn keyed(&self, core: &Core) -> Result<usize, ApiError> {
        account_of(&core.keys, self.key.as_deref())
    }

    /// The symbol, if it is one we trade.
    pub fn symbol(&self, known: &str) -> Result<(), ApiError> {
        let symbol = self.params.need("symbol")?;
        if symbol == known { Ok(()) } else { Err(ApiError::new(-1121, "Invalid symbol.")) }
    }

    /// The symbol, or none.
    pub fn symbol_if_any(&self, known: &str) -> Result<(), ApiError> {
        if self.params.get("symbol").is_none() { Ok(()) } else { self.symbol(known) }
    }

    /// Which order is meant: `orderId` before `origClientOrderId`.
    pub fn reference(&self) -> Result<Reference, ApiError> {
        if let Some(id) = self.params.integer("orderId")? {
            return Ok(Reference::Id(u64::try_from(id).unwrap_or(0)));
        }
        let client_id = self.params.get("origClientOrderId").ok_or_else(|| {
            let text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were \
                        empty/null!";
            ApiError::new(-1102, text)
        })?;
        Ok(Reference::Client(client_id.to_owned()))
    }

    /// True when `at_ms` is inside `startTime` and `endTime`, as far as they were sent.
    pub fn span(&self) -> Result<impl Fn(i64) -> bool + use<>, ApiError> {
        let start = self.params.integer("startTime")?.unwrap_or(i64::MIN);
        let end = self.params.integer("endTime")?.unwrap_or(i64::MAX);
        Ok(move |at_ms: i64| (start..=end).contains(&at_ms))
    }

    /// An id to start from, if one was sent under this name.
    pub fn from_id(&self, name: &str) -> Result<Option<u64>, ApiError> {
        Ok(self.params.integer(name)?.map(|id| u64::try_from(id).unwrap_or(0)))
    }

    /// True when the caller names a place to start from: then the oldest rows come first, else the
    /// latest are meant.
    pub fn has_start(&self, id_name: &str) -> bool {
        self.params.get(id_name).is_some() || self.params.get("startTime").is_some()
    }

    /// A new order, read but not yet judged by the filters.
    pub fn order(&self, venue: Venue, account: usize) -> Result<Request, ApiError> {
        let params = &self.params;
        let side = match params.need("side")? {
            "BUY" => Side::Buy,
            "SELL" => Side::Sell,
            _ => return Err(ApiError::new(-1117, "Invalid side.")),
        };
        let kind = kind(venue, params.need("type")?)?;
        let lifetime = self.lifetime(venue, kind)?;
        let price = if kind == Kind::Market {
            0
        } else {
            params.decimal(venue, "price")?.ok_or_else(|| ApiError::missing("price"))?
        };
        let size = match params.decimal(venue, "quantity")? {
            Some(quantity) => Size::Base(quantity),
            None if venue == Venue::Spot && kind == Kind::Market => {
                let quote = params.decimal(venue, "quoteOrderQty")?;
                Size::Quote(quote.ok_or_else(|| ApiError::missing("quantity"))?)
            }
            None => return Err(ApiError::missing("quantity")),
        };
        let client_id = self.client_id(venue, "newClientOrderId")?;
        let reduce_only = venue == Venue::Usdm && params.is_true("reduceOnly");
        Ok(Request { account, client_id, side, kind, lifetime, price, size, reduce_only })
    }

    fn lifetime(&self, venue: Venue, kind: Kind) -> Result<Lifetime, ApiError> {
        if kind != Kind::Limit {
            return Ok(Lifetime::Gtc);
        }
        match (self.params.need("timeInForce")?, venue) {
            ("GTC", _) => Ok(Lifetime::Gtc),
            ("IOC", _) => Ok(Lifetime::Ioc),
            ("FOK", _) => Ok(Lifetime::Fok),
            ("GTX", Venue::Usdm) => Ok(Lifetime::Gtx),
            _ => Err(ApiError::new(-1115, "Invalid timeInForce.")),
        }
    }

    /// A client id with only the characters the venue allows.
    pub fn client_id(&self, venue: Venue, name: &str) -> Result<Option<String>, ApiError> {
        let Some(text) = self.params.get(name) else {
            return Ok(None);
        };
        let (more, range) = match venue {
            Venue::Spot => ("-_", "^[a-zA-Z0-9-_]{1,36}$"),
            Venue::Usdm => (".:/-_", "^[\\.A-Z\\:/a-z0-9_-]{1,36}$"),
        };
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        if text.len() <= 36 && text.chars().all(is_allowed) {
            Ok(Some(text.to_owned()))
        } else {
            Err(ApiError::illegal(name, range))
        }
    }
}

fn kind(venue: Venue, word: &str) -> Result<Kind, ApiError> {
    match (word, venue) {
        ("LIMIT", _) => Ok(Kind::Limit),
        ("MARKET", _) => Ok(Kind::Market),
        ("LIMIT_MAKER", Venue::Spot) => Ok(Kind::LimitMaker),
        (
            "STOP" | "STOP_MARKET" | "TAKE_PROFIT" | "TAKE_PROFIT_MARKET" | "TRAILING_STOP_MARKET",
            Venue::Usdm,
        ) => {
            let text = "Order type not supported for this endpoint. Please use the Algo Order API \
                        endpoints instead.";
            Err(ApiError::new(-4120, text))
        }
        _ => Err(ApiError::new(-1116, "Invalid orderType.")),
    }
}

/// The first `limit` rows, or the last ones in the same order.
pub fn page<T>(rows: impl DoubleEndedIterator<Item = T>, limit: usize, from_start: bool) -> Vec<T> {
    if from_start {
        return rows.take(limit).collect();
    }
    let mut last: Vec<T> = rows.rev().take(limit).collect();
    last.reverse();
    last
}
