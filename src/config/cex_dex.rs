//! `kind = "cex_dex"`: the pools of a chain against a spot book, a swap first and a leg after it.

use rust_decimal::Decimal;

use crate::config::editable::{Editable, editable};
use crate::config::liquidity::check_router;
use crate::config::market_making::{read_hedged_with, read_spot_venue};
use crate::config::problem::Fault;
use crate::config::reader::Node;
use crate::config::strategy::{Capital, Claim, Draft, Head, Known, Seat, read_capital};
use crate::config::values::{self, Bounds, integer};

/// Pools of one chain against one spot book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CexDex {
    /// Name and stage.
    pub head: Head,
    /// Chain and signer; swaps use what the signer's wallet holds.
    pub seat: Seat,
    /// Name of the venue; a spot account of this strategy alone.
    pub venue: String,
    /// The exchange's symbol, as `ETHUSDT`.
    pub market: String,
    /// Its money: the largest swap.
    pub capital: Capital,
    /// What is worth sending.
    pub search: GapSearch,
    /// How far a leg may go.
    pub unwind: Unwind,
    /// The strategy whose hedge nets wallet and account too.
    pub hedged_with: String,
}

/// What is worth sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapSearch {
    /// Least expected profit after all costs, USD.
    pub min_net_usd: Decimal,
    /// Expected worsening between decision and trade, basis points of the size.
    pub slippage_bps: u32,
    /// Base on the account at which there is nothing to hedge.
    pub target_inventory: Decimal,
}

/// How far a leg may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwind {
    /// Worst price of the leg, basis points from the swap's own.
    pub max_loss_bps: Decimal,
    /// What is not traded after so long is left to the hedge, seconds.
    pub max_s: u64,
}

/// Largest amount of base in a file.
const BASE_MAX: i64 = 1_000_000;
/// Largest threshold of a gap's profit, USD.
const MIN_NET_USD_MAX: i64 = 1_000_000;

/// Numbers that may be changed while it runs. The target of the inventory is none of them: the
/// hedge would follow it at once, which no preview tells.
pub(super) const EDITABLE: &[Editable] = &[
    editable("search.min_net_usd", "Least expected profit after all costs, USD."),
    editable(
        "search.slippage_bps",
        "Expected worsening between decision and trade, basis points of the size.",
    ),
    editable("unwind.max_loss_bps", "Worst price of a leg, basis points from its swap's own."),
    editable("unwind.max_s", "What is not traded after so long is left to the hedge, seconds."),
];

/// Reads what is the kind's own; the head was read before.
pub(super) fn read_cex_dex(
    mut node: Node<'_>,
    draft: Draft,
    known: &Known<'_>,
) -> (Option<CexDex>, Claim) {
    check_router(&node, draft.chain.as_ref().and_then(|name| known.chains.get(name)));
    let venue = read_spot_venue(&mut node, known);
    let market = node.need("market", &values::symbol("ETHUSDT"));
    let market_at = node.origin_of("market");
    let capital = node.table("capital", "the money it may use").and_then(read_capital);
    if let (Some((capital, _)), Some(limits)) = (&capital, &known.agent.limits)
        && capital.budget_usd > limits.net_delta_usd
    {
        let limit = limits.net_delta_usd;
        let what = format!("is over limits.net_delta_usd = {limit}: a swap is open until its leg");
        node.fault("capital", Fault::new(what, "lower budget_usd or raise the limit"));
    }
    let search = node.table("search", "what is worth sending").and_then(read_search);
    let unwind = node.table("unwind", "how far a leg may go").and_then(read_unwind);
    let hedge = node.table("hedge", "who hedges it").and_then(read_hedged_with);
    let claim = Claim {
        market: venue.clone().zip(market.clone()).map(|(venue, market)| (venue, market, market_at)),
        hedged_with: hedge.clone(),
        ..Claim::of(&draft, capital.as_ref())
    };
    node.finish();
    let cex_dex = || {
        Some(CexDex {
            head: draft.head()?,
            seat: draft.seat()?,
            venue: venue?,
            market: market?,
            capital: capital?.0,
            search: search?,
            unwind: unwind?,
            hedged_with: hedge?.0,
        })
    };
    (cex_dex(), claim)
}

fn read_search(mut node: Node<'_>) -> Option<GapSearch> {
    let least = values::decimal(Bounds::above(0, MIN_NET_USD_MAX), "1.0");
    let min_net_usd = node.need("min_net_usd", &least);
    let slippage_bps = node.or("slippage_bps", &integer::<u32>(0..=1_000, 1), "1");
    let target = values::decimal(Bounds::within(0, BASE_MAX), "10");
    let target_inventory = node.need("target_inventory", &target);
    node.finish();
    Some(GapSearch {
        min_net_usd: min_net_usd?,
        slippage_bps: slippage_bps?,
        target_inventory: target_inventory?,
    })
}

fn read_unwind(mut node: Node<'_>) -> Option<Unwind> {
    let loss = values::decimal(Bounds::above(0, 1_000), "50");
    let max_loss_bps = node.need("max_loss_bps", &loss);
    let max_s = node.need("max_s", &integer::<u64>(1..=3_600, 20));
    node.finish();
    Some(Unwind { max_loss_bps: max_loss_bps?, max_s: max_s? })
}
