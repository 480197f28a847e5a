//! `chains/*.toml`: one chain, how to reach it, what it costs, which contracts and pools count.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};

use crate::config::agent::{Mode, SCHEMA};
use crate::config::discovery::Discovery;
use crate::config::doc::Doc;
use crate::config::gas::{FeeModel, Fuel, Gas, read_fuel, read_gas};
use crate::config::pool::{Contracts, Dex, Pool, Pools, read_dexes, read_pools};
use crate::config::problem::Fault;
use crate::config::reader::{Node, bare_or_quoted};
use crate::config::urls::{self, Reach};
use crate::config::values::{self, integer};

/// Chain ids of local worlds; only there may development keys sign and mode `demo` send.
pub const LOCAL_CHAIN_IDS: std::ops::RangeInclusive<u64> = 31_337..=31_350;

/// Mode `live` wants a second opinion about the chain.
const LIVE_ENDPOINTS_MIN: usize = 2;

/// Decimals of every chain's native coin.
const NATIVE_DECIMALS: u8 = 18;

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Our name of it.
    pub name: String,
    /// EIP-155 id; compared with the node's answer at start.
    pub chain_id: u64,
    /// Symbol of the native coin, and the asset it is.
    pub native: String,
    /// The contract that wraps the native coin.
    pub wrapped_native: Address,
    /// Nodes, in order of preference.
    pub endpoints: Vec<Endpoint>,
    /// How blocks are followed.
    pub ingest: Ingest,
    /// When a block is believed.
    pub finality: Finality,
    /// What a transaction may cost.
    pub gas: Gas,
    /// How much native coin each signer keeps.
    pub fuel: Fuel,
    /// The way transactions take.
    pub submission: Submission,
    /// Tokens, by symbol.
    pub tokens: BTreeMap<String, Token>,
    /// Exchanges on this chain.
    pub dexes: BTreeMap<Dex, Contracts>,
    /// Keccak hashes of the code of hooks that the operator trusts: V4 pools with such hooks in
    /// their swaps are quoted by simulation, those with others not at all.
    pub hook_code_hashes: Vec<B256>,
    /// The pools that the file names, which are watched and may be used.
    pub pools: Vec<Pool>,
    /// How a keeper finds others by itself; `None` where it does not.
    pub discovery: Option<Discovery>,
    /// The contract that runs cycles all or nothing, for arbitrage.
    pub executor: Option<Address>,
}

impl Chain {
    /// Address and decimals of one of a pool's two coins; the zero address is the native coin,
    /// which V4 trades as it is.
    pub fn coin(&self, pool: &Pool, symbol: &str) -> Option<(Address, u8)> {
        if pool.dex == Dex::UniswapV4 && symbol == self.native {
            return Some((Address::ZERO, NATIVE_DECIMALS));
        }
        self.tokens.get(symbol).map(|token| (token.address, token.decimals))
    }

    /// Whether this is a local world of play money.
    pub fn is_local(&self) -> bool {
        LOCAL_CHAIN_IDS.contains(&self.chain_id)
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// WebSocket.
    pub ws: UrlSource,
    /// HTTP.
    pub http: UrlSource,
    /// Most requests per second.
    pub max_requests_per_s: u32,
}

/// Where a node's URL is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlSource {
    /// In this environment variable, since the URL usually carries a key.
    Env(String),
    /// Here; leads to this machine.
    Plain(String),
}

/// How blocks are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// Usual time between blocks, milliseconds.
    pub block_time_ms: u64,
    /// Age of the head at which nothing is decided any more, milliseconds.
    pub stale_after_ms: u64,
    /// The wallet and each pool are compared with the chain at least every so many blocks.
    pub audit_pool_every_blocks: u64,
}

/// When a block is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finality {
    /// Blocks, with its own, after which a deed is hedged.
    pub hedge_after_confirmations: u64,
    /// The tag at which the books are closed.
    pub book_final_at: FinalAt,
    /// Blocks that can be undone from memory.
    pub reorg_window_blocks: u64,
}

/// The tag at which the books are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalAt {
    /// `finalized`.
    Finalized,
    /// `safe`.
    Safe,
    /// `latest`: only on a local chain.
    Latest,
}

/// The way transactions take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// The public pool of waiting transactions.
    Public,
    /// The roll-up's sequencer, which has no public pool.
    Sequencer,
}

/// A token contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The contract.
    pub address: Address,
    /// Decimals; `check --online` compares them with the contract's answer, a start does not.
    pub decimals: u8,
    /// The asset it stands for; never an alias of another.
    pub asset: String,
    /// Departure of the price from its peg at which to halt, basis points; not acted on yet.
    pub depeg_halt_bps: Option<u32>,
}

/// Key of a token's table inside its chain's file, as the settings spell it.
pub fn token_key(symbol: &str) -> String {
    format!("tokens.{}", bare_or_quoted(symbol))
}

/// What could be read of one chain's file, for the strategies that refer to it.
pub(super) struct ChainDraft {
    pub(super) chain_id: Option<u64>,
    /// Asset of each token that is right.
    pub(super) assets: BTreeMap<String, String>,
    /// All pools that it names, when all are right.
    pub(super) pools: Option<Vec<Pool>>,
    /// Whether the file names an executor, right or wrong.
    pub(super) has_executor: bool,
    /// Whether V3's table is right and names no contract that swaps.
    pub(super) lacks_router: bool,
    /// How fees are made up, when `[gas]` is right.
    pub(super) fee_model: Option<FeeModel>,
}

/// Reads one file: what others may refer to, and the typed chain when all of it is right.
pub(super) fn read_chain(
    mut node: Node<'_>,
    doc: &Doc<'_>,
    mode: Option<Mode>,
) -> (ChainDraft, Option<Chain>) {
    let schema = node.identity("schema", &integer::<u8>(SCHEMA..=SCHEMA, SCHEMA));
    let own_name = node.identity("name", &values::name("base"));
    let chain_id = read_chain_id(&mut node, mode);
    let is_local = chain_id.map(|id| LOCAL_CHAIN_IDS.contains(&id));
    let native = node.need("native", &values::symbol("ETH"));
    let wrapped_native = node.need("wrapped_native", &values::address());
    let endpoints = read_endpoints(&mut node, mode);
    let ingest = node.table("ingest", "how blocks are followed").and_then(read_ingest);
    let finality = node
        .table("finality", "when a block is believed")
        .and_then(|node| read_finality(node, is_local));
    let gas = node.table("gas", "what a transaction may cost").and_then(|n| read_gas(n, chain_id));
    let fuel = node.table("fuel", "what a signer keeps for gas").and_then(read_fuel);
    let submission =
        node.table("submission", "the way transactions take").and_then(read_submission);
    let tokens = read_tokens(&mut node, wrapped_native);
    let (dexes, hook_code_hashes) = read_dexes(&mut node);
    let pools = node
        .table("pools", "the pools that are watched")
        .and_then(|node| read_pools(node, native.as_deref(), &tokens, &dexes));
    let has_executor = node.has("executor");
    let executor = if has_executor {
        node.table("executor", "the arbitrage contract").and_then(read_executor).map(Some)
    } else {
        node.skip_all(&["executor"]);
        Some(None)
    };
    node.finish();
    let no_router = |v3: &Option<Contracts>| v3.is_some_and(|v3| v3.any_router().is_none());
    let draft = ChainDraft {
        chain_id,
        assets: assets_of(&tokens),
        pools: pools.as_ref().filter(|_| doc.is_whole()).map(|pools| pools.named.clone()),
        has_executor,
        lacks_router: dexes.get(&Dex::UniswapV3).is_some_and(no_router),
        fee_model: gas.map(|gas| gas.fee_model),
    };
    let chain = || {
        schema?;
        let Pools { named: pools, discovery } = pools?;
        Some(Chain {
            name: own_name?,
            chain_id: chain_id?,
            native: native?,
            wrapped_native: wrapped_native?,
            endpoints: endpoints?,
            ingest: ingest?,
            finality: finality?,
            gas: gas?,
            fuel: fuel?,
            submission: submission?,
            tokens: complete(tokens)?,
            dexes: complete(dexes)?,
            hook_code_hashes: hook_code_hashes?,
            pools,
            discovery,
            executor: executor?,
        })
    };
    (draft, chain())
}

/// All drafts, when each of them is right.
pub(super) fn complete<K: Ord, V>(drafts: BTreeMap<K, Option<V>>) -> Option<BTreeMap<K, V>> {
    drafts.into_iter().map(|(name, value)| Some((name, value?))).collect()
}

fn read_chain_id(node: &mut Node<'_>, mode: Option<Mode>) -> Option<u64> {
    let chain_id = node.need("chain_id", &integer::<u64>(1..=i128::from(u32::MAX), 8_453))?;
    if mode == Some(Mode::Demo) && !LOCAL_CHAIN_IDS.contains(&chain_id) {
        let (low, high) = (LOCAL_CHAIN_IDS.start(), LOCAL_CHAIN_IDS.end());
        let what = "is not a local chain, and mode \"demo\" sends for real";
        node.fault("chain_id", Fault::new(what, format!("use {low} to {high}, or another mode")));
    }
    Some(chain_id)
}

fn assets_of(tokens: &BTreeMap<String, Option<Token>>) -> BTreeMap<String, String> {
    let asset = |(symbol, token): (&String, &Option<Token>)| {
        Some((symbol.clone(), token.as_ref()?.asset.clone()))
    };
    tokens.iter().filter_map(asset).collect()
}

fn read_endpoints(chain: &mut Node<'_>, mode: Option<Mode>) -> Option<Vec<Endpoint>> {
    let nodes = chain.array("endpoints");
    if !chain.has("endpoints") {
        let help = "add [[endpoints]] with name, ws_url_env and http_url_env";
        chain.fault_here(Fault::new("has no [[endpoints]]: the chain cannot be reached", help));
        return None;
    }
    let n_endpoints = nodes.len();
    if mode == Some(Mode::Live) && n_endpoints < LIVE_ENDPOINTS_MIN {
        let what = format!("has {n_endpoints}; mode \"live\" wants at least {LIVE_ENDPOINTS_MIN}");
        chain.fault("endpoints", Fault::new(what, "add an independent node"));
    }
    let mut names = BTreeSet::new();
    let mut endpoints = Vec::new();
    for mut node in nodes {
        let name = node.need("name", &values::name("own-node"));
        if name.as_ref().is_some_and(|name| !names.insert(name.clone())) {
            node.fault("name", Fault::new("names a second endpoint", "give it another name"));
        }
        let ws = read_url(&mut node, ["ws_url", "ws_url_env"], "ws", mode);
        let http = read_url(&mut node, ["http_url", "http_url_env"], "http", mode);
        let rate = node.or("max_requests_per_s", &integer(1..=10_000, 100), "100");
        node.finish();
        endpoints.push(name.zip(ws).zip(http).zip(rate).map(|(((name, ws), http), rate)| {
            Endpoint { name, ws, http, max_requests_per_s: rate }
        }));
    }
    endpoints.into_iter().collect()
}

/// Exactly one of a plain local URL and the name of a variable that holds one.
fn read_url(
    node: &mut Node<'_>,
    [plain_key, env_key]: [&'static str; 2],
    scheme: &'static str,
    mode: Option<Mode>,
) -> Option<UrlSource> {
    if mode == Some(Mode::Demo) && node.has(env_key) {
        let what = "may lead anywhere, and mode \"demo\" stays on this machine";
        node.fault(env_key, Fault::new(what, format!("write {plain_key} with a local URL")));
    }
    let plain = node.may(plain_key, &urls::url(scheme, Reach::Loopback));
    let env = node.may(env_key, &values::env_name("TK_BASE_WS_1"));
    match (plain?, env?) {
        (Some(url), None) => Some(UrlSource::Plain(url)),
        (None, Some(name)) => Some(UrlSource::Env(name)),
        (Some(_), Some(_)) => {
            let what = format!("stands beside {env_key}: which of them counts?");
            node.fault(plain_key, Fault::new(what, "keep one of them"));
            None
        }
        (None, None) => node.need(env_key, &values::env_name("TK_NODE_URL")).map(UrlSource::Env),
    }
}

fn read_ingest(mut node: Node<'_>) -> Option<Ingest> {
    let block_time = node.need("block_time_ms", &integer::<u64>(50..=60_000, 2_000));
    let stale = node.need("stale_after_ms", &integer::<u64>(100..=600_000, 8_000));
    let audit = node.need("audit_pool_every_blocks", &integer(1..=100_000, 300));
    if let (Some(block), Some(stale)) = (block_time, stale)
        && stale < block.saturating_mul(2)
    {
        let what = format!("is {stale}, less than two blocks of {block} ms: always stale");
        node.fault("stale_after_ms", Fault::new(what, "allow three or four block times"));
    }
    node.finish();
    Some(Ingest {
        block_time_ms: block_time?,
        stale_after_ms: stale?,
        audit_pool_every_blocks: audit?,
    })
}

fn read_finality(mut node: Node<'_>, is_local: Option<bool>) -> Option<Finality> {
    let tags =
        &[("finalized", FinalAt::Finalized), ("safe", FinalAt::Safe), ("latest", FinalAt::Latest)];
    let confirmations = node.need("hedge_after_confirmations", &integer::<u64>(1..=1_000, 1));
    let book_final_at = node.need("book_final_at", &values::choice(tags, &[]));
    let window = node.need("reorg_window_blocks", &integer::<u64>(1..=10_000, 256));
    if book_final_at == Some(FinalAt::Latest) && is_local == Some(false) {
        let what = "is \"latest\", which a reorganisation can undo";
        node.fault("book_final_at", Fault::new(what, "write \"finalized\" on a real chain"));
    }
    if let (Some(confirmations), Some(window)) = (confirmations, window)
        && confirmations > window
    {
        let what = format!("is {confirmations}, beyond reorg_window_blocks = {window}");
        node.fault("hedge_after_confirmations", Fault::new(what, "make it smaller"));
    }
    node.finish();
    Some(Finality {
        hedge_after_confirmations: confirmations?,
        book_final_at: book_final_at?,
        reorg_window_blocks: window?,
    })
}

fn read_executor(mut node: Node<'_>) -> Option<Address> {
    let address = node.need("address", &values::address());
    node.finish();
    address
}

fn read_submission(mut node: Node<'_>) -> Option<Submission> {
    let routes = &[("public", Submission::Public), ("sequencer", Submission::Sequencer)];
    let route = node.need("route", &values::choice(routes, &["private_relay"]));
    node.finish();
    route
}

fn read_tokens(
    chain: &mut Node<'_>,
    wrapped_native: Option<Address>,
) -> BTreeMap<String, Option<Token>> {
    let mut tokens: BTreeMap<String, Option<Token>> = BTreeMap::new();
    for (symbol, mut node) in chain.named("tokens") {
        if let Err(fault) = values::check_symbol(&symbol) {
            node.fault_here(fault);
        }
        let address = node.need("address", &values::address());
        let decimals = node.need("decimals", &integer::<u8>(0..=36, 18));
        let asset = node.need("asset", &values::symbol("ETH"));
        let depeg_halt_bps = node.may("depeg_halt_bps", &integer::<u32>(1..=10_000, 100));
        let is_taken = |other: &Option<Token>| other.as_ref().map(|t| t.address) == address;
        if address.is_some() && tokens.values().any(is_taken) {
            let fault = Fault::new("is already another token's", "one symbol for one contract");
            node.fault("address", fault);
        }
        if address.is_some() && address == wrapped_native && decimals.is_some_and(|d| d != 18) {
            let what = "is not 18, and this token wraps the native coin";
            node.fault("decimals", Fault::new(what, "write 18"));
        }
        node.finish();
        let token = address.zip(decimals).zip(asset).zip(depeg_halt_bps);
        tokens.insert(
            symbol,
            token.map(|(((address, decimals), asset), depeg_halt_bps)| Token {
                address,
                decimals,
                asset,
                depeg_halt_bps,
            }),
        );
    }
    tokens
}
