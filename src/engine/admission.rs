//! Which pools may be used.
//!
//! A pool that was read is quarantined until a second whole reading, at a later block, agrees with
//! what its logs made of the first one. A reading that differs, or a log that does not fit,
//! quarantines it: its logs are searched for the first that is missing, it is read anew and
//! admitted as at the start, while everything else goes on. One that needs this too often waits
//! for a person.

use serde_json::json;

use crate::engine::Engine;
use crate::engine::event::{Pool, PoolReading, PoolSearch};
use crate::engine::output::Command;
use crate::engine::state::{ChainState, PoolState};
use crate::market::pools::Difference;
use crate::model::chain::{BlockRef, PoolAddress};

/// A pool is read anew at most so often within the time below; then it waits for a person.
const RELOADS_MAX: usize = 3;
const RELOADS_WITHIN_MS: i64 = 3_600_000;

/// Whether a pool may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is decided on it.
    Quarantined {
        /// Why, and what it waits for, for people.
        why: String,
        /// Block since which it is so.
        since: u64,
        /// What ends it.
        until: Until,
    },
    /// A second reading agreed, and nothing contradicted it since.
    Live {
        /// Block since which it is so.
        since: u64,
    },
}

/// What a quarantined pool waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// A whole reading at a later block that agrees; its logs are followed meanwhile.
    Second,
    /// To be read anew; its logs say nothing meanwhile.
    Reload,
    /// A person's resume, or a restart.
    Person,
}

impl Standing {
    /// Of a pool read once, at this height.
    pub(super) fn first_read(at: u64) -> Self {
        let why = format!("read at block {at}, waits for a second reading");
        Self::Quarantined { why, since: at, until: Until::Second }
    }

    /// Of a pool that must be read anew.
    pub(super) fn broken(why: &str, since: u64) -> Self {
        Self::Quarantined { why: why.to_owned(), since, until: Until::Reload }
    }

    /// True when it may be used.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live { .. })
    }

    /// Why it must not be used; `None` when it may.
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Quarantined { why, .. } => Some(why),
            Self::Live { .. } => None,
        }
    }

    /// Block since which it is so.
    pub fn since(&self) -> u64 {
        match self {
            Self::Quarantined { since, .. } | Self::Live { since } => *since,
        }
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        if self.is_live() { "live" } else { "quarantined" }
    }

    /// True while its state is believed to follow from its logs.
    pub(super) fn follows_logs(&self) -> bool {
        !matches!(self, Self::Quarantined { until: Until::Reload | Until::Person, .. })
    }
}

impl ChainState {
    /// Takes over all pools as read at this height. How often each was read anew stays known.
    pub(super) fn take_over(&mut self, pools: Vec<(PoolAddress, Pool)>, read_at: u64) {
        let before = std::mem::take(&mut self.pools);
        for (address, pool) in pools {
            let mut state = PoolState::new(pool, read_at);
            if let Some(before) = before.get(&address) {
                state.n_reloads = before.n_reloads;
                state.reloads.clone_from(&before.reloads);
            }
            self.pools.insert(address, state);
        }
        self.read_at = read_at;
    }

    /// What blocks before a new reading of a pool did to it cannot be undone in the new state.
    fn forget_undo(&mut self, address: PoolAddress) {
        for undo in &mut self.undo {
            undo.pools.remove(&address);
        }
    }
}

impl Pool {
    /// Every field of a state that was kept against one that was read at the same block.
    ///
    /// # Errors
    /// One of them is out of step with its logs.
    pub fn differences(&self, read: &Self) -> Result<Vec<Difference>, String> {
        match (self, read) {
            (Self::V3(kept), Self::V3(read)) => kept.differences(read).map_err(|e| e.to_string()),
            (Self::V2(kept), Self::V2(read)) => kept.differences(read).map_err(|e| e.to_string()),
            (Self::V4(kept), Self::V4(read)) => kept.differences(read).map_err(|e| e.to_string()),
            (Self::V3(_) | Self::V2(_) | Self::V4(_), _) => {
                let [kept, observed] = [self, read].map(|pool| pool.kind().to_owned());
                Ok(vec![Difference { field: "kind of pool", kept, observed }])
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::V3(_) => "Uniswap V3",
            Self::V2(_) => "Uniswap V2",
            Self::V4(_) => "Uniswap V4",
        }
    }
}

/// What a comparison at a block found, in words; `None` when both agree.
pub(super) fn told(differences: &[Difference], block: u64) -> Option<String> {
    let one = |d: &Difference| format!("{} is {} here and {} there", d.field, d.kept, d.observed);
    let all: Vec<String> = differences.iter().map(one).collect();
    (!all.is_empty()).then(|| format!("differs from the chain at {block}: {}", all.join(", ")))
}

impl Engine {
    /// A whole reading: it admits a pool that waits for its second one, and audits every other.
    pub(super) fn pool_reading(&mut self, reading: &PoolReading) {
        let PoolReading { pool: address, block, state: read } = reading;
        let Some(chain) = self.chains.get_mut(&block.chain) else { return };
        let is_current = chain.head.is_some_and(|head| head.block == *block);
        let Some(state) = chain.pools.get_mut(address) else { return };
        if !is_current || !state.standing.follows_logs() || block.number <= state.read_at {
            return;
        }
        state.audited = Some(block.number);
        state.n_audits += 1;
        let why = match state.pool.audit_whole(read) {
            Ok(found) => told(&found, block.number),
            Err(why) => Some(why),
        };
        if let Some(why) = why {
            return self.distrust(block.chain, *address, why);
        }
        state.agreed = block.number;
        if !state.standing.is_live() {
            state.standing = Standing::Live { since: block.number };
            let body = json!({ "chain": block.chain, "pool": address.to_string(),
                "block": block.number, "read_at": state.read_at });
            self.note("pool_live", body);
        }
    }

    /// Something contradicts a pool: it is not used, its logs are searched for what is missing, and
    /// it is read anew unless it was too often.
    pub(super) fn distrust(&mut self, id: u64, address: PoolAddress, why: String) {
        let now = self.now;
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let since = chain.head.map_or(0, |head| head.block.number);
        let Some(state) = chain.pools.get_mut(&address) else { return };
        state.reloads.retain(|at| now.ms_since(*at) <= RELOADS_WITHIN_MS);
        let (why, until) = if state.reloads.len() < RELOADS_MAX {
            state.reloads.push_back(now);
            (format!("{why}; it is read anew"), Until::Reload)
        } else {
            let told = format!(
                "{why}; read anew {RELOADS_MAX} times within an hour, it waits for a resume or a \
                 restart"
            );
            (told, Until::Person)
        };
        let after = state.agreed;
        state.standing = Standing::Quarantined { why: why.clone(), since, until };
        let body = json!({ "chain": id, "pool": address.to_string(), "block": since, "why": why });
        self.note("pool_quarantined", body);
        self.drop_pending(id, "a pool it was decided on is not trusted any more", |pending| {
            pending.pools.contains(&address)
        });
        self.out.commands.push(Command::SearchPoolLogs { chain: id, pool: address, after });
        if until == Until::Reload {
            self.out.commands.push(Command::ReloadPool { chain: id, pool: address });
        }
    }

    /// The chain's list of a pool's logs against those that blocks told.
    pub(super) fn pool_searched(&mut self, found: &PoolSearch) {
        let PoolSearch { chain: id, pool: address, from, to, gap } = *found;
        let words = match gap {
            Some(gap) => format!(
                "the first block whose log is missing is {}: it has {}, and {} were told",
                gap.block, gap.on_chain, gap.told
            ),
            None => format!("no log is missing from block {from} to {to}"),
        };
        let state = self.chains.get_mut(&id).and_then(|chain| chain.pools.get_mut(&address));
        let Some(state) = state else { return };
        if let Standing::Quarantined { why, .. } = &mut state.standing {
            *why = format!("{why}; {words}");
        }
        let body = json!({ "chain": id, "pool": address.to_string(), "from": from, "to": to,
            "missing": gap.map(|gap| gap.block), "why": words });
        self.note("pool_logs_searched", body);
    }

    /// A pool was read anew: it begins there, and waits for its second reading, also where the log
    /// that did not fit was taken back meanwhile: what made it not fit may stand in a block that
    /// stays.
    pub(super) fn pool_reload(&mut self, reading: PoolReading) {
        let PoolReading { pool: address, block, state: read } = reading;
        let (id, read_at) = (block.chain, block.number);
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let is_current = chain.head.is_some_and(|head| head.block == block);
        let Some(state) = chain.pools.get_mut(&address) else {
            return self.pool_read_late(address, &block, read, is_current);
        };
        let why = match &state.standing {
            Standing::Quarantined { until: Until::Person, .. } => return,
            Standing::Quarantined { why, .. } => why.clone(),
            // The chain took back what it was asked for; whoever else was told begins anew too.
            Standing::Live { .. } => "it was to be read anew".to_owned(),
        };
        if !is_current {
            self.out.commands.push(Command::ReloadPool { chain: id, pool: address });
            return;
        }
        let why = format!("{why}; read anew at block {read_at}, waits for a second reading");
        let since = if state.standing.is_live() { read_at } else { state.standing.since() };
        state.standing = Standing::Quarantined { why, since, until: Until::Second };
        state.pool = read;
        (state.read_at, state.agreed) = (read_at, read_at);
        state.n_reloads += 1;
        // Growth before and after is not of one count.
        state.fee_samples.clear();
        chain.forget_undo(address);
        let body = json!({ "chain": id, "pool": address.to_string(), "block": read_at });
        self.note("pool_reloaded", body);
    }

    /// A pool that could not be read with the others can be now: it begins as they did.
    fn pool_read_late(
        &mut self,
        pool: PoolAddress,
        block: &BlockRef,
        read: Pool,
        is_current: bool,
    ) {
        let (chain, number) = (block.chain, block.number);
        if !is_current {
            self.out.commands.push(Command::ReloadPool { chain, pool });
            return;
        }
        if let Some(state) = self.chains.get_mut(&chain) {
            state.pools.insert(pool, PoolState::new(read, number));
        }
        let body = json!({ "chain": chain, "pool": pool.to_string(), "block": number });
        self.note("pool_read_late", body);
    }

    /// Pools whose whole reading stood on a block above this one, or whose logs cannot be taken
    /// back as far, are read anew. Where the reading
    /// of all of them did, the watcher reads the chain anew by itself.
    pub(super) fn readings_taken_back(&mut self, id: u64, to: u64) {
        let Some(chain) = self.chains.get_mut(&id) else { return };
        let is_all = chain.read_at > to;
        let forgotten = chain.forgotten.filter(|number| *number > to);
        let mut taken = Vec::new();
        for (address, state) in &mut chain.pools {
            if state.agreed > to {
                // What agreed may have been set right above it only: a search begins further back.
                state.agreed = state.read_at.min(to);
            }
            if let Standing::Live { since } = &mut state.standing {
                *since = (*since).min(to);
            }
            // One that is asked for already, or waits for a person, goes on doing so.
            if !state.standing.follows_logs() {
                continue;
            }
            let why = if state.read_at > to {
                format!("it was read at block {}, which the chain took back", state.read_at)
            } else if let Some(number) = forgotten {
                format!("the chain took back block {number}, which is too old to be undone")
            } else {
                continue;
            };
            state.standing = Standing::broken(&why, to);
            taken.push((*address, why));
        }
        for (address, why) in taken {
            let body = json!({ "chain": id, "pool": address.to_string(), "block": to, "why": why });
            self.note("pool_quarantined", body);
            if !is_all {
                self.out.commands.push(Command::ReloadPool { chain: id, pool: address });
            }
        }
    }

    /// A person says that pools which were read anew too often may be tried again.
    pub(super) fn read_given_up_anew(&mut self) {
        let mut tried = Vec::new();
        for (id, chain) in &mut self.chains {
            for (address, state) in &mut chain.pools {
                if let Standing::Quarantined { why, until, .. } = &mut state.standing
                    && *until == Until::Person
                {
                    *why = format!("{why}; a person resumed, it is read anew");
                    *until = Until::Reload;
                    state.reloads.clear();
                    tried.push((*id, *address));
                }
            }
        }
        for (chain, pool) in tried {
            self.note("pool_resumed", json!({ "chain": chain, "pool": pool.to_string() }));
            self.out.commands.push(Command::ReloadPool { chain, pool });
        }
    }
}
