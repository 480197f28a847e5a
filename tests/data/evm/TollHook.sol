// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

/// @dev The part of v4-core's `PoolManager` that a hook needs to take its toll.
interface IPoolManagerTake {
    function take(address currency, address to, uint256 amount) external;
}

/// @dev A hook for the tests of simulated quotes: after each swap it keeps one percent of the side
/// that was not fixed. Called for `afterSwap` and returning amounts there: its address must end in
/// the flags 0x44 (v4-core's `Hooks`).
contract TollHook {
    struct PoolKey {
        address currency0;
        address currency1;
        uint24 fee;
        int24 tickSpacing;
        address hooks;
    }

    struct SwapParams {
        bool zeroForOne;
        int256 amountSpecified;
        uint160 sqrtPriceLimitX96;
    }

    function afterSwap(
        address,
        PoolKey calldata key,
        SwapParams calldata params,
        int256 delta,
        bytes calldata
    ) external returns (bytes4, int128) {
        // Negative is exact input, and then the open side is what comes out.
        bool isOpen0 = (params.amountSpecified < 0) != params.zeroForOne;
        int128 amount = isOpen0 ? int128(delta >> 128) : int128(delta);
        int128 toll = (amount < 0 ? -amount : amount) / 100;
        address currency = isOpen0 ? key.currency0 : key.currency1;
        IPoolManagerTake(msg.sender).take(currency, address(this), uint256(uint128(toll)));
        return (this.afterSwap.selector, toll);
    }
}
