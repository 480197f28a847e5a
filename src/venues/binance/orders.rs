//! Wants to requests: addresses, ordered parameters and weights of both dialects.
//!
//! Nothing is signed or sent here. Weights are the documented ones; the venue's own counter in the
//! answer's headers is the truth.

use std::fmt;

use rust_decimal::Decimal;

use crate::{
    model::{
        order::{Side, TimeInForce},
        time::Timestamp,
    },
    venues::binance::Dialect,
};

/// Longest client order id the venue takes.
pub const CLIENT_ORDER_ID_CHARS_MAX: usize = 36;

/// Most rows one answer with trades may hold.
pub const TRADES_LIMIT: u32 = 1_000;

/// Most rows one answer with income may hold.
pub const INCOME_LIMIT: u32 = 1_000;

/// HTTP verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates.
    Post,
    /// Prolongs.
    Put,
    /// Cancels.
    Delete,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        })
    }
}

/// What an endpoint asks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    Public,
    /// The API key's header.
    Key,
    /// The header and a signature.
    Signed,
}

/// One REST request, before signing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// HTTP verb.
    pub method: Method,
    /// Path on the dialect's host.
    pub path: &'static str,
    /// Parameters in the order they are sent, not yet encoded.
    pub params: Vec<(&'static str, String)>,
    /// Whether it carries a key or a signature.
    pub auth: Auth,
    /// Request weight (of failed calls, where success is free).
    pub weight: u32,
}

/// How a new order is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pricing {
    /// At the market's price, now.
    Market,
    /// At this price or better.
    Limit {
        /// Quote per base, on the market's tick.
        price: Decimal,
        /// How long it may rest.
        time_in_force: TimeInForce,
    },
}

/// Whether an order may open a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It may open, grow or turn a position.
    Any,
    /// It may only shrink one (USD-M only).
    ReduceOnly,
}

/// A new order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// The venue's symbol, upper case.
    pub symbol: String,
    /// Ours, unique for ever.
    pub client_order_id: String,
    /// Buy or sell.
    pub side: Side,
    /// Base, on the market's lot step.
    pub quantity: Decimal,
    /// Market or limit.
    pub pricing: Pricing,
    /// Whether it may open a position.
    pub reach: Reach,
}

/// Why a want cannot be said in this dialect. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Quantity or price is not positive.
    #[error("{field} {value} is not positive")]
    NotPositive {
        /// Which.
        field: &'static str,
        /// What was asked.
        value: Decimal,
    },
    /// A client order id outside `[A-Za-z0-9_-]{1,36}`.
    #[error("client order id {0:?} is not 1 to 36 letters, digits, - or _")]
    ClientOrderId(String),
    /// The dialect has no such request.
    #[error("{dialect:?} has no {what}")]
    NotOffered {
        /// The dialect.
        dialect: Dialect,
        /// What it lacks.
        what: &'static str,
    },
}

impl Dialect {
    fn pick<T>(self, spot: T, usdm: T) -> T {
        match self {
            Self::Spot => spot,
            Self::UsdM => usdm,
        }
    }

    fn order_path(self) -> &'static str {
        self.pick("/api/v3/order", "/fapi/v1/order")
    }

    /// Places an order; asks for the fullest answer the dialect has.
    ///
    /// # Errors
    /// When the order cannot be said in this dialect.
    pub fn place(self, order: &NewOrder) -> Result<Request, RequestError> {
        positive("quantity", order.quantity)?;
        checked_id(&order.client_order_id)?;
        let mut params =
            vec![("symbol", order.symbol.clone()), ("side", side(order.side).to_owned())];
        match order.pricing {
            Pricing::Market => params.push(("type", "MARKET".to_owned())),
            Pricing::Limit { price, time_in_force } => {
                positive("price", price)?;
                let (kind, tif) = self.limit_words(time_in_force);
                params.push(("type", kind.to_owned()));
                params.extend(tif.map(|tif| ("timeInForce", tif.to_owned())));
                params.push(("price", plain(price)));
            }
        }
        params.push(("quantity", plain(order.quantity)));
        if order.reach == Reach::ReduceOnly {
            if self == Self::Spot {
                return Err(RequestError::NotOffered { dialect: self, what: "reduce-only order" });
            }
            params.push(("reduceOnly", "true".to_owned()));
        }
        params.push(("newClientOrderId", order.client_order_id.clone()));
        params.push(("newOrderRespType", self.pick("FULL", "RESULT").to_owned()));
        Ok(signed(Method::Post, self.order_path(), params, 1))
    }

    /// Spot says post-only by the order's type, USD-M by its time in force.
    fn limit_words(self, time_in_force: TimeInForce) -> (&'static str, Option<&'static str>) {
        match (self, time_in_force) {
            (_, TimeInForce::Gtc) => ("LIMIT", Some("GTC")),
            (_, TimeInForce::Ioc) => ("LIMIT", Some("IOC")),
            (Self::Spot, TimeInForce::PostOnly) => ("LIMIT_MAKER", None),
            (Self::UsdM, TimeInForce::PostOnly) => ("LIMIT", Some("GTX")),
        }
    }

    /// Cancels one order by our id.
    pub fn cancel(self, symbol: &str, client_order_id: &str) -> Request {
        signed(Method::Delete, self.order_path(), by_client_id(symbol, client_order_id), 1)
    }

    /// Cancels every open order of a market.
    pub fn cancel_all(self, symbol: &str) -> Request {
        let path = self.pick("/api/v3/openOrders", "/fapi/v1/allOpenOrders");
        signed(Method::Delete, path, vec![("symbol", symbol.to_owned())], 1)
    }

    /// Asks for one order by our id.
    pub fn query(self, symbol: &str, client_order_id: &str) -> Request {
        let params = by_client_id(symbol, client_order_id);
        signed(Method::Get, self.order_path(), params, self.pick(4, 1))
    }

    /// Asks for one order by the venue's id.
    pub fn query_by_id(self, symbol: &str, venue_order_id: u64) -> Request {
        let params = vec![("symbol", symbol.to_owned()), ("orderId", venue_order_id.to_string())];
        signed(Method::Get, self.order_path(), params, self.pick(4, 1))
    }

    /// Open orders of a market.
    pub fn open_orders(self, symbol: &str) -> Request {
        let path = self.pick("/api/v3/openOrders", "/fapi/v1/openOrders");
        signed(Method::Get, path, vec![("symbol", symbol.to_owned())], self.pick(6, 1))
    }

    /// Our trades from `since` on, oldest first, at most `TRADES_LIMIT`.
    pub fn trades_since(self, symbol: &str, since: Timestamp) -> Request {
        self.trades(symbol, Some(("startTime", since.ms().to_string())))
    }

    /// Our trades from this trade id on, oldest first, at most `TRADES_LIMIT`.
    pub fn trades_from(self, symbol: &str, trade_id: u64) -> Request {
        self.trades(symbol, Some(("fromId", trade_id.to_string())))
    }

    /// Our newest trades, oldest first, at most `TRADES_LIMIT`.
    pub fn trades_newest(self, symbol: &str) -> Request {
        self.trades(symbol, None)
    }

    fn trades(self, symbol: &str, from: Option<(&'static str, String)>) -> Request {
        let path = self.pick("/api/v3/myTrades", "/fapi/v1/userTrades");
        let limit = ("limit", TRADES_LIMIT.to_string());
        let symbol = ("symbol", symbol.to_owned());
        let params = std::iter::once(symbol).chain(from).chain([limit]).collect();
        signed(Method::Get, path, params, self.pick(20, 5))
    }

    /// Balances, and on USD-M positions.
    pub fn account(self) -> Request {
        let path = self.pick("/api/v3/account", "/fapi/v3/account");
        signed(Method::Get, path, Vec::new(), self.pick(20, 5))
    }

    /// Funding and other cash movements from `since` on, oldest first (USD-M only).
    ///
    /// # Errors
    /// On spot, which has no such list.
    pub fn income_since(self, since: Timestamp) -> Result<Request, RequestError> {
        self.only_usdm("income list")?;
        let params =
            vec![("startTime", since.ms().to_string()), ("limit", INCOME_LIMIT.to_string())];
        Ok(signed(Method::Get, "/fapi/v1/income", params, 30))
    }

    /// Markets and their filters. Spot can be asked for one symbol, USD-M answers with all.
    pub fn exchange_info(self, symbol: &str) -> Request {
        match self {
            Self::Spot => {
                let params = vec![("symbol", symbol.to_owned())];
                public("/api/v3/exchangeInfo", params, 20)
            }
            Self::UsdM => public("/fapi/v1/exchangeInfo", Vec::new(), 1),
        }
    }

    /// The book's snapshot, as deep as the sync rules want it.
    pub fn depth(self, symbol: &str) -> Request {
        let (path, limit, weight) =
            self.pick(("/api/v3/depth", "5000", 250), ("/fapi/v1/depth", "1000", 20));
        public(path, vec![("symbol", symbol.to_owned()), ("limit", limit.to_owned())], weight)
    }

    /// The venue's clock.
    pub fn server_time(self) -> Request {
        public(self.pick("/api/v3/time", "/fapi/v1/time"), Vec::new(), 1)
    }

    /// Creates (POST), prolongs (PUT) or closes (DELETE) the USD-M listen key, good for 60 minutes.
    ///
    /// # Errors
    /// On spot, where listen keys ended on 2026-02-20: see `sign::subscribe_user_stream`.
    pub fn listen_key(self, method: Method) -> Result<Request, RequestError> {
        self.only_usdm("listen key")?;
        let path = "/fapi/v1/listenKey";
        Ok(Request { method, path, params: Vec::new(), auth: Auth::Key, weight: 1 })
    }

    /// Dead man's switch: the venue cancels the market's orders after `after_ms`, unless this is
    /// called again before; 0 disarms it.
    ///
    /// # Errors
    /// On spot, which has none.
    pub fn countdown_cancel(self, symbol: &str, after_ms: u32) -> Result<Request, RequestError> {
        self.only_usdm("countdown cancel")?;
        let params = vec![("symbol", symbol.to_owned()), ("countdownTime", after_ms.to_string())];
        Ok(signed(Method::Post, "/fapi/v1/countdownCancelAll", params, 10))
    }

    fn only_usdm(self, what: &'static str) -> Result<(), RequestError> {
        match self {
            Self::Spot => Err(RequestError::NotOffered { dialect: self, what }),
            Self::UsdM => Ok(()),
        }
    }
}

fn signed(
    method: Method,
    path: &'static str,
    params: Vec<(&'static str, String)>,
    weight: u32,
) -> Request {
    Request { method, path, params, auth: Auth::Signed, weight }
}

fn public(path: &'static str, params: Vec<(&'static str, String)>, weight: u32) -> Request {
    Request { method: Method::Get, path, params, auth: Auth::Public, weight }
}

fn by_client_id(symbol: &str, client_order_id: &str) -> Vec<(&'static str, String)> {
    vec![("symbol", symbol.to_owned()), ("origClientOrderId", client_order_id.to_owned())]
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// Digits without trailing zeros and without an exponent.
fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

fn positive(field: &'static str, value: Decimal) -> Result<(), RequestError> {
    if value <= Decimal::ZERO {
        return Err(RequestError::NotPositive { field, value });
    }
    Ok(())
}

fn checked_id(id: &str) -> Result<(), RequestError> {
    let fits = (1..=CLIENT_ORDER_ID_CHARS_MAX).contains(&id.len());
    if fits && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Ok(());
    }
    Err(RequestError::ClientOrderId(id.to_owned()))
}

#[cfg(test)]
mod tests;
