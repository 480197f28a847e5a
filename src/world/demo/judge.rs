//! A timed demo is brought to rest, and both reconcilers say what it was worth.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::world::agent::Site;
use crate::world::demo::World;
use crate::world::report::{self, Claim};

/// Patience for the last deeds to settle and the last comparison to be made.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(40);

/// Brings the world to rest, lets both reconcilers judge, and writes the report.
pub(super) async fn judge(world: &World, site: &Site, seconds: u64) -> Result<()> {
    eprintln!("demo: time is over, bringing everything to rest …");
    let live = site.get("report").await.context("asking the agent for its report")?;
    world.stop_flow();
    let why = "the timed demo is over";
    let rest = report::come_to_rest(site, &world.exchange, why, SETTLE_TIMEOUT).await?;
    let independent = report::independent(&world.dir).await?;
    let mut page = report::document(&live, &rest, &independent, seconds);
    page["replay"] = report::replay(&world.program, &world.state_dir).await?;
    let path = report::write(&world.dir, "Demo", &page, &rest)?;
    eprintln!("demo: report in {}", path.display());
    report::verdict("demo", &claims(&page))
}

/// What a demo must show.
fn claims(page: &Value) -> Vec<Claim> {
    let is_filled = |kind: &str| page["orders"][kind]["filled"].as_u64() >= Some(1);
    let is_followed = |dex: &str| report::is_followed_everywhere(page, dex);
    let mut claims = report::agreement(page);
    claims.extend([
        ("the run comes to the same again from its journal", page["replay"]["is_same"] == true),
        ("at least one range was moved on every chain", report::is_everywhere(page, "rebalances")),
        ("at least one cycle landed on every chain", report::is_everywhere(page, "landed")),
        ("every pool is live", report::is_every_pool_live(page)),
        ("V4's pools are followed on every chain", is_followed("uniswap_v4")),
        ("SushiSwap's V3 pool is followed on every chain", is_followed("sushiswap_v3")),
        ("at least one quote was filled", is_filled("quote")),
        ("at least one hedge order was filled", is_filled("hedge")),
    ]);
    claims
}
