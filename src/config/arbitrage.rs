//! `kind = "arbitrage"`: cycles over the pools of one chain, through the executor contract.

use rust_decimal::Decimal;

use crate::config::chain::ChainDraft;
use crate::config::editable::{Editable, editable};
use crate::config::gas::FeeModel;
use crate::config::problem::{Fault, suggest};
use crate::config::reader::Node;
use crate::config::strategy::{Capital, Claim, Draft, Head, Known, Seat, read_capital};
use crate::config::values::{self, Bounds, integer};

/// Cycles over the pools of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arbitrage {
    /// Name and stage.
    pub head: Head,
    /// Chain and signer; the signer is the executor's operator.
    pub seat: Seat,
    /// Its money: the largest input of one cycle. Flash swaps borrow it for the transaction.
    pub capital: Capital,
    /// Where it looks, and what is worth sending.
    pub search: Search,
}

/// Where an arbitrage strategy looks, and what is worth sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Symbols of the tokens in which cycles begin and end.
    pub start_tokens: Vec<String>,
    /// Most pools in one cycle.
    pub legs_max: u8,
    /// Least expected profit after all costs, USD.
    pub min_net_usd: Decimal,
    /// What others' trades before ours are expected to take, basis points of the input.
    pub slippage_bps: u32,
}

/// Most pools the executor takes in one cycle that is searched for.
const LEGS_MAX: i128 = 3;
/// Largest threshold of a cycle's profit, USD.
const MIN_NET_USD_MAX: i64 = 1_000_000;

/// Numbers that may be changed while it runs.
pub(super) const EDITABLE: &[Editable] = &[
    editable("search.legs_max", "Pools at most in one cycle, a count."),
    editable("search.min_net_usd", "Expected profit at least, after all costs, USD."),
    editable(
        "search.slippage_bps",
        "What trades of others before ours are expected to take, basis points of the input.",
    ),
];

/// Reads what is the kind's own; the head was read before.
pub(super) fn read_arbitrage(
    mut node: Node<'_>,
    draft: Draft,
    known: &Known<'_>,
) -> (Option<Arbitrage>, Claim) {
    let chain = draft.chain.as_ref().and_then(|name| known.chains.get(name));
    if chain.is_some_and(|chain| !chain.has_executor) {
        let what = "is a chain without [executor], the contract that makes a cycle all or nothing";
        let help = "deploy contracts/Executor.json and write its address in the chain's file";
        node.fault("chain", Fault::new(what, help));
    }
    if chain.is_some_and(|chain| chain.fee_model == Some(FeeModel::Arbitrum)) {
        let what = "is a chain whose contracts count Ethereum's blocks, not its own: the last \
                    block that a cycle names would not come for years";
        node.fault("chain", Fault::new(what, "run cycles on another chain"));
    }
    let capital = node.table("capital", "the money it may use").and_then(read_capital);
    let search = node
        .table("search", "where it looks and what is worth sending")
        .and_then(|node| read_search(node, chain));
    let claim = Claim::of(&draft, capital.as_ref());
    node.finish();
    let arbitrage = || {
        Some(Arbitrage {
            head: draft.head()?,
            seat: draft.seat()?,
            capital: capital?.0,
            search: search?,
        })
    };
    (arbitrage(), claim)
}

fn read_search(mut node: Node<'_>, chain: Option<&ChainDraft>) -> Option<Search> {
    let start_tokens = node.list("start_tokens", &values::symbol("WETH"));
    let legs_max = node.or("legs_max", &integer::<u8>(2..=LEGS_MAX, 3), "3");
    let least = values::decimal(Bounds::above(0, MIN_NET_USD_MAX), "1.0");
    let min_net_usd = node.need("min_net_usd", &least);
    let slippage_bps = node.or("slippage_bps", &integer::<u32>(0..=1_000, 1), "1");
    if let (Some(chain), Some(tokens)) = (chain, &start_tokens) {
        let names: Vec<&str> = chain.assets.keys().map(String::as_str).collect();
        for token in tokens.iter().filter(|token| !chain.assets.contains_key(*token)) {
            let what = format!("names {token}, which the chain's file has no table for");
            node.fault("start_tokens", Fault::new(what, suggest(token, &names)));
        }
    }
    node.finish();
    Some(Search {
        start_tokens: start_tokens?,
        legs_max: legs_max?,
        min_net_usd: min_net_usd?,
        slippage_bps: slippage_bps?,
    })
}
