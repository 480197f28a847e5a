//! Tables of deeds and states: slots, orders, fills, positions, cursors, notes, memory.

use std::str::FromStr;

use alloy::primitives::{Address, B256, Bytes, U256};
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};

use crate::engine::event::Position;
use crate::engine::output::Mined;
use crate::execution::order::Order;
use crate::execution::tx::{Act, SignedTx, TxState};
use crate::model::chain::BlockRef;
use crate::model::order::TimeInForce;
use crate::model::time::Timestamp;
use crate::model::venue::Fill;
use crate::store::{Batch, PlannedOrder, StoreError};

/// Reads a text column as the type it was written from.
pub(super) fn read<T: FromStr>(
    row: &PgRow,
    table: &'static str,
    column: &'static str,
) -> Result<T, StoreError> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|_| StoreError::Row { table, what: format!("{column} = {text:?}") })
}

/// An integer column that is never negative.
pub(super) fn read_u64(row: &PgRow, column: &'static str) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

/// Ids and heights fit `bigint`; the ceiling only keeps a nonsense value visible as such.
pub(super) fn bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// An instant as Postgres reads it, to the microsecond.
pub(super) fn instant(at: Timestamp) -> String {
    at.utc()
}

fn in_force(value: TimeInForce) -> &'static str {
    match value {
        TimeInForce::Gtc => "gtc",
        TimeInForce::Ioc => "ioc",
        TimeInForce::PostOnly => "post_only",
    }
}

/// Stores a slot with its signed bytes.
pub(super) async fn insert_tx(
    connection: &mut PgConnection,
    tx: &SignedTx,
    at: Timestamp,
) -> Result<(), StoreError> {
    let range = match &tx.request.act {
        Act::Open { open, .. } => Some((open.tick_lower, open.tick_upper)),
        _ => None,
    };
    sqlx::query(
        "insert into tx_slots (chain_id, signer, nonce, intent, strategy, purpose, pool,
             tick_lower, tick_upper, hash, raw, state, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'signed', $12::text::timestamptz)
         on conflict (hash) do nothing",
    )
    .bind(bigint(tx.request.chain))
    .bind(tx.signer.to_vec())
    .bind(bigint(tx.request.nonce))
    .bind(tx.intent)
    .bind(&tx.strategy)
    .bind(tx.request.act.as_str())
    .bind(tx.request.act.pool().map(|pool| pool.address.as_slice().to_vec()))
    .bind(range.map(|(lower, _)| lower))
    .bind(range.map(|(_, upper)| upper))
    .bind(tx.hash.to_vec())
    .bind(tx.raw.to_vec())
    .bind(instant(at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves a slot on.
pub(super) async fn update_tx(
    connection: &mut PgConnection,
    chain: u64,
    nonce: u64,
    state: TxState,
    mined: Option<&Mined>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update tx_slots
         set state = $3,
             block_number = coalesce($4, block_number),
             block_hash = coalesce($5, block_hash),
             gas_used = coalesce($6, gas_used),
             cost_wei = coalesce($7::text::numeric, cost_wei)
         where chain_id = $1 and nonce = $2",
    )
    .bind(bigint(chain))
    .bind(bigint(nonce))
    .bind(state.as_str())
    .bind(mined.map(|mined| bigint(mined.number)))
    .bind(mined.map(|mined| mined.block_hash.to_vec()))
    .bind(mined.map(|mined| bigint(mined.gas_used)))
    .bind(mined.map(|mined| mined.cost.to_string()))
    .execute(connection)
    .await?;
    Ok(())
}

/// A slot waits again.
pub(super) async fn return_tx(
    connection: &mut PgConnection,
    chain: u64,
    nonce: u64,
) -> Result<(), StoreError> {
    sqlx::query(
        "update tx_slots
         set state = 'broadcast',
             block_number = null,
             block_hash = null,
             gas_used = null,
             cost_wei = null
         where chain_id = $1 and nonce = $2",
    )
    .bind(bigint(chain))
    .bind(bigint(nonce))
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes out the row of a position whose mint a chain took back; its entries stay, reversed.
pub(super) async fn delete_position(
    connection: &mut PgConnection,
    chain: u64,
    token_id: U256,
) -> Result<(), StoreError> {
    sqlx::query("delete from positions where chain_id = $1 and token_id = $2::text::numeric")
        .bind(bigint(chain))
        .bind(token_id.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// The signed bytes of a slot.
pub(super) async fn raw_tx(
    pool: &PgPool,
    chain: u64,
    signer: Address,
    nonce: u64,
) -> Result<Option<(B256, Bytes)>, StoreError> {
    let row = sqlx::query(
        "select hash, raw from tx_slots where chain_id = $1 and signer = $2 and nonce = $3",
    )
    .bind(bigint(chain))
    .bind(signer.to_vec())
    .bind(bigint(nonce))
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        let hash: Vec<u8> = row.try_get("hash")?;
        let raw: Vec<u8> = row.try_get("raw")?;
        let hash = B256::try_from(hash.as_slice())
            .map_err(|e| StoreError::Row { table: "tx_slots", what: e.to_string() })?;
        Ok((hash, Bytes::from(raw)))
    })
    .transpose()
}

/// Stores an order with its full request.
pub(super) async fn insert_order(
    connection: &mut PgConnection,
    planned: &PlannedOrder,
) -> Result<(), StoreError> {
    let order = &planned.order;
    let request = &order.request;
    sqlx::query(
        "insert into orders (client_order_id, venue, symbol, side, price, quantity, time_in_force,
             reduce_only, valid_until, intent, strategy, state, is_open, filled, why, created_at)
         values ($1, $2, $3, $4, $5::text::numeric, $6::text::numeric, $7, $8,
             $9::text::timestamptz, $10, $11, $12, true, 0, $13, $14::text::timestamptz)
         on conflict do nothing",
    )
    .bind(&request.client_order_id)
    .bind(&request.venue)
    .bind(&request.symbol)
    .bind(request.side.to_string())
    .bind(request.price.to_string())
    .bind(request.quantity.to_string())
    .bind(in_force(request.time_in_force))
    .bind(request.reduce_only)
    .bind(instant(request.valid_until))
    .bind(planned.intent)
    .bind(&planned.strategy)
    .bind(order.state_name())
    .bind(&order.why)
    .bind(instant(order.created))
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves an order on.
pub(super) async fn update_order(
    connection: &mut PgConnection,
    order: &Order,
) -> Result<(), StoreError> {
    sqlx::query(
        "update orders
         set state = $2, is_open = $3, filled = $4::text::numeric, why = $5
         where client_order_id = $1",
    )
    .bind(&order.request.client_order_id)
    .bind(order.state_name())
    .bind(order.is_open())
    .bind(order.filled.to_string())
    .bind(&order.why)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a trade.
pub(super) async fn insert_fill(
    connection: &mut PgConnection,
    venue: &str,
    symbol: &str,
    fill: &Fill,
    cash: Decimal,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into fills (venue, symbol, trade_id, venue_order_id, side, price, quantity, fee,
             fee_asset, realized_pnl, cash, venue_time)
         values ($1, $2, $3, $4, $5, $6::text::numeric, $7::text::numeric, $8::text::numeric, $9,
             $10::text::numeric, $11::text::numeric, $12::text::timestamptz)
         on conflict do nothing",
    )
    .bind(venue)
    .bind(symbol)
    .bind(bigint(fill.trade_id))
    .bind(bigint(fill.venue_order_id))
    .bind(fill.side.to_string())
    .bind(fill.price.to_string())
    .bind(fill.quantity.to_string())
    .bind(fill.fee.to_string())
    .bind(&fill.fee_asset)
    .bind(fill.realized_pnl.to_string())
    .bind(cash.to_string())
    .bind(instant(fill.venue_time))
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores or replaces a position.
pub(super) async fn upsert_position(
    connection: &mut PgConnection,
    p: &Position,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into positions (chain_id, token_id, pool, strategy, tick_lower, tick_upper,
             liquidity, amount0, amount1, inside0, inside1, opened_at, closed_at, collected0,
             collected1, fees0, fees1, gas_wei, blocks_in_range, blocks_total, closed_price)
         values ($1, $2::text::numeric, $3, $4, $5, $6, $7::text::numeric, $8::text::numeric,
             $9::text::numeric, $10::text::numeric, $11::text::numeric, $12::text::timestamptz,
             $13::text::timestamptz, $14::text::numeric, $15::text::numeric, $16::text::numeric,
             $17::text::numeric, $18::text::numeric, $19, $20, $21::text::numeric)
         on conflict (chain_id, token_id) do update
         set liquidity = excluded.liquidity,
             inside0 = excluded.inside0,
             inside1 = excluded.inside1,
             closed_at = excluded.closed_at,
             collected0 = excluded.collected0,
             collected1 = excluded.collected1,
             fees0 = excluded.fees0,
             fees1 = excluded.fees1,
             gas_wei = excluded.gas_wei,
             blocks_in_range = excluded.blocks_in_range,
             blocks_total = excluded.blocks_total,
             closed_price = excluded.closed_price",
    )
    .bind(bigint(p.pool.chain))
    .bind(p.token_id.to_string())
    .bind(p.pool.address.as_slice().to_vec())
    .bind(&p.strategy)
    .bind(p.tick_lower)
    .bind(p.tick_upper)
    .bind(p.liquidity.to_string())
    .bind(p.amount0.to_string())
    .bind(p.amount1.to_string())
    .bind(p.inside.map(|(inside0, _)| inside0.to_string()))
    .bind(p.inside.map(|(_, inside1)| inside1.to_string()))
    .bind(instant(p.opened))
    .bind(p.closed.map(instant))
    .bind(p.collected0.to_string())
    .bind(p.collected1.to_string())
    .bind(p.fees0.to_string())
    .bind(p.fees1.to_string())
    .bind(p.gas.to_string())
    .bind(bigint(p.blocks_in_range))
    .bind(bigint(p.blocks_total))
    .bind(p.closed_price.map(|price| price.to_string()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves a chain's cursor.
pub(super) async fn upsert_cursor(
    connection: &mut PgConnection,
    block: &BlockRef,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into cursors (chain_id, number, hash)
         values ($1, $2, $3)
         on conflict (chain_id) do update
         set number = excluded.number, hash = excluded.hash",
    )
    .bind(bigint(block.chain))
    .bind(bigint(block.number))
    .bind(block.hash.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds a note.
pub(super) async fn insert_note(
    connection: &mut PgConnection,
    batch: &Batch,
    kind: &str,
    body: &Value,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into notes (run, seq, at, kind, body)
         values ($1, $2, $3::text::timestamptz, $4, $5)",
    )
    .bind(batch.mark.as_ref().map(|mark| &mark.run))
    .bind(bigint(batch.seq))
    .bind(instant(batch.at))
    .bind(kind)
    .bind(body)
    .execute(connection)
    .await?;
    Ok(())
}

/// Replaces a remembered value.
pub(super) async fn remember(
    connection: &mut PgConnection,
    key: &str,
    value: &Value,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into memory (key, value)
         values ($1, $2)
         on conflict (key) do update
         set value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_as_utc() {
        assert_eq!(instant(Timestamp(0)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(instant(Timestamp::from_ms(1_723_161_254_340)), "2024-08-08T23:54:14.340000Z");
        assert_eq!(instant(Timestamp::from_s(951_782_400)), "2000-02-29T00:00:00.000000Z");
    }
}
