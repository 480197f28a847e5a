// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {IExecutor} from "../src/IExecutor.sol";
import {Messenger} from "./Evil.sol";
import {IERC20, IPair, IPool, World} from "./World.sol";

/// @dev Everybody at once: the operator at work, and strangers who try every door with good data.
contract Crowd is World {
    uint256 public nCycles;
    uint256 public nBreaches;
    /// @dev What was given to the executor, which nobody but the owner may take.
    mapping(address => uint256) public given;

    function setUp() public override {
        super.setUp();
        (given[a], given[b], given[c]) = (DUST, DUST, DUST);
    }

    function operatorFlashes(uint256 amount, uint256 seed) external {
        amount = bound(amount, 1e6, DEPTH / 50);
        flash(a, amount, anyLegs(seed));
        nCycles++;
    }

    function operatorUsesOwnMoney(uint256 amount, uint256 seed) external {
        amount = bound(amount, 1e6, DEPTH / 50);
        fund(a, amount);
        own(a, amount, anyLegs(seed));
        nCycles++;
    }

    function anyLegs(uint256 seed) internal view returns (IExecutor.Leg[] memory) {
        uint8 one = uint8(seed % N_REAL);
        uint8 two = uint8((seed >> 8) % N_REAL);
        if (seed >> 16 & 1 == 0) return legs(leg(one, b), leg(two, a));
        return legs(leg(one, b), leg(two, c), leg(uint8((seed >> 24) % N_REAL), a));
    }

    function donor(uint256 amount, uint256 seed) external {
        address token = anyToken(seed);
        amount = bound(amount, 1, 1e24);
        IERC20(token).mint(address(executor), amount);
        given[token] += amount;
    }

    function strangerRunsACycle(address who, uint256 amount, uint256 seed) external {
        if (who == operator) return;
        attempt(who, abi.encodeCall(IExecutor.flash, (a, amount, 0, FOREVER, anyLegs(seed))));
        attempt(who, abi.encodeCall(IExecutor.own, (a, amount, 0, FOREVER, anyLegs(seed))));
    }

    function strangerActsAsOwner(address who, uint256 amount, uint256 seed) external {
        if (who == owner) return;
        attempt(who, abi.encodeCall(IExecutor.rescue, (anyToken(seed), amount)));
        attempt(who, abi.encodeCall(IExecutor.pause, ()));
        attempt(who, abi.encodeCall(IExecutor.unpause, ()));
    }

    function strangerCallsBack(address who, uint256 amount, uint256 seed) external {
        if (seed >> 32 & 1 == 0) who = address(new Messenger());
        if (seed >> 33 & 1 == 0) who = poolOf(uint8(seed % N_REAL), a, b);
        bytes memory data = abi.encode(a, bound(amount, 0, given[a]), DUST, anyLegs(seed));
        int256 delta = int256(bound(amount, 0, given[a]));
        attempt(who, abi.encodeCall(IExecutor.uniswapV2Call, (address(executor), 0, 0, data)));
        attempt(who, abi.encodeCall(IExecutor.uniswapV3SwapCallback, (delta, delta, data)));
    }

    function strangerAimsAPoolAtUs(address who, uint256 seed) external {
        bytes memory data = abi.encode(b, DUST, DUST, anyLegs(seed));
        address pair = poolOf(uint8(seed % 2), a, b);
        vm.prank(who);
        (bool isDone,) = pair.call(abi.encodeCall(IPair.swap, (1000, 0, address(executor), data)));
        if (isDone) nBreaches++;
    }

    /// @dev A whole attempt must fail; one that succeeds is counted, not reverted, so that the
    /// invariant sees it.
    function attempt(address who, bytes memory call) private {
        vm.prank(who);
        (bool isDone,) = address(executor).call(call);
        if (isDone) nBreaches++;
    }

    function anyToken(uint256 seed) private view returns (address) {
        return [a, b, c][seed % 3];
    }

    function holdsWhatWasGiven() external view {
        address[3] memory tokens = [a, b, c];
        for (uint256 i = 0; i < 3; i++) {
            eq(IERC20(tokens[i]).balanceOf(address(executor)), given[tokens[i]], "given");
        }
    }

    function allowsNothing() external view {
        address[3] memory tokens = [a, b, c];
        for (uint256 i = 0; i < 3; i++) {
            noAllowance(tokens[i], owner);
            noAllowance(tokens[i], operator);
            noAllowance(tokens[i], address(this));
            for (uint8 dex = 0; dex < N_REAL; dex++) {
                noAllowance(tokens[i], poolOf(dex, a, b));
                noAllowance(tokens[i], poolOf(dex, b, c));
                noAllowance(tokens[i], poolOf(dex, c, a));
            }
        }
    }

    function isPaused() external view returns (bool) {
        return executor.paused();
    }
}
