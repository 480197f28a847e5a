//! The local world of demo, fork and tests: anvils with real contracts, on each recorded flow, an
//! arbitrageur and rivals, and the file that tells others where everything is.
//!
//! Play money throughout. The agent meets this world only through its RPC and the exchange, as it
//! would meet the real one; nothing here is known to the rooms above.

pub mod agent;
pub mod anvil;
pub mod arbitrageur;
pub mod artifacts;
pub mod cache;
pub mod chain;
pub mod demo;
pub mod deploy;
pub mod flow;
pub mod fork;
pub mod manifest;
mod place;
pub mod plan;
pub mod price;
pub mod report;
pub mod rivals;
mod site;
pub mod trade;
pub mod v4;
pub mod venue;
