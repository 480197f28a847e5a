//! The closed list of facts that reach the engine. What is not here does not exist for it.

use alloy::primitives::{Address, B256, U256};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::engine::setup::StrategySetup;
use crate::execution::order::Order;
use crate::execution::tx::{Spender, Tx};
use crate::ledger;
use crate::ledger::entry::Entry;
use crate::market::book::BookUpdate;
use crate::market::pools::v2::{PoolV2, V2Event, V2Observed};
use crate::market::pools::v3::{PoolV3, V3Event, V3Observed, Watched};
use crate::market::pools::v4::{PoolV4, V4Event, V4Observed};
use crate::model::chain::{BlockRef, Header, PoolAddress, Receipt, TokenTransfer};
use crate::model::opportunity::{Opportunity, OpportunityKind, Tally};
use crate::model::time::Timestamp;
use crate::model::venue::{AccountView, Fill, Income, MarketRules, OrderReply, OrderReport};
use crate::strategy::hedging;

/// One fact, numbered by the run loop.
#[derive(Debug, Serialize, Deserialize)]
pub struct Event {
    /// Position in the run's order, given by the run loop.
    pub seq: u64,
    /// When we learned it.
    pub at: Timestamp,
    /// The fact.
    pub body: Body,
}

/// The kinds of fact.
#[derive(Debug, Serialize, Deserialize)]
pub enum Body {
    /// What the store remembers; always the first event.
    Started(Box<Recovered>),
    /// Time passed.
    Timer,
    /// The chain's state at the block from which live heads continue.
    ChainReady(Box<ChainStart>),
    /// One more block of a chain, in order.
    Block(Box<Block>),
    /// The chain replaced blocks we had handled; this is the newest one it kept.
    Reorganised(Box<Header>),
    /// It replaced more blocks than can be undone.
    ReorganisedTooDeep { chain: u64, number: u64, seen: B256, canonical: B256 },
    /// The endpoint answers or not.
    ChainFeed { chain: u64, is_up: bool, why: String },
    /// A part of a pool read from the chain at the last handled block.
    PoolAudit { chain: u64, pool: PoolAddress, block: BlockRef, observed: Observed },
    /// A pool read whole at the last handled block, to compare with what its logs made of it.
    PoolReading(Box<PoolReading>),
    /// A pool read whole at the last handled block: it begins anew there, as the engine asked, or
    /// for the first time, where it could not be read with the others.
    PoolReload(Box<PoolReading>),
    /// How many logs of a pool the chain's list has, against those that blocks told.
    PoolLogs(PoolSearch),
    /// Our balances read from the chain at the last handled block.
    WalletAudit(Box<WalletAudit>),
    /// What a transaction would use, or why it would fail.
    Estimated { chain: u64, intent: Uuid, gas: Result<u64, String> },
    /// A committed transaction left for an endpoint.
    Sent { chain: u64, nonce: u64, hash: B256 },
    /// The venue's account, rules and history at start or after a gap.
    VenueReady(Box<VenueStart>),
    /// A book changed.
    Book { venue: String, symbol: String, step: BookStep },
    /// The user stream opened or closed.
    UserStream { venue: String, is_up: bool, why: String },
    /// The user stream or a reply told of an order.
    OrderReport { venue: String, report: OrderReport },
    /// The answer to a request about an order.
    OrderReply { client_order_id: String, reply: OrderReply },
    /// The venue was asked for an order at this instant and did not know it.
    OrderMissed { client_order_id: String, asked: Timestamp },
    /// The venue named an order of which only its own id was known.
    OrderOwner {
        venue: String,
        symbol: String,
        venue_order_id: u64,
        client_order_id: String,
        /// The venue made it itself.
        is_forced: bool,
    },
    /// Trades on our account, oldest first, told by the stream or listed by the venue.
    Fills { venue: String, symbol: String, fills: Vec<Fill>, source: FillSource },
    /// Incomes of ours, oldest first.
    Incomes { venue: String, incomes: Vec<Income> },
    /// The account, asked for a comparison when the ledger stood at `version`.
    VenueAudit { venue: String, version: u64, account: AccountView },
    /// The store answers in time or not.
    Store { is_live: bool, why: String },
    /// The operator's word.
    Directive(Directive),
    /// The operator's other numbers for one strategy; its file has them already.
    Change(Box<Change>),
    /// The process is asked to end: what rests is taken back, nothing new leaves.
    Stopping,
}

/// Where trades were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FillSource {
    /// The user stream: what it tells is true, what it does not tell may have been lost.
    Stream,
    /// The venue's own list: complete from where it was asked.
    List,
}

/// The operator's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Directive {
    /// Full stop.
    Halt { reason: String },
    /// Go on after a halt.
    Resume { reason: String },
    /// One strategy decides nothing until started again.
    Pause { strategy: String, reason: String },
    /// One strategy decides again.
    Start { strategy: String, reason: String },
}

/// Other numbers for one strategy while it runs. What it is and where it acts stays.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The strategy with its new numbers and their version.
    pub setup: StrategySetup,
    /// Its hedge with its new numbers; `None` for one that has no hedge of its own.
    pub hedge: Option<hedging::Parameters>,
    /// Why, for the record.
    pub reason: String,
}

/// One block with everything in it that concerns us.
#[derive(Debug, Serialize, Deserialize)]
pub struct Block {
    /// Header.
    pub header: Header,
    /// Pool logs in order.
    pub pool_logs: Vec<(PoolAddress, PoolEvent)>,
    /// Receipts of our transactions in it, by nonce.
    pub receipts: Vec<(u64, Receipt)>,
    /// Token transfers touching our signer that no transaction of ours made.
    pub foreign_transfers: Vec<TokenTransfer>,
    /// Transactions our signer ever made, as of this block; `None` for blocks of the past.
    pub signer_nonce: Option<u64>,
}

/// A pool's log, decoded.
#[derive(Debug, Serialize, Deserialize)]
pub enum PoolEvent {
    /// Uniswap V3 and its forks.
    V3(V3Event),
    /// Uniswap V2 and its forks.
    V2(V2Event),
    /// Uniswap V4.
    V4(V4Event),
    /// It is the pool's, and we cannot read it: the pool is not to be trusted from here on.
    Broken(String),
    /// No log: a pretend position begins, and its share of the fees is kept from here on.
    Watched(Watched),
    /// No log: a pretend position is over.
    Unwatched { lower: i32, upper: i32 },
}

/// A pool read from the chain.
#[derive(Debug, Serialize, Deserialize)]
pub enum Observed {
    /// Uniswap V3.
    V3(Box<V3Observed>),
    /// Uniswap V2.
    V2(V2Observed),
    /// Uniswap V4.
    V4(Box<V4Observed>),
}

/// A pool's exact state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Pool {
    /// Uniswap V3 and its forks.
    V3(Box<PoolV3>),
    /// Uniswap V2 and its forks.
    V2(PoolV2),
    /// Uniswap V4.
    V4(Box<PoolV4>),
}

/// All of a pool, read from the chain at one block.
#[derive(Debug, Serialize, Deserialize)]
pub struct PoolReading {
    /// Pool.
    pub pool: PoolAddress,
    /// The block.
    pub block: BlockRef,
    /// Its state after it.
    pub state: Pool,
}

/// What a search for missing logs of a pool found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSearch {
    /// Chain.
    pub chain: u64,
    /// Pool.
    pub pool: PoolAddress,
    /// First block looked at.
    pub from: u64,
    /// Last block looked at.
    pub to: u64,
    /// The first of them that does not have as many logs as it told; `None` where all agree.
    pub gap: Option<LogGap>,
}

/// A block that told another number of a pool's logs than the chain's list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGap {
    /// Height.
    pub block: u64,
    /// Logs that were told when the block was followed.
    pub told: u64,
    /// Logs in the chain's list.
    pub on_chain: u64,
}

/// The chain at the block from which live heads continue.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChainStart {
    /// That block.
    pub header: Header,
    /// Pools at it; one that could not be read is told later.
    pub pools: Vec<(PoolAddress, Pool)>,
    /// Our balances at it.
    pub wallet: WalletAudit,
    /// Transactions our signer ever made, as of it.
    pub signer_nonce: u64,
}

/// What we have on a chain at one block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WalletAudit {
    /// The block.
    pub block: BlockRef,
    /// Wei.
    pub native: U256,
    /// ERC-20 balances.
    pub tokens: Vec<(Address, U256)>,
    /// NFTs of the position manager we own.
    pub positions: Vec<OwnedPosition>,
    /// What contracts may still take; of one that is missing it is not known.
    pub allowances: Vec<(Address, Spender, U256)>,
}

/// An NFT of the position manager, as the chain tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedPosition {
    /// NFT.
    pub token_id: U256,
    /// Liquidity.
    pub liquidity: u128,
    /// `feeGrowthInside0LastX128`.
    pub inside0: U256,
    /// `feeGrowthInside1LastX128`.
    pub inside1: U256,
}

/// A venue at start or after a gap of its user stream.
#[derive(Debug, Serialize, Deserialize)]
pub struct VenueStart {
    /// Configured name.
    pub venue: String,
    /// Account now.
    pub account: AccountView,
    /// Rules per symbol.
    pub rules: Vec<(String, MarketRules)>,
    /// Newest trade id per symbol, zero when there is none.
    pub newest_trade: Vec<(String, u64)>,
    /// The venue's clock at the read.
    pub venue_time: Timestamp,
}

/// A step of a book's life.
#[derive(Debug, Serialize, Deserialize)]
pub enum BookStep {
    /// Connection opened.
    Opened,
    /// Snapshot or diff in sequence.
    Update(BookUpdate),
    /// A gap: nothing we hold is true any more.
    Invalid,
    /// Connection closed.
    Closed,
}

/// A position as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Pool.
    pub pool: crate::model::intent::PoolId,
    /// NFT.
    pub token_id: U256,
    /// Owner.
    pub strategy: String,
    /// First tick inside.
    pub tick_lower: i32,
    /// First tick above.
    pub tick_upper: i32,
    /// Liquidity; zero once closed.
    pub liquidity: u128,
    /// Put in, smallest units.
    pub amount0: U256,
    /// Put in, smallest units.
    pub amount1: U256,
    /// Fee growth inside of both tokens when opened, Q128.128; `None` until read from the chain.
    pub inside: Option<(U256, U256)>,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it was closed.
    pub closed: Option<Timestamp>,
    /// Taken out at closing, smallest units, fees included.
    pub collected0: U256,
    /// Taken out at closing, smallest units, fees included.
    pub collected1: U256,
    /// Fees among what was taken out.
    pub fees0: U256,
    /// Fees among what was taken out.
    pub fees1: U256,
    /// Wei of gas spent on it.
    pub gas: U256,
    /// Blocks seen with the price inside.
    pub blocks_in_range: u64,
    /// Blocks seen.
    pub blocks_total: u64,
    /// Base price when closed, for its final figures.
    pub closed_price: Option<Decimal>,
}

/// Orders of market makers, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteTally {
    /// Placed.
    pub sent: u64,
    /// Of these, with at least one trade.
    pub filled: u64,
    /// Ended by our cancel.
    pub cancelled: u64,
}

/// What the store remembers of earlier runs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Recovered {
    /// Balances and booked causes.
    pub ledger: ledger::Loaded,
    /// Entries on blocks that may still be taken back, oldest first.
    pub provisional: Vec<Entry>,
    /// Positions: all open ones, and the newest closed ones.
    pub positions: Vec<Position>,
    /// Slots not final, by chain.
    pub txs: Vec<(u64, Tx)>,
    /// Highest nonce ever stored, by chain.
    pub highest_nonce: Vec<(u64, u64)>,
    /// Orders without an outcome.
    pub orders: Vec<Order>,
    /// Time of the newest booked trade by venue and symbol, with the cash all trades moved.
    pub trades: Vec<(String, String, Timestamp, Decimal)>,
    /// The day (since 1970) whose value was last remembered, and that value.
    pub day_value: Option<(i64, Decimal)>,
    /// Wei of gas paid by transactions made since that day began.
    pub day_gas: U256,
    /// Ranges closed since that day began, by strategy.
    pub moves_today: Vec<(String, u32)>,
    /// Base of booked trades by venue and the venue's order id, newest orders only.
    pub booked: Vec<(String, u64, Decimal)>,
    /// Client ids of the newest orders of each venue that are over and traded: their trades may
    /// not be booked yet.
    pub traded: Vec<String>,
    /// When the ledger of each venue began, by the venue's clock.
    pub opened: Vec<(String, Timestamp)>,
    /// From where incomes of each venue are asked again.
    pub incomes_since: Vec<(String, Timestamp)>,
    /// Counters of wants ever approved, so that ids never repeat.
    pub decisions: u64,
    /// Counters over the life of the store.
    pub orders_sent: u64,
    /// Orders with at least one fill.
    pub orders_filled: u64,
    /// Quotes over the life of the store.
    pub quotes: QuoteTally,
    /// Ranges closed to be moved.
    pub rebalances: u64,
    /// Value of everything when the ledger began, numeraire.
    pub opening_value: Option<Decimal>,
    /// A halt that still stands.
    pub halted: Option<String>,
    /// Strategies the operator paused.
    pub paused: Vec<String>,
    /// The newest opportunities, newest first.
    pub opportunities: Vec<Opportunity>,
    /// All of them, counted by chain and kind.
    pub tallies: Vec<(u64, OpportunityKind, Tally)>,
}
