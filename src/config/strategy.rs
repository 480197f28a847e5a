//! `strategies/*.toml`: what one strategy wants, with whose money and within which bounds.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::config::agent::{AgentDraft, Mode, SCHEMA, usd};
use crate::config::chain::{ChainDraft, LOCAL_CHAIN_IDS};
use crate::config::hedge::{Hedge, read_hedge};
use crate::config::pool::{Dex, Pool, read_pool};
use crate::config::problem::{Fault, Origin, suggest};
use crate::config::reader::Node;
use crate::config::signer::{Key, Lane};
use crate::config::values::{self, Bounds, integer};

/// One strategy, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// One concentrated liquidity position, hedged with a perpetual.
    Liquidity(Liquidity),
}

impl Strategy {
    /// Its unique name.
    pub fn id(&self) -> &str {
        match self {
            Self::Liquidity(liquidity) => &liquidity.id,
        }
    }
}

/// One concentrated liquidity position, hedged with a perpetual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liquidity {
    /// Unique name.
    pub id: String,
    /// How far it has been let; the keeper's mode caps it.
    pub stage: Stage,
    /// Name of the chain.
    pub chain: String,
    /// The pool, one of the chain's.
    pub pool: Pool,
    /// Name of the signer that owns the position.
    pub signer: String,
    /// Its money.
    pub capital: Capital,
    /// Where the liquidity stands.
    pub range: Range,
    /// When the range is moved.
    pub rebalance: Rebalance,
    /// How the delta is hedged.
    pub hedge: Hedge,
    /// When it ends.
    pub exit: Exit,
}

/// How far a strategy has been let.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Decides, sends nothing.
    Observe,
    /// Simulated fills.
    Paper,
    /// Sends wherever the keeper's mode sends.
    Live,
}

impl Stage {
    /// Whether a strategy at this stage sends anything under a keeper in `mode`.
    pub fn sends_in(self, mode: Mode) -> bool {
        matches!(mode, Mode::Live | Mode::Demo) && self == Self::Live
    }
}

/// A strategy's money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capital {
    /// Belongs to this strategy alone, USD.
    pub budget_usd: Decimal,
}

/// Where the liquidity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The same distance below and above the price.
    Fixed {
        /// Half of the range's width, percent of the price.
        half_width_pct: Decimal,
    },
}

/// When the range is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// Hours over which the gain is counted.
    pub horizon_h: u32,
    /// Smallest gain over cost.
    pub min_gain_over_cost: Decimal,
    /// Seconds that a range stays at least.
    pub min_dwell_s: u64,
    /// Most moves in a day.
    pub max_per_day: u32,
    /// Most slippage of a swap, basis points.
    pub max_slippage_bps: u32,
    /// Largest distance of the pool from the reference price, basis points.
    pub max_pool_vs_reference_bps: u32,
}

/// When a strategy ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Loss net of hedge, fees and gas, USD.
    pub stop_loss_usd: Decimal,
    /// What becomes of the position on a halt.
    pub on_halt: OnHalt,
}

/// What becomes of the position on a halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnHalt {
    /// It stays.
    Hold,
    /// It is withdrawn.
    Withdraw,
}

/// What the other files define, as far as it could be read.
pub(super) struct Known<'a> {
    pub(super) agent: &'a AgentDraft,
    /// Whether a name not in `agent` does not exist.
    pub(super) is_agent_whole: bool,
    pub(super) chains: &'a BTreeMap<String, ChainDraft>,
    /// Whether a name not in `chains` does not exist.
    pub(super) are_chains_whole: bool,
}

/// What one strategy claims for itself alone.
pub(super) struct Claim {
    pub(super) id: String,
    /// Chain, signer and pool, with the pool's place.
    pub(super) pool: Option<(String, String, Pool, Origin)>,
    /// Venue and market, with the market's place.
    pub(super) market: Option<(String, String, Origin)>,
    /// Budget, with its place.
    pub(super) budget_usd: Option<(Decimal, Origin)>,
}

/// Reads one file; `id` is the strategy's own or, failing that, the file's.
pub(super) fn read_strategy(
    mut node: Node<'_>,
    id: &str,
    known: &Known<'_>,
) -> (Option<Strategy>, Claim) {
    let schema = node.identity("schema", &integer::<u8>(SCHEMA..=SCHEMA, SCHEMA));
    let own_id = node.identity("id", &values::name("base-weth-usdc-lp"));
    let later = &["arbitrage", "market_making"];
    let kind = node.need("kind", &values::choice(&[("liquidity", ())], later));
    let stages = &[("observe", Stage::Observe), ("paper", Stage::Paper), ("live", Stage::Live)];
    let stage = node.need("stage", &values::choice(stages, &[]));
    let chain = read_chain_name(&mut node, known);
    let draft = chain.as_ref().and_then(|name| known.chains.get(name));
    let signer = read_signer_name(&mut node, known, draft);
    let pool = node
        .table("pool", "the pool, as dex, pair and fee_pips")
        .and_then(|node| read_own_pool(node, draft));
    let capital = node.table("capital", "the money it may use").and_then(read_capital);
    let range = node.table("range", "where the liquidity stands").and_then(read_range);
    let rebalance = node.table("rebalance", "when the range is moved").and_then(read_rebalance);
    let base_asset = draft.zip(pool.as_ref()).and_then(|(d, (pool, _))| d.assets.get(&pool.base));
    let hedge = node
        .table("hedge", "how the delta is hedged; target_delta_fraction = \"1\" for not at all")
        .and_then(|node| read_hedge(node, known, base_asset));
    let exit = node
        .table("exit", "when it ends")
        .and_then(|node| read_exit(node, capital.as_ref().map(|(capital, _)| *capital)));
    let claim = claim_of(id, [&chain, &signer], pool.as_ref(), capital.as_ref(), hedge.as_ref());
    node.finish();
    let liquidity = || {
        schema?;
        kind?;
        Some(Strategy::Liquidity(Liquidity {
            id: own_id?,
            stage: stage?,
            chain: chain?,
            pool: pool?.0,
            signer: signer?,
            capital: capital?.0,
            range: range?,
            rebalance: rebalance?,
            hedge: hedge?.0,
            exit: exit?,
        }))
    };
    (liquidity(), claim)
}

/// What a strategy claims, even when other parts of its file are wrong.
fn claim_of(
    id: &str,
    [chain, signer]: [&Option<String>; 2],
    pool: Option<&(Pool, Origin)>,
    capital: Option<&(Capital, Origin)>,
    hedge: Option<&(Hedge, Origin)>,
) -> Claim {
    let pool = || {
        let (pool, origin) = pool?.clone();
        Some((chain.clone()?, signer.clone()?, pool, origin))
    };
    Claim {
        id: id.to_owned(),
        pool: pool(),
        market: hedge.map(|(h, origin)| (h.venue.clone(), h.market.clone(), origin.clone())),
        budget_usd: capital.map(|(c, origin)| (c.budget_usd, origin.clone())),
    }
}

fn read_chain_name(node: &mut Node<'_>, known: &Known<'_>) -> Option<String> {
    let chain = node.need("chain", &values::name("base"))?;
    if known.are_chains_whole && !known.chains.contains_key(&chain) {
        let names: Vec<&str> = known.chains.keys().map(String::as_str).collect();
        let what = format!("no file in chains/ has the name {chain:?}");
        node.fault("chain", Fault::new(what, suggest(&chain, &names)));
    }
    Some(chain)
}

fn read_signer_name(
    node: &mut Node<'_>,
    known: &Known<'_>,
    chain: Option<&ChainDraft>,
) -> Option<String> {
    let name = node.need("signer", &values::name("lp"))?;
    match known.agent.signers.get(&name) {
        None if known.is_agent_whole => {
            let names: Vec<&str> = known.agent.signers.keys().map(String::as_str).collect();
            let what = format!("agent.toml has no [signers.{name}]");
            node.fault("signer", Fault::new(what, suggest(&name, &names)));
        }
        Some(Some(signer)) => {
            if !signer.lanes.contains(&Lane::Liquidity) {
                let what = format!("[signers.{name}] is not for liquidity");
                node.fault("signer", Fault::new(what, "add \"liquidity\" to its lanes"));
            }
            let chain_id = chain.and_then(|chain| chain.chain_id);
            let is_real = chain_id.is_some_and(|id| !LOCAL_CHAIN_IDS.contains(&id));
            if matches!(signer.key, Key::Dev { .. }) && is_real {
                let what = format!("[signers.{name}] is a development key on a real chain");
                node.fault("signer", Fault::new(what, "use a signer of kind \"keystore\""));
            }
        }
        None | Some(None) => {}
    }
    Some(name)
}

fn read_own_pool(mut node: Node<'_>, chain: Option<&ChainDraft>) -> Option<(Pool, Origin)> {
    let pool = read_pool(&mut node);
    let origin = node.origin_of("pair");
    if let Some(pool) = &pool {
        if pool.dex != Dex::UniswapV3 {
            let what = "has no ranges: a liquidity strategy needs uniswap_v3";
            node.fault("dex", Fault::new(what, "name a uniswap_v3 pool"));
        }
        let pools = chain.and_then(|chain| chain.pools.as_ref());
        if let Some(pools) = pools.filter(|pools| !pools.contains(pool)) {
            let texts: Vec<String> = pools.iter().map(Pool::to_string).collect();
            let names: Vec<&str> = texts.iter().map(String::as_str).collect();
            let what = format!("{pool} is not in pools.allow of its chain");
            node.fault("pair", Fault::new(what, suggest(&pool.to_string(), &names)));
        }
    }
    node.finish();
    pool.map(|pool| (pool, origin))
}

fn read_capital(mut node: Node<'_>) -> Option<(Capital, Origin)> {
    let budget_usd = node.need("budget_usd", &usd("50000"));
    let origin = node.origin_of("budget_usd");
    let adopt = values::only_flag(false, "positions made elsewhere are left alone");
    let adopt = node.or("adopt_existing_positions", &adopt, "false");
    let benchmarks = values::choice(&[("entry_inventory", ())], &["half_half", "all_quote"]);
    let benchmark = node.or("hold_benchmark", &benchmarks, "entry_inventory");
    node.finish();
    adopt?;
    benchmark?;
    Some((Capital { budget_usd: budget_usd? }, origin))
}

/// Keys of the range methods that this version does not have.
const RANGE_KEYS_LATER: [&str; 4] =
    ["half_width_min_pct", "half_width_max_pct", "volatility_window_h", "require_fee_over_lvr"];

/// Half of a range may not reach down to a price of zero.
const HALF_WIDTH_PCT_MAX: i64 = 95;

fn read_range(mut node: Node<'_>) -> Option<Range> {
    let methods = values::choice(&[("fixed", ())], &["volatility_scaled", "optimal"]);
    let method = node.need("method", &methods);
    node.skip_all(&RANGE_KEYS_LATER);
    for key in RANGE_KEYS_LATER {
        if method.is_some() && node.has(key) {
            node.fault(key, Fault::new("is not used by method \"fixed\"", "remove it"));
        }
    }
    let width = values::decimal(Bounds::above(0, HALF_WIDTH_PCT_MAX), "2.0");
    let half_width_pct = match method {
        Some(()) => node.need("half_width_pct", &width),
        None => node.may("half_width_pct", &width).flatten(),
    };
    node.finish();
    method?;
    Some(Range::Fixed { half_width_pct: half_width_pct? })
}

fn read_rebalance(mut node: Node<'_>) -> Option<Rebalance> {
    let horizon_h = node.need("horizon_h", &integer(1..=8_760, 24));
    // Below one a move would cost more than it brings.
    let gain = values::decimal(Bounds::within(1, 1_000), "2.0");
    let min_gain_over_cost = node.need("min_gain_over_cost", &gain);
    let min_dwell_s = node.need("min_dwell_s", &integer(0..=2_592_000, 3_600));
    let max_per_day = node.need("max_per_day", &integer(1..=86_400, 4));
    let max_slippage_bps = node.need("max_slippage_bps", &integer(1..=1_000, 15));
    let distance = node.need("max_pool_vs_reference_bps", &integer(1..=1_000, 40));
    node.finish();
    Some(Rebalance {
        horizon_h: horizon_h?,
        min_gain_over_cost: min_gain_over_cost?,
        min_dwell_s: min_dwell_s?,
        max_per_day: max_per_day?,
        max_slippage_bps: max_slippage_bps?,
        max_pool_vs_reference_bps: distance?,
    })
}

fn read_exit(mut node: Node<'_>, capital: Option<Capital>) -> Option<Exit> {
    let stop_loss_usd = node.need("stop_loss_usd", &usd("1500"));
    let ways = &[("hold", OnHalt::Hold), ("withdraw", OnHalt::Withdraw)];
    let on_halt = node.need("on_halt", &values::choice(ways, &[]));
    if let (Some(stop), Some(capital)) = (stop_loss_usd, capital)
        && stop > capital.budget_usd
    {
        let what = format!("is {stop}, more than the whole budget of {}", capital.budget_usd);
        node.fault("stop_loss_usd", Fault::new(what, "a stop must come before the money is gone"));
    }
    node.finish();
    Some(Exit { stop_loss_usd: stop_loss_usd?, on_halt: on_halt? })
}
