//! What a timed demo was worth: the report, and the verdict of both reconcilers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::world::cache;
use crate::world::demo::{Site, World};

/// Patience for the last deeds to settle and the last comparison to be made.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(40);
/// Patience for the independent reconciler, which may have to wait for the request limit.
const JUDGE_TIMEOUT: Duration = Duration::from_secs(180);

/// Brings the world to rest, lets both reconcilers judge, and writes the report.
pub(super) async fn judge(world: &World, site: &Site, seconds: u64) -> Result<()> {
    eprintln!("demo: time is over, bringing everything to rest …");
    let live = site.get("report").await.context("asking the agent for its report")?;
    world.stop_flow();
    site.direct("halt", "the timed demo is over").await?;
    world.freeze_exchange(true).await?;
    let frozen_ms = crate::io::clock::now().ms();
    let rest = site
        .wait_for("everything to rest and be compared", SETTLE_TIMEOUT, |snapshot| {
            let checked = snapshot["reconciliation"]["checked_ms"].as_i64().unwrap_or(0);
            snapshot["is_quiet"] == true && checked > frozen_ms + 1_500
        })
        .await?;
    let independent = independent(world).await?;
    let report = report(&live, &rest, &independent, seconds);
    let path = world.dir.join("report.json");
    std::fs::write(&path, serde_json::to_string_pretty(&report)?)?;
    std::fs::write(world.dir.join("report.md"), markdown(&report, &rest))?;
    eprintln!("demo: report in {}", path.display());
    verdict(&report)
}

/// The reconciler that shares no code with the agent.
///
/// # Errors
/// When it cannot judge.
pub async fn independent(world: &World) -> Result<Value> {
    let script = [PathBuf::from("tools/reconcile/reconcile.py")]
        .into_iter()
        .chain([Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/reconcile/reconcile.py")])
        .find(|path| path.exists())
        .context("tools/reconcile/reconcile.py is missing: run the demo from the checkout")?;
    let python = cache::find()
        .map(|cache| cache.join("venv/bin/python"))
        .filter(|path| path.exists())
        .context("the judge needs Python: run `tools/setup.sh demo judge`")?;
    let out = world.dir.join("independent.json");
    let mut command = tokio::process::Command::new(python);
    command.arg(script).arg("--world").arg(world.dir.join("world.json")).arg("--out").arg(&out);
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

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn report(live: &Value, rest: &Value, independent: &Value, seconds: u64) -> Value {
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

fn verdict(report: &Value) -> Result<()> {
    let everywhere = |what: &str| {
        let chains = list(&report["by_chain"]);
        !chains.is_empty() && chains.iter().all(|chain| chain[what].as_u64() >= Some(1))
    };
    let claims = [
        ("the ledger agrees with the world", is_zero(&report["reconciliation"])),
        ("the independent reconciler agrees", is_zero(&report["independent_reconciliation"])),
        ("at least one range was moved on every chain", everywhere("rebalances")),
        ("at least one cycle landed on every chain", everywhere("landed")),
        ("at least one quote was filled", report["orders"]["quote"]["filled"].as_u64() >= Some(1)),
        (
            "at least one hedge order was filled",
            report["orders"]["hedge"]["filled"].as_u64() >= Some(1),
        ),
    ];
    for (claim, holds) in claims {
        eprintln!("demo: {} {claim}", if holds { "ok    " } else { "FAILED" });
    }
    if claims.iter().all(|(_, holds)| *holds) {
        return Ok(());
    }
    bail!("the run is not what a demo must be; see report.json")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "unknown".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

type Table<'a> = (&'static str, &'static [&'static str], &'a Value);

fn tables<'a>(report: &'a Value, rest: &'a Value) -> [Table<'a>; 6] {
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

fn markdown(report: &Value, rest: &Value) -> String {
    let mut page = format!(
        "# Demo of {} s\n\nStart-up {} ms, memory {} bytes, {} facts, engine p50 {} ns, p99 {} ns. \
         Ranges moved: {}. Cycles: {} found, {} sent, {} landed, {} lost, {} reverted. \
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
