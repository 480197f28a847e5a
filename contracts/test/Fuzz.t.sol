// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {IExecutor} from "../src/IExecutor.sol";
import {IERC20, World} from "./World.sol";

/// @dev Any amount, any legs: a cycle leaves the operator no poorer and the executor as it was, or
/// reverts.
contract FuzzTest is World {
    function anyLegs(uint256 seed) internal view returns (IExecutor.Leg[] memory list) {
        address[3] memory tokens = [a, b, c];
        list = new IExecutor.Leg[](2 + seed % 3);
        for (uint256 i = 0; i < list.length; i++) {
            seed = uint256(keccak256(abi.encode(seed)));
            list[i] = leg(uint8(seed % N_REAL), tokens[(seed >> 8) % 3]);
        }
        list[list.length - 1].tokenOut = a;
    }

    function testFuzz_any_cycle_pays_or_reverts(uint256 amount, uint256 seed) external {
        amount = bound(amount, 0, DEPTH);
        IExecutor.Leg[] memory list = anyLegs(seed);
        fund(a, amount);
        uint256 start = vm.snapshotState();
        vm.prank(operator);
        (bool isFlashDone, bytes memory flashSaid) =
            address(executor).call(abi.encodeCall(IExecutor.flash, (a, amount, 0, FOREVER, list)));
        uint256 flashHas = IERC20(a).balanceOf(operator);
        isClean();
        vm.revertToState(start);
        vm.prank(operator);
        (bool isOwnDone, bytes memory ownSaid) =
            address(executor).call(abi.encodeCall(IExecutor.own, (a, amount, 0, FOREVER, list)));
        uint256 ownHas = IERC20(a).balanceOf(operator);
        isClean();

        isTrue(flashHas >= amount && ownHas >= amount, "the operator is no poorer");
        if (isFlashDone) {
            // A cycle through one pool twice is locked out of flash only, so own must work if flash
            // does.
            isTrue(isOwnDone, "own works too");
            eq(keccak256(flashSaid), keccak256(ownSaid), "and earns the same");
            eq(flashHas, ownHas, "to the wei");
        }
    }

    /// @dev The maths of 997/1000, written the way Uniswap writes it, against the executor's
    /// millionths.
    function testFuzz_v2_amounts_are_uniswaps(uint256 amount) external {
        amount = bound(amount, 1e6, DEPTH / 100);
        uint256 back = out(SUSHI_V2, b, a, out(UNI_V2, a, b, amount));
        eq(flash(a, amount, legs(leg(UNI_V2, b), leg(SUSHI_V2, a))), back - amount, "profit");
        isClean();
    }

    function out(uint8 dex, address tokenIn, address tokenOut, uint256 amount)
        internal
        view
        returns (uint256)
    {
        address pair = poolOf(dex, tokenIn, tokenOut);
        uint256 reserveIn = IERC20(tokenIn).balanceOf(pair);
        uint256 reserveOut = IERC20(tokenOut).balanceOf(pair);
        return amount * 997 * reserveOut / (reserveIn * 1000 + amount * 997);
    }

    function testFuzz_the_floor_is_exact(uint256 amount, uint256 floor) external {
        amount = bound(amount, 1e6, DEPTH / 100);
        uint256 start = vm.snapshotState();
        uint256 profit = flash(a, amount, goodLegs());
        vm.revertToState(start);
        floor = bound(floor, 0, 2 * profit);
        if (floor > profit) {
            vm.expectRevert(abi.encodeWithSelector(IExecutor.Unprofitable.selector, profit, floor));
        }
        vm.prank(operator);
        executor.flash(a, amount, floor, FOREVER, goodLegs());
        isClean();
    }
}
