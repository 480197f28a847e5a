//! What the engine remembers of each chain and venue between two events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy::primitives::{B256, U256};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::engine::admission::Standing;
use crate::engine::event::Pool;
use crate::engine::pools::Oddity;
use crate::engine::recent::Seen;
use crate::engine::reorg::UndoBlock;
use crate::engine::setup::ChainSetup;
use crate::execution::plan::Allowances;
use crate::execution::tx::{Act, Tx};
use crate::ledger::entry::Entry;
use crate::ledger::reconcile::Comparison;
use crate::market::book::Book;
use crate::market::book::feed::Feed;
use crate::model::chain::{Header, PoolAddress};
use crate::model::time::Timestamp;
use crate::model::venue::{Fill, MarketRules};
use crate::strategy::liquidity;

/// Window over which a pool's fee rate is measured.
pub const FEE_WINDOW_MS: i64 = 60_000;
/// Shortest window that counts as a measurement.
pub const FEE_WINDOW_MIN_MS: i64 = 5_000;
/// Room for the chain's clock and its rounding to seconds.
const CHAIN_CLOCK_ROOM_MS: i64 = 2_000;
/// Settled orders remembered, so that a late word about them changes nothing.
const SETTLED_KEPT: usize = 500;
/// Blocks for which pools can be taken back, however short the chain's window.
pub const UNDO_BLOCKS_MIN: u64 = 256;
/// Slots kept for display after they are final.
pub const TXS_KEPT: usize = 200;

/// A watched pool.
#[derive(Debug)]
pub struct PoolState {
    /// Its exact state.
    pub pool: Pool,
    /// Whether it may be used.
    pub standing: Standing,
    /// Height at which it was last read whole and taken over.
    pub read_at: u64,
    /// Newest height at which a whole reading agreed with it.
    pub agreed: u64,
    /// Last block compared with the chain.
    pub audited: Option<u64>,
    /// Comparisons made.
    pub n_audits: u64,
    /// Logs applied.
    pub n_events: u64,
    /// Times it was read anew after trouble.
    pub n_reloads: u64,
    /// When that was asked for; what is too old to count may be missing.
    pub reloads: VecDeque<Timestamp>,
    /// (instant, fee growth global 0, 1) of recent blocks, where a strategy provides liquidity.
    pub fee_samples: VecDeque<(Timestamp, U256, U256)>,
    /// Its newest logs, oldest first.
    pub recent: VecDeque<Seen>,
}

impl PoolState {
    /// It is believed, and there is something to trade.
    pub fn is_usable(&self) -> bool {
        self.standing.is_live() && self.pool.oddity().is_none()
    }

    /// Why it is not, for people.
    pub fn why_not(&self) -> Option<String> {
        let odd = || self.pool.oddity().map(|oddity| format!("not used: {oddity}"));
        self.standing.why_not().map(str::to_owned).or_else(odd)
    }

    /// A pool just read from the chain at this height.
    pub fn new(pool: Pool, read_at: u64) -> Self {
        Self {
            pool,
            standing: Standing::first_read(read_at),
            read_at,
            agreed: read_at,
            audited: None,
            n_audits: 0,
            n_events: 0,
            n_reloads: 0,
            reloads: VecDeque::new(),
            fee_samples: VecDeque::new(),
            recent: VecDeque::new(),
        }
    }
}

/// A want that passed the gate and waits for its gas estimate.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The want.
    pub intent: Uuid,
    /// Who wants it.
    pub strategy: String,
    /// What will be sent.
    pub act: Act,
    /// Pools that must be live when it leaves.
    pub pools: Vec<PoolAddress>,
    /// Since when.
    pub since: Timestamp,
}

/// A chain.
#[derive(Debug)]
pub struct ChainState {
    /// Configuration.
    pub setup: ChainSetup,
    /// Newest block handled.
    pub head: Option<Header>,
    /// When it was handled.
    pub head_at: Option<Timestamp>,
    /// Whether heads come.
    pub feed: Feed,
    /// Why it is not live.
    pub feed_why: String,
    /// Since when the feed is what it is.
    pub feed_since: Timestamp,
    /// True once the start state was taken over.
    pub is_ready: bool,
    /// Pools by what names them.
    pub pools: BTreeMap<PoolAddress, PoolState>,
    /// Slots by nonce.
    pub txs: BTreeMap<u64, Tx>,
    /// Next free slot.
    pub next_nonce: u64,
    /// What contracts may still take.
    pub allowances: Allowances,
    /// A want waiting for its estimate.
    pub pending: Option<Pending>,
    /// Not before this instant is the next want tried (after a refusal of the chain).
    pub retry_at: Timestamp,
    /// Blocks handled in this run.
    pub n_blocks: u64,
    /// Pool logs applied in this run.
    pub n_pool_events: u64,
    /// What takes back each of the newest blocks that changed a pool.
    pub undo: VecDeque<UndoBlock>,
    /// The newest block that changed a pool and cannot be taken back any more.
    pub forgotten: Option<u64>,
    /// Height at which the chain was read whole.
    pub read_at: u64,
    /// Entries by the block they stand on, while it can be taken back.
    pub provisional: BTreeMap<u64, Vec<Entry>>,
    /// Wei of gas paid in this run.
    pub gas_spent: U256,
}

impl ChainState {
    /// A chain nothing is known of.
    pub fn new(setup: ChainSetup) -> Self {
        Self {
            setup,
            head: None,
            head_at: None,
            feed: Feed::Syncing,
            feed_why: String::new(),
            feed_since: Timestamp(0),
            is_ready: false,
            pools: BTreeMap::new(),
            txs: BTreeMap::new(),
            next_nonce: 0,
            allowances: BTreeMap::new(),
            pending: None,
            retry_at: Timestamp(0),
            n_blocks: 0,
            n_pool_events: 0,
            undo: VecDeque::new(),
            forgotten: None,
            read_at: 0,
            provisional: BTreeMap::new(),
            gas_spent: U256::ZERO,
        }
    }

    /// Keeps what a block changed for as long as the block can be taken back.
    pub fn remember(&mut self, undo: UndoBlock) {
        let window = self.setup.final_after_blocks;
        let (head, oldest) = (undo.number, undo.number.saturating_sub(window.max(UNDO_BLOCKS_MIN)));
        if !undo.pools.is_empty() {
            self.undo.push_back(undo);
        }
        while let Some(undo) = self.undo.pop_front_if(|undo| undo.number < oldest) {
            self.forgotten = Some(undo.number);
        }
        self.provisional = self.provisional.split_off(&head.saturating_sub(window));
    }

    /// True while a slot is unmined or a want waits: the lane takes one act at a time.
    pub fn is_busy(&self) -> bool {
        self.pending.is_some() || self.txs.values().any(|tx| tx.state.is_pending())
    }

    /// Live, by its feed and by the age of its head.
    pub fn live(&self, now: Timestamp) -> Result<(), String> {
        self.fresh(now)?;
        self.current(now)
    }

    /// The newest block is recent by the chain's own clock: a backlog is not the present.
    fn current(&self, now: Timestamp) -> Result<(), String> {
        let age_ms = self.head.map_or(0, |head| now.ms_since(head.time));
        // Block times are whole seconds and stamped when the block was begun.
        if age_ms <= self.setup.stale_after_ms + self.setup.block_time_ms + CHAIN_CLOCK_ROOM_MS {
            return Ok(());
        }
        Err(format!("chain {}: the newest block is {age_ms} ms old", self.setup.name))
    }

    fn fresh(&self, now: Timestamp) -> Result<(), String> {
        if self.feed != Feed::Live {
            return Err(format!(
                "chain {} is {}: {}",
                self.setup.name,
                self.feed.word(),
                self.feed_why
            ));
        }
        match self.head_at {
            Some(at) if now.ms_since(at) <= self.setup.stale_after_ms => Ok(()),
            Some(at) => {
                Err(format!("chain {} has no head for {} ms", self.setup.name, now.ms_since(at)))
            }
            None => Err(format!("chain {} has no head yet", self.setup.name)),
        }
    }

    /// The pool was read twice and nothing contradicted it since.
    pub fn pool_live(&self, address: PoolAddress) -> Result<(), String> {
        let state = self.pools.get(&address).ok_or("the pool is not read yet")?;
        match state.standing.why_not() {
            Some(why) => Err(format!("pool {address} is quarantined: {why}")),
            None => Ok(()),
        }
    }

    /// The pool is live, and nothing odd about it hinders what is to be done.
    pub fn pool_usable(
        &self,
        address: PoolAddress,
        is_hindered: impl Fn(Oddity) -> bool,
    ) -> Result<(), String> {
        self.pool_live(address)?;
        let oddity = self.pools.get(&address).and_then(|state| state.pool.oddity());
        match oddity.filter(|oddity| is_hindered(*oddity)) {
            Some(oddity) => Err(format!("pool {address} is not used: {oddity}")),
            None => Ok(()),
        }
    }

    /// Sets the feed's state; keeps the instant it began.
    pub fn set_feed(&mut self, feed: Feed, why: &str, at: Timestamp) {
        if self.feed.word() != feed.word() {
            self.feed_since = at;
        }
        self.feed = feed;
        why.clone_into(&mut self.feed_why);
    }
}

/// One venue order's fills, told twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settling {
    /// By the order's own word.
    pub reported: Decimal,
    /// By trades in the ledger.
    pub booked: Decimal,
    /// True once an order of ours told this id.
    pub is_ours: bool,
}

/// A venue.
#[derive(Debug)]
pub struct VenueState {
    /// Books by symbol.
    pub books: BTreeMap<String, Book>,
    /// Whether the user stream is open.
    pub is_user_up: bool,
    /// True once account, rules and history were read after the stream opened.
    pub is_ready: bool,
    /// Trading rules by symbol.
    pub rules: BTreeMap<String, MarketRules>,
    /// Newest trade of the venue's own list, by symbol.
    pub newest_trade: BTreeMap<String, u64>,
    /// From where trades are listed while no id of the list is known, by symbol.
    pub fills_since: BTreeMap<String, Timestamp>,
    /// When this venue's ledger began, by the venue's clock; older facts are in its opening.
    pub opened: Timestamp,
    /// From where incomes are asked again.
    pub incomes_since: Timestamp,
    /// Cash the fills of a perpetual moved (quote received minus paid), by symbol.
    pub cash: BTreeMap<String, Decimal>,
    /// The newest user-stream fact, for naming comparisons.
    pub last_fact: String,
    /// Counts every booking of this venue: a comparison holds only when it stood still.
    pub version: u64,
    /// When the account was last asked for a comparison.
    pub audited_at: Timestamp,
    /// Base filled by venue order id, by the orders' own word and by booked trades: while trades
    /// lag behind, what we hold is not known.
    pub settling: BTreeMap<u64, Settling>,
    /// Trades told and not booked yet, by symbol and trade id: whose they were is not known, or
    /// what somebody else traded has no price.
    pub held: BTreeMap<(String, u64), Fill>,
    /// Markets whose trades were not listed since the account was read: what an order of before did
    /// may not be booked.
    pub unlisted: BTreeSet<String>,
    /// A difference seen once; it counts when the next comparison shows the same.
    pub suspected: Option<Vec<Comparison>>,
}

impl VenueState {
    /// True when every trade told or listed, and every one the orders speak of, is in the ledger.
    pub fn is_settled(&self) -> bool {
        let is_booked = |order: &Settling| order.booked >= order.reported;
        self.unlisted.is_empty() && self.held.is_empty() && self.settling.values().all(is_booked)
    }

    /// True while a trade of this market is held, up to this one: trades are asked for from there.
    pub fn holds_up_to(&self, symbol: &str, trade_id: u64) -> bool {
        let of = |id| (symbol.to_owned(), id);
        self.held.range(of(0)..=of(trade_id)).next().is_some()
    }

    /// The two tellings of one order; the oldest settled orders are forgotten.
    pub fn settling(&mut self, venue_order_id: u64) -> &mut Settling {
        while self.settling.len() > SETTLED_KEPT {
            let done = self.settling.iter().find(|(_, order)| order.booked >= order.reported);
            let Some(oldest) = done.map(|(id, _)| *id) else { break };
            self.settling.remove(&oldest);
        }
        self.settling.entry(venue_order_id).or_default()
    }

    /// A venue nothing is known of.
    pub fn new(symbols: &[String], book_age_max_ms: i64, at: Timestamp) -> Self {
        let book = |symbol: &String| (symbol.clone(), Book::new(book_age_max_ms, at));
        Self {
            books: symbols.iter().map(book).collect(),
            is_user_up: false,
            is_ready: false,
            rules: BTreeMap::new(),
            newest_trade: BTreeMap::new(),
            fills_since: BTreeMap::new(),
            opened: Timestamp(0),
            incomes_since: Timestamp(0),
            cash: BTreeMap::new(),
            last_fact: "start".into(),
            version: 0,
            audited_at: Timestamp(0),
            settling: BTreeMap::new(),
            held: BTreeMap::new(),
            unlisted: BTreeSet::new(),
            suspected: None,
        }
    }
}

/// A strategy's memory; what matters is recomputed from positions and wallet.
#[derive(Debug, Default)]
pub struct StrategyState {
    /// The last reason to act or wait, for people.
    pub why: String,
    /// When that was decided.
    pub decided: Option<Timestamp>,
    /// The operator's word: it decides nothing until started again.
    pub is_paused: bool,
    /// Mids of the book without our own quotes, oldest first.
    pub mids: VecDeque<(Timestamp, Decimal)>,
    /// Ranges moved since the day began.
    pub moves_today: u32,
    /// Head at which cycles were last searched for.
    pub searched: Option<B256>,
    /// Cycles that were open at that head, by their route.
    pub open_routes: BTreeSet<String>,
}

impl StrategyState {
    /// Keeps a reason and when it was given.
    pub fn say(&mut self, why: String, at: Timestamp) {
        self.why = why;
        self.decided = Some(at);
    }
}

/// A hedge's memory.
#[derive(Debug, Default)]
pub struct HedgeState {
    /// The last decision, for people.
    pub why: String,
    /// Since when the delta is outside the inner band.
    pub outside_since: Option<Timestamp>,
    /// Not before this instant is the next one tried.
    pub retry_at: Timestamp,
    /// Orders in a row that traded nothing.
    pub refusals: u32,
}

/// Orientation of a pool for strategies; `None` while something is unknown.
pub fn pool_view(
    chain: &ChainSetup,
    address: PoolAddress,
    state: &PoolState,
) -> Option<liquidity::PoolView> {
    let setup = chain.pool(address)?;
    let Pool::V3(pool) = &state.pool else {
        return None;
    };
    let (base, quote) = if setup.base_is_token0 {
        (setup.token0, setup.token1)
    } else {
        (setup.token1, setup.token0)
    };
    let (base_decimals, quote_decimals) =
        (chain.token(base)?.decimals, chain.token(quote)?.decimals);
    let price = crate::engine::figures::pool_price(chain, setup, &state.pool)?;
    Some(liquidity::PoolView {
        sqrt_price_x96: pool.sqrt_price_x96(),
        tick: pool.tick(),
        tick_spacing: setup.tick_spacing,
        fee_pips: setup.fee_pips,
        token0: setup.token0,
        token1: setup.token1,
        base_is_token0: setup.base_is_token0,
        base_decimals,
        quote_decimals,
        price,
        fee_rate: crate::engine::figures::fee_rate(chain, setup, state, price),
    })
}
