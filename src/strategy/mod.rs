//! What we want: pure functions from what is to intents. Siblings never name each other.

pub mod arbitrage;
pub mod hedging;
pub mod liquidity;
pub mod market_making;
