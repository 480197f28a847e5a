//! `kind = "liquidity"`: one concentrated position, hedged with a perpetual.

use rust_decimal::Decimal;

use crate::config::agent::usd;
use crate::config::chain::ChainDraft;
use crate::config::editable::{Editable, editable};
use crate::config::hedge::{HedgeBy, read_hedge};
use crate::config::pool::{Dex, Pool, read_pool};
use crate::config::problem::{Fault, Origin, suggest};
use crate::config::reader::Node;
use crate::config::strategy::{Capital, Claim, Draft, Head, Known, Seat, read_capital};
use crate::config::values::{self, Bounds, integer};

/// One concentrated liquidity position, hedged with a perpetual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liquidity {
    /// Name and stage.
    pub head: Head,
    /// Chain and signer.
    pub seat: Seat,
    /// The pool, one of the chain's.
    pub pool: Pool,
    /// Its money.
    pub capital: Capital,
    /// Where the liquidity stands.
    pub range: Range,
    /// When the range is moved.
    pub rebalance: Rebalance,
    /// Who hedges the delta, and how.
    pub hedge: HedgeBy,
    /// When it ends.
    pub exit: Exit,
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

/// Numbers that may be changed while it runs.
pub(super) const EDITABLE: &[Editable] = &[
    editable("range.half_width_pct", "Half of a new range's width, percent of the price."),
    editable("rebalance.horizon_h", "Time over which a move must pay for itself, hours."),
    editable(
        "rebalance.min_gain_over_cost",
        "Fees expected over the horizon must be at least this multiple of a move's cost.",
    ),
    editable("rebalance.min_dwell_s", "Time a range stays at least, seconds."),
    editable("rebalance.max_per_day", "Moves at most in a day (UTC), a count."),
    editable(
        "rebalance.max_slippage_bps",
        "Slippage of a swap at most against the reference, basis points.",
    ),
    editable(
        "rebalance.max_pool_vs_reference_bps",
        "Distance of the pool from the reference at which nothing is done any more, basis points.",
    ),
];

/// Whoever swaps needs a contract that does it.
pub(super) fn check_router(node: &Node<'_>, chain: Option<&ChainDraft>) {
    if chain.is_some_and(|chain| chain.lacks_router) {
        let what = "is a chain without a contract that swaps, which this strategy needs";
        let help = "write router (SwapRouter) or router02 (SwapRouter02) in its [dex.uniswap_v3]";
        node.fault("chain", Fault::new(what, help));
    }
}

/// Reads what is the kind's own; the head was read before.
pub(super) fn read_liquidity(
    mut node: Node<'_>,
    draft: Draft,
    known: &Known<'_>,
) -> (Option<Liquidity>, Claim) {
    let chain = draft.chain.as_ref().and_then(|name| known.chains.get(name));
    check_router(&node, chain);
    let pool = node
        .table("pool", "the pool, as dex, pair and fee_pips")
        .and_then(|node| read_own_pool(node, chain));
    let capital = node.table("capital", "the money it may use").and_then(read_capital);
    let range = node.table("range", "where the liquidity stands").and_then(read_range);
    let rebalance = node.table("rebalance", "when the range is moved").and_then(read_rebalance);
    let base_asset = chain.zip(pool.as_ref()).and_then(|(c, (pool, _))| c.assets.get(&pool.base));
    let hedge = node
        .table("hedge", "how the delta is hedged; target_delta_fraction = \"1\" for not at all")
        .and_then(|node| read_hedge(node, known, base_asset));
    let exit = node
        .table("exit", "when it ends")
        .and_then(|node| read_exit(node, capital.as_ref().map(|(capital, _)| *capital)));
    let claim = claim_of(&draft, pool.as_ref(), capital.as_ref(), hedge.as_ref());
    node.finish();
    let liquidity = || {
        Some(Liquidity {
            head: draft.head()?,
            seat: draft.seat()?,
            pool: pool?.0,
            capital: capital?.0,
            range: range?,
            rebalance: rebalance?,
            hedge: hedge?.0,
            exit: exit?,
        })
    };
    (liquidity(), claim)
}

/// What the strategy claims, even when other parts of its file are wrong.
fn claim_of(
    draft: &Draft,
    pool: Option<&(Pool, Origin)>,
    capital: Option<&(Capital, Origin)>,
    hedge: Option<&(HedgeBy, Origin)>,
) -> Claim {
    let pool = || {
        let (pool, origin) = pool?.clone();
        Some((draft.chain.clone()?, draft.signer.clone()?, pool, origin))
    };
    let (mut market, mut hedged_with) = (None, None);
    match hedge {
        Some((HedgeBy::Own(own), origin)) => {
            market = Some((own.venue.clone(), own.market.clone(), origin.clone()));
        }
        Some((HedgeBy::With(name), origin)) => hedged_with = Some((name.clone(), origin.clone())),
        None => {}
    }
    let is_hedge = market.is_some();
    Claim {
        pool: pool(),
        market,
        is_range: true,
        is_hedge,
        hedged_with,
        ..Claim::of(draft, capital)
    }
}

fn read_own_pool(mut node: Node<'_>, chain: Option<&ChainDraft>) -> Option<(Pool, Origin)> {
    let pool = read_pool(&mut node);
    let origin = node.origin_of("pair");
    if let Some(pool) = &pool {
        if pool.dex != Dex::UniswapV3 {
            let what =
                format!("is {}: positions are made by Uniswap V3's own contract", pool.dex.name());
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
