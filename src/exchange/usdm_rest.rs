//! Binance USD-M futures: `/fapi/v1|v2|v3/*`.

use serde_json::{Value, json};

use crate::exchange::call::{Answer, Call, page};
use crate::exchange::core::Core;
use crate::exchange::errors::{ApiError, Venue};
use crate::exchange::{spot_wire, usdm_wire};
use crate::model::order::Side;
use crate::sim::order::{Refusal, Size};
use crate::sim::perp::PerpAccount;

/// Depth levels one request may ask for.
const DEPTH_MAX: usize = 1_000;
/// Rows one request may ask for.
const ROWS_MAX: usize = 1_000;
/// Rows when no limit is sent.
const ROWS_DEFAULT: usize = 500;
/// Rows of `income` and `fundingRate` when no limit is sent.
const INCOME_DEFAULT: usize = 100;

/// Answers one request.
pub fn answer(core: &mut Core, call: &Call) -> Answer {
    let rest = call.path.strip_prefix("/fapi/")?;
    let (version, path) = rest.split_once('/')?;
    if !matches!(version, "v1" | "v2" | "v3") {
        return None;
    }
    Some(match (call.method.as_str(), path) {
        ("GET", "ping") => Ok(json!({})),
        ("GET", "time") => Ok(json!({"serverTime": call.now_ms})),
        ("GET", "exchangeInfo") => {
            Ok(usdm_wire::exchange_info(&core.perp.market.rules, call.now_ms))
        }
        ("GET", "depth") => depth(core, call),
        ("GET", "trades") => trades(core, call),
        ("GET", "ticker/bookTicker" | "ticker/price" | "ticker/24hr") => ticker(core, call, path),
        ("GET", "premiumIndex") => premium_index(core, call),
        ("GET", "fundingRate") => funding_rate(core, call),
        ("GET", "account" | "balance" | "positionRisk") => account(core, call, path),
        ("GET", "openOrders" | "openOrder") => open_orders(core, call, path),
        ("GET", "allOrders") => all_orders(core, call),
        ("GET", "order") => order(core, call),
        ("GET", "userTrades") => user_trades(core, call),
        ("GET", "income") => income(core, call),
        ("POST", "order") => place(core, call),
        ("DELETE", "order") => cancel(core, call),
        ("DELETE", "allOpenOrders") => cancel_all(core, call),
        ("POST", "countdownCancelAll") => countdown(core, call),
        (_, "listenKey") => listen_key(core, call),
        (_, setting) => return settings(core, call, setting),
    })
}

/// Request weight.
pub fn weight(call: &Call) -> u64 {
    let path = call.path.rsplit('/').next().unwrap_or_default();
    match (call.method.as_str(), path) {
        ("GET", "depth") => match call.params.limit(500, DEPTH_MAX).unwrap_or(DEPTH_MAX) {
            0..=50 => 2,
            51..=100 => 5,
            101..=500 => 10,
            _ => 20,
        },
        ("GET", "account" | "balance" | "positionRisk" | "allOrders" | "userTrades") => 5,
        ("GET", "income") => 30,
        ("POST", "countdownCancelAll") => 10,
        ("POST", "order") => 0,
        _ => 1,
    }
}

fn symbol(core: &Core) -> &'static str {
    core.perp.market.rules.symbol
}

fn refused(refusal: Refusal) -> ApiError {
    ApiError::refused(Venue::Usdm, refusal)
}

fn listed(call: &Call, value: Value) -> Value {
    if call.params.get("symbol").is_some() { value } else { json!([value]) }
}

fn depth(core: &Core, call: &Call) -> Result<Value, ApiError> {
    call.symbol(symbol(core))?;
    let limit = call.params.limit(500, DEPTH_MAX)?;
    let book = core.perp.market.book();
    Ok(json!({"lastUpdateId": book.update_id(), "E": call.now_ms, "T": call.now_ms,
        "bids": usdm_wire::levels(&book.levels(Side::Buy, limit)),
        "asks": usdm_wire::levels(&book.levels(Side::Sell, limit))}))
}

fn trades(core: &Core, call: &Call) -> Result<Value, ApiError> {
    call.symbol(symbol(core))?;
    let limit = call.params.limit(ROWS_DEFAULT, ROWS_MAX)?;
    let rows = page(core.perp.market.trades().iter(), limit, false);
    Ok(rows.into_iter().map(usdm_wire::public_trade).collect())
}

fn ticker(core: &Core, call: &Call, path: &str) -> Result<Value, ApiError> {
    call.symbol_if_any(symbol(core))?;
    let market = &core.perp.market;
    let row = match path {
        "ticker/bookTicker" => {
            let mut row = spot_wire::book_ticker(market);
            row["time"] = json!(call.now_ms);
            row
        }
        "ticker/price" => json!({"symbol": symbol(core),
            "price": spot_wire::eight(market.tally().last), "time": call.now_ms}),
        _ => spot_wire::day_ticker(market, core.started_ms, call.now_ms),
    };
    Ok(listed(call, row))
}

fn premium_index(core: &Core, call: &Call) -> Result<Value, ApiError> {
    call.symbol_if_any(symbol(core))?;
    let row = usdm_wire::premium_index(symbol(core), &core.premium(), call.now_ms);
    Ok(listed(call, row))
}

fn funding_rate(core: &Core, call: &Call) -> Result<Value, ApiError> {
    call.symbol_if_any(symbol(core))?;
    let (limit, in_span) = (call.params.limit(INCOME_DEFAULT, ROWS_MAX)?, call.span()?);
    let rows = core.perp.clearing.fundings().iter().filter(|row| in_span(row.at_ms));
    let rows = page(rows, limit, call.has_start("startTime"));
    Ok(rows.into_iter().map(|row| usdm_wire::funding(symbol(core), row)).collect())
}

fn account_of(core: &Core, index: usize) -> Result<&PerpAccount, ApiError> {
    core.perp.clearing.account(index).ok_or_else(|| refused(Refusal::Funds))
}

fn account(core: &Core, call: &Call, path: &str) -> Result<Value, ApiError> {
    let account = account_of(core, call.signed(core)?)?;
    let mark = core.perp.clearing.mark();
    match path {
        "account" => Ok(usdm_wire::account(symbol(core), account, mark)),
        "balance" => Ok(usdm_wire::balance(account, mark)),
        _ => {
            call.symbol_if_any(symbol(core))?;
            Ok(json!([usdm_wire::position_risk(symbol(core), account, mark)]))
        }
    }
}

fn open_orders(core: &Core, call: &Call, path: &str) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol_if_any(symbol(core))?;
    if path == "openOrder" {
        let found = core.perp.market.find(account, &call.reference()?);
        let open = found.filter(|order| order.status.is_open());
        let order = open.ok_or_else(|| refused(Refusal::NoSuchOrder))?;
        return Ok(usdm_wire::order(symbol(core), order));
    }
    let orders = core.perp.market.open_orders(account);
    Ok(orders.map(|order| usdm_wire::order(symbol(core), order)).collect())
}

fn all_orders(core: &Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let limit = call.params.limit(ROWS_DEFAULT, ROWS_MAX)?;
    let (from, in_span) = (call.from_id("orderId")?.unwrap_or(0), call.span()?);
    let orders = core.perp.market.orders_from(account, from);
    let rows = orders.filter(|order| in_span(order.created_ms));
    let rows = page(rows, limit, call.has_start("orderId"));
    Ok(rows.into_iter().map(|order| usdm_wire::order(symbol(core), order)).collect())
}

fn order(core: &Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let found = core.perp.market.find(account, &call.reference()?);
    let order = found.ok_or_else(|| refused(Refusal::NoSuchOrder))?;
    Ok(usdm_wire::order(symbol(core), order))
}

fn user_trades(core: &Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let limit = call.params.limit(ROWS_DEFAULT, ROWS_MAX)?;
    let (from, in_span) = (call.from_id("fromId")?.unwrap_or(0), call.span()?);
    let order_id = call.from_id("orderId")?;
    let rows = core.perp.clearing.trades(account).filter(|trade| {
        trade.fill.trade_id >= from
            && order_id.is_none_or(|id| id == trade.order_id)
            && in_span(trade.fill.at_ms)
    });
    let rows = page(rows, limit, call.has_start("fromId"));
    Ok(rows.into_iter().map(|trade| usdm_wire::user_trade(symbol(core), trade)).collect())
}

fn income(core: &Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol_if_any(symbol(core))?;
    let (limit, in_span) = (call.params.limit(INCOME_DEFAULT, ROWS_MAX)?, call.span()?);
    let wanted = call.params.get("incomeType");
    let skipped = call.params.integer("page")?.map_or(0, |page| (page - 1).clamp(0, 1_000_000));
    let skipped = usize::try_from(skipped).unwrap_or(0).saturating_mul(limit);
    let rows = core
        .perp
        .clearing
        .income(account)
        .filter(|row| in_span(row.at_ms) && wanted.is_none_or(|kind| kind == row.kind.name()));
    // A page counts from the oldest row; without page and start the latest rows are meant.
    let from_start = call.has_start("startTime") || call.params.get("page").is_some();
    let rows: Vec<_> = if from_start {
        rows.skip(skipped).take(limit).collect()
    } else {
        page(rows, limit, false)
    };
    Ok(rows.into_iter().map(|row| usdm_wire::income(symbol(core), row)).collect())
}

fn place(core: &mut Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    if call.params.get("positionSide").is_some_and(|side| side != "BOTH") {
        return Err(ApiError::new(-4061, "Order's position side does not match user's setting."));
    }
    let request = call.order(Venue::Usdm, account)?;
    let rules = &core.perp.market.rules;
    let is_coarse = match request.size {
        Size::Base(quantity) => quantity % rules.lot == 0,
        Size::Quote(_) => true,
    };
    if !is_coarse || request.price % rules.tick != 0 {
        return Err(ApiError::precision());
    }
    core.usdm_meter.order(call.now_ms)?;
    let id = core.perp.place(request, call.now_ms).map_err(refused)?;
    core.publish(call.now_ms);
    order_row(core, id)
}

fn cancel(core: &mut Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let reference = call.reference()?;
    let id = core.perp.cancel(account, &reference, None, call.now_ms).map_err(refused)?;
    core.publish(call.now_ms);
    order_row(core, id)
}

fn order_row(core: &Core, id: u64) -> Result<Value, ApiError> {
    let order = core.perp.market.order(id).ok_or_else(|| refused(Refusal::NoSuchOrder))?;
    Ok(usdm_wire::order(symbol(core), order))
}

fn cancel_all(core: &mut Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    core.perp.cancel_all(account, call.now_ms);
    core.publish(call.now_ms);
    Ok(json!({"code": 200, "msg": "The operation of cancel all open order is done."}))
}

fn countdown(core: &mut Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.signed(core)?;
    call.symbol(symbol(core))?;
    let countdown_ms = call.params.integer("countdownTime")?;
    let countdown_ms = countdown_ms.ok_or_else(|| ApiError::missing("countdownTime"))?;
    core.arm(account, countdown_ms, call.now_ms);
    Ok(json!({"symbol": symbol(core), "countdownTime": countdown_ms.to_string()}))
}

fn listen_key(core: &mut Core, call: &Call) -> Result<Value, ApiError> {
    let account = call.keyed(core)?;
    match call.method.as_str() {
        "POST" => Ok(json!({"listenKey": core.open_listen_key(account, call.now_ms)})),
        "PUT" if core.renew_listen_key(account, call.now_ms) => {
            Ok(json!({"listenKey": core.open_listen_key(account, call.now_ms)}))
        }
        "DELETE" => {
            core.close_listen_key(account);
            Ok(json!({}))
        }
        _ => Err(ApiError::new(-1125, "This listenKey does not exist.")),
    }
}

/// One-way, cross, single-asset: the only settings of this exchange.
fn settings(core: &mut Core, call: &Call, path: &str) -> Answer {
    let account = match call.signed(core) {
        Ok(account) => account,
        Err(error) => return Some(Err(error)),
    };
    let get = call.method == "GET";
    Some(match path {
        "positionSide/dual" if get => Ok(json!({"dualSidePosition": false})),
        "positionSide/dual" if call.params.is_true("dualSidePosition") => {
            Err(ApiError::new(-4068, "Position side cannot be changed if there exists position."))
        }
        "positionSide/dual" => Err(ApiError::new(-4059, "No need to change position side.")),
        "multiAssetsMargin" if get => Ok(json!({"multiAssetsMargin": false})),
        "multiAssetsMargin" => Err(ApiError::new(-4171, "No need to change the margin mode.")),
        "marginType" => Err(ApiError::new(-4046, "No need to change margin type.")),
        "leverageBracket" => Ok(usdm_wire::leverage_bracket(symbol(core), core.leverage_max)),
        "commissionRate" => {
            let rules = &core.perp.market.rules;
            Ok(json!({"symbol": symbol(core),
                "makerCommissionRate": spot_wire::eight(rules.maker_fee),
                "takerCommissionRate": spot_wire::eight(rules.taker_fee)}))
        }
        "leverage" => leverage(core, call, account),
        _ => return None,
    })
}

fn leverage(core: &mut Core, call: &Call, account: usize) -> Result<Value, ApiError> {
    let leverage = call.params.integer("leverage")?.ok_or_else(|| ApiError::missing("leverage"))?;
    if !(1..=core.leverage_max).contains(&leverage) {
        return Err(ApiError::new(-4028, format!("Leverage {leverage} is not valid")));
    }
    core.perp.clearing.set_leverage(account, leverage);
    Ok(json!({"symbol": symbol(core), "leverage": leverage, "maxNotionalValue": "9000000"}))
}
