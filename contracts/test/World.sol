// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.34;

import {Executor} from "../src/Executor.sol";
import {IExecutor} from "../src/IExecutor.sol";
import {EvilFactory, EvilPool} from "./Evil.sol";
import {Test} from "./Vm.sol";

interface IERC20 {
    function allowance(address holder, address spender) external view returns (uint256);
    function approve(address spender, uint256 amount) external;
    function balanceOf(address holder) external view returns (uint256);
    function mint(address to, uint256 amount) external;
    function transfer(address to, uint256 amount) external;
}

interface IFactoryV2 {
    function createPair(address tokenA, address tokenB) external returns (address);
    function getPair(address tokenA, address tokenB) external view returns (address);
}

interface IPair {
    function getReserves() external view returns (uint112, uint112, uint32);
    function mint(address to) external returns (uint256);
    function swap(uint256 out0, uint256 out1, address to, bytes calldata data) external;
    function sync() external;
}

interface IFactoryV3 {
    function createPool(address tokenA, address tokenB, uint24 fee) external returns (address);
    function getPool(address tokenA, address tokenB, uint24 fee) external view returns (address);
}

interface IPool {
    function initialize(uint160 sqrtPriceX96) external;
    function mint(address to, int24 low, int24 high, uint128 liquidity, bytes calldata data)
        external;
    function swap(address to, bool zeroForOne, int256 amount, uint160 limit, bytes calldata data)
        external;
}

/// @dev Real Uniswap V2, SushiSwap V2 and Uniswap V3 code, three tokens and four prices of A in B.
/// SushiSwap V3's pools have the creation code of Uniswap V3's (same hash), so a second Uniswap V3
/// factory stands for it.
abstract contract World is Test {
    uint8 internal constant UNI_V2 = 0;
    uint8 internal constant SUSHI_V2 = 1;
    uint8 internal constant UNI_V3 = 2;
    uint8 internal constant SUSHI_V3 = 3;
    uint8 internal constant EVIL_V2 = 4;
    uint8 internal constant EVIL_V3 = 5;
    uint8 internal constant N_REAL = 4;

    uint24 internal constant FEE = 3000;
    uint256 internal constant DEPTH = 1_000_000e18;
    uint256 internal constant DUST = 777;
    int24 internal constant TICK_MAX = 887220;
    uint256 internal constant FOREVER = type(uint256).max;

    address internal owner = address(0xC01D);
    address internal operator = address(0x407);
    address internal stranger = address(0xBAD);

    address internal a;
    address internal b;
    address internal c;
    address[4] internal factories;
    EvilFactory internal evilFactory;
    Executor internal executor;

    /// @dev What one A costs in B on each real dex, in percent. The spread between any two beats
    /// two fees.
    uint256[4] internal pricesPercent = [uint256(130), 115, 100, 144];

    function setUp() public virtual {
        deployDexes();
        a = newToken("A");
        b = newToken("B");
        c = newToken("C");
        for (uint8 dex = 0; dex < N_REAL; dex++) {
            addPool(dex, a, b, pricesPercent[dex]);
            addPool(dex, b, c, 100);
            addPool(dex, c, a, 100);
        }
        executor = new Executor(owner, operator, dexes());
        donateDust();
    }

    /* DEXES */

    function deployDexes() internal {
        factories[UNI_V2] = deploy("UniswapV2Factory", abi.encode(address(this)));
        factories[SUSHI_V2] = deploy("SushiV2Factory", abi.encode(address(this)));
        factories[UNI_V3] = deploy("UniswapV3Factory", "");
        factories[SUSHI_V3] = deploy("UniswapV3Factory", "");
        evilFactory = new EvilFactory();
    }

    function dexes() internal view returns (IExecutor.Dex[] memory list) {
        bytes32 uniV2 = 0x96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f;
        bytes32 sushiV2 = 0x8a1861e3cef8b973c5cfa3a2fb2e737ecf0ffd9dbf7c0acedd82a54ebeb01c94;
        bytes32 v3 = 0xe34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54;
        bytes32 evil = keccak256(type(EvilPool).creationCode);
        list = new IExecutor.Dex[](6);
        list[UNI_V2] = IExecutor.Dex(2, factories[UNI_V2], uniV2, FEE);
        list[SUSHI_V2] = IExecutor.Dex(2, factories[SUSHI_V2], sushiV2, FEE);
        list[UNI_V3] = IExecutor.Dex(3, factories[UNI_V3], v3, 0);
        list[SUSHI_V3] = IExecutor.Dex(3, factories[SUSHI_V3], v3, 0);
        list[EVIL_V2] = IExecutor.Dex(2, address(evilFactory), evil, FEE);
        list[EVIL_V3] = IExecutor.Dex(3, address(evilFactory), evil, 0);
    }

    /// @dev Creation code as tools/fetch-contracts.mjs keeps it; run.sh links its directory here.
    function deploy(string memory name, bytes memory arguments) internal returns (address at) {
        string memory path = string.concat("../target/contracts/bytecode/", name, ".json");
        string memory json = vm.readFile(path);
        bytes memory code = bytes.concat(vm.parseJsonBytes(json, ".bytecode"), arguments);
        assembly ("memory-safe") {
            at := create(0, add(code, 0x20), mload(code))
        }
        isTrue(at.code.length > 0, name);
    }

    function newToken(string memory symbol) internal returns (address) {
        return deploy("MockERC20", abi.encode(symbol, symbol, 18));
    }

    /* POOLS */

    function isV2(uint8 dex) internal pure returns (bool) {
        return dex == UNI_V2 || dex == SUSHI_V2;
    }

    function poolOf(uint8 dex, address x, address y) internal view returns (address) {
        if (isV2(dex)) return IFactoryV2(factories[dex]).getPair(x, y);
        return IFactoryV3(factories[dex]).getPool(x, y, FEE);
    }

    /// @dev A pool in which one `x` costs `percent` / 100 of `y`.
    function addPool(uint8 dex, address x, address y, uint256 percent)
        internal
        returns (address pool)
    {
        if (isV2(dex)) {
            pool = IFactoryV2(factories[dex]).createPair(x, y);
            IERC20(x).mint(pool, DEPTH);
            IERC20(y).mint(pool, DEPTH * percent / 100);
            IPair(pool).mint(address(this));
        } else {
            pool = IFactoryV3(factories[dex]).createPool(x, y, FEE);
            uint256 tenths = rootTenths(percent);
            IPool(pool)
                .initialize(uint160(x < y ? (1 << 96) * tenths / 10 : (1 << 96) * 10 / tenths));
            IPool(pool).mint(address(this), -TICK_MAX, TICK_MAX, uint128(DEPTH), abi.encode(x, y));
        }
    }

    /// @dev Ten times the root of `percent` / 100, for the squares that V3 pools are opened at.
    function rootTenths(uint256 percent) internal pure returns (uint256 root) {
        while (root * root < percent) root++;
        eq(root * root, percent, "a V3 pool's price must be a square");
    }

    function uniswapV3MintCallback(uint256 owed0, uint256 owed1, bytes calldata data) external {
        (address x, address y) = abi.decode(data, (address, address));
        IERC20(x < y ? x : y).mint(msg.sender, owed0);
        IERC20(x < y ? y : x).mint(msg.sender, owed1);
    }

    /// @dev A plain V3 swap by this contract, which mints what it pays.
    function swapAsUser(uint8 dex, address tokenIn, address tokenOut, uint256 amount)
        internal
        returns (uint256)
    {
        bool zeroForOne = tokenIn < tokenOut;
        uint160 limit = zeroForOne ? 4295128740 : 1461446703485210103287273052203988822378723970341;
        uint256 held = IERC20(tokenOut).balanceOf(address(this));
        address pool = poolOf(dex, tokenIn, tokenOut);
        IPool(pool).swap(address(this), zeroForOne, int256(amount), limit, abi.encode(tokenIn));
        return IERC20(tokenOut).balanceOf(address(this)) - held;
    }

    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata data) external {
        IERC20(abi.decode(data, (address))).mint(msg.sender, uint256(delta0 > 0 ? delta0 : delta1));
    }

    /* CYCLES */

    function leg(uint8 dex, address tokenOut) internal pure returns (IExecutor.Leg memory) {
        return IExecutor.Leg(dex, FEE, tokenOut);
    }

    function legs(IExecutor.Leg memory one, IExecutor.Leg memory two)
        internal
        pure
        returns (IExecutor.Leg[] memory list)
    {
        list = new IExecutor.Leg[](2);
        list[0] = one;
        list[1] = two;
    }

    function legs(IExecutor.Leg memory one, IExecutor.Leg memory two, IExecutor.Leg memory three)
        internal
        pure
        returns (IExecutor.Leg[] memory list)
    {
        list = new IExecutor.Leg[](3);
        list[0] = one;
        list[1] = two;
        list[2] = three;
    }

    /// @dev A cycle that pays: A is dear on Uniswap V2 and cheap on Uniswap V3.
    function goodLegs() internal view returns (IExecutor.Leg[] memory) {
        return legs(leg(UNI_V2, b), leg(UNI_V3, a));
    }

    function flash(address token, uint256 amountIn, IExecutor.Leg[] memory list)
        internal
        returns (uint256)
    {
        vm.prank(operator);
        return executor.flash(token, amountIn, 0, FOREVER, list);
    }

    function own(address token, uint256 amountIn, IExecutor.Leg[] memory list)
        internal
        returns (uint256)
    {
        vm.prank(operator);
        return executor.own(token, amountIn, 0, FOREVER, list);
    }

    function fund(address token, uint256 amount) internal {
        IERC20(token).mint(operator, amount);
        vm.prank(operator);
        IERC20(token).approve(address(executor), amount);
    }

    /* WHAT MUST HOLD AFTER EVERYTHING */

    function donateDust() internal {
        IERC20(a).mint(address(executor), DUST);
        IERC20(b).mint(address(executor), DUST);
        IERC20(c).mint(address(executor), DUST);
    }

    function isClean() internal view {
        address[3] memory tokens = [a, b, c];
        for (uint256 i = 0; i < 3; i++) {
            eq(IERC20(tokens[i]).balanceOf(address(executor)), DUST, "only the dust is left");
            noAllowance(tokens[i], owner);
            noAllowance(tokens[i], operator);
            noAllowance(tokens[i], stranger);
            for (uint8 dex = 0; dex < N_REAL; dex++) {
                noAllowance(tokens[i], poolOf(dex, a, b));
                noAllowance(tokens[i], poolOf(dex, b, c));
                noAllowance(tokens[i], poolOf(dex, c, a));
            }
        }
    }

    function noAllowance(address token, address spender) internal view {
        eq(IERC20(token).allowance(address(executor), spender), 0, "allowance");
    }
}
