//! What a run in a local world was worth: the report, and the verdict of both reconcilers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::io::clock;
use crate::world::agent::Site;
use crate::world::cache;
use crate::world::venue::LocalExchange;

/// A comparison counts when it began so long after the exchange stood still.
const COMPARED_AFTER_MS: i64 = 1_500;
/// Patience for the independent reconciler, which may have to wait for the request limit.
const JUDGE_TIMEOUT: Duration = Duration::from_secs(180);

/// Halts the agent, stops the exchange, and waits until nothing moves and all was compared once
/// more; the snapshot of that moment.
pub(crate) async fn come_to_rest(
    site: &Site,
    exchange: &LocalExchange,
    why: &str,
    patience: Duration,
) -> Result<Value> {
    site.halt_until_quiet(why, patience).await?;
    exchange.freeze().await?;
    let frozen_ms = clock::now().ms();
    site.wait_for("everything to rest and be compared", patience, |snapshot| {
        let checked = snapshot["reconciliation"]["checked_ms"].as_i64().unwrap_or(0);
        snapshot["is_quiet"] == true && checked > frozen_ms + COMPARED_AFTER_MS
    })
    .await
}

/// The reconciler that shares no code with the agent.
#[derive(Clone, Debug)]
pub struct Judge {
    script: PathBuf,
    python: PathBuf,
}

impl Judge {
    /// Finds it.
    ///
    /// # Errors
    /// When it is not installed, with the command that does it.
    pub fn find() -> Result<Self> {
        let script = [PathBuf::from("tools/reconcile/reconcile.py")]
            .into_iter()
            .chain([Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/reconcile/reconcile.py")])
            .find(|path| path.exists())
            .context("tools/reconcile/reconcile.py is missing: run from the checkout")?;
        let python = cache::find()
            .map(|cache| cache.join("venv/bin/python"))
            .filter(|path| path.exists())
            .context("the judge needs Python: run `tools/setup.sh demo judge`")?;
        Ok(Self { script, python })
    }

    /// Compares the world whose `world.json` is in a folder with its ledger.
    ///
    /// # Errors
    /// When it cannot judge.
    pub async fn compare(&self, dir: &Path) -> Result<Value> {
        let out = dir.join("independent.json");
        let mut command = tokio::process::Command::new(&self.python);
        command.arg(&self.script).arg("--world").arg(dir.join("world.json")).arg("--out").arg(&out);
        let child = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(JUDGE_TIMEOUT, child)
            .await
            .context("the independent reconciler takes too long")??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            matches!(output.status.code(), Some(0 | 1)),
            "the independent reconciler cannot judge: {said}"
        );
        let text = std::fs::read_to_string(&out).context("reading the independent verdict")?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// What the independent reconciler finds in the world of a folder.
///
/// # Errors
/// When it is not installed or cannot judge.
pub async fn independent(dir: &Path) -> Result<Value> {
    Judge::find()?.compare(dir).await
}

/// The newest run of a state directory again from its journal, by a process of its own.
///
/// # Errors
/// When it cannot judge.
pub(crate) async fn replay(program: &Path, state_dir: &Path) -> Result<Value> {
    let mut command = tokio::process::Command::new(program);
    command.args(["replay", "--json", "--state-dir"]).arg(state_dir);
    let child = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output =
        tokio::time::timeout(JUDGE_TIMEOUT, child).await.context("the replay takes too long")??;
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!("the replay cannot judge: {}", String::from_utf8_lossy(&output.stderr))
    })
}

/// Writes `report.json` and `report.md`; where the first one is.
pub(crate) fn write(dir: &Path, title: &str, report: &Value, rest: &Value) -> Result<PathBuf> {
    let path = dir.join("report.json");
    std::fs::write(&path, serde_json::to_string_pretty(report)?)
        .with_context(|| format!("writing {}", path.display()))?;
    std::fs::write(dir.join("report.md"), markdown(title, report, rest))?;
    Ok(path)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The report: `live` is the agent's own at the end of the run, `rest` a snapshot at rest, and
/// `independent` null when nobody judged.
pub(crate) fn document(live: &Value, rest: &Value, independent: &Value, seconds: u64) -> Value {
    let (then, figures) = (&live["snapshot"], &live["loop"]);
    let chains: Vec<Value> = list(&then["chains"])
        .iter()
        .map(|chain| {
            json!({
                "chain_id": chain["chain_id"],
                "blocks": chain["blocks"],
                "pool_events": chain["pool_events"],
                "pools_live": chain["pools_live"],
                "pools_quarantined": chain["pools_quarantined"],
            })
        })
        .collect();
    let venues: Vec<Value> = list(&then["venues"])
        .iter()
        .map(|venue| {
            let of_venue = |book: &&Value| book["venue"] == venue["venue"];
            let books = list(&then["books"]).iter().filter(of_venue);
            let updates: u64 = books.filter_map(|book| book["updates"].as_u64()).sum();
            json!({
                "venue": venue["venue"],
                "book_updates": updates,
                "resyncs": venue["resyncs"],
            })
        })
        .collect();
    let positions = positions(then);
    json!({
        "seconds": seconds,
        "startup_ms": figures["startup_ms"],
        "rss_bytes": figures["rss_bytes"],
        "events": figures["events"],
        "engine_ns": figures["engine_ns"],
        "chains": chains,
        "venues": venues,
        "pools": pools(then),
        "positions": positions,
        "rebalances": rest["rebalances"],
        "opportunities": {
            "found": rest["arbitrage"]["found"],
            "sent": rest["arbitrage"]["sent"],
            "landed": rest["arbitrage"]["landed"],
            "lost": rest["arbitrage"]["lost"],
            "reverted": rest["arbitrage"]["reverted"],
            "expected_net": rest["arbitrage"]["expected_net"],
            "realised_net": rest["arbitrage"]["realised_net"],
        },
        "by_chain": by_chain(rest),
        "orders": {
            "hedge": { "sent": rest["orders_sent"], "filled": rest["orders_filled"] },
            "quote": rest["quotes"],
        },
        "pnl": then["pnl"],
        "ledger": {
            "entries": rest["ledger"]["entries"],
            "postings": rest["ledger"]["postings"],
        },
        "reconciliation": rest["reconciliation"]["rows"],
        "independent_reconciliation": independent,
        "labels": then["labels"],
    })
}

fn pools(then: &Value) -> Vec<Value> {
    list(&then["pools"])
        .iter()
        .map(|pool| {
            json!({
                "chain_id": pool["chain_id"],
                "pool": pool["pool"],
                "dex": pool["dex"],
                "pair": pool["pair"],
                "fee_pips": pool["fee_pips"],
                "state": pool["state"],
                "audits": pool["audits"],
                "events": pool["events"],
            })
        })
        .collect()
}

fn positions(then: &Value) -> Vec<Value> {
    list(&then["positions"])
        .iter()
        .map(|p| {
            json!({
                "chain_id": p["chain_id"],
                "pool": p["pool"],
                "token_id": p["token_id"],
                "state": p["state"],
                "in_range_share": p["in_range_share"],
                "fees": p["fees"],
                "impermanent_loss": p["impermanent_loss"],
                "gas": p["gas"],
                "value": p["value"],
                "value_hold": p["value_hold"],
            })
        })
        .collect()
}

/// Ranges moved and cycles landed on each chain.
fn by_chain(rest: &Value) -> Vec<Value> {
    list(&rest["chains"])
        .iter()
        .map(|chain| {
            let of = |rows: &[Value], field: &str, word: &str| {
                rows.iter()
                    .filter(|row| row["chain_id"] == chain["chain_id"] && row[field] == word)
                    .count()
            };
            json!({
                "chain_id": chain["chain_id"],
                "rebalances": of(list(&rest["positions"]), "state", "closed"),
                "landed": chain["cycles_landed"],
            })
        })
        .collect()
}

fn is_zero(rows: &Value) -> bool {
    let rows = list(rows);
    !rows.is_empty() && rows.iter().all(|row| row["difference"].as_str() == Some("0"))
}

/// What a report must show, and whether it does.
pub(crate) type Claim = (&'static str, bool);

/// The claims of every run: each reconciler that judged found no difference.
pub(crate) fn agreement(report: &Value) -> Vec<Claim> {
    let mut claims = vec![("the ledger agrees with the world", is_zero(&report["reconciliation"]))];
    let independent = &report["independent_reconciliation"];
    if !independent.is_null() {
        claims.push(("the independent reconciler agrees", is_zero(independent)));
    }
    claims
}

/// Whether something happened at least once on every chain of a report.
pub(crate) fn is_everywhere(report: &Value, what: &str) -> bool {
    let chains = list(&report["by_chain"]);
    !chains.is_empty() && chains.iter().all(|chain| chain[what].as_u64() >= Some(1))
}

/// Whether every pool of a report was in use at the end.
pub(crate) fn is_every_pool_live(report: &Value) -> bool {
    let pools = list(&report["pools"]);
    !pools.is_empty() && pools.iter().all(|pool| pool["state"] == "live")
}

/// Whether something was followed in an exchange's pools on every chain of a report.
pub(crate) fn is_followed_everywhere(report: &Value, dex: &str) -> bool {
    let (chains, pools) = (list(&report["by_chain"]), list(&report["pools"]));
    let is_followed = |chain: &Value| {
        let here = pools.iter().filter(|pool| pool["chain_id"] == chain["chain_id"]);
        here.filter(|pool| pool["dex"] == dex).any(|pool| pool["events"].as_u64() >= Some(1))
    };
    !chains.is_empty() && chains.iter().all(is_followed)
}

/// Tells every claim; an error when one does not hold.
pub(crate) fn verdict(verb: &str, claims: &[Claim]) -> Result<()> {
    for (claim, holds) in claims {
        eprintln!("{verb}: {} {claim}", if *holds { "ok    " } else { "FAILED" });
    }
    if claims.iter().all(|(_, holds)| *holds) {
        return Ok(());
    }
    bail!("the run is not what a {verb} must be; see report.json")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "unknown".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

type Table<'a> = (&'static str, &'static [&'static str], &'a Value);

fn tables<'a>(report: &'a Value, rest: &'a Value) -> [Table<'a>; 7] {
    [
        (
            "Cycles (the newest; USDT)",
            &["chain_id", "fate", "route", "gross", "gas", "expected_net", "realised_net"],
            &rest["arbitrage"]["opportunities"],
        ),
        ("Profit by part (USDT)", &["name", "value", "source"], &report["pnl"]["parts"]),
        (
            "Positions",
            &[
                "token_id",
                "state",
                "in_range_share",
                "fees",
                "impermanent_loss",
                "gas",
                "value",
                "value_hold",
            ],
            &report["positions"],
        ),
        (
            "Pools",
            &["chain_id", "dex", "pair", "fee_pips", "state", "audits", "events"],
            &report["pools"],
        ),
        (
            "Ledger against the world",
            &["place", "unit", "ledger", "actual", "difference", "at"],
            &report["reconciliation"],
        ),
        (
            "The independent reconciler",
            &["place", "unit", "ledger", "actual", "difference", "at"],
            &report["independent_reconciliation"],
        ),
        ("What this world is", &["what", "kind", "text"], &report["labels"]),
    ]
}

fn markdown(title: &str, report: &Value, rest: &Value) -> String {
    let mut page = format!(
        "# {title}\n\n{} s. Start-up {} ms, memory {} bytes, {} facts, engine p50 {} ns, \
         p99 {} ns. Ranges moved: {}. Cycles: {} found, {} sent, {} landed, {} lost, {} reverted. \
         Quotes: {} placed, {} filled, {} cancelled. Hedge orders: {} sent, {} filled. \
         Ledger: {} entries, {} postings.\n\n",
        text(&report["seconds"]),
        text(&report["startup_ms"]),
        text(&report["rss_bytes"]),
        text(&report["events"]),
        text(&report["engine_ns"]["p50"]),
        text(&report["engine_ns"]["p99"]),
        text(&report["rebalances"]),
        text(&report["opportunities"]["found"]),
        text(&report["opportunities"]["sent"]),
        text(&report["opportunities"]["landed"]),
        text(&report["opportunities"]["lost"]),
        text(&report["opportunities"]["reverted"]),
        text(&report["orders"]["quote"]["sent"]),
        text(&report["orders"]["quote"]["filled"]),
        text(&report["orders"]["quote"]["cancelled"]),
        text(&report["orders"]["hedge"]["sent"]),
        text(&report["orders"]["hedge"]["filled"]),
        text(&report["ledger"]["entries"]),
        text(&report["ledger"]["postings"]),
    );
    for (title, columns, rows) in tables(report, rest) {
        page.push_str(&format!("## {title}\n\n| {} |\n", columns.join(" | ")));
        page.push_str(&format!("|{}\n", " --- |".repeat(columns.len())));
        for row in list(rows) {
            let cells: Vec<String> =
                columns.iter().map(|c| text(&row[*c]).replace('|', "\\|")).collect();
            page.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        page.push('\n');
    }
    page.push_str(&format!(
        "Total profit: {} USDT. State at the end: {}.\n",
        text(&report["pnl"]["total"]),
        rest["state"]["kind"]
    ));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two chains and their pools: chain, exchange and logs of each.
    fn report(pools: &[(u64, &str, u64)], state: &str) -> Value {
        let mut rows = Vec::new();
        for (chain, dex, events) in pools {
            rows.push(json!({ "chain_id": chain, "dex": dex, "state": state, "events": events }));
        }
        json!({ "by_chain": [{ "chain_id": 1 }, { "chain_id": 2 }], "pools": rows })
    }

    #[test]
    fn an_exchange_is_followed_everywhere_or_not() {
        let is_so = |pools: &[(u64, &str, u64)]| {
            let report = report(pools, "live");
            is_followed_everywhere(&report, "v4")
        };
        assert!(is_so(&[(1, "v4", 0), (1, "v4", 3), (2, "v4", 1), (2, "v3", 0)]));
        assert!(!is_so(&[(1, "v4", 3), (2, "v3", 1)]));
        assert!(!is_so(&[(1, "v4", 3), (2, "v4", 0)]));
        assert!(!is_so(&[]));
        assert!(!is_followed_everywhere(&Value::Null, "v4"));
    }

    #[test]
    fn pools_are_live_when_all_are() {
        let pools = [(1, "v4", 1)];
        assert!(is_every_pool_live(&report(&pools, "live")));
        assert!(!is_every_pool_live(&report(&pools, "quarantined")));
        assert!(!is_every_pool_live(&report(&[], "live")));
    }
}
