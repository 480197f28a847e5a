//! The functions of the contracts that the lives here call, where the agent itself calls none.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "the contracts are the documentation of what is generated here"
)]
#![allow(clippy::too_many_arguments, reason = "the argument lists are the contracts'")]

use alloy::primitives::aliases::{I24, U24};
use tidekeeper::market::pools::v4::key::PoolKey;

alloy::sol! {
    interface Token {
        function transfer(address to, uint256 amount) external returns (bool);
        function approve(address spender, uint256 amount) external returns (bool);
        function mint(address to, uint256 amount) external;
    }

    interface PairFactory {
        function createPair(address tokenA, address tokenB) external returns (address pair);
        function setFeeTo(address feeTo) external;
    }

    interface Pair {
        function mint(address to) external returns (uint256 liquidity);
        function burn(address to) external returns (uint256 amount0, uint256 amount1);
        function swap(uint256 amount0Out, uint256 amount1Out, address to, bytes data) external;
        function skim(address to) external;
        function sync() external;
    }

    interface PoolFactory {
        function createPool(address tokenA, address tokenB, uint24 fee)
            external returns (address pool);
        function enableFeeAmount(uint24 fee, int24 tickSpacing) external;
    }

    interface Pool {
        function initialize(uint160 sqrtPriceX96) external;
        function swap(
            address recipient,
            bool zeroForOne,
            int256 amountSpecified,
            uint160 sqrtPriceLimitX96,
            bytes data
        ) external returns (int256 amount0, int256 amount1);
        function mint(
            address recipient,
            int24 tickLower,
            int24 tickUpper,
            uint128 amount,
            bytes data
        ) external returns (uint256 amount0, uint256 amount1);
        function burn(int24 tickLower, int24 tickUpper, uint128 amount)
            external returns (uint256 amount0, uint256 amount1);
        function collect(
            address recipient,
            int24 tickLower,
            int24 tickUpper,
            uint128 amount0Requested,
            uint128 amount1Requested
        ) external returns (uint128 amount0, uint128 amount1);
        function flash(address recipient, uint256 amount0, uint256 amount1, bytes data) external;
        function setFeeProtocol(uint8 feeProtocol0, uint8 feeProtocol1) external;
        function collectProtocol(
            address recipient,
            uint128 amount0Requested,
            uint128 amount1Requested
        ) external returns (uint128 amount0, uint128 amount1);
    }

    /// V4's `PoolKey`.
    struct Key {
        address currency0;
        address currency1;
        uint24 fee;
        int24 tickSpacing;
        address hooks;
    }

    /// V4's `SwapParams`.
    struct Ask {
        bool zeroForOne;
        int256 amountSpecified;
        uint160 sqrtPriceLimitX96;
    }

    /// V4's `ModifyLiquidityParams`.
    struct Change {
        int24 tickLower;
        int24 tickUpper;
        int256 liquidityDelta;
        bytes32 salt;
    }

    /// How `PoolSwapTest` pays.
    struct Settling {
        bool takeClaims;
        bool settleUsingBurn;
    }

    /// V4's `PoolManager`.
    interface Singleton {
        function initialize(Key key, uint160 sqrtPriceX96) external returns (int24 tick);
        function setProtocolFeeController(address controller) external;
        function setProtocolFee(Key key, uint24 newProtocolFee) external;
        function collectProtocolFees(address recipient, address currency, uint256 amount)
            external returns (uint256 amountCollected);
        function updateDynamicLPFee(Key key, uint24 newDynamicLPFee) external;
    }

    /// V4's `PoolSwapTest`; it answers both amounts in one word.
    interface Swapper {
        function swap(Key key, Ask params, Settling testSettings, bytes hookData)
            external payable returns (int256 delta);
    }

    /// V4's `PoolModifyLiquidityTest`; it answers both amounts in one word.
    interface Provider {
        function modifyLiquidity(Key key, Change params, bytes hookData)
            external payable returns (int256 delta);
    }

    /// V4's `PoolDonateTest`; it answers both amounts in one word.
    interface Donor {
        function donate(Key key, uint256 amount0, uint256 amount1, bytes hookData)
            external payable returns (int256 delta);
    }
}

/// A tick, as the contracts' argument.
pub(crate) fn int24(tick: i32) -> I24 {
    I24::try_from(tick).expect("24 bits")
}

/// A key, as the contracts' argument.
pub(crate) fn key_of(key: &PoolKey) -> Key {
    Key {
        currency0: key.currency0,
        currency1: key.currency1,
        fee: U24::from(key.fee_pips),
        tickSpacing: int24(key.tick_spacing),
        hooks: key.hooks,
    }
}
