// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {Crowd} from "./Crowd.sol";
import {Test} from "./Vm.sol";

contract InvariantsTest is Test {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Crowd internal crowd;

    function setUp() external {
        crowd = new Crowd();
        crowd.setUp();
    }

    function targetSelectors() external view returns (FuzzSelector[] memory list) {
        bytes4[] memory selectors = new bytes4[](7);
        selectors[0] = Crowd.operatorFlashes.selector;
        selectors[1] = Crowd.operatorUsesOwnMoney.selector;
        selectors[2] = Crowd.donor.selector;
        selectors[3] = Crowd.strangerRunsACycle.selector;
        selectors[4] = Crowd.strangerActsAsOwner.selector;
        selectors[5] = Crowd.strangerCallsBack.selector;
        selectors[6] = Crowd.strangerAimsAPoolAtUs.selector;
        list = new FuzzSelector[](1);
        list[0] = FuzzSelector(address(crowd), selectors);
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(crowd);
    }

    function invariant_holds_nothing_but_gifts() external view {
        crowd.holdsWhatWasGiven();
    }

    function invariant_allows_nobody_anything() external view {
        crowd.allowsNothing();
    }

    function invariant_no_stranger_gets_in() external view {
        eq(crowd.nBreaches(), 0, "breaches");
        isTrue(!crowd.isPaused(), "not paused by strangers");
    }
}
