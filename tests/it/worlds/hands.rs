//! A person trades on the agent's accounts, with its key and under other client ids: while it is
//! down, and while it runs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rust_decimal::{Decimal, dec};
use serde_json::Value;
use sqlx::PgPool;
use tidekeeper::model::order::Side;
use tidekeeper::venues::binance::Dialect;
use tidekeeper::venues::binance::orders::{NewOrder, Pricing, Reach};
use tidekeeper::world::demo::World;

use super::stage;

/// Client ids of the orders made by hand.
pub(super) const IDS: [&str; 2] = ["a-person-on-spot", "a-person-on-usdm"];
/// Enough to push the delta out of the hedge's band, wherever in it the agent was.
const CONTRACTS: Decimal = dec!(8);
/// The hedge waits 20 s inside of its outer edge.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(45);

/// Buys on spot while no agent runs: the next one finds the trade in the venue's list, which does
/// not name the order by its client id.
pub(super) async fn buy_spot(world: &World) -> Result<()> {
    // Quotes that a killed agent left would be met: this exchange has no self-trade prevention. It
    // refuses to cancel nothing.
    let _ = stage::ask_venue(world, &Dialect::Spot.cancel_all("ETHUSDT")).await;
    place(world, Dialect::Spot, IDS[0], Side::Buy, dec!(0.3)).await
}

/// Sells contracts beside a running agent, which moves its opening value and hedges them.
pub(super) async fn sell_contracts(world: &World) -> Result<()> {
    let database = stage::database(world).await?;
    let before = opening_value(&database).await?;
    place(world, Dialect::UsdM, IDS[1], Side::Sell, CONTRACTS).await?;
    let began = Instant::now();
    while hedges_after(&database).await? == 0 {
        ensure!(began.elapsed() < NOTICE_TIMEOUT, "no hedge followed the trade made by hand");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let after = opening_value(&database).await?;
    ensure!(before != after, "the opening value is still {before}");
    Ok(())
}

async fn place(
    world: &World,
    dialect: Dialect,
    client_order_id: &str,
    side: Side,
    quantity: Decimal,
) -> Result<()> {
    let order = NewOrder {
        symbol: "ETHUSDT".into(),
        client_order_id: client_order_id.into(),
        side,
        quantity,
        pricing: Pricing::Market,
        reach: Reach::Any,
    };
    let placed = stage::ask_venue(world, &dialect.place(&order)?).await?;
    ensure!(placed["status"] == "FILLED", "{placed}");
    Ok(())
}

async fn opening_value(database: &PgPool) -> Result<String> {
    let value = sqlx::query_scalar("select value::text from memory where key = 'opening_value'");
    Ok(value.fetch_one(database).await?)
}

/// Hedges of ours that bought since the person sold.
async fn hedges_after(database: &PgPool) -> Result<i64> {
    let n = sqlx::query_scalar(
        "select count(*)
         from orders
         where venue = 'hedge' and side = 'buy' and filled > 0
             and created_at >= (
                 select min(at)
                 from notes
                 where kind = 'manual_trade' and body ->> 'venue' = 'hedge'
             )",
    );
    Ok(n.fetch_one(database).await?)
}

/// At rest: each trade made by hand stands in the ledger once, against `external:manual` and no
/// reason of ours, by the exchange's own numbers.
pub(super) async fn are_external(world: &World) -> Result<()> {
    let database = stage::database(world).await?;
    let trades = by_hand(world).await?;
    let n_trades = i64::try_from(trades.len())?;
    let entries: i64 = sqlx::query_scalar(
        "select count(distinct entry_id) from postings where account = 'external:manual'",
    )
    .fetch_one(&database)
    .await?;
    ensure!(entries == n_trades, "{entries} entries for {n_trades} trades made by hand");
    let notes: i64 = sqlx::query_scalar("select count(*) from notes where kind = 'manual_trade'")
        .fetch_one(&database)
        .await?;
    ensure!(notes == n_trades, "{notes} notes for {n_trades} trades made by hand");
    let ours: i64 = sqlx::query_scalar(
        "select count(*)
         from postings
         where account in ('trading:spot', 'expense:venue_fees')
             and entry_id in (select entry_id from postings where account = 'external:manual')",
    )
    .fetch_one(&database)
    .await?;
    ensure!(ours == 0, "{ours} lines of trades made by hand are ours");

    let spot = |trade: &&Value| trade.get("isBuyer").is_some();
    let (mut base, mut quote) = (Decimal::ZERO, Decimal::ZERO);
    for trade in trades.iter().filter(spot) {
        // The fee of a buy is taken from what is received.
        base += number(trade, "qty")? - number(trade, "commission")?;
        quote -= number(trade, "quoteQty")?;
    }
    for (unit, received) in [("venue:spot/ETH", base), ("venue:spot/USDT", quote)] {
        let booked = manual(&database, unit).await?;
        ensure!(booked == -received, "{unit}: {booked} against external:manual, not {received}");
    }
    let perp = trades.iter().filter(|trade| trade.get("isBuyer").is_none());
    let sold = perp.map(|trade| number(trade, "qty")).sum::<Result<Decimal>>()?;
    ensure!(sold == CONTRACTS, "{sold} contracts were sold by hand");
    Ok(())
}

/// The exchange's own list of trades made by hand.
async fn by_hand(world: &World) -> Result<Vec<Value>> {
    let orders = stage::all_orders(world).await?;
    let is_by_hand = |order: &&Value| IDS.iter().any(|id| order["clientOrderId"] == *id);
    let ids: Vec<&Value> = orders.iter().filter(is_by_hand).map(|o| &o["orderId"]).collect();
    ensure!(ids.len() == IDS.len(), "{} orders were made by hand", ids.len());
    let mut trades = stage::all_trades(world).await?;
    trades.retain(|trade| ids.contains(&&trade["orderId"]));
    Ok(trades)
}

/// Sum of what stands against `external:manual` in a unit, whole.
async fn manual(database: &PgPool, unit: &str) -> Result<Decimal> {
    let sum: String = sqlx::query_scalar(
        "select coalesce(sum(amount), 0)::text
         from postings
         where account = 'external:manual' and unit = $1",
    )
    .bind(unit)
    .fetch_one(database)
    .await?;
    Ok(Decimal::from_i128_with_scale(sum.parse()?, 8))
}

fn number(trade: &Value, field: &str) -> Result<Decimal> {
    let text = trade[field].as_str().with_context(|| format!("a trade without {field}"))?;
    Ok(text.parse()?)
}
