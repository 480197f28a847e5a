// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {Executor} from "../src/Executor.sol";
import {IExecutor} from "../src/IExecutor.sol";
import {IERC20, World} from "./World.sol";

/// @dev What the code is, as opposed to what it does.
contract ProductTest is World {
    uint256 internal constant CODE_SIZE_MAX = 24_576;

    /// @dev The committed file is what these tests test.
    function test_committed_bytecode_is_the_tested_one() external view {
        string memory json = vm.readFile("./Executor.json");
        bytes memory committed = vm.parseJsonBytes(json, ".bytecode");
        eq(keccak256(committed), keccak256(type(Executor).creationCode), "run.sh build");
    }

    function test_code_has_none_of_the_opcodes_it_must_not_have() external view {
        bytes memory code = address(executor).code;
        isTrue(code.length < CODE_SIZE_MAX, "EIP-170");
        for (uint256 i = 0; i < code.length; i++) {
            uint8 op = uint8(code[i]);
            isTrue(op != 0x32, "ORIGIN");
            isTrue(op != 0xf0 && op != 0xf5, "CREATE, CREATE2");
            isTrue(op != 0xf2 && op != 0xf4, "CALLCODE, DELEGATECALL");
            isTrue(op != 0xff, "SELFDESTRUCT");
            if (op >= 0x60 && op <= 0x7f) {
                // The operand of a PUSH is no code. A PUSH4 may be a selector, though.
                if (op == 0x63) isTrue(!isApproval(code, i), "approve");
                i += op - 0x5f;
            }
        }
    }

    function isApproval(bytes memory code, uint256 at) internal pure returns (bool) {
        bytes4 selector;
        for (uint256 i = 0; i < 4; i++) {
            selector |= bytes4(code[at + 1 + i]) >> (8 * i);
        }
        return selector == IERC20.approve.selector;
    }

    function test_it_takes_no_ether_and_has_no_other_doors() external {
        bytes4[11] memory selectors = [
            IExecutor.flash.selector,
            IExecutor.own.selector,
            IExecutor.uniswapV2Call.selector,
            IExecutor.uniswapV3SwapCallback.selector,
            IExecutor.pause.selector,
            IExecutor.unpause.selector,
            IExecutor.rescue.selector,
            IExecutor.owner.selector,
            IExecutor.operator.selector,
            IExecutor.paused.selector,
            IExecutor.dexCount.selector
        ];
        for (uint256 i = 0; i < selectors.length; i++) {
            isTrue(!pays(owner, abi.encodePacked(selectors[i])), "a payable function");
        }
        isTrue(!pays(owner, ""), "receive");
        isTrue(!pays(owner, hex"12345678"), "fallback");
        (bool isDone,) = address(executor).call(hex"12345678");
        isTrue(!isDone, "fallback without ether");
    }

    function pays(address from, bytes memory data) internal returns (bool isDone) {
        vm.deal(from, 1);
        vm.prank(from);
        (isDone,) = address(executor).call{value: 1}(data);
    }
}
