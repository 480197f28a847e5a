//! Table `opportunities`: every one seen, with what was expected of it and what became of it.

use alloy::primitives::B256;
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};

use crate::model::opportunity::{
    Fate, LegState, NetProfit, Opportunity, OpportunityKind, Tally, VenueLeg,
};
use crate::store::StoreError;
use crate::store::load::{at, micros};
use crate::store::rows::{bigint, instant, read, read_u64};

/// Opportunities loaded for display.
const LOADED_MAX: i64 = 50;
/// Between the legs of a route in its column.
const ROUTE_SEPARATOR: &str = " | ";

/// Adds an opportunity, or moves it on.
pub(super) async fn upsert(
    connection: &mut PgConnection,
    seen: &Opportunity,
) -> Result<(), StoreError> {
    let net = seen.net.as_ref();
    let text = |value: Option<Decimal>| value.map(|value| value.to_string());
    sqlx::query(
        "insert into opportunities (id, chain_id, strategy, block_number, seen_at, route, token,
             amount_in, gross, gas, fees, slippage, failure_probability, expected_net, realised_net,
             fate, why, hash, leg)
         values ($1, $2, $3, $4, $5::text::timestamptz, $6, $7, $8::text::numeric,
             $9::text::numeric, $10::text::numeric, $11::text::numeric, $12::text::numeric,
             $13::text::numeric, $14::text::numeric, $15::text::numeric, $16, $17, $18,
             $19)
         on conflict (id) do update
         set gross = excluded.gross,
             gas = excluded.gas,
             expected_net = excluded.expected_net,
             realised_net = excluded.realised_net,
             fate = excluded.fate,
             why = excluded.why,
             hash = excluded.hash,
             leg = excluded.leg",
    )
    .bind(seen.id)
    .bind(bigint(seen.chain))
    .bind(&seen.strategy)
    .bind(bigint(seen.block))
    .bind(instant(seen.seen))
    .bind(seen.route.join(ROUTE_SEPARATOR))
    .bind(&seen.token)
    .bind(seen.amount_in.to_string())
    .bind(text(net.map(|net| net.gross)))
    .bind(text(net.map(|net| net.gas)))
    .bind(text(net.map(|net| net.fees)))
    .bind(text(net.map(|net| net.slippage)))
    .bind(text(net.map(|net| net.failure_probability)))
    .bind(text(net.and_then(NetProfit::expected)))
    .bind(text(seen.realised))
    .bind(seen.fate.as_str())
    .bind(&seen.why)
    .bind(seen.hash.map(|hash| hash.to_vec()))
    .bind(seen.leg.as_ref().map(sqlx::types::Json))
    .execute(connection)
    .await?;
    Ok(())
}

/// The newest opportunities and every one still open, newest first.
pub(super) async fn newest(pool: &PgPool) -> Result<Vec<Opportunity>, StoreError> {
    let statement = format!(
        "select id, chain_id, strategy, block_number, {}, route, token,
             amount_in::text as amount_in, gross::text as gross, gas::text as gas,
             fees::text as fees, slippage::text as slippage,
             failure_probability::text as failure_probability,
             realised_net::text as realised_net, fate, why, hash, leg
         from opportunities
         where fate in ('found', 'sent') or leg ->> 'state' = '{due}'
             or id in (select intent from tx_slots where state in ('included', 'reverted'))
             or id in (select id from opportunities order by seen_at desc limit {LOADED_MAX})
         order by seen_at desc",
        micros("seen_at"),
        due = LegState::Due.as_str()
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(pool).await?;
    rows.iter().map(opportunity).collect()
}

fn opportunity(row: &PgRow) -> Result<Opportunity, StoreError> {
    const TABLE: &str = "opportunities";
    let bad = |what: String| StoreError::Row { table: TABLE, what };
    let fate: String = row.try_get("fate")?;
    let fate: Fate = serde_json::from_value(fate.into()).map_err(|e| bad(e.to_string()))?;
    let hash: Option<Vec<u8>> = row.try_get("hash")?;
    let hash = hash.map(|hash| B256::try_from(hash.as_slice())).transpose();
    let route: String = row.try_get("route")?;
    let net = || -> Result<NetProfit, StoreError> {
        Ok(NetProfit {
            gross: read(row, TABLE, "gross")?,
            gas: read(row, TABLE, "gas")?,
            fees: read(row, TABLE, "fees")?,
            slippage: read(row, TABLE, "slippage")?,
            failure_probability: read(row, TABLE, "failure_probability")?,
        })
    };
    let has_net = row.try_get::<Option<String>, _>("gross")?.is_some();
    let has_realised = row.try_get::<Option<String>, _>("realised_net")?.is_some();
    Ok(Opportunity {
        id: row.try_get("id")?,
        chain: read_u64(row, "chain_id")?,
        strategy: row.try_get("strategy")?,
        block: read_u64(row, "block_number")?,
        seen: at(row, "seen_at")?,
        route: route.split(ROUTE_SEPARATOR).map(str::to_owned).collect(),
        token: row.try_get("token")?,
        amount_in: read(row, TABLE, "amount_in")?,
        net: if has_net { Some(net()?) } else { None },
        realised: if has_realised { Some(read(row, TABLE, "realised_net")?) } else { None },
        fate,
        why: row.try_get("why")?,
        hash: hash.map_err(|e| bad(e.to_string()))?,
        leg: row.try_get::<Option<sqlx::types::Json<VenueLeg>>, _>("leg")?.map(|leg| leg.0),
    })
}

/// All opportunities, counted and summed by chain and kind.
pub(super) async fn tallies(
    pool: &PgPool,
) -> Result<Vec<(u64, OpportunityKind, Tally)>, StoreError> {
    let rows = sqlx::query(
        "select chain_id, leg is not null as has_leg,
             count(*) filter (where fate <> 'skipped') as found,
             count(*) filter (where fate in ('sent', 'landed', 'reverted')) as sent,
             count(*) filter (where fate = 'landed') as landed,
             count(*) filter (where fate = 'lost') as lost,
             count(*) filter (where fate = 'reverted') as reverted,
             coalesce(sum(expected_net)
                 filter (where fate in ('sent', 'landed', 'reverted')), 0)::text as expected_net,
             coalesce(sum(realised_net), 0)::text as realised_net
         from opportunities
         group by chain_id, has_leg",
    )
    .fetch_all(pool)
    .await?;
    rows.iter().map(tally).collect()
}

fn tally(row: &PgRow) -> Result<(u64, OpportunityKind, Tally), StoreError> {
    let tally = Tally {
        found: read_u64(row, "found")?,
        sent: read_u64(row, "sent")?,
        landed: read_u64(row, "landed")?,
        lost: read_u64(row, "lost")?,
        reverted: read_u64(row, "reverted")?,
        expected_net: read(row, "opportunities", "expected_net")?,
        realised_net: read(row, "opportunities", "realised_net")?,
    };
    let has_leg: bool = row.try_get("has_leg")?;
    let kind = if has_leg { OpportunityKind::Venue } else { OpportunityKind::Cycle };
    Ok((read_u64(row, "chain_id")?, kind, tally))
}
