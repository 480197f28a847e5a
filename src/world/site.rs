//! The steps of building the demo's chain: contracts, tokens, pools, purses.
//!
//! Invariant: every pool's address is the one its factory's CREATE2 rule gives, so its code is the
//! expected code. SushiSwap V3: pool code byte-identical to SushiSwap V3's; factory and periphery
//! are Uniswap's.

mod pools;

use alloy::primitives::aliases::{I24, U24};
use alloy::primitives::{Address, B256, Bytes, U256, b256, keccak256, uint};
use alloy::providers::DynProvider;
use alloy::sol_types::{SolCall, SolConstructor, SolValue};
use rust_decimal::Decimal;
use thiserror::Error;

use crate::math::amm::AmmError;
use crate::model::amount::raw_down;
use crate::venues::erc20::{Erc20, Weth9};
use crate::venues::executor::{Executor, KIND_V2, KIND_V3};
use crate::venues::uniswap_v2::abi::{UniswapV2Factory, UniswapV2Router02};
use crate::venues::uniswap_v3::abi::{
    NonfungiblePositionManager as Positions, QuoterV2, SwapRouter, SwapRouter02, UniswapV3Factory,
};
use crate::venues::uniswap_v3::calls::EncodeError;
use crate::venues::{erc20, uniswap_v2, uniswap_v3};
use crate::world::artifacts::{self, ArtifactError, Artifacts};
use crate::world::chain::{self, ChainError, Deed};
use crate::world::manifest::{Accounts, Contracts, SushiV3, V4};
use crate::world::plan::{Ether, Pair, Purse, WorldPlan};
use crate::world::price::{BASE_DECIMALS, QUOTE_DECIMALS};
use crate::world::v4;

/// The lowest fee tier, which the factory's owner must switch on: pips and tick spacing.
const LOWEST_TIER: (U24, I24) = (uint!(100_U24), I24::ONE);
/// Fee of every V2 pair.
const V2_FEE_PIPS: u32 = 3_000;
/// Keccak of the code of mainnet's SushiSwap pair, compiled into the published router.
const SUSHI_MAINNET_PAIR_HASH: B256 =
    b256!("e18a34eb0e04b04f7a0ac29a6e80748dca96319b42c54d679cb821dca90c6303");
/// The executor's numbers of the exchanges, in the order they are given to it.
pub(crate) const DEX_UNISWAP_V2: u8 = 0;
pub(crate) const DEX_SUSHISWAP_V2: u8 = 1;
pub(crate) const DEX_UNISWAP_V3: u8 = 2;
pub(crate) const DEX_SUSHISWAP_V3: u8 = 3;

/// Why the world could not be built.
#[derive(Debug, Error)]
pub enum DeployError {
    /// A transaction or call failed.
    #[error("{doing}")]
    Chain { doing: &'static str, source: ChainError },
    /// A contract's code is missing or wrong.
    #[error("contract code")]
    Artifact(#[from] ArtifactError),
    /// The plan's numbers do not make a pool.
    #[error("pool arithmetic")]
    Amm(#[from] AmmError),
    /// A number of the plan does not fit a contract's argument.
    #[error("calldata")]
    Encode(#[from] EncodeError),
    /// The same for a contract of V4.
    #[error("calldata of V4")]
    V4(#[from] v4::EncodeError),
    /// The plan holds an amount that is negative or too large.
    #[error("amount {0} does not fit its token")]
    Amount(Decimal),
    /// The plan's fee tier does not fit or is not enabled.
    #[error("fee tier of {0} pips does not exist")]
    Tier(u32),
    /// A pool is not where its factory's rule puts it: its code is not the expected code.
    #[error("pool is at {found}, expected at {expected}")]
    Misplaced { expected: Address, found: Address },
    /// The router is not the published one.
    #[error("the router holds mainnet's pair code hash {found} times, not once")]
    PairHash { found: usize },
    /// The node has fewer accounts than there are roles.
    #[error("the node has {0} accounts, too few for the roles of the world")]
    Accounts(usize),
}

/// Says what was being done when the chain failed.
pub(crate) fn at<T>(doing: &'static str, result: Result<T, ChainError>) -> Result<T, DeployError> {
    result.map_err(|source| DeployError::Chain { doing, source })
}

fn base_raw(amount: Decimal) -> Result<U256, DeployError> {
    raw_down(amount, BASE_DECIMALS.into()).ok_or(DeployError::Amount(amount))
}

fn quote_raw(amount: Decimal) -> Result<U256, DeployError> {
    raw_down(amount, QUOTE_DECIMALS.into()).ok_or(DeployError::Amount(amount))
}

/// The building site: who builds what with which code.
pub(crate) struct Site<'a> {
    pub(crate) provider: &'a DynProvider,
    pub(crate) artifacts: &'a Artifacts,
    pub(crate) plan: &'a WorldPlan,
    pub(crate) from: Address,
}

impl Site<'_> {
    pub(crate) async fn contracts(&self) -> Result<Contracts, DeployError> {
        let owner = self.from;
        let weth = self.create("WETH9", &[], &[]).await?;
        let usdt = self.dollar("USDT").await?;
        let usdc = self.dollar("USDC").await?;
        let v2_factory = UniswapV2Factory::constructorCall { _feeToSetter: owner };
        let v2_factory = self.create("UniswapV2Factory", &[], &v2_factory.abi_encode()).await?;
        let v2_router = UniswapV2Router02::constructorCall { _factory: v2_factory, _WETH: weth };
        let v2_router = self.create("UniswapV2Router02", &[], &v2_router.abi_encode()).await?;
        let (sushi_factory, sushi_router) = self.sushiswap(weth).await?;
        let v3_factory = self.create("UniswapV3Factory", &[], &[]).await?;
        self.enable_lowest_tier(v3_factory).await?;
        let position_manager = self.position_manager(v3_factory, weth).await?;
        let swap_router = SwapRouter::constructorCall { _factory: v3_factory, _WETH9: weth };
        let swap_router = self.create("SwapRouter", &[], &swap_router.abi_encode()).await?;
        let swap_router02 = SwapRouter02::constructorCall {
            _factoryV2: v2_factory,
            factoryV3: v3_factory,
            _positionManager: position_manager,
            _WETH9: weth,
        };
        let swap_router02 = self.create("SwapRouter02", &[], &swap_router02.abi_encode()).await?;
        let quoter = QuoterV2::constructorCall { _factory: v3_factory, _WETH9: weth };
        let quoter = self.create("QuoterV2", &[], &quoter.abi_encode()).await?;
        self.create("TickLens", &[], &[]).await?;
        let (sushi_v3, v4) = (self.sushiswap_v3(weth).await?, self.uniswap_v4().await?);
        Ok(Contracts {
            weth,
            usdt,
            usdc,
            v2_factory,
            v2_router,
            sushi_factory,
            sushi_router,
            v3_factory,
            position_manager,
            swap_router,
            swap_router02,
            quoter,
            sushi_v3,
            v4,
            // Comes last: it is told of all the others.
            executor: Address::ZERO,
        })
    }

    /// Uniswap's V3 contracts once more, without the descriptor that draws positions.
    async fn sushiswap_v3(&self, weth: Address) -> Result<SushiV3, DeployError> {
        let factory = self.create("UniswapV3Factory", &[], &[]).await?;
        let positions = Positions::constructorCall {
            _factory: factory,
            _WETH9: weth,
            _tokenDescriptor_: Address::ZERO,
        };
        let positions = positions.abi_encode();
        let position_manager = self.create("NonfungiblePositionManager", &[], &positions).await?;
        let router = SwapRouter::constructorCall { _factory: factory, _WETH9: weth };
        let router = self.create("SwapRouter", &[], &router.abi_encode()).await?;
        let quoter = QuoterV2::constructorCall { _factory: factory, _WETH9: weth };
        let quoter = self.create("QuoterV2", &[], &quoter.abi_encode()).await?;
        Ok(SushiV3 { factory, position_manager, router, quoter })
    }

    /// The deployer owns `PoolManager` and sets protocol fees.
    async fn uniswap_v4(&self) -> Result<V4, DeployError> {
        let pool_manager = self.create("PoolManager", &[], &self.from.abi_encode()).await?;
        let beside = pool_manager.abi_encode();
        let set = Deed::with_input(self.from, pool_manager, v4::set_controller(self.from));
        self.send("choosing who sets V4's protocol fees", set).await?;
        Ok(V4 {
            pool_manager,
            state_view: self.create("StateView", &[], &beside).await?,
            quoter: self.create("V4Quoter", &[], &beside).await?,
            swap_test: self.create("PoolSwapTest", &[], &beside).await?,
            liquidity_test: self.create("PoolModifyLiquidityTest", &[], &beside).await?,
        })
    }

    async fn dollar(&self, symbol: &str) -> Result<Address, DeployError> {
        let token = Erc20::constructorCall {
            _name: format!("Tidekeeper Test {symbol}"),
            _symbol: symbol.to_owned(),
            _decimals: QUOTE_DECIMALS,
        };
        self.create("MockERC20", &[], &token.abi_encode()).await
    }

    /// Factory and router. The published router looks for pairs by the code hash of mainnet's pair,
    /// which its own package does not contain: the one hash in it is replaced by that of the pair
    /// this factory really makes.
    async fn sushiswap(&self, weth: Address) -> Result<(Address, Address), DeployError> {
        let factory = UniswapV2Factory::constructorCall { _feeToSetter: self.from };
        let factory = self.create("SushiV2Factory", &[], &factory.abi_encode()).await?;
        let code = self.artifacts.init_code("SushiV2Router02", &[])?;
        let mut code = with_pair_hash(code, self.sushi_pair_hash()?)?;
        let router = UniswapV2Router02::constructorCall { _factory: factory, _WETH: weth };
        code.extend_from_slice(&router.abi_encode());
        let created = chain::create(self.provider, self.from, Bytes::from(code)).await;
        Ok((factory, at("SushiV2Router02", created)?))
    }

    fn sushi_pair_hash(&self) -> Result<B256, DeployError> {
        Ok(keccak256(self.artifacts.init_code("SushiV2Pair", &[])?))
    }

    /// The executor of one operator, told where pools of which code come from.
    pub(crate) async fn executor(
        &self,
        contracts: &Contracts,
        owner: Address,
        operator: Address,
    ) -> Result<Address, DeployError> {
        let v2 = |factory, hash| Executor::Dex {
            kind: KIND_V2,
            factory,
            initCodeHash: hash,
            feePips: U24::from(V2_FEE_PIPS),
        };
        let v3 = |factory| Executor::Dex {
            kind: KIND_V3,
            factory,
            initCodeHash: uniswap_v3::POOL_INIT_CODE_HASH,
            feePips: U24::ZERO,
        };
        let dexes = vec![
            v2(contracts.v2_factory, uniswap_v2::PAIR_INIT_CODE_HASH),
            v2(contracts.sushi_factory, self.sushi_pair_hash()?),
            v3(contracts.v3_factory),
            v3(contracts.sushi_v3.factory),
        ];
        let code = artifacts::executor_code(owner, operator, dexes)?;
        at("Executor", chain::create(self.provider, self.from, code).await)
    }

    async fn position_manager(
        &self,
        factory: Address,
        weth: Address,
    ) -> Result<Address, DeployError> {
        let pictures = self.create("NFTDescriptor", &[], &[]).await?;
        let label = B256::right_padding_from(b"ETH");
        let descriptor = self
            .create(
                "NonfungibleTokenPositionDescriptor",
                &[("NFTDescriptor", pictures)],
                &(weth, label).abi_encode_params(),
            )
            .await?;
        let positions = Positions::constructorCall {
            _factory: factory,
            _WETH9: weth,
            _tokenDescriptor_: descriptor,
        };
        self.create("NonfungiblePositionManager", &[], &positions.abi_encode()).await
    }

    async fn enable_lowest_tier(&self, factory: Address) -> Result<(), DeployError> {
        let (fee_pips, spacing) = LOWEST_TIER;
        let call = UniswapV3Factory::enableFeeAmountCall { fee: fee_pips, tickSpacing: spacing };
        self.send("enabling the lowest fee tier", Deed::call(self.from, factory, &call)).await
    }

    /// Gives everybody what the plan says, and the deployer what the pools need.
    pub(crate) async fn stock(
        &self,
        contracts: &Contracts,
        accounts: &Accounts,
    ) -> Result<(), DeployError> {
        let plan = self.plan;
        let add = |a: Decimal, b: Decimal| a.checked_add(b).ok_or(DeployError::Amount(b));
        let (mut pooled, mut dollars) = (add(plan.v2_base, plan.sushi_base)?, Decimal::ZERO);
        for pool in plan.v3_pools.iter().chain(&plan.sushi_v3_pools) {
            for band in &pool.bands {
                match pool.pair {
                    Pair::WethUsdt | Pair::WethUsdc => pooled = add(pooled, band.base)?,
                    Pair::UsdcUsdt => dollars = add(dollars, band.base)?,
                }
            }
        }
        // What is pooled as the coin itself is not wrapped.
        let mut coins = Decimal::ZERO;
        for pool in &plan.v4_pools {
            for band in &pool.bands {
                match pool.ether {
                    Ether::Wrapped => pooled = add(pooled, band.base)?,
                    Ether::Native => coins = add(coins, band.base)?,
                }
            }
        }
        let worth = self.value(add(pooled, coins)?)?;
        let own = Purse { base: pooled, quote: add(worth, dollars)? };
        let mint = Erc20::mintCall { to: self.from, value: quote_raw(own.quote)? };
        self.send("minting the second dollar", Deed::call(self.from, contracts.usdc, &mint))
            .await?;
        let traders = accounts.traders.iter().map(|trader| (*trader, plan.trader));
        let others = [
            (self.from, own),
            (accounts.signer, plan.agent),
            (accounts.arbitrageur, plan.arbitrageur),
        ];
        for (owner, purse) in others.into_iter().chain(traders) {
            self.fill(contracts, owner, purse).await?;
        }
        let ether = base_raw(plan.agent_ether)?;
        let set: Result<(), ChainError> =
            chain::raw(self.provider, "anvil_setBalance", (accounts.signer, ether)).await;
        at("setting the agent's ether", set)?;
        let Contracts { position_manager, v2_router, sushi_router, sushi_v3, v4, .. } = *contracts;
        let fillers = [position_manager, sushi_v3.position_manager, v4.liquidity_test];
        self.allow(contracts, &fillers).await?;
        self.allow(contracts, &[v2_router, sushi_router]).await
    }

    /// Wraps the owner's own ether and mints it test dollars.
    async fn fill(
        &self,
        contracts: &Contracts,
        owner: Address,
        purse: Purse,
    ) -> Result<(), DeployError> {
        let wrap = Deed {
            value: base_raw(purse.base)?,
            ..Deed::call(owner, contracts.weth, &Weth9::depositCall {})
        };
        self.send("wrapping ether", wrap).await?;
        let mint = Erc20::mintCall { to: owner, value: quote_raw(purse.quote)? };
        self.send("minting test dollars", Deed::call(self.from, contracts.usdt, &mint)).await
    }

    pub(crate) async fn allow(
        &self,
        contracts: &Contracts,
        spenders: &[Address],
    ) -> Result<(), DeployError> {
        for token in [contracts.weth, contracts.usdt, contracts.usdc] {
            for spender in spenders {
                let input = erc20::approve(*spender, U256::MAX);
                self.send("approving a router", Deed::with_input(self.from, token, input)).await?;
            }
        }
        Ok(())
    }

    /// Value of ether in test dollars at the start price.
    fn value(&self, base: Decimal) -> Result<Decimal, DeployError> {
        base.checked_mul(self.plan.price).ok_or(DeployError::Amount(base))
    }

    async fn create(
        &self,
        name: &'static str,
        libraries: &[(&str, Address)],
        arguments: &[u8],
    ) -> Result<Address, DeployError> {
        let mut code = self.artifacts.init_code(name, libraries)?;
        code.extend_from_slice(arguments);
        at(name, chain::create(self.provider, self.from, Bytes::from(code)).await)
    }

    async fn send(&self, doing: &'static str, deed: Deed) -> Result<(), DeployError> {
        at(doing, chain::send(self.provider, &deed).await).map(drop)
    }

    async fn read<C: SolCall>(
        &self,
        doing: &'static str,
        to: Address,
        call: &C,
    ) -> Result<C::Return, DeployError> {
        at(doing, chain::call(self.provider, to, call).await)
    }
}

/// The router's code with its one pair code hash replaced.
fn with_pair_hash(mut code: Vec<u8>, hash: B256) -> Result<Vec<u8>, DeployError> {
    let places: Vec<usize> = code
        .windows(B256::len_bytes())
        .enumerate()
        .filter(|(_, window)| *window == SUSHI_MAINNET_PAIR_HASH.as_slice())
        .map(|(place, _)| place)
        .collect();
    let [place] = places[..] else {
        return Err(DeployError::PairHash { found: places.len() });
    };
    code[place..place + B256::len_bytes()].copy_from_slice(hash.as_slice());
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_router_with_one_hash_is_changed() {
        let hash = B256::repeat_byte(7);
        let code = |n: usize| [&[1][..], &SUSHI_MAINNET_PAIR_HASH.repeat(n), &[2]].concat();
        let changed = with_pair_hash(code(1), hash).unwrap();
        assert_eq!(changed, [&[1][..], hash.as_slice(), &[2]].concat());
        for n in [0, 2] {
            assert!(matches!(
                with_pair_hash(code(n), hash),
                Err(DeployError::PairHash { found }) if found == n
            ));
        }
    }

    #[test]
    fn impossible_amounts_are_errors() {
        assert!(matches!(base_raw(Decimal::from(-1)), Err(DeployError::Amount(_))));
    }
}
