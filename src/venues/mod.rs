//! Dialects: bytes of the world to facts, and wants to bytes. No sockets. Siblings never name each
//! other.

pub mod binance;
pub mod erc20;
pub mod executor;
pub mod uniswap_v2;
pub mod uniswap_v3;
