//! AMM pools as their logs tell them.
//!
//! A pool starts from one snapshot read at a block and from then on believes only logs. Each log is
//! checked against the state it must follow from; the first one that does not fit makes the pool
//! refuse everything (a *desync*), until it is built anew from a snapshot. Each log leaves a small
//! `Undo`: given back newest first, they make a pool again what it was, to the bit, after a reorg.
//! A pool knows no chain, no address and no token. Only a V4 pool knows its key: the hooks' address
//! in it says whether a swap is arithmetic alone.

pub mod concentrated;
pub mod v2;
pub mod v3;
pub mod v4;

use std::fmt::Display;

use crate::math::amm::tick::{TickState, Ticks};

#[cfg(test)]
mod contract_model;
#[cfg(test)]
mod replay;

/// A value kept from logs that is not what the chain says at the same block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Name of the value, as the contract calls it.
    pub field: &'static str,
    /// What the logs gave.
    pub kept: String,
    /// What the chain says.
    pub observed: String,
}

impl Difference {
    /// `None` where both agree.
    fn between<T: Display + PartialEq>(field: &'static str, kept: T, observed: T) -> Option<Self> {
        (kept != observed).then(|| Self {
            field,
            kept: kept.to_string(),
            observed: observed.to_string(),
        })
    }

    /// The lowest tick that two tables do not share; one says enough, the whole may be wrong.
    fn between_ticks(kept: &Ticks, read: &Ticks) -> Option<Self> {
        let all = kept.keys().chain(read.keys());
        let tick = *all.filter(|tick| kept.get(*tick) != read.get(*tick)).min()?;
        let [kept, observed] = [kept, read].map(|ticks| tick_told(tick, ticks.get(&tick)));
        Some(Self { field: "ticks", kept, observed })
    }
}

fn tick_told(tick: i32, state: Option<&TickState>) -> String {
    let Some(TickState { gross, net, outside0, outside1 }) = state else {
        return format!("{tick} not initialized");
    };
    format!("{tick} gross {gross} net {net} outside {outside0} and {outside1}")
}
