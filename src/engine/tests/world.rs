//! A world in miniature around one engine: it holds the truth, tells it as facts, advances time and
//! keeps what the engine answers.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256};
use rust_decimal::{Decimal, dec};
use uuid::Uuid;

use crate::engine::Engine;
use crate::engine::event::{
    Block, Body, BookStep, ChainStart, Event, OwnedPosition, Pool, PoolEvent, PoolReading,
    Recovered, VenueStart, WalletAudit,
};
use crate::engine::output::Command;
use crate::engine::setup::Setup;
use crate::engine::tests::kept::Kept;
use crate::engine::tests::stage::{
    BLOCK_TIME_MS, CHAIN, HEDGE, LEGS, PAIR, POOL, SPOT, SYMBOL, USDT, WETH, pair, pool, price_of,
    rules,
};
use crate::execution::tx::Spender;
use crate::market::book::{BookUpdate, Level};
use crate::market::pools::v2::{PoolV2, V2Event};
use crate::market::pools::v3::PoolV3;
use crate::model::chain::{BlockRef, Header, PoolAddress, Receipt, TokenTransfer};
use crate::model::time::Timestamp;
use crate::model::venue::AccountView;

/// Monday, 2025-06-02, 12:00 UTC.
const BEGIN_MS: i64 = 1_748_865_600_000;
/// Steps in which time passes: all feeds stay fresh.
const STEP_MS: i64 = 1_000;
/// Wei per gas of a quiet day.
pub(super) const BASE_FEE: u128 = 1_000_000_000;

/// One engine and the truth around it.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now: Timestamp,
    pub(super) kept: Kept,
    /// Every answer, in order.
    pub(super) answers: Vec<String>,
    pub(super) head: Header,
    pub(super) base_fee: u128,
    pub(super) signer_nonce: u64,
    pub(super) native: U256,
    pub(super) weth: U256,
    pub(super) usdt: U256,
    pub(super) owned: Vec<OwnedPosition>,
    /// What contracts may take, as far as it is known.
    pub(super) allowances: Vec<(Address, Spender, U256)>,
    pub(super) pool: PoolV3,
    /// The pair, when the setup has one.
    pub(super) pair: PoolV2,
    /// Told apart by it are blocks of one height on two branches.
    branch: u64,
    pub(super) accounts: BTreeMap<&'static str, AccountView>,
    setup: Setup,
    seq: u64,
    mid: Decimal,
    update_id: u64,
}

impl World {
    /// A world with an engine that was told nothing yet.
    pub(super) fn new(setup: Setup) -> Self {
        let now = Timestamp::from_ms(BEGIN_MS);
        let pool = pool();
        let of = |asset: &str, amount| vec![(asset.to_owned(), amount)];
        let spot = AccountView { balances: of("USDT", dec!(1000)), positions: Vec::new() };
        let positions = of(SYMBOL, dec!(0));
        let hedge = AccountView { balances: of("USDT", dec!(100000)), positions };
        let legs = of("ETH", dec!(10)).into_iter().chain(of("USDT", dec!(100000))).collect();
        let legs = AccountView { balances: legs, positions: Vec::new() };
        let mut accounts = BTreeMap::from([(SPOT, spot), (HEDGE, hedge), (LEGS, legs)]);
        accounts.retain(|name, _| setup.venues.iter().any(|venue| venue.name == *name));
        let block = BlockRef { chain: CHAIN, number: 100, hash: block_hash(100) };
        Self {
            engine: Engine::new(setup.clone(), now),
            now,
            kept: Kept::default(),
            answers: Vec::new(),
            head: Header { block, parent: block_hash(99), time: now, base_fee: BASE_FEE },
            base_fee: BASE_FEE,
            signer_nonce: 0,
            native: ether(5),
            weth: ether(12),
            usdt: U256::from(40_000_000_000_u64),
            owned: Vec::new(),
            allowances: Vec::new(),
            mid: price_of(&pool),
            pool,
            pair: pair(0),
            branch: 0,
            accounts,
            setup,
            seq: 0,
            update_id: 1_000,
        }
    }

    /// Tells one fact; answers the deeds asked.
    pub(super) fn feed(&mut self, body: Body) -> Vec<Command> {
        self.seq += 1;
        let event = Event { seq: self.seq, at: self.now, body };
        // A journal keeps every fact whole: the engine is told what a replay would tell it.
        let line = serde_json::to_string(&event).expect("every fact can be written");
        let event = serde_json::from_str(&line).expect("every fact reads back");
        let output = self.engine.handle(event);
        self.answers.push(format!("{output:?}"));
        for command in &output.commands {
            self.kept.command(command, self.now);
        }
        for record in &output.records {
            self.kept.record(record);
        }
        output.commands
    }

    /// The process dies and starts again; everything it answered was committed.
    pub(super) fn die(&mut self) {
        self.engine = Engine::new(self.setup.clone(), self.now);
        let recovered = self.kept.recovered();
        self.feed(Body::Started(Box::new(recovered)));
    }

    /// A first start: nothing is remembered.
    pub(super) fn begin(&mut self) {
        self.feed(Body::Started(Box::new(Recovered::default())));
    }

    /// Chain, streams, accounts and books come up; nothing of the venues was compared yet.
    pub(super) fn connect(&mut self) -> Vec<Command> {
        let mut asked = self.chain_ready(true);
        for venue in self.venues() {
            asked.extend(self.venue_ready(venue));
            asked.extend(self.open_book(venue));
        }
        asked
    }

    fn venues(&self) -> Vec<&'static str> {
        self.accounts.keys().copied().collect()
    }

    /// Started, connected and compared; the next timer opens the house.
    pub(super) fn ready(setup: Setup) -> Self {
        let mut world = Self::new(setup);
        world.begin();
        world.connect();
        world.compare();
        world
    }

    /// Ready, and the house has opened: what it asked first.
    pub(super) fn open(setup: Setup) -> (Self, Vec<Command>) {
        let mut world = Self::ready(setup);
        let asked = world.timer();
        assert_eq!(world.mode(), "running");
        (world, asked)
    }

    /// The venues are compared when the engine asks for it.
    pub(super) fn compare(&mut self) -> Vec<Command> {
        let asked = self.timer();
        self.answer_audits(&asked)
    }

    fn answer_audits(&mut self, asked: &[Command]) -> Vec<Command> {
        let mut then = Vec::new();
        for command in asked {
            if let Command::AuditVenue { venue, version } = command {
                let (venue, version) = (venue.clone(), *version);
                let account = self.accounts[venue.as_str()].clone();
                then.extend(self.feed(Body::VenueAudit { venue, version, account }));
            }
        }
        then
    }

    /// Time is looked at.
    pub(super) fn timer(&mut self) -> Vec<Command> {
        self.feed(Body::Timer)
    }

    /// How far the house may act, as people see it.
    pub(super) fn mode(&self) -> &'static str {
        self.engine.snapshot(self.now).state.kind
    }

    /// All of the profit, as people see it.
    pub(super) fn profit(&self) -> Option<String> {
        self.engine.snapshot(self.now).pnl.total
    }

    /// Time passes with blocks, quotes and comparisons as usual.
    pub(super) fn pass(&mut self, ms: i64) -> Vec<Command> {
        self.pass_with(ms, true)
    }

    /// Time passes, and no block comes.
    pub(super) fn pass_without_blocks(&mut self, ms: i64) -> Vec<Command> {
        self.pass_with(ms, false)
    }

    fn pass_with(&mut self, ms: i64, with_blocks: bool) -> Vec<Command> {
        let (mut asked, mut left) = (Vec::new(), ms);
        while left > 0 {
            let step = left.min(STEP_MS);
            left -= step;
            self.now = self.now.plus_ms(step);
            self.quote(self.mid);
            if with_blocks {
                asked.extend(self.block());
            }
            let ticked = self.timer();
            asked.extend(self.answer_audits(&ticked));
            asked.extend(ticked);
        }
        asked
    }

    /// The chain is read, and at the next block its pools a second time; with allowances that last,
    /// or with none known.
    pub(super) fn chain_ready(&mut self, is_allowed: bool) -> Vec<Command> {
        let mut asked = self.chain_read(is_allowed);
        asked.extend(self.block());
        asked.extend(self.read_pools());
        asked
    }

    /// The chain at its head; its pools wait for their second reading.
    pub(super) fn chain_read(&mut self, is_allowed: bool) -> Vec<Command> {
        let both = [Spender::PositionManager, Spender::SwapRouter];
        let of = |token| both.map(|spender| (token, spender, U256::MAX));
        self.allowances = if is_allowed { [of(WETH), of(USDT)].concat() } else { Vec::new() };
        let start = ChainStart {
            header: self.head,
            pools: self.pools(),
            wallet: self.wallet(),
            signer_nonce: self.signer_nonce,
        };
        self.feed(Body::ChainReady(Box::new(start)))
    }

    /// The pools as they really are at the head.
    pub(super) fn pools(&self) -> Vec<(PoolAddress, Pool)> {
        let mut pools = vec![(POOL, Pool::V3(Box::new(self.pool.clone())))];
        if self.setup.chains[0].pool(PAIR).is_some() {
            pools.push((PAIR, Pool::V2(self.pair.clone())));
        }
        pools
    }

    /// All pools are read whole at the head.
    pub(super) fn read_pools(&mut self) -> Vec<Command> {
        let block = self.head.block;
        let told = |(pool, state)| Body::PoolReading(Box::new(PoolReading { pool, block, state }));
        let readings: Vec<Body> = self.pools().into_iter().map(told).collect();
        readings.into_iter().flat_map(|reading| self.feed(reading)).collect()
    }

    /// A user stream opens and its venue is read.
    pub(super) fn venue_ready(&mut self, venue: &str) -> Vec<Command> {
        let up = Body::UserStream { venue: venue.into(), is_up: true, why: String::new() };
        let mut asked = self.feed(up);
        let start = VenueStart {
            venue: venue.into(),
            account: self.accounts[venue].clone(),
            rules: vec![(SYMBOL.into(), rules())],
            newest_trade: Vec::new(),
            venue_time: self.now,
        };
        asked.extend(self.feed(Body::VenueReady(Box::new(start))));
        asked.extend(self.list(venue, Vec::new()));
        asked
    }

    fn open_book(&mut self, venue: &str) -> Vec<Command> {
        self.book(venue, BookStep::Opened);
        self.update_id += 1;
        let [bids, asks] = levels(self.mid);
        let venue_time = Some(self.now);
        let whole = BookUpdate::Snapshot { bids, asks, update_id: self.update_id, venue_time };
        self.book(venue, BookStep::Update(whole))
    }

    fn book(&mut self, venue: &str, step: BookStep) -> Vec<Command> {
        self.feed(Body::Book { venue: venue.into(), symbol: SYMBOL.into(), step })
    }

    /// Both books move to this mid.
    pub(super) fn quote(&mut self, mid: Decimal) {
        self.update_id += 1;
        let [old_bids, old_asks] = levels(self.mid).map(gone);
        let [new_bids, new_asks] = levels(mid);
        self.mid = mid;
        for venue in self.venues() {
            let diff = BookUpdate::Diff {
                bids: [old_bids.clone(), new_bids.clone()].concat(),
                asks: [old_asks.clone(), new_asks.clone()].concat(),
                update_id: self.update_id,
                venue_time: self.now,
            };
            self.book(venue, BookStep::Update(diff));
        }
    }

    /// The connections of both books close.
    pub(super) fn lose_books(&mut self) {
        for venue in self.venues() {
            self.book(venue, BookStep::Closed);
        }
    }

    /// The connections of both books open again.
    pub(super) fn regain_books(&mut self) {
        for venue in self.venues() {
            self.open_book(venue);
        }
    }

    /// An empty block, now.
    pub(super) fn block(&mut self) -> Vec<Command> {
        self.block_with(Vec::new(), Vec::new())
    }

    /// A block with pool logs and receipts of ours.
    pub(super) fn block_with(
        &mut self,
        pool_logs: Vec<PoolEvent>,
        receipts: Vec<(u64, Receipt)>,
    ) -> Vec<Command> {
        let block = self.next_block(pool_logs, receipts, Vec::new());
        self.feed(Body::Block(Box::new(block)))
    }

    /// The pair's price is now this far above the pool's: the log that says so.
    pub(super) fn pair_moves(&mut self, above_bps: u128) -> (PoolAddress, PoolEvent) {
        self.pair = pair(above_bps);
        let (reserve0, reserve1) = self.pair.reserves();
        (PAIR, PoolEvent::V2(V2Event::Sync { reserve0, reserve1 }))
    }

    /// A block in which somebody moves the pair.
    pub(super) fn pair_block(&mut self, above_bps: u128) -> Vec<Command> {
        let mut block = self.next_block(Vec::new(), Vec::new(), Vec::new());
        block.pool_logs.push(self.pair_moves(above_bps));
        self.feed(Body::Block(Box::new(block)))
    }

    /// The next block of the chain, not told yet.
    pub(super) fn next_block(
        &mut self,
        pool_logs: Vec<PoolEvent>,
        receipts: Vec<(u64, Receipt)>,
        foreign_transfers: Vec<TokenTransfer>,
    ) -> Block {
        let number = self.head.block.number + 1;
        let hash = block_hash(number + self.branch * 1_000_000);
        let block = BlockRef { chain: CHAIN, number, hash };
        let time = Timestamp::from_ms(self.now.ms() / BLOCK_TIME_MS * BLOCK_TIME_MS);
        let parent = self.head.block.hash;
        self.head = Header { block, parent, time, base_fee: self.base_fee };
        Block {
            header: self.head,
            pool_logs: pool_logs.into_iter().map(|log| (POOL, log)).collect(),
            receipts,
            foreign_transfers,
            signer_nonce: Some(self.signer_nonce),
        }
    }

    /// The chain as it stands, to come back to.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            head: self.head,
            signer_nonce: self.signer_nonce,
            native: self.native,
            weth: self.weth,
            usdt: self.usdt,
            owned: self.owned.clone(),
            allowances: self.allowances.clone(),
            pool: self.pool.clone(),
            pair: self.pair.clone(),
        }
    }

    /// The chain takes back every block since; the next ones are of another branch.
    pub(super) fn take_back(&mut self, to: &Checkpoint) -> Vec<Command> {
        self.become_as(to);
        self.feed(Body::Reorganised(Box::new(to.head)))
    }

    /// The chain is as it was then, and the engine was not told.
    pub(super) fn become_as(&mut self, to: &Checkpoint) {
        self.branch += 1;
        self.head = to.head;
        self.signer_nonce = to.signer_nonce;
        (self.native, self.weth, self.usdt) = (to.native, to.weth, to.usdt);
        (self.owned, self.allowances) = (to.owned.clone(), to.allowances.clone());
        (self.pool, self.pair) = (to.pool.clone(), to.pair.clone());
    }

    /// What the wallet really holds at the head.
    pub(super) fn wallet(&self) -> WalletAudit {
        WalletAudit {
            block: self.head.block,
            native: self.native,
            tokens: vec![(WETH, self.weth), (USDT, self.usdt)],
            positions: self.owned.clone(),
            allowances: self.allowances.clone(),
        }
    }

    /// The wallet is read from the chain.
    pub(super) fn audit_wallet(&mut self) -> Vec<Command> {
        let wallet = self.wallet();
        self.feed(Body::WalletAudit(Box::new(wallet)))
    }

    /// The chain answers an estimate.
    pub(super) fn estimated(&mut self, intent: Uuid) -> Vec<Command> {
        self.feed(Body::Estimated { chain: CHAIN, intent, gas: Ok(100_000) })
    }
}

/// A chain's whole truth at one block.
pub(super) struct Checkpoint {
    pub(super) head: Header,
    signer_nonce: u64,
    native: U256,
    weth: U256,
    usdt: U256,
    owned: Vec<OwnedPosition>,
    allowances: Vec<(Address, Spender, U256)>,
    pool: PoolV3,
    pair: PoolV2,
}

/// Whole coins in wei.
pub(super) fn ether(n: u64) -> U256 {
    U256::from(n) * U256::from(10).pow(U256::from(18))
}

fn block_hash(number: u64) -> B256 {
    B256::from(U256::from(0xb10c_0000_u64 + number))
}

fn levels(mid: Decimal) -> [Vec<Level>; 2] {
    let level = |price| vec![Level { price, quantity: dec!(500) }];
    [level(mid - dec!(0.05)), level(mid + dec!(0.05))]
}

fn gone(levels: Vec<Level>) -> Vec<Level> {
    levels.into_iter().map(|level| Level { quantity: Decimal::ZERO, ..level }).collect()
}
