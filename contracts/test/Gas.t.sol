// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {IERC20, IPair, World} from "./World.sol";

/// @dev Whole transactions, with their 21000 and calldata: `isolate` runs each call as one of its
/// own, so that no slot is warm. forge keeps the numbers in snapshots/Executor.json, which git
/// keeps.
/// forge-config: default.isolate = true
contract GasTest is World {
    uint256 internal constant AMOUNT = 1000e18;

    /// @dev A usual cycle, not the first one ever: the operator holds the tokens already, the
    /// pairs' accumulators are not zero, and time has passed since, so that the pools write them.
    function setUp() public override {
        super.setUp();
        IERC20(a).mint(operator, 1);
        IERC20(b).mint(operator, 1);
        vm.warp(1000);
        for (uint8 dex = UNI_V2; dex <= SUSHI_V2; dex++) {
            IPair(poolOf(dex, a, b)).sync();
            IPair(poolOf(dex, b, c)).sync();
            IPair(poolOf(dex, c, a)).sync();
        }
        vm.warp(2000);
    }

    function test_gas_flash_v2_v3() external {
        flash(a, AMOUNT, legs(leg(UNI_V2, b), leg(UNI_V3, a)));
        vm.snapshotGasLastCall("Executor", "flash V2 V3");
    }

    function test_gas_flash_v3_v2() external {
        flash(b, AMOUNT, legs(leg(UNI_V3, a), leg(UNI_V2, b)));
        vm.snapshotGasLastCall("Executor", "flash V3 V2");
    }

    function test_gas_flash_v2_v2() external {
        flash(a, AMOUNT, legs(leg(UNI_V2, b), leg(SUSHI_V2, a)));
        vm.snapshotGasLastCall("Executor", "flash V2 V2");
    }

    function test_gas_flash_v3_v3() external {
        flash(a, AMOUNT, legs(leg(SUSHI_V3, b), leg(UNI_V3, a)));
        vm.snapshotGasLastCall("Executor", "flash V3 V3");
    }

    function test_gas_flash_v2_v3_v2() external {
        flash(a, AMOUNT, legs(leg(UNI_V2, b), leg(UNI_V3, c), leg(SUSHI_V2, a)));
        vm.snapshotGasLastCall("Executor", "flash V2 V3 V2");
    }

    function test_gas_own_v2_v3() external {
        fund(a, AMOUNT);
        own(a, AMOUNT, legs(leg(UNI_V2, b), leg(UNI_V3, a)));
        vm.snapshotGasLastCall("Executor", "own V2 V3");
    }

    function test_gas_own_v2_v3_v2() external {
        fund(a, AMOUNT);
        own(a, AMOUNT, legs(leg(UNI_V2, b), leg(UNI_V3, c), leg(SUSHI_V2, a)));
        vm.snapshotGasLastCall("Executor", "own V2 V3 V2");
    }
}
