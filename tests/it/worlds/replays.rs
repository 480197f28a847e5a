//! A run again: killed in the middle of its work, its journal comes to what Postgres kept, and a
//! changed fact is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::Row;
use tidekeeper::run::journal::{self, Chain};
use tidekeeper::run::replay::{self, Reader, Verdict};
use tidekeeper::store::Store;
use tidekeeper::store::cluster::{Cluster, ClusterOptions, Durability};
use tidekeeper::world::cache;

use super::{exports, stage};

/// Long enough for positions, hedges, quotes and cycles.
const WORK: Duration = Duration::from_secs(15);
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_comes_to_the_same_again_and_a_changed_fact_is_named() -> Result<()> {
    let mut world = stage::world("replays").await?;
    let (agent, _) = stage::agent(&mut world).await?;
    tokio::time::sleep(WORK).await;
    let intent = an_intent(&stage::database(&world).await?).await?;
    agent.stop(Signal::SIGKILL, KILL_TIMEOUT);
    let state = world.state_dir.clone();
    drop(world);

    let said = tidekeeper(&["replay"], &state)?;
    ensure!(said.contains("answers are those committed"), "{said}");
    let said = tidekeeper(&["explain", &intent], &state)?;
    let sections = ["the books before it", "the gate before it", "the terms", "the gate's checks"];
    for part in sections.into_iter().chain(["gross_exposure_usd", "\n  net_delta ", &intent]) {
        ensure!(said.contains(part), "{part} is not told: {said}");
    }
    exports::books_are_those_of_the_journal(&state)?;

    let (cluster, store) = open(&state).await?;
    let outcome = judge(&state, &store).await;
    store.close().await;
    tokio::task::spawn_blocking(move || cluster.stop()).await??;
    outcome
}

/// The database of a state directory in which no agent runs.
async fn open(state: &Path) -> Result<(Cluster, Store)> {
    let options = ClusterOptions {
        state_dir: state.to_owned(),
        durability: Durability::Throwaway,
        cache_dir: cache::find(),
    };
    let cluster = Cluster::open(&options)?;
    let store = Store::open(cluster.connect_options()).await?;
    Ok((cluster, store))
}

/// Every run of a state directory comes to the same again, wherever it was killed.
pub(super) async fn all_come_to_the_same(state: &Path) -> Result<()> {
    let (cluster, store) = open(state).await?;
    let mut n_agreed = 0;
    for run in journal::runs(state)? {
        let (reader, head) = Reader::open(state, Some(&run))?;
        let verdict = replay::compare(reader, head, &store, |_| ()).await?;
        ensure!(verdict.is_same(), "run {run}: {verdict:?}");
        n_agreed += verdict.agreed;
    }
    ensure!(n_agreed > 50, "only {n_agreed} answers were compared");
    store.close().await;
    tokio::task::spawn_blocking(move || cluster.stop()).await??;
    Ok(())
}

async fn judge(state: &Path, store: &Store) -> Result<()> {
    let whole = compared(state, store).await?;
    ensure!(whole.is_same() && whole.agreed > 50, "{whole:?}");
    let run = journal::runs(state)?.pop().context("no run")?;
    let segment = journal::segments(state, &run)?.pop().context("no segment")?;
    let mut written = fs::read_to_string(&segment)?;
    // The kill may have cut the last line.
    written.truncate(written.rfind('\n').context("no line")? + 1);

    // A price of a book in the middle of the run, changed where it stands.
    let (seq, changed) = with_another_price(&written)?;
    fs::write(&segment, &changed)?;
    let found = compared(state, store).await?;
    ensure!(found.altered == Some(seq), "altered at {seq}: {found:?}");
    ensure!(found.differs.as_ref().is_none_or(|first| first.seq >= seq), "{found:?}");
    exports::a_changed_line_is_named(state, &run, seq)?;

    // The same with every digest made anew: the next commit knows better.
    fs::write(&segment, linked(&changed))?;
    let found = compared(state, store).await?;
    let next = store.marks(&run, seq - 1, 1).await?.first().map(|(seq, _)| *seq);
    ensure!(found.altered.is_none(), "{found:?}");
    ensure!(found.differs.as_ref().map(|first| first.seq) == next, "next {next:?}: {found:?}");

    // A fact taken out is one that everything after it no longer follows from.
    let line = line_of(&written, seq)?;
    fs::write(&segment, written.replacen(&format!("{line}\n"), "", 1))?;
    let found = compared(state, store).await?;
    ensure!(found.altered == Some(seq + 1), "{seq} is gone: {found:?}");

    // A line that was being written when the process ended is no difference.
    let end = written.trim_end_matches('\n').len();
    fs::write(&segment, &written[..end - 10])?;
    let found = compared(state, store).await?;
    ensure!(found.is_cut && found.altered.is_none(), "{found:?}");
    fs::write(&segment, &written)?;
    Ok(())
}

async fn compared(state: &Path, store: &Store) -> Result<Verdict> {
    let (reader, head) = Reader::open(state, None)?;
    Ok(replay::compare(reader, head, store, |_| ()).await?)
}

async fn an_intent(database: &sqlx::PgPool) -> Result<String> {
    let row =
        sqlx::query("select body ->> 'intent' as id from notes where kind = 'intent' limit 1")
            .fetch_one(database)
            .await?;
    Ok(row.try_get("id")?)
}

/// What the program says, when it ends well.
pub(super) fn tidekeeper(words: &[&str], state: &Path) -> Result<String> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_tidekeeper"));
    let done = Command::new(program).args(words).arg("--state-dir").arg(state).output()?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let error = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{words:?}: {} {said} {error}", done.status);
    Ok(said)
}

fn fact(line: &str) -> Option<Value> {
    serde_json::from_str(line.split_once(' ')?.1).ok()
}

fn line_of(written: &str, seq: u64) -> Result<&str> {
    let is_it = |line: &&str| fact(line).is_some_and(|fact| fact["seq"] == seq);
    written.lines().find(is_it).context("no such fact")
}

/// The journal with one level of one book moved far away, and the position of that fact.
fn with_another_price(written: &str) -> Result<(u64, String)> {
    let lines: Vec<&str> = written.lines().collect();
    for line in &lines[lines.len() / 2..] {
        let Some((digest, json)) = line.split_once(' ') else { continue };
        let mut fact: Value = serde_json::from_str(json)?;
        let Some(level) = fact.pointer_mut("/body/Book/step/Update/bids/0/price") else { continue };
        *level = Value::from("1.00");
        let seq = fact["seq"].as_u64().context("a fact without a seq")?;
        return Ok((seq, written.replacen(line, &format!("{digest} {fact}"), 1)));
    }
    anyhow::bail!("no book moved in the second half of the run")
}

/// The lines with digests that follow from each other.
fn linked(written: &str) -> String {
    let mut chain = Chain::default();
    let lines = written.lines().filter_map(|line| line.split_once(' ')).map(|(_, json)| {
        chain.link(json.as_bytes());
        format!("{} {json}\n", hex::encode(chain.0))
    });
    lines.collect()
}
