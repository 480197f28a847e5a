//! Dialects: bytes of the world to facts, and wants to bytes. No sockets. Siblings never name each
//! other.

pub mod binance;
pub mod erc20;
pub mod executor;
mod log;
pub mod uniswap_v2;
pub mod uniswap_v3;
pub mod uniswap_v4;

// Siblings never name each other, so that what all of them read logs with stands here.
pub use log::{DecodeError, Flaw};
pub(crate) use log::{EventLog, halves};
