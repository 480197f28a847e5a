//! `pool verify`: the check that a keeper makes of its own pools, for people.
//!
//! Every pool is read whole at one block and at a later one; the first reading follows the logs
//! between and must come to the second, field by field and tick by tick.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use super::Answer;
use crate::cli::columns::table;
use crate::cli::findings::{Progress, Report};
use crate::cli::pool::name::name_of;
use crate::cli::pool::place::{Place, Site, block_json};
use crate::config::chain::Chain;
use crate::engine::event::Pool as State;
use crate::engine::setup::PoolSetup;
use crate::io::chain::load::{self, Load};
use crate::io::chain::roster::Roster;
use crate::market::pools::Difference;
use crate::model::chain::{BlockRef, PoolAddress};

/// The second reading is at least so many blocks after the first.
const LATER_BLOCKS: u64 = 3;
/// Patience for all of it, the wait for those blocks included.
const TIMEOUT: Duration = Duration::from_secs(300);
/// How often the chain is asked whether they are there.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A pool as it was first read, following its logs.
struct Kept<'c> {
    site: Site<'c>,
    state: State,
    n_logs: u64,
    /// The first log that did not fit.
    broken: Option<String>,
}

/// What one pool came to.
#[derive(Debug, Serialize)]
struct Row {
    pool: String,
    address: Option<String>,
    from_block: u64,
    /// `None` where it was not read a second time.
    to_block: Option<u64>,
    logs: u64,
    ok: bool,
    /// Where the logs led to another state than the chain's.
    differences: Vec<Differs>,
    /// Why it could not be compared.
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Differs {
    field: &'static str,
    by_logs: String,
    on_chain: String,
}

/// One chain between its two readings.
struct Between<'c> {
    place: Place<'c>,
    kept: Vec<Kept<'c>>,
    rows: Vec<Row>,
}

/// Verifies every pool of these chains.
pub(super) async fn verify(chains: Vec<&Chain>) -> Result<Answer> {
    let mut report = Report::new(Progress::Terminal);
    let (mut places, mut n_silent) = (Vec::new(), 0_usize);
    for chain in chains {
        match Place::pin(&mut report, chain).await {
            Some(place) => places.push(place),
            None => n_silent += 1,
        }
    }
    super::complain(&report);
    let bar = bar(&places);
    let done = tokio::time::timeout(TIMEOUT, compare(places, &bar)).await;
    bar.finish_and_clear();
    let Ok(done) = done else {
        bail!(
            "not done within {} s: name one chain with --chain, or give its file a faster endpoint",
            TIMEOUT.as_secs()
        )
    };
    let (rows, blocks) = done;
    let n_bad = rows.iter().filter(|row| !row.ok).count();
    let is_ok = n_bad == 0 && n_silent == 0;
    let json = json!({ "ok": is_ok, "chains": blocks, "pools": rows });
    let failure = format!(
        "{n_bad} of {} pools are not what their logs say, {n_silent} chain(s) without an answer",
        rows.len()
    );
    Ok(Answer { text: told(&rows), json, failure: (!is_ok).then_some(failure) })
}

/// Counts both readings of every pool; drawn on a terminal alone.
fn bar(places: &[Place<'_>]) -> ProgressBar {
    let n_pools: usize = places.iter().map(|place| place.chain.pools.len()).sum();
    let bar = ProgressBar::new(u64::try_from(n_pools).unwrap_or(u64::MAX).saturating_mul(2));
    if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {pos}/{len} readings, {msg}") {
        bar.set_style(style);
    }
    bar
}

/// The first reading of all chains, then the second: most wait for their blocks meanwhile.
async fn compare(places: Vec<Place<'_>>, bar: &ProgressBar) -> (Vec<Row>, Vec<Value>) {
    let mut begun = Vec::new();
    for place in places {
        begun.push(begin(place, bar).await);
    }
    let (mut rows, mut blocks) = (Vec::new(), Vec::new());
    for Between { place, mut kept, rows: lost } in begun {
        rows.extend(lost);
        let second = end(&place, &mut kept, bar).await;
        blocks.push(json!({
            "chain": place.chain.name,
            "from": block_json(&place.block),
            "to": second.as_ref().ok().map(|(to, _)| block_json(to)),
        }));
        match second {
            Ok((_, judged)) => rows.extend(judged),
            Err(error) => {
                rows.extend(kept.iter().map(|kept| row_of(&place, kept, format!("{error:#}"))));
            }
        }
    }
    (rows, blocks)
}

/// Reads each pool of a chain at its newest block.
async fn begin<'c>(mut place: Place<'c>, bar: &ProgressBar) -> Between<'c> {
    // The one it was pinned at may be old by now: other chains were read since.
    if let Ok(newest) = place.newest().await {
        place.block = newest;
    }
    bar.set_message(format!("{}, looking for its pools", place.chain.name));
    let (mut sites, mut kept, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for (pool, site) in place.chain.pools.iter().zip(place.find_all(&place.chain.pools).await) {
        match site {
            Ok(site) => sites.push(site),
            Err(error) => {
                let name = name_of(place.chain, pool);
                rows.push(unread(name, None, &place.block, format!("{error:#}")));
            }
        }
    }
    let setups: Vec<PoolSetup> = sites.iter().map(|site| site.setup.clone()).collect();
    bar.inc(u64::try_from(rows.len()).unwrap_or(u64::MAX));
    let mut read = readings(&place, &setups, &place.block, bar).await;
    for site in sites {
        match read.remove(&site.setup.address) {
            Some(Ok(state)) => kept.push(Kept { site, state, n_logs: 0, broken: None }),
            other => {
                let why = other.and_then(Result::err).unwrap_or_else(not_read);
                let address = Some(site.setup.address.to_string());
                rows.push(unread(site.name, address, &place.block, why));
            }
        }
    }
    Between { place, kept, rows }
}

/// Reads pools whole at a block: the state of each, or why there is none.
async fn readings(
    place: &Place<'_>,
    setups: &[PoolSetup],
    block: &BlockRef,
    bar: &ProgressBar,
) -> BTreeMap<PoolAddress, Result<State, String>> {
    bar.set_message(format!("{}, block {}", place.chain.name, block.number));
    let before = bar.position();
    let tell = |progress: load::Progress| {
        let done = u64::try_from(progress.pools).unwrap_or(u64::MAX);
        bar.set_position(before.saturating_add(done));
    };
    let mut load = Load::new(*block);
    let done = place.client.load(&mut load, setups, &tell).await;
    let silent = done.err().map_or_else(not_read, |error| error.to_string());
    let Load { mut pools, failed, .. } = load;
    let one = |PoolSetup { address, .. }: &PoolSetup| {
        let why = || failed.get(address).map_or_else(|| silent.clone(), ToString::to_string);
        (*address, pools.remove(address).ok_or_else(why))
    };
    setups.iter().map(one).collect()
}

fn not_read() -> String {
    "it was not read".to_owned()
}

/// Waits for a later block, follows the logs up to it and reads each pool there.
async fn end(
    place: &Place<'_>,
    kept: &mut [Kept<'_>],
    bar: &ProgressBar,
) -> Result<(BlockRef, Vec<Row>)> {
    bar.set_message(format!("{}, waiting for a later block", place.chain.name));
    let to = later(place).await?;
    follow(place, &to, kept).await?;
    let followed = kept.iter().filter(|kept| kept.broken.is_none());
    let setups: Vec<PoolSetup> = followed.map(|kept| kept.site.setup.clone()).collect();
    let mut read = readings(place, &setups, &to, bar).await;
    let row = |kept: &Kept<'_>| {
        let second = read.remove(&kept.site.setup.address);
        judged(place, kept, &to, second.unwrap_or_else(|| Err(not_read())))
    };
    let rows = kept.iter().map(row).collect();
    Ok((to, rows))
}

async fn later(place: &Place<'_>) -> Result<BlockRef> {
    let wanted = place.block.number.saturating_add(LATER_BLOCKS);
    loop {
        let newest = place.newest().await.context("waiting for a later block")?;
        if newest.number >= wanted {
            return Ok(newest);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Block by block, each by its own hash, so that all logs are of one chain.
async fn follow(place: &Place<'_>, to: &BlockRef, kept: &mut [Kept<'_>]) -> Result<()> {
    let setups: Vec<PoolSetup> = kept.iter().map(|kept| kept.site.setup.clone()).collect();
    let roster = Roster::new(&setups);
    let places: BTreeMap<PoolAddress, usize> =
        kept.iter().enumerate().map(|(n, kept)| (kept.site.setup.address, n)).collect();
    let mut last = place.block;
    for number in place.block.number.saturating_add(1)..=to.number {
        let reading = || format!("reading block {number}");
        let header = place.client.block(number.into()).await.with_context(reading)?.header;
        let is_next = header.parent_hash == last.hash;
        ensure!(is_next, "the chain took block {} back: verify again", last.number);
        last = BlockRef { chain: last.chain, number, hash: header.hash };
        let events = place.client.pool_events(&roster, last.hash).await;
        for (address, event) in events.with_context(reading)? {
            let of = places.get(&address).and_then(|n| kept.get_mut(*n));
            let Some(kept) = of else { continue };
            kept.n_logs += 1;
            if kept.broken.is_none() {
                let applied = kept.state.apply(&event);
                kept.broken = applied.err().map(|why| format!("a log of block {number}: {why}"));
            }
        }
    }
    ensure!(last.hash == to.hash, "the chain took block {} back: verify again", to.number);
    Ok(())
}

fn judged(place: &Place<'_>, kept: &Kept<'_>, to: &BlockRef, second: Result<State, String>) -> Row {
    if let Some(why) = &kept.broken {
        return row_of(place, kept, why.clone());
    }
    let found = match second {
        Ok(read) => kept.state.differences(&read),
        Err(why) => return row_of(place, kept, format!("the second reading: {why}")),
    };
    match found {
        Ok(found) => Row {
            to_block: Some(to.number),
            ok: found.is_empty(),
            differences: found.into_iter().map(Differs::from).collect(),
            problem: None,
            ..row_of(place, kept, String::new())
        },
        Err(why) => row_of(place, kept, why),
    }
}

/// A pool that could not be compared.
fn row_of(place: &Place<'_>, kept: &Kept<'_>, problem: String) -> Row {
    let address = Some(kept.site.setup.address.to_string());
    let row = unread(kept.site.name.clone(), address, &place.block, problem);
    Row { logs: kept.n_logs, ..row }
}

/// A pool that could not be read.
fn unread(pool: String, address: Option<String>, from: &BlockRef, problem: String) -> Row {
    Row {
        pool,
        address,
        from_block: from.number,
        to_block: None,
        logs: 0,
        ok: false,
        differences: Vec::new(),
        problem: Some(problem),
    }
}

impl From<Difference> for Differs {
    fn from(Difference { field, kept, observed }: Difference) -> Self {
        Self { field, by_logs: kept, on_chain: observed }
    }
}

fn told(rows: &[Row]) -> String {
    let head = ["pool", "blocks", "logs", "result"].map(str::to_owned);
    let cells = |row: &Row| {
        let to = row.to_block.map_or_else(|| "unknown".to_owned(), |to| to.to_string());
        let result = match (&row.problem, row.differences.as_slice()) {
            (Some(problem), _) => format!("NOT COMPARED: {problem}"),
            (None, []) => "ok".to_owned(),
            (None, differences) => {
                let one = |of: &Differs| {
                    let Differs { field, by_logs, on_chain } = of;
                    format!("{field} is {by_logs} by the logs and {on_chain} on the chain")
                };
                let all: Vec<String> = differences.iter().map(one).collect();
                format!("DIFFERS: {}", all.join("; "))
            }
        };
        [row.pool.clone(), format!("{} to {to}", row.from_block), row.logs.to_string(), result]
    };
    let all: Vec<[String; 4]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    table(&all)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;
    use crate::cli::pool::curve::tests::v3;
    use crate::cli::pool::ranges::tests::v4;
    use crate::engine::event::PoolEvent;
    use crate::market::pools::v3::V3Event;
    use crate::market::pools::v4::V4Event;

    fn fields(kept: &State, read: &State) -> Vec<&'static str> {
        kept.differences(read).unwrap().into_iter().map(|found| found.field).collect()
    }

    fn after(event: V3Event) -> State {
        let mut state = v3();
        state.apply(&PoolEvent::V3(event)).unwrap();
        state
    }

    #[test]
    fn equal_states_do_not_differ_and_each_missed_log_is_named_by_its_field() {
        assert!(fields(&v3(), &v3()).is_empty());
        // Out of range: nothing but the table of ticks tells it.
        let minted = after(V3Event::Mint { lower: 1_200, upper: 1_260, amount: 7 });
        assert_eq!(fields(&v3(), &minted), ["ticks"]);
        assert_eq!(fields(&minted, &v3()), ["ticks"]);
        let inside = after(V3Event::Mint { lower: -60, upper: 60, amount: 7 });
        assert_eq!(fields(&v3(), &inside), ["liquidity", "ticks"]);
        let protocol = V3Event::SetFeeProtocol { old0: 0, old1: 0, new0: 4, new1: 0 };
        assert_eq!(fields(&v3(), &after(protocol)), ["feeProtocol"]);
    }

    #[test]
    fn a_v4_pool_is_compared_field_by_field_too() {
        let after = |event| {
            let mut state = v4(Address::ZERO);
            state.apply(&PoolEvent::V4(event)).unwrap();
            state
        };
        let plain = || v4(Address::ZERO);
        assert!(fields(&plain(), &plain()).is_empty());
        let added = after(V4Event::ModifyLiquidity { lower: -60, upper: 60, delta: 7 });
        assert_eq!(fields(&plain(), &added), ["liquidity", "ticks"]);
        let taken = after(V4Event::ProtocolFeeUpdated { protocol_fee: 500 });
        assert_eq!(fields(&plain(), &taken), ["protocolFee"]);
        assert_eq!(fields(&plain(), &v3()), ["kind of pool"]);
    }

    #[test]
    fn a_table_says_what_differs_and_what_was_not_compared() {
        let row = |problem: Option<&str>, differences: Vec<Differs>| Row {
            pool: "here/uniswap_v3/A/B/500".to_owned(),
            address: None,
            from_block: 7,
            to_block: problem.is_none().then_some(10),
            logs: 2,
            ok: problem.is_none() && differences.is_empty(),
            differences,
            problem: problem.map(str::to_owned),
        };
        let differs =
            || Differs { field: "tick", by_logs: "1".to_owned(), on_chain: "2".to_owned() };
        let rows =
            [row(None, Vec::new()), row(None, vec![differs()]), row(Some("no answer"), Vec::new())];
        let lines = told(&rows);
        let lines: Vec<&str> = lines.lines().map(str::trim_end).collect();
        assert!(lines[1].ends_with("7 to 10       2     ok"), "{lines:?}");
        assert!(lines[2].ends_with("DIFFERS: tick is 1 by the logs and 2 on the chain"));
        assert!(lines[3].contains("7 to unknown  2     NOT COMPARED: no answer"), "{lines:?}");
    }
}
