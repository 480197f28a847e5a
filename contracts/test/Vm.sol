// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

/// @dev The few cheat codes of forge that these tests use.
interface Vm {
    function assume(bool condition) external pure;
    function deal(address who, uint256 balance) external;
    function expectEmit(address emitter) external;
    function expectRevert() external;
    function expectRevert(bytes calldata data) external;
    function parseJsonBytes(string calldata json, string calldata key)
        external
        pure
        returns (bytes memory);
    function prank(address caller) external;
    function readFile(string calldata path) external view returns (string memory);
    function revertToState(uint256 id) external returns (bool);
    function roll(uint256 blockNumber) external;
    function snapshotGasLastCall(string calldata group, string calldata name)
        external
        returns (uint256);
    function snapshotState() external returns (uint256);
    function warp(uint256 time) external;
}

abstract contract Test {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    error Differs(string what, uint256 have, uint256 want);

    function eq(uint256 have, uint256 want, string memory what) internal pure {
        if (have != want) revert Differs(what, have, want);
    }

    function eq(address have, address want, string memory what) internal pure {
        eq(uint160(have), uint160(want), what);
    }

    function eq(bytes32 have, bytes32 want, string memory what) internal pure {
        eq(uint256(have), uint256(want), what);
    }

    function isTrue(bool have, string memory what) internal pure {
        eq(have ? 1 : 0, 1, what);
    }

    /// @dev Folds `value` into [low, high], so that no fuzz run is wasted.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }
}
