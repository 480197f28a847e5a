//! Bindings of the Uniswap V2 contracts, generated from `abis/`: words only, no calls.
#![allow(
    missing_docs,
    missing_debug_implementations,
    reason = "the ABI files are the documentation of what is generated here"
)]
#![allow(clippy::too_many_arguments, reason = "the argument lists are the contracts'")]

alloy::sol!(UniswapV2Factory, "abis/UniswapV2Factory.json");
alloy::sol!(UniswapV2Pair, "abis/UniswapV2Pair.json");
alloy::sol!(UniswapV2Router02, "abis/UniswapV2Router02.json");
