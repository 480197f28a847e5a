//! What the engine answers: facts worth a row, and deeds asked.

use alloy::primitives::{B256, U256};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::engine::event::Position;
use crate::execution::order::Order;
use crate::execution::tx::{Act, TxRequest, TxState};
use crate::ledger::entry::Entry;
use crate::ledger::reconcile::Comparison;
use crate::model::chain::{BlockRef, PoolAddress};
use crate::model::opportunity::Opportunity;
use crate::model::time::Timestamp;
use crate::model::venue::Fill;

/// The answer to one event.
#[derive(Debug, Default, Serialize)]
pub struct Output {
    /// Rows, committed together and before any of the committed commands leaves.
    pub records: Vec<Record>,
    /// Deeds.
    pub commands: Vec<Command>,
}

/// A fact worth a row.
#[derive(Clone, Debug, Serialize)]
pub enum Record {
    /// Money moved.
    Entry(Entry),
    /// A slot moved on.
    TxState { chain: u64, nonce: u64, state: TxState, mined: Option<Mined> },
    /// A slot waits again: the chain took back the block it was in.
    TxReturned { chain: u64, nonce: u64 },
    /// An order moved on (its request is stored with the command that places it).
    OrderState(Order),
    /// A trade on our account, with the cash it moved.
    Fill { venue: String, symbol: String, fill: Fill, cash: Decimal },
    /// A position opened, changed or closed.
    Position(Position),
    /// A position that never was: the chain took back the block that opened it.
    PositionGone { chain: u64, token_id: U256 },
    /// A cycle was seen, or moved on.
    Opportunity(Opportunity),
    /// Everything up to this block is in the ledger.
    Cursor(BlockRef),
    /// The ledger was compared with the world.
    Reconciled(Vec<Comparison>),
    /// A decision, refusal or change of mode, for the audit.
    Note { kind: &'static str, body: Value },
    /// A remembered value, replaced by key.
    Remember { key: &'static str, value: Value },
}

/// How a slot was mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mined {
    /// Height.
    pub number: u64,
    /// Block hash.
    pub block_hash: B256,
    /// Gas used.
    pub gas_used: u64,
    /// Wei paid.
    pub cost: U256,
}

/// A deed asked of the shore.
#[derive(Clone, Debug, Serialize)]
pub enum Command {
    /// Ask what an act would use. Reads only: leaves at once.
    Estimate { chain: u64, intent: Uuid, act: Act },
    /// Ask for one order. Reads only.
    QueryOrder { venue: String, symbol: String, client_order_id: String },
    /// Ask by whom an order was made, of which only the venue's id is known. Reads only.
    QueryOwner { venue: String, symbol: String, venue_order_id: u64 },
    /// Ask for trades newer than an id, or since an instant while no id is known. Reads only.
    QueryFills { venue: String, symbol: String, after_trade: u64, since: Timestamp },
    /// Ask for incomes since an instant. Reads only.
    QueryIncomes { venue: String, since: Timestamp },
    /// Compare the chain's list of a pool's logs after a block with those told. Reads only.
    SearchPoolLogs { chain: u64, pool: PoolAddress, after: u64 },
    /// Read a pool anew: it cannot be believed any more. Reads only.
    ReloadPool { chain: u64, pool: PoolAddress },
    /// A book's own arithmetic failed: begin it anew. Reads only.
    ResyncBook { venue: String, symbol: String },
    /// Ask for the account, to compare it with the ledger at `version`. Reads only.
    AuditVenue { venue: String, version: u64 },
    /// Cancel one order. Only lowers risk: leaves first, recorded after.
    Cancel { venue: String, symbol: String, client_order_id: String },
    /// Cancel whatever rests. Only lowers risk: leaves first, recorded after.
    CancelAll { venue: String, symbol: String },
    /// Sign, commit, then send.
    Submit { request: TxRequest, intent: Uuid, strategy: String },
    /// Send stored bytes again.
    Resend { chain: u64, nonce: u64 },
    /// Commit, then send.
    Place { order: Order, intent: Uuid, strategy: String },
}

impl Command {
    /// True when it must wait for the commit of the records beside it.
    pub fn needs_commit(&self) -> bool {
        matches!(self, Self::Submit { .. } | Self::Place { .. })
    }
}
