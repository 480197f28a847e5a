//! The tokens of watched pools, tried before anything is decided: one that takes a fee, changes
//! balances by itself or cannot be sold makes every figure of its pools wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use anyhow::{Context, Result, bail};

use crate::config::Config;
use crate::config::agent::Mode;
use crate::config::chain::{Chain, Token};
use crate::config::pool::Pool;
use crate::engine::setup::PoolSetup;
use crate::io::chain::ChainClient;
use crate::io::chain::evm::token::Holding;
use crate::io::chain::evm::verdict::{Doubt, Verdict};

/// Pauses before tokens are tried again about which the endpoint told nothing, or something else.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// Tries each token of these pools, unless nothing is decided in this mode; what the file says of
/// its decimals must be true in any.
pub(super) async fn check(
    config: &Config,
    chain: &Chain,
    pools: &[PoolSetup],
    client: &ChainClient,
    at: B256,
) -> Result<()> {
    check_decimals(config, chain, pools, client, at).await?;
    if config.agent.mode == Mode::Observe {
        return Ok(());
    }
    let holdings: Vec<Holding> = pools.iter().flat_map(Holding::of).collect();
    let verdicts = tried(client, &holdings, at).await;
    for doubt in allowed(config, chain, &verdicts)? {
        tracing::warn!(chain = chain.name, doubt, "a token could not be tried");
    }
    Ok(())
}

/// Every amount is counted in them. A token that does not tell its own is believed to have the
/// file's.
async fn check_decimals(
    config: &Config,
    chain: &Chain,
    pools: &[PoolSetup],
    client: &ChainClient,
    at: B256,
) -> Result<()> {
    let is_used = |token: &Token| {
        pools.iter().any(|pool| [pool.token0, pool.token1].contains(&token.address))
    };
    let used: Vec<(&String, &Token)> =
        chain.tokens.iter().filter(|(_, token)| is_used(token)).collect();
    let addresses: Vec<Address> = used.iter().map(|(_, token)| token.address).collect();
    let told = client.decimals(&addresses, at).await;
    let mut faults = Vec::new();
    for ((symbol, token), told) in used.into_iter().zip(told.context("asking for decimals")?) {
        match told {
            Some(told) if told == token.decimals => {}
            Some(told) => faults.push(misnamed(config, chain, (symbol, token), told)),
            None => {
                tracing::warn!(chain = chain.name, symbol, "a token does not tell its decimals")
            }
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn misnamed(
    config: &Config,
    chain: &Chain,
    (symbol, token): (&String, &Token),
    told: u8,
) -> String {
    let key = format!("chains.{}.tokens.{symbol}.decimals", chain.name);
    let setting = config.settings.get(&key);
    let place = setting.map(|setting| format!(" ({})", setting.origin)).unwrap_or_default();
    format!(
        "token {symbol} {} has {told} decimals, [tokens.{symbol}] says {}{place}: correct the file",
        token.address, token.decimals
    )
}

/// What becomes of each token; tried again where that may tell more.
pub(super) async fn tried(
    client: &ChainClient,
    holdings: &[Holding],
    at: B256,
) -> BTreeMap<Address, Verdict> {
    let mut verdicts = client.try_tokens(holdings, at).await;
    for pause in PAUSES {
        let again = to_try_again(holdings, &verdicts);
        if again.is_empty() {
            break;
        }
        tokio::time::sleep(pause).await;
        verdicts.extend(client.try_tokens(&again, at).await);
    }
    verdicts
}

/// Those whose verdict may be the endpoint's trouble of a moment.
fn to_try_again(holdings: &[Holding], verdicts: &BTreeMap<Address, Verdict>) -> Vec<Holding> {
    let may_pass = |holding: &&Holding| {
        let verdict = verdicts.get(&holding.token);
        matches!(verdict, Some(Verdict::Unknown(Doubt::Unread(_) | Doubt::Disagrees { .. })))
    };
    holdings.iter().filter(may_pass).copied().collect()
}

/// What is not known of the tokens, where that may be so; an error with all that is wrong.
fn allowed(
    config: &Config,
    chain: &Chain,
    verdicts: &BTreeMap<Address, Verdict>,
) -> Result<Vec<String>> {
    let (mut faults, mut doubts) = (Vec::new(), Vec::new());
    for (symbol, token) in &chain.tokens {
        let told = |why: String| {
            let pools = pools_of(config, chain, symbol);
            format!("token {symbol} {}: {why}; take its pools out of {pools}", token.address)
        };
        match verdicts.get(&token.address) {
            // Not in a pool, so that nobody asked.
            Some(Verdict::Plain) | None => {}
            Some(Verdict::Refused(fault)) => faults.push(told(fault.to_string())),
            Some(Verdict::Unknown(doubt)) if config.agent.mode == Mode::Live => {
                faults.push(told(format!("{doubt}, and mode \"live\" wants to know")));
            }
            Some(Verdict::Unknown(doubt)) => doubts.push(format!("{symbol}: {doubt}")),
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(doubts)
}

/// Where the file names pools of a token.
fn pools_of(config: &Config, chain: &Chain, symbol: &str) -> String {
    let pools = chain.pools.iter().enumerate();
    let of = pools.filter(|(_, pool)| pool.base == symbol || pool.quote == symbol);
    let place = |(index, pool): (usize, &Pool)| {
        let key = format!("chains.{}.pools.allow[{index}].pair", chain.name);
        let setting = config.settings.get(&key);
        let place = setting.map(|setting| format!(" ({})", setting.origin)).unwrap_or_default();
        format!("{pool}{place}")
    };
    let places: Vec<String> = of.map(place).collect();
    format!("[pools] allow: {}", places.join(", "))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use alloy::primitives::U256;

    use super::*;
    use crate::config;
    use crate::io::chain::evm::verdict::{Act, Fault};

    fn config(mode: Mode) -> Config {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config/good/local");
        let files = ["agent.toml", "chains/local.toml"];
        let text = |path: &str| (PathBuf::from(path), fs::read_to_string(root.join(path)).unwrap());
        let mut config = config::load(&files.map(text), &|_| None).unwrap();
        config.agent.mode = mode;
        config
    }

    fn verdicts(config: &Config, verdict: Verdict) -> BTreeMap<Address, Verdict> {
        let tokens = &config.chains[0].tokens;
        [(tokens["USDT"].address, verdict), (tokens["WETH"].address, Verdict::Plain)].into()
    }

    fn judged(mode: Mode, verdict: Verdict) -> Result<Vec<String>> {
        let config = config(mode);
        allowed(&config, &config.chains[0], &verdicts(&config, verdict))
    }

    fn fee() -> Verdict {
        let [amount, got] = [100, 99].map(U256::from);
        Verdict::Refused(Fault::Fee { act: Act::Sell, amount, got })
    }

    #[test]
    fn a_token_with_a_fee_is_an_error_with_the_way_out() {
        for mode in [Mode::Paper, Mode::Demo, Mode::Live] {
            let error = judged(mode, fee()).unwrap_err().to_string();
            let begin = "token USDT 0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512: of 100 units sent";
            assert!(error.starts_with(begin), "{error}");
            assert!(
                error.contains("it takes a fee on transfers; take its pools out of"),
                "{error}"
            );
            assert!(error.contains("uniswap_v3 WETH/USDT 500 (chains/local.toml:"), "{error}");
            assert!(judged(mode, Verdict::Plain).unwrap().is_empty());
        }
    }

    #[test]
    fn only_what_the_endpoint_may_tell_later_is_tried_again() {
        let [theirs, ours] = ["0x01", "0x02"].map(str::to_owned);
        let verdicts = [
            Verdict::Unknown(Doubt::Unread("eth_call: no answer in 3 s".to_owned())),
            Verdict::Unknown(Doubt::Disagrees { what: "decimals()", theirs, ours }),
            Verdict::Unknown(Doubt::TooFew { held: U256::from(7) }),
            Verdict::Plain,
            fee(),
        ];
        let token = Address::with_last_byte;
        let verdicts: BTreeMap<Address, Verdict> = (1..).map(token).zip(verdicts).collect();
        // One is held by two pools, and of the last nothing is known.
        let of = [1, 1, 2, 3, 4, 5, 6];
        let pools = (101..).map(Address::with_last_byte);
        let holdings: Vec<Holding> =
            of.iter().zip(pools).map(|(n, holder)| Holding { token: token(*n), holder }).collect();
        assert_eq!(to_try_again(&holdings, &verdicts), holdings[..3]);
    }

    #[test]
    fn what_is_not_known_stops_mode_live_alone() {
        let doubt = || Verdict::Unknown(Doubt::TooFew { held: U256::from(7) });
        let error = judged(Mode::Live, doubt()).unwrap_err().to_string();
        assert!(error.contains("too few to try it, and mode \"live\" wants to know"), "{error}");
        for mode in [Mode::Paper, Mode::Demo] {
            let doubts = judged(mode, doubt()).unwrap();
            assert_eq!(doubts.len(), 1);
            assert!(doubts[0].starts_with("USDT: its pools hold 7 raw units"), "{doubts:?}");
        }
    }
}
