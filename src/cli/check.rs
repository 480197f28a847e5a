//! `check`, and the small verbs that speak to a running agent.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use thiserror::Error;

use crate::config::agent::Mode;
use crate::config::problem::Problem;
use crate::config::strategy::Strategy;
use crate::config::{self, Config};
use crate::run::agent::variable;

/// The operator's files are refused; every problem was printed.
#[derive(Debug, Error)]
#[error("{0} problem(s) in the operator's files")]
pub(super) struct Refused(usize);

/// Patience for a running agent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn read(dir: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut paths = vec![dir.join("agent.toml")];
    for folder in ["chains", "strategies"] {
        let Ok(entries) = std::fs::read_dir(dir.join(folder)) else { continue };
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
            .collect();
        found.sort();
        paths.extend(found);
    }
    let text = |path: PathBuf| {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        Ok((path, text))
    };
    paths.into_iter().map(text).collect()
}

/// Whether the variables that the files name for their secrets must be set.
#[derive(Clone, Copy)]
pub(super) enum Secrets {
    Needed,
    Unread,
}

/// Reads and checks the operator's files; prints every problem when there is one.
pub(super) fn load_with(dir: &Path, secrets: Secrets) -> Result<(Vec<(PathBuf, String)>, Config)> {
    let files = read(dir)?;
    let loaded = config::load(&files, &variable);
    let problems = match loaded {
        Ok(config) => {
            let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
            let mut problems = match secrets {
                Secrets::Needed => config::unset_variables(&config, &variable),
                Secrets::Unread => Vec::new(),
            };
            problems.extend(config::idle_overrides(&config, names.iter().map(String::as_str)));
            if problems.is_empty() {
                return Ok((files, config));
            }
            problems
        }
        Err(problems) => problems,
    };
    print(&problems);
    Err(Refused(problems.len()).into())
}

fn print(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{problem}");
    }
}

/// Keys that are checked, and that nothing acts on yet: said aloud, so that nobody relies on them.
const NOT_ACTED_ON: [&str; 24] = [
    ".drawdown_from_peak_pct",
    ".es_97_5_1d_usd",
    ".liquidation_distance_min_pct",
    ".unhedged_delta_usd_seconds",
    ".max_clock_offset_ms",
    ".unknown_pnl_action",
    ".deadman_every_s",
    ".day_ends_at_utc",
    ".keep_quotes_days",
    ".native_spend_cap_per_hour",
    ".maker_fee_bps",
    ".taker_fee_bps",
    ".max_leverage",
    ".max_margin_use_pct",
    ".hedge_after_confirmations",
    ".book_final_at",
    ".exit_max_fee_gwei",
    ".bump_after_blocks",
    ".bump_pct",
    ".stop_loss_usd",
    ".on_halt",
    ".route",
    ".fee_model",
    ".depeg_halt_bps",
];

/// Of these, what pretend accounts act on.
const ACTED_ON_IN_PAPER: [&str; 3] = [".maker_fee_bps", ".taker_fee_bps", ".max_leverage"];

/// Every value with its origin, one a line, and what nothing acts on yet.
fn table(config: &Config) -> String {
    let rows = config::resolved(config);
    let keys = rows.iter().map(|row| row.key.len()).max().unwrap_or(0);
    let values = rows.iter().map(|row| row.value.len()).max().unwrap_or(0);
    let is_quoted_on = |venue: &str| {
        config.strategies.iter().any(|strategy| match strategy {
            Strategy::MarketMaking(making) => making.venue == venue,
            Strategy::Liquidity(_) | Strategy::Arbitrage(_) | Strategy::CexDex(_) => false,
        })
    };
    let is_taken_on = |venue: &str| {
        config.strategies.iter().any(|strategy| match strategy {
            Strategy::CexDex(cex_dex) => cex_dex.venue == venue,
            _ => false,
        })
    };
    let is_idle = |key: &str| {
        let is_pretended = config.agent.mode == Mode::Paper
            && ACTED_ON_IN_PAPER.iter().any(|end| key.ends_with(end));
        let venue_of = |fee: &str| key.strip_suffix(fee).and_then(|of| of.rsplit('.').next());
        if is_pretended
            || venue_of(".maker_fee_bps").is_some_and(is_quoted_on)
            || venue_of(".taker_fee_bps").is_some_and(is_taken_on)
        {
            return false;
        }
        key.starts_with("agent.alerts") || NOT_ACTED_ON.iter().any(|idle| key.ends_with(idle))
    };
    let mut text = String::new();
    let mut n_idle = 0;
    for row in &rows {
        let mark = if is_idle(&row.key) { "  (checked, not acted on yet)" } else { "" };
        n_idle += usize::from(!mark.is_empty());
        text.push_str(&format!("{:keys$}  {:values$}  {}{mark}\n", row.key, row.value, row.origin));
    }
    text.push_str(&format!(
        "{} values, no problems; {n_idle} of them are checked and not acted on yet\n",
        rows.len()
    ));
    text
}

/// Checks the files and prints every value with its origin; secrets appear by name only. `None`
/// when they are refused: every problem was printed.
pub(super) fn check(dir: &Path) -> Option<Config> {
    let files = match read(dir) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("tidekeeper: {error:#}");
            return None;
        }
    };
    match config::load(&files, &variable) {
        Ok(config) => {
            // A reader that went away (`check | head`) is not our problem.
            let _ = std::io::stdout().write_all(table(&config).as_bytes());
            print(&config::unset_variables(&config, &variable));
            Some(config)
        }
        Err(problems) => {
            print(&problems);
            eprintln!("{} problem(s)", problems.len());
            None
        }
    }
}

/// What the demo's parts really are.
pub(super) fn demo_labels() -> Vec<(String, String, String)> {
    let label = |what: &str, kind: &str, text: &str| (what.into(), kind.into(), text.into());
    vec![
        label(
            "order books and their trades",
            "recorded",
            "Binance ETHUSDT spot and USD-M, 2024-08-08 from 23:54 UTC; played again and \
             again, our own orders match inside",
        ),
        label(
            "swaps of the traders",
            "recorded",
            "Uniswap V3 USDC/WETH 0.05 %, Ethereum mainnet, 2024-01-05, order, directions and \
             sizes at 20 times the speed; USDC is played by the demo's USDT",
        ),
        label(
            "where the traders swap",
            "simulated",
            "the pool is drawn from a seed, sizes are cut to 0.5 % of its depth, purses are \
             refilled; WETH is the native coin in one V4 pool, and USDC itself in the USDC pool",
        ),
        label(
            "contracts",
            "real",
            "the published Uniswap V2, V3 and V4 and SushiSwap V2 bytecode and WETH9 on two local \
             chains; the hash of the pair's code inside SushiSwap's router is replaced by that of \
             the published pair; V4 is traded by its own test routers; USDT and USDC are test \
             tokens with 6 decimals",
        ),
        label(
            "SushiSwap V3",
            "real",
            "pool code byte-identical to SushiSwap V3's; factory and periphery are Uniswap's",
        ),
        label(
            "arbitrageur",
            "simulated",
            "ties the deepest pool, SushiSwap's of V3 and those of V4 to the book, since the two \
             recordings are of different days; trades to the book's mid",
        ),
        label(
            "rival searchers",
            "simulated",
            "two on each chain compete for cycles of pools; latency, skill and bid are drawn \
             from a seed",
        ),
        label(
            "spot fees",
            "assumed",
            "resting spot orders pay 0, a market maker's tier; taking ones 10 basis points",
        ),
        label(
            "funding",
            "simulated",
            "paid at a fixed small rate, every 30 s unless --funding-every-s says otherwise",
        ),
        label("money", "simulated", "play money on two local chains and a local exchange"),
    ]
}

async fn ask(api: &str, state_dir: &Path, path: &str, body: Option<Value>) -> Result<Value> {
    let file = state_dir.join("api-token");
    let token = std::fs::read_to_string(&file)
        .with_context(|| format!("reading {}: is an agent running there?", file.display()))?;
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build()?;
    let url = format!("{}/api/v1/{path}", api.trim_end_matches('/'));
    let request = match body {
        Some(body) => client.post(url).json(&body),
        None => client.get(url),
    };
    let reply = request.bearer_auth(token.trim()).send().await;
    let reply = reply.map_err(|_| anyhow::anyhow!("no agent answers at {api}: give its --api"))?;
    let status = reply.status();
    let answer: Value = reply.json().await.context("reading the answer")?;
    if !status.is_success() {
        bail!("{status}: {}", answer["detail"].as_str().unwrap_or("no detail"));
    }
    Ok(answer)
}

/// Prints how a running agent is doing.
pub(super) async fn status(api: String, state_dir: PathBuf) -> Result<()> {
    let snapshot = ask(&api, &state_dir, "snapshot", None).await?;
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".into(),
        other => other.to_string(),
    };
    println!(
        "state           {} {}",
        word(&snapshot["state"]["kind"]),
        snapshot["state"]["reason"].as_str().unwrap_or("")
    );
    println!(
        "profit          {} {}",
        word(&snapshot["pnl"]["total"]),
        word(&snapshot["numeraire"])
    );
    println!("reconciled      {}", word(&snapshot["reconciliation"]["ok"]));
    for chain in snapshot["chains"].as_array().into_iter().flatten() {
        println!(
            "chain           {} head {} {} ms old, {}",
            word(&chain["name"]),
            word(&chain["head"]),
            word(&chain["head_age_ms"]),
            word(&chain["feed"])
        );
    }
    for book in snapshot["books"].as_array().into_iter().flatten() {
        println!(
            "book            {} {} {} / {}, {}",
            word(&book["venue"]),
            word(&book["market"]),
            word(&book["bid"]),
            word(&book["ask"]),
            word(&book["feed"])
        );
    }
    for position in snapshot["positions"].as_array().into_iter().flatten() {
        println!(
            "position        {} {} {} value {} fees {}",
            word(&position["token_id"]),
            word(&position["state"]),
            word(&position["pair"]),
            word(&position["value"]),
            word(&position["fees"])
        );
    }
    Ok(())
}

/// Prints an address that opens the page once.
pub(super) async fn page(api: String, state_dir: PathBuf) -> Result<()> {
    let answer = ask(&api, &state_dir, "entry", Some(serde_json::json!({}))).await?;
    println!("{}", answer["page"].as_str().context("the agent gave no address")?);
    Ok(())
}

/// Halts or resumes a running agent.
pub(super) async fn direct(
    api: String,
    state_dir: PathBuf,
    verb: &str,
    reason: String,
) -> Result<()> {
    let body = serde_json::json!({ "reason": reason });
    ask(&api, &state_dir, verb, Some(body)).await?;
    println!("{verb}: accepted");
    Ok(())
}
