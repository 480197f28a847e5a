//! Numbers changed while the agent runs: the file has them, the next range is made by them, a
//! restart keeps them, and every run comes to the same again. A second keeper on the same files
//! changes nothing, and what a hand wrote is not overwritten.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tidekeeper::world::agent::{AgentPlan, Site};
use tidekeeper::world::demo::World;

use super::stage;
use crate::openapi::assert_described;

const PARAMETERS: &str = "strategies/demo-lp/parameters";
const WIDTH: &str = "range.half_width_pct";
/// A range twice as wide earns half as much: the threshold is halved as well.
const GAIN: &str = "rebalance.min_gain_over_cost";
const NARROW: &str = "0.02";
const WIDE: &str = "0.04";
/// Upper by lower end of a range: the narrow one is below, the wide one above.
const RATIO: f64 = 1.000_7;
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The demo's price leaves a narrow range many times in this.
const RANGE_TIMEOUT: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_width_changed_while_it_runs_is_that_of_the_next_range_and_stays() -> Result<()> {
    let mut world = stage::world("edits").await?;
    let file = world.config_dir.join("strategies/demo-lp.toml");
    let (agent, site) = stage::agent(&mut world).await?;
    let is_narrow = |snapshot: &Value| ratio(snapshot).is_some_and(|ratio| ratio < RATIO);
    site.wait_for("a narrow range", RANGE_TIMEOUT, is_narrow).await?;
    preview(&site).await?;
    a_second_keeper_changes_nothing(&world, &file).await?;
    let version = widen(&site, &file).await?;
    let is_wide = |snapshot: &Value| {
        let strategies = snapshot["strategies"].as_array().into_iter().flatten();
        let mut of_lp = strategies.filter(|row| row["id"] == "demo-lp");
        of_lp.any(|row| row["version"] == version)
            && ratio(snapshot).is_some_and(|ratio| ratio > RATIO)
    };
    site.wait_for("a wide range", RANGE_TIMEOUT, is_wide).await?;

    agent.stop(Signal::SIGTERM, STOP_TIMEOUT);
    let (agent, site) = stage::agent(&mut world).await?;
    let told = site.get(PARAMETERS).await?;
    ensure!(told["version"] == version && width(&told) == Some(WIDE), "{told}");
    agent.stop(Signal::SIGTERM, STOP_TIMEOUT);

    let wide = fs::read_to_string(&file)?;
    fs::write(&file, wide.replace("\"0.04\"", "\"0.07\""))?;
    let (agent, site) = stage::agent(&mut world).await?;
    let told = site.get("strategies/demo-lp/versions").await?;
    assert_described("strategies/{id}/versions", &told);
    let versions = told["versions"].as_array().context("no versions")?;
    let reasons: Vec<&Value> = versions.iter().map(|version| &version["reason"]).collect();
    let by_hand = json!([{ "key": WIDTH, "before": WIDE, "after": "0.07" }]);
    ensure!(versions[0]["diff"] == by_hand && *reasons[0] == "the file was changed", "{told}");
    ensure!(*reasons[1] == "a wider range", "{reasons:?}");
    ensure!(reasons.last().is_some_and(|reason| **reason == "as in the file"), "{reasons:?}");

    // A hand that wrote while the agent runs is not overwritten, in whichever file it wrote.
    let chain = fs::read_dir(world.config_dir.join("chains"))?.next().context("no chain")??.path();
    for by_hand in [&chain, &world.config_dir.join("agent.toml"), &file] {
        let before = fs::read_to_string(by_hand)?;
        let now = format!("{before}# a word\n");
        fs::write(by_hand, &now)?;
        let (status, told) = site.post(PARAMETERS, &change(version + 1, "0.05")).await?;
        let name = by_hand.file_name().unwrap_or_default().to_string_lossy();
        let why = told["detail"].as_str().unwrap_or_default();
        ensure!(status == 409 && why.contains(&*name), "{name}: {status} {told}");
        ensure!(fs::read_to_string(by_hand)? == now, "what a hand wrote is gone");
        fs::write(by_hand, before)?;
    }
    agent.stop(Signal::SIGTERM, STOP_TIMEOUT);
    super::replays::all_come_to_the_same(&world.state_dir).await
}

/// What the numbers are, and what others would do.
async fn preview(site: &Site) -> Result<()> {
    let told = site.get(PARAMETERS).await?;
    assert_described("strategies/{id}/parameters", &told);
    ensure!(told["version"] == 1 && width(&told) == Some(NARROW), "{told}");
    ensure!(told["file"] == "strategies/demo-lp.toml", "{told}");
    let changes = json!({ "changes": { WIDTH: WIDE } });
    let (status, seen) = site.post(&format!("{PARAMETERS}/preview"), &changes).await?;
    ensure!(status == 200 && seen["problems"] == json!([]), "{status} {seen}");
    ensure!(seen["now"].is_string() && seen["then"].is_string(), "{seen}");
    ensure!(seen["diff"] == json!([{ "key": WIDTH, "before": NARROW, "after": WIDE }]), "{seen}");
    Ok(())
}

/// A second keeper, with pretend accounts, reads the same files and must not change them.
async fn a_second_keeper_changes_nothing(world: &World, file: &Path) -> Result<()> {
    let dir = world.dir.join("second");
    fs::create_dir_all(dir.join("logs"))?;
    let mode = (OsString::from("TIDEKEEPER__AGENT__MODE"), OsString::from("paper"));
    let plan = AgentPlan {
        program: PathBuf::from(env!("CARGO_BIN_EXE_tidekeeper")),
        config_dir: world.config_dir.clone(),
        state_dir: dir.join("state"),
        env: std::env::vars_os().chain([mode]).collect(),
        labels: None,
        dir,
    };
    let agent = plan.start(None)?;
    let site = plan.meet(&agent).await?.site;
    let before = fs::read_to_string(file)?;
    let (status, told) = site.post(PARAMETERS, &change(1, WIDE)).await?;
    let why = told["detail"].as_str().unwrap_or_default();
    ensure!(status == 503 && why.contains("another keeper owns"), "{status} {told}");
    ensure!(fs::read_to_string(file)? == before, "another keeper's file was changed");
    agent.stop(Signal::SIGTERM, STOP_TIMEOUT);
    Ok(())
}

fn change(version: u64, width: &str) -> Value {
    let changes = json!({ WIDTH: width, GAIN: "1.0" });
    json!({ "version": version, "changes": changes, "reason": "a wider range" })
}

/// Changes the width, which nobody else may do at the same time; answers the version then.
async fn widen(site: &Site, file: &Path) -> Result<u64> {
    let before = fs::read_to_string(file)?;
    let (status, refused) = site.post(PARAMETERS, &change(1, "96")).await?;
    ensure!(status == 422 && refused["problems"][0]["key"] == WIDTH, "{status} {refused}");
    ensure!(fs::read_to_string(file)? == before, "a refused change was written");
    let (one, other) = (change(1, WIDE), change(1, "0.05"));
    let both = tokio::try_join!(site.post(PARAMETERS, &one), site.post(PARAMETERS, &other));
    let (one, other) = both?;
    let mut statuses = [one.0, other.0];
    statuses.sort_unstable();
    ensure!(statuses == [202, 409], "one of two wins: {one:?} {other:?}");
    let mut version = 2;
    if other.0 == 202 {
        let (status, told) = site.post(PARAMETERS, &change(version, WIDE)).await?;
        ensure!(status == 202, "{status} {told}");
        version += 1;
    }
    let gain = |least: &str| format!("min_gain_over_cost = \"{least}\"");
    let wanted = before.replace("\"0.02\"", "\"0.04\"").replace(&gain("2.0"), &gain("1.0"));
    ensure!(fs::read_to_string(file)? == wanted, "more than the values was written");
    Ok(version)
}

/// The width in an answer.
fn width(told: &Value) -> Option<&str> {
    let mut keys = told["keys"].as_array()?.iter();
    keys.find(|row| row["key"] == WIDTH)?["value"].as_str()
}

/// Upper by lower end of the strategy's open range.
fn ratio(snapshot: &Value) -> Option<f64> {
    let mut positions = snapshot["positions"].as_array()?.iter();
    let open = positions.find(|row| row["strategy"] == "demo-lp" && row["state"] == "open")?;
    let end = |name: &str| open[name].as_str()?.parse::<f64>().ok();
    Some(end("price_upper")? / end("price_lower")?)
}
