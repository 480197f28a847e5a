//! USD-M payloads, field by field as Binance's documentation prints them.

use serde_json::{Value, json};

use crate::exchange::spot_wire::{eight, side_name};
use crate::model::order::Side;
use crate::sim::depth::{DepthEvent, Levels};
use crate::sim::fixed::{ONE, product, share_up, show};
use crate::sim::market::{Market, PublicTrade};
use crate::sim::order::Order;
use crate::sim::perp::{
    Funding, Income, IncomeKind, MAINTENANCE_SHARE, PerpAccount, PerpEvent, PerpTrade,
};
use crate::sim::rules::{OPEN_ORDERS_MAX, Rules};

/// Decimals of exact quote amounts: those of a price plus those of a quantity.
const QUOTE_PLACES: u32 = 5;

fn price(value: impl Into<i128>) -> String {
    show(value, 2)
}

fn quantity(value: impl Into<i128>) -> String {
    show(value, 3)
}

/// Levels as `[["price","quantity"], ..]`.
pub fn levels(levels: &Levels) -> Value {
    levels.iter().map(|(p, q)| json!([price(*p), quantity(*q)])).collect()
}

/// A diff event.
pub fn depth_event(symbol: &str, event: &DepthEvent, now_ms: i64) -> Value {
    json!({"e": "depthUpdate", "E": now_ms, "T": now_ms, "s": symbol, "ps": symbol, "st": 1,
        "U": event.first_id, "u": event.last_id, "pu": event.previous_id,
        "b": levels(&event.bids), "a": levels(&event.asks)})
}

/// The best bid and ask as a stream event; `None` while a side is empty.
pub fn book_ticker_event(market: &Market, now_ms: i64) -> Option<Value> {
    let (bid, bid_quantity) = market.book().best(Side::Buy)?;
    let (ask, ask_quantity) = market.book().best(Side::Sell)?;
    let symbol = market.rules.symbol;
    Some(json!({"e": "bookTicker", "u": market.book().update_id(), "E": now_ms, "T": now_ms,
        "s": symbol, "b": price(bid), "B": quantity(bid_quantity), "a": price(ask),
        "A": quantity(ask_quantity), "st": 1, "ps": symbol}))
}

/// A trade as a stream event.
pub fn trade_event(symbol: &str, trade: &PublicTrade) -> Value {
    json!({"e": "trade", "E": trade.at_ms, "T": trade.at_ms, "s": symbol, "t": trade.id,
        "p": price(trade.price), "q": quantity(trade.quantity), "X": "MARKET",
        "m": trade.buyer_is_maker})
}

/// A trade as an aggregate of one.
pub fn agg_trade_event(symbol: &str, trade: &PublicTrade) -> Value {
    json!({"e": "aggTrade", "E": trade.at_ms, "a": trade.id, "s": symbol, "p": price(trade.price),
        "q": quantity(trade.quantity), "f": trade.id, "l": trade.id, "T": trade.at_ms,
        "m": trade.buyer_is_maker, "st": 1})
}

/// A trade in `GET trades`.
pub fn public_trade(trade: &PublicTrade) -> Value {
    json!({"id": trade.id, "price": price(trade.price), "qty": quantity(trade.quantity),
        "quoteQty": show(product(trade.price, trade.quantity), QUOTE_PLACES), "time": trade.at_ms,
        "isBuyerMaker": trade.buyer_is_maker})
}

/// Prices and funding of the moment.
#[derive(Clone, Copy, Debug)]
pub struct Premium {
    /// 1e-8.
    pub mark: i64,
    /// Middle of the spot book, 1e-8.
    pub index: i64,
    /// Share per round, 1e-8.
    pub rate: i64,
    /// Unix ms of the next round.
    pub next_ms: i64,
}

/// A mark price event.
pub fn mark_price_event(symbol: &str, premium: &Premium, now_ms: i64) -> Value {
    json!({"e": "markPriceUpdate", "E": now_ms, "s": symbol, "p": eight(premium.mark),
        "i": eight(premium.index), "P": eight(premium.mark), "r": eight(premium.rate),
        "T": premium.next_ms, "st": 1})
}

/// `GET premiumIndex`.
pub fn premium_index(symbol: &str, premium: &Premium, now_ms: i64) -> Value {
    json!({"symbol": symbol, "markPrice": eight(premium.mark), "indexPrice": eight(premium.index),
        "estimatedSettlePrice": eight(premium.mark), "lastFundingRate": eight(premium.rate),
        "interestRate": eight(0_i64), "nextFundingTime": premium.next_ms, "time": now_ms})
}

/// A row of `fundingRate`.
pub fn funding(symbol: &str, funding: &Funding) -> Value {
    json!({"symbol": symbol, "fundingTime": funding.at_ms, "fundingRate": eight(funding.rate),
        "markPrice": eight(funding.mark)})
}

/// An order as every order endpoint prints it.
pub fn order(symbol: &str, order: &Order) -> Value {
    json!({"orderId": order.id, "symbol": symbol, "status": order.status.name(),
        "clientOrderId": order.client_id, "price": price(order.price),
        "avgPrice": show(order.average_price(), QUOTE_PLACES), "origQty": quantity(order.quantity),
        "executedQty": quantity(order.executed), "cumQty": quantity(order.executed),
        "cumQuote": show(order.executed_quote, QUOTE_PLACES),
        "timeInForce": order.lifetime.name(), "type": order.kind.name(),
        "reduceOnly": order.reduce_only, "closePosition": false, "side": side_name(order.side),
        "positionSide": "BOTH", "stopPrice": "0.00", "workingType": "CONTRACT_PRICE",
        "priceProtect": false, "origType": order.kind.name(), "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE", "goodTillDate": 0, "time": order.created_ms,
        "updateTime": order.updated_ms})
}

/// A row of `userTrades`.
pub fn user_trade(symbol: &str, trade: &PerpTrade) -> Value {
    json!({"buyer": trade.side == Side::Buy, "commission": eight(trade.fee),
        "commissionAsset": "USDT", "id": trade.fill.trade_id, "maker": trade.fill.is_maker,
        "orderId": trade.order_id, "price": price(trade.fill.price),
        "qty": quantity(trade.fill.quantity), "quoteQty": show(trade.fill.quote, QUOTE_PLACES),
        "realizedPnl": eight(trade.realised), "side": side_name(trade.side),
        "positionSide": "BOTH", "symbol": symbol, "time": trade.fill.at_ms})
}

/// A row of `income`.
pub fn income(symbol: &str, income: &Income) -> Value {
    let trade_id = income.trade_id.map(|id| id.to_string()).unwrap_or_default();
    let symbol = if income.kind == IncomeKind::Transfer { "" } else { symbol };
    let word = if trade_id.is_empty() { income.kind.name() } else { trade_id.as_str() };
    json!({"symbol": symbol, "incomeType": income.kind.name(), "income": eight(income.amount),
        "asset": "USDT", "info": word, "time": income.at_ms, "tranId": income.id,
        "tradeId": trade_id})
}

struct Margins {
    wallet: String,
    unrealised: String,
    balance: String,
    maintenance: String,
    position: String,
    orders: String,
    initial: String,
    available: String,
}

fn margins(account: &PerpAccount, mark: i64) -> Margins {
    let notional = account.position.notional(mark).abs();
    Margins {
        wallet: eight(account.wallet),
        unrealised: eight(account.position.unrealised(mark)),
        balance: eight(account.margin_balance(mark)),
        maintenance: eight(share_up(notional, MAINTENANCE_SHARE)),
        position: eight(account.position_margin(mark)),
        orders: eight(account.order_margin()),
        initial: eight(account.position_margin(mark) + account.order_margin()),
        available: eight(account.available(mark)),
    }
}

/// `GET balance`.
pub fn balance(account: &PerpAccount, mark: i64) -> Value {
    let m = margins(account, mark);
    json!([{"accountAlias": "SIM", "asset": "USDT", "balance": m.wallet,
        "crossWalletBalance": m.wallet, "crossUnPnl": m.unrealised,
        "availableBalance": m.available, "maxWithdrawAmount": m.available,
        "marginAvailable": true, "updateTime": account.updated_ms}])
}

/// `GET account`.
pub fn account(symbol: &str, account: &PerpAccount, mark: i64) -> Value {
    let m = margins(account, mark);
    let position = &account.position;
    let asset = json!({"asset": "USDT", "walletBalance": m.wallet, "unrealizedProfit": m.unrealised,
        "marginBalance": m.balance, "maintMargin": m.maintenance, "initialMargin": m.initial,
        "positionInitialMargin": m.position, "openOrderInitialMargin": m.orders,
        "crossWalletBalance": m.wallet, "crossUnPnl": m.unrealised,
        "availableBalance": m.available, "maxWithdrawAmount": m.available,
        "marginAvailable": true, "updateTime": account.updated_ms});
    let held = json!({"symbol": symbol, "initialMargin": m.initial, "maintMargin": m.maintenance,
        "unrealizedProfit": m.unrealised, "positionInitialMargin": m.position,
        "openOrderInitialMargin": m.orders, "leverage": account.leverage.to_string(),
        "isolated": false, "entryPrice": eight(position.entry_price()),
        "breakEvenPrice": eight(position.entry_price()), "maxNotional": "9000000",
        "bidNotional": "0", "askNotional": "0", "positionSide": "BOTH",
        "positionAmt": quantity(position.quantity), "notional": eight(position.notional(mark)),
        "isolatedWallet": "0", "isolatedMargin": "0", "updateTime": account.updated_ms});
    json!({"feeTier": 0, "canTrade": true, "canDeposit": true, "canWithdraw": false,
        "updateTime": 0, "multiAssetsMargin": false, "tradeGroupId": -1,
        "totalInitialMargin": m.initial, "totalMaintMargin": m.maintenance,
        "totalWalletBalance": m.wallet, "totalUnrealizedProfit": m.unrealised,
        "totalMarginBalance": m.balance, "totalPositionInitialMargin": m.position,
        "totalOpenOrderInitialMargin": m.orders, "totalCrossWalletBalance": m.wallet,
        "totalCrossUnPnl": m.unrealised, "availableBalance": m.available,
        "maxWithdrawAmount": m.available, "assets": [asset], "positions": [held]})
}

/// A row of `positionRisk`.
pub fn position_risk(symbol: &str, account: &PerpAccount, mark: i64) -> Value {
    let m = margins(account, mark);
    let position = &account.position;
    json!({"symbol": symbol, "positionAmt": quantity(position.quantity),
        "entryPrice": eight(position.entry_price()),
        "breakEvenPrice": eight(position.entry_price()), "markPrice": eight(mark),
        "unRealizedProfit": m.unrealised, "liquidationPrice": "0",
        "leverage": account.leverage.to_string(), "maxNotionalValue": "9000000",
        "marginType": "cross", "isolatedMargin": "0.00000000", "isAutoAddMargin": "false",
        "positionSide": "BOTH", "notional": eight(position.notional(mark)), "isolatedWallet": "0",
        "marginAsset": "USDT", "initialMargin": m.initial, "maintMargin": m.maintenance,
        "positionInitialMargin": m.position, "openOrderInitialMargin": m.orders, "adl": 0,
        "bidNotional": "0", "askNotional": "0", "updateTime": account.updated_ms})
}

/// A user event and the account it is for.
pub fn user_event(symbol: &str, event: &PerpEvent) -> (usize, Value) {
    match event {
        PerpEvent::Order { order, trade } => {
            (order.account, order_update(symbol, order, trade.as_ref()))
        }
        PerpEvent::Account { account, reason, after, change, mark, at_ms } => {
            let wallet = eight(after.wallet);
            let balances = json!([{"a": "USDT", "wb": wallet, "cw": wallet, "bc": eight(*change)}]);
            let position = &after.position;
            // Only a trade changes the position; funding and transfers speak of the balance alone.
            let positions = if *reason == "ORDER" {
                json!([{"s": symbol, "pa": quantity(position.quantity),
                    "ep": eight(position.entry_price()), "bep": eight(position.entry_price()),
                    "cr": "0", "up": eight(position.unrealised(*mark)), "mt": "cross",
                    "iw": "0", "ps": "BOTH"}])
            } else {
                json!([])
            };
            let payload = json!({"e": "ACCOUNT_UPDATE", "T": at_ms, "E": at_ms,
                "a": {"m": reason, "B": balances, "P": positions}});
            (*account, payload)
        }
    }
}

fn order_update(symbol: &str, order: &Order, trade: Option<&PerpTrade>) -> Value {
    let execution = if trade.is_some() { "TRADE" } else { order.status.name() };
    let fill = trade.map(|trade| trade.fill);
    let at_ms = order.updated_ms;
    let body = json!({"s": symbol, "c": order.client_id, "S": side_name(order.side),
        "o": order.kind.name(), "f": order.lifetime.name(), "q": quantity(order.quantity),
        "p": price(order.price), "ap": show(order.average_price(), QUOTE_PLACES), "sp": "0",
        "x": execution, "X": order.status.name(), "i": order.id,
        "l": fill.map_or_else(|| "0".to_owned(), |f| quantity(f.quantity)),
        "z": quantity(order.executed),
        "L": fill.map_or_else(|| "0".to_owned(), |f| price(f.price)),
        "N": "USDT", "n": trade.map_or_else(|| "0".to_owned(), |t| eight(t.fee)), "T": at_ms,
        "t": fill.map_or(0, |f| f.trade_id), "b": "0", "a": "0",
        "m": fill.is_some_and(|f| f.is_maker), "R": order.reduce_only, "wt": "CONTRACT_PRICE",
        "ot": order.kind.name(), "ps": "BOTH", "cp": false, "pP": false, "si": 0, "ss": 0,
        "rp": trade.map_or_else(|| "0".to_owned(), |t| eight(t.realised)), "V": "NONE",
        "pm": "NONE", "gtd": 0});
    json!({"e": "ORDER_TRADE_UPDATE", "T": at_ms, "E": at_ms, "o": body})
}

/// `GET exchangeInfo`.
pub fn exchange_info(rules: &Rules, now_ms: i64) -> Value {
    let filters = json!([
        {"filterType": "PRICE_FILTER", "minPrice": price(rules.price_min),
            "maxPrice": price(rules.price_max), "tickSize": price(rules.tick)},
        {"filterType": "LOT_SIZE", "minQty": quantity(rules.lot),
            "maxQty": quantity(rules.quantity_max), "stepSize": quantity(rules.lot)},
        {"filterType": "MARKET_LOT_SIZE", "minQty": quantity(rules.lot),
            "maxQty": quantity(rules.market_quantity_max), "stepSize": quantity(rules.lot)},
        {"filterType": "MAX_NUM_ORDERS", "limit": OPEN_ORDERS_MAX},
        {"filterType": "MIN_NOTIONAL", "notional": show(rules.notional_min, 0)}]);
    json!({"timezone": "UTC", "serverTime": now_ms, "futuresType": "U_MARGINED",
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
                "limit": 2_400},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1_200},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300}],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": true, "autoAssetExchange": "0"}],
        "symbols": [{"symbol": rules.symbol, "pair": rules.symbol, "contractType": "PERPETUAL",
            "deliveryDate": 4_133_404_800_000_i64, "onboardDate": 1_569_398_400_000_i64,
            "status": "TRADING", "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000",
            "baseAsset": "ETH", "quoteAsset": "USDT", "marginAsset": "USDT",
            "pricePrecision": rules.price_places, "quantityPrecision": rules.quantity_places,
            "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN",
            "underlyingSubType": [], "triggerProtect": "0.0500", "liquidationFee": "0.012500",
            "marketTakeBound": "0.05", "maxMoveOrderLimit": 10_000, "filters": filters,
            "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC", "FOK", "GTX"]}]})
}

/// `GET leverageBracket`.
pub fn leverage_bracket(symbol: &str, leverage_max: i64) -> Value {
    json!([{"symbol": symbol, "brackets": [{"bracket": 1, "initialLeverage": leverage_max,
        "notionalCap": 9_000_000, "notionalFloor": 0,
        "maintMarginRatio": f64_share(MAINTENANCE_SHARE), "cum": 0.0}]}])
}

/// A share as the JSON number the venue prints here.
fn f64_share(share: i64) -> Value {
    let text = show(share, 8);
    text.parse().unwrap_or_else(|_| json!(share / ONE))
}
