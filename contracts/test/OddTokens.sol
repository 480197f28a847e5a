// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

/// @dev What all the odd tokens share. Each oddity is one override.
abstract contract Ledger {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function move(address from, address to, uint256 amount) internal {
        balanceOf[from] -= amount;
        balanceOf[to] += amount - feeOf(from, to, amount);
    }

    function spend(address from, uint256 amount) internal {
        allowance[from][msg.sender] -= amount;
    }

    function feeOf(address, address, uint256) internal virtual returns (uint256) {
        return 0;
    }
}

/// @dev Returns true, as the standard says.
abstract contract TrueToken is Ledger {
    function transfer(address to, uint256 amount) public virtual returns (bool) {
        move(msg.sender, to, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) public virtual returns (bool) {
        spend(from, amount);
        move(from, to, amount);
        return true;
    }
}

/// @dev Returns nothing, as USDT does.
contract SilentToken is Ledger {
    function transfer(address to, uint256 amount) external {
        move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        spend(from, amount);
        move(from, to, amount);
    }
}

/// @dev Chooses what it answers to its victim, and whether it moves anything; honest to all others.
contract SayingToken is TrueToken {
    address public victim;
    bytes public saying;
    bool public isMoving;
    bool public isReverting;

    function say(address victim_, bytes calldata saying_, bool isMoving_) external {
        (victim, saying, isMoving) = (victim_, saying_, isMoving_);
    }

    /// @dev Reverts with what would otherwise pass for a yes.
    function sayByReverting(address victim_, bytes calldata saying_) external {
        (victim, saying, isReverting) = (victim_, saying_, true);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return msg.sender == victim ? speak(msg.sender, to, amount) : super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (msg.sender != victim) return super.transferFrom(from, to, amount);
        return speak(from, to, amount);
    }

    function speak(address from, address to, uint256 amount) private returns (bool) {
        if (isMoving) move(from, to, amount);
        bytes memory said = saying;
        bool isNo = isReverting;
        assembly ("memory-safe") {
            if isNo { revert(add(said, 0x20), mload(said)) }
            return(add(said, 0x20), mload(said))
        }
    }
}

/// @dev Keeps one percent of what goes from `payer` to `payee`; zero stands for anybody.
contract FeeToken is TrueToken {
    bool public isTaxing;
    address public payer;
    address public payee;

    function tax(address payer_, address payee_) external {
        (isTaxing, payer, payee) = (true, payer_, payee_);
    }

    function feeOf(address from, address to, uint256 amount)
        internal
        view
        override
        returns (uint256)
    {
        bool isPayer = payer == address(0) || payer == from;
        bool isPayee = payee == address(0) || payee == to;
        return isTaxing && isPayer && isPayee ? amount / 100 : 0;
    }
}

/// @dev Credits one percent more than was sent when it is pulled.
contract BonusToken is TrueToken {
    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        balanceOf[to] += amount / 100;
        return super.transferFrom(from, to, amount);
    }
}

/// @dev Calls `target` once when `trigger` sends or receives, and remembers the answer instead of
/// failing with it. It can also start a cycle itself, to be an operator or an owner that comes in a
/// second time.
contract HookedToken is TrueToken {
    address public trigger;
    address public target;
    bytes public data;
    bytes public answer;

    function hook(address trigger_, address target_, bytes calldata data_) external {
        (trigger, target, data, answer) = (trigger_, target_, data_, "");
    }

    function call(address to, bytes calldata data_) external returns (bytes memory) {
        (bool isDone, bytes memory said) = to.call(data_);
        require(isDone, "HookedToken: the first call failed");
        return said;
    }

    function feeOf(address from, address to, uint256) internal override returns (uint256) {
        if (trigger != address(0) && (from == trigger || to == trigger)) {
            trigger = address(0);
            (, answer) = target.call(data);
        }
        return 0;
    }
}
