// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

/// @dev What is read of a token as declared. Its transfers go another way: not every token returns
/// a bool.
interface IToken {
    function balanceOf(address holder) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// @dev Uniswap V2 core, UniswapV2Pair.sol.
interface IPoolV2 {
    function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 time);
    function swap(uint256 out0, uint256 out1, address to, bytes calldata data) external;
}

/// @dev Uniswap V3 core, UniswapV3Pool.sol.
interface IPoolV3 {
    function swap(
        address to,
        bool zeroForOne,
        int256 amountIn,
        uint160 sqrtPriceLimitX96,
        bytes calldata data
    ) external returns (int256 delta0, int256 delta1);
}
