//! What a fork tells of itself: labels for the page, its part of the report, and where everything
//! is for the independent reconciler.

use alloy::primitives::Address;
use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::config::chain::Chain;
use crate::config::gas::FeeModel;
use crate::config::pool::Dex;
use crate::exchange::{DEMO_API_KEY, DEMO_API_SECRET, TAPE_DAY};
use crate::store::cluster;
use crate::world::anvil::AnvilProcess;
use crate::world::fork::Pin;
use crate::world::fork::cast::Cast;
use crate::world::fork::door::Door;
use crate::world::fork::money::Given;
use crate::world::manifest::{AccountSide, AccountSite};
use crate::world::venue::LocalExchange;

/// Places of an amount that people are told.
const TOLD_PLACES: u32 = 6;

/// The facts of a fork.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The operator's name of the chain.
    pub(super) chain: String,
    /// The chain's own id.
    pub(super) chain_id: u64,
    /// The fork's id.
    pub(super) local_id: u64,
    /// Where it begins.
    pub(super) pin: Pin,
    /// Seconds between its blocks.
    pub(super) block_time_s: u64,
    /// Usual time between the chain's own blocks, milliseconds.
    pub(super) block_time_ms: u64,
    /// How the chain's own fees are made up.
    pub(super) fee_model: FeeModel,
    /// Who takes part.
    pub(super) strategies: Vec<String>,
    /// Who does not.
    pub(super) left_out: Vec<String>,
    /// The account.
    pub(super) signer: Address,
    /// Its money.
    pub(super) given: Vec<Given>,
}

impl Told {
    /// What the parts of this world are: what, kind and text of each.
    pub(super) fn labels(&self) -> Vec<[String; 3]> {
        let Self { chain, chain_id, local_id, pin, .. } = self;
        let label = |what: &str, kind: &str, text: String| [what.to_owned(), kind.to_owned(), text];
        let mut labels = vec![
            label(
                "pools and contracts",
                "real",
                format!(
                    "{chain} as its endpoint told it at block {} ({}); nobody else trades after it",
                    pin.block, pin.hash
                ),
            ),
            label(
                "exchange",
                "simulated",
                format!(
                    "simulated on the tape recorded on {TAPE_DAY}: its prices are of another day \
                     than the fork's pools, so that a strategy may wait for them to agree"
                ),
            ),
            label("money", "simulated", format!("play money from anvil: {}", self.money())),
            label(
                "signer",
                "simulated",
                "a key made for this run and kept nowhere; the operator's was not read".to_owned(),
            ),
            label(
                "strategies",
                "assumed",
                format!(
                    "at stage live whatever their files say: {}; left out: {}",
                    list(&self.strategies),
                    list(&self.left_out)
                ),
            ),
        ];
        if chain_id != local_id {
            let text = format!(
                "{local_id} instead of {chain_id}: what is signed here is valid on no real chain"
            );
            labels.push(label("chain id", "assumed", text));
        }
        if self.block_time_s.saturating_mul(1_000) != self.block_time_ms {
            let text = format!(
                "a block every {} s instead of every {} ms: a block's time is whole seconds",
                self.block_time_s, self.block_time_ms
            );
            labels.push(label("block time", "assumed", text));
        }
        if self.fee_model != FeeModel::Ethereum {
            let text = "execution alone is paid; the chain's own data fee is not".to_owned();
            labels.push(label("gas", "assumed", text));
        }
        labels
    }

    fn money(&self) -> String {
        let given = self.given.iter().map(|given| format!("{} {}", amount(given), given.token));
        given.collect::<Vec<_>>().join(", ")
    }

    /// The head of the report.
    pub(super) fn title(&self, n_blocks: u64) -> String {
        format!("Fork of {} at block {}, run for {n_blocks} blocks", self.chain, self.pin.block)
    }

    /// The fork's part of the report.
    pub(super) fn page(&self, n_blocks: u64, door: &Door) -> Value {
        let given = self.given.iter();
        let money = given.map(|given| json!({ "token": given.token, "amount": amount(given) }));
        json!({
            "chain": self.chain,
            "chain_id": self.chain_id,
            "local_chain_id": self.local_id,
            "block": self.pin.block,
            "block_hash": self.pin.hash,
            "block_time_s": self.block_time_s,
            "blocks": n_blocks,
            "strategies": self.strategies,
            "left_out": self.left_out,
            "signer": self.signer,
            "play_money": money.collect::<Vec<_>>(),
            "endpoint": { "reads": door.n_reads(), "refused": door.n_refused() },
        })
    }
}

fn amount(given: &Given) -> String {
    given.amount.round_dp(TOLD_PLACES).normalize().to_string()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// `world.json` of a fork: what the independent reconciler reads.
pub(super) fn world(
    told: &Told,
    cast: &Cast<'_>,
    anvil: &AnvilProcess,
    exchange: &LocalExchange,
    database: Option<&cluster::Manifest>,
) -> Result<Value> {
    let position_manager = position_manager(cast.chain)?;
    let tokens: Vec<Address> = cast.chain.tokens.values().map(|token| token.address).collect();
    let account = |venue: &&str| AccountSite {
        venue: (*venue).to_owned(),
        side: AccountSide::Usdm,
        api_key: DEMO_API_KEY.to_owned(),
        api_secret: DEMO_API_SECRET.to_owned(),
    };
    let accounts: Vec<AccountSite> = cast.venues.iter().map(account).collect();
    Ok(json!({
        "chains": [{
            "name": told.chain,
            "chain_id": told.local_id,
            "block_time_s": told.block_time_s,
            "rpc_http": anvil.http_url,
            "rpc_ws": anvil.ws_url,
            "contracts": { "position_manager": position_manager },
            "tokens": tokens,
        }],
        "exchange_http": exchange.http(),
        "exchange_ws": exchange.ws(),
        "accounts": accounts,
        "signer": told.signer,
        "database": database,
    }))
}

fn position_manager(chain: &Chain) -> Result<Address> {
    let contracts = chain.dexes.get(&Dex::UniswapV3);
    let found = contracts.and_then(|contracts| contracts.position_manager);
    found.with_context(|| format!("{:?} needs [dex.uniswap_v3] position_manager", chain.name))
}
