//! What is told by running other people's code in our own EVM: odd tokens, each refused with its
//! reason, and V4 pools whose hooks take a part of each swap.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use alloy::primitives::{Address, B256, Bytes, I256, U256, address, keccak256};
use alloy::providers::DynProvider;
use alloy::sol_types::{SolCall, SolValue};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tidekeeper::io::chain::ChainClient;
use tidekeeper::io::chain::evm::token::Holding;
use tidekeeper::io::chain::evm::verdict::{Doubt, Fault, Verdict};
use tidekeeper::math::amm::Q96;
use tidekeeper::venues::erc20::{Erc20, Weth9, approve};
use tidekeeper::world::anvil::AnvilProcess;
use tidekeeper::world::artifacts::Artifacts;
use tidekeeper::world::chain::{self, Deed};
use tidekeeper::world::demo::World;

use super::stage;

const CHAIN_ID: u64 = 31_337;
/// Whole tokens of 18 decimals.
const UNIT: u64 = 1_000_000_000_000_000_000;
/// An address with the flags of `TollHook`: called after a swap, with amounts.
const HOOKS: Address = address!("4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f4f0044");
const FEE_PIPS: u32 = 3_000;
const TICK_SPACING: u32 = 60;
/// Ticks to either side of the liquidity.
const REACH: i64 = 600;
/// The toll is one part of this of the side that is not fixed (`TollHook.sol`).
const TOLL: u64 = 100;
/// Exit status of files that are refused.
const CHECK_FAILED: i32 = 3;
/// Oddities of `OddToken.sol`, in its order.
const ODDITIES: [(&str, Option<&str>); 10] = [
    ("none", None),
    ("returns nothing", None),
    ("a fee when bought", Some("units sent by its pool 999000 arrive: it takes a fee")),
    ("a fee when sold", Some("units sent to its pool 499500 arrive: it takes a fee")),
    ("a fee for routers", Some("brought to its pool by a router 499500 arrive: it takes a fee")),
    ("a bonus", Some("1000001 arrive: it gives more than is sent")),
    ("no way back", Some("OddToken: no way back; it can be bought and not sold")),
    ("rebases", Some("1 day(s) later, without a transfer: it rebases")),
    ("takes from others", Some("change the balance of a third party from")),
    ("refuses in silence", Some("it answers false")),
];
const FEE_FOR_ROUTERS: u8 = 4;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Creation and runtime code of a contract of `tests/data/evm`.
fn compiled(name: &str) -> Result<[Bytes; 2]> {
    let text = fs::read_to_string(root().join("tests/data/evm/bytecode.json"))?;
    let built: Value = serde_json::from_str(&text)?;
    let code = |kind: &str| -> Result<Bytes> {
        Ok(built[name][kind].as_str().with_context(|| format!("no {kind} of {name}"))?.parse()?)
    };
    Ok([code("bytecode")?, code("deployedBytecode")?])
}

/// Calldata of a function by its signature.
fn input(signature: &str, arguments: Vec<u8>) -> Bytes {
    [&keccak256(signature)[..4], &arguments[..]].concat().into()
}

/// `OddToken.be`.
fn be(oddity: u8, pool: Address, decimals: u8) -> Bytes {
    let arguments = (U256::from(oddity), pool, U256::from(decimals)).abi_encode_params();
    input("be(uint8,address,uint8)", arguments)
}

/// An anvil with nothing on it but what a test puts there.
struct Ground {
    provider: DynProvider,
    artifacts: Artifacts,
    me: Address,
    client: ChainClient,
    anvil: AnvilProcess,
}

impl Ground {
    async fn new(name: &str) -> Result<Self> {
        let (anvil, artifacts) = stage::empty_chain(name, CHAIN_ID)?;
        let provider = chain::connect(&anvil.http_url)?;
        let client = ChainClient::new(&anvil.http_url)?;
        let accounts: Vec<Address> = chain::raw(&provider, "eth_accounts", ()).await?;
        let me = *accounts.first().context("no account")?;
        let ground = Self { provider, artifacts, me, client, anvil };
        ground.raw("evm_setAutomine", (true,)).await?;
        Ok(ground)
    }

    async fn raw<P>(&self, method: &'static str, params: P) -> Result<()>
    where
        P: serde::Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin,
    {
        Ok(chain::raw(&self.provider, method, params).await?)
    }

    async fn create(&self, name: &str, arguments: &[u8]) -> Result<Address> {
        let mut code = self.artifacts.init_code(name, &[])?;
        code.extend_from_slice(arguments);
        Ok(chain::create(&self.provider, self.me, code.into()).await?)
    }

    async fn send(&self, to: Address, input: Bytes) -> Result<()> {
        chain::send(&self.provider, &Deed::with_input(self.me, to, input)).await?;
        Ok(())
    }

    async fn call(&self, to: Address, call: &impl SolCall) -> Result<()> {
        chain::send(&self.provider, &Deed::call(self.me, to, call)).await?;
        Ok(())
    }

    /// A well-behaved token.
    async fn token(&self, symbol: &str) -> Result<Address> {
        let arguments = (symbol.to_owned(), symbol.to_owned(), U256::from(18));
        self.create("MockERC20", &arguments.abi_encode_params()).await
    }

    async fn mint(&self, token: Address, to: Address, value: u64) -> Result<()> {
        self.call(token, &Erc20::mintCall { to, value: U256::from(value) }).await
    }

    async fn head(&self) -> Result<B256> {
        Ok(self.client.latest().await?.header.hash)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_odd_token_is_refused_with_its_reason_and_plain_ones_are_not() -> Result<()> {
    let ground = Ground::new("probe_tokens").await?;
    // A contract, as a pool is.
    let pool = ground.create("PoolManager", &ground.me.abi_encode()).await?;
    let [code, _] = compiled("OddToken")?;
    let mut odd = Vec::new();
    for number in 0..ODDITIES.len() {
        let token = chain::create(&ground.provider, ground.me, code.clone()).await?;
        ground.mint(token, pool, 1_000_000_000).await?;
        ground.send(token, be(u8::try_from(number)?, pool, 6)).await?;
        odd.push(token);
    }
    let plain = ground.token("PLAIN").await?;
    ground.mint(plain, pool, 1_000_000).await?;
    // A token is tried where most of it is held.
    ground.mint(plain, odd[0], 10).await?;
    let weth = ground.create("WETH9", &[]).await?;
    let wrap =
        Deed { value: U256::from(UNIT), ..Deed::call(ground.me, weth, &Weth9::depositCall {}) };
    chain::send(&ground.provider, &wrap).await?;
    ground.call(weth, &Erc20::transferCall { to: pool, amount: U256::from(UNIT) }).await?;
    let scarce = ground.token("SCARCE").await?;
    ground.mint(scarce, pool, 159_999).await?;
    let nothing = ground.me;

    let mut holdings: Vec<Holding> =
        odd.iter().map(|token| Holding { token: *token, holder: pool }).collect();
    holdings.extend([plain, weth, scarce, nothing].map(|token| Holding { token, holder: pool }));
    holdings.push(Holding { token: plain, holder: odd[0] });
    let verdicts = ground.client.try_tokens(&holdings, ground.head().await?).await;
    for (token, (oddity, reason)) in odd.iter().zip(ODDITIES) {
        let verdict = verdicts.get(token).context("no verdict")?;
        match (verdict, reason) {
            (Verdict::Plain, None) => {}
            (Verdict::Refused(fault), Some(reason)) => {
                ensure!(fault.to_string().contains(reason), "{oddity}: {fault}");
            }
            _ => bail!("{oddity}: {verdict:?}"),
        }
    }
    let doubt = Doubt::TooFew { held: U256::from(159_999) };
    assert_eq!(verdicts.get(&plain), Some(&Verdict::Plain));
    assert_eq!(verdicts.get(&weth), Some(&Verdict::Plain));
    assert_eq!(verdicts.get(&scarce), Some(&Verdict::Unknown(doubt)));
    assert_eq!(verdicts.get(&nothing), Some(&Verdict::Refused(Fault::NoBalance)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_leaves_tokens_unknown() -> Result<()> {
    let client = ChainClient::new("http://127.0.0.1:1")?;
    let (token, holder) = (Address::with_last_byte(1), Address::with_last_byte(2));
    let verdicts = client.try_tokens(&[Holding { token, holder }], B256::ZERO).await;
    let verdict = verdicts.get(&token).context("no verdict")?;
    ensure!(matches!(verdict, Verdict::Unknown(Doubt::Unread(_))), "{verdict:?}");
    Ok(())
}

/// Two V4 pools that are alike but for the hooks of one.
struct Hooked {
    ground: Ground,
    manager: Address,
    token0: Address,
    code_hash: B256,
    dir: PathBuf,
    file: String,
}

impl Hooked {
    async fn new() -> Result<Self> {
        let ground = Ground::new("probe_hooks").await?;
        let me = ground.me;
        let manager = ground.create("PoolManager", &me.abi_encode()).await?;
        let quoter = ground.create("V4Quoter", &manager.abi_encode()).await?;
        let liquidity = ground.create("PoolModifyLiquidityTest", &manager.abi_encode()).await?;
        let weth = ground.create("WETH9", &[]).await?;
        let mut tokens = [ground.token("AAA").await?, ground.token("BBB").await?];
        tokens.sort_unstable();
        let [token0, token1] = tokens;
        for token in tokens {
            let mint = Erc20::mintCall { to: me, value: U256::from(UNIT) * U256::from(1_000_000) };
            ground.call(token, &mint).await?;
            ground.send(token, approve(liquidity, U256::MAX)).await?;
        }
        let [_, code] = compiled("TollHook")?;
        ground.raw("anvil_setCode", (HOOKS, code.clone())).await?;
        for hooks in [Address::ZERO, HOOKS] {
            let key = (token0, token1, U256::from(FEE_PIPS), U256::from(TICK_SPACING), hooks);
            let open = (key, Q96).abi_encode_params();
            let signature = "initialize((address,address,uint24,int24,address),uint160)";
            ground.send(manager, input(signature, open)).await?;
            let [lower, upper] = [-REACH, REACH].map(I256::try_from);
            let amount = U256::from(UNIT) * U256::from(1_000);
            let params = (lower?, upper?, amount, B256::ZERO);
            let add = (key, params, Bytes::new()).abi_encode_params();
            let signature = "modifyLiquidity((address,address,uint24,int24,address),\
                             (int24,int24,int256,bytes32),bytes)";
            ground.send(liquidity, input(signature, add)).await?;
        }
        ground.raw("anvil_setIntervalMining", (1,)).await?;
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe_hooks");
        let file = file(&ground.anvil.http_url, weth, tokens, [manager, quoter])?;
        let code_hash = keccak256(&code);
        let hooked = Self { ground, manager, token0, code_hash, dir, file };
        fs::create_dir_all(hooked.dir.join("chains"))?;
        let agent = "tests/data/config/good/v4-and-sushiswap/agent.toml";
        fs::copy(root().join(agent), hooked.dir.join("agent.toml"))?;
        Ok(hooked)
    }

    /// Writes the chain's file, with or without the hash of the hooks' code.
    fn write(&self, is_listed: bool) -> Result<()> {
        let list = format!("hook_code_hashes = [\"{}\"]", self.code_hash);
        let list = if is_listed { list.as_str() } else { "" };
        fs::write(self.dir.join("chains/local.toml"), self.file.replace("# LIST", list))?;
        Ok(())
    }

    fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidekeeper"));
        Ok(command.args(words).arg("--config").arg(&self.dir).output()?)
    }

    /// What `pool` answers as JSON.
    fn pool(&self, words: &[&str]) -> Result<Value> {
        let ran = self.run(&[&["pool"][..], words, &["--json"]].concat())?;
        let said = String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.success(), "pool {words:?}: {said}");
        Ok(serde_json::from_slice(&ran.stdout)?)
    }
}

/// The chain's file: the sample of the tests, with what stands on this chain.
fn file(
    http_url: &str,
    weth: Address,
    [token0, token1]: [Address; 2],
    [manager, quoter]: [Address; 2],
) -> Result<String> {
    let sample = "tests/data/config/good/v4-and-sushiswap/chains/local.toml";
    let sample = fs::read_to_string(root().join(sample))?;
    let (head, _) = sample.split_once("[tokens.WETH]").context("another sample")?;
    let ws_url = http_url.replacen("http", "ws", 1);
    let head = head
        .replace("0x5FbDB2315678afecb367f032d93F642f64180aa3", &format!("{weth}"))
        .replace("http://127.0.0.1:8545", http_url)
        .replace("ws://127.0.0.1:8545", &ws_url);
    let pool = "{ dex = \"uniswap_v4\", pair = \"AAA/BBB\", fee_pips = 3000, tick_spacing = 60";
    Ok(format!(
        "{head}\
         [tokens.AAA]\naddress = \"{token0}\"\ndecimals = 18\nasset = \"AAA\"\n\
         [tokens.BBB]\naddress = \"{token1}\"\ndecimals = 18\nasset = \"BBB\"\n\
         [dex.uniswap_v4]\nmanager = \"{manager}\"\nquoter = \"{quoter}\"\n# LIST\n\
         [pools]\nallow = [\n    {pool} }},\n    {pool}, hooks = \"{HOOKS:#x}\" }},\n]\n"
    ))
}

const PLAIN_POOL: &str = "local/uniswap_v4/AAA/BBB/3000/60";

fn hooked_pool() -> String {
    format!("{PLAIN_POOL}/{HOOKS}")
}

fn raw(quote: &Value, side: &str) -> Result<U256> {
    let text = quote[side]["raw"].as_str();
    Ok(text.with_context(|| format!("no {side} in {quote:#}"))?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_with_hooks_in_its_swaps_is_quoted_by_simulation_where_their_code_is_listed()
-> Result<()> {
    let hooked = Hooked::new().await?;
    hooked.write(true)?;
    let hash = hooked.code_hash.to_string();
    for (side, token, open) in [("--sell", "AAA", "take"), ("--buy", "BBB", "give")] {
        let quote = |pool: &str| hooked.pool(&["quote", pool, side, "1.5", token]);
        let (plain, tolled) = (quote(PLAIN_POOL)?, quote(&hooked_pool())?);
        let amount = raw(&plain, open)?;
        let toll = amount / U256::from(TOLL);
        let want = if side == "--sell" { amount - toll } else { amount + toll };
        assert_eq!(raw(&tolled, open)?, want);
        for quote in [&plain, &tolled] {
            ensure!(quote["quoter"]["is_same"] == true, "{quote:#}");
        }
        let how = tolled["quoted"].as_str().context("no word of how")?;
        ensure!(how.starts_with("quoted by simulation") && how.contains(&hash), "{how}");
        ensure!(tolled["fee"].is_null() && plain["fee"].is_object(), "{tolled:#}");
    }
    let told = told_of_the_pool(&hooked)?;
    for (verb, how) in &told {
        ensure!(how.starts_with("quoted by simulation") && how.contains(&hash), "{verb}: {how}");
    }
    let check = hooked.run(&["check", "--online"])?;
    let text = String::from_utf8(check.stdout)?;
    ensure!(check.status.success(), "{text}");
    ensure!(text.contains("quoted by simulation") && text.contains(&hash), "{text}");
    assert_eq!(text.matches("bought, sold and kept in simulation as it should").count(), 2);
    refused_where_it_is_not_listed(&hooked)?;
    refused_with_an_odd_token(&hooked).await
}

/// How the pool with hooks is quoted, by the verbs that tell it of pools in the file.
fn told_of_the_pool(hooked: &Hooked) -> Result<Vec<(&'static str, String)>> {
    let list = hooked.pool(&["list"])?;
    let inspected = hooked.pool(&["inspect", &hooked_pool()])?;
    let how = |row: &Value| row["quoted"].as_str().unwrap_or("nothing").to_owned();
    ensure!(how(&list["pools"][0]).starts_with("quoted by its arithmetic"), "{list:#}");
    Ok(vec![("list", how(&list["pools"][1])), ("inspect", how(&inspected))])
}

fn refused_where_it_is_not_listed(hooked: &Hooked) -> Result<()> {
    let found = |is_listed| -> Result<Value> {
        hooked.write(is_listed)?;
        let found = hooked.pool(&["discover", "--chain", "local"])?;
        let rows = found["pools"].as_array().cloned().unwrap_or_default();
        let is_hooked = |row: &Value| !row["hooks"].is_null();
        rows.into_iter().find(is_hooked).with_context(|| format!("no such pool in {found:#}"))
    };
    ensure!(found(true)?["refused"].is_null(), "listed and refused");
    let refused = found(false)?["refused"].to_string();
    let hash = hooked.code_hash.to_string();
    ensure!(refused.contains("hook_code_hashes") && refused.contains(&hash), "{refused}");
    for (verb, how) in told_of_the_pool(hooked)? {
        ensure!(how.starts_with("refused: ") && how.contains(&hash), "{verb}: {how}");
    }
    let ran = hooked.run(&["pool", "quote", &hooked_pool(), "--sell", "1.5", "AAA"])?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(!ran.status.success() && said.contains("is not quoted"), "{said}");
    ensure!(said.contains("hook_code_hashes") && said.contains(&hash), "{said}");
    Ok(())
}

/// One of the tokens begins to take a fee from routers.
async fn refused_with_an_odd_token(hooked: &Hooked) -> Result<()> {
    let (ground, token) = (&hooked.ground, hooked.token0);
    let [_, code] = compiled("OddToken")?;
    ground.raw("anvil_setCode", (token, code)).await?;
    ground.send(token, be(FEE_FOR_ROUTERS, hooked.manager, 18)).await?;
    let check = hooked.run(&["check", "--online"])?;
    let text = String::from_utf8(check.stdout)?;
    ensure!(check.status.code() == Some(CHECK_FAILED), "{text}");
    ensure!(text.contains("AAA cannot be used: of ") && text.contains("takes a fee"), "{text}");
    ensure!(text.contains("take its pools out of the file: chains.local.pools.allow[0]"), "{text}");
    let found = hooked.pool(&["discover", "--chain", "local"])?;
    let rows = found["pools"].as_array().context("no pools")?;
    let is_refused = |row: &Value| row["refused"].to_string().contains("AAA cannot be used");
    ensure!(rows.len() == 2 && rows.iter().all(is_refused), "{found:#}");
    Ok(())
}

/// In a whole world: the dollar of the first chain begins to take a fee from routers. The files are
/// right, the agent does not start, and both say which token it is, and why.
pub(super) async fn a_token_with_a_fee_stops_an_agent(world: &mut World) -> Result<()> {
    let site = world.manifest.chains.first().context("the world has no chain")?;
    let provider = chain::connect(&site.rpc_http)?;
    let usdt = site.contracts.usdt;
    let [_, code] = compiled("OddToken")?;
    chain::raw::<_, ()>(&provider, "anvil_setCode", (usdt, code)).await?;
    let accounts: Vec<Address> = chain::raw(&provider, "eth_accounts", ()).await?;
    let from = *accounts.first().context("no account")?;
    let deed = Deed::with_input(from, usdt, be(FEE_FOR_ROUTERS, Address::ZERO, 6));
    chain::send(&provider, &deed).await?;
    let agent = world.start_agent(None)?;
    let refused = world.agent_site(&agent).await.err().context("the agent runs")?;
    let said = format!("{refused:#}");
    ensure!(said.contains(&format!("token USDT {usdt}: of ")), "{said}");
    ensure!(said.contains("it takes a fee on transfers; take its pools out of"), "{said}");
    Ok(())
}
