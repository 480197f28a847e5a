//! `check --online`: every address of the chains' files against the chains themselves, by its code
//! and by what its views answer.
//!
//! Reads only, at one block a chain. Invariant: what could not be asked fails; it is never ok.

mod pools;
mod tokens;

use std::fmt::Display;
use std::io::Write as _;

use alloy::primitives::aliases::{I24, U24};
use alloy::primitives::{Address, B256, uint};
use alloy::sol_types::SolCall;
use anyhow::{Result, bail};
use thiserror::Error;
use tokio::sync::watch;

use crate::cli::endpoints::{self, Reached};
use crate::cli::findings::{Progress, Report, Status};
use crate::config::Config;
use crate::config::chain::Chain;
use crate::config::pool::{Contracts, Dex};
use crate::engine::pools::Oddity;
use crate::io::chain::{ChainClient, ChainError};
use crate::model::text::plain;
use crate::venues::erc20::Erc20;
use crate::venues::executor::{self, Executor};
use crate::venues::uniswap_v2::abi::{UniswapV2Factory, UniswapV2Router02};
use crate::venues::uniswap_v3::abi::{SwapRouter, SwapRouter02, UniswapV3Factory};
use crate::venues::uniswap_v4::abi::{PoolManager, V4Quoter};

/// A fee and its tick spacing that every V3 factory has from the start (`UniswapV3Factory.sol`).
const FIRST_TIER: (U24, I24) = (uint!(500_U24), I24::from_raw(uint!(10_U24)));
/// Key of the later one of V3's routers.
const ROUTER02: &str = "router02";
/// Characters of a token's own symbol that are shown.
const SYMBOL_CHARS_MAX: usize = 32;

/// The chains say something else than the files; every difference was printed.
#[derive(Debug, Error)]
#[error("{failed} of {all} findings fail")]
pub(super) struct Failed {
    failed: usize,
    all: usize,
}

/// Asks every chain and prints what it answers; [`Failed`] when something is not as it should be.
pub(super) async fn run(config: Config, mut stop: watch::Receiver<bool>) -> Result<()> {
    let report = tokio::select! {
        biased;
        report = examine(&config) => report,
        _ = stop.changed() => bail!("stopped before every chain was asked"),
    };
    // A reader that went away (`check --online | head`) is not our problem.
    let _ = std::io::stdout().write_all(report.table().as_bytes());
    match report.n_failed() {
        0 => Ok(()),
        failed => Err(Failed { failed, all: report.findings.len() }.into()),
    }
}

async fn examine(config: &Config) -> Report {
    let mut report = Report::new(Progress::Terminal);
    for chain in &config.chains {
        let Some(Reached { client, head }) = endpoints::first_good(&mut report, chain).await else {
            endpoints::unreached(&mut report, chain);
            continue;
        };
        report.look(&format!("the addresses of chain {}", chain.name));
        let site = Site { config, chain, client: &client, at: head.hash };
        site.tokens(&mut report).await;
        for (dex, contracts) in &chain.dexes {
            site.maker(&mut report, *dex, contracts.factory).await;
            site.periphery(&mut report, *dex, contracts).await;
        }
        site.executor(&mut report).await;
        for (index, pool) in chain.pools.iter().enumerate() {
            site.pool(&mut report, index, pool).await;
        }
    }
    report.end();
    report
}

/// One chain at one of its blocks, and what the files say of it.
struct Site<'a> {
    config: &'a Config,
    chain: &'a Chain,
    client: &'a ChainClient,
    at: B256,
}

impl Site<'_> {
    fn row(&self, key: &str, what: impl ToString) -> Row<'_> {
        let (key, what) = (self.full(key), what.to_string());
        Row { site: self, key, what, facts: Vec::new(), faults: Vec::new(), doubts: Vec::new() }
    }

    /// The whole name of a key of the chain's file.
    fn full(&self, key: &str) -> String {
        format!("chains.{}.{key}", self.chain.name)
    }

    /// Keys, and where each was written.
    fn places(&self, keys: &[&str]) -> Vec<String> {
        let place = |key: &&str| {
            let key = self.full(key);
            match self.config.settings.get(&key) {
                Some(setting) => format!("{key} ({})", setting.origin),
                None => key,
            }
        };
        keys.iter().map(place).collect()
    }

    /// Which of these keys to correct, and where each was written.
    fn remedy(&self, keys: &[&str]) -> String {
        format!("correct {}", self.places(keys).join(" or "))
    }

    /// The contract that makes pools: a factory or, of V4, the manager.
    async fn maker(&self, report: &mut Report, dex: Dex, address: Address) {
        let key = dex.key(dex.maker());
        let blame = [key.as_str()];
        let mut row = self.row(&key, address);
        if row.has_code(address, &blame).await {
            match dex {
                Dex::UniswapV3 | Dex::SushiswapV3 => {
                    let (fee, spacing) = FIRST_TIER;
                    let call = UniswapV3Factory::feeAmountTickSpacingCall(fee);
                    row.expect(address, &call, spacing, &blame).await;
                }
                Dex::UniswapV2 | Dex::SushiswapV2 => {
                    row.note(address, &UniswapV2Factory::feeToCall {}, &blame).await;
                }
                Dex::UniswapV4 => {
                    let call = PoolManager::extsloadCall { slots: vec![B256::ZERO] };
                    if row.ask(address, &call, &blame).await.is_some() {
                        row.facts.push("its storage can be read".to_owned());
                    }
                }
            }
        }
        row.tell(report);
    }

    /// What stands beside the factory, and names it and the wrapped native coin.
    async fn periphery(&self, report: &mut Report, dex: Dex, contracts: &Contracts) {
        let factory_key = dex.key(dex.maker());
        let named = [
            ("router", contracts.router),
            (ROUTER02, contracts.router02),
            ("position_manager", contracts.position_manager),
            ("quoter", contracts.quoter),
        ];
        for (name, address) in named {
            let Some(address) = address else { continue };
            let key = dex.key(name);
            let blame = [key.as_str(), factory_key.as_str()];
            let wrapped_blame = [key.as_str(), "wrapped_native"];
            let wrapped = self.chain.wrapped_native;
            let mut row = self.row(&key, address);
            if !row.has_code(address, &blame[..1]).await {
                row.tell(report);
                continue;
            }
            if dex == Dex::UniswapV4 {
                let call = V4Quoter::poolManagerCall {};
                row.expect(address, &call, contracts.factory, &blame).await;
            } else {
                // One word in all of them; the contracts of V3 have it and the next one from
                // `PeripheryImmutableState`.
                let call = SwapRouter::factoryCall {};
                row.expect(address, &call, contracts.factory, &blame).await;
                if matches!(dex, Dex::UniswapV2 | Dex::SushiswapV2) {
                    let call = UniswapV2Router02::WETHCall {};
                    row.expect(address, &call, wrapped, &wrapped_blame).await;
                } else {
                    let call = SwapRouter::WETH9Call {};
                    row.expect(address, &call, wrapped, &wrapped_blame).await;
                }
                if dex == Dex::UniswapV3 {
                    self.which_router(&mut row, name, address, contracts).await;
                }
            }
            row.tell(report);
        }
    }

    /// The two routers of V3 share their other views, and only the later one knows the positions:
    /// a file that takes one for the other would have every swap refused.
    async fn which_router(
        &self,
        row: &mut Row<'_>,
        name: &str,
        address: Address,
        contracts: &Contracts,
    ) {
        let call = SwapRouter02::positionManagerCall {};
        let [key, manager_key] = [name, "position_manager"].map(|of| Dex::UniswapV3.key(of));
        if name == ROUTER02
            && let Some(manager) = contracts.position_manager
        {
            row.expect(address, &call, manager, &[key.as_str(), manager_key.as_str()]).await;
        } else if name == "router" && self.client.view(address, &call, self.at).await.is_ok() {
            let found = "answers positionManager(), as SwapRouter02 alone does: write router02";
            row.wrong(found.to_owned(), &[key.as_str()]);
        }
    }

    async fn executor(&self, report: &mut Report) {
        let Some(address) = self.chain.executor else { return };
        let key = "executor.address";
        let mut row = self.row(key, address);
        if row.is_our_executor(address, &[key]).await {
            row.note(address, &Executor::ownerCall {}, &[key]).await;
            row.note(address, &Executor::operatorCall {}, &[key]).await;
            row.note(address, &Executor::pausedCall {}, &[key]).await;
        }
        row.tell(report);
    }
}

/// One row of the table while its contract is being asked. `blame` are the keys of the chain's file
/// that may be wrong when an answer is, the likeliest first.
struct Row<'a> {
    site: &'a Site<'a>,
    key: String,
    what: String,
    facts: Vec<String>,
    /// What is wrong, and what to do about it.
    faults: Vec<(String, String)>,
    /// What may be wrong, and what to do about it.
    doubts: Vec<(String, String)>,
}

impl Row<'_> {
    /// A pool that a keeper would follow and not trade in.
    fn doubt(&mut self, oddity: Option<Oddity>) {
        if let Some(oddity) = oddity {
            let remedy = format!(
                "nothing is swapped in it while that is so; else take it out of {}",
                self.key
            );
            self.doubts.push((oddity.to_string(), remedy));
        }
    }

    async fn has_code(&mut self, of: Address, blame: &[&str]) -> bool {
        match self.site.client.has_code(of, self.site.at).await {
            Ok(true) => {
                self.facts.push("has code".to_owned());
                return true;
            }
            Ok(false) => self.wrong(format!("no code at {of}"), blame),
            Err(error) => self.unanswered(&error, blame),
        }
        false
    }

    async fn is_our_executor(&mut self, of: Address, blame: &[&str]) -> bool {
        match self.site.client.code(of, self.site.at).await {
            Ok(code) if executor::is_ours(&code) => {
                self.facts.push("has the code of contracts/Executor.json".to_owned());
                return true;
            }
            Ok(code) if code.is_empty() => self.wrong(format!("no code at {of}"), blame),
            Ok(_) => self.wrong("it is not contracts/Executor.json".to_owned(), blame),
            Err(error) => self.unanswered(&error, blame),
        }
        false
    }

    /// Asks a view; that it is not answered is a fault.
    async fn ask<C: SolCall>(
        &mut self,
        of: Address,
        call: &C,
        blame: &[&str],
    ) -> Option<C::Return> {
        match self.site.client.view(of, call, self.site.at).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.unanswered(&error, blame);
                None
            }
        }
    }

    /// Asks a view, any answer of which is right.
    async fn note<C>(&mut self, of: Address, call: &C, blame: &[&str])
    where
        C: SolCall,
        C::Return: Display,
    {
        if let Some(answer) = self.ask(of, call, blame).await {
            self.facts.push(format!("{} is {answer}", C::SIGNATURE));
        }
    }

    /// Asks a view that has one right answer.
    async fn expect<C>(&mut self, of: Address, call: &C, want: C::Return, blame: &[&str])
    where
        C: SolCall,
        C::Return: Display + PartialEq,
    {
        let Some(have) = self.ask(of, call, blame).await else { return };
        if have == want {
            self.facts.push(format!("{} is right", C::SIGNATURE));
        } else {
            self.wrong(format!("{} is {have}, not {want}", C::SIGNATURE), blame);
        }
    }

    /// Asks a token; the last key to blame is that of its address.
    async fn token(&mut self, address: Address, decimals: u8, blame: &[&str]) {
        if !self.has_code(address, &blame[blame.len() - 1..]).await {
            return;
        }
        self.expect(address, &Erc20::decimalsCall {}, decimals, blame).await;
        // Shown for people to compare. Some old tokens answer with another type, so that a bad
        // answer is no fault.
        let symbol = self.site.client.view(address, &Erc20::symbolCall {}, self.site.at).await;
        self.facts.push(match symbol {
            Ok(symbol) => format!("symbol() is {}", label(&symbol)),
            Err(_) => "symbol() cannot be read".to_owned(),
        });
    }

    fn wrong(&mut self, found: String, blame: &[&str]) {
        let remedy = self.site.remedy(blame);
        self.faults.push((found, remedy));
    }

    fn unanswered(&mut self, error: &ChainError, blame: &[&str]) {
        let remedy = format!("{}; ask again if it was the endpoint", self.site.remedy(blame));
        self.faults.push((error.to_string(), remedy));
    }

    fn tell(self, report: &mut Report) {
        let Self { key, what, facts, faults, doubts, .. } = self;
        if faults.is_empty() {
            report.ok(key.as_str(), format!("{what}: {}", facts.join(", ")));
        }
        let faults = faults.into_iter().map(|fault| (Status::Fail, fault));
        let doubts = doubts.into_iter().map(|doubt| (Status::Warn, doubt));
        for (status, (found, remedy)) in faults.chain(doubts) {
            report.bad(status, key.as_str(), format!("{what}: {found}"), remedy);
        }
    }
}

/// A name that a contract gives itself, for a terminal: one short line, what is invisible escaped.
fn label(text: &str) -> String {
    let short: String = plain(text).chars().take(SYMBOL_CHARS_MAX).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config;
    use crate::config::chain::token_key;

    #[test]
    fn a_symbol_cannot_write_on_the_terminal() {
        assert_eq!(label("USDT"), r#""USDT""#);
        assert_eq!(label("US\u{1b}[31mD\n\u{202e}T\""), r#""US [31mD \u{202e}T\"""#);
        assert_eq!(label(&"x".repeat(5_000)), format!("{:?}", "x".repeat(SYMBOL_CHARS_MAX)));
    }

    #[tokio::test]
    async fn keys_to_blame_are_told_with_their_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = |path: &str| (PathBuf::from(path), fs::read_to_string(root.join(path)).unwrap());
        let files = [text("agent.toml"), text("chains/optimism.toml")];
        let config = config::load(&files, &|_| None).unwrap();
        let chain = &config.chains[0];
        let client = ChainClient::new("http://127.0.0.1:1").unwrap();
        let site = Site { config: &config, chain, client: &client, at: B256::ZERO };
        let mut keys = vec!["wrapped_native".to_owned()];
        keys.extend(chain.dexes.keys().map(|dex| dex.key(dex.maker())));
        keys.extend(chain.tokens.keys().map(|symbol| token_key(symbol) + ".decimals"));
        keys.extend(["pair", "fee_pips"].map(|name| format!("pools.allow[0].{name}")));
        assert!(keys.iter().any(|key| key.contains("\"USDC.e\"")), "{keys:?}");
        for key in &keys {
            let remedy = site.remedy(&[key.as_str()]);
            let want = format!("correct chains.optimism.{key} (chains/optimism.toml:");
            assert!(remedy.starts_with(&want), "{remedy}");
        }
    }
}
