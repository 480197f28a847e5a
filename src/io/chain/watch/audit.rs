//! Looking after pools: comparing them with the chain, remembering which of their logs were told,
//! and what the engine asked to be searched or read anew.
//!
//! A part of a pool's state (price, liquidity, growth) is cheap to read and compared often. All of
//! it is read for the second reading of a new pool, now and then to be compared, and anew after
//! trouble. What cannot be read is tried again later; nothing is believed instead.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::engine::event::{Body, LogGap, PoolEvent, PoolReading, PoolSearch};
use crate::engine::setup::{Curve, PoolSetup};
use crate::io::chain::batch::silent;
use crate::io::chain::load::Load;
use crate::io::chain::read::{logs_of, pool_event};
use crate::io::chain::watch::rota::{Extent, Rota, WHOLE_RHYTHMS};
use crate::io::chain::watch::{Stop, Trail, Watcher};
use crate::io::chain::{ChainClient, ChainError};
use crate::math::amm::tick::{MAX_TICK, MIN_TICK};
use crate::model::chain::{BlockRef, PoolAddress};

/// Whole readings are begun for so long before blocks are followed again.
const READING_TIME: Duration = Duration::from_millis(300);
/// A pool that could not be read is tried again after the first of these, doubled with each failure
/// up to the second; others do not wait for it.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Pools of which these are made with the same requests.
const READ_AT_ONCE: usize = 8;
/// No further pool joins once the bitmaps of these have so many words: blocks wait meanwhile.
const WORDS_AT_ONCE: i32 = 2_000;
/// Pools that are compared with the same requests.
const COMPARED_AT_ONCE: usize = 64;
/// Blocks of one request for a pool's logs; a search makes one at every look at the chain.
const LOG_BLOCKS_MAX: u64 = 500;
/// Blocks whose logs are remembered, at most.
const TOLD_BLOCKS_MAX: u64 = 20_000;

/// What the engine asks about pools of one chain: the loop fills it, the watcher empties it.
pub type AskedPools = Arc<Mutex<VecDeque<PoolTask>>>;

/// Something asked about a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolTask {
    /// Which of its logs after this block were not told?
    Search { pool: PoolAddress, after: u64 },
    /// Read it anew.
    Reload { pool: PoolAddress },
}

/// How many logs of each pool the newest blocks told.
#[derive(Debug, Default)]
struct Told {
    blocks: VecDeque<(u64, BTreeMap<PoolAddress, u64>)>,
    /// Blocks remembered.
    window: u64,
}

impl Told {
    fn push(&mut self, block: u64, logs: &[(PoolAddress, PoolEvent)]) {
        let mut counts: BTreeMap<PoolAddress, u64> = BTreeMap::new();
        for (pool, _) in logs {
            *counts.entry(*pool).or_default() += 1;
        }
        self.blocks.push_back((block, counts));
        let oldest = block.saturating_sub(self.window);
        while self.blocks.front().is_some_and(|(number, _)| *number < oldest) {
            self.blocks.pop_front();
        }
    }

    fn cut(&mut self, to: u64) {
        while self.blocks.back().is_some_and(|(number, _)| *number > to) {
            self.blocks.pop_back();
        }
    }

    /// The first remembered block above this one.
    fn first_after(&self, after: u64) -> Option<u64> {
        self.blocks.iter().map(|(number, _)| *number).find(|number| *number > after)
    }

    /// The first block searched that told another number of the pool's logs than the chain has.
    fn gap(&self, search: &Search) -> Option<LogGap> {
        let range = search.from..=search.to;
        let looked_at = self.blocks.iter().filter(|(number, _)| range.contains(number));
        let mut counts = looked_at.map(|(block, counts)| LogGap {
            block: *block,
            told: counts.get(&search.pool).copied().unwrap_or(0),
            on_chain: search.on_chain.get(block).copied().unwrap_or(0),
        });
        counts.find(|gap| gap.told != gap.on_chain)
    }
}

/// A search for missing logs under way.
#[derive(Debug)]
struct Search {
    pool: PoolAddress,
    from: u64,
    to: u64,
    /// The first block not looked at yet.
    next: u64,
    /// Logs that blocks have by the chain's list.
    on_chain: BTreeMap<u64, u64>,
}

/// A pool to be read whole: anew, or for the second time after a first reading at this height.
struct Due<'a> {
    setup: &'a PoolSetup,
    first: Option<u64>,
}

/// What a watcher knows of its pools.
#[derive(Debug, Default)]
pub(super) struct Audits {
    rota: Rota,
    told: Told,
    /// Pools read whole once, with the height of that reading.
    firsts: VecDeque<(PoolAddress, u64)>,
    search: Option<Search>,
    /// How often in a row the endpoint failed while it read several pools: by one of them, perhaps.
    halvings: u32,
    /// Pools that could not be read: until when they wait, and how long that was.
    failed: BTreeMap<PoolAddress, (Instant, Duration)>,
}

impl Audits {
    /// All pools were read whole at this height, but for those that could not be: they are read
    /// when they can be.
    pub(super) fn begin(&mut self, watcher: &Watcher, at: u64, lost: Vec<PoolAddress>) {
        let every = watcher.audit_every_blocks;
        let pools = || watcher.setup.pools.iter().map(|pool| pool.address);
        self.rota.begin(pools(), every, at);
        self.firsts = pools().map(|pool| (pool, at)).collect();
        // From one whole comparison to the next, so that a search begins where both agreed.
        let between = every.saturating_mul(WHOLE_RHYTHMS + 1).min(TOLD_BLOCKS_MAX);
        let window = between.max(watcher.setup.final_after_blocks);
        self.told = Told { blocks: VecDeque::new(), window };
        self.firsts.retain(|(pool, _)| !lost.contains(pool));
        // What was asked before is answered by this reading.
        let reload = |pool| PoolTask::Reload { pool };
        *watcher.asked.lock().expect("no holder panics") = lost.into_iter().map(reload).collect();
    }

    /// A block was told with these logs.
    pub(super) fn told(&mut self, block: u64, logs: &[(PoolAddress, PoolEvent)]) {
        self.told.push(block, logs);
        for (pool, _) in logs {
            self.rota.told(*pool);
        }
    }

    /// Only blocks up to this one are still the chain's: all pools are compared soon.
    pub(super) fn cut(&mut self, to: u64) {
        self.told.cut(to);
        self.rota.hurry();
        self.firsts.retain(|(_, at)| *at <= to);
        // What was told of the blocks it looks at is not what it was.
        self.search = None;
    }

    /// A pool was read at this height, and waits for its second reading.
    fn read(&mut self, pool: PoolAddress, at: u64) {
        self.firsts.retain(|(known, _)| *known != pool);
        self.firsts.push_back((pool, at));
        self.failed.remove(&pool);
    }

    /// Pools that are read with the same requests.
    fn at_once(&self) -> usize {
        READ_AT_ONCE.checked_shr(self.halvings).unwrap_or(0).max(1)
    }

    /// The next pool whose first reading is of an earlier block; taken out.
    fn second(&mut self, block: u64, now: Instant) -> Option<(PoolAddress, u64)> {
        let is_due = |(pool, at): &(PoolAddress, u64)| *at < block && !self.waits(*pool, now);
        let index = self.firsts.iter().position(is_due)?;
        self.firsts.remove(index)
    }

    fn waits(&self, pool: PoolAddress, now: Instant) -> bool {
        self.failed.get(&pool).is_some_and(|(until, _)| now < *until)
    }

    fn fail(&mut self, pool: PoolAddress, now: Instant) {
        let before = self.failed.get(&pool).map(|(_, wait)| wait.saturating_mul(2));
        let wait = before.unwrap_or(RETRY_AFTER).min(RETRY_AFTER_MAX);
        self.failed.insert(pool, (now + wait, wait));
    }
}

impl Watcher {
    /// What pools need at the newest block followed.
    pub(super) async fn look_after_pools(&self, trail: &mut Trail) -> Result<(), Stop> {
        let Some(head) = trail.last() else { return Ok(()) };
        self.read_whole(&head.block, &mut trail.audits).await?;
        self.search_logs(&head.block, &mut trail.audits).await?;
        self.compare_pools(&head.block, &mut trail.audits).await
    }

    /// Reads whole what must be read anew, then what waits for its second reading, as many as fit.
    async fn read_whole(&self, block: &BlockRef, audits: &mut Audits) -> Result<(), Stop> {
        let began = Instant::now();
        while began.elapsed() < READING_TIME {
            let due = self.due_readings(block.number, audits);
            if due.is_empty() {
                break;
            }
            let setups: Vec<PoolSetup> = due.iter().map(|due| due.setup.clone()).collect();
            let mut load = Load::new(*block);
            let done = self.client.load(&mut load, &setups, &silent).await;
            audits.halvings = if done.is_ok() { 0 } else { audits.halvings.saturating_add(1) };
            for Due { setup, first } in due {
                let pool = setup.address;
                if let Some(state) = load.pools.remove(&pool) {
                    let reading = Box::new(PoolReading { pool, block: *block, state });
                    let told = if first.is_some() {
                        audits.failed.remove(&pool);
                        Body::PoolReading(reading)
                    } else {
                        audits.read(pool, block.number);
                        Body::PoolReload(reading)
                    };
                    self.tell(told).await?;
                    continue;
                }
                audits.fail(pool, Instant::now());
                match first {
                    Some(at) => audits.firsts.push_back((pool, at)),
                    None => self.ask_again(PoolTask::Reload { pool }),
                }
                if let Some(error) = load.failed.get(&pool).or(done.as_ref().err()) {
                    self.complain(pool, error);
                }
            }
        }
        Ok(())
    }

    /// The next pools to be read with the same requests.
    fn due_readings(&self, block: u64, audits: &mut Audits) -> Vec<Due<'_>> {
        let (now, most) = (Instant::now(), audits.at_once());
        let (mut due, mut n_words): (Vec<Due<'_>>, i32) = (Vec::new(), 0);
        while due.len() < most && n_words < WORDS_AT_ONCE {
            let is_due = |task: &PoolTask| match task {
                PoolTask::Reload { pool } => !audits.waits(*pool, now),
                PoolTask::Search { .. } => false,
            };
            let Some(PoolTask::Reload { pool }) = self.take_task(is_due) else { break };
            let is_asked_twice = due.iter().any(|due| due.setup.address == pool);
            if let Some(setup) = self.roster.get(pool).filter(|_| !is_asked_twice) {
                n_words += words_of(setup);
                due.push(Due { setup, first: None });
            }
        }
        // One of these that is to be read anew as well was asked for since, and comes next.
        while due.len() < most
            && n_words < WORDS_AT_ONCE
            && let Some((pool, at)) = audits.second(block, now)
        {
            let is_read = due.iter().any(|due| due.setup.address == pool);
            if let Some(setup) = self.roster.get(pool).filter(|_| !is_read) {
                n_words += words_of(setup);
                due.push(Due { setup, first: Some(at) });
            }
        }
        due
    }

    /// Goes on with a search, or else begins the next one: it only makes words, so one that fails
    /// is given up.
    async fn search_logs(&self, block: &BlockRef, audits: &mut Audits) -> Result<(), Stop> {
        let is_search = |task: &PoolTask| matches!(task, PoolTask::Search { .. });
        if audits.search.is_none()
            && let Some(PoolTask::Search { pool, after }) = self.take_task(is_search)
        {
            let from = audits.told.first_after(after);
            let (to, on_chain) = (block.number, BTreeMap::new());
            audits.search = from.map(|from| Search { pool, from, to, next: from, on_chain });
        }
        let Some(mut search) = audits.search.take() else { return Ok(()) };
        let Some(pool) = self.roster.get(search.pool) else { return Ok(()) };
        if let Err(error) = self.client.count_logs(pool, &mut search).await {
            self.complain(pool.address, &error);
            return Ok(());
        }
        if search.next <= search.to {
            audits.search = Some(search);
            return Ok(());
        }
        let gap = audits.told.gap(&search);
        let Search { pool, from, to, .. } = search;
        self.tell(Body::PoolLogs(PoolSearch { chain: block.chain, pool, from, to, gap })).await
    }

    /// The first task that may be done now; taken out.
    fn take_task(&self, is_due: impl Fn(&PoolTask) -> bool) -> Option<PoolTask> {
        let mut asked = self.asked.lock().expect("no holder panics");
        let index = asked.iter().position(is_due)?;
        asked.remove(index)
    }

    fn ask_again(&self, task: PoolTask) {
        self.asked.lock().expect("no holder panics").push_back(task);
    }

    async fn reading(
        &self,
        pool: &PoolSetup,
        block: &BlockRef,
    ) -> Result<Box<PoolReading>, ChainError> {
        let state = self.client.pool(pool, block).await?;
        Ok(Box::new(PoolReading { pool: pool.address, block: *block, state }))
    }

    /// One turn of the rota. An endpoint that fails ends it: who is left comes first next time.
    async fn compare_pools(&self, block: &BlockRef, audits: &mut Audits) -> Result<(), Stop> {
        for some in audits.rota.due(block.number).chunks(COMPARED_AT_ONCE) {
            let (mut parts, mut wholes): (Vec<&PoolSetup>, Vec<&PoolSetup>) = Default::default();
            for (pool, extent) in some {
                let of = if *extent == Extent::Part { &mut parts } else { &mut wholes };
                of.extend(self.roster.get(*pool));
            }
            if self.compare_parts(&parts, block).await?.is_break() {
                return Ok(());
            }
            for pool in parts {
                audits.rota.had(pool.address, block.number, Extent::Part);
            }
            for pool in wholes {
                let read = self.reading(pool, block).await;
                audits.rota.had(pool.address, block.number, Extent::Whole);
                match read {
                    Ok(reading) => self.tell(Body::PoolReading(reading)).await?,
                    Err(error) => self.complain(pool.address, &error),
                }
            }
        }
        Ok(())
    }

    /// Compares what is cheap to read; breaks when the endpoint fails.
    async fn compare_parts(
        &self,
        pools: &[&PoolSetup],
        block: &BlockRef,
    ) -> Result<ControlFlow<()>, Stop> {
        let observed = match self.client.observe_all(pools, block.hash).await {
            Ok(observed) => observed,
            Err(error) => {
                tracing::warn!(chain = block.chain, %error, "pools not compared");
                return Ok(ControlFlow::Break(()));
            }
        };
        for (pool, observed) in pools.iter().zip(observed) {
            let (chain, pool, block) = (block.chain, pool.address, *block);
            match observed {
                Ok(observed) => {
                    self.tell(Body::PoolAudit { chain, pool, block, observed }).await?;
                }
                Err(error) => self.complain(pool, &error),
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn complain(&self, pool: PoolAddress, error: &ChainError) {
        tracing::warn!(chain = self.setup.chain, %pool, %error, "pool not read");
    }
}

/// Words of a pool's bitmap, of which each is asked for.
fn words_of(setup: &PoolSetup) -> i32 {
    match setup.curve {
        Curve::V2 => 0,
        Curve::V3 | Curve::V4 => (MAX_TICK - MIN_TICK) / (256 * setup.tick_spacing.max(1)),
    }
}

impl ChainClient {
    /// One request of a search: how many logs of its pool the next blocks have, by the node's list.
    async fn count_logs(&self, pool: &PoolSetup, search: &mut Search) -> Result<(), ChainError> {
        let last = search.to.min(search.next.saturating_add(LOG_BLOCKS_MAX - 1));
        let filter = logs_of(pool)?.from_block(search.next).to_block(last);
        for log in self.logs(&filter).await? {
            if pool_event(std::slice::from_ref(pool), &log).is_some() {
                *search.on_chain.entry(log.block_number.unwrap_or_default()).or_default() += 1;
            }
        }
        search.next = last.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;

    fn pool(n: u8) -> PoolAddress {
        Address::with_last_byte(n).into()
    }

    fn logs(pools: &[u8]) -> Vec<(PoolAddress, PoolEvent)> {
        pools.iter().map(|n| (pool(*n), PoolEvent::Broken(String::new()))).collect()
    }

    #[test]
    fn the_first_block_that_differs_is_named() {
        let mut told = Told { blocks: VecDeque::new(), window: 100 };
        let blocks = [(11, &[1, 2, 1][..]), (12, &[][..]), (13, &[2][..]), (14, &[1][..])];
        for (block, pools) in blocks {
            told.push(block, &logs(pools));
        }
        let gap = |on_chain: &[(u64, u64)], from| {
            let on_chain = on_chain.iter().copied().collect();
            told.gap(&Search { pool: pool(1), from, to: 14, next: 15, on_chain })
        };
        assert_eq!(gap(&[(11, 2), (14, 1)], 11), None);
        let missing = Some(LogGap { block: 12, told: 0, on_chain: 1 });
        assert_eq!(gap(&[(11, 2), (12, 1), (14, 2)], 11), missing);
        let twice = Some(LogGap { block: 11, told: 2, on_chain: 1 });
        assert_eq!(gap(&[(11, 1), (12, 1), (14, 1)], 11), twice);
        assert_eq!(gap(&[(14, 1)], 12), None);
        assert_eq!((told.first_after(11), told.first_after(14)), (Some(12), None));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_follows_a_reorganisation() {
        let mut told = Told { blocks: VecDeque::new(), window: 3 };
        for block in 1..=10 {
            told.push(block, &logs(&[1]));
        }
        assert_eq!((told.first_after(0), told.blocks.len()), (Some(7), 4));
        told.cut(8);
        told.push(9, &logs(&[]));
        let on_chain: BTreeMap<u64, u64> = (1..=10).map(|block| (block, 1)).collect();
        let gap = told.gap(&Search { pool: pool(1), from: 7, to: 10, next: 11, on_chain });
        assert_eq!(gap, Some(LogGap { block: 9, told: 0, on_chain: 1 }));
    }

    #[test]
    fn a_second_reading_is_of_a_later_block_and_waits_after_a_failure() {
        let (mut audits, now) = (Audits::default(), Instant::now());
        audits.read(pool(1), 10);
        audits.read(pool(2), 11);
        assert_eq!(audits.second(10, now), None);
        assert_eq!(audits.second(11, now), Some((pool(1), 10)));
        assert_eq!(audits.second(11, now), None);
        audits.fail(pool(2), now);
        audits.fail(pool(2), now);
        assert_eq!(audits.second(12, now + RETRY_AFTER), None);
        assert_eq!(audits.second(12, now + 2 * RETRY_AFTER), Some((pool(2), 11)));
        // Read anew, only the newest reading counts; one that was taken back counts no more.
        audits.read(pool(1), 13);
        audits.read(pool(1), 14);
        audits.cut(13);
        assert_eq!(audits.second(20, now + RETRY_AFTER), None);
    }
}
