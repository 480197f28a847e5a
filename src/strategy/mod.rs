//! What we want: pure functions from what is to intents. Siblings never name each other.

pub mod arbitrage;
pub mod cex_dex;
pub mod hedging;
pub mod liquidity;
pub mod market_making;
