//! Many pools of the real contracts, read whole at one block: how long it takes and what it asks,
//! what stays when the endpoint fails in the middle, and that states of an earlier block come to
//! the same by the logs since.
//!
//! `TIDEKEEPER_POOLS` says how many; `make long` asks for 500.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alloy::primitives::aliases::{I24, U24};
use alloy::primitives::{Address, B256, Bytes as Calldata, I256, U160, U256};
use alloy::sol_types::SolConstructor;
use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use nix::sys::signal::Signal;
use serde_json::Value;
use tidekeeper::engine::event::Pool;
use tidekeeper::engine::setup::{Curve, PoolSetup};
use tidekeeper::io::chain::ChainClient;
use tidekeeper::io::chain::gap::KnownPools;
use tidekeeper::io::chain::load::{Load, Progress};
use tidekeeper::io::chain::roster::Roster;
use tidekeeper::market::pools::v4::key::PoolKey;
use tidekeeper::model::chain::{BlockRef, PoolAddress};
use tidekeeper::venues::erc20::{self, Erc20};
use tidekeeper::venues::uniswap_v2::abi::UniswapV2Router02;
use tidekeeper::venues::uniswap_v2::{PAIR_INIT_CODE_HASH, pair_address};
use tidekeeper::venues::uniswap_v3::abi::NonfungiblePositionManager as Positions;
use tidekeeper::venues::uniswap_v3::calls::{self, MintOrder};
use tidekeeper::venues::uniswap_v3::pool_address;
use tidekeeper::world::artifacts::Artifacts;
use tidekeeper::world::cache;
use tidekeeper::world::chain::{self, Deed, NO_DEADLINE};
use tidekeeper::world::v4::abi::{PoolManagerAdmin, PoolModifyLiquidityTest};
use tokio::net::TcpListener;

use super::chain::{ETHER, Ground};
use super::stage;

const POOLS_VARIABLE: &str = "TIDEKEEPER_POOLS";
const POOLS: usize = 20;
/// Pools that are read together.
const GROUP: usize = 16;
/// Fees of V3's factory with their spacings; V4 gets the same.
const TIERS: [(u32, i32); 3] = [(500, 10), (3_000, 60), (10_000, 200)];
/// Of five pools two are V3's, one is V2's and two are V4's.
const OF_FIVE: usize = 5;
/// Patience for every pool of a world to be read twice.
const ADMITTED_TIMEOUT: Duration = Duration::from_secs(60);

/// Stands before a node, counts what is asked, and may let only so much through.
struct Door {
    node: String,
    client: reqwest::Client,
    requests: AtomicU64,
    calls: AtomicU64,
    left: AtomicU64,
}

impl Door {
    async fn open(node: &str) -> Result<(String, Arc<Self>)> {
        let door = Arc::new(Self {
            node: node.to_owned(),
            client: reqwest::Client::builder().no_proxy().build()?,
            requests: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            left: AtomicU64::new(u64::MAX),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/", post(pass)).with_state(Arc::clone(&door));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((url, door))
    }

    async fn ask(&self, question: Bytes) -> Result<Bytes> {
        let asked: Value = serde_json::from_slice(&question)?;
        let n_calls = asked.as_array().map_or(1, Vec::len);
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.calls.fetch_add(u64::try_from(n_calls)?, Ordering::SeqCst);
        let request = self.client.post(&self.node).header(header::CONTENT_TYPE, "application/json");
        Ok(request.body(question).send().await?.bytes().await?)
    }

    /// Requests and calls since the last time.
    fn counted(&self) -> (u64, u64) {
        (self.requests.swap(0, Ordering::SeqCst), self.calls.swap(0, Ordering::SeqCst))
    }

    /// So many more requests are answered.
    fn let_through(&self, requests: u64) {
        self.left.store(requests, Ordering::SeqCst);
    }

    fn is_shut(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_err()
    }
}

async fn pass(State(door): State<Arc<Door>>, body: Bytes) -> Response {
    if door.is_shut() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match door.ask(body).await {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

/// A chain with many pools, each at price one.
struct Field {
    ground: Ground,
    from: Address,
    pools: Vec<PoolSetup>,
}

impl Field {
    async fn new(n_pools: usize) -> Result<Self> {
        let ground = Ground::new("loading").await?;
        chain::raw::<_, ()>(&ground.provider, "evm_setAutomine", (true,)).await?;
        let from = ground.site.accounts.deployer;
        let mut field = Self { ground, from, pools: Vec::new() };
        let pairs = field.pairs(n_pools.div_ceil(OF_FIVE) + 1).await?;
        for n in 0..n_pools {
            let (round, kind) = (n / OF_FIVE, n % OF_FIVE);
            let nth = 2 * round + kind % 3;
            let (pair, tier) = (pairs[nth % pairs.len()], TIERS[nth / pairs.len()]);
            let setup = match kind {
                0 | 1 => field.v3(pair, tier).await?,
                2 => field.setup(Curve::V2, pairs[round], (3_000, 1), None),
                _ => field.v4(pair, tier).await?,
            };
            for position in 0..=n % 3 {
                field.add(&setup, position).await?;
            }
            field.pools.push(setup);
        }
        Ok(field)
    }

    /// At least so many pairs of tokens of which the deployer has enough.
    async fn pairs(&self, wanted: usize) -> Result<Vec<(Address, Address)>> {
        let cache = cache::find().context("the cache is missing: run `tools/setup.sh test`")?;
        let artifacts = Artifacts::load(&cache.join("contracts"))?;
        let (mut tokens, mut pairs): (Vec<Address>, Vec<(Address, Address)>) = Default::default();
        while pairs.len() < wanted {
            let name = format!("T{}", tokens.len());
            let token =
                Erc20::constructorCall { _name: name.clone(), _symbol: name, _decimals: 18 };
            let mut code = artifacts.init_code("MockERC20", &[])?;
            code.extend(token.abi_encode());
            let token = chain::create(&self.ground.provider, self.from, code.into()).await?;
            let value = U256::from(ETHER) * U256::from(1_000_000_000_u64);
            let mint = Erc20::mintCall { to: self.from, value };
            self.send(Deed::call(self.from, token, &mint)).await?;
            let c = &self.ground.site.contracts;
            for spender in [c.position_manager, c.v2_router, c.v4.liquidity_test] {
                self.tell(token, erc20::approve(spender, U256::MAX)).await?;
            }
            pairs.extend(tokens.iter().map(|other| (token.min(*other), token.max(*other))));
            tokens.push(token);
        }
        Ok(pairs)
    }

    async fn send(&self, deed: Deed) -> Result<()> {
        chain::send(&self.ground.provider, &deed).await?;
        Ok(())
    }

    async fn tell(&self, to: Address, input: Calldata) -> Result<()> {
        self.send(Deed::with_input(self.from, to, input)).await
    }

    fn setup(
        &self,
        curve: Curve,
        (token0, token1): (Address, Address),
        (fee_pips, tick_spacing): (u32, i32),
        key: Option<PoolKey>,
    ) -> PoolSetup {
        let c = &self.ground.site.contracts;
        let (address, dex) = match (curve, key) {
            (Curve::V2, _) => {
                let hash = PAIR_INIT_CODE_HASH;
                (pair_address(c.v2_factory, hash, token0, token1).into(), "uniswap_v2")
            }
            (_, Some(key)) => (PoolAddress::from(key.id()), "uniswap_v4"),
            (_, None) => {
                (pool_address(c.v3_factory, token0, token1, fee_pips).into(), "uniswap_v3")
            }
        };
        PoolSetup {
            address,
            manager: key.map(|_| c.v4.pool_manager),
            key,
            dex: dex.into(),
            curve,
            executor_dex: None,
            pair: format!("{token0}/{token1}"),
            fee_pips,
            tick_spacing,
            token0,
            token1,
            base_is_token0: true,
        }
    }

    async fn v3(&self, pair: (Address, Address), tier: (u32, i32)) -> Result<PoolSetup> {
        let open = Positions::createAndInitializePoolIfNecessaryCall {
            token0: pair.0,
            token1: pair.1,
            fee: U24::try_from(tier.0)?,
            sqrtPriceX96: U160::from(1) << 96,
        };
        let positions = self.ground.site.contracts.position_manager;
        self.send(Deed::call(self.from, positions, &open)).await?;
        Ok(self.setup(Curve::V3, pair, tier, None))
    }

    async fn v4(&self, pair: (Address, Address), tier: (u32, i32)) -> Result<PoolSetup> {
        let key = PoolKey {
            currency0: pair.0,
            currency1: pair.1,
            fee_pips: tier.0,
            tick_spacing: tier.1,
            hooks: Address::ZERO,
        };
        let open = PoolManagerAdmin::initializeCall {
            key: words(&key)?.into(),
            sqrtPriceX96: U160::from(1) << 96,
        };
        let manager = self.ground.site.contracts.v4.pool_manager;
        self.send(Deed::call(self.from, manager, &open)).await?;
        Ok(self.setup(Curve::V4, pair, tier, Some(key)))
    }

    /// Adds liquidity around the price, the wider the later.
    async fn add(&self, pool: &PoolSetup, nth: usize) -> Result<()> {
        let c = &self.ground.site.contracts;
        let reach = 10 * i32::try_from(nth + 1)? * pool.tick_spacing;
        let (lower, upper, most) = (-reach, 2 * reach, U256::from(ETHER));
        match (pool.curve, &pool.key) {
            (Curve::V2, _) => {
                let add = UniswapV2Router02::addLiquidityCall {
                    tokenA: pool.token0,
                    tokenB: pool.token1,
                    amountADesired: most,
                    amountBDesired: most,
                    amountAMin: U256::ZERO,
                    amountBMin: U256::ZERO,
                    to: self.from,
                    deadline: NO_DEADLINE,
                };
                self.send(Deed::call(self.from, c.v2_router, &add)).await
            }
            (_, Some(key)) => {
                let add = PoolModifyLiquidityTest::modifyLiquidityCall {
                    key: words(key)?.into(),
                    params: PoolModifyLiquidityTest::ModifyLiquidityParams {
                        tickLower: I24::try_from(lower)?,
                        tickUpper: I24::try_from(upper)?,
                        liquidityDelta: I256::from_raw(U256::from(ETHER)),
                        salt: B256::ZERO,
                    },
                    hookData: Calldata::new(),
                };
                self.send(Deed::call(self.from, c.v4.liquidity_test, &add)).await
            }
            (_, None) => {
                let mint = calls::mint(&MintOrder {
                    token0: pool.token0,
                    token1: pool.token1,
                    fee_pips: pool.fee_pips,
                    lower,
                    upper,
                    amount0_desired: most,
                    amount1_desired: most,
                    amount0_min: U256::ZERO,
                    amount1_min: U256::ZERO,
                    recipient: self.from,
                    deadline: NO_DEADLINE,
                })?;
                self.tell(c.position_manager, mint).await
            }
        }
    }
}

fn words(key: &PoolKey) -> Result<(Address, Address, U24, I24, Address)> {
    let (fee, spacing) = (U24::try_from(key.fee_pips)?, I24::try_from(key.tick_spacing)?);
    Ok((key.currency0, key.currency1, fee, spacing, key.hooks))
}

async fn newest(client: &ChainClient) -> Result<BlockRef> {
    let header = client.latest().await?.header;
    Ok(BlockRef { chain: client.chain_id().await?, number: header.number, hash: header.hash })
}

/// What a pool must be that was filled as the `nth` one.
fn is_as_filled(pool: &Pool, nth: usize) -> bool {
    let n_ticks = 2 * (nth % 3 + 1);
    match pool {
        Pool::V2(pool) => {
            let each = u128::from(ETHER) * (nth as u128 % 3 + 1);
            pool.reserves() == (each, each)
        }
        Pool::V3(pool) => pool.ticks().len() == n_ticks && pool.liquidity() > 0,
        Pool::V4(pool) => {
            let all = u128::from(ETHER) * (nth as u128 % 3 + 1);
            pool.ticks().len() == n_ticks && pool.liquidity() == all
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pools_are_read_whole_with_few_requests() -> Result<()> {
    let n_pools = match std::env::var(POOLS_VARIABLE) {
        Ok(text) => text.parse().with_context(|| format!("{POOLS_VARIABLE} is {text:?}"))?,
        Err(_) => POOLS,
    };
    ensure!(n_pools > GROUP, "{n_pools} pools make one group alone");
    let field = Field::new(n_pools).await?;
    let (url, door) = Door::open(&field.ground.anvil.http_url).await?;
    let client = ChainClient::new(&url)?;
    let block = newest(&client).await?;
    door.counted();
    let done = AtomicUsize::new(0);
    let tell = |progress: Progress| done.store(progress.pools, Ordering::SeqCst);
    let began = Instant::now();
    let mut load = Load::new(block);
    client.load(&mut load, &field.pools, &tell).await?;
    let ms = began.elapsed().as_millis();
    let (requests, calls) = door.counted();
    println!("{n_pools} pools of V2, V3 and V4: {ms} ms, {requests} requests, {calls} calls");
    assert_eq!(done.load(Ordering::SeqCst), n_pools);
    ensure!(load.failed.is_empty(), "{:?}", load.failed);
    for (nth, setup) in field.pools.iter().enumerate() {
        let pool = load.pools.get(&setup.address).context("a pool was not read")?;
        ensure!(is_as_filled(pool, nth), "{nth}: {setup:?} is {pool:?}");
    }
    goes_on_after_a_failure(&field, &door, &client, block, (requests, calls)).await?;
    one_that_is_none_fails_alone(&field, &client, block).await?;
    known_states_follow_the_logs_since(&field, &door, &client, load.pools, block).await
}

async fn goes_on_after_a_failure(
    field: &Field,
    door: &Door,
    client: &ChainClient,
    block: BlockRef,
    (requests, calls): (u64, u64),
) -> Result<()> {
    let n_pools = field.pools.len();
    let mut load = Load::new(block);
    door.let_through(requests.saturating_sub(2));
    let failed = client.load(&mut load, &field.pools, &|_| {}).await;
    ensure!(failed.is_err(), "an endpoint that is gone was not missed");
    assert_eq!(load.pools.len(), (n_pools - 1) / GROUP * GROUP, "whole groups stay");
    door.let_through(u64::MAX);
    door.counted();
    client.load(&mut load, &field.pools, &|_| {}).await?;
    let (requests_again, calls_again) = door.counted();
    println!("after a failure: {requests_again} requests, {calls_again} calls");
    ensure!(requests_again < requests && calls_again < calls, "what was read was asked again");
    assert_eq!((load.pools.len(), load.failed.len()), (n_pools, 0));
    Ok(())
}

async fn one_that_is_none_fails_alone(
    field: &Field,
    client: &ChainClient,
    block: BlockRef,
) -> Result<()> {
    let mut setups: Vec<PoolSetup> = field.pools.iter().take(OF_FIVE).cloned().collect();
    let nothing = PoolAddress::from(Address::repeat_byte(0xdd));
    setups.insert(2, PoolSetup { address: nothing, ..setups[0].clone() });
    let mut load = Load::new(block);
    client.load(&mut load, &setups, &|_| {}).await?;
    assert_eq!(load.pools.len(), OF_FIVE);
    assert_eq!(load.failed.keys().collect::<Vec<_>>(), [&nothing]);
    Ok(())
}

async fn known_states_follow_the_logs_since(
    field: &Field,
    door: &Door,
    client: &ChainClient,
    before: BTreeMap<PoolAddress, Pool>,
    block: BlockRef,
) -> Result<()> {
    let mut known = KnownPools::default();
    for (pool, state) in &before {
        known.insert(*pool, block, state.clone());
    }
    for setup in field.pools.iter().step_by(3) {
        field.add(setup, 6).await?;
    }
    let to = newest(client).await?;
    door.counted();
    client.bring_forward(&mut known, &Roster::new(&field.pools), &to).await?;
    let (requests, calls) = door.counted();
    println!("{} blocks later: {requests} requests, {calls} calls", to.number - block.number);
    let mut read = Load::new(to);
    client.load(&mut read, &field.pools, &|_| {}).await?;
    let mut n_changed = 0;
    let forward = known.take(&to);
    assert_eq!(forward.len(), field.pools.len());
    for (pool, state) in forward {
        let own = read.pools.get(&pool).context("a pool was not read")?;
        let differences = state.differences(own).map_err(anyhow::Error::msg)?;
        ensure!(differences.is_empty(), "{pool}: {differences:?}");
        let old = before.get(&pool).context("a pool of nowhere")?;
        n_changed += usize::from(!old.differences(own).map_err(anyhow::Error::msg)?.is_empty());
    }
    assert_eq!(n_changed, field.pools.len().div_ceil(3));
    Ok(())
}

fn all_live(snapshot: &Value) -> bool {
    let pools = snapshot["pools"].as_array().cloned().unwrap_or_default();
    !pools.is_empty() && pools.iter().all(|pool| pool["state"] == "live")
}

/// Pools that a keeper says it brought forward, in a part of its log.
fn brought_forward(log: &str) -> u64 {
    let fields = |line: &str| -> Option<u64> {
        let line: Value = serde_json::from_str(line).ok()?;
        let is_it = line["fields"]["message"] == "pools brought forward by their logs";
        line["fields"]["n_forward"].as_u64().filter(|_| is_it)
    };
    log.lines().filter_map(fields).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_starts_again_begins_with_the_states_it_kept() -> Result<()> {
    let mut world = stage::world("states").await?;
    let (agent, site) = stage::agent(&mut world).await?;
    let admitted = site.wait_for("every pool to be admitted", ADMITTED_TIMEOUT, all_live).await?;
    let n_pools = u64::try_from(admitted["pools"].as_array().map_or(0, Vec::len))?;
    agent.stop(Signal::SIGTERM, Duration::from_secs(10));
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("states/logs/agent.log");
    let before = usize::try_from(fs::metadata(&log)?.len())?;

    let (_agent, site) = stage::agent(&mut world).await?;
    site.wait_for("every pool to be admitted again", ADMITTED_TIMEOUT, all_live).await?;
    let kept: i64 = sqlx::query_scalar("select count(*) from pool_states")
        .fetch_one(&stage::database(&world).await?)
        .await?;
    assert_eq!(u64::try_from(kept)?, n_pools, "an orderly end keeps every pool");
    let said = fs::read(&log)?.split_off(before);
    // An attempt that an endpoint did not answer in time is made, and told, again.
    let n_forward = brought_forward(&String::from_utf8_lossy(&said));
    ensure!(n_forward >= n_pools, "{n_forward} of {n_pools} pools");
    Ok(())
}
