//! Table `pool_states`: pools as they were after a block, so that a start only replays the logs
//! since. A cache: whoever reads it checks the block with the chain, and what it says is compared
//! with a whole reading before it is used. Nothing is lost with it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use alloy::primitives::{Address, B256};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgRow;
use sqlx::{Acquire, PgConnection, Row};

use crate::engine::pools::PoolForm;
use crate::model::chain::{BlockRef, PoolAddress};
use crate::store::rows::{bigint, read_u64};
use crate::store::{Store, StoreError};

const TABLE: &str = "pool_states";
/// Version of the form; rows of another one are not read.
const FORM: i32 = 1;
/// A state that unpacks to more is none of ours.
const STATE_BYTES_MAX: u64 = 1 << 30;

/// A pool after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPool {
    /// The pool.
    pub pool: PoolAddress,
    /// The block.
    pub block: BlockRef,
    /// Its state.
    pub form: PoolForm,
}

/// Who writes the table: it knows what stands there, so that a state that did not change is not
/// written again.
#[derive(Debug)]
pub struct PoolStates {
    store: Store,
    written: BTreeMap<(u64, PoolAddress), [u8; 32]>,
}

impl PoolStates {
    /// A writer that knows of no row yet.
    pub fn new(store: Store) -> Self {
        Self { store, written: BTreeMap::new() }
    }

    /// Writes or replaces these states in one transaction.
    ///
    /// # Errors
    /// `StoreError`; then none of them is written.
    pub async fn keep(&mut self, pools: &[KeptPool]) -> Result<(), StoreError> {
        let mut connection = self.store.pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        let mut written = Vec::with_capacity(pools.len());
        for kept in pools {
            let json = serde_json::to_vec(&kept.form).map_err(|e| unreadable(e.to_string()))?;
            let digest: [u8; 32] = Sha256::digest(&json).into();
            let name = (kept.block.chain, kept.pool);
            let is_same = self.written.get(&name) == Some(&digest);
            if !is_same || !move_on(&mut transaction, kept).await? {
                let state = packed(&json).map_err(|e| unreadable(e.to_string()))?;
                upsert(&mut transaction, kept, state).await?;
            }
            written.push((name, digest));
        }
        transaction.commit().await?;
        self.written.extend(written);
        Ok(())
    }
}

impl Store {
    /// The states of a chain's pools. A row that does not read is left out: the pool is read from
    /// its chain instead.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn pool_states(&self, chain: u64) -> Result<Vec<KeptPool>, StoreError> {
        let rows = sqlx::query(
            "select pool, block_number, block_hash, state
             from pool_states
             where chain_id = $1 and form = $2
             order by pool",
        )
        .bind(bigint(chain))
        .bind(FORM)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().filter_map(|row| kept(row, chain).ok()).collect())
    }
}

fn unreadable(what: String) -> StoreError {
    StoreError::Row { table: TABLE, what }
}

/// The same state at a later block; false when there is no such row.
async fn move_on(connection: &mut PgConnection, kept: &KeptPool) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update pool_states
         set block_number = $3, block_hash = $4, written_at = now()
         where chain_id = $1 and pool = $2 and form = $5",
    )
    .bind(bigint(kept.block.chain))
    .bind(kept.pool.as_slice().to_vec())
    .bind(bigint(kept.block.number))
    .bind(kept.block.hash.to_vec())
    .bind(FORM)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn upsert(
    connection: &mut PgConnection,
    kept: &KeptPool,
    state: Vec<u8>,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into pool_states (chain_id, pool, block_number, block_hash, form, state)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (chain_id, pool) do update
         set block_number = excluded.block_number,
             block_hash = excluded.block_hash,
             form = excluded.form,
             state = excluded.state,
             written_at = now()",
    )
    .bind(bigint(kept.block.chain))
    .bind(kept.pool.as_slice().to_vec())
    .bind(bigint(kept.block.number))
    .bind(kept.block.hash.to_vec())
    .bind(FORM)
    .bind(state)
    .execute(connection)
    .await?;
    Ok(())
}

fn kept(row: &PgRow, chain: u64) -> Result<KeptPool, StoreError> {
    let pool: Vec<u8> = row.try_get("pool")?;
    let pool = match pool.len() {
        20 => PoolAddress::from(Address::from_slice(&pool)),
        32 => PoolAddress::from(B256::from_slice(&pool)),
        other => return Err(unreadable(format!("a pool's name of {other} bytes"))),
    };
    let hash: Vec<u8> = row.try_get("block_hash")?;
    let hash = B256::try_from(hash.as_slice()).map_err(|e| unreadable(e.to_string()))?;
    let block = BlockRef { chain, number: read_u64(row, "block_number")?, hash };
    let state: Vec<u8> = row.try_get("state")?;
    let json = unpacked(&state).map_err(|e| unreadable(e.to_string()))?;
    let form = serde_json::from_slice(&json).map_err(|e| unreadable(e.to_string()))?;
    Ok(KeptPool { pool, block, form })
}

fn packed(json: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(json)?;
    packed.finish()
}

fn unpacked(state: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut json = Vec::new();
    GzDecoder::new(state).take(STATE_BYTES_MAX).read_to_end(&mut json)?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;
    use crate::market::pools::v3::V3Snapshot;
    use crate::math::amm::tick::TickState;

    #[test]
    fn a_form_comes_back_as_it_was_to_the_last_bit() {
        let tick =
            |net| TickState { gross: u128::MAX, net, outside0: U256::MAX, outside1: U256::ONE };
        let form = PoolForm::V3(Box::new(V3Snapshot {
            fee_pips: 3_000,
            tick_spacing: 60,
            sqrt_price_x96: U256::ONE << 96,
            tick: 0,
            liquidity: u128::MAX,
            fee_growth_global0: U256::MAX,
            fee_growth_global1: U256::ZERO,
            fee_protocol: 0x44,
            protocol_fees0: u128::MAX,
            protocol_fees1: 1,
            ticks: vec![(-60, tick(i128::MAX)), (60, tick(i128::MIN))],
            block: 0,
        }));
        let json = serde_json::to_vec(&form).unwrap();
        let back = unpacked(&packed(&json).unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<PoolForm>(&back).unwrap(), form);
        // The version of the form is bound to how it is written: another form needs another one.
        assert_eq!(FORM, 1);
        let text = String::from_utf8(json).unwrap();
        assert!(text.starts_with(r#"{"V3":{"fee_pips":3000,"tick_spacing":60,"sqrt_price_x96""#));
        assert!(unpacked(b"no gzip").is_err());
    }
}
