//! What a run wrote down, told by `data`: every level of every book, and the line that is not what
//! was written. The rows are made here from the journal's JSON, by none of the keeper's own types.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidekeeper::run::journal;

use super::replays::tidekeeper;

const HEAD: &str = "time_ns,venue,symbol,update,side,price,quantity,venue_time_ns,update_id,seq";

/// The newest run is whole, and its exported books are those of its facts, row by row.
pub(super) fn books_are_those_of_the_journal(state: &Path) -> Result<()> {
    let run = journal::runs(state)?.pop().context("no run")?;
    let said = tidekeeper(&["data", "verify", &run], state)?;
    ensure!(said.contains(&format!("run {run}: ok, ")), "{said}");
    let said = tidekeeper(&["data", "list"], state)?;
    ensure!(said.contains(&run) && said.contains(" yes"), "{said}");

    let out = state.join("books.csv");
    let file = out.display().to_string();
    let words =
        ["data", "export", "--run", run.as_str(), "--what", "books", "--out", file.as_str()];
    let said = tidekeeper(&words, state)?;
    let exported = fs::read_to_string(&out)?;
    let (head, rows) = exported.split_once('\n').context("no head")?;
    let expected = expected(state, &run)?;
    ensure!(head == HEAD, "{head}");
    ensure!(expected.len() > 1_000, "only {} rows", expected.len());
    for (row, expected) in rows.lines().zip(&expected) {
        ensure!(row == expected, "{row} is not {expected}");
    }
    ensure!(rows.lines().count() == expected.len(), "{} rows in the journal", expected.len());
    ensure!(said.contains(&format!("{} rows", expected.len())), "{said}");
    ensure!(tidekeeper(&words, state).is_err(), "the file was overwritten");
    Ok(())
}

/// `verify` names the changed line, and nothing is exported from such a run.
pub(super) fn a_changed_line_is_named(state: &Path, run: &str, seq: u64) -> Result<()> {
    let program = env!("CARGO_BIN_EXE_tidekeeper");
    let verified =
        Command::new(program).args(["data", "verify", run, "--state-dir"]).arg(state).output()?;
    let said = String::from_utf8_lossy(&verified.stdout);
    let bad = format!("run {run}: BAD: segment 000001.jsonl, seq {seq}, ");
    ensure!(verified.status.code() == Some(1), "{}: {said}", verified.status);
    ensure!(said.contains(&bad), "{bad} is not told: {said}");

    let out = state.join("changed.csv.gz");
    let file = out.display().to_string();
    let words = ["data", "export", "--run", run, "--what", "fills", "--out", file.as_str()];
    let error = tidekeeper(&words, state).err().context("a changed run was exported")?;
    ensure!(format!("{error:#}").contains(&format!("seq {seq} is not what was written")));
    ensure!(!out.exists(), "half an export was left");
    Ok(())
}

fn expected(state: &Path, run: &str) -> Result<Vec<String>> {
    let mut rows = Vec::new();
    for segment in journal::segments(state, run)? {
        let written = fs::read_to_string(segment)?;
        let (whole, _) = written.rsplit_once('\n').context("no whole line")?;
        for line in whole.lines() {
            let (_, json) = line.split_once(' ').context("a line without a digest")?;
            let fact: Value = serde_json::from_str(json)?;
            rows.extend(rows_of(&fact));
        }
    }
    Ok(rows)
}

fn rows_of(fact: &Value) -> Vec<String> {
    let book = &fact["body"]["Book"];
    let (at, seq) = (&fact["at"], &fact["seq"]);
    let (Some(venue), Some(symbol)) = (book["venue"].as_str(), book["symbol"].as_str()) else {
        return Vec::new();
    };
    if let Some(step) = book["step"].as_str() {
        return vec![format!("{at},{venue},{symbol},{},,,,,,{seq}", step.to_lowercase())];
    }
    let update = &book["step"]["Update"];
    let (kind, id) = (text(&update["update"]), text(&update["update_id"]));
    let venue_time = text(&update["venue_time"]);
    let mut rows = Vec::new();
    for (side, levels) in [("bid", &update["bids"]), ("ask", &update["asks"])] {
        for level in levels.as_array().into_iter().flatten() {
            let (price, quantity) = (text(&level["price"]), text(&level["quantity"]));
            rows.push(format!(
                "{at},{venue},{symbol},{kind},{side},{price},{quantity},{venue_time},{id},{seq}"
            ));
        }
    }
    rows
}

/// A text without its quotes, a number as it stands, and nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
