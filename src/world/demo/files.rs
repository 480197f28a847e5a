//! The operator's files of the demo: what a person would write for this world.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::world::manifest::{Dex, Manifest, PoolSite};

/// Names of the variables the demo's files refer to.
pub(super) const KEY_VARIABLE: &str = "TK_DEMO_SIGNER_KEY";
pub(super) const API_KEY_VARIABLE: &str = "TK_DEMO_API_KEY";
pub(super) const API_SECRET_VARIABLE: &str = "TK_DEMO_API_SECRET";
/// Anvil's published second development key: play money, known to everybody.
pub(super) const SIGNER_KEY: &str =
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// Writes the three kinds of file and returns their folder.
pub(super) fn write(dir: &Path, world: &Manifest, listen: &str) -> Result<PathBuf> {
    let config = dir.join("config");
    let files = [
        ("agent.toml", agent(dir, world, listen)),
        ("chains/demo.toml", chain(world)),
        ("strategies/demo-lp.toml", STRATEGY.to_owned()),
    ];
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
        r#"# Written by the demo: play money on a local chain and the local exchange.
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
gross_exposure_usd = "500000"
net_delta_usd = "20000"
venue_exposure_usd = "200000"
daily_loss_usd = "20000"
drawdown_from_peak_pct = "10.0"
es_97_5_1d_usd = "20000"
liquidation_distance_min_pct = "25.0"
gas_budget_usd_per_day = "2000"
unhedged_delta_usd_seconds = "2000000"

[signers.lp]
kind = "dev"
private_key_env = "{KEY_VARIABLE}"
lanes = ["liquidity"]
native_spend_cap_per_hour = "5"

[venues.spot]
kind = "binance_spot"
account = "demo-spot"
api_key_env = "{API_KEY_VARIABLE}"
api_secret_env = "{API_SECRET_VARIABLE}"
maker_fee_bps = "10"
taker_fee_bps = "10"
rest_url = "{http}"
ws_url = "{ws}"

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
        halt_file.display()
    )
}

fn chain(world: &Manifest) -> String {
    let contracts = &world.contracts;
    let pool = |pool: &PoolSite| {
        let dex = match pool.dex {
            Dex::UniswapV2 => "uniswap_v2",
            Dex::UniswapV3 => "uniswap_v3",
        };
        let fee = pool.fee_pips;
        format!("    {{ dex = \"{dex}\", pair = \"WETH/USDT\", fee_pips = {fee} }},\n")
    };
    let values = [
        ("{chain_id}", world.chain_id.to_string()),
        ("{ws}", world.rpc_ws.clone()),
        ("{http}", world.rpc_http.clone()),
        ("{weth}", contracts.weth.to_string()),
        ("{usdt}", contracts.usdt.to_string()),
        ("{v2_factory}", contracts.v2_factory.to_string()),
        ("{v2_router}", contracts.v2_router.to_string()),
        ("{v3_factory}", contracts.v3_factory.to_string()),
        ("{position_manager}", contracts.position_manager.to_string()),
        ("{router}", contracts.swap_router.to_string()),
        ("{quoter}", contracts.quoter.to_string()),
        ("{pools}", world.pools.iter().map(pool).collect()),
    ];
    let fill = |text: String, (name, value): &(&str, String)| text.replace(name, value);
    values.iter().fold(CHAIN.to_owned(), fill)
}

/// The chain's file with names in braces where this world's values go.
const CHAIN: &str = r#"# Written by the demo.
schema = 1
name = "demo"
chain_id = {chain_id}
native = "ETH"
wrapped_native = "{weth}"

[[endpoints]]
name = "anvil"
ws_url = "{ws}"
http_url = "{http}"

[ingest]
block_time_ms = 1000
stale_after_ms = 4000
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

[dex.uniswap_v2]
factory = "{v2_factory}"
router = "{v2_router}"

[dex.uniswap_v3]
factory = "{v3_factory}"
position_manager = "{position_manager}"
router = "{router}"
quoter = "{quoter}"

[pools]
allow = [
{pools}]
"#;

/// Narrow and quick, so that a short demo shows a whole life; not advice.
const STRATEGY: &str = r#"# Written by the demo: narrow and quick, to show a whole life soon.
# Not advice.
schema = 1
id = "demo-lp"
kind = "liquidity"
stage = "live"
chain = "demo"
pool = { dex = "uniswap_v3", pair = "WETH/USDT", fee_pips = 500 }
signer = "lp"

[capital]
budget_usd = "120000"

[range]
method = "fixed"
half_width_pct = "0.1"

[rebalance]
horizon_h = 24
min_gain_over_cost = "2.0"
min_dwell_s = 10
max_per_day = 2000
max_slippage_bps = 30
max_pool_vs_reference_bps = 40

[hedge]
venue = "hedge"
market = "ETHUSDT-PERP"
target_delta_fraction = "0.0"
band_min_usd = "4000"
band_max_usd = "12000"
max_unhedged_s = 20

[exit]
stop_loss_usd = "20000"
on_halt = "hold"
"#;
