// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {IExecutor} from "../src/IExecutor.sol";

interface ITransfer {
    function transfer(address to, uint256 amount) external;
}

/// @dev A caller that is nobody's pool, and says all that a pool would say.
contract Messenger {
    function callV2(address to, address sender, bytes calldata data) external {
        IExecutor(to).uniswapV2Call(sender, 0, 0, data);
    }

    function callV3(address to, int256 delta0, int256 delta1, bytes calldata data) external {
        IExecutor(to).uniswapV3SwapCallback(delta0, delta1, data);
    }
}

/// @dev Deploys evil pools where honest ones would be, as if a listed factory had gone bad.
contract EvilFactory {
    function create(bytes32 salt) external returns (EvilPool) {
        return new EvilPool{salt: salt}();
    }
}

/// @dev Answers both types' swaps. Each deed is one way to betray the caller.
contract EvilPool {
    enum Deed {
        Honest,
        NoCallback,
        Twice,
        OtherData,
        OtherSender,
        OtherCaller,
        Partial,
        Greedy
    }

    Deed public deed;
    address public out;
    uint256 public outAmount;
    bytes public lastData;

    function setUp(Deed deed_, address out_, uint256 outAmount_) external {
        (deed, out, outAmount) = (deed_, out_, outAmount_);
    }

    function getReserves() external pure returns (uint112, uint112, uint32) {
        return (1e24, 1e24, 0);
    }

    function swap(uint256, uint256, address to, bytes calldata data) external {
        ITransfer(out).transfer(to, outAmount);
        lastData = data;
        if (deed == Deed.NoCallback) return;
        address sender = deed == Deed.OtherSender ? tx.origin : to;
        if (deed == Deed.OtherCaller) new Messenger().callV2(to, sender, data);
        else IExecutor(to).uniswapV2Call(sender, 0, 0, told(data));
        if (deed == Deed.Twice) IExecutor(to).uniswapV2Call(to, 0, 0, data);
    }

    function swap(address to, bool zeroForOne, int256 amount, uint160, bytes calldata data)
        external
        returns (int256, int256)
    {
        ITransfer(out).transfer(to, outAmount);
        lastData = data;
        if (deed == Deed.Partial) amount -= 1;
        if (deed == Deed.Greedy) amount += 1;
        (int256 delta0, int256 delta1) = zeroForOne ? (amount, int256(-1)) : (int256(-1), amount);
        if (deed == Deed.NoCallback) return (0, 0);
        if (deed == Deed.OtherCaller) new Messenger().callV3(to, delta0, delta1, data);
        else IExecutor(to).uniswapV3SwapCallback(delta0, delta1, told(data));
        if (deed == Deed.Twice) IExecutor(to).uniswapV3SwapCallback(delta0, delta1, data);
        return (delta0, delta1);
    }

    /// @dev The debt's amount is in the second word; one unit more is enough to lie.
    function told(bytes calldata data) private view returns (bytes memory lie) {
        lie = data;
        if (deed == Deed.OtherData) lie[63] = bytes1(uint8(lie[63]) ^ 1);
    }
}
