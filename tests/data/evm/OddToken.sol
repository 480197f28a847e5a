// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

/// @dev A token for the tests of the token probe, with one oddity. Balances and allowances stand in
/// the slots of solmate's ERC20, so that its code can be put in the place of a MockERC20.
contract OddToken {
    enum Oddity {
        None,
        Silent,
        FeeOnBuy,
        FeeOnSell,
        FeeOnRouter,
        Bonus,
        Trap,
        Rebasing,
        Meddling,
        Refusing
    }

    uint256[3] private nameSymbolAndSupply;
    mapping(address => uint256) private held;
    mapping(address => mapping(address => uint256)) public allowance;
    uint256 private nonces;

    Oddity public oddity;
    address public pool;
    uint8 public decimals;
    uint256 private bornAt;
    address private last;

    function be(Oddity oddity_, address pool_, uint8 decimals_) external {
        (oddity, pool, decimals) = (oddity_, pool_, decimals_);
        bornAt = block.timestamp;
    }

    function mint(address to, uint256 amount) external {
        held[to] += amount;
    }

    /// @dev A rebasing token adds a thousandth of a balance for each whole day.
    function balanceOf(address holder) external view returns (uint256) {
        if (oddity != Oddity.Rebasing) return held[holder];
        return held[holder] * (1000 + (block.timestamp - bornAt) / 1 days) / 1000;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return answer(msg.sender, to, amount, false);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        return answer(from, to, amount, true);
    }

    function answer(address from, address to, uint256 amount, bool isByRouter)
        private
        returns (bool)
    {
        if (oddity == Oddity.Refusing) return false;
        move(from, to, amount, isByRouter);
        if (oddity == Oddity.Silent) {
            assembly {
                return(0, 0)
            }
        }
        return true;
    }

    function move(address from, address to, uint256 amount, bool isByRouter) private {
        require(oddity != Oddity.Trap || to != pool, "OddToken: no way back");
        held[from] -= amount;
        uint256 got = amount;
        if (oddity == Oddity.FeeOnBuy && from == pool) got -= amount / 1000;
        if (oddity == Oddity.FeeOnSell && to == pool) got -= amount / 1000;
        if (oddity == Oddity.FeeOnRouter && isByRouter) got -= amount / 1000;
        if (oddity == Oddity.Bonus) got += 1;
        // Takes from whoever got something before, unless it takes part.
        if (oddity == Oddity.Meddling && held[last] > 0 && last != from && last != to) {
            held[last] -= 1;
        }
        held[to] += got;
        last = to;
    }
}
