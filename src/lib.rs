//! Tidekeeper: an on-chain liquidity agent. The order of the modules is the law: each may use only
//! the ones above it.

/// REST, WebSocket and the page.
pub mod api;
/// Arguments and printing.
pub mod cli;
/// The operator's files, checked all at once.
pub mod config;
/// The one loop: a fact in, rows and deeds out.
pub mod engine;
/// The local exchange server.
pub mod exchange;
/// How we do it: state machines of transactions and orders.
pub mod execution;
/// The shore: clock, sockets, processes, chains, keys.
pub mod io;
/// What is ours: double entry.
pub mod ledger;
/// What is: pools and books.
pub mod market;
/// Numbers in, numbers out: the AMMs' own arithmetic.
pub mod math;
/// Nouns: what the rest speaks about.
pub mod model;
/// What we may.
pub mod risk;
/// Drivers: the live agent.
pub mod run;
/// The pretend market: matching engine and accounts.
pub mod sim;
/// Postgres: what must survive.
pub mod store;
/// What we want.
pub mod strategy;
/// Dialects: bytes to facts, wants to bytes.
pub mod venues;
/// The local world of demo and tests.
pub mod world;
