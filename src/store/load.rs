//! What earlier runs left: everything the engine needs to go on.

use alloy::primitives::{Address, B256, U256};
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use crate::engine::event::{Position, QuoteTally, Recovered};
use crate::execution::order::{Order, OrderState};
use crate::execution::tx::{Tx, TxState};
use crate::model::chain::BlockRef;
use crate::model::intent::PoolId;
use crate::model::order::{Side, TimeInForce};
use crate::model::time::Timestamp;
use crate::model::venue::NewOrder;
use crate::store::rows::{bigint, read, read_u64};
use crate::store::{Store, StoreError, ledger, opportunities};

/// Closed positions loaded for display.
const CLOSED_POSITIONS_MAX: i64 = 40;

/// Instants leave Postgres as integer microseconds.
const MICROS: &str = "(extract(epoch from {}) * 1000000)::bigint";

/// Orders of hedges: neither quotes nor legs.
const HEDGES: &str = "from orders
     where time_in_force <> 'post_only'
         and not exists (
             select
             from opportunities
             where opportunities.strategy = orders.strategy and leg ->> 'venue' = orders.venue
         )";

pub(super) fn micros(column: &str) -> String {
    format!("{} as {column}", MICROS.replace("{}", column))
}

impl Store {
    /// Reads everything back.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn load(&self) -> Result<Recovered, StoreError> {
        let pool = &self.pool;
        let orders_sent: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) {HEDGES}")))
                .fetch_one(pool)
                .await?;
        let orders_filled: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select count(*) {HEDGES} and filled > 0"
        )))
        .fetch_one(pool)
        .await?;
        let rebalances: i64 =
            sqlx::query_scalar("select count(*) from positions where closed_at is not null")
                .fetch_one(pool)
                .await?;
        let deeds: i64 = sqlx::query_scalar(
            "select (select count(*) from tx_slots) + (select count(*) from orders)",
        )
        .fetch_one(pool)
        .await?;
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(Recovered {
            ledger: ledger::load(pool).await?,
            provisional: ledger::provisional(pool).await?,
            positions: positions(pool).await?,
            txs: txs(pool).await?,
            highest_nonce: highest_nonces(pool).await?,
            orders: open_orders(pool).await?,
            trades: trades(pool).await?,
            booked: booked(pool).await?,
            traded: traded(pool).await?,
            day_value: self.day_value().await?,
            day_gas: day_gas(pool).await?,
            moves_today: moves_today(pool).await?,
            opened: instants(pool, "min(at) filter (where kind = 'opening')").await?,
            incomes_since: instants(
                pool,
                "max(at) filter (where kind in ('funding', 'deposit', 'withdrawal'))
                     - interval '10 minutes'",
            )
            .await?,
            decisions: self.decisions(count(deeds)).await?,
            orders_sent: count(orders_sent),
            orders_filled: count(orders_filled),
            quotes: quotes(pool).await?,
            rebalances: count(rebalances),
            opening_value: self.remembered("opening_value").await?.and_then(|v| decimal(&v)),
            halted: self.remembered("halted").await?.and_then(|v| v.as_str().map(str::to_owned)),
            paused: self.remembered("paused").await?.map(names).unwrap_or_default(),
            opportunities: opportunities::newest(pool).await?,
            tallies: opportunities::tallies(pool).await?,
        })
    }

    /// Decision counters start above everything ever stored and everything an unstored run used.
    async fn decisions(&self, stored: u64) -> Result<u64, StoreError> {
        let starts = self.remembered("starts").await?.and_then(|v| v.as_u64()).unwrap_or(0) + 1;
        let mut connection = self.pool.acquire().await?;
        let value = serde_json::json!(starts);
        super::rows::remember(&mut connection, "starts", &value).await?;
        // A million decisions per start keep ids of one start apart from those of the next.
        Ok(starts.saturating_mul(1_000_000).max(stored))
    }

    async fn day_value(&self) -> Result<Option<(i64, Decimal)>, StoreError> {
        let value = self.remembered("day").await?;
        Ok(value.and_then(|value| Some((value["day"].as_i64()?, decimal(&value["value"])?))))
    }

    pub(super) async fn remembered(
        &self,
        key: &str,
    ) -> Result<Option<serde_json::Value>, StoreError> {
        let value = sqlx::query_scalar("select value from memory where key = $1")
            .bind(key)
            .fetch_optional(&self.pool)
            .await?;
        Ok(value)
    }

    /// The last block in the ledger.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn cursor(&self, chain: u64) -> Result<Option<BlockRef>, StoreError> {
        let row = sqlx::query("select number, hash from cursors where chain_id = $1")
            .bind(bigint(chain))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            let hash = B256::try_from(row.try_get::<Vec<u8>, _>("hash")?.as_slice())
                .map_err(|e| StoreError::Row { table: "cursors", what: e.to_string() })?;
            Ok(BlockRef { chain, number: read_u64(&row, "number")?, hash })
        })
        .transpose()
    }

    /// Blocks that entries stand on and that a chain may have taken back, newest first.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn provisional_blocks(&self, chain: u64) -> Result<Vec<BlockRef>, StoreError> {
        ledger::provisional_blocks(&self.pool, chain).await
    }

    /// Hashes and nonces of slots that may still be mined or sent.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn open_slots(&self, chain: u64) -> Result<Vec<(u64, B256)>, StoreError> {
        let rows = sqlx::query(
            "select nonce, hash from tx_slots
             where chain_id = $1 and state in ('signed', 'broadcast', 'included', 'reverted')",
        )
        .bind(bigint(chain))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let hash: Vec<u8> = row.try_get("hash")?;
                let hash = B256::try_from(hash.as_slice())
                    .map_err(|e| StoreError::Row { table: "tx_slots", what: e.to_string() })?;
                Ok((read_u64(row, "nonce")?, hash))
            })
            .collect()
    }
}

fn decimal(value: &serde_json::Value) -> Option<Decimal> {
    value.as_str()?.parse().ok()
}

pub(super) fn at(row: &PgRow, column: &'static str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp(row.try_get::<i64, _>(column)?.saturating_mul(1_000)))
}

fn address(row: &PgRow, column: &'static str) -> Result<Option<Address>, StoreError> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    bytes
        .map(|bytes| Address::try_from(bytes.as_slice()))
        .transpose()
        .map_err(|e| StoreError::Row { table: "tx_slots", what: e.to_string() })
}

async fn positions(pool: &PgPool) -> Result<Vec<Position>, StoreError> {
    let statement = format!(
        "select chain_id, token_id::text as token_id, pool, strategy, tick_lower, tick_upper,
             liquidity::text as liquidity, amount0::text as amount0, amount1::text as amount1,
             inside0::text as inside0, inside1::text as inside1, {}, {},
             collected0::text as collected0, collected1::text as collected1,
             fees0::text as fees0, fees1::text as fees1, gas_wei::text as gas_wei,
             blocks_in_range, blocks_total, closed_price::text as closed_price
         from positions
         where closed_at is null
             or (chain_id, token_id) in (
                 select chain_id, token_id
                 from positions
                 where closed_at is not null
                 order by closed_at desc
                 limit $1
             )",
        micros("opened_at"),
        micros("closed_at"),
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(CLOSED_POSITIONS_MAX)
        .fetch_all(pool)
        .await?;
    rows.iter().map(position).collect()
}

fn position(row: &PgRow) -> Result<Position, StoreError> {
    const TABLE: &str = "positions";
    let number = |column| read::<U256>(row, TABLE, column);
    let inside: (Option<String>, Option<String>) =
        (row.try_get("inside0")?, row.try_get("inside1")?);
    let inside = match inside {
        (Some(_), Some(_)) => Some((number("inside0")?, number("inside1")?)),
        _ => None,
    };
    let closed: Option<i64> = row.try_get("closed_at")?;
    let closed_price: Option<String> = row.try_get("closed_price")?;
    let pool = address(row, "pool")?.unwrap_or_default();
    Ok(Position {
        pool: PoolId { chain: read_u64(row, "chain_id")?, address: pool.into() },
        token_id: number("token_id")?,
        strategy: row.try_get("strategy")?,
        tick_lower: row.try_get("tick_lower")?,
        tick_upper: row.try_get("tick_upper")?,
        liquidity: read(row, TABLE, "liquidity")?,
        amount0: number("amount0")?,
        amount1: number("amount1")?,
        inside,
        opened: at(row, "opened_at")?,
        closed: closed.map(|micros| Timestamp(micros.saturating_mul(1_000))),
        collected0: number("collected0")?,
        collected1: number("collected1")?,
        fees0: number("fees0")?,
        fees1: number("fees1")?,
        gas: number("gas_wei")?,
        blocks_in_range: read_u64(row, "blocks_in_range")?,
        blocks_total: read_u64(row, "blocks_total")?,
        closed_price: closed_price.and_then(|price| price.parse().ok()),
    })
}

async fn txs(pool: &PgPool) -> Result<Vec<(u64, Tx)>, StoreError> {
    let statement = format!(
        "select chain_id, nonce, purpose, pool, tick_lower, tick_upper, strategy, intent, hash,
             state, {}, block_number, gas_used, cost_wei::text as cost_wei
         from tx_slots
         order by created_at desc
         limit 200",
        micros("created_at")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(pool).await?;
    rows.iter().map(tx).collect()
}

fn tx(row: &PgRow) -> Result<(u64, Tx), StoreError> {
    let bad = |what: String| StoreError::Row { table: "tx_slots", what };
    let chain = read_u64(row, "chain_id")?;
    let state: String = row.try_get("state")?;
    let state = serde_json::from_value::<TxState>(state.into()).map_err(|e| bad(e.to_string()))?;
    let hash: Vec<u8> = row.try_get("hash")?;
    let hash = B256::try_from(hash.as_slice()).map_err(|e| bad(e.to_string()))?;
    let range: (Option<i32>, Option<i32>) =
        (row.try_get("tick_lower")?, row.try_get("tick_upper")?);
    let block: Option<i64> = row.try_get("block_number")?;
    let gas_used: Option<i64> = row.try_get("gas_used")?;
    let cost: Option<String> = row.try_get("cost_wei")?;
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    let tx = Tx {
        nonce: read_u64(row, "nonce")?,
        purpose: row.try_get("purpose")?,
        pool: address(row, "pool")?.map(|address| PoolId { chain, address: address.into() }),
        range: range.0.zip(range.1),
        strategy: row.try_get("strategy")?,
        intent: row.try_get("intent")?,
        hash: Some(hash),
        state,
        created: at(row, "created_at")?,
        sent_at_block: 0,
        block: block.map(unsigned),
        gas_used: gas_used.map(unsigned),
        cost: cost.and_then(|cost| cost.parse().ok()),
    };
    Ok((chain, tx))
}

async fn highest_nonces(pool: &PgPool) -> Result<Vec<(u64, u64)>, StoreError> {
    let rows = sqlx::query("select chain_id, max(nonce) as nonce from tx_slots group by chain_id")
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| Ok((read_u64(row, "chain_id")?, read_u64(row, "nonce")?))).collect()
}

async fn open_orders(pool: &PgPool) -> Result<Vec<Order>, StoreError> {
    let statement = format!(
        "select client_order_id, venue, symbol, side, price::text as price,
             quantity::text as quantity, time_in_force, reduce_only, {}, filled::text as filled,
             why, {}
         from orders
         where is_open
         order by created_at",
        micros("valid_until"),
        micros("created_at")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(pool).await?;
    rows.iter().map(order).collect()
}

fn order(row: &PgRow) -> Result<Order, StoreError> {
    const TABLE: &str = "orders";
    let word = |column: &'static str| -> Result<String, StoreError> { Ok(row.try_get(column)?) };
    let bad = |what: String| StoreError::Row { table: TABLE, what };
    let side: Side =
        serde_json::from_value(word("side")?.into()).map_err(|e| bad(e.to_string()))?;
    let time_in_force: TimeInForce =
        serde_json::from_value(word("time_in_force")?.into()).map_err(|e| bad(e.to_string()))?;
    let request = NewOrder {
        venue: word("venue")?,
        symbol: word("symbol")?,
        client_order_id: word("client_order_id")?,
        side,
        price: read(row, TABLE, "price")?,
        quantity: read(row, TABLE, "quantity")?,
        time_in_force,
        reduce_only: row.try_get("reduce_only")?,
        valid_until: at(row, "valid_until")?,
    };
    Ok(Order {
        request,
        state: OrderState::Sending,
        filled: read(row, TABLE, "filled")?,
        created: at(row, "created_at")?,
        why: word("why")?,
    })
}

async fn quotes(pool: &PgPool) -> Result<QuoteTally, StoreError> {
    let row = sqlx::query(
        "select count(*) as sent,
             count(*) filter (where filled > 0) as filled,
             count(*) filter (where state = 'cancelled') as cancelled
         from orders
         where time_in_force = 'post_only'",
    )
    .fetch_one(pool)
    .await?;
    Ok(QuoteTally {
        sent: read_u64(&row, "sent")?,
        filled: read_u64(&row, "filled")?,
        cancelled: read_u64(&row, "cancelled")?,
    })
}

/// A remembered list of names.
fn names(value: serde_json::Value) -> Vec<String> {
    serde_json::from_value(value).unwrap_or_default()
}

/// Start of the day in UTC, as Postgres says it.
const DAY_START: &str = "date_trunc('day', now() at time zone 'utc') at time zone 'utc'";

async fn day_gas(pool: &PgPool) -> Result<U256, StoreError> {
    let statement = format!(
        "select coalesce(sum(cost_wei), 0)::text as cost from tx_slots
         where created_at >= {DAY_START}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_one(pool).await?;
    read(&row, "tx_slots", "cost")
}

async fn moves_today(pool: &PgPool) -> Result<Vec<(String, u32)>, StoreError> {
    let statement = format!(
        "select strategy, count(*) as moves from positions
         where closed_at >= {DAY_START}
         group by strategy"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            let moves = u32::try_from(row.try_get::<i64, _>("moves")?).unwrap_or(u32::MAX);
            Ok((row.try_get("strategy")?, moves))
        })
        .collect()
}

/// Base of booked trades of the newest orders of each venue: ids of two venues do not compare.
async fn booked(pool: &PgPool) -> Result<Vec<(String, u64, Decimal)>, StoreError> {
    let rows = sqlx::query(
        "select venue, venue_order_id, quantity
         from (
             select venue, venue_order_id, sum(quantity)::text as quantity,
                 row_number() over (partition by venue order by max(trade_id) desc) as age
             from fills
             group by venue, venue_order_id
         ) as newest
         where age <= 200",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let quantity = read(row, "fills", "quantity")?;
            Ok((row.try_get("venue")?, read_u64(row, "venue_order_id")?, quantity))
        })
        .collect()
}

/// Client ids of each venue's newest orders that are over and traded.
async fn traded(pool: &PgPool) -> Result<Vec<String>, StoreError> {
    let ids = sqlx::query_scalar(
        "select client_order_id
         from (
             select client_order_id,
                 row_number() over (partition by venue order by created_at desc) as place
             from orders
             where filled > 0 and not is_open
         ) as traded
         where place <= 200
         order by client_order_id",
    )
    .fetch_all(pool)
    .await?;
    Ok(ids)
}

async fn trades(pool: &PgPool) -> Result<Vec<(String, String, Timestamp, Decimal)>, StoreError> {
    let rows = sqlx::query(
        "select venue, symbol, sum(cash)::text as cash,
             (extract(epoch from max(venue_time)) * 1000000)::bigint as newest
         from fills
         group by venue, symbol",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let cash = read(row, "fills", "cash")?;
            Ok((row.try_get("venue")?, row.try_get("symbol")?, at(row, "newest")?, cash))
        })
        .collect()
}

/// An instant per venue, from the entries whose lines touch the venue's account.
async fn instants(
    pool: &PgPool,
    what: &'static str,
) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let statement = format!(
        "select substr(postings.account, 7) as venue,
             (extract(epoch from {what}) * 1000000)::bigint as instant
         from entries
         join postings on postings.entry_id = entries.id
         where postings.account like 'venue:%'
         group by postings.account"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(pool).await?;
    let mut instants = Vec::new();
    for row in &rows {
        if row.try_get::<Option<i64>, _>("instant")?.is_some() {
            instants.push((row.try_get("venue")?, at(row, "instant")?));
        }
    }
    Ok(instants)
}
