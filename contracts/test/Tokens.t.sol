// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {IExecutor} from "../src/IExecutor.sol";
import {BonusToken, FeeToken, SayingToken, SilentToken} from "./OddTokens.sol";
import {IERC20, World} from "./World.sol";

/// @dev Tokens that keep the letter of the standard, or not even that: a cycle works or reverts,
/// and never pays with what the executor holds for others.
contract TokensTest is World {
    uint256 internal constant AMOUNT = 1000e18;
    /// @dev Enough to make good any fee: what a sloppy executor would pay with.
    uint256 internal constant HOARD = 100_000e18;

    address internal pair;
    address internal pool;

    /// @dev One A is 1.44 tokens on Uniswap V2 and one on Uniswap V3.
    function addToken(address token) internal {
        pair = addPool(UNI_V2, a, token, 144);
        pool = addPool(UNI_V3, a, token, 100);
        IERC20(token).mint(address(executor), HOARD);
        fund(token, AMOUNT);
        fund(a, AMOUNT);
    }

    function fromToken(address token) internal view returns (IExecutor.Leg[] memory) {
        return legs(leg(UNI_V3, a), leg(UNI_V2, token));
    }

    function throughToken(address token) internal view returns (IExecutor.Leg[] memory) {
        return legs(leg(UNI_V2, token), leg(UNI_V3, a));
    }

    function isUntouched(address token) internal view {
        eq(IERC20(token).balanceOf(address(executor)), HOARD, "what is others' stays");
        isClean();
    }

    /* NO RETURN VALUE, FALSE, AND NONSENSE */

    function test_a_token_without_return_value_works() external {
        address token = address(new SilentToken());
        addToken(token);
        isTrue(flash(token, AMOUNT, fromToken(token)) > 0, "flash from it");
        isTrue(flash(a, AMOUNT, throughToken(token)) > 0, "flash through it");
        isTrue(own(token, AMOUNT, fromToken(token)) > 0, "own from it");
        isTrue(own(a, AMOUNT, throughToken(token)) > 0, "own through it");
        isUntouched(token);
    }

    /// @dev Whether the token moves anything or not: what does not say yes has failed.
    function test_only_true_and_silence_pass_for_success() external {
        SayingToken token = new SayingToken();
        addToken(address(token));
        uint256 start = vm.snapshotState();
        bytes[4] memory sayings =
            [abi.encode(false), abi.encode(uint256(2)), bytes(hex"01"), abi.encodePacked(int8(1))];
        bytes memory reason =
            abi.encodeWithSelector(IExecutor.TransferFailed.selector, address(token));
        for (uint256 i = 0; i < 4; i++) {
            token.say(address(executor), sayings[i], i % 2 == 0);
            vm.expectRevert(reason);
            flash(address(token), AMOUNT, fromToken(address(token)));
            vm.expectRevert(reason);
            flash(a, AMOUNT, throughToken(address(token)));
            vm.expectRevert(reason);
            own(address(token), AMOUNT, fromToken(address(token)));
            vm.expectRevert(reason);
            own(a, AMOUNT, throughToken(address(token)));
            vm.prank(owner);
            vm.expectRevert(reason);
            executor.rescue(address(token), 1);
        }
        vm.revertToState(start);
        token.say(address(executor), abi.encode(true, "and more"), true);
        isTrue(own(address(token), AMOUNT, fromToken(address(token))) > 0, "true is enough");
        isUntouched(address(token));
    }

    function test_a_revert_is_a_no_whatever_it_says() external {
        SayingToken token = new SayingToken();
        addToken(address(token));
        bytes[2] memory sayings = [bytes(""), abi.encode(true)];
        bytes memory reason =
            abi.encodeWithSelector(IExecutor.TransferFailed.selector, address(token));
        for (uint256 i = 0; i < 2; i++) {
            token.sayByReverting(address(executor), sayings[i]);
            vm.expectRevert(reason);
            own(address(token), AMOUNT, fromToken(address(token)));
            vm.prank(owner);
            vm.expectRevert(reason);
            executor.rescue(address(token), 1);
        }
    }

    function test_a_token_that_says_yes_and_moves_nothing_is_refused() external {
        SayingToken token = new SayingToken();
        addToken(address(token));
        token.say(address(executor), abi.encode(true), false);
        bytes memory reason =
            abi.encodeWithSelector(IExecutor.ShortTransfer.selector, address(token), 0, AMOUNT);
        vm.expectRevert(reason);
        own(address(token), AMOUNT, fromToken(address(token)));
        // The pools look for themselves: K in V2, IIA in V3.
        vm.expectRevert();
        flash(address(token), AMOUNT, fromToken(address(token)));
        vm.expectRevert();
        flash(a, AMOUNT, throughToken(address(token)));
        isUntouched(address(token));
    }

    function test_no_allowance_no_cycle() external {
        bytes memory reason = abi.encodeWithSelector(IExecutor.TransferFailed.selector, a);
        IERC20(a).mint(operator, AMOUNT);
        vm.expectRevert(reason);
        own(a, AMOUNT, goodLegs());
    }

    function test_own_pulls_exactly_the_amount() external {
        fund(a, 3 * AMOUNT);
        uint256 profit = own(a, AMOUNT, goodLegs());
        eq(IERC20(a).allowance(operator, address(executor)), 2 * AMOUNT, "rest of allowance");
        eq(IERC20(a).balanceOf(operator), 3 * AMOUNT + profit, "balance");
    }

    /* FEES ON TRANSFER */

    function feeToken() internal returns (FeeToken token) {
        token = new FeeToken();
        addToken(address(token));
    }

    function test_a_fee_on_every_transfer_is_refused() external {
        FeeToken token = feeToken();
        token.tax(address(0), address(0));
        vm.expectRevert();
        flash(address(token), AMOUNT, fromToken(address(token)));
        vm.expectRevert();
        flash(a, AMOUNT, throughToken(address(token)));
        vm.expectRevert();
        own(a, AMOUNT, throughToken(address(token)));
        bytes memory reason = abi.encodeWithSelector(
            IExecutor.ShortTransfer.selector, address(token), AMOUNT * 99 / 100, AMOUNT
        );
        vm.expectRevert(reason);
        own(address(token), AMOUNT, fromToken(address(token)));
        isUntouched(address(token));
    }

    /// @dev Only the pull is short, and the hoard would cover it: the pools would notice nothing.
    function test_a_fee_on_the_pull_is_not_paid_from_the_hoard() external {
        FeeToken token = feeToken();
        token.tax(operator, address(0));
        bytes memory reason = abi.encodeWithSelector(
            IExecutor.ShortTransfer.selector, address(token), AMOUNT * 99 / 100, AMOUNT
        );
        vm.expectRevert(reason);
        own(address(token), AMOUNT, fromToken(address(token)));
    }

    /// @dev The surplus would stay behind.
    function test_a_pull_that_brings_more_is_refused() external {
        address token = address(new BonusToken());
        addToken(token);
        uint256 got = AMOUNT + AMOUNT / 100;
        vm.expectRevert(
            abi.encodeWithSelector(IExecutor.ShortTransfer.selector, token, got, AMOUNT)
        );
        own(token, AMOUNT, fromToken(token));
    }

    /// @dev Only the delivery is short. Going by the pool's word, the next leg would sell some of
    /// the hoard.
    function test_a_fee_on_delivery_is_borne_by_the_cycle() external {
        FeeToken token = feeToken();
        uint256 start = vm.snapshotState();
        uint256 fullProfit = flash(a, AMOUNT, throughToken(address(token)));
        vm.revertToState(start);
        token.tax(pair, address(0));
        uint256 profit = flash(a, AMOUNT, throughToken(address(token)));
        isTrue(profit > 0 && profit < fullProfit, "less profit");
        isUntouched(address(token));
        vm.revertToState(start);
        token.tax(pair, address(0));
        eq(own(a, AMOUNT, throughToken(address(token))), profit, "own: the same");
        eq(IERC20(address(token)).balanceOf(address(executor)), HOARD, "hoard");
    }

    /// @dev The executor's own delta would look fine; the operator's does not.
    function test_a_fee_on_the_pay_out_counts_against_the_profit() external {
        FeeToken token = feeToken();
        IExecutor.Leg[] memory list = fromToken(address(token));
        uint256 start = vm.snapshotState();
        uint256 full = flash(address(token), AMOUNT, list);
        vm.revertToState(start);

        token.tax(address(0), operator);
        uint256 net = full - full / 100;
        bytes memory reason = abi.encodeWithSelector(IExecutor.Unprofitable.selector, net, net + 1);
        vm.prank(operator);
        vm.expectRevert(reason);
        executor.flash(address(token), AMOUNT, net + 1, FOREVER, list);
        vm.prank(operator);
        eq(executor.flash(address(token), AMOUNT, net, FOREVER, list), net, "net");
    }

    /// @dev One percent of everything that comes back is more than the cycle earned: a loss, even
    /// with no floor.
    function test_a_pay_out_that_eats_the_capital_is_refused() external {
        FeeToken token = feeToken();
        token.tax(address(0), operator);
        // Only a small cycle on near prices earns less than one percent.
        uint8 near = SUSHI_V2;
        addPool(near, a, address(token), 101);
        IExecutor.Leg[] memory list = legs(leg(UNI_V3, a), leg(near, address(token)));
        vm.expectRevert(abi.encodeWithSelector(IExecutor.Unprofitable.selector, 0, 0));
        own(address(token), AMOUNT, list);
    }
}
