//! What every world test needs: a world, an agent in it, and the records of the others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tidekeeper::io::clock;
use tidekeeper::io::process::Child;
use tidekeeper::venues::binance::Dialect;
use tidekeeper::venues::binance::orders::Request;
use tidekeeper::venues::binance::sign::{self, Credentials, Stamp};
use tidekeeper::world::agent::Site;
use tidekeeper::world::anvil::{self, AnvilPlan, AnvilProcess};
use tidekeeper::world::artifacts::Artifacts;
use tidekeeper::world::cache;
use tidekeeper::world::demo::{Options, World};
use tidekeeper::world::manifest::{AccountSide, AccountSite};

/// Patience for an agent to be running, reconciled, in a fresh or an old world.
pub(super) const RUNNING_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a world of its own for one test.
pub(super) async fn world(name: &str) -> Result<World> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let options = Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_tidekeeper")),
        dir,
        for_s: None,
        listen: "127.0.0.1:0".into(),
        funding_every_s: 10,
    };
    World::start(&options).await.context("starting a world: run `tools/setup.sh test` first")
}

/// Starts an empty chain, with the code of the contracts to put on it.
pub(super) fn empty_chain(name: &str, chain_id: u64) -> Result<(AnvilProcess, Artifacts)> {
    let cache = cache::find().context("the cache is missing: run `tools/setup.sh test`")?;
    let artifacts = Artifacts::load(&cache.join("contracts"))?;
    let program = anvil::find(Some(&cache)).context("run `tools/setup.sh test`")?;
    let plan = AnvilPlan {
        port: 0,
        chain_id,
        block_time_s: 1,
        cache_path: Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("anvil-{name}")),
        stderr_log: None,
        fork: None,
    };
    Ok((anvil::start(&program, &plan)?, artifacts))
}

/// Starts an agent and waits until it runs.
pub(super) async fn agent(world: &mut World) -> Result<(Child, Site)> {
    let agent = world.start_agent(None)?;
    let site = world.agent_site(&agent).await?;
    site.wait_for("the agent to run", RUNNING_TIMEOUT, is_running).await?;
    Ok((agent, site))
}

/// True for a snapshot of a running agent.
pub(super) fn is_running(snapshot: &Value) -> bool {
    snapshot["state"]["kind"] == "running"
}

/// Reconciled after `since_ms`, with nothing in flight.
pub(super) fn is_settled(snapshot: &Value, since_ms: i64) -> bool {
    let checked = snapshot["reconciliation"]["checked_ms"].as_i64().unwrap_or(0);
    snapshot["is_quiet"] == true && checked > since_ms
}

/// Rows that are not zero.
pub(super) fn differences(rows: &Value) -> Vec<Value> {
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.into_iter().filter(|row| row["difference"] != "0").collect()
}

/// The agent's own database.
pub(super) async fn database(world: &World) -> Result<PgPool> {
    let site = world.manifest.database.as_ref().context("the agent told no database")?;
    let password = std::fs::read_to_string(&site.password_file)?;
    let options = PgConnectOptions::new()
        .host(&site.socket_dir.display().to_string())
        .port(site.port)
        .username(&site.user)
        .password(password.trim())
        .database(&site.database);
    Ok(PgPoolOptions::new().max_connections(1).connect_with(options).await?)
}

/// Asks the exchange as its customer would, without the agent's own client.
pub(super) async fn ask_venue(world: &World, request: &Request) -> Result<Value> {
    let account = world.manifest.accounts.first().context("no account")?;
    ask_account(world, account, request).await
}

async fn ask_account(world: &World, account: &AccountSite, request: &Request) -> Result<Value> {
    let credentials = Credentials {
        api_key: account.api_key.clone().into(),
        secret: account.api_secret.clone().into(),
    };
    let stamp = Stamp { now: clock::now(), offset_ms: 0, recv_window_ms: 5_000 };
    let signed = sign::sign(request, &credentials, &stamp);
    let url = format!("{}{}", world.manifest.exchange_http, signed.target);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let method = request.method.to_string().parse()?;
    let reply = client.request(method, url).header("X-MBX-APIKEY", &account.api_key).send().await?;
    let status = reply.status();
    let body: Value = reply.json().await?;
    ensure!(status.is_success(), "{status}: {body}");
    Ok(body)
}

/// Every order the venues ever took from us.
pub(super) async fn all_orders(world: &World) -> Result<Vec<Value>> {
    all(world, "/api/v3/allOrders", "/fapi/v1/allOrders").await
}

/// Every trade of ours on the venues.
pub(super) async fn all_trades(world: &World) -> Result<Vec<Value>> {
    all(world, "/api/v3/myTrades", "/fapi/v1/userTrades").await
}

async fn all(world: &World, spot: &'static str, usdm: &'static str) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for account in &world.manifest.accounts {
        let (dialect, path) = match account.side {
            AccountSide::Spot => (Dialect::Spot, spot),
            AccountSide::Usdm => (Dialect::UsdM, usdm),
        };
        let mut request = dialect.open_orders("ETHUSDT");
        request.path = path;
        request.params.push(("limit", "1000".into()));
        let told = ask_account(world, account, &request).await?;
        let told = told.as_array().with_context(|| format!("{path} lists nothing"))?;
        ensure!(told.len() < 1_000, "{path} may not have told all");
        rows.extend(told.iter().cloned());
    }
    Ok(rows)
}
