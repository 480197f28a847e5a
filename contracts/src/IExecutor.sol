// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

/// @title Runs one token cycle over V2-type and V3-type pools, or reverts.
/// @notice The operator (hot key) starts cycles, the owner (cold key) can only pause and rescue to
/// itself. Between transactions the contract holds nothing and nobody has an allowance from it.
/// @dev Warning: tokens sent here by others stay untouched by cycles; only `rescue` moves them.
interface IExecutor {
    /// @param kind 2 for pools with reserves (Uniswap V2, SushiSwap V2), 3 for pools with ticks
    /// (Uniswap V3, SushiSwap V3).
    /// @param factory The CREATE2 deployer of the pools.
    /// @param initCodeHash keccak256 of the pools' creation code.
    /// @param feePips What a V2-type pool keeps of the input, in millionths: 3000 is 0.3 %. Unused
    /// by kind 3.
    struct Dex {
        uint8 kind;
        address factory;
        bytes32 initCodeHash;
        uint24 feePips;
    }

    /// @param dex Index into the list given at construction.
    /// @param fee Fee tier, part of a V3-type pool's address. Unused by kind 2.
    /// @param tokenOut What this leg buys, and what the next leg sells.
    struct Leg {
        uint8 dex;
        uint24 fee;
        address tokenOut;
    }

    /// @notice A cycle ended well: `profit` of `token` is what the operator has more of than
    /// before.
    event Cycle(address indexed token, uint256 amountIn, uint256 profit);

    /// @notice Construction: a role is the zero address, or both are the same key.
    error BadRoles(address owner, address operator);
    /// @notice Construction: the entry has an unknown kind, no factory, no code hash or a fee of
    /// 100 % or more.
    error BadDex(uint256 index);
    error NotOwner(address caller);
    error NotOperator(address caller);
    error Paused();
    /// @notice A call came in while a cycle was running.
    error Reentered();
    error Late(uint256 deadlineBlock, uint256 blockNumber);
    /// @notice A cycle has two to four legs.
    error BadLegCount(uint256 count);
    /// @notice The last leg must buy the token that the first one sells.
    error OpenCycle(address start, address end);
    /// @notice No pool was ever deployed at the computed address.
    error NoPool(address pool);
    /// @notice A callback that no running swap is waiting for, or a second one, or one with other
    /// data.
    error UnexpectedCallback(address caller);
    /// @notice The callback belongs to a running swap but comes from another address than its pool.
    error NotPool(address caller, address pool);
    /// @notice Somebody else started the V2-type swap.
    error ForeignSwap(address sender);
    /// @notice The pool ended a swap without asking for its payment.
    error NoCallback(address pool);
    /// @notice The pool took another amount than the whole input, as a V3-type pool does that runs
    /// dry.
    error PartialFill(int256 taken, uint256 amountIn);
    /// @notice More than a V3-type pool can take.
    error AmountTooBig(uint256 amount);
    /// @notice The token moved, but another amount of it arrived, as a fee on transfers makes it.
    error ShortTransfer(address token, uint256 got, uint256 wanted);
    error TransferFailed(address token);
    /// @notice The cycle returned less than it took.
    error Loss(uint256 got, uint256 amountIn);
    error Unprofitable(uint256 got, uint256 wanted);

    /// @notice Cold key: pauses, unpauses and rescues to itself. It cannot start a cycle.
    function owner() external view returns (address);

    /// @notice Hot key: starts cycles and receives what they yield. It can do nothing else.
    function operator() external view returns (address);

    /// @notice Whether cycles are refused.
    function paused() external view returns (bool);

    /// @notice The entry at `index` of the list fixed at construction.
    function dexAt(uint256 index) external view returns (Dex memory);

    /// @notice How many entries the list has.
    function dexCount() external view returns (uint256);

    /// @notice Runs a cycle on the first pool's credit: the pool delivers first and is paid out of
    /// what the other legs return. The operator needs no `token` and gives no allowance.
    /// @dev A leg whose `dex` is not in the list panics with 0x32. The caller's `minProfit` should
    /// cover gas.
    /// @param token What the cycle starts and ends in.
    /// @param amountIn What the first pool is paid, exactly.
    /// @param minProfit Least growth of the operator's balance of `token`.
    /// @param deadlineBlock Last block in which this may run, as the opcode NUMBER counts them on
    /// this chain.
    /// @param legs Two to four swaps, each selling what the one before bought.
    /// @return profit Growth of the operator's balance of `token`.
    function flash(
        address token,
        uint256 amountIn,
        uint256 minProfit,
        uint256 deadlineBlock,
        Leg[] calldata legs
    ) external returns (uint256 profit);

    /// @notice Runs the same cycle on the operator's own `amountIn`, for which it must have given
    /// an allowance.
    /// @dev Parameters and return value as for `flash`.
    function own(
        address token,
        uint256 amountIn,
        uint256 minProfit,
        uint256 deadlineBlock,
        Leg[] calldata legs
    ) external returns (uint256 profit);

    /// @notice Owner: refuses all cycles until `unpause`.
    function pause() external;

    /// @notice Owner: allows cycles again.
    function unpause() external;

    /// @notice Owner: sends `amount` of `token` to the owner, for what others sent here by mistake.
    function rescue(address token, uint256 amount) external;

    /// @notice A V2-type pool's demand for payment. Only the pool of the running first leg is
    /// heard.
    function uniswapV2Call(address sender, uint256 amount0, uint256 amount1, bytes calldata data)
        external;

    /// @notice A V3-type pool's demand for payment. Only the pool of the running leg is heard.
    function uniswapV3SwapCallback(int256 amount0Delta, int256 amount1Delta, bytes calldata data)
        external;
}
