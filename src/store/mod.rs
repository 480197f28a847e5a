//! Postgres: what must survive. One commit holds everything one answer of the engine wants kept.
//!
//! Nothing is sent before its commit: `Committed` is made here and nowhere else, and the senders
//! take nothing else.

pub mod backup;
pub mod cluster;
mod ledger;
mod load;
mod marks;
mod migrate;
mod money;
mod openings;
mod opportunities;
mod pools;
mod rows;
mod versions;

use alloy::primitives::{Address, B256, Bytes};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Acquire, PgConnection, PgPool};
use thiserror::Error;
use uuid::Uuid;

use crate::engine::output::Record;
use crate::execution::order::Order;
use crate::execution::tx::SignedTx;
use crate::model::time::Timestamp;
pub use crate::store::marks::Mark;
pub use crate::store::money::REAL_MONEY;
pub use crate::store::openings::{Openings, SearchScope};
pub use crate::store::pools::{KeptPool, PoolStates};
pub use crate::store::versions::Version;

/// Connections of one keeper: the writer, its health check, readers of the API.
const CONNECTIONS_MAX: u32 = 5;

/// The store failed; the caller decides whether to try again.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database answered with an error or not at all.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    /// A row does not read as what was written.
    #[error("a row of {table} does not read back: {what}")]
    Row { table: &'static str, what: String },
    /// The schema is newer than this program.
    #[error("the database has schema {found}, this program knows {known}: use the newer program")]
    Newer { found: i32, known: i32 },
    /// The schema is older than this program, which was asked only to read.
    #[error("the database has schema {found}, this program {known}: use the program of its keeper")]
    Older { found: i32, known: i32 },
    /// Its books are about other money.
    #[error(
        "this database is about {found}, and this mode about {wanted}: give another --state-dir, \
         or another database in [store] url_env"
    )]
    OtherMoney { found: String, wanted: String },
}

/// An order with its reason, to be stored before it is placed.
#[derive(Clone, Debug)]
pub struct PlannedOrder {
    /// The order.
    pub order: Order,
    /// The want behind it.
    pub intent: Uuid,
    /// Who wanted it.
    pub strategy: String,
}

/// Everything one answer of the engine wants kept.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The event that caused it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Facts.
    pub records: Vec<Record>,
    /// Transactions that leave after the commit.
    pub txs: Vec<SignedTx>,
    /// Orders that leave after the commit.
    pub orders: Vec<PlannedOrder>,
    /// For a replay; `None` while no journal is kept.
    pub mark: Option<Mark>,
}

impl Batch {
    /// True when there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.txs.is_empty()
            && self.orders.is_empty()
            && self.mark.is_none()
    }
}

/// Proof that something was kept: made by [`Store`] alone, at a commit or when read back.
#[derive(Debug)]
pub struct Committed<T> {
    kept: T,
}

impl<T> Committed<T> {
    /// What was kept.
    pub fn get(&self) -> &T {
        &self.kept
    }
}

impl Committed<Batch> {
    /// The deeds of a kept batch, each with its own proof.
    pub fn deeds(self) -> (Vec<Committed<SignedTx>>, Vec<Committed<PlannedOrder>>) {
        let txs = self.kept.txs.into_iter().map(|kept| Committed { kept }).collect();
        let orders = self.kept.orders.into_iter().map(|kept| Committed { kept }).collect();
        (txs, orders)
    }
}

/// The open database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Connects and brings the schema up to date.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn open(options: PgConnectOptions) -> Result<Self, StoreError> {
        let store = Self::connect(options).await?;
        migrate::run(&store.pool).await?;
        Ok(store)
    }

    /// Connects to read; a schema of another program is left as it is and refused.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn open_to_read(options: PgConnectOptions) -> Result<Self, StoreError> {
        let store = Self::connect(options).await?;
        migrate::is_current(&store.pool).await?;
        Ok(store)
    }

    async fn connect(options: PgConnectOptions) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX);
        Ok(Self { pool: pool.connect_with(options).await? })
    }

    /// Keeps a batch in one transaction. Trying the same batch again is harmless: facts have names.
    ///
    /// # Errors
    /// `StoreError`; then it is unknown whether the batch was kept, and it must be tried again.
    pub async fn commit(&self, batch: Batch) -> Result<Committed<Batch>, (Batch, StoreError)> {
        match self.write(&batch).await {
            Ok(()) => Ok(Committed { kept: batch }),
            Err(error) => Err((batch, error)),
        }
    }

    async fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        for tx in &batch.txs {
            rows::insert_tx(&mut transaction, tx, batch.at).await?;
        }
        for order in &batch.orders {
            rows::insert_order(&mut transaction, order).await?;
        }
        for record in &batch.records {
            write_record(&mut transaction, record, batch).await?;
        }
        if let Some(mark) = &batch.mark {
            marks::insert(&mut transaction, mark, batch.seq).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// A query that proves the database answers.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    /// The signed bytes of a slot.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn raw_tx(
        &self,
        chain: u64,
        signer: Address,
        nonce: u64,
    ) -> Result<Option<Committed<(B256, Bytes)>>, StoreError> {
        let raw = rows::raw_tx(&self.pool, chain, signer, nonce).await?;
        Ok(raw.map(|kept| Committed { kept }))
    }

    /// The marks of a run after `seq`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn marks(
        &self,
        run: &str,
        seq: u64,
        limit: i64,
    ) -> Result<Vec<(u64, Mark)>, StoreError> {
        marks::after(&self.pool, run, seq, limit).await
    }

    /// Forgets the marks of all runs but these.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn keep_marks_of(&self, runs: &[String]) -> Result<(), StoreError> {
        marks::keep_only(&self.pool, runs).await
    }

    /// The run and the fact that decided an intent.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn decided(&self, intent: Uuid) -> Result<Option<(String, u64)>, StoreError> {
        marks::decided(&self.pool, intent).await
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn write_record(
    connection: &mut PgConnection,
    record: &Record,
    batch: &Batch,
) -> Result<(), StoreError> {
    match record {
        Record::Entry(entry) => ledger::insert_entry(connection, entry, batch.seq).await,
        Record::TxState { chain, nonce, state, mined } => {
            rows::update_tx(connection, *chain, *nonce, *state, mined.as_ref()).await
        }
        Record::TxReturned { chain, nonce } => rows::return_tx(connection, *chain, *nonce).await,
        Record::PositionGone { chain, token_id } => {
            rows::delete_position(connection, *chain, *token_id).await
        }
        Record::OrderState(order) => rows::update_order(connection, order).await,
        Record::Fill { venue, symbol, fill, cash } => {
            rows::insert_fill(connection, venue, symbol, fill, *cash).await
        }
        Record::Opportunity(seen) => opportunities::upsert(connection, seen).await,
        Record::Position(position) => rows::upsert_position(connection, position).await,
        Record::Cursor(block) => rows::upsert_cursor(connection, block).await,
        Record::Reconciled(comparisons) => {
            ledger::insert_reconciliation(connection, comparisons, batch.at).await
        }
        Record::Note { kind, body } => rows::insert_note(connection, batch, kind, body).await,
        Record::Remember { key, value } => rows::remember(connection, key, value).await,
    }
}
