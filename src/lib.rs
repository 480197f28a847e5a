//! Tidekeeper: an on-chain liquidity agent. The order of the modules is the law: each may use only
//! the ones above it.

/// Nouns: what the rest speaks about.
pub mod model;
/// Numbers in, numbers out: the AMMs' own arithmetic.
pub mod math;
/// What is: pools and books.
pub mod market;
/// What is ours: double entry.
pub mod ledger;
/// What we want.
pub mod strategy;
/// What we may.
pub mod risk;
/// How we do it: state machines of transactions and orders.
pub mod execution;
/// The one loop: a fact in, rows and deeds out.
pub mod engine;
/// Dialects: bytes to facts, wants to bytes.
pub mod venues;
/// The pretend market: matching engine and accounts.
pub mod sim;
/// The operator's files, checked all at once.
pub mod config;
/// The shore: clock, sockets, processes, chains, keys.
pub mod io;
/// The operator's own recorded market data, on disk.
pub mod history;
/// Postgres: what must survive.
pub mod store;
/// The local exchange server.
pub mod exchange;
/// REST, WebSocket and the page.
pub mod api;
/// The local world of demo and tests.
pub mod world;
/// Drivers: the live agent.
pub mod run;
/// Arguments and printing.
pub mod cli;
