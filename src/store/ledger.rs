//! Tables `entries`, `postings` and `reconciliations`.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{B256, I256};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::ledger::Loaded;
use crate::ledger::entry::{Entry, Kind, OnBlock, Posting};
use crate::ledger::reconcile::Comparison;
use crate::model::chain::BlockRef;
use crate::model::time::Timestamp;
use crate::store::StoreError;
use crate::store::load::{at, micros};
use crate::store::rows::{bigint, instant, read, read_u64};

/// Deepest reorganisation that a start looks for: the largest window an operator may set.
const PROVISIONAL_BLOCKS: u32 = 10_000;

/// Adds an entry with its lines; an entry already there is left as it is.
pub(super) async fn insert_entry(
    connection: &mut PgConnection,
    entry: &Entry,
    seq: u64,
) -> Result<(), StoreError> {
    let inserted = sqlx::query(
        "insert into entries (id, seq, at, kind, cause, chain_id, block_number, block_hash)
         values ($1, $2, $3::text::timestamptz, $4, $5, $6, $7, $8)
         on conflict do nothing",
    )
    .bind(entry.id)
    .bind(bigint(seq))
    .bind(instant(entry.at))
    .bind(entry.kind.as_str())
    .bind(&entry.cause)
    .bind(entry.block.map(|on| bigint(on.chain)))
    .bind(entry.block.map(|on| bigint(on.number)))
    .bind(entry.block.map(|on| on.hash.to_vec()))
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(());
    }
    for (line, posting) in (0_i32..).zip(&entry.postings) {
        sqlx::query(
            "insert into postings (entry_id, line, account, unit, amount)
             values ($1, $2, $3, $4, $5::text::numeric)",
        )
        .bind(entry.id)
        .bind(line)
        .bind(posting.account.to_string())
        .bind(posting.unit.to_string())
        .bind(posting.amount.to_string())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Sums of all postings, and the names of all entries.
pub(super) async fn load(pool: &PgPool) -> Result<Loaded, StoreError> {
    let mut balances = BTreeMap::new();
    let sums = sqlx::query(
        "select account, unit, sum(amount)::text as amount, count(*) as n
         from postings
         group by account, unit",
    )
    .fetch_all(pool)
    .await?;
    let mut n_postings = 0_i64;
    for row in sums {
        let account = read(&row, "postings", "account")?;
        let unit = read(&row, "postings", "unit")?;
        let amount: I256 = read(&row, "postings", "amount")?;
        n_postings += row.try_get::<i64, _>("n")?;
        balances.insert((account, unit), amount);
    }
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from entries").fetch_all(pool).await?;
    let reversed: Vec<String> =
        sqlx::query_scalar("select cause from entries where kind = 'reversal'")
            .fetch_all(pool)
            .await?;
    Ok(Loaded {
        balances,
        reversed_ids: reversed.iter().filter_map(|id| id.parse().ok()).collect(),
        n_entries: ids.len() as u64,
        recent_ids: ids.into_iter().collect::<BTreeSet<_>>(),
        n_postings: u64::try_from(n_postings).unwrap_or(0),
    })
}

/// Entries on blocks that may still be taken back, oldest first; what was taken back is left out.
pub(super) async fn provisional(pool: &PgPool) -> Result<Vec<Entry>, StoreError> {
    let statement = format!(
        "select entries.id, {}, kind, cause, entries.chain_id, block_number, block_hash
         from entries
         join cursors on cursors.chain_id = entries.chain_id
         where kind <> 'reversal'
             and block_number > cursors.number - {PROVISIONAL_BLOCKS}
             and entries.id::text not in (select cause from entries where kind = 'reversal')
         order by block_number, seq, entries.id",
        micros("at")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(pool).await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut entry = entry(row)?;
        let lines = sqlx::query(
            "select account, unit, amount::text as amount
             from postings
             where entry_id = $1
             order by line",
        )
        .bind(entry.id)
        .fetch_all(pool)
        .await?;
        for line in &lines {
            entry.postings.push(Posting {
                account: read(line, "postings", "account")?,
                unit: read(line, "postings", "unit")?,
                amount: read(line, "postings", "amount")?,
            });
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Blocks of such entries on one chain, newest first.
pub(super) async fn provisional_blocks(
    pool: &PgPool,
    chain: u64,
) -> Result<Vec<BlockRef>, StoreError> {
    let rows = sqlx::query(
        "select distinct block_number, block_hash
         from entries
         where chain_id = $1
             and block_number is not null
             and kind <> 'reversal'
             and id::text not in (select cause from entries where kind = 'reversal')
         order by block_number desc
         limit $2",
    )
    .bind(bigint(chain))
    .bind(i64::from(PROVISIONAL_BLOCKS))
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let hash: Vec<u8> = row.try_get("block_hash")?;
            let hash = B256::try_from(hash.as_slice())
                .map_err(|e| StoreError::Row { table: "entries", what: e.to_string() })?;
            Ok(BlockRef { chain, number: read_u64(row, "block_number")?, hash })
        })
        .collect()
}

fn entry(row: &PgRow) -> Result<Entry, StoreError> {
    let bad = |what: String| StoreError::Row { table: "entries", what };
    let kind: String = row.try_get("kind")?;
    let hash: Vec<u8> = row.try_get("block_hash")?;
    let hash = B256::try_from(hash.as_slice()).map_err(|e| bad(e.to_string()))?;
    let on =
        OnBlock { chain: read_u64(row, "chain_id")?, number: read_u64(row, "block_number")?, hash };
    Ok(Entry {
        id: row.try_get("id")?,
        at: at(row, "at")?,
        kind: Kind::from_word(&kind).ok_or_else(|| bad(format!("kind = {kind:?}")))?,
        cause: row.try_get("cause")?,
        block: Some(on),
        postings: Vec::new(),
    })
}

/// Adds comparisons.
pub(super) async fn insert_reconciliation(
    connection: &mut PgConnection,
    comparisons: &[Comparison],
    at: Timestamp,
) -> Result<(), StoreError> {
    for row in comparisons {
        sqlx::query(
            "insert into reconciliations (at, place, unit, ledger, actual, true_at)
             values ($1::text::timestamptz, $2, $3, $4::text::numeric, $5::text::numeric, $6)",
        )
        .bind(instant(at))
        .bind(row.account.to_string())
        .bind(row.unit.to_string())
        .bind(row.ledger.to_string())
        .bind(row.actual.to_string())
        .bind(&row.at)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
