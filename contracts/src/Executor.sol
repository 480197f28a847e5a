// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {IExecutor} from "./IExecutor.sol";
import {IPoolV2, IPoolV3, IToken} from "./External.sol";

/// @dev Every function goes checks, effects, interactions, and ends with the check of what was
/// earned. Payment is always by `transfer`, out of what this cycle brought in: there is no
/// allowance to leave behind.
contract Executor is IExecutor {
    /// @dev What a pool is owed, in the swap's own data. `heldOut` is our balance of the bought
    /// token before.
    struct Debt {
        address token;
        uint256 amount;
        uint256 heldOut;
    }

    /* CONSTANTS */

    uint8 private constant V2 = 2;
    uint8 private constant V3 = 3;
    uint256 private constant LEGS_MIN = 2;
    uint256 private constant LEGS_MAX = 4;
    uint256 private constant PIPS = 1_000_000;
    /// @dev One inside TickMath's bounds of Uniswap V3 core: the price may go where it must,
    /// `minProfit` is the limit.
    uint160 private constant SQRT_PRICE_MIN = 4295128740;
    uint160 private constant SQRT_PRICE_MAX = 1461446703485210103287273052203988822378723970341;

    /* STORAGE */

    /// @inheritdoc IExecutor
    address public immutable owner;
    /// @inheritdoc IExecutor
    address public immutable operator;
    /// @inheritdoc IExecutor
    bool public paused;
    Dex[] private _dexes;

    bool private transient _running;
    /// @dev Hash of the data of the one swap that may call back now. It names token, amount, dex
    /// and fee, hence the pool. Zero, which nothing hashes to, when no swap may.
    bytes32 private transient _expected;

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    modifier onlyOperator() {
        if (msg.sender != operator) revert NotOperator(msg.sender);
        _;
    }

    modifier once() {
        if (_running) revert Reentered();
        _running = true;
        _;
        _running = false;
    }

    constructor(address owner_, address operator_, Dex[] memory dexes) {
        if (owner_ == address(0) || operator_ == address(0) || owner_ == operator_) {
            revert BadRoles(owner_, operator_);
        }
        owner = owner_;
        operator = operator_;
        for (uint256 i = 0; i < dexes.length; i++) {
            if (!_isSane(dexes[i])) revert BadDex(i);
            _dexes.push(dexes[i]);
        }
    }

    /* CYCLES */

    /// @inheritdoc IExecutor
    function flash(
        address token,
        uint256 amountIn,
        uint256 minProfit,
        uint256 deadlineBlock,
        Leg[] calldata legs
    ) external onlyOperator once returns (uint256 profit) {
        _check(token, deadlineBlock, legs);
        uint256 operatorHeld = _balance(token, operator);
        uint256 held = _balance(token, address(this));
        _swapOnCredit(token, amountIn, legs);
        _send(token, operator, _balance(token, address(this)) - held);
        profit = _earned(token, operatorHeld, minProfit);
        emit Cycle(token, amountIn, profit);
    }

    /// @inheritdoc IExecutor
    function own(
        address token,
        uint256 amountIn,
        uint256 minProfit,
        uint256 deadlineBlock,
        Leg[] calldata legs
    ) external onlyOperator once returns (uint256 profit) {
        _check(token, deadlineBlock, legs);
        uint256 operatorHeld = _balance(token, operator);
        _pull(token, amountIn);
        uint256 got = _swapFrom(0, token, amountIn, legs);
        if (got < amountIn) revert Loss(got, amountIn);
        _send(token, operator, got);
        profit = _earned(token, operatorHeld, minProfit);
        emit Cycle(token, amountIn, profit);
    }

    /// @inheritdoc IExecutor
    function uniswapV2Call(address sender, uint256, uint256, bytes calldata data) external {
        if (sender != address(this)) revert ForeignSwap(sender);
        (Debt memory debt, Leg[] memory legs) = _accept(data);
        _settle(debt, legs);
    }

    /// @inheritdoc IExecutor
    function uniswapV3SwapCallback(int256 amount0Delta, int256 amount1Delta, bytes calldata data)
        external
    {
        (Debt memory debt, Leg[] memory legs) = _accept(data);
        int256 taken = debt.token < legs[0].tokenOut ? amount0Delta : amount1Delta;
        if (taken != int256(debt.amount)) revert PartialFill(taken, debt.amount);
        _settle(debt, legs);
    }

    /* OWNER */

    /// @inheritdoc IExecutor
    function pause() external onlyOwner {
        paused = true;
    }

    /// @inheritdoc IExecutor
    function unpause() external onlyOwner {
        paused = false;
    }

    /// @inheritdoc IExecutor
    function rescue(address token, uint256 amount) external onlyOwner once {
        _send(token, owner, amount);
    }

    /* VIEWS */

    /// @inheritdoc IExecutor
    function dexAt(uint256 index) external view returns (Dex memory) {
        return _dexes[index];
    }

    /// @inheritdoc IExecutor
    function dexCount() external view returns (uint256) {
        return _dexes.length;
    }

    /* PARTS OF A CYCLE */

    function _check(address token, uint256 deadlineBlock, Leg[] calldata legs) private view {
        if (paused) revert Paused();
        if (block.number > deadlineBlock) revert Late(deadlineBlock, block.number);
        if (legs.length < LEGS_MIN || legs.length > LEGS_MAX) revert BadLegCount(legs.length);
        address end = legs[legs.length - 1].tokenOut;
        if (end != token) revert OpenCycle(token, end);
    }

    /// @dev Sells `amount` of `token` through the legs from index `first` on, each selling all the
    /// last one brought.
    function _swapFrom(uint256 first, address token, uint256 amount, Leg[] memory legs)
        private
        returns (uint256)
    {
        for (uint256 i = first; i < legs.length; i++) {
            amount = _swap(token, amount, legs[i]);
            token = legs[i].tokenOut;
        }
        return amount;
    }

    /// @dev One leg. What it bought is measured: a token may deliver less than its pool says.
    function _swap(address token, uint256 amount, Leg memory leg) private returns (uint256) {
        uint256 held = _balance(leg.tokenOut, address(this));
        if (_dexes[leg.dex].kind == V2) {
            address pool = _poolOf(token, leg);
            _send(token, pool, amount);
            _callV2(pool, token, amount, leg, "");
        } else {
            Leg[] memory alone = new Leg[](1);
            alone[0] = leg;
            _swapOnCredit(token, amount, alone);
        }
        return _balance(leg.tokenOut, address(this)) - held;
    }

    /// @dev Takes the first leg's output from its pool. The callback runs the other legs, if any,
    /// and pays.
    function _swapOnCredit(address token, uint256 amount, Leg[] memory legs) private {
        Leg memory leg = legs[0];
        address pool = _poolOf(token, leg);
        bytes memory data =
            abi.encode(Debt(token, amount, _balance(leg.tokenOut, address(this))), legs);
        _expected = keccak256(data);
        if (_dexes[leg.dex].kind == V2) _callV2(pool, token, amount, leg, data);
        else _callV3(pool, token, amount, leg, data);
        // Left open, the debt could be called in later, from what the contract holds for others.
        if (_expected != 0) revert NoCallback(pool);
    }

    function _callV2(address pool, address token, uint256 amount, Leg memory leg, bytes memory data)
        private
    {
        (uint256 reserve0, uint256 reserve1,) = IPoolV2(pool).getReserves();
        uint24 feePips = _dexes[leg.dex].feePips;
        if (token < leg.tokenOut) {
            uint256 out1 = _outDown(amount, reserve0, reserve1, feePips);
            IPoolV2(pool).swap(0, out1, address(this), data);
        } else {
            uint256 out0 = _outDown(amount, reserve1, reserve0, feePips);
            IPoolV2(pool).swap(out0, 0, address(this), data);
        }
    }

    function _callV3(address pool, address token, uint256 amount, Leg memory leg, bytes memory data)
        private
    {
        // A negative amount would ask the pool for an exact output.
        if (amount > uint256(type(int256).max)) revert AmountTooBig(amount);
        bool zeroForOne = token < leg.tokenOut;
        uint160 limit = zeroForOne ? SQRT_PRICE_MIN : SQRT_PRICE_MAX;
        IPoolV3(pool).swap(address(this), zeroForOne, int256(amount), limit, data);
    }

    /// @dev Lets one callback through: that of the swap we are in, from its pool. Its data is our
    /// own.
    function _accept(bytes calldata data) private returns (Debt memory debt, Leg[] memory legs) {
        if (keccak256(data) != _expected) revert UnexpectedCallback(msg.sender);
        _expected = 0;
        (debt, legs) = abi.decode(data, (Debt, Leg[]));
        address pool = _poolOf(debt.token, legs[0]);
        if (msg.sender != pool) revert NotPool(msg.sender, pool);
    }

    function _settle(Debt memory debt, Leg[] memory legs) private {
        if (legs.length > 1) {
            address bought = legs[0].tokenOut;
            uint256 amount = _balance(bought, address(this)) - debt.heldOut;
            uint256 got = _swapFrom(1, bought, amount, legs);
            // What the contract holds for others must not pay for a bad cycle.
            if (got < debt.amount) revert Loss(got, debt.amount);
        }
        _send(debt.token, msg.sender, debt.amount);
    }

    /// @dev The last word of a cycle, on the operator's own balance: whatever went wrong before, it
    /// shows here.
    function _earned(address token, uint256 operatorHeld, uint256 minProfit)
        private
        view
        returns (uint256 profit)
    {
        uint256 holds = _balance(token, operator);
        profit = holds > operatorHeld ? holds - operatorHeld : 0;
        if (holds < operatorHeld || profit < minProfit) revert Unprofitable(profit, minProfit);
    }

    /* POOLS */

    function _isSane(Dex memory dex) private pure returns (bool) {
        return (dex.kind == V2 || dex.kind == V3) && dex.factory != address(0)
            && dex.initCodeHash != 0 && dex.feePips < PIPS;
    }

    /// @dev CREATE2 address (EIP-1014), so that a pool is one of its factory by construction.
    function _poolOf(address token, Leg memory leg) private view returns (address pool) {
        Dex storage dex = _dexes[leg.dex];
        (address token0, address token1) =
            token < leg.tokenOut ? (token, leg.tokenOut) : (leg.tokenOut, token);
        bytes32 salt = dex.kind == V2
            ? keccak256(abi.encodePacked(token0, token1))
            : keccak256(abi.encode(token0, token1, leg.fee));
        bytes memory preimage = abi.encodePacked(hex"ff", dex.factory, salt, dex.initCodeHash);
        pool = address(uint160(uint256(keccak256(preimage))));
        if (pool.code.length == 0) revert NoPool(pool);
    }

    /// @dev UniswapV2Library.getAmountOut of Uniswap V2 periphery, with the fee in millionths. The
    /// pair's own check of its product would refuse one unit more.
    function _outDown(uint256 amount, uint256 reserveIn, uint256 reserveOut, uint24 feePips)
        private
        pure
        returns (uint256)
    {
        uint256 net = amount * (PIPS - feePips);
        return net * reserveOut / (reserveIn * PIPS + net);
    }

    /* TOKENS */

    function _balance(address token, address holder) private view returns (uint256) {
        return IToken(token).balanceOf(holder);
    }

    /// @dev Takes from the operator only, and only with the operator as caller.
    function _pull(address token, uint256 amount) private {
        uint256 held = _balance(token, address(this));
        _move(token, abi.encodeCall(IToken.transferFrom, (operator, address(this), amount)));
        uint256 got = _balance(token, address(this)) - held;
        if (got != amount) revert ShortTransfer(token, got, amount);
    }

    function _send(address token, address to, uint256 amount) private {
        _move(token, abi.encodeCall(IToken.transfer, (to, amount)));
    }

    /// @dev A token may return nothing (USDT) or true. All else fails: a revert, false, an address
    /// without code.
    function _move(address token, bytes memory call) private {
        (bool isDone, bytes memory said) = token.call(call);
        if (!isDone || !_isYes(token, said)) revert TransferFailed(token);
    }

    function _isYes(address token, bytes memory said) private view returns (bool) {
        if (said.length == 0) return token.code.length > 0;
        return said.length >= 32 && abi.decode(said, (uint256)) == 1;
    }
}
