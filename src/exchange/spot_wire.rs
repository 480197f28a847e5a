//! Spot payloads, field by field as Binance's documentation prints them.

use serde_json::{Map, Value, json};

use crate::model::order::Side;
use crate::sim::depth::{DepthEvent, Levels};
use crate::sim::fixed::{ONE, show};
use crate::sim::market::{Market, PublicTrade};
use crate::sim::order::{Kind, Lifetime, Order, Status};
use crate::sim::rules::{OPEN_ORDERS_MAX, Rules};
use crate::sim::spot::{Asset, SpotAccount, SpotEvent, SpotTrade};

const ZERO: &str = "0.00000000";

/// Eight decimals, as spot prints everything.
pub fn eight(value: impl Into<i128>) -> String {
    show(value, 8)
}

/// The venue's word for a side.
pub fn side_name(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// Levels as `[["price","quantity"], ..]`.
pub fn levels(levels: &Levels) -> Value {
    levels.iter().map(|(price, quantity)| json!([eight(*price), eight(*quantity)])).collect()
}

/// A diff event.
pub fn depth_event(symbol: &str, event: &DepthEvent, now_ms: i64) -> Value {
    json!({"e": "depthUpdate", "E": now_ms, "s": symbol, "U": event.first_id, "u": event.last_id,
        "b": levels(&event.bids), "a": levels(&event.asks)})
}

/// The best bid and ask as a stream event; `None` while a side is empty.
pub fn book_ticker_event(market: &Market) -> Option<Value> {
    let (bid, bid_quantity) = market.book().best(Side::Buy)?;
    let (ask, ask_quantity) = market.book().best(Side::Sell)?;
    Some(json!({"u": market.book().update_id(), "s": market.rules.symbol,
        "b": eight(bid), "B": eight(bid_quantity), "a": eight(ask), "A": eight(ask_quantity)}))
}

/// A trade as a stream event.
pub fn trade_event(symbol: &str, trade: &PublicTrade) -> Value {
    json!({"e": "trade", "E": trade.at_ms, "s": symbol, "t": trade.id, "p": eight(trade.price),
        "q": eight(trade.quantity), "T": trade.at_ms, "m": trade.buyer_is_maker, "M": true})
}

/// A trade as an aggregate of one.
pub fn agg_trade_event(symbol: &str, trade: &PublicTrade) -> Value {
    json!({"e": "aggTrade", "E": trade.at_ms, "s": symbol, "a": trade.id, "p": eight(trade.price),
        "q": eight(trade.quantity), "f": trade.id, "l": trade.id, "T": trade.at_ms,
        "m": trade.buyer_is_maker, "M": true})
}

/// A trade in `GET trades`.
pub fn public_trade(trade: &PublicTrade) -> Value {
    let quote = crate::sim::fixed::product(trade.price, trade.quantity);
    json!({"id": trade.id, "price": eight(trade.price), "qty": eight(trade.quantity),
        "quoteQty": eight(quote), "time": trade.at_ms, "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": true})
}

fn time_in_force(order: &Order) -> &'static str {
    if order.kind == Kind::Limit { order.lifetime.name() } else { Lifetime::Gtc.name() }
}

fn common(symbol: &str, order: &Order) -> Map<String, Value> {
    let mut map = Map::new();
    let fields = [
        ("symbol", json!(symbol)),
        ("orderId", json!(order.id)),
        ("orderListId", json!(-1)),
        ("clientOrderId", json!(order.client_id)),
        ("price", json!(eight(order.price))),
        ("origQty", json!(eight(order.quantity))),
        ("executedQty", json!(eight(order.executed))),
        ("origQuoteOrderQty", json!(eight(order.quote_quantity))),
        ("cummulativeQuoteQty", json!(eight(order.executed_quote))),
        ("status", json!(order.status.name())),
        ("timeInForce", json!(time_in_force(order))),
        ("type", json!(order.kind.name())),
        ("side", json!(side_name(order.side))),
        ("workingTime", json!(order.created_ms)),
        ("selfTradePreventionMode", json!("NONE")),
    ];
    map.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    map
}

/// An order as `GET order`, `openOrders` and `allOrders` print it.
pub fn order(symbol: &str, order: &Order) -> Value {
    let mut map = common(symbol, order);
    let fields = [
        ("stopPrice", json!(ZERO)),
        ("icebergQty", json!(ZERO)),
        ("time", json!(order.created_ms)),
        ("updateTime", json!(order.updated_ms)),
        ("isWorking", json!(true)),
    ];
    map.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(map)
}

/// How much a new order's answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Only that it was taken.
    Ack,
    /// Where it stands.
    Result,
    /// And its fills.
    Full,
}

/// The answer to a new order.
pub fn new_order<'a>(
    symbol: &str,
    order: &Order,
    fills: impl Iterator<Item = &'a SpotTrade>,
    detail: Detail,
) -> Value {
    if detail == Detail::Ack {
        return json!({"symbol": symbol, "orderId": order.id, "orderListId": -1,
            "clientOrderId": order.client_id, "transactTime": order.created_ms});
    }
    let mut map = common(symbol, order);
    map.insert("transactTime".into(), json!(order.created_ms));
    if detail == Detail::Full {
        let fills: Vec<Value> = fills.map(fill).collect();
        map.insert("fills".into(), Value::Array(fills));
    }
    Value::Object(map)
}

fn fill(trade: &SpotTrade) -> Value {
    json!({"price": eight(trade.fill.price), "qty": eight(trade.fill.quantity),
        "commission": eight(trade.fee), "commissionAsset": trade.fee_asset.name(),
        "tradeId": trade.fill.trade_id})
}

/// The answer to a cancel.
pub fn cancelled(symbol: &str, order: &Order) -> Value {
    let mut map = common(symbol, order);
    map.insert("origClientOrderId".into(), json!(order.client_id));
    map.insert("clientOrderId".into(), json!(order.cancel_id));
    map.insert("transactTime".into(), json!(order.updated_ms));
    map.remove("workingTime");
    Value::Object(map)
}

/// A row of `myTrades`.
pub fn my_trade(symbol: &str, trade: &SpotTrade) -> Value {
    json!({"symbol": symbol, "id": trade.fill.trade_id, "orderId": trade.order_id,
        "orderListId": -1, "price": eight(trade.fill.price), "qty": eight(trade.fill.quantity),
        "quoteQty": eight(trade.fill.quote), "commission": eight(trade.fee),
        "commissionAsset": trade.fee_asset.name(), "time": trade.fill.at_ms,
        "isBuyer": trade.side == Side::Buy, "isMaker": trade.fill.is_maker, "isBestMatch": true})
}

/// `GET account`.
pub fn account(index: usize, account: &SpotAccount, rules: &Rules) -> Value {
    let balances: Vec<Value> = [Asset::Eth, Asset::Usdt]
        .into_iter()
        .map(|asset| {
            let balance = account.balance(asset);
            json!({"asset": asset.name(), "free": eight(balance.free),
                "locked": eight(balance.locked)})
        })
        .collect();
    let bps = |share: i64| share / (ONE / 10_000);
    json!({"makerCommission": bps(rules.maker_fee), "takerCommission": bps(rules.taker_fee),
        "buyerCommission": 0, "sellerCommission": 0,
        "commissionRates": {"maker": eight(rules.maker_fee), "taker": eight(rules.taker_fee),
            "buyer": ZERO, "seller": ZERO},
        "canTrade": true, "canWithdraw": false, "canDeposit": true, "brokered": false,
        "requireSelfTradePrevention": false, "preventSor": false, "updateTime": account.updated_ms,
        "accountType": "SPOT", "balances": balances, "permissions": ["SPOT"], "uid": 1_000 + index})
}

/// A user event, without the subscription wrapper, and the account it is for.
pub fn user_event(symbol: &str, event: &SpotEvent) -> (usize, Value) {
    match event {
        SpotEvent::Report { order, trade } => {
            (order.account, execution_report(symbol, order, trade.as_ref()))
        }
        SpotEvent::Balances { account, after } => {
            let balances: Vec<Value> = [Asset::Eth, Asset::Usdt]
                .into_iter()
                .map(|asset| {
                    let balance = after.balance(asset);
                    json!({"a": asset.name(), "f": eight(balance.free), "l": eight(balance.locked)})
                })
                .collect();
            let at_ms = after.updated_ms;
            let payload =
                json!({"e": "outboundAccountPosition", "E": at_ms, "u": at_ms, "B": balances});
            (*account, payload)
        }
        SpotEvent::Transfer { account, asset, delta, at_ms } => {
            let payload = json!({"e": "balanceUpdate", "E": at_ms, "a": asset.name(),
                "d": eight(*delta), "T": at_ms});
            (*account, payload)
        }
    }
}

fn execution_report(symbol: &str, order: &Order, trade: Option<&SpotTrade>) -> Value {
    let execution = if trade.is_some() { "TRADE" } else { order.status.name() };
    let (client_id, original) = match (&order.cancel_id, order.status) {
        (Some(cancel_id), Status::Canceled) => (cancel_id.as_str(), order.client_id.as_str()),
        _ => (order.client_id.as_str(), ""),
    };
    let fill = trade.map(|trade| trade.fill);
    let last = |value: Option<i128>| value.map_or_else(|| ZERO.to_owned(), eight);
    let at_ms = order.updated_ms;
    let mut report = json!({"e": "executionReport", "E": at_ms, "s": symbol, "c": client_id,
        "S": side_name(order.side), "o": order.kind.name(), "f": time_in_force(order),
        "q": eight(order.quantity), "p": eight(order.price), "P": ZERO, "F": ZERO, "g": -1,
        "C": original, "x": execution, "X": order.status.name(), "r": "NONE", "i": order.id,
        "l": last(fill.map(|f| i128::from(f.quantity))), "z": eight(order.executed),
        "L": last(fill.map(|f| i128::from(f.price))),
        "n": trade.map_or_else(|| "0".to_owned(), |t| eight(t.fee)),
        "N": trade.map(|t| t.fee_asset.name()), "T": at_ms,
        "t": fill.map_or(json!(-1), |f| json!(f.trade_id)),
        "I": fill.map_or(order.id, |f| f.trade_id),
        "w": order.status.is_open() && order.kind != Kind::Market,
        "m": fill.is_some_and(|f| f.is_maker), "M": false, "O": order.created_ms,
        "Z": eight(order.executed_quote), "Y": last(fill.map(|f| f.quote)),
        "Q": eight(order.quote_quantity), "W": order.created_ms, "V": "NONE"});
    if order.status == Status::Expired {
        report["eR"] = json!("INSUFFICIENT_LIQUIDITY");
    }
    report
}

/// `GET ticker/24hr`, counted since the exchange started.
pub fn day_ticker(market: &Market, started_ms: i64, now_ms: i64) -> Value {
    let tally = market.tally();
    let (bid, bid_quantity) = market.book().best(Side::Buy).unwrap_or_default();
    let (ask, ask_quantity) = market.book().best(Side::Sell).unwrap_or_default();
    let change = i128::from(tally.last - tally.open);
    let percent = (change * 100 * i128::from(ONE)).checked_div(i128::from(tally.open)).unwrap_or(0);
    let mean = (tally.quote_volume * i128::from(ONE)).checked_div(tally.volume).unwrap_or(0);
    json!({"symbol": market.rules.symbol, "priceChange": eight(change),
        "priceChangePercent": show(percent, 3), "weightedAvgPrice": eight(mean),
        "prevClosePrice": eight(tally.open), "lastPrice": eight(tally.last),
        "lastQty": eight(tally.last_quantity), "bidPrice": eight(bid),
        "bidQty": eight(bid_quantity), "askPrice": eight(ask), "askQty": eight(ask_quantity),
        "openPrice": eight(tally.open), "highPrice": eight(tally.high),
        "lowPrice": eight(tally.low), "volume": eight(tally.volume),
        "quoteVolume": eight(tally.quote_volume), "openTime": started_ms, "closeTime": now_ms,
        "firstId": tally.first_id, "lastId": tally.last_id, "count": tally.count})
}

/// `GET ticker/bookTicker`.
pub fn book_ticker(market: &Market) -> Value {
    let (bid, bid_quantity) = market.book().best(Side::Buy).unwrap_or_default();
    let (ask, ask_quantity) = market.book().best(Side::Sell).unwrap_or_default();
    json!({"symbol": market.rules.symbol, "bidPrice": eight(bid), "bidQty": eight(bid_quantity),
        "askPrice": eight(ask), "askQty": eight(ask_quantity)})
}

/// `GET exchangeInfo`.
pub fn exchange_info(rules: &Rules, now_ms: i64) -> Value {
    let filters = json!([
        {"filterType": "PRICE_FILTER", "minPrice": eight(rules.price_min),
            "maxPrice": eight(rules.price_max), "tickSize": eight(rules.tick)},
        {"filterType": "LOT_SIZE", "minQty": eight(rules.lot),
            "maxQty": eight(rules.quantity_max), "stepSize": eight(rules.lot)},
        {"filterType": "MARKET_LOT_SIZE", "minQty": ZERO,
            "maxQty": eight(rules.market_quantity_max), "stepSize": ZERO},
        {"filterType": "NOTIONAL", "minNotional": eight(rules.notional_min),
            "applyMinToMarket": true, "maxNotional": "9000000.00000000",
            "applyMaxToMarket": false, "avgPriceMins": 0},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": OPEN_ORDERS_MAX}]);
    json!({"timezone": "UTC", "serverTime": now_ms,
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
                "limit": 6_000},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
            {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000}],
        "exchangeFilters": [],
        "symbols": [{"symbol": rules.symbol, "status": "TRADING", "baseAsset": "ETH",
            "baseAssetPrecision": 8, "quoteAsset": "USDT", "quotePrecision": 8,
            "quoteAssetPrecision": 8, "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"], "icebergAllowed": false,
            "ocoAllowed": false, "otoAllowed": false, "opoAllowed": false,
            "quoteOrderQtyMarketAllowed": true, "allowTrailingStop": false,
            "cancelReplaceAllowed": false, "amendAllowed": false, "pegInstructionsAllowed": false,
            "isSpotTradingAllowed": true, "isMarginTradingAllowed": false, "filters": filters,
            "permissions": [], "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "NONE", "allowedSelfTradePreventionModes": ["NONE"]}],
        "sors": []})
}
