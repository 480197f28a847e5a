//! Chains at one of their blocks, and pools found there.

use alloy::primitives::{Address, U256};
use anyhow::{Context, Result, anyhow, bail};
use futures::future::join_all;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::cli::endpoints::{self, Reached};
use crate::cli::findings::{Progress, Report};
use crate::cli::pool::name::{self, NoSuchPool, Wanted, name_of};
use crate::config::Config;
use crate::config::chain::Chain;
use crate::config::pool::Pool;
use crate::engine::event::Pool as State;
use crate::engine::setup::PoolSetup;
use crate::io::chain::{ChainClient, ChainError};
use crate::math::amm::Rounding;
use crate::math::amm::price::{Base, PriceFrame};
use crate::model::amount::human_unsigned;
use crate::model::chain::{BlockRef, PoolAddress};
use crate::run::setup::{FOUND_AT_ONCE, find_pool};
use crate::world::price::frame_of;

/// A chain, and the block at which it is asked.
#[derive(Debug)]
pub(super) struct Place<'c> {
    pub(super) chain: &'c Chain,
    pub(super) client: ChainClient,
    pub(super) block: BlockRef,
}

/// A token of a pool, as the files know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coin<'c> {
    pub(super) symbol: &'c str,
    /// The zero address is the native coin.
    pub(super) address: Address,
    pub(super) decimals: u8,
}

/// A pool of a chain's file, found on its chain.
#[derive(Debug)]
pub(super) struct Site<'c> {
    pub(super) name: String,
    pub(super) pool: &'c Pool,
    pub(super) setup: PoolSetup,
    pub(super) base: Coin<'c>,
    pub(super) quote: Coin<'c>,
    pub(super) frame: PriceFrame,
}

/// One pool, read whole at one block.
#[derive(Debug)]
pub(super) struct Reading<'c> {
    pub(super) place: Place<'c>,
    pub(super) site: Site<'c>,
    pub(super) state: State,
}

impl<'c> Place<'c> {
    /// A chain at its newest block, by the first of its endpoints that answers. `None` when none
    /// does: the report has why.
    pub(super) async fn pin(report: &mut Report, chain: &'c Chain) -> Option<Self> {
        let Some(Reached { client, head }) = endpoints::first_good(report, chain).await else {
            endpoints::unreached(report, chain);
            return None;
        };
        Some(Self { chain, client, block: head })
    }

    /// The chain's newest block of now.
    pub(super) async fn newest(&self) -> Result<BlockRef, ChainError> {
        let header = self.client.latest().await?.header;
        let chain = self.chain.chain_id;
        Ok(BlockRef { chain, number: header.number, hash: header.hash })
    }

    /// A pool of the chain's file, which must be there in the block.
    pub(super) async fn find(&self, pool: &'c Pool) -> Result<Site<'c>> {
        let setup = find_pool(self.chain, pool, &self.client, self.block.hash).await?;
        let [base, quote] = [self.coin(pool, &pool.base)?, self.coin(pool, &pool.quote)?];
        let frame = frame_of((base.address, base.decimals), (quote.address, quote.decimals))?;
        Ok(Site { name: name_of(self.chain, pool), pool, setup, base, quote, frame })
    }

    /// Pools of the chain's file, each as [`Self::find`] finds it, in their order.
    pub(super) async fn find_all(&self, pools: &'c [Pool]) -> Vec<Result<Site<'c>>> {
        let mut found = Vec::with_capacity(pools.len());
        for some in pools.chunks(FOUND_AT_ONCE) {
            found.extend(join_all(some.iter().map(|pool| self.find(pool))).await);
        }
        found
    }

    /// A pool's whole state at the block.
    pub(super) async fn state(&self, site: &Site<'_>) -> Result<State> {
        let reading = || format!("reading {} at {}", site.name, site.setup.address);
        self.client.pool(&site.setup, &self.block).await.with_context(reading)
    }

    /// Which block it is, for people.
    pub(super) fn told(&self) -> String {
        let BlockRef { number, hash, .. } = self.block;
        format!("{} block {number} {hash}", self.chain.name)
    }

    fn coin(&self, pool: &Pool, symbol: &'c str) -> Result<Coin<'c>> {
        let coin = self.chain.coin(pool, symbol);
        let (address, decimals) = coin.with_context(|| format!("unknown token {symbol}"))?;
        Ok(Coin { symbol, address, decimals })
    }
}

/// Which block it is, for programs.
pub(super) fn block_json(block: &BlockRef) -> Value {
    json!({ "number": block.number, "hash": block.hash.to_string() })
}

impl<'c> Site<'c> {
    /// token0 and token1.
    pub(super) fn coins(&self) -> [Coin<'c>; 2] {
        match self.frame.base() {
            Base::Token0 => [self.base, self.quote],
            Base::Token1 => [self.quote, self.base],
        }
    }

    /// What is told of token0 and token1, the base first.
    pub(super) fn base_first<T>(&self, [of0, of1]: [T; 2]) -> [T; 2] {
        match self.frame.base() {
            Base::Token0 => [of0, of1],
            Base::Token1 => [of1, of0],
        }
    }

    /// What prices are counted in.
    pub(super) fn unit(&self) -> String {
        format!("{} per {}", self.quote.symbol, self.base.symbol)
    }

    /// Quote per base of a price of V3 or V4.
    pub(super) fn price_at(&self, sqrt_price_x96: U256) -> Option<Decimal> {
        self.frame.price(sqrt_price_x96, Rounding::Down).ok()
    }

    /// Quote per base of a V2 pair's reserves; the digits that a `Decimal` holds.
    pub(super) fn price_of(&self, reserves: (u128, u128)) -> Option<Decimal> {
        let [base, quote] = self.base_first([reserves.0, reserves.1]).map(U256::from);
        let base = human_unsigned(base, self.base.decimals.into())?;
        human_unsigned(quote, self.quote.decimals.into())?.checked_div(base)
    }

    /// Quote per base; `None` where there is none.
    pub(super) fn price(&self, state: &State) -> Option<Decimal> {
        match state {
            State::V3(pool) => self.price_at(pool.sqrt_price_x96()),
            State::V4(pool) => self.price_at(pool.sqrt_price_x96()),
            State::V2(pool) => self.price_of(pool.reserves()),
        }
    }
}

impl Reading<'_> {
    /// Which pool at which block, for people.
    pub(super) fn told(&self) -> String {
        format!("{} at {}\n{}\n", self.site.name, self.site.setup.address, self.place.told())
    }

    /// Why no trade with it can be told beforehand, where that is so.
    pub(super) fn no_quote(&self) -> Option<String> {
        match &self.state {
            State::V4(pool) => pool.key().swap_hook().map(|hook| hook.to_string()),
            State::V2(_) | State::V3(_) => None,
        }
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let Site { name, pool, setup, .. } = &self.site;
        json!({
            "pool": name,
            "chain": self.place.chain.name,
            "dex": setup.dex,
            "pair": setup.pair,
            "fee_pips": match &self.state {
                State::V4(state) => state.lp_fee_pips(),
                State::V2(_) | State::V3(_) => pool.fee_pips,
            },
            "address": setup.address.to_string(),
            "block": block_json(&self.place.block),
        })
    }
}

/// The pool of a name or an address, read whole at the newest block of its chain.
pub(super) async fn read<'c>(config: &'c Config, text: &str) -> Result<Reading<'c>> {
    let wanted = name::parse(config, text)?;
    let mut report = Report::new(Progress::Terminal);
    let read = read_wanted(&mut report, config, wanted).await;
    super::complain(&report);
    read
}

async fn read_wanted<'c>(
    report: &mut Report,
    config: &'c Config,
    wanted: Wanted<'c>,
) -> Result<Reading<'c>> {
    let (place, site) = match wanted {
        Wanted::Named(chain, pool) => {
            let place = Place::pin(report, chain).await;
            let place = place.with_context(|| format!("chain {} does not answer", chain.name))?;
            let looking = || format!("looking for {} on its chain", name_of(chain, pool));
            let site = place.find(pool).await.with_context(looking)?;
            (place, site)
        }
        Wanted::At(chains, address) => by_address(report, config, &chains, address).await?,
    };
    report.look(&site.name);
    let state = place.state(&site).await?;
    Ok(Reading { place, site, state })
}

/// Addresses do not stand in the files: each pool of the chains is looked up.
async fn by_address<'c>(
    report: &mut Report,
    config: &'c Config,
    chains: &[&'c Chain],
    address: PoolAddress,
) -> Result<(Place<'c>, Site<'c>)> {
    let mut found: Vec<(Place<'c>, Site<'c>)> = Vec::new();
    let mut unknown = None;
    for chain in chains.iter().copied() {
        let Some(place) = Place::pin(report, chain).await else {
            unknown = Some(anyhow!("chain {} does not answer", chain.name));
            continue;
        };
        let mut here = None;
        for pool in &chain.pools {
            match place.find(pool).await {
                Ok(site) if site.setup.address == address => here = Some(site),
                Ok(_) => {}
                Err(error) => unknown = Some(error.context(name_of(chain, pool))),
            }
        }
        found.extend(here.map(|site| (place, site)));
    }
    match (found.len(), unknown) {
        (0, Some(error)) => Err(error.context(format!("looking for the pool at {address}"))),
        (0, None) => {
            let known = name::names(config).join(", ");
            let help = format!("none of those they have is there; known: {known}");
            Err(NoSuchPool::new(address.to_string(), help).into())
        }
        (1, _) => found.pop().context("one was found"),
        _ => {
            let names: Vec<&str> = found.iter().map(|(_, site)| site.name.as_str()).collect();
            bail!("several chains have a pool at {address}: name one of {}", names.join(", "))
        }
    }
}
