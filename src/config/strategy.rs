//! `strategies/*.toml`: what one strategy wants, with whose money and within which bounds.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::config::agent::{AgentDraft, Mode, SCHEMA, usd};
use crate::config::arbitrage::{self, Arbitrage, read_arbitrage};
use crate::config::cex_dex::{self, CexDex, read_cex_dex};
use crate::config::chain::{ChainDraft, LOCAL_CHAIN_IDS};
use crate::config::editable::{Editable, editable};
use crate::config::hedge;
use crate::config::liquidity::{self, Liquidity, read_liquidity};
use crate::config::market_making::{self, MarketMaking, read_market_making};
use crate::config::pool::Pool;
use crate::config::problem::{Fault, Origin, suggest};
use crate::config::reader::Node;
use crate::config::signer::{Key, Lane};
use crate::config::values::{self, integer};

/// One strategy, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// One concentrated liquidity position, hedged with a perpetual.
    Liquidity(Liquidity),
    /// Cycles over the pools of one chain, through the executor contract.
    Arbitrage(Arbitrage),
    /// Pools of one chain against a spot book.
    CexDex(CexDex),
    /// Two-sided quotes on a spot book.
    MarketMaking(MarketMaking),
}

impl Strategy {
    /// What strategies of every kind have.
    pub fn head(&self) -> &Head {
        match self {
            Self::Liquidity(liquidity) => &liquidity.head,
            Self::Arbitrage(arbitrage) => &arbitrage.head,
            Self::CexDex(cex_dex) => &cex_dex.head,
            Self::MarketMaking(making) => &making.head,
        }
    }

    /// Where it acts on a chain; `None` for strategies of venues.
    pub fn seat(&self) -> Option<&Seat> {
        match self {
            Self::Liquidity(liquidity) => Some(&liquidity.seat),
            Self::Arbitrage(arbitrage) => Some(&arbitrage.seat),
            Self::CexDex(cex_dex) => Some(&cex_dex.seat),
            Self::MarketMaking(_) => None,
        }
    }

    /// Its unique name.
    pub fn id(&self) -> &str {
        &self.head().id
    }

    /// Numbers of its kind that may be changed while it runs; its file may lack some.
    pub(super) fn editable(&self) -> impl Iterator<Item = &'static Editable> + use<> {
        let own: &'static [&'static [Editable]] = match self {
            Self::Liquidity(_) => &[liquidity::EDITABLE, hedge::EDITABLE],
            Self::Arbitrage(_) => &[arbitrage::EDITABLE],
            Self::CexDex(_) => &[cex_dex::EDITABLE],
            Self::MarketMaking(_) => &[market_making::EDITABLE],
        };
        EDITABLE.iter().chain(own.iter().copied().flatten())
    }
}

/// Numbers of every kind of strategy that may be changed while it runs.
const EDITABLE: &[Editable] =
    &[editable("capital.budget_usd", "Money that belongs to this strategy alone, USD.")];

/// What strategies of every kind have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Unique name.
    pub id: String,
    /// How far it has been let; the keeper's mode caps it.
    pub stage: Stage,
}

/// A chain and the account that acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Name of the chain.
    pub chain: String,
    /// Name of the signer that acts for it.
    pub signer: String,
}

/// How far a strategy has been let.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Decides, sends nothing.
    Observe,
    /// Acts in pretend accounts, under a keeper in mode paper.
    Paper,
    /// Acts wherever the keeper's mode acts.
    Live,
}

impl Stage {
    /// Whether a strategy at this stage acts under a keeper in `mode`; in mode paper its acts are
    /// pretended.
    pub fn sends_in(self, mode: Mode) -> bool {
        match mode {
            Mode::Observe => false,
            Mode::Paper => self >= Self::Paper,
            Mode::Live | Mode::Demo => self == Self::Live,
        }
    }
}

/// A strategy's money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capital {
    /// Belongs to this strategy alone, USD.
    pub budget_usd: Decimal,
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
    /// Its budget may become all base: a range the price has left.
    pub(super) is_range: bool,
    /// That market is a hedge of its own, which may net others.
    pub(super) is_hedge: bool,
    /// Who hedges it instead, with the place of that name.
    pub(super) hedged_with: Option<(String, Origin)>,
    /// Budget, with its place.
    pub(super) budget_usd: Option<(Decimal, Origin)>,
}

impl Claim {
    /// The claim of a strategy with a budget and nothing else.
    pub(super) fn of(draft: &Draft, capital: Option<&(Capital, Origin)>) -> Self {
        Self {
            id: draft.name.clone(),
            pool: None,
            market: None,
            is_range: false,
            is_hedge: false,
            hedged_with: None,
            budget_usd: capital.map(|(c, origin)| (c.budget_usd, origin.clone())),
        }
    }
}

/// The head of a strategy's file, as far as it could be read.
pub(super) struct Draft {
    /// The strategy's own name or, failing that, the file's.
    pub(super) name: String,
    pub(super) chain: Option<String>,
    pub(super) signer: Option<String>,
    own_id: Option<String>,
    stage: Option<Stage>,
    /// Schema and kind are known.
    is_known: bool,
}

impl Draft {
    /// The head, when all of it is right.
    pub(super) fn head(&self) -> Option<Head> {
        let head = || Some(Head { id: self.own_id.clone()?, stage: self.stage? });
        if self.is_known { head() } else { None }
    }

    /// Chain and signer, when both are right.
    pub(super) fn seat(self) -> Option<Seat> {
        Some(Seat { chain: self.chain?, signer: self.signer? })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Liquidity,
    Arbitrage,
    CexDex,
    MarketMaking,
}

const KINDS: &[(&str, Kind)] = &[
    ("liquidity", Kind::Liquidity),
    ("arbitrage", Kind::Arbitrage),
    ("cex_dex", Kind::CexDex),
    ("market_making", Kind::MarketMaking),
];

/// Kinds of the design that this version does not know.
const KINDS_LATER: &[&str] = &["options"];

/// Reads one file; `id` is the strategy's own or, failing that, the file's.
pub(super) fn read_strategy(
    mut node: Node<'_>,
    id: &str,
    known: &Known<'_>,
) -> (Option<Strategy>, Claim) {
    let schema = node.identity("schema", &integer::<u8>(SCHEMA..=SCHEMA, SCHEMA));
    let own_id = node.identity("id", &values::name("base-weth-usdc-lp"));
    let kind = node.need("kind", &values::choice(KINDS, KINDS_LATER));
    let stages = &[("observe", Stage::Observe), ("paper", Stage::Paper), ("live", Stage::Live)];
    let stage = node.need("stage", &values::choice(stages, &[]));
    let is_known = schema.is_some() && kind.is_some();
    let name = id.to_owned();
    let lane = match kind {
        Some(Kind::MarketMaking) => {
            let draft = Draft { name, chain: None, signer: None, own_id, stage, is_known };
            let (making, claim) = read_market_making(node, draft, known);
            return (making.map(Strategy::MarketMaking), claim);
        }
        Some(Kind::Arbitrage | Kind::CexDex) => Lane::Arbitrage,
        // The rest of a file of no known kind is read as if it were the first.
        Some(Kind::Liquidity) | None => Lane::Liquidity,
    };
    let chain = read_chain_name(&mut node, known);
    let on_chain = chain.as_ref().and_then(|name| known.chains.get(name));
    let signer = read_signer_name(&mut node, known, on_chain, lane);
    let draft = Draft { name, chain, signer, own_id, stage, is_known };
    match kind {
        Some(Kind::Arbitrage) => {
            let (arbitrage, claim) = read_arbitrage(node, draft, known);
            (arbitrage.map(Strategy::Arbitrage), claim)
        }
        Some(Kind::CexDex) => {
            let (cex_dex, claim) = read_cex_dex(node, draft, known);
            (cex_dex.map(Strategy::CexDex), claim)
        }
        Some(Kind::Liquidity | Kind::MarketMaking) | None => {
            let (liquidity, claim) = read_liquidity(node, draft, known);
            (liquidity.map(Strategy::Liquidity), claim)
        }
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
    lane: Lane,
) -> Option<String> {
    let name = node.need("signer", &values::name("lp"))?;
    match known.agent.signers.get(&name) {
        None if known.is_agent_whole => {
            let names: Vec<&str> = known.agent.signers.keys().map(String::as_str).collect();
            let what = format!("agent.toml has no [signers.{name}]");
            node.fault("signer", Fault::new(what, suggest(&name, &names)));
        }
        Some(Some(signer)) => {
            if !signer.lanes.contains(&lane) {
                let what = format!("[signers.{name}] is not for {}", lane.name());
                let help = format!("add \"{}\" to its lanes", lane.name());
                node.fault("signer", Fault::new(what, help));
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

/// Reads `[capital]`, with the place of the budget.
pub(super) fn read_capital(mut node: Node<'_>) -> Option<(Capital, Origin)> {
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
