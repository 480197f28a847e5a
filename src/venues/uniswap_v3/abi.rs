//! Bindings of the Uniswap V3 contracts, generated from `abis/`: words only, no calls.
#![allow(
    missing_docs,
    missing_debug_implementations,
    reason = "the ABI files are the documentation of what is generated here"
)]
#![allow(clippy::too_many_arguments, reason = "the argument lists are the contracts'")]

alloy::sol!(UniswapV3Factory, "abis/UniswapV3Factory.json");
alloy::sol!(UniswapV3Pool, "abis/UniswapV3Pool.json");
alloy::sol!(NonfungiblePositionManager, "abis/NonfungiblePositionManager.json");
alloy::sol!(SwapRouter, "abis/SwapRouter.json");
alloy::sol!(SwapRouter02, "abis/SwapRouter02.json");
alloy::sol!(QuoterV2, "abis/QuoterV2.json");
