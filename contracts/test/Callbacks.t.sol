// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {IExecutor} from "../src/IExecutor.sol";
import {EvilPool, Messenger} from "./Evil.sol";
import {HookedToken} from "./OddTokens.sol";
import {IERC20, IPair, IPool, World} from "./World.sol";

/// @dev Who may call back, when, how often and with what. The executor holds dust: there is
/// something to lose.
contract CallbacksTest is World {
    uint256 internal constant AMOUNT = 1000e18;

    /// @dev Data as the executor would write it, so that a refusal is not for bad form.
    function debtData(address token, uint256 amount, uint256 held, IExecutor.Leg[] memory list)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encode(token, amount, held, list);
    }

    function dustData() internal view returns (bytes memory) {
        IExecutor.Leg[] memory list = new IExecutor.Leg[](1);
        list[0] = leg(UNI_V3, a);
        // Head and tail of (Debt, Leg[]): the struct is static, hence inline.
        return debtData(b, DUST, DUST, list);
    }

    function unexpected(address caller) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IExecutor.UnexpectedCallback.selector, caller);
    }

    function notPool(address caller, address pool) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IExecutor.NotPool.selector, caller, pool);
    }

    /* NO SWAP IS RUNNING */

    function test_keys_and_strangers_cannot_call_back() external {
        address[3] memory callers = [stranger, operator, owner];
        for (uint256 i = 0; i < 3; i++) {
            vm.prank(callers[i]);
            vm.expectRevert(unexpected(callers[i]));
            executor.uniswapV2Call(address(executor), 0, 0, dustData());
            vm.prank(callers[i]);
            vm.expectRevert(unexpected(callers[i]));
            executor.uniswapV3SwapCallback(1, -1, dustData());
        }
        isClean();
    }

    /// @dev With the sender's name forged or not.
    function testFuzz_no_data_from_anybody_is_heard(address caller, bytes calldata data) external {
        vm.prank(caller);
        vm.expectRevert(unexpected(caller));
        executor.uniswapV2Call(address(executor), 0, 0, data);
        vm.prank(caller);
        vm.expectRevert(unexpected(caller));
        executor.uniswapV3SwapCallback(1, 1, data);
        isClean();
    }

    function test_a_contract_that_is_no_pool_cannot_call_back() external {
        Messenger messenger = new Messenger();
        vm.expectRevert(unexpected(address(messenger)));
        messenger.callV2(address(executor), address(executor), dustData());
        vm.expectRevert(unexpected(address(messenger)));
        messenger.callV3(address(executor), 1, -1, dustData());
    }

    function test_even_a_real_pool_is_not_heard_without_a_swap_of_ours() external {
        for (uint8 dex = 0; dex < N_REAL; dex++) {
            address pool = poolOf(dex, a, b);
            vm.prank(pool);
            vm.expectRevert(unexpected(pool));
            executor.uniswapV2Call(address(executor), 0, 0, dustData());
            vm.prank(pool);
            vm.expectRevert(unexpected(pool));
            executor.uniswapV3SwapCallback(1, -1, dustData());
        }
    }

    /// @dev V2 calls whom the initiator names. That is the only way to aim a real pool's callback
    /// at us.
    function test_a_strangers_flash_swap_on_a_real_v2_pool_cannot_use_us() external {
        for (uint8 dex = UNI_V2; dex <= SUSHI_V2; dex++) {
            address pair = poolOf(dex, a, b);
            vm.prank(stranger);
            vm.expectRevert(abi.encodeWithSelector(IExecutor.ForeignSwap.selector, stranger));
            IPair(pair).swap(1000, 0, address(executor), dustData());
        }
        isClean();
    }

    /// @dev V3 calls back its caller only: a stranger's swap to us merely gives us tokens that it
    /// pays for.
    function test_a_strangers_swap_on_a_real_v3_pool_does_not_reach_us() external {
        address pool = poolOf(UNI_V3, a, b);
        uint256 heldA = IERC20(a).balanceOf(address(executor));
        bool zeroForOne = b < a;
        uint160 limit = zeroForOne ? 4295128740 : 1461446703485210103287273052203988822378723970341;
        IPool(pool).swap(address(executor), zeroForOne, int256(AMOUNT), limit, abi.encode(b));
        isTrue(IERC20(a).balanceOf(address(executor)) > heldA, "a gift");
        eq(IERC20(b).balanceOf(address(executor)), DUST, "nothing was taken");
    }

    /* A SWAP IS RUNNING */

    /// @dev The token's hook runs while the real pool delivers, with the debt open and its data
    /// known.
    function test_in_the_middle_of_a_real_swap_nobody_but_the_pool_is_heard() external {
        for (uint8 dex = 0; dex < N_REAL; dex++) {
            HookedToken token = new HookedToken();
            address pool = addPool(dex, a, address(token), 144);
            addPool(UNI_V3 == dex ? SUSHI_V3 : UNI_V3, address(token), a, 100);
            IExecutor.Leg[] memory list =
                legs(leg(dex, address(token)), leg(UNI_V3 == dex ? SUSHI_V3 : UNI_V3, a));
            bytes memory data = debtData(a, AMOUNT, 0, list);
            token.hook(
                pool,
                address(executor),
                abi.encodeCall(IExecutor.uniswapV2Call, (address(executor), 0, 0, data))
            );
            uint256 start = vm.snapshotState();
            isTrue(flash(a, AMOUNT, list) > 0, "the cycle itself is fine");
            eq(keccak256(token.answer()), keccak256(notPool(address(token), pool)), "V2 callback");
            vm.revertToState(start);

            int256 taken = int256(AMOUNT);
            token.hook(
                pool,
                address(executor),
                abi.encodeCall(IExecutor.uniswapV3SwapCallback, (taken, taken, data))
            );
            flash(a, AMOUNT, list);
            eq(keccak256(token.answer()), keccak256(notPool(address(token), pool)), "V3 callback");
            vm.revertToState(start);

            data[63] ^= 0x01;
            token.hook(
                pool,
                address(executor),
                abi.encodeCall(IExecutor.uniswapV3SwapCallback, (taken, taken, data))
            );
            flash(a, AMOUNT, list);
            eq(keccak256(token.answer()), keccak256(unexpected(address(token))), "other data");
            vm.revertToState(start);
        }
    }

    /* A LISTED FACTORY HAS GONE BAD */

    function evilPool(uint8 dex, EvilPool.Deed deed) internal returns (EvilPool pool) {
        (address token0, address token1) = a < b ? (a, b) : (b, a);
        bytes32 salt = dex == EVIL_V2
            ? keccak256(abi.encodePacked(token0, token1))
            : keccak256(abi.encode(token0, token1, FEE));
        pool = evilFactory.create(salt);
        pool.setUp(deed, b, 2 * AMOUNT);
        IERC20(b).mint(address(pool), 4 * AMOUNT);
        // Otherwise a second payment would fail for want of tokens, not for want of a debt.
        IERC20(a).mint(address(executor), 4 * AMOUNT);
    }

    function tryEvil(uint8 dex, EvilPool.Deed deed, bytes memory reason) internal {
        uint256 start = vm.snapshotState();
        evilPool(dex, deed);
        vm.expectRevert(reason);
        flash(a, AMOUNT, legs(leg(dex, b), leg(UNI_V3, a)));
        vm.revertToState(start);
    }

    function evilAddress(uint8 dex) internal returns (address pool) {
        uint256 start = vm.snapshotState();
        pool = address(evilPool(dex, EvilPool.Deed.Honest));
        vm.revertToState(start);
    }

    /// @dev The control: the cases below fail for the deed, not for the set-up.
    function test_an_honest_pool_in_the_evil_ones_place_works() external {
        for (uint8 dex = EVIL_V2; dex <= EVIL_V3; dex++) {
            uint256 start = vm.snapshotState();
            EvilPool pool = evilPool(dex, EvilPool.Deed.Honest);
            isTrue(flash(a, AMOUNT, legs(leg(dex, b), leg(UNI_V3, a))) > 0, "profit");
            eq(IERC20(a).balanceOf(address(pool)), AMOUNT, "the pool got its price");
            bytes memory data = debtData(a, AMOUNT, DUST, legs(leg(dex, b), leg(UNI_V3, a)));
            eq(keccak256(pool.lastData()), keccak256(data), "data");
            vm.revertToState(start);
        }
    }

    /// @dev Only a pool that does as it is told can hit zero to the wei.
    function test_to_break_even_is_no_loss() external {
        EvilPool pool = evilPool(EVIL_V3, EvilPool.Deed.Honest);
        pool.setUp(EvilPool.Deed.Honest, a, AMOUNT);
        IERC20(a).mint(address(pool), 2 * AMOUNT);
        fund(a, AMOUNT);
        eq(flash(a, AMOUNT, legs(leg(UNI_V2, b), leg(EVIL_V3, a))), 0, "flash");
        eq(own(a, AMOUNT, legs(leg(UNI_V2, b), leg(EVIL_V3, a))), 0, "own");
    }

    function test_a_pool_may_call_back_once() external {
        for (uint8 dex = EVIL_V2; dex <= EVIL_V3; dex++) {
            tryEvil(dex, EvilPool.Deed.Twice, unexpected(evilAddress(dex)));
        }
    }

    function test_a_pool_may_not_change_the_data() external {
        for (uint8 dex = EVIL_V2; dex <= EVIL_V3; dex++) {
            tryEvil(dex, EvilPool.Deed.OtherData, unexpected(evilAddress(dex)));
        }
    }

    function test_a_pool_may_not_pass_its_right_on() external {
        for (uint8 dex = EVIL_V2; dex <= EVIL_V3; dex++) {
            EvilPool pool = evilPool(dex, EvilPool.Deed.OtherCaller);
            // The first contract that the pool makes.
            address messenger = address(
                uint160(uint256(keccak256(abi.encodePacked(hex"d694", address(pool), hex"01"))))
            );
            vm.expectRevert(notPool(messenger, address(pool)));
            flash(a, AMOUNT, legs(leg(dex, b), leg(UNI_V3, a)));
        }
    }

    function test_a_v2_pool_may_not_name_another_sender() external {
        bytes memory reason = abi.encodeWithSelector(IExecutor.ForeignSwap.selector, tx.origin);
        tryEvil(EVIL_V2, EvilPool.Deed.OtherSender, reason);
    }

    /// @dev A debt left open could be called in after the cycle, in the same transaction.
    function test_a_pool_must_call_back() external {
        for (uint8 dex = EVIL_V2; dex <= EVIL_V3; dex++) {
            bytes memory reason =
                abi.encodeWithSelector(IExecutor.NoCallback.selector, evilAddress(dex));
            tryEvil(dex, EvilPool.Deed.NoCallback, reason);
        }
    }

    function test_a_v3_pool_must_take_the_whole_input_and_no_more() external {
        bytes4 partialFill = IExecutor.PartialFill.selector;
        int256 amount = int256(AMOUNT);
        bytes memory reason = abi.encodeWithSelector(partialFill, amount - 1, AMOUNT);
        tryEvil(EVIL_V3, EvilPool.Deed.Partial, reason);
        reason = abi.encodeWithSelector(partialFill, amount + 1, AMOUNT);
        tryEvil(EVIL_V3, EvilPool.Deed.Greedy, reason);
    }

    /// @dev A real pool runs dry: its liquidity ends before the input does.
    function test_a_real_v3_pool_that_runs_dry_is_refused() external {
        uint256 tooMuch = 1e45;
        fund(b, tooMuch);
        IExecutor.Leg[] memory list = legs(leg(UNI_V3, a), leg(UNI_V2, b));
        vm.prank(operator);
        (bool isDone, bytes memory said) =
            address(executor).call(abi.encodeCall(IExecutor.flash, (b, tooMuch, 0, FOREVER, list)));
        isTrue(!isDone, "refused");
        eq(bytes32(bytes4(said)), bytes32(IExecutor.PartialFill.selector), "why");
    }
}
