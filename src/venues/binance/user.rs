//! The account's own stream, both dialects, decoded to one enum.
//!
//! Spot frames come from the WebSocket API as `{subscriptionId,event}`, USD-M frames raw or wrapped
//! as `{stream,data}`. Neither stream replays anything after a reconnect: whoever reads this must
//! ask REST for what it missed.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    model::{order::Side, time::Timestamp},
    venues::binance::{
        facts::{Fill, OrderState, Position, PositionNames, order_state},
        wire::{DecodeError, Fields, parse},
    },
};

/// Something that happened to our account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum UserEvent {
    /// An order changed; with the execution, if that was the cause.
    Order(OrderChange),
    /// One balance moved by an amount that no order explains (deposit, withdrawal, transfer).
    Balance {
        /// The venue's asset code.
        asset: String,
        /// Signed: positive is received.
        delta: Decimal,
        /// Wallet balance afterwards, where the venue says it (USD-M).
        total: Option<Decimal>,
        /// The venue's word for the cause.
        reason: String,
        /// When it happened.
        at: Timestamp,
    },
    /// Balances and positions as they are now; only what changed is named.
    Balances {
        /// Absolute balances.
        balances: Vec<Holding>,
        /// Absolute positions (USD-M).
        positions: Vec<Position>,
        /// The venue's word for the cause.
        reason: String,
        /// When it happened.
        at: Timestamp,
    },
    /// A funding payment (USD-M).
    Funding {
        /// The venue's asset code.
        asset: String,
        /// Signed: positive is received.
        amount: Decimal,
        /// Wallet balance afterwards.
        balance: Decimal,
        /// When it happened.
        at: Timestamp,
    },
    /// The subscription to the spot stream was accepted.
    Subscribed,
    /// A request on the stream's own connection was refused: there is no subscription.
    Refused {
        /// The venue's code.
        code: i64,
        /// Its text.
        text: String,
    },
    /// The listen key expired: nothing more will come on this connection.
    Expired,
    /// The venue ended the subscription or will close the connection: subscribe again.
    Terminated,
    /// An event that says nothing about money or orders, by the venue's name.
    Other(OtherEvent),
}

/// Name of an event that is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherEvent {
    /// The venue's name.
    pub name: String,
}

/// What we hold of one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The venue's asset code.
    pub asset: String,
    /// Spot free plus locked, USD-M wallet balance.
    pub total: Decimal,
}

/// An order after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderChange {
    /// The venue's symbol.
    pub symbol: String,
    /// The id the order was placed with.
    pub client_order_id: String,
    /// The venue's id.
    pub venue_order_id: u64,
    /// Where it stands now.
    pub state: OrderState,
    /// Buy or sell.
    pub side: Side,
    /// Base asked for.
    pub quantity: Decimal,
    /// Base filled so far.
    pub filled: Decimal,
    /// Limit price; zero for a market order.
    pub price: Decimal,
    /// Why it was refused or expired, in the venue's word.
    pub reason: Option<String>,
    /// When it happened at the venue.
    pub at: Timestamp,
    /// The execution that caused it.
    pub fill: Option<Fill>,
}

const ORDER: &str = "order event";
const EVENT: &str = "user event";

/// Decodes one frame. One frame may hold several balance movements.
///
/// # Errors
/// When a field we need is absent or impossible: then the account must be read from REST.
pub fn decode(bytes: &[u8]) -> Result<Vec<UserEvent>, DecodeError> {
    let value = parse(EVENT, bytes)?;
    let frame = Fields::of(EVENT, &value)?;
    if frame.find("id").is_some() || frame.find("status").is_some() {
        return answer(&frame).map(|event| vec![event]);
    }
    let event = match (frame.find("event"), frame.find("data")) {
        (Some(event), _) => Fields::of(EVENT, event)?,
        (None, Some(data)) => Fields::of(EVENT, data)?,
        (None, None) => frame,
    };
    let one = match event.text("e")? {
        "executionReport" => UserEvent::Order(spot_order(&event)?),
        "ORDER_TRADE_UPDATE" => UserEvent::Order(usdm_order(&event)?),
        "outboundAccountPosition" => spot_balances(&event)?,
        "balanceUpdate" => UserEvent::Balance {
            asset: event.owned("a")?,
            delta: event.decimal("d")?,
            total: None,
            reason: "balanceUpdate".to_owned(),
            at: event.time("T")?,
        },
        "ACCOUNT_UPDATE" => return account_update(&event),
        "listenKeyExpired" => UserEvent::Expired,
        "eventStreamTerminated" | "serverShutdown" => UserEvent::Terminated,
        // TRADE_LITE repeats executions of ORDER_TRADE_UPDATE without their fees.
        other => UserEvent::Other(OtherEvent { name: other.to_owned() }),
    };
    Ok(vec![one])
}

/// The answer to a request on the same connection.
fn answer(frame: &Fields<'_>) -> Result<UserEvent, DecodeError> {
    if frame.find("error").is_some() {
        let error = frame.object("error", "refusal")?;
        return Ok(UserEvent::Refused { code: error.i64("code")?, text: error.owned("msg")? });
    }
    let is_subscription = frame.find("result").is_some_and(|r| r.get("subscriptionId").is_some());
    if is_subscription {
        return Ok(UserEvent::Subscribed);
    }
    Ok(UserEvent::Other(OtherEvent { name: "answer".to_owned() }))
}

fn spot_order(event: &Fields<'_>) -> Result<OrderChange, DecodeError> {
    let order = event.called(ORDER);
    // A cancel or amendment has an id of its own in `c`; then `C` holds the order's.
    let client_order_id = match order.optional_text("C") {
        Some(original) => original.to_owned(),
        None => order.owned("c")?,
    };
    let reason = ["eR", "r"].iter().find_map(|field| {
        order.optional_text(field).filter(|word| *word != "NONE").map(str::to_owned)
    });
    let at = order.time("T")?;
    Ok(OrderChange { reason, ..common_order(&order, client_order_id, at, None)? })
}

fn usdm_order(event: &Fields<'_>) -> Result<OrderChange, DecodeError> {
    let order = event.object("o", ORDER)?;
    let at = event.time("T")?;
    let realized_pnl = order.optional_decimal("rp")?;
    let reason = order.optional_text("er").filter(|word| *word != "0").map(str::to_owned);
    let change = common_order(&order, order.owned("c")?, at, realized_pnl)?;
    Ok(OrderChange { reason, ..change })
}

/// Both dialects name these fields alike.
fn common_order(
    order: &Fields<'_>,
    client_order_id: String,
    at: Timestamp,
    realized_pnl: Option<Decimal>,
) -> Result<OrderChange, DecodeError> {
    let last = order.decimal("l")?;
    let fill = if last.is_zero() {
        None
    } else {
        Some(Fill {
            trade_id: order.u64("t")?,
            price: order.decimal("L")?,
            quantity: last,
            // Absent on USD-M when nothing was charged.
            fee: order.optional_decimal("n")?.unwrap_or_default(),
            fee_asset: order.optional_text("N").map(str::to_owned),
            maker: Some(order.truth("m")?),
            realized_pnl,
        })
    };
    Ok(OrderChange {
        symbol: order.owned("s")?,
        client_order_id,
        venue_order_id: order.u64("i")?,
        state: order_state(order, "X")?,
        side: order.side("S")?,
        quantity: order.decimal("q")?,
        filled: order.decimal("z")?,
        price: order.decimal("p")?,
        reason: None,
        at,
        fill,
    })
}

fn spot_balances(event: &Fields<'_>) -> Result<UserEvent, DecodeError> {
    let balances = event.rows("B", "balance", |row| {
        let (free, locked) = (row.decimal("f")?, row.decimal("l")?);
        let total = free.checked_add(locked).ok_or_else(|| row.invalid("l"))?;
        Ok(Holding { asset: row.owned("a")?, total })
    })?;
    Ok(UserEvent::Balances {
        balances,
        positions: Vec::new(),
        reason: "outboundAccountPosition".to_owned(),
        at: event.time("u")?,
    })
}

/// One asset of an `ACCOUNT_UPDATE`.
struct Moved {
    asset: String,
    total: Decimal,
    /// Change apart from profit and commission.
    delta: Decimal,
}

fn account_update(event: &Fields<'_>) -> Result<Vec<UserEvent>, DecodeError> {
    let at = event.time("T")?;
    let update = event.object("a", "account update")?;
    let reason = update.text("m")?;
    let moved = match update.find("B") {
        Some(_) => update.rows("B", "balance", |row| {
            let (asset, total) = (row.owned("a")?, row.decimal("wb")?);
            Ok(Moved { asset, total, delta: row.decimal("bc")? })
        })?,
        None => Vec::new(),
    };
    let names = PositionNames { symbol: "s", side: "ps", quantity: "pa", entry_price: "ep" };
    let positions = match update.find("P") {
        Some(_) => update.rows("P", "position", |row| Position::read(row, &names))?,
        None => Vec::new(),
    };
    let mut events = Vec::new();
    let mut balances = Vec::new();
    for Moved { asset, total, delta } in moved {
        balances.push(Holding { asset: asset.clone(), total });
        let reason = reason.to_owned();
        match reason.as_str() {
            "FUNDING_FEE" => {
                events.push(UserEvent::Funding { asset, amount: delta, balance: total, at });
            }
            // What an order moves is told by the order's own event.
            "ORDER" => {}
            _ if delta.is_zero() => {}
            _ => {
                let total = Some(total);
                events.push(UserEvent::Balance { asset, delta, total, reason, at });
            }
        }
    }
    // Last, so that the movements which led there are known when it is compared.
    events.push(UserEvent::Balances { balances, positions, reason: reason.to_owned(), at });
    Ok(events)
}

#[cfg(test)]
mod tests;
