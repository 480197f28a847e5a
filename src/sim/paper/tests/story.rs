//! An engine whose whole knowledge of itself comes from pretend accounts: its books agree with them
//! whatever the real world does.

use std::collections::VecDeque;

use alloy::primitives::{Address, B256, Bytes, U256};
use rust_decimal::{Decimal, dec};
use serde_json::Value;

use crate::engine::Engine;
use crate::engine::event::{
    Block, Body, BookStep, ChainStart, Event, Pool, PoolEvent, PoolReading, Position, Recovered,
    VenueStart, WalletAudit,
};
use crate::engine::output::Command;
use crate::engine::setup::Setup;
use crate::engine::tests::kept::{Kept, hash_of};
use crate::engine::tests::stage::{CHAIN, POOL, SYMBOL, both, pool, price_of, rules};
use crate::execution::tx::{SignedTx, TxState};
use crate::market::book::{BookUpdate, Level};
use crate::market::pools::v3::{PoolV3, V3Event};
use crate::math::amm::Direction;
use crate::math::amm::v3::{SwapAmount, SwapOrder};
use crate::model::chain::{BlockRef, Header, TokenTransfer};
use crate::model::time::Timestamp;
use crate::model::venue::AccountView;
use crate::sim::paper::{PaperWorld, Terms};

/// Monday, 2025-06-02, 12:00 UTC.
const BEGIN_MS: i64 = 1_748_865_600_000;
const STEP_MS: i64 = 1_000;

pub(super) struct Story {
    setup: Setup,
    engine: Engine,
    accounts: PaperWorld,
    pub(super) kept: Kept,
    now: Timestamp,
    seq: u64,
    /// The real pool, which nothing of ours moves.
    pool: PoolV3,
    head: Header,
    branch: u64,
    /// Of every book.
    pub(super) mid: Decimal,
    update_id: u64,
}

fn accounts(setup: &Setup, recovered: &Recovered, now: Timestamp) -> PaperWorld {
    let terms = Terms { maker_fee_bps: dec!(2), taker_fee_bps: dec!(5), leverage_max: dec!(2) };
    let terms = setup.venues.iter().map(|venue| (venue.name.clone(), terms.clone()));
    PaperWorld::new(setup, &terms.collect(), recovered, now)
}

impl Story {
    /// A first start; everything is read, and nothing was decided yet.
    pub(super) fn begin(setup: Setup) -> Self {
        let (now, pool) = (Timestamp::from_ms(BEGIN_MS), pool());
        let block = BlockRef { chain: CHAIN, number: 100, hash: B256::repeat_byte(1) };
        let mut story = Self {
            engine: Engine::new(setup.clone(), now),
            accounts: accounts(&setup, &Recovered::default(), now),
            setup,
            kept: Kept::default(),
            now,
            seq: 0,
            mid: price_of(&pool),
            pool,
            head: Header { block, parent: B256::ZERO, time: now, base_fee: 1_000_000_000 },
            branch: 0,
            update_id: 10,
        };
        story.deliver(vec![Body::Started(Box::default())]);
        story.connect();
        story
    }

    /// The process dies; what it answered was committed, and what it pretended is rebuilt.
    fn die(&mut self) {
        let recovered = self.kept.recovered();
        self.engine = Engine::new(self.setup.clone(), self.now);
        self.accounts = accounts(&self.setup, &recovered, self.now);
        self.deliver(vec![Body::Started(Box::new(recovered))]);
    }

    fn connect(&mut self) {
        self.read_chain();
        for venue in self.venues() {
            let name = || venue.clone();
            self.hear(Body::UserStream { venue: name(), is_up: true, why: String::new() });
            self.hear(Body::VenueReady(Box::new(VenueStart {
                venue: name(),
                account: AccountView::default(),
                rules: vec![(SYMBOL.into(), rules())],
                newest_trade: Vec::new(),
                venue_time: Timestamp(0),
            })));
            self.hear(Body::Book { venue: name(), symbol: SYMBOL.into(), step: BookStep::Opened });
        }
        self.quote();
    }

    fn venues(&self) -> Vec<String> {
        self.setup.venues.iter().map(|venue| venue.name.clone()).collect()
    }

    fn read_chain(&mut self) {
        let start = ChainStart {
            header: self.head,
            pools: vec![(POOL, Pool::V3(Box::new(self.pool.clone())))],
            wallet: self.stranger(),
            signer_nonce: 77,
        };
        self.hear(Body::ChainReady(Box::new(start)));
        self.read_again();
    }

    /// The pool's second reading, at the next block.
    fn read_again(&mut self) {
        self.block(Vec::new(), true);
        let reading = self.reading();
        self.hear(Body::PoolReading(Box::new(reading)));
    }

    /// The real pool, read whole at the head.
    fn reading(&self) -> PoolReading {
        let state = Pool::V3(Box::new(self.pool.clone()));
        PoolReading { pool: POOL, block: self.head.block, state }
    }

    /// What the real chain says of an address without a key.
    fn stranger(&self) -> WalletAudit {
        let block = self.head.block;
        WalletAudit {
            block,
            native: U256::ZERO,
            tokens: Vec::new(),
            positions: Vec::new(),
            allowances: Vec::new(),
        }
    }

    fn hear(&mut self, fact: Body) {
        let told = self.accounts.hear(fact, self.now);
        self.deliver(told);
    }

    /// Facts reach the engine as a journal would give them back; what it asks is done at once.
    fn deliver(&mut self, facts: Vec<Body>) {
        let mut waiting = VecDeque::from(facts);
        while let Some(body) = waiting.pop_front() {
            self.seq += 1;
            let event = Event { seq: self.seq, at: self.now, body };
            let line = serde_json::to_string(&event).expect("every fact can be written");
            let event = serde_json::from_str(&line).expect("every fact reads back");
            let output = self.engine.handle(event);
            for command in &output.commands {
                self.kept.command(command, self.now);
            }
            for record in &output.records {
                self.kept.record(record);
            }
            for command in output.commands {
                waiting.extend(self.obey(command));
            }
        }
    }

    fn obey(&mut self, command: Command) -> Vec<Body> {
        match command {
            Command::Submit { request, intent, strategy } => {
                let (hash, raw) = (hash_of(request.nonce), Bytes::new());
                let signer = self.setup.chains[0].signer;
                let tx = SignedTx { request, signer, intent, strategy, raw, hash };
                self.accounts.submit(&tx, true, self.now)
            }
            Command::Place { order, .. } => self.accounts.place(&order.request, self.now),
            other => self.accounts.obey(other, self.now),
        }
    }

    /// All books stand around the mid.
    fn quote(&mut self) {
        self.update_id += 1;
        let level = |price| vec![Level { price, quantity: dec!(500) }];
        let (bids, asks) = (level(self.mid - dec!(0.05)), level(self.mid + dec!(0.05)));
        for venue in self.venues() {
            let (bids, asks) = (bids.clone(), asks.clone());
            let (update_id, venue_time) = (self.update_id, Some(self.now));
            let update = BookUpdate::Snapshot { bids, asks, update_id, venue_time };
            let (symbol, step) = (SYMBOL.to_owned(), BookStep::Update(update));
            self.hear(Body::Book { venue, symbol, step });
        }
    }

    /// The next block with these logs, in which somebody gives our pretend address a real token.
    fn block(&mut self, pool_logs: Vec<PoolEvent>, is_head: bool) {
        let number = self.head.block.number + 1;
        let hash = B256::from(U256::from(number + self.branch * 1_000_000));
        let block = BlockRef { chain: CHAIN, number, hash };
        let (parent, time) = (self.head.block.hash, self.now);
        self.head = Header { block, parent, time, ..self.head };
        let (token, to) = (self.setup.chains[0].tokens[0].address, self.setup.chains[0].signer);
        let gift = TokenTransfer {
            token,
            from: Address::ZERO,
            to,
            amount: U256::from(5),
            tx: hash,
            log_index: 0,
        };
        let block = Block {
            header: self.head,
            pool_logs: pool_logs.into_iter().map(|log| (POOL, log)).collect(),
            receipts: Vec::new(),
            foreign_transfers: vec![gift],
            signer_nonce: is_head.then_some(77),
        };
        self.hear(Body::Block(Box::new(block)));
        if is_head {
            self.hear(Body::WalletAudit(Box::new(self.stranger())));
        }
    }

    pub(super) fn pass(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.now = self.now.plus_ms(STEP_MS);
            self.quote();
            self.block(Vec::new(), true);
            self.hear(Body::Timer);
        }
    }

    /// Somebody trades in the real pool; the books follow.
    fn trade(&mut self, direction: Direction, amount: u128) {
        let log = self.swap(direction, amount);
        self.now = self.now.plus_ms(STEP_MS);
        self.quote();
        self.block(vec![log], true);
    }

    /// The log of a trade in the real pool, not told yet.
    fn swap(&mut self, direction: Direction, amount: u128) -> PoolEvent {
        let amount = SwapAmount::ExactIn(U256::from(amount));
        let order = SwapOrder { direction, amount, sqrt_limit_x96: None };
        let outcome = self.pool.quote(&order).unwrap();
        let (amount0, amount1) = outcome.deltas();
        let log = V3Event::Swap {
            amount0,
            amount1,
            sqrt_price_x96: outcome.sqrt_price_x96,
            liquidity: outcome.liquidity,
            tick: outcome.tick,
        };
        self.pool.apply(&log).unwrap();
        self.mid = price_of(&self.pool);
        PoolEvent::V3(log)
    }

    fn take_back(&mut self, n_blocks: u64) {
        self.branch += 1;
        let number = self.head.block.number - n_blocks;
        let block = BlockRef { number, hash: B256::from(U256::from(number)), ..self.head.block };
        self.head = Header { block, ..self.head };
        self.hear(Body::Reorganised(Box::new(self.head)));
    }

    fn seen(&self) -> Value {
        serde_json::to_value(self.engine.snapshot(self.now)).unwrap()
    }

    #[track_caller]
    pub(super) fn agrees(&self) {
        let seen = self.seen();
        assert_eq!(seen["state"]["kind"], "running", "{}", seen["state"]["reason"]);
        assert_eq!(seen["reconciliation"]["ok"], true, "{}", seen["reconciliation"]);
        assert_eq!(seen["pools"][0]["state"], "live", "{}", seen["pools"][0]["reason"]);
        assert!(seen["pnl"]["total"].is_string(), "all of it has a value");
    }

    fn open(&self) -> Vec<&Position> {
        self.kept.positions.values().filter(|position| position.closed.is_none()).collect()
    }
}

/// A range stands and is hedged.
fn at_work() -> Story {
    let mut story = Story::begin(both());
    story.pass(12);
    story.agrees();
    assert_eq!(story.open().len(), 1);
    story
}

#[test]
fn a_range_is_opened_hedged_and_moved_and_the_books_agree() {
    let mut story = at_work();
    assert!(story.seen()["orders_filled"].as_u64() >= Some(1), "{}", story.seen()["orders"]);
    let first = story.open()[0].clone();
    assert_eq!(first.inside, Some((U256::ZERO, U256::ZERO)), "counted from its opening");
    // Two percent up, through and out of the range.
    story.trade(Direction::OneForZero, 1_100_000_000_000);
    story.agrees();
    let seen = story.seen();
    let fees = seen["positions"][0]["fees"].as_str().map(|fees| fees.parse::<Decimal>().unwrap());
    assert!(fees > Some(dec!(0)), "{fees:?}");
    story.pass(20);
    story.agrees();
    let closed = &story.kept.positions[&first.token_id];
    assert!(closed.closed.is_some() && closed.fees1 > U256::ZERO, "{closed:?}");
    let [second] = story.open()[..] else { panic!("{:?}", story.open()) };
    assert!(second.tick_lower > first.tick_lower);
    assert!(story.seen()["orders_filled"].as_u64() >= Some(2), "the new delta is hedged");
}

#[test]
fn a_range_in_a_pool_that_is_read_anew_goes_on() {
    let mut story = at_work();
    let range = story.open()[0].clone();
    story.trade(Direction::OneForZero, 10_000_000_000);
    let earned =
        |story: &Story| story.seen()["positions"][0]["fees_quote"].as_str().map(str::to_owned);
    let before = earned(&story);
    // The log of one trade is lost, so that the next one does not fit.
    story.swap(Direction::OneForZero, 10_000_000_000);
    story.trade(Direction::OneForZero, 10_000_000_000);
    let pool = story.seen()["pools"][0].clone();
    assert_eq!(pool["state"], "quarantined");
    let reading = story.reading();
    story.hear(Body::PoolReload(Box::new(reading)));
    story.read_again();
    story.agrees();
    assert!(before.is_some());
    assert_eq!(earned(&story), before, "what was earned stays, what was not followed is not known");
    story.trade(Direction::OneForZero, 1_100_000_000_000);
    story.pass(20);
    story.agrees();
    assert!(story.kept.positions[&range.token_id].closed.is_some());
}

#[test]
fn a_killed_keeper_goes_on_with_what_its_books_say() {
    let mut story = at_work();
    let (range, native) = (story.open()[0].clone(), story.seen()["chains"][0].clone());
    story.die();
    story.connect();
    story.pass(8);
    story.agrees();
    let [open] = story.open()[..] else { panic!("{:?}", story.open()) };
    assert_eq!((open.token_id, open.liquidity), (range.token_id, range.liquidity));
    assert_eq!(story.seen()["chains"][0]["native_balance"], native["native_balance"]);
    // Out of the range: it can be withdrawn, and what it earns now is counted.
    story.trade(Direction::OneForZero, 1_100_000_000_000);
    story.pass(20);
    story.agrees();
    assert!(story.kept.positions[&range.token_id].closed.is_some());
}

#[test]
fn a_slot_in_flight_at_the_kill_fails_and_costs_nothing() {
    let mut story = Story::begin(both());
    while story.kept.txs.is_empty() {
        story.now = story.now.plus_ms(STEP_MS);
        story.quote();
        story.hear(Body::Timer);
        assert!(story.now.ms() < BEGIN_MS + 20_000, "nothing was sent");
    }
    let native = story.seen()["chains"][0]["native_balance"].clone();
    story.die();
    // Blocks of the meantime come before the chain is read.
    story.block(Vec::new(), false);
    assert_eq!(story.kept.txs[&0].state, TxState::Reverted);
    assert_eq!(story.seen()["chains"][0]["native_balance"], native);
    story.connect();
    story.pass(20);
    story.agrees();
    assert_eq!(story.open().len(), 1);
}

#[test]
fn a_mint_is_taken_back_under_a_running_keeper_and_under_a_dead_one() {
    for is_dead in [false, true] {
        let mut story = Story::begin(both());
        let mut seconds = 0;
        while story.open().is_empty() {
            story.pass(1);
            seconds += 1;
            assert!(seconds < 20, "no range was opened");
        }
        if is_dead {
            story.die();
        }
        story.take_back(1);
        assert!(story.open().is_empty(), "the mint is gone");
        if is_dead {
            story.block(Vec::new(), false);
            story.connect();
        }
        story.pass(20);
        story.agrees();
        assert_eq!(story.open().len(), 1, "{is_dead}");
    }
}
