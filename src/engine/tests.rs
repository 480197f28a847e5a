//! What the engine promises, told as stories: facts go in, rows and deeds come out.
//!
//! `world` holds the truth and tells it, `asked` sorts what was asked of it, `on_chain` mines,
//! `venues` trades, `kept` is what a store would remember.

mod admission;
mod asked;
mod change;
mod coin;
mod cycles;
mod dexes;
pub(crate) mod kept;
mod legs;
mod liquidity;
mod looking;
mod making;
mod manual;
mod modes;
mod notes;
mod on_chain;
mod oddities;
mod opening;
mod orders;
mod reorg;
pub(crate) mod stage;
mod venues;
mod world;
