// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {IExecutor} from "../src/IExecutor.sol";
import {IERC20, World} from "./World.sol";

interface IPairCodeHash {
    function pairCodeHash() external pure returns (bytes32);
}

/// @dev Every direction between every two dexes, on the real pools' code, by flash and by own
/// money.
contract CyclesTest is World {
    uint256 internal constant AMOUNT = 1000e18;

    /// @dev Both ways of paying, from the same state: same profit, all of it the operator's,
    /// nothing left behind.
    function check(address token, IExecutor.Leg[] memory list) internal returns (uint256 profit) {
        uint256 start = vm.snapshotState();
        profit = flash(token, AMOUNT, list);
        isTrue(profit > 0, "the cycle pays");
        eq(IERC20(token).balanceOf(operator), profit, "flash: all the profit is the operator's");
        isClean();
        vm.revertToState(start);

        fund(token, AMOUNT);
        eq(own(token, AMOUNT, list), profit, "own: the same profit");
        eq(IERC20(token).balanceOf(operator), AMOUNT + profit, "own: all of it comes back");
        eq(IERC20(token).allowance(operator, address(executor)), 0, "the allowance is used up");
        isClean();
        vm.revertToState(start);
    }

    /// @dev Prices rise in the order Uniswap V3, SushiSwap V2, Uniswap V2, SushiSwap V3.
    function test_two_legs_pay_between_all_dexes_from_both_ends() external {
        uint8[4] memory rising = [UNI_V3, SUSHI_V2, UNI_V2, SUSHI_V3];
        for (uint256 low = 0; low < 4; low++) {
            for (uint256 high = low + 1; high < 4; high++) {
                check(a, legs(leg(rising[high], b), leg(rising[low], a)));
                check(b, legs(leg(rising[low], a), leg(rising[high], b)));
            }
        }
    }

    function test_three_legs_pay_in_all_mixes_from_all_three_tokens() external {
        uint8[3] memory dear = [SUSHI_V2, UNI_V2, SUSHI_V3];
        for (uint256 i = 0; i < 3; i++) {
            for (uint8 second = 0; second < N_REAL; second++) {
                for (uint8 third = 0; third < N_REAL; third++) {
                    check(a, legs(leg(dear[i], b), leg(second, c), leg(third, a)));
                    check(b, legs(leg(second, c), leg(third, a), leg(dear[i], b)));
                    check(c, legs(leg(third, a), leg(dear[i], b), leg(second, c)));
                }
            }
        }
    }

    function test_four_legs_pay_even_twice_through_the_same_token() external {
        IExecutor.Leg[] memory list = new IExecutor.Leg[](4);
        list[0] = leg(UNI_V2, b);
        list[1] = leg(UNI_V3, a);
        list[2] = leg(SUSHI_V3, b);
        list[3] = leg(SUSHI_V2, a);
        check(a, list);
    }

    /// @dev The maths of 997/1000 on the reserves, worked out beside the contract.
    function test_v2_legs_take_all_that_the_pair_allows() external {
        uint256 bought = pairOut(UNI_V2, a, b, AMOUNT);
        uint256 back = pairOut(SUSHI_V2, b, a, bought);
        eq(check(a, legs(leg(UNI_V2, b), leg(SUSHI_V2, a))), back - AMOUNT, "profit");
    }

    function pairOut(uint8 dex, address tokenIn, address tokenOut, uint256 amount)
        internal
        view
        returns (uint256)
    {
        address pair = poolOf(dex, tokenIn, tokenOut);
        uint256 reserveIn = IERC20(tokenIn).balanceOf(pair);
        uint256 reserveOut = IERC20(tokenOut).balanceOf(pair);
        return amount * 997 * reserveOut / (reserveIn * 1000 + amount * 997);
    }

    function test_cycle_event_tells_token_amount_and_profit() external {
        uint256 start = vm.snapshotState();
        uint256 profit = flash(a, AMOUNT, goodLegs());
        vm.revertToState(start);
        vm.expectEmit(address(executor));
        emit IExecutor.Cycle(a, AMOUNT, profit);
        flash(a, AMOUNT, goodLegs());
        vm.revertToState(start);
        fund(a, AMOUNT);
        vm.expectEmit(address(executor));
        emit IExecutor.Cycle(a, AMOUNT, profit);
        own(a, AMOUNT, goodLegs());
    }

    function test_two_cycles_fit_into_one_transaction() external {
        isTrue(flash(a, AMOUNT, goodLegs()) > 0, "first");
        isTrue(flash(a, AMOUNT, goodLegs()) > 0, "second");
        isClean();
    }

    /* THE FLOOR */

    function test_profit_is_enough_to_the_wei_and_one_wei_short_reverts() external {
        uint256 start = vm.snapshotState();
        uint256 profit = flash(a, AMOUNT, goodLegs());
        bytes memory short =
            abi.encodeWithSelector(IExecutor.Unprofitable.selector, profit, profit + 1);

        vm.revertToState(start);
        vm.prank(operator);
        executor.flash(a, AMOUNT, profit, FOREVER, goodLegs());
        vm.revertToState(start);
        vm.prank(operator);
        vm.expectRevert(short);
        executor.flash(a, AMOUNT, profit + 1, FOREVER, goodLegs());

        fund(a, AMOUNT);
        vm.prank(operator);
        vm.expectRevert(short);
        executor.own(a, AMOUNT, profit + 1, FOREVER, goodLegs());
        vm.prank(operator);
        executor.own(a, AMOUNT, profit, FOREVER, goodLegs());
    }

    /// @dev Even though the executor holds enough of others' tokens to make the loss good.
    function test_a_losing_cycle_reverts_and_no_dust_makes_it_good() external {
        IExecutor.Leg[] memory list = legs(leg(UNI_V3, b), leg(UNI_V2, a));
        IERC20(a).mint(address(executor), AMOUNT);
        fund(a, AMOUNT);
        uint256 start = vm.snapshotState();
        uint256 got = pairOut(UNI_V2, b, a, swapAsUser(UNI_V3, a, b, AMOUNT));
        vm.revertToState(start);
        bytes memory loss = abi.encodeWithSelector(IExecutor.Loss.selector, got, AMOUNT);
        vm.prank(operator);
        vm.expectRevert(loss);
        executor.flash(a, AMOUNT, 0, FOREVER, list);
        vm.prank(operator);
        vm.expectRevert(loss);
        executor.own(a, AMOUNT, 0, FOREVER, list);
    }

    /* ADDRESSES */

    /// @dev Sushi's own word for its pair's hash, which differs from the one of its routers on
    /// mainnet.
    function test_sushi_pair_hash_is_what_its_factory_says() external view {
        bytes32 said = IPairCodeHash(factories[SUSHI_V2]).pairCodeHash();
        eq(said, executor.dexAt(SUSHI_V2).initCodeHash, "pairCodeHash()");
    }

    function test_a_pool_nobody_made_is_refused() external {
        IExecutor.Leg[] memory list = goodLegs();
        list[1].fee = 500;
        bytes32 salt = keccak256(abi.encode(a < b ? a : b, a < b ? b : a, uint24(500)));
        address nowhere = create2(executor.dexAt(UNI_V3), salt);
        vm.expectRevert(abi.encodeWithSelector(IExecutor.NoPool.selector, nowhere));
        flash(a, AMOUNT, list);
    }

    function create2(IExecutor.Dex memory dex, bytes32 salt) internal pure returns (address) {
        bytes memory text = abi.encodePacked(hex"ff", dex.factory, salt, dex.initCodeHash);
        return address(uint160(uint256(keccak256(text))));
    }
}
