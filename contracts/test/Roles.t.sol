// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {Executor} from "../src/Executor.sol";
import {IExecutor} from "../src/IExecutor.sol";
import {HookedToken} from "./OddTokens.sol";
import {IERC20, World} from "./World.sol";

/// @dev Each role against each function, and every refusal that comes before a swap.
contract RolesTest is World {
    uint256 internal constant AMOUNT = 1000e18;

    /* ROLES */

    function test_roles_and_dexes_are_as_constructed() external view {
        eq(executor.owner(), owner, "owner");
        eq(executor.operator(), operator, "operator");
        isTrue(!executor.paused(), "not paused");
        IExecutor.Dex[] memory want = dexes();
        eq(executor.dexCount(), want.length, "dexCount");
        for (uint256 i = 0; i < want.length; i++) {
            bytes32 have = keccak256(abi.encode(executor.dexAt(i)));
            eq(have, keccak256(abi.encode(want[i])), "dexAt");
        }
    }

    function testFuzz_only_the_operator_runs_cycles(address caller) external {
        vm.assume(caller != operator);
        bytes memory reason = abi.encodeWithSelector(IExecutor.NotOperator.selector, caller);
        vm.prank(caller);
        vm.expectRevert(reason);
        executor.flash(a, AMOUNT, 0, FOREVER, goodLegs());
        vm.prank(caller);
        vm.expectRevert(reason);
        executor.own(a, AMOUNT, 0, FOREVER, goodLegs());
    }

    function test_the_owner_cannot_run_cycles_nor_spend_an_allowance() external {
        fund(a, AMOUNT);
        bytes memory reason = abi.encodeWithSelector(IExecutor.NotOperator.selector, owner);
        vm.prank(owner);
        vm.expectRevert(reason);
        executor.flash(a, AMOUNT, 0, FOREVER, goodLegs());
        vm.prank(owner);
        vm.expectRevert(reason);
        executor.own(a, AMOUNT, 0, FOREVER, goodLegs());
    }

    function testFuzz_only_the_owner_pauses_and_rescues(address caller) external {
        vm.assume(caller != owner);
        bytes memory reason = abi.encodeWithSelector(IExecutor.NotOwner.selector, caller);
        vm.prank(caller);
        vm.expectRevert(reason);
        executor.pause();
        vm.prank(caller);
        vm.expectRevert(reason);
        executor.unpause();
        vm.prank(caller);
        vm.expectRevert(reason);
        executor.rescue(a, 1);
    }

    function test_the_operator_cannot_pause_or_rescue() external {
        bytes memory reason = abi.encodeWithSelector(IExecutor.NotOwner.selector, operator);
        vm.prank(operator);
        vm.expectRevert(reason);
        executor.pause();
        vm.prank(operator);
        vm.expectRevert(reason);
        executor.unpause();
        vm.prank(operator);
        vm.expectRevert(reason);
        executor.rescue(a, 1);
    }

    /* CONSTRUCTION */

    function test_roles_must_be_two_different_keys() external {
        check(address(0), operator);
        check(owner, address(0));
        check(owner, owner);
    }

    function check(address owner_, address operator_) internal {
        vm.expectRevert(abi.encodeWithSelector(IExecutor.BadRoles.selector, owner_, operator_));
        new Executor(owner_, operator_, dexes());
    }

    function test_a_dex_must_make_sense() external {
        IExecutor.Dex[] memory list = dexes();
        list[1].kind = 4;
        check(list, 1);
        list = dexes();
        list[1].kind = 1;
        check(list, 1);
        list = dexes();
        list[2].factory = address(0);
        check(list, 2);
        list = dexes();
        list[3].initCodeHash = 0;
        check(list, 3);
        list = dexes();
        list[0].feePips = 1_000_000;
        check(list, 0);
        list[0].feePips = 999_999;
        new Executor(owner, operator, list);
    }

    function check(IExecutor.Dex[] memory list, uint256 bad) internal {
        vm.expectRevert(abi.encodeWithSelector(IExecutor.BadDex.selector, bad));
        new Executor(owner, operator, list);
    }

    /* PAUSE AND RESCUE */

    function test_pause_stops_cycles_until_unpause() external {
        fund(a, AMOUNT);
        vm.prank(owner);
        executor.pause();
        isTrue(executor.paused(), "paused");
        vm.expectRevert(abi.encodeWithSelector(IExecutor.Paused.selector));
        flash(a, AMOUNT, goodLegs());
        vm.expectRevert(abi.encodeWithSelector(IExecutor.Paused.selector));
        own(a, AMOUNT, goodLegs());
        vm.prank(owner);
        executor.unpause();
        isTrue(!executor.paused(), "not paused");
        isTrue(own(a, AMOUNT, goodLegs()) > 0, "runs again");
    }

    function test_rescue_goes_to_the_owner_even_when_paused() external {
        vm.prank(owner);
        executor.pause();
        vm.prank(owner);
        executor.rescue(a, DUST - 7);
        eq(IERC20(a).balanceOf(owner), DUST - 7, "owner");
        eq(IERC20(a).balanceOf(address(executor)), 7, "rest");
    }

    function test_rescue_of_more_than_there_is_fails() external {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.TransferFailed.selector, a));
        executor.rescue(a, DUST + 1);
    }

    /// @dev A call to nobody succeeds, which must not pass for a transfer.
    function test_rescue_of_what_is_no_token_fails() external {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.TransferFailed.selector, stranger));
        executor.rescue(stranger, 1);
    }

    /* ORDERS THAT MAKE NO SENSE */

    function test_the_deadline_block_is_the_last_one() external {
        fund(a, AMOUNT);
        uint256 start = vm.snapshotState();
        vm.roll(100);
        vm.prank(operator);
        executor.flash(a, AMOUNT, 0, 100, goodLegs());
        vm.revertToState(start);
        vm.roll(100);
        vm.prank(operator);
        executor.own(a, AMOUNT, 0, 100, goodLegs());
        vm.revertToState(start);

        vm.roll(101);
        bytes memory late = abi.encodeWithSelector(IExecutor.Late.selector, 100, 101);
        vm.prank(operator);
        vm.expectRevert(late);
        executor.flash(a, AMOUNT, 0, 100, goodLegs());
        vm.prank(operator);
        vm.expectRevert(late);
        executor.own(a, AMOUNT, 0, 100, goodLegs());
    }

    function test_legs_are_two_to_four() external {
        fund(a, AMOUNT);
        uint256[3] memory counts = [uint256(0), 1, 5];
        for (uint256 i = 0; i < 3; i++) {
            IExecutor.Leg[] memory list = new IExecutor.Leg[](counts[i]);
            for (uint256 j = 0; j < counts[i]; j++) {
                list[j] = leg(UNI_V2, a);
            }
            bytes memory reason = abi.encodeWithSelector(IExecutor.BadLegCount.selector, counts[i]);
            vm.expectRevert(reason);
            flash(a, AMOUNT, list);
            vm.expectRevert(reason);
            own(a, AMOUNT, list);
        }
    }

    function test_a_cycle_must_close() external {
        fund(a, AMOUNT);
        IExecutor.Leg[] memory list = legs(leg(UNI_V2, b), leg(UNI_V3, c));
        bytes memory reason = abi.encodeWithSelector(IExecutor.OpenCycle.selector, a, c);
        vm.expectRevert(reason);
        flash(a, AMOUNT, list);
        vm.expectRevert(reason);
        own(a, AMOUNT, list);
    }

    function test_a_leg_cannot_sell_what_it_buys() external {
        IExecutor.Leg[] memory list = legs(leg(UNI_V2, a), leg(UNI_V3, a));
        vm.prank(operator);
        (bool isDone, bytes memory said) =
            address(executor).call(abi.encodeCall(IExecutor.flash, (a, AMOUNT, 0, FOREVER, list)));
        isTrue(!isDone, "refused");
        eq(bytes32(bytes4(said)), bytes32(IExecutor.NoPool.selector), "why");
    }

    function test_a_dex_that_is_not_listed_panics() external {
        IExecutor.Leg[] memory list = goodLegs();
        list[0].dex = 6;
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x32));
        flash(a, AMOUNT, list);
    }

    function test_an_amount_that_v3_would_read_as_negative_is_refused() external {
        uint256 amount = 1 << 255;
        IExecutor.Leg[] memory list = legs(leg(UNI_V3, b), leg(UNI_V2, a));
        vm.expectRevert(abi.encodeWithSelector(IExecutor.AmountTooBig.selector, amount));
        flash(a, amount, list);
    }

    function test_nothing_in_is_refused() external {
        for (uint8 dex = 0; dex < N_REAL; dex++) {
            IExecutor.Leg[] memory list = legs(leg(dex, b), leg(UNI_V3, a));
            vm.expectRevert();
            flash(a, 0, list);
            vm.expectRevert();
            own(a, 0, list);
        }
        isClean();
    }

    /* COMING IN A SECOND TIME */

    /// @dev The token is operator and owner of two executors, so only the lock can refuse it. Its
    /// hook fires when the pool delivers, when the pool is paid, and at the pay-out.
    function test_no_function_can_be_entered_twice() external {
        HookedToken token = new HookedToken();
        address dear = addPool(UNI_V2, a, address(token), 144);
        addPool(UNI_V3, a, address(token), 100);
        IExecutor.Leg[] memory list = legs(leg(UNI_V3, a), leg(UNI_V2, address(token)));
        token.mint(address(token), 2 * AMOUNT);
        bytes memory flashCall =
            abi.encodeCall(IExecutor.flash, (address(token), AMOUNT, 0, FOREVER, list));
        bytes memory ownCall =
            abi.encodeCall(IExecutor.own, (address(token), AMOUNT, 0, FOREVER, list));
        bytes memory rescueCall = abi.encodeCall(IExecutor.rescue, (a, 1));

        executor = new Executor(owner, address(token), dexes());
        token.call(address(token), abi.encodeCall(IERC20.approve, (address(executor), FOREVER)));
        address[3] memory triggers = [dear, address(executor), address(token)];
        for (uint256 i = 0; i < 3; i++) {
            enterTwice(token, triggers[i], flashCall, flashCall);
            enterTwice(token, triggers[i], flashCall, ownCall);
            enterTwice(token, triggers[i], ownCall, flashCall);
            enterTwice(token, triggers[i], ownCall, ownCall);
        }

        executor = new Executor(address(token), operator, dexes());
        IERC20(a).mint(address(executor), DUST);
        token.mint(address(executor), DUST);
        bytes memory rescueToken = abi.encodeCall(IExecutor.rescue, (address(token), 1));
        enterTwice(token, address(executor), rescueToken, rescueCall);
        token.hook(dear, address(executor), rescueCall);
        flash(address(token), AMOUNT, list);
        refused(token);
    }

    function enterTwice(HookedToken token, address trigger, bytes memory one, bytes memory two)
        internal
    {
        uint256 start = vm.snapshotState();
        token.hook(trigger, address(executor), two);
        token.call(address(executor), one);
        refused(token);
        vm.revertToState(start);
    }

    function refused(HookedToken token) internal view {
        bytes memory reason = abi.encodeWithSelector(IExecutor.Reentered.selector);
        eq(keccak256(token.answer()), keccak256(reason), "Reentered");
    }
}
