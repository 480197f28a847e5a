//! The chain of the fifty pools: tokens, factories, pools, and traders who pay what a pool asks of
//! them. Nothing is mined but when told.

use std::ops::Range;

use alloy::primitives::aliases::U24;
use alloy::primitives::{Address, B256, Bytes, U160, U256, hex, keccak256};
use alloy::providers::DynProvider;
use alloy::sol_types::{SolConstructor, SolValue};
use anyhow::{Context, Result, ensure};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tidekeeper::engine::setup::{ChainSetup, Curve, PoolSetup, TokenSetup};
use tidekeeper::market::pools::v4::key::PoolKey;
use tidekeeper::math::amm::tick::sqrt_price_at;
use tidekeeper::model::chain::PoolAddress;
use tidekeeper::venues::erc20::Erc20;
use tidekeeper::venues::uniswap_v2::{PAIR_INIT_CODE_HASH, pair_address};
use tidekeeper::venues::uniswap_v3::abi::NonfungiblePositionManager as Positions;
use tidekeeper::venues::uniswap_v3::pool_address;
use tidekeeper::world::anvil::AnvilProcess;
use tidekeeper::world::artifacts::Artifacts;
use tidekeeper::world::chain::{self, Deed};

use super::super::stage;
use crate::bytecode::abi::{PairFactory, Pool, PoolFactory, Singleton, Token, int24, key_of};
use crate::bytecode::stage::{PAYER, PAYER_CODE, V4Site};

const CHAIN: u64 = 31_337;
const N_TOKENS: usize = 6;
/// Pools of each exchange: fifty.
const N_PAIRS: usize = 12;
const N_SUSHI_PAIRS: usize = 10;
const N_V3: usize = 9;
const N_SUSHI_V3: usize = 7;
const N_V4: usize = 12;
/// Fees and grids of V3 pools; the first three every factory has.
const TIERS: [(u32, i32); 6] =
    [(500, 10), (3_000, 60), (10_000, 200), (100, 20), (2_500, 50), (30_000, 400)];
const N_OWN_TIERS: usize = 3;
/// Fees and grids of V4 pools.
const V4_GRIDS: [(u32, i32); 6] =
    [(100, 1), (500, 10), (3_000, 60), (10_000, 200), (0, 30), (2_500, 50)];
/// One in so many V4 pools has the native coin.
const NATIVE_EVERY: usize = 3;
const PAIR_FEE_PIPS: u32 = 3_000;
/// Ticks to either side of one, within which a pool begins.
const START_REACH: i32 = 1_000;
/// What a trader has of each token: more than all acts can spend.
const PURSE: U256 = U256::from_limbs([0, 1 << 46, 0, 0]);
/// Gas of any transaction here at most, and of a block.
const GAS: &str = "0x7a1200";
const BLOCK_GAS: u64 = 1_000_000_000;
/// Wei per gas that is always enough.
const FEE_MAX: &str = "0xe8d4a51000";
/// Accounts of the node by role.
const OWNER: usize = 0;
const TRADERS: Range<usize> = 1..5;
const SIGNER: usize = 9;
/// An account that runs another's code (EIP-7702).
const DELEGATED: [u8; 3] = hex!("ef0100");

/// The chain and who acts on it.
pub(super) struct Ground {
    pub(super) provider: DynProvider,
    pub(super) anvil: AnvilProcess,
    /// Owns the factories and sets the protocol's fees.
    pub(super) owner: Address,
    pub(super) traders: Vec<Address>,
    pub(super) v4: V4Site,
    pub(super) pair_factories: [Address; 2],
    /// What a watcher is told of it.
    pub(super) setup: ChainSetup,
}

/// A transaction as the node is asked for it.
pub(super) fn request(deed: &Deed) -> Value {
    json!({ "from": deed.from, "to": deed.to, "input": deed.input, "value": deed.value,
        "gas": GAS, "maxFeePerGas": FEE_MAX, "maxPriorityFeePerGas": "0x1" })
}

impl Ground {
    /// A fresh chain with fifty pools, opened at drawn prices and still empty.
    pub(super) async fn build(rng: &mut StdRng) -> Result<Self> {
        let (anvil, artifacts) = stage::empty_chain("fifty", CHAIN)?;
        let provider = chain::connect(&anvil.http_url)?;
        let accounts: Vec<Address> = chain::raw(&provider, "eth_accounts", ()).await?;
        let owner = accounts[OWNER];
        let yard = Yard { provider: provider.clone(), artifacts, owner };
        let site = yard.contracts().await?;
        let plots = site.plots(rng);
        ensure!(plots.len() == 50, "{} pools", plots.len());
        let (pools, openings): (Vec<PoolSetup>, Vec<Vec<Deed>>) = plots.into_iter().unzip();
        let setup = chain_setup(&site, accounts[SIGNER], pools);
        let ground = Self {
            provider,
            anvil,
            owner,
            traders: accounts[TRADERS].to_vec(),
            v4: site.v4,
            pair_factories: site.pair_factories,
            setup,
        };
        ground.hand_over().await?;
        let mut deeds = ground.purses(&site);
        deeds.extend(site.tiers());
        deeds.extend(openings.into_iter().flatten());
        ground.must(&deeds).await.context("opening the pools")?;
        Ok(ground)
    }

    /// Blocks come when told from here on, and traders answer what a pool asks of them.
    async fn hand_over(&self) -> Result<()> {
        let node = &self.provider;
        let _: Value = chain::raw(node, "evm_setIntervalMining", (0,)).await?;
        let _: Value = chain::raw(node, "evm_setAutomine", (false,)).await?;
        let _: Value = chain::raw(node, "evm_setBlockGasLimit", (BLOCK_GAS,)).await?;
        let code = Bytes::from_static(&PAYER_CODE);
        let _: Value = chain::raw(node, "anvil_setCode", (PAYER, code)).await?;
        let delegated: Bytes = [&DELEGATED[..], PAYER.as_slice()].concat().into();
        for trader in &self.traders {
            let _: Value = chain::raw(node, "anvil_setCode", (*trader, delegated.clone())).await?;
        }
        Ok(())
    }

    /// Everybody's tokens, and leave for V4's contracts to take them.
    fn purses(&self, site: &Site) -> Vec<Deed> {
        let set = Singleton::setProtocolFeeControllerCall { controller: self.owner };
        let mut deeds = vec![Deed::call(self.owner, site.v4.singleton, &set)];
        for (token, trader) in
            site.tokens.iter().flat_map(|token| self.traders.iter().map(move |by| (*token, *by)))
        {
            let mint = Token::mintCall { to: trader, amount: PURSE };
            deeds.push(Deed::call(self.owner, token, &mint));
            for spender in [site.v4.swapper, site.v4.provider, site.v4.donor] {
                let approve = Token::approveCall { spender, amount: U256::MAX };
                deeds.push(Deed::call(trader, token, &approve));
            }
        }
        deeds
    }

    /// Hands a transaction to the node; it waits for the next block.
    pub(super) async fn send(&self, deed: &Deed) -> Result<()> {
        let sent: Result<B256, _> =
            chain::raw(&self.provider, "eth_sendTransaction", (request(deed),)).await;
        sent.map(drop).with_context(|| format!("{deed:?}"))
    }

    /// A block of everything that waits; its height.
    pub(super) async fn mine(&self) -> Result<u64> {
        let _: Value = chain::raw(&self.provider, "evm_mine", ()).await?;
        Ok(chain::head(&self.provider).await?.number)
    }

    /// Transactions of a block: all of them, and those that were refused.
    pub(super) async fn outcome(&self, number: u64) -> Result<[u64; 2]> {
        let block = (format!("{number:#x}"),);
        let receipts: Vec<Value> =
            chain::raw(&self.provider, "eth_getBlockReceipts", block).await?;
        let refused = receipts.iter().filter(|receipt| receipt["status"] == "0x0").count();
        Ok([u64::try_from(receipts.len())?, u64::try_from(refused)?])
    }

    /// A block of transactions that must all go through.
    pub(super) async fn must(&self, deeds: &[Deed]) -> Result<u64> {
        for deed in deeds {
            self.send(deed).await?;
        }
        let number = self.mine().await?;
        let [done, refused] = self.outcome(number).await?;
        ensure!(refused == 0, "{refused} of {done} transactions were refused");
        ensure!(done == u64::try_from(deeds.len())?, "{done} of {} were mined", deeds.len());
        Ok(number)
    }
}

fn chain_setup(site: &Site, signer: Address, pools: Vec<PoolSetup>) -> ChainSetup {
    let token = |address: &Address| TokenSetup {
        address: *address,
        symbol: address.to_string(),
        decimals: 18,
        asset: "PLAY".into(),
    };
    ChainSetup {
        chain: CHAIN,
        name: "fifty".into(),
        native: "ETH".into(),
        signer,
        position_manager: site.position_manager,
        router: None,
        executor: None,
        tokens: site.tokens.iter().map(token).collect(),
        pools,
        stale_after_ms: 60_000,
        block_time_ms: 1_000,
        max_fee: 0,
        max_priority_fee: 0,
        final_after_blocks: 64,
        min_native: U256::ZERO,
        exit_reserve: U256::ZERO,
    }
}

/// Who builds with which code.
struct Yard {
    provider: DynProvider,
    artifacts: Artifacts,
    owner: Address,
}

impl Yard {
    async fn create(&self, name: &str, arguments: &[u8]) -> Result<Address> {
        let mut code = self.artifacts.init_code(name, &[])?;
        code.extend_from_slice(arguments);
        let created = chain::create(&self.provider, self.owner, code.into()).await;
        created.with_context(|| format!("creating {name}"))
    }

    async fn contracts(&self) -> Result<Site> {
        let _: Value = chain::raw(&self.provider, "evm_setAutomine", (true,)).await?;
        let mut tokens = Vec::new();
        for index in 0..N_TOKENS {
            let token = Erc20::constructorCall {
                _name: format!("Play {index}"),
                _symbol: format!("P{index}"),
                _decimals: 18,
            };
            tokens.push(self.create("MockERC20", &token.abi_encode()).await?);
        }
        tokens.sort();
        let setter = self.owner.abi_encode();
        let pairs = self.create("UniswapV2Factory", &setter).await?;
        let sushi_pairs = self.create("SushiV2Factory", &setter).await?;
        let v3 = self.create("UniswapV3Factory", &[]).await?;
        let sushi_v3 = self.create("UniswapV3Factory", &[]).await?;
        // Nobody here wraps coins, and no position is drawn.
        let positions = Positions::constructorCall {
            _factory: v3,
            _WETH9: tokens[0],
            _tokenDescriptor_: Address::ZERO,
        };
        let positions = positions.abi_encode();
        let position_manager = self.create("NonfungiblePositionManager", &positions).await?;
        let singleton = self.create("PoolManager", &setter).await?;
        let beside = singleton.abi_encode();
        let v4 = V4Site {
            singleton,
            swapper: self.create("PoolSwapTest", &beside).await?,
            provider: self.create("PoolModifyLiquidityTest", &beside).await?,
            donor: self.create("PoolDonateTest", &beside).await?,
        };
        Ok(Site {
            owner: self.owner,
            tokens,
            pair_factories: [pairs, sushi_pairs],
            sushi_pair_hash: keccak256(self.artifacts.init_code("SushiV2Pair", &[])?),
            pool_factories: [v3, sushi_v3],
            position_manager,
            v4,
        })
    }
}

/// What stands before any pool does.
struct Site {
    owner: Address,
    tokens: Vec<Address>,
    pair_factories: [Address; 2],
    sushi_pair_hash: B256,
    pool_factories: [Address; 2],
    position_manager: Address,
    v4: V4Site,
}

/// A pool, and what opens it.
type Plot = (PoolSetup, Vec<Deed>);

impl Site {
    fn plots(&self, rng: &mut StdRng) -> Vec<Plot> {
        let [uniswap, sushiswap] = self.pair_factories;
        let mut plots: Vec<Plot> = Vec::new();
        for index in 0..N_PAIRS {
            plots.push(self.pair("uniswap_v2", uniswap, PAIR_INIT_CODE_HASH, index));
        }
        for index in 0..N_SUSHI_PAIRS {
            plots.push(self.pair("sushiswap_v2", sushiswap, self.sushi_pair_hash, index));
        }
        let [uniswap, sushiswap] = self.pool_factories;
        for index in 0..N_V3 {
            plots.push(self.v3("uniswap_v3", uniswap, index, rng));
        }
        for index in 0..N_SUSHI_V3 {
            plots.push(self.v3("sushiswap_v3", sushiswap, index + 4, rng));
        }
        plots.extend((0..N_V4).map(|index| self.v4_pool(index, rng)));
        plots
    }

    /// Two tokens in their order; the first fifteen are all there are.
    fn couple(&self, index: usize) -> [Address; 2] {
        let couples = self.tokens.iter().enumerate().flat_map(|(place, lower)| {
            self.tokens[place + 1..].iter().map(move |higher| [*lower, *higher])
        });
        let couples: Vec<[Address; 2]> = couples.collect();
        couples[index % couples.len()]
    }

    /// Switches on what a factory does not have from its first day.
    fn tiers(&self) -> Vec<Deed> {
        let own = &TIERS[N_OWN_TIERS..];
        let all = self.pool_factories.iter().flat_map(|at| own.iter().map(move |tier| (at, tier)));
        let deeds = all.map(|(factory, (fee_pips, spacing))| {
            let (fee, spacing) = (U24::from(*fee_pips), int24(*spacing));
            let call = PoolFactory::enableFeeAmountCall { fee, tickSpacing: spacing };
            Deed::call(self.owner, *factory, &call)
        });
        deeds.collect()
    }

    fn pair(&self, dex: &str, factory: Address, hash: B256, index: usize) -> Plot {
        let [token_a, token_b] = self.couple(index);
        let create = PairFactory::createPairCall { tokenA: token_a, tokenB: token_b };
        let pair = pair_address(factory, hash, token_a, token_b);
        let setup = pool_setup(dex, Curve::V2, pair.into(), [token_a, token_b], (PAIR_FEE_PIPS, 1));
        (setup, vec![Deed::call(self.owner, factory, &create)])
    }

    fn v3(&self, dex: &str, factory: Address, index: usize, rng: &mut StdRng) -> Plot {
        let [token_a, token_b] = self.couple(index);
        let (fee_pips, spacing) = TIERS[index % TIERS.len()];
        let pool = pool_address(factory, token_a, token_b, fee_pips);
        let fee = U24::from(fee_pips);
        let create = PoolFactory::createPoolCall { tokenA: token_a, tokenB: token_b, fee };
        let open = Pool::initializeCall { sqrtPriceX96: drawn_price(rng) };
        let setup =
            pool_setup(dex, Curve::V3, pool.into(), [token_a, token_b], (fee_pips, spacing));
        let create = Deed::call(self.owner, factory, &create);
        (setup, vec![create, Deed::call(self.owner, pool, &open)])
    }

    fn v4_pool(&self, index: usize, rng: &mut StdRng) -> Plot {
        let (fee_pips, tick_spacing) = V4_GRIDS[index % V4_GRIDS.len()];
        let [currency0, currency1] = if index.is_multiple_of(NATIVE_EVERY) {
            [Address::ZERO, self.tokens[index / NATIVE_EVERY % self.tokens.len()]]
        } else {
            self.couple(index)
        };
        let hooks = Address::ZERO;
        let key = PoolKey { currency0, currency1, fee_pips, tick_spacing, hooks };
        let call = Singleton::initializeCall { key: key_of(&key), sqrtPriceX96: drawn_price(rng) };
        let grid = (fee_pips, tick_spacing);
        let setup =
            pool_setup("uniswap_v4", Curve::V4, key.id().into(), [currency0, currency1], grid);
        let setup = PoolSetup { manager: Some(self.v4.singleton), key: Some(key), ..setup };
        (setup, vec![Deed::call(self.owner, self.v4.singleton, &call)])
    }
}

fn pool_setup(
    dex: &str,
    curve: Curve,
    address: PoolAddress,
    [token0, token1]: [Address; 2],
    (fee_pips, tick_spacing): (u32, i32),
) -> PoolSetup {
    PoolSetup {
        address,
        manager: None,
        key: None,
        dex: dex.into(),
        curve,
        executor_dex: None,
        pair: "PLAY/PLAY".into(),
        fee_pips,
        tick_spacing,
        token0,
        token1,
        base_is_token0: true,
    }
}

fn drawn_price(rng: &mut StdRng) -> U160 {
    let tick = rng.random_range(-START_REACH..=START_REACH);
    U160::saturating_from(sqrt_price_at(tick).expect("a tick of the protocol"))
}
