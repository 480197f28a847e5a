//! Tables `entries`, `postings` and `reconciliations`.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::I256;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::ledger::Loaded;
use crate::ledger::entry::Entry;
use crate::ledger::reconcile::Comparison;
use crate::model::time::Timestamp;
use crate::store::StoreError;
use crate::store::rows::{bigint, instant, read};

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
    Ok(Loaded {
        balances,
        n_entries: ids.len() as u64,
        recent_ids: ids.into_iter().collect::<BTreeSet<_>>(),
        n_postings: u64::try_from(n_postings).unwrap_or(0),
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
