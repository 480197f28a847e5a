//! Binance spot: `/api/v3/*`.

use serde_json::{Value, json};

use crate::exchange::call::{Answer, Call, page};
use crate::exchange::core::Core;
use crate::exchange::errors::{ApiError, Venue};
use crate::exchange::spot_wire::{self, Detail};
use crate::model::order::Side;
use crate::sim::order::{Kind, Refusal};

/// Depth levels one request may ask for.
const DEPTH_MAX: usize = 5_000;
/// Rows one request may ask for.
const ROWS_MAX: usize = 1_000;
/// Rows when no limit is sent.
const ROWS_DEFAULT: usize = 500;

/// Answers one request.
pub fn answer(core: &mut Core, call: &Call) -> Answer {
    let path = call.path.strip_prefix("/api/v3/")?;
    Some(match (call.method.as_str(), path) {
        ("GET", "ping") => Ok(json!({})),
        ("GET", "time") => Ok(json!({"serverTime": call.now_ms})),
        ("GET", "exchangeInfo") => exchange_info(core, call),
        ("GET", "depth") => depth(core, call),
        ("GET", "trades") => trades(core, call),
        ("GET", "ticker/bookTicker") => one(core, call, spot_wire::book_ticker),
        ("GET", "ticker/price") => one(core, call, |market| {
            let price = spot_wire::eight(market.tally().last);
            json!({"symbol": market.rules.symbol, "price": price})
        }),
        ("GET", "ticker/24hr") => {
            let started_ms = core.started_ms;
            one(core, call, |market| spot_wire::day_ticker(market, started_ms, call.now_ms))
        }
        ("GET", "account") => account(core, call),
        ("GET", "openOrders") => open_orders(core, call),
        ("GET", "allOrders") => all_orders(core, call),
        ("GET", "order") => order(core, call),
        ("GET", "myTrades") => my_trades(core, call),
        ("POST", "order") => place(core, call),
        ("POST", "order/test") => test(core, call),
        ("DELETE", "order") => cancel(core, call),
        ("DELETE", "openOrders") => cancel_all(core, call),
        (_, "userDataStream") => {
            let text = "Retired: use userDataStream.subscribe.signature \
                        of the WebSocket API.";
            Err(ApiError::with_status(410, -1000, text))
        }
        _ => return None,
    })
}

/// Request weight; a successful order or cancel weighs nothing.
pub fn weight(call: &Call) -> u64 {
    match (call.method.as_str(), call.path.strip_prefix("/api/v3/").unwrap_or_default()) {
        ("GET", "depth") => match call.params.limit(100, DEPTH_MAX).unwrap_or(DEPTH_MAX) {
            0..=100 => 5,
            101..=500 => 25,
            501..=1_000 => 50,
            _ => 250,
        },
        ("GET", "openOrders") => 6,
        ("GET", "order") => 4,
        ("GET", "account" | "allOrders" | "myTrades" | "exchangeInfo") => 20,
        ("GET", "trades") => 25,
        ("POST" | "DELETE", "order" | "openOrders") => 0,
        _ => 1,
    }
}

fn symbol(core: &Core) -> &'static str {
    core.spot.market.rules.symbol
}

fn refused(refusal: Refusal) -> ApiError {
    ApiError::refused(Venue::Spot, refusal)
}

fn exchange_info(core: &Core, call: &Call) -> Result<Value, ApiError> {
    call.symbol_if_any(symbol(core))?;
    Ok(spot_wire::exchange_info(&core.spot.market.rules, call.now_ms))
}

fn depth(core: &Core, call: &Call) -> Result<Value, ApiError> {
    call.symbol(symbol(core))?;
    let limit = call.params.limit(100, DEPTH_MAX)?;
    let book = core.spot.market.book();
    Ok(json!({"lastUpdateId": book.update_id(),
        "bids": spot_wire::levels(&book.levels(Side::Buy, limit)),
        "asks": spot_wire::levels(&book.levels(Side::Sell, limit))}))
}

fn trades(core: &Core, call: &Call) -> Result<Value, ApiError> {
    call.symbol(symbol(core))?;
    let limit = call.params.limit(ROWS_DEFAULT, ROWS_MAX)?;
    let rows = page(core.spot.market.trades().iter(), limit, false);
    Ok(rows.into_iter().map(spot_wire::public_trade).collect())
}

/// One row for a named symbol, a list without one.
fn one(
    core: &Core,
    call: &Call,
    row: impl Fn(&crate::sim::market::Market) -> Value,
) -> Result<Value, ApiError> {
    call.symbol_if_any(symbol(core))?;
    let value = row(&core.spot.market);
    Ok(if call.params.get("symbol").is_some() { value } else { json!([value]) })
}

/// `GET account`, also `account.status` of the WebSocket API.
pub fn account(core: &Core, call: &Call) -> Result<Value, ApiError> {
    let index = call.signed(core)?;
    let account = core.spot.clearing.account(index);
    Ok(spot_wire::account(index, &account, &core.spot.market.rules))
}

fn open_orders(core: &Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol_if_any(symbol(core))?;
    let orders = core.spot.market.open_orders(account);
    Ok(orders.map(|order| spot_wire::order(symbol(core), order)).collect())
}

fn all_orders(core: &Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let limit = call.params.limit(ROWS_DEFAULT, ROWS_MAX)?;
    let (from, in_span) = (call.from_id("orderId")?.unwrap_or(0), call.span()?);
    let orders = core.spot.market.orders_from(account, from);
    let rows = orders.filter(|order| in_span(order.created_ms));
    let rows = page(rows, limit, call.has_start("orderId"));
    Ok(rows.into_iter().map(|order| spot_wire::order(symbol(core), order)).collect())
}

/// `GET order`, also `order.status` of the WebSocket API.
pub fn order(core: &Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let found = core.spot.market.find(account, &call.reference()?);
    let order = found.ok_or_else(|| refused(Refusal::NoSuchOrder))?;
    Ok(spot_wire::order(symbol(core), order))
}

fn my_trades(core: &Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let limit = call.params.limit(ROWS_DEFAULT, ROWS_MAX)?;
    let (from, in_span) = (call.from_id("fromId")?.unwrap_or(0), call.span()?);
    let order_id = call.from_id("orderId")?;
    let rows = core.spot.clearing.trades(account).filter(|trade| {
        trade.fill.trade_id >= from
            && order_id.is_none_or(|id| id == trade.order_id)
            && in_span(trade.fill.at_ms)
    });
    let rows = page(rows, limit, call.has_start("fromId"));
    Ok(rows.into_iter().map(|trade| spot_wire::my_trade(symbol(core), trade)).collect())
}

/// `POST order`, also `order.place` of the WebSocket API.
pub fn place(core: &mut Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let request = call.order(Venue::Spot, account)?;
    let detail = match (call.params.get("newOrderRespType"), request.kind) {
        (Some("ACK"), _) | (None, Kind::LimitMaker) => Detail::Ack,
        (Some("RESULT"), _) => Detail::Result,
        _ => Detail::Full,
    };
    core.spot_meter.order(call.now_ms)?;
    let id = core.spot.place(request, call.now_ms).map_err(refused)?;
    core.publish(call.now_ms);
    let order = core.spot.market.order(id).ok_or_else(|| refused(Refusal::NoSuchOrder))?;
    let trades = core.spot.clearing.trades(account).rev();
    let newest = trades.take_while(|trade| trade.fill.at_ms >= order.created_ms);
    let mut fills: Vec<_> = newest.filter(|trade| trade.order_id == id).collect();
    fills.reverse();
    Ok(spot_wire::new_order(symbol(core), order, fills.into_iter(), detail))
}

fn test(core: &Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let request = call.order(Venue::Spot, account)?;
    core.spot.market.rules.admit(&request, core.spot.market.mid()).map_err(refused)?;
    Ok(json!({}))
}

/// `DELETE order`, also `order.cancel` of the WebSocket API.
pub fn cancel(core: &mut Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let reference = call.reference()?;
    let cancel_id = call.client_id(Venue::Spot, "newClientOrderId")?;
    let cancelled = core.spot.cancel(account, &reference, cancel_id, call.now_ms);
    let id = cancelled.map_err(refused)?;
    core.publish(call.now_ms);
    cancelled_row(core, id)
}

fn cancel_all(core: &mut Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let ids = core.spot.cancel_all(account, call.now_ms);
    core.publish(call.now_ms);
    if ids.is_empty() {
        return Err(refused(Refusal::UnknownOpen));
    }
    ids.into_iter().map(|id| cancelled_row(core, id)).collect()
}

fn cancelled_row(core: &Core, id: u64) -> Result<Value, ApiError> {
    let order = core.spot.market.order(id).ok_or_else(|| refused(Refusal::NoSuchOrder))?;
    Ok(spot_wire::cancelled(symbol(core), order))
}
