//! The rows of the snapshot; names and meaning are the API's.

use serde::Serialize;
use utoipa::ToSchema;

use super::desk::{ArbitrageView, ExposureBy, FuelRow, LimitRow, StrategyRow};

/// The whole document.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Snapshot {
    /// Last event handled.
    pub seq: u64,
    /// When it was made, unix ms.
    pub at_ms: i64,
    /// Operator's name of this keeper.
    pub keeper: String,
    /// Program version.
    pub version: &'static str,
    /// Configured mode: observe, paper, live or demo.
    pub mode: String,
    /// When this process started.
    pub started_ms: i64,
    /// Unit of every value.
    pub numeraire: String,
    /// How far the house may act.
    pub state: StateView,
    /// Chains.
    pub chains: Vec<ChainRow>,
    /// Venues.
    pub venues: Vec<VenueRow>,
    /// Books.
    pub books: Vec<BookRow>,
    /// Pools; of a chain with many those in which strategies provide liquidity first, then those
    /// not in use, and no more than 200.
    pub pools: Vec<PoolRow>,
    /// Positions, open first.
    pub positions: Vec<PositionRow>,
    /// Exposure by asset.
    pub exposure: Vec<ExposureRow>,
    /// The hedge.
    pub hedge: Option<HedgeRow>,
    /// Did we make money.
    pub pnl: PnlView,
    /// Orders, newest first.
    pub orders: Vec<OrderRow>,
    /// Transactions, newest first.
    pub transactions: Vec<TransactionRow>,
    /// The newest entries.
    pub ledger: LedgerView,
    /// Ledger against the world.
    pub reconciliation: ReconciliationView,
    /// What is recorded, simulated or assumed.
    pub labels: Vec<Label>,
    /// Cycles and gaps to exchanges: what was seen and what became of it.
    pub arbitrage: ArbitrageView,
    /// Strategies.
    pub strategies: Vec<StrategyRow>,
    /// Limits, and how much of each is used.
    pub limits: Vec<LimitRow>,
    /// Exposure by asset, venue and chain.
    pub exposures: Vec<ExposureBy>,
    /// Native coin kept for gas.
    pub fuel: Vec<FuelRow>,
    /// Ranges closed to be moved.
    pub rebalances: u64,
    /// Orders sent over the life of the store.
    pub orders_sent: u64,
    /// Of these, with at least one fill.
    pub orders_filled: u64,
    /// Quotes over the life of the store.
    pub quotes: QuotesView,
    /// Nothing of ours is in flight.
    pub is_quiet: bool,
}

/// Orders of market makers.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct QuotesView {
    /// Placed.
    pub sent: u64,
    /// Of these, with at least one trade.
    pub filled: u64,
    /// Ended by our cancel.
    pub cancelled: u64,
}

/// How far the house may act.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StateView {
    /// recovering, running, paused, reduce_only or halted.
    pub kind: &'static str,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub since_ms: i64,
}

/// One chain.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChainRow {
    /// EIP-155 id.
    pub chain_id: u64,
    /// Name.
    pub name: String,
    /// Newest block.
    pub head: Option<u64>,
    /// Its hash.
    pub head_hash: Option<String>,
    /// Since it was handled.
    pub head_age_ms: Option<i64>,
    /// Age that counts as stale.
    pub stale_after_ms: i64,
    /// Expected time between blocks.
    pub block_time_ms: i64,
    /// State of the feed: syncing, live, stale or down.
    pub feed: &'static str,
    /// Since when.
    pub feed_since_ms: i64,
    /// Base fee, gwei.
    pub base_fee_gwei: Option<String>,
    /// Pools that are followed, or will be once they are read.
    pub pools_watched: usize,
    /// Pools in use.
    pub pools_live: usize,
    /// Pools not to be trusted.
    pub pools_quarantined: usize,
    /// Native coin of the signer.
    pub native_balance: Option<String>,
    /// Blocks handled in this run.
    pub blocks: u64,
    /// Cycles of ours that landed, over the life of the store.
    pub cycles_landed: u64,
    /// Pool logs applied in this run.
    pub pool_events: u64,
}

/// One venue.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VenueRow {
    /// Name.
    pub venue: String,
    /// Dialect.
    pub kind: String,
    /// Worst state of its books: syncing, live, stale or down.
    pub feed: &'static str,
    /// State of the user stream: live or down.
    pub user_stream: &'static str,
    /// Age of its oldest book.
    pub age_ms: Option<i64>,
    /// Books begun anew.
    pub resyncs: u64,
}

/// One book.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BookRow {
    /// Venue.
    pub venue: String,
    /// Symbol.
    pub market: String,
    /// State: syncing, live, stale or down.
    pub feed: &'static str,
    /// Best bid.
    pub bid: Option<String>,
    /// Base there.
    pub bid_quantity: Option<String>,
    /// Best ask.
    pub ask: Option<String>,
    /// Base there.
    pub ask_quantity: Option<String>,
    /// Since the last update.
    pub age_ms: Option<i64>,
    /// Venue's update id.
    pub update_id: u64,
    /// Updates applied.
    pub updates: u64,
    /// Begun anew.
    pub resyncs: u64,
}

/// One pool.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PoolRow {
    /// Chain.
    pub chain_id: u64,
    /// Address; of a V4 pool its id.
    pub pool: String,
    /// Protocol.
    pub dex: String,
    /// Pair.
    pub pair: String,
    /// Swap fee, pips; of V4 the LPs' part.
    pub fee_pips: u32,
    /// How far it is trusted: syncing, live or quarantined.
    pub state: &'static str,
    /// Why it is quarantined, and what it waits for; of a live one, why nothing is traded in it.
    pub reason: Option<String>,
    /// Block since which it is so.
    pub since_block: Option<u64>,
    /// Quote per base.
    pub price: Option<String>,
    /// Tick.
    pub tick: Option<i32>,
    /// In range.
    pub liquidity: Option<String>,
    /// As of.
    pub block: Option<u64>,
    /// Since then.
    pub age_ms: Option<i64>,
    /// Last compared with the chain.
    pub audited_block: Option<u64>,
    /// Comparisons.
    pub audits: u64,
    /// Times it was read anew after trouble.
    pub reloads: u64,
    /// Logs applied.
    pub events: u64,
}

/// One position.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PositionRow {
    /// Chain.
    pub chain_id: u64,
    /// Pool.
    pub pool: String,
    /// Pair.
    pub pair: String,
    /// Swap fee, pips.
    pub fee_pips: u32,
    /// Owner.
    pub strategy: String,
    /// NFT.
    pub token_id: String,
    /// open or closed.
    pub state: &'static str,
    /// Range.
    pub price_lower: Option<String>,
    /// Range.
    pub price_upper: Option<String>,
    /// Pool price.
    pub price: Option<String>,
    /// Price inside.
    pub in_range: Option<bool>,
    /// Share of blocks inside.
    pub in_range_share: Option<String>,
    /// Principal, base.
    pub base: Option<String>,
    /// Principal, quote.
    pub quote: Option<String>,
    /// Fees, base.
    pub fees_base: Option<String>,
    /// Fees, quote.
    pub fees_quote: Option<String>,
    /// Fees, numeraire.
    pub fees: Option<String>,
    /// Principal and fees, numeraire.
    pub value: Option<String>,
    /// What was put in, at the same price.
    pub value_hold: Option<String>,
    /// Principal less HOLD.
    pub impermanent_loss: Option<String>,
    /// Gas, numeraire.
    pub gas: Option<String>,
    /// Opened.
    pub opened_ms: i64,
    /// Closed.
    pub closed_ms: Option<i64>,
    /// Last decision and its reason.
    pub why: String,
}

/// Exposure to one asset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExposureRow {
    /// Asset.
    pub asset: String,
    /// In positions.
    pub positions: Option<String>,
    /// In wallets.
    pub wallet: Option<String>,
    /// Perpetual contracts.
    pub hedge: Option<String>,
    /// Sum.
    pub net: Option<String>,
    /// Outer edge of the hedge band, numeraire.
    pub band: Option<String>,
    /// Sum, numeraire.
    pub net_value: Option<String>,
}

/// The hedge.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HedgeRow {
    /// Venue.
    pub venue: String,
    /// Symbol.
    pub market: String,
    /// Contracts wanted.
    pub target: Option<String>,
    /// Contracts held.
    pub have: Option<String>,
    /// Gap, numeraire.
    pub unhedged_value: Option<String>,
    /// inside band, hedging or blocked.
    pub state: &'static str,
    /// Last decision and its reason.
    pub why: String,
}

/// Profit since the ledger began.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PnlView {
    /// All of it.
    pub total: Option<String>,
    /// By part.
    pub parts: Vec<PnlPart>,
}

/// One part of the profit.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PnlPart {
    /// Name.
    pub name: &'static str,
    /// Numeraire.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: &'static str,
}

/// One order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OrderRow {
    /// Ours.
    pub client_order_id: String,
    /// Venue.
    pub venue: String,
    /// Symbol.
    pub market: String,
    /// buy or sell.
    pub side: &'static str,
    /// limit, limit ioc or limit post-only.
    pub kind: &'static str,
    /// Limit.
    pub price: String,
    /// Base.
    pub quantity: String,
    /// Base filled.
    pub filled: String,
    /// sending, live, partial, cancel_sent, unknown, filled, cancelled, expired, rejected or
    /// not_placed.
    pub state: &'static str,
    /// Planned.
    pub created_ms: i64,
    /// Why.
    pub reason: String,
}

/// One transaction.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TransactionRow {
    /// Chain.
    pub chain_id: u64,
    /// Slot.
    pub nonce: u64,
    /// Hash.
    pub hash: Option<String>,
    /// What it does.
    pub purpose: String,
    /// signed, broadcast, included, reverted, final or foreign.
    pub state: &'static str,
    /// Mined in.
    pub block: Option<u64>,
    /// Gas.
    pub gas_used: Option<u64>,
    /// Paid.
    pub cost_native: Option<String>,
    /// Planned.
    pub created_ms: i64,
}

/// The ledger.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LedgerView {
    /// Ever booked.
    pub entries: u64,
    /// Ever booked.
    pub postings: u64,
    /// Newest first.
    pub last: Vec<EntryRow>,
}

/// One entry.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EntryRow {
    /// Id.
    pub id: String,
    /// Learned.
    pub at_ms: i64,
    /// Kind.
    pub kind: &'static str,
    /// Outside fact.
    pub cause: String,
    /// Lines.
    pub postings: Vec<PostingRow>,
}

/// One line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PostingRow {
    /// Account.
    pub account: String,
    /// Unit.
    pub unit: String,
    /// Smallest steps.
    pub amount: String,
    /// Whole units.
    pub human: Option<String>,
}

/// Ledger against the world.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReconciliationView {
    /// All differences are zero; null before the first comparison.
    pub ok: Option<bool>,
    /// Oldest of the newest comparisons.
    pub checked_ms: Option<i64>,
    /// Rows.
    pub rows: Vec<ReconciliationRow>,
}

/// One comparison.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReconciliationRow {
    /// Account.
    pub place: String,
    /// Unit.
    pub unit: String,
    /// Ledger.
    pub ledger: String,
    /// World.
    pub actual: String,
    /// World less ledger.
    pub difference: String,
    /// Block or fact both are true at.
    pub at: String,
}

/// What a part of the world really is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Label {
    /// Part.
    pub what: String,
    /// recorded, simulated, assumed or real.
    pub kind: String,
    /// In words.
    pub text: String,
}
