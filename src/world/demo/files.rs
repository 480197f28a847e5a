//! The operator's files of the demo: what a person would write for this world.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::world::manifest::{ChainSite, Contracts, Dex, Manifest, PoolSite};
use crate::world::v4::NATIVE;

/// Names of the variables the demo's files refer to.
pub(super) const KEY_VARIABLE: &str = "TK_DEMO_SIGNER_KEY";
pub(super) const API_KEY_VARIABLE: &str = "TK_DEMO_API_KEY";
pub(super) const API_SECRET_VARIABLE: &str = "TK_DEMO_API_SECRET";
pub(super) const LEGS_KEY_VARIABLE: &str = "TK_DEMO_LEGS_KEY";
pub(super) const LEGS_SECRET_VARIABLE: &str = "TK_DEMO_LEGS_SECRET";
/// Anvil's published second development key: play money, known to everybody.
pub(super) const SIGNER_KEY: &str =
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// Writes the three kinds of file and returns their folder.
pub(super) fn write(dir: &Path, world: &Manifest, listen: &str) -> Result<PathBuf> {
    let config = dir.join("config");
    let mut files = vec![("agent.toml".to_owned(), agent(dir, world, listen))];
    let mut hedger = None;
    for site in &world.chains {
        let name = &site.name;
        let contracts = &site.contracts;
        // On the first one the agent swaps as on Ethereum, on the others as on Base.
        let router = match hedger {
            None => format!("router = \"{}\"", contracts.swap_router),
            Some(_) => format!("router02 = \"{}\"", contracts.swap_router02),
        };
        files.push((format!("chains/{name}.toml"), chain(site, router)));
        // The first one owns the hedge; it nets the others' delta as well.
        let hedge = hedger.as_ref().map_or(OWN_HEDGE.to_owned(), |hedger| {
            format!("with = \"{hedger}\"                        # one hedge nets both chains\n")
        });
        let lp = LIQUIDITY.replace("{chain}", name).replace("{hedge}", &hedge);
        files.push((format!("strategies/{name}-lp.toml"), lp));
        files.push((format!("strategies/{name}-cycles.toml"), CYCLES.replace("{chain}", name)));
        hedger.get_or_insert_with(|| format!("{name}-lp"));
    }
    if let (Some(hedger), Some(site)) = (&hedger, world.chains.first()) {
        let legs = LEGS.replace("{chain}", &site.name).replace("{hedger}", hedger);
        files.push((format!("strategies/{}-cex-dex.toml", site.name), legs));
        files.push(("strategies/quotes.toml".to_owned(), QUOTES.replace("{hedger}", hedger)));
    }
    for (name, text) in files {
        let path = config.join(name);
        let parent = path.parent().context("every file has a folder")?;
        std::fs::create_dir_all(parent)?;
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(config)
}

fn agent(dir: &Path, world: &Manifest, listen: &str) -> String {
    let (http, ws) = (&world.exchange_http, &world.exchange_ws);
    let halt_file = dir.join("HALT");
    format!(
        r#"# Written by the demo: play money on two local chains and the local exchange.
schema = 1
keeper = "demo"
mode = "demo"
numeraire = "USD"

[api]
listen = "{listen}"

[safety]
halt_file = "{}"
max_clock_offset_ms = 250
unknown_pnl_action = "reduce_only"
deadman_every_s = 30

[limits]
gross_exposure_usd = "1200000"
net_delta_usd = "20000"
venue_exposure_usd = "400000"
daily_loss_usd = "20000"
drawdown_from_peak_pct = "10.0"
es_97_5_1d_usd = "20000"
liquidation_distance_min_pct = "25.0"
gas_budget_usd_per_day = "2000"
unhedged_delta_usd_seconds = "2000000"

[signers.lp]
kind = "dev"
private_key_env = "{KEY_VARIABLE}"
lanes = ["liquidity", "arbitrage"]
native_spend_cap_per_hour = "5"

{}{}
[venues.hedge]
kind = "binance_usdm"
account = "demo-hedge"
api_key_env = "{API_KEY_VARIABLE}"
api_secret_env = "{API_SECRET_VARIABLE}"
maker_fee_bps = "2"
taker_fee_bps = "5"
max_leverage = "2.0"
max_margin_use_pct = "60.0"
cancel_on_disconnect_s = 15
rest_url = "{http}"
ws_url = "{ws}"
"#,
        halt_file.display(),
        spot_account(world, "spot", (API_KEY_VARIABLE, API_SECRET_VARIABLE)),
        spot_account(world, "legs", (LEGS_KEY_VARIABLE, LEGS_SECRET_VARIABLE)),
    )
}

fn spot_account(world: &Manifest, name: &str, (key, secret): (&str, &str)) -> String {
    let (http, ws) = (&world.exchange_http, &world.exchange_ws);
    format!(
        r#"
[venues.{name}]
kind = "binance_spot"
account = "demo-{name}"
api_key_env = "{key}"
api_secret_env = "{secret}"
maker_fee_bps = "0"
taker_fee_bps = "10"
rest_url = "{http}"
ws_url = "{ws}"
"#
    )
}

/// A pool's pair as an operator writes it, the priced token first.
fn pair(contracts: &Contracts, pool: &PoolSite) -> &'static str {
    match (pool.ether_and_other(contracts.weth), pool.other(contracts.usdt)) {
        (Some((NATIVE, _)), _) => "ETH/USDT",
        (Some(_), Some(_)) => "WETH/USDT",
        (Some(_), None) => "WETH/USDC",
        (None, _) => "USDC/USDT",
    }
}

/// A line of the allowed pools.
fn allowed(contracts: &Contracts, pool: &PoolSite) -> String {
    let (dex, spacing) = match pool.dex {
        Dex::UniswapV2 => ("uniswap_v2", None),
        Dex::SushiswapV2 => ("sushiswap_v2", None),
        Dex::UniswapV3 => ("uniswap_v3", None),
        Dex::SushiswapV3 => ("sushiswap_v3", None),
        Dex::UniswapV4 => ("uniswap_v4", Some(pool.tick_spacing)),
    };
    let (pair, fee) = (pair(contracts, pool), pool.fee_pips);
    let grid = spacing.map(|ticks| format!(", tick_spacing = {ticks}")).unwrap_or_default();
    format!("    {{ dex = \"{dex}\", pair = \"{pair}\", fee_pips = {fee}{grid} }},\n")
}

fn chain(world: &ChainSite, router: String) -> String {
    let contracts = &world.contracts;
    let block_ms = world.block_time_s * 1_000;
    let values = [
        ("{name}", world.name.clone()),
        ("{chain_id}", world.chain_id.to_string()),
        ("{block_ms}", block_ms.to_string()),
        ("{stale_ms}", (block_ms * 3 + 1_000).to_string()),
        ("{ws}", world.rpc_ws.clone()),
        ("{http}", world.rpc_http.clone()),
        ("{usdc}", contracts.usdc.to_string()),
        ("{sushi_factory}", contracts.sushi_factory.to_string()),
        ("{sushi_router}", contracts.sushi_router.to_string()),
        ("{executor}", contracts.executor.to_string()),
        ("{weth}", contracts.weth.to_string()),
        ("{usdt}", contracts.usdt.to_string()),
        ("{v2_factory}", contracts.v2_factory.to_string()),
        ("{v2_router}", contracts.v2_router.to_string()),
        ("{v3_factory}", contracts.v3_factory.to_string()),
        ("{position_manager}", contracts.position_manager.to_string()),
        ("{router}", router),
        ("{quoter}", contracts.quoter.to_string()),
        ("{sushi_v3_factory}", contracts.sushi_v3.factory.to_string()),
        ("{sushi_v3_router}", contracts.sushi_v3.router.to_string()),
        ("{sushi_v3_quoter}", contracts.sushi_v3.quoter.to_string()),
        ("{pool_manager}", contracts.v4.pool_manager.to_string()),
        ("{v4_quoter}", contracts.v4.quoter.to_string()),
        ("{pools}", world.pools.iter().map(|pool| allowed(contracts, pool)).collect()),
    ];
    let fill = |text: String, (name, value): &(&str, String)| text.replace(name, value);
    values.iter().fold(CHAIN.to_owned(), fill)
}

/// The chain's file with names in braces where this world's values go.
const CHAIN: &str = r#"# Written by the demo.
schema = 1
name = "{name}"
chain_id = {chain_id}
native = "ETH"
wrapped_native = "{weth}"

[[endpoints]]
name = "anvil"
ws_url = "{ws}"
http_url = "{http}"

[ingest]
block_time_ms = {block_ms}
stale_after_ms = {stale_ms}
audit_pool_every_blocks = 3

[finality]
hedge_after_confirmations = 1
book_final_at = "latest"
reorg_window_blocks = 32

[gas]
fee_model = "ethereum"
max_fee_gwei = "50"
max_priority_gwei = "1"
exit_max_fee_gwei = "200"
bump_after_blocks = 3
bump_pct = "12.5"

[fuel]
min_native_per_signer = "1"
exit_reserve_native = "0.5"

[submission]
route = "public"

[tokens.WETH]
address = "{weth}"
decimals = 18
asset = "ETH"

[tokens.USDT]
address = "{usdt}"
decimals = 6
asset = "USDT"

[tokens.USDC]
address = "{usdc}"
decimals = 6
asset = "USDC"

[dex.uniswap_v2]
factory = "{v2_factory}"
router = "{v2_router}"

[dex.sushiswap_v2]
factory = "{sushi_factory}"
router = "{sushi_router}"

[dex.uniswap_v3]
factory = "{v3_factory}"
position_manager = "{position_manager}"
{router}
quoter = "{quoter}"

# Pool code byte-identical to SushiSwap V3's; factory and periphery are Uniswap's.
[dex.sushiswap_v3]
factory = "{sushi_v3_factory}"
router = "{sushi_v3_router}"
quoter = "{sushi_v3_quoter}"

[dex.uniswap_v4]
manager = "{pool_manager}"
quoter = "{v4_quoter}"

[executor]
address = "{executor}"

[pools]
allow = [
{pools}]
"#;

/// Narrow and quick, so that a short demo shows a whole life; not advice.
const LIQUIDITY: &str = r#"# Written by the demo: narrow and quick, to show a whole life soon.
# Not advice.
schema = 1
id = "{chain}-lp"
kind = "liquidity"
stage = "live"
chain = "{chain}"
pool = { dex = "uniswap_v3", pair = "WETH/USDT", fee_pips = 100 }
signer = "lp"

[capital]
budget_usd = "120000"

[range]
method = "fixed"
half_width_pct = "0.02"

[rebalance]
horizon_h = 24
min_gain_over_cost = "2.0"
min_dwell_s = 10
max_per_day = 2000
max_slippage_bps = 30
max_pool_vs_reference_bps = 40

[hedge]
{hedge}
[exit]
stop_loss_usd = "20000"
on_halt = "hold"
"#;

const OWN_HEDGE: &str = r#"venue = "hedge"
market = "ETHUSDT-PERP"
target_delta_fraction = "0.0"
band_min_usd = "4000"
band_max_usd = "12000"
max_unhedged_s = 20
"#;

/// The account begins with 100 ETH on spot: around that it quotes.
const QUOTES: &str = r#"# Written by the demo: two-sided quotes on the spot book. Not advice.
schema = 1
id = "quotes"
kind = "market_making"
stage = "live"
venue = "spot"
market = "ETHUSDT"

[capital]
budget_usd = "400000"

[quotes]
quantity = "0.5"
max_inventory = "4"
target_inventory = "100"
gamma = "0.05"                         # per USDT
kappa = "2"                            # per USDT of distance
intensity_per_s = "0.5"
min_half_spread_bps = "0.5"
max_half_spread_bps = "20"
ttl_s = 20
refresh_bps = "0.4"                    # less is not worth the place in the queue
volatility_window_s = 30

[hedge]
with = "{hedger}"
"#;

/// The second account begins with 100 ETH on spot as well.
const LEGS: &str = r#"# Written by the demo: pools against the exchange, a swap first and its leg at
# once. Not advice.
schema = 1
id = "{chain}-cex-dex"
kind = "cex_dex"
stage = "live"
chain = "{chain}"
signer = "lp"
venue = "legs"
market = "ETHUSDT"

[capital]
budget_usd = "10000"                   # the largest swap, open until its leg is done

[search]
min_net_usd = "0.5"
target_inventory = "100"

[unwind]
max_loss_bps = "30"                    # of the swap's own price
max_s = 15                             # then the hedge takes what is left

[hedge]
with = "{hedger}"
"#;

const CYCLES: &str = r#"# Written by the demo: cycles of two and three pools, against rivals.
# Not advice.
schema = 1
id = "{chain}-cycles"
kind = "arbitrage"
stage = "live"
chain = "{chain}"
signer = "lp"

[capital]
budget_usd = "50000"                   # the largest input, borrowed by flash swap

[search]
start_tokens = ["USDT", "WETH"]
legs_max = 3
min_net_usd = "0.2"
"#;
