//! Bindings of the Uniswap V4 contracts, generated from `abis/`: words only, no calls.
#![allow(
    missing_docs,
    missing_debug_implementations,
    reason = "the ABI files are the documentation of what is generated here"
)]
#![allow(clippy::too_many_arguments, reason = "the argument lists are the contracts'")]

alloy::sol!(PoolManager, "abis/PoolManager.json");
alloy::sol!(V4Quoter, "abis/V4Quoter.json");
