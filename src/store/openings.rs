//! Tables `searches` and `openings`: which pools the factories opened, up to which block, so that a
//! start only searches the blocks since. A cache: without it a search begins anew, and what may be
//! kept of what it found is judged at every start.
//!
//! What was opened is a fact of the chain, whoever searched for it: a file that changes begins a
//! search of its own and loses nothing that others found. Invariant: the openings between the coins
//! of a search are all that it would find from its first block up to the next one. The caller hands
//! over blocks alone that no reorganisation takes back.

use alloy::primitives::{Address, B256};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::config::pool::Dex;
use crate::io::chain::discover::{Found, Terms};
use crate::market::pools::v4::key::PoolKey;
use crate::store::rows::{bigint, read_u64};
use crate::store::{Store, StoreError};

const TABLE: &str = "openings";

/// What a search looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchScope {
    /// EIP-155 id.
    pub chain: u64,
    /// The contracts that open pools, each of its exchange.
    pub sources: Vec<(Dex, Address)>,
    /// The coins between which they do; the zero address is the native coin.
    pub coins: Vec<Address>,
    /// First block.
    pub from: u64,
}

/// What earlier searches found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Openings {
    /// The pools, oldest first.
    pub found: Vec<Found>,
    /// The first block that is not searched yet.
    pub next: u64,
}

impl SearchScope {
    /// Sources and coins as they stand in the table, whatever their order.
    fn texts(&self) -> [String; 2] {
        let source = |(dex, source): &(Dex, Address)| format!("{} {source}", dex.name());
        let mut sources: Vec<String> = self.sources.iter().map(source).collect();
        let mut coins: Vec<String> = self.coins.iter().map(Address::to_string).collect();
        sources.sort_unstable();
        coins.sort_unstable();
        [sources.join(", "), coins.join(", ")]
    }
}

impl Store {
    /// What earlier searches between these coins found, whatever else they searched for, and where
    /// the search of this scope goes on: at its first block, where there was none or the last one
    /// began later. A row that does not read has it begin anew too, and be written anew.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn openings(&self, scope: &SearchScope) -> Result<Openings, StoreError> {
        let bytes = |addresses: Vec<Address>| -> Vec<Vec<u8>> {
            addresses.into_iter().map(|address| address.to_vec()).collect()
        };
        let mut transaction = self.pool.begin().await?;
        let next = next_block(&mut transaction, scope).await?.unwrap_or(scope.from);
        let rows = sqlx::query(
            "select source, pool, dex, coin0, coin1, fee_pips, tick_spacing, hooks, block_number
             from openings
             where chain_id = $1 and block_number >= $2
                 and source = any($3) and coin0 = any($4) and coin1 = any($4)
             order by block_number, pool",
        )
        .bind(bigint(scope.chain))
        .bind(bigint(scope.from))
        .bind(bytes(scope.sources.iter().map(|(_, source)| *source).collect()))
        .bind(bytes(scope.coins.clone()))
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let read: Vec<Found> = rows.iter().filter_map(|row| found(row).ok()).collect();
        let next = if read.len() < rows.len() { scope.from } else { next };
        Ok(Openings { found: read, next })
    }

    /// Adds what a search found in the blocks up to `next`, the first one behind them, in one
    /// transaction. What other searches found, and how far they are, stays.
    ///
    /// # Errors
    /// `StoreError`; then nothing is changed.
    pub async fn keep_openings(
        &self,
        scope: &SearchScope,
        more: &[Found],
        next: u64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let [sources, coins] = scope.texts();
        sqlx::query(
            "insert into searches (chain_id, sources, coins, from_block, next_block)
             values ($1, $2, $3, $4, $5)
             on conflict (chain_id, sources, coins) do update
             set from_block = least(searches.from_block, excluded.from_block),
                 next_block = excluded.next_block, written_at = now()",
        )
        .bind(bigint(scope.chain))
        .bind(sources)
        .bind(coins)
        .bind(bigint(scope.from))
        .bind(bigint(next))
        .execute(&mut *transaction)
        .await?;
        for found in more {
            insert(&mut transaction, scope.chain, found).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Where the search of this scope goes on; `None` where the row is of another one.
async fn next_block(
    connection: &mut PgConnection,
    scope: &SearchScope,
) -> Result<Option<u64>, StoreError> {
    let [sources, coins] = scope.texts();
    let row = sqlx::query(
        "select next_block
         from searches
         where chain_id = $1 and sources = $2 and coins = $3 and from_block <= $4",
    )
    .bind(bigint(scope.chain))
    .bind(sources)
    .bind(coins)
    .bind(bigint(scope.from))
    .fetch_optional(connection)
    .await?;
    row.map(|row| read_u64(&row, "next_block")).transpose()
}

async fn insert(
    connection: &mut PgConnection,
    chain: u64,
    found: &Found,
) -> Result<(), StoreError> {
    let [coin0, coin1] = found.coins;
    let key = match found.terms {
        Terms::V4 { key, .. } => Some(key),
        Terms::V2 { .. } | Terms::V3 { .. } => None,
    };
    sqlx::query(
        "insert into openings (
             chain_id, source, pool, dex, coin0, coin1, fee_pips, tick_spacing, hooks, block_number
         )
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (chain_id, source, pool) do update
         set dex = excluded.dex, coin0 = excluded.coin0, coin1 = excluded.coin1,
             fee_pips = excluded.fee_pips, tick_spacing = excluded.tick_spacing,
             hooks = excluded.hooks, block_number = excluded.block_number",
    )
    .bind(bigint(chain))
    .bind(found.source.to_vec())
    .bind(found.address().as_slice().to_vec())
    .bind(found.dex.name())
    .bind(coin0.to_vec())
    .bind(coin1.to_vec())
    .bind(i64::from(found.fee_pips()))
    .bind(key.map(|key| key.tick_spacing))
    .bind(key.map(|key| key.hooks.to_vec()))
    .bind(bigint(found.block))
    .execute(connection)
    .await?;
    Ok(())
}

fn unreadable(what: String) -> StoreError {
    StoreError::Row { table: TABLE, what }
}

fn found(row: &PgRow) -> Result<Found, StoreError> {
    let name: String = row.try_get("dex")?;
    let dex = Dex::named(&name).ok_or_else(|| unreadable(format!("{name:?} is no exchange")))?;
    let (coin0, coin1) = (address(row, "coin0")?, address(row, "coin1")?);
    let fee_pips: i64 = row.try_get("fee_pips")?;
    let fee_pips = u32::try_from(fee_pips).map_err(|e| unreadable(e.to_string()))?;
    let terms = match dex {
        Dex::UniswapV2 | Dex::SushiswapV2 => Terms::V2 { pair: address(row, "pool")? },
        Dex::UniswapV3 | Dex::SushiswapV3 => Terms::V3 { pool: address(row, "pool")?, fee_pips },
        Dex::UniswapV4 => {
            let id: Vec<u8> = row.try_get("pool")?;
            let id = B256::try_from(id.as_slice()).map_err(|e| unreadable(e.to_string()))?;
            let (tick_spacing, hooks) =
                (row.try_get::<i32, _>("tick_spacing")?, address(row, "hooks")?);
            let (currency0, currency1) = (coin0, coin1);
            Terms::V4 { id, key: PoolKey { currency0, currency1, fee_pips, tick_spacing, hooks } }
        }
    };
    let (source, block) = (address(row, "source")?, read_u64(row, "block_number")?);
    Ok(Found { dex, source, coins: [coin0, coin1], terms, block })
}

fn address(row: &PgRow, column: &'static str) -> Result<Address, StoreError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Address::try_from(bytes.as_slice()).map_err(|e| unreadable(format!("{column}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_the_same_in_whichever_order_it_is_written() {
        let [one, two] = [1, 2].map(Address::with_last_byte);
        let scope = |sources: [(Dex, Address); 2], coins: [Address; 2]| {
            SearchScope { chain: 1, sources: sources.into(), coins: coins.into(), from: 0 }.texts()
        };
        let written = scope([(Dex::UniswapV2, one), (Dex::UniswapV4, two)], [one, two]);
        assert_eq!(scope([(Dex::UniswapV4, two), (Dex::UniswapV2, one)], [two, one]), written);
        assert_ne!(scope([(Dex::SushiswapV2, one), (Dex::UniswapV4, two)], [one, two]), written);
        assert_ne!(scope([(Dex::UniswapV2, one), (Dex::UniswapV4, two)], [one, one]), written);
        let [sources, coins] = written;
        assert_eq!(sources, format!("uniswap_v2 {one}, uniswap_v4 {two}"));
        assert_eq!(coins, format!("{one}, {two}"));
    }
}
