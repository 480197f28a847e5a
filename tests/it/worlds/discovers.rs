//! Files that name one pool a chain and let the keeper find the others: it watches all that the
//! demo's own files name, but for those that the files do not want, and a second start searches
//! only the blocks since. A file that is wrong about a token's decimals ends a third start.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::postgres::PgPool;
use tidekeeper::model::chain::PoolAddress;
use tidekeeper::world::demo::World;
use tidekeeper::world::manifest::{ChainSite, Dex};

use super::stage;

/// Patience for every pool of a world to be read twice.
const ADMITTED_TIMEOUT: Duration = Duration::from_secs(60);
/// Least time that an agent has to end.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// What the liquidity strategies need.
const NAMED: &str = "{ dex = \"uniswap_v3\", pair = \"WETH/USDT\", fee_pips = 100 }";
/// The second chain's highest fee.
const FEE_PIPS_MAX: u32 = 500;

/// A pool with its chain.
type Place = (u64, PoolAddress);

/// What each chain's file says of pools.
fn rewrite(world: &World) -> Result<()> {
    let tables = [
        format!("[pools]\ndiscover = true\nallow = [{NAMED}]\n"),
        format!(
            "[pools]\ndiscover = true\nallow = [{NAMED}]\n\n[pools.discovery]\n\
             max_fee_pips = {FEE_PIPS_MAX}\nmin_liquidity = {{ USDT = \"1\", USDC = \"1\" }}\n"
        ),
    ];
    for (chain, table) in world.manifest.chains.iter().zip(tables) {
        let path = world.config_dir.join(format!("chains/{}.toml", chain.name));
        let text = fs::read_to_string(&path)?;
        let (before, _) = text.split_once("[pools]\n").context("the file has no [pools]")?;
        // What was opened while the world was built is then final at the first start.
        let window = "reorg_window_blocks = 32";
        ensure!(before.contains(window), "{before}");
        let before = before.replacen(window, "reorg_window_blocks = 4", 1);
        fs::write(&path, format!("{before}{table}"))?;
    }
    Ok(())
}

/// Pools of a chain of the world with at most this fee.
fn pools_of(chain: &ChainSite, fee_pips_max: u32) -> BTreeSet<Place> {
    let pools = chain.pools.iter().filter(|pool| pool.fee_pips <= fee_pips_max);
    pools.map(|pool| (chain.chain_id, pool.address)).collect()
}

fn rows(snapshot: &Value) -> &[Value] {
    snapshot["pools"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Pools that a keeper watches.
fn watched(snapshot: &Value) -> Result<BTreeSet<Place>> {
    let place = |row: &Value| -> Result<Place> {
        let chain = row["chain_id"].as_u64().context("no chain")?;
        Ok((chain, row["pool"].as_str().context("no pool")?.parse()?))
    };
    rows(snapshot).iter().map(place).collect()
}

fn all_live(snapshot: &Value) -> bool {
    !rows(snapshot).is_empty() && rows(snapshot).iter().all(|pool| pool["state"] == "live")
}

/// Pools of a chain that the store knows, and the first block that no search has reached.
async fn kept(database: &PgPool, chain: u64) -> Result<(BTreeSet<Place>, i64)> {
    let id = i64::try_from(chain)?;
    let statement = "select '0x' || encode(pool, 'hex') from openings where chain_id = $1";
    let names: Vec<String> = sqlx::query_scalar(statement).bind(id).fetch_all(database).await?;
    let place = |name: &String| -> Result<Place> { Ok((chain, name.parse()?)) };
    let places: Result<BTreeSet<Place>> = names.iter().map(place).collect();
    let next: i64 = sqlx::query_scalar("select next_block from searches where chain_id = $1")
        .bind(id)
        .fetch_one(database)
        .await?;
    Ok((places?, next))
}

/// Takes a pool out of the store, so that nobody finds it without searching anew.
async fn forget(database: &PgPool, (chain, pool): Place) -> Result<()> {
    let gone = sqlx::query("delete from openings where chain_id = $1 and pool = $2")
        .bind(i64::try_from(chain)?)
        .bind(pool.as_slice().to_vec())
        .execute(database)
        .await?;
    ensure!(gone.rows_affected() == 1, "the store does not know {pool}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_finds_its_pools_and_searches_only_new_blocks_at_the_next_start() -> Result<()> {
    let mut world = stage::world("discovers").await?;
    rewrite(&world)?;
    let [first, second] = &world.manifest.chains[..] else { panic!("{:?}", world.manifest) };
    let (first, second) = (first.clone(), second.clone());
    let mut expected = pools_of(&first, u32::MAX);
    expected.extend(pools_of(&second, FEE_PIPS_MAX));
    ensure!(pools_of(&second, FEE_PIPS_MAX).len() < second.pools.len(), "nothing is refused");

    let (agent, site) = stage::agent(&mut world).await?;
    let snapshot = site.wait_for("every pool to be live", ADMITTED_TIMEOUT, all_live).await?;
    assert_eq!(watched(&snapshot)?, expected);
    let database = stage::database(&world).await?;
    let mut searched = Vec::new();
    for chain in [&first, &second] {
        // What is refused today may be kept tomorrow.
        let (known, next) = kept(&database, chain.chain_id).await?;
        assert_eq!(known, pools_of(chain, u32::MAX), "{}", chain.name);
        searched.push(next);
    }
    let mut of_second = second.pools.iter();
    let forgotten = of_second.find(|pool| pool.dex == Dex::UniswapV4 && pool.fee_pips == 500);
    let forgotten = (second.chain_id, forgotten.context("no pool of the coin")?.address);
    forget(&database, forgotten).await?;
    database.close().await;
    agent.stop(Signal::SIGTERM, STOP_GRACE);

    let (agent, site) = stage::agent(&mut world).await?;
    let snapshot = site.wait_for("every pool to be live again", ADMITTED_TIMEOUT, all_live).await?;
    ensure!(expected.remove(&forgotten), "{forgotten:?} was not watched");
    assert_eq!(watched(&snapshot)?, expected, "the blocks of before were searched again");
    let database = stage::database(&world).await?;
    for (chain, before) in [&first, &second].into_iter().zip(searched) {
        let (_, next) = kept(&database, chain.chain_id).await?;
        ensure!(next > before, "{}: {next} after {before}", chain.name);
    }
    database.close().await;
    agent.stop(Signal::SIGTERM, STOP_GRACE);
    misnames_decimals(&mut world, &first.name).await
}

/// Every amount would be a hundred times what it is.
async fn misnames_decimals(world: &mut World, chain: &str) -> Result<()> {
    let path = world.config_dir.join(format!("chains/{chain}.toml"));
    let text = fs::read_to_string(&path)?;
    ensure!(text.contains("decimals = 6"), "{text}");
    fs::write(&path, text.replacen("decimals = 6", "decimals = 8", 1))?;
    let agent = world.start_agent(None)?;
    let refused = world.agent_site(&agent).await.err().context("it started")?;
    let said = format!("{refused:#}");
    ensure!(said.contains("has 6 decimals, [tokens."), "{said}");
    Ok(())
}
