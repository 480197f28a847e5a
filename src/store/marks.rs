//! Table `marks`: what each fact of a run led to, for a replay to be compared with.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::store::StoreError;
use crate::store::rows::{bigint, read_u64};

/// What one fact of a run led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The run's name.
    pub run: String,
    /// Digest of the run's journal up to and with the fact, SHA-256.
    pub chain: [u8; 32],
    /// Digest of the rows the engine asked for, SHA-256.
    pub records: [u8; 32],
    /// The deeds that waited for the commit, in full, JSON.
    pub deeds: String,
}

/// Adds a mark; one already there is left as it is.
pub(super) async fn insert(
    connection: &mut PgConnection,
    mark: &Mark,
    seq: u64,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into marks (run, seq, chain, records, deeds)
         values ($1, $2, $3, $4, $5)
         on conflict do nothing",
    )
    .bind(&mark.run)
    .bind(bigint(seq))
    .bind(mark.chain.to_vec())
    .bind(mark.records.to_vec())
    .bind(&mark.deeds)
    .execute(connection)
    .await?;
    Ok(())
}

/// The marks of a run after `seq`, oldest first, at most `limit`.
pub(super) async fn after(
    pool: &PgPool,
    run: &str,
    seq: u64,
    limit: i64,
) -> Result<Vec<(u64, Mark)>, StoreError> {
    let rows = sqlx::query(
        "select run, seq, chain, records, deeds
         from marks
         where run = $1 and seq > $2
         order by seq
         limit $3",
    )
    .bind(run)
    .bind(bigint(seq))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.iter().map(of_row).collect()
}

fn of_row(row: &PgRow) -> Result<(u64, Mark), StoreError> {
    let mark = Mark {
        run: row.try_get("run")?,
        chain: digest(row, "chain")?,
        records: digest(row, "records")?,
        deeds: row.try_get("deeds")?,
    };
    Ok((read_u64(row, "seq")?, mark))
}

fn digest(row: &PgRow, column: &'static str) -> Result<[u8; 32], StoreError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    <[u8; 32]>::try_from(bytes.as_slice())
        .map_err(|_| StoreError::Row { table: "marks", what: format!("{column} is no digest") })
}

/// Forgets the runs whose journals are gone.
pub(super) async fn keep_only(pool: &PgPool, runs: &[String]) -> Result<(), StoreError> {
    sqlx::query("delete from marks where run <> all($1)").bind(runs).execute(pool).await?;
    Ok(())
}

/// The run and the fact that decided an intent: by the note that it acted, else that it was
/// refused, else by the deed that followed. The newest, when several facts acted for it.
pub(super) async fn decided(
    pool: &PgPool,
    intent: Uuid,
) -> Result<Option<(String, u64)>, StoreError> {
    let row = sqlx::query(
        "(select run, seq
          from notes
          where kind in ('intent', 'refused') and body ->> 'intent' = $1 and run is not null
          order by kind, id desc
          limit 1)
         union all
         (select run, seq
          from marks
          where deeds like '%' || $1 || '%'
          order by run desc, seq
          limit 1)
         limit 1",
    )
    .bind(intent.to_string())
    .fetch_optional(pool)
    .await?;
    row.map(|row| Ok((row.try_get("run")?, read_u64(&row, "seq")?))).transpose()
}
